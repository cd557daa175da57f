package rpc_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
)

// sayHello calls the greeter.
func sayHello(ctx context.Context, c *rpc.Client, opts ...rpc.CallOption) error {
	_, err := rpc.Call[HelloResponse](ctx, c, greeter, "Say.Hello", &HelloRequest{Name: "John"}, opts...)
	return err
}

func TestACallOfAnUnknownServiceNamesTheNearOnes(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveHello(t, b)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		_, err := rpc.Call[HelloResponse](bustest.Context(t), client, "go.micro.srv.greter", "Say.Hello", nil)
		e := wantError(t, err, bus.NotFound, bus.Nobody)
		if !strings.Contains(e.Message, greeter) {
			t.Errorf("message %q does not name %s", e.Message, greeter)
		}
		if e.Service != "go.micro.srv.greter" || e.Method != "Say.Hello" || e.Elapsed > 2*time.Second {
			t.Errorf("got service %q, method %q after %v", e.Service, e.Method, e.Elapsed)
		}
	})
}

func TestACallOnAnEmptyBusFailsAtOnce(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		e := wantError(t, sayHello(bustest.Context(t), client), bus.NotFound, bus.Nobody)
		if e.Elapsed > 200*time.Millisecond {
			t.Errorf("took %v", e.Elapsed)
		}
	})
}

func TestACallOfAnUnknownMethodNamesTheMethods(t *testing.T) {
	for _, row := range []struct {
		name, method, want string
		pinned             bool
	}{
		{name: "typo", method: "Say.Helo", want: "did you mean Say.Hello?"},
		{name: "case", method: "say.hello", want: "did you mean Say.Hello?"},
		{name: "other", method: "Geo.Nearby", want: "it has Say.Hello"},
		{name: "one instance", method: "Geo.Nearby", want: "it has Say.Hello", pinned: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				s := serveHello(t, b)
				client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
				var opts []rpc.CallOption
				if row.pinned {
					opts = append(opts, rpc.WithNode(s.ID()))
				}
				_, err := rpc.Call[HelloResponse](bustest.Context(t), client, greeter, row.method, nil, opts...)
				e := failure(t, err)
				if e.Code != bus.NotFound || !strings.Contains(e.Message, row.want) {
					t.Errorf("got %v, want not_found with %q", e, row.want)
				}
			})
		})
	}
}

func TestACallOfAServiceThatIsGoneIsUnavailable(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := serveHello(t, b)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		if err := sayHello(bustest.Context(t), client); err != nil {
			t.Fatal(err)
		}
		stop(t, s)
		e := wantError(t, sayHello(bustest.Context(t), client), bus.Unavailable, bus.Nobody)
		if e.Retry == bus.RetryNever {
			t.Error("the error does not say that a retry is safe")
		}
		time.Sleep(11 * time.Minute)
		wantError(t, sayHello(bustest.Context(t), client), bus.NotFound, bus.Nobody)
	})
}

func TestACallWithoutAnAnswerTimesOut(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Say.Hello", func(ctx context.Context, _ *HelloRequest) (*HelloResponse, error) {
			<-ctx.Done()
			time.Sleep(time.Second) // too late for anyone
			return nil, ctx.Err()
		})
		serve(t, s)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		for _, row := range []struct {
			name string
			opts []rpc.CallOption
			want time.Duration
		}{
			{name: "the client's own timeout", want: 5 * time.Second},
			{name: "WithTimeout", opts: []rpc.CallOption{rpc.WithTimeout(2 * time.Second)}, want: 2 * time.Second},
		} {
			began := time.Now()
			e := wantError(t, sayHello(t.Context(), client, row.opts...), bus.DeadlineExceeded, bus.Timeout)
			if took := time.Since(began); took != row.want || e.Elapsed != row.want {
				t.Errorf("%s: took %v, says %v, want %v", row.name, took, e.Elapsed, row.want)
			}
		}
	})
}

func TestACancelledCallEndsAtOnceAndTellsTheHandler(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		told := make(chan time.Time, 1)
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Say.Hello", func(ctx context.Context, _ *HelloRequest) (*HelloResponse, error) {
			<-ctx.Done()
			told <- time.Now()
			return nil, ctx.Err()
		})
		serve(t, s)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		for _, spelling := range []string{"plain", "frame"} {
			ctx, cancel := context.WithCancel(bustest.Context(t))
			time.AfterFunc(time.Second, cancel)
			began := time.Now()
			wantError(t, sayHello(ctx, client), bus.Canceled, bus.Cancelled)
			if took := time.Since(began); took != time.Second {
				t.Errorf("%s: the caller waited %v, want 1s", spelling, took)
			}
			if late := (<-told).Sub(began.Add(time.Second)); late > 50*time.Millisecond {
				t.Errorf("%s: the handler was told %v late", spelling, late)
			}
			time.Sleep(time.Second)
		}
	})
}

func TestACallRefusedForOverloadSaysSo(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t), func(c *rpc.ServerConfig) { c.Concurrency = 2 })
		rpc.Handle(s, "Say.Hello", func(ctx context.Context, _ *HelloRequest) (*HelloResponse, error) {
			time.Sleep(time.Second)
			return &HelloResponse{}, nil
		})
		serve(t, s)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{Retries: new(0)})
		errs := make(chan error, 3)
		for range 3 {
			go func() { errs <- sayHello(bustest.Context(t), client) }()
			time.Sleep(10 * time.Millisecond)
		}
		e := wantError(t, <-errs, bus.ResourceExhausted, bus.Refused)
		if e.Retry != bus.RetrySafe || e.Status != 429 {
			t.Errorf("got retry %v, status %d; want safe, 429", e.Retry, e.Status)
		}
		for range 2 {
			if err := <-errs; err != nil {
				t.Errorf("an admitted call failed: %v", err)
			}
		}
	})
}

func TestACallTheHandlerRefusesCarriesItsError(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		cause := errors.New("a secret of the service")
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Say.Hello", func(_ context.Context, r *HelloRequest) (*HelloResponse, error) {
			e := bus.Errorf(bus.Conflict, "%s is here already", r.Name)
			e.Detail = []byte(`{"since":"noon"}`)
			return nil, e
		})
		rpc.Handle(s, "Say.Plain", func(context.Context, *HelloRequest) (*HelloResponse, error) {
			return nil, errors.New("out of words")
		})
		rpc.Handle(s, "Say.Wrapped", func(context.Context, *HelloRequest) (*HelloResponse, error) {
			return nil, bus.Errorf(bus.InvalidArgument, "no such word%w", &silent{cause})
		})
		serve(t, s)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		for _, spelling := range []string{"plain", "frame"} {
			e := wantError(t, sayHello(bustest.Context(t), client), bus.Conflict, bus.Handler)
			if e.Message != "John is here already" || string(e.Detail) != `{"since":"noon"}` || e.Status != 409 {
				t.Errorf("%s: got message %q, detail %s, status %d", spelling, e.Message, e.Detail, e.Status)
			}
			_, err := rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Plain", nil)
			if e := wantError(t, err, bus.Internal, bus.Handler); e.Message != "out of words" {
				t.Errorf("%s: got message %q", spelling, e.Message)
			}
			_, err = rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Wrapped", nil)
			if strings.Contains(err.Error(), "secret") || errors.Is(err, cause) {
				t.Errorf("%s: the cause has travelled: %v", spelling, err)
			}
			time.Sleep(time.Second)
		}
	})
}

// silent wraps an error without showing it.
type silent struct{ error }

func (s *silent) Error() string { return "" }
func (s *silent) Unwrap() error { return s.error }

func TestACallWithoutTheRightFailsAtOnce(t *testing.T) {
	guest := bustest.WithUser("guest", "secret", &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: []string{"_INBOX.>", "$SRV.>"}},
		Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
	})
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveHello(t, b)
		conn := b.Conn(t, func(c *bus.Config) { c.User, c.Password = "guest", "secret" })
		e := wantError(t, sayHello(bustest.Context(t), rpc.NewClient(conn, rpc.ClientConfig{})), bus.PermissionDenied, bus.Refused)
		if e.Elapsed > 100*time.Millisecond {
			t.Errorf("took %v", e.Elapsed)
		}
	}, guest)
}

func TestACallWithoutABrokerFailsAtOnceAndRecovers(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Say.Hello", hello)
		serve(t, s)
		conn := b.Conn(t)
		client := rpc.NewClient(conn, rpc.ClientConfig{})
		b.Stop()
		e := wantError(t, sayHello(bustest.Context(t), client), bus.Unavailable, bus.Broker)
		if e.Elapsed > 10*time.Millisecond {
			t.Errorf("took %v", e.Elapsed)
		}
		b.Start()
		b.Await(t, conn)
		bustest.Eventually(t, 500*time.Millisecond, "a call succeeds after the broker's return", func() bool {
			return sayHello(bustest.Context(t), client) == nil
		})
	})
}

func TestACallWhoseBrokerIsLostIsNotRepeated(t *testing.T) {
	for _, idempotent := range []bool{false, true} {
		bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
			var served atomic.Int32
			s := newGreeter(b.Conn(t))
			rpc.Handle(s, "Say.Hello", func(context.Context, *HelloRequest) (*HelloResponse, error) {
				served.Add(1)
				time.Sleep(300 * time.Millisecond)
				return &HelloResponse{}, nil
			})
			serve(t, s)
			link := b.Link()
			client := rpc.NewClient(b.Conn(t, link.Use), rpc.ClientConfig{})
			time.AfterFunc(100*time.Millisecond, link.Cut)
			if idempotent {
				if err := sayHello(bustest.Context(t), client, rpc.WithIdempotent()); err != nil {
					t.Errorf("an idempotent call: %v", err)
				}
				if n := served.Load(); n != 2 {
					t.Errorf("an idempotent call was served %d times, want 2", n)
				}
				return
			}
			wantError(t, sayHello(bustest.Context(t), client), bus.Unavailable, bus.Broker)
			if n := served.Load(); n != 1 {
				t.Errorf("served %d times, want once", n)
			}
		})
	}
}

func TestATooLargeRequestIsNotSent(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveHello(t, b)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{MaxBody: 2 << 20})
		_, err := rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Hello", &HelloRequest{Name: strings.Repeat("x", 2<<20)})
		wantError(t, err, bus.TooLarge, bus.Refused)
	})
}

func TestATooLargeAnswerIsAnError(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Say.Hello", func(context.Context, *HelloRequest) (*HelloResponse, error) {
			return &HelloResponse{Msg: strings.Repeat("x", 2<<20)}, nil
		})
		rpc.Handle(s, "Say.Detail", func(context.Context, *HelloRequest) (*HelloResponse, error) {
			e := bus.Errorf(bus.Conflict, "see the detail")
			e.Detail = []byte(`"` + strings.Repeat("x", 2<<20) + `"`)
			return nil, e
		})
		serve(t, s)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{MaxBody: 2 << 20})
		for range 2 { // plain, then frames
			wantError(t, sayHello(bustest.Context(t), client), bus.TooLarge, bus.Handler)
			_, err := rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Detail", nil)
			if e := wantError(t, err, bus.Conflict, bus.Handler); e.Detail != nil {
				t.Errorf("got a detail of %d bytes", len(e.Detail))
			}
			time.Sleep(time.Second)
		}
	})
}

func TestNamesThatBreakTheRulesAreNeverPublished(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		spy := b.Conn(t)
		sub, err := spy.NATS().SubscribeSync("mbus.rpc.>")
		if err != nil {
			t.Fatal(err)
		}
		client := rpc.NewClient(conn, rpc.ClientConfig{})
		for _, name := range []string{"", "a b", "*", ">", "a.*", "a..b", ".a", "a.", "_a.b", "a\x00", "é", strings.Repeat("x", 200)} {
			_, err := rpc.Call[HelloResponse](bustest.Context(t), client, name, "Say.Hello", nil)
			if e := failure(t, err); e.Code != bus.InvalidArgument {
				t.Errorf("service %q: got %v, want invalid_argument", name, e)
			}
			_, err = rpc.Call[HelloResponse](bustest.Context(t), client, greeter, name, nil)
			if e := failure(t, err); e.Code != bus.InvalidArgument {
				t.Errorf("method %q: got %v, want invalid_argument", name, e)
			}
		}
		if err := spy.Flush(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		if n, _, err := sub.Pending(); err != nil || n > 0 {
			t.Errorf("%d messages were published (%v)", n, err)
		}
	})
}

// serveHello starts a greeter on a connection of its own.
func serveHello(t testing.TB, b *bustest.Bus) *rpc.Server {
	t.Helper()
	s := newGreeter(b.Conn(t))
	rpc.Handle(s, "Say.Hello", hello)
	serve(t, s)
	return s
}
