package gateway_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mbus-dev/mbus/gateway"
)

// bodyOf is the body of a request.
func bodyOf(text string) io.ReadCloser { return io.NopCloser(strings.NewReader(text)) }

// A pipes is a listener without sockets, whose time may be virtual.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (p *pipes) dial() net.Conn {
	mine, theirs := net.Pipe()
	p.conns <- theirs
	return mine
}

// virtually serves h in virtual time.
func virtually(t *testing.T, h http.Handler, f func(t *testing.T, dial func() net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		server := &http.Server{Handler: h}
		done := make(chan error)
		go func() { done <- server.Serve(l) }()
		f(t, l.dial)
		_ = server.Close()
		<-done
	})
}

const (
	piecemeal = "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
	short     = "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"
)

func TestABodyHasToComeAtAMinimalRate(t *testing.T) {
	h, c := edge(t, gateway.EdgeConfig{})
	c.serve = func(w http.ResponseWriter, r *http.Request) {
		if _, err := gateway.ReadBody(w, r, 1<<20); err != nil {
			gateway.WriteError(w, r, "go.micro.api", err)
		}
	}
	virtually(t, h, func(t *testing.T, dial func() net.Conn) {
		for _, test := range []struct {
			name   string
			bytes  int // a second
			status int
			within time.Duration // least and most a second more
		}{
			{"nothing", 0, 408, 10 * time.Second},
			{"100 bytes a second", 100, 408, 10 * time.Second},
			{"2 KiB a second", 2 << 10, 200, 48 * time.Second},
		} {
			conn := dial()
			start := time.Now()
			var writing sync.WaitGroup
			writing.Go(func() {
				_, _ = io.WriteString(conn, piecemeal)
				for left := 100000; left > 0 && test.bytes > 0; left -= test.bytes {
					if _, err := conn.Write(make([]byte, min(left, test.bytes))); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			})
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			took := time.Since(start)
			if err != nil || res.StatusCode != test.status {
				t.Errorf("%s: got %v, %v after %v; want %d", test.name, res, err, took, test.status)
			} else if _ = res.Body.Close(); took < test.within || took > test.within+2*time.Second {
				t.Errorf("%s: after %v, want %v", test.name, took, test.within)
			}
			_ = conn.Close()
			writing.Wait()
		}
	})
}

func TestABodyThatNobodyReadsHasToComeToo(t *testing.T) {
	h, _ := edge(t, gateway.EdgeConfig{})
	virtually(t, h, func(t *testing.T, dial func() net.Conn) {
		conn := dial()
		defer conn.Close()
		start := time.Now()
		go func() { _, _ = io.WriteString(conn, piecemeal) }()
		_, err := io.ReadAll(conn)
		if took := time.Since(start); took > 12*time.Second {
			t.Errorf("the connection was held for %v (%v)", took, err)
		}
	})
}

func TestTheTimeOfABodyIsNotThatOfTheAnswer(t *testing.T) {
	h, c := edge(t, gateway.EdgeConfig{})
	c.serve = func(w http.ResponseWriter, r *http.Request) {
		if _, err := gateway.ReadBody(w, r, 1<<20); err != nil {
			t.Error(err)
		}
		select {
		case <-r.Context().Done():
			t.Error("the request was cancelled while it was at work")
		case <-time.After(2 * time.Minute):
		}
		_, _ = io.WriteString(w, "late")
	}
	virtually(t, h, func(t *testing.T, dial func() net.Conn) {
		conn := dial()
		defer conn.Close()
		go func() {
			_, _ = io.WriteString(conn, "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc")
		}()
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		if body, err := io.ReadAll(res.Body); string(body) != "late" {
			t.Errorf("got %q, %v", body, err)
		}
	})
}

func TestAnAnswerThatNobodyReadsIsGivenUp(t *testing.T) {
	h, c := edge(t, gateway.EdgeConfig{})
	virtually(t, h, func(t *testing.T, dial func() net.Conn) {
		ended := make(chan error, 1)
		c.serve = func(w http.ResponseWriter, _ *http.Request) {
			var err error
			for err == nil {
				_, err = w.Write(make([]byte, 64<<10))
			}
			ended <- err
		}
		conn := dial()
		defer conn.Close()
		start := time.Now()
		go func() { _, _ = io.WriteString(conn, short) }()
		<-ended
		if took := time.Since(start); took > 31*time.Second {
			t.Errorf("it was given up after %v, want 30 s", took)
		}
	})
}

func TestAStreamMayPauseAsLongAsItLikes(t *testing.T) {
	h, c := edge(t, gateway.EdgeConfig{})
	virtually(t, h, func(t *testing.T, dial func() net.Conn) {
		ended := make(chan error, 1)
		c.serve = func(w http.ResponseWriter, r *http.Request) {
			_, cancel := gateway.Stream(w, r)
			defer cancel()
			control := http.NewResponseController(w)
			for range 3 {
				_, err := io.WriteString(w, "tick\n")
				if err := errors.Join(err, control.Flush()); err != nil {
					t.Error(err)
				}
				time.Sleep(10 * time.Minute)
			}
			var err error
			for err == nil {
				_, err = w.Write(make([]byte, 64<<10))
			}
			ended <- err
		}
		conn := dial()
		defer conn.Close()
		go func() { _, _ = io.WriteString(conn, short) }()
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		lines := bufio.NewReader(res.Body)
		for i := range 3 {
			if line, err := lines.ReadString('\n'); line != "tick\n" {
				t.Fatalf("message %d: %q, %v", i, line, err)
			}
		}
		// From here on it is not read.
		start := time.Now()
		<-ended
		if took := time.Since(start); took > 10*time.Minute+31*time.Second {
			t.Errorf("a client that stopped reading held the stream for %v", took)
		}
	})
}

func TestAConnectionWorksAgainAfterAPause(t *testing.T) {
	h, c := edge(t, gateway.EdgeConfig{})
	c.serve = func(w http.ResponseWriter, r *http.Request) {
		body, err := gateway.ReadBody(w, r, 1<<20)
		if err != nil {
			gateway.WriteError(w, r, "go.micro.api", err)
			return
		}
		_, _ = w.Write(body)
	}
	virtually(t, h, func(t *testing.T, dial func() net.Conn) {
		conn := dial()
		defer conn.Close()
		in := bufio.NewReader(conn)
		for range 3 {
			go func() {
				_, _ = io.WriteString(conn, "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
			}()
			if line, err := in.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
				t.Fatalf("got %q, %v; want 100", line, err)
			}
			_, _ = in.ReadString('\n')
			go func() { _, _ = io.WriteString(conn, "abc") }()
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(res.Body); string(body) != "abc" {
				t.Errorf("got %q, %v", body, err)
			}
			_ = res.Body.Close()
			time.Sleep(time.Minute)
		}
	})
}
