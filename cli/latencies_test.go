package cli

import (
	"testing"
	"time"
)

func TestLatencies(t *testing.T) {
	var l latencies
	if got := l.quantile(0.5); got != 0 {
		t.Errorf("the median of nothing is %v, want 0", got)
	}
	for ms := 1; ms <= 1000; ms++ {
		l.add(time.Duration(ms) * time.Millisecond)
	}
	for _, tt := range []struct {
		q    float64
		want time.Duration
	}{{0.5, 500 * time.Millisecond}, {0.99, 990 * time.Millisecond}, {1, time.Second}} {
		if got := l.quantile(tt.q); got < tt.want || float64(got) > 1.011*float64(tt.want) {
			t.Errorf("quantile(%g) = %v, want %v or at most 1 %% more", tt.q, got, tt.want)
		}
	}
	l.add(0)
	l.add(time.Hour)
	if l.max != time.Hour || l.quantile(1) != time.Hour {
		t.Errorf("max %v, quantile(1) %v, want an hour", l.max, l.quantile(1))
	}
}
