package registrar_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"golang.org/x/tools/txtar"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/discovery/registrar"
)

var update = flag.Bool("update", false, "write the golden files anew")

// changing is what differs from run to run, and what stands for it.
var changing = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`), "TIME"},
	{regexp.MustCompile(`\d+[a-z]+ ago`), "SPAN ago"},
	{regexp.MustCompile(`"(watch|renewed)":"[0-9A-Za-z]{22}"`), `"$1":"WATCH"`},
	{regexp.MustCompile(`"server":"[0-9A-Z]{56}"`), `"server":"SERVER"`},
	{regexp.MustCompile(`"client":\d+`), `"client":CLIENT`},
	{regexp.MustCompile(`"watching_ms":\d+`), `"watching_ms":N`},
}

// transcript is what goes over the wire, for people to read.
type transcript struct {
	mu    sync.Mutex
	files []txtar.File
}

func (tr *transcript) add(name string, messages ...string) {
	text := strings.Join(messages, "\n") + "\n"
	for _, c := range changing {
		text = c.pattern.ReplaceAllString(text, c.name)
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.files = append(tr.files, txtar.File{Name: name, Data: []byte(text)})
}

func show(m *nats.Msg) string {
	if len(m.Header) == 0 && len(m.Data) == 0 {
		return "(empty)"
	}
	var lines []string
	for _, name := range []string{wire.HeaderServiceError, wire.HeaderServiceErrorCode, wire.HeaderError, wire.HeaderRetry} {
		if v := m.Header.Get(name); v != "" {
			lines = append(lines, name+": "+v)
		}
	}
	if len(m.Data) > 0 {
		lines = append(lines, string(m.Data))
	}
	return strings.Join(lines, "\n")
}

// talk sends a request and adds it and what comes back within a moment.
func (tr *transcript) talk(t *testing.T, conn *bus.Conn, subject, body string) []*nats.Msg {
	t.Helper()
	messages, release := rawWatch(t, conn, subject, body)
	time.Sleep(50 * time.Millisecond)
	release()
	lines := []string{"> " + subject, "> " + body}
	var got []*nats.Msg
	for range len(messages) {
		m := <-messages
		got = append(got, m)
		lines = append(lines, show(m))
	}
	tr.add(strings.TrimPrefix(subject, "mbus."), lines...)
	return got
}

// subscribe listens as plain NATS does. What nobody has read at the end of the
// test must not keep its connection from closing.
func subscribe(t *testing.T, conn *bus.Conn, subject string) *nats.Subscription {
	t.Helper()
	sub, err := conn.NATS().SubscribeSync(subject)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	return sub
}

func TestTheRegistryOnTheWire(t *testing.T) {
	tr := &transcript{}
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		start(t, b.Conn(t), registrar.Config{ID: "one", Version: "1.2.3"})
		conn := b.Conn(t)
		announce(t, conn, discovery.AnnouncerConfig{
			Name: "go.micro.srv.greeter", ID: "g1", Version: "1.0.0", Metadata: map[string]string{"zone": "eu"},
			Endpoints: []discovery.Endpoint{{Name: "Say.Hello"}, {Name: "Debug.Health"}},
		})
		tr.talk(t, conn, "mbus.registry.register", `{"service":{"name":"ruby.app","version":"7","metadata":{"owner":"ada"},"endpoints":[{"name":"Say.Hello",`+
			`"request":{"name":"Req","type":"Req","values":[{"name":"name","type":"string"}]}}],"nodes":[{"id":"host 1:8000","address":"10.0.0.7","port":8000,"metadata":{"lang":"ruby"}}]},"ttl_ms":30000}`)
		tr.talk(t, conn, "mbus.registry.register", `{"service":{"name":"go.micro.srv.greeter","nodes":[{"id":"go.micro.srv.greeter-g1","address":"10.0.0.7"}]}}`)
		tr.talk(t, conn, "mbus.registry.list", `{}`)
		tr.talk(t, conn, "mbus.registry.get", `{"service":"ruby.app"}`)
		tr.talk(t, conn, "mbus.registry.get", `{"service":"go.micro.srv.greeter"}`)
		tr.talk(t, conn, "mbus.registry.get", `{"service":"go.micro.srv.greter"}`)
		tr.talk(t, conn, "mbus.registry.watch", `{"service":"ruby.app","snapshot":true}`)
		messages, release := rawWatch(t, conn, "mbus.registry.watch", `{"service":"ruby.app"}`)
		defer release()
		first := <-messages
		watch, _ := hello(t, first)
		tr.talk(t, conn, "mbus.registry.deregister", `{"service":{"name":"ruby.app","nodes":[{"id":"host 1:8000"}]}}`)
		tr.add("watch without a snapshot", show(first), show(<-messages))
		renewal := `{"renew":"` + watch + `","n":2}`
		m, err := conn.Request(t.Context(), "mbus.node.mbus.one.watch", nil, []byte(renewal))
		if err != nil {
			t.Fatal(err)
		}
		tr.add("renewal", "> mbus.node.mbus.one.watch", strings.Replace(renewal, watch, "WATCH", 1), show(m))
		tr.talk(t, conn, "mbus.node.mbus.one.watch", `{"renew":"unknown"}`)
		tr.talk(t, conn, "mbus.registry.get", `{"service":"ruby.app"}`)
		tr.talk(t, conn, "mbus.registry.register", `{"service":{"name":"ruby.app"}}`)
		tr.talk(t, conn, "mbus.node.mbus.one.sync", `{"id":"two","server":"S","client":1,"seen":[{"service":"ruby.app","id":"1","rev":3}]}`)
		tr.talk(t, conn, "mbus.node.mbus.one.sync", `{"id":"two","server":"S","client":1,"seen":[{"service":"ruby.app","id":"1","gone":true,"server":"S","client":1}]}`)
		register(t, conn, app("app", "1"), 0)
		tr.talk(t, conn, "mbus.node.mbus.one.sync", `{"id":"two","server":"S","client":1,"ask":[{"service":"app","id":"1"},{"service":"app","id":"2"}]}`)
		// What registrars send themselves.
		sub := subscribe(t, conn, "mbus.node.mbus.two.sync")
		start(t, b.Conn(t), registrar.Config{ID: "two"})
		time.Sleep(time.Second)
		register(t, conn, app("app", "2"), 0)
		asked, err := sub.NextMsg(time.Second)
		if err != nil {
			t.Fatal(err)
		}
		tr.add("a registrar asks", "> mbus.node.mbus.two.sync", regexp.MustCompile(`^\{"id":"(one|two)"`).ReplaceAllString(string(asked.Data), `{"id":"ID"`))
		pace := subscribe(t, conn, "mbus.registry.pace")
		said, err := pace.NextMsg(11 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		tr.add("pace", string(said.Data))
	})
	const file = "testdata/wire/registry.txtar"
	got := &txtar.Archive{
		Comment: []byte("What is said on the registry subjects: requests after >, then each message of the answer.\n"), Files: tr.files,
	}
	if *update {
		if err := os.MkdirAll("testdata/wire", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, txtar.Format(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(txtar.Format(got))); diff != "" {
		t.Errorf("-golden +got (-update rewrites)\n%s", diff)
	}
}

func TestThePaceFollowsTheNumberOfInstances(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		start(t, b.Conn(t), registrar.Config{})
		start(t, b.Conn(t), registrar.Config{})
		conn := b.Conn(t)
		sub := subscribe(t, conn, "mbus.registry.pace")
		pace := func() (p struct {
			Beat      int64 `json:"beat_ms"`
			Instances int   `json:"instances"`
		}, n int,
		) {
			for {
				m, err := sub.NextMsg(time.Nanosecond)
				if err != nil {
					return p, n
				}
				if err := json.Unmarshal(m.Data, &p); err != nil {
					t.Fatal(err)
				}
				n++
			}
		}
		time.Sleep(100 * time.Second)
		if p, n := pace(); p.Beat != 2000 || p.Instances != 2 || n < 18 || n > 30 {
			t.Errorf("%+v, said %d times in 100 s by two registrars", p, n)
		}
		for n := range 3000 {
			up := fmt.Sprintf(`{"v":1,"name":"s","id":"%d","rev":1,"interval":300000,"started":"2000-01-01T00:00:00Z"}`, n)
			if err := conn.Publish(t.Context(), fmt.Sprintf("mbus.announce.s.%d.up", n), "", nil, []byte(up)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(1100 * time.Millisecond)
		if p, n := pace(); p.Beat != 6004 || p.Instances != 3002 || n > 6 {
			t.Errorf("%+v, said %d times, want 3002 ÷ 500 s within a second", p, n)
		}
	})
}

func TestRegistrarsAreInstancesOfMbus(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		a := start(t, b.Conn(t), registrar.Config{Version: "1.2.3", Metadata: map[string]string{"zone": "eu", "role": "king"}})
		start(t, b.Conn(t), registrar.Config{})
		time.Sleep(time.Second)
		found, err := discovery.Query(bustest.Context(t), b.Conn(t), "mbus")
		if err != nil || len(found) != 2 {
			t.Fatalf("Query = %+v, %v: want two registrars", found, err)
		}
		at := slices.IndexFunc(found, func(i discovery.Instance) bool { return i.ID == a.ID() })
		if i := found[at]; i.Version != "1.2.3" || i.Metadata["role"] != "registrar" || i.Metadata["zone"] != "eu" {
			t.Errorf("%+v", i)
		}
		if _, err := registrar.New(b.Conn(t), registrar.Config{MaxWatches: -1}); err == nil {
			t.Error("a negative bound was taken")
		}
	})
}
