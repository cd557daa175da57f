package cli

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/gateway"
)

// httpFlags are what every command takes that listens for HTTP.
type httpFlags struct {
	AllowHost           []string `placeholder:"HOST" group:"HTTP" help:"Names besides this machine's own that requests may come for, a comma list or repeated; *.HOST stands for all names below it."`
	InsecureAllowRemote bool     `group:"HTTP" help:"Allow other machines to connect without TLS and authentication. Anyone who reaches the port may do anything."`
}

// off as an address leaves a listener out.
const off = "off"

// A face is one of the HTTP listeners of a process: a room behind an edge.
type face struct {
	name    string // its key among the addresses: "api"
	service string // what it announces itself as
	flag    string
	address string // of the flag
	usual   string // the address without the flag
	cors    string
	room    func(*gateway.Bus) (http.Handler, error)

	server *gateway.Server
}

// faces are the listeners of a process, without those that are off.
type faces []*face

func (s *session) faces(all ...*face) faces {
	var on faces
	for _, f := range all {
		f.address = cmp.Or(f.address, f.usual)
		if !strings.EqualFold(f.address, off) {
			on = append(on, f)
		}
	}
	return on
}

// check finds what is wrong with the listeners before anything is started.
func (fs faces) check(ctx context.Context, s *session, flags *httpFlags) error {
	for _, f := range fs {
		if err := f.config(s, flags).Check(ctx); err != nil {
			return nodeError(err)
		}
	}
	return nil
}

// runners are the bus side of the gateway and the listeners, which share it.
func (fs faces) runners(s *session, flags *httpFlags, conn *bus.Conn) ([]bus.Runner, error) {
	if len(fs) == 0 {
		return nil, nil
	}
	b := gateway.NewBus(conn, gateway.BusConfig{
		From: fs[0].service, Selector: s.opts.selector(), Logger: s.logger(),
	})
	runners := []bus.Runner{b}
	for _, f := range fs {
		room, err := f.room(b)
		if err != nil {
			return nil, err
		}
		cfg := f.config(s, flags)
		cfg.Handler = gateway.NewEdge(gateway.EdgeConfig{Name: f.service, Logger: s.logger()}).Wrap(room)
		f.server = gateway.NewServer(b, cfg)
		runners = append(runners, f.server)
	}
	return runners, nil
}

func (f *face) config(s *session, flags *httpFlags) gateway.ServerConfig {
	return gateway.ServerConfig{
		Service: f.service, Version: s.process.build().Version, Address: f.address, Flag: f.flag,
		InsecureAllowRemote: flags.InsecureAllowRemote, Logger: s.logger(),
	}
}

// urls are where the listeners are, by name.
func (fs faces) urls() map[string]string {
	all := make(map[string]string, len(fs))
	for _, f := range fs {
		all[f.name] = f.server.URL()
	}
	return all
}

// alone runs one listener against a broker in another process.
func (s *session) alone(ctx context.Context, flags *httpFlags, addressesFile string, grace time.Duration, f *face) error {
	s.defaultLevel = zerolog.InfoLevel
	fs := s.faces(f)
	if len(fs) == 0 {
		return usagef("%s %s leaves nothing to run", f.flag, off)
	}
	if err := fs.check(ctx, s, flags); err != nil {
		return err
	}
	cfg := s.busConfig()
	cfg.FailFast = false
	conn, err := bus.Connect(ctx, cfg)
	if err != nil {
		return stopped(ctx, err)
	}
	defer func() { s.disconnect(ctx, conn) }()
	runners, err := fs.runners(s, flags, conn)
	if err != nil {
		return err
	}
	where := &addresses{Bus: s.opts.busURL, Services: []string{f.service}}
	runners = append(runners, ready{s, addressesFile, where, func() {
		where.add(fs)
	}, func() string {
		return strings.Join([]string{
			"mbus " + f.name + " is ready, ctrl-C stops it",
			"  " + fmt.Sprintf("%-9s", f.name) + " " + f.server.URL(),
			"  bus       " + where.Bus,
		}, "\n")
	}})
	return nodeError(bus.Run(ctx, grace, runners...))
}
