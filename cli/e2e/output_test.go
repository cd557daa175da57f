//go:build unix

package e2e_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// maxOutput is how much of what a process prints is kept; the rest is dropped.
const maxOutput = 8 << 20

// An output collects what a process prints and lets tests wait for it.
type output struct {
	mu      sync.Mutex
	text    []byte
	pieces  []piece
	changed chan struct{}
}

// A piece is one write: what the output was after it, and when it came.
type piece struct {
	length int
	at     time.Time
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text = append(o.text, b[:min(len(b), maxOutput-len(o.text))]...)
	o.pieces = append(o.pieces, piece{len(o.text), time.Now()})
	if o.changed != nil {
		close(o.changed)
		o.changed = nil
	}
	return len(b), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.text)
}

// next returns what there is and a channel that is closed when there is more.
func (o *output) next() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed == nil {
		o.changed = make(chan struct{})
	}
	return string(o.text), o.changed
}

// came tells when the output was as long as this.
func (o *output) came(length int) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	i, _ := slices.BinarySearchFunc(o.pieces, length, func(p piece, n int) int { return p.length - n })
	return o.pieces[i].at
}

// await waits for a line with all the words and returns it and when it came,
// which may be before the call.
func (p *process) await(t testing.TB, within time.Duration, words ...string) (string, time.Time) {
	t.Helper()
	late := time.NewTimer(within)
	defer late.Stop()
	for {
		text, more := p.stdout.next()
		length := 0
		for line := range strings.Lines(text) {
			length += len(line)
			if strings.HasSuffix(line, "\n") && containsAll(line, words) {
				return strings.TrimSuffix(line, "\n"), p.stdout.came(length)
			}
		}
		select {
		case <-more:
		case <-late.C:
			t.Fatalf("%s printed no line with %q within %v; it printed:\n%s", p.name, words, within, text)
		case <-p.exited:
			if now := p.stdout.String(); now == text {
				t.Fatalf("%s ended without a line with %q; it printed:\n%s", p.name, words, text)
			}
		}
	}
}

func containsAll(line string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(line, w) {
			return false
		}
	}
	return true
}
