package registrar

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
)

// The methods that every service answers; the registrar does so plainly, in
// JSON.
const (
	methodHealth = "Debug.Health"
	methodStats  = "Debug.Stats"
	methodSchema = "Debug.Schema"
)

func endpoints() []discovery.Endpoint {
	var all []discovery.Endpoint
	for _, method := range []string{methodHealth, methodStats, methodSchema} {
		all = append(all, discovery.Endpoint{Name: method})
	}
	return all
}

// listenDebug subscribes to the calls of the registrar as a service: those of
// any instance, and those of this one.
func (r *Registrar) listenDebug() error {
	for method, do := range map[string]func(context.Context, *nats.Msg) (any, error){
		methodHealth: r.health, methodStats: r.stats, methodSchema: r.noSchemas,
	} {
		f := func(m *nats.Msg) {
			if wire.IsFrame(m.Data) && r.allowed(m) {
				// A caller that has not learned yet that this service lists no
				// msgpack.
				e := bus.Errorf(bus.Unimplemented, "%s is called plainly, not by frames", Service)
				r.say(m.Reply, e.AppendFrame(nil, frameSeq(m.Data)))
				return
			}
			r.enqueue(r.reads, request{m, do})
		}
		for subject, queue := range map[string]string{
			wire.CallSubject(Service, method):           wire.Queue,
			wire.NodeSubject(Service, r.cfg.ID, method): "",
		} {
			l, err := r.conn.Listen(bus.Control, subject, queue, f)
			if err != nil {
				return err
			}
			r.front = append(r.front, l)
		}
	}
	return nil
}

// frameSeq is the number that an answer to a frame must carry, 0 if there is
// none to read.
func frameSeq(data []byte) uint64 {
	f, err := wire.ParseFrame(data)
	if err != nil {
		return 0
	}
	return f.Seq
}

func (r *Registrar) health(context.Context, *nats.Msg) (any, error) {
	return map[string]string{"status": "ok"}, nil
}

// stats answers what every service's Debug.Stats does, of the process and of
// the registrar.
func (r *Registrar) stats(context.Context, *nats.Msg) (any, error) {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(samples)
	var gc debug.GCStats
	debug.ReadGCStats(&gc)
	var memory uint64
	if samples[0].Value.Kind() == metrics.KindUint64 {
		memory = samples[0].Value.Uint64()
	}
	return map[string]any{
		"started": r.began.Unix(), "uptime": int64(time.Since(r.began) / time.Second),
		"memory": memory, "threads": runtime.NumGoroutine(), "gc": gc.PauseTotal,
		"in_flight": len(r.reads) + len(r.writes), "refused": r.counts.refused.Load(), "dropped": r.counts.dropped.Load(),
		"endpoints": []any{}, "registrar": r.Stats(),
	}, nil
}

// noSchemas answers Debug.Schema: the registrar's methods describe no types.
func (r *Registrar) noSchemas(context.Context, *nats.Msg) (any, error) {
	return map[string]any{"schemas": map[string]any{}}, nil
}
