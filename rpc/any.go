package rpc

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/mbus-dev/mbus/bus/wire"
)

// maxCounted bounds the methods of HandleAny that have counters of their own.
// Calls of further ones are served and not counted: their names come from
// callers.
const maxCounted = 256

// anyMethod serves the methods that have no handler of their own.
type anyMethod struct {
	srv     *Server
	opts    handleOptions
	handler HandlerFunc

	mu      sync.Mutex
	methods map[string]*endpoint // those that have been called
}

// HandleAny registers a handler for every method that has none of its own: for
// servers that stand for something else and do not know its methods. Discovery
// does not show such methods; Debug.Stats counts the first 256 of them.
//
// The server then takes calls of all methods in the name of its service. Other
// instances must do so too: of those that serve the same service with a list of
// methods it would take away calls which only they can answer, and give them
// those which only it can.
func (s *Server) HandleAny(f HandlerFunc, opts ...HandleOption) {
	if f == nil {
		panic(fmt.Sprintf("rpc: %s: the handler of any method is nil", s.cfg.Name))
	}
	// Checked as that of one method is; the name serves the messages alone.
	e := &endpoint{srv: s, method: ">", opts: optionsOf(opts)}
	s.checkOptions(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != idle {
		panic(fmt.Sprintf("rpc: %s: HandleAny after the server has started; register every method before Start", s.cfg.Name))
	}
	if s.any != nil {
		panic(fmt.Sprintf("rpc: %s: HandleAny is called twice", s.cfg.Name))
	}
	s.any = &anyMethod{srv: s, opts: e.opts, handler: chain(f, s.cfg.Middleware), methods: make(map[string]*endpoint)}
}

// checkOptions panics if the options of an endpoint do not fit it.
func (s *Server) checkOptions(e *endpoint) {
	if err := checkNotes(e.opts.notes); err != nil {
		panic(fmt.Sprintf("rpc: %s.%s: %v", s.cfg.Name, e.method, err))
	}
	if e.opts.validate && e.request.Hash == "" {
		panic(fmt.Sprintf("rpc: %s.%s: a raw handler cannot validate: it has no request type", s.cfg.Name, e.method))
	}
}

// endpoint returns what serves a method, nil if nothing does.
func (s *Server) endpoint(method string) *endpoint {
	if e := s.endpoints[method]; e != nil {
		return e
	}
	if s.any == nil || wire.CheckMethod(method) != nil {
		return nil
	}
	return s.any.endpoint(method)
}

func (a *anyMethod) endpoint(method string) *endpoint {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e := a.methods[method]; e != nil {
		return e
	}
	e := &endpoint{srv: a.srv, method: method, opts: a.opts, handler: a.handler}
	if len(a.methods) < maxCounted {
		a.methods[method] = e
	}
	return e
}

// counted returns every endpoint that has counters: those that are registered,
// in their order, then those that HandleAny has served, by name.
func (s *Server) counted() []*endpoint {
	if s.any == nil {
		return s.order
	}
	s.any.mu.Lock()
	defer s.any.mu.Unlock()
	all := slices.Clone(s.order)
	for _, e := range s.any.methods {
		all = append(all, e)
	}
	slices.SortFunc(all[len(s.order):], func(a, b *endpoint) int { return strings.Compare(a.method, b.method) })
	return all
}
