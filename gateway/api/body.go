package api

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/gateway"
)

const (
	// maxRatio is how many times larger than what came a body may unpack to.
	maxRatio = 20
	// alwaysUnpacked is what a body may unpack to whatever came.
	alwaysUnpacked = 16 << 10
	// readStep is by how much a body grows in memory while it comes.
	readStep = 512 << 10
)

// holds counts the bytes of the uploads that are being read or called with.
type holds struct {
	limit int64
	now   atomic.Int64
}

// take reserves n bytes, or says that there is no room.
func (h *holds) take(n int64) error {
	if h.now.Add(n) <= h.limit {
		return nil
	}
	h.now.Add(-n)
	e := bus.Errorf(bus.ResourceExhausted, "too many uploads at once; try again in a moment")
	e.End, e.Retry = bus.Refused, bus.RetrySafe
	return e
}

// A hold is what one request has reserved.
type hold struct {
	of *holds
	n  int64
}

func (h *hold) grow(n int64) error {
	if h.of == nil {
		return nil
	}
	if err := h.of.take(n); err != nil {
		return err
	}
	h.n += n
	return nil
}

func (h *hold) release() {
	if h.of != nil {
		h.of.now.Add(-h.n)
	}
	h.n = 0
}

// readBody reads the body of a request whole, unpacked if it is packed with
// gzip. limit bounds what comes and what it unpacks to; h gets what it takes.
func readBody(w http.ResponseWriter, r *http.Request, limit int64, h *hold) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, overBody(limit)
	}
	packed := r.Header["Content-Encoding"]
	if r.ContentLength > 0 && len(packed) == 0 && h.of == nil { // what most requests are
		if body := gateway.TakeBody(r); body != nil {
			return body, nil
		}
		body := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			return nil, unread(r, err, limit)
		}
		return body, nil
	}
	body := http.MaxBytesReader(w, r.Body, limit)
	switch e := strings.ToLower(strings.Join(packed, ",")); e {
	case "", "identity":
		return readAll(r, body, limit, h)
	case "gzip", "x-gzip":
		return unpack(r, body, limit, h)
	default:
		return nil, status(http.StatusUnsupportedMediaType, "a body in the encoding %.40q is not read; send it as it is, or as gzip", e)
	}
}

// readAll reads at most limit bytes of src.
func readAll(r *http.Request, src io.Reader, limit int64, h *hold) ([]byte, error) {
	var buf bytes.Buffer
	for {
		if err := h.grow(readStep); err != nil {
			return nil, err
		}
		switch n, err := io.CopyN(&buf, src, readStep); {
		case err == io.EOF: //nolint:errorlint // CopyN returns it as it is
			_ = n
			return buf.Bytes(), nil
		case err != nil:
			return nil, unread(r, err, limit)
		case int64(buf.Len()) > limit:
			return nil, overBody(limit)
		}
	}
}

// unpack reads a body packed with gzip.
func unpack(r *http.Request, src io.Reader, limit int64, h *hold) ([]byte, error) {
	came := &counting{r: src}
	z, err := gzip.NewReader(came)
	if err != nil {
		return nil, unread(r, err, limit)
	}
	var buf bytes.Buffer
	for {
		if err := h.grow(alwaysUnpacked); err != nil {
			return nil, err
		}
		_, err := io.CopyN(&buf, z, alwaysUnpacked)
		size := int64(buf.Len())
		switch {
		case err != nil && err != io.EOF: //nolint:errorlint // CopyN returns it as it is
			return nil, unread(r, err, limit)
		case size > limit:
			return nil, overBody(limit)
		case size > alwaysUnpacked && size > maxRatio*came.n:
			return nil, bus.Errorf(bus.TooLarge, "the body unpacks to more than %d times its size", maxRatio)
		case err != nil:
			return buf.Bytes(), nil
		}
	}
}

type counting struct {
	r io.Reader
	n int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// unread says why a body could not be read.
func unread(r *http.Request, err error, limit int64) error {
	if e, ok := errors.AsType[*bus.Error](err); ok {
		return e
	}
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return overBody(limit)
	}
	if ctx := r.Context(); ctx.Err() != nil {
		return bus.AsError(ctx.Err())
	}
	return bus.Errorf(bus.InvalidArgument, "the body did not come whole: %w", err)
}

func overBody(limit int64) error {
	return bus.Errorf(bus.TooLarge, "the body is over the %d bytes allowed here", limit)
}

// maxForm is the most bytes of a body that is no upload.
const maxForm = gateway.MaxForm
