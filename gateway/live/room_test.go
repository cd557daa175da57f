package live_test

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"iter"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/live"
	"github.com/mbus-dev/mbus/rpc"
)

const lab = "go.micro.srv.lab"

type (
	Number struct {
		I   int    `json:"i"`
		Pad string `json:"pad,omitempty"`
	}
	Text struct {
		Text string `json:"text"`
	}
	Count struct {
		N     int    `json:"n"`
		Every int    `json:"every"` // milliseconds
		Fail  string `json:"fail"`
		Pad   int    `json:"pad"`
	}
)

// Lab has a stream of each kind.
type Lab struct {
	calls   atomic.Int64 // handlers that have begun
	sent    atomic.Int64 // messages that the stream has taken
	working atomic.Int64 // handlers at work
}

func (l *Lab) begin() func() {
	l.calls.Add(1)
	l.working.Add(1)
	return func() { l.working.Add(-1) }
}

func (l *Lab) Count(ctx context.Context, req *Count, send func(*Number) error) error {
	defer l.begin()()
	if req.Fail == "first" {
		return bus.Errorf(bus.InvalidArgument, "n is wrong")
	}
	for i := range req.N {
		if err := send(&Number{I: i, Pad: strings.Repeat("x", req.Pad)}); err != nil {
			return err
		}
		l.sent.Add(1)
		if req.Every > 0 {
			select {
			case <-time.After(time.Duration(req.Every) * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	if req.Fail != "" {
		e := bus.Errorf(bus.Conflict, "you asked for it")
		e.Detail = []byte(`{"why":"test"}`)
		return e
	}
	return nil
}

func (l *Lab) Sum(_ context.Context, in iter.Seq2[*Number, error]) (*Number, error) {
	defer l.begin()()
	var sum Number
	for n, err := range in {
		if err != nil {
			return nil, err
		}
		l.sent.Add(1)
		if n.I < 0 {
			return nil, bus.Errorf(bus.InvalidArgument, "a number is negative")
		}
		if n.I == 1000 {
			break
		}
		sum.I += n.I
	}
	return &sum, nil
}

func (l *Lab) Chat(_ context.Context, stream *rpc.Stream[Text, Text]) error {
	defer l.begin()()
	n := 0
	for m, err := range stream.All() {
		if err != nil {
			return err
		}
		if m.Text == "fail" {
			return bus.Errorf(bus.Conflict, "you asked for it")
		}
		if err := stream.Send(m); err != nil {
			return err
		}
		n++
	}
	stream.SetTrailer("count", strconv.Itoa(n))
	return nil
}

// Stuck receives nothing until its context ends.
func (l *Lab) Stuck(ctx context.Context, _ *rpc.Stream[Text, Text]) error {
	defer l.begin()()
	<-ctx.Done()
	return ctx.Err()
}

// Late takes nothing for three minutes, and is an echo then.
func (l *Lab) Late(ctx context.Context, stream *rpc.Stream[Text, Text]) error {
	time.Sleep(3 * time.Minute)
	return l.Chat(ctx, stream)
}

// A room is a live.Server behind an HTTP server whose connections are pipes, so
// that it works in virtual time.
type room struct {
	t       testing.TB
	handler http.Handler
	live    *live.Server
	lab     *Lab
	conn    *bus.Conn // the gateway's
	client  *http.Client
	listen  *pipes
}

func newRoom(t testing.TB, b *bustest.Bus, change ...func(*live.Config)) *room {
	t.Helper()
	return newRoomFor(t, b, false, change...)
}

// newRoomFor is newRoom with a client that speaks HTTP/2, or HTTP/1.1.
func newRoomFor(t testing.TB, b *bustest.Bus, http2 bool, change ...func(*live.Config)) *room {
	t.Helper()
	var cfg live.Config
	for _, f := range change {
		f(&cfg)
	}
	r := &room{t: t, lab: new(Lab), conn: b.Conn(t), listen: newPipes()}
	srv := rpc.NewServer(b.Conn(t), rpc.ServerConfig{Name: lab})
	rpc.Register(srv, r.lab)
	srv.HandleRawStream("Lab.Odd", "server-stream", odd)
	srv.HandleRawStream("Lab.Tail", "bidi", tail)
	facade := gateway.NewBus(r.conn, gateway.BusConfig{From: "go.micro.api"})
	for _, runner := range []bus.Runner{srv, facade} {
		if err := runner.Start(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { stop(t, runner.Stop) })
	}
	r.live = live.New(facade, cfg)
	t.Cleanup(func() { stop(t, r.live.Stop) })

	r.handler = r.routes()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { r.handler.ServeHTTP(w, req) }), Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(r.listen) })
	transport := &http.Transport{DialContext: r.listen.dial, Protocols: new(http.Protocols)}
	transport.Protocols.SetHTTP1(!http2)
	transport.Protocols.SetUnencryptedHTTP2(http2)
	r.client = &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close()
		serving.Wait()
	})
	return r
}

func stop(t testing.TB, f func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := f(ctx); err != nil {
		t.Error(err)
	}
}

func (r *room) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/stream/{method}", func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			r.t.Error(err)
		}
		if q := req.URL.Query().Get("q"); q != "" {
			body = []byte(q)
		}
		r.live.ServeStream(w, req, &rpc.Request{Service: cmp.Or(req.URL.Query().Get("service"), lab), Method: req.PathValue("method"), Body: body})
	})
	mux.HandleFunc("/upload/{method}", func(w http.ResponseWriter, req *http.Request) {
		r.live.ServeUpload(w, req, &rpc.Request{Service: lab, Method: req.PathValue("method")})
	})
	mux.HandleFunc("/ws/{service}/{method}", func(w http.ResponseWriter, req *http.Request) {
		r.live.ServeWebSocket(w, req, &rpc.Request{Service: req.PathValue("service"), Method: req.PathValue("method")})
	})
	mux.HandleFunc("/events", r.live.ServeEvents)
	mux.HandleFunc("/broker", r.live.ServeBroker)
	return mux
}

// An answer is a response whose body the cleanup of the test closes.
type answer struct{ *http.Response }

// do sends a request and fails the test if there is no answer.
func (r *room) do(method, path, body string, header ...string) *answer {
	r.t.Helper()
	req, err := http.NewRequestWithContext(bustest.Context(r.t), method, "http://mbus"+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = res.Body.Close() })
	return &answer{res}
}

func (r *room) idle(within time.Duration) {
	r.t.Helper()
	bustest.Eventually(r.t, within, "no conversation and no handler is left", func() bool {
		return r.live.Count() == 0 && r.lab.working.Load() == 0
	})
}

func text(t testing.TB, res *answer) string {
	t.Helper()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("after %q: %v", body, err)
	}
	return string(body)
}

// odd sends what a service should not: the name in the request says what.
func odd(_ context.Context, stream *rpc.RawStream) error {
	c, body, err := stream.Recv()
	if err != nil {
		return err
	}
	var want Text
	if err := c.Unmarshal(body, &want); err != nil {
		return err
	}
	switch want.Text {
	case "bytes":
		return stream.Send(codec.Raw, []byte{0, 1, 255})
	case "empty":
		return stream.Send(codec.JSON, nil)
	case "lines":
		return stream.Send(codec.JSON, []byte("{\r\n  \"i\": 12345678901234567890\n}\n"))
	case "msgpack":
		return stream.Send(codec.Msgpack, []byte{0x81, 0xa1, 'i', 7})
	case "text":
		return stream.Send(codec.JSON, []byte("not JSON"))
	case "protobuf":
		return stream.Send(codec.Protobuf, []byte{8, 1})
	case "error":
		return stream.Send(codec.JSON, []byte(`{"error":{"code":404}}`))
	case "trailer":
		stream.SetTrailer("rows", "3")
		stream.SetTrailer("x-mbus-secret", "1")
		return nil
	}
	return bus.Errorf(bus.NotFound, "no %q", want.Text)
}

// pipes is a listener of connections that are net.Pipes.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// An sseEvent is one server-sent event, as a browser understands it.
type sseEvent struct{ id, name, data string }

// sseReader reads events by the rules of the HTML standard.
type sseReader struct {
	r        *bufio.Reader
	comments []string
	retry    string
}

func readSSE(r io.Reader) *sseReader { return &sseReader{r: bufio.NewReader(r)} }

func (s *sseReader) next() (sseEvent, error) {
	var e sseEvent
	var data strings.Builder
	for {
		line, err := s.line()
		if err != nil {
			return sseEvent{}, err
		}
		if line == "" {
			if data.Len() == 0 {
				e = sseEvent{}
				continue
			}
			e.data = strings.TrimSuffix(data.String(), "\n")
			return e, nil
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "":
			s.comments = append(s.comments, value)
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			data.WriteString(value + "\n")
		case "retry":
			s.retry = value
		}
	}
}

// line reads up to a LF, a CR, or both.
func (s *sseReader) line() (string, error) {
	var b []byte
	for {
		c, err := s.r.ReadByte()
		switch {
		case err != nil:
			if errors.Is(err, io.EOF) && len(b) > 0 {
				return string(b), nil
			}
			return "", err
		case c == '\n':
			return string(b), nil
		case c == '\r':
			if next, err := s.r.Peek(1); err == nil && next[0] == '\n' {
				_, _ = s.r.ReadByte()
			}
			return string(b), nil
		}
		b = append(b, c)
	}
}
