//go:build unix

package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

func TestHostileAnnouncementsAreDroppedAndCostLittle(t *testing.T) {
	onlyOnLinux(t)
	t.Parallel()
	b := startNode(t, "--ephemeral")
	b.startGreeter(t, "victim")
	command := b.start(t, of(mbus, "registry", "watch", "--snapshot"))
	command.await(t, startup, "go.micro.srv.greeter")
	nc := b.plain(t)
	say := func(subject string, header nats.Header, data []byte) {
		t.Helper()
		if err := nc.PublishMsg(&nats.Msg{Subject: subject, Header: header, Data: data}); err != nil {
			t.Fatal(err)
		}
		// One after the other: a flood is held back, not thrown away.
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	endures(t, func() {
		for _, a := range attacks() {
			for _, event := range []string{"up", "beat", "change", "drain", "down"} {
				say("mbus.announce.evil.x."+event, a.header, a.data)
			}
			say("mbus.announce.go_micro_srv_greeter.victim.up", a.header, a.data)
			say("mbus.registry.pace", a.header, a.data)
		}
		// What an announcement says must be what its subject says.
		say("mbus.announce.evil.x.up", nil, announcement("go.micro.srv.greeter", "x"))
		say("mbus.announce.evil.x.up", nil, announcement("evil", "victim"))
		// The control: a good one by the same way is seen, after all of those.
		say("mbus.announce.ghost.g1.up", nil, announcement("ghost", "g1"))
		command.await(t, startup, "create", "ghost")
	}, b.node, command)

	names := strings.Fields(succeed(t, b.mbus("list", "services")))
	if !slices.Equal(names, []string{"ghost", "go.micro.srv.greeter", "mbus"}) {
		t.Errorf("mbus list services shows %q", names)
	}
	if shown := command.stdout.String(); strings.Contains(shown, "evil") || strings.Contains(shown, "delete") {
		t.Errorf("mbus registry watch shows\n%s", shown)
	}
}

func announcement(name, id string) []byte {
	return fmt.Appendf(nil, `{"v":1,"name":%q,"id":%q,"version":"1.0.0","rev":1,"interval":2000,"started":%q}`,
		name, id, time.Now().UTC().Format(time.RFC3339))
}
