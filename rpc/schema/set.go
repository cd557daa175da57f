package schema

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"sync"
)

// MaxSet is how many different schemas a Set holds, and MaxSetBytes how many bytes of them together. At either bound
// Add answers ErrFull and the Set stays as it is.
const (
	MaxSet      = 4096
	MaxSetBytes = 8 << 20
)

// ErrFull is what Set.Add answers at the bounds of a Set.
var ErrFull = errors.New("schema: the set is full: 4096 schemas or 8 MiB")

// Set holds the schemas of one server, each once, and gives their bodies by hash. The zero value is empty and ready.
// Its methods may be called by several goroutines at once; a Set must not be copied after the first use.
type Set struct {
	mu     sync.RWMutex
	bodies map[string]json.RawMessage
	types  map[reflect.Type]string // what Add knows already, at most MaxSet; other types are described each time
	bytes  int
}

// Add describes t (see Of) and returns the hash of its schema. Adding a type again costs a look-up.
func (s *Set) Add(t reflect.Type) (hash string, err error) {
	s.mu.RLock()
	hash, ok := s.types[t]
	s.mu.RUnlock()
	if ok {
		return hash, nil
	}
	sch, err := Of(t)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.bodies[sch.Hash]; !ok {
		if len(s.bodies) >= MaxSet || s.bytes+len(sch.Body) > MaxSetBytes {
			return "", ErrFull
		}
		if s.bodies == nil {
			s.bodies = map[string]json.RawMessage{}
			s.types = map[reflect.Type]string{}
		}
		s.bodies[sch.Hash] = sch.Body
		s.bytes += len(sch.Body)
	}
	if len(s.types) < MaxSet {
		s.types[t] = sch.Hash
	}
	return sch.Hash, nil
}

// Body returns the schema that hash names. It must not be modified.
func (s *Set) Body(hash string) (body json.RawMessage, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	body, ok = s.bodies[hash]
	return body, ok
}

// Hashes lists what the set holds, sorted.
func (s *Set) Hashes() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.bodies))
}
