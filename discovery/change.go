package discovery

import (
	"context"
	"iter"
	"time"
)

// An Action says what happened to an instance.
type Action string

// The actions of a Change.
const (
	Create Action = "create"
	Update Action = "update"
	Delete Action = "delete"
	// Resync says that changes were lost because the watcher was too slow: it
	// has no instance, and what is there now must be read with Snapshot.
	Resync Action = "resync"
)

// A Change is one event in the life of an instance.
type Change struct {
	// Seq counts the changes of a View from 1. That of a Resync is the last one
	// lost.
	Seq    uint64
	Action Action
	// Instance is as it is after the change; for a Delete as it was before.
	Instance Instance
	// Reason says why it was deleted, for people.
	Reason string
	At     time.Time
}

const (
	// maxChanges and maxChangeBytes bound the changes that a View keeps for
	// slow watchers. Who is further behind gets a Resync.
	maxChanges     = 4096
	maxChangeBytes = 16 << 20
)

// A history keeps the last changes. The owner of a history locks it.
type history struct {
	seq     uint64 // of the newest
	items   []historyItem
	first   int // index of the oldest in items
	bytes   int
	changed chan struct{} // closed at the next change; nil while nobody waits
}

type historyItem struct {
	change Change
	size   int
}

func (h *history) add(c Change, size int) {
	h.seq++
	c.Seq = h.seq
	h.items = append(h.items, historyItem{c, size})
	h.bytes += size
	for len(h.items)-h.first > maxChanges || h.bytes > maxChangeBytes && len(h.items)-h.first > 1 {
		h.bytes -= h.items[h.first].size
		h.items[h.first] = historyItem{}
		h.first++
	}
	if h.first > maxChanges {
		h.items = append([]historyItem(nil), h.items[h.first:]...)
		h.first = 0
	}
	if h.changed != nil {
		close(h.changed)
		h.changed = nil
	}
}

// after returns up to n changes that follow seq. lost says that some of them
// are gone.
func (h *history) after(seq uint64, n int) (changes []Change, lost bool) {
	kept := h.items[h.first:]
	oldest := h.seq - uint64(len(kept)) + 1
	if seq+1 < oldest {
		return nil, true
	}
	kept = kept[min(seq+1-oldest, uint64(len(kept))):]
	for _, item := range kept[:min(len(kept), n)] {
		changes = append(changes, item.change)
	}
	return changes, false
}

// wait returns a channel that is closed at the next change.
func (h *history) wait() <-chan struct{} {
	if h.changed == nil {
		h.changed = make(chan struct{})
	}
	return h.changed
}

// Changes yields what happens from now on, until ctx ends or the View is
// closed. Changes of load are none. Several may read at once, each gets all.
// Who falls too far behind gets one change with the action Resync, and then
// what comes after it.
func (v *View) Changes(ctx context.Context) iter.Seq[Change] {
	v.mu.RLock()
	seq := v.table.history.seq
	v.mu.RUnlock()
	return v.ChangesAfter(ctx, seq)
}

// ChangesAfter is Changes from the change with number seq on, without that
// one. With what Snapshot returns, nothing is seen twice and nothing missed.
func (v *View) ChangesAfter(ctx context.Context, seq uint64) iter.Seq[Change] {
	const batch = 64
	return func(yield func(Change) bool) {
		next := seq
		for {
			v.mu.Lock()
			h := &v.table.history
			changes, lost := h.after(next, batch)
			if lost {
				next = h.seq
				changes = []Change{{Seq: next, Action: Resync, At: time.Now()}}
			}
			var more <-chan struct{}
			if len(changes) == 0 {
				more = h.wait()
			}
			v.mu.Unlock()
			for _, c := range changes {
				if ctx.Err() != nil || !yield(c) {
					return
				}
				next = c.Seq
			}
			if more == nil {
				continue
			}
			select {
			case <-more:
			case <-ctx.Done():
				return
			case <-v.done:
				return
			}
		}
	}
}
