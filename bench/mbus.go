package main

import (
	"context"
	"os"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/rpc"
)

// All contenders of mbus have everything on that a user has on by default:
// deadlines, retries, statistics, the panic guard, discovery with its beats,
// and a log at info.

// mbusCore calls with bytes as they are.
func mbusCore() contender {
	return contender{
		name: "mbus-core", title: "mbus, bytes, inline", broker: true, streams: noStreams,
		serve: serveMbus("core"), dial: dialMbus("core", rpc.ClientConfig{}, untyped),
	}
}

// mbusCoreBatched is mbusCore with calls that share messages.
func mbusCoreBatched() contender {
	return contender{
		name: "mbus-core-batched", title: "mbus, bytes, batched, inline", broker: true, streams: noStreams,
		serve: serveMbus("core-batched"), dial: dialMbus("core-batched", rpc.ClientConfig{Batch: true}, untyped),
	}
}

// mbusInline calls a typed method whose handler runs where the request came in.
func mbusInline() contender {
	return contender{
		name: "mbus-inline", title: "mbus, inline", broker: true, streams: "its stream is that of mbus",
		serve: serveMbus("inline"), dial: dialMbus("inline", rpc.ClientConfig{}, typed("Echo.Inline")),
	}
}

// mbusDefault calls a typed method as anybody would.
func mbusDefault() contender {
	return contender{
		name: "mbus", title: "mbus", broker: true,
		serve: serveMbus("default"), dial: dialMbus("default", rpc.ClientConfig{}, typed("Echo.Call")),
	}
}

// mbusBatched is mbusDefault with calls that share messages.
func mbusBatched() contender {
	return contender{
		name: "mbus-batched", title: "mbus, batched", broker: true, streams: "its stream is that of mbus",
		serve: serveMbus("batched"), dial: dialMbus("batched", rpc.ClientConfig{Batch: true}, typed("Echo.Call")),
	}
}

// mbusGenerated is mbusDefault with a message that has generated methods.
func mbusGenerated() contender {
	return contender{
		name: "mbus-generated", title: "mbus, generated msgpack", broker: true, streams: "its stream is that of mbus",
		serve: serveMbus("generated"), dial: dialMbus("generated", rpc.ClientConfig{}, typedAs("Echo.Packed",
			func(text string) *packed { return &packed{text} }, func(m *packed) string { return m.Text })),
	}
}

// untyped calls with bytes as they are.
func untyped(c *rpc.Client, service string) func(int) func(context.Context) error {
	return func(size int) func(context.Context) error {
		body := []byte(text(size))
		req := &rpc.Request{Service: service, Method: "Echo.Bytes", Codec: codec.Raw, Body: body}
		return func(ctx context.Context) error {
			res, err := c.Do(ctx, req)
			if err != nil {
				return err
			}
			return checked(len(res.Body), size, nil)
		}
	}
}

// typed calls with a message.
func typed(method string) func(*rpc.Client, string) func(int) func(context.Context) error {
	return typedAs(method, func(text string) *message { return &message{text} }, func(m *message) string { return m.Text })
}

// typedAs calls with a message of another type.
func typedAs[T any](method string, wrap func(string) *T, read func(*T) string) func(*rpc.Client, string) func(int) func(context.Context) error {
	return func(c *rpc.Client, service string) func(int) func(context.Context) error {
		return func(size int) func(context.Context) error {
			req := wrap(text(size))
			return func(ctx context.Context) error {
				res, err := rpc.Call[T](ctx, c, service, method, req)
				if err != nil {
					return err
				}
				return checked(len(read(res)), size, nil)
			}
		}
	}
}

func logger() zerolog.Logger {
	return zerolog.New(os.Stderr).Level(zerolog.InfoLevel).With().Timestamp().Logger()
}

// echo is the service that all of them call.
func echo(conn *bus.Conn, name string) *rpc.Server {
	srv := rpc.NewServer(conn, rpc.ServerConfig{Name: name, Logger: logger()})
	answer := func(_ context.Context, m *message) (*message, error) { return m, nil }
	rpc.Handle(srv, "Echo.Call", answer)
	rpc.Handle(srv, "Echo.Inline", answer, rpc.Inline())
	rpc.Handle(srv, "Echo.Packed", func(_ context.Context, m *packed) (*packed, error) { return m, nil })
	srv.HandleRaw("Echo.Bytes", func(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
		return &rpc.Response{Codec: r.Codec, Body: r.Body}, nil
	}, rpc.Inline())
	rpc.HandleServerStream(srv, "Echo.Feed", func(_ context.Context, f *feed, send func(*message) error) error {
		m := &message{Text: text(f.Size)}
		for range f.Count {
			if err := send(m); err != nil {
				return err
			}
		}
		return nil
	})
	return srv
}

// serveMbus gives each contender a service of its own, so that none profits
// from what another one has warmed.
func serveMbus(name string) func(context.Context, string) (string, func(), error) {
	return func(ctx context.Context, broker string) (string, func(), error) {
		conn, err := bus.Connect(ctx, bus.Config{URL: broker, Logger: logger()})
		if err != nil {
			return "", nil, err
		}
		srv := echo(conn, serviceID+"."+name)
		return "", func() { stop(srv.Stop, conn.Close) }, srv.Start(ctx)
	}
}

func dialMbus(name string, cfg rpc.ClientConfig, call func(*rpc.Client, string) func(int) func(context.Context) error) func(context.Context, string, string) (*client, error) {
	return func(ctx context.Context, broker, _ string) (*client, error) {
		conn, err := bus.Connect(ctx, bus.Config{URL: broker, Logger: logger()})
		if err != nil {
			return nil, err
		}
		cfg.Logger = logger()
		c := rpc.NewClient(conn, cfg)
		transfer := func(ctx context.Context, size, count int) error {
			got := 0
			for m, err := range rpc.CallStream[message](ctx, c, serviceID+"."+name, "Echo.Feed", &feed{count, size}) {
				if err := checked(len(m.Text), size, err); err != nil {
					return err
				}
				got++
			}
			return arrived(got, count, nil)
		}
		return &client{call: call(c, serviceID+"."+name), transfer: transfer, close: func() { stop(c.Close, conn.Close) }}, nil
	}
}

// stop ends parts of mbus in order. The process ends next, so what fails does
// not matter.
func stop(parts ...func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, part := range parts {
		_ = part(ctx)
	}
}
