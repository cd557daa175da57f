package rpc

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mbus-dev/mbus/bus"
)

// turnLimit is how long a change of the rotation may take: some round trips with
// the broker. It does not end with the caller, since half a drain loses calls.
const turnLimit = 5 * time.Second

// A rotation is whether the calls that go to any instance of the service come to
// this one. Debug.Drain takes it out and puts it back, Stop ends it.
type rotation struct {
	out  atomic.Bool   // taken out; Stop does not count
	turn chan struct{} // of capacity 1: held by who changes it

	mu        sync.Mutex
	listeners []*bus.Listener // of those calls; none while it is out
	over      bool            // nothing comes back
}

// enter waits for the turn to change the rotation; leave gives it back.
func (r *rotation) enter(ctx context.Context) error {
	select {
	case r.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *rotation) leave() { <-r.turn }

// swap puts other listeners in place of those that there are; false once the
// rotation has ended.
func (r *rotation) swap(listeners []*bus.Listener) (were []*bus.Listener, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return nil, false
	}
	were, r.listeners = r.listeners, listeners
	return were, true
}

// end ends the rotation, after a change that is under way, and returns the
// listeners that are left.
func (r *rotation) end(ctx context.Context) []*bus.Listener {
	if r.enter(ctx) == nil {
		defer r.leave()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	were := r.listeners
	r.listeners, r.over = nil, true
	return were
}

func (r *rotation) ended() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.over
}

// DrainRequest asks Debug.Drain.
type DrainRequest struct {
	// Drain is true to take the instance out of rotation, false to put it back.
	// It must be said.
	Drain *bool `json:"drain" jsonschema:"required"`
}

// Draining is the answer of Debug.Drain.
type Draining struct {
	// Draining is whether the instance is out of rotation.
	Draining bool `json:"draining"`
}

// drained answers Debug.Drain.
func (s *Server) drained(ctx context.Context, req *DrainRequest) (*Draining, error) {
	switch {
	case req.Drain == nil:
		return nil, bus.Errorf(bus.InvalidArgument, `the request says neither {"drain": true} nor {"drain": false}`)
	case s.cfg.Unannounced:
		return nil, bus.Errorf(bus.Unimplemented, "%s is announced by a registrar and not by itself; to take it out of rotation, deregister it", s.named())
	}
	select {
	case <-s.ready:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if err := s.rotation.enter(ctx); err != nil {
		return nil, err
	}
	defer s.rotation.leave()
	// s.life has no end, unlike the patience of who asks.
	changing, cancel := context.WithTimeout(s.life, turnLimit)
	defer cancel()
	from := RequestFrom(ctx).From
	if from == "" {
		from = "unknown"
	}
	if *req.Drain {
		return &Draining{Draining: true}, s.takeOut(changing, from)
	}
	return &Draining{}, s.putBack(changing, from)
}

// takeOut ends the listening to calls for any instance. When it returns nil, what
// the broker had sent here is at work, and no more comes. The caller has the turn.
func (s *Server) takeOut(ctx context.Context, from string) error {
	if s.rotation.out.Load() {
		return nil
	}
	listeners, ok := s.rotation.swap(nil)
	if !ok {
		return nil // Stop has taken it out
	}
	s.rotation.out.Store(true)
	s.log.Info().Str("from", from).Msg("taken out of rotation: calls go to other instances")
	return errors.Join(s.announcer.Drain(ctx, "drained"), drainAll(ctx, listeners))
}

// putBack listens to calls for any instance again. The caller has the turn.
func (s *Server) putBack(ctx context.Context, from string) error {
	if s.rotation.ended() {
		return s.goingAway()
	}
	if !s.rotation.out.Load() {
		return nil
	}
	listeners, err := s.listenForAll()
	if err == nil {
		err = s.conn.Confirm(ctx, listeners...)
	}
	if err != nil {
		return errors.Join(err, drainAll(ctx, listeners))
	}
	if _, ok := s.rotation.swap(listeners); !ok {
		return errors.Join(s.goingAway(), drainAll(ctx, listeners))
	}
	s.rotation.out.Store(false)
	s.log.Info().Str("from", from).Msg("back in rotation")
	return s.announcer.Resume(ctx)
}

func (s *Server) goingAway() error {
	return bus.Errorf(bus.Conflict, "%s is stopping and does not come back", s.named())
}

// elsewhere reports whether calls that may go to any instance should not come to
// this one.
func (s *Server) elsewhere() bool { return s.draining.Load() || s.rotation.out.Load() }

// drainAll ends listeners side by side, since each takes a round trip.
func drainAll(ctx context.Context, listeners []*bus.Listener) error {
	errs := make([]error, len(listeners))
	var wg sync.WaitGroup
	for i, l := range listeners {
		wg.Go(func() { errs[i] = l.Drain(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
