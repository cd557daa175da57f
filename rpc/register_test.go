package rpc_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
)

// Say has a method of each shape, and some that are none.
type Say struct{ greeting string }

func (s *Say) Hello(_ context.Context, r *HelloRequest) (*HelloResponse, error) {
	return &HelloResponse{Msg: s.greeting + " " + r.Name}, nil
}

func (s *Say) Micro(_ context.Context, r *HelloRequest, res *HelloResponse) error {
	if r.Name == "" {
		return bus.Errorf(bus.InvalidArgument, "name is empty")
	}
	res.Msg = s.greeting + " " + r.Name
	return nil
}

func (s *Say) Nothing(context.Context, *HelloRequest) (*HelloResponse, error) { return nil, nil }

func (s *Say) Fail(context.Context, *HelloRequest) (*HelloResponse, error) {
	return nil, errors.New("out of words")
}

func (s *Say) Greeting() string { return s.greeting } // no context: not a method of the service

func TestRegisterServesBothShapes(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		rpc.Register(s, &Say{greeting: "Hello"})
		serve(t, s)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		for range 2 { // plain, then frames
			for _, method := range []string{"Say.Hello", "Say.Micro"} {
				res, err := rpc.Call[HelloResponse](bustest.Context(t), client, greeter, method, &HelloRequest{Name: "John"})
				if err != nil || res.Msg != "Hello John" {
					t.Errorf("%s: got %v, %v", method, res, err)
				}
			}
			res, err := rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Nothing", nil)
			if err != nil || res.Msg != "" {
				t.Errorf("a nil answer: got %v, %v", res, err)
			}
			_, err = rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Micro", nil)
			wantError(t, err, bus.InvalidArgument, bus.Handler)
			_, err = rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Fail", nil)
			wantError(t, err, bus.Internal, bus.Handler)
			_, err = rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Greeting", nil)
			wantError(t, err, bus.NotFound, bus.Nobody)
			time.Sleep(time.Second)
		}
	})
}

type (
	noError  struct{}
	noAnswer struct{}
	variadic struct{}
	byValue  struct{}
	stranger struct{}
	nothing  struct{}
)

func (noError) Hello(context.Context, *HelloRequest) *HelloResponse              { return nil }
func (noAnswer) Hello(context.Context, *HelloRequest) error                      { return nil }
func (variadic) Hello(context.Context, ...*HelloRequest) (*HelloResponse, error) { return nil, nil }
func (byValue) Hello(context.Context, HelloRequest) (*HelloResponse, error)      { return nil, nil }
func (stranger) Hello(context.Context, *HelloRequest, *HelloResponse) (*struct{}, error) {
	return nil, nil
}
func (nothing) Hello(*HelloRequest) (*HelloResponse, error) { return nil, nil }

func TestRegisterPanicsForWrongShapesWithTheSignature(t *testing.T) {
	const wants = "; want func(context.Context, *Req) (*Res, error) or func(context.Context, *Req, *Res) error"
	for _, row := range []struct {
		v    any
		want string
	}{
		{noError{}, "noError.Hello has the signature func(context.Context, *rpc_test.HelloRequest) *rpc_test.HelloResponse" + wants},
		{noAnswer{}, "noAnswer.Hello has the signature func(context.Context, *rpc_test.HelloRequest) error" + wants},
		{variadic{}, "func(context.Context, ...*rpc_test.HelloRequest)"},
		{byValue{}, "func(context.Context, rpc_test.HelloRequest) (*rpc_test.HelloResponse, error)" + wants},
		{stranger{}, "(*struct {}, error)" + wants},
		{nothing{}, "has no exported method whose first parameter is a context"},
		{Say{}, "has no exported method whose first parameter is a context (does the method have a pointer receiver"},
		{(*Say)(nil), "the value is nil"},
		{nil, "the value is nil"},
		{func() {}, "has no name"},
	} {
		bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
			s := newGreeter(b.Conn(t))
			wantPanic(t, row.want, func() { rpc.Register(s, row.v) })
		})
	}
}
