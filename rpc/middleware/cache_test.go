package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
	"github.com/mbus-dev/mbus/rpc/middleware"
)

func everything(*rpc.Request) bool { return true }

// A shop answers with how often it was asked.
type shop struct {
	asked atomic.Int64
	fails error
}

func (s *shop) handle(context.Context, *rpc.Request) (*rpc.Response, error) {
	n := s.asked.Add(1)
	if s.fails != nil {
		return nil, s.fails
	}
	return &rpc.Response{Body: []byte(fmt.Sprint(n)), Meta: rpc.Metadata{"n": fmt.Sprint(n)}}, nil
}

// ask asks for the answer to a body.
func ask(t *testing.T, chain rpc.HandlerFunc, body string) string {
	t.Helper()
	res, err := chain(context.Background(), request(body))
	if err != nil {
		t.Fatal(err)
	}
	return string(res.Body)
}

func TestCacheSparesTheServiceTheSameQuestion(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		var ran atomic.Int64
		serve(t, b.Conn(t), func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			ran.Add(1)
			return hello(ctx, r)
		})
		reads := func(r *rpc.Request) bool { return r.Method == "Say.Hello" }
		client := newClient(b.Conn(t), middleware.NewCache(reads, middleware.CacheConfig{}).Wrap)
		warm(t, client)
		for range 5 {
			for _, name := range []string{"John", "Jane"} {
				if got, err := say(bustest.Context(t), client, name); err != nil || got != "Hello "+name {
					t.Errorf("got %q, %v", got, err)
				}
			}
		}
		if ran.Load() != 2 {
			t.Errorf("the handler ran %d times, want 2", ran.Load())
		}
		time.Sleep(10 * time.Second)
		if _, err := say(bustest.Context(t), client, "John"); err != nil || ran.Load() != 3 {
			t.Errorf("after the TTL: %v, and the handler ran %d times", err, ran.Load())
		}
	})
}

func TestCacheKeepsAnswersForItsTTL(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &shop{}
		chain := middleware.NewCache(everything, middleware.CacheConfig{TTL: time.Second}).Wrap(s.handle)
		for _, step := range []struct {
			pause time.Duration
			want  string
		}{{0, "1"}, {0, "1"}, {time.Second - 1, "1"}, {1, "2"}, {time.Second, "3"}} {
			time.Sleep(step.pause)
			if got := ask(t, chain, "price"); got != step.want {
				t.Errorf("%v later: got %s, want %s", step.pause, got, step.want)
			}
		}
	})
}

func TestCacheKeepsUsersApart(t *testing.T) {
	s := &shop{}
	chain := middleware.NewCache(everything, middleware.CacheConfig{}).Wrap(s.handle)
	for _, user := range []string{"john", "jane", "john"} {
		req := request("price")
		req.Meta = rpc.Metadata{"user": user, "traceparent": fmt.Sprint(s.asked.Load())}
		if _, err := chain(context.Background(), req); err != nil {
			t.Fatal(err)
		}
	}
	if s.asked.Load() != 2 {
		t.Errorf("asked %d times, want once for each user", s.asked.Load())
	}
}

func TestCacheAnswersOnlyWhatReads(t *testing.T) {
	s := &shop{}
	chain := middleware.NewCache(func(r *rpc.Request) bool { return string(r.Body) == "price" }, middleware.CacheConfig{}).Wrap(s.handle)
	if one, two := ask(t, chain, "buy"), ask(t, chain, "buy"); one == two {
		t.Error("the second purchase did not happen")
	}
	if one, two := ask(t, chain, "price"), ask(t, chain, "price"); one != two {
		t.Error("the price was asked for twice")
	}
}

func TestCacheNeverKeepsAnError(t *testing.T) {
	s := &shop{fails: bus.Errorf(bus.NotFound, "no price")}
	chain := middleware.NewCache(everything, middleware.CacheConfig{}).Wrap(s.handle)
	if _, err := chain(context.Background(), request("price")); !errors.Is(err, bus.NotFound) {
		t.Fatal(err)
	}
	s.fails = nil
	if got := ask(t, chain, "price"); got != "2" {
		t.Errorf("got %s", got)
	}
}

func TestCacheGivesCopies(t *testing.T) {
	s := &shop{}
	chain := middleware.NewCache(everything, middleware.CacheConfig{}).Wrap(s.handle)
	for range 3 {
		res, err := chain(context.Background(), request("price"))
		if err != nil || string(res.Body) != "1" || res.Meta["n"] != "1" {
			t.Fatalf("got %v, %v", res, err)
		}
		res.Body[0], res.Meta["n"] = 'x', "x"
	}
}

func TestCacheGivesAStaleAnswerInPlaceOfAFailure(t *testing.T) {
	for _, row := range []struct {
		name  string
		fails error
		after time.Duration
		stale bool
	}{
		{"nobody", ended(bus.Unavailable, bus.Nobody), time.Minute, true},
		{"overload", ended(bus.ResourceExhausted, bus.Refused), time.Minute, true},
		{"too old", ended(bus.Unavailable, bus.Nobody), 70 * time.Second, false},
		{"no", ended(bus.NotFound, bus.Handler), time.Minute, false},
		{"given up", context.Canceled, time.Minute, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := &shop{}
				chain := middleware.NewCache(everything, middleware.CacheConfig{Stale: time.Minute}).Wrap(s.handle)
				ask(t, chain, "price")
				time.Sleep(row.after)
				s.fails = row.fails
				res, err := chain(context.Background(), request("price"))
				if stale := err == nil && string(res.Body) == "1"; stale != row.stale {
					t.Errorf("got %v, %v", res, err)
				}
				if s.asked.Load() != 2 {
					t.Errorf("asked %d times, want 2", s.asked.Load())
				}
				s.fails = nil
				if got := ask(t, chain, "price"); got != "3" {
					t.Errorf("when it is well again: got %s", got)
				}
			})
		})
	}
}

func TestCacheForgetsTheLeastRecentlyUsed(t *testing.T) {
	big := strings.Repeat("x", 1000)
	for _, row := range []struct {
		name string
		cfg  middleware.CacheConfig
	}{
		{"entries", middleware.CacheConfig{Entries: 3}},
		{"bytes", middleware.CacheConfig{Bytes: 3500}},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := &shop{}
			chain := middleware.NewCache(everything, row.cfg).Wrap(s.handle)
			for _, step := range []struct {
				body string
				hit  bool
			}{{"a", false}, {"b", false}, {"c", false}, {"a", true}, {"d", false}, {"a", true}, {"c", true}, {"b", false}, {"d", false}} {
				before := s.asked.Load()
				ask(t, chain, step.body+big)
				if hit := s.asked.Load() == before; hit != step.hit {
					t.Errorf("%s is a hit: %v, want %v", step.body, hit, step.hit)
				}
			}
		})
	}
}

func TestCacheCountsBytesThroughReplacementAndForgetting(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := &shop{}
		cache := middleware.NewCache(everything, middleware.CacheConfig{TTL: time.Second, Stale: time.Hour, Bytes: 2500})
		chain := cache.Wrap(s.handle)
		big := strings.Repeat("x", 1000)
		for range 20 {
			ask(t, chain, "a"+big)
			time.Sleep(time.Second)
		}
		for range 20 {
			ask(t, chain, "a"+big)
			cache.Forget(greeter, "")
		}
		ask(t, chain, "a"+big)
		ask(t, chain, "b"+big)
		before := s.asked.Load()
		ask(t, chain, "a"+big)
		ask(t, chain, "b"+big)
		if s.asked.Load() != before {
			t.Error("two that fit are not both kept")
		}
		ask(t, chain, strings.Repeat("y", 3000)) // never kept, and pushes nothing out
		before = s.asked.Load()
		ask(t, chain, "a"+big)
		if s.asked.Load() != before {
			t.Error("what is over the bound pushed out what is not")
		}
	})
}

func TestForgetDropsWhatItNames(t *testing.T) {
	requests := []*rpc.Request{
		{Service: "shop", Method: "Price.Get"}, {Service: "shop", Method: "Stock.Get"}, {Service: "other", Method: "Price.Get"},
	}
	for _, row := range []struct {
		service, method string
		again           string // which are asked for again
	}{{"shop", "Price.Get", "[true false false]"}, {"shop", "", "[true true false]"}, {"other", "Stock.Get", "[false false false]"}} {
		s := &shop{}
		cache := middleware.NewCache(everything, middleware.CacheConfig{})
		chain := cache.Wrap(s.handle)
		for _, req := range requests {
			if _, err := chain(context.Background(), req); err != nil {
				t.Fatal(err)
			}
		}
		cache.Forget(row.service, row.method)
		var again []bool
		for _, req := range requests {
			before := s.asked.Load()
			if _, err := chain(context.Background(), req); err != nil {
				t.Fatal(err)
			}
			again = append(again, s.asked.Load() != before)
		}
		if fmt.Sprint(again) != row.again {
			t.Errorf("Forget(%q, %q): asked again %v, want %s", row.service, row.method, again, row.again)
		}
	}
}

func TestForgetReachesCallsOnTheirWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var asked atomic.Int64
		cache := middleware.NewCache(everything, middleware.CacheConfig{})
		chain := cache.Wrap(func(context.Context, *rpc.Request) (*rpc.Response, error) {
			n := asked.Add(1)
			time.Sleep(time.Second)
			return &rpc.Response{Body: []byte(fmt.Sprint(n))}, nil
		})
		done := make(chan struct{})
		go func() {
			defer close(done)
			ask(t, chain, "price") // read before the price changes
		}()
		time.Sleep(500 * time.Millisecond)
		cache.Forget(greeter, "Say.Hello")
		<-done
		if got := ask(t, chain, "price"); got != "2" {
			t.Errorf("got answer %s, from before it was to be forgotten", got)
		}
	})
}
