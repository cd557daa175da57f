package crowd_test

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/examples/crowd"
	"github.com/mbus-dev/mbus/rpc"
)

func TestMain(m *testing.M) { bustest.Main(m) }

func TestTheSameSeedMakesTheSameCrowd(t *testing.T) {
	if !reflect.DeepEqual(crowd.Plans(7, 300), crowd.Plans(7, 300)) {
		t.Error("the same seed made another crowd")
	}
	if reflect.DeepEqual(crowd.Plans(7, 300), crowd.Plans(8, 300)) {
		t.Error("another seed made the same crowd")
	}
}

func TestEveryServiceHasANameOfItsOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range crowd.Plans(1, 6000) {
		if seen[p.Name] {
			t.Fatalf("two services are called %s", p.Name)
		}
		seen[p.Name] = true
		if len(p.Versions) == 0 || len(p.Methods) == 0 {
			t.Errorf("%s has no instance, or no method", p.Name)
		}
	}
}

// Some are in trouble and most are well, or there is nothing to see.
func TestMostAreWellAndSomeAreInTrouble(t *testing.T) {
	const all = 2000
	bad, callers := 0, 0
	for _, p := range crowd.Plans(1, all) {
		if p.Faults > 0.01 {
			bad++
		}
		if len(p.Calls) > 0 {
			callers++
		}
	}
	if bad < all/100 || bad > all/20 {
		t.Errorf("%d of %d are in trouble", bad, all)
	}
	if callers < all/10 {
		t.Errorf("only %d of %d call anybody", callers, all)
	}
}

func TestTheCrowdCallsEachOther(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		ctx := bustest.Context(t)
		conn := b.Conn(t)
		c := crowd.New(conn, crowd.Config{Services: 40, Seed: 1, Rate: 50})
		if err := c.Start(ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		var calls uint64
		for _, p := range crowd.Plans(1, 40) {
			for answer, err := range rpc.CallAll[rpc.Stats](ctx, client, p.Name, rpc.MethodStats, &rpc.StatsRequest{}) {
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range answer.Value.Endpoints {
					if !strings.HasPrefix(e.Name, "Debug.") {
						calls += e.Requests
					}
				}
			}
		}
		if calls < 800 || calls > 1300 { // asking takes a while too
			t.Errorf("in 20 s at 50 calls a second there were %d calls", calls)
		}
		stopping, cancel := context.WithTimeout(ctx, 15*time.Second)
		defer cancel()
		if err := c.Stop(stopping); err != nil {
			t.Error(err)
		}
	})
}

func ExamplePlans() {
	for _, p := range crowd.Plans(1, 3) {
		fmt.Println(p.Name, p.Versions, p.Methods)
	}
	// Output:
	// go.micro.api.delivery.key [1.2.13] [Key.Get]
	// go.micro.srv.media.record [1.2.16] [Record.Get Record.List Record.Create]
	// go.micro.srv.catalog.flag [1.4.19] [Flag.Get Flag.List Flag.Create Flag.Update]
}
