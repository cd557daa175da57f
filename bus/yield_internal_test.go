package bus

import (
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

type deaf struct{ net.Conn }

func (deaf) Write(b []byte) (int, error) { return len(b), nil }

func TestAfterALongYieldTheNextWritesDoNotWait(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	conn := yielding(deaf{})
	var turns atomic.Int64
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-quit:
				return
			default:
			}
			turns.Add(1)
			for began := time.Now(); time.Since(began) < 2*longYield; { // computes
			}
			runtime.Gosched()
		}
	}()
	defer func() { close(quit); <-ended }()
	for turns.Load() == 0 {
		_, _ = conn.Write(nil)
	}
	before := turns.Load()
	for range 10 {
		_, _ = conn.Write(nil)
	}
	if got := turns.Load() - before; got > 1 { // one, if the scheduler so decides by itself
		t.Errorf("others ran %d times during ten writes after a long yield", got)
	}
}
