package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/rpc"
)

const storage = "go.micro.srv.storage"

// serveStorage serves a method that answers with the request, one that answers
// with as many bytes as it is asked for, and one that only counts.
func serveStorage(t testing.TB, conn *bus.Conn, change ...func(*rpc.ServerConfig)) *rpc.Server {
	cfg := rpc.ServerConfig{Name: storage}
	for _, f := range change {
		f(&cfg)
	}
	s := rpc.NewServer(conn, cfg)
	rpc.Handle(s, "Store.Echo", func(_ context.Context, in *[]byte) (*[]byte, error) { return in, nil })
	s.HandleRaw("Store.Get", func(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
		var n int
		if _, err := fmt.Sscan(string(r.Body), &n); err != nil {
			return nil, bus.Errorf(bus.InvalidArgument, "%w", err)
		}
		return &rpc.Response{Codec: codec.JSON, Body: pattern(n), Meta: rpc.Metadata{"X-Size": fmt.Sprint(n)}}, nil
	})
	s.HandleRaw("Store.Put", func(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
		if !bytes.Equal(r.Body, pattern(len(r.Body))) {
			return nil, bus.Errorf(bus.DataLoss, "these are not the bytes")
		}
		return &rpc.Response{Codec: codec.JSON, Body: []byte(fmt.Sprint(len(r.Body)))}, nil
	})
	serve(t, s)
	return s
}

// pattern is n bytes of a JSON string that repeats nowhere near a part's size.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(i%23)
	}
	if n >= 2 {
		b[0], b[n-1] = '"', '"'
	}
	return b
}

func get(ctx context.Context, c *rpc.Client, n int) error {
	res, err := c.Do(ctx, &rpc.Request{Service: storage, Method: "Store.Get", Body: []byte(fmt.Sprint(n))})
	switch {
	case err != nil:
		return err
	case !bytes.Equal(res.Body, pattern(n)):
		return fmt.Errorf("%d bytes came that are not the %d asked for", len(res.Body), n)
	case res.Meta.Get("X-Size") != fmt.Sprint(n):
		return fmt.Errorf("the metadata is %v", res.Meta)
	}
	return nil
}

func put(ctx context.Context, c *rpc.Client, n int) error {
	res, err := c.Do(ctx, &rpc.Request{Service: storage, Method: "Store.Put", Body: pattern(n)})
	if err == nil && string(res.Body) != fmt.Sprint(n) {
		err = fmt.Errorf("the answer is %q", res.Body)
	}
	return err
}

// speaksFrames lets a client learn that the service speaks frames.
func speaksFrames(t testing.TB, c *rpc.Client) *rpc.Client {
	t.Helper()
	if err := get(bustest.Context(t), c, 2); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	t.Cleanup(func() { _ = c.Close(bustest.Context(t)) })
	return c
}

func TestLargeBodiesTravelBothWays(t *testing.T) {
	const limit = 1 << 20 // of the broker
	for _, frames := range []bool{false, true} {
		t.Run(fmt.Sprint("frames ", frames), func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				serveStorage(t, b.Conn(t))
				client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{Timeout: 30 * time.Second})
				if frames {
					speaksFrames(t, client)
				}
				for _, n := range []int{2, 256<<10 - 1, 256 << 10, 256<<10 + 1, limit - 1, limit, limit + 1, 5<<20 + 7} {
					if err := get(bustest.Context(t), client, n); err != nil {
						t.Errorf("an answer of %d: %v", n, err)
					}
					if err := put(bustest.Context(t), client, n); err != nil {
						t.Errorf("a request of %d: %v", n, err)
					}
				}
				want := pattern(3 << 20)
				got, err := rpc.Call[[]byte](bustest.Context(t), client, storage, "Store.Echo", want)
				if err != nil || !bytes.Equal(*got, want) {
					t.Errorf("typed: %v", err)
				}
			})
		})
	}
}

func TestBodiesOverTheLimitAreTooLarge(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveStorage(t, b.Conn(t), func(c *rpc.ServerConfig) { c.MaxBody = 3 << 20 })
		conn := b.Conn(t)
		big := speaksFrames(t, rpc.NewClient(conn, rpc.ClientConfig{}))
		small := speaksFrames(t, rpc.NewClient(conn, rpc.ClientConfig{MaxBody: 2 << 20}))
		if err := get(bustest.Context(t), big, 3<<20); err != nil {
			t.Errorf("an answer at the limit: %v", err)
		}
		if err := put(bustest.Context(t), big, 3<<20); err != nil {
			t.Errorf("a request at the limit: %v", err)
		}
		for name, c := range map[string]struct {
			err  error
			end  bus.End
			text string
		}{
			"the server's limit for an answer": {get(bustest.Context(t), big, 3<<20+1), bus.Handler, "3145729 bytes is over the limit of 3145728"},
			"the server's limit for a request": {put(bustest.Context(t), big, 3<<20+1), bus.Handler, "3145729 bytes is over the limit of 3145728"},
			"the caller's limit for an answer": {get(bustest.Context(t), small, 2<<20+1), bus.Handler, "2097153 bytes is over the limit of 2097152"},
			"the caller's limit for a request": {put(bustest.Context(t), small, 2<<20+1), bus.Refused, "2097153 bytes is over the limit of 2097152"},
			"the caller's limit, far exceeded": {get(bustest.Context(t), small, 3<<20), bus.Handler, "over the limit of 2097152"},
		} {
			if e := wantError(t, c.err, bus.TooLarge, c.end); !strings.Contains(e.Message, c.text) {
				t.Errorf("%s: %v", name, e)
			}
		}
		if conn.Dropped() != 0 {
			t.Errorf("%d messages were dropped", conn.Dropped())
		}
	})
}

func TestPlainCallersGetWhatFitsInOneMessage(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveStorage(t, b.Conn(t))
		nc := b.Conn(t).NATS()
		const subject = "mbus.rpc.go_micro_srv_storage.Store.Get"
		limit := int(nc.MaxPayload())
		m, err := nc.RequestWithContext(bustest.Context(t), subject, []byte("900000"))
		if err != nil || len(m.Data) != 900000 {
			t.Fatalf("900,000 bytes: %v", err)
		}
		m, err = nc.RequestWithContext(bustest.Context(t), subject, []byte(fmt.Sprint(limit+1)))
		if err != nil || m.Header.Get("Mbus-Error") != "too_large" || !strings.Contains(m.Header.Get("Nats-Service-Error"), fmt.Sprint(limit)) {
			t.Errorf("over the limit: %v, %v", m.Header, err)
		}
	})
}

func TestManyCallersDrawLargeAnswersAtOnce(t *testing.T) {
	for _, shared := range []bool{true, false} {
		t.Run(fmt.Sprint("one connection ", shared), func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				server := b.Conn(t)
				serveStorage(t, server)
				conn := b.Conn(t)
				client := speaksFrames(t, rpc.NewClient(conn, rpc.ClientConfig{Timeout: time.Minute / 2}))
				var wg sync.WaitGroup
				callers := 64
				if !shared {
					callers = 16
				}
				for range callers {
					c := client
					if !shared {
						c = rpc.NewClient(b.Conn(t), rpc.ClientConfig{Timeout: time.Minute / 2})
						t.Cleanup(func() { _ = c.Close(bustest.Context(t)) })
					}
					wg.Go(func() {
						if err := get(bustest.Context(t), c, 1<<20); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				if server.Dropped()+conn.Dropped() != 0 {
					t.Errorf("%d and %d messages were dropped", server.Dropped(), conn.Dropped())
				}
			}, bustest.WithServer(func(o *server.Options) { o.MaxPending = 16 << 20 }))
		})
	}
}

func TestALargeBodyEndsWithItsCaller(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		link := b.Link()
		s := serveStorage(t, b.Conn(t))
		client := speaksFrames(t, rpc.NewClient(b.Conn(t, link.Use), rpc.ClientConfig{}))
		link.Throttle(bustest.FromBroker, 1<<20)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began := time.Now()
		wantError(t, get(ctx, client, 16<<20), bus.DeadlineExceeded, bus.Timeout)
		if took := time.Since(began); took > 2100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		link.Heal()
		if err := get(bustest.Context(t), client, 1<<20); err != nil {
			t.Errorf("afterwards: %v", err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Errorf("what nobody takes holds up the stop: %v", err)
		}
	})
}

func TestALargeBodyWhosePeerIsKilledEndsAtOnce(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		link := b.Link()
		conn := b.Conn(t, link.Use)
		s := serveStorage(t, conn)
		i := discovery.Instance{Service: storage, ID: s.ID()}
		i.Server, i.Client = conn.Identity()
		client := speaksFrames(t, rpc.NewClient(b.Conn(t), rpc.ClientConfig{Timeout: time.Minute / 2}))
		witness := b.Conn(t)
		link.Throttle(bustest.ToBroker, 1<<20)
		time.AfterFunc(time.Second, func() {
			link.Down()
			time.Sleep(10 * time.Millisecond) // the broker knows before a registrar does
			if err := discovery.AnnounceDown(context.Background(), witness, i, "Client Closed"); err != nil {
				t.Error(err)
			}
		})
		began := time.Now()
		wantError(t, get(bustest.Context(t), client, 16<<20), bus.Unavailable, bus.Timeout)
		if took := time.Since(began); took > 1500*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		link.Heal()
	})
}

func TestALostPartIsDataLoss(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		link := b.Link()
		serveStorage(t, b.Conn(t))
		client := speaksFrames(t, rpc.NewClient(b.Conn(t, link.Use), rpc.ClientConfig{}))
		link.Drop(bustest.ToBroker, "mbus.stream.>", 1)
		wantError(t, put(bustest.Context(t), client, 1<<20), bus.DataLoss, bus.Handler)
		if err := put(bustest.Context(t), client, 1<<20); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestHostilePartsAreRefused(t *testing.T) {
	open := func(size string, flags ...func(*wire.Open)) []byte {
		o := wire.Open{Call: true, Window: wire.Credit{Seq: 64, Bytes: 1 << 20}}
		for _, f := range flags {
			f(&o)
		}
		f := wire.Frame{Type: wire.FrameOpen, Seq: 1, Codec: wire.CodecJSON, Payload: wire.AppendOpen(nil, &o)}
		if size != "" {
			f.Meta = []wire.Pair{{Key: wire.MetaSize, Value: size}}
		}
		return wire.AppendFrame(nil, &f)
	}
	part := func(seq uint64, more bool, body string) []byte {
		return wire.AppendFrame(nil, &wire.Frame{Type: wire.FrameData, Seq: seq, Codec: wire.CodecJSON, More: more, Payload: []byte(body)})
	}
	half := func(seq uint64, sum string) []byte {
		f := wire.Frame{Type: wire.FrameHalf, Seq: seq}
		if sum != "" {
			f.Meta = []wire.Pair{{Key: wire.MetaCRC32C, Value: sum}}
		}
		return wire.AppendFrame(nil, &f)
	}
	for name, c := range map[string]struct {
		open  []byte
		parts [][]byte
		want  bus.Code
	}{
		"no size":          {open(""), nil, bus.InvalidArgument},
		"a size that lies": {open("100"), [][]byte{part(1, false, `"x"`), half(1, "00000000")}, bus.DataLoss},
		"no checksum":      {open("3"), [][]byte{part(1, false, `"x"`), half(1, "")}, bus.DataLoss},
		"a wrong checksum": {open("3"), [][]byte{part(1, false, `"x"`), half(1, "00000000")}, bus.DataLoss},
		"too large":        {open("9999999999"), nil, bus.TooLarge},
		"two bodies":       {open("3"), [][]byte{part(1, false, `"x"`), part(2, false, `"x"`)}, bus.InvalidArgument},
		"an end within":    {open("3"), [][]byte{part(1, true, `"`), half(1, "00000000")}, bus.DataLoss},
		"a gap":            {open("3"), [][]byte{part(2, false, `"x"`)}, bus.DataLoss},
		"an inner body":    {open("3", func(o *wire.Open) { o.First = true }), nil, bus.InvalidArgument},
		"never sent":       {open("3"), nil, bus.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				serveStorage(t, b.Conn(t), func(c *rpc.ServerConfig) { c.Timeout = 2 * time.Second })
				conn := b.Conn(t)
				got := make(chan *nats.Msg, 10)
				reply, release, err := conn.Expect(func(m *nats.Msg) { got <- m })
				if err != nil {
					t.Fatal(err)
				}
				defer release()
				if err := conn.Publish(t.Context(), "mbus.rpc.go_micro_srv_storage.Store.Echo", reply, nil, c.open); err != nil {
					t.Fatal(err)
				}
				for {
					m := <-got
					if f, err := wire.ParseFrame(m.Data); err == nil && f.Type == wire.FrameAccept {
						for _, p := range c.parts {
							if err := conn.Publish(t.Context(), m.Reply, reply, nil, p); err != nil {
								t.Fatal(err)
							}
						}
						continue
					} else if err == nil && f.Type != wire.FrameCancel {
						continue
					}
					e := bus.ReplyError(m)
					if f, err := wire.ParseFrame(m.Data); err == nil {
						e = bus.FrameError(f.Payload)
					}
					if !errors.Is(e, c.want) {
						t.Errorf("got %v, want %v", e, c.want)
					}
					return
				}
			})
		})
	}
}
