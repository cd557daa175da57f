package gateway

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/rpc/schema"
)

const (
	// maxKeptSchemas and maxKeptSchemaBytes bound the schemas that a Schemas
	// keeps; the least used go first.
	maxKeptSchemas     = 16_384
	maxKeptSchemaBytes = 64 << 20
	// schemaForgotten is how long a schema that nobody had is not asked for.
	schemaForgotten = 30 * time.Second
	// schemaAskers is how many instances of a service are asked for schemas.
	schemaAskers = 3
	// schemaPatience bounds the question to one instance.
	schemaPatience = 2 * time.Second
)

// Schemas finds the JSON Schemas of requests and answers by the hashes in
// announcements, and keeps up to 16,384 of them in 64 MiB. A body counts only if
// it has its hash, so that no service can describe the messages of another. Its
// methods may be called from any goroutine.
type Schemas struct {
	bus *Bus

	mu    sync.Mutex
	kept  *simplelru.LRU[string, keptSchema]
	bytes int
}

type keptSchema struct {
	body json.RawMessage // nil: nobody had it at that time
	at   time.Time
}

// NewSchemas returns a Schemas that knows none yet.
func NewSchemas(b *Bus) *Schemas {
	s := &Schemas{bus: b}
	kept, err := simplelru.NewLRU(maxKeptSchemas, func(_ string, k keptSchema) { s.bytes -= len(k.body) })
	if err != nil {
		panic(err) // only a size that is not positive
	}
	s.kept = kept
	return s
}

// Get returns the schemas with the given hashes, asking instances of the service
// for those that are not known. What nobody has is missing.
func (s *Schemas) Get(ctx context.Context, service string, hashes ...string) map[string]json.RawMessage {
	found := make(map[string]json.RawMessage, len(hashes))
	asking := s.lookUp(hashes, found)
	view := s.bus.View()
	if len(asking) == 0 || view == nil {
		return found
	}
	asked := 0
	for _, i := range view.Instances(service) {
		if asked == schemaAskers || len(asking) == 0 || ctx.Err() != nil {
			break
		}
		if i.Foreign || i.Registered() {
			continue
		}
		asked++
		asking = s.ask(ctx, i, asking, found)
	}
	if asked > 0 && ctx.Err() == nil {
		for _, hash := range asking {
			s.keep(hash, nil)
		}
	}
	return found
}

// lookUp fills found with what is known and returns the hashes to ask for.
func (s *Schemas) lookUp(hashes []string, found map[string]json.RawMessage) (asking []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, hash := range hashes {
		if hash == "" {
			continue
		}
		k, ok := s.kept.Get(hash)
		switch {
		case !ok || k.body == nil && time.Since(k.at) > schemaForgotten:
			asking = append(asking, hash)
		case k.body != nil:
			found[hash] = k.body
		}
	}
	return asking
}

// ask asks one instance and returns the hashes that it did not have.
func (s *Schemas) ask(ctx context.Context, i discovery.Instance, hashes []string, found map[string]json.RawMessage) (left []string) {
	ctx, cancel := context.WithTimeout(ctx, schemaPatience)
	defer cancel()
	// What came before an error counts.
	bodies, _ := discovery.Schemas(ctx, s.bus.Conn, i, hashes...)
	for _, hash := range hashes {
		body, ok := bodies[hash]
		if !ok || schema.Verify(hash, body) != nil {
			left = append(left, hash)
			continue
		}
		found[hash] = body
		s.keep(hash, body)
	}
	return left
}

func (s *Schemas) keep(hash string, body json.RawMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.kept.Peek(hash); ok {
		s.bytes -= len(old.body)
	}
	s.kept.Add(hash, keptSchema{body: body, at: time.Now()})
	s.bytes += len(body)
	for s.bytes > maxKeptSchemaBytes {
		s.kept.RemoveOldest()
	}
}
