package middleware_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
	"github.com/mbus-dev/mbus/rpc/middleware"
)

func TestBulkheadLetsCallsWaitInTheOrderTheyCame(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex
		var order []string
		chain := middleware.Bulkhead(middleware.BulkheadConfig{Calls: 1, Waiting: 5, Wait: time.Minute})(func(_ context.Context, req *rpc.Request) (*rpc.Response, error) {
			mu.Lock()
			order = append(order, string(req.Body))
			mu.Unlock()
			time.Sleep(time.Second)
			return &rpc.Response{}, nil
		})
		var calls sync.WaitGroup
		for i := range 6 {
			calls.Go(func() {
				if _, err := chain(context.Background(), request(fmt.Sprint(i))); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		_, err := chain(context.Background(), request("6"))
		e := wantError(t, err, bus.ResourceExhausted, bus.Refused)
		if want := "Say.Hello has 1 calls at work and 5 waiting, the most it takes"; e.Message != want {
			t.Errorf("got %q, want %q", e.Message, want)
		}
		calls.Wait()
		if got := fmt.Sprint(order); got != "[0 1 2 3 4 5]" {
			t.Errorf("the order is %s", got)
		}
	})
}

func TestBulkheadRefusesWhoHasWaitedInVain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		chain := middleware.Bulkhead(middleware.BulkheadConfig{Calls: 1, Waiting: 1})(echo)
		var busy sync.WaitGroup
		busy.Go(func() { _, _ = chain(context.Background(), request("10s")) })
		synctest.Wait()
		for range 2 { // the first one has left its place in the queue
			began := time.Now()
			_, err := chain(context.Background(), request("John"))
			e := wantError(t, err, bus.ResourceExhausted, bus.Refused)
			if took := time.Since(began); took != time.Second || e.Retry != bus.RetrySafe {
				t.Errorf("%v after %v, retry %v", err, took, e.Retry)
			}
		}
		busy.Wait()
		if _, err := chain(context.Background(), request("John")); err != nil {
			t.Error(err)
		}
	})
}

func TestBulkheadTellsAWaitingCallerOfItsOwnEnd(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serve(t, b.Conn(t), hello, middleware.Bulkhead(middleware.BulkheadConfig{Calls: 1, Waiting: 2, Wait: time.Minute}))
		client := newClient(b.Conn(t))
		provoke(t, client, "4s")
		_, err := say(bustest.Context(t), client, "John", rpc.WithTimeout(time.Second))
		wantError(t, err, bus.DeadlineExceeded, bus.Timeout)
		ctx, cancel := context.WithCancel(bustest.Context(t))
		time.AfterFunc(time.Second, cancel)
		_, err = say(ctx, client, "John")
		wantError(t, err, bus.Canceled, bus.Cancelled)
		// Both have left the queue.
		var calls sync.WaitGroup
		for range 2 {
			calls.Go(func() {
				if _, err := say(bustest.Context(t), client, "John", rpc.WithTimeout(10*time.Second)); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
	})
}

func TestBulkheadGivesThePlaceOfAPanicBack(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serve(t, b.Conn(t), func(_ context.Context, r *HelloRequest) (*HelloResponse, error) {
			if r.Name == "panic" {
				panic("out of order")
			}
			return &HelloResponse{}, nil
		}, middleware.Bulkhead(middleware.BulkheadConfig{Calls: 1}), middleware.Shed(middleware.ShedConfig{Start: 1}))
		client := newClient(b.Conn(t))
		for _, name := range []string{"panic", "panic"} {
			_, err := say(bustest.Context(t), client, name)
			wantError(t, err, bus.Internal, bus.Handler)
		}
		if _, err := say(bustest.Context(t), client, "John"); err != nil {
			t.Error(err)
		}
	})
}

func TestBulkheadHoldsAPlaceForAStreamAsLongAsItLasts(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := rpc.NewServer(b.Conn(t), rpc.ServerConfig{Name: greeter, Middleware: []rpc.Middleware{middleware.Bulkhead(middleware.BulkheadConfig{Calls: 1})}})
		rpc.HandleServerStream(s, "Say.Often", func(_ context.Context, _ *HelloRequest, send func(*HelloResponse) error) error {
			for range 3 {
				if err := send(&HelloResponse{Msg: "Hello"}); err != nil {
					return err
				}
				time.Sleep(time.Second)
			}
			return nil
		})
		start(t, s)
		client := newClient(b.Conn(t))
		listen := func() (heard int, err error) {
			for _, err := range rpc.CallStream[HelloResponse](bustest.Context(t), client, greeter, "Say.Often", &HelloRequest{}) {
				if err != nil {
					return heard, err
				}
				heard++
			}
			return heard, nil
		}
		var calls sync.WaitGroup
		calls.Go(func() {
			if heard, err := listen(); heard != 3 || err != nil {
				t.Errorf("heard %d, %v", heard, err)
			}
		})
		time.Sleep(time.Second)
		heard, err := listen()
		if e := wantError(t, err, bus.ResourceExhausted, bus.Refused); heard != 0 || e.Retry != bus.RetrySafe {
			t.Errorf("heard %d, %v, retry %v", heard, e, e.Retry)
		}
		calls.Wait()
		if heard, err := listen(); heard != 3 || err != nil {
			t.Errorf("heard %d, %v once there is a place", heard, err)
		}
	})
}
