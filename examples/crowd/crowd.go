// Package crowd is many services at once, which call each other: what a
// dashboard, a registry or a broker has to do with when a bus is big. The same
// seed makes the same services, versions, methods, latencies, faults and
// callers.
package crowd

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/rpc"
)

// Config says how big the crowd is, and how busy. The zero value works.
type Config struct {
	// Services is how many there are. 0 means 100.
	Services int
	// Seed makes one crowd differ from another.
	Seed uint64
	// Rate is how many calls a second they make among themselves, all together.
	// 0 means 100, negative none.
	Rate float64
	// Logger is that of the services. The zero value is silent.
	Logger zerolog.Logger
}

// maxInFlight bounds the calls that are under way: while there are as many, the
// crowd calls nobody.
const maxInFlight = 256

type (
	// A Request is what every method of the crowd takes.
	Request struct {
		ID    string   `json:"id"`
		Limit int      `json:"limit,omitzero" jsonschema:"minimum=0,maximum=1000"`
		Tags  []string `json:"tags,omitempty"`
	}
	// A Response is what every method of the crowd answers.
	Response struct {
		ID    string `json:"id"`
		Found bool   `json:"found"`
	}
)

// A Crowd is a bus.Runner; it runs once.
type Crowd struct {
	conn    *bus.Conn
	cfg     Config
	plans   []Plan
	servers []*rpc.Server
	roads   []road
	cancel  context.CancelFunc
	busy    sync.WaitGroup
}

// A road is one service calling a method of another, and how often it is taken:
// upTo is the share of all roads up to this one.
type road struct {
	client          *rpc.Client
	service, method string
	upTo            float64
}

// New makes a crowd whose services are all on conn.
func New(conn *bus.Conn, cfg Config) *Crowd {
	if cfg.Services == 0 {
		cfg.Services = 100
	}
	if cfg.Rate == 0 {
		cfg.Rate = 100
	}
	c := &Crowd{conn: conn, cfg: cfg, plans: Plans(cfg.Seed, cfg.Services)}
	for i := range c.plans {
		p := &c.plans[i]
		for n, version := range p.Versions {
			dice := &dice{rand: rand.New(rand.NewPCG(cfg.Seed, uint64(i)<<8|uint64(n)))}
			srv := rpc.NewServer(conn, rpc.ServerConfig{Name: p.Name, Version: version, Metadata: map[string]string{"area": p.Area}, Logger: cfg.Logger})
			for _, method := range p.Methods {
				rpc.Handle(srv, method, func(ctx context.Context, req *Request) (*Response, error) { return p.answer(ctx, dice, req) })
			}
			c.servers = append(c.servers, srv)
		}
	}
	c.pave()
	return c
}

// Instances is how many there are of all services.
func (c *Crowd) Instances() int { return len(c.servers) }

// pave makes the roads from what the services call.
func (c *Crowd) pave() {
	var sum float64
	for _, from := range c.plans {
		if len(from.Calls) == 0 {
			continue
		}
		client := rpc.NewClient(c.conn, rpc.ClientConfig{From: from.Name, Retries: new(0)})
		for _, to := range from.Calls {
			for i, method := range c.plans[to].Methods {
				sum += c.plans[to].Weight / float64(i+1)
				c.roads = append(c.roads, road{client, c.plans[to].Name, method, sum})
			}
		}
	}
	for i := range c.roads {
		c.roads[i].upTo /= sum
	}
}

// Start announces all services and lets them call each other.
func (c *Crowd) Start(ctx context.Context) error {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c.cancel = cancel
	if err := c.all(func(srv *rpc.Server) error { return srv.Start(ctx) }); err != nil {
		return err
	}
	if c.cfg.Rate > 0 && len(c.roads) > 0 {
		c.busy.Go(func() { c.chatter(running) })
	}
	return nil
}

// chatter makes calls until ctx ends.
func (c *Crowd) chatter(ctx context.Context) {
	dice := rand.New(rand.NewPCG(c.cfg.Seed, math.MaxUint64))
	slots := make(chan struct{}, maxInFlight)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	due := 0.0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for due += c.cfg.Rate * 0.02; due >= 1; due-- {
			r := c.choose(dice.Float64())
			select {
			case slots <- struct{}{}:
			default:
				continue // the slow ones hold up the rest, as in life
			}
			c.busy.Go(func() {
				defer func() { <-slots }()
				// How calls end is what the statistics of the services tell.
				_, _ = rpc.Call[Response](ctx, r.client, r.service, r.method, &Request{ID: "42"})
			})
		}
	}
}

// choose is the road at a share of all.
func (c *Crowd) choose(at float64) road {
	low, high := 0, len(c.roads)-1
	for low < high {
		if mid := (low + high) / 2; c.roads[mid].upTo < at {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return c.roads[low]
}

// Stop ends the calls and takes the services off the bus.
func (c *Crowd) Stop(ctx context.Context) error {
	if c.cancel == nil {
		return nil
	}
	c.cancel()
	c.busy.Wait()
	return c.all(func(srv *rpc.Server) error { return srv.Stop(ctx) })
}

// all does the same with every server, several at a time.
func (c *Crowd) all(f func(*rpc.Server) error) error {
	const atOnce = 32
	errs := make([]error, atOnce)
	var working sync.WaitGroup
	for w := range atOnce {
		working.Go(func() {
			for i := w; i < len(c.servers); i += atOnce {
				if err := f(c.servers[i]); err != nil && errs[w] == nil {
					errs[w] = err
				}
			}
		})
	}
	working.Wait()
	return errors.Join(errs...)
}

// answer takes as long as the service does, and fails as often.
func (p *Plan) answer(ctx context.Context, dice *dice, req *Request) (*Response, error) {
	spread, luck := dice.roll()
	wait := time.NewTimer(time.Duration(float64(p.Latency) * math.Exp(0.6*spread)))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if luck < p.Faults {
		return nil, bus.Errorf(bus.Internal, "%s cannot reach its database", p.Name)
	}
	return &Response{ID: req.ID, Found: true}, nil
}

// dice are one instance's, whose calls run at once.
type dice struct {
	mu   sync.Mutex
	rand *rand.Rand
}

func (d *dice) roll() (spread, luck float64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rand.NormFloat64(), d.rand.Float64()
}
