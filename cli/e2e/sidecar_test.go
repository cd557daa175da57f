//go:build unix

package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/rpc"
)

const appService = "ruby.micro.srv.app"

// startSidecar runs mbus sidecar and returns where it is.
func (b *broker) startSidecar(t testing.TB, args ...string) (p *process, url string) {
	t.Helper()
	p = b.start(t, of(mbus, append([]string{"sidecar", "--sidecar-address", "127.0.0.1:0", "--log-level", "warn"}, args...)...))
	line, _ := p.await(t, startup, `"ready":true`)
	var ready struct {
		Sidecar string `json:"sidecar"`
	}
	if err := json.Unmarshal([]byte(line), &ready); err != nil || ready.Sidecar == "" {
		t.Fatalf("the ready line names no sidecar (%v): %s", err, line)
	}
	return p, ready.Sidecar
}

// startApp runs a program that knows no mbus and returns its port.
func startApp(t testing.TB) (p *process, port int) {
	t.Helper()
	p = start(t, of(httpApp))
	line, _ := p.await(t, startup, `"ready":true`)
	var ready struct {
		Port int `json:"port"`
	}
	if err := json.Unmarshal([]byte(line), &ready); err != nil {
		t.Fatal(err)
	}
	return p, ready.Port
}

// send is one request to a sidecar, which must be answered with 200.
func send(t testing.TB, method, url, body string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s %s, %v", method, url, res.Status, text, err)
	}
	return string(text)
}

func appDefinition(port int) string {
	return `{"name":"` + appService + `","nodes":[{"id":"1","address":"127.0.0.1","port":` + strconv.Itoa(port) + `}]}`
}

// callApp calls the app once, without another try.
func callApp(ctx context.Context, client *rpc.Client, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	res, err := client.Do(ctx, &rpc.Request{Service: appService, Method: "Say.Hello", Codec: codec.JSON, Body: []byte(`{"name":"John"}`), Retries: new(0)})
	if err == nil && string(res.Body) != `{"msg":"Hello John"}` {
		return fmt.Errorf("the answer is %s", res.Body)
	}
	return err
}

func newClient(t testing.TB, conn *bus.Conn) *rpc.Client {
	client := rpc.NewClient(conn, rpc.ClientConfig{})
	t.Cleanup(func() { _ = client.Close(context.Background()) })
	return client
}

func TestTheSuccessorOfAKilledSidecarServesWithinASecond(t *testing.T) {
	t.Parallel()
	b := startNode(t, "--ephemeral", "--sidecar-address", "off", "--api-address", "off")
	app, port := startApp(t)
	side, url := b.startSidecar(t)
	send(t, http.MethodPost, url+"/registry", appDefinition(port))
	send(t, http.MethodPut, url+"/subscriptions/all", `{"topic":"a.b","path":"/events"}`)
	client := newClient(t, b.connect(t))
	if err := callApp(t.Context(), client, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	var times []time.Duration
	for n := range rounds(3) {
		side.kill(t)
		// A call that the broker hands to a socket whose end it has not seen yet is
		// lost with it.
		eventually(t, 10*time.Second, "a call without a sidecar", func() error {
			if err := callApp(t.Context(), client, 300*time.Millisecond); !errors.Is(err, bus.Nobody) || !errors.Is(err, bus.Unavailable) {
				return fmt.Errorf("it ended with %w", err)
			}
			return nil
		})
		side, url = b.startSidecar(t)
		ready := time.Now()
		took := eventually(t, 10*time.Second, "a call through the successor", func() error {
			return callApp(t.Context(), client, time.Second)
		})
		times = append(times, took)
		eventually(t, 10*time.Second, "the subscription at the successor", func() error {
			if text := send(t, http.MethodGet, url+"/subscriptions", ""); !strings.Contains(text, `"topic":"a.b"`) {
				return errors.New(text)
			}
			return nil
		})
		event := "event " + strconv.Itoa(n)
		succeed(t, b.mbus("publish", "a.b", event))
		_, at := app.await(t, 10*time.Second, "event a.b "+event)
		t.Logf("ready after %v, and an event after %v", ready.Sub(side.started), at.Sub(ready))
	}
	keepsPromise(t, "from the start of a successor to a call", time.Second, 5*time.Second, times)
}

func TestAnotherSidecarOfTheHostTakesOverWithoutAFailedCall(t *testing.T) {
	t.Parallel()
	b := startNode(t, "--ephemeral", "--sidecar-address", "127.0.0.1:0") // the node's own sidecar is the other
	_, port := startApp(t)
	side, url := b.startSidecar(t)
	send(t, http.MethodPost, url+"/registry", appDefinition(port))
	conn := b.connect(t)
	client := newClient(t, conn)
	sidecars, err := discovery.Query(t.Context(), conn, "go.micro.sidecar")
	if err != nil || len(sidecars) != 2 {
		t.Fatalf("sidecars: %v, %v", sidecars, err)
	}
	for n := range 60 {
		if n == 30 {
			side.kill(t)
			awaitNobodyAtOne(t, client, sidecars)
		}
		// With the usual tries: the call that the killed one had may fail, and
		// none of these is at work when it dies.
		if _, err := client.Do(t.Context(), &rpc.Request{Service: appService, Method: "Say.Hello", Body: []byte(`{"name":"John"}`)}); err != nil {
			t.Errorf("call %d: %v", n, err)
		}
	}
}

// awaitNobodyAtOne waits until the broker has seen the end of one of the instances.
// What it hands to a socket before that is lost.
func awaitNobodyAtOne(t *testing.T, client *rpc.Client, instances []discovery.Instance) {
	t.Helper()
	eventually(t, 10*time.Second, "the end of one at the broker", func() error {
		var ends []error
		for _, i := range instances {
			_, err := client.Do(t.Context(), &rpc.Request{
				Service: i.Service, Instance: i.ID, Method: "Debug.Health", Timeout: 300 * time.Millisecond, Retries: new(0),
			})
			if errors.Is(err, bus.Nobody) {
				return nil
			}
			ends = append(ends, err)
		}
		return fmt.Errorf("calls of them end with %v", ends)
	})
}

func TestAnAppThatIsStoppedHangsOrIsKilledIsToldApart(t *testing.T) {
	t.Parallel()
	b := startNode(t, "--ephemeral", "--sidecar-address", "off", "--api-address", "off")
	app, port := startApp(t)
	_, url := b.startSidecar(t)
	send(t, http.MethodPost, url+"/registry", appDefinition(port))
	conn := b.connect(t)
	client := newClient(t, conn)
	if err := callApp(t.Context(), client, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	app.signal(t, syscall.SIGSTOP)
	if err := callApp(t.Context(), client, 300*time.Millisecond); !errors.Is(err, bus.Timeout) {
		t.Errorf("a frozen app: %v", err)
	}
	if r := run(t, b.mbus("query", appService, "Say.Hello", `{"name":"John"}`, "--timeout", "300ms", "--proxy-address", url)); r.code != 124 {
		t.Errorf("a frozen app through the sidecar: exit code %d, %s", r.code, r.stderr)
	}
	app.signal(t, syscall.SIGCONT)
	eventually(t, 10*time.Second, "a call of the thawed app", func() error { return callApp(t.Context(), client, time.Second) })
	listed := func() error {
		names, err := discovery.List(t.Context(), conn)
		if err == nil && slices.Contains(names, appService) {
			err = errors.New("it is still listed")
		}
		return err
	}
	app.kill(t)
	took := eventually(t, 10*time.Second, "the end of the killed app", listed)
	keepsPromise(t, "from kill -9 of an app to its end in the registry", 3*time.Second, 6*time.Second, []time.Duration{took})

	// One that says goodbye is gone at once.
	_, port = startApp(t)
	send(t, http.MethodPost, url+"/registry", appDefinition(port))
	if err := callApp(t.Context(), client, 5*time.Second); err != nil {
		t.Error(err)
	}
	send(t, http.MethodDelete, url+"/registry", appDefinition(port))
	if err := listed(); err != nil {
		t.Error(err)
	}
}

func TestTheAppOfTheCommandLineSurvivesItsSidecar(t *testing.T) {
	t.Parallel()
	b := startNode(t, "--ephemeral", "--sidecar-address", "off", "--api-address", "off")
	_, port := startApp(t)
	args := []string{"--server-name", appService, "--server-address", "127.0.0.1:" + strconv.Itoa(port)}
	side, _ := b.startSidecar(t, args...)
	client := newClient(t, b.connect(t))
	if err := callApp(t.Context(), client, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	before := succeed(t, b.mbus("get", appService))
	side.kill(t)
	side, _ = b.startSidecar(t, args...)
	eventually(t, 5*time.Second, "a call through the successor", func() error { return callApp(t.Context(), client, time.Second) })
	if after := succeed(t, b.mbus("get", appService)); after != before {
		t.Errorf("the node was\n%sand is\n%s", before, after)
	}
	side.stop(t, 10*time.Second)
	if r := run(t, b.mbus("get", appService)); r.code != 5 {
		t.Errorf("after the stop: exit code %d, %s", r.code, r.stdout)
	}
}
