package codec_test

import (
	"reflect"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mbus-dev/mbus/bus/codec"
)

func TestAPlanIsForManyGoroutines(t *testing.T) {
	for range 20 {
		p := codec.NewPlan()
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for _, c := range []codec.Codec{codec.Msgpack, codec.JSON} {
					in := holders{Strs: []string{"x"}, Deep: map[name]map[string][]*scalars{"a": {"b": {{I: 1}}}}}
					body, err := p.Marshal(c, in)
					if err != nil {
						t.Error(err)
						return
					}
					var out holders
					if err := p.Unmarshal(c, body, &out); err != nil || out.Deep["a"]["b"][0].I != 1 {
						t.Errorf("%v: got %+v and %v", c, out, err)
					}
				}
			})
		}
		wg.Wait()
	}
}

func TestAPlanWorksBeyondWhatItRemembers(t *testing.T) {
	p := codec.NewPlan()
	for i := range 5000 {
		typ := reflect.ArrayOf(i+1, reflect.TypeFor[struct{}]())
		if p.For(typ) != codec.Msgpack {
			t.Fatalf("type %d is not sent as msgpack", i)
		}
	}
	type late struct{ N int }
	for range 3 {
		body, err := p.Marshal(codec.Msgpack, late{7})
		var got late
		if err != nil || p.Unmarshal(codec.Msgpack, body, &got) != nil || got != (late{7}) {
			t.Fatalf("got %x, %v and %v", body, err, got)
		}
	}
}

func TestSmallCallsAllocateLittle(t *testing.T) {
	p := codec.NewPlan()
	in := smallRequest{"John", 42, true}
	// It is half of this without the race detector, which empties pools at random.
	for c, most := range map[codec.Codec]float64{codec.Msgpack: 6, codec.JSON: 12} {
		var out smallRequest
		got := testing.AllocsPerRun(200, func() {
			body, err := p.Marshal(c, &in)
			if err != nil || p.Unmarshal(c, body, &out) != nil {
				t.Fatal("it does not even work")
			}
		})
		if got > most || !cmp.Equal(in, out) {
			t.Errorf("%v: a round trip allocates %v times, want at most %v; got %v", c, got, most, out)
		}
	}
}
