package embedded

import (
	"fmt"
	"strings"
	"sync"

	"github.com/rs/zerolog"
)

// plaintextWarning is what nats-server says about every password that is not a
// bcrypt hash, such as the random ones of this process. The auth file is
// readable by its owner alone, so there is nothing to warn of.
const plaintextWarning = "Plaintext passwords detected"

// logger passes the log of nats-server on and remembers the failure that made
// it give up: it has no other way to tell.
type logger struct {
	log zerolog.Logger

	mu    sync.Mutex
	fatal string // the first
}

// Noticef logs what goes on when nothing is wrong.
func (l *logger) Noticef(format string, args ...any) { l.log.Debug().Msgf(format, args...) }

// Warnf logs a warning.
func (l *logger) Warnf(format string, args ...any) {
	if !strings.HasPrefix(format, plaintextWarning) {
		l.log.Warn().Msgf(format, args...)
	}
}

// Errorf logs an error.
func (l *logger) Errorf(format string, args ...any) { l.log.Error().Msgf(format, args...) }

// Fatalf keeps the message, which Start returns.
func (l *logger) Fatalf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.log.Debug().Msg(text)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fatal == "" {
		l.fatal = text
	}
}

// Debugf logs details.
func (l *logger) Debugf(format string, args ...any) { l.log.Trace().Msgf(format, args...) }

// Tracef logs protocol lines; it is never turned on.
func (l *logger) Tracef(format string, args ...any) { l.log.Trace().Msgf(format, args...) }

func (l *logger) failure() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}

// wantsDebug reports whether the debug lines of nats-server would be seen.
func (l *logger) wantsDebug() bool {
	return l.log.GetLevel() <= zerolog.TraceLevel && zerolog.GlobalLevel() <= zerolog.TraceLevel
}
