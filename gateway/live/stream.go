package live

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
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
// in req.Codec, and Meta is the caller's; nothing is read from r but headers.
// The codec of the answers is this package's business.
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
	t, ok := s.begin(w, r)
	if !ok {
		return
	}
	defer t.end()
	stream, err := s.open(t.ctx, req, codec.JSON)
	if err != nil {
		t.refuse(err)
		return
	}
	p := pull(stream)
	var only sync.WaitGroup
	defer only.Wait()
	defer p.stop() // ends what only waits for
	only.Go(func() { sendOnly(stream, req) })
	t.relay(p, out)
}

// open opens a stream whose messages come in the codec c where the service can.
func (s *Server) open(ctx context.Context, req *rpc.Request, c codec.Codec) (*rpc.RawStream, error) {
	own := *req
	own.Codec = c
	return s.bus.Client.Open(ctx, &own)
}

// sendOnly sends the single message that the caller has. What Send misses, Recv
// tells: the stream has ended.
func sendOnly(stream *rpc.RawStream, req *rpc.Request) {
	c := req.Codec
	if c == 0 {
		c = codec.JSON
	}
	if stream.Send(c, req.Body) == nil {
		_ = stream.CloseSend()
	}
}

// relay sends the messages of p to the client until one side has enough.
func (t *talk) relay(p *puller, out feed) {
	o, release := t.outlet()
	defer release()
	o.lasting()
	begin := func() error {
		if o.begun {
			return nil
		}
		prelude := out.head(t.w.Header())
		if err := o.begin(out.contentType()); err != nil {
			return err
		}
		return o.write(prelude)
	}
	// last writes the end; a client who has gone does not miss it.
	last := func(b []byte) { _ = o.write(b) }
	fail := func(err error) {
		if !o.begun {
			t.refuse(err)
			return
		}
		last(out.fail(t.w.Header(), t.failed(p.stream, err), endOf(err)))
	}

	first := time.NewTimer(headAfter)
	defer first.Stop()
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	for p.next(); ; {
		var err error
		select {
		case m := <-p.got:
			switch {
			case m.err == io.EOF: //nolint:errorlint // it is never wrapped
				if begin() == nil {
					last(out.end(t.w.Header(), p.stream.Trailer()))
				}
				return
			case m.err != nil && t.told.Err() != nil:
				continue // the call ended because the client went
			case m.err != nil:
				fail(m.err)
				return
			}
			line, broken := asJSON(m.codec, m.body)
			if broken != nil {
				fail(broken)
				return
			}
			if err = begin(); err == nil {
				err = o.write(out.message(line))
			}
			p.next()
		case <-first.C:
			err = begin()
		case <-ping.C:
			if text := out.ping(); len(text) > 0 {
				if err = begin(); err == nil {
					err = o.write(text)
				}
			}
		case <-t.told.Done():
			why := t.parting()
			switch {
			case errors.Is(why, errGone):
			case o.begun && errors.Is(why, errShutdown):
				last(out.leave(t.w.Header(), t.failure(goingAway())))
			default:
				fail(orGoing(why))
			}
			return
		}
		if err != nil {
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
