package gateway

import (
	"io"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

const (
	logDelay = 50 * time.Millisecond
	logBytes = 32 << 10
)

// A LogBuffer writes log lines together: a gateway writes one for each request,
// and to write each by itself costs more than to make it. A line waits for 50 ms
// at most, and 32 KiB of them wait for nothing. Warnings and what is worse go out
// at once, behind the lines before them. A process that is killed takes the lines
// that wait along.
//
// It may be used from any goroutine. What the writer says to a line that has
// waited is lost.
type LogBuffer struct {
	w io.Writer

	mu    sync.Mutex
	lines []byte
	timer *time.Timer
	armed bool // the timer will flush
}

var _ zerolog.LevelWriter = (*LogBuffer)(nil)

// NewLogBuffer returns a LogBuffer for w.
func NewLogBuffer(w io.Writer) *LogBuffer { return &LogBuffer{w: w} }

// Write writes a line of no level at once.
func (l *LogBuffer) Write(line []byte) (int, error) { return l.WriteLevel(zerolog.NoLevel, line) }

// WriteLevel writes a line, or keeps it for a moment.
func (l *LogBuffer) WriteLevel(level zerolog.Level, line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if level > zerolog.InfoLevel {
		l.flush()
		return l.w.Write(line)
	}
	l.lines = append(l.lines, line...)
	switch {
	case len(l.lines) >= logBytes:
		l.flush()
	case l.armed:
	case l.timer == nil:
		l.armed, l.timer = true, time.AfterFunc(logDelay, l.Flush)
	default:
		l.armed = true
		l.timer.Reset(logDelay)
	}
	return len(line), nil
}

// Flush writes the lines that wait. Call it before the process ends.
func (l *LogBuffer) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = false
	l.flush()
}

func (l *LogBuffer) flush() {
	if len(l.lines) > 0 {
		_, _ = l.w.Write(l.lines) // a log has nobody to complain to
		l.lines = l.lines[:0]
	}
}
