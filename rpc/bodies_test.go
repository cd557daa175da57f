package rpc_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/rpc"
)

// filled is a text that tells whose it is in every part of it.
func filled(id string, size int) string { return id + strings.Repeat("|"+id, size/(len(id)+1)) }

func isFilled(text string) bool {
	id, _, _ := strings.Cut(text, "|")
	return text == filled(id, len(text)-len(id))
}

// Buffers are used again: whatever is still read, after a caller has given up, in
// a copy, in parts or on a stream, must be what was sent.
func TestNobodyReadsABodyThatIsUsedAgain(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) { useAgain(t, b, 1) })
}

func useAgain(t *testing.T, b *bustest.Bus, seed uint64) {
	conn := b.Conn(t)
	intact := func(ctx context.Context, name string, slow bool) {
		body := rpc.RequestFrom(ctx).Body
		if !isFilled(name) || !bytes.Contains(body, []byte(name)) {
			t.Errorf("a handler got the body %.80q for %.80q", body, name)
		}
		if slow {
			time.Sleep(time.Duration(len(name)%50) * time.Millisecond)
		}
		if !bytes.Contains(body, []byte(name)) {
			t.Errorf("the body of %.80q has become %.80q", name, body)
		}
	}
	var first *rpc.Server
	for i := range 2 {
		on := conn
		if i > 0 {
			on = b.Conn(t)
		}
		s := newGreeter(on, func(c *rpc.ServerConfig) { c.ChunkAbove = 64 << 10 })
		handler := func(slow bool) func(context.Context, *HelloRequest) (*HelloResponse, error) {
			return func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
				intact(ctx, r.Name, slow)
				return &HelloResponse{Msg: r.Name}, nil
			}
		}
		rpc.Handle(s, "Say.Quick", handler(false))
		rpc.Handle(s, "Say.Slow", handler(true), rpc.Idempotent())
		rpc.Handle(s, "Say.Inline", handler(false), rpc.Inline())
		s.HandleRaw("Say.Raw", func(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
			return &rpc.Response{Codec: r.Codec, Body: r.Body}, nil
		})
		s.HandleRawStream("Say.Echo", discovery.KindBidi, func(_ context.Context, stream *rpc.RawStream) error {
			for {
				c, body, err := stream.Recv()
				if err == io.EOF { //nolint:errorlint // it is never wrapped
					return nil
				}
				if err != nil {
					return err
				}
				if err := stream.Send(c, body); err != nil {
					return err
				}
			}
		})
		serve(t, s)
		if i == 0 {
			first = s
		}
	}
	var clients []*rpc.Client
	for _, cfg := range []rpc.ClientConfig{{}, {Batch: true}, {Batch: true, Hedge: true, ChunkAbove: 64 << 10}, {Local: []*rpc.Server{first}}} {
		on := conn
		if cfg.Local == nil {
			on = b.Conn(t)
		}
		client := rpc.NewClient(on, cfg)
		t.Cleanup(func() { _ = client.Close(bustest.Context(t)) })
		clients = append(clients, client)
		_, _ = rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Quick", &HelloRequest{Name: "first"})
	}
	time.Sleep(3 * time.Second)
	var all sync.WaitGroup
	var answered atomic.Int64
	for who := range 16 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(who)))
			client := clients[who%len(clients)]
			for n := range 40 {
				size := random.IntN(300)
				if random.IntN(8) == 0 {
					size = random.IntN(150_000)
				}
				id := filled(fmt.Sprintf("%d.%d", who, n), size)
				if once(t, client, random, id) {
					answered.Add(1)
				}
			}
		})
	}
	all.Wait()
	if n := answered.Load(); n < 300 {
		t.Errorf("only %d calls were answered", n)
	}
}

// once makes a call, or a stream, of some kind, and reports whether it was
// answered, as it must be unless the caller gave up.
func once(t *testing.T, client *rpc.Client, random *rand.Rand, id string) bool {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	gives := random.IntN(4) == 0
	if gives {
		pause := time.Duration(random.IntN(20)) * time.Millisecond
		if random.IntN(2) == 0 {
			go func() { cancel() }()
		} else {
			defer time.AfterFunc(pause, cancel).Stop()
		}
	}
	var got string
	var err error
	if kind := random.IntN(12); kind == 0 {
		got, err = id, echoes(ctx, client, id)
	} else if kind < 3 {
		var res *[]byte
		if res, err = rpc.Call[[]byte](ctx, client, greeter, "Say.Raw", []byte(id)); err == nil {
			got = string(*res)
		}
	} else {
		var res *HelloResponse
		method := []string{"Say.Quick", "Say.Slow", "Say.Inline"}[kind%3]
		if res, err = rpc.Call[HelloResponse](ctx, client, greeter, method, &HelloRequest{Name: id}); err == nil {
			got = res.Msg
		}
	}
	switch {
	case err == nil && got != id:
		t.Errorf("got %.80q for %.80q", got, id)
	case err != nil && !gives:
		t.Error(err)
	}
	return err == nil
}

func echoes(ctx context.Context, client *rpc.Client, id string) error {
	stream, err := client.Open(ctx, &rpc.Request{Service: greeter, Method: "Say.Echo"})
	if err != nil {
		return err
	}
	const messages = 100
	name := func(i int) string { return filled(fmt.Sprint(i), i*7) }
	sent := make(chan error, 1)
	go func() {
		for i := range messages {
			if err := stream.Send(codec.Raw, []byte(name(i))); err != nil {
				sent <- err
				return
			}
		}
		sent <- stream.CloseSend()
	}()
	for i := 0; ; i++ {
		_, body, err := stream.Recv()
		if err == io.EOF && i == messages { //nolint:errorlint // it is never wrapped
			return <-sent
		}
		if err != nil {
			_ = stream.Close()
			<-sent
			return fmt.Errorf("message %d of %.20s: %w", i, id, err)
		}
		if string(body) != name(i) {
			_ = stream.Close()
			<-sent
			return bus.Errorf(bus.DataLoss, "message %d is %.40q", i, body)
		}
	}
}
