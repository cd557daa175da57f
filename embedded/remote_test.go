package embedded_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"golang.org/x/crypto/bcrypt"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/embedded"
)

// usersFile lists ann, who may do everything and whose password is hashed, and
// shop, which is limited.
func usersFile(t *testing.T) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, "users.json", fmt.Sprintf(`{
	"users": [
		{"user": "ann", "password": %q},
		{"user": "shop", "password": "plain", "publish": ["order.>"], "subscribe": ["order.> shop", "_INBOX.>"]},
		{"user": "deaf", "password": "plain", "subscribe": []}
	],
	"cluster": {"user": "route", "password": "another"}
}`, hash), 0o600)
}

func TestWithTLSAndUsersTheNodeServesOtherMachines(t *testing.T) {
	certs := newCertificates(t)
	node := start(t, embedded.Config{
		Listen: "0.0.0.0:0", Ephemeral: true,
		TLSCertFile: certs.cert, TLSKeyFile: certs.key, TLSCAFile: certs.ca, AuthFile: usersFile(t),
	})
	if !strings.HasPrefix(node.URL(), "tls://127.0.0.1:") {
		t.Fatalf("URL %s", node.URL())
	}
	withCert := []nats.Option{nats.RootCAs(certs.ca), nats.ClientCert(certs.cert, certs.key)}

	nc := dial(t, node.URL(), append(withCert, nats.UserInfo("ann", "secret"))...)
	addStream(t, newJetStream(t, nc), "orders")
	mine, err := node.Conn().JetStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mine.Stream(within(t), "orders"); err != nil {
		t.Errorf("users and the node do not share an account: %v", err)
	}

	cfg := bus.Config{
		URL: node.URL(), User: "ann", Password: "secret", FailFast: true,
		TLSCAFile: certs.ca, TLSCertFile: certs.cert, TLSKeyFile: certs.key,
	}
	conn, err := bus.Connect(within(t), cfg)
	if err != nil {
		t.Fatalf("bus.Connect: %v", err)
	}
	if err := conn.Close(within(t)); err != nil {
		t.Error(err)
	}

	noCert, wrong, anonymous := cfg, cfg, cfg
	noCert.TLSCertFile, noCert.TLSKeyFile = "", ""
	wrong.Password = "guess"
	anonymous.User, anonymous.Password = "", ""
	plain := cfg
	plain.URL = strings.Replace(node.URL(), "tls://", "nats://", 1)
	plain.TLSCAFile, plain.TLSCertFile, plain.TLSKeyFile = "", "", ""
	// Without a certificate the broker may hang up before it has said why.
	if conn, err := bus.Connect(within(t), noCert); err == nil {
		t.Error("without a certificate: connected")
		_ = conn.Close(within(t))
	}
	for name, c := range map[string]bus.Config{
		"with a wrong password": wrong,
		"without a user":        anonymous, "without TLS": plain,
	} {
		conn, err := bus.Connect(within(t), c)
		if err == nil {
			t.Errorf("%s: connected", name)
			_ = conn.Close(within(t))
		} else if !errors.Is(err, bus.Refused) {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
	}
}

func TestUsersHaveTheRightsOfTheAuthFile(t *testing.T) {
	node := start(t, embedded.Config{Listen: "127.0.0.1:0", NoJetStream: true, AuthFile: usersFile(t)})
	connect := func(user, password string) *bus.Conn {
		t.Helper()
		conn, err := bus.Connect(within(t), bus.Config{URL: node.URL(), User: user, Password: password, FailFast: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(within(t)) })
		return conn
	}
	nothing := func(*nats.Msg) {}
	shop := connect("shop", "plain")
	for _, tc := range []struct {
		subject, queue string
		allowed        bool
	}{
		{"order.new", "shop", true},
		{"order.new", "", false},
		{"order.new", "other", false},
		{"payment.new", "shop", false},
		{"mbus.announce.>", "", false},
	} {
		l, err := shop.Listen(bus.Control, tc.subject, tc.queue, nothing)
		if err == nil {
			err = shop.Confirm(within(t), l)
		}
		if tc.allowed != (err == nil) || !tc.allowed && !errors.Is(err, bus.PermissionDenied) {
			t.Errorf("subscribe to %s %s: %v", tc.subject, tc.queue, err)
		}
	}
	if _, err := shop.Request(within(t), "order.unknown", nil, nil); !errors.Is(err, bus.Nobody) {
		t.Errorf("an allowed request: %v, want nobody to listen", err)
	}
	if _, err := shop.Request(within(t), "payment.take", nil, nil); !errors.Is(err, bus.PermissionDenied) {
		t.Errorf("a forbidden request: %v", err)
	}
	// An empty list is no right at all, where to NATS it would be every right.
	deaf := dial(t, node.URL(), nats.UserInfo("deaf", "plain"))
	if _, err := deaf.SubscribeSync("order.new"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the subscription is refused", func() bool {
		_ = deaf.FlushWithContext(within(t))
		return errors.Is(deaf.LastError(), nats.ErrPermissionViolation)
	})
}

func TestAnAuthFileClosesAnOpenNode(t *testing.T) {
	node := start(t, embedded.Config{Listen: "127.0.0.1:0", NoJetStream: true, AuthFile: usersFile(t)})
	if nc, err := nats.Connect(node.URL()); err == nil {
		nc.Close()
		t.Error("an anonymous client got in")
	}
	for _, user := range []string{"_mbus_node", "_mbus_system", ""} {
		if nc, err := nats.Connect(node.URL(), nats.UserInfo(user, "")); err == nil {
			nc.Close()
			t.Errorf("user %q got in without a password", user)
		}
	}
}
