package codec_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/mbus-dev/mbus/bus/codec"
)

type smallRequest struct {
	Name string `json:"name"`
	Age  int    `json:"age"`
	OK   bool   `json:"ok"`
}

type orderItem struct {
	SKU      string            `json:"sku"`
	Quantity int               `json:"quantity"`
	Price    float64           `json:"price"`
	Labels   map[string]string `json:"labels"`
}

type order struct {
	ID      string      `json:"id"`
	At      time.Time   `json:"at"`
	Items   []orderItem `json:"items"`
	Note    string      `json:"note,omitempty"`
	Address *address    `json:"address"`
}

type address struct {
	Street string `json:"street"`
	City   string `json:"city"`
	Zip    int    `json:"zip"`
}

// benchValues are a small request, about 1 KiB of nested structs, the same with generated methods as
// far as they go, and a value without types.
func benchValues() map[string]any {
	o := order{ID: "order-123456", At: time.Date(2024, 2, 29, 1, 2, 3, 4, time.UTC), Address: &address{"1 High Street", "Town", 12345}}
	points := Path{Name: "path", Count: 3}
	for i := range 8 {
		o.Items = append(o.Items, orderItem{fmt.Sprintf("sku-%08d", i), i, 9.99, map[string]string{"color": "green", "size": "large"}})
		points.Points = append(points.Points, Point{i, 1.5, "somewhere"})
	}
	loose := map[string]any{"name": "John", "tags": []any{"a", "b"}, "age": 42, "in": map[string]any{"x": 1.5, "y": nil}}
	return map[string]any{"small": &smallRequest{"John", 42, true}, "nested": &o, "generated": &points, "any": &loose}
}

func BenchmarkRoundTrip(b *testing.B) {
	p := codec.NewPlan()
	for name, in := range benchValues() {
		out := func() any { return reflect.New(reflect.TypeOf(in).Elem()).Interface() }
		for _, c := range []codec.Codec{codec.Msgpack, codec.JSON} {
			b.Run(name+"/"+c.String(), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					body, err := p.Marshal(c, in)
					if err != nil {
						b.Fatal(err)
					}
					if err := p.Unmarshal(c, body, out()); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run(name+"/encoding-json", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				body, _ := json.Marshal(in)
				if err := json.Unmarshal(body, out()); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/msgpack-library", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				body, _ := msgpack.Marshal(in)
				if err := msgpack.Unmarshal(body, out()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkGuard(b *testing.B) {
	for name, in := range benchValues() {
		for _, c := range []codec.Codec{codec.Msgpack, codec.JSON} {
			body, err := c.Marshal(in)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(name+"/"+c.String(), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(body)))
				for b.Loop() {
					if err := codec.Guard(c, body); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
