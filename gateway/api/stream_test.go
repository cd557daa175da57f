package api_test

import (
	"context"
	"iter"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/gateway/api"
	"github.com/mbus-dev/mbus/gateway/live"
	"github.com/mbus-dev/mbus/rpc"
)

type (
	Count struct {
		N int64 `json:"n"`
	}
	Tick struct {
		I int64 `json:"i"`
	}
)

// counter adds a service that streams in every direction, and a gateway that
// serves streams.
func counter(t testing.TB, cfg api.Config) *house {
	t.Helper()
	b := bustest.Start(t)
	h := open(t, b, cfg)
	talks := live.New(h.gate, live.Config{})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := talks.Stop(ctx); err != nil {
			t.Errorf("stop the conversations: %v", err)
		}
	})
	cfg.Live = talks
	var err error
	if h.api, err = api.New(h.gate, cfg); err != nil {
		t.Fatal(err)
	}
	s := h.server("go.micro.srv.count")
	rpc.HandleServerStream(s, "Count.Up", func(_ context.Context, r *Count, send func(*Tick) error) error {
		for i := range r.N {
			if err := send(&Tick{I: i}); err != nil {
				return err
			}
		}
		return nil
	})
	rpc.HandleClientStream(s, "Count.Sum", func(_ context.Context, in iter.Seq2[*Tick, error]) (*Count, error) {
		sum := int64(0)
		for m, err := range in {
			if err != nil {
				return nil, err
			}
			sum += m.I
		}
		return &Count{N: sum}, nil
	})
	rpc.HandleStream(s, "Count.Echo", func(_ context.Context, stream *rpc.Stream[Tick, Tick]) error {
		for m, err := range stream.All() {
			if err != nil {
				return err
			}
			if err := stream.Send(m); err != nil {
				return err
			}
		}
		return nil
	})
	h.serve(t, s)
	return h
}

func TestStreamsAreHandedOn(t *testing.T) {
	h := counter(t, api.Config{Namespace: "go.micro.srv"})
	const up, sum = "/go.micro.srv.count/Count.Up", "/go.micro.srv.count/Count.Sum"
	for _, c := range []struct {
		method, target, kind, accept, body string
		status                             int
		got, want                          string
		calls                              int
	}{
		{"POST", up, "application/json", "", `{"n":2}`, 200, "application/x-ndjson", "{\"i\":0}\n{\"i\":1}\n", 1},
		{"POST", up, "application/x-www-form-urlencoded", "*/*", `{"n":2}`, 200, "application/x-ndjson", "{\"i\":0}\n{\"i\":1}\n", 1},
		{"GET", up + "?n=2", "", "text/event-stream", "", 200, "text/event-stream", "data: {\"i\":1}\n", 1},
		{"GET", "/count/up?n=2", "", "", "", 200, "application/x-ndjson", "{\"i\":1}\n", 1},
		{"GET", up + "?n=2", "", "", "", 405, "application/json", "not declared safe", 0},
		{"GET", up + "?n=two", "", "text/event-stream", "", 400, "application/json", "no int64", 0},
		{"POST", up, "application/json", "", `{"n":`, 400, "application/json", "", 0},
		{"POST", sum, "application/x-ndjson", "", "{\"i\":2}\n{\"i\":3}\n", 200, "application/json", `{"n":5}`, 1},
		{"POST", "/go.micro.srv.count/Count.Echo", "application/json", "", "{}", 426, "application/json", "open a WebSocket", 0},
	} {
		what := c.method + " " + c.target + " " + c.accept
		var header []string
		if c.kind != "" {
			header = append(header, "Content-Type", c.kind)
		}
		if c.accept != "" {
			header = append(header, "Accept", c.accept)
		}
		got := h.do(t, c.method, c.target, c.body, header...)
		got.want(t, what, c.status, c.want, c.calls)
		if kind := got.header.Get("Content-Type"); !strings.HasPrefix(kind, c.got) {
			t.Errorf("%s: got the type %q, want %q", what, kind, c.got)
		}
	}
}

func TestAnyStreamOpensOverAWebSocket(t *testing.T) {
	h := counter(t, api.Config{})
	web := httptest.NewServer(h.api)
	defer web.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, c := range []struct {
		target     string
		send, want []string
	}{
		{"Count.Up?n=2", nil, []string{`{"i":0}`, `{"i":1}`}},
		{"Count.Up", []string{`{"n":2}`}, []string{`{"i":0}`, `{"i":1}`}},
		{"Count.Up", []string{""}, nil}, // no request is the zero one
		{"Count.Sum", []string{`{"i":2}`, `{"i":3}`, ""}, []string{`{"n":5}`}},
		{"Count.Echo", []string{`{"i":2}`, `{"i":3}`, ""}, []string{`{"i":2}`, `{"i":3}`}},
	} {
		conn, _, err := websocket.Dial(ctx, web.URL+"/go.micro.srv.count/"+c.target, nil) //nolint:bodyclose // the library closes it
		if err != nil {
			t.Errorf("%s: %v", c.target, err)
			continue
		}
		for _, m := range c.send {
			if err := conn.Write(ctx, websocket.MessageText, []byte(m)); err != nil {
				t.Errorf("%s: %v", c.target, err)
			}
		}
		for _, want := range c.want {
			if _, got, err := conn.Read(ctx); err != nil || string(got) != want {
				t.Errorf("%s: got %s, %v; want %s", c.target, got, err, want)
			}
		}
		if _, _, err := conn.Read(ctx); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
			t.Errorf("%s: got the end %v", c.target, err)
		}
		_ = conn.CloseNow()
	}
}

func TestTopicsAreHandedOn(t *testing.T) {
	h := counter(t, api.Config{})
	sub := h.listen(t)
	h.do(t, "POST", "/events?topic=go.things", `{"a":1}`, "Content-Type", "application/json").want(t, "publish", 202, "", 0)
	if topic, e := next(t, h, sub); topic != "go.things" || e["a"] == nil {
		t.Errorf("got %s %v", topic, e)
	}
	h.do(t, "POST", "/events?topic=mbus.rpc.x", `{}`, "Content-Type", "application/json").want(t, "a reserved topic", 400, "mbus", 0)
}

func TestAGatewayWithoutConversationsSaysSo(t *testing.T) {
	h := counter(t, api.Config{})
	var err error
	if h.api, err = api.New(h.gate, api.Config{}); err != nil {
		t.Fatal(err)
	}
	h.do(t, "POST", "/go.micro.srv.count/Count.Up", "{}", "Content-Type", "application/json").want(t, "a stream", 501, "serves none", 0)
	h.do(t, "GET", "/events?topic=a", "").want(t, "topics", 404, "nothing at /events", 0)
}
