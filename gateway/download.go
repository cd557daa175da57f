package gateway

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/rpc"
)

const (
	// defaultMaxBody is that of the client.
	defaultMaxBody = 64 << 20
	// gatherFactor is how many of the largest answers may be gathered at once,
	// each counting with its size.
	gatherFactor = 4
	// gatherStep is by how much an answer grows whose size is not known.
	gatherStep = 512 << 10
)

// Fetch makes the call that a request is about. An answer that travels in parts
// is not read: Pour passes it on as it comes, Gather makes it whole. ctx bounds
// the call up to the beginning of such an answer, which then lasts as long as the
// request and must be closed. req belongs to Fetch.
func (b *Bus) Fetch(ctx context.Context, r *http.Request, req *rpc.Request) (*rpc.Response, error) {
	req.InParts = true
	if deadline, bounded := ctx.Deadline(); bounded {
		req.Timeout = max(time.Until(deadline), time.Nanosecond)
		ctx = r.Context()
	}
	return b.Client.Do(ctx, req)
}

// Whole makes a call whose answer is needed whole, however it travels. release
// must be called when the answer is not needed any more, after an error too.
func (b *Bus) Whole(ctx context.Context, req *rpc.Request) (res *rpc.Response, release func(), err error) {
	req.InParts = true
	res, err = b.Client.Do(ctx, req)
	if err != nil {
		return nil, func() {}, err
	}
	release, err = b.Gather(res, 0)
	return res, release, err
}

// Gather makes an answer whole, and of JSON or msgpack the one of the two that
// into says. Answers of one message pass as they are.
//
// All answers that are whole in memory at once have at most four times MaxBody
// bytes, each counting twice, for what it is made into. What goes beyond is
// refused as resource_exhausted, with the status 503 and a second to wait.
// release must be called when the answer is not needed any more, after an error
// too.
func (b *Bus) Gather(res *rpc.Response, into codec.Codec) (release func(), err error) {
	if res.Parts == nil {
		return func() {}, nil
	}
	parts := res.Parts
	defer func() { _ = parts.Close() }() // it cannot fail
	held := &gathered{of: &b.gathering}
	res.Parts = nil
	if res.Body, err = held.read(parts); err != nil {
		return held.release, err
	}
	res.Meta = parts.Trailer()
	if !structured(res.Codec) || !structured(into) || res.Codec == into {
		return held.release, nil
	}
	text, err := codec.Transcode(res.Codec, into, res.Body)
	if err != nil {
		return held.release, bus.Errorf(bus.DataLoss, "the answer is broken: %w", err)
	}
	held.settle(len(text))
	res.Codec, res.Body = into, text
	return held.release, nil
}

func structured(c codec.Codec) bool { return c == codec.JSON || c == codec.Msgpack }

// gathering counts the bytes of the answers that are whole in memory.
type gathering struct {
	limit int64
	now   atomic.Int64
}

// A gathered is what one of them counts.
type gathered struct {
	of *gathering
	n  int64
}

// grow counts n bytes more, and what they are made into.
func (g *gathered) grow(n int) error {
	if g.of.now.Add(2*int64(n)) <= g.of.limit {
		g.n += 2 * int64(n)
		return nil
	}
	g.of.now.Add(-2 * int64(n))
	e := bus.Errorf(bus.ResourceExhausted, "too many large answers at once that cannot be passed on as they come; try again in a moment")
	e.End, e.Status, e.Retry = bus.Refused, http.StatusServiceUnavailable, bus.RetryAfter(comeBackAfter)
	return e
}

// settle counts what has come to be of an answer if that is more.
func (g *gathered) settle(n int) {
	if more := int64(n) - g.n; more > 0 {
		g.of.now.Add(more)
		g.n += more
	}
}

func (g *gathered) release() {
	g.of.now.Add(-g.n)
	g.n = 0
}

// read reads an answer. What has come of its size in the end is right: Parts have
// looked at it.
func (g *gathered) read(parts *rpc.Parts) ([]byte, error) {
	if size := parts.Size(); size >= 0 {
		if err := g.grow(size); err != nil {
			return nil, err
		}
		body := make([]byte, size)
		_, err := io.ReadFull(parts, body)
		return body, err
	}
	var body []byte
	for {
		if len(body) == cap(body) {
			more := max(gatherStep, cap(body))
			if err := g.grow(more); err != nil {
				return nil, err
			}
			body = append(make([]byte, 0, len(body)+more), body...)
		}
		n, err := parts.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if err == io.EOF { //nolint:errorlint // it is never wrapped
			return body, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// Pour writes an answer in parts as it comes, and closes it. The client takes it at
// its own pace: what it has not taken stays with the service, which waits for 30 s
// and a second for each 64 KiB in all. If the answer breaks off, Pour does not
// return but breaks the connection off too, by a panic that net/http knows: the
// client must not take half an answer for a whole one.
func (b *Bus) Pour(w io.Writer, parts *rpc.Parts) {
	defer func() { _ = parts.Close() }() // it cannot fail
	n, err := parts.WriteTo(w)
	if err != nil {
		b.logger.Debug().Err(err).Int64("bytes", n).Msg("an answer broke off")
		panic(http.ErrAbortHandler)
	}
}

// WriteJSON is the function WriteJSON for an answer of Fetch.
func (b *Bus) WriteJSON(w http.ResponseWriter, res *rpc.Response) error {
	if res.Parts == nil || res.Codec == codec.Msgpack || res.Parts.Size() < 0 {
		release, err := b.Gather(res, codec.JSON)
		defer release()
		if err != nil {
			return err
		}
		return WriteJSON(w, res)
	}
	jsonHeader(w.Header(), res.Codec, res.Parts.Size())
	b.Pour(w, res.Parts)
	return nil
}

// jsonHeader is the head of what WriteJSON answers.
func jsonHeader(h http.Header, kind codec.Codec, size int) {
	h.Set("Content-Type", kind.ContentType())
	h.Set("Content-Length", strconv.Itoa(size))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
}
