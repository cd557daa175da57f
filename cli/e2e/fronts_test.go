//go:build unix

package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/rpc"
)

// A front is a reverse proxy that keeps connections to what stands behind it. Its
// clients share them, so a request that the two read differently would become
// another client's.
type front struct {
	program, install string
	arguments        func(file string) []string
	config           string // of %[1]s, a port, and %[2]s, an address behind it
}

var fronts = map[string]front{
	"nginx": {
		"nginx", "apt-get install nginx-light",
		func(file string) []string { return []string{"-e", "stderr", "-p", filepath.Dir(file), "-c", file} },
		`daemon off; worker_processes 1; pid pid; error_log stderr; events { worker_connections 256; }
http {
	access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
	merge_slashes off; ignore_invalid_headers off; underscores_in_headers on;
	upstream behind { server %[2]s; keepalive 4; }
	server {
		listen 127.0.0.1:%[1]s;
		location / {
			proxy_pass http://behind; proxy_http_version 1.1; proxy_request_buffering off;
			proxy_set_header Connection ""; proxy_set_header Host localhost;
		}
	}
}
`,
	},
	"haproxy": {
		"haproxy", "apt-get install haproxy",
		func(file string) []string { return []string{"-db", "-f", file} },
		haproxyConfig,
	},
}

// haproxyConfig lets through what the proxy refuses by itself: it shall not be the
// one that solves the riddles.
const haproxyConfig = `defaults
	mode http
	timeout client 10s
	timeout server 10s
	timeout connect 2s
	timeout http-request 5s
	http-reuse always
backend behind
	http-request set-header Host localhost
	server it %[2]s
frontend it
	bind 127.0.0.1:%[1]s
	option accept-invalid-http-request
	default_backend behind
`

// start runs the proxy before an address and returns where it listens.
func (f front) start(t *testing.T, behind string) string {
	t.Helper()
	path, err := exec.LookPath(f.program)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + f.program) // not in everybody's path
	}
	if err != nil {
		missing(t, "%s is missing: %s", f.program, f.install)
	}
	port, file := freePort(t), filepath.Join(t.TempDir(), "config")
	config := fmt.Sprintf(f.config, port, behind)
	if f.program == "nginx" && os.Getuid() == 0 {
		config = "user root; " + config
	}
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, command{path: path, args: f.arguments(file)})
	address := "127.0.0.1:" + port
	eventually(t, startup, f.program, func() error {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err
	})
	return address
}

// A songbook counts what was served, by the id in the request.
type songbook struct {
	mu     sync.Mutex
	served map[string]int
}

func (l *songbook) add(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.served[id]++
}

func (l *songbook) of(id string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.served[id]
}

const canaryPath = "/test.canary/Canary.Sing"

// canary serves calls and counts them.
func canary(t *testing.T, url string) *songbook {
	t.Helper()
	conn, err := bus.Connect(t.Context(), bus.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	book := &songbook{served: make(map[string]int)}
	srv := rpc.NewServer(conn, rpc.ServerConfig{Name: "test.canary"})
	type song struct {
		ID string `json:"id"`
	}
	rpc.Handle(srv, "Canary.Sing", func(_ context.Context, s *song) (*song, error) {
		book.add(s.ID)
		return s, nil
	}, rpc.Note("safe", "true"))
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := srv.Stop(ctx); err != nil {
			t.Error(err)
		}
		_ = conn.Close(ctx)
	})
	return book
}

// deaf is a server that knows no bodies, as no server of today should be: what the
// proxies take for one it takes for requests.
func deaf(t *testing.T) (address string, book *songbook) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	book = &songbook{served: make(map[string]int)}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(time.Minute))
				for in := bufio.NewReader(c); serveDeaf(in, c, book) == nil; {
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		work.Wait() // the proxies are gone by now, and with them the connections
	})
	return l.Addr().String(), book
}

var idOf = regexp.MustCompile(`\?id=([\w-]+)`)

func serveDeaf(in *bufio.Reader, out io.Writer, book *songbook) error {
	id, begun := "", false
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimRight(line, "\r\n")
		if !begun { // what is no request is skipped
			if begun = strings.Contains(line, " HTTP/1."); begun {
				if m := idOf.FindStringSubmatch(line); m != nil {
					id = m[1]
				}
			}
			continue
		}
		if line == "" {
			break
		}
	}
	book.add(id)
	body := fmt.Sprintf(`{"id":%q}`, id)
	_, err := fmt.Fprintf(out, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	return err
}

// A flock sends riddles through a front, and honest requests between them.
type flock struct {
	front   string
	book    *songbook
	control bool         // it is to fail, and waits for nothing
	hidden  atomic.Int32 // requests that were served and that the front never sent
	crossed atomic.Int32 // honest requests that got another's answer, or none
}

// exchange writes and returns what comes back, until nothing does for a moment and
// nothing more is due.
func (f *flock) exchange(text string, due func(answers int) bool) (got []byte, answers int) {
	c, err := net.Dial("tcp", f.front)
	if err != nil {
		return nil, 0
	}
	defer c.Close()
	_, _ = io.WriteString(c, text) // who is refused early cannot write all
	part := make([]byte, 4096)
	for wait, end := time.Second, time.Now().Add(5*time.Second); ; {
		_ = c.SetReadDeadline(time.Now().Add(wait))
		n, err := c.Read(part)
		got, wait = append(got, part[:n]...), 200*time.Millisecond
		answers = len(answerOf.FindAll(got, -1))
		if quiet := errors.Is(err, os.ErrDeadlineExceeded); err != nil && (!quiet || !due(answers) || time.Now().After(end)) {
			return got, answers
		}
	}
}

var answerOf = regexp.MustCompile(`HTTP/1\.[01] [2-5]\d\d`)

func (f *flock) pose(t *testing.T, name string, number int, text func(id string) string) {
	id := fmt.Sprintf("hidden-%d", number)
	// What the front has sent on as a request of its own is answered to this client.
	_, answers := f.exchange(text(id), func(n int) bool { return n == 1 && !f.control && f.book.of(id) > 0 })
	for i := range 3 {
		honest := fmt.Sprintf("honest-%d-%d", number, i)
		got, n := f.exchange("GET "+canaryPath+"?id="+honest+" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", func(n int) bool { return n == 0 && !f.control })
		if n != 1 || !bytes.Contains(got, []byte(`"`+honest+`"`)) {
			f.crossed.Add(1)
			t.Logf("%s: the honest request %s was answered %.300q", name, honest, got)
		}
	}
	if n := f.book.of(id); n > 0 && answers < 2 {
		f.hidden.Add(1)
		t.Logf("%s: %d answers, and the hidden request was served %d times", name, answers, n)
	}
}

// all poses every riddle, several at a time.
func (f *flock) all(t *testing.T) {
	t.Helper()
	all := riddles()
	next := make(chan int)
	var work sync.WaitGroup
	for range 12 {
		work.Go(func() {
			for i := range next {
				f.pose(t, all[i].name, i, all[i].text)
			}
		})
	}
	for i := range all {
		next <- i
	}
	close(next)
	work.Wait()
}

func TestNoRequestHidesInAnotherBehindAProxy(t *testing.T) {
	t.Parallel()
	if n := len(riddles()); n < 150 {
		t.Fatalf("%d riddles", n)
	}
	b := startNode(t, "--ephemeral", "--no-jetstream", "--api-address", "127.0.0.1:0", "--log-level", "warn")
	book := canary(t, b.url)
	for name, proxy := range fronts {
		t.Run(name, func(t *testing.T) {
			f := &flock{front: proxy.start(t, strings.TrimPrefix(b.api, "http://")), book: book}
			f.all(t)
			if n := f.hidden.Load(); n > 0 {
				t.Errorf("%d hidden requests were served", n)
			}
			if n := f.crossed.Load(); n > 0 {
				t.Errorf("%d honest requests were not answered as their own", n)
			}
			// The same riddles before a server that falls for them.
			address, fooled := deaf(t)
			control := &flock{front: proxy.start(t, address), book: fooled, control: true}
			control.all(t)
			if control.hidden.Load()+control.crossed.Load() == 0 {
				t.Error("a server that knows no bodies passes, so this finds nothing")
			}
		})
		book.mu.Lock()
		clear(book.served)
		book.mu.Unlock()
	}
}
