package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/embedded"
	"github.com/mbus-dev/mbus/examples/greeter"
	"github.com/mbus-dev/mbus/rpc"
)

var update = flag.Bool("update", false, "rewrite the golden files and docs/cli.md")

// The scripts read as the manual does: what is typed, what comes back. Beside
// the commands of testscript they have
//
//	bus                    start a broker with a few services; MBUS_URL leads to it
//	code N CMD ARGS...     run a command that must exit with N
//	awaitcode N CMD ARGS... run a command until it exits with N
//	awaitfile FILE         wait until the file is there and not empty
//	awaittext FILE REGEXP  wait until a line of the file matches
//	awaitservice NAME      wait until the service answers
//	awaitgone NAME         wait until the service is no longer listed
//	awaithang              wait until a call of Odd.Hang is at work
//	awaitinterest TOPIC N  wait until N subscribe to the topic
//	terminate              send SIGTERM to the last command in the background
//	certs                  make ca.pem, cert.pem and key.pem
//	addresses FILE         set MBUS_URL, HOSTPORT and APIHOSTPORT from what --addresses-file wrote
//	proxy FILE             set PROXY to the sidecar in what --addresses-file wrote
//	app                    start an app that speaks JSON-RPC; PORT is where
//	killapp                end it
func TestScripts(t *testing.T) {
	source, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			// Nothing of the machine that runs the test may shine through.
			env.Setenv("XDG_STATE_HOME", env.WorkDir+"/state")
			env.Setenv("TZ", "UTC")
			// Scripts that run side by side have nodes of their own.
			env.Setenv("MBUS_API_ADDRESS", "127.0.0.1:0")
			env.Setenv("MBUS_SIDECAR_ADDRESS", "127.0.0.1:0")
			env.Setenv("MBUS_WEB_ADDRESS", "127.0.0.1:0")
			env.Setenv("SOURCE", source)
			bin, _, _ := strings.Cut(env.Getenv("PATH"), string(os.PathListSeparator))
			env.Setenv("BIN", bin)
			env.Values[scriptBus{}] = &scriptBus{}
			for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH", "GOFLAGS", "GOPROXY"} {
				env.Setenv(name, goEnv(t, name))
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"bus":           startBus,
			"code":          exitsWith,
			"awaitcode":     awaitCode,
			"awaitfile":     awaitFile,
			"awaittext":     awaitText,
			"awaitgone":     awaitGone,
			"awaithang":     awaitHang,
			"awaitservice":  awaitService,
			"awaitinterest": awaitInterest,
			"terminate":     terminate,
			"certs":         makeCerts,
			"addresses":     setAddress,
			"proxy":         setProxy,
			"app":           startApp,
			"killapp":       killApp,
		},
	})
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatalf("go env %s: %v", name, err)
	}
	return strings.TrimSpace(string(out))
}

func check(ts *testscript.TestScript, neg bool, args []string, n int, usage string) {
	if neg || len(args) < n {
		ts.Fatalf("usage: %s", usage)
	}
}

// startBus runs a broker in the test's process with the services of
// testServices.
func startBus(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, neg, args, 0, "bus")
	stop, err := ts.Value(scriptBus{}).(*scriptBus).start()
	ts.Defer(stop)
	ts.Check(err)
	ts.Setenv("MBUS_URL", ts.Value(scriptBus{}).(*scriptBus).node.URL())
}

// start starts the broker and the services; stop ends what has started.
func (b *scriptBus) start() (stop func(), err error) {
	ctx := context.Background()
	if b.node, err = embedded.Start(ctx, embedded.Config{Listen: "127.0.0.1:0", Ephemeral: true}); err != nil {
		return func() {}, err
	}
	services := testServices(b.node.Conn(), &b.hanging)
	for _, srv := range services {
		if err == nil {
			err = srv.Start(ctx)
		}
	}
	return func() {
		stopping, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		for _, srv := range services {
			now, cancel := context.WithTimeout(stopping, 200*time.Millisecond)
			_ = srv.Stop(now) // a call that hangs on purpose is cut
			cancel()
		}
		_ = b.node.Stop(stopping) // nothing in it is worth keeping
	}, err
}

// A scriptBus is the broker of one script.
type scriptBus struct {
	node    *embedded.Node
	app     *httptest.Server // or nil
	hanging atomic.Int32     // calls of Odd.Hang that are at work
}

// testServices are a greeter in two versions, and a service whose methods
// misbehave in one way each.
func testServices(conn *bus.Conn, hanging *atomic.Int32) []*rpc.Server {
	old := greeter.NewServer(conn, rpc.ServerConfig{ID: "old", Version: "0.9.0"})
	current := greeter.NewServer(conn, rpc.ServerConfig{ID: "current", Metadata: map[string]string{"zone": "b", "colour": "red"}})
	odd := rpc.NewServer(conn, rpc.ServerConfig{Name: "test.odd", ID: "1", Version: "2.0.0", Timeout: time.Minute})
	answer := func(c codec.Codec, body string) rpc.HandlerFunc {
		return func(context.Context, *rpc.Request) (*rpc.Response, error) {
			return &rpc.Response{Codec: c, Body: []byte(body)}, nil
		}
	}
	odd.HandleRaw("Odd.Echo", func(_ context.Context, req *rpc.Request) (*rpc.Response, error) {
		return &rpc.Response{Codec: req.Codec, Body: bytes.Clone(req.Body)}, nil
	})
	odd.HandleRaw("Odd.Meta", func(_ context.Context, req *rpc.Request) (*rpc.Response, error) {
		body, err := json.Marshal(map[string]string{"trace": req.Meta.Get("X-Trace"), "colour": req.Meta.Get("Colour")})
		return &rpc.Response{Codec: codec.JSON, Body: body}, err
	})
	odd.HandleRaw("Odd.Order", answer(codec.JSON, `{"z":12345678901234567890,"a":{"y":1.50,"b":[]}}`))
	odd.HandleRaw("Odd.Text", answer(codec.Raw, "no JSON"))
	odd.HandleRaw("Odd.Hostile", answer(codec.JSON, "{\"msg\":\"\u009b31m\u202egnp.exe\x7f\"}"))
	odd.HandleRaw("Odd.Fail", func(context.Context, *rpc.Request) (*rpc.Response, error) {
		e := bus.Errorf(bus.Conflict, "it was changed\nmeanwhile")
		e.Detail = []byte(`{"revision":7}`)
		return nil, e
	})
	odd.HandleRaw("Odd.Busy", func(context.Context, *rpc.Request) (*rpc.Response, error) {
		e := bus.Errorf(bus.ResourceExhausted, "too much to do")
		e.Retry = bus.RetrySafe
		return nil, e
	})
	odd.HandleRaw("Odd.Forbidden", func(context.Context, *rpc.Request) (*rpc.Response, error) {
		return nil, bus.Errorf(bus.PermissionDenied, "not you")
	})
	odd.HandleRaw("Odd.Hang", func(ctx context.Context, _ *rpc.Request) (*rpc.Response, error) {
		hanging.Add(1)
		defer hanging.Add(-1)
		<-ctx.Done()
		return nil, ctx.Err()
	})
	return []*rpc.Server{old, current, odd}
}

func exitsWith(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, neg, args, 2, "code N CMD ARGS...")
	if got, want := exitCode(ts, args); got != want {
		ts.Fatalf("%s exits with %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// exitCode runs the command after a code.
func exitCode(ts *testscript.TestScript, args []string) (got, want int) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return e.ExitCode(), want
	}
	ts.Check(err)
	return 0, want
}

// await waits until ok is true. It looks at other processes, whose progress
// nothing in this one can wait for.
func await(ts *testscript.TestScript, what string, ok func() bool) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); !ok(); <-tick.C {
		if time.Since(start) > 20*time.Second {
			ts.Fatalf("waited 20 s for %s", what)
		}
	}
}

func awaitCode(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, neg, args, 2, "awaitcode N CMD ARGS...")
	await(ts, "exit "+args[0]+" of "+strings.Join(args[1:], " "), func() bool {
		got, want := exitCode(ts, args)
		return got == want
	})
}

// awaitText is for the output of another process, which writes when it gets to.
func awaitText(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, neg, args, 2, "awaittext FILE REGEXP")
	want, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	await(ts, args[1]+" in "+args[0], func() bool {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		return err == nil && want.Match(text)
	})
}

func awaitFile(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, neg, args, 1, "awaitfile FILE")
	await(ts, args[0], func() bool {
		info, err := os.Stat(ts.MkAbs(args[0]))
		return err == nil && info.Size() > 0
	})
}

func awaitService(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, neg, args, 1, "awaitservice NAME")
	await(ts, "the service "+args[0], func() bool { return ts.Exec("mbus", "health", args[0]) == nil })
}

func awaitGone(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, neg, args, 1, "awaitgone NAME")
	await(ts, "the end of "+args[0], func() bool { return ts.Exec("mbus", "get", args[0]) != nil })
}

func awaitHang(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, neg, args, 0, "awaithang")
	await(ts, "a call that hangs", func() bool { return ts.Value(scriptBus{}).(*scriptBus).hanging.Load() > 0 })
}

// awaitInterest asks the broker, which alone knows when a subscription of
// another process counts.
func awaitInterest(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, neg, args, 2, "awaitinterest TOPIC N")
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	await(ts, "subscribers of "+args[0], func() bool { return interest(ts, args[0]) >= want })
}

// interest counts the subscriptions that match a topic.
func interest(ts *testscript.TestScript, topic string) int {
	node := ts.Value(scriptBus{}).(*scriptBus).node
	question, err := json.Marshal(map[string]any{"subscriptions": true, "test": topic})
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	m, err := node.System().Request(ctx, "$SYS.REQ.SERVER."+node.ServerID()+".SUBSZ", nil, question)
	ts.Check(err)
	var answer struct {
		Data struct {
			List []json.RawMessage `json:"subscriptions_list"`
		} `json:"data"`
	}
	ts.Check(json.Unmarshal(m.Data, &answer))
	return len(answer.Data.List)
}

func terminate(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, neg, args, 0, "terminate")
	running := ts.BackgroundCmds()
	ts.Check(running[len(running)-1].Process.Signal(syscall.SIGTERM))
}

func setAddress(ts *testscript.TestScript, neg bool, args []string) {
	check(ts, neg, args, 1, "addresses FILE")
	var found struct {
		Bus string `json:"bus"`
		API string `json:"api"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &found))
	ts.Setenv("MBUS_URL", found.Bus)
	_, hostPort, _ := strings.Cut(found.Bus, "://")
	ts.Setenv("HOSTPORT", hostPort)
	_, hostPort, _ = strings.Cut(found.API, "://")
	ts.Setenv("APIHOSTPORT", hostPort)
}
