package rpc_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/rpc"
)

const rubyApp = "ruby.micro.srv.rubyApp"

// serveApp serves whatever is asked, unannounced: the answer is the method
// and the request.
func serveApp(t testing.TB, conn *bus.Conn, id string, change ...func(*rpc.ServerConfig)) *rpc.Server {
	cfg := rpc.ServerConfig{Name: rubyApp, ID: id, Unannounced: true}
	for _, f := range change {
		f(&cfg)
	}
	s := rpc.NewServer(conn, cfg)
	s.HandleAny(func(ctx context.Context, r *rpc.Request) (*rpc.Response, error) {
		switch r.Method {
		case "Is.Slow":
			<-ctx.Done()
			return nil, context.Cause(ctx)
		case "Is.Large":
			return &rpc.Response{Codec: codec.Raw, Body: bytes.Clone(r.Body)}, nil
		}
		return &rpc.Response{Codec: codec.JSON, Body: fmt.Appendf(nil, `"%s %s %s"`, r.Instance, r.Method, r.Codec)}, nil
	})
	rpc.Handle(s, "Own.Method", hello)
	serve(t, s)
	return s
}

func TestHandleAnyTakesEveryMethodInBothSpellings(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn, caller := b.Conn(t), b.Conn(t)
		serveApp(t, conn, "ruby-1")
		client := rpc.NewClient(caller, rpc.ClientConfig{})
		defer func() { _ = client.Close(t.Context()) }()

		m, err := caller.Request(t.Context(), wire.CallSubject(rubyApp, "What.Ever"), nil, []byte(`{}`))
		if err != nil || string(m.Data) != `"ruby-1 What.Ever json"` {
			t.Errorf("a plain request: %s, %v", m.Data, err)
		}
		frame := wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameCall, Seq: 7, Codec: wire.CodecMsgpack, Payload: []byte{0x80}})
		m, err = caller.Request(t.Context(), wire.CallSubject(rubyApp, "What.Ever"), nil, frame)
		if err != nil {
			t.Fatal(err)
		}
		f, err := wire.ParseFrame(m.Data)
		if err != nil || f.Seq != 7 || string(f.Payload) != `"ruby-1 What.Ever msgpack"` {
			t.Errorf("a frame: %+v, %v", f, err)
		}
		for _, node := range []string{"", "ruby-1"} {
			res, err := client.Do(t.Context(), &rpc.Request{Service: rubyApp, Method: "What.Ever", Instance: node, Body: []byte(`{}`)})
			if err != nil || string(res.Body) != `"ruby-1 What.Ever json"` {
				t.Errorf("a client, node %q: %v, %v", node, res, err)
			}
		}
	})
}

func TestHandleAnyLeavesMethodsTheirOwnHandlers(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		serveApp(t, conn, "ruby-1")
		client := rpc.NewClient(conn, rpc.ClientConfig{})
		defer func() { _ = client.Close(t.Context()) }()
		for range 20 { // either of two subscriptions would get some of them
			res, err := rpc.Call[HelloResponse](t.Context(), client, rubyApp, "Own.Method", &HelloRequest{Name: "John"})
			if err != nil || res.Msg != "Hello John" {
				t.Fatalf("got %v, %v", res, err)
			}
			if _, err := rpc.Call[rpc.Health](t.Context(), client, rubyApp, rpc.MethodHealth, nil); err != nil {
				t.Fatal(err)
			}
		}
		// No method at all is none that any handler takes.
		m, err := conn.Request(t.Context(), wire.CallSubject(rubyApp, "Bad-.Name_"), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if e := bus.ReplyError(m); e == nil || e.Code != bus.NotFound || !strings.Contains(e.Message, "no such method") {
			t.Errorf("a method of a wrong name: %v", e)
		}
	})
}

func TestHandleAnySharesCallsInRotationAndCountsThem(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		serveApp(t, conn, "ruby-1")
		serveApp(t, conn, "ruby-2")
		client := rpc.NewClient(conn, rpc.ClientConfig{})
		defer func() { _ = client.Close(t.Context()) }()
		got := map[string]int{}
		for range 10 {
			res, err := client.Do(t.Context(), &rpc.Request{Service: rubyApp, Method: "What.Ever"})
			if err != nil {
				t.Fatal(err)
			}
			got[string(res.Body)]++
		}
		if got[`"ruby-1 What.Ever json"`] != 5 || got[`"ruby-2 What.Ever json"`] != 5 {
			t.Errorf("ten calls went to %v", got)
		}
		stats, err := rpc.Call[rpc.Stats](t.Context(), client, rubyApp, rpc.MethodStats, nil, rpc.WithNode("ruby-2"))
		if err != nil {
			t.Fatal(err)
		}
		last := stats.Endpoints[len(stats.Endpoints)-1]
		if last.Name != "What.Ever" || last.Requests != 5 {
			t.Errorf("the last endpoint counted is %+v", last)
		}
	})
}

func TestHandleAnyCountsABoundedNumberOfMethods(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		serveApp(t, conn, "ruby-1")
		client := rpc.NewClient(conn, rpc.ClientConfig{})
		defer func() { _ = client.Close(t.Context()) }()
		for n := range 300 {
			if _, err := client.Do(t.Context(), &rpc.Request{Service: rubyApp, Method: fmt.Sprintf("Method.%d", n)}); err != nil {
				t.Fatal(err)
			}
		}
		stats, err := rpc.Call[rpc.Stats](t.Context(), client, rubyApp, rpc.MethodStats, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(stats.Endpoints); n != 256+5 { // and the server's own
			t.Errorf("%d endpoints are counted", n)
		}
	})
}

func TestHandleAnyIsCancelledAndBounded(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		began, ended := make(chan bool, 1), make(chan error, 1)
		s := rpc.NewServer(conn, rpc.ServerConfig{Name: rubyApp, ID: "ruby-1", Unannounced: true, Concurrency: 1})
		s.HandleAny(func(ctx context.Context, _ *rpc.Request) (*rpc.Response, error) {
			began <- true
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return nil, context.Cause(ctx)
		})
		serve(t, s)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{Retries: new(0)})
		defer func() { _ = client.Close(t.Context()) }()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _, _ = client.Do(ctx, &rpc.Request{Service: rubyApp, Method: "Is.Slow"}) }()
		<-began
		_, err := client.Do(t.Context(), &rpc.Request{Service: rubyApp, Method: "Is.Refused"})
		wantError(t, err, bus.ResourceExhausted, bus.Refused)
		cancel()
		select {
		case <-ended:
		case <-time.After(time.Second):
			t.Error("the handler did not learn that its caller gave up")
		}
	})
}

func TestHandleAnyTakesAndGivesLargeBodies(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveApp(t, b.Conn(t), "ruby-1")
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		defer func() { _ = client.Close(t.Context()) }()
		for _, size := range []int{300 << 10, 3 << 20} {
			for _, node := range []string{"", "ruby-1"} {
				body := pattern(size)
				res, err := client.Do(t.Context(), &rpc.Request{Service: rubyApp, Method: "Is.Large", Instance: node, Codec: codec.Raw, Body: body})
				if err != nil {
					t.Fatalf("%d bytes to node %q: %v", size, node, err)
				}
				if !bytes.Equal(res.Body, body) {
					t.Errorf("%d bytes to node %q came back as %d others", size, node, len(res.Body))
				}
			}
		}
	})
}

func TestAnUnannouncedServerIsSeenByNobodyAndLosesNoCall(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		s := serveApp(t, conn, "ruby-1")
		found, err := discovery.Query(t.Context(), b.Conn(t), "")
		if err != nil || len(found) != 0 {
			t.Errorf("found %v, %v", found, err)
		}
		if _, err := conn.Request(t.Context(), wire.SrvSubject(wire.VerbPing, wire.Escape(rubyApp), ""), nil, nil); !strings.Contains(fmt.Sprint(err), nats.ErrNoResponders.Error()) && bus.AsError(err).End != bus.Nobody {
			t.Errorf("PING: %v", err)
		}
		stop(t, s)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{Retries: new(0)})
		defer func() { _ = client.Close(t.Context()) }()
		_, err = client.Do(t.Context(), &rpc.Request{Service: rubyApp, Method: "What.Ever"})
		wantError(t, err, bus.NotFound, bus.Nobody)
	})
}

func TestHandleAnyPanicsOnMistakes(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		f := func(context.Context, *rpc.Request) (*rpc.Response, error) { return nil, nil }
		for name, mistake := range map[string]func(){
			"a nil handler": func() { newGreeter(conn).HandleAny(nil) },
			"twice":         func() { s := newGreeter(conn); s.HandleAny(f); s.HandleAny(f) },
			"validation":    func() { newGreeter(conn).HandleAny(f, rpc.Validate()) },
			"after start":   func() { s := newGreeter(conn); serve(t, s); s.HandleAny(f) },
			"no id":         func() { newGreeter(conn, func(c *rpc.ServerConfig) { c.Unannounced = true }) },
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s: no panic", name)
					}
				}()
				mistake()
			}()
		}
	})
}
