package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"golang.org/x/tools/txtar"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/rpc"
)

var update = flag.Bool("update", false, "rewrite the golden wire files")

// A scene is an exchange whose bytes are the protocol: a difference to its file
// in testdata/wire is a change of the protocol.
type scene struct {
	name, about string
	play        func(t *testing.T, conn *bus.Conn, client *rpc.Client)
}

// call calls a method of the greeter and tolerates failures of the service.
func call(t *testing.T, client *rpc.Client, method string, req any, opts ...rpc.CallOption) {
	t.Helper()
	_, err := rpc.Call[HelloResponse](t.Context(), client, greeter, method, req, opts...)
	if err != nil && !errors.Is(err, bus.Handler) && !errors.Is(err, bus.Refused) {
		t.Fatal(err)
	}
}

// request sends what a client without mbus would.
func request(t *testing.T, conn *bus.Conn, header nats.Header, body string) {
	t.Helper()
	ask(t, conn, helloSubject, header, body)
}

var scenes = []scene{
	{"plain", "Requests of clients that know nothing of mbus, and their answers.", func(t *testing.T, conn *bus.Conn, _ *rpc.Client) {
		request(t, conn, nil, `{"name":"John"}`)
		request(t, conn, nil, ``)
		request(t, conn, nats.Header{"Content-Type": {"application/msgpack"}}, "\x81\xa4name\xa4John")
		request(t, conn, nats.Header{"Content-Type": {"application/msgpack"}}, "\xdd\xff\xff\xff\xff")
		request(t, conn, nats.Header{"Content-Type": {"text/xml"}}, "<name/>")
		request(t, conn, nats.Header{"Mbus-Timeout": {"0"}}, `{}`)
		request(t, conn, nats.Header{"Mbus-Timeout": {"-5"}}, `{}`)
		ask(t, conn, "mbus.rpc.go_micro_srv_greeter.Say.No", nil, `{}`)
		ask(t, conn, "mbus.node.go_micro_srv_greeter.I1.Say.Hello", nil, `{"name":"John"}`)
		ask(t, conn, "mbus.node.go_micro_srv_greeter.I1.Say.Nothing", nil, `{}`)
	}},
	{"frame", "Calls between mbus programs: the first goes out plainly, the rest in frames.", func(t *testing.T, _ *bus.Conn, client *rpc.Client) {
		call(t, client, "Say.Hello", &HelloRequest{Name: "John"})
		time.Sleep(time.Second)
		call(t, client, "Say.Hello", &HelloRequest{Name: "John"})
		if _, err := rpc.Call[HelloResponse](context.WithoutCancel(t.Context()), client, greeter, "Say.Hello", nil); err != nil {
			t.Fatal(err)
		}
		call(t, client, "Say.No", &HelloRequest{Name: "John"})
		call(t, client, "Say.Hello", &HelloRequest{Name: "John"}, rpc.WithNode(greeter+"-I1"), rpc.WithTimeout(time.Second))
		call(t, client, "Say.Hello", &HelloRequest{Name: "John"}, rpc.WithID("42"), rpc.WithMeta("tenant", "acme"))
	}},
	{"broken", "Frames that break a rule.", func(t *testing.T, conn *bus.Conn, _ *rpc.Client) {
		request(t, conn, nil, "\xc1")
		request(t, conn, nil, "\xc1\x02\x01\x00anything")
		request(t, conn, nil, "\xc1\x01\x04\x00\x02\x01\x80")
		request(t, conn, nil, "\xc1\x01\x01\x00\x02\x07\xdd\xff\xff\xff\xff")
	}},
	{"cancel", "Callers that give up: a plain call names its id, a frame its number.", func(t *testing.T, _ *bus.Conn, client *rpc.Client) {
		for range 2 {
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Hour, nil)
			time.AfterFunc(100*time.Millisecond, cancel)
			_, err := rpc.Call[HelloResponse](ctx, client, greeter, "Say.Wait", &HelloRequest{}, rpc.WithTimeout(5*time.Second))
			wantError(t, err, bus.Canceled, bus.Cancelled)
			cancel()
			time.Sleep(time.Second)
		}
	}},
}

func TestTheWireIsAsWritten(t *testing.T) {
	for _, s := range scenes {
		t.Run(s.name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				srv := newGreeter(b.Conn(t), func(c *rpc.ServerConfig) { c.ID = "I1" })
				rpc.Handle(srv, "Say.Hello", hello)
				rpc.Handle(srv, "Say.No", func(_ context.Context, r *HelloRequest) (*HelloResponse, error) {
					e := bus.Errorf(bus.NotFound, "nobody is called %s", r.Name)
					e.Detail, e.Retry = []byte(`{"near":["Jon"]}`), bus.RetryAfter(1500*time.Millisecond)
					return nil, e
				})
				rpc.Handle(srv, "Say.Wait", func(ctx context.Context, _ *HelloRequest) (*HelloResponse, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				})
				serve(t, srv)
				tap := listenIn(t, b.Conn(t))
				conn := b.Conn(t)
				s.play(t, conn, rpc.NewClient(conn, rpc.ClientConfig{}))
				time.Sleep(time.Second)
				compareGolden(t, s, tap())
			})
		})
	}
}

// listenIn records the calls on the bus and their answers.
func listenIn(t *testing.T, conn *bus.Conn) func() []*nats.Msg {
	t.Helper()
	seen := make(chan *nats.Msg, 1000)
	for _, subject := range []string{"mbus.rpc.>", "mbus.node.>", "mbus.cancel.>", "_INBOX.>"} {
		if _, err := conn.NATS().ChanSubscribe(subject, seen); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Flush(bustest.Context(t)); err != nil {
		t.Fatal(err)
	}
	return func() []*nats.Msg {
		var all []*nats.Msg
		asked := make(map[string]bool)
		for len(seen) > 0 {
			m := <-seen
			if asked[m.Subject] = asked[m.Subject] || strings.HasPrefix(m.Subject, "mbus."); !asked[m.Subject] {
				continue // the answer to something else
			}
			asked[m.Reply] = true
			all = append(all, m)
		}
		return all
	}
}

// compareGolden writes the messages down, with names for what is random, and
// compares them with the file.
func compareGolden(t *testing.T, s scene, messages []*nats.Msg) {
	t.Helper()
	archive := &txtar.Archive{Comment: []byte(s.about + "\n\n")}
	inboxes, requests := make(map[string]int), 0 // a reply subject is of the latest request with it
	var token string
	for _, m := range messages {
		if rest, ok := strings.CutPrefix(m.Subject, "mbus.cancel."); ok {
			token = rest
		}
		if c := m.Header.Get("Mbus-Conn"); c != "" {
			token = c
		}
	}
	count(messages)
	for _, m := range messages {
		if m.Reply != "" && !strings.HasPrefix(m.Subject, "mbus.cancel.") {
			requests++
			inboxes[m.Reply] = requests
		}
		title := fmt.Sprint("request ", inboxes[m.Reply])
		switch n, reply := inboxes[m.Subject]; {
		case reply:
			title = fmt.Sprint("reply ", n)
		case m.Reply == "":
			title = "no reply wanted"
		}
		var text bytes.Buffer
		if !strings.HasPrefix(m.Subject, "_") {
			fmt.Fprintln(&text, m.Subject)
		}
		for _, k := range slices.Sorted(headerNames(m.Header)) {
			fmt.Fprintf(&text, "%s: %s\n", k, strings.Join(m.Header[k], ", "))
		}
		fmt.Fprintf(&text, "%s\n", strconv.QuoteToASCII(string(m.Data)))
		data := text.String()
		if token != "" {
			data = strings.ReplaceAll(data, token, "<22 bytes of token>")
		}
		archive.Files = append(archive.Files, txtar.File{Name: title, Data: []byte(data)})
	}
	name := filepath.Join("testdata", "wire", s.name+".txtar")
	got := txtar.Format(archive)
	if *update {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v; run with -update to write it", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("the wire is not as in %s (-want +got):\n%s", name, diff)
	}
}

// count makes the numbers of calls, which begin anywhere, begin at 1. Those that
// the scene has written itself are small, and stay.
func count(messages []*nats.Msg) {
	const own = 1 << 16
	first := ^uint64(0)
	visit := func(change func(uint64) uint64) {
		for _, m := range messages {
			if id, err := strconv.ParseUint(m.Header.Get("Mbus-Id"), 36, 64); err == nil && id > own {
				m.Header.Set("Mbus-Id", strconv.FormatUint(change(id), 36))
			}
			if id, err := strconv.ParseUint(string(m.Data), 36, 64); err == nil && id > own {
				m.Data = []byte(strconv.FormatUint(change(id), 36))
			}
			if !wire.IsFrame(m.Data) {
				continue
			}
			if f, err := wire.ParseFrame(m.Data); err == nil && f.Seq > own {
				f.Seq = change(f.Seq)
				m.Data = wire.AppendFrame(nil, &f)
			} else if e, err := wire.ParseErrorFrame(m.Data); err == nil && e.Seq > own {
				e.Seq = change(e.Seq)
				m.Data = wire.AppendErrorFrame(nil, &e)
			}
		}
	}
	visit(func(n uint64) uint64 { first = min(first, n); return n })
	visit(func(n uint64) uint64 { return n - first + 1 })
}

func headerNames(h nats.Header) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range h {
			if !yield(k) {
				return
			}
		}
	}
}
