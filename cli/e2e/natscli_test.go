//go:build unix

package e2e_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/examples/greeter"
)

// natsCLI is the command line tool of NATS, as its authors built it.
func natsCLI(t testing.TB) string {
	t.Helper()
	name := "nats"
	if at := os.Getenv("MBUS_NATS_CLI"); at != "" {
		name = at
	}
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if why := "the NATS command line tool is missing: go install github.com/nats-io/natscli/nats@v0.5.1"; os.Getenv("MBUS_CI") != "" {
		t.Fatal(why)
	} else {
		t.Skip(why)
	}
	return ""
}

// nats runs the tool against the broker; it must succeed.
func (b *broker) nats(t testing.TB, args ...string) string {
	t.Helper()
	return succeed(t, command{path: natsCLI(t), args: args}.with(b.environment()...))
}

// An adrService is what the tool prints about an instance.
type adrService struct {
	Name      string            `json:"name"`
	ID        string            `json:"id"`
	Version   string            `json:"version"`
	Metadata  map[string]string `json:"metadata"`
	Endpoints []adrEndpoint     `json:"endpoints"`
}

type adrEndpoint struct {
	Name     string `json:"name"`
	Requests int    `json:"num_requests"` // in statistics only
}

func decode[T any](t testing.TB, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("no JSON: %v\n%s", err, text)
	}
	return v
}

func TestNATSToolsSeeAndCallEveryService(t *testing.T) {
	t.Parallel()
	natsCLI(t)
	b := startNode(t, "--ephemeral", "--demo")
	names := decode[[]string](t, succeed(t, b.mbus("list", "services", "--output", "json")))
	for _, want := range []string{"go.micro.srv.greeter", "mbus"} {
		if !slices.Contains(names, want) {
			t.Errorf("mbus list services has %q, want %q among them", names, want)
		}
	}

	names = onTheBus(names)
	var listed []string
	for _, s := range decode[[]adrService](t, b.nats(t, "micro", "ls", "--json")) {
		listed = append(listed, s.Metadata["mbus.name"])
	}
	if slices.Sort(listed); !slices.Equal(listed, names) {
		t.Errorf("nats micro ls shows the services %q, mbus list %q", listed, names)
	}
	table := b.nats(t, "micro", "ls")
	pings := b.nats(t, "micro", "ping", "--timeout", "1s")
	for _, name := range names {
		if s := wire.Escape(name); !strings.Contains(table, s) || !strings.Contains(pings, s) {
			t.Errorf("%s is missing in the table:\n%s\nor the pings:\n%s", s, table, pings)
		}
		natsToolsSee(t, b, name)
	}
	natsToolsCall(t, b, "go_micro_srv_greeter", "Say_Hello", `{"name":"John"}`, "Hello John")
	natsToolsCall(t, b, "go_micro_srv_greeter", "Debug_Health", "{}", "ok")
	if got := b.nats(t, "micro", "request", "mbus", "Debug_Health", "{}", "--raw"); !strings.Contains(got, "ok") {
		t.Errorf("nats micro request mbus Debug_Health: got %q, want ok in it", got)
	}

	// The subjects alone are enough: no header, no discovery.
	for subject, call := range map[string]struct{ body, want string }{
		"mbus.rpc.go_micro_srv_greeter.Say.Hello": {`{"name":"John"}`, "Hello John"},
		"mbus.registry.get":                       {`{"service":"go.micro.srv.greeter"}`, `"name":"Say.Hello"`},
	} {
		if said := b.nats(t, "request", subject, call.body, "--raw"); !strings.Contains(said, call.want) {
			t.Errorf("nats request %s %s: got %q, want %q in it", subject, call.body, said, call.want)
		}
	}
	// A stream is as many replies and an empty one, which the tool calls nil.
	said := b.nats(t, "request", "mbus.rpc.go_micro_srv_lab.Lab.Count", `{"n":5}`, "--wait-for-empty", "--raw")
	if got := strings.Fields(said); !slices.Equal(got, []string{`{"i":0}`, `{"i":1}`, `{"i":2}`, `{"i":3}`, `{"i":4}`, "nil", "body"}) {
		t.Errorf("nats request of a stream: got %q, want the numbers from 0 to 4 and an end", said)
	}
}

// natsToolsSee shows a service to the tool.
func natsToolsSee(t *testing.T, b *broker, name string) {
	t.Helper()
	adr := wire.Escape(name)
	info := decode[struct{ Info, Stats adrService }](t, b.nats(t, "micro", "info", adr, "--json"))
	if info.Info.Name != adr || info.Stats.Name != adr {
		t.Errorf("nats micro info %s: %+v", adr, info)
	}
	var offered, counted []string
	for _, e := range info.Info.Endpoints {
		offered = append(offered, e.Name)
	}
	for _, e := range info.Stats.Endpoints {
		counted = append(counted, e.Name)
	}
	if !slices.Equal(offered, counted) {
		t.Errorf("%s offers %q and has statistics of %q", adr, offered, counted)
	}
}

// natsToolsCall calls a method as a user of the tool does, and finds the call
// in the statistics.
func natsToolsCall(t *testing.T, b *broker, adr, endpoint, body, want string) {
	t.Helper()
	if got := b.nats(t, "micro", "request", adr, endpoint, body, "--raw"); !strings.Contains(got, want) {
		t.Errorf("nats micro request %s %s: got %q, want %q in it", adr, endpoint, got, want)
	}
	stats := decode[[]adrService](t, b.nats(t, "micro", "stats", adr, "--json"))
	if len(stats) != 1 {
		t.Fatalf("nats micro stats %s: %d instances, want 1", adr, len(stats))
	}
	for _, e := range stats[0].Endpoints {
		if e.Name == endpoint && e.Requests != 1 {
			t.Errorf("%s %s has %d requests, want the 1 of this test", adr, endpoint, e.Requests)
		}
	}
}

// The raw answers on the control subjects, and not what some library made of
// them, are valid by the schemas that the NATS tools carry.
func TestControlAnswersAreValidByTheSchemasOfNATS(t *testing.T) {
	t.Parallel()
	natsCLI(t)
	b := startNode(t, "--ephemeral", "--demo")
	succeed(t, b.mbus("query", "go.micro.srv.greeter", "Say.Hello", `{"name":"John"}`))
	run(t, b.mbus("query", "go.micro.srv.greeter", "Say.Hello", `{"nme":"John"}`)) // an error to report
	services := onTheBus(strings.Fields(succeed(t, b.mbus("list", "services"))))
	nc := b.plain(t)
	for verb, schema := range map[string]string{
		"PING": "io.nats.micro.v1.ping_response", "INFO": "io.nats.micro.v1.info_response", "STATS": "io.nats.micro.v1.stats_response",
	} {
		answers := answersTo(t, nc, "$SRV."+verb, len(services))
		for _, name := range services {
			answers = append(answers, answersTo(t, nc, wire.SrvSubject(verb, wire.Escape(name), ""), 1)...)
		}
		for _, a := range answers {
			if problem := invalid(t, schema, a); problem != "" {
				t.Errorf("%s: %s\n%s", schema, problem, a)
			}
		}
		dotted := strings.Replace(string(answers[0]), `"name":"`, `"name":"a.`, 1)
		if invalid(t, schema, []byte(dotted)) == "" {
			t.Errorf("%s finds nothing wrong with %s", schema, dotted)
		}
	}
}

// onTheBus leaves out the app of the demo, which is registered and answers no
// questions on the bus.
func onTheBus(names []string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return name == greeter.WebService })
}

// answersTo asks everybody and returns so many answers.
func answersTo(t *testing.T, nc *nats.Conn, subject string, count int) [][]byte {
	t.Helper()
	sub, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := nc.PublishRequest(subject, sub.Subject, nil); err != nil {
		t.Fatal(err)
	}
	var answers [][]byte
	for len(answers) < count {
		m, err := sub.NextMsg(5 * time.Second)
		if err != nil {
			t.Fatalf("%s: %d answers, want %d: %v", subject, len(answers), count, err)
		}
		answers = append(answers, m.Data)
	}
	return answers
}

// invalid is what the tool finds wrong with data, or nothing.
func invalid(t *testing.T, schema string, data []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "answer.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	said := succeed(t, command{path: natsCLI(t), args: []string{"schema", "validate", schema, file}})
	if strings.Contains(said, "validates against "+schema) {
		return ""
	}
	return said
}
