package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/rpc"
)

// fetch asks for n bytes, to be read as they come.
func fetch(ctx context.Context, t testing.TB, c *rpc.Client, n int, change ...func(*rpc.Request)) *rpc.Response {
	t.Helper()
	req := &rpc.Request{Service: storage, Method: "Store.Get", Body: []byte(fmt.Sprint(n)), InParts: true}
	for _, f := range change {
		f(req)
	}
	res, err := c.Do(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	if res.Parts != nil {
		t.Cleanup(func() { _ = res.Parts.Close() })
	}
	return res
}

func checksum(body []byte) string {
	return fmt.Sprintf("%08x", crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

func TestALargeAnswerCanBeReadAsItComes(t *testing.T) {
	for _, frames := range []bool{false, true} {
		t.Run(fmt.Sprint("frames ", frames), func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				serveStorage(t, b.Conn(t))
				client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
				if frames {
					speaksFrames(t, client)
				}
				for _, n := range []int{2, 256 << 10, 256<<10 + 1, 1 << 20, 5<<20 + 7, 16 << 20} {
					want := pattern(n)
					res := fetch(bustest.Context(t), t, client, n)
					if res.Meta.Get("X-Size") != fmt.Sprint(n) {
						t.Errorf("the metadata of %d bytes is %v before they come", n, res.Meta)
					}
					if n <= 256<<10 {
						if res.Parts != nil || !bytes.Equal(res.Body, want) {
							t.Errorf("%d bytes do not come in one message", n)
						}
						continue
					}
					if res.Body != nil || res.Parts.Size() != n || res.Parts.Sum() != checksum(want) {
						t.Errorf("of %d bytes %d were announced, with the sum %s", n, res.Parts.Size(), res.Parts.Sum())
					}
					var got bytes.Buffer
					if _, err := res.Parts.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), want) {
						t.Errorf("%d bytes written: %d came, %v", n, got.Len(), err)
					}
					read, err := io.ReadAll(fetch(bustest.Context(t), t, client, n).Parts)
					if err != nil || !bytes.Equal(read, want) {
						t.Errorf("%d bytes read: %d came, %v", n, len(read), err)
					}
				}
			})
		})
	}
}

func TestAnAnswerToARequestInPartsCanBeReadAsItComes(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveStorage(t, b.Conn(t))
		client := speaksFrames(t, rpc.NewClient(b.Conn(t), rpc.ClientConfig{}))
		want := pattern(5 << 20)
		res, err := client.Do(bustest.Context(t), &rpc.Request{Service: storage, Method: "Store.Echo", Body: want, InParts: true})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Parts)
		if err != nil || !bytes.Equal(got, want) || res.Parts.Size() != -1 {
			t.Errorf("%d of %d bytes came, %d were announced: %v", len(got), len(want), res.Parts.Size(), err)
		}
		res, err = client.Do(bustest.Context(t), &rpc.Request{Service: storage, Method: "Store.Put", Body: want, InParts: true})
		if err != nil || res.Parts != nil || string(res.Body) != fmt.Sprint(len(want)) {
			t.Errorf("a small answer to a large request: %v", err)
		}
	})
}

func TestWhatIsNotReadStaysWithTheService(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		server, conn := b.Conn(t), b.Conn(t)
		serveStorage(t, server)
		client := speaksFrames(t, rpc.NewClient(conn, rpc.ClientConfig{}))
		before := conn.NATS().Stats().InBytes
		const readers = 20
		var all []*rpc.Parts
		for range readers {
			all = append(all, fetch(bustest.Context(t), t, client, 8<<20).Parts)
		}
		time.Sleep(10 * time.Second)
		if came := conn.NATS().Stats().InBytes - before; came > readers*(1<<20)+readers*(128<<10) {
			t.Errorf("%d MiB came for %d readers that read nothing", came>>20, readers)
		}
		n, err := io.Copy(io.Discard, all[0])
		if err != nil || n != 8<<20 {
			t.Errorf("afterwards one read %d bytes: %v", n, err)
		}
	})
}

func TestTheTimeOfACallIsThatOfTheBeginningOfAnAnswerInParts(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveStorage(t, b.Conn(t))
		client := speaksFrames(t, rpc.NewClient(b.Conn(t), rpc.ClientConfig{}))
		parts := fetch(t.Context(), t, client, 4<<20, func(r *rpc.Request) { r.Timeout = time.Second }).Parts
		time.Sleep(20 * time.Second)
		if n, err := io.Copy(io.Discard, parts); err != nil || n != 4<<20 {
			t.Errorf("after 20 s %d bytes came: %v", n, err)
		}
		// 30 s, and 64 s for four MiB, is what the service waits.
		parts = fetch(t.Context(), t, client, 4<<20).Parts
		time.Sleep(95 * time.Second)
		if _, err := io.Copy(io.Discard, parts); err == nil {
			t.Error("a service waited 95 s for a reader of 4 MiB")
		}
	})
}

func TestWhoeverClosesPartsOrEndsTheirContextLetsTheServiceGo(t *testing.T) {
	for name, leave := range map[string]func(*rpc.Parts, context.CancelFunc){
		"close":  func(p *rpc.Parts, _ context.CancelFunc) { _ = p.Close() },
		"cancel": func(_ *rpc.Parts, cancel context.CancelFunc) { cancel() },
		"stay":   nil,
	} {
		t.Run(name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				s := serveStorage(t, b.Conn(t))
				client := speaksFrames(t, rpc.NewClient(b.Conn(t), rpc.ClientConfig{}))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				parts := fetch(ctx, t, client, 16<<20).Parts
				if _, err := io.CopyN(io.Discard, parts, 3<<20); err != nil {
					t.Fatal(err)
				}
				if leave != nil {
					leave(parts, cancel)
				}
				stopping, end := context.WithTimeout(t.Context(), 5*time.Second)
				defer end()
				began := time.Now()
				_ = s.Stop(stopping)
				if took := time.Since(began); (took < time.Second) != (leave != nil) {
					t.Errorf("the service stopped after %v", took)
				}
				_, err := io.Copy(io.Discard, parts)
				switch {
				case leave != nil:
					wantError(t, err, bus.Canceled, bus.Cancelled)
				case err == nil:
					t.Error("an answer came whole from a service that was stopped")
				}
			})
		})
	}
}

func TestPartsOfAServiceThatDiesEndInAnError(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		conn := b.Conn(t)
		s := serveStorage(t, conn)
		client := speaksFrames(t, rpc.NewClient(b.Conn(t), rpc.ClientConfig{}))
		parts := fetch(bustest.Context(t), t, client, 16<<20).Parts
		if _, err := io.CopyN(io.Discard, parts, 3<<20); err != nil {
			t.Fatal(err)
		}
		conn.NATS().Close()
		n, err := io.Copy(io.Discard, parts)
		e := wantError(t, err, bus.Unavailable, bus.Timeout)
		if e.Service != storage || e.Method != "Store.Get" || e.Instance != s.ID() || n >= 13<<20 {
			t.Errorf("after %d bytes: %+v", n, e)
		}
		if _, again := parts.Read(make([]byte, 1)); again == nil || errors.Is(again, io.EOF) {
			t.Errorf("then: %v", again)
		}
	})
}

// TestTheLastBytesComeOnlyIfAllAreRight answers as a service that is wrong about
// its body, and as one of an older version.
func TestTheLastBytesComeOnlyIfAllAreRight(t *testing.T) {
	body := []byte(`"one","two"`)
	right := []wire.Pair{{Key: wire.MetaCRC32C, Value: checksum(body)}, {Key: "Rows", Value: "2"}}
	wrong := []wire.Pair{{Key: wire.MetaCRC32C, Value: "00000000"}}
	for name, c := range map[string]struct {
		codec     uint8
		size      int
		head, end []wire.Pair
		whole     bool
		announced int
	}{
		"right":                         {wire.CodecJSON, len(body), right, right, true, len(body)},
		"of an older version":           {wire.CodecNone, len(body), nil, right, true, -1},
		"the sum at the end is wrong":   {wire.CodecJSON, len(body), right, wrong, false, len(body)},
		"the sum at the start is wrong": {wire.CodecJSON, len(body), wrong, right, false, len(body)},
		"it is shorter":                 {wire.CodecJSON, len(body) + 1, right, right, false, len(body) + 1},
		"it is longer":                  {wire.CodecJSON, len(body) - 1, right, right, false, len(body) - 1},
	} {
		t.Run(name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				fake := b.Conn(t).NATS()
				uplink := wire.StreamSubject(storage, "x1", "s1")
				said := func(f wire.Frame) []byte { return wire.AppendFrame(nil, &f) }
				answer, err := fake.Subscribe(wire.CallSubject(storage, "Store.Get"), func(m *nats.Msg) {
					head := append([]wire.Pair{{Key: wire.MetaSize, Value: fmt.Sprint(c.size)}}, c.head...)
					accept := wire.Accept{ID: "x1"}
					_ = fake.PublishMsg(&nats.Msg{Subject: m.Reply, Reply: uplink, Data: said(wire.Frame{
						Type: wire.FrameAccept, Codec: c.codec, Meta: head, Payload: wire.AppendAccept(nil, &accept),
					})})
				})
				if err != nil {
					t.Fatal(err)
				}
				begun := false
				frames, err := fake.Subscribe(uplink, func(m *nats.Msg) {
					if begun {
						return
					}
					begun = true
					for i, part := range []string{`"one",`, `"two"`} {
						_ = fake.PublishMsg(&nats.Msg{Subject: m.Reply, Reply: uplink, Data: said(wire.Frame{
							Type: wire.FrameData, Seq: uint64(i) + 1, Codec: wire.CodecJSON, More: i == 0, Payload: []byte(part),
						})})
					}
					_ = fake.PublishMsg(&nats.Msg{Subject: m.Reply, Reply: uplink, Data: said(wire.Frame{Type: wire.FrameEnd, Seq: 2, Meta: c.end})})
				})
				if err != nil {
					t.Fatal(err)
				}
				if err := fake.FlushWithContext(bustest.Context(t)); err != nil {
					t.Fatal(err)
				}
				defer func() { _, _ = answer.Unsubscribe(), frames.Unsubscribe() }()
				client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
				res := fetch(bustest.Context(t), t, client, 1)
				got, err := io.ReadAll(res.Parts)
				if res.Parts.Size() != c.announced {
					t.Errorf("it has %d bytes", res.Parts.Size())
				}
				if !c.whole {
					wantError(t, err, bus.DataLoss, bus.Handler)
					if len(got) >= len(body) {
						t.Errorf("%q came before the error", got)
					}
					return
				}
				if err != nil || !bytes.Equal(got, body) || res.Parts.Trailer()["Rows"] != "2" {
					t.Errorf("%q, %v: %v", got, res.Parts.Trailer(), err)
				}
			})
		})
	}
}

func TestCopiesOfACallWhoseAnswerIsInPartsLeaveNothingBehind(t *testing.T) {
	for name, hold := range map[string]func(*bustest.Link){
		"the answers come one after the other": func(l *bustest.Link) { l.Delay(bustest.FromBroker, 1500*time.Millisecond) },
		"the answers come at once": func(l *bustest.Link) {
			l.Stall(bustest.FromBroker)
			time.AfterFunc(3500*time.Millisecond, l.Heal)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				s := serveStorage(t, b.Conn(t))
				link := b.Link()
				client := speaksFrames(t, rpc.NewClient(b.Conn(t, link.Use), rpc.ClientConfig{Timeout: 4 * time.Second}))
				hold(link) // further copies go out after one, two and three seconds
				parts := fetch(t.Context(), t, client, 1<<20, func(r *rpc.Request) { r.Idempotent = true }).Parts
				n, err := io.Copy(io.Discard, parts)
				if err != nil || n != 1<<20 {
					t.Errorf("%d bytes came: %v", n, err)
				}
				link.Heal()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				if err := s.Stop(ctx); err != nil {
					t.Errorf("the copies hold up the stop: %v", err)
				}
			})
		})
	}
}

func TestAHandlerCannotAnswerWithParts(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		serveStorage(t, b.Conn(t))
		inner := speaksFrames(t, rpc.NewClient(b.Conn(t), rpc.ClientConfig{}))
		s := rpc.NewServer(b.Conn(t), rpc.ServerConfig{Name: "go.micro.srv.front"})
		s.HandleRaw("Front.Get", func(ctx context.Context, r *rpc.Request) (*rpc.Response, error) {
			return inner.Do(ctx, &rpc.Request{Service: storage, Method: "Store.Get", Body: r.Body, InParts: true})
		})
		serve(t, s)
		client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{})
		_, err := client.Do(bustest.Context(t), &rpc.Request{Service: "go.micro.srv.front", Method: "Front.Get", Body: []byte("1000000")})
		wantError(t, err, bus.Internal, bus.Handler)
	})
}
