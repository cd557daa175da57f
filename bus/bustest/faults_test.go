package bustest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
)

// answer serves subject on conn with an echo and counts the requests.
func answer(t *testing.T, conn *bus.Conn, subject string) *atomic.Int64 {
	t.Helper()
	var served atomic.Int64
	if _, err := conn.NATS().Subscribe(subject, func(m *nats.Msg) {
		served.Add(1)
		_ = m.Respond(m.Data)
	}); err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(bustest.Context(t)); err != nil {
		t.Fatal(err)
	}
	return &served
}

// ask sends one request and returns how long it took in virtual time.
func ask(t *testing.T, conn *bus.Conn, subject string, size int) (time.Duration, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	start := time.Now()
	_, err := conn.Request(ctx, subject, nil, make([]byte, size))
	return time.Since(start), err
}

func TestALinkWithoutFaultsIsTransparent(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		link := b.Link()
		client := b.Conn(t, link.Use)
		answer(t, b.Conn(t, link.Use), "echo")
		for _, size := range []int{0, 1, 4095, 4096, 4097, 1 << 20} {
			if took, err := ask(t, client, "echo", size); err != nil || took != 0 {
				t.Errorf("%d bytes: %v after %v, want no error after 0s", size, err, took)
			}
		}
		if got := link.Dials(); got != 2 {
			t.Errorf("got %d dials, want 2", got)
		}
	})
}

func TestDelayAddsExactlyItsTimeInEachDirection(t *testing.T) {
	for _, tc := range []struct{ to, from, want time.Duration }{
		{0, 0, 0},
		{300 * time.Millisecond, 0, 300 * time.Millisecond},
		{0, 200 * time.Millisecond, 200 * time.Millisecond},
		{300 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond},
	} {
		t.Run(fmt.Sprint(tc), func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				link := b.Link()
				client := b.Conn(t, link.Use)
				answer(t, b.Conn(t), "echo")
				link.Delay(bustest.ToBroker, tc.to)
				link.Delay(bustest.FromBroker, tc.from)
				if took, err := ask(t, client, "echo", 0); err != nil || took != tc.want {
					t.Errorf("got %v after %v, want an answer after %v", err, took, tc.want)
				}
				time.Sleep(time.Minute)
				if client.Epoch() != 1 {
					t.Error("the connection did not survive the delay")
				}
			})
		})
	}
}

func TestThrottleSlowsByBytes(t *testing.T) {
	for _, tc := range []struct {
		rate     int
		min, max time.Duration
	}{
		{0, 0, 0},
		{200_000, 500 * time.Millisecond, 510 * time.Millisecond},
	} {
		t.Run(fmt.Sprint(tc.rate), func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				link := b.Link()
				client := b.Conn(t, link.Use)
				answer(t, b.Conn(t), "echo")
				link.Throttle(bustest.FromBroker, tc.rate)
				if took, err := ask(t, client, "echo", 100_000); err != nil || took < tc.min || took > tc.max {
					t.Errorf("got %v after %v, want an answer after %v to %v", err, took, tc.min, tc.max)
				}
			})
		})
	}
}

func TestAShortStallLosesNothing(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		link := b.Link()
		client := b.Conn(t, link.Use)
		answer(t, b.Conn(t), "echo")
		link.Stall(bustest.FromBroker)
		time.AfterFunc(500*time.Millisecond, link.Heal)
		if took, err := ask(t, client, "echo", 0); err != nil || took != 500*time.Millisecond {
			t.Errorf("got %v after %v, want an answer after 500ms", err, took)
		}
		if got := client.Epoch(); got != 1 {
			t.Errorf("got epoch %d, want 1: no reconnect", got)
		}
	})
}

func TestTheBrokerDropsAReaderThatStalls(t *testing.T) {
	for _, stall := range []bool{false, true} {
		t.Run(fmt.Sprint(stall), func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				link := b.Link()
				reader, writer := b.Conn(t, link.Use), b.Conn(t)
				answer(t, reader, "news")
				if stall {
					link.Stall(bustest.FromBroker)
				}
				for range 64 {
					if err := writer.Publish(t.Context(), "news", "", nil, make([]byte, 64<<10)); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(5 * time.Second)
				if got := b.Server().NumSlowConsumers() > 0; got != stall {
					t.Errorf("slow consumer: got %t, want %t", got, stall)
				}
				if got := writer.Epoch(); got != 1 {
					t.Errorf("the writer lost its connection")
				}
			}, bustest.WithServer(func(o *server.Options) { o.MaxPending = 1 << 20 }))
		})
	}
}

func TestAWriterThatTheBrokerDoesNotReadLosesItsConnection(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		link := b.Link()
		writer := b.Conn(t, link.Use)
		link.Stall(bustest.ToBroker)
		sent := 0
		for ; writer.Epoch() == 1 && writer.Connected() && sent < 1000; sent++ {
			if writer.Publish(t.Context(), "news", "", nil, make([]byte, 1<<19)) != nil {
				break
			}
		}
		if sent < 50 || sent > 100 {
			t.Errorf("the connection broke after %d × 512 KiB, want about 32 MiB", sent)
		}
		link.Heal()
		bustest.Eventually(t, time.Minute, "connected again", func() bool { return writer.Epoch() == 2 })
	})
}

func TestDropLosesTheMessagesThatMatch(t *testing.T) {
	for _, tc := range []struct {
		name    string
		dir     bustest.Direction
		pattern string
		served  int64
	}{
		{"requests", bustest.ToBroker, "echo", 2},
		{"replies", bustest.FromBroker, "_INBOX.>", 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				link := b.Link()
				client := b.Conn(t, link.Use)
				served := answer(t, b.Conn(t), "echo")
				if _, err := ask(t, client, "echo", 1); err != nil {
					t.Fatalf("before the fault: %v", err)
				}
				lost := link.Drop(tc.dir, tc.pattern, 1)
				if _, err := ask(t, client, "echo", 1); !errors.Is(err, bus.Timeout) {
					t.Errorf("during the fault: got %v, want a timeout", err)
				}
				if _, err := ask(t, client, "echo", 1); err != nil {
					t.Errorf("after the one loss: %v", err)
				}
				if got := lost.Count(); got != 1 {
					t.Errorf("lost %d messages, want 1", got)
				}
				if got := served.Load(); got != tc.served {
					t.Errorf("%d requests were served, want %d", got, tc.served)
				}
			})
		})
	}
}

func TestDropLeavesOthersAloneAndEnds(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		link := b.Link()
		client, service := b.Conn(t, link.Use), b.Conn(t)
		answer(t, service, "a.one")
		answer(t, service, "b.one")
		all := link.Drop(bustest.ToBroker, "a.>", 0)
		for range 3 {
			if _, err := ask(t, client, "a.one", 0); !errors.Is(err, bus.Timeout) {
				t.Errorf("a matching subject: got %v, want a timeout", err)
			}
		}
		if _, err := ask(t, client, "b.one", 0); err != nil {
			t.Errorf("another subject: %v", err)
		}
		all.Stop()
		if _, err := ask(t, client, "a.one", 0); err != nil {
			t.Errorf("after Stop: %v", err)
		}
		if got := all.Count(); got != 3 {
			t.Errorf("lost %d messages, want 3", got)
		}
	})
}

func TestPostponeLetsOthersOvertake(t *testing.T) {
	for _, tc := range []struct{ pattern, want string }{
		{"nothing", "x.1 x.2 x.3"},
		{"x.1", "x.2 x.3 x.1"},
	} {
		t.Run(tc.pattern, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				link := b.Link()
				reader, writer := b.Conn(t, link.Use), b.Conn(t)
				got := make(chan string, 3)
				if _, err := reader.NATS().Subscribe("x.*", func(m *nats.Msg) { got <- m.Subject }); err != nil {
					t.Fatal(err)
				}
				if err := reader.Flush(bustest.Context(t)); err != nil {
					t.Fatal(err)
				}
				link.Postpone(bustest.FromBroker, tc.pattern, 5*time.Second, 1)
				for _, subject := range []string{"x.1", "x.2", "x.3"} {
					if err := writer.Publish(t.Context(), subject, "", nil, nil); err != nil {
						t.Fatal(err)
					}
				}
				order := strings.Join([]string{<-got, <-got, <-got}, " ")
				if order != tc.want {
					t.Errorf("got %s, want %s", order, tc.want)
				}
			})
		})
	}
}

func TestCutClosesAndTheClientReturns(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		link := b.Link()
		client, control := b.Conn(t, link.Use), b.Conn(t)
		answer(t, control, "echo")
		link.Cut()
		bustest.Eventually(t, 2*time.Second, "connected again", func() bool { return client.Epoch() == 2 })
		if _, err := ask(t, client, "echo", 0); err != nil {
			t.Errorf("after the cut: %v", err)
		}
		if control.Epoch() != 1 {
			t.Error("a connection beside the link was cut too")
		}
	})
}

func TestDownRefusesUntilHeal(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		link := b.Link()
		client := b.Conn(t, link.Use)
		link.Down()
		time.Sleep(time.Minute)
		if client.Connected() {
			t.Error("connected over a link that is down")
		}
		if link.Dials() < 10 {
			t.Errorf("only %d dials in a minute: the client does not try", link.Dials())
		}
		link.Heal()
		b.Await(t, client)
	})
}

// A machine that vanishes without a word keeps its subscriptions at the broker
// until its pings are missed; one whose connection is closed does not.
func TestSilenceIsNoticedOnlyByPings(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault func(*bustest.Link)
		early bus.End
	}{
		{"silent", (*bustest.Link).Silence, bus.Timeout},
		{"down", (*bustest.Link).Down, bus.Nobody},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				link := b.Link()
				service, client := b.Conn(t, link.Use), b.Conn(t)
				answer(t, service, "echo")
				if _, err := ask(t, client, "echo", 0); err != nil {
					t.Fatalf("before the fault: %v", err)
				}
				tc.fault(link)
				time.Sleep(time.Millisecond)
				if _, err := ask(t, client, "echo", 0); !errors.Is(err, tc.early) {
					t.Errorf("right after: got %v, want %v", err, tc.early)
				}
				time.Sleep(5 * time.Second)
				if service.Connected() {
					t.Error("the service has not noticed")
				}
				if _, err := ask(t, client, "echo", 0); !errors.Is(err, bus.Nobody) {
					t.Errorf("5s later: got %v, want nobody", err)
				}
				link.Heal()
				b.Await(t, service)
				if _, err := ask(t, client, "echo", 0); err != nil {
					t.Errorf("after Heal: %v", err)
				}
			})
		})
	}
}

func TestFaultsSpareTheHandshake(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		link := b.Link()
		link.Delay(bustest.FromBroker, time.Second)
		start := time.Now()
		nc, err := nats.Connect("", nats.InProcessServer(link))
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if took := time.Since(start); took != 0 {
			t.Errorf("the handshake took %v, want 0s", took)
		}
		if err := nc.FlushWithContext(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("the first round trip took %v, want 1s", took)
		}
	})
}
