package rpc_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
)

// Whatever connections are cut, a stream that ends well is whole, one that is not
// says so, and none is left hanging.
func TestStreamsAreHonestUnderCuts(t *testing.T) {
	for seed := range uint64(2) {
		bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
			r := rand.New(rand.NewPCG(seed, 1))
			links := []*bustest.Link{b.Link(), b.Link()}
			server, caller := b.Conn(t, links[0].Use), b.Conn(t, links[1].Use)
			_, l := serveLab(t, server)
			client := rpc.NewClient(caller, rpc.ClientConfig{})
			ends := make(map[string]int)
			for range 40 {
				b.Await(t, server, caller)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				every := []int{5, 400}[r.IntN(2)] // often in the middle, seldom
				n := 1000 / every
				var wg sync.WaitGroup
				var down, up error
				var came int
				wg.Go(func() {
					for m, err := range rpc.CallStream[Number](ctx, client, lab, "Lab.Count", &CountRequest{N: n, Every: every}) {
						if down = err; err == nil {
							if m.I != came {
								t.Errorf("%d came after %d messages", m.I, came)
							}
							came++
						}
					}
				})
				sum := 0
				wg.Go(func() {
					stream, err := rpc.OpenStream[Number, Number](ctx, client, lab, "Lab.Sum")
					for i := 0; err == nil && i < n; i++ {
						err = stream.Send(&Number{1})
						time.Sleep(time.Duration(every) * time.Millisecond)
					}
					if err == nil || errors.Is(err, io.EOF) {
						_ = stream.CloseSend()
						var m *Number
						if m, err = stream.Recv(); err == nil {
							sum = m.I
						}
					}
					up = err
				})
				for range 1 + r.IntN(2) {
					time.Sleep(time.Duration(20+r.IntN(1000)) * time.Millisecond)
					i := r.IntN(2)
					lost := links[i].Drop(bustest.ToBroker, []string{"_INBOX.>", "mbus.stream.>"}[i], r.IntN(3))
					time.Sleep(time.Duration(r.IntN(10)) * time.Millisecond)
					links[i].Cut()
					lost.Stop()
				}
				wg.Wait()
				cancel()
				if down == nil && came != n {
					t.Errorf("a stream of %d messages ended well after %d", n, came)
				}
				if up == nil && sum != n {
					t.Errorf("the sum of %d messages is %d", n, sum)
				}
				for _, err := range []error{down, up} {
					if e := bus.AsError(err); e == nil {
						ends["well"]++
					} else {
						ends[e.Code.String()+" "+e.End.String()]++
						if e.Code == bus.DeadlineExceeded || e.Code == bus.Internal || e.Code == bus.Canceled {
							t.Errorf("a stream ended with %v", e)
						}
					}
				}
			}
			time.Sleep(30 * time.Second)
			if entered, ended := l.read(); entered != len(ended) {
				t.Errorf("%d of %d handlers still wait", entered-len(ended), entered)
			}
			if ends["well"] == 0 || len(ends) == 1 {
				t.Errorf("seed %d: the streams ended %v, which proves little", seed, ends)
			}
		})
	}
}
