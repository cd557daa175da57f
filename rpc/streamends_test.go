package rpc_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/rpc"
)

// serveRaw serves one stream method.
func serveRaw(t testing.TB, conn *bus.Conn, f func(context.Context, *rpc.RawStream) error, change ...func(*rpc.ServerConfig)) *rpc.Server {
	t.Helper()
	cfg := rpc.ServerConfig{Name: lab}
	for _, c := range change {
		c(&cfg)
	}
	s := rpc.NewServer(conn, cfg)
	s.HandleRawStream("Lab.Raw", discovery.KindBidi, f)
	serve(t, s)
	return s
}

func openRaw(t testing.TB, c *rpc.Client) *rpc.RawStream {
	t.Helper()
	s, err := c.Open(t.Context(), &rpc.Request{Service: lab, Method: "Lab.Raw"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMiddlewareThatRefusesAnOpenStreamClosesIt(t *testing.T) {
	for name, mw := range map[string]rpc.Middleware{
		"refuses": func(next rpc.HandlerFunc) rpc.HandlerFunc {
			return func(ctx context.Context, r *rpc.Request) (*rpc.Response, error) {
				if _, err := next(ctx, r); err != nil {
					return nil, err
				}
				return nil, bus.Errorf(bus.PermissionDenied, "not you")
			}
		},
		"opens twice": func(next rpc.HandlerFunc) rpc.HandlerFunc {
			return func(ctx context.Context, r *rpc.Request) (*rpc.Response, error) {
				if _, err := next(ctx, r); err != nil {
					return nil, err
				}
				return next(ctx, r)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				_, l := serveLab(t, b.Conn(t))
				client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{Middleware: []rpc.Middleware{mw}})
				stream, err := rpc.OpenStream[Text, Text](t.Context(), client, lab, "Lab.Chat")
				want := 0
				if err == nil {
					want = 1
				}
				time.Sleep(time.Minute)
				entered, ended := l.read()
				if open := entered - len(ended); open != want {
					t.Errorf("%d of %d handlers still wait, want %d", open, entered, want)
				}
				if err == nil {
					_ = stream.Close()
				}
			})
		})
	}
}

func TestAnOpeningEndsWithTheBroker(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		link := b.Link()
		serveLab(t, b.Conn(t))
		client := rpc.NewClient(b.Conn(t, link.Use), rpc.ClientConfig{Retries: new(0)})
		link.Drop(bustest.ToBroker, "mbus.rpc.>", 1)
		time.AfterFunc(time.Second, link.Cut)
		began := time.Now()
		_, err := rpc.OpenStream[Text, Text](t.Context(), client, lab, "Lab.Chat")
		wantError(t, err, bus.Unavailable, bus.Broker)
		if took := time.Since(began); took > 1100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

func TestAnOpeningWithoutTheRightIsDeniedAtOnce(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveLab(t, b.Conn(t))
		conn := b.Conn(t, func(c *bus.Config) { c.User, c.Password = "guest", "secret" })
		began := time.Now()
		_, err := rpc.OpenStream[Text, Text](t.Context(), rpc.NewClient(conn, rpc.ClientConfig{}), lab, "Lab.Chat")
		wantError(t, err, bus.PermissionDenied, bus.Refused)
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
	}, bustest.WithUser("guest", "secret", &server.Permissions{
		Publish: &server.SubjectPermission{Deny: []string{"mbus.rpc.>"}},
	}))
}

func TestAStreamEndsWithItsConnection(t *testing.T) {
	t.Run("caller", func(t *testing.T) {
		bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
			serveLab(t, b.Conn(t))
			conn := b.Conn(t)
			stream, err := rpc.OpenStream[Text, Text](t.Context(), rpc.NewClient(conn, rpc.ClientConfig{}), lab, "Lab.Chat")
			if err != nil {
				t.Fatal(err)
			}
			got := make(chan error, 1)
			go func() { _, err := stream.Recv(); got <- err }()
			time.Sleep(100 * time.Millisecond)
			if err := conn.Close(bustest.Context(t)); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-got:
				wantError(t, err, bus.Unavailable, bus.Broker)
			case <-time.After(3 * time.Second):
				t.Error("3 s after the connection is closed the caller still waits")
				_ = stream.Close()
				<-got
			}
		})
	})
	t.Run("handler", func(t *testing.T) {
		bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
			conn := b.Conn(t)
			_, l := serveLab(t, conn)
			stream := openChat(t, rpc.NewClient(b.Conn(t), rpc.ClientConfig{}))
			if err := conn.Close(bustest.Context(t)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Second)
			if _, ended := l.read(); len(ended) != 1 {
				t.Error("3 s after the connection is closed the handler still waits")
			}
			_ = stream.Close()
		})
	})
}

func TestAStreamWhoseBrokerStaysAwayEnds(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		_, l := serveLab(t, b.Conn(t))
		stream, err := rpc.OpenStream[Text, Text](t.Context(), rpc.NewClient(b.Conn(t), rpc.ClientConfig{}), lab, "Lab.Chat")
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan error, 1)
		go func() { _, err := stream.Recv(); got <- err }()
		b.Stop()
		defer b.Start()
		select {
		case err := <-got:
			wantError(t, err, bus.Unavailable, bus.Broker)
		case <-time.After(time.Minute):
			t.Error("a minute after the broker has gone the caller still waits")
			_ = stream.Close()
			<-got
		}
		time.Sleep(2 * time.Second)
		if _, ended := l.read(); len(ended) != 1 {
			t.Error("the handler still waits")
		}
	})
}

func TestAStreamIsNotLeftHangingByARestartOfTheBroker(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		server, caller := b.Conn(t), b.Conn(t)
		serveLab(t, server)
		client := rpc.NewClient(caller, rpc.ClientConfig{})
		for range 20 {
			stream := openChat(t, client)
			b.Restart()
			b.Await(t, server, caller)
			time.Sleep(3 * time.Second)
			err := stream.Send(&Text{"again"})
			if err == nil {
				_, err = stream.Recv()
			}
			if err != nil {
				e := failure(t, err)
				t.Logf("%v, end %v", e, e.End)
				if e.Code != bus.Unavailable {
					t.Errorf("the stream ended with %v", e)
				}
			}
			_ = stream.Close()
			time.Sleep(time.Second)
		}
	})
}

func TestAStopWithinALargeMessageIsUnavailable(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := serveRaw(t, b.Conn(t), func(_ context.Context, s *rpc.RawStream) error {
			return s.Send(codec.JSON, make([]byte, 5<<20))
		})
		stream := openRaw(t, rpc.NewClient(b.Conn(t), rpc.ClientConfig{}))
		time.Sleep(time.Second) // the window is full
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = s.Stop(ctx)
		_, _, err := stream.Recv()
		if e := failure(t, err); e.Code != bus.Unavailable {
			t.Errorf("the stream ended with %v", e)
		}
	})
}

func TestAHandlerThatReturnsEarlyIsHeardByWhoStillSends(t *testing.T) {
	for name, want := range map[string]error{"fails": bus.Errorf(bus.Conflict, "enough"), "is done": nil} {
		t.Run(name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				serveRaw(t, b.Conn(t), func(_ context.Context, s *rpc.RawStream) error {
					if _, _, err := s.Recv(); err != nil {
						return err
					}
					return want
				})
				client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
				for range 50 {
					stream := openRaw(t, client)
					var err error
					for err == nil {
						err = stream.Send(codec.JSON, make([]byte, 1000))
					}
					_, _, end := stream.Recv()
					for _, err := range []error{err, end} {
						if want == nil && !errors.Is(err, io.EOF) || want != nil && !errors.Is(err, bus.Conflict) {
							t.Errorf("got %v, want %v", err, want)
						}
					}
				}
			})
		})
	}
}

func TestALargeFirstMessageThatNobodyReadsIsNoError(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveRaw(t, b.Conn(t), func(_ context.Context, s *rpc.RawStream) error {
			return s.Send(codec.JSON, []byte(`{"i":7}`))
		})
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		n := 0
		for m, err := range rpc.CallStream[Number](bustest.Context(t), client, lab, "Lab.Raw", &Text{strings.Repeat("x", 3<<20)}) {
			if err != nil {
				t.Fatal(err)
			}
			n += m.I
		}
		if n != 7 {
			t.Errorf("the answer is %d", n)
		}
	})
}

func TestAnErrorFrameIsNoGoodEnd(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		nc := conn.NATS()
		sub, err := nc.Subscribe("mbus.rpc.go_micro_srv_lab.Lab.Raw", func(m *nats.Msg) {
			f, _ := wire.ParseFrame(m.Data)
			accept := wire.Accept{Window: wire.Credit{Seq: 64, Bytes: 1 << 20}, ID: "x"}
			out := nats.NewMsg(m.Reply)
			out.Reply = wire.StreamSubject(lab, "x", "1")
			out.Data = wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameAccept, Seq: f.Seq, Payload: wire.AppendAccept(nil, &accept)})
			_ = nc.PublishMsg(out)
			out.Data = bus.Errorf(bus.Conflict, "broken").AppendFrame(nil, f.Seq)
			_ = nc.PublishMsg(out)
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sub.Unsubscribe() }()
		if err := conn.Flush(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		stream := openRaw(t, rpc.NewClient(b.Conn(t), rpc.ClientConfig{}))
		_, _, err = stream.Recv()
		if !errors.Is(err, bus.Conflict) {
			t.Errorf("the stream ended with %v", err)
		}
	})
}
