package lab_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/examples/lab"
	"github.com/mbus-dev/mbus/rpc"
)

func TestMain(m *testing.M) { bustest.Main(m) }

// start serves the lab and returns a client on another connection.
func start(t *testing.T, b *bustest.Bus, change ...func(*rpc.ServerConfig)) *rpc.Client {
	t.Helper()
	var cfg rpc.ServerConfig
	for _, f := range change {
		f(&cfg)
	}
	srv := lab.NewServer(b.Conn(t), cfg)
	if err := srv.Start(bustest.Context(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		if err := srv.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return rpc.NewClient(b.Conn(t), rpc.ClientConfig{Retries: new(0)})
}

// Every error has one of thirteen codes. It has the same name in Go, in the
// headers that any NATS client sees, and in the output of the command.
func TestEveryCode(t *testing.T) {
	for _, c := range []struct {
		code   bus.Code
		name   string
		status string
	}{
		{bus.InvalidArgument, "invalid_argument", "400"},
		{bus.Unauthenticated, "unauthenticated", "401"},
		{bus.PermissionDenied, "permission_denied", "403"},
		{bus.NotFound, "not_found", "404"},
		{bus.Conflict, "conflict", "409"},
		{bus.TooLarge, "too_large", "413"},
		{bus.ResourceExhausted, "resource_exhausted", "429"},
		{bus.Canceled, "canceled", "499"},
		{bus.Internal, "internal", "500"},
		{bus.Unimplemented, "unimplemented", "501"},
		{bus.Unavailable, "unavailable", "503"},
		{bus.DeadlineExceeded, "deadline_exceeded", "504"},
		{bus.DataLoss, "data_loss", "500"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				client := start(t, b)
				_, err := lab.Fail.Call(bustest.Context(t), client, &lab.FailRequest{Code: c.name, Detail: "because"})
				if !errors.Is(err, c.code) {
					t.Errorf("in Go: got %v, want %v", err, c.code)
				}
				if want := lab.Service + ".Lab.Fail: " + c.name + ": because"; err.Error() != want {
					t.Errorf("in words: got %q, want %q", err, want)
				}
				m, err := b.Conn(t).NATS().RequestWithContext(bustest.Context(t), "mbus.rpc.go_micro_srv_lab.Lab.Fail", fmt.Appendf(nil, `{"code":%q,"detail":"because"}`, c.name))
				if err != nil {
					t.Fatal(err)
				}
				for header, want := range map[string]string{
					"Mbus-Error": c.name, "Nats-Service-Error-Code": c.status, "Nats-Service-Error": "because", "Mbus-Retry": "never",
				} {
					if got := m.Header.Get(header); got != want {
						t.Errorf("%s: got %q, want %q", header, got, want)
					}
				}
			})
		})
	}
}

func TestACodeThatDoesNotExistIsNamedWithThoseThatDo(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		_, err := lab.Fail.Call(bustest.Context(t), start(t, b), &lab.FailRequest{Code: "oops"})
		if !errors.Is(err, bus.InvalidArgument) || !strings.Contains(err.Error(), "data_loss") {
			t.Errorf("got %v", err)
		}
	})
}

func TestTheLabSaysWhichFieldIsWrong(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		ctx, client := bustest.Context(t), start(t, b)
		for method, row := range map[string]struct{ body, want string }{
			"Lab.Sleep": {`{"ms":-1}`, "ms: -1 is under the minimum 0"},
			"Lab.Big":   {`{"bytes":67108865}`, "bytes: 67108865 is over the maximum 67108864"},
			"Lab.Fail":  {`{"code":5}`, "code: a string is wanted, got a number"},
		} {
			_, err := rpc.Call[lab.Nothing](ctx, client, lab.Service, method, json.RawMessage(row.body))
			if want := lab.Service + "." + method + ": invalid_argument: " + row.want; err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		}
		for _, err := range rpc.CallStream[lab.Number](ctx, client, lab.Service, "Lab.Count", &lab.CountRequest{N: -1}) {
			if !errors.Is(err, bus.InvalidArgument) {
				t.Errorf("Lab.Count: %v", err)
			}
		}
	})
}

// Every call ends in one of six ways, or with an answer.
func TestEveryEnd(t *testing.T) {
	sleep := func(ctx context.Context, c *rpc.Client, d time.Duration, opts ...rpc.CallOption) error {
		_, err := lab.Sleep.Call(ctx, c, &lab.SleepRequest{MS: d.Milliseconds()}, opts...)
		return err
	}
	for _, c := range []struct {
		name string
		end  bus.End
		code bus.Code
		call func(t *testing.T, b *bustest.Bus) error
	}{
		{"nobody: no such service", bus.Nobody, bus.NotFound, func(t *testing.T, b *bustest.Bus) error {
			return sleep(bustest.Context(t), rpc.NewClient(b.Conn(t), rpc.ClientConfig{}), 0)
		}},
		{"nobody: no such method", bus.Nobody, bus.NotFound, func(t *testing.T, b *bustest.Bus) error {
			_, err := rpc.Call[lab.Nothing](bustest.Context(t), start(t, b), lab.Service, "Lab.Sleeb", nil)
			return err
		}},
		{"timeout: no answer in time", bus.Timeout, bus.DeadlineExceeded, func(t *testing.T, b *bustest.Bus) error {
			return sleep(bustest.Context(t), start(t, b), 10*time.Second, rpc.WithTimeout(time.Second))
		}},
		{"cancelled: the caller gave up", bus.Cancelled, bus.Canceled, func(t *testing.T, b *bustest.Bus) error {
			ctx, cancel := context.WithCancel(bustest.Context(t))
			client := start(t, b)
			time.AfterFunc(time.Second, cancel)
			return sleep(ctx, client, 10*time.Second, rpc.WithTimeout(20*time.Second))
		}},
		{"refused: overload", bus.Refused, bus.ResourceExhausted, func(t *testing.T, b *bustest.Bus) error {
			client := start(t, b, func(c *rpc.ServerConfig) { c.Concurrency = 1 })
			busy := make(chan error)
			go func() { busy <- sleep(t.Context(), client, 2*time.Second) }()
			time.Sleep(time.Second)
			err := sleep(bustest.Context(t), client, 0)
			if err := <-busy; err != nil {
				t.Error(err)
			}
			return err
		}},
		{"refused: rights", bus.Refused, bus.PermissionDenied, func(t *testing.T, b *bustest.Bus) error {
			_, err := lab.Fail.Call(bustest.Context(t), start(t, b), &lab.FailRequest{Code: "permission_denied"})
			return err
		}},
		{"handler: it said no", bus.Handler, bus.Conflict, func(t *testing.T, b *bustest.Bus) error {
			_, err := lab.Fail.Call(bustest.Context(t), start(t, b), &lab.FailRequest{Code: "conflict"})
			return err
		}},
		{"handler: it panicked", bus.Handler, bus.Internal, func(t *testing.T, b *bustest.Bus) error {
			_, err := rpc.Call[lab.Nothing](bustest.Context(t), start(t, b), lab.Service, "Lab.Panic", nil)
			return err
		}},
		{"broker: it is away", bus.Broker, bus.Unavailable, func(t *testing.T, b *bustest.Bus) error {
			link := b.Link()
			client := rpc.NewClient(b.Conn(t, link.Use), rpc.ClientConfig{})
			link.Down()
			time.Sleep(100 * time.Millisecond)
			err := sleep(bustest.Context(t), client, 0)
			link.Heal()
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				err := c.call(t, b)
				if !errors.Is(err, c.end) || !errors.Is(err, c.code) {
					t.Errorf("got %v; want the end %v and the code %v", err, c.end, c.code)
				}
			})
		})
	}
}

func TestTheLabStreams(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		ctx, client := bustest.Context(t), start(t, b)
		var next int64
		for n, err := range rpc.CallStream[lab.Number](ctx, client, lab.Service, "Lab.Count", &lab.CountRequest{N: 5, IntervalMS: 100}) {
			if err != nil || n.I != next {
				t.Fatalf("%v, %v; want %d", n, err, next)
			}
			next++
		}
		if next != 5 {
			t.Errorf("%d numbers came", next)
		}
		sum, err := lab.Sum.Open(ctx, client)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []float64{1.5, 2, -3} {
			if err := sum.Send(&lab.Value{Value: v}); err != nil {
				t.Fatal(err)
			}
		}
		if err := sum.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if total, err := sum.Recv(); err != nil || total.Sum != 0.5 {
			t.Errorf("%v, %v", total, err)
		}
		_ = sum.Close()
		chat, err := lab.Chat.Open(ctx, client)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"a", "b"} {
			if err := chat.Send(&lab.Line{Text: text}); err != nil {
				t.Fatal(err)
			}
			if line, err := chat.Recv(); err != nil || line.Text != text {
				t.Errorf("%v, %v", line, err)
			}
		}
		_ = chat.Close()
	})
}

func TestTheLabAnswersWhatItIsSentAndAsMuchAsItIsAsked(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		ctx, client := bustest.Context(t), start(t, b)
		nc := b.Conn(t).NATS()
		for _, body := range []string{`{"a":1}`, `[1, 2]`, `12345678901234567890123`, `"x"`, `null`} {
			m, err := nc.RequestWithContext(ctx, "mbus.rpc.go_micro_srv_lab.Lab.Echo", []byte(body))
			if err != nil || string(m.Data) != body {
				t.Errorf("%s: %q, %v", body, m.Data, err)
			}
		}
		m, err := nc.RequestWithContext(ctx, "mbus.rpc.go_micro_srv_lab.Lab.Echo", []byte(`{"a":`))
		if err != nil || m.Header.Get("Mbus-Error") != "invalid_argument" {
			t.Errorf("%v, %v", m, err)
		}
		for _, n := range []int{0, 1, 1 << 20, 5 << 20} {
			res, err := lab.Big.Call(ctx, client, &lab.BigRequest{Bytes: n})
			if err != nil || len(res.Data) != n {
				t.Errorf("%d bytes: %v", n, err)
			}
		}
		for _, n := range []int{-1, 64<<20 + 1} {
			if _, err := lab.Big.Call(ctx, client, &lab.BigRequest{Bytes: n}); !errors.Is(err, bus.InvalidArgument) {
				t.Errorf("%d bytes: %v", n, err)
			}
		}
	})
}
