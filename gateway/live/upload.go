package live

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/rpc"
)

// quiet is how long an upload may bring nothing.
const quiet = 60 * time.Second

// ServeUpload calls a client stream: each line of the NDJSON body is a message,
// and what the service answers, which it may do before the end of the body, is
// the answer to the request, with the trailer of the stream. Over a WebSocket it is
// ServeWebSocket. req.Body is not used.
//
// Of the body there is never more than one line here. It goes on being read only
// while the service takes what it has been sent.
func (s *Server) ServeUpload(w http.ResponseWriter, r *http.Request, req *rpc.Request) {
	if IsWebSocket(r) {
		own := *req
		own.Body = nil
		s.ServeWebSocket(w, r, &own)
		return
	}
	err := linesOf(r)
	if err == nil {
		_, err = choose(r, "application/json")
	}
	if err != nil {
		s.refuse(w, r, err)
		return
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
	answer, trailer, err := t.upload(stream)
	if err != nil {
		t.refuse(err)
		return
	}
	o, release := t.outlet()
	defer release()
	if trailer == nil { // which HTTP/1.1 has only where no length is said
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	}
	if o.begin("application/json") == nil {
		_ = o.write(answer) // a client who has gone does not miss it
		setTrailer(w.Header(), trailer)
	}
}

// linesOf refuses bodies that are not lines of JSON. curl and forms do not say
// what they send: they are believed.
func linesOf(r *http.Request) error {
	name := r.Header.Get("Content-Type")
	kind, _, err := mime.ParseMediaType(name)
	switch kind {
	case "", "application/x-ndjson", "application/ndjson", "application/jsonl", "application/json", "application/x-www-form-urlencoded":
		if err == nil || name == "" {
			return nil
		}
	}
	return wrong(http.StatusUnsupportedMediaType, "Content-Type %q: send application/x-ndjson, one JSON document a line", name)
}

func (t *talk) upload(stream *rpc.RawStream) (answer []byte, trailer rpc.Metadata, err error) {
	rc := http.NewResponseController(t.w)
	_ = rc.EnableFullDuplex() // HTTP/2 is so by itself
	body := &patientBody{body: t.r.Body, rc: rc}
	defer context.AfterFunc(t.s.severed, body.abandon)()

	bad := make(chan error, 1) // what is wrong with the body
	var pump sync.WaitGroup
	pump.Go(func() {
		defer close(bad)
		if err := send(stream, body, t.s.cfg.MaxMessage); err != nil {
			bad <- err
		}
	})
	p := pull(stream)
	if answer, err = t.answer(p, bad); err == nil {
		trailer = t.trailer(p)
	}
	p.stop() // ends Send
	body.abandon()
	pump.Wait()
	if err != nil && bus.AsError(err).Code == bus.Canceled {
		// A body that cannot be read ends the request for net/http. The reason
		// is worth more than that.
		if reason := <-bad; reason != nil {
			err = reason
		}
	}
	return answer, trailer, err
}

// answer waits for the answer of the service, or for what comes in its place.
func (t *talk) answer(p *puller, bad <-chan error) ([]byte, error) {
	for p.next(); ; {
		select {
		case m := <-p.got:
			switch {
			case m.err == io.EOF: //nolint:errorlint // it is never wrapped
				return []byte("null"), nil
			case m.err != nil:
				return nil, m.err
			}
			return asJSON(m.codec, m.body)
		case err := <-bad:
			if err != nil {
				return nil, err
			}
			bad = nil // the body has ended, or the stream
		case <-t.told.Done():
			if why := t.parting(); !errors.Is(why, errGone) {
				return nil, orGoing(why)
			}
			return nil, context.Canceled
		}
	}
}

// send sends the lines of body as messages. Its error is about the body; what
// goes wrong with the stream shows where it is received from.
func send(stream *rpc.RawStream, body io.Reader, most int) error {
	lines := bufio.NewReaderSize(body, min(most+2, 16<<10))
	var told *bus.Error
	var bound *http.MaxBytesError
	for n := 1; ; n++ {
		line, err := readLine(lines, most)
		switch {
		case errors.Is(err, bus.TooLarge):
			return bus.Errorf(bus.TooLarge, "line %d has over %d bytes", n, most)
		case errors.Is(err, os.ErrDeadlineExceeded):
			return wrong(http.StatusRequestTimeout, "nothing came for %v after line %d", quiet, n-1)
		case errors.As(err, &told):
			return told // by whoever bounds the body
		case errors.As(err, &bound):
			return bus.Errorf(bus.TooLarge, "the body has over %d bytes, in line %d", bound.Limit, n)
		case err != nil && err != io.EOF: //nolint:errorlint // readLine does not wrap it
			return bus.Errorf(bus.InvalidArgument, "the body broke off in line %d", n)
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			if e := codec.Guard(codec.JSON, line); e != nil {
				return bus.Errorf(bus.InvalidArgument, "line %d: %w", n, e)
			}
			if stream.Send(codec.JSON, line) != nil {
				return nil
			}
		}
		if err != nil {
			_ = stream.CloseSend()
			return nil
		}
	}
}

// readLine returns the next line, without its end; with io.EOF it is the last.
func readLine(r *bufio.Reader, most int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(bytes.TrimRight(part, "\r\n")) > most {
			return nil, bus.TooLarge
		}
		line = append(line, part...)
		if err != bufio.ErrBufferFull { //nolint:errorlint // it is never wrapped
			return line, err
		}
	}
}

// A patientBody is the body of a request that may take long, but not be quiet
// for long.
type patientBody struct {
	body io.ReadCloser
	rc   *http.ResponseController

	mu   sync.Mutex
	over bool
}

func (b *patientBody) Read(p []byte) (int, error) {
	b.deadline(time.Now().Add(quiet))
	n, err := b.body.Read(p)
	if err != nil {
		b.deadline(time.Time{}) // from here the server watches for the client's going
		b.mu.Lock()
		b.over = true
		b.mu.Unlock()
	}
	return n, err
}

func (b *patientBody) deadline(at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.over {
		_ = b.rc.SetReadDeadline(at) // not every ResponseWriter has deadlines
	}
}

// abandon ends a Read that is under way, and all later ones.
func (b *patientBody) abandon() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return
	}
	b.over = true
	if b.rc.SetReadDeadline(time.Unix(1, 0)) != nil {
		_ = b.body.Close() // it cannot be of use any more
	}
}
