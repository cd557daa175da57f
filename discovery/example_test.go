package discovery_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery"
)

// connect starts a broker in this process and connects to it. A program has
// one elsewhere and calls bus.Connect with the zero Config.
func connect(ctx context.Context) (conn *bus.Conn, end func()) {
	broker, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true})
	if err != nil {
		log.Fatal(err)
	}
	broker.Start()
	conn, err = bus.Connect(ctx, bus.Config{InProcess: broker})
	if err != nil {
		log.Fatal(err)
	}
	return conn, func() {
		_ = conn.Close(ctx)
		broker.Shutdown()
		broker.WaitForShutdown()
	}
}

func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, end := connect(ctx)
	defer end()

	// rpc.Server does this for a service.
	greeter, err := discovery.NewAnnouncer(conn, discovery.AnnouncerConfig{
		Name: "go.micro.srv.greeter", ID: "one", Version: "1.0.0",
		Endpoints: []discovery.Endpoint{{Name: "Say.Hello"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := greeter.Start(ctx); err != nil {
		log.Fatal(err)
	}

	instances, err := discovery.Query(ctx, conn, "go.micro.srv.greeter")
	if err != nil {
		log.Fatal(err)
	}
	for _, i := range instances {
		subject, _ := i.CallSubject("Say.Hello")
		fmt.Println(i.NodeID(), i.Version, subject)
	}
	if err := greeter.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	names, err := discovery.List(ctx, conn)
	fmt.Println(names, err)
	// Output:
	// go.micro.srv.greeter-one 1.0.0 mbus.rpc.go_micro_srv_greeter.Say.Hello
	// [] <nil>
}

func ExampleWatch() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, end := connect(ctx)
	defer end()

	view, err := discovery.Watch(ctx, conn, discovery.WithService("greeter"))
	if err != nil {
		log.Fatal(err)
	}
	defer view.Close()
	<-view.Ready()
	changes := view.Changes(ctx)

	greeter, err := discovery.NewAnnouncer(conn, discovery.AnnouncerConfig{Name: "greeter", ID: "one"})
	if err != nil {
		log.Fatal(err)
	}
	if err := greeter.Start(ctx); err != nil {
		log.Fatal(err)
	}
	if err := greeter.Drain(ctx, "deploy"); err != nil {
		log.Fatal(err)
	}
	if err := greeter.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	for c := range changes {
		fmt.Printf("%d %s %s %q %q\n", c.Seq, c.Action, c.Instance.NodeID(), c.Instance.State, c.Reason)
		if c.Action == discovery.Delete {
			break
		}
	}
	// Output:
	// 1 create greeter-one "" ""
	// 2 update greeter-one "draining" ""
	// 3 delete greeter-one "draining" "stopped"
}

func ExampleGet() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, end := connect(ctx)
	defer end()
	greeter, err := discovery.NewAnnouncer(conn, discovery.AnnouncerConfig{Name: "go.micro.srv.greeter", Version: "1.0.0"})
	if err != nil {
		log.Fatal(err)
	}
	if err := greeter.Start(ctx); err != nil {
		log.Fatal(err)
	}
	defer func() { _ = greeter.Stop(ctx) }()

	services, err := discovery.Get(ctx, conn, "go.micro.srv.greeter")
	fmt.Println(services[0].Name, services[0].Version, len(services[0].Nodes), err)
	_, err = discovery.Get(ctx, conn, "go.micro.srv.auth")
	fmt.Println(err)
	_, err = discovery.Get(ctx, conn, "greter")
	fmt.Println(err)
	// Output:
	// go.micro.srv.greeter 1.0.0 1 <nil>
	// not_found: no service "go.micro.srv.auth" on this bus
	// not_found: no service "greter" on this bus; did you mean go.micro.srv.greeter?
}

func ExampleValueOf() {
	v := discovery.ValueOf([]byte(`{
		"title": "HelloRequest", "type": "object",
		"properties": {"name": {"type": "string"}, "times": {"type": "integer", "format": "int32"}}
	}`))
	fmt.Println(v.Name)
	for _, field := range v.Values {
		fmt.Println(field.Name, field.Type)
	}
	// Output:
	// HelloRequest
	// name string
	// times int32
}

// A message that holds itself has no Value that is whole, but a Part goes as deep
// as it is asked.
func ExamplePartOf() {
	tree := discovery.PartOf([]byte(`{
		"$ref": "#/$defs/Tree",
		"$defs": {"Tree": {"title": "Tree", "type": "object", "properties": {
			"size": {"type": "integer"}, "leaves": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}
		}}}
	}`))
	leaves := tree.Field("leaves")
	fmt.Println(tree.Type(), leaves.Type(), leaves.Element().Field("leaves").Element().Field("size").Type())
	// Output: Tree []Tree int64
}

func ExampleNear() {
	services := []string{"go.micro.srv.greeter", "go.micro.srv.auth", "mbus"}
	fmt.Println(discovery.Near("go.micro.srv.greter", services))
	fmt.Println(discovery.Near("Greeter", services))
	// Output:
	// [go.micro.srv.greeter]
	// [go.micro.srv.greeter]
}

func ExamplePaceFor() {
	fmt.Println(discovery.PaceFor(100).Beat, discovery.PaceFor(10_000).Beat)
	// Output: 2s 20s
}
