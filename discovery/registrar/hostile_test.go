package registrar_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/discovery/registrar"
)

func TestBadRequestsAreRefused(t *testing.T) {
	node := func(fields string) string { return `{"service":{"name":"app","nodes":[{` + fields + `}]}}` }
	deep := strings.Repeat("[", 100) + strings.Repeat("]", 100)
	for _, tc := range []struct {
		what, op, body string
		code           bus.Code
		says           string
	}{
		{"no JSON", "get", `hello`, bus.InvalidArgument, ""},
		{"cut JSON", "get", `{"service":"a`, bus.InvalidArgument, ""},
		{"more than one value", "list", `{}{}`, bus.InvalidArgument, ""},
		{"depth", "register", `{"service":` + deep + `}`, bus.InvalidArgument, "deep"},
		{"msgpack", "get", "\x81\xa7service\xa1a", bus.InvalidArgument, ""},
		{"a number for a name", "get", `{"service":1}`, bus.InvalidArgument, ""},
		{"a list for an object", "list", `[]`, bus.InvalidArgument, ""},
		{"no service", "get", ``, bus.InvalidArgument, "say which service"},
		{"a long name", "get", `{"service":"` + strings.Repeat("a", 300) + `"}`, bus.InvalidArgument, "256"},
		{"an impossible name", "get", `{"service":"a b > *"}`, bus.NotFound, ""},
		{"a big request", "get", `{"service":"` + strings.Repeat("a", 5000) + `"}`, bus.TooLarge, "4096"},
		{"a big registration", "register", `{"service":{"name":"` + strings.Repeat("a", 300_000) + `"}}`, bus.TooLarge, ""},
		{"nothing to register", "register", `{}`, bus.InvalidArgument, "empty"},
		{"no node", "register", `{"service":{"name":"app"}}`, bus.InvalidArgument, "at least one node"},
		{"null for a node", "register", `{"service":{"name":"app","nodes":[null]}}`, bus.InvalidArgument, "id"},
		{"a bad name", "register", `{"service":{"name":"a b","nodes":[{"id":"1","address":"h"}]}}`, bus.InvalidArgument, "character"},
		{"no id", "register", node(`"address":"h"`), bus.InvalidArgument, "id is empty"},
		{"a long id", "register", node(`"id":"` + strings.Repeat("i", 129) + `","address":"h"`), bus.InvalidArgument, "129"},
		{"an id with a line break", "register", node(`"id":"a\nb","address":"h"`), bus.InvalidArgument, "printable"},
		{"no address", "register", node(`"id":"1"`), bus.InvalidArgument, "no address"},
		{"a long address", "register", node(`"id":"1","address":"` + strings.Repeat("h", 300) + `"`), bus.InvalidArgument, "256"},
		{"a port beyond all", "register", node(`"id":"1","address":"h","port":65536`), bus.InvalidArgument, "port"},
		{"a port below", "register", node(`"id":"1","address":"h","port":-1`), bus.InvalidArgument, "port"},
		{"metadata of mbus", "register", node(`"id":"1","address":"h","metadata":{"mbus.v":"9"}`), bus.InvalidArgument, "belong to mbus"},
		{"too much metadata", "register", node(`"id":"1","address":"h","metadata":{"a":"` + strings.Repeat("x", 40_000) + `"}`), bus.TooLarge, ""},
		{"a node twice", "register", `{"service":{"name":"app","nodes":[{"id":"1","address":"h"},{"id":"1","address":"h"}]}}`, bus.InvalidArgument, "twice"},
		{"many nodes", "register", `{"service":{"name":"app","nodes":[` + strings.Repeat(`{"id":"1"},`, 64) + `{"id":"1"}]}}`, bus.TooLarge, "64"},
		{"a bad endpoint", "register", `{"service":{"name":"app","endpoints":[{"name":"a b"}],"nodes":[{"id":"1","address":"h"}]}}`, bus.InvalidArgument, "character"},
		{"a deep description", "register", `{"service":{"name":"app","endpoints":[{"name":"A","request":` +
			strings.Repeat(`{"values":[`, 9) + `{}` + strings.Repeat(`]}`, 9) + `}],"nodes":[{"id":"1","address":"h"}]}}`, bus.InvalidArgument, "deeper"},
		{"a negative ttl", "register", `{"ttl_ms":-1,"service":{"name":"app","nodes":[{"id":"1","address":"h"}]}}`, bus.InvalidArgument, "ttl"},
		{"an endless ttl", "register", `{"ttl_ms":9223372036854775807,"service":{"name":"app","nodes":[{"id":"1","address":"h"}]}}`, bus.InvalidArgument, "ttl"},
		{"a ttl beyond numbers", "register", `{"ttl_ms":1e99,"service":{"name":"app","nodes":[{"id":"1","address":"h"}]}}`, bus.InvalidArgument, ""},
		{"the name of the registrars", "register", `{"service":{"name":"mbus","nodes":[{"id":"1","address":"h"}]}}`, bus.InvalidArgument, "belongs"},
		{"nothing to deregister", "deregister", `{"service":{"name":"app"}}`, bus.InvalidArgument, "at least one node"},
		{"a renewal for anyone", "watch", `{"renew":"x"}`, bus.InvalidArgument, "mbus.node.mbus"},
		{"a watch of a long name", "watch", `{"service":"` + strings.Repeat("a", 300) + `"}`, bus.InvalidArgument, "256"},
		{"a number below zero", "watch", `{"after":-1}`, bus.InvalidArgument, ""},
	} {
		t.Run(tc.what, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				r := start(t, b.Conn(t), registrar.Config{})
				conn := b.Conn(t)
				_, refused := ask(t, conn, tc.op, tc.body)
				if refused == nil || refused.Code != tc.code || !strings.Contains(refused.Message, tc.says) {
					t.Errorf("%s %.80s: %v, want %v that says %q", tc.op, tc.body, refused, tc.code, tc.says)
				}
				if refused != nil && (len(refused.Message) > 500 || strings.Contains(refused.Message, "\n")) {
					t.Errorf("the message is not one short line: %q", refused.Message)
				}
				if s := r.Stats(); s.Entries != 0 || s.Watches != 0 {
					t.Errorf("it left something behind: %+v", s)
				}
			})
		})
	}
}

func TestRequestsThatWantTheirReplyElsewhereAreDropped(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := start(t, b.Conn(t), registrar.Config{ID: "reg"})
		conn := b.Conn(t)
		var heard atomic.Int64
		sub, err := conn.NATS().Subscribe("victim.>", func(*nats.Msg) { heard.Add(1) })
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sub.Unsubscribe() }()
		want := uint64(0)
		for _, subject := range []string{"mbus.registry.list", "mbus.registry.get", "mbus.registry.watch", "mbus.registry.register", "mbus.node.mbus.reg.watch", "mbus.node.mbus.reg.sync"} {
			for _, reply := range []string{"", "victim.topic", "mbus.registry.register"} {
				if err := conn.Publish(t.Context(), subject, reply, nil, []byte(`{}`)); err != nil {
					t.Fatal(err)
				}
				want++
			}
		}
		time.Sleep(time.Second)
		if s := r.Stats(); s.Dropped != want || heard.Load() != 0 {
			t.Errorf("dropped %d of %d, %d came out elsewhere", s.Dropped, want, heard.Load())
		}
	})
}

func TestNoiseDoesNoHarm(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		start(t, b.Conn(t), registrar.Config{ID: "reg", System: systemConn(t, b)})
		conn, broker := b.Conn(t), systemConn(t, b)
		register(t, conn, app("app", "1"), 0)
		random := rand.New(rand.NewPCG(1, 2))
		noise := func() []byte {
			seeds := []string{`{"service":"app"}`, `{"id":"reg","ask":[{"service":"app","id":"1"}]}`, `{"seen":[{"gone":true}]}`, `{"server":{"id":"S"},"client":{"id":7},"reason":"Client Closed"}`, `[[[`, `null`, ``}
			data := []byte(seeds[random.IntN(len(seeds))])
			for range random.IntN(4) {
				if len(data) > 0 {
					data[random.IntN(len(data))] = byte(random.IntN(256))
				}
			}
			return data
		}
		for n := range 500 {
			for _, subject := range []string{
				"mbus.registry.list", "mbus.registry.get", "mbus.registry.watch", "mbus.registry.register", "mbus.registry.deregister", "mbus.registry.pace",
				"mbus.node.mbus.reg.sync", "mbus.node.mbus.reg.watch", "mbus.announce.app.x.up", "mbus.announce.x", "mbus.announce.mbus.y.down",
			} {
				_ = conn.Publish(t.Context(), subject, fmt.Sprintf("_INBOX.nobody.%d", n), nil, noise())
			}
			for _, subject := range []string{"$SYS.ACCOUNT.$G.DISCONNECT", "$SYS.SERVER.x.SHUTDOWN"} {
				_ = broker.Publish(t.Context(), subject, "", nil, noise())
			}
			if n%50 == 0 {
				time.Sleep(10 * time.Millisecond)
			}
		}
		time.Sleep(5 * time.Second)
		expectNodes(t, conn, "app", "1")
	}, system())
}

func TestTooManyRequestsAreRefused(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		r := start(t, b.Conn(t), registrar.Config{ID: "reg"})
		conn := b.Conn(t)
		end := stuckRegistrar(t, conn) // writes wait for it
		var refusals atomic.Int64
		reply, release, err := conn.Expect(func(m *nats.Msg) {
			if e := bus.ReplyError(m); e != nil && e.Code == bus.ResourceExhausted && e.Retry == bus.RetrySafe {
				refusals.Add(1)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		for n := range 1300 {
			body := fmt.Sprintf(`{"service":{"name":"app","nodes":[{"id":"%d","address":"h"}]}}`, n%100)
			if err := conn.Publish(t.Context(), "mbus.registry.register", reply, nil, []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(100 * time.Millisecond)
		if s := r.Stats(); s.Refused == 0 || refusals.Load() == 0 {
			t.Errorf("%d refused, %d told so", s.Refused, refusals.Load())
		}
		end()
		time.Sleep(30 * time.Second)
		if got := nodes(t, conn, "app"); len(got) == 0 {
			t.Error("it does not serve any more")
		}
	})
}
