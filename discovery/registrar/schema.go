package registrar

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery"
)

const (
	// maxSchemaBytes and maxSchemaCount bound the schemas that are kept; the
	// oldest is forgotten first.
	maxSchemaBytes = 32 << 20
	maxSchemaCount = 50_000
	// schemaLimit is how long an answer waits for the schemas of a service.
	schemaLimit = 500 * time.Millisecond
	// schemaTries is how many instances are asked for what is missing.
	schemaTries = 3
	// schemaAgain is how long one that nobody had is not asked for again.
	schemaAgain = 10 * time.Second
)

// schemas remembers the bodies of JSON Schemas by service and hash: one service
// cannot put a body under the hash of another.
type schemas struct {
	mu    sync.Mutex
	all   map[schemaKey]schema
	order []schemaKey
	bytes int
}

type schemaKey struct{ service, hash string }

type schema struct {
	body   json.RawMessage // nil if nobody had it
	lookAt time.Time       // when to ask again
}

func (s *schemas) init() { s.all = make(map[schemaKey]schema) }

// of returns what describes the messages of instances, which are of one
// service. What cannot be had is left out.
func (s *schemas) of(ctx context.Context, conn *bus.Conn, instances []discovery.Instance) map[string]json.RawMessage {
	ctx, cancel := context.WithTimeout(ctx, schemaLimit)
	defer cancel()
	out := make(map[string]json.RawMessage)
	tries := 0
	for _, i := range instances {
		missing := s.missing(i, out, time.Now())
		if len(missing) == 0 || tries == schemaTries || i.State == discovery.StateSuspect {
			continue
		}
		tries++
		got, err := discovery.Schemas(ctx, conn, i, missing...)
		if err != nil && ctx.Err() != nil {
			break
		}
		now := time.Now()
		for _, hash := range missing {
			body := got[hash]
			s.keep(schemaKey{i.Service, hash}, schema{body: body, lookAt: now.Add(schemaAgain)})
			if body != nil {
				out[hash] = body
			}
		}
	}
	return out
}

// missing puts what is known of the schemas of an instance into out and returns
// the hashes that must be asked for.
func (s *schemas) missing(i discovery.Instance, out map[string]json.RawMessage, now time.Time) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var hashes []string
	asked := make(map[string]bool)
	for _, e := range i.Endpoints {
		for _, hash := range []string{e.Request, e.Response} {
			if hash == "" || asked[hash] || out[hash] != nil {
				continue
			}
			asked[hash] = true
			known, ok := s.all[schemaKey{i.Service, hash}]
			switch {
			case ok && known.body != nil:
				out[hash] = known.body
			case !ok || now.After(known.lookAt):
				hashes = append(hashes, hash)
			}
		}
	}
	return hashes
}

func (s *schemas) keep(k schemaKey, n schema) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, known := s.all[k]
	if !known {
		s.order = append(s.order, k)
	}
	s.bytes += len(n.body) - len(old.body)
	s.all[k] = n
	for len(s.order) > maxSchemaCount || s.bytes > maxSchemaBytes {
		oldest := s.order[0]
		s.order = s.order[1:]
		s.bytes -= len(s.all[oldest].body)
		delete(s.all, oldest)
	}
}
