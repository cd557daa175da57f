package gateway

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/mbus-dev/mbus/bus"
)

// MaxForm is the most bytes of a JSON or form body.
const MaxForm = 1 << 20

// ReadBody reads the body of a request whole: what is broken or cut off then
// never becomes a call. A body over limit bytes is too_large, one in a content
// encoding is refused with 415, and one that does not come whole is
// invalid_argument.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		err := bus.Errorf(bus.InvalidArgument, "a body in the encoding %.40q is not read here; send it as it is", e)
		err.Status = http.StatusUnsupportedMediaType
		return nil, err
	}
	if r.ContentLength > limit {
		return nil, overBody(limit)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err == nil {
		return body, nil
	}
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return nil, overBody(limit)
	}
	// The edge says that it came too slowly, and net/http ends the context then.
	if e, ok := errors.AsType[*bus.Error](err); ok {
		return nil, e
	}
	if ctx := r.Context(); ctx.Err() != nil {
		return nil, bus.AsError(ctx.Err())
	}
	return nil, bus.Errorf(bus.InvalidArgument, "the body did not come whole: %v", err)
}

// SetLength sets the Content-Length of an answer, before WriteHeader.
func SetLength(w http.ResponseWriter, n int) {
	if x, ok := w.(*exchange); ok && x.turn != nil {
		x.turn.reply.preset = int64(n) + 1 // without a field of the header
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(n))
}

// TakeBody returns the body of a request if it has come already, and is the
// caller's. It is nil if the body is still to be read.
func TakeBody(r *http.Request) []byte {
	if b, ok := r.Body.(*wholeBody); ok {
		return b.take()
	}
	return nil
}

func overBody(limit int64) *bus.Error {
	return bus.Errorf(bus.TooLarge, "the body is over the %d bytes allowed here", limit)
}
