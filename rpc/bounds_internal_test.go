package rpc

import (
	"fmt"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus/bustest"
)

func TestAClientKeepsFactsAboutSoManyServices(t *testing.T) {
	p := newPeers(nil, zerolog.Nop())
	for i := range maxPeers {
		name := fmt.Sprint("s", i)
		if one := p.get(name); !one.kept || p.get(name) != one {
			t.Fatalf("service %d is not kept", i)
		}
	}
	if one := p.get("one.too.many"); one.kept || one.subject("M") != "mbus.rpc.one_too_many.M" {
		t.Errorf("service %d is kept, or has subject %q", maxPeers+1, one.subject("M"))
	}
	one := p.get("s0")
	for i := range 2 * maxSubjects {
		method := fmt.Sprint("M", i)
		if got := one.subject(method); got != "mbus.rpc.s0."+method {
			t.Errorf("subject %q", got)
		}
	}
	if n := len(*one.subjects.Load()); n != maxSubjects {
		t.Errorf("%d subjects are kept, want %d", n, maxSubjects)
	}
}

func TestAServerListensToSoManyCallers(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		c := newCancels(b.Conn(t))
		defer c.stop(bustest.Context(t))
		for i := range maxCallers {
			if !c.watch(fmt.Sprint("t", i), callKey{seq: 1}, newCallContext(t.Context())) {
				t.Fatalf("caller %d is not heard", i)
			}
		}
		late := func() bool { return c.watch("late", callKey{seq: 1}, newCallContext(t.Context())) }
		if late() {
			t.Errorf("caller %d is heard", maxCallers+1)
		}
		c.forget("t0", callKey{seq: 1})
		if late() {
			t.Error("a caller who is silent for a moment is given up")
		}
		time.Sleep(callerLinger + callerSweep)
		if !late() {
			t.Error("a caller who has been silent for long takes a place")
		}
		for _, token := range []string{"", "a.b", "*", ">", "a b", string(make([]byte, 200))} {
			if c.watch(token, callKey{}, newCallContext(t.Context())) {
				t.Errorf("token %q is heard", token)
			}
		}
	})
}

func TestCallsThatFollowEachOtherShareATimer(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		p := patience{conn: b.Conn(t)}
		limit := func(timeout time.Duration) *limited {
			l := new(limited)
			p.limit(t.Context(), l, timeout, time.Now())
			return l
		}
		first := limit(5 * time.Second)
		if d, _ := first.Deadline(); time.Until(d) != 5*time.Second {
			t.Errorf("the first call has %v", time.Until(d))
		}
		time.Sleep(50 * time.Millisecond)
		second := limit(5 * time.Second)
		time.Sleep(time.Millisecond)
		third := limit(5 * time.Second)
		other := limit(time.Second)
		if first.timer != second.timer || second.timer == third.timer || third.timer == other.timer {
			t.Error("the wrong calls share a timer")
		}
		p.release(first)
		if first.Err() == nil || second.Err() != nil {
			t.Error("not the one context has ended whose call is over")
		}
		p.release(second)
		p.release(third)
		if second.timer.Err() == nil || third.timer.Err() == nil {
			t.Error("a timer that no call uses or will use goes on")
		}
		p.release(other)
		again := limit(time.Second)
		if again.timer != other.timer {
			t.Error("a timer is not used again")
		}
		time.Sleep(time.Second + time.Millisecond)
		if again.Err() == nil {
			t.Error("a context has outlived its timeout")
		}
	})
}
