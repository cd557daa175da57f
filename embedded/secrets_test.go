package embedded

import (
	"errors"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/embedded/bind"
)

// Only this package knows the passwords of its two users, so only a test in it
// can show that they are of no use on a socket.
func TestTheNodesOwnUsersCannotLogInThroughASocket(t *testing.T) {
	p := plan{Config: Config{NoJetStream: true}, client: bind.Address{Host: "127.0.0.1"}, secrets: newSecrets()}
	opts, err := p.options("")
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	for user, password := range map[string]string{systemUser: p.secrets.system, nodeUser: p.secrets.node} {
		login := nats.UserInfo(user, password)
		nc, err := nats.Connect(srv.ClientURL(), login)
		if !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s over TCP: %v", user, err)
		}
		if err == nil {
			nc.Close()
		}
		if nc, err = nats.Connect("", login, nats.InProcessServer(srv)); err != nil {
			t.Errorf("%s in process: %v", user, err)
		} else {
			nc.Close()
		}
	}
	if p.secrets.system == p.secrets.node || p.secrets == newSecrets() {
		t.Error("the passwords are not random")
	}
}
