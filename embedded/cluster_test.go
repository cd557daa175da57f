package embedded_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/embedded"
)

func clusterNode(cfg embedded.Config, routes ...string) embedded.Config {
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	if cfg.Cluster.Listen == "" {
		cfg.Cluster.Listen = "127.0.0.1:0"
	}
	for _, address := range routes {
		cfg.Cluster.Routes = append(cfg.Cluster.Routes, "nats://"+address)
	}
	return cfg
}

// linked waits until what is published on one node is heard on the other.
func linked(t *testing.T, from, to *embedded.Node) {
	t.Helper()
	const subject = "are.you.there"
	heard := make(chan struct{}, 1)
	l, err := to.Conn().Listen(bus.Control, subject, "", func(*nats.Msg) {
		select {
		case heard <- struct{}{}:
		default:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Drain(within(t)) }()
	eventually(t, "the nodes hear each other", func() bool {
		if err := from.Conn().Publish(within(t), subject, "", nil, nil); err != nil {
			t.Fatal(err)
		}
		select {
		case <-heard:
			return true
		default:
			return false
		}
	})
}

func TestNodesFormACluster(t *testing.T) {
	a := start(t, clusterNode(embedded.Config{NoJetStream: true}))
	b := start(t, clusterNode(embedded.Config{NoJetStream: true}, a.Addresses().Cluster))
	linked(t, a, b)
	linked(t, b, a)
}

func TestAClusterBetweenMachinesIsEncryptedAndClosed(t *testing.T) {
	certs := newCertificates(t)
	secure := embedded.Config{
		NoJetStream: true, Listen: "0.0.0.0:0", Cluster: embedded.Cluster{Listen: "0.0.0.0:0"},
		TLSCertFile: certs.cert, TLSKeyFile: certs.key, TLSCAFile: certs.ca, AuthFile: usersFile(t),
	}
	log, lines := recorder()
	first := secure
	first.Logger = log
	a := start(t, clusterNode(first))
	_, port, _ := strings.Cut(strings.TrimPrefix(a.Addresses().Cluster, "[::]"), ":")
	address := "127.0.0.1:" + port
	b := start(t, clusterNode(secure, address))
	linked(t, a, b)

	intruder := secure
	intruder.AuthFile = write(t, "others.json", `{"users":[{"user":"x","password":"y"}],"cluster":{"user":"route","password":"guess"}}`, 0o600)
	start(t, clusterNode(intruder, address))
	eventually(t, "the intruder is turned away", func() bool {
		return strings.Contains(strings.ToLower(lines.String()), "authentication error")
	})
	if strings.Contains(lines.String(), "another") {
		t.Error("the cluster's password is in the log")
	}
}

func TestClientsOfAClusteredNodeMoveBeforeItStops(t *testing.T) {
	a, err := embedded.Start(within(t), clusterNode(embedded.Config{NoJetStream: true}))
	if err != nil {
		t.Fatal(err)
	}
	b := start(t, clusterNode(embedded.Config{NoJetStream: true}, a.Addresses().Cluster))
	linked(t, a, b)
	warned := make(chan struct{}, 1)
	nc := dial(t, a.URL()+","+b.URL(), nats.DontRandomize(), nats.MaxReconnects(-1), nats.LameDuckModeHandler(func(*nats.Conn) {
		warned <- struct{}{}
	}))
	if nc.ConnectedServerId() != a.ServerID() {
		t.Fatalf("connected to %s", nc.ConnectedUrl())
	}
	stop(t, a)
	select {
	case <-warned:
	default:
		t.Error("the client was not told before it was cut")
	}
	eventually(t, "the client moves", func() bool { return nc.ConnectedServerId() == b.ServerID() })
}

func TestAStreamIsReplicatedInACluster(t *testing.T) {
	// The nodes must know each other's cluster addresses before they start.
	free := freeAddresses(t, 3)
	var nodes []*embedded.Node
	for i, address := range free {
		cfg := clusterNode(embedded.Config{
			Ephemeral: true, ServerName: fmt.Sprintf("n%d", i), Cluster: embedded.Cluster{Listen: address, Name: "trio"},
		}, free...)
		nodes = append(nodes, start(t, cfg))
	}
	js, err := nodes[0].Conn().JetStream()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the cluster elects a leader and takes a stream", func() bool {
		// Nobody answers before there is a leader.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/4)
		defer cancel()
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "orders", Subjects: []string{"orders.>"}, Replicas: 3})
		return err == nil
	})
	if _, err := js.Publish(within(t), "orders.new", []byte("1")); err != nil {
		t.Errorf("publish: %v", err)
	}
}

// freeAddresses returns loopback addresses that were free a moment ago.
func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	var nodes []*embedded.Node
	var addresses []string
	for range n {
		node, err := embedded.Start(within(t), embedded.Config{Listen: "127.0.0.1:0", NoJetStream: true})
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, node)
		addresses = append(addresses, node.Addresses().Client)
	}
	for _, node := range nodes {
		stop(t, node)
	}
	return addresses
}

func TestANodeJoinsAHubAsLeafNode(t *testing.T) {
	certs := newCertificates(t)
	tls, err := server.GenTLSConfig(&server.TLSConfigOpts{CertFile: certs.cert, KeyFile: certs.key, CaFile: certs.ca})
	if err != nil {
		t.Fatal(err)
	}
	hub, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true,
		LeafNode: server.LeafNodeOpts{Host: "127.0.0.1", Port: -1, TLSConfig: tls, TLSTimeout: 5, Username: "edge", Password: "secret"},
	})
	if err != nil {
		t.Fatal(err)
	}
	hub.Start()
	t.Cleanup(func() {
		hub.Shutdown()
		hub.WaitForShutdown()
	})
	about, err := hub.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	leaf := url.URL{Scheme: "tls", User: url.UserPassword("edge", "secret"), Host: fmt.Sprintf("127.0.0.1:%d", about.LeafNode.Port)}
	node := start(t, embedded.Config{
		Listen: "127.0.0.1:0", NoJetStream: true, TLSCAFile: certs.ca,
		LeafNodes: []embedded.LeafNode{{URLs: []string{leaf.String()}}},
	})
	nc := dial(t, hub.ClientURL())
	heard, err := nc.SubscribeSync("from.the.edge")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the hub hears the leaf", func() bool {
		if err := node.Conn().Publish(within(t), "from.the.edge", "", nil, nil); err != nil {
			t.Fatal(err)
		}
		n, _, err := heard.Pending()
		return err == nil && n > 0
	})
}
