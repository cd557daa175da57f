package sidecar

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/rpc"
)

// A form is how calls of an app are put into HTTP.
type form string

// The forms, as the metadata "protocol" of a node or a service names them.
const (
	formJSONRPC form = "jsonrpc"
	formHTTP    form = "http"
)

// parseForm reads the metadata "protocol"; none is Micro's.
func parseForm(text string) (form, error) {
	switch f := form(text); f {
	case "":
		return formJSONRPC, nil
	case formJSONRPC, formHTTP:
		return f, nil
	}
	return "", bus.Errorf(bus.InvalidArgument, "the protocol %.40q is not known: jsonrpc and http are", text)
}

// maxErrorText bounds what is kept of the words of a failure.
const maxErrorText = 2 << 10

// Headers of a call to an app.
const (
	headerTimeout = "Timeout"              // nanoseconds left, as Micro sent it
	headerFrom    = "X-Micro-From-Service" // who calls
)

// newCall makes a request to an app, with the metadata of the call as its
// headers.
func newCall(ctx context.Context, target netip.AddrPort, path string, body io.Reader, req *rpc.Request) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+target.String()+path, body)
	if err != nil {
		return nil, err
	}
	setHeaders(r.Header, req.Meta)
	if req.From != "" {
		r.Header.Set(headerFrom, req.From)
	}
	if deadline, ok := ctx.Deadline(); ok {
		r.Header.Set(headerTimeout, strconv.FormatInt(max(0, time.Until(deadline).Nanoseconds()), 10))
	}
	r.Header.Set("User-Agent", "mbus-sidecar")
	return r, nil
}

// setHeaders turns metadata into headers, without those that shape the message
// itself.
func setHeaders(h http.Header, meta map[string]string) {
	for name, value := range meta {
		if !shapes(name) {
			h.Set(name, value)
		}
	}
}

// shapes reports whether a header is about the message on its hop, and not for
// whoever reads it.
func shapes(name string) bool {
	switch http.CanonicalHeaderKey(name) {
	case "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding",
		"Upgrade", "Content-Length", "Content-Type", "Content-Encoding", "Host", "Expect", "Accept-Encoding", headerTimeout:
		return true
	}
	return false
}

// An answer is what an app has answered.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// exchange sends a request to an app and reads the answer whole, at most limit
// bytes of it.
func exchange(transport http.RoundTripper, r *http.Request, limit int) (*answer, error) {
	res, err := transport.RoundTrip(r)
	if err != nil {
		return nil, unanswered(r.Context(), err)
	}
	defer func() { _ = res.Body.Close() }() // what is left is not wanted
	if res.ContentLength > int64(limit) {
		return nil, tooMuch(limit)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, int64(limit)+1))
	switch {
	case len(body) > limit:
		return nil, tooMuch(limit)
	case err != nil && r.Context().Err() != nil:
		return nil, bus.AsError(context.Cause(r.Context()))
	case err != nil:
		return nil, bus.Errorf(bus.DataLoss, "the answer of the app ends before it is complete: %w", err)
	}
	return &answer{res.StatusCode, res.Header, body}, nil
}

func tooMuch(limit int) *bus.Error {
	return bus.Errorf(bus.TooLarge, "the answer of the app is over %d bytes", limit)
}

// unanswered is the error of a call whose answer did not come.
func unanswered(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return bus.AsError(context.Cause(ctx))
	}
	op, isNet := errors.AsType[*net.OpError](err)
	switch {
	case isNet && op.Op == "dial":
		e := bus.Errorf(bus.Unavailable, "the app cannot be reached: %w", err)
		e.Retry = bus.RetrySafe // it has not been sent
		return e
	case isNet, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return bus.Errorf(bus.Unavailable, "the app ended the connection without an answer: %w", err)
	}
	return bus.Errorf(bus.DataLoss, "the answer of the app is no HTTP: %w", err)
}

// neverSent reports whether an error says that the app has not got the request.
func neverSent(err error) bool {
	e := bus.AsError(err)
	return e != nil && e.Code == bus.Unavailable && e.Retry == bus.RetrySafe
}

// failed is the error that an HTTP status stands for. The body may say more: it
// may be Micro's error, {"error":TEXT} or {"message":TEXT}, or words.
func (a *answer) failed() *bus.Error {
	if a.status < 400 {
		what := "status " + strconv.Itoa(a.status)
		if a.status >= 300 {
			what = "a redirect, which is not followed"
		}
		return bus.Errorf(bus.Internal, "the app answered with %s", what)
	}
	e := failureOf(string(a.body))
	if e.Status == 0 || e.Status == bus.Internal.Status() {
		e.Code, e.Status = bus.CodeOfStatus(a.status), a.status
	}
	if e.Message == "" {
		e.Message = "the app answered with status " + strconv.Itoa(a.status)
	}
	if seconds, err := strconv.Atoi(a.header.Get("Retry-After")); err == nil && seconds >= 0 && seconds <= 3600 {
		if e.Code == bus.ResourceExhausted || e.Code == bus.Unavailable {
			e.Retry = bus.RetryAfter(time.Duration(seconds) * time.Second)
		}
	}
	return e
}

// failureOf reads the error of an app from what it says: Micro's error object as
// JSON, an object with other usual names, or words, which are internal.
func failureOf(text string) *bus.Error {
	text = strings.TrimSpace(text)
	var o struct {
		Code    json.Number     `json:"code"`
		Detail  string          `json:"detail"`
		Message string          `json:"message"`
		Error   json.RawMessage `json:"error"`
		Data    json.RawMessage `json:"data"`
	}
	if !strings.HasPrefix(text, "{") || json.Unmarshal([]byte(text), &o) != nil {
		e := bus.Errorf(bus.Internal, "%s", cut(text))
		if strings.HasPrefix(text, "rpc: can't find ") {
			e = bus.Errorf(bus.NotFound, "%s", cut(text))
		}
		return e
	}
	message := o.Detail
	if message == "" {
		message = o.Message
	}
	if message == "" && len(o.Error) > 0 {
		if json.Unmarshal(o.Error, &message) != nil {
			return failureOf(string(o.Error))
		}
	}
	if message == "" {
		message = text
	}
	status := statusOfCode(o.Code)
	e := bus.Errorf(bus.CodeOfStatus(status), "%s", cut(message))
	e.Status = status
	if len(o.Data) > 0 && string(o.Data) != "null" {
		e.Detail = o.Data
	}
	return e
}

// statusOfCode is the HTTP number of the code in an error object: that number
// itself, or what JSON-RPC's own numbers stand for.
func statusOfCode(code json.Number) int {
	n, err := strconv.Atoi(code.String())
	switch {
	case err != nil:
	case n >= 400 && n <= 599:
		return n
	case n == -32601:
		return bus.NotFound.Status()
	case n == -32600, n == -32602, n == -32700:
		return bus.InvalidArgument.Status()
	}
	return bus.Internal.Status()
}

func cut(text string) string {
	if len(text) <= maxErrorText {
		return text
	}
	return strings.ToValidUTF8(text[:maxErrorText], "") + "…"
}
