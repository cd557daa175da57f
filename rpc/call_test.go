package rpc_test

import (
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
)

func TestCallAnswersPlainlyAndThenInFrames(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s := newGreeter(b.Conn(t))
		rpc.Handle(s, "Say.Hello", hello)
		serve(t, s)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		for range 3 {
			res, err := rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Hello", &HelloRequest{Name: "John"})
			if err != nil {
				t.Fatal(err)
			}
			if res.Msg != "Hello John" {
				t.Errorf("got %q, want %q", res.Msg, "Hello John")
			}
			time.Sleep(time.Second)
		}
	})
}
