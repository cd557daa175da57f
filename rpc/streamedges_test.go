package rpc_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/rpc"
)

func TestStreamsThatAreOverHoldNothing(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveLab(t, b.Conn(t), func(c *rpc.ServerConfig) { c.Streams = 3 })
		conn := b.Conn(t, func(c *bus.Config) { c.MaxCalls = 6 })
		client := rpc.NewClient(conn, rpc.ClientConfig{Retries: new(0)})
		for i := range 30 {
			for m, err := range rpc.CallStream[Number](bustest.Context(t), client, lab, "Lab.Count", &CountRequest{N: 100}) {
				if err != nil {
					t.Fatalf("round %d: %v", i, err)
				}
				if i%2 == 0 && m.I == 3 {
					break // and gives it up
				}
			}
			stream := openChat(t, client)
			if err := stream.Send(&Text{"fail"}); err != nil {
				t.Fatal(err)
			}
			_, err := stream.Recv()
			wantError(t, err, bus.Conflict, bus.Handler)
			_, err = client.Open(t.Context(), &rpc.Request{Service: lab, Method: "Lab.Hello"})
			wantError(t, err, bus.Unimplemented, bus.Handler)
			_, err = client.Open(t.Context(), &rpc.Request{Service: lab, Method: "Lab.Nope"})
			wantError(t, err, bus.NotFound, bus.Nobody)
			time.Sleep(10 * time.Millisecond)
		}
	})
}

func TestAnInstanceThatAcceptsTooLateIsTold(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		link := b.Link()
		_, l := serveLab(t, b.Conn(t))
		client := rpc.NewClient(b.Conn(t, link.Use), rpc.ClientConfig{Timeout: time.Second})
		link.Postpone(bustest.FromBroker, "_INBOX.>", 3*time.Second, 2) // with the answer to PING
		_, err := rpc.OpenStream[Text, Text](t.Context(), client, lab, "Lab.Chat")
		wantError(t, err, bus.DeadlineExceeded, bus.Timeout)
		time.Sleep(2500 * time.Millisecond)
		if entered, ended := l.read(); entered != 1 || len(ended) != 1 {
			t.Errorf("%d handlers began, %d have ended", entered, len(ended))
		}
	})
}

func TestALostBrokerEndsASendAtOnce(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveLab(t, b.Conn(t))
		stream := openChat(t, rpc.NewClient(b.Conn(t), rpc.ClientConfig{}))
		b.Stop()
		time.Sleep(100 * time.Millisecond)
		wantError(t, stream.Send(&Text{"x"}), bus.Unavailable, bus.Broker)
		_, err := stream.Recv()
		wantError(t, err, bus.Unavailable, bus.Broker)
		b.Start()
	})
}

func TestASendThatWaitsForTheReaderEndsInTime(t *testing.T) {
	for name, end := range map[string]struct {
		code bus.Code
		end  bus.End
		f    func(*rpc.RawStream)
	}{
		"deadline": {bus.DeadlineExceeded, bus.Timeout, func(*rpc.RawStream) {}},
		"close":    {bus.Canceled, bus.Cancelled, func(s *rpc.RawStream) { _ = s.Close() }},
	} {
		t.Run(name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				serveRaw(t, b.Conn(t), func(ctx context.Context, _ *rpc.RawStream) error { <-ctx.Done(); return ctx.Err() })
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				stream, err := rpc.NewClient(b.Conn(t), rpc.ClientConfig{}).Open(ctx, &rpc.Request{Service: lab, Method: "Lab.Raw"})
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				time.AfterFunc(time.Second, func() { end.f(stream) })
				for err == nil {
					err = stream.Send(codec.JSON, []byte("1"))
				}
				wantError(t, err, end.code, end.end)
				if took := time.Since(began); took > 2100*time.Millisecond {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

func TestNothingIsSentBehindTheEndOfSending(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveLab(t, b.Conn(t))
		stream := openChat(t, rpc.NewClient(b.Conn(t), rpc.ClientConfig{}))
		for range 2 {
			if err := stream.CloseSend(); err != nil {
				t.Fatal(err)
			}
		}
		if err := stream.Send(&Text{"x"}); err == nil || !errors.Is(err, io.EOF) && !errors.Is(err, bus.Conflict) {
			t.Errorf("got %v", err)
		}
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("the end is %v", err)
		}
	})
}

func TestAStreamMayBeClosedWhileItIsUsed(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		_, l := serveLab(t, b.Conn(t))
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		for range 20 {
			stream := openChat(t, client)
			var wg sync.WaitGroup
			enough := make(chan struct{})
			wg.Go(func() {
				for n := 0; stream.Send(&Text{"x"}) == nil; n++ {
					if n == 100 {
						close(enough)
					}
				}
			})
			wg.Go(func() {
				for _, err := range stream.All() {
					if err != nil && !errors.Is(err, bus.Canceled) {
						t.Error(err)
					}
				}
			})
			wg.Go(func() {
				<-enough
				_ = stream.Close()
			})
			wg.Go(func() {
				<-enough
				_ = stream.CloseSend()
			})
			wg.Wait()
		}
		time.Sleep(100 * time.Millisecond)
		if entered, ended := l.read(); entered != 20 || len(ended) != 20 {
			t.Errorf("%d handlers began, %d have ended", entered, len(ended))
		}
	})
}

func TestAStreamWithoutTheRightToSendIsDenied(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveLab(t, b.Conn(t))
		conn := b.Conn(t, func(c *bus.Config) { c.User, c.Password = "guest", "secret" })
		stream, err := rpc.OpenStream[Text, Text](t.Context(), rpc.NewClient(conn, rpc.ClientConfig{}), lab, "Lab.Chat")
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if err := stream.Send(&Text{"x"}); err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		wantError(t, err, bus.PermissionDenied, bus.Refused)
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
	}, bustest.WithUser("guest", "secret", &server.Permissions{
		Publish: &server.SubjectPermission{Deny: []string{"mbus.stream.>"}},
	}))
}

func TestStreamsOfEveryCodec(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		s := rpc.NewServer(conn, rpc.ServerConfig{Name: lab})
		rpc.HandleStream(s, "Lab.Proto", func(_ context.Context, s *rpc.Stream[wrapperspb.StringValue, wrapperspb.StringValue]) error {
			for m, err := range s.All() {
				if err != nil {
					return err
				}
				if err := s.Send(m); err != nil {
					return err
				}
			}
			return nil
		})
		rpc.HandleStream(s, "Lab.Bytes", func(_ context.Context, s *rpc.Stream[[]byte, []byte]) error {
			for m, err := range s.All() {
				if err != nil {
					return err
				}
				if err := s.Send(m); err != nil {
					return err
				}
			}
			return nil
		})
		rpc.Register(s, new(Lab))
		serve(t, s)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{Local: nil})
		for _, opts := range [][]rpc.CallOption{nil, {rpc.WithCodec(codec.JSON)}, {rpc.WithCodec(codec.Msgpack)}, {rpc.WithNode(s.ID())}, {rpc.WithNode(lab + "-" + s.ID())}} {
			stream := openChat(t, client, opts...)
			if err := stream.Send(&Text{"ü"}); err != nil {
				t.Fatal(err)
			}
			if m, err := stream.Recv(); err != nil || m.Text != "ü" {
				t.Errorf("%v, %v", m, err)
			}
			_ = stream.Close()
		}
		for _, opts := range [][]rpc.CallOption{nil, {rpc.WithCodec(codec.JSON)}, {rpc.WithCodec(codec.Protobuf)}} {
			stream, err := rpc.OpenStream[wrapperspb.StringValue, wrapperspb.StringValue](t.Context(), client, lab, "Lab.Proto", opts...)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range []string{"x", "", "y"} {
				if err := stream.Send(wrapperspb.String(text)); err != nil {
					t.Fatal(err)
				}
				if m, err := stream.Recv(); err != nil || m.GetValue() != text {
					t.Errorf("protobuf %v: %v, %v", opts != nil, m, err)
				}
			}
			_ = stream.Close()
		}
		stream, err := rpc.OpenStream[[]byte, []byte](t.Context(), client, lab, "Lab.Bytes")
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"x", "", strings.Repeat("y", 200000)} {
			body := []byte(text)
			if err := stream.Send(&body); err != nil {
				t.Fatal(err)
			}
			if m, err := stream.Recv(); err != nil || string(*m) != text {
				t.Errorf("bytes: %v", err)
			}
		}
		_ = stream.Close()
		// A server of the same program is reached through the bus.
		local := rpc.NewClient(conn, rpc.ClientConfig{Local: []*rpc.Server{s}})
		one := openChat(t, local)
		if err := one.Send(&Text{"here"}); err != nil {
			t.Fatal(err)
		}
		if m, err := one.Recv(); err != nil || m.Text != "here" {
			t.Errorf("%v, %v", m, err)
		}
		_ = one.Close()
	})
}

func TestDiscoverySaysWhichMethodsAreStreams(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveLab(t, b.Conn(t))
		found, err := discovery.Query(bustest.Context(t), b.Conn(t), lab)
		if err != nil || len(found) != 1 {
			t.Fatalf("%d instances, %v", len(found), err)
		}
		for method, want := range map[string]string{
			"Lab.Count": discovery.KindServerStream, "Lab.Sum": discovery.KindClientStream, "Lab.Chat": discovery.KindBidi, "Lab.Hello": discovery.KindUnary,
		} {
			if e, ok := found[0].Endpoint(method); !ok || e.Kind != want || e.Request == "" || e.Response == "" {
				t.Errorf("%s is %+v, want the kind %s and both schemas", method, e, want)
			}
		}
	})
}

func TestAnEndOfSendingThatIsLostIsSaidAgain(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		link := b.Link()
		serveLab(t, b.Conn(t))
		conn := b.Conn(t, link.Use)
		stream, err := rpc.OpenStream[Number, Number](bustest.Context(t), rpc.NewClient(conn, rpc.ClientConfig{}), lab, "Lab.Sum")
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&Number{7}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
		link.Drop(bustest.ToBroker, "mbus.stream.>", 1)
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
		link.Cut()
		b.Await(t, conn)
		began := time.Now()
		if sum, err := stream.Recv(); err != nil || sum.I != 7 {
			t.Errorf("%v, %v", sum, err)
		}
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestAForeignServiceHasNoStreams(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		foreign(t, b.Conn(t).NATS(), "echo")
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		for range 2 {
			_, err := rpc.OpenStream[Text, Text](bustest.Context(t), client, "echo", "hello")
			if e := failure(t, err); e.Code != bus.Unimplemented || !strings.Contains(e.Message, "not an mbus service") {
				t.Errorf("got %v", e)
			}
			if _, err := rpc.Call[HelloResponse](bustest.Context(t), client, "echo", "hello", &HelloRequest{Name: "John"}); err != nil {
				t.Errorf("calls go on: %v", err)
			}
		}
	})
}

func TestTheWindowIsWholeAgainWhenStreamsAreOver(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveLab(t, b.Conn(t))
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		window := func() wire.Credit {
			open := wire.Frame{Type: wire.FrameOpen, Seq: 1, Payload: wire.AppendOpen(nil, &wire.Open{})}
			m, err := b.Conn(t).Request(bustest.Context(t), "mbus.rpc.go_micro_srv_lab.Lab.Chat", nil, wire.AppendFrame(nil, &open))
			if err != nil {
				t.Fatal(err)
			}
			f, err := wire.ParseFrame(m.Data)
			if err != nil {
				t.Fatal(err)
			}
			a, err := wire.ParseAccept(f.Payload)
			if err != nil {
				t.Fatal(err)
			}
			return a.Window
		}
		var streams []*rpc.Stream[Text, Text]
		for range 500 {
			streams = append(streams, openChat(t, client))
		}
		if w := window(); w.Seq >= 64 || w.Bytes >= 16<<10 {
			t.Errorf("with 500 streams the window is %v", w)
		}
		for i, s := range streams {
			switch i % 4 {
			case 0:
				_ = s.Close()
			case 1:
				_ = s.CloseSend()
			case 2:
				_ = s.Send(&Text{"fail"})
			case 3:
				_ = s.Send(&Text{"panic"})
			}
			for {
				if _, err := s.Recv(); err != nil {
					break
				}
			}
		}
		time.Sleep(30 * time.Second) // those that asked for the window have been silent
		if w := window(); w != (wire.Credit{Seq: 1024, Bytes: 1 << 20}) {
			t.Errorf("with no stream the window is %v", w)
		}
	})
}
