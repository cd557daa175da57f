//go:build unix

package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/rpc"
)

// evilInfo makes clients believe that the service evil speaks frames.
const evilInfo = `{"type":"io.nats.micro.v1.info_response","name":"evil","id":"x","version":"1.0.0","description":"",` +
	`"metadata":{"mbus.v":"1","mbus.name":"evil","mbus.codecs":"json,msgpack"},` +
	`"endpoints":[{"name":"Say_Hello","subject":"mbus.rpc.evil.Say.Hello","queue_group":"q","metadata":{"mbus.method":"Say.Hello"}}]}`

func answer(t *testing.T, nc *nats.Conn, subject string, f func(*nats.Msg)) {
	t.Helper()
	if _, err := nc.Subscribe(subject, f); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

func TestHostileRepliesAreErrorsAndCostLittle(t *testing.T) {
	onlyOnLinux(t)
	t.Parallel()
	b := startBareBroker(t)
	nc := b.plain(t)
	for _, subject := range []string{"$SRV.INFO", "$SRV.INFO.evil", "$SRV.PING", "$SRV.PING.evil"} {
		answer(t, nc, subject, func(m *nats.Msg) { _ = m.Respond([]byte(evilInfo)) })
	}
	all := attacks()
	var next, framed atomic.Int64
	answer(t, nc, "mbus.rpc.evil.Good", func(m *nats.Msg) {
		body := []byte("{}")
		if f, err := wire.ParseFrame(m.Data); err == nil {
			framed.Add(1)
			body = wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameReply, Seq: f.Seq, Codec: wire.CodecJSON, Payload: body})
		}
		_ = m.Respond(body)
	})
	answer(t, nc, "mbus.rpc.evil.Say.Hello", func(m *nats.Msg) {
		if wire.IsFrame(m.Data) {
			framed.Add(1)
		}
		a := all[int(next.Add(1)-1)%len(all)]
		_ = m.RespondMsg(&nats.Msg{Header: a.header, Data: a.data})
	})
	good, code := peakOf(t, b.mbus("query", "evil", "Good", "{}"))
	if code != 0 {
		t.Fatalf("the good method of evil: exit code %d", code)
	}

	// Each command gets another one.
	for range all {
		p := start(t, b.mbus("query", "evil", "Say.Hello", "{}"))
		peak := watchPeak(t, p)
		if lines := strings.Count(p.stderr.String(), "\n"); p.code() != 1 || lines != 1 || len(p.stderr.String()) > 2048 {
			t.Errorf("mbus query: exit code %d and %d lines: %s", p.code(), lines, tail(p.stderr.String()))
		}
		if grown := peak - good; grown > maxGrowth {
			t.Errorf("mbus query took %d MiB more than a good call", grown>>20)
		}
	}

	// A Go program that has learnt to speak frames with it.
	conn := b.connect(t)
	for n, a := range all {
		client := rpc.NewClient(conn, rpc.ClientConfig{Timeout: 10 * time.Second})
		before := framed.Load()
		eventually(t, startup, "a call as a frame", func() error {
			if _, err := rpc.Call[struct{}](t.Context(), client, "evil", "Good", nil); err != nil {
				t.Fatal(err)
			}
			if framed.Load() == before {
				return errors.New("all were plain")
			}
			return nil
		})
		before = framed.Load()
		next.Store(int64(n))
		_, err := rpc.Call[struct{ Msg string }](t.Context(), client, "evil", "Say.Hello", struct{ Name string }{"John"})
		if !errors.Is(err, bus.DataLoss) && !errors.Is(err, bus.Unimplemented) || framed.Load() == before {
			t.Errorf("%s as a reply to a frame: got %v, want data_loss", a.name, err)
		}
		if err := client.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}

	// A process that goes on calling does not grow.
	load := b.start(t, of(mbus, "bench", "evil", "Say.Hello", "--duration", "1s", "--output", "json"))
	peak := watchPeak(t, load)
	r := decode[benchResult](t, load.stdout.String())
	t.Logf("a good call takes %d MiB, %d bad ones %d MiB: %v", good>>20, r.OK+r.failed(), peak>>20, r.Errors)
	if r.OK+r.failed() < len(all) || r.failed() == 0 {
		t.Errorf("mbus bench: %+v; want every attack once", r)
	}
	if grown := peak - good; grown > maxGrowth {
		t.Errorf("mbus bench took %d MiB more than a good call", grown>>20)
	}
}

// Who asks everybody gets every attack as an answer, and finds those who are
// well among them.
func TestHostileAnswersToQuestionsHideNobody(t *testing.T) {
	onlyOnLinux(t)
	t.Parallel()
	for name, b := range map[string]*broker{"with a node": startNode(t, "--ephemeral"), "without a registrar": startBareBroker(t)} {
		t.Run(name, func(t *testing.T) {
			b.startGreeter(t, "victim")
			var good int64
			questions := [][]string{
				{"list", "services"},
				{"get", "service", "go.micro.srv.greeter"},
				{"health", "go.micro.srv.greeter"},
				{"stats", "go.micro.srv.greeter"},
				{"query", "go.micro.srv.greeter", "Say.Hello", `{"name":"John"}`},
			}
			for _, q := range questions {
				peak, code := peakOf(t, b.mbus(q...))
				if good = max(good, peak); code != 0 {
					t.Fatalf("mbus %s: exit code %d before any attack", q[0], code)
				}
			}
			nc := b.plain(t)
			asked := answerQuestions(t, nc)
			ask := func() {
				for _, q := range questions {
					p := start(t, b.mbus(q...))
					peak := watchPeak(t, p)
					if p.code() != 0 || !strings.Contains(p.stdout.String(), "go.micro.srv.greeter") {
						t.Errorf("mbus %s: exit code %d: %s%s", q[0], p.code(), p.stdout.String(), p.stderr.String())
					}
					if grown := peak - good; grown > maxGrowth {
						t.Errorf("mbus %s took %d MiB more than without the attack", q[0], grown>>20)
					}
				}
				names := strings.Fields(succeed(t, b.mbus("list", "services")))
				for _, n := range names {
					if n != "mbus" && n != "go.micro.srv.greeter" {
						t.Errorf("garbage is listed as %q", n)
					}
				}
			}
			if b.node == nil {
				ask()
				if asked.Load() == 0 {
					t.Error("nobody asked, so no answer was tried")
				}
				return
			}
			// The registrar asks now and then.
			endures(t, func() {
				ask()
				eventually(t, 30*time.Second, "a question by the registrar", func() error {
					if asked.Load() == 0 {
						return fmt.Errorf("none yet")
					}
					return nil
				})
				ask()
			}, b.node)
		})
	}
}

// answerQuestions answers every question to everybody with every attack and
// counts the questions.
func answerQuestions(t *testing.T, nc *nats.Conn) *atomic.Int64 {
	t.Helper()
	var asked atomic.Int64
	for _, subject := range []string{"$SRV.>", "mbus.probe", "mbus.probe.>"} {
		answer(t, nc, subject, func(m *nats.Msg) {
			if m.Reply == "" {
				return
			}
			asked.Add(1)
			for _, a := range attacks() {
				_ = nc.PublishMsg(&nats.Msg{Subject: m.Reply, Header: a.header, Data: a.data})
			}
		})
	}
	return &asked
}

// peakOf runs a command and returns the most memory it had and its exit code.
func peakOf(t *testing.T, c command) (peak int64, code int) {
	t.Helper()
	p := start(t, c)
	peak = watchPeak(t, p)
	return peak, p.code()
}

// watchPeak reads the peak memory of a process until it ends: what the kernel
// counts for a child at its end includes what its parent had at the fork.
func watchPeak(t *testing.T, p *process) (peak int64) {
	t.Helper()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	for {
		data, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid()) + "/status")
		if _, rest, ok := strings.Cut(string(data), "VmHWM:"); err == nil && ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			peak = max(peak, kb<<10)
		}
		select {
		case <-again.C:
		case <-p.exited:
			return peak
		case <-late.C:
			t.Fatalf("%s does not end", p.name)
		}
	}
}
