package cli

import (
	"fmt"
	"sync"
	"time"
)

// A progress is a line on the terminal that says what is being waited for,
// once that has taken longer than a second.
type progress struct {
	stop chan struct{}
	done sync.WaitGroup
}

// begin shows label with the seconds gone by, from the first second on, until
// endProgress. Without a terminal to show it on it does nothing.
func (s *session) begin(label string) {
	if !s.watched {
		return
	}
	p := &progress{stop: make(chan struct{})}
	s.endProgress()
	s.mu.Lock()
	s.progress = p
	s.mu.Unlock()
	p.done.Go(func() { s.tick(p, label) })
}

func (s *session) tick(p *progress, label string) {
	start := time.Now()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-p.stop:
			if time.Since(start) > time.Second {
				_, _ = fmt.Fprint(s.stderr, "\r\x1b[K")
			}
			return
		case now := <-ticker.C:
			_, _ = fmt.Fprintf(s.stderr, "\r\x1b[K%s … %d s", escapeControl(label), int(now.Sub(start).Seconds()))
		}
	}
}

// endProgress removes the line. It is called before anything else is printed.
func (s *session) endProgress() {
	s.mu.Lock()
	p := s.progress
	s.progress = nil
	s.mu.Unlock()
	if p != nil {
		close(p.stop)
		p.done.Wait()
	}
}
