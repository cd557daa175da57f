package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/pubsub"
)

type user struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

// start starts s and stops it with the test.
func start(t *testing.T, s *pubsub.Subscription) *pubsub.Subscription {
	t.Helper()
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

func publish[T any](t *testing.T, conn *bus.Conn, topic string, value T, opts ...pubsub.PublishOption) {
	t.Helper()
	if err := pubsub.Publish(t.Context(), conn, topic, value, opts...); err != nil {
		t.Fatal(err)
	}
}

func TestEventReachesEverySubscriberAndOneOfEachGroup(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		var alone, grouped atomic.Int32
		for range 3 {
			start(t, pubsub.Subscribe(b.Conn(t), "user.*", func(context.Context, *pubsub.Event[user]) error {
				alone.Add(1)
				return nil
			}))
			start(t, pubsub.Subscribe(b.Conn(t), "user.>", func(context.Context, *pubsub.Event[user]) error {
				grouped.Add(1)
				return nil
			}, pubsub.WithGroup("mailer")))
		}
		sender := b.Conn(t)
		for i := range 100 {
			publish(t, sender, "user.created", user{ID: fmt.Sprint(i)})
		}
		time.Sleep(time.Second)
		if alone.Load() != 300 || grouped.Load() != 100 {
			t.Errorf("got %d alone and %d in the group, want 300 and 100", alone.Load(), grouped.Load())
		}
	})
}

func TestEventIsItsBody(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		sub, err := conn.NATS().SubscribeSync("user.>")
		if err != nil {
			t.Fatal(err)
		}
		publish(t, conn, "user.json", user{ID: "1", Name: "John"})
		publish(t, conn, "user.raw", []byte("as it is"))
		publish(t, conn, "user.msgpack", user{ID: "1"}, pubsub.WithCodec(codec.Msgpack), pubsub.WithHeader("K", "v"))
		publish(t, conn, "user.bare", user{ID: "1"}, pubsub.WithCodec(codec.Msgpack))
		publish(t, conn, "user.text", "1", pubsub.WithCodec(codec.Msgpack))
		publish(t, conn, "user.128", 128, pubsub.WithCodec(codec.Msgpack))
		publish(t, conn, "user.7", 7, pubsub.WithCodec(codec.Msgpack))    // a digit, as JSON has it
		publish(t, conn, "user.17", -17, pubsub.WithCodec(codec.Msgpack)) // a byte order mark
		for _, want := range []struct{ topic, body, contentType string }{
			{"user.json", `{"id":"1","name":"John"}`, ""},
			{"user.raw", "as it is", ""},
			{"user.msgpack", "\x81\xa2id\xa11", "application/msgpack"},
			{"user.bare", "\x81\xa2id\xa11", ""},
			{"user.text", "\xa11", ""},
			{"user.128", "\xcc\x80", ""},
			{"user.7", "\x07", "application/msgpack"},
			{"user.17", "\xef", "application/msgpack"},
		} {
			m, err := sub.NextMsgWithContext(bustest.Context(t))
			if err != nil {
				t.Fatal(err)
			}
			if m.Subject != want.topic || string(m.Data) != want.body || m.Header.Get("Content-Type") != want.contentType {
				t.Errorf("got %s %q %v, want %+v", m.Subject, m.Data, m.Header, want)
			}
			if want.contentType == "" && len(m.Header) != 0 {
				t.Errorf("%s has headers %v", m.Subject, m.Header)
			}
		}
	})
}

func TestEveryCodecIsUnderstood(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		got := make(chan pubsub.Event[user], 10)
		s := start(t, pubsub.Subscribe(conn, "user.*", func(_ context.Context, e *pubsub.Event[user]) error {
			got <- *e
			return nil
		}))
		publish(t, conn, "user.a", user{ID: "1"})
		publish(t, conn, "user.b", user{ID: "2"}, pubsub.WithCodec(codec.Msgpack))
		if err := conn.NATS().Publish("user.c", []byte(`{"id":"3"}`)); err != nil {
			t.Fatal(err)
		}
		if err := conn.NATS().Publish("user.d", []byte("\x81\xa2id\xa14")); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"1", "2", "3", "4"} {
			if e := <-got; e.Value.ID != want {
				t.Errorf("got %+v, want id %s", e, want)
			}
		}
		for _, bad := range []string{"{", "\xdd\xff\xff\xff\xff"} {
			publish(t, conn, "user.bad", []byte(bad))
		}
		publish(t, conn, "user.bad", []byte("\xdd\xff\xff\xff\xff"), pubsub.WithHeader("Content-Type", "application/msgpack"))
		publish(t, conn, "user.bad", []byte("{}"), pubsub.WithHeader("Content-Type", "text/html"))
		publish(t, conn, "user.good", user{ID: "5"})
		if e := <-got; e.Value.ID != "5" {
			t.Errorf("after bad events: got %+v", e)
		}
		synctest.Wait()
		if stats := s.Stats(); stats.Invalid != 4 || stats.Received != 5 {
			t.Errorf("got %+v, want 4 invalid and 5 received", stats)
		}
	})
}

func TestFailingHandlersAreCountedAndHinderNobody(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		var done atomic.Int32
		s := start(t, pubsub.Subscribe(conn, "e.*", func(_ context.Context, e *pubsub.Event[string]) error {
			switch e.Value {
			case "error":
				return errors.New("no")
			case "panic":
				panic("poison")
			}
			done.Add(1)
			return nil
		}))
		for _, v := range []string{"error", "panic", "fine"} {
			publish(t, conn, "e.x", v)
		}
		time.Sleep(time.Second)
		if want := (pubsub.Stats{Received: 3, Failed: 2}); s.Stats() != want || done.Load() != 1 {
			t.Errorf("got %+v and %d done, want %+v and 1", s.Stats(), done.Load(), want)
		}
	})
}

func TestOneHandlerAtATimeKeepsTheOrder(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		var got []int
		start(t, pubsub.Subscribe(conn, "n", func(_ context.Context, e *pubsub.Event[int]) error {
			time.Sleep(time.Millisecond)
			got = append(got, e.Value)
			return nil
		}))
		for i := range 100 {
			publish(t, conn, "n", i)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(got) != 100 || !slices.IsSorted(got) {
			t.Errorf("got %v", got)
		}
	})
}

func TestConcurrencyIsBounded(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		var now, most atomic.Int32
		start(t, pubsub.Subscribe(conn, "n", func(context.Context, *pubsub.Event[int]) error {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			time.Sleep(time.Second)
			return nil
		}, pubsub.WithConcurrency(4)))
		begin := time.Now()
		for i := range 20 {
			publish(t, conn, "n", i)
		}
		time.Sleep(4500 * time.Millisecond)
		if most.Load() != 4 || now.Load() != 4 {
			t.Errorf("after %v %d run and at most %d ran, want 4", time.Since(begin), now.Load(), most.Load())
		}
		time.Sleep(time.Second)
	})
}

func TestSlowHandlerLosesTheNewestAndCountsThem(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		var got []int
		s := start(t, pubsub.Subscribe(conn, "n", func(_ context.Context, e *pubsub.Event[int]) error {
			got = append(got, e.Value)
			time.Sleep(time.Second)
			return nil
		}, pubsub.WithBuffer(5, 0)))
		for i := range 50 {
			publish(t, conn, "n", i)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		stats := s.Stats()
		if stats.Received+stats.Dropped != 50 || stats.Dropped < 40 || got[0] != 0 {
			t.Errorf("got %+v of %v, want 50 in all and the oldest kept", stats, got)
		}
	})
}

func TestStopFinishesWhatHasArrived(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		for _, n := range []int{1, 4} {
			var done atomic.Int32
			s := pubsub.Subscribe(conn, "n", func(context.Context, *pubsub.Event[int]) error {
				time.Sleep(100 * time.Millisecond)
				done.Add(1)
				return nil
			}, pubsub.WithConcurrency(n))
			if err := s.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			for i := range 20 {
				publish(t, conn, "n", i)
			}
			if err := conn.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.Stop(bustest.Context(t)); err != nil {
				t.Fatal(err)
			}
			if done.Load() != 20 {
				t.Errorf("concurrency %d: %d of 20 were handled before Stop returned", n, done.Load())
			}
		}
	})
}

func TestStopCutsHandlersWhenItsTimeIsUp(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		s := pubsub.Subscribe(conn, "n", func(ctx context.Context, _ *pubsub.Event[int]) error {
			<-ctx.Done()
			return ctx.Err()
		})
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		publish(t, conn, "n", 1)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		_ = s.Stop(ctx)
		if took := time.Since(begin); took < time.Second || took > 1200*time.Millisecond {
			t.Errorf("took %v, want the second that was given", took)
		}
		time.Sleep(time.Second) // NATS looks for the end of a drain in steps
	})
}

func TestChanDeliversUntilItsContextEnds(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		ctx, cancel := context.WithCancel(t.Context())
		ch := make(chan user)
		s, err := pubsub.Chan(ctx, conn, "user.created", ch)
		if err != nil {
			t.Fatal(err)
		}
		topic := pubsub.Topic[user]{Name: "user.created"}
		for i := range 5 {
			if err := topic.Publish(t.Context(), conn, user{ID: fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 3 {
			if u := <-ch; u.ID != fmt.Sprint(i) {
				t.Errorf("got %+v, want id %d", u, i)
			}
		}
		cancel() // with two events waiting and nobody reading
		if err := s.Stop(bustest.Context(t)); err != nil {
			t.Error(err)
		}
	})
}

func TestIllegalTopicsAreRefused(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		for _, topic := range []string{"", "a..b", "a b", "mbus.x", "$JS.x", "_INBOX.x", "a.*", "a.>", ">", "*"} {
			if err := pubsub.Publish(t.Context(), conn, topic, 1); !errors.Is(err, bus.InvalidArgument) {
				t.Errorf("publish on %q: got %v, want invalid_argument", topic, err)
			}
		}
		nothing := func(context.Context, *pubsub.Event[int]) error { return nil }
		for _, pattern := range []string{"", ">", "*", "*.a", "mbus.>", "$SYS.>", "_INBOX.>", "a.>.b"} {
			if err := pubsub.Subscribe(conn, pattern, nothing).Start(t.Context()); !errors.Is(err, bus.InvalidArgument) {
				t.Errorf("subscribe to %q: got %v, want invalid_argument", pattern, err)
			}
		}
	})
}

func TestMissingRightsAreTold(t *testing.T) {
	rights := &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: []string{"open"}},
		Subscribe: &server.SubjectPermission{Allow: []string{"open", "_INBOX.>"}},
	}
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t, func(c *bus.Config) { c.User, c.Password = "guest", "pw" })
		publish(t, conn, "open", 1, pubsub.WithConfirm())
		if err := pubsub.Publish(t.Context(), conn, "closed", 1, pubsub.WithConfirm()); !errors.Is(err, bus.PermissionDenied) {
			t.Errorf("publish: got %v, want permission_denied", err)
		}
		s := pubsub.Subscribe(conn, "closed", func(context.Context, *pubsub.Event[int]) error { return nil })
		if err := s.Start(t.Context()); !errors.Is(err, bus.PermissionDenied) {
			t.Errorf("subscribe: got %v, want permission_denied", err)
		}
	}, bustest.WithUser("guest", "pw", rights))
}

func TestPublishWithoutBrokerFailsAtOnce(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		b.Stop()
		synctest.Wait()
		if err := pubsub.Publish(t.Context(), conn, "e", 1); !errors.Is(err, bus.Broker) {
			t.Errorf("got %v, want End Broker", err)
		}
		if err := pubsub.Publish(t.Context(), conn, "e", make(chan int)); !errors.Is(err, bus.Internal) {
			t.Errorf("a value that cannot be encoded: got %v, want internal", err)
		}
	})
}
