package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/rpc"
)

func TestAnEmptyMessageIsNotTheEndForAPlainCaller(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveRaw(t, b.Conn(t), func(_ context.Context, s *rpc.RawStream) error {
			for _, body := range []string{"1", "", "2"} {
				if err := s.Send(codec.JSON, []byte(body)); err != nil {
					return err
				}
			}
			return nil
		})
		var got []string
		for m, err := range b.Conn(t).Gather(bustest.Context(t), "mbus.rpc.go_micro_srv_lab.Lab.Raw", nil, nil, bus.Gather{
			Done: func(m *nats.Msg) bool { return len(m.Data) == 0 && len(m.Header) == 0 },
		}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(m.Data))
		}
		if len(got) != 4 {
			t.Errorf("%q came before the end, want three messages and the end", got)
		}
	})
}

func TestHandlersMaySendFromSeveralGoroutines(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveRaw(t, b.Conn(t), func(_ context.Context, s *rpc.RawStream) error {
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for range 100 {
						if err := s.Send(codec.JSON, []byte("1")); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			return nil
		})
		n := 0
		for m, err := range b.Conn(t).Gather(bustest.Context(t), "mbus.rpc.go_micro_srv_lab.Lab.Raw", nil, nil, bus.Gather{
			Done: func(m *nats.Msg) bool { return len(m.Data) == 0 },
		}) {
			if err != nil {
				t.Fatal(err)
			}
			n += len(m.Data)
		}
		if n != 800 {
			t.Errorf("%d messages came, want 800", n)
		}
	})
}

func TestAStreamWhoseTimeIsOverDoesNotBegin(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		_, l := serveLab(t, b.Conn(t))
		conn := b.Conn(t)
		m, err := conn.Request(bustest.Context(t), "mbus.rpc.go_micro_srv_lab.Lab.Chat", nats.Header{"Mbus-Timeout": {"0"}}, []byte(`{"text":"x"}`))
		if err != nil {
			t.Fatal(err)
		}
		if e := bus.ReplyError(m); e == nil || e.Code != bus.DeadlineExceeded {
			t.Errorf("the answer is %q, %v", m.Data, e)
		}
		if entered, _ := l.read(); entered != 0 {
			t.Error("the handler began after the caller's time was over")
		}
	})
}

func TestStuckReadersHoldUpNobodyElse(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		const stuck, want = 200, 500
		server, caller := b.Conn(t), b.Conn(t)
		serveLab(t, server)
		client := rpc.NewClient(caller, rpc.ClientConfig{})
		var streams []*rpc.RawStream
		for range stuck {
			s, err := client.Open(t.Context(), &rpc.Request{Service: lab, Method: "Lab.Count"})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Send(codec.JSON, fmt.Appendf(nil, `{"n":%d}`, want)); err != nil {
				t.Fatal(err)
			}
			streams = append(streams, s)
		}
		time.Sleep(time.Minute) // all windows are full, and nobody reads
		began, n := time.Now(), 0
		for _, err := range rpc.CallStream[Number](bustest.Context(t), client, lab, "Lab.Count", &CountRequest{N: 1000}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if took := time.Since(began); n != 1000 || took > time.Second {
			t.Errorf("%d of 1000 messages came in %v", n, took)
		}
		for _, s := range streams {
			n := 0
			for ; ; n++ {
				if _, _, err := s.Recv(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
			}
			if n != want {
				t.Errorf("a late reader got %d messages, want %d", n, want)
			}
		}
		if d := server.Dropped() + caller.Dropped(); d != 0 {
			t.Errorf("%d messages were dropped", d)
		}
	})
}
