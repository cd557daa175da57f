//go:build unix

package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/examples/greeter"
	"github.com/mbus-dev/mbus/rpc"
)

// A language is one that the greeter is written in beside Go.
type language struct {
	dir, interpreter, ending string
	service                  string
	install                  string // what brings the interpreter
}

var (
	python     = language{"python", "python3", "py", "python.micro.srv.greeter", "apt-get install python3"}
	ruby       = language{"ruby", "ruby", "rb", "ruby.micro.srv.greeter", "apt-get install ruby"}
	javascript = language{"javascript", "node", "mjs", "js.micro.srv.greeter", "apt-get install nodejs npm"}
)

// program is one of the programs of examples/greeter in this language.
func (l language) program(t testing.TB, name string, args ...string) command {
	t.Helper()
	path, err := exec.LookPath(l.interpreter)
	if err != nil {
		missing(t, "%s is missing: %s", l.interpreter, l.install)
	}
	dir, err := filepath.Abs(filepath.Join("../../examples/greeter", l.dir))
	if err != nil {
		t.Fatal(err)
	}
	return command{path: path, args: append([]string{filepath.Join(dir, name+"."+l.ending)}, args...)}
}

// native is the program that speaks to the bus itself.
func (l language) native(t testing.TB) command {
	t.Helper()
	c := l.program(t, "native_server")
	if l.dir == javascript.dir {
		modules := filepath.Join(filepath.Dir(c.args[0]), "node_modules")
		if _, err := os.Stat(modules); err != nil {
			missing(t, "the NATS client for Node.js is missing: npm ci --prefix examples/greeter/javascript")
		}
	}
	return c
}

// missing skips the test, or fails it where nothing may be missing.
func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("MBUS_CI") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// listed reports that a service is in the registry, or is not.
func (b *broker) listed(t testing.TB, service string, want bool) func() error {
	return func() error {
		names := strings.Fields(succeed(t, b.mbus("list", "services")))
		if slices.Contains(names, service) != want {
			return fmt.Errorf("the list is %q", names)
		}
		return nil
	}
}

func TestAGreeterInAnotherLanguageIsAServiceLikeAnyOther(t *testing.T) {
	for _, l := range []language{python, javascript} {
		t.Run(l.dir, func(t *testing.T) {
			t.Parallel()
			b := startNode(t, "--ephemeral", "--no-jetstream")
			p := b.start(t, l.native(t))
			node, _ := p.await(t, startup, l.service+"-")
			eventually(t, startup, "the service in the list", b.listed(t, l.service, true))

			// From the command line and from Go, to any and to one.
			hello := node + ": Hello Jörg"
			if got := succeed(t, b.mbus("query", l.service, "Say.Hello", `{"name":"Jörg"}`)); !strings.Contains(got, hello) {
				t.Errorf("query: got %q, want %q in it", got, hello)
			}
			if got := succeed(t, b.mbus("query", "--node", node, l.service, "Say.Hello", `{"name":"Jörg"}`)); !strings.Contains(got, hello) {
				t.Errorf("query --node: got %q, want %q in it", got, hello)
			}
			client := rpc.NewClient(b.connect(t), rpc.ClientConfig{})
			for range 3 { // the first call goes out before the client knows what the service speaks
				res, err := rpc.Call[greeter.HelloResponse](t.Context(), client, l.service, "Say.Hello", &greeter.HelloRequest{Name: "Jörg"})
				if err != nil || res.Msg != hello {
					t.Errorf("from Go: got %v, %v, want %q", res, err, hello)
				}
			}

			// What the tools show of it.
			about := succeed(t, b.mbus("get", "service", l.service))
			for _, want := range []string{node, "Endpoint: Say.Hello", "\tname string", "\tmsg string", "Endpoint: Debug.Health"} {
				if !strings.Contains(about, want) {
					t.Errorf("get service: %q is not in\n%s", want, about)
				}
			}
			if got := succeed(t, b.mbus("health", l.service)); !strings.Contains(got, "\t\tok") {
				t.Errorf("health:\n%s", got)
			}
			succeed(t, b.mbus("stats", l.service))

			// What it refuses, each with the code and the exit code of a service in Go.
			for _, tc := range []struct{ method, request, want string }{
				{"Say.Hello", `{"name":7}`, "invalid_argument"},
				{"Say.Hello", `[]`, "invalid_argument"},
				{"Say.Nope", `{}`, "not_found"},
			} {
				got := run(t, b.mbus("query", "--node", node, l.service, tc.method, tc.request))
				if got.code == 0 || !strings.Contains(got.stderr, tc.want) {
					t.Errorf("%s %s: exit code %d, %q; want %s", tc.method, tc.request, got.code, got.stderr, tc.want)
				}
			}

			p.stop(t, 10*time.Second)
			eventually(t, time.Second, "the service gone after its stop", b.listed(t, l.service, false))

			killed := b.start(t, l.native(t))
			eventually(t, startup, "the second one in the list", b.listed(t, l.service, true))
			killed.kill(t)
			took := eventually(t, 5*time.Second, "the service gone after kill -9", b.listed(t, l.service, false))
			t.Logf("gone %v after kill -9", took)
		})
	}
}

func TestAGreeterInAnotherLanguageComesBackWithTheBroker(t *testing.T) {
	for _, l := range []language{python, javascript} {
		t.Run(l.dir, func(t *testing.T) {
			t.Parallel()
			b := startNode(t, "--ephemeral", "--no-jetstream")
			p := b.start(t, l.native(t))
			eventually(t, startup, "the service in the list", b.listed(t, l.service, true))
			b.node.signal(t, syscall.SIGKILL)
			<-b.node.exited
			again := startNode(t, "--ephemeral", "--no-jetstream", "--listen", "127.0.0.1:"+b.port(t))
			eventually(t, startup, "an answer after the restart of the broker", func() error {
				if got := run(t, again.mbus("query", l.service, "Say.Hello", "{}")); got.code != 0 {
					return fmt.Errorf("%s", got.stderr)
				}
				return again.listed(t, l.service, true)()
			})
			p.stop(t, 10*time.Second)
		})
	}
}

func TestAGreeterInAnotherLanguageIsServedByTheSidecar(t *testing.T) {
	for _, l := range []language{python, ruby, javascript} {
		t.Run(l.dir, func(t *testing.T) {
			t.Parallel()
			b := startNode(t, "--ephemeral", "--no-jetstream", "--demo", "--sidecar-address", "127.0.0.1:0")
			at := "MBUS_SIDECAR=" + b.sidecar
			p := start(t, l.program(t, "sidecar_server").with(at))
			node, _ := p.await(t, startup, l.service+"-")
			eventually(t, startup, "the service in the list", b.listed(t, l.service, true))

			hello := node + ": Hello Jörg"
			eventually(t, startup, "an answer", func() error {
				if r := run(t, b.mbus("query", l.service, "Say.Hello", `{"name":"Jörg"}`)); !strings.Contains(r.stdout, hello) {
					return errorOf(r)
				}
				return nil
			})
			client := rpc.NewClient(b.connect(t), rpc.ClientConfig{})
			for range 3 {
				res, err := rpc.Call[greeter.HelloResponse](t.Context(), client, l.service, "Say.Hello", &greeter.HelloRequest{Name: "Jörg"})
				if err != nil || res.Msg != hello {
					t.Errorf("from Go: got %v, %v, want %q", res, err, hello)
				}
			}
			about := succeed(t, b.mbus("get", "service", l.service))
			for _, want := range []string{node, "127.0.0.1", "Endpoint: Say.Hello", "\tname string", "\tmsg string"} {
				if !strings.Contains(about, want) {
					t.Errorf("get service: %q is not in\n%s", want, about)
				}
			}
			// Its own client, of itself and of the greeter in Go.
			if got := succeed(t, l.program(t, "sidecar_client", "Jörg", l.service).with(at)); strings.TrimSpace(got) != hello {
				t.Errorf("the client got %q, want %q", got, hello)
			}
			if got := succeed(t, l.program(t, "sidecar_client", "Jörg").with(at)); !strings.Contains(got, ": Hello Jörg") {
				t.Errorf("the client got %q from the greeter in Go", got)
			}
			if got := run(t, l.program(t, "sidecar_client", "Jörg", "no.such").with(at)); got.code == 0 || !strings.Contains(got.stderr, "404") {
				t.Errorf("a service that is not there: exit code %d, %q", got.code, got.stderr)
			}

			p.stop(t, 10*time.Second)
			eventually(t, time.Second, "the service gone after its stop", b.listed(t, l.service, false))
			killed := start(t, l.program(t, "sidecar_server").with(at))
			eventually(t, startup, "the second one in the list", b.listed(t, l.service, true))
			killed.kill(t)
			took := eventually(t, 8*time.Second, "the service gone after kill -9", b.listed(t, l.service, false))
			t.Logf("gone %v after kill -9", took)
		})
	}
}
