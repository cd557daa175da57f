package api_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/api"
	"github.com/mbus-dev/mbus/rpc"
)

const archive = "go.micro.srv.archive"

// archives adds a service that answers with as many bytes as it is asked for, in
// several forms.
func (h *house) archives(t testing.TB) *rpc.Server {
	t.Helper()
	s := h.server(archive)
	give := func(method string, c codec.Codec, of func(int) []byte, meta rpc.Metadata, opts ...rpc.HandleOption) {
		s.HandleRaw(method, func(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
			var ask struct {
				Size json.Number `json:"size"`
			}
			if err := json.Unmarshal(r.Body, &ask); err != nil {
				return nil, err
			}
			n, err := strconv.Atoi(ask.Size.String())
			return &rpc.Response{Codec: c, Body: of(n), Meta: meta}, err
		}, opts...)
	}
	give("Archive.Get", codec.Raw, noiseOf, rpc.Metadata{"Media-Type": "application/zip", "Content-Disposition": `attachment; filename="x"`}, rpc.Note("safe", "true"))
	give("Archive.Tagged", codec.Raw, noiseOf, rpc.Metadata{"ETag": `"v1"`}, rpc.Note("safe", "true"))
	give("Archive.Rows", codec.JSON, textOf, nil, rpc.Note("safe", "true"))
	give("Archive.Packed", codec.Msgpack, packedOf, nil)
	s.HandleRaw("Archive.Said", func(context.Context, *rpc.Request) (*rpc.Response, error) {
		said, err := json.Marshal(api.Response{StatusCode: 201, Body: string(textOf(5 << 20))})
		return &rpc.Response{Codec: codec.JSON, Body: said}, err
	}, rpc.Note("handler", "api"))
	var asked atomic.Int64
	s.HandleRaw("Archive.Counts", func(context.Context, *rpc.Request) (*rpc.Response, error) {
		body := textOf(300 << 10)
		body[1] += byte(asked.Add(1) % 2)
		return &rpc.Response{Codec: codec.JSON, Body: body}, nil
	}, rpc.Note("safe", "true"))
	s.HandleRaw("Archive.Echo", func(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
		return &rpc.Response{Codec: codec.Raw, Body: bytes.Clone(r.Body), Meta: rpc.Metadata{"Media-Type": "image/png"}}, nil
	})
	h.serve(t, s)
	return s
}

// noiseOf is always the same n bytes, which cannot be packed.
func noiseOf(n int) []byte {
	body := make([]byte, n)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(body)
	return body
}

// textOf is a JSON string of n bytes.
func textOf(n int) []byte { return fmt.Appendf(nil, "%q", strings.Repeat("x", n-2)) }

func packedOf(n int) []byte {
	body, err := codec.Transcode(codec.JSON, codec.Msgpack, textOf(n))
	if err != nil {
		panic(err)
	}
	return body
}

func sizeOf(n int) string { return "?size=" + strconv.Itoa(n) }

func TestALargeAnswerIsTheSameAsASmallOne(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		h.archives(t)
		const get, rows, packed = "/" + archive + "/Archive.Get", "/" + archive + "/Archive.Rows", "/" + archive + "/Archive.Packed"
		for _, n := range []int{100 << 10, 300 << 10, 3 << 20} {
			for _, c := range []struct {
				name, target, accept, kind string
				want                       []byte
			}{
				{"bytes", get, "", "application/zip", noiseOf(n)},
				{"bytes to whoever likes them", get, "application/zip", "application/zip", noiseOf(n)},
				{"JSON", rows, "", "application/json", textOf(n)},
				{"JSON to msgpack", rows, "application/msgpack", "application/msgpack", packedOf(n)},
				{"msgpack", packed, "application/msgpack", "application/msgpack", packedOf(n)},
				{"msgpack to JSON", packed, "", "application/json", textOf(n)},
			} {
				var header []string
				if c.accept != "" {
					header = []string{"Accept", c.accept}
				}
				method, target, body := "GET", c.target+sizeOf(n), ""
				if c.target == packed {
					method, target, body, header = "POST", c.target, fmt.Sprintf(`{"size":%d}`, n), append(header, "Content-Type", "application/json")
				}
				got := h.do(t, method, target, body, header...)
				if got.status != 200 || got.body != string(c.want) {
					t.Errorf("%s of %d: got %d, %d bytes", c.name, n, got.status, len(got.body))
				}
				for name, want := range map[string]string{
					"Content-Type": c.kind, "Content-Length": strconv.Itoa(len(c.want)), "X-Content-Type-Options": "nosniff",
				} {
					if got.header.Get(name) != want {
						t.Errorf("%s of %d: got the %s %q, want %q", c.name, n, name, got.header.Get(name), want)
					}
				}
				if c.target == get && (got.header.Get("Content-Disposition") == "" || !strings.Contains(got.header.Get("Content-Security-Policy"), "sandbox")) {
					t.Errorf("%s of %d: got the headers %v", c.name, n, got.header)
				}
				if safe := c.target != packed; safe != (got.header.Get("ETag") != "") || safe == (got.header.Get("Cache-Control") == "no-store") {
					t.Errorf("%s of %d: got the headers %v", c.name, n, got.header)
				}
			}
			got := h.do(t, "GET", get+sizeOf(n), "", "Accept", "text/plain")
			got.want(t, "bytes to whoever does not take them", 406, "application/zip", 1)
			got = h.do(t, "POST", "/rpc", fmt.Sprintf(`{"service":%q,"method":"Archive.Rows","request":{"size":%d}}`, archive, n), "Content-Type", "application/json")
			got.want(t, "/rpc", 200, string(textOf(n)), 1)
			got = h.do(t, "POST", "/rpc", fmt.Sprintf(`{"service":%q,"method":"Archive.Packed","request":{"size":%d}}`, archive, n), "Content-Type", "application/json")
			got.want(t, "/rpc of msgpack", 200, string(textOf(n)), 1)
		}
		const most = 64 << 20
		if got := h.do(t, "GET", get+sizeOf(most), ""); got.body != string(noiseOf(most)) {
			t.Errorf("the largest: got %d, %d bytes", got.status, len(got.body))
		}
	})
}

func TestALargeMessageOfTheHandlerAPIIsUnfolded(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{Namespace: "go.micro.srv"})
		h.archives(t)
		got := h.do(t, "POST", "/archive/said", "{}", "Content-Type", "application/json")
		if got.status != 201 || got.body != string(textOf(5<<20)) {
			t.Errorf("got %d, %d bytes", got.status, len(got.body))
		}
	})
}

func TestALargeAnswerToALargeUploadComesWhole(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		h.archives(t)
		sent := string(noiseOf(5 << 20))
		got := h.do(t, "POST", "/"+archive+"/Archive.Echo", sent, "Content-Type", "application/octet-stream")
		if got.status != 200 || got.body != sent || got.header.Get("Content-Type") != "image/png" {
			t.Errorf("got %d, %d bytes, %v", got.status, len(got.body), got.header)
		}
	})
}

func TestALargeAnswerThatTheClientHasIsNotSentAgain(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		s := h.archives(t)
		const n = 8 << 20
		for _, method := range []string{"Archive.Get", "Archive.Tagged", "Archive.Rows"} {
			target := "/" + archive + "/" + method + sizeOf(n)
			tag := h.do(t, "GET", target, "").header.Get("ETag")
			if method == "Archive.Tagged" && tag != `"v1"` || tag == "" {
				t.Errorf("%s: the tag is %q", method, tag)
			}
			h.do(t, "GET", target, "", "If-None-Match", tag).want(t, method, 304, "", 1)
			head := h.do(t, "HEAD", target, "")
			if head.body != "" || head.header.Get("ETag") != tag || head.header.Get("Content-Length") != strconv.Itoa(n) {
				t.Errorf("HEAD %s: got %d bytes, %v", method, len(head.body), head.header)
			}
			other := h.do(t, "GET", "/"+archive+"/"+method+sizeOf(n+1), "", "If-None-Match", tag)
			if same := other.status == 304; same != (method == "Archive.Tagged") {
				t.Errorf("%s: another answer has the same tag: %d", method, other.status)
			}
			packed := h.do(t, "GET", target, "", "Accept-Encoding", "gzip")
			if method != "Archive.Rows" {
				if packed.header.Get("Content-Encoding") != "" || len(packed.body) != n {
					t.Errorf("%s: bytes are packed", method)
				}
				continue
			}
			if packed.header.Get("Content-Encoding") != "gzip" || packed.header.Get("Content-Length") != "" || unzip(t, packed.body) != string(textOf(n)) ||
				!strings.Contains(strings.Join(packed.header["Vary"], ","), "Accept-Encoding") {
				t.Errorf("packed: got %d bytes, %v", len(packed.body), packed.header)
			}
		}
		const counts = "/" + archive + "/Archive.Counts"
		first, second, third := h.do(t, "GET", counts, ""), h.do(t, "GET", counts, ""), h.do(t, "GET", counts, "")
		if tag := first.header.Get("ETag"); tag == second.header.Get("ETag") || tag != third.header.Get("ETag") {
			t.Errorf("the tags of two answers of one size are %q and %q, and of the first again %q", tag, second.header.Get("ETag"), third.header.Get("ETag"))
		}
		// What was not taken holds nobody up.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
}

// A slowReader is a client that takes a part every so often.
type slowReader struct {
	*httptest.ResponseRecorder
	pause time.Duration
	took  func(int)
}

func (s *slowReader) Write(p []byte) (int, error) {
	time.Sleep(s.pause)
	s.took(len(p))
	return len(p), nil
}

func TestSlowReadersCostNoMoreThanTheWindow(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		const readers, size = 20, 16 << 20
		body := noiseOf(size) // the service has it once
		s := h.server(archive)
		s.HandleRaw("Archive.Get", func(context.Context, *rpc.Request) (*rpc.Response, error) {
			return &rpc.Response{Codec: codec.Raw, Body: body}, nil
		})
		h.serve(t, s)
		inUse := func() int {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int(m.HeapAlloc)
		}
		came := func() uint64 { return h.gate.Conn.NATS().Stats().InBytes }
		heap, before := inUse(), came()
		var mu sync.Mutex
		var taken, most uint64
		var all sync.WaitGroup
		for range readers {
			all.Go(func() {
				got := 0
				w := &slowReader{httptest.NewRecorder(), 100 * time.Millisecond, func(n int) {
					mu.Lock()
					defer mu.Unlock()
					if now := came() - before; now > taken {
						most = max(most, now-taken)
					}
					got += n
					taken += uint64(n)
				}}
				h.api.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", "/"+archive+"/Archive.Get", nil))
				if got != size {
					t.Errorf("%d bytes of %d came", got, size)
				}
			})
		}
		time.Sleep(20 * time.Second)
		if more := inUse() - heap; more > readers*2<<20 {
			t.Errorf("%d readers cost %d MiB", readers, more>>20)
		} else {
			t.Logf("%d readers cost %d KiB of memory, the broker's and the service's among it", readers, more>>10)
		}
		all.Wait()
		if t.Logf("at most %d KiB waited for them", most>>10); most > readers*(1<<20+128<<10) {
			t.Errorf("%d MiB waited for %d readers", most>>20, readers)
		}
	})
}

func TestLargeAnswersThatMustBeConvertedAreCounted(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := openWith(t, b, api.Config{}, gateway.BusConfig{MaxBody: 8 << 20})
		h.archives(t)
		ask := func(w http.ResponseWriter) {
			r := httptest.NewRequestWithContext(t.Context(), "POST", "/"+archive+"/Archive.Packed", strings.NewReader(fmt.Sprintf(`{"size":%d}`, 6<<20)))
			r.Header.Set("Content-Type", "application/json")
			h.api.ServeHTTP(w, r)
		}
		hold, held := make(chan struct{}), make(chan struct{}, 2)
		var slow sync.WaitGroup
		for range 2 { // four times MaxBody is twice as much as two and a half of them
			slow.Go(func() {
				ask(&slowReader{httptest.NewRecorder(), 0, func(int) { held <- struct{}{}; <-hold }})
			})
		}
		<-held
		<-held
		w := httptest.NewRecorder()
		ask(w)
		if w.Code != 503 || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "resource_exhausted") {
			t.Errorf("the third: got %d, %v, %.200s", w.Code, w.Header(), w.Body)
		}
		got := h.do(t, "GET", "/"+archive+"/Archive.Rows"+sizeOf(6<<20), "")
		if got.status != 200 || len(got.body) != 6<<20 {
			t.Errorf("one that passes as it comes: got %d, %d bytes", got.status, len(got.body))
		}
		close(hold)
		slow.Wait()
		w = httptest.NewRecorder()
		if ask(w); w.Code != 200 || w.Body.Len() != 6<<20 {
			t.Errorf("afterwards: got %d, %d bytes", w.Code, w.Body.Len())
		}
	})
}

// web serves the house's API to sockets, over TLS with HTTP/2 if that is wanted.
func (h *house) web(t *testing.T, h2 bool) (*http.Client, string) {
	t.Helper()
	s := httptest.NewUnstartedServer(h.api)
	s.EnableHTTP2 = h2
	if h2 {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	c := s.Client()
	if tr, ok := c.Transport.(*http.Transport); ok && h2 {
		tr.ForceAttemptHTTP2 = true
		tr.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // the test's own server
	}
	return c, s.URL
}

func TestAnAnswerThatBreaksOffIsNoWholeOne(t *testing.T) {
	for _, c := range []struct {
		name, target string
		h2, packed   bool
	}{
		{"with a length", "Archive.Get", false, false},
		{"packed", "Archive.Rows", false, true},
		{"HTTP/2", "Archive.Get", true, false},
		{"HTTP/2, packed", "Archive.Rows", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := bustest.Start(t)
			h := open(t, b, api.Config{})
			doomed := b.Conn(t)
			s := rpc.NewServer(doomed, rpc.ServerConfig{Name: archive})
			noise := noiseOf(16 << 20) // more than the buffers of a connection take
			rows := append(hex.AppendEncode([]byte{'"'}, noise), '"')
			s.HandleRaw("Archive.Get", func(context.Context, *rpc.Request) (*rpc.Response, error) {
				return &rpc.Response{Codec: codec.Raw, Body: noise}, nil
			})
			s.HandleRaw("Archive.Rows", func(context.Context, *rpc.Request) (*rpc.Response, error) {
				return &rpc.Response{Codec: codec.JSON, Body: rows}, nil
			})
			if err := s.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			bustest.Eventually(t, 5*time.Second, "the gateway knows the archive", func() bool { return h.gate.Known(archive) })
			client, url := h.web(t, c.h2)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/"+archive+"/"+c.target, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.packed {
				req.Header.Set("Accept-Encoding", "gzip")
			}
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if res.StatusCode != http.StatusOK || c.h2 != (res.ProtoMajor == 2) || c.packed != (res.Header.Get("Content-Encoding") == "gzip") {
				t.Fatalf("got %s, %s, %v", res.Proto, res.Status, res.Header)
			}
			if _, err := io.CopyN(io.Discard, res.Body, 1<<20); err != nil {
				t.Fatal(err)
			}
			doomed.NATS().Close()
			n, err := io.Copy(io.Discard, res.Body)
			if err == nil {
				t.Errorf("%d bytes more came, and a good end", n)
			}
		})
	}
}

func TestAClientThatLeavesADownloadLetsTheServiceGo(t *testing.T) {
	b := bustest.Start(t)
	h := open(t, b, api.Config{})
	s := h.archives(t)
	client, url := h.web(t, false)
	ctx, leave := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/"+archive+"/Archive.Get"+sizeOf(64<<20), nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.CopyN(io.Discard, res.Body, 1<<20); err != nil {
		t.Fatal(err)
	}
	leave()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Errorf("the service still waits for the client: %v", err)
	}
}
