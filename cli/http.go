package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/gateway"
)

// off as an address leaves a listener out.
const off = "off"

// A face is one of the HTTP listeners of a process: a room behind an edge.
type face struct {
	name    string // its key among the addresses: "api"
	service string // what it announces itself as
	flag    string
	address string // of the flag
	usual   string // the address without the flag
	cors    string // the value of corsFlag
	// corsFlag is named in messages.
	corsFlag string
	// pages are the paths that links of other sites may lead to; nil is "/".
	pages func(path string) bool
	// public are the paths that pages of other sites may load from; nil is none.
	public func(path string) bool
	// ownStats says that the room has a page at /stats itself.
	ownStats bool
	// hosts are names beside those of --allow-host.
	hosts []string
	// before runs before everything else of a process of its own; nil is nothing.
	before func(*bus.Conn) ([]bus.Runner, error)
	// check finds what is wrong with the room's options before there is a bus; nil
	// is nothing.
	check func() error
	// room may be a bus.Runner too, and then runs before the listener.
	room func(*gateway.Bus, *httpSetup) (http.Handler, error)

	server *gateway.Server
}

// faces are the listeners of a process, without those that are off.
type faces struct {
	on    []*face
	setup *httpSetup
}

// faces reads the flags of the listeners and finds what is wrong with them
// before anything is started.
func (s *session) faces(ctx context.Context, flags *httpFlags, ownBroker bool, all ...*face) (faces, error) {
	setup, err := flags.setup(s, ownBroker)
	if err != nil {
		return faces{}, err
	}
	fs := faces{setup: setup}
	for _, f := range all {
		f.address = cmp.Or(f.address, f.usual)
		if strings.EqualFold(f.address, off) {
			continue
		}
		if err := f.config(s, setup).Check(ctx); err != nil {
			return fs, nodeError(err)
		}
		if _, err := gateway.NewEdge(f.edge(s, setup)); err != nil {
			return fs, nodeError(err)
		}
		if f.check != nil {
			if err := f.check(); err != nil {
				if _, ours := errors.AsType[*usageError](err); !ours {
					err = usagef("%s", bus.AsError(err).Message)
				}
				return fs, err
			}
		}
		fs.on = append(fs.on, f)
	}
	return fs, nil
}

// runners are the bus side of the gateway and the listeners, which share it.
func (fs faces) runners(s *session, conn *bus.Conn) ([]bus.Runner, error) {
	if len(fs.on) == 0 {
		return nil, nil
	}
	b := gateway.NewBus(conn, gateway.BusConfig{
		From: fs.on[0].service, Selector: s.opts.selector(), Rules: fs.setup.rules, Logger: s.logger(),
	})
	runners := []bus.Runner{b}
	if fs.setup.tokens != nil {
		runners = append(runners, fs.setup.tokens)
	}
	for _, f := range fs.on {
		room, err := f.room(b, fs.setup)
		if err != nil {
			return nil, usagef("%s", bus.AsError(err).Message)
		}
		edge, err := gateway.NewEdge(f.edge(s, fs.setup))
		if err != nil {
			return nil, nodeError(err)
		}
		if r, ok := room.(bus.Runner); ok {
			runners = append(runners, r)
		}
		cfg := f.config(s, fs.setup)
		cfg.Handler = edge.Wrap(room)
		f.server = gateway.NewServer(b, cfg)
		runners = append(runners, f.server)
	}
	return runners, nil
}

func (f *face) config(s *session, set *httpSetup) gateway.ServerConfig {
	return gateway.ServerConfig{
		Service: f.service, Version: s.process.build().Version, Address: f.address, Flag: f.flag,
		TLS: set.tls, Authenticated: set.tokens != nil, InsecureAllowRemote: set.flags.InsecureAllowRemote,
		MaxConns: set.flags.MaxConnections, Proxies: set.proxies, Logger: s.logger(),
	}
}

func (f *face) edge(s *session, set *httpSetup) gateway.EdgeConfig {
	hosts := append(append(append([]string(nil), f.hosts...), set.flags.AllowHost...), set.flags.ACMEHosts...)
	if host, _, err := net.SplitHostPort(f.address); err == nil && host != "" {
		if _, err := netip.ParseAddr(host); err != nil {
			hosts = append(hosts, host) // the name that it listens at is its own
		}
	}
	return gateway.EdgeConfig{
		Name: f.service, Hosts: hosts, Origins: f.cors, OriginsFlag: f.corsFlag, Pages: f.pages, Public: f.public,
		Proxies: set.proxies, Tokens: set.tokens, Limits: set.limits, Stats: s.opts.EnableStats && !f.ownStats, Logger: s.logger(),
	}
}

// urls are where the listeners are, by name.
func (fs faces) urls() map[string]string {
	all := make(map[string]string, len(fs.on))
	for _, f := range fs.on {
		all[f.name] = f.server.URL()
	}
	return all
}

// alone runs one listener against a broker in another process.
func (s *session) alone(ctx context.Context, flags *httpFlags, addressesFile string, grace time.Duration, f *face) error {
	s.defaultLevel = zerolog.InfoLevel
	fs, err := s.faces(ctx, flags, false, f)
	if err != nil {
		return err
	}
	if len(fs.on) == 0 {
		return usagef("%s %s leaves nothing to run", f.flag, off)
	}
	cfg := s.busConfig()
	cfg.FailFast = false
	conn, err := bus.Connect(ctx, cfg)
	if err != nil {
		return stopped(ctx, err)
	}
	defer func() { s.disconnect(ctx, conn) }()
	var first []bus.Runner
	if f.before != nil {
		if first, err = f.before(conn); err != nil {
			return err
		}
	}
	runners, err := fs.runners(s, conn)
	if err != nil {
		return err
	}
	runners = append(first, runners...)
	where := &addresses{Bus: s.opts.busURL, Services: []string{f.service}}
	text := func() string {
		return strings.Join([]string{
			"mbus " + f.name + " is ready, ctrl-C stops it",
			fmt.Sprintf("  %-9s %s", f.name, f.server.URL()),
			"  bus       " + where.Bus,
		}, "\n")
	}
	runners = append(runners, ready{s, addressesFile, where, func() { where.add(fs) }, text})
	return nodeError(bus.Run(ctx, grace, runners...))
}
