package sidecar_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery/registrar"
	"github.com/mbus-dev/mbus/embedded"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/sidecar"
	"github.com/mbus-dev/mbus/rpc"
)

// A program that knows HTTP and nothing else registers with a POST, and is then
// called like any service of the bus.
func Example() {
	ctx := context.Background()
	node, err := embedded.Start(ctx, embedded.Config{Listen: "127.0.0.1:0", NoJetStream: true})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = node.Stop(ctx) }()

	registry, err := registrar.New(node.Conn(), registrar.Config{})
	if err != nil {
		log.Fatal(err)
	}
	b := gateway.NewBus(node.Conn(), gateway.BusConfig{From: sidecar.Service})
	side, err := sidecar.New(b, sidecar.Config{})
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range []bus.Runner{registry, b, side} {
		if err := r.Start(ctx); err != nil {
			log.Fatal(err)
		}
		defer func() { _ = r.Stop(ctx) }()
	}
	http8081 := httptest.NewServer(side) // a gateway.Server behind an Edge, usually
	defer http8081.Close()

	// The app, in whatever language.
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, `{"you said":%s}`, body)
	}))
	defer app.Close()
	port := app.URL[strings.LastIndex(app.URL, ":")+1:]
	res, err := http.Post(http8081.URL+"/registry?ttl=30s", "application/json", strings.NewReader(
		`{"name":"an.app","nodes":[{"id":"1","address":"127.0.0.1","port":`+port+`,"metadata":{"protocol":"http"}}]}`))
	if err != nil {
		log.Fatal(err)
	}
	_ = res.Body.Close()
	fmt.Println(res.Status)

	// A caller on the bus.
	client := rpc.NewClient(node.Conn(), rpc.ClientConfig{})
	answer, err := client.Do(ctx, &rpc.Request{Service: "an.app", Method: "Any.Method", Body: []byte(`{"name":"John"}`)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", answer.Body)
	// Output:
	// 200 OK
	// {"you said":{"name":"John"}}
}
