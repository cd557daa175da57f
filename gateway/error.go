package gateway

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/mbus-dev/mbus/bus"
)

// HeaderRequestID carries the id of a request; a client may choose one.
const HeaderRequestID = "X-Request-Id"

// HeaderEnd tells how a failed call ended: nobody, timeout, cancelled, refused,
// handler or broker.
const HeaderEnd = "Mbus-End"

// comeBackAfter is the advice to clients when a service or the broker is away.
const comeBackAfter = time.Second

// A Failure is the JSON body of every error that a gateway answers. The first
// four are Micro's.
type Failure struct {
	// ID is who failed: "SERVICE.METHOD" of a call, else the gateway's own name.
	ID string `json:"id"`
	// Code is the HTTP status.
	Code int `json:"code"`
	// Detail says what was wrong and what to do.
	Detail string `json:"detail"`
	// Status is the text of Code.
	Status string `json:"status"`
	// RequestID names the request, as the access log has it.
	RequestID string `json:"request_id,omitempty"`
	// Reason is the code's name, such as "invalid_argument".
	Reason string `json:"reason,omitempty"`
	// End is that of the header Mbus-End, where there is no header for it: in the
	// messages of streams.
	End string `json:"end,omitempty"`
	// Data is what a handler added for programs to read.
	Data json.RawMessage `json:"data,omitempty"`
}

// WriteError answers a request with an error. from names the gateway, such as
// "go.micro.api", for errors that did not come from a call. Anything but a
// *bus.Error counts as internal, and of it the client learns only that.
//
// What is away has a Retry-After in seconds, and so has what is overloaded.
func WriteError(w http.ResponseWriter, r *http.Request, from string, err error) {
	f, e := failureOf(r, from, err)
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if e.End != 0 {
		h.Set(HeaderEnd, e.End.String())
	}
	challenge(h, r, e)
	if after, ok := retryAfter(e); ok {
		h.Set("Retry-After", strconv.Itoa(int((after+time.Second-1)/time.Second)))
	}
	body, err := json.Marshal(f)
	if err != nil { // only Data can be wrong
		f.Data = nil
		body, _ = json.Marshal(f)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(f.Code)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client has gone: nobody to tell
	}
}

// challenge says how to do better: who has sent a token has sent a wrong one, or
// one that is not enough (RFC 6750).
func challenge(h http.Header, r *http.Request, e *bus.Error) {
	if h.Get("WWW-Authenticate") != "" {
		return
	}
	switch sent := len(r.Header["Authorization"]) > 0; {
	case e.Code == bus.Unauthenticated && sent:
		h.Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	case e.Code == bus.Unauthenticated:
		h.Set("WWW-Authenticate", "Bearer")
	case e.Code == bus.PermissionDenied && callerOf(r.Context()) != nil:
		h.Set("WWW-Authenticate", `Bearer error="insufficient_scope"`)
	}
}

// FailureOf is what WriteError answers, for those who put it elsewhere, such as
// into an event stream.
func FailureOf(r *http.Request, from string, err error) Failure {
	f, e := failureOf(r, from, err)
	f.End = e.End.String()
	return f
}

func failureOf(r *http.Request, from string, err error) (Failure, *bus.Error) {
	e := bus.AsError(err)
	f := Failure{ID: from, Code: statusOf(e), Detail: e.Message, Reason: e.Code.String(), RequestID: RequestID(r.Context())}
	if e.Service != "" {
		f.ID = e.Service
		if e.Method != "" {
			f.ID += "." + e.Method
		}
	}
	if e.End == 0 && e.Code == bus.Internal {
		f.Detail = "the gateway failed; its log says how, under this request's id"
	}
	f.Status = http.StatusText(f.Code)
	if f.Status == "" {
		f.Status = e.Code.String()
	}
	if json.Valid(e.Detail) {
		f.Data = e.Detail
	}
	return f, e
}

// statusOf is the HTTP status of an error: the handler's own number if it is one
// that may end a request, else that of its code.
func statusOf(e *bus.Error) int {
	if e.Status >= 400 && e.Status <= 599 {
		return e.Status
	}
	return e.Code.Status()
}

func retryAfter(e *bus.Error) (time.Duration, bool) {
	if after, ok := e.Retry.After(); ok {
		return max(after, time.Second), true
	}
	return comeBackAfter, e.Code == bus.Unavailable || e.Code == bus.ResourceExhausted
}
