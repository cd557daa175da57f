package live

import (
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/rpc"
)

// trailerWait is how long the one answer to an upload waits for the end of the
// stream, which brings the trailer.
const trailerWait = headAfter

// public leaves out what belongs to the bus. It is nil if nothing is left.
func public(m rpc.Metadata) rpc.Metadata {
	var out rpc.Metadata
	for name, value := range m {
		if gateway.Internal(name) {
			continue
		}
		if out == nil {
			out = make(rpc.Metadata, len(m))
		}
		out[name] = value
	}
	return out
}

// A failure is how a stream has failed, with the trailer that its service has
// sent all the same.
type failure struct {
	gateway.Failure
	Trailer rpc.Metadata `json:"trailer,omitempty"`
}

// failed is the failure of a stream; nil is one that was never open.
func (t *talk) failed(stream *rpc.RawStream, err error) failure {
	f := failure{Failure: t.failure(err)}
	if stream != nil {
		f.Trailer = public(stream.Trailer())
	}
	return f
}

// setTrailer puts a trailer where net/http sends it behind the body.
func setTrailer(h http.Header, trailer rpc.Metadata) {
	for name, value := range trailer {
		h.Set(http.TrailerPrefix+name, value)
	}
}

// end sends the trailer of a stream that has ended well to the client of a
// WebSocket, if there is one: behind an empty text, which no message is.
func (c *conversation) end() error {
	trailer := public(c.stream.Trailer())
	if trailer == nil {
		return nil
	}
	text, err := json.Marshal(struct {
		Trailer rpc.Metadata `json:"trailer"`
	}{trailer})
	if err == nil {
		err = c.sock.text(nil)
	}
	if err == nil {
		err = c.sock.text(text)
	}
	return c.sent(err)
}

// trailer waits for the end of a stream whose one answer has come. A service that
// goes on, or fails, behind its answer has no trailer.
func (t *talk) trailer(p *puller) rpc.Metadata {
	limit := time.NewTimer(trailerWait)
	defer limit.Stop()
	p.next()
	select {
	case m := <-p.got:
		if m.err == io.EOF { //nolint:errorlint // it is never wrapped
			return public(p.stream.Trailer())
		}
	case <-limit.C:
	case <-t.told.Done():
	}
	return nil
}
