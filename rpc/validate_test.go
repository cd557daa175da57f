package rpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/rpc"
)

type (
	// An Order says with its tags what it takes.
	Order struct {
		Name  string           `json:"name"            jsonschema:"required,minLength=1,maxLength=20"`
		Items []Item           `json:"items,omitempty" jsonschema:"maxItems=100"`
		Notes map[string]int64 `json:"notes,omitempty"`
	}
	Item struct {
		Price float64 `json:"price" jsonschema:"minimum=0,maximum=10"`
	}
	Receipt struct {
		Total float64 `json:"total"`
	}
)

func total(_ context.Context, o *Order) (*Receipt, error) {
	var r Receipt
	for _, item := range o.Items {
		r.Total += item.Price
	}
	return &r, nil
}

// fieldsOf reads the detail of the error that names fields.
func fieldsOf(t *testing.T, e *bus.Error) []string {
	t.Helper()
	var detail struct {
		Fields []struct{ Field, Rule, Message string } `json:"fields"`
	}
	if err := json.Unmarshal(e.Detail, &detail); err != nil {
		t.Fatalf("the detail %q: %v", e.Detail, err)
	}
	var all []string
	for _, f := range detail.Fields {
		all = append(all, f.Field+" "+f.Rule+": "+f.Message)
	}
	return all
}

func TestARequestThatBreaksItsSchemaNamesTheField(t *testing.T) {
	for _, row := range []struct {
		name, body string
		message    string // of the error; "" is an answer
		fields     string // of its detail
	}{
		{name: "right", body: `{"name":"John","items":[{"price":2.5}]}`},
		{name: "a field of a later version", body: `{"name":"John","later":1}`},
		{name: "missing", body: `{}`, message: `missing field "name"`, fields: `/name required: missing field "name"`},
		{name: "nothing at all", body: ``, message: `missing field "name"`, fields: `/name required: missing field "name"`},
		{
			name: "several", body: `{"name":"","items":[{},{},{},{"price":12.5}]}`,
			message: `name: at least 1 character is wanted, got 0; items[3].price: 12.5 is over the maximum 10`,
			fields:  `/name minLength: at least 1 character is wanted, got 0, /items/3/price maximum: 12.5 is over the maximum 10`,
		},
		{name: "another type", body: `{"name":5}`, message: `name: a string is wanted, got a number`, fields: `/name type: a string is wanted, got a number`},
		{
			name: "a name past the schema", body: `{"name":"John","items":[{"PRICE":99}]}`,
			message: `items[0].PRICE: the field is called "price"`, fields: `/items/0/PRICE case: the field is called "price"`,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				var ran atomic.Int32
				conn := b.Conn(t)
				s := newGreeter(conn)
				rpc.Handle(s, "Say.Hello", func(ctx context.Context, o *Order) (*Receipt, error) {
					ran.Add(1)
					return total(ctx, o)
				}, rpc.Validate())
				serve(t, s)
				packed, err := codec.Transcode(codec.JSON, codec.Msgpack, []byte(row.body))
				if err != nil {
					t.Fatal(err)
				}
				far := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
				near := rpc.NewClient(conn, rpc.ClientConfig{Local: []*rpc.Server{s}})
				raw := func(c *rpc.Client, k codec.Codec, body []byte) error {
					_, err := c.Do(bustest.Context(t), &rpc.Request{Service: greeter, Method: "Say.Hello", Codec: k, Body: body})
					return err
				}
				asked := []func() error{
					func() error { return replyError(ask(t, b.Conn(t), helloSubject, nil, row.body)) },
					func() error {
						return replyError(ask(t, b.Conn(t), helloSubject, nats.Header{"Content-Type": {"application/msgpack"}}, string(packed)))
					},
					func() error { return raw(far, codec.JSON, []byte(row.body)) },
					func() error { time.Sleep(time.Second); return raw(far, codec.Msgpack, packed) }, // in a frame
					func() error { return raw(near, codec.JSON, []byte(row.body)) },
					func() error { return raw(near, codec.Msgpack, packed) },
				}
				for i, call := range asked {
					err := call()
					if row.message == "" {
						if err != nil || ran.Load() != int32(i+1) {
							t.Errorf("way %d: got %v after %d runs of the handler", i, err, ran.Load())
						}
						continue
					}
					e := wantError(t, err, bus.InvalidArgument, bus.Handler)
					if got := strings.Join(fieldsOf(t, e), ", "); e.Message != row.message || got != row.fields || e.Status != 400 {
						t.Errorf("way %d: got %q with %s, want %q with %s", i, e.Message, got, row.message, row.fields)
					}
					if ran.Load() > 0 {
						t.Errorf("way %d: the handler ran", i)
					}
				}
			})
		})
	}
}

// replyError is the error of a reply, nil for an answer.
func replyError(m *nats.Msg) error {
	if e := bus.ReplyError(m); e != nil {
		return e
	}
	return nil
}

func TestTheProblemsOfARequestAreBounded(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Say.Hello", total, rpc.Validate())
		serve(t, s)
		body := `{"name":"` + strings.Repeat("k", 5000) + `","notes":{`
		for i := range 20 {
			body += `"` + strings.Repeat(`\u0001`, 100+i) + `":"` + strings.Repeat("k", 5000) + `",`
		}
		body += `"k":1}}`
		e := bus.ReplyError(ask(t, b.Conn(t), helloSubject, nil, body))
		if e == nil || len(e.Message) > 1100 || len(fieldsOf(t, e)) != 8 || len(e.Detail) > 4<<10 || !strings.HasSuffix(e.Message, "; there may be more") {
			t.Fatalf("got %d bytes with a detail of %d: %v", len(e.Message), len(e.Detail), e)
		}
		if strings.Contains(e.Message, strings.Repeat("k", 65)) || strings.Contains(string(e.Detail), strings.Repeat("k", 65)) {
			t.Errorf("more than 64 bytes of what came are told: %v", e)
		}
	})
}

func TestAServerMayValidateAllItsMethods(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t), func(c *rpc.ServerConfig) { c.Validate = true })
		rpc.Handle(s, "Shop.Typed", total)
		rpc.Register(s, new(Shop))
		s.HandleRaw("Shop.Raw", func(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
			return &rpc.Response{Body: r.Body}, nil
		})
		rpc.Handle(s, "Shop.Bytes", func(_ context.Context, r *[]byte) (*[]byte, error) { return r, nil })
		serve(t, s)
		for method, want := range map[string]bool{
			"Shop.Typed": true, "Shop.Buy": true, "Shop.Raw": false, "Shop.Bytes": false, "Debug.Schema": false,
		} {
			e := bus.ReplyError(ask(t, b.Conn(t), "mbus.rpc.go_micro_srv_greeter."+method, nil, `{"name":"","HASHES":[]}`))
			if got := e != nil && e.Code == bus.InvalidArgument; got != want {
				t.Errorf("%s: got %v, want a refusal: %v", method, e, want)
			}
		}
	})
}

// Shop has a method of each shape. Its handlers of streams take no notice of
// what they are told.
type Shop struct{ ran, told atomic.Int32 }

func (*Shop) Buy(ctx context.Context, o *Order) (*Receipt, error) { return total(ctx, o) }

func (s *Shop) Each(_ context.Context, o *Order, send func(*Item) error) error {
	s.ran.Add(1)
	for _, item := range o.Items {
		if err := send(&item); err != nil {
			return err
		}
	}
	return nil
}

func (*Shop) All(_ context.Context, in iter.Seq2[*Order, error]) (*Receipt, error) {
	for range in {
		continue
	}
	return &Receipt{Total: 1}, nil
}

func (s *Shop) Haggle(ctx context.Context, stream *rpc.Stream[Order, Receipt]) error {
	for {
		o, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			if _, again := stream.Recv(); again != nil && again.Error() == err.Error() && ctx.Err() != nil {
				s.told.Add(1)
			}
			return nil
		}
		r, _ := total(ctx, o)
		if err := stream.Send(r); err != nil {
			return err
		}
	}
}

func TestABadMessageEndsAStreamWithInvalidArgument(t *testing.T) {
	const want = "items[0].price: 11 is over the maximum 10"
	good, bad := &Order{Name: "John", Items: []Item{{1}}}, &Order{Name: "John", Items: []Item{{11}}}
	check := func(t *testing.T, err error) {
		t.Helper()
		e := wantError(t, err, bus.InvalidArgument, bus.Handler)
		if e.Message != want || len(fieldsOf(t, e)) != 1 {
			t.Errorf("got %q, %s", e.Message, e.Detail)
		}
	}
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		registered, shop := newGreeter(b.Conn(t)), new(Shop)
		rpc.Register(registered, shop, rpc.Validate())
		serve(t, registered)
		handled := rpc.NewServer(b.Conn(t), rpc.ServerConfig{Name: "handled", Validate: true})
		rpc.HandleServerStream(handled, "Shop.Each", shop.Each)
		rpc.HandleClientStream(handled, "Shop.All", shop.All)
		rpc.HandleStream(handled, "Shop.Haggle", shop.Haggle)
		serve(t, handled)
		ctx, client := bustest.Context(t), rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		for _, service := range []string{greeter, "handled"} {
			n := 0
			for _, err := range rpc.CallStream[Item](ctx, client, service, "Shop.Each", bad) {
				check(t, err)
				n++
			}
			if n != 1 || shop.ran.Load() > 0 {
				t.Errorf("%s: %d answers, %d runs", service, n, shop.ran.Load())
			}
			all, err := rpc.OpenStream[Receipt, Order](ctx, client, service, "Shop.All")
			if err != nil {
				t.Fatal(err)
			}
			if err := all.Send(good); err != nil {
				t.Fatal(err)
			}
			if err := all.Send(bad); err != nil {
				t.Fatal(err)
			}
			_ = all.CloseSend()
			_, err = all.Recv()
			check(t, err)
			talk, err := rpc.OpenStream[Receipt, Order](ctx, client, service, "Shop.Haggle")
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range []*Order{good, bad} {
				if err := talk.Send(o); err != nil {
					t.Fatal(err)
				}
			}
			if r, err := talk.Recv(); err != nil || r.Total != 1 {
				t.Errorf("%s: what came before the bad message: %v, %v", service, r, err)
			}
			_, err = talk.Recv()
			check(t, err)
			if shop.told.Swap(0) != 1 {
				t.Errorf("%s: the handler could go on after a bad message", service)
			}
		}
		// A caller who knows no frames.
		for _, method := range []string{"Shop.Each", "Shop.All", "Shop.Haggle"} {
			m := ask(t, b.Conn(t), "mbus.rpc.handled."+method, nil, `{"name":"John","items":[{"price":11}]}`)
			check(t, replyError(m))
		}
	})
}

func TestMiddlewareDecidesWhoLearnsOfTheSchema(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		guard := func(rpc.HandlerFunc) rpc.HandlerFunc {
			return func(context.Context, *rpc.Request) (*rpc.Response, error) {
				return nil, bus.Errorf(bus.Unauthenticated, "who are you?")
			}
		}
		s := newGreeter(b.Conn(t), func(c *rpc.ServerConfig) { c.Middleware = []rpc.Middleware{guard} })
		rpc.Handle(s, "Say.Hello", total, rpc.Validate())
		serve(t, s)
		if e := bus.ReplyError(ask(t, b.Conn(t), helloSubject, nil, `{}`)); e == nil || e.Code != bus.Unauthenticated {
			t.Errorf("got %v", e)
		}
	})
}

func TestWhatCannotBeValidatedPanicsAtRegistration(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		for name, register := range map[string]func(*rpc.Server){
			"a raw handler": func(s *rpc.Server) {
				s.HandleRaw("A.B", func(context.Context, *rpc.Request) (*rpc.Response, error) { return nil, nil }, rpc.Validate())
			},
			"a type too large to describe": func(s *rpc.Server) {
				rpc.Handle(s, "A.B", func(context.Context, *[1][2][1][2][1][2][1][2][1][2][1][2][1][2][1][2][1][2][1][2][1][2][1][2][1][2][1][2][1][2][1][2][1][2][1][2][1][2][1][2][1][2][1][2][1][2][1][2][1][2][1][2][1][2][1][2][1][2][1][2][1][2][1][2]struct{}) (*Receipt, error) {
					return nil, nil
				}, rpc.Validate())
			},
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s is registered", name)
					}
				}()
				register(newGreeter(b.Conn(t)))
			}()
		}
	})
}
