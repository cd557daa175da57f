package rpc

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// newCallContext makes the context of a call with a second to live.
func newCallContext(parent context.Context) *callContext {
	return &callContext{parent: parent, deadline: time.Now().Add(time.Second), request: &Request{Method: "Say.Hello"}}
}

func TestACallContextEndsAsAContextDoes(t *testing.T) {
	type key struct{}
	cause := errors.New("enough")
	for _, looks := range []bool{false, true} { // someone has asked for Done before
		for _, row := range []struct {
			name  string
			end   func(c *callContext, cut context.CancelCauseFunc)
			err   error
			cause error
		}{
			{"deadline", func(*callContext, context.CancelCauseFunc) { time.Sleep(time.Second) }, context.DeadlineExceeded, context.DeadlineExceeded},
			{"server", func(_ *callContext, cut context.CancelCauseFunc) { cut(cause) }, context.Canceled, cause},
			{"caller", func(c *callContext, _ context.CancelCauseFunc) { c.interrupt(errGaveUp) }, context.Canceled, errGaveUp},
			{"return", func(c *callContext, _ context.CancelCauseFunc) { c.end() }, context.Canceled, errReturned},
		} {
			t.Run(row.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					parent, cut := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
					defer cut(nil)
					c := newCallContext(parent)
					if looks {
						<-time.After(0)
						select {
						case <-c.Done():
							t.Fatal("it has ended already")
						default:
						}
					}
					child, stop := context.WithCancel(c)
					defer stop()
					if c.Err() != nil || child.Err() != nil || c.Value(key{}) != "value" || RequestFrom(child).Method != "Say.Hello" {
						t.Fatalf("at the start: %v, %v, %v", c.Err(), c.Value(key{}), RequestFrom(child))
					}
					row.end(c, cut)
					synctest.Wait()
					if !errors.Is(c.Err(), row.err) || !errors.Is(child.Err(), row.err) {
						t.Errorf("got %v, and %v in a child; want %v", c.Err(), child.Err(), row.err)
					}
					if !errors.Is(context.Cause(c), row.cause) {
						t.Errorf("got cause %v, want %v", context.Cause(c), row.cause)
					}
					<-c.Done()
					first := c.Err()
					time.Sleep(2 * time.Second)
					c.end()
					if !errors.Is(c.Err(), first) {
						t.Errorf("the error has changed from %v to %v", first, c.Err())
					}
				})
			})
		}
	}
}

func TestACallContextCostsNothingUntilSomeoneLooks(t *testing.T) {
	c := newCallContext(t.Context())
	c.deadline = time.Now().Add(time.Hour)
	if n := testing.AllocsPerRun(100, func() { _ = c.Err(); _ = c.Value(requestKey{}); _, _ = c.Deadline() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if c.inner != nil {
		t.Error("a timer was made")
	}
}
