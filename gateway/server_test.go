package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/embedded/bind"
	"github.com/mbus-dev/mbus/gateway"
)

// patience is what a test waits for what should take no time.
const patience = 10 * time.Second

// serve runs a server with a canary on a free port until the end of the test.
func serve(t testing.TB, b *gateway.Bus, change ...func(*gateway.ServerConfig)) (*gateway.Server, *canary) {
	t.Helper()
	h, c := edge(t, gateway.EdgeConfig{})
	cfg := gateway.ServerConfig{Address: "127.0.0.1:0", Handler: h}
	for _, f := range change {
		f(&cfg)
	}
	s := gateway.NewServer(b, cfg)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return s, c
}

// realBus is a Bus in real time, as sockets need it.
func realBus(t testing.TB) (*gateway.Bus, *bustest.Bus) {
	t.Helper()
	broker := bustest.Start(t)
	b := gateway.NewBus(broker.Conn(t), gateway.BusConfig{})
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop(context.Background()) })
	return b, broker
}

// raw writes bytes to a server and returns everything that comes back until it
// closes the connection; open says that it has not closed it.
func raw(t testing.TB, address, text string) (answer string, open bool) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return exchange(t, c, text)
}

// quiet is how long a server that has nothing to say is listened to: net/http
// waits half a second before it closes a connection that it has refused.
const quiet = 800 * time.Millisecond

func exchange(t testing.TB, c net.Conn, text string) (answer string, open bool) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Logf("write: %v", err)
	}
	var all strings.Builder
	buffer := make([]byte, 4096)
	for {
		wait := patience
		if all.Len() > 0 {
			wait = quiet
		}
		_ = c.SetReadDeadline(time.Now().Add(wait))
		n, err := c.Read(buffer)
		all.Write(buffer[:n])
		if errors.Is(err, io.EOF) || err != nil && strings.Contains(err.Error(), "reset") {
			return all.String(), false
		}
		if err != nil {
			return all.String(), true
		}
	}
}

func TestRequestsThatHideAnother(t *testing.T) {
	const post, host, canary = "POST /a HTTP/1.1\r\n", "Host: localhost\r\n", "GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
	const chunks = "3\r\nabc\r\n0\r\n\r\n"
	tests := []struct {
		name, text string
		status     string // of the first answer
		calls      int32  // at most one for each answer
		open       bool   // whether the connection may be used again
	}{
		{"an honest request", post + host + "Content-Length: 3\r\n\r\nabc", "200", 1, true},
		{"two honest requests", post + host + "Content-Length: 3\r\n\r\nabc" + canary, "200", 2, true},
		{"an honest chunked request", post + host + "Transfer-Encoding: chunked\r\n\r\n" + chunks, "200", 1, false},
		{"what follows a chunked body", post + host + "Transfer-Encoding: chunked\r\n\r\n" + chunks + canary, "200", 1, false},
		{"both lengths", post + host + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + canary, "400", 0, false},
		{"both lengths, the other first", post + host + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n" + chunks + canary, "400", 0, false},
		{"both lengths in small letters", post + host + "content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n" + chunks, "400", 0, false},
		{"both lengths, zero", post + host + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + canary, "400", 0, false},
		{"both lengths with bare LF", "POST /a HTTP/1.1\nHost: localhost\nContent-Length: 3\nTransfer-Encoding: chunked\n\n" + chunks, "400", 0, false},
		{"both lengths in the second request", post + host + "Content-Length: 3\r\n\r\nabc" + post + host + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + canary, "200", 1, false},
		{"both lengths behind many fields", post + host + strings.Repeat("X-A: "+strings.Repeat("b", 200)+"\r\n", 50) + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks, "400", 0, false},
		{"both lengths with GET", "GET /a HTTP/1.1\r\n" + host + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks, "400", 0, false},
		{"an encoding in HTTP/1.0", "POST /a HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n" + chunks + canary, "400", 0, false},
		{"an encoding in HTTP/1.0 that stays", "POST /a HTTP/1.0\r\n" + host + "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + canary, "400", 0, false},
		{"two lengths that differ", post + host + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "400", 0, false},
		{"two lengths alike", post + host + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc" + canary, "200", 2, true},
		{"a length with a plus", post + host + "Content-Length: +3\r\n\r\nabc", "400", 0, false},
		{"a negative length", post + host + "Content-Length: -3\r\n\r\nabc", "400", 0, false},
		{"a length in hex", post + host + "Content-Length: 0x3\r\n\r\nabc", "400", 0, false},
		{"a list of lengths", post + host + "Content-Length: 3,3\r\n\r\nabc", "400", 0, false},
		{"an empty length", post + host + "Content-Length:\r\n\r\nabc", "400", 0, false},
		{"a length over 63 bits", post + host + "Content-Length: 18446744073709551619\r\n\r\nabc", "400", 0, false},
		{"a folded length", post + host + "Content-Length:\r\n 3\r\n\r\nabc" + canary, "400", 0, false},
		{"a folded encoding", post + host + "Transfer-Encoding:\r\n chunked\r\n\r\n" + chunks, "400", 0, false},
		{"a folded field of no meaning", post + host + "X-A: b\r\n c\r\nContent-Length: 3\r\n\r\nabc" + canary, "200", 2, true},
		{"an encoding nobody knows", post + host + "Transfer-Encoding: xchunked\r\n\r\n" + chunks, "501", 0, false},
		{"two encodings", post + host + "Transfer-Encoding: chunked, identity\r\n\r\n" + chunks, "501", 0, false},
		{"identity first", post + host + "Transfer-Encoding: identity, chunked\r\n\r\n" + chunks, "501", 0, false},
		{"chunked twice", post + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks, "501", 0, false},
		{"chunked twice in one", post + host + "Transfer-Encoding: chunked, chunked\r\n\r\n" + chunks, "501", 0, false},
		{"an encoding after a tab", post + host + "Transfer-Encoding:\tchunked\r\n\r\n" + chunks, "200", 1, false},
		{"an encoding after a vertical tab", post + host + "Transfer-Encoding: \x0bchunked\r\n\r\n" + chunks, "501 400", 0, false},
		{"an encoding in quotes", post + host + "Transfer-Encoding: \"chunked\"\r\n\r\n" + chunks, "501", 0, false},
		{"a space before the colon", post + host + "Content-Length : 3\r\n\r\nabc", "400", 0, false},
		{"a space before the colon of the encoding", post + host + "Transfer-Encoding : chunked\r\n\r\n" + chunks, "400", 0, false},
		{"a space before the first field", post + " Host: localhost\r\n\r\n", "400", 0, false},
		{"a bare CR in a field", post + host + "X-A: b\rTransfer-Encoding: chunked\r\n\r\n" + chunks, "400", 0, false},
		{"a NUL in a field", post + host + "X-A: b\x00c\r\n\r\n", "400", 0, false},
		{"a field without a name", post + host + ": b\r\n\r\n", "400", 0, false},
		{"a field without a colon", post + host + "Transfer-Encoding chunked\r\n\r\n", "400", 0, false},
		{"two hosts", post + host + "Host: evil.example\r\n\r\n", "400", 0, false},
		{"no host", post + "\r\n", "400", 0, false},
		{"another host in the URI", "POST http://evil.example/a HTTP/1.1\r\n" + host + "\r\n", "421", 0, false},
		{"our host in the URI", "POST http://localhost/a HTTP/1.1\r\nHost: evil.example\r\n\r\n", "200", 1, true},
		{"HTTP/0.9", "GET /a\r\n\r\n", "400", 0, false},
		{"HTTP/1.2", "GET /a HTTP/1.2\r\n" + host + "\r\n", "505", 0, false},
		{"HTTP/2 said in HTTP/1", "GET /a HTTP/2.0\r\n" + host + "\r\n", "505", 0, false},
		{"HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "405", 0, false},
		{"an upgrade to HTTP/2", "GET /a HTTP/1.1\r\n" + host + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", "200", 1, true},
		{"a method nobody knows", "FOO! /a HTTP/1.1\r\n" + host + "\r\n", "405", 0, true},
		{"TRACE", "TRACE /a HTTP/1.1\r\n" + host + "\r\n", "405", 0, true},
		{"CONNECT", "CONNECT evil.example:80 HTTP/1.1\r\nHost: evil.example:80\r\n\r\n", "405", 0, true},
		{"a chunk size that overflows", post + host + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", "400", 0, false},
		{"a negative chunk size", post + host + "Transfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n0\r\n\r\n", "400", 0, false},
		{"a chunk size with 0x", post + host + "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", "400", 0, false},
		{"a chunk of another length", post + host + "Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", "400", 0, false},
		{"a length in the trailer", post + host + "Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\nContent-Length: 3\r\n\r\n", "400", 0, false},
		{"a header of 40 KiB", "GET /a HTTP/1.1\r\n" + host + "X-A: " + strings.Repeat("b", 40<<10) + "\r\n\r\n", "431", 0, false},
		{"a URI of 10 KiB", "GET /" + strings.Repeat("a", 10<<10) + " HTTP/1.1\r\n" + host + "\r\n", "414", 0, false},
		{"a URI of 10 KiB and both lengths", "GET /" + strings.Repeat("a", 10<<10) + " HTTP/1.1\r\n" + host + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks, "414", 0, false},
		{"101 fields", "GET /a HTTP/1.1\r\n" + host + strings.Repeat("X-A: b\r\n", 101) + "\r\n", "431", 0, false},
		{"empty lines before a request", "\r\n\r\nGET /a HTTP/1.1\r\n" + host + "\r\n", "400", 0, false},
		{"a request in a body", post + host + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(canary)) + canary, "200", 1, true},
		{"a dotted path", "GET /a/../b HTTP/1.1\r\n" + host + "\r\n", "400", 0, true},
		{"an escaped slash", "GET /a%2fb HTTP/1.1\r\n" + host + "\r\n", "400", 0, true},
		{"a broken escape", "GET /a%zz HTTP/1.1\r\n" + host + "\r\n", "400", 0, false},
	}
	b, _ := realBus(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, c := serve(t, b)
			c.serve = func(w http.ResponseWriter, r *http.Request) {
				// What rooms do: no answer before the body has come whole.
				if _, err := gateway.ReadBody(w, r, 1<<20); err != nil {
					c.calls.Add(-1)
					gateway.WriteError(w, r, "go.micro.api", err)
				}
			}
			got, open := raw(t, s.Address(), test.text)
			first, _, _ := strings.Cut(got, "\r\n")
			_, status, _ := strings.Cut(first, " ")
			if len(status) < 3 || !strings.Contains(test.status, status[:3]) {
				t.Errorf("the first line is %q, want status %s", first, test.status)
			}
			if open != test.open {
				t.Errorf("the connection stays: %v, want %v; it said\n%s", open, test.open, got)
			}
			if calls := c.calls.Load(); calls != test.calls {
				t.Errorf("%d calls, want %d", calls, test.calls)
			}
			if answers := strings.Count(got, "HTTP/1.1 "); int(c.calls.Load()) > answers {
				t.Errorf("%d calls and %d answers", c.calls.Load(), answers)
			}
		})
	}
}

func TestARequestInPieces(t *testing.T) {
	b, _ := realBus(t)
	s, c := serve(t, b)
	text := "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc" +
		"POST /b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
	conn, err := net.Dial("tcp", s.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, b := range []byte(text) {
		if _, err := conn.Write([]byte{b}); err != nil {
			break // the second request was refused before its body came
		}
	}
	got, open := exchange(t, conn, "")
	if open || c.calls.Load() != 1 || strings.Count(got, "HTTP/1.1 200") != 1 || strings.Count(got, "HTTP/1.1 400") != 1 {
		t.Errorf("%d calls, open %v:\n%s", c.calls.Load(), open, got)
	}
}

func TestAServerIsReadyWhileItsBrokerIsThere(t *testing.T) {
	b, broker := realBus(t)
	s, c := serve(t, b)
	for _, path := range []string{"/healthz", "/readyz"} {
		if got := get(t, s.URL()+path); got != 200 {
			t.Errorf("%s: %d", path, got)
		}
	}
	broker.Stop()
	awaitStatus(t, s.URL()+"/readyz", 503)
	if got := get(t, s.URL()+"/healthz"); got != 200 {
		t.Errorf("/healthz without a broker: %d", got)
	}
	if c.calls.Load() != 0 {
		t.Error("the room was asked")
	}
	broker.Start()
	awaitStatus(t, s.URL()+"/readyz", 200)
}

func TestAServerIsAnnounced(t *testing.T) {
	b, _ := realBus(t)
	s, _ := serve(t, b, func(c *gateway.ServerConfig) { c.Service, c.Version = "go.micro.api", "1.2.3" })
	var found []discovery.Instance
	eventually(t, "the announcement", func() bool {
		found = b.View().Instances("go.micro.api")
		return len(found) == 1
	})
	if i := found[0]; i.Version != "1.2.3" || i.Metadata["address"] != s.Address() {
		t.Errorf("it is announced as %+v, want version 1.2.3 and address %s", i, s.Address())
	}
	if _, ok := b.Endpoint("go.micro.api", "Debug.Health"); !ok {
		t.Error("it has no Debug.Health")
	}
}

func TestAServerDrains(t *testing.T) {
	b, _ := realBus(t)
	entered, release := make(chan string, 3), make(chan struct{})
	s, c := serve(t, b)
	c.serve = func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stream" {
			ctx, cancel := gateway.Stream(w, r)
			defer cancel()
			w.(http.Flusher).Flush()
			entered <- "stream"
			<-ctx.Done()
			_, _ = io.WriteString(w, "bye: "+context.Cause(ctx).Error())
			return
		}
		entered <- "call"
		<-release
		_, _ = io.WriteString(w, "done")
	}
	calls := make(chan string, 2)
	for _, path := range []string{"/call", "/stream"} {
		go func() {
			res, err := http.Get(s.URL() + path)
			if err != nil {
				calls <- err.Error()
				return
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			calls <- fmt.Sprint(string(body), err)
		}()
	}
	<-entered
	<-entered
	kept, err := net.Dial("tcp", s.Address()) // sends a request during the drain
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	if got, _ := exchange(t, kept, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"); !strings.Contains(got, "200 OK") {
		t.Fatalf("before the drain: %s", got)
	}

	stopped := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		stopped <- s.Stop(ctx)
	}()
	if got := <-calls; !strings.Contains(got, "bye") || !strings.Contains(got, "unavailable") {
		t.Errorf("the stream was not told: %q", got)
	}
	eventually(t, "no new connections", func() bool {
		c, err := net.Dial("tcp", s.Address())
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	select {
	case err := <-stopped:
		t.Fatalf("Stop returned before the call was done: %v", err)
	default:
	}
	close(release)
	if got := <-calls; got != "done<nil>" {
		t.Errorf("the call got %q", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestWhatDoesNotEndInTimeIsCut(t *testing.T) {
	b, _ := realBus(t)
	entered := make(chan struct{})
	h, c := edge(t, gateway.EdgeConfig{})
	c.serve = func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	}
	s := gateway.NewServer(b, gateway.ServerConfig{Address: "127.0.0.1:0", Handler: h})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	go func() {
		if res, err := http.Get(s.URL() + "/a"); err == nil {
			_ = res.Body.Close()
		}
	}()
	<-entered
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := s.Stop(ctx); err == nil || !strings.Contains(err.Error(), "1 requests were cut") {
		t.Errorf("got %v", err)
	}
	if err := s.Stop(ctx); err != nil {
		t.Errorf("the second Stop: %v", err)
	}
	if err := s.Start(t.Context()); err == nil {
		t.Error("it runs again")
	}
}

func TestAnAddressThatOthersReachNeedsTLSAndAuthentication(t *testing.T) {
	cert := newAuthority(t).issue(t, "localhost")
	pair := func(c *gateway.ServerConfig) { c.TLS.CertFile, c.TLS.KeyFile = cert.files(t) }
	tests := []struct {
		name   string
		change func(*gateway.ServerConfig)
		flags  []string // that the refusal names; nil means that there is none
	}{
		{"nothing", func(*gateway.ServerConfig) {}, []string{"--tls-cert-file", "--tls-client-ca-file", "--jwt-keys", "--insecure-allow-remote", "--sidecar-address"}},
		{"TLS alone", pair, []string{"authentication"}},
		{"tokens alone", func(c *gateway.ServerConfig) { c.Authenticated = true }, []string{"lacks TLS;"}},
		{"TLS and tokens", func(c *gateway.ServerConfig) { pair(c); c.Authenticated = true }, nil},
		{"TLS and client certificates", func(c *gateway.ServerConfig) { pair(c); c.TLS.ClientCAFile = c.TLS.CertFile }, nil},
		{"the risk", func(c *gateway.ServerConfig) { c.InsecureAllowRemote = true }, nil},
	}
	for _, test := range tests {
		for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0"} {
			t.Run(test.name+" at "+address, func(t *testing.T) {
				cfg := gateway.ServerConfig{Address: address, Flag: "--sidecar-address"}
				test.change(&cfg)
				err := cfg.Check(t.Context())
				e, ok := errors.AsType[*bind.ConfigError](err)
				if (test.flags == nil) != (err == nil) || err != nil && !ok {
					t.Fatalf("got %v", err)
				}
				for _, want := range test.flags {
					if !strings.Contains(e.Message, want) {
						t.Errorf("%q does not name %s", e.Message, want)
					}
				}
			})
		}
	}
}

func TestABusyPortNamesItsHolder(t *testing.T) {
	b, _ := realBus(t)
	s, _ := serve(t, b)
	cfg := gateway.ServerConfig{Address: s.Address(), Flag: "--api-address", Handler: http.NotFoundHandler()}
	for _, err := range []error{cfg.Check(t.Context()), gateway.NewServer(b, cfg).Start(t.Context())} {
		if e, ok := errors.AsType[*bind.InUseError](err); !ok || e.Flag != "--api-address" {
			t.Errorf("got %v", err)
		}
	}
}

func TestTooManyConnectionsAreClosed(t *testing.T) {
	b, _ := realBus(t)
	s, c := serve(t, b, func(c *gateway.ServerConfig) { c.MaxConns = 3 })
	var open []net.Conn
	for range 3 {
		conn, err := net.Dial("tcp", s.Address())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if got, _ := exchange(t, conn, "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"); !strings.Contains(got, "200 OK") {
			t.Fatalf("got %s", got)
		}
		open = append(open, conn)
	}
	if got, open := raw(t, s.Address(), "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"); got != "" || open {
		t.Errorf("the fourth connection got %q", got)
	}
	if n := c.calls.Load(); n != 3 {
		t.Errorf("%d calls, want 3", n)
	}
	_ = open[0].Close()
	eventually(t, "room for another", func() bool {
		got, _ := raw(t, s.Address(), "GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		return strings.Contains(got, "200 OK")
	})
}

func TestOneClientHasAShareOfTheConnections(t *testing.T) {
	own := ""
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			own = n.IP.String()
		}
	}
	if own == "" {
		t.Skip("this machine has no address but loopback, which is not counted")
	}
	b, _ := realBus(t)
	s, c := serve(t, b, func(c *gateway.ServerConfig) {
		c.Address, c.InsecureAllowRemote, c.MaxConnsPerClient = net.JoinHostPort(own, "0"), true, 2
	})
	request := "GET /a HTTP/1.1\r\nHost: " + own + "\r\n\r\n"
	for i := range 3 {
		conn, err := net.Dial("tcp", s.Address())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		got, _ := exchange(t, conn, request)
		if ok := strings.Contains(got, "200 OK"); ok != (i < 2) {
			t.Errorf("connection %d got %q", i+1, got)
		}
	}
	if n := c.calls.Load(); n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
}

func TestAClientThatLeavesCancelsItsRequest(t *testing.T) {
	b, _ := realBus(t)
	s, c := serve(t, b)
	entered, left := make(chan struct{}), make(chan time.Time, 1)
	c.serve = func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		close(entered)
		<-r.Context().Done()
		left <- time.Now()
	}
	conn, err := net.Dial("tcp", s.Address())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc")
	<-entered
	_ = conn.Close()
	select {
	case <-left:
	case <-time.After(patience):
		t.Error("the request goes on")
	}
}

// get returns the status of url.
func get(t testing.TB, url string) int {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	return res.StatusCode
}

func awaitStatus(t testing.TB, url string, status int) {
	t.Helper()
	eventually(t, fmt.Sprint(status), func() bool { return get(t, url) == status })
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); !ok(); <-tick.C {
		if time.Since(began) > patience {
			t.Fatalf("still not: %s", what)
		}
	}
}
