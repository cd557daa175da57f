package middleware_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
	"github.com/mbus-dev/mbus/rpc/middleware"
)

// ended is the error of a call, as a client's middleware sees it.
func ended(code bus.Code, end bus.End) *bus.Error {
	e := bus.Errorf(code, "so it ended")
	e.End = end
	return e
}

// breaking is a breaker around calls that end as they are told.
func breaking(cfg middleware.BreakerConfig) func(method string, err error) error {
	type key struct{}
	chain := middleware.Breaker(cfg)(func(ctx context.Context, _ *rpc.Request) (*rpc.Response, error) {
		if err, _ := ctx.Value(key{}).(error); err != nil {
			return nil, err
		}
		return &rpc.Response{}, nil
	})
	return func(method string, err error) error {
		_, got := chain(context.WithValue(context.Background(), key{}, err), &rpc.Request{Service: greeter, Method: method})
		return got
	}
}

// refusedBy reports whether a breaker turned the call away.
func refusedBy(err error) bool { return err != nil && errors.Is(err, bus.Refused) }

func TestBreakerCountsWhatSpeaksOfTheService(t *testing.T) {
	for _, row := range []struct {
		name  string
		err   error
		opens bool
	}{
		{"no answer", ended(bus.DeadlineExceeded, bus.Timeout), true},
		{"the context's own", context.DeadlineExceeded, true},
		{"the instance was killed", ended(bus.Unavailable, bus.Timeout), true},
		{"nobody listens", ended(bus.Unavailable, bus.Nobody), true},
		{"the broker is away", ended(bus.Unavailable, bus.Broker), true},
		{"the instance stops", ended(bus.Unavailable, bus.Refused), true},
		{"a fault", ended(bus.Internal, bus.Handler), true},
		{"any other error", errors.New("a fault"), true},
		{"a broken answer", ended(bus.DataLoss, bus.Handler), true},
		{"no such method", ended(bus.NotFound, bus.Nobody), false},
		{"not found", ended(bus.NotFound, bus.Handler), false},
		{"a bad request", ended(bus.InvalidArgument, bus.Handler), false},
		{"no right", ended(bus.PermissionDenied, bus.Refused), false},
		{"a quota", ended(bus.ResourceExhausted, bus.Refused), false},
		{"given up", ended(bus.Canceled, bus.Cancelled), false},
		{"the context's cancel", context.Canceled, false},
		{"an answer", nil, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				call := breaking(middleware.BreakerConfig{})
				for range 20 {
					_ = call("Do", row.err)
				}
				if got := refusedBy(call("Do", nil)); got != row.opens {
					t.Errorf("open is %v, want %v", got, row.opens)
				}
			})
		})
	}
}

func TestBreakerOpensAtTheShareAndNotBelow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		fault := ended(bus.Internal, bus.Handler)
		call := breaking(middleware.BreakerConfig{Calls: 10, Share: 0.3})
		for range 7 {
			_ = call("Do", nil)
		}
		for range 2 {
			_ = call("Do", fault)
		}
		if refusedBy(call("Do", nil)) {
			t.Fatal("open after 2 failures of 9")
		}
		_ = call("Do", fault) // the third of eleven
		if refusedBy(call("Do", nil)) {
			t.Fatal("open after 3 failures of 11")
		}
		_ = call("Do", fault)
		e := wantError(t, call("Do", nil), bus.Unavailable, bus.Refused)
		if want := "Do is left in peace for 5s: 4 of the last 13 calls failed"; e.Message != want {
			t.Errorf("got %q, want %q", e.Message, want)
		}
	})
}

func TestBreakerKeepsMethodsApart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		call := breaking(middleware.BreakerConfig{Calls: 1})
		_ = call("Do", ended(bus.Internal, bus.Handler))
		if err := call("Other", nil); err != nil {
			t.Error(err)
		}
		wantError(t, call("Do", nil), bus.Unavailable, bus.Refused)
	})
}

func TestBreakerLetsAFewThroughAfterItsRest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		chain := middleware.Breaker(middleware.BreakerConfig{Calls: 1, Probes: 2})(echo)
		call := func(what string) error {
			_, err := chain(context.Background(), request(what))
			return err
		}
		_ = call("fault")
		after, _ := wantError(t, call("John"), bus.Unavailable, bus.Refused).Retry.After()
		time.Sleep(after)
		done := make(chan error, 2)
		for range 2 {
			go func() { done <- call("1s") }()
		}
		time.Sleep(time.Millisecond)
		if e := wantError(t, call("John"), bus.Unavailable, bus.Refused); e.Retry != bus.RetrySafe {
			t.Errorf("retry is %v while two are on their way, want safe", e.Retry)
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		for range 10 {
			if err := call("John"); err != nil {
				t.Errorf("both went well, and then: %v", err)
			}
		}
	})
}

func TestBreakerSurvivesACallThatPanics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		panics := true
		chain := middleware.Breaker(middleware.BreakerConfig{Calls: 1, Probes: 1})(func(context.Context, *rpc.Request) (*rpc.Response, error) {
			if panics {
				panic("out of order")
			}
			return &rpc.Response{}, nil
		})
		call := func() (err error) {
			defer func() {
				if v := recover(); v != nil {
					err = errors.New(v.(string))
				}
			}()
			_, err = chain(context.Background(), request(""))
			return err
		}
		for range 2 { // closed, then the one that is let through
			if err := call(); err == nil || err.Error() != "out of order" {
				t.Fatalf("got %v, want the panic", err)
			}
			wantError(t, call(), bus.Unavailable, bus.Refused)
			time.Sleep(6 * time.Second)
		}
		panics = false
		if err := call(); err != nil {
			t.Error(err)
		}
	})
}

func TestBreakerOpensWhenAServiceIsKilledAndClosesWhenItIsBack(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		first := rpc.NewServer(b.Conn(t), rpc.ServerConfig{Name: greeter})
		rpc.Handle(first, "Say.Hello", hello)
		if err := first.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		client := newClient(b.Conn(t), middleware.Breaker(middleware.BreakerConfig{Calls: 5}))
		if _, err := say(bustest.Context(t), client, "John"); err != nil {
			t.Fatal(err)
		}
		if err := first.Stop(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			_, err := say(bustest.Context(t), client, "John")
			wantError(t, err, bus.Unavailable, bus.Nobody)
		}
		_, err := say(bustest.Context(t), client, "John")
		e := wantError(t, err, bus.Unavailable, bus.Refused)
		if e.Elapsed != 0 {
			t.Errorf("the refusal took %v", e.Elapsed)
		}
		serve(t, b.Conn(t), hello)
		after, _ := e.Retry.After()
		time.Sleep(after)
		for range 10 {
			if _, err := say(bustest.Context(t), client, "John"); err != nil {
				t.Error(err)
			}
		}
	})
}

// A breakerModel says what a breaker does when calls come one at a time.
type breakerModel struct {
	cfg    middleware.BreakerConfig
	since  time.Time // when it last closed
	past   []judged
	until  time.Time // of the rest; zero while it is closed
	probes int       // that went well since
}

type judged struct {
	tenth  int
	failed bool
}

func (m *breakerModel) tenth(now time.Time) int { return int(now.Sub(m.since) / (m.cfg.Window / 10)) }

// refuses says whether the next call is turned away.
func (m *breakerModel) refuses(now time.Time) bool {
	return !m.until.IsZero() && !now.After(m.until)
}

func (m *breakerModel) call(now time.Time, failed bool) {
	if !m.until.IsZero() {
		m.probes++
		switch {
		case failed:
			m.until, m.probes = now.Add(m.cfg.Rest), 0
		case m.probes == m.cfg.Probes:
			*m = breakerModel{cfg: m.cfg, since: now}
		}
		return
	}
	m.past = append(m.past, judged{m.tenth(now), failed})
	calls, failures := 0, 0
	for _, j := range m.past {
		if j.tenth > m.tenth(now)-10 {
			calls++
			if j.failed {
				failures++
			}
		}
	}
	if failed && calls >= m.cfg.Calls && float64(failures) >= m.cfg.Share*float64(calls) {
		m.until = now.Add(m.cfg.Rest)
	}
}

func TestBreakerDoesAsItsModel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		rapid.Check(timeless{t}, func(t *rapid.T) {
			cfg := middleware.BreakerConfig{
				Window: time.Duration(rapid.IntRange(1, 20).Draw(t, "window")) * 100 * time.Millisecond,
				Calls:  rapid.IntRange(1, 10).Draw(t, "calls"),
				Share:  rapid.SampledFrom([]float64{0.1, 0.5, 1}).Draw(t, "share"),
				Rest:   time.Duration(rapid.IntRange(1, 10).Draw(t, "rest")) * 100 * time.Millisecond,
				Probes: rapid.IntRange(1, 4).Draw(t, "probes"),
			}
			call := breaking(cfg)
			_ = call("Do", context.Canceled) // makes it, and counts neither way
			model := breakerModel{cfg: cfg, since: time.Now()}
			for range rapid.IntRange(1, 80).Draw(t, "steps") {
				time.Sleep(time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 10, 60, 500}).Draw(t, "pause")) * 5 * time.Millisecond)
				var err error
				switch rapid.SampledFrom([]string{"answer", "fault", "fault", "no", "given up"}).Draw(t, "call") {
				case "fault":
					err = ended(bus.Internal, bus.Handler)
				case "no":
					err = ended(bus.NotFound, bus.Handler)
				case "given up":
					err = context.Canceled
				}
				now := time.Now()
				want := model.refuses(now)
				got := call("Do", err)
				if refusedBy(got) != want {
					t.Fatalf("got %v, refused want %v", got, want)
				}
				if want {
					if after, _ := bus.AsError(got).Retry.After(); now.Add(after).Sub(model.until) > time.Millisecond || !now.Add(after).After(model.until) {
						t.Fatalf("retry after %v, want just over %v", after, model.until.Sub(now))
					}
					continue
				}
				if !errors.Is(err, context.Canceled) {
					model.call(now, errors.Is(err, bus.Internal))
				}
			}
		})
	})
}
