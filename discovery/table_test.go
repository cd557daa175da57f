package discovery

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestHistoryTellsWhoIsTooSlow(t *testing.T) {
	var h history
	for n := range maxChanges + 10 {
		h.add(Change{Reason: fmt.Sprint(n)}, 1)
	}
	if _, lost := h.after(9, 1); !lost {
		t.Error("change 10 is gone, and after(9) does not say so")
	}
	got, lost := h.after(10, 3)
	if lost || len(got) != 3 || got[0].Seq != 11 || got[0].Reason != "10" {
		t.Errorf("after(10) = %+v, %v, want changes 11 to 13", got, lost)
	}
	if got, lost := h.after(h.seq, 10); lost || len(got) != 0 {
		t.Errorf("after the last = %v, %v", got, lost)
	}
	if got, lost := h.after(h.seq+5, 10); lost || len(got) != 0 {
		t.Errorf("after the future = %v, %v", got, lost)
	}
}

func TestHistoryIsBoundedInBytes(t *testing.T) {
	var h history
	for range 100 {
		h.add(Change{}, maxChangeBytes/10)
	}
	if n := len(h.items) - h.first; n > 10 || h.bytes > maxChangeBytes {
		t.Errorf("%d changes of %d bytes kept, want at most %d bytes", n, h.bytes, maxChangeBytes)
	}
	h.add(Change{}, 2*maxChangeBytes)
	if got, lost := h.after(h.seq-1, 1); lost || len(got) != 1 {
		t.Error("the newest change is always kept")
	}
}

func TestLastSeenIsBounded(t *testing.T) {
	var l lastSeen
	now := time.Now()
	for n := range 3 * maxRemembered {
		l.set(fmt.Sprint(n), now)
		l.set("same", now.Add(time.Duration(n)))
	}
	if len(l.at) > maxRemembered || len(l.order) > 2*maxRemembered+1 {
		t.Errorf("%d services remembered with %d sightings", len(l.at), len(l.order))
	}
	if _, ok := l.get(fmt.Sprint(3*maxRemembered-1), now); !ok {
		t.Error("the newest is forgotten")
	}
	if _, ok := l.get("same", now); !ok {
		t.Error("what is seen again and again is forgotten")
	}
}

// TestTableKeepsItsBooks runs random events through a table and compares its
// counters with what is in it.
func TestTableKeepsItsBooks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const maxInstances, maxBytes = 12, 60_000
		table := newTable(maxInstances, maxBytes)
		now := time.Now()
		live := make(map[key]bool) // as told by the changes
		seq := uint64(0)
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				i := Instance{
					Service: fmt.Sprint(rapid.IntRange(0, 2).Draw(t, "service")), ID: fmt.Sprint(rapid.IntRange(0, 9).Draw(t, "id")),
					Server: "s", Client: uint64(rapid.IntRange(0, 3).Draw(t, "client")), Rev: uint64(rapid.IntRange(0, 3).Draw(t, "rev")),
					Interval: 2 * time.Second, Endpoints: make([]Endpoint, rapid.IntRange(0, 3).Draw(t, "endpoints")),
				}
				size := rapid.IntRange(0, 20_000).Draw(t, "size")
				known := table.get(key{i.Service, i.ID}) != nil
				if !table.put(i, size, false, now) && !known && table.count < maxInstances && table.bytes+footprint(&i, size) <= maxBytes {
					t.Errorf("refused though there is room")
				}
			},
			"beat": func(t *rapid.T) {
				k := drawKey(t)
				if known := table.touch(k, beat{Rev: 1, Load: 3, Interval: 2000}, now); known && table.get(k) == nil {
					t.Errorf("a beat of nobody is known")
				}
			},
			"drain":   func(t *rapid.T) { table.drain(drawKey(t), leave{Rev: 2}, now) },
			"suspect": func(t *rapid.T) { table.suspicious(drawKey(t), now) },
			"alive":   func(t *rapid.T) { table.alive(drawKey(t), now) },
			"down": func(t *rapid.T) {
				from := rapid.SampledFrom([]connection{{}, {"s", 1}, {"other", 1}}).Draw(t, "from")
				table.remove(drawKey(t), from, "test", now)
			},
			"time": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 10_000).Draw(t, "ms")) * time.Millisecond)
				for _, k := range table.due(now) {
					table.suspicious(k, now)
				}
			},
			"": func(t *rapid.T) {
				changes, lost := table.history.after(seq, 1000)
				if lost {
					t.Fatal("changes lost")
				}
				for _, c := range changes {
					k := key{c.Instance.Service, c.Instance.ID}
					if c.Seq != seq+1 || (c.Action == Create) == live[k] {
						t.Fatalf("change %+v after %d, live before: %v", c, seq, live[k])
					}
					seq = c.Seq
					live[k] = c.Action != Delete
				}
				checkBooks(t, table, live, maxInstances, maxBytes)
			},
		})
	})
}

func drawKey(t *rapid.T) key {
	return key{fmt.Sprint(rapid.IntRange(0, 2).Draw(t, "service")), fmt.Sprint(rapid.IntRange(0, 9).Draw(t, "id"))}
}

func checkBooks(t *rapid.T, table *table, live map[key]bool, maxInstances, maxBytes int) {
	var count, bytes, suspects, linked int
	for name, g := range table.services {
		if len(g.entries) == 0 {
			t.Errorf("%s has no instances and is still there", name)
		}
		for id, e := range g.entries {
			k := key{name, id}
			count++
			bytes += e.size
			if e.suspect {
				suspects++
			}
			if !live[k] {
				t.Errorf("%v is there and no change has said so", k)
			}
			if _, ok := table.clients[connection{e.inst.Server, e.inst.Client}][k]; !ok {
				t.Errorf("%v is not at its connection", k)
			}
			if !e.suspect && (table.nextDue.IsZero() || e.due.Before(table.nextDue)) {
				t.Errorf("%v is due at %v, the table looks at %v", k, e.due, table.nextDue)
			}
		}
		ready := g.rebuild()
		for _, i := range ready {
			if i.State != StateUp {
				t.Errorf("%+v is offered to callers", i)
			}
		}
	}
	for _, keys := range table.clients {
		linked += len(keys)
	}
	for k, alive := range live {
		if alive && table.get(k) == nil {
			t.Errorf("%v is gone and no change has said so", k)
		}
	}
	if count != table.count || bytes != table.bytes || suspects != table.suspects || linked != count {
		t.Errorf("counted %d instances, %d bytes, %d suspects, %d at connections; the table says %d, %d, %d", count, bytes, suspects, linked, table.count, table.bytes, table.suspects)
	}
	if count > maxInstances || bytes > maxBytes {
		t.Errorf("%d instances of %d bytes, over the bounds", count, bytes)
	}
}
