package main

import (
	"context"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/embedded"
	"github.com/mbus-dev/mbus/rpc"
)

func TestACallWithinAProcessHasTheCodecItStandsBeside(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	node, err := embedded.Start(ctx, embedded.Config{Listen: "127.0.0.1:0", NoJetStream: true})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(node.Stop)
	conn, err := bus.Connect(ctx, bus.Config{URL: node.URL()})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(conn.Close)
	srv := echo(conn, localService)
	if err := srv.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer stop(srv.Stop)
	var used atomic.Value
	c := rpc.NewClient(conn, rpc.ClientConfig{Local: []*rpc.Server{srv}, Middleware: []rpc.Middleware{
		func(next rpc.HandlerFunc) rpc.HandlerFunc {
			return func(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
				used.Store(req.Codec)
				return next(ctx, req)
			}
		},
	}})
	defer stop(c.Close)
	one, want := typed("Echo.Call")(c, localService)(small), codec.PlanOf(conn).For(reflect.TypeFor[message]())
	for used.Load() != want { // until it has learnt what the service speaks
		if err := one(ctx); err != nil {
			t.Fatalf("with %v, want %v: %v", used.Load(), want, err)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestACallIsJudgedByTheTimeOfItsCodec(t *testing.T) {
	k := cell{Case: "local", Size: small}
	alone := []sample{made(1000, 0, time.Microsecond, false)}
	call := []sample{made(250, 0, 4*time.Microsecond, false)}
	records := []record{summary(mbusCodec(), k, alone, alone, ""), summary(mbusLocal(), k, call, alone, "")}
	if got, ok := codecTimes("mbus-local")(records); got != 4 || !ok {
		t.Errorf("a call at a quarter of the rate takes %g times as long (%t), want 4", got, ok)
	}
	if _, ok := codecTimes("mbus-local")(records[:1]); ok {
		t.Error("without the call there is a figure")
	}
}
