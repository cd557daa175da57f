package rpc

import (
	"context"
	"encoding/json"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/mbus-dev/mbus/bus"
)

// The methods that every server answers by itself. A service that registers one
// of these names has its own instead.
const (
	MethodHealth = "Debug.Health"
	MethodStats  = "Debug.Stats"
	MethodSchema = "Debug.Schema"
	MethodDrain  = "Debug.Drain"
)

// HealthRequest asks Debug.Health.
type HealthRequest struct{}

// Health is the answer of Debug.Health.
type Health struct {
	// Status is "ok", or "draining" once Stop has begun and while the instance is
	// out of rotation.
	Status string `json:"status"`
}

// StatsRequest asks Debug.Stats.
type StatsRequest struct{}

// Stats is the answer of Debug.Stats: of the process, and of the instance.
type Stats struct {
	// Started is when the instance started, in Unix seconds; Uptime is the time
	// since, in seconds.
	Started int64 `json:"started"`
	Uptime  int64 `json:"uptime"`
	// Memory is the bytes of live and not yet collected objects on the heap.
	Memory uint64 `json:"memory"`
	// Threads is the number of goroutines.
	Threads uint64 `json:"threads"`
	// GC is the time that the garbage collector has stopped the process, in
	// nanoseconds.
	GC uint64 `json:"gc"`
	// InFlight is the number of calls at work and of streams open, this call
	// among them.
	InFlight int64 `json:"in_flight"`
	// Refused counts the calls turned away because too many were at work,
	// Dropped those that could not be answered because their reply subject was
	// missing or not a caller's inbox.
	Refused   uint64          `json:"refused"`
	Dropped   uint64          `json:"dropped"`
	Endpoints []EndpointStats `json:"endpoints"`
}

// SchemaRequest asks Debug.Schema for the JSON Schemas with these hashes; none
// means all. Hashes that together are too much for one answer are too_large: ask
// for fewer at a time.
type SchemaRequest struct {
	Hashes []string `json:"hashes,omitempty"`
}

// Schemas is the answer of Debug.Schema. Hashes that the instance does not know
// are missing.
type Schemas struct {
	Schemas map[string]json.RawMessage `json:"schemas"`
	// More lists what did not fit when all were asked for: ask again for these.
	More []string `json:"more,omitempty"`
}

// addDebug registers the server's own methods, unless the service has them.
func (s *Server) addDebug() {
	addOwn(s, MethodHealth, s.health, Describe("Is the instance well?"), Idempotent())
	addOwn(s, MethodStats, s.stats, Describe("Counters of the instance and its process."), Idempotent())
	addOwn(s, MethodSchema, s.schemas, Describe("JSON Schemas by hash."), Idempotent())
	addOwn(s, MethodDrain, s.drained, Describe("Takes the instance out of rotation, or puts it back."), Idempotent(), Strict(), single())
}

func addOwn[Req, Res any](s *Server, method string, f func(context.Context, *Req) (*Res, error), opts ...HandleOption) {
	s.mu.Lock()
	taken := s.endpoints[method] != nil || s.state != idle
	s.mu.Unlock()
	if taken {
		return
	}
	Handle(s, method, f, append(opts, exempt())...)
}

func exempt() HandleOption { return func(o *handleOptions) { o.exempt = true } }

// single refuses calls that leave the choice of the instance to the bus.
func single() HandleOption { return func(o *handleOptions) { o.single = true } }

func (e *endpoint) chooseOne() *bus.Error {
	return e.failed(bus.Errorf(bus.InvalidArgument, "%s is for one instance, and the call names none: choose it, on the command line with mbus query --node ID", e.method))
}

func (s *Server) health(context.Context, *HealthRequest) (*Health, error) {
	if s.elsewhere() {
		return &Health{Status: "draining"}, nil
	}
	return &Health{Status: "ok"}, nil
}

func (s *Server) stats(context.Context, *StatsRequest) (*Stats, error) {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(samples)
	var gc debug.GCStats
	debug.ReadGCStats(&gc)
	st := &Stats{
		Started: s.began.Unix(), Uptime: int64(time.Since(s.began) / time.Second),
		Threads: uint64(runtime.NumGoroutine()), GC: uint64(gc.PauseTotal),
		InFlight: s.busy(), Dropped: s.dropped.Load(),
	}
	if samples[0].Value.Kind() == metrics.KindUint64 {
		st.Memory = samples[0].Value.Uint64()
	}
	for _, e := range s.counted() {
		n := e.counter.read(e.method)
		st.Refused += n.Refused
		st.Endpoints = append(st.Endpoints, n)
	}
	return st, nil
}

func (s *Server) schemas(_ context.Context, req *SchemaRequest) (*Schemas, error) {
	known := make(map[string]json.RawMessage)
	var all []string
	for _, e := range s.order {
		for _, d := range []struct {
			hash string
			body json.RawMessage
		}{{e.request.Hash, e.request.Body}, {e.answer.Hash, e.answer.Body}} {
			if d.hash != "" && known[d.hash] == nil && !e.opts.internal {
				known[d.hash] = d.body
				all = append(all, d.hash)
			}
		}
	}
	wanted := req.Hashes
	if len(wanted) == 0 {
		wanted = all
	}
	limit := s.conn.MaxPayload() * 3 / 4
	answer := &Schemas{Schemas: make(map[string]json.RawMessage)}
	size := 0
	for _, hash := range wanted {
		body, ok := known[hash]
		if !ok || answer.Schemas[hash] != nil {
			continue
		}
		if size += len(body) + len(hash) + len(`"":,`); size <= limit {
			answer.Schemas[hash] = body
			continue
		}
		if len(req.Hashes) > 0 || len(answer.Schemas) == 0 {
			return nil, bus.Errorf(bus.TooLarge, "these schemas are more than the %d bytes of one answer; ask for fewer at a time", limit)
		}
		answer.More = append(answer.More, hash)
	}
	return answer, nil
}
