package registrar_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/discovery/registrar"
	"github.com/mbus-dev/mbus/embedded"
)

// A broker in this process stands in for one elsewhere; its system connection
// tells the registrar of every connection that ends.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	node, err := embedded.Start(ctx, embedded.Config{Listen: "127.0.0.1:0", Ephemeral: true})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = node.Stop(ctx) }()

	r, err := registrar.New(node.Conn(), registrar.Config{System: node.System()})
	if err != nil {
		log.Fatal(err)
	}
	if err := r.Start(ctx); err != nil {
		log.Fatal(err)
	}

	// An app that is not on the bus.
	app := discovery.Service{Name: "ruby.app", Version: "7", Nodes: []discovery.Node{{ID: "host 1:8000", Address: "10.0.0.7", Port: 8000}}}
	if err := discovery.Register(ctx, node.Conn(), app, time.Minute); err != nil {
		log.Fatal(err)
	}
	names, err := discovery.List(ctx, node.Conn())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(names)
	services, err := discovery.Get(ctx, node.Conn(), "ruby.app")
	if err != nil {
		log.Fatal(err)
	}
	for _, n := range services[0].Nodes {
		fmt.Println(n.ID, n.Address, n.Port)
	}
	if err := r.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// [mbus ruby.app]
	// host 1:8000 10.0.0.7 8000
}

func Example_watch() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	node, err := embedded.Start(ctx, embedded.Config{Listen: "127.0.0.1:0", Ephemeral: true})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = node.Stop(ctx) }()
	r, err := registrar.New(node.Conn(), registrar.Config{})
	if err != nil {
		log.Fatal(err)
	}
	if err := r.Start(ctx); err != nil {
		log.Fatal(err)
	}
	defer func() { _ = r.Stop(ctx) }()

	app := discovery.Service{Name: "ruby.app", Version: "7", Nodes: []discovery.Node{{ID: "a", Address: "10.0.0.7", Port: 8000}}}
	if err := discovery.Register(ctx, node.Conn(), app, time.Minute); err != nil {
		log.Fatal(err)
	}
	for change, err := range discovery.WatchRegistry(ctx, node.Conn(), "ruby.app", true) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(change.Action, change.Service.Name, change.Service.Nodes[0].ID)
		if change.Action == discovery.Delete {
			break
		}
		if err := discovery.Deregister(ctx, node.Conn(), app); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// create ruby.app a
	// delete ruby.app a
}
