package embedded_test

import (
	"encoding/json"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/embedded"
)

// disconnect is what a registrar needs to know of a client that is gone.
type disconnect struct {
	Server struct {
		ID string `json:"id"`
	} `json:"server"`
	Client struct {
		ID      uint64 `json:"id"`
		Account string `json:"acc"`
		Name    string `json:"name"`
	} `json:"client"`
	Reason string `json:"reason"`
}

func TestTheSystemConnectionHearsOfClientsThatAreCut(t *testing.T) {
	for name, cfg := range map[string]embedded.Config{
		"open":  {},
		"users": {AuthFile: usersFile(t)},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Listen, cfg.NoJetStream = "127.0.0.1:0", true
			node := start(t, cfg)
			events := make(chan disconnect, 16)
			l, err := node.System().Listen(bus.Control, "$SYS.ACCOUNT.*.DISCONNECT", "", func(m *nats.Msg) {
				var d disconnect
				if err := json.Unmarshal(m.Data, &d); err != nil {
					t.Errorf("%v in %s", err, m.Data)
				}
				events <- d
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := node.System().Confirm(within(t), l); err != nil {
				t.Fatal(err)
			}
			conn, err := bus.Connect(within(t), bus.Config{
				URL: node.URL(), Name: "victim", User: user(cfg, "ann"), Password: user(cfg, "secret"), FailFast: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			server, client := conn.Identity()
			conn.NATS().Close() // without a word to anybody, as a crash would
			select {
			case d := <-events:
				if d.Server.ID != server || d.Client.ID != client || d.Client.Account != "$G" || d.Client.Name != "victim" {
					t.Errorf("event %+v for client %d of %s", d, client, server)
				}
			case <-within(t).Done():
				t.Fatal("no event")
			}
			if err := conn.Close(within(t)); err != nil {
				t.Logf("close after the cut: %v", err)
			}
		})
	}
}

// user returns s if the node has users.
func user(cfg embedded.Config, s string) string {
	if cfg.AuthFile == "" {
		return ""
	}
	return s
}

func TestClientsAreKeptOutOfTheSystemAccount(t *testing.T) {
	node := start(t, embedded.Config{Listen: "127.0.0.1:0", NoJetStream: true})
	nc := dial(t, node.URL())
	events, err := nc.SubscribeSync("$SYS.ACCOUNT.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.FlushWithContext(within(t)); err != nil {
		t.Fatal(err)
	}
	// The control: the system connection hears what the client must not.
	heard := make(chan struct{}, 16)
	l, err := node.System().Listen(bus.Control, "$SYS.ACCOUNT.*.CONNECT", "", func(*nats.Msg) { heard <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	if err := node.System().Confirm(within(t), l); err != nil {
		t.Fatal(err)
	}
	dial(t, node.URL())
	select {
	case <-heard:
	case <-within(t).Done():
		t.Fatal("the system connection hears nothing")
	}
	if err := nc.FlushWithContext(within(t)); err != nil {
		t.Fatal(err)
	}
	if n, _, err := events.Pending(); n != 0 || err != nil {
		t.Errorf("an anonymous client received %d events of the system account, %v", n, err)
	}
}
