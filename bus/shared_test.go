package bus_test

import (
	"testing"

	"github.com/mbus-dev/mbus/bus/bustest"
)

func TestSharedIsMadeOncePerConnection(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		type key struct{}
		made := 0
		one, other := b.Conn(t), b.Conn(t)
		get := func() any { made++; return made }
		if first, again := one.Shared(key{}, get), one.Shared(key{}, get); first != 1 || again != 1 {
			t.Errorf("got %v and %v, want the same value", first, again)
		}
		if elsewhere := other.Shared(key{}, get); elsewhere != 2 {
			t.Errorf("another connection has %v, want its own", elsewhere)
		}
	})
}
