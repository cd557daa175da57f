package sidecar_test

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/sidecar"
	"github.com/mbus-dev/mbus/rpc"
)

// gone waits until ruby has no nodes, and returns how long that took, to a
// twentieth of a second.
func (w *world) gone(within time.Duration) time.Duration {
	w.t.Helper()
	began := time.Now()
	w.await(within, "the end of "+ruby, func() bool { return len(w.nodes()) == 0 })
	return time.Since(began)
}

// await is bustest.Eventually for long waits: it looks twenty times a second.
func (w *world) await(within time.Duration, what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(within); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("after %v still not: %s", within, what)
		}
	}
}

func TestADeadAppIsGoneAfterTwoMisses(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		a := w.listen(t, "127.0.0.1:8000", sayHello)
		w.register("1", "127.0.0.1:8000", "")
		time.Sleep(time.Minute)
		if len(w.nodes()) != 1 {
			t.Fatal("a live app is gone")
		}
		a.kill()
		if took := w.gone(3 * time.Second); took < 500*time.Millisecond || took > 2600*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		_, err := w.call("Say.Hello", `{}`)
		wantError(t, err, bus.Unavailable, bus.Nobody) // seen a moment ago
	})
}

func TestACallThatFindsTheAppDeadHasItLookedAtAtOnce(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		a := w.listen(t, "127.0.0.1:8000", sayHello)
		w.register("1", "127.0.0.1:8000", "")
		time.Sleep(100 * time.Millisecond)
		a.kill()
		_, err := w.client.Do(t.Context(), &rpc.Request{Service: ruby, Method: "Say.Hello", Body: []byte(`{}`), Retries: new(0)})
		if e := wantError(t, err, bus.Unavailable, bus.Refused); e.Retry == bus.RetryNever {
			t.Error("the call was not sent, and it is not said that it may be repeated")
		}
		if took := w.gone(time.Second); took > 600*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

func TestACallGoesToAnotherNodeWhenOneIsDead(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		a := w.listen(t, "127.0.0.1:8001", sayHello)
		w.listen(t, "127.0.0.1:8002", sayHello)
		w.register("1", "127.0.0.1:8001", "")
		w.register("2", "127.0.0.1:8002", "")
		a.kill()
		for range 20 {
			if _, err := w.call("Say.Hello", `{"name":"John"}`); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestAnAppThatRestartsQuicklyStays(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		a := w.listen(t, "127.0.0.1:8000", sayHello)
		w.register("1", "127.0.0.1:8000", "")
		for range 5 {
			time.Sleep(1900 * time.Millisecond)
			a.kill()
			time.Sleep(400 * time.Millisecond)
			a = w.listen(t, "127.0.0.1:8000", sayHello)
			if len(w.nodes()) != 1 {
				t.Fatal("it is gone")
			}
		}
	})
}

func TestAnAppWithATimeToLiveIsGoneAfterItAndNotBefore(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		w.listen(t, "127.0.0.1:8000", sayHello)
		w.register("1", "127.0.0.1:8000", "?ttl=10s")
		time.Sleep(9 * time.Second)
		if len(w.nodes()) != 1 {
			t.Fatal("it is gone too early")
		}
		w.register("1", "127.0.0.1:8000", "?ttl=10s") // once more
		time.Sleep(9 * time.Second)
		if _, err := w.call("Say.Hello", `{"name":"John"}`); err != nil {
			t.Error(err)
		}
		w.gone(2 * time.Second)
		bustest.Eventually(t, time.Second, "the end of the serving", func() bool {
			_, err := w.client.Do(t.Context(), &rpc.Request{Service: ruby, Method: "Say.Hello", Retries: new(0)})
			return bus.AsError(err).End == bus.Nobody
		})
	})
}

func TestAnAppWithATimeToLiveHasTheTimeToStartAnewAndIsGoneWhenItDoesNot(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		a := w.listen(t, "127.0.0.1:8000", sayHello)
		w.register("1", "127.0.0.1:8000", "?ttl=1m")
		for range 5 {
			time.Sleep(700 * time.Millisecond)
			a.kill()
			_, _ = w.call("Say.Hello", `{"name":"x"}`)
			time.Sleep(1900 * time.Millisecond)
			a = w.listen(t, "127.0.0.1:8000", sayHello)
			time.Sleep(2 * time.Second)
			if len(w.nodes()) != 1 {
				t.Fatal("it is gone")
			}
		}
		a.kill()
		if took := w.gone(5 * time.Second); took > 4100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

func TestDeregisteringEndsTheServingAtOnce(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		a := w.listen(t, "127.0.0.1:8000", sayHello)
		w.register("1", "127.0.0.1:8000", "")
		if _, err := w.call("Say.Hello", `{"name":"John"}`); err != nil {
			t.Fatal(err)
		}
		if rec := w.do("DELETE", "/registry", definition("1", "127.0.0.1:8000")); rec.Code != 200 || rec.Body.Len() != 0 {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		before := len(a.requests())
		_, err := w.client.Do(t.Context(), &rpc.Request{Service: ruby, Method: "Say.Hello", Retries: new(0)})
		wantError(t, err, bus.Unavailable, bus.Nobody)
		if n := len(a.requests()); n != before || len(w.nodes()) != 0 {
			t.Errorf("%d more calls, nodes %v", n-before, w.nodes())
		}
	})
}

func TestTheHealthCheckOfARegisteredAppLeadsToItsEnd(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		var status atomic.Int32
		status.Store(200)
		a := w.listen(t, "127.0.0.1:8000", func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/health" {
				rw.WriteHeader(int(status.Load()))
				return
			}
			sayHello(rw, r)
		})
		w.register("1", "127.0.0.1:8000", "?ttl=10m", "healthcheck", "http://127.0.0.1:8000/health")
		time.Sleep(95 * time.Second)
		asked := 0
		for _, r := range a.requests() {
			if r.uri == "/health" && r.method == "GET" {
				asked++
			}
		}
		if asked < 3 || asked > 4 {
			t.Errorf("asked %d times in 95 s, want every 30 s", asked)
		}
		status.Store(204) // not exactly 200
		if took := w.gone(35 * time.Second); took > 32*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func withApp(address, health string) func(*sidecar.Config) {
	return func(c *sidecar.Config) { c.App = sidecar.App{Name: ruby, Address: address, HealthURL: health} }
}

func TestTheAppOfTheConfigurationComesAndGoes(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		var h *host
		// The sidecar is there before its app.
		w := newWorld(t, b, withApp("127.0.0.1:9090", ""))
		h = w.host
		if len(w.nodes()) != 0 {
			t.Error("an app that is not there is registered")
		}
		a := h.listen(t, "127.0.0.1:9090", sayHello)
		w.await(3*time.Second, "the app in the registry", func() bool { return len(w.nodes()) == 1 })
		id := w.nodes()[0]
		if uuid, ok := strings.CutPrefix(id, ruby+"-"); !ok || len(uuid) != 36 || strings.Count(uuid, "-") != 4 {
			t.Errorf("the node is %q", id)
		}
		if got, err := w.call("Say.Hello", `{"name":"John"}`); err != nil || got != `{"msg":"Say.Hello John"}` {
			t.Errorf("got %s, %v", got, err)
		}
		if rec := w.do("GET", "/health", ""); rec.Code != 200 || rec.Body.Len() != 0 {
			t.Errorf("GET /health: %d %s", rec.Code, rec.Body)
		}
		time.Sleep(5 * time.Minute) // the registration is renewed
		if !slices.Equal(w.nodes(), []string{id}) {
			t.Fatalf("after a while the nodes are %v", w.nodes())
		}
		a.kill()
		w.gone(3 * time.Second)
		if rec := w.do("GET", "/health", ""); rec.Code != 500 || rec.Body.Len() == 0 {
			t.Errorf("GET /health of a dead app: %d %s", rec.Code, rec.Body)
		}
		h.listen(t, "127.0.0.1:9090", sayHello)
		w.await(3*time.Second, "the app again", func() bool { return slices.Equal(w.nodes(), []string{id}) })
		// Somebody takes it out, or the registry has lost it.
		if err := discovery.Deregister(t.Context(), w.conn, discovery.Service{Name: ruby, Nodes: []discovery.Node{{ID: id}}}); err != nil {
			t.Fatal(err)
		}
		w.await(3*time.Second, "the app once more", func() bool { return slices.Equal(w.nodes(), []string{id}) })
		stop(t, w.sidecar)
		if len(w.nodes()) != 0 {
			t.Error("it is still registered after the sidecar has stopped")
		}
	})
}

func TestTheHealthCheckOfTheConfigurationFollowsMicro(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b, withApp("127.0.0.1:9090", "http://127.0.0.1:9091/_status/health"))
		var status atomic.Int32
		status.Store(200)
		w.listen(t, "127.0.0.1:9090", sayHello)
		w.listen(t, "127.0.0.1:9091", func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(int(status.Load()))
			_, _ = rw.Write([]byte("tired"))
		})
		w.await(3*time.Second, "the app in the registry", func() bool { return len(w.nodes()) == 1 })
		status.Store(503)
		if rec := w.do("GET", "/health", ""); rec.Code != 503 || !strings.Contains(rec.Body.String(), "tired") {
			t.Errorf("GET /health: %d %s", rec.Code, rec.Body)
		}
		_, err := rpc.Call[rpc.Health](t.Context(), w.client, ruby, rpc.MethodHealth, nil)
		wantError(t, err, bus.Unavailable, bus.Handler)
		if took := w.gone(35 * time.Second); took > 31*time.Second {
			t.Errorf("one failed check took %v", took)
		}
		status.Store(200)
		w.await(3*time.Second, "the app again", func() bool { return len(w.nodes()) == 1 })
	})
}

func TestASuccessorGoesOnWithTheSameApps(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		w.listen(t, "127.0.0.1:8000", sayHello)
		w.register("1", "127.0.0.1:8000", "")
		w.gateway.Conn.NATS().Close() // as if it was killed
		began := time.Now()
		w.another()
		bustest.Eventually(t, time.Second, "a call through the successor", func() bool {
			_, err := w.client.Do(t.Context(), &rpc.Request{Service: ruby, Method: "Say.Hello", Body: []byte(`{"name":"x"}`), Retries: new(0)})
			return err == nil
		})
		t.Logf("the successor served after %v", time.Since(began))
		// The one that is cut off does no harm.
		time.Sleep(10 * time.Second)
		if len(w.nodes()) != 1 {
			t.Error("the app is gone")
		}
	})
}

func TestTwoSidecarsOfAHostShareItsAppsAndNoCallRunsTwice(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		var second *gateway.Bus
		second, _ = w.another()
		a := w.listen(t, "127.0.0.1:8000", sayHello)
		w.register("1", "127.0.0.1:8000", "")
		time.Sleep(time.Second)
		for range 40 {
			if _, err := w.call("Say.Hello", `{"name":"John"}`); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(a.requests()); n != 40 {
			t.Errorf("40 calls reached the app %d times", n)
		}
		second.Conn.NATS().Close()
		for range 10 {
			if _, err := w.call("Say.Hello", `{"name":"John"}`); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestTheSidecarOutlivesTheBroker(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		a := w.listen(t, "127.0.0.1:8000", sayHello)
		w.register("1", "127.0.0.1:8000", "")
		w.subscribe("all", `{"topic":"a.b","path":"/"}`)
		b.Stop()
		time.Sleep(3 * time.Second)
		for _, one := range []struct{ method, path, body string }{
			{"POST", "/registry", definition("2", "127.0.0.1:8000")},
			{"GET", "/registry", ""},
			{"DELETE", "/registry", definition("1", "127.0.0.1:8000")},
			{"POST", "/" + ruby + "/Say.Hello", "{}"},
			{"PUT", "/subscriptions/x", `{"topic":"a.b","path":"/"}`},
		} {
			began := time.Now()
			rec := w.do(one.method, one.path, one.body)
			if rec.Code != 503 || rec.Header().Get("Retry-After") == "" || rec.Header().Get("Mbus-End") != "broker" || time.Since(began) > 6*time.Second {
				t.Errorf("%s %s without a broker: %d %v %s after %v", one.method, one.path, rec.Code, rec.Header(), rec.Body, time.Since(began))
			}
		}
		time.Sleep(time.Minute)
		b.Start()
		b.Await(t, w.conn, w.gateway.Conn)
		w.await(5*time.Second, "a call after the broker is back", func() bool {
			_, err := w.client.Do(t.Context(), &rpc.Request{Service: ruby, Method: "Say.Hello", Body: []byte(`{"name":"x"}`), Retries: new(0)})
			return err == nil
		})
		before := len(a.events())
		w.publish("a.b", "1")
		w.await(5*time.Second, "an event after it", func() bool { return len(a.events()) == before+1 })
		w.await(5*time.Second, "the app in the registry", func() bool { return len(w.nodes()) == 1 })
	})
}

func TestStopLetsCallsFinish(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		w := newWorld(t, b)
		began, release := make(chan bool), make(chan bool)
		w.listen(t, "127.0.0.1:8000", func(rw http.ResponseWriter, r *http.Request) {
			began <- true
			<-release
			sayHello(rw, r)
		})
		w.register("1", "127.0.0.1:8000", "?ttl=1m")
		answered := make(chan error, 1)
		go func() {
			_, err := w.call("Say.Hello", `{"name":"John"}`)
			answered <- err
		}()
		<-began
		go func() { time.Sleep(time.Second); close(release) }()
		stop(t, w.sidecar)
		if err := <-answered; err != nil {
			t.Error(err)
		}
		if len(w.nodes()) != 1 {
			t.Error("an app that has registered itself is gone with the sidecar")
		}
	})
}

func TestConfigurationsThatCannotBe(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		g := gateway.NewBus(b.Conn(t), gateway.BusConfig{})
		for name, tt := range map[string]struct {
			cfg  sidecar.Config
			want string
		}{
			"a name without an address":   {sidecar.Config{App: sidecar.App{Name: "foo"}}, "Require server address"},
			"an address without a name":   {sidecar.Config{App: sidecar.App{Address: "127.0.0.1:1"}}, "Require server name"},
			"a health check alone":        {sidecar.Config{App: sidecar.App{HealthURL: "http://127.0.0.1:1/"}}, "Require server name"},
			"a wrong name":                {sidecar.Config{App: sidecar.App{Name: "a b", Address: "127.0.0.1:1"}}, "the server name"},
			"an address of another host":  {sidecar.Config{App: sidecar.App{Name: "foo", Address: "10.0.0.1:1"}}, "of this host"},
			"an address without a port":   {sidecar.Config{App: sidecar.App{Name: "foo", Address: "127.0.0.1"}}, "127.0.0.1:PORT"},
			"all addresses":               {sidecar.Config{App: sidecar.App{Name: "foo", Address: ":9090"}}, "of this host"},
			"a health check elsewhere":    {sidecar.Config{App: sidecar.App{Name: "foo", Address: "127.0.0.1:1", HealthURL: "http://10.0.0.1/"}}, "of this host"},
			"a health check of a file":    {sidecar.Config{App: sidecar.App{Name: "foo", Address: "127.0.0.1:1", HealthURL: "file:///etc/passwd"}}, "scheme"},
			"a handler that there is not": {sidecar.Config{Handler: "api"}, "rpc and proxy"},
			"a namespace that is none":    {sidecar.Config{Namespace: "a b"}, "namespace"},
			"a negative concurrency":      {sidecar.Config{Concurrency: -1}, "concurrency"},
		} {
			_, err := sidecar.New(g, tt.cfg)
			if e := bus.AsError(err); e == nil || e.Code != bus.InvalidArgument || !strings.Contains(e.Message, tt.want) {
				t.Errorf("%s: %v, want %q", name, err, tt.want)
			}
		}
		s, err := sidecar.New(g, sidecar.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.Context()); err == nil {
			t.Error("it starts without a Bus that has started")
		}
		stop(t, s)
	})
}
