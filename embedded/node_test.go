package embedded_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/embedded"
)

// varz is what the broker says about itself to the system account.
type varz struct {
	PingInterval time.Duration `json:"ping_interval"`
	MaxPingsOut  int           `json:"ping_max"`
	MaxPending   int64         `json:"max_pending"`
	MaxPayload   int           `json:"max_payload"`
	MonitorPort  int           `json:"http_port"`
	JetStream    struct {
		Config struct {
			StoreDir     string        `json:"store_dir"`
			SyncAlways   bool          `json:"sync_always"`
			SyncInterval time.Duration `json:"sync_interval"`
			Domain       string        `json:"domain"`
		} `json:"config"`
	} `json:"jetstream"`
}

func ask(t *testing.T, node *embedded.Node) varz {
	t.Helper()
	reply, err := node.System().Request(within(t), "$SYS.REQ.SERVER."+node.ServerID()+".VARZ", nil, nil)
	if err != nil {
		t.Fatalf("ask the broker about itself: %v", err)
	}
	var answer struct {
		Data varz `json:"data"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		t.Fatalf("%v in %s", err, reply.Data)
	}
	return answer.Data
}

func addStream(t *testing.T, js jetstream.JetStream, name string) jetstream.Stream {
	t.Helper()
	stream, err := js.CreateStream(within(t), jetstream.StreamConfig{Name: name, Subjects: []string{name + ".>"}})
	if err != nil {
		t.Fatalf("create stream: %v", err)
	}
	return stream
}

func newJetStream(t *testing.T, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func TestAnonymousClientsShareTheAccountAndItsJetStream(t *testing.T) {
	node := start(t, embedded.Config{Listen: "127.0.0.1:0", Ephemeral: true})
	nc := dial(t, node.URL())
	addStream(t, newJetStream(t, nc), "orders")
	mine, err := node.Conn().JetStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mine.Publish(within(t), "orders.new", []byte("1")); err != nil {
		t.Errorf("publish in process to the stream of a TCP client: %v", err)
	}
	if _, err := mine.Stream(within(t), "orders"); err != nil {
		t.Errorf("the stream is not seen in process: %v", err)
	}
	anonymous, err := bus.Connect(within(t), bus.Config{URL: node.URL(), FailFast: true})
	if err != nil {
		t.Fatalf("bus.Connect: %v", err)
	}
	defer anonymous.Close(within(t))
	if server, _ := anonymous.Identity(); server != node.ServerID() {
		t.Errorf("connected to server %q, ServerID is %q", server, node.ServerID())
	}
}

func TestTheBrokerRunsWithSafeOptions(t *testing.T) {
	dir := t.TempDir()
	node := start(t, embedded.Config{Listen: "127.0.0.1:0", StoreDir: dir, MaxPayload: 4096, Domain: "edge"})
	got := ask(t, node)
	want := varz{PingInterval: 700 * time.Millisecond, MaxPingsOut: 2, MaxPending: 64 << 20, MaxPayload: 4096}
	want.JetStream.Config.StoreDir = filepath.Join(dir, "jetstream")
	want.JetStream.Config.SyncAlways = true
	want.JetStream.Config.SyncInterval = got.JetStream.Config.SyncInterval // has no meaning then
	want.JetStream.Config.Domain = "edge"
	if got != want {
		t.Errorf("broker says\n%+v, want\n%+v", got, want)
	}
	if max := node.Conn().MaxPayload(); max != 4096 {
		t.Errorf("MaxPayload in process is %d, want 4096", max)
	}
}

func TestLazySyncIsAWarnedChoice(t *testing.T) {
	log, lines := recorder()
	node := start(t, embedded.Config{Listen: "127.0.0.1:0", StoreDir: t.TempDir(), SyncInterval: 2 * time.Minute, Logger: log})
	if c := ask(t, node).JetStream.Config; c.SyncAlways || c.SyncInterval != 2*time.Minute {
		t.Errorf("sync always %v, interval %v", c.SyncAlways, c.SyncInterval)
	}
	warnings := lines.lines("warn")
	if len(warnings) != 1 || !strings.Contains(warnings[0], "power cut") {
		t.Errorf("warnings: %q, want one about power cuts", warnings)
	}
}

func TestAnOrdinaryStartLogsNothingAboveDebug(t *testing.T) {
	log, lines := recorder()
	node, err := embedded.Start(within(t), embedded.Config{
		Listen: "127.0.0.1:0", StoreDir: t.TempDir(), Logger: log.Level(zerolog.DebugLevel),
		AuthFile: write(t, "users.json", `{"users":[{"user":"ann","password":"plain"}]}`, 0o600),
	})
	if err != nil {
		t.Fatal(err)
	}
	stop(t, node)
	for line := range strings.Lines(lines.String()) {
		if !strings.Contains(line, `"level":"debug"`) {
			t.Errorf("logged %s", line)
		}
	}
	if !strings.Contains(lines.String(), "Server is ready") {
		t.Error("the broker's notices did not reach the log")
	}
}

func TestTheBrokersDebugLinesNeedTraceLevel(t *testing.T) {
	log, lines := recorder()
	start(t, embedded.Config{DontListen: true, NoJetStream: true, Logger: log.Level(zerolog.TraceLevel)})
	if len(lines.lines("trace")) == 0 {
		t.Error("no debug line of the broker at trace level")
	}
}

func TestANodeWithoutListenerIsReachedInProcessOnly(t *testing.T) {
	node := start(t, embedded.Config{DontListen: true, NoJetStream: true})
	if node.URL() != "" || node.Addresses() != (embedded.Addresses{}) || node.StoreDir() != "" {
		t.Errorf("URL %q, addresses %+v, store %q, want none", node.URL(), node.Addresses(), node.StoreDir())
	}
	if err := node.Conn().Flush(within(t)); err != nil {
		t.Errorf("in process: %v", err)
	}
	js, err := node.Conn().JetStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.AccountInfo(within(t)); err == nil {
		t.Error("JetStream answers with NoJetStream")
	}
}

func TestStreamsSurviveARestart(t *testing.T) {
	cfg := embedded.Config{Listen: "127.0.0.1:0", StoreDir: filepath.Join(t.TempDir(), "new", "store")}
	first, err := embedded.Start(within(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	js, err := first.Conn().JetStream()
	if err != nil {
		t.Fatal(err)
	}
	addStream(t, js, "orders")
	if _, err := js.Publish(within(t), "orders.new", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	stop(t, first)

	second := start(t, cfg)
	if js, err = second.Conn().JetStream(); err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(within(t), "orders")
	if err != nil {
		t.Fatalf("the stream is gone: %v", err)
	}
	msg, err := stream.GetMsg(within(t), 1)
	if err != nil || string(msg.Data) != "kept" {
		t.Errorf("message 1 is %v, %v", msg, err)
	}
}

func TestTheStoreIsPrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("rights are not in the mode there")
	}
	state, shared := t.TempDir(), t.TempDir()
	t.Setenv("XDG_STATE_HOME", state)
	if err := os.MkdirAll(filepath.Join(state, "mbus", "0"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(shared, 0o755); err != nil {
		t.Fatal(err)
	}
	byDefault := start(t, embedded.Config{Listen: "127.0.0.1:0"})
	given := start(t, embedded.Config{Listen: "127.0.0.1:0", StoreDir: shared})
	inProcess := start(t, embedded.Config{DontListen: true})
	if want := filepath.Join(state, "mbus", "0"); byDefault.StoreDir() != want {
		t.Errorf("store %s, want %s", byDefault.StoreDir(), want)
	}
	if want := filepath.Join(state, "mbus", "in-process"); inProcess.StoreDir() != want {
		t.Errorf("store %s, want %s", inProcess.StoreDir(), want)
	}
	for path, want := range map[string]os.FileMode{
		byDefault.StoreDir():                        0o700,
		filepath.Join(shared, "jetstream"):          0o700,
		filepath.Join(given.StoreDir(), "lock"):     0o600,
		given.StoreDir():                            0o755, // belongs to whoever made it
		filepath.Join(byDefault.StoreDir(), "lock"): 0o600,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %04o, want %04o", path, got, want)
		}
	}
}

func TestTheDefaultStoreWithoutTheVariableIsBelowHome(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_STATE_HOME", "relative/is/ignored")
	t.Setenv("HOME", home)
	t.Setenv("LocalAppData", home)
	node := start(t, embedded.Config{Listen: "127.0.0.1:0"})
	if rel, err := filepath.Rel(home, node.StoreDir()); err != nil || strings.HasPrefix(rel, "..") {
		t.Errorf("store %s is not below %s", node.StoreDir(), home)
	}
}

func TestATemporaryStoreIsRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	node, err := embedded.Start(within(t), embedded.Config{Listen: "127.0.0.1:0", Ephemeral: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(node.StoreDir(), "jetstream")); err != nil {
		t.Errorf("while running: %v", err)
	}
	stop(t, node)
	if _, err := os.Stat(node.StoreDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the stop %s: %v", node.StoreDir(), err)
	}
}

func TestStopHandsOverWhatTheBrokerHasSent(t *testing.T) {
	node, err := embedded.Start(within(t), embedded.Config{Listen: "127.0.0.1:0", NoJetStream: true})
	if err != nil {
		t.Fatal(err)
	}
	const sent = 5000
	var got int // read after Stop, which waits for the listener's goroutine
	if _, err := node.Conn().Listen(bus.Calls, "orders", "", func(*nats.Msg) { got++ }); err != nil {
		t.Fatal(err)
	}
	if err := node.Conn().Flush(within(t)); err != nil {
		t.Fatal(err)
	}
	lost := make(chan struct{})
	nc := dial(t, node.URL(), nats.NoReconnect(), nats.ClosedHandler(func(*nats.Conn) { close(lost) }))
	for range sent {
		if err := nc.Publish("orders", nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.FlushWithContext(within(t)); err != nil {
		t.Fatal(err)
	}
	stop(t, node)
	if got != sent {
		t.Errorf("%d of %d messages arrived before the stop ended", got, sent)
	}
	select {
	case <-lost:
	case <-within(t).Done():
		t.Error("the broker is gone and its client does not know")
	}
	if err := node.Stop(within(t)); err != nil {
		t.Errorf("second Stop: %v", err)
	}
}

func TestStopWithAnEndedContextStopsAllTheSame(t *testing.T) {
	dir := t.TempDir()
	node, err := embedded.Start(within(t), embedded.Config{Listen: "127.0.0.1:0", StoreDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	nc := dial(t, node.URL(), nats.NoReconnect())
	if _, err := node.Conn().Listen(bus.Calls, "orders", "", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := node.Stop(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Stop: %v", err)
	}
	eventually(t, "the client is cut", nc.IsClosed)
	start(t, embedded.Config{Listen: "127.0.0.1:0", StoreDir: dir}) // it is unlocked
}

func TestANodeIsARunner(t *testing.T) {
	node := start(t, embedded.Config{Listen: "127.0.0.1:0", NoJetStream: true})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- bus.Run(ctx, patience, node) }()
	nc := dial(t, node.URL(), nats.NoReconnect())
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("Run: %v", err)
		}
	case <-within(t).Done():
		t.Fatal("Run does not return")
	}
	eventually(t, "the client is cut", nc.IsClosed)
	if err := node.Start(t.Context()); err == nil {
		t.Error("a second Start of the Runner succeeds")
	}
}

func TestNothingIsLeftRunning(t *testing.T) {
	cfg := embedded.Config{Listen: "127.0.0.1:0", StoreDir: t.TempDir()}
	cycle := func() {
		node, err := embedded.Start(within(t), cfg)
		if err != nil {
			t.Fatal(err)
		}
		stop(t, node)
	}
	cycle() // what the process starts once
	before := runtime.NumGoroutine()
	for range 5 {
		cycle()
	}
	eventually(t, "goroutines go", func() bool { return runtime.NumGoroutine() <= before })
}
