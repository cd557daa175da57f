package main

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestAnOpenLoopCountsFromWhenACallWasDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// One call at a time, 1 ms each, but for a stall of half a second.
		one := make(chan struct{}, 1)
		stalled := false
		l := &loader{pause: time.Sleep, call: func(context.Context) error {
			one <- struct{}{}
			defer func() { <-one }()
			if !stalled {
				stalled = true
				time.Sleep(500 * time.Millisecond)
			}
			time.Sleep(time.Millisecond)
			return nil
		}}
		if behind := l.open(t.Context(), load{Rate: 100, Duration: time.Second}); behind != 0 {
			t.Errorf("%d calls were never begun, want 0", behind)
		}
		if got := l.calls.Load(); got != 100 {
			t.Errorf("%d calls ended, want 100", got)
		}
		// Half of the calls were due during the stall and waited for its end.
		if p75 := time.Duration(l.histogram().ValueAtQuantile(75)); p75 < 200*time.Millisecond {
			t.Errorf("the third quartile is %s: the wait behind the stall is missing", p75)
		}
		if p25 := time.Duration(l.histogram().ValueAtQuantile(25)); p25 > 5*time.Millisecond {
			t.Errorf("the first quartile is %s: calls after the stall have waited", p25)
		}
	})
}

func TestAClosedLoopKeepsItsNumberInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		running, most := 0, 0
		l := &loader{call: func(context.Context) error {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			time.Sleep(10 * time.Millisecond)
			mu.Lock()
			running--
			mu.Unlock()
			return nil
		}}
		l.closed(t.Context(), load{InFlight: 7, Duration: time.Second})
		if most != 7 {
			t.Errorf("%d calls were in flight, want 7", most)
		}
		if got := l.calls.Load(); got < 7*99 || got > 7*101 {
			t.Errorf("%d calls in a second of 10 ms each, want some 700", got)
		}
	})
}

func TestALoadThatFailsIsGivenUp(t *testing.T) {
	l := &loader{call: func(context.Context) error { return errors.New("no") }}
	l.closed(t.Context(), load{InFlight: 2, Duration: time.Hour})
	if got := l.failed.Load(); got < maxFailed || got > maxFailed+2 {
		t.Errorf("%d calls failed, want %d", got, maxFailed)
	}
	if l.calls.Load() != 0 || *l.first.Load() != "no" {
		t.Errorf("%d calls went well, first failure %q", l.calls.Load(), *l.first.Load())
	}
}
