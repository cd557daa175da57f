package sidecar

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery"
)

const (
	// probeEvery is how often an app is looked at, and probeAgain how soon once
	// more when it was not there: it may just be starting anew.
	probeEvery = 2 * time.Second
	probeAgain = 500 * time.Millisecond
	// misses in a row are the end of an app.
	maxMisses = 2
	// healthEvery is how often a health check URL is asked, as Micro did, and
	// healthLimit how long it may take to answer.
	healthEvery = 30 * time.Second
	healthLimit = 5 * time.Second
	// maxHealthText bounds what is read of such an answer.
	maxHealthText = 4 << 10
)

// A probe is what is known of an app's health.
type probe struct {
	misses int
	asked  time.Time // when the health check was last asked
}

// knock opens a connection to an app and closes it.
func (s *Sidecar) knock(ctx context.Context, target netip.AddrPort) error {
	conn, err := s.transport.DialContext(ctx, "tcp", target.String())
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return bus.Errorf(bus.Unavailable, "the app does not answer: %w", err)
	}
	_ = conn.Close() // it has served its purpose
	return nil
}

// An unwell is a health check that an app has failed.
type unwell struct {
	status int // 0 if there is none
	text   string
}

func (u *unwell) Error() string { return u.text }

// ask asks a health check URL: exactly 200 is well.
func (s *Sidecar) ask(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, healthLimit)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	r.Header.Set("User-Agent", "mbus-sidecar")
	res, err := s.transport.RoundTrip(r)
	if err != nil {
		return &unwell{text: "the health check fails: " + err.Error()}
	}
	defer func() { _ = res.Body.Close() }() // what is left is not wanted
	text, _ := io.ReadAll(io.LimitReader(res.Body, maxHealthText))
	if res.StatusCode == http.StatusOK {
		return nil
	}
	return &unwell{res.StatusCode, strings.TrimSpace("the health check answers " + res.Status + " " + string(text))}
}

// check asks an app how it is now, by its health check if it has one.
func (s *Sidecar) check(ctx context.Context, p *placement) error {
	if p.health == "" {
		return s.knock(ctx, p.target)
	}
	if err := s.ask(ctx, p.health); err != nil {
		return bus.Errorf(bus.Unavailable, "%w", err)
	}
	return nil
}

// look sees whether the app is there, takes it out of the registry if it is not,
// and returns when to look again.
//
// The app of the configuration has somebody else who looks after it.
func (a *app) look(ctx context.Context) time.Duration {
	p := a.now.Load()
	if p == nil {
		return probeEvery
	}
	if a.server == nil {
		a.serve(ctx, p) // the broker would not have it before
		a.settled(p)
	}
	if p.own {
		return probeEvery
	}
	over, why := a.probe.see(ctx, a.side, p.target, p.health)
	switch {
	case why == nil, ctx.Err() != nil, !over && p.patient():
		return probeEvery
	case !over:
		return probeAgain
	}
	a.strike(ctx, p, why)
	return probeEvery
}

// see looks at an app once. It returns what is wrong, and whether that is enough
// to call it dead.
func (b *probe) see(ctx context.Context, s *Sidecar, target netip.AddrPort, health string) (over bool, why error) {
	if why = s.knock(ctx, target); why != nil {
		b.misses++
		return b.misses >= maxMisses, why
	}
	b.misses = 0
	if health == "" || time.Since(b.asked) < healthEvery {
		return false, nil
	}
	if why = s.ask(ctx, health); why != nil {
		b.asked = time.Time{} // the next look asks again
		return true, why
	}
	b.asked = time.Now()
	return false, nil
}

// strike takes a dead app out of the registry, unless it has been registered
// anew meanwhile.
func (a *app) strike(ctx context.Context, p *placement, why error) {
	view := a.side.bus.View()
	if i, ok := view.Get(a.key.service, a.key.id); !ok || i.Rev != p.node.Rev {
		return
	}
	// The end of the serving, which this brings about, is not that of the request.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ownLimit)
	defer cancel()
	err := discovery.Deregister(ctx, a.side.bus.Conn, discovery.Service{Name: a.key.service, Nodes: []discovery.Node{{ID: a.key.id}}})
	if err != nil {
		a.log.Warn().Err(err).Msg("a dead app cannot be taken out of the registry; it is tried again")
		return
	}
	a.log.Info().AnErr("why", why).Msg("an app is gone and was deregistered")
}
