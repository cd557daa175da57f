package rpc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/rpc"
	"github.com/mbus-dev/mbus/rpc/schema"
)

func TestDebugHealthAndStatsAnswerAsMicroDid(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			time.Sleep(10 * time.Millisecond)
			if r.Name == "" {
				return nil, bus.Errorf(bus.InvalidArgument, "name is empty")
			}
			return hello(ctx, r)
		})
		serve(t, s)
		conn := b.Conn(t)
		for i := range 100 {
			ask(t, conn, helloSubject, nil, fmt.Sprintf(`{"name":%q}`, strings.Repeat("x", i%10)))
		}
		time.Sleep(9 * time.Second)
		if m := ask(t, conn, "mbus.rpc.go_micro_srv_greeter.Debug.Health", nil, `{}`); string(m.Data) != `{"status":"ok"}` {
			t.Errorf("health: %s", m.Data)
		}
		m := ask(t, conn, "mbus.rpc.go_micro_srv_greeter.Debug.Stats", nil, `{}`)
		var raw map[string]any
		var stats rpc.Stats
		if err := json.Unmarshal(m.Data, &raw); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(m.Data, &stats); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"started", "uptime", "memory", "threads", "gc"} {
			if _, ok := raw[key].(float64); !ok {
				t.Errorf("%s is %v, want a number", key, raw[key])
			}
		}
		if stats.Uptime != 10 || stats.Memory == 0 || stats.Threads == 0 || time.Unix(stats.Started, 0).After(time.Now()) {
			t.Errorf("got %+v", stats)
		}
		i := slices.IndexFunc(stats.Endpoints, func(e rpc.EndpointStats) bool { return e.Name == "Say.Hello" })
		if i < 0 {
			t.Fatalf("no Say.Hello in %s", m.Data)
		}
		e := stats.Endpoints[i]
		if e.Requests != 100 || e.Errors != 10 || e.LastError != "invalid_argument: name is empty" || e.Processing != time.Second {
			t.Errorf("got %+v", e)
		}
		if e.P50 < 10*time.Millisecond || e.P99 > 12*time.Millisecond {
			t.Errorf("half took %v and almost all %v, want 10ms", e.P50, e.P99)
		}
	})
}

func TestAServiceMayHaveItsOwnDebugMethods(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, rpc.MethodHealth, func(context.Context, *rpc.HealthRequest) (*rpc.Health, error) {
			return &rpc.Health{Status: "tired"}, nil
		})
		serve(t, s)
		if m := ask(t, b.Conn(t), "mbus.rpc.go_micro_srv_greeter.Debug.Health", nil, `{}`); string(m.Data) != `{"status":"tired"}` {
			t.Errorf("health: %s", m.Data)
		}
	})
}

func TestDebugSchemaDescribesEveryMethodByHash(t *testing.T) {
	small := bustest.WithServer(func(o *server.Options) { o.MaxPayload = 4 << 10 })
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Say.Hello", hello, rpc.Describe("Says hello."), rpc.Idempotent(), rpc.Note("color", "red"))
		rpc.Handle(s, "Say.Secret", hello, rpc.Internal())
		rpc.Register(s, new(Wide))
		serve(t, s)
		conn := b.Conn(t)
		found, err := discovery.Query(bustest.Context(t), conn, greeter)
		if err != nil || len(found) != 1 {
			t.Fatalf("found %v, %v", found, err)
		}
		e, ok := found[0].Endpoint("Say.Hello")
		want, err := schema.Of(reflect.TypeFor[HelloRequest]())
		if err != nil {
			t.Fatal(err)
		}
		if !ok || e.Request != want.Hash || e.Metadata["description"] != "Says hello." || e.Metadata["idempotent"] != "true" || e.Metadata["color"] != "red" || e.Kind != discovery.KindUnary {
			t.Errorf("announced is %+v", e)
		}
		if _, ok := found[0].Endpoint("Say.Secret"); ok {
			t.Error("an internal method is announced")
		}
		ask(t, conn, "mbus.rpc.go_micro_srv_greeter.Say.Secret", nil, `{}`)

		// All of them do not fit into one answer: the rest is named.
		client := rpc.NewClient(conn, rpc.ClientConfig{})
		got, err := rpc.Call[rpc.Schemas](bustest.Context(t), client, greeter, rpc.MethodSchema, &rpc.SchemaRequest{})
		if err != nil || len(got.More) == 0 || len(got.Schemas) == 0 {
			t.Fatalf("got %d schemas, %d more, %v", len(got.Schemas), len(got.More), err)
		}
		for _, hash := range got.More {
			res, err := rpc.Call[rpc.Schemas](bustest.Context(t), client, greeter, rpc.MethodSchema, &rpc.SchemaRequest{Hashes: []string{hash, hash, "unknown"}})
			if err != nil || len(res.Schemas) != 1 || schema.Verify(hash, res.Schemas[hash]) != nil {
				t.Errorf("schema %s: got %v, %v", hash, res, err)
			}
		}
		all := slices.AppendSeq(got.More, maps.Keys(got.Schemas))
		_, err = rpc.Call[rpc.Schemas](bustest.Context(t), client, greeter, rpc.MethodSchema, &rpc.SchemaRequest{Hashes: all})
		wantError(t, err, bus.TooLarge, bus.Handler)
		bodies, err := discovery.Schemas(bustest.Context(t), conn, found[0])
		if err != nil || string(bodies[want.Hash]) != string(want.Body) {
			t.Errorf("discovery reads %v, %v", bodies, err)
		}
	}, small)
}

// Wide has types that take some room to describe.
type Wide struct{}

type (
	wideA struct {
		AVeryLongNameOfAField1, AVeryLongNameOfAField2, AVeryLongNameOfAField3, AVeryLongNameOfAField4, AVeryLongNameOfAField5 map[string][]float64
	}
	wideB struct {
		BVeryLongNameOfAField1, BVeryLongNameOfAField2, BVeryLongNameOfAField3, BVeryLongNameOfAField4, BVeryLongNameOfAField5 map[string][]float64
	}
	wideC struct {
		CVeryLongNameOfAField1, CVeryLongNameOfAField2, CVeryLongNameOfAField3, CVeryLongNameOfAField4, CVeryLongNameOfAField5 map[string][]float64
	}
)

// One takes and gives wide types.
func (*Wide) One(context.Context, *wideA) (*wideB, error) { return nil, nil }

// Two takes and gives wide types.
func (*Wide) Two(context.Context, *wideB) (*wideC, error) { return nil, nil }

func TestOpenStreamsCountAsInFlight(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		rpc.HandleStream(s, "Say.Chat", func(_ context.Context, stream *rpc.Stream[HelloRequest, HelloResponse]) error {
			for _, err := range stream.All() {
				if err != nil {
					return err
				}
			}
			return nil
		})
		serve(t, s)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		inFlight := func() int64 {
			stats, err := rpc.Call[rpc.Stats](bustest.Context(t), client, greeter, rpc.MethodStats, nil)
			if err != nil {
				t.Fatal(err)
			}
			return stats.InFlight - 1
		}
		ctx, giveUp := context.WithCancel(bustest.Context(t))
		stream, err := rpc.OpenStream[HelloResponse, HelloRequest](ctx, client, greeter, "Say.Chat")
		if err != nil {
			t.Fatal(err)
		}
		if n := inFlight(); n != 1 {
			t.Errorf("with a stream %d are in flight", n)
		}
		giveUp() // as ctrl-C does
		if _, err := stream.Recv(); err == nil {
			t.Error("the stream goes on")
		}
		time.Sleep(50 * time.Millisecond)
		if n := inFlight(); n != 0 {
			t.Errorf("50 ms after the caller gave up %d are in flight", n)
		}
	})
}
