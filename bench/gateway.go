package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/api"
)

// gateways are the contenders that stand between a client of HTTP and the bus.
// All of them call the same service, of mbus and in JSON, in a process of its
// own; their clients are the same, too. The first is the floor.
func gateways() []contender {
	direct := func(c contender) string { return "/" + serviceID + "." + c.name + "/Echo.Call" }
	all := []contender{
		{name: "http-raw", title: "net/http, one nats.go request", front: frontRaw},
		{name: "http-fast", title: "fasthttp, one nats.go request", front: frontFast},
		{name: "http-mbus", title: "mbus api, full names", front: frontMbus},
		{name: "http-micro", title: "mbus api, Micro's path", front: frontMbus},
	}
	for i, c := range all {
		path := direct(c)
		if c.name == "http-micro" {
			path = "/" + c.name + "/echo/call"
		}
		all[i].broker, all[i].streams = true, noStreams
		all[i].serve, all[i].dial = serveMbus(c.name), dialGateway(path)
	}
	return all
}

// plainSubject is where the calls of a method go.
func plainSubject(service, method string) string { return wire.CallSubject(service, method) }

// frontRaw does what has to be done, and nothing more.
func frontRaw(ctx context.Context, broker string) (string, func(), error) {
	nc, err := nats.Connect(broker)
	if err != nil {
		return "", nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{service}/{method}", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		m, err := nc.RequestWithContext(r.Context(), plainSubject(r.PathValue("service"), r.PathValue("method")), body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(m.Data) // the client has gone
	})
	address, stop, err := serveMux(ctx, mux)
	return address, func() { stop(); nc.Close() }, err
}

// frontFast is frontRaw on fasthttp.
func frontFast(ctx context.Context, broker string) (string, func(), error) {
	nc, err := nats.Connect(broker)
	if err != nil {
		return "", nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	s := &fasthttp.Server{Handler: func(c *fasthttp.RequestCtx) {
		service, method, _ := strings.Cut(strings.TrimPrefix(string(c.Path()), "/"), "/")
		m, err := nc.Request(plainSubject(service, method), c.PostBody(), patience)
		if err != nil {
			c.Error(err.Error(), http.StatusServiceUnavailable)
			return
		}
		c.SetContentType("application/json")
		c.SetBody(m.Data)
	}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Serve(l) // ends with Shutdown
	}()
	return l.Addr().String(), func() { _ = s.Shutdown(); <-ended; nc.Close() }, nil
}

// frontMbus is what the command mbus api runs, with what is on by default: the
// edge, and the access log at info.
func frontMbus(ctx context.Context, broker string) (string, func(), error) {
	lines := gateway.NewLogBuffer(os.Stderr)
	log := zerolog.New(lines).Level(zerolog.InfoLevel).With().Timestamp().Logger()
	conn, err := bus.Connect(ctx, bus.Config{URL: broker, Logger: log})
	if err != nil {
		return "", nil, err
	}
	b := gateway.NewBus(conn, gateway.BusConfig{From: "go.micro.api", Logger: log})
	room, err := api.New(b, api.Config{Namespace: serviceID, Logger: log})
	if err != nil {
		return "", nil, err
	}
	edge, err := gateway.NewEdge(gateway.EdgeConfig{Name: "go.micro.api", Logger: log})
	if err != nil {
		return "", nil, err
	}
	s := gateway.NewServer(b, gateway.ServerConfig{Address: "127.0.0.1:0", Handler: edge.Wrap(room), Logger: log})
	if err := b.Start(ctx); err != nil {
		return "", nil, err
	}
	if err := s.Start(ctx); err != nil {
		return "", nil, err
	}
	return s.Address(), func() { stop(s.Stop, b.Stop, conn.Close); lines.Flush() }, nil
}

// dialGateway is a lean client, so that most of what is measured is the gateway.
func dialGateway(path string) func(context.Context, string, string) (*client, error) {
	return func(_ context.Context, _, address string) (*client, error) {
		web := &fasthttp.HostClient{Addr: address, MaxConns: 1024}
		return &client{
			call: func(size int) func(context.Context) error {
				body, err := json.Marshal(message{Text: text(size)})
				return func(context.Context) error {
					if err != nil {
						return err
					}
					return postFast(web, "http://"+address+path, body)
				}
			},
			close: web.CloseIdleConnections,
		}, nil
	}
}

// postFast sends a body that has to come back as it is.
func postFast(web *fasthttp.HostClient, url string, body []byte) error {
	req, res := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(res)
	req.SetRequestURI(url)
	req.Header.SetMethod(http.MethodPost)
	req.Header.SetContentType("application/json")
	req.SetBodyRaw(body)
	if err := web.DoTimeout(req, res, 10*time.Second); err != nil {
		return err
	}
	if res.StatusCode() != http.StatusOK {
		return fmt.Errorf("HTTP %d: %.200s", res.StatusCode(), res.Body())
	}
	return checked(len(res.Body()), len(body), nil)
}
