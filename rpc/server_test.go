package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
)

func TestNewServerRefusesWrongConfigurations(t *testing.T) {
	for _, row := range []struct {
		name, want string
		cfg        rpc.ServerConfig
	}{
		{"no name", "service name is empty", rpc.ServerConfig{}},
		{"wrong name", "is not allowed", rpc.ServerConfig{Name: "a b"}},
		{"wrong id", "not printable", rpc.ServerConfig{Name: "a", ID: "x\n"}},
		{"negative concurrency", "concurrency -1", rpc.ServerConfig{Name: "a", Concurrency: -1}},
		{"negative timeout", "timeout -1s", rpc.ServerConfig{Name: "a", Timeout: -time.Second}},
		{"reserved metadata", `"mbus.v"`, rpc.ServerConfig{Name: "a", Metadata: map[string]string{"mbus.v": "9"}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				conn := b.Conn(t)
				wantPanic(t, row.want, func() { rpc.NewServer(conn, row.cfg) })
			})
		})
	}
	wantPanic(t, "without a connection", func() { rpc.NewServer(nil, rpc.ServerConfig{Name: "a"}) })
}

func TestMistakesInRegistrationPanic(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Say.Hello", hello)
		wantPanic(t, greeter+".Say.Hello is registered twice", func() { rpc.Handle(s, "Say.Hello", hello) })
		wantPanic(t, "character ' '", func() { rpc.Handle(s, "Say Hello", hello) })
		wantPanic(t, "handler is nil", func() { rpc.Handle[HelloRequest, HelloResponse](s, "Say.Nil", nil) })
		wantPanic(t, "handler is nil", func() { s.HandleRaw("Say.Nil", nil) })
		wantPanic(t, "Ch", func() {
			rpc.Handle(s, "Say.Chan", func(context.Context, *struct{ Ch chan int }) (*HelloResponse, error) { return nil, nil })
		})
		wantPanic(t, `"mbus.kind"`, func() { rpc.Handle(s, "Say.Note", hello, rpc.Note("mbus.kind", "x")) })
		wantPanic(t, "not of "+greeter, func() {
			rpc.Method[HelloRequest, HelloResponse]{Service: "other", Name: "Say.Other"}.Handle(s, hello)
		})
		serve(t, s)
		wantPanic(t, "after the server has started", func() { rpc.Handle(s, "Say.Late", hello) })
	})
}

func wantPanic(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if v := recover(); v == nil || !strings.Contains(fmt.Sprint(v), want) {
			t.Errorf("got panic %v, want one with %q", v, want)
		}
	}()
	f()
}

func TestStartFailsWithoutTheRightToServe(t *testing.T) {
	guest := bustest.WithUser("guest", "secret", &server.Permissions{
		Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>", "$SRV.>", "mbus.probe.>", "mbus.probe", "mbus.node.>"}},
	})
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t, func(c *bus.Config) { c.User, c.Password = "guest", "secret" }))
		rpc.Handle(s, "Say.Hello", hello)
		err := s.Start(bustest.Context(t))
		if e := failure(t, err); e.Code != bus.PermissionDenied {
			t.Errorf("got %v, want permission_denied", err)
		}
	}, guest)
}

func TestAPanicIsAnErrorAndTheServerGoesOn(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		for _, inline := range []bool{false, true} {
			var opts []rpc.HandleOption
			s := newGreeter(b.Conn(t), func(c *rpc.ServerConfig) { c.Name = fmt.Sprint("panics.", inline) })
			if inline {
				opts = append(opts, rpc.Inline())
			} else {
				rpc.Handle(s, "Say.Goexit", func(context.Context, *HelloRequest) (*HelloResponse, error) {
					runtime.Goexit()
					return nil, nil
				})
			}
			rpc.Handle(s, "Say.Panic", func(context.Context, *HelloRequest) (*HelloResponse, error) { panic("secret") }, opts...)
			rpc.Handle(s, "Say.Hello", hello, opts...)
			serve(t, s)
			client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
			for range 3 {
				_, err := rpc.Call[HelloResponse](bustest.Context(t), client, s.Name(), "Say.Panic", nil)
				if e := wantError(t, err, bus.Internal, bus.Handler); strings.Contains(e.Message, "secret") {
					t.Errorf("the text of the panic has travelled: %v", e)
				}
			}
			if _, err := rpc.Call[HelloResponse](bustest.Context(t), client, s.Name(), "Say.Hello", nil); err != nil {
				t.Errorf("after a panic: %v", err)
			}
			if !inline {
				_, err := rpc.Call[HelloResponse](bustest.Context(t), client, s.Name(), "Say.Goexit", nil)
				wantError(t, err, bus.Internal, bus.Handler)
			}
		}
	})
}

// ask sends a plain request as any NATS client would.
func ask(t testing.TB, conn *bus.Conn, subject string, header nats.Header, data string) *nats.Msg {
	t.Helper()
	m, err := conn.Request(bustest.Context(t), subject, header, []byte(data))
	if err != nil {
		t.Fatalf("request %s: %v", subject, err)
	}
	return m
}

func TestTheTimeoutOfARequestIsObeyed(t *testing.T) {
	for _, row := range []struct {
		name, value string
		want        time.Duration // until the handler's deadline
		code        bus.Code      // of the refusal, else
	}{
		{name: "absent", want: 30 * time.Second},
		{name: "given", value: "1500", want: 1500 * time.Millisecond},
		{name: "huge", value: "1000000000000000000", want: 30 * time.Second},
		{name: "beyond 64 bits", value: "99999999999999999999999", want: 30 * time.Second},
		{name: "zero", value: "0", code: bus.DeadlineExceeded},
		{name: "negative", value: "-1", code: bus.InvalidArgument},
		{name: "garbage", value: "abc", code: bus.InvalidArgument},
		{name: "a float", value: "1.5", code: bus.InvalidArgument},
	} {
		t.Run(row.name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				left := make(chan time.Duration, 1)
				s := newGreeter(b.Conn(t))
				rpc.Handle(s, "Say.Hello", func(ctx context.Context, _ *HelloRequest) (*HelloResponse, error) {
					deadline, _ := ctx.Deadline()
					left <- time.Until(deadline)
					<-ctx.Done()
					if !errors.Is(ctx.Err(), context.DeadlineExceeded) || !time.Now().Equal(deadline) {
						t.Errorf("the context ended with %v at %v, want its deadline %v", ctx.Err(), time.Now(), deadline)
					}
					return nil, ctx.Err()
				})
				serve(t, s)
				var header nats.Header
				if row.value != "" {
					header = nats.Header{"Mbus-Timeout": {row.value}}
				}
				m := ask(t, b.Conn(t), "mbus.rpc.go_micro_srv_greeter.Say.Hello", header, "")
				e := bus.ReplyError(m)
				if row.code != 0 {
					if e == nil || e.Code != row.code || len(left) != 0 {
						t.Fatalf("got %v and %d runs of the handler, want %v and none", e, len(left), row.code)
					}
					return
				}
				if got := <-left; got != row.want {
					t.Errorf("the handler had %v, want %v", got, row.want)
				}
				if e == nil || e.Code != bus.DeadlineExceeded {
					t.Errorf("got %v, want deadline_exceeded", e)
				}
			})
		})
	}
}

func TestTheRemainingTimeTravelsDownAChain(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		var first, second time.Duration
		var from string
		back := rpc.NewServer(b.Conn(t), rpc.ServerConfig{Name: "back"})
		rpc.Handle(back, "Do", func(ctx context.Context, _ *struct{}) (*struct{}, error) {
			deadline, _ := ctx.Deadline()
			second, from = time.Until(deadline), rpc.RequestFrom(ctx).From
			return nil, nil
		})
		serve(t, back)
		conn := b.Conn(t)
		inner := rpc.NewClient(conn, rpc.ClientConfig{})
		front := rpc.NewServer(conn, rpc.ServerConfig{Name: "front"})
		rpc.Handle(front, "Do", func(ctx context.Context, _ *struct{}) (*struct{}, error) {
			deadline, _ := ctx.Deadline()
			first = time.Until(deadline)
			time.Sleep(time.Second)
			return rpc.Call[struct{}](ctx, inner, "back", "Do", nil)
		})
		serve(t, front)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		if _, err := rpc.Call[struct{}](t.Context(), client, "front", "Do", nil, rpc.WithTimeout(3*time.Second)); err != nil {
			t.Fatal(err)
		}
		if first != 3*time.Second || second != 2*time.Second {
			t.Errorf("the handlers had %v and %v, want 3s and 2s", first, second)
		}
		if from != "front" {
			t.Errorf("the second call came from %q, want front", from)
		}
	})
}

func TestMetadataReachesTheHandlerAndOnlyWhatIsListedGoesFurther(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		got := make(chan rpc.Metadata, 2)
		back := rpc.NewServer(b.Conn(t), rpc.ServerConfig{Name: "back"})
		rpc.Handle(back, "Do", func(ctx context.Context, _ *struct{}) (*struct{}, error) {
			got <- rpc.RequestFrom(ctx).Clone().Meta
			return nil, nil
		})
		serve(t, back)
		conn := b.Conn(t)
		inner := rpc.NewClient(conn, rpc.ClientConfig{Forward: []string{"tenant"}})
		front := rpc.NewServer(conn, rpc.ServerConfig{Name: "front"})
		rpc.Handle(front, "Do", func(ctx context.Context, _ *struct{}) (*struct{}, error) {
			got <- rpc.RequestFrom(ctx).Clone().Meta
			return rpc.Call[struct{}](ctx, inner, "back", "Do", nil)
		})
		serve(t, front)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{Middleware: []rpc.Middleware{func(next rpc.HandlerFunc) rpc.HandlerFunc {
			return func(ctx context.Context, r *rpc.Request) (*rpc.Response, error) {
				r.Meta["traceparent"] = trace
				return next(ctx, r)
			}
		}}})
		for range 2 { // plain, then frames
			_, err := rpc.Call[struct{}](bustest.Context(t), client, "front", "Do", nil, rpc.WithMeta("tenant", "acme"), rpc.WithMeta("cookie", "secret"))
			if err != nil {
				t.Fatal(err)
			}
			first, second := <-got, <-got
			if len(first) != 3 || first.Get("Tenant") != "acme" || first["cookie"] != "secret" || first["traceparent"] != trace {
				t.Errorf("the first handler got %v", first)
			}
			if len(second) != 2 || second["tenant"] != "acme" || second["traceparent"] != trace {
				t.Errorf("the second handler got %v", second)
			}
			time.Sleep(time.Second)
		}
		_, err := rpc.Call[struct{}](bustest.Context(t), client, "front", "Do", nil, rpc.WithMeta("mbus-from", "x"))
		if e := failure(t, err); e.Code != bus.InvalidArgument {
			t.Errorf("metadata with a name of the protocol: got %v", err)
		}
	})
}
