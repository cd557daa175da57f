package live

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/rpc"
)

const (
	// headAfter is how long the head of an answer waits for the first message,
	// so that a call that fails at once has a status of its own.
	headAfter = 500 * time.Millisecond
	pingEvery = 15 * time.Second
)

// ServeStream calls a server stream and sends its messages as they come: as
// server-sent events if the client accepts text/event-stream, over a WebSocket if
// it asks for one (see ServeWebSocket), else as NDJSON. req.Body is the request,
// in req.Codec; nothing is read from r.
//
// The client that goes away cancels the call.
func (s *Server) ServeStream(w http.ResponseWriter, r *http.Request, req *rpc.Request) {
	if IsWebSocket(r) {
		own := *req
		if own.Body == nil {
			own.Body = []byte{}
		}
		s.ServeWebSocket(w, r, &own)
		return
	}
	kind, err := choose(r, typeNDJSON, typeSSE)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	var out feed = ndjson{}
	if kind == typeSSE {
		if r.Header.Get("Last-Event-ID") != "" {
			w.WriteHeader(http.StatusNoContent) // what makes an EventSource give up
			return
		}
		out = &sse{}
	}
	if err := s.enter(); err != nil {
		s.refuse(w, r, err)
		return
	}
	defer s.leave()

	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	stream, err := s.open(ctx, req)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	p := pull(stream)
	defer p.stop()
	// What Send misses, Recv tells: the stream has ended.
	if stream.Send(codecOf(req), req.Body) == nil {
		_ = stream.CloseSend()
	}
	s.relay(ctx, w, r, p, out)
}

// open opens a stream whose messages come as JSON where the service can.
func (s *Server) open(ctx context.Context, req *rpc.Request) (*rpc.RawStream, error) {
	own := *req
	own.Codec = codec.JSON
	return s.bus.Client.Open(ctx, &own)
}

func codecOf(req *rpc.Request) codec.Codec {
	if req.Codec == 0 {
		return codec.JSON
	}
	return req.Codec
}

// relay sends the messages of p to the client until one side has enough.
func (s *Server) relay(ctx context.Context, w http.ResponseWriter, r *http.Request, p *puller, out feed) {
	o := newOutlet(w)
	defer context.AfterFunc(s.hard, o.abandon)()
	begin := func() error {
		if o.begun {
			return nil
		}
		prelude := out.head(w.Header())
		if err := o.begin(out.contentType()); err != nil {
			return err
		}
		return o.write(prelude)
	}
	send := func(b []byte) error {
		if err := begin(); err != nil {
			return err
		}
		return o.write(b)
	}
	fail := func(err error) {
		if !o.begun {
			s.refuse(w, r, err)
			return
		}
		_ = o.write(out.fail(w.Header(), gateway.FailureOf(r, s.cfg.From, err), endOf(err))) // the client has gone
	}

	first := time.NewTimer(headAfter)
	defer first.Stop()
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	for {
		p.next()
		var m received
		for waiting := true; waiting; {
			var err error
			select {
			case m = <-p.got:
				waiting = false
			case <-first.C:
				err = begin()
			case <-ping.C:
				if text := out.ping(); len(text) > 0 {
					err = send(text)
				}
			case <-s.draining:
				if e := goingAway(); !o.begun {
					s.refuse(w, r, e)
				} else {
					_ = o.write(out.leave(w.Header(), gateway.FailureOf(r, s.cfg.From, e)))
				}
				return
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
		if m.err == io.EOF { //nolint:errorlint // it is never wrapped
			if begin() == nil {
				_ = o.write(out.end(w.Header(), p.stream.Trailer()))
			}
			return
		}
		line, err := asJSON(m.codec, m.body)
		if m.err != nil {
			err = m.err
		}
		if err != nil {
			fail(err)
			return
		}
		if send(out.message(line)) != nil {
			return
		}
	}
}

// endOf names how a call ended, as the header Mbus-End does.
func endOf(err error) string {
	if e := bus.AsError(err); e.End != 0 {
		return e.End.String()
	}
	return bus.Handler.String()
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	gateway.WriteError(w, r, s.cfg.From, err)
}
