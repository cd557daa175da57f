package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// A plug is a listener without sockets, whose time may be virtual.
type plug struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *plug) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *plug) Close() error   { close(p.closed); return nil }
func (p *plug) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// A peer is the client's end of a connection.
type peer struct {
	net.Conn
	in *bufio.Reader
}

// ask sends bytes once the server waits for them, and reads the answer to a GET.
func (p *peer) ask(t *testing.T, text string) (status int, body string) {
	t.Helper()
	synctest.Wait()
	if _, err := io.WriteString(p, text); err != nil {
		t.Fatal(err)
	}
	return p.answer(t)
}

func (p *peer) answer(t *testing.T) (status int, body string) {
	t.Helper()
	res, err := http.ReadResponse(p.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	all, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(all)
}

// plugged runs a server of h in virtual time.
func plugged(t *testing.T, h http.HandlerFunc, f func(t *testing.T, s *Server, dial func() *peer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &plug{make(chan net.Conn), make(chan struct{})}
		s := NewServer(nil, ServerConfig{Handler: h})
		s.state = serverRunning
		s.serve(t.Context(), newIntake(l, nil, &s.cfg, zerolog.Nop()))
		defer func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = s.Stop(ctx)
		}()
		f(t, s, func() *peer {
			mine, theirs := net.Pipe()
			l.conns <- theirs
			return &peer{mine, bufio.NewReader(mine)}
		})
	})
}

const plainGet = "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"

// byShortcut tells who serves a request.
func byShortcut(w http.ResponseWriter) bool { _, ok := w.(*reply); return ok }

func TestPlainRequestsTakeTheShortcutAndTheOthersComeBetween(t *testing.T) {
	var by []bool
	h := func(w http.ResponseWriter, r *http.Request) {
		by = append(by, byShortcut(w))
		if r.URL.Path == "/slow" {
			time.Sleep(time.Second)
		}
		_, _ = io.WriteString(w, r.URL.Path)
	}
	plugged(t, h, func(t *testing.T, _ *Server, dial func() *peer) {
		c := dial()
		defer c.Close()
		for _, text := range []string{plainGet, plainGet, "GET /a HTTP/1.1\r\nHost: localhost\r\nTe: trailers\r\n\r\n", plainGet} {
			if status, body := c.ask(t, text); status != 200 || body != "/a" {
				t.Errorf("got %d, %q", status, body)
			}
		}
		// In one piece: net/http takes both, as it has read both.
		go func() { _, _ = io.WriteString(c, plainGet+plainGet) }()
		for range 2 {
			if status, body := c.answer(t); status != 200 || body != "/a" {
				t.Errorf("got %d, %q", status, body)
			}
		}
		c.ask(t, plainGet)
		c.ask(t, "GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
		_, _ = io.WriteString(c, plainGet) // at once
		c.answer(t)
		if want := []bool{true, true, false, true, false, false, true, true, true}; len(by) != len(want) {
			t.Errorf("served %v", by)
		} else {
			for i := range want {
				if by[i] != want[i] {
					t.Fatalf("the shortcut served %v, want %v", by, want)
				}
			}
		}
	})
}

func TestWhatComesDuringARequestIsTheNextOne(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Second) // the client is watched meanwhile
		if r.Context().Err() != nil || r.Method != http.MethodGet {
			t.Errorf("a client that goes on talking has left: %v, or has said %s", r.Context().Err(), r.Method)
		}
		_, _ = io.WriteString(w, r.URL.Path)
	}
	plugged(t, h, func(t *testing.T, _ *Server, dial func() *peer) {
		c := dial()
		defer c.Close()
		go func() {
			for _, path := range []string{"/1", "/2", "/3"} {
				_, _ = io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
			}
		}()
		for _, path := range []string{"/1", "/2", "/3"} {
			if status, body := c.answer(t); status != 200 || body != path {
				t.Errorf("got %d, %q, want %s", status, body, path)
			}
		}
	})
}

func TestAShortcutNoticesWhenItsClientLeaves(t *testing.T) {
	ended := make(chan time.Duration, 1)
	h := func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		child, cancel := context.WithTimeout(r.Context(), time.Hour)
		defer cancel()
		<-child.Done()
		if !byShortcut(w) || !errors.Is(r.Context().Err(), context.Canceled) || !errors.Is(context.Cause(child), context.Canceled) {
			t.Errorf("by shortcut %v, error %v, of a child %v", byShortcut(w), r.Context().Err(), context.Cause(child))
		}
		ended <- time.Since(start)
	}
	plugged(t, h, func(t *testing.T, _ *Server, dial func() *peer) {
		c := dial()
		_, _ = io.WriteString(c, plainGet)
		time.Sleep(time.Second)
		_ = c.Close()
		if took := <-ended; took > time.Second+2*watchAfter {
			t.Errorf("after %v", took)
		}
	})
}

func TestTheContextOfARequestEndsWithIt(t *testing.T) {
	kept := make(chan context.Context, 1)
	called := make(chan struct{})
	h := func(_ http.ResponseWriter, r *http.Request) {
		if kept <- r.Context(); r.URL.Path != "/a" {
			return // nobody has asked for the channel
		}
		context.AfterFunc(r.Context(), func() { close(called) })
		if stop := context.AfterFunc(r.Context(), func() { t.Error("called although it was stopped") }); !stop() || stop() {
			t.Error("stop says something else than once true")
		}
		if r.Context().Value(http.ServerContextKey) == nil || r.Context().Value(http.LocalAddrContextKey) == nil {
			t.Error("what net/http says of a request is missing")
		}
	}
	plugged(t, h, func(t *testing.T, _ *Server, dial func() *peer) {
		c := dial()
		defer c.Close()
		c.ask(t, plainGet)
		ctx := <-kept
		<-ctx.Done()
		<-called
		if !errors.Is(ctx.Err(), context.Canceled) {
			t.Errorf("got %v", ctx.Err())
		}
		c.ask(t, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		<-(<-kept).Done()
	})
}

func TestAShortcutKeepsTheTimesOfAConnection(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/slow":
			time.Sleep(3 * time.Minute)
			if r.Context().Err() != nil {
				t.Error("a request that takes its time is cancelled")
			}
		case "/large":
			var err error
			for err == nil {
				_, err = w.Write(make([]byte, 64<<10))
			}
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a client that does not read: %v", err)
			}
		}
		_, _ = io.WriteString(w, "done")
	}
	for _, test := range []struct {
		name, path, then string
		pause            time.Duration // before then
		within           time.Duration // the connection is closed
	}{
		{"nothing more", "/a", "", 0, idleLimit},
		{"nothing more after a slow one", "/slow", "", 0, idleLimit},
		{"part of a header", "/a", "GET /a HTTP/1.1\r\nHost:", 30 * time.Second, readHeaderLimit},
		{"part of a header after a slow one", "/slow", "GET /a HTTP/1.1\r\nHost:", 30 * time.Second, readHeaderLimit},
	} {
		t.Run(test.name, func(t *testing.T) {
			plugged(t, h, func(t *testing.T, _ *Server, dial func() *peer) {
				c := dial()
				defer c.Close()
				for range 2 {
					if status, body := c.ask(t, "GET "+test.path+" HTTP/1.1\r\nHost: localhost\r\n\r\n"); status != 200 || body != "done" {
						t.Fatalf("got %d, %q", status, body)
					}
				}
				time.Sleep(test.pause)
				_, _ = io.WriteString(c, test.then)
				start := time.Now()
				_, _ = io.ReadAll(c)
				if took := time.Since(start); took < test.within-time.Second || took > test.within+time.Second {
					t.Errorf("closed after %v, want %v", took, test.within)
				}
			})
		})
	}
	t.Run("an answer that is not read", func(t *testing.T) {
		plugged(t, h, func(t *testing.T, _ *Server, dial func() *peer) {
			c := dial()
			defer c.Close()
			c.ask(t, plainGet)
			time.Sleep(45 * time.Second) // the deadline of the first answer is over
			start := time.Now()
			_, _ = io.WriteString(c, "GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
			synctest.Wait()
			time.Sleep(writeLimit + time.Second)
			_, _ = io.ReadAll(c)
			if took := time.Since(start); took > writeLimit+2*time.Second {
				t.Errorf("given up after %v", took)
			}
		})
	})
}

func TestADrainClosesConnectionsThatWaitAndEndsTheOthersWithTheirAnswer(t *testing.T) {
	var entered atomic.Int32
	h := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			entered.Add(1)
			time.Sleep(2 * time.Second)
		}
		_, _ = io.WriteString(w, "done")
	}
	plugged(t, h, func(t *testing.T, s *Server, dial func() *peer) {
		idle, busy, fresh := dial(), dial(), dial()
		defer fresh.Close()
		defer idle.Close()
		defer busy.Close()
		idle.ask(t, plainGet)
		go func() { _, _ = io.WriteString(busy, "GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n") }()
		synctest.Wait()
		if entered.Load() != 1 {
			t.Fatal("the request is not served")
		}
		stopped := make(chan error, 1)
		start := time.Now()
		go func() { stopped <- s.Stop(context.Background()) }()
		if _, err := io.ReadAll(idle); err != nil || time.Since(start) > 0 {
			t.Errorf("the connection that waited was closed after %v: %v", time.Since(start), err)
		}
		if status, body := fresh.ask(t, plainGet); status != 200 || body != "done" {
			t.Errorf("a connection that had not said anything got %d, %q", status, body)
		}
		res, err := http.ReadResponse(busy.in, nil)
		if err != nil || res.StatusCode != http.StatusOK || !res.Close {
			t.Fatalf("the request that was served got %+v, %v", res, err)
		}
		defer func() { _ = res.Body.Close() }()
		if body, err := io.ReadAll(res.Body); string(body) != "done" || err != nil {
			t.Errorf("got %q, %v", body, err)
		}
		if err := <-stopped; err != nil || time.Since(start) > 4*time.Second {
			t.Errorf("stopped after %v: %v", time.Since(start), err)
		}
	})
}

func TestAServerWaitsForTheAnswerOfAnOldConnection(t *testing.T) {
	h := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "done") }
	plugged(t, h, func(t *testing.T, s *Server, dial func() *peer) {
		c := dial()
		defer c.Close()
		c.ask(t, plainGet)
		time.Sleep(10 * time.Second) // net/http takes it for one that says nothing
		_, _ = io.WriteString(c, plainGet)
		synctest.Wait() // the handler has returned, and nobody reads its answer
		stopped := make(chan error, 1)
		go func() { stopped <- s.Stop(context.Background()) }()
		time.Sleep(10 * time.Second)
		select {
		case err := <-stopped:
			t.Fatalf("stopped before the answer was out: %v", err)
		default:
		}
		if status, body := c.answer(t); status != 200 || body != "done" {
			t.Errorf("got %d, %q", status, body)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

func TestAPanicForAClientThatHasLeftFreesTheConnection(t *testing.T) {
	h := func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		panic(http.ErrAbortHandler) // as proxies do then
	}
	plugged(t, h, func(t *testing.T, s *Server, dial func() *peer) {
		c := dial()
		_, _ = io.WriteString(c, plainGet)
		time.Sleep(time.Second)
		_ = c.Close()
		synctest.Wait()
		if n := len(s.shortcuts.all()); n != 0 || s.requests.count.Load() != 0 {
			t.Errorf("%d connections and %d requests are remembered", n, s.requests.count.Load())
		}
	})
}

func TestAPanicEndsTheConnectionWithoutHalfAnAnswer(t *testing.T) {
	h := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		panic(http.ErrAbortHandler)
	}
	plugged(t, h, func(t *testing.T, s *Server, dial func() *peer) {
		c := dial()
		defer c.Close()
		go func() { _, _ = io.WriteString(c, plainGet) }()
		if got, err := io.ReadAll(c); len(got) > 0 || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		synctest.Wait()
		if n := len(s.shortcuts.all()); n != 0 {
			t.Errorf("%d connections are remembered", n)
		}
	})
}
