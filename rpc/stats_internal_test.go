package rpc

import (
	"testing"
	"time"
)

func TestAHistogramPlacesEveryDuration(t *testing.T) {
	for d := time.Duration(1); d < 3*time.Minute; d += d/50 + 1 {
		i := bucketOf(d)
		if i < 0 || i >= histogramBuckets {
			t.Fatalf("%v counts in bucket %d of %d", d, i, histogramBuckets)
		}
		if i < histogramBuckets-1 && upperBound(i) < d {
			t.Errorf("%v counts in bucket %d, which ends at %v", d, i, upperBound(i))
		}
		if i > 0 && upperBound(i-1) >= d {
			t.Errorf("%v counts in bucket %d, but the one before ends at %v", d, i, upperBound(i-1))
		}
	}
	if i := bucketOf(-time.Second); i != 0 {
		t.Errorf("a negative duration counts in bucket %d", i)
	}
}

func TestQuantilesAreExactToAnEighth(t *testing.T) {
	var h histogram
	if q := h.quantile(0.99); q != 0 {
		t.Errorf("without durations: %v", q)
	}
	for ms := range 1000 {
		h.add(time.Duration(ms+1) * time.Millisecond)
	}
	for _, row := range []struct {
		q    float64
		want time.Duration
	}{{0, time.Millisecond}, {0.5, 500 * time.Millisecond}, {0.99, 990 * time.Millisecond}, {1, time.Second}} {
		got := h.quantile(row.q)
		if got < row.want || float64(got) > 1.13*float64(row.want) {
			t.Errorf("quantile %v: got %v, want %v and up to an eighth more", row.q, got, row.want)
		}
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	var c counter
	if n := testing.AllocsPerRun(100, func() { c.done(time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations for one call", n)
	}
}
