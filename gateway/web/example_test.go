package web_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/embedded"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/web"
)

// A dashboard on a listener of its own.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	node, err := embedded.Start(ctx, embedded.Config{Listen: "127.0.0.1:0", Ephemeral: true})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = node.Stop(ctx) }()
	b := gateway.NewBus(node.Conn(), gateway.BusConfig{From: web.Service})
	dashboard, err := web.New(b, web.Config{System: node.System()})
	if err != nil {
		log.Fatal(err)
	}
	edge, err := gateway.NewEdge(gateway.EdgeConfig{Name: web.Service, Hosts: web.Hosts(), Pages: web.Page, Public: web.Public})
	if err != nil {
		log.Fatal(err)
	}
	server := gateway.NewServer(b, gateway.ServerConfig{Address: "127.0.0.1:0", Handler: edge.Wrap(dashboard)})
	for _, r := range []bus.Runner{b, dashboard, server} {
		if err := r.Start(ctx); err != nil {
			log.Fatal(err)
		}
		defer func() { _ = r.Stop(ctx) }()
	}

	res, err := http.Get(server.URL() + "/services")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		log.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fmt.Println(res.StatusCode, line)
	// Output: 200 No services yet. Each of these starts one:
}
