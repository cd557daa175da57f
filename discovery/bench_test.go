package discovery

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
)

// fullView is a View without a connection that knows many instances, ten
// services with ten endpoints each.
func fullView(tb testing.TB, instances int) (v *View, keys []key, up []byte) {
	tb.Helper()
	v = &View{table: newTable(defaultMaxInstances, defaultMaxBytes), plan: codec.NewPlan(), inquiries: make(map[key]*inquiry), kick: make(chan struct{}, 1)}
	for n := range instances {
		a := greeter()
		a.State = StateUp
		a.Name, a.ID, a.Client = fmt.Sprintf("go.micro.srv.n%d", n%10), fmt.Sprintf("B0Jx9vKlQ1mZ3c5T7yU%04d", n), uint64(n)
		for e := range 8 {
			a.Endpoints = append(a.Endpoints, Endpoint{Name: fmt.Sprintf("Some.Method%d", e), Request: fmt.Sprintf("q5xw3k2m7n4p6r8t0v1%d", e), Response: fmt.Sprintf("z5xw3k2m7n4p6r8t0v1%d", e)})
		}
		data, err := encodeAnnouncement(&a)
		if err != nil {
			tb.Fatal(err)
		}
		k := key{a.Name, a.ID}
		if err := v.take(k, wire.EventUp, data, time.Now()); err != nil {
			tb.Fatal(err)
		}
		keys, up = append(keys, k), data
	}
	return v, keys, up
}

// TestACompleteViewIsSmall holds the promise of 100 MB for the complete view of
// 10,000 instances.
func TestACompleteViewIsSmall(t *testing.T) {
	const instances, allowed = 10_000, 100 << 20
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	v, keys, _ := fullView(t, instances)
	runtime.GC()
	runtime.ReadMemStats(&after)
	grown := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("%d instances take %d KiB, estimated %d KiB", len(keys), grown>>10, v.table.bytes>>10)
	if grown > allowed {
		t.Errorf("%d instances take %d bytes, want at most %d", instances, grown, allowed)
	}
	if int64(v.table.bytes)*4 < grown {
		t.Errorf("the estimate of %d bytes is far below the truth, %d", v.table.bytes, grown)
	}
	runtime.KeepAlive(v)
}

func BenchmarkTakeBeat(b *testing.B) {
	v, keys, _ := fullView(b, 1000)
	data := encodeBeat(beat{Rev: 3, Load: 40, InFlight: 5, Interval: 2000})
	now := time.Now()
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		if err := v.take(keys[n%len(keys)], wire.EventBeat, data, now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTakeUp(b *testing.B) {
	v, keys, up := fullView(b, 1000)
	now := time.Now()
	b.ReportAllocs()
	b.SetBytes(int64(len(up)))
	for b.Loop() {
		if err := v.take(keys[len(keys)-1], wire.EventUp, up, now); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkInstances is what a choice among a hundred instances costs.
func BenchmarkInstances(b *testing.B) {
	v, keys, _ := fullView(b, 1000)
	b.ReportAllocs()
	for b.Loop() {
		if len(v.Instances(keys[0].service)) != 100 {
			b.Fatal("not all are there")
		}
	}
}
