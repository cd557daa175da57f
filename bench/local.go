package main

import (
	"context"
	"reflect"
	"sync"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/rpc"
)

// This part measures calls within a process, one after the other, beside what
// their codec alone takes.

// locals are the codec and the calls; the first is what the others are divided
// by.
func locals() []contender { return []contender{mbusCodec(), mbusLocal(), mbusLocalInline()} }

const codecAlone = "mbus-codec"

// mbusLocal calls a service of its own process past the broker.
func mbusLocal() contender {
	return contender{
		name: "mbus-local", title: "mbus, same process", streams: "its stream is that of mbus",
		dial: dialLocal(func(_ *bus.Conn, c *rpc.Client) func(int) func(context.Context) error {
			return typed("Echo.Call")(c, localService)
		}),
	}
}

// mbusLocalInline is mbusLocal with a handler that runs on the caller's goroutine.
func mbusLocalInline() contender {
	return contender{
		name: "mbus-local-inline", title: "mbus, same process, inline", streams: "its stream is that of mbus",
		dial: dialLocal(func(_ *bus.Conn, c *rpc.Client) func(int) func(context.Context) error {
			return typed("Echo.Inline")(c, localService)
		}),
	}
}

// mbusCodec does to a message what a call has done to it, and nothing else: it
// encodes the request and decodes it, encodes the answer and decodes that, in
// the codec that goes between programs of mbus. Like the call it has the memory
// for the request already. It stands in the process that mbusLocal has.
func mbusCodec() contender {
	return contender{
		name: codecAlone, title: "its codec alone",
		dial: dialLocal(func(conn *bus.Conn, _ *rpc.Client) func(int) func(context.Context) error {
			plan := codec.PlanOf(conn)
			carrier := plan.For(reflect.TypeFor[message]())
			var rooms sync.Pool
			return func(size int) func(context.Context) error {
				req := &message{Text: text(size)}
				return func(context.Context) error {
					room, ok := rooms.Get().(*[]byte)
					if !ok {
						room = new([]byte)
					}
					defer rooms.Put(room)
					got, err := carry(plan, carrier, room, req)
					return checked(len(got.Text), size, err)
				}
			}
		}),
	}
}

// carry takes a message to a handler that answers with it, and back.
func carry(plan *codec.Plan, c codec.Codec, room *[]byte, req *message) (got message, err error) {
	if *room, err = plan.Append((*room)[:0], c, req); err != nil {
		return got, err
	}
	in := new(message)
	if err := plan.Unmarshal(c, *room, in); err != nil {
		return got, err
	}
	answer, err := plan.Marshal(c, in)
	if err != nil {
		return got, err
	}
	out := new(message)
	err = plan.Unmarshal(c, answer, out)
	return *out, err
}

const localService = serviceID + ".local"

// dialLocal makes a client in one process with the service. Its transfer is a
// number of calls one after the other, without a clock between them.
func dialLocal(made func(*bus.Conn, *rpc.Client) func(int) func(context.Context) error) func(context.Context, string, string) (*client, error) {
	return func(ctx context.Context, broker, _ string) (*client, error) {
		conn, err := bus.Connect(ctx, bus.Config{URL: broker, Logger: logger()})
		if err != nil {
			return nil, err
		}
		srv := echo(conn, localService)
		if err := srv.Start(ctx); err != nil {
			return nil, err
		}
		c := rpc.NewClient(conn, rpc.ClientConfig{Local: []*rpc.Server{srv}, Logger: logger()})
		call := made(conn, c)
		transfer := func(ctx context.Context, size, count int) error {
			one := call(size)
			for range count {
				if err := one(ctx); err != nil {
					return err
				}
			}
			return nil
		}
		return &client{call: call, transfer: transfer, close: func() { stop(c.Close, srv.Stop, conn.Close) }}, nil
	}
}

// local measures them.
func (r *runner) local(ctx context.Context) error {
	if r.skips("mbus-local") {
		return nil
	}
	before := len(r.children)
	defer r.clear(before)
	var pairs []*pair
	for _, c := range locals() {
		p := r.pair(c, 0)
		if p.missing == "" {
			// Meanwhile the client learns what the service speaks.
			if _, err := p.load(load{Size: small, InFlight: 1, Duration: r.plan.Heat}); err != nil {
				p.missing = reason(err)
			}
		}
		pairs = append(pairs, p)
	}
	for _, k := range r.plan.Local {
		if err := r.cell(ctx, pairs, k); err != nil {
			return err
		}
	}
	return nil
}
