package gateway_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/mbus-dev/mbus/gateway"
)

// A flood is one connection of HTTP/2 that does what no honest client does.
type flood struct {
	*http2.Framer
	head []byte // of a GET
}

// headers opens a stream with a GET.
func (f *flood) headers(id uint32, end bool) error {
	return f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: f.head, EndStream: true, EndHeaders: end})
}

func newFlood(t testing.TB, s *gateway.Server, ca *authority) *flood {
	t.Helper()
	conn, err := tls.Dial("tcp", s.Address(), &tls.Config{RootCAs: ca.pool(), NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	var head bytes.Buffer
	e := hpack.NewEncoder(&head)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "localhost"}, {":path", "/a"}} {
		if err := e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	return &flood{Framer: http2.NewFramer(conn, conn), head: head.Bytes()}
}

func TestFloodsOfHTTP2HoldNobodyUp(t *testing.T) {
	b, _ := realBus(t)
	ca := newAuthority(t)
	files := ca.issue(t, "a")
	for _, test := range []struct {
		name  string
		flood func(f *flood) error // until the connection is closed, or enough
		calls int32                // that may reach the room, besides the good one
		cut   bool                 // the connection must be closed
	}{
		{"streams that are reset at once", func(f *flood) error {
			err := f.WriteSettings()
			for i := uint32(0); err == nil && i < 5_000; i++ {
				if err = f.headers(2*i+1, true); err == nil {
					err = f.WriteRSTStream(2*i+1, http2.ErrCodeCancel)
				}
			}
			return err
		}, 5_000, false},
		{"a header without an end", func(f *flood) error {
			err := f.WriteSettings()
			if err == nil {
				err = f.headers(1, false)
			}
			// Each field is small, and never indexed.
			field := append([]byte{0x10, 1, 'x', 127, 0xff - 127}, strings.Repeat("v", 127+0xff-127-128)...)
			for i := 0; err == nil && i < 20_000; i++ {
				err = f.WriteContinuation(1, false, field)
			}
			return err
		}, 0, true},
		{"pings that nobody reads the answers of", func(f *flood) error {
			err := f.WriteSettings()
			for i := 0; err == nil && i < 30_000; i++ {
				err = f.WritePing(false, [8]byte{byte(i)})
			}
			return err
		}, 0, false}, // the kernel keeps the answers
		{"settings that nobody reads the answers of", func(f *flood) error {
			var err error
			for i := 0; err == nil && i < 30_000; i++ {
				err = f.WriteSettings()
			}
			return err
		}, 0, false}, // likewise
		{"a window of zero", func(f *flood) error {
			err := f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			for i := uint32(0); err == nil && i < 1_000; i++ {
				err = f.headers(2*i+1, true)
			}
			return err
		}, 100, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, c := serve(t, b, func(c *gateway.ServerConfig) { c.TLS.CertFile, c.TLS.KeyFile = files.files(t) })
			var now, most atomic.Int32
			c.serve = func(w http.ResponseWriter, r *http.Request) {
				n := now.Add(1)
				defer now.Add(-1)
				for was := most.Load(); n > was && !most.CompareAndSwap(was, n); was = most.Load() {
				}
				if r.URL.Path == "/a" {
					_, _ = w.Write(make([]byte, 64<<10))
				}
			}
			f := newFlood(t, s, ca)
			over := make(chan error, 1)
			go func() {
				err := test.flood(f)
				for err == nil && test.cut {
					_, err = f.ReadFrame()
				}
				over <- err
			}()
			start := time.Now()
			res, err := ca.client("h2").Get(s.URL() + "/good") // beside the flood
			if err != nil || res.StatusCode != http.StatusOK {
				t.Fatalf("a good client: %v, %v", res, err)
			}
			_ = res.Body.Close()
			t.Logf("a good client was served in %v", time.Since(start))
			select {
			case err := <-over:
				t.Logf("the flood ended with %v", err)
				if test.cut && (err == nil || errors.Is(err, os.ErrDeadlineExceeded)) {
					t.Error("the connection is open")
				}
			case <-time.After(15 * time.Second):
				t.Fatal("the flood is not over")
			}
			if n := c.calls.Load(); n > test.calls+1 {
				t.Errorf("%d calls reached the room", n)
			}
			if n := most.Load(); n > 101 {
				t.Errorf("%d calls at a time", n)
			}
		})
	}
}
