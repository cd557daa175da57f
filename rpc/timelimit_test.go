package rpc_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/rpc"
)

func TestATimeLimitTakesThePlaceOfTheServersForOneMethod(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		s := newGreeter(conn, func(c *rpc.ServerConfig) { c.Timeout = 10 * time.Second })
		left := make(chan time.Duration, 1)
		handler := func(ctx context.Context, _ *HelloRequest) (*HelloResponse, error) {
			deadline, _ := ctx.Deadline()
			left <- time.Until(deadline)
			return nil, nil
		}
		rpc.Handle(s, "Say.Plain", handler)
		rpc.Handle(s, "Say.Short", handler, rpc.TimeLimit(2*time.Second))
		rpc.Handle(s, "Say.Long", handler, rpc.TimeLimit(90*time.Second), rpc.Note("timeout", "a note"))
		serve(t, s)
		far := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		near := rpc.NewClient(conn, rpc.ClientConfig{Local: []*rpc.Server{s}})
		for _, row := range []struct {
			method string
			asked  time.Duration
			want   time.Duration
		}{
			{"Say.Plain", time.Minute, 10 * time.Second},
			{"Say.Short", time.Minute, 2 * time.Second},
			{"Say.Short", time.Second, time.Second},
			{"Say.Long", time.Hour, 90 * time.Second},
			{"Say.Long", time.Minute, time.Minute},
		} {
			for name, client := range map[string]*rpc.Client{"far": far, "near": near} {
				if _, err := rpc.Call[HelloResponse](t.Context(), client, greeter, row.method, nil, rpc.WithTimeout(row.asked)); err != nil {
					t.Fatal(err)
				}
				if got := <-left; got != row.want {
					t.Errorf("%s, asked for %v, %s: got %v, want %v", row.method, row.asked, name, got, row.want)
				}
			}
		}
		ask(t, b.Conn(t), "mbus.rpc.go_micro_srv_greeter.Say.Long", nil, `{}`)
		if got := <-left; got != 90*time.Second {
			t.Errorf("a caller who says nothing: got %v", got)
		}
		found, err := discovery.Query(bustest.Context(t), conn, greeter)
		if err != nil || len(found) != 1 {
			t.Fatalf("found %v, %v", found, err)
		}
		for method, want := range map[string]string{"Say.Plain": "", "Say.Short": "2000", "Say.Long": "90000"} {
			if e, _ := found[0].Endpoint(method); e.Metadata["timeout"] != want {
				t.Errorf("%s is announced with %v, want the timeout %q", method, e.Metadata, want)
			}
		}
	})
}

func TestATimeLimitBoundsAWholeStream(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		rpc.HandleStream(s, "Say.Talk", func(ctx context.Context, stream *rpc.Stream[Text, Text]) error {
			for {
				m, err := stream.Recv()
				if err != nil {
					return err
				}
				if err := stream.Send(m); err != nil {
					return err
				}
			}
		}, rpc.TimeLimit(3*time.Second))
		serve(t, s)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		for asked, want := range map[time.Duration]time.Duration{0: 3 * time.Second, 2 * time.Second: 2 * time.Second, time.Minute: 3 * time.Second} {
			ctx := t.Context()
			if asked > 0 {
				limited, cancel := context.WithTimeout(ctx, asked)
				defer cancel()
				ctx = limited
			}
			began := time.Now()
			stream, err := rpc.OpenStream[Text, Text](ctx, client, greeter, "Say.Talk")
			if err != nil {
				t.Fatal(err)
			}
			for err == nil {
				if err = stream.Send(&Text{"still here"}); err == nil {
					_, err = stream.Recv()
				}
				time.Sleep(100 * time.Millisecond)
			}
			if e := failure(t, err); e.Code != bus.DeadlineExceeded {
				t.Errorf("got %v", e)
			}
			if took := time.Since(began); took < want || took > want+200*time.Millisecond {
				t.Errorf("it lasted %v, want %v", took, want)
			}
		}
		m := ask(t, b.Conn(t), "mbus.rpc.go_micro_srv_greeter.Say.Talk", nats.Header{}, `{"text":"x"}`)
		if string(m.Data) != `{"text":"x"}` {
			t.Errorf("got %q with %v", m.Data, m.Header)
		}
	})
}

func TestATimeLimitOfNothingPanics(t *testing.T) {
	for _, d := range []time.Duration{0, -time.Second} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("TimeLimit(%v) is taken", d)
				}
			}()
			rpc.TimeLimit(d)
		}()
	}
}
