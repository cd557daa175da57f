package live

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/gateway"
)

// A talk is one conversation that a Server has admitted.
type talk struct {
	s *Server
	w http.ResponseWriter
	r *http.Request
	// ctx ends with the talk: calls of the bus are made with it.
	ctx context.Context
	// told ends with ctx, and before it when the server stops or the caller's
	// token expires: then its cause is a *bus.Error.
	told context.Context

	cancel context.CancelFunc
	untell func()
}

// begin admits a conversation, or answers that there are too many.
func (s *Server) begin(w http.ResponseWriter, r *http.Request) (*talk, bool) {
	if err := s.admit(); err != nil {
		s.refuse(w, r, err)
		return nil, false
	}
	t := &talk{s: s, w: w, r: r}
	t.ctx, t.cancel = context.WithCancel(r.Context())
	listening, end := gateway.Stream(w, r)
	told, tell := context.WithCancelCause(listening)
	stop := context.AfterFunc(s.told, func() { tell(context.Cause(s.told)) })
	free := context.AfterFunc(s.severed, t.cancel)
	t.told, t.untell = told, func() { stop(); free(); tell(nil); end() }
	return t, true
}

// end must be called when the conversation is over, and its goroutines too.
func (t *talk) end() {
	t.untell()
	t.cancel()
	t.s.release()
}

// parting is why told has ended: errGone, errShutdown, or what became of the
// caller's rights.
func (t *talk) parting() error {
	e, ok := errors.AsType[*bus.Error](context.Cause(t.told))
	switch {
	case !ok:
		return errGone
	case e.Code == bus.Unavailable:
		return errShutdown
	}
	return e
}

func (t *talk) refuse(err error) { t.s.refuse(t.w, t.r, err) }

func (t *talk) failure(err error) gateway.Failure {
	return gateway.FailureOf(t.r, t.s.cfg.From, err)
}

func (s *Server) admit() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return goingAway()
	}
	if s.count >= s.cfg.MaxStreams {
		e := bus.Errorf(bus.ResourceExhausted, "%d streams are open here, which is the most; try again later", s.count)
		e.End, e.Status, e.Retry = bus.Refused, bus.Unavailable.Status(), bus.RetryAfter(time.Second)
		return e
	}
	s.count++
	s.talks.Add(1)
	return nil
}

func (s *Server) release() {
	s.mu.Lock()
	s.count--
	s.mu.Unlock()
	s.talks.Done()
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	gateway.WriteError(w, r, s.cfg.From, err)
}

// orGoing is the error that tells of err.
func orGoing(err error) error {
	if errors.Is(err, errShutdown) {
		return goingAway()
	}
	return err
}

// wrong is an error of the client with a status that has no code of its own.
func wrong(status int, format string, args ...any) *bus.Error {
	e := bus.Errorf(bus.InvalidArgument, format, args...)
	e.Status = status
	return e
}
