package rpc_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
)

func TestWhatAHandlerKeepsOfItsCallStaysThatOfItsCall(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		var mu sync.Mutex
		contexts := make(map[string]context.Context)
		requests := make(map[string]*rpc.Request)
		keep := func(method string, asks bool) {
			rpc.Handle(s, method, func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
				mu.Lock()
				defer mu.Unlock()
				contexts[r.Name] = ctx
				if asks {
					requests[r.Name] = rpc.RequestFrom(ctx)
				}
				return hello(ctx, r)
			}, rpc.Inline())
		}
		keep("Keep.Context", false)
		keep("Keep.Request", true)
		serve(t, s)
		conn := b.Conn(t)
		clients := make(map[string]*rpc.Client)
		for i := range 60 {
			from, method := fmt.Sprintf("svc.%d", i%7), []string{"Keep.Context", "Keep.Request"}[i%2]
			c := clients[from]
			if c == nil {
				c = rpc.NewClient(conn, rpc.ClientConfig{From: from})
				clients[from] = c
			}
			name := fmt.Sprintf("%s %s %d", from, method, i)
			var opts []rpc.CallOption
			if i%3 == 0 {
				opts = append(opts, rpc.WithMeta("number", fmt.Sprint(i)))
			}
			if _, err := rpc.Call[HelloResponse](bustest.Context(t), c, greeter, method, &HelloRequest{Name: name}, opts...); err != nil {
				t.Fatal(err)
			}
			if i == 7 {
				time.Sleep(time.Second) // so that the others are frames
			}
		}
		mu.Lock()
		defer mu.Unlock()
		for name, ctx := range contexts {
			var from, method string
			var number int
			if _, err := fmt.Sscan(name, &from, &method, &number); err != nil {
				t.Fatal(err)
			}
			late := rpc.RequestFrom(ctx)
			for what, r := range map[string]*rpc.Request{"its context": late, "it had asked for": requests[name]} {
				if r == nil && what == "it had asked for" && method == "Keep.Context" {
					continue
				}
				if r == nil || r.Service != greeter || r.Method != method || r.From != from || r.Instance != s.ID() {
					t.Errorf("%s: the request of %s became %+v", name, what, r)
				} else if got := r.Meta["number"]; number%3 == 0 && got != fmt.Sprint(number) {
					t.Errorf("%s: the metadata of %s became %q", name, what, got)
				}
			}
			if ctx.Err() == nil {
				t.Errorf("%s: the context goes on", name)
			}
			if again := rpc.RequestFrom(ctx); again != late {
				t.Errorf("%s: the context has a second request", name)
			}
		}
		if len(contexts) != 60 || len(requests) != 30 {
			t.Errorf("%d contexts and %d requests were kept, want 60 and 30", len(contexts), len(requests))
		}
	})
}

func TestAnswersWithinTheProcessStayAsTheyWere(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		s := newGreeter(conn)
		rpc.Handle(s, "Say.Hello", hello)
		rpc.Handle(s, "Say.Inline", hello, rpc.Inline())
		var mu sync.Mutex
		requests := make(map[string]*rpc.Request)
		rpc.Handle(s, "Say.Keep", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			mu.Lock()
			defer mu.Unlock()
			requests[r.Name] = rpc.RequestFrom(ctx)
			return hello(ctx, r)
		})
		s.HandleRaw("Say.Echo", func(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
			return &rpc.Response{Codec: r.Codec, Body: r.Body}, nil
		})
		serve(t, s)
		c := rpc.NewClient(conn, rpc.ClientConfig{Local: []*rpc.Server{s}})
		answers := make(map[string]*rpc.Response)
		for i := range 40 {
			name := fmt.Sprintf("caller %d", i)
			for _, method := range []string{"Say.Hello", "Say.Inline", "Say.Echo"} {
				res, err := c.Do(bustest.Context(t), &rpc.Request{Service: greeter, Method: method, Body: []byte(`{"name":"` + name + `"}`)})
				if err != nil {
					t.Fatal(err)
				}
				answers[method+" of "+name+`"}`] = res
			}
			for _, method := range []string{"Say.Hello", "Say.Inline", "Say.Keep"} {
				res, err := rpc.Call[HelloResponse](bustest.Context(t), c, greeter, method, &HelloRequest{Name: name}, rpc.WithID(name))
				if err != nil || res.Msg != "Hello "+name {
					t.Fatalf("%s %s: %+v, %v", method, name, res, err)
				}
			}
		}
		for what, res := range answers {
			if _, name, _ := strings.Cut(what, " of "); !strings.HasSuffix(string(res.Body), name) {
				t.Errorf("%s became %q", what, res.Body)
			}
		}
		for name, r := range requests {
			if r.ID != name || r.Method != "Say.Keep" {
				t.Errorf("the request of %s became %+v", name, r)
			}
		}
	})
}
