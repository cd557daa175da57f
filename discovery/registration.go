package discovery

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
)

const (
	// registrationTTL is how long an entry outlives an app that died.
	registrationTTL = 30 * time.Second
	// renewals is how often an entry is renewed in its life: two in a row may be
	// lost.
	renewals = 3
	// registrationRetry is the wait after a renewal that failed.
	registrationRetry = 500 * time.Millisecond
)

// RegistrationConfig configures a Registration.
type RegistrationConfig struct {
	// Service is what is registered; see Register.
	Service Service
	// TTL is how long the entry stays when it is not renewed any more. 0 means
	// 30 seconds.
	TTL time.Duration
	// Logger is told when the registration is lost, once, and when it is back.
	// The zero value is silent.
	Logger zerolog.Logger
}

// A Registration keeps an app registered that is not on the bus, such as a web
// server: it renews the entry three times in its life, waits for a registrar
// that is away, and takes the entry back at the end. It is a bus.Runner with
// one goroutine.
type Registration struct {
	conn *bus.Conn
	cfg  RegistrationConfig

	mu      sync.Mutex
	started bool
	cancel  context.CancelFunc
	done    chan struct{}
}

// NewRegistration returns a Registration that says nothing before Start.
func NewRegistration(conn *bus.Conn, cfg RegistrationConfig) *Registration {
	if cfg.TTL == 0 {
		cfg.TTL = registrationTTL
	}
	return &Registration{conn: conn, cfg: cfg, done: make(chan struct{})}
}

// Start registers the app. Without a registrar it returns all the same and
// registers as soon as there is one; an entry that breaks the rules, and a
// missing right, are errors.
func (r *Registration) Start(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.started {
		return bus.Errorf(bus.Conflict, "the registration of %s was started before; it runs once", r.cfg.Service.Name)
	}
	if r.cfg.TTL < 0 {
		return bus.Errorf(bus.InvalidArgument, "register %s: a ttl of %v; give a positive one", r.cfg.Service.Name, r.cfg.TTL)
	}
	err := Register(ctx, r.conn, r.cfg.Service, r.cfg.TTL)
	if err != nil && (!errors.Is(err, bus.Unavailable) || ctx.Err() != nil) {
		return err
	}
	r.started = true
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r.cancel = cancel
	go r.run(running, err)
	return nil
}

// run renews the entry until ctx ends.
func (r *Registration) run(ctx context.Context, failure error) {
	defer close(r.done)
	var lost bool
	for {
		wait := r.cfg.TTL / renewals
		switch {
		case failure != nil && !lost:
			lost = true
			r.cfg.Logger.Warn().Err(failure).Str("service", r.cfg.Service.Name).Msg("not registered; trying on")
		case failure == nil && lost:
			lost = false
			r.cfg.Logger.Info().Str("service", r.cfg.Service.Name).Msg("registered")
		}
		if failure != nil {
			wait = min(wait, registrationRetry)
		}
		if !sleep(ctx, wait-time.Duration(rand.Int64N(int64(wait)/4+1))) {
			return
		}
		if failure = Register(ctx, r.conn, r.cfg.Service, r.cfg.TTL); ctx.Err() != nil {
			return
		}
	}
}

// Stop takes the entry back. Where no registrar is there to be told, nothing is
// left to take back, and the entry ends with its time.
func (r *Registration) Stop(ctx context.Context) error {
	r.mu.Lock()
	cancel := r.cancel
	r.cancel = nil
	r.mu.Unlock()
	if cancel == nil {
		return nil
	}
	cancel()
	<-r.done
	if err := Deregister(ctx, r.conn, r.cfg.Service); err != nil && !errors.Is(err, bus.Unavailable) {
		return err
	}
	return nil
}

// sleep waits for d; false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
