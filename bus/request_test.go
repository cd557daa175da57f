package bus_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/wire"
)

// echo answers on subject with what it gets, after a pause.
func echo(t *testing.T, conn *bus.Conn, subject string, pause time.Duration) {
	t.Helper()
	sub, err := conn.Subscribe(t.Context(), subject, "", bus.Limits{}, func(m *nats.Msg) {
		time.Sleep(pause)
		if err := conn.Publish(context.Background(), m.Reply, "", m.Header, m.Data); err != nil {
			t.Logf("answer: %v", err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Drain(context.Background()) })
}

func TestRequestReturnsTheReply(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		caller, service := b.Conn(t), b.Conn(t)
		echo(t, service, "echo", 3*time.Second)
		start := time.Now()
		m, err := caller.Request(bustest.Context(t), "echo", nats.Header{"K": {"v"}}, []byte("hello"))
		if err != nil {
			t.Fatal(err)
		}
		if string(m.Data) != "hello" || m.Header.Get("K") != "v" {
			t.Errorf("got %q %v, want hello and the header", m.Data, m.Header)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("took %v, want exactly the handler's 3s of virtual time", took)
		}
	})
}

func TestRequestsInFlightGetTheirOwnReplies(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		caller, service := b.Conn(t), b.Conn(t)
		echo(t, service, "echo", 0)
		const callers, calls = 20, 50
		errs := make(chan error, callers)
		for i := range callers {
			go func() {
				for j := range calls {
					want := strings.Repeat(string(rune('a'+i)), j+1)
					m, err := caller.Request(bustest.Context(t), "echo", nil, []byte(want))
					if err != nil || string(m.Data) != want {
						errs <- errors.Join(err, errors.New("wrong reply"))
						return
					}
				}
				errs <- nil
			}()
		}
		for range callers {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestRequestTellsHowItEnded(t *testing.T) {
	tests := map[string]struct {
		subject string
		data    []byte
		within  time.Duration
		code    bus.Code
		end     bus.End
		retry   bus.Retry
	}{
		"nobody listens":     {subject: "nobody.there", within: time.Second, code: bus.Unavailable, end: bus.Nobody, retry: bus.RetrySafe},
		"no answer in time":  {subject: "slow", within: 10 * time.Millisecond, code: bus.DeadlineExceeded, end: bus.Timeout},
		"too large to send":  {subject: "slow", data: make([]byte, 2<<20), within: time.Second, code: bus.TooLarge, end: bus.Refused},
		"an illegal subject": {subject: "a b", within: time.Second, code: bus.InvalidArgument},
	}
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		caller, service := b.Conn(t), b.Conn(t)
		echo(t, service, "slow", time.Second)
		for name, test := range tests {
			ctx, cancel := context.WithTimeout(t.Context(), test.within)
			start := time.Now()
			_, err := caller.Request(ctx, test.subject, nil, test.data)
			cancel()
			e, ok := errors.AsType[*bus.Error](err)
			if !ok {
				t.Errorf("%s: got %v, want a *bus.Error", name, err)
				continue
			}
			if e.Code != test.code || e.End != test.end || e.Retry != test.retry {
				t.Errorf("%s: got code %v end %v retry %v, want %v %v %v", name, e.Code, e.End, e.Retry, test.code, test.end, test.retry)
			}
			if took := time.Since(start); took > test.within {
				t.Errorf("%s: took %v of at most %v", name, took, test.within)
			}
		}
	})
}

func TestRequestEndsWhenTheCallerGivesUp(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		caller, service := b.Conn(t), b.Conn(t)
		echo(t, service, "slow", time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		_, err := caller.Request(ctx, "slow", nil, nil)
		if !errors.Is(err, bus.Canceled) || !errors.Is(err, bus.Cancelled) || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want canceled with its end and its cause", err)
		}
	})
}

func TestLostBrokerEndsWaitingCallsAtOnce(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		caller, service := b.Conn(t), b.Conn(t)
		echo(t, service, "slow", 20*time.Second)
		time.AfterFunc(time.Second, b.Stop)
		start := time.Now()
		_, err := caller.Request(bustest.Context(t), "slow", nil, nil)
		if !errors.Is(err, bus.Broker) || !errors.Is(err, bus.Unavailable) {
			t.Fatalf("got %v, want unavailable with End Broker", err)
		}
		if e := bus.AsError(err); e.Retry != bus.RetryNever {
			t.Errorf("a call that may have been served is retried: %v", e.Retry)
		}
		if took := time.Since(start); took > 1100*time.Millisecond {
			t.Errorf("took %v, want the failure when the broker went, after 1s", took)
		}

		start = time.Now()
		_, err = caller.Request(bustest.Context(t), "slow", nil, nil)
		if e := bus.AsError(err); !errors.Is(err, bus.Broker) || e.Retry != bus.RetrySafe {
			t.Errorf("in the gap: got %v, retry %v; want End Broker, safe", err, e.Retry)
		}
		if took := time.Since(start); took > 50*time.Millisecond {
			t.Errorf("a call in the gap took %v, want it to fail at once", took)
		}
	})
}

func TestCallsWorkSoonAfterTheBrokerIsBack(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		caller, service := b.Conn(t), b.Conn(t)
		echo(t, service, "echo", 0)
		b.Stop()
		time.Sleep(3 * time.Second)
		b.Start()
		start := time.Now()
		b.Await(t, caller, service)
		if took := time.Since(start); took > 500*time.Millisecond {
			t.Errorf("reconnected after %v, want within 500ms", took)
		}
		if err := service.Flush(bustest.Context(t)); err != nil { // its subscriptions have arrived
			t.Fatal(err)
		}
		if _, err := caller.Request(bustest.Context(t), "echo", nil, nil); err != nil {
			t.Errorf("after the restart: %v", err)
		}
		if caller.Epoch() != 2 {
			t.Errorf("epoch %d, want 2", caller.Epoch())
		}
	})
}

func TestMissingRightIsPermissionDeniedAtOnce(t *testing.T) {
	rights := &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: []string{"allowed", "_INBOX.>"}},
		Subscribe: &server.SubjectPermission{Allow: []string{"allowed", "_INBOX.>"}},
	}
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t, func(c *bus.Config) { c.User, c.Password = "guest", "pw" })
		echo(t, conn, "allowed", 0)
		if _, err := conn.Request(bustest.Context(t), "allowed", nil, nil); err != nil {
			t.Fatalf("positive control: %v", err)
		}
		start := time.Now()
		_, err := conn.Request(bustest.Context(t), "secret", nil, nil)
		if !errors.Is(err, bus.PermissionDenied) || !errors.Is(err, bus.Refused) {
			t.Errorf("request: got %v, want permission_denied", err)
		}
		for _, err := range conn.Gather(bustest.Context(t), "secret", nil, nil, bus.Gather{}) {
			if !errors.Is(err, bus.PermissionDenied) {
				t.Errorf("gather: got %v, want permission_denied", err)
			}
		}
		if err := conn.PublishConfirmed(bustest.Context(t), "secret", "", nil, nil); !errors.Is(err, bus.PermissionDenied) {
			t.Errorf("publish: got %v, want permission_denied", err)
		}
		_, err = conn.Subscribe(bustest.Context(t), "secret", "", bus.Limits{}, func(*nats.Msg) {})
		if !errors.Is(err, bus.PermissionDenied) {
			t.Errorf("subscribe: got %v, want permission_denied", err)
		}
		l, err := conn.Listen(bus.Calls, "secret", "q", func(*nats.Msg) {})
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Confirm(bustest.Context(t), l); !errors.Is(err, bus.PermissionDenied) {
			t.Errorf("listen: got %v, want permission_denied", err)
		}
		if took := time.Since(start); took > 200*time.Millisecond {
			t.Errorf("the refusals took %v, want them at once", took)
		}
	}, bustest.WithUser("guest", "pw", rights))
}

func TestCallsOverTheBoundAreRefused(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		caller := b.Conn(t, func(c *bus.Config) { c.MaxCalls = 2 })
		service := b.Conn(t)
		echo(t, service, "slow", time.Second)
		for range 2 {
			go func() { _, _ = caller.Request(bustest.Context(t), "slow", nil, nil) }()
		}
		synctest.Wait()
		_, err := caller.Request(bustest.Context(t), "slow", nil, nil)
		if !errors.Is(err, bus.ResourceExhausted) || !errors.Is(err, bus.Refused) {
			t.Errorf("got %v, want resource_exhausted", err)
		}
		time.Sleep(3 * time.Second)
		if _, err := caller.Request(bustest.Context(t), "slow", nil, nil); err != nil {
			t.Errorf("after the others: %v", err)
		}
	})
}

func TestLateAndSecondRepliesReachNobody(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		caller, service := b.Conn(t), b.Conn(t)
		var replies []string
		sub, err := service.Subscribe(t.Context(), "twice", "", bus.Limits{}, func(m *nats.Msg) {
			replies = append(replies, m.Reply)
			_ = service.Publish(t.Context(), m.Reply, "", nil, m.Data)
			_ = service.Publish(t.Context(), m.Reply, "", nil, []byte("again"))
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sub.Drain(context.Background()) }()
		for range 100 {
			m, err := caller.Request(bustest.Context(t), "twice", nil, []byte("once"))
			if err != nil {
				t.Fatal(err)
			}
			if string(m.Data) != "once" {
				t.Fatalf("got %q, the second reply of an earlier call", m.Data)
			}
		}
		for _, junk := range []string{"", "x!", "zzzzzzzzzzzz", strings.Repeat("9", 40)} {
			prefix := replies[0][:strings.LastIndexByte(replies[0], '.')+1]
			_ = service.NATS().Publish(prefix+junk, []byte("junk"))
		}
		if _, err := caller.Request(bustest.Context(t), "twice", nil, []byte("once")); err != nil {
			t.Errorf("after junk replies: %v", err)
		}
	})
}

func TestGatherEndsWithQuiet(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		caller := b.Conn(t)
		for range 3 {
			echo(t, b.Conn(t), "all", 10*time.Millisecond)
		}
		start, n := time.Now(), 0
		for _, err := range caller.Gather(bustest.Context(t), "all", nil, []byte("x"), bus.Gather{Quiet: 50 * time.Millisecond}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != 3 || time.Since(start) != 60*time.Millisecond {
			t.Errorf("got %d replies in %v, want 3 in 60ms", n, time.Since(start))
		}
		for _, err := range caller.Gather(bustest.Context(t), "none", nil, nil, bus.Gather{Quiet: time.Second}) {
			if !errors.Is(err, bus.Nobody) {
				t.Errorf("nobody listens: got %v", err)
			}
		}
		n = 0
		for range caller.Gather(bustest.Context(t), "all", nil, []byte("x"), bus.Gather{Max: 2}) {
			n++
		}
		if n != 2 {
			t.Errorf("got %d replies, want Max", n)
		}
		n = 0
		for range caller.Gather(bustest.Context(t), "all", nil, []byte("too long"), bus.Gather{MaxBytes: 4, Quiet: time.Second, First: time.Second}) {
			n++
		}
		if n != 0 {
			t.Errorf("got %d replies over MaxBytes", n)
		}
	})
}

func TestLostBrokerEndsAGathering(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		caller, service := b.Conn(t), b.Conn(t)
		echo(t, service, "slow", 20*time.Second)
		time.AfterFunc(time.Second, b.Stop)
		start, errs := time.Now(), 0
		for _, err := range caller.Gather(bustest.Context(t), "slow", nil, nil, bus.Gather{}) {
			if errs++; !errors.Is(err, bus.Broker) {
				t.Errorf("got %v, want End Broker", err)
			}
		}
		if took := time.Since(start); errs != 1 || took > 1100*time.Millisecond {
			t.Errorf("%d errors after %v, want one when the broker went", errs, took)
		}
	})
}

func TestReplyErrorReadsBothSpellings(t *testing.T) {
	e := bus.Errorf(bus.NotFound, "no user %q\nat all", "x")
	e.Detail, e.Retry = []byte(`{"id":"x"}`), bus.RetryAfter(1500*time.Millisecond)
	plain := &nats.Msg{Header: e.Header(), Data: e.Detail}
	frame := &nats.Msg{Data: e.AppendFrame(nil, 7)}
	for name, m := range map[string]*nats.Msg{"plain": plain, "frame": frame} {
		got := bus.ReplyError(m)
		if got == nil {
			t.Fatalf("%s: no error read", name)
		}
		if got.Code != bus.NotFound || got.Status != 404 || got.End != bus.Handler || got.Retry != e.Retry ||
			got.Message != `no user "x" at all` || string(got.Detail) != `{"id":"x"}` {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	if got := bus.ReplyError(&nats.Msg{Data: []byte("{}"), Header: nats.Header{"X": {"1"}}}); got != nil {
		t.Errorf("an answer was read as %v", got)
	}
	foreign := &nats.Msg{Header: nats.Header{wire.HeaderServiceErrorCode: {"418"}}}
	if got := bus.ReplyError(foreign); got == nil || got.Status != 418 || got.Code != bus.InvalidArgument {
		t.Errorf("a number outside the list: got %+v", got)
	}
	vague := &nats.Msg{Header: nats.Header{wire.HeaderServiceError: {"boom"}, wire.HeaderServiceErrorCode: {"E1"}}}
	if got := bus.ReplyError(vague); got == nil || got.Code != bus.Internal || got.Message != "boom" {
		t.Errorf("a code that is no number: got %+v", got)
	}
}
