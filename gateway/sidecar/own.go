package sidecar

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
)

const (
	// ownTTL is how long the registration of the sidecar's own app outlives a
	// sidecar that is killed.
	ownTTL = 30 * time.Second
	// renewals of it happen so many times within that.
	renewals = 3
	// ownLimit bounds one registration, and complainEvery the log about those
	// that fail.
	ownLimit      = 3 * time.Second
	complainEvery = 5 * time.Second
)

// An own is the app of the configuration: the sidecar registers it when it
// answers, and takes it back when it does not.
type own struct {
	side    *Sidecar
	app     App
	service string
	node    string
	target  netip.AddrPort
	health  string
	log     zerolog.Logger

	mu         sync.Mutex // of one look, so that Stop does not meet one
	probe      probe
	registered bool
	renewAt    time.Time
	complained time.Time
}

// Check returns nil if a is an app that a sidecar can register, or none. The
// error is invalid_argument, in Micro's words where Micro had some.
func (a App) Check() error {
	_, _, err := a.parse()
	return err
}

func (a App) parse() (target netip.AddrPort, health string, err error) {
	switch {
	case a.Name == "" && a.Address == "":
		if a.HealthURL != "" {
			err = bus.Errorf(bus.InvalidArgument, "Require server name: a health check is for an app with a name and an address")
		}
		return target, "", err
	case a.Address == "":
		return target, "", bus.Errorf(bus.InvalidArgument, "Require server address")
	case a.Name == "":
		return target, "", bus.Errorf(bus.InvalidArgument, "Require server name")
	case a.TTL < 0:
		return target, "", bus.Errorf(bus.InvalidArgument, "a ttl of %v; give a positive one", a.TTL)
	}
	if err := wire.CheckService(a.Name); err != nil {
		return target, "", bus.Errorf(bus.InvalidArgument, "the server name: %w", err)
	}
	if target, err = parseTarget(a.Address); err == nil && a.HealthURL != "" {
		health, err = parseHealthURL(a.HealthURL, netip.AddrPort{})
	}
	return target, health, err
}

// newOwn reads the app of the configuration; nil without one.
func (s *Sidecar) newOwn(cfg App) (*own, error) {
	target, health, err := cfg.parse()
	if err != nil || !target.IsValid() {
		return nil, err
	}
	o := &own{side: s, app: cfg, service: cfg.Name, target: target, health: health}
	if o.app.TTL == 0 {
		o.app.TTL = ownTTL
	}
	o.node = cfg.Name + "-" + uuidOf(s.cfg.Host, cfg.Name, o.target.String())
	o.log = s.cfg.Logger.With().Str("service", o.service).Str("node", o.node).Logger()
	return o, nil
}

// uuidOf makes a UUID (version 8) of what an app is, so that the sidecar that
// follows one that was killed goes on with the same node.
func uuidOf(host, name, address string) string {
	b := sha256.Sum256([]byte(host + "\n" + name + "\n" + address))
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// definition is what is registered.
func (o *own) definition() discovery.Service {
	metadata := maps.Clone(o.app.Metadata)
	if metadata == nil {
		metadata = make(map[string]string)
	}
	if o.health != "" {
		metadata[metaHealth] = o.health
	}
	return discovery.Service{
		Name: o.service, Version: o.app.Version,
		Nodes: []discovery.Node{{ID: o.node, Address: o.target.Addr().String(), Port: int(o.target.Port()), Metadata: metadata}},
	}
}

// keep looks after the app until ctx ends.
func (o *own) keep(ctx context.Context) {
	timer := time.NewTimer(probeEvery)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			timer.Reset(o.look(ctx))
		case <-ctx.Done():
			return
		}
	}
}

// look sees how the app is, and has the registry say so.
func (o *own) look(ctx context.Context) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	over, why := o.probe.see(ctx, o.side, o.target, o.health)
	switch {
	case ctx.Err() != nil:
	case why == nil:
		o.enter(ctx)
	case !over && o.registered:
		return probeAgain
	case over && o.registered:
		o.log.Info().AnErr("why", why).Msg("the app is not well and was deregistered")
		o.leave(ctx)
	default:
		o.complain("the app is not well and is not registered", why)
	}
	return probeEvery
}

// enter registers the app if that is due, or if the registry has lost it.
func (o *own) enter(ctx context.Context) {
	if o.registered && time.Now().Before(o.renewAt) && o.known() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, ownLimit)
	defer cancel()
	if err := o.side.register(ctx, o.definition(), o.app.TTL); err != nil {
		o.complain("the app cannot be registered; it is tried again", err)
		return
	}
	if !o.registered {
		o.log.Info().Str("address", o.target.String()).Msg("the app is registered")
	}
	o.registered, o.renewAt = true, time.Now().Add(o.app.TTL/renewals)
}

func (o *own) known() bool {
	view := o.side.bus.View()
	if view == nil {
		return false
	}
	_, ok := view.Get(o.service, o.node)
	return ok
}

func (o *own) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, ownLimit)
	defer cancel()
	if err := o.side.deregister(ctx, o.definition()); err != nil {
		o.complain("the app cannot be deregistered; its registration ends by itself", err)
	}
	o.registered = false
}

func (o *own) complain(text string, err error) {
	if time.Since(o.complained) < complainEvery {
		return
	}
	o.complained = time.Now()
	o.log.Warn().Err(err).Msg(text)
}

// stop deregisters the app.
func (o *own) stop(ctx context.Context) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.registered {
		o.leave(ctx)
	}
}

// serveHealth answers GET /health: it asks the app of the configuration now.
// 200 and nothing else is well; else it is the app's own status.
func (s *Sidecar) serveHealth(w http.ResponseWriter, r *http.Request) {
	if s.own == nil {
		s.fail(w, r, bus.Errorf(bus.NotFound, "this sidecar was started without an app; the health of others is that of their service, Debug.Health"))
		return
	}
	if !allow(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	err := s.check(r.Context(), &placement{target: s.own.target, health: s.own.health})
	if err == nil {
		return
	}
	status := http.StatusInternalServerError
	if u, ok := errors.AsType[*unwell](err); ok && u.status >= 400 && u.status <= 599 {
		status = u.status
	}
	http.Error(w, bus.AsError(err).Message, status)
}
