package discovery_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
)

// replay applies changes to what a snapshot said.
func replay(t *testing.T, at map[string]discovery.State, c discovery.Change) {
	t.Helper()
	id := c.Instance.Service + " " + c.Instance.ID
	_, there := at[id]
	switch c.Action {
	case discovery.Create:
		if there {
			t.Errorf("%s is created twice", id)
		}
		at[id] = c.Instance.State
	case discovery.Update:
		if !there {
			t.Errorf("%s is updated and not there", id)
		}
		at[id] = c.Instance.State
	case discovery.Delete:
		if !there || c.Reason == "" {
			t.Errorf("%s is deleted, there before: %v, because %q", id, there, c.Reason)
		}
		delete(at, id)
	default:
		t.Errorf("%+v", c)
	}
}

func TestASnapshotAndTheChangesAfterItAreTheWholeTruth(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn, watcher := b.Conn(t), b.Conn(t)
		view := watch(t, watcher)
		begin := func(n int) *discovery.Announcer {
			return announce(t, conn, discovery.AnnouncerConfig{Name: fmt.Sprintf("svc%d", n%3)})
		}
		var running []*discovery.Announcer
		for n := range 20 {
			running = append(running, begin(n))
		}
		ctx, cancel := context.WithCancel(t.Context())
		var readers sync.WaitGroup
		states := make([]map[string]discovery.State, 3)
		for r := range states {
			instances, seq := view.Snapshot()
			states[r] = make(map[string]discovery.State)
			for _, i := range instances {
				states[r][i.Service+" "+i.ID] = i.State
			}
			readers.Go(func() {
				for c := range view.ChangesAfter(ctx, seq) {
					if c.Seq != seq+1 {
						t.Errorf("reader %d: change %d after %d", r, c.Seq, seq)
					}
					seq = c.Seq
					replay(t, states[r], c)
				}
			})
		}
		for n, a := range running {
			switch n % 3 {
			case 0:
				stop(t, a)
			case 1:
				if err := a.Drain(t.Context(), "test"); err != nil {
					t.Fatal(err)
				}
			}
			begin(n)
			time.Sleep(700 * time.Millisecond)
		}
		synctest.Wait()
		cancel()
		readers.Wait()
		now, _ := view.Snapshot()
		for r, state := range states {
			if len(state) != len(now) {
				t.Errorf("reader %d has %d instances, the view %d", r, len(state), len(now))
			}
			for _, i := range now {
				if got, ok := state[i.Service+" "+i.ID]; !ok || got != i.State {
					t.Errorf("reader %d has %s as %q, there: %v, want %q", r, i.ID, got, ok, i.State)
				}
			}
		}
	})
}

func TestASlowReaderIsToldToReadAgain(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		view := watch(t, b.Conn(t))
		other := b.Conn(t)
		say := func(id, event, body string) {
			t.Helper()
			if err := other.Publish(t.Context(), wire.AnnounceSubject("a", id, event), "", nil, []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
		changes := view.Changes(t.Context())
		for n := range 5000 {
			id := fmt.Sprint(n)
			say(id, wire.EventUp, fmt.Sprintf(`{"v":1,"name":"a","id":%q,"interval":60000,"started":"2026-01-01T00:00:00Z"}`, id))
			if n%500 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		synctest.Wait()
		n, resyncs := 0, 0
		for c := range changes {
			if c.Action == discovery.Resync {
				resyncs++
				_, seq := view.Snapshot()
				if c.Seq != seq {
					t.Errorf("the resync is at %d, the view at %d", c.Seq, seq)
				}
				say("last", wire.EventUp, `{"v":1,"name":"a","id":"last","started":"2026-01-01T00:00:00Z"}`)
				continue
			}
			n++
			if c.Instance.ID == "last" {
				break
			}
		}
		if resyncs != 1 || n != 1 {
			t.Errorf("%d resyncs and %d changes, want one of each: what is lost is not sent again", resyncs, n)
		}
	})
}

func TestChangesEndWithTheViewAndTheViewWithItsContext(t *testing.T) {
	for name, end := range map[string]func(*discovery.View, context.CancelFunc, *bus.Conn){
		"Close":   func(v *discovery.View, _ context.CancelFunc, _ *bus.Conn) { v.Close(); v.Close() },
		"context": func(_ *discovery.View, cancel context.CancelFunc, _ *bus.Conn) { cancel() },
		"connection": func(_ *discovery.View, _ context.CancelFunc, conn *bus.Conn) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = conn.Close(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				conn := b.Conn(t)
				announce(t, b.Conn(t), discovery.AnnouncerConfig{Name: "greeter"})
				before := conn.NATS().NumSubscriptions()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				view, err := discovery.Watch(ctx, conn)
				if err != nil {
					t.Fatal(err)
				}
				<-view.Ready()
				ended := make(chan struct{})
				go func() { // ended waits for it
					defer close(ended)
					for range view.Changes(t.Context()) {
					}
				}()
				time.Sleep(time.Minute)
				end(view, cancel, conn)
				select {
				case <-ended:
				case <-time.After(5 * time.Second):
					t.Fatal("the changes have no end")
				}
				view.Close()
				if n := conn.NATS().NumSubscriptions(); !conn.NATS().IsClosed() && n != before {
					t.Errorf("%d subscriptions, before the view %d", n, before)
				}
				if len(view.Instances("greeter")) != 1 {
					t.Error("the lists of a closed view can no longer be read")
				}
			})
		})
	}
}
