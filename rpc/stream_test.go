package rpc_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/rpc"
)

const lab = "go.micro.srv.lab"

type (
	Number struct {
		I int `json:"i"`
	}
	Text struct {
		Text string `json:"text"`
	}
	CountRequest struct {
		N     int `json:"n"`
		Every int `json:"every"`
	}
)

// Lab has a method of each kind.
type Lab struct {
	mu      sync.Mutex
	ended   []error // why the contexts of the handlers ended
	entered int
}

func (l *Lab) Count(ctx context.Context, req *CountRequest, send func(*Number) error) error {
	l.enter()
	defer l.leave(ctx)
	for i := range req.N {
		if err := send(&Number{i}); err != nil {
			return err
		}
		if req.Every > 0 {
			select {
			case <-time.After(time.Duration(req.Every) * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

func (l *Lab) Sum(_ context.Context, in iter.Seq2[*Number, error]) (*Number, error) {
	var sum Number
	for n, err := range in {
		if err != nil {
			return nil, err
		}
		sum.I += n.I
	}
	return &sum, nil
}

func (l *Lab) Chat(ctx context.Context, stream *rpc.Stream[Text, Text]) error {
	l.enter()
	defer l.leave(ctx)
	n := 0
	for m, err := range stream.All() {
		if err != nil {
			return err
		}
		if m.Text == "fail" {
			return bus.Errorf(bus.Conflict, "you asked for it")
		}
		if m.Text == "panic" {
			panic("you asked for it")
		}
		if err := stream.Send(m); err != nil {
			return err
		}
		n++
	}
	stream.SetTrailer("count", strings.Repeat("i", n))
	return nil
}

func (l *Lab) Hello(_ context.Context, req *HelloRequest) (*HelloResponse, error) {
	return hello(context.Background(), req)
}

func (l *Lab) enter() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entered++
}

func (l *Lab) leave(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = append(l.ended, ctx.Err())
}

func (l *Lab) read() (entered int, ended []error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entered, append([]error{}, l.ended...)
}

func serveLab(t testing.TB, conn *bus.Conn, change ...func(*rpc.ServerConfig)) (*rpc.Server, *Lab) {
	cfg := rpc.ServerConfig{Name: lab}
	for _, f := range change {
		f(&cfg)
	}
	s, l := rpc.NewServer(conn, cfg), new(Lab)
	rpc.Register(s, l)
	serve(t, s)
	return s, l
}

func openChat(t testing.TB, c *rpc.Client, opts ...rpc.CallOption) *rpc.Stream[Text, Text] {
	t.Helper()
	stream, err := rpc.OpenStream[Text, Text](bustest.Context(t), c, lab, "Lab.Chat", opts...)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func TestAServerStreamYieldsEveryMessage(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveLab(t, b.Conn(t))
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		next := 0
		for m, err := range rpc.CallStream[Number](bustest.Context(t), client, lab, "Lab.Count", &CountRequest{N: 1000}) {
			if err != nil {
				t.Fatal(err)
			}
			if m.I != next {
				t.Fatalf("%d came, want %d", m.I, next)
			}
			next++
		}
		if next != 1000 {
			t.Errorf("%d messages came, want 1000", next)
		}
	})
}

func TestAClientStreamGetsOneAnswer(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveLab(t, b.Conn(t))
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		stream, err := rpc.OpenStream[Number, Number](bustest.Context(t), client, lab, "Lab.Sum")
		if err != nil {
			t.Fatal(err)
		}
		for i := range 501 {
			if err := stream.Send(&Number{i}); err != nil {
				t.Fatal(err)
			}
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		sum, err := stream.Recv()
		if err != nil || sum.I != 125250 {
			t.Fatalf("%v, %v", sum, err)
		}
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("after the answer: %v", err)
		}
	})
}

func TestBothSidesTalk(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s, _ := serveLab(t, b.Conn(t))
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		stream := openChat(t, client)
		if stream.Instance() != s.ID() {
			t.Errorf("the instance is %q, want %q", stream.Instance(), s.ID())
		}
		for _, text := range []string{"one", "two", strings.Repeat("long ", 100000)} {
			if err := stream.Send(&Text{text}); err != nil {
				t.Fatal(err)
			}
			if m, err := stream.Recv(); err != nil || m.Text != text {
				t.Fatalf("%d bytes came back, %v", len(m.Text), err)
			}
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("the end is %v", err)
		}
		if got := stream.Trailer().Get("count"); got != "iii" {
			t.Errorf("the trailer is %q", got)
		}
		if err := stream.Send(&Text{"late"}); !errors.Is(err, io.EOF) {
			t.Errorf("sending after the end: %v", err)
		}
	})
}

func TestAHandlerThatFailsEndsTheStreamWithItsError(t *testing.T) {
	for text, want := range map[string]bus.Code{"fail": bus.Conflict, "panic": bus.Internal} {
		t.Run(text, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				serveLab(t, b.Conn(t))
				stream := openChat(t, rpc.NewClient(b.Conn(t), rpc.ClientConfig{}))
				for _, m := range []string{"one", text} {
					if err := stream.Send(&Text{m}); err != nil {
						t.Fatal(err)
					}
				}
				if m, err := stream.Recv(); err != nil || m.Text != "one" {
					t.Fatalf("%v, %v", m, err)
				}
				_, err := stream.Recv()
				e := wantError(t, err, want, bus.Handler)
				if e.Service != lab || e.Method != "Lab.Chat" || e.Instance == "" {
					t.Errorf("got %+v, which does not say where", e)
				}
			})
		})
	}
}

func TestTheHandlerEndsWhenTheCallerGivesUp(t *testing.T) {
	for name, giveUp := range map[string]func(*rpc.Stream[Text, Text], context.CancelFunc){
		"close":  func(s *rpc.Stream[Text, Text], _ context.CancelFunc) { _ = s.Close() },
		"cancel": func(_ *rpc.Stream[Text, Text], cancel context.CancelFunc) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				_, l := serveLab(t, b.Conn(t))
				client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
				ctx, cancel := context.WithCancel(bustest.Context(t))
				defer cancel()
				stream, err := rpc.OpenStream[Text, Text](ctx, client, lab, "Lab.Chat")
				if err != nil {
					t.Fatal(err)
				}
				giveUp(stream, cancel)
				time.Sleep(50 * time.Millisecond)
				if _, ended := l.read(); len(ended) != 1 {
					t.Error("50 ms later the handler still waits")
				}
				_, err = stream.Recv()
				wantError(t, err, bus.Canceled, bus.Cancelled)
			})
		})
	}
}

func TestADeadlineBoundsAStreamOnBothSides(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		_, l := serveLab(t, b.Conn(t))
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		ctx, cancel := context.WithTimeout(t.Context(), 1950*time.Millisecond)
		defer cancel()
		began, n := time.Now(), 0
		var last error
		for _, err := range rpc.CallStream[Number](ctx, client, lab, "Lab.Count", &CountRequest{N: 1000, Every: 100}) {
			if last = err; err == nil {
				n++
			}
		}
		wantError(t, last, bus.DeadlineExceeded, bus.Timeout)
		if took := time.Since(began); n != 20 || took > 2100*time.Millisecond {
			t.Errorf("%d messages in %v, want 20 in 1.95 s", n, took)
		}
		time.Sleep(100 * time.Millisecond)
		if _, ended := l.read(); len(ended) != 1 || ended[0] == nil {
			t.Errorf("the handler's context: %v", ended)
		}
	})
}

func TestAStreamLastsLongerThanACall(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveLab(t, b.Conn(t))
		stream, err := rpc.OpenStream[Text, Text](t.Context(), rpc.NewClient(b.Conn(t), rpc.ClientConfig{}), lab, "Lab.Chat", rpc.WithTimeout(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if err := stream.Send(&Text{"still here"}); err != nil {
			t.Fatal(err)
		}
		if m, err := stream.Recv(); err != nil || m.Text != "still here" {
			t.Errorf("%v, %v", m, err)
		}
		_ = stream.Close()
	})
}

func TestAStreamWhosePeerIsKilledEnds(t *testing.T) {
	t.Run("server", func(t *testing.T) {
		bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
			link := b.Link()
			serveLab(t, b.Conn(t, link.Use))
			stream := openChat(t, rpc.NewClient(b.Conn(t), rpc.ClientConfig{}))
			link.Down()
			time.Sleep(10 * time.Millisecond)
			if err := stream.Send(&Text{"hello?"}); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			_, err := stream.Recv()
			wantError(t, err, bus.Unavailable, bus.Timeout)
			if took := time.Since(began); took > 50*time.Millisecond {
				t.Errorf("noticed after %v", took)
			}
			link.Heal()
		})
	})
	t.Run("silent caller", func(t *testing.T) {
		bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
			link := b.Link()
			_, l := serveLab(t, b.Conn(t))
			client := rpc.NewClient(b.Conn(t, link.Use), rpc.ClientConfig{})
			stream, err := rpc.OpenStream[Text, Text](t.Context(), client, lab, "Lab.Chat")
			if err != nil {
				t.Fatal(err)
			}
			link.Down()
			time.Sleep(7 * time.Second)
			if _, ended := l.read(); len(ended) != 1 {
				t.Errorf("7 s after the caller has gone the handler still waits")
			}
			link.Heal()
			_ = stream.Close()
		})
	})
}

func TestAStreamSurvivesAReconnectThatLosesNothing(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		link := b.Link()
		serveLab(t, b.Conn(t))
		conn := b.Conn(t, link.Use)
		stream := openChat(t, rpc.NewClient(conn, rpc.ClientConfig{}))
		link.Cut()
		b.Await(t, conn)
		time.Sleep(2 * time.Second)
		if err := stream.Send(&Text{"again"}); err != nil {
			t.Fatal(err)
		}
		if m, err := stream.Recv(); err != nil || m.Text != "again" {
			t.Errorf("%v, %v", m, err)
		}
		_ = stream.Close()
	})
}

func TestALostMessageEndsTheStreamWithDataLoss(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		link := b.Link()
		serveLab(t, b.Conn(t))
		stream := openChat(t, rpc.NewClient(b.Conn(t, link.Use), rpc.ClientConfig{}))
		link.Drop(bustest.ToBroker, "mbus.stream.>", 1)
		for _, text := range []string{"lost", "next"} {
			if err := stream.Send(&Text{text}); err != nil {
				t.Fatal(err)
			}
		}
		m, err := stream.Recv()
		if err == nil {
			t.Fatalf("%q came past a gap", m.Text)
		}
		wantError(t, err, bus.DataLoss, bus.Handler)
	})
}

func TestStreamsFinishWhileTheServerDrains(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		s, _ := serveLab(t, b.Conn(t))
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		quick, slow := make(chan int), make(chan error)
		count := func(n int) (got int, last error) {
			for _, err := range rpc.CallStream[Number](t.Context(), client, lab, "Lab.Count", &CountRequest{N: n, Every: 100}) {
				if last = err; err == nil {
					got++
				}
			}
			return got, last
		}
		go func() { n, _ := count(20); quick <- n }()
		go func() { _, err := count(1000); slow <- err }()
		time.Sleep(500 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		stopped := make(chan error)
		go func() { stopped <- s.Stop(ctx) }()
		if n := <-quick; n != 20 {
			t.Errorf("%d messages of 20 came while the server drained", n)
		}
		wantError(t, <-slow, bus.Unavailable, bus.Handler)
		if err := <-stopped; err == nil || !strings.Contains(err.Error(), "1 calls had not returned") {
			t.Errorf("stop: %v", err)
		}
	})
}

func TestAPlainClientGetsBodiesAndAnEmptyEnd(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		_, l := serveLab(t, b.Conn(t))
		nc := b.Conn(t).NATS()
		inbox := nats.NewInbox()
		sub, err := nc.SubscribeSync(inbox)
		if err != nil {
			t.Fatal(err)
		}
		next := func() *nats.Msg {
			m, err := sub.NextMsgWithContext(bustest.Context(t))
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		if err := nc.PublishRequest("mbus.rpc.go_micro_srv_lab.Lab.Count", inbox, []byte(`{"n":3}`)); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`{"i":0}`, `{"i":1}`, `{"i":2}`, ""} {
			if m := next(); string(m.Data) != want || len(m.Header) > 0 {
				t.Errorf("%q %v came, want %q", m.Data, m.Header, want)
			}
		}
		// One answer to one request needs no end.
		if m, err := nc.RequestWithContext(bustest.Context(t), "mbus.rpc.go_micro_srv_lab.Lab.Sum", []byte(`{"i":7}`)); err != nil || string(m.Data) != `{"i":7}` {
			t.Errorf("%v, %v", m, err)
		}
		if err := nc.PublishRequest("mbus.rpc.go_micro_srv_lab.Lab.Count", inbox, []byte(`{"n":`)); err != nil {
			t.Fatal(err)
		}
		if m := next(); m.Header.Get("Mbus-Error") != "invalid_argument" {
			t.Errorf("a broken request: %q %v", m.Data, m.Header)
		}
		// The handler ends when nobody is there any more.
		if err := nc.PublishRequest("mbus.rpc.go_micro_srv_lab.Lab.Count", inbox, []byte(`{"n":100000,"every":10}`)); err != nil {
			t.Fatal(err)
		}
		next()
		if err := sub.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		if _, ended := l.read(); len(ended) != 2 || ended[1] == nil {
			t.Errorf("the handlers' contexts: %v", ended)
		}
	})
}

func TestAPlainStreamIsBounded(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveLab(t, b.Conn(t))
		conn := b.Conn(t)
		n := 0
		for m, err := range conn.Gather(bustest.Context(t), "mbus.rpc.go_micro_srv_lab.Lab.Count", nil, []byte(`{"n":20000}`), bus.Gather{Max: 20000, Done: func(m *nats.Msg) bool {
			return bus.ReplyError(m) != nil || len(m.Data) == 0
		}}) {
			if err != nil {
				t.Fatal(err)
			}
			if e := bus.ReplyError(m); e != nil {
				if e.Code != bus.ResourceExhausted || n != 10000 {
					t.Errorf("%v after %d messages", e, n)
				}
				return
			}
			n++
		}
		t.Errorf("%d messages came without an end", n)
	})
}

func TestCallsAndStreamsAreToldApart(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveLab(t, b.Conn(t))
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		for range 2 {
			_, err := rpc.Call[Number](bustest.Context(t), client, lab, "Lab.Count", &CountRequest{N: 3})
			if e := wantError(t, err, bus.Unimplemented, bus.Handler); !strings.Contains(e.Message, "server-stream") {
				t.Errorf("got %v", e)
			}
			time.Sleep(2 * time.Second) // from here on in frames
		}
		_, err := rpc.OpenStream[HelloResponse, HelloRequest](bustest.Context(t), client, lab, "Lab.Hello")
		if e := wantError(t, err, bus.Unimplemented, bus.Handler); !strings.Contains(e.Message, "mbus query") {
			t.Errorf("got %v", e)
		}
		_, err = rpc.OpenStream[Text, Text](bustest.Context(t), client, lab, "Lab.Chap")
		wantError(t, err, bus.NotFound, bus.Nobody)
		_, err = rpc.OpenStream[Text, Text](bustest.Context(t), client, "nobody", "Lab.Chat")
		wantError(t, err, bus.NotFound, bus.Nobody)
	})
}

func TestStreamsAreBounded(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveLab(t, b.Conn(t), func(c *rpc.ServerConfig) { c.Streams, c.Concurrency = 2, 1 })
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{Retries: new(0)})
		first := openChat(t, client)
		second := openChat(t, client)
		_, err := rpc.OpenStream[Text, Text](bustest.Context(t), client, lab, "Lab.Chat")
		wantError(t, err, bus.ResourceExhausted, bus.Refused)
		if _, err := rpc.Call[HelloResponse](bustest.Context(t), client, lab, "Lab.Hello", &HelloRequest{Name: "John"}); err != nil {
			t.Errorf("streams leave calls alone: %v", err)
		}
		_ = first.Close()
		time.Sleep(time.Second)
		third := openChat(t, client)
		_, _ = second.Close(), third.Close()
	})
}

func TestRawStreamsKeepTheirCodec(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveLab(t, b.Conn(t))
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		s, err := client.Open(bustest.Context(t), &rpc.Request{Service: lab, Method: "Lab.Chat"})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.Send(codec.JSON, []byte(`{"text":"as json"}`)); err != nil {
			t.Fatal(err)
		}
		if c, body, err := s.Recv(); c != codec.JSON || string(body) != `{"text":"as json"}` || err != nil {
			t.Errorf("%v %q %v", c, body, err)
		}
	})
}
