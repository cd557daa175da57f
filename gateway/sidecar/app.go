package sidecar

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/rpc"
)

const (
	// stopLimit is how long the calls of an app that is gone may take to end.
	stopLimit = 10 * time.Second
	// spareCalls are admitted beyond what an app takes, so that its health and
	// statistics can be asked for when it is full.
	spareCalls = 16
	// maxTimeLimit bounds the time limit that an app may give a method.
	maxTimeLimit = 10 * time.Minute
)

// Metadata of a node, or of its service, that the sidecar obeys.
const (
	metaHost     = "host"        // the sidecar's host that serves it
	metaProtocol = "protocol"    // jsonrpc or http
	metaHealth   = "healthcheck" // URL of its health check
	metaTimeout  = "timeout"     // of an endpoint, in milliseconds
)

// A key names a node of a service.
type key struct{ service, id string }

// A placement is what the registry says of an app at some moment.
type placement struct {
	node   discovery.Instance
	target netip.AddrPort
	form   form
	health string // URL, or ""
	own    bool   // registered and watched by the configuration
}

// patient reports whether the app gets the time of two whole looks to come back:
// one with a time to live says by itself that it is there, and may just be
// starting anew.
func (p *placement) patient() bool { return p.node.TTL > 0 }

// An app is one node of a registered app, and what serves it on the bus. It has
// a goroutine, which alone touches what is not atomic.
type app struct {
	side    *Sidecar
	key     key
	log     zerolog.Logger
	update  chan discovery.Instance // holds the newest
	kick    chan struct{}           // somebody has found it unreachable
	cancel  context.CancelFunc
	over    atomic.Bool   // nothing of it is served any more
	slots   chan struct{} // one for each call at work
	waiting atomic.Int64
	seq     atomic.Uint64
	now     atomic.Pointer[placement] // where calls go; nil while there are none
	served  atomic.Pointer[placement] // all of it is done, subscriptions too

	server *rpc.Server
	probe  probe
	pushes pushes
}

// place reads what the registry says.
func (s *Sidecar) place(i discovery.Instance) (*placement, error) {
	target, err := targetOf(i.Address, i.Port)
	if err != nil {
		return nil, err
	}
	form, err := parseForm(cmp.Or(i.Metadata[metaProtocol], i.ServiceMetadata[metaProtocol]))
	if err != nil {
		return nil, err
	}
	p := &placement{node: i, target: target, form: form, own: s.own != nil && s.own.node == i.ID && s.own.service == i.Service}
	if url := i.Metadata[metaHealth]; url != "" {
		app := target
		if p.own {
			app = netip.AddrPort{} // who starts the sidecar may name another port
		}
		if p.health, err = parseHealthURL(url, app); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// run serves the app until ctx ends.
func (a *app) run(ctx context.Context) {
	timer := time.NewTimer(probeEvery)
	defer timer.Stop()
	defer a.end(ctx)
	for {
		select {
		case i := <-a.update:
			a.take(ctx, i)
		case <-timer.C:
			timer.Reset(a.look(ctx))
		case <-a.kick:
			if p := a.now.Load(); p != nil && !p.patient() {
				timer.Reset(a.look(ctx))
			}
		case <-ctx.Done():
			return
		}
	}
}

// take follows what the registry says.
func (a *app) take(ctx context.Context, i discovery.Instance) {
	p, err := a.side.place(i)
	if err != nil {
		a.log.Warn().Err(err).Msg("a registered app is not served")
		a.unserve(ctx)
		a.now.Store(nil)
		a.served.Store(nil)
		return
	}
	before := a.now.Swap(p)
	if a.server == nil || before == nil || !sameService(&before.node, &i) {
		a.unserve(ctx)
		a.serve(ctx, p)
	}
	a.pushes.settle(ctx, a, p)
	a.settled(p)
}

// settled tells those who wait that the app is served as p has it.
func (a *app) settled(p *placement) {
	if a.server != nil {
		a.served.Store(p)
		a.side.changed()
	}
}

// sameService reports whether what is served on the bus is the same for both;
// where the app is does not matter.
func sameService(a, b *discovery.Instance) bool {
	return a.Version == b.Version && slices.EqualFunc(a.Endpoints, b.Endpoints, func(x, y discovery.Endpoint) bool {
		return x.Name == y.Name && maps.Equal(x.Metadata, y.Metadata)
	})
}

// serve begins to take calls of the app.
func (a *app) serve(ctx context.Context, p *placement) {
	cfg := &a.side.cfg
	srv := rpc.NewServer(a.side.bus.Conn, rpc.ServerConfig{
		Name: a.key.service, Version: p.node.Version, ID: a.side.callID(&p.node), Unannounced: true,
		Concurrency: cfg.Concurrency + max(0, cfg.Queue) + spareCalls, MaxBody: cfg.MaxBody, Logger: cfg.Logger,
	})
	listed := false
	for _, e := range p.node.Endpoints {
		if e.Name == rpc.MethodHealth || e.Name == rpc.MethodStats || e.Name == rpc.MethodSchema || e.Name == rpc.MethodDrain {
			continue // they are asked of the sidecar, which knows more
		}
		listed = true
		srv.HandleRaw(e.Name, a.handle, limitOf(e)...)
	}
	if !listed {
		srv.HandleAny(a.handle)
	}
	rpc.Handle(srv, rpc.MethodHealth, a.health, rpc.Describe("Does the app answer?"), rpc.Idempotent())
	if err := srv.Start(ctx); err != nil {
		if ctx.Err() == nil {
			a.log.Warn().Err(err).Msg("an app cannot be served now; it is tried again")
		}
		return
	}
	a.server = srv
	a.log.Info().Str("address", p.target.String()).Str("protocol", string(p.form)).Msg("an app is served")
}

// limitOf is the time limit that an endpoint asks for.
func limitOf(e discovery.Endpoint) []rpc.HandleOption {
	ms, err := strconv.ParseInt(e.Metadata[metaTimeout], 10, 32)
	if err != nil || ms <= 0 {
		return nil
	}
	return []rpc.HandleOption{rpc.TimeLimit(min(time.Duration(ms)*time.Millisecond, maxTimeLimit))}
}

// unserve ends the serving and lets the calls at work end.
func (a *app) unserve(ctx context.Context) {
	if a.server == nil {
		return
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	stop := context.AfterFunc(a.side.hard, cancel)
	defer stop()
	if err := a.server.Stop(ending); err != nil && a.side.bus.Conn.Connected() {
		a.log.Warn().Err(err).Msg("calls of an app were cut off")
	}
	a.server = nil
}

func (a *app) end(ctx context.Context) {
	a.pushes.end(a.side.hard)
	a.unserve(ctx)
	a.over.Store(true)
	a.side.changed()
}

// handle passes a call on to the app.
func (a *app) handle(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
	if err := a.enter(ctx); err != nil {
		return nil, err
	}
	defer func() { <-a.slots }()
	p := a.now.Load()
	if p == nil {
		e := bus.Errorf(bus.Unavailable, "%s is no longer served here", a.key.service)
		e.Retry = bus.RetrySafe
		return nil, e
	}
	limit := a.side.cfg.MaxBody
	var res *rpc.Response
	var err error
	if p.form == formHTTP {
		res, err = callPlain(ctx, a.side.transport, p.target, req, limit)
	} else {
		res, err = callJSONRPC(ctx, a.side.transport, p.target, req, a.seq.Add(1), limit)
	}
	if err != nil && neverSent(err) {
		a.unreachable()
	}
	return res, err
}

// unreachable has the app looked at now.
func (a *app) unreachable() {
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// enter waits for the turn of a call.
func (a *app) enter(ctx context.Context) error {
	select {
	case a.slots <- struct{}{}:
		return nil
	default:
	}
	cfg := &a.side.cfg
	if n := a.waiting.Add(1); n > int64(max(0, cfg.Queue)) {
		a.waiting.Add(-1)
		e := bus.Errorf(bus.ResourceExhausted, "%s has %d calls at work and %d waiting, the most it takes", a.key.id, cfg.Concurrency, n-1)
		e.Retry = bus.RetrySafe
		return e
	}
	defer a.waiting.Add(-1)
	select {
	case a.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// health answers Debug.Health for the app.
func (a *app) health(ctx context.Context, _ *rpc.HealthRequest) (*rpc.Health, error) {
	p := a.now.Load()
	if p == nil {
		return nil, bus.Errorf(bus.Unavailable, "the app is no longer served here")
	}
	if err := a.side.check(ctx, p); err != nil {
		return nil, err
	}
	return &rpc.Health{Status: "ok"}, nil
}
