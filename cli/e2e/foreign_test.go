//go:build unix

package e2e_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

func TestCommandSeesAndCallsAServiceMadeWithNATSGo(t *testing.T) {
	t.Parallel()
	b := startNode(t, "--ephemeral")
	id := addAdder(t, b.plain(t))
	seen := seesForeign(t, b, "adder", id)
	if len(seen.Endpoints) != 1 || seen.Endpoints[0].Name != "add" {
		t.Errorf("mbus get adder shows the endpoints %+v, want add", seen.Endpoints)
	}
	if got := succeed(t, b.mbus("query", "adder", "add", `{"a": 9007199254740993, "b": 1}`)); got != "{\n\t\"sum\": 9007199254740994\n}\n" {
		t.Errorf("mbus query adder add: got %q", got)
	}
	// Its errors are errors here too, and an unknown method is told apart.
	if r := run(t, b.mbus("query", "adder", "add", `{"a": "x"}`)); r.code != 1 || !strings.Contains(r.stderr, "not two numbers") {
		t.Errorf("an error of the service: got exit code %d and %q, want 1 and its words", r.code, r.stderr)
	}
	if r := run(t, b.mbus("query", "adder", "ad", `{}`)); r.code != 5 || !strings.Contains(r.stderr, "did you mean add?") {
		t.Errorf("an unknown method: got exit code %d and %q, want 5 and the real one", r.code, r.stderr)
	}
}

// addAdder runs a service that knows nothing of mbus and returns its id.
func addAdder(t *testing.T, nc *nats.Conn) string {
	t.Helper()
	s, err := micro.AddService(nc, micro.Config{Name: "adder", Version: "1.2.3", Metadata: map[string]string{"made.with": "nats.go"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	err = s.AddEndpoint("add", micro.HandlerFunc(func(r micro.Request) {
		var in struct{ A, B int64 }
		if err := json.Unmarshal(r.Data(), &in); err != nil {
			_ = r.Error("400", "not two numbers", nil)
			return
		}
		_ = r.RespondJSON(map[string]int64{"sum": in.A + in.B})
	}), micro.WithEndpointSubject("math.add"))
	if err != nil {
		t.Fatal(err)
	}
	return s.Info().ID
}

func TestCommandSeesAndCallsTheDemoServiceOfTheNATSTool(t *testing.T) {
	t.Parallel()
	b := startNode(t, "--ephemeral")
	b.start(t, command{path: natsCLI(t), args: []string{"micro", "serve", "parrot"}})
	nc := b.plain(t)
	var id string
	eventually(t, startup, "the demo service", func() error {
		m, err := nc.Request("$SRV.PING.parrot", nil, startup)
		if err == nil {
			id = decode[adrService](t, string(m.Data)).ID
		}
		return err
	})
	seesForeign(t, b, "parrot", id)
	if got := succeed(t, b.mbus("query", "parrot", "echo", `{"say": "hello"}`)); got != "{\n\t\"say\": \"hello\"\n}\n" {
		t.Errorf("mbus query parrot echo: got %q", got)
	}
}

// A seenService is a service as mbus get prints it.
type seenService struct {
	Name, Version string
	Endpoints     []struct{ Name string }
	Nodes         []struct{ ID string }
}

// seesForeign checks that list, get, health and stats show a foreign service
// with its one instance.
func seesForeign(t *testing.T, b *broker, name, id string) seenService {
	t.Helper()
	// Foreign services announce nothing, so a registrar looks for them now and
	// then.
	took := eventually(t, 20*time.Second, name+" in mbus list services", func() error {
		if names := strings.Fields(succeed(t, b.mbus("list", "services"))); !slices.Contains(names, name) {
			return fmt.Errorf("there are only %q", names)
		}
		return nil
	})
	t.Logf("listed after %v", took)
	seen := decode[[]seenService](t, succeed(t, b.mbus("get", "service", name, "--output", "json")))
	if len(seen) != 1 || len(seen[0].Nodes) != 1 || seen[0].Nodes[0].ID != name+"-"+id {
		t.Fatalf("mbus get service %s: %+v, want one version with the node %s-%s", name, seen, name, id)
	}
	for _, command := range []string{"health", "stats"} {
		out := succeed(t, b.mbus(command, name))
		if !strings.Contains(out, name+"-"+id) {
			t.Errorf("mbus %s %s does not show its instance:\n%s", command, name, out)
		}
		if strings.Contains(out, "unavailable") {
			t.Errorf("mbus %s %s takes a service that is well for a sick one:\n%s", command, name, out)
		}
	}
	return seen[0]
}
