package middleware

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/mbus-dev/mbus/rpc"
)

// maxMethods bounds the methods that a piece of middleware keeps a state for.
const maxMethods = 1024

// A method is what most states belong to.
type method struct{ service, name string }

func methodOf(req *rpc.Request) method { return method{req.Service, req.Method} }

// states keeps one state for each key, and at its bound forgets the one that
// was not asked for longest. Who holds a forgotten state may go on using it.
type states[K comparable, V any] struct {
	fresh func() V

	mu  sync.Mutex
	lru *simplelru.LRU[K, V]
}

func newStates[K comparable, V any](bound int, fresh func() V) *states[K, V] {
	lru, err := simplelru.NewLRU[K, V](bound, nil)
	if err != nil {
		panic("middleware: " + err.Error())
	}
	return &states[K, V]{fresh: fresh, lru: lru}
}

// of returns the state of a key, a fresh one if there is none.
func (s *states[K, V]) of(key K) V {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.lru.Get(key)
	if !ok {
		v = s.fresh()
		s.lru.Add(key, v)
	}
	return v
}

// or returns v, or what the zero value and less stand for.
func or[T int | float64 | int64](v, zero T) T {
	if v <= 0 {
		return zero
	}
	return v
}
