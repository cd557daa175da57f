//go:build unix

package e2e_test

import (
	"context"
	"encoding/json"
	"net"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/embedded"
)

// startup is the time that a process gets to be ready, also on a busy machine.
const startup = 20 * time.Second

// A broker is a node, or something like one, that processes and tests connect
// to.
type broker struct {
	url string
	// api and sidecar are the node's HTTP listeners, "" without a node.
	api, sidecar string
	// node is the process, nil for a broker in this one.
	node *process
}

// startNode runs mbus node and waits until it is ready. Without --listen it
// has a free port, and it has only those HTTP listeners that are asked for.
func startNode(t testing.TB, args ...string) *broker {
	t.Helper()
	if !slices.Contains(args, "--listen") {
		args = append([]string{"--listen", "127.0.0.1:0"}, args...)
	}
	for _, flag := range []string{"--api-address", "--sidecar-address", "--web-address"} {
		if !slices.Contains(args, flag) {
			args = append(args, flag, "off")
		}
	}
	return launchNode(t, of(mbus, append([]string{"node"}, args...)...))
}

func launchNode(t testing.TB, c command) *broker {
	t.Helper()
	p := start(t, c)
	line, _ := p.await(t, startup, `"ready":true`)
	var ready struct {
		Bus     string `json:"bus"`
		API     string `json:"api"`
		Sidecar string `json:"sidecar"`
	}
	if err := json.Unmarshal([]byte(line), &ready); err != nil || ready.Bus == "" {
		t.Fatalf("the ready line names no bus (%v): %s", err, line)
	}
	return &broker{url: ready.Bus, api: ready.API, sidecar: ready.Sidecar, node: p}
}

// startBareBroker runs a broker in this process that has nothing of mbus in
// it: no registrar, no system connection that anybody listens on.
func startBareBroker(t testing.TB) *broker {
	t.Helper()
	n, err := embedded.Start(t.Context(), embedded.Config{Listen: "127.0.0.1:0", NoJetStream: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := n.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return &broker{url: n.URL()}
}

func (b *broker) port(t testing.TB) string {
	t.Helper()
	u, err := url.Parse(b.url)
	if err != nil {
		t.Fatal(err)
	}
	return u.Port()
}

func (b *broker) environment() []string {
	return []string{"MBUS_URL=" + b.url, "NATS_URL=" + b.url}
}

// mbus is a command line of the CLI that talks to this broker.
func (b *broker) mbus(args ...string) command {
	return of(mbus, args...).with(b.environment()...)
}

// start runs one of our programs on this broker.
func (b *broker) start(t testing.TB, c command) *process {
	t.Helper()
	return start(t, c.with(b.environment()...))
}

// startGreeter runs the greeter under this id and waits until it answers.
func (b *broker) startGreeter(t testing.TB, id string) *process {
	t.Helper()
	p := b.start(t, of(greeterServer).with("MBUS_SERVER_ID="+id))
	b.awaitInstance(t, "go_micro_srv_greeter", id)
	return p
}

// startCrowd runs crowd and waits until all its instances are announced.
func (b *broker) startCrowd(t testing.TB, args ...string) *process {
	t.Helper()
	p := b.start(t, of(crowd, args...))
	p.await(t, startup, `"ready":true`)
	return p
}

// awaitInstance waits until an instance answers for itself.
func (b *broker) awaitInstance(t testing.TB, service, id string) {
	t.Helper()
	nc := b.plain(t)
	eventually(t, startup, "an answer of "+service+" "+id, func() error {
		_, err := nc.Request("$SRV.PING."+service+"."+id, nil, time.Second)
		return err
	})
}

// connect is a connection of this process.
func (b *broker) connect(t testing.TB) *bus.Conn {
	t.Helper()
	conn, err := bus.Connect(t.Context(), bus.Config{URL: b.url, Name: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_ = conn.Close(ctx) // the broker may be gone already
	})
	return conn
}

// plain is a connection that knows nothing of mbus.
func (b *broker) plain(t testing.TB) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(b.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// freePort is a port that nobody listens on at this moment.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
