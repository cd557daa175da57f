package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/embedded"
)

// A broker on a free port, for as long as this function runs.
func ExampleStart() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	node, err := embedded.Start(ctx, embedded.Config{Listen: "127.0.0.1:0", Ephemeral: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer node.Stop(ctx)

	// This process needs no socket.
	answers, err := node.Conn().Listen(bus.Calls, "greet", "", func(m *nats.Msg) {
		_ = m.Respond([]byte("hello " + string(m.Data)))
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := node.Conn().Confirm(ctx, answers); err != nil {
		fmt.Println(err)
		return
	}

	// Other programs connect to the URL.
	conn, err := bus.Connect(ctx, bus.Config{URL: node.URL()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close(ctx)
	reply, err := conn.Request(ctx, "greet", nil, []byte("John"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(reply.Data))
	// Output: hello John
}

// A listener that other machines can reach needs TLS and users.
func ExampleConfigError() {
	_, err := embedded.Start(context.Background(), embedded.Config{Listen: "0.0.0.0:4222"})
	if e, ok := errors.AsType[*embedded.ConfigError](err); ok {
		fmt.Println(e)
		fmt.Println(errors.Is(err, embedded.ErrUnsafe))
	}
	// Output:
	// --listen 0.0.0.0:4222 can be reached from other machines and lacks TLS and authentication; add --tls-cert-file --tls-key-file --tls-ca-file --auth-file, or choose 127.0.0.1, or accept the risk with --insecure-allow-remote
	// true
}

// A node among the other things with a lifetime: it starts first, so that it
// stops last.
func ExampleNode_Start() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	node, err := embedded.Start(ctx, embedded.Config{DontListen: true, NoJetStream: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer node.Stop(ctx) // in case Run never gets to it

	running, stop := context.WithCancel(ctx)
	stop() // as a signal would, later
	fmt.Println(bus.Run(running, 5*time.Second, node))
	// Output: <nil>
}

// The system account tells of each client that comes and goes.
func ExampleNode_System() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	node, err := embedded.Start(ctx, embedded.Config{Listen: "127.0.0.1:0", NoJetStream: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer node.Stop(ctx)

	gone := make(chan string, 1)
	events, err := node.System().Listen(bus.Control, "$SYS.ACCOUNT.*.DISCONNECT", "", func(m *nats.Msg) {
		gone <- m.Subject
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := node.System().Confirm(ctx, events); err != nil {
		fmt.Println(err)
		return
	}
	conn, err := bus.Connect(ctx, bus.Config{URL: node.URL()})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := conn.Close(ctx); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(<-gone)
	// Output: $SYS.ACCOUNT.$G.DISCONNECT
}
