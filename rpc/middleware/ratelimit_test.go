package middleware_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
	"github.com/mbus-dev/mbus/rpc/middleware"
)

func TestRateLimitKeepsToItsRate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		rapid.Check(timeless{t}, func(t *rapid.T) {
			cfg := middleware.RateLimitConfig{
				PerSecond: rapid.Float64Range(0.5, 200).Draw(t, "per second"),
				Burst:     rapid.IntRange(1, 20).Draw(t, "burst"),
			}
			chain := middleware.RateLimit(cfg)(echo)
			call := func() error {
				_, err := chain(context.Background(), request(""))
				return err
			}
			var passed []time.Time
			pass := func() {
				now := time.Now()
				passed = append(passed, now)
				for i, from := range passed {
					if n, most := float64(len(passed)-i), float64(cfg.Burst)+cfg.PerSecond*now.Sub(from).Seconds()+0.001; n > most {
						t.Fatalf("%v calls within %v, want at most %v", n, now.Sub(from), most)
					}
				}
			}
			for range rapid.IntRange(1, 60).Draw(t, "calls") {
				time.Sleep(time.Duration(rapid.SampledFrom([]int{0, 0, 1, 7, 100}).Draw(t, "pause")) * time.Millisecond)
				err := call()
				if err == nil {
					pass()
					continue
				}
				after, ok := bus.AsError(err).Retry.After()
				if !ok {
					t.Fatalf("%v names no time", err)
				}
				if after > 3*time.Millisecond {
					time.Sleep(after - 2*time.Millisecond)
					if call() == nil {
						t.Fatalf("told to come after %v, and may come sooner", after)
					}
					after = 2 * time.Millisecond
				}
				time.Sleep(after)
				if err := call(); err != nil {
					t.Fatalf("came when told to: %v", err)
				}
				pass()
			}
		})
	})
}

func TestRateLimitKeepsCallersApart(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serve(t, b.Conn(t), hello, middleware.RateLimit(middleware.RateLimitConfig{
			PerSecond: 1, By: func(r *rpc.Request) string { return r.Meta["user"] },
		}))
		client := newClient(b.Conn(t))
		for _, user := range []string{"john", "jane"} {
			if _, err := say(bustest.Context(t), client, "", rpc.WithMeta("user", user)); err != nil {
				t.Error(err)
			}
		}
		for _, user := range []string{"john", "jane"} {
			_, err := say(bustest.Context(t), client, "", rpc.WithMeta("user", user))
			wantError(t, err, bus.ResourceExhausted, bus.Refused)
		}
	})
}

func TestRateLimitForgetsTheCallerThatWasAwayLongest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		chain := middleware.RateLimit(middleware.RateLimitConfig{
			PerSecond: 0.001, Burst: 1, Keys: 3, By: func(r *rpc.Request) string { return string(r.Body) },
		})(echo)
		passes := func(user int) bool {
			_, err := chain(context.Background(), request(fmt.Sprint("user ", user)))
			return err == nil
		}
		for user := range 3 {
			passes(user)
		}
		for _, step := range []struct {
			user int
			want bool
		}{{0, false}, {3, true}, {0, false}, {2, false}, {1, true}} { // 3 pushed 1 out
			if got := passes(step.user); got != step.want {
				t.Errorf("user %d passes is %v, want %v", step.user, got, step.want)
			}
		}
	})
}
