package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
	"github.com/mbus-dev/mbus/rpc/middleware"
)

// counted counts the calls that reach f.
func counted(n *atomic.Int64, f rpc.HandlerFunc) rpc.HandlerFunc {
	return func(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
		n.Add(1)
		return f(ctx, req)
	}
}

func TestMergeMakesCallsThatAreAlikeOne(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		var ran atomic.Int64
		serve(t, b.Conn(t), func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			ran.Add(1)
			return hello(ctx, r)
		})
		client := newClient(b.Conn(t), middleware.Merge(middleware.MergeConfig{}))
		var calls sync.WaitGroup
		for range 50 {
			calls.Go(func() {
				got, err := say(bustest.Context(t), client, "1s", rpc.WithIdempotent())
				if err != nil || got != "Hello 1s" {
					t.Errorf("got %q, %v", got, err)
				}
			})
		}
		calls.Wait()
		if ran.Load() != 1 {
			t.Errorf("the handler ran %d times, want once", ran.Load())
		}
		if _, err := say(bustest.Context(t), client, "1s", rpc.WithIdempotent()); err != nil || ran.Load() != 2 {
			t.Errorf("a later call: %v, and the handler ran %d times", err, ran.Load())
		}
	})
}

func TestMergeKeepsApartWhatDiffers(t *testing.T) {
	changes := map[string]func(*rpc.Request){
		"service":  func(r *rpc.Request) { r.Service = "other" },
		"method":   func(r *rpc.Request) { r.Method = "Say.Other" },
		"instance": func(r *rpc.Request) { r.Instance = "one" },
		"codec":    func(r *rpc.Request) { r.Codec = 2 },
		"body":     func(r *rpc.Request) { r.Body = []byte("2s") },
		"metadata": func(r *rpc.Request) { r.Meta = rpc.Metadata{"user": "jane"} },
		"a name":   func(r *rpc.Request) { r.Meta = rpc.Metadata{"usher": "john"} },
		"a stream": func(r *rpc.Request) { r.Stream = true },
		"a write":  func(r *rpc.Request) { r.Idempotent = false },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var ran atomic.Int64
				chain := middleware.Merge(middleware.MergeConfig{})(counted(&ran, echo))
				var calls sync.WaitGroup
				for i := range 2 {
					calls.Go(func() {
						req := request("1s")
						req.Meta = rpc.Metadata{"user": "john", "traceparent": fmt.Sprint("00-", i)}
						if i == 1 {
							change(req)
						}
						_, _ = chain(context.Background(), req)
					})
				}
				calls.Wait()
				if ran.Load() != 2 {
					t.Errorf("ran %d times, want 2", ran.Load())
				}
			})
		})
	}
}

func TestMergeMindsOnlyTheMetadataItIsTold(t *testing.T) {
	for _, row := range []struct {
		name  string
		names []string
		want  int64
	}{
		{"all but the trace", nil, 2},
		{"none", []string{}, 1},
		{"another", []string{"User"}, 1},
		{"this, in other case", []string{"Lang"}, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var ran atomic.Int64
				chain := middleware.Merge(middleware.MergeConfig{Meta: row.names})(counted(&ran, echo))
				var calls sync.WaitGroup
				for i := range 2 {
					calls.Go(func() {
						req := request("1s")
						req.Meta = rpc.Metadata{"user": "john", "lang": fmt.Sprint(i), "baggage": fmt.Sprint(i)}
						_, _ = chain(context.Background(), req)
					})
				}
				calls.Wait()
				if ran.Load() != row.want {
					t.Errorf("ran %d times, want %d", ran.Load(), row.want)
				}
			})
		})
	}
}

func TestMergeOutlivesTheCallerThatBeganIt(t *testing.T) {
	for _, row := range []struct {
		name string
		ends func(context.Context) (context.Context, context.CancelFunc)
		code bus.Code
		end  bus.End
		runs int64 // the deadline travels, so the call is made again
	}{
		{"cancel", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Second, cancel)
			return ctx, cancel
		}, bus.Canceled, bus.Cancelled, 1},
		{"deadline", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}, bus.DeadlineExceeded, bus.Timeout, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				var ran atomic.Int64
				serve(t, b.Conn(t), func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
					ran.Add(1)
					return hello(ctx, r)
				})
				client := newClient(b.Conn(t), middleware.Merge(middleware.MergeConfig{}))
				warm(t, client) // a call in another codec is another call
				var calls sync.WaitGroup
				calls.Go(func() {
					ctx, cancel := row.ends(bustest.Context(t))
					defer cancel()
					began := time.Now()
					_, err := say(ctx, client, "2s", rpc.WithIdempotent())
					wantError(t, err, row.code, row.end)
					if took := time.Since(began); took > 1001*time.Millisecond {
						t.Errorf("it left after %v", took)
					}
				})
				time.Sleep(500 * time.Millisecond)
				got, err := say(bustest.Context(t), client, "2s", rpc.WithIdempotent())
				if err != nil || got != "Hello 2s" {
					t.Errorf("who waits on got %q, %v", got, err)
				}
				calls.Wait()
				if ran.Load() != row.runs {
					t.Errorf("the handler ran %d times, want %d", ran.Load(), row.runs)
				}
			})
		})
	}
}

func TestMergeOnAServerOutlivesTheDeadlineOfWhoBeganIt(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		var ran atomic.Int64
		all := func(*rpc.Request) bool { return true }
		serve(t, b.Conn(t), func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
			ran.Add(1)
			return hello(ctx, r)
		}, middleware.Merge(middleware.MergeConfig{For: all}))
		client := newClient(b.Conn(t))
		warm(t, client)
		var calls sync.WaitGroup
		calls.Go(func() {
			_, err := say(bustest.Context(t), client, "2s", rpc.WithTimeout(time.Second))
			wantError(t, err, bus.DeadlineExceeded, bus.Timeout)
		})
		time.Sleep(500 * time.Millisecond)
		if got, err := say(bustest.Context(t), client, "2s"); err != nil || got != "Hello 2s" {
			t.Errorf("who waits on got %q, %v", got, err)
		}
		calls.Wait()
		if ran.Load() != 1 {
			t.Errorf("the handler ran %d times, want once", ran.Load())
		}
	})
}

func TestMergeEndsTheCallWhenNobodyWaits(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		ended := make(chan time.Time, 1)
		serve(t, b.Conn(t), func(ctx context.Context, _ *HelloRequest) (*HelloResponse, error) {
			<-ctx.Done()
			ended <- time.Now()
			return nil, ctx.Err()
		})
		client := newClient(b.Conn(t), middleware.Merge(middleware.MergeConfig{}))
		began := time.Now()
		var calls sync.WaitGroup
		for i := range 3 {
			calls.Go(func() {
				ctx, cancel := context.WithCancel(bustest.Context(t))
				defer cancel()
				time.AfterFunc(time.Duration(i+1)*time.Second, cancel)
				_, err := say(ctx, client, "John", rpc.WithIdempotent())
				wantError(t, err, bus.Canceled, bus.Cancelled)
			})
		}
		calls.Wait()
		if took := (<-ended).Sub(began); took < 3*time.Second || took > 3100*time.Millisecond {
			t.Errorf("the handler ended after %v, want 3s", took)
		}
	})
}

func TestMergeJoinsNoCallThatIsGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		chain := middleware.Merge(middleware.MergeConfig{})(func(ctx context.Context, _ *rpc.Request) (*rpc.Response, error) {
			time.Sleep(2 * time.Second) // whatever its callers do
			return &rpc.Response{}, ctx.Err()
		})
		var calls sync.WaitGroup
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			if _, err := chain(ctx, request("")); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
		time.Sleep(1500 * time.Millisecond)
		if _, err := chain(context.Background(), request("")); err != nil {
			t.Error(err)
		}
		calls.Wait()
	})
}

func TestMergeSharesErrorsAndCopiesAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var ran atomic.Int64
		chain := middleware.Merge(middleware.MergeConfig{})(counted(&ran, func(_ context.Context, req *rpc.Request) (*rpc.Response, error) {
			time.Sleep(time.Second)
			if string(req.Body) == "no" {
				return nil, bus.Errorf(bus.NotFound, "no such thing")
			}
			return &rpc.Response{Body: []byte("same"), Meta: rpc.Metadata{"k": "same"}}, nil
		}))
		var calls sync.WaitGroup
		for _, what := range []string{"no", "no", "no", "yes", "yes", "yes"} {
			calls.Go(func() {
				res, err := chain(context.Background(), request(what))
				if what == "no" {
					if !errors.Is(err, bus.NotFound) {
						t.Errorf("got %v", err)
					}
					return
				}
				if string(res.Body) != "same" || res.Meta["k"] != "same" {
					t.Errorf("got %s %v", res.Body, res.Meta)
				}
				res.Body[0], res.Meta["k"] = 'S', "own"
			})
		}
		calls.Wait()
		if ran.Load() != 2 {
			t.Errorf("ran %d times, want 2", ran.Load())
		}
	})
}

func TestMergeDoesNotNeedTheBytesOfWhoHasLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		chain := middleware.Merge(middleware.MergeConfig{})(func(_ context.Context, req *rpc.Request) (*rpc.Response, error) {
			time.Sleep(2 * time.Second)
			return &rpc.Response{Body: req.Body}, nil
		})
		var calls sync.WaitGroup
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			req := request("John")
			if _, err := chain(ctx, req); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			copy(req.Body, "gone")
		})
		synctest.Wait()
		res, err := chain(context.Background(), request("John"))
		if err != nil || string(res.Body) != "John" {
			t.Errorf("got %v, %v", res, err)
		}
		calls.Wait()
	})
}

func TestMergeLastsAsLongAsTheMostPatient(t *testing.T) {
	bubble(t, func(t *testing.T) {
		chain := middleware.Merge(middleware.MergeConfig{})(func(ctx context.Context, _ *rpc.Request) (*rpc.Response, error) {
			time.Sleep(500 * time.Millisecond)
			deadline, bounded := ctx.Deadline()
			return &rpc.Response{Body: []byte(fmt.Sprint(bounded, " ", time.Until(deadline).Round(time.Second)))}, nil
		})
		for _, row := range []struct {
			timeouts []time.Duration
			want     string
		}{
			{[]time.Duration{2 * time.Second}, "true 2s"},
			{[]time.Duration{2 * time.Second, 9 * time.Second, 5 * time.Second}, "true 9s"},
			{[]time.Duration{2 * time.Second, 0, 5 * time.Second}, "false"},
			{[]time.Duration{0, 5 * time.Second}, "false"},
		} {
			var calls sync.WaitGroup
			for _, timeout := range row.timeouts {
				calls.Go(func() {
					ctx := context.Background()
					if timeout > 0 {
						limited, cancel := context.WithTimeout(ctx, timeout)
						defer cancel()
						ctx = limited
					}
					res, err := chain(ctx, request(""))
					if err != nil || !strings.HasPrefix(string(res.Body), row.want) {
						t.Errorf("%v: got %s, %v; want %s", row.timeouts, res.Body, err, row.want)
					}
				})
				synctest.Wait()
			}
			calls.Wait()
		}
	})
}

func TestMergePanicsWhereItsCallersCanTell(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		all := func(*rpc.Request) bool { return true }
		serve(t, b.Conn(t), func(context.Context, *HelloRequest) (*HelloResponse, error) {
			time.Sleep(time.Second)
			panic("out of order")
		}, middleware.Merge(middleware.MergeConfig{For: all}))
		client := newClient(b.Conn(t))
		var calls sync.WaitGroup
		for range 3 {
			calls.Go(func() {
				_, err := say(bustest.Context(t), client, "John")
				wantError(t, err, bus.Internal, bus.Handler)
			})
		}
		calls.Wait()
	})
}

func TestMergeLetsStreamsPass(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := rpc.NewServer(b.Conn(t), rpc.ServerConfig{Name: greeter})
		rpc.HandleServerStream(s, "Say.Often", func(_ context.Context, _ *HelloRequest, send func(*HelloResponse) error) error {
			return send(&HelloResponse{Msg: "Hello"})
		})
		start(t, s)
		all := func(*rpc.Request) bool { return true }
		cache := middleware.NewCache(all, middleware.CacheConfig{})
		client := newClient(b.Conn(t), cache.Wrap, middleware.Merge(middleware.MergeConfig{For: all}), middleware.Shed(middleware.ShedConfig{}))
		for range 3 {
			heard := 0
			for res, err := range rpc.CallStream[HelloResponse](bustest.Context(t), client, greeter, "Say.Often", &HelloRequest{}, rpc.WithIdempotent()) {
				if err != nil || res.Msg != "Hello" {
					t.Errorf("got %v, %v", res, err)
				}
				heard++
			}
			if heard != 1 {
				t.Errorf("heard %d", heard)
			}
		}
	})
}
