package rpc_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/rpc"
)

// A crew is three instances of which the first can be killed, and a client that
// speaks frames to them.
type crew struct {
	link   *bustest.Link
	killed *rpc.Server
	server string
	conn   uint64
	client *rpc.Client
}

func newCrew(t *testing.T, b *bustest.Bus, work time.Duration) *crew {
	c := &crew{link: b.Link()}
	for i := range 3 {
		conn := b.Conn(t, func(cfg *bus.Config) {
			if i == 0 {
				c.link.Use(cfg)
			}
		})
		s := newGreeter(conn)
		rpc.Handle(s, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			if r.Name == "quick" {
				return hello(ctx, r)
			}
			select {
			case <-time.After(work):
			case <-ctx.Done():
			}
			return &HelloResponse{Msg: s.ID()}, nil
		})
		serve(t, s)
		if i == 0 {
			c.killed = s
			c.server, c.conn = conn.Identity()
		}
	}
	c.client = rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
	t.Cleanup(func() { _ = c.client.Close(bustest.Context(t)) })
	for range 2 {
		if _, err := rpc.Call[HelloResponse](bustest.Context(t), c.client, greeter, "Say.Hello", &HelloRequest{Name: "quick"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second) // it learns that they speak frames
	}
	return c
}

// kill cuts the first instance off and says what a registrar would say.
func (c *crew) kill(t *testing.T, witness *bus.Conn) {
	c.link.Down()
	i := discovery.Instance{Service: greeter, ID: c.killed.ID(), Server: c.server, Client: c.conn}
	if err := discovery.AnnounceDown(bustest.Context(t), witness, i, "Client Closed"); err != nil {
		t.Error(err)
	}
}

func TestCallsOfAKilledInstanceEndBeforeTheirDeadline(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		c := newCrew(t, b, 8*time.Second)
		type end struct {
			res  *HelloResponse
			err  error
			took time.Duration
		}
		ends := make(chan end, 60)
		var wg sync.WaitGroup
		begin := time.Now()
		for range cap(ends) {
			wg.Go(func() {
				res, err := rpc.Call[HelloResponse](bustest.Context(t), c.client, greeter, "Say.Hello", &HelloRequest{Name: "slow"}, rpc.WithTimeout(20*time.Second))
				ends <- end{res, err, time.Since(begin)}
			})
		}
		time.Sleep(time.Second)
		c.kill(t, b.Conn(t))
		wg.Wait()
		close(ends)
		var lost, answered int
		for e := range ends {
			if e.err == nil {
				answered++
				if e.res.Msg == c.killed.ID() {
					t.Error("the killed instance answered")
				}
				continue
			}
			lost++
			failed := wantError(t, e.err, bus.Unavailable, bus.Timeout)
			if failed.Instance != c.killed.ID() || failed.Retry != bus.RetryNever {
				t.Errorf("got %+v, want the instance %s and no retry", failed, c.killed.ID())
			}
			if e.took > 3*time.Second {
				t.Errorf("a lost call ended after %v, 2 s after the kill is the most", e.took-time.Second)
			}
		}
		if lost == 0 || answered == 0 || lost > answered {
			t.Errorf("%d calls were lost and %d answered; about a third was with the killed instance", lost, answered)
		}
	})
}

func TestACallThatMayRunTwiceIsSentAgainWhenItsInstanceIsKilled(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		c := newCrew(t, b, 100*time.Millisecond)
		c.link.Silence() // its answers no longer come
		var wg sync.WaitGroup
		for range 30 {
			wg.Go(func() {
				_, err := rpc.Call[HelloResponse](bustest.Context(t), c.client, greeter, "Say.Hello", &HelloRequest{Name: "slow"}, rpc.WithTimeout(time.Minute/2), rpc.WithIdempotent())
				if err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(time.Second)
		killed := time.Now()
		c.kill(t, b.Conn(t))
		wg.Wait()
		if took := time.Since(killed); took > 3*time.Second {
			t.Errorf("the last call took %v from the kill; its deadline was not to be waited for", took)
		}
	})
}

func TestAnInstanceThatSaysGoodbyeLosesNoCall(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		c := newCrew(t, b, 3*time.Second)
		var wg sync.WaitGroup
		for range 30 {
			wg.Go(func() {
				if err := sayHello(bustest.Context(t), c.client); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(time.Second)
		stop(t, c.killed)
		wg.Wait()
	})
}

func TestTheLastInstanceTakesItsCallsWithItAtOnce(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		link := b.Link()
		conn := b.Conn(t, link.Use)
		s := newGreeter(conn)
		rpc.Handle(s, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			if r.Name != "quick" {
				time.Sleep(3 * time.Second)
			}
			return hello(ctx, r)
		})
		serve(t, s)
		server, id := conn.Identity()
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		t.Cleanup(func() { _ = client.Close(bustest.Context(t)) })
		for range 2 {
			if _, err := rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Hello", &HelloRequest{Name: "quick"}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
		}
		var ended time.Time
		var err error
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, err = rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Hello", &HelloRequest{Name: "slow"}, rpc.WithNode(s.ID()), rpc.WithTimeout(20*time.Second))
			ended = time.Now()
		}()
		time.Sleep(time.Second)
		killed := time.Now()
		link.Down()
		witness := b.Conn(t)
		if err := discovery.AnnounceDown(bustest.Context(t), witness, discovery.Instance{Service: greeter, ID: s.ID(), Server: server, Client: id}, "Client Closed"); err != nil {
			t.Fatal(err)
		}
		<-done
		time.Sleep(3 * time.Second)
		link.Heal()
		if !errors.Is(err, bus.Unavailable) || ended.Sub(killed) > 100*time.Millisecond {
			t.Errorf("%v after %v, want unavailable at once", err, ended.Sub(killed))
		}
	})
}
