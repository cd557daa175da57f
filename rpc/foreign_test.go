package rpc_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
)

// foreign starts a service of nats.go/micro.
func foreign(t *testing.T, nc *nats.Conn, name string) micro.Service {
	t.Helper()
	svc, err := micro.AddService(nc, micro.Config{Name: name, Version: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = svc.Stop() })
	group := svc.AddGroup("some.where")
	if err := group.AddEndpoint("hello", micro.HandlerFunc(func(r micro.Request) {
		var in HelloRequest
		if err := json.Unmarshal(r.Data(), &in); err != nil {
			_ = r.Error("400", "not JSON", nil)
			return
		}
		_ = r.RespondJSON(HelloResponse{Msg: "Hello " + in.Name + r.Headers().Get("tenant")})
	})); err != nil {
		t.Fatal(err)
	}
	if err := group.AddEndpoint("fail", micro.HandlerFunc(func(r micro.Request) {
		_ = r.Error("418", "I am a teapot", []byte(`{"short":true}`))
	})); err != nil {
		t.Fatal(err)
	}
	if err := nc.FlushWithContext(bustest.Context(t)); err != nil {
		t.Fatal(err)
	}
	return svc
}

func TestAForeignServiceIsCalledByItsName(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		for _, name := range []string{"echo", "user_service", "odd__name_"} {
			svc := foreign(t, b.Conn(t).NATS(), name)
			client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
			for range 3 {
				res, err := rpc.Call[HelloResponse](bustest.Context(t), client, name, "hello", &HelloRequest{Name: "John"}, rpc.WithMeta("tenant", "!"))
				if err != nil || res.Msg != "Hello John!" {
					t.Fatalf("%s: got %v, %v", name, res, err)
				}
				time.Sleep(time.Second)
			}
			_, err := rpc.Call[HelloResponse](bustest.Context(t), client, name, "fail", nil)
			e := wantError(t, err, bus.InvalidArgument, bus.Handler)
			if e.Status != 418 || e.Message != "I am a teapot" || string(e.Detail) != `{"short":true}` {
				t.Errorf("%s: got %d %q %s", name, e.Status, e.Message, e.Detail)
			}
			_, err = rpc.Call[HelloResponse](bustest.Context(t), client, name, "helo", nil)
			wantError(t, err, bus.NotFound, bus.Nobody)
			_, err = rpc.Call[HelloResponse](bustest.Context(t), client, name, "hello", &HelloRequest{}, rpc.WithNode(svc.Info().ID))
			wantError(t, err, bus.Unimplemented, bus.Nobody)
			if err := svc.Stop(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second) // it drains in the background
			if _, err = rpc.Call[HelloResponse](bustest.Context(t), client, name, "hello", &HelloRequest{}); failure(t, err).End != bus.Nobody {
				t.Errorf("%s: after its stop: %v", name, err)
			}
		}
	})
}

func TestOneInstanceWithoutFramesKeepsTheServicePlain(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveHello(t, b)
		old := b.Conn(t).NATS()
		answerAs(t, old, greeter, false)
		if _, err := old.QueueSubscribe(helloSubject, "q", func(m *nats.Msg) {
			if len(m.Data) == 0 || m.Data[0] != '{' {
				t.Errorf("an instance without frames got %q", m.Data)
			}
			_ = m.Respond([]byte(`{"msg":"Hello John"}`))
		}); err != nil {
			t.Fatal(err)
		}
		if err := old.FlushWithContext(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		for range 50 {
			if err := sayHello(bustest.Context(t), client); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
}

func TestAnInstanceThatComesUpMakesTheClientAskAgain(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		framed := make(chan bool, 100)
		rpc.Handle(s, "Say.Hello", hello)
		s.HandleRaw("Say.Codec", func(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
			framed <- r.Codec.String() == "msgpack"
			return &rpc.Response{Codec: r.Codec, Body: r.Body}, nil
		})
		serve(t, s)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		say := func() bool {
			if _, err := rpc.Call[HelloRequest](bustest.Context(t), client, greeter, "Say.Codec", &HelloRequest{}); err != nil {
				t.Fatal(err)
			}
			return <-framed
		}
		var got []bool
		got = append(got, say()) // asks
		time.Sleep(time.Second)
		got = append(got, say()) // knows
		second := newGreeter(b.Conn(t))
		rpc.Handle(second, "Say.Hello", hello)
		serve(t, second)
		time.Sleep(10 * time.Millisecond)
		got = append(got, say()) // asks again
		time.Sleep(time.Second)
		got = append(got, say()) // knows again
		b.Restart()
		time.Sleep(5 * time.Second)
		got = append(got, say()) // who came while we were away?
		time.Sleep(time.Second)
		got = append(got, say())
		want := []bool{false, true, false, true, false, true}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("frames were used in %v, want %v", got, want)
			}
		}
	})
}

func TestTwoVersionsShareTheCalls(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		for _, version := range []string{"1.0.0", "2.0.0"} {
			s := newGreeter(b.Conn(t), func(c *rpc.ServerConfig) { c.Version = version })
			rpc.Handle(s, "Say.Hello", func(context.Context, *HelloRequest) (*HelloResponse, error) {
				return &HelloResponse{Msg: version}, nil
			})
			serve(t, s)
		}
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		count := make(map[string]int)
		for range 200 {
			res, err := rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Hello", &HelloRequest{})
			if err != nil {
				t.Fatal(err)
			}
			count[res.Msg]++
		}
		if count["1.0.0"] < 50 || count["2.0.0"] < 50 {
			t.Errorf("the calls went to %v", count)
		}
	})
}
