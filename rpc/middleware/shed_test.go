package middleware_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
	"github.com/mbus-dev/mbus/rpc/middleware"
)

// A pool stands for what a handler needs and there is little of: so many calls
// are worked on at once, the others wait, whether their callers do or not.
type pool struct {
	places chan struct{}
	takes  func() time.Duration
}

func newPool(places int, takes func() time.Duration) *pool {
	return &pool{places: make(chan struct{}, places), takes: takes}
}

func always(d time.Duration) func() time.Duration { return func() time.Duration { return d } }

// around returns durations with the given mean, as uneven as those of a queue
// in a textbook.
func around(mean time.Duration) func() time.Duration {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(1, 2))
	return func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return time.Duration(r.ExpFloat64() * float64(mean))
	}
}

func (p *pool) work() {
	p.places <- struct{}{}
	time.Sleep(p.takes())
	<-p.places
}

func (p *pool) hello(context.Context, *HelloRequest) (*HelloResponse, error) {
	p.work()
	return &HelloResponse{}, nil
}

func (p *pool) handler(context.Context, *rpc.Request) (*rpc.Response, error) {
	p.work()
	return &rpc.Response{}, nil
}

// A tally is what became of a second of calls.
type tally struct {
	offered, good, refused int
	slowest                time.Duration // of the good
	slowestNo              time.Duration // of the refused
}

// offer makes so many calls a second, evenly, whatever becomes of them, and
// tells what did, for each second in which they were made.
func offer(seconds, perSecond int, patience time.Duration, call func(context.Context) error) []tally {
	return offerEvery(always(time.Second/time.Duration(perSecond)), seconds, patience, call)
}

func offerEvery(gap func() time.Duration, seconds int, patience time.Duration, call func(context.Context) error) []tally {
	var mu sync.Mutex
	var calls sync.WaitGroup
	tallies := make([]tally, seconds)
	for start := time.Now(); time.Since(start) < time.Duration(seconds)*time.Second; time.Sleep(gap()) {
		of := &tallies[time.Since(start)/time.Second]
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			began := time.Now()
			err := call(ctx)
			took := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			of.offered++
			switch {
			case err == nil && took <= patience:
				of.good++
				of.slowest = max(of.slowest, took)
			case errors.Is(err, bus.ResourceExhausted):
				of.refused++
				of.slowestNo = max(of.slowestNo, took)
			}
		})
	}
	calls.Wait()
	return tallies
}

// goodput is the mean of what was answered in time in a second.
func goodput(tallies []tally) int {
	sum := 0
	for _, of := range tallies {
		sum += of.good
	}
	return sum / len(tallies)
}

const (
	capacity = 200 // calls a second of 4 places and 20 ms
	patience = 250 * time.Millisecond
)

// overload asks a service on the bus for what it can do, then for five times
// that, then for what it can do again.
func overload(t *testing.T, b *bustest.Bus, all ...rpc.Middleware) (before, during, after []tally) {
	t.Helper()
	serve(t, b.Conn(t), newPool(4, always(20*time.Millisecond)).hello, all...)
	client := newClient(b.Conn(t))
	warm(t, client)
	call := func(ctx context.Context) error {
		_, err := say(ctx, client, "")
		return err
	}
	before = offer(3, capacity*7/10, patience, call)
	during = offer(10, 5*capacity, patience, call)
	after = offer(5, capacity*7/10, patience, call)
	return before, during, after
}

func TestShedKeepsGoodputUnderOverload(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		before, during, after := overload(t, b, middleware.Shed(middleware.ShedConfig{}))
		if got, want := goodput(before), capacity*7/10; got < want {
			t.Errorf("below capacity %d of %d were answered", got, want)
		}
		for i, of := range during {
			if of.good < capacity*8/10 {
				t.Errorf("second %d of the overload: %d answered in time, want %d of %d", i, of.good, capacity*8/10, capacity)
			}
			if of.slowestNo > time.Millisecond {
				t.Errorf("second %d of the overload: a refusal took %v", i, of.slowestNo)
			}
		}
		for i, of := range during[1:] {
			if of.slowest > 60*time.Millisecond {
				t.Errorf("second %d of the overload: an answer took %v, three times what it needs", i+1, of.slowest)
			}
		}
		if got, want := goodput(after[2:]), capacity*7/10*95/100; got < want {
			t.Errorf("two seconds later %d a second, want %d", got, want)
		}
		t.Logf("%d a second before, %d during, %d after", goodput(before), goodput(during), goodput(after))
	})
}

// The control: the same without Shed.
func TestWithoutShedOverloadEndsGoodput(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		before, during, after := overload(t, b)
		if got, want := goodput(before), capacity*7/10; got < want {
			t.Errorf("below capacity %d of %d were answered", got, want)
		}
		if got := goodput(during[2:]); got > capacity/10 {
			t.Errorf("%d a second were answered under overload: there is nothing to shed for", got)
		}
		t.Logf("%d a second before, %d during, %d after", goodput(before), goodput(during), goodput(after))
	})
}

// shedding is a service with Shed and without a bus.
func shedding(p *pool, cfg middleware.ShedConfig) func(context.Context) error {
	chain := middleware.Shed(cfg)(p.handler)
	return func(ctx context.Context) error {
		_, err := chain(ctx, request(""))
		return err
	}
}

func TestShedKeepsGoodputOfServicesOfAllSizes(t *testing.T) {
	for _, row := range []struct {
		name   string
		places int
		takes  func() time.Duration
		mean   time.Duration
	}{
		{"one at a time", 1, always(5 * time.Millisecond), 5 * time.Millisecond},
		{"two, unevenly", 2, around(5 * time.Millisecond), 5 * time.Millisecond},
		{"four, unevenly", 4, around(20 * time.Millisecond), 20 * time.Millisecond},
		{"sixteen", 16, always(50 * time.Millisecond), 50 * time.Millisecond},
		{"sixteen, unevenly", 16, around(50 * time.Millisecond), 50 * time.Millisecond},
		{"a hundred, unevenly", 100, around(200 * time.Millisecond), 200 * time.Millisecond},
		{"a hundred", 100, always(200 * time.Millisecond), 200 * time.Millisecond},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				call := shedding(newPool(row.places, row.takes), middleware.ShedConfig{})
				able := int(float64(row.places) / row.mean.Seconds())
				patience := max(8*row.mean, 100*time.Millisecond)
				// It meets the overload knowing nothing.
				tallies := offer(12, 5*able, patience, call)
				if got, want := goodput(tallies[5:]), able*8/10; got < want {
					t.Errorf("%d a second, want %d of %d", got, want, able)
				}
				t.Logf("%d a second of %d", goodput(tallies[5:]), able)
			})
		})
	}
}

func TestShedKeepsGoodputWhenCallsComeUnevenly(t *testing.T) {
	for _, row := range []struct {
		name   string
		places int
		takes  func() time.Duration
	}{
		{"four", 4, always(20 * time.Millisecond)},
		{"four, unevenly", 4, around(20 * time.Millisecond)},
		{"sixteen, unevenly", 16, around(20 * time.Millisecond)},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				call := shedding(newPool(row.places, row.takes), middleware.ShedConfig{})
				able := row.places * 50
				load := func(times float64, seconds int) (good, offered int) {
					every := time.Duration(float64(time.Second) / (times * float64(able)))
					for _, of := range offerEvery(around(every), seconds, time.Second, call)[2:] {
						good, offered = good+of.good, offered+of.offered
					}
					return good, offered
				}
				if good, offered := load(0.7, 8); good < offered*95/100 {
					t.Errorf("before the overload %d of %d were answered", good, offered)
				}
				for _, times := range []float64{5, 10} {
					if good, _ := load(times, 7); good < 5*able*80/100 {
						t.Errorf("%v times: %d were answered, want 80%% of %d", times, good, 5*able)
					}
				}
				if good, offered := load(0.7, 8); good < offered*95/100 {
					t.Errorf("two seconds after the overload %d of %d were answered", good, offered)
				}
			})
		})
	}
}

func TestShedDoesNothingToAServiceThatIsWell(t *testing.T) {
	bubble(t, func(t *testing.T) {
		// Handlers that take very different times, and need nothing of each other.
		chain := middleware.Shed(middleware.ShedConfig{})(func(context.Context, *rpc.Request) (*rpc.Response, error) {
			time.Sleep(time.Duration(rand.ExpFloat64() * float64(10*time.Millisecond)))
			return &rpc.Response{}, nil
		})
		for _, of := range offer(10, 500, time.Minute, func(ctx context.Context) error {
			_, err := chain(ctx, request(""))
			return err
		}) {
			if of.refused > 0 {
				t.Errorf("refused %d of %d", of.refused, of.offered)
			}
		}
	})
}

func TestShedLetsMoreInWhenMoreCanBeDone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		call := shedding(newPool(500, always(100*time.Millisecond)), middleware.ShedConfig{})
		tallies := offer(6, 4000, time.Second, call)
		if of := tallies[5]; of.good < of.offered*95/100 {
			t.Errorf("after 5 s %d of %d are answered", of.good, of.offered)
		}
	})
}

func TestShedAcceptsThatAServiceHasBecomeSlower(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex
		takes := 10 * time.Millisecond
		slow := func() time.Duration {
			mu.Lock()
			defer mu.Unlock()
			return takes
		}
		call := shedding(newPool(1000, slow), middleware.ShedConfig{})
		offer(5, 1000, time.Second, call) // ten at work
		mu.Lock()
		takes *= 10
		mu.Unlock()
		tallies := offer(10, 1000, time.Second, call) // a hundred
		refused := 0
		for _, of := range tallies {
			refused += of.refused
		}
		if most := 1800; refused > most {
			t.Errorf("%d were refused, want at most %d", refused, most)
		}
		if of := tallies[9]; of.good < of.offered {
			t.Errorf("%d of %d are answered", of.good, of.offered)
		}
	})
}

func TestShedFindsALatencyItHasNeverSeen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		// From the first call on there are too many, and more there cannot be.
		call := shedding(newPool(2, always(20*time.Millisecond)), middleware.ShedConfig{Start: 16, Most: 20})
		tallies := offer(20, 500, time.Second, call)
		if of := tallies[5]; of.slowest < 150*time.Millisecond {
			t.Errorf("an answer took %v from the start: there is nothing to find", of.slowest)
		}
		if of := tallies[19]; of.slowest > 60*time.Millisecond || of.good < 90 {
			t.Errorf("%d answers of 100, and one took %v, want three times 20ms", of.good, of.slowest)
		}
	})
}

// impatient is a service with Shed where whoever waits for a place is told so at
// its deadline: no answer is ever slow.
func impatient(places chan struct{}, cfg middleware.ShedConfig) func(context.Context) error {
	chain := middleware.Shed(cfg)(func(ctx context.Context, _ *rpc.Request) (*rpc.Response, error) {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		defer func() { <-places }()
		time.Sleep(20 * time.Millisecond)
		return &rpc.Response{}, nil
	})
	return func(ctx context.Context) error {
		_, err := chain(ctx, request(""))
		return err
	}
}

func TestShedNoticesThatLessCanBeDone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		places := make(chan struct{}, 500)
		call := impatient(places, middleware.ShedConfig{})
		if of := offer(2, 16000, patience, call)[1]; of.good < of.offered {
			t.Fatalf("%d of %d are answered", of.good, of.offered)
		}
		for range 496 {
			places <- struct{}{}
		}
		// There are never as many at work as once could be.
		tallies := offer(10, 5*capacity, patience, call)
		if got := goodput(tallies[5:]); got < capacity*8/10 {
			t.Errorf("%d a second, want %d of %d", got, capacity*8/10, capacity)
		}
	})
}

func TestShedFindsOutThatCallsRunOutOfTimeFromTheFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		// Half as many take nearly as long as calls that are over at their
		// deadline, and half of that does not.
		call := impatient(make(chan struct{}, 4), middleware.ShedConfig{Start: 90})
		tallies := offer(25, 5*capacity, patience, call)
		if got := goodput(tallies[20:]); got < capacity*8/10 {
			t.Errorf("%d a second, want %d of %d", got, capacity*8/10, capacity)
		}
		if of := tallies[24]; of.slowest > 60*time.Millisecond {
			t.Errorf("an answer took %v", of.slowest)
		}
	})
}

func TestShedLetsCallsTryThatNeverHaveTheTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		call := shedding(newPool(1000, always(20*time.Millisecond)), middleware.ShedConfig{})
		offer(5, 1000, time.Second, call) // twenty at work
		offer(30, 1000, 10*time.Millisecond, call)
		if of := offer(1, 1000, time.Second, call)[0]; of.good < of.offered*95/100 {
			t.Errorf("%d of %d are answered once there is time again", of.good, of.offered)
		}
	})
}

func TestShedLetsStreamsPass(t *testing.T) {
	bubble(t, func(t *testing.T) {
		chain := middleware.Shed(middleware.ShedConfig{Start: 1})(echo)
		var calls sync.WaitGroup
		for range 3 {
			calls.Go(func() {
				req := request("1s")
				req.Stream = true
				if _, err := chain(t.Context(), req); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
	})
}
