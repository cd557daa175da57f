package api

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway"
)

const (
	// maxShapes and maxParts bound what is kept of the types of methods; the
	// oldest go first.
	maxShapes = 10_000
	maxParts  = 200_000
	// bytesOfPart is how many bytes of a schema count as one part.
	bytesOfPart = 8
	// askLimit bounds the question for a schema.
	askLimit = 2 * time.Second
	// forgetAfter is how long a schema that its service does not have is not
	// asked for again.
	forgetAfter = 30 * time.Second
)

// shapes knows what the methods of services take and give, by the hashes in
// their announcements. A hash counts for its own service only: another cannot
// lie about it.
type shapes struct {
	bus    *gateway.Bus
	asking singleflight.Group

	mu    sync.Mutex
	known map[shapeKey]shape
	order []shapeKey // as they came
	parts int
}

type shapeKey struct{ service, hash string }

type shape struct {
	value *discovery.Value // nil: the service does not have it
	part  discovery.Part   // the same, to any depth
	parts int
	at    time.Time
}

func newShapes(b *gateway.Bus) *shapes {
	return &shapes{bus: b, known: make(map[shapeKey]shape)}
}

// request returns what a method takes, nil if that is not described. The error is
// that of a service that does not answer.
func (s *shapes) request(ctx context.Context, t *target) (*discovery.Value, error) {
	known, err := s.get(ctx, t, t.endpoint.RequestValue, t.endpoint.Request)
	return known.value, err
}

// typing returns what the fields of a method take, as request does.
func (s *shapes) typing(ctx context.Context, t *target) (typing, error) {
	if said := t.endpoint.RequestValue; said != nil {
		return typing{value: said}, nil
	}
	known, err := s.get(ctx, t, nil, t.endpoint.Request)
	return typing{part: known.part}, err
}

// answer returns what a method gives, as request does.
func (s *shapes) answer(ctx context.Context, t *target) (*discovery.Value, error) {
	known, err := s.get(ctx, t, t.endpoint.ResponseValue, t.endpoint.Response)
	return known.value, err
}

func (s *shapes) get(ctx context.Context, t *target, said *discovery.Value, hash string) (shape, error) {
	if said != nil || hash == "" {
		return shape{value: said}, nil
	}
	key := shapeKey{t.service, hash}
	if known, ok := s.find(key); ok {
		return known, nil
	}
	// Others wait for the same answer: the one who asks may leave.
	found, err, _ := s.asking.Do(key.service+" "+key.hash, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askLimit)
		defer cancel()
		return s.ask(ctx, t, key)
	})
	known, _ := found.(shape)
	return known, err
}

func (s *shapes) find(key shapeKey) (shape, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.known[key]
	return known, ok && (known.value != nil || time.Since(known.at) < forgetAfter)
}

// ask asks one of the instances that have the method for a schema.
func (s *shapes) ask(ctx context.Context, t *target, key shapeKey) (shape, error) {
	bodies, err := discovery.Schemas(ctx, s.bus.Conn, *t.instance, key.hash)
	if err != nil && bus.AsError(err).End != bus.Handler {
		return shape{}, err
	}
	one := shape{parts: 1, at: time.Now()}
	if body, ok := bodies[key.hash]; ok {
		v := discovery.ValueOf(body)
		one.value, one.part = &v, discovery.PartOf(body)
		one.parts += partsOf(&v) + len(body)/bytesOfPart
	}
	s.put(key, one)
	return one, nil
}

func (s *shapes) put(key shapeKey, one shape) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.known[key]; ok {
		s.parts -= old.parts
	} else {
		s.order = append(s.order, key)
	}
	s.known[key] = one
	s.parts += one.parts
	for len(s.order) > 1 && (len(s.order) > maxShapes || s.parts > maxParts) {
		s.parts -= s.known[s.order[0]].parts
		delete(s.known, s.order[0])
		s.order = s.order[1:]
	}
}

func partsOf(v *discovery.Value) int {
	if v == nil {
		return 0
	}
	n := 1
	for i := range v.Values {
		n += partsOf(&v.Values[i])
	}
	return n
}
