package selector_test

import (
	"fmt"
	"testing"

	"github.com/mbus-dev/mbus/discovery/selector"
)

func BenchmarkPick(b *testing.B) {
	for _, n := range []int{3, 100} {
		var ids []string
		for i := range n {
			ids = append(ids, fmt.Sprintf("B0Jx9vKlQ1mZ3c5T7yU%04d", i))
		}
		list := instances(ids...)
		for _, text := range []string{"random", "roundrobin,version=1.0.0", "least-loaded", "consistent-hash", "blacklist"} {
			b.Run(fmt.Sprintf("%s/n=%d", text, n), func(b *testing.B) {
				p := picker(b, text)
				b.ReportAllocs()
				for b.Loop() {
					pick(b, p, list, selector.Call{Key: "user-1"}).Done(selector.Answered)
				}
			})
		}
	}
}
