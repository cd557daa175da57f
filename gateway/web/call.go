package web

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/rpc"
)

const (
	maxRequest     = 8 << 20 // bytes of a call's request
	defaultTimeout = 5 * time.Second
	maxTimeout     = 10 * time.Minute
	maxTried       = 8
)

// A callRequest is what a page wants to call.
type callRequest struct {
	Service    string            `json:"service"`
	Method     string            `json:"method"`
	Node       string            `json:"node"`
	Request    json.RawMessage   `json:"request"`
	Timeout    int64             `json:"timeout_ms"`
	Headers    map[string]string `json:"headers"`
	Idempotent bool              `json:"idempotent"`
}

// An envelope is what became of a call. That there is one says nothing of the
// call, so that a failure of the dashboard cannot be taken for one of a service.
type envelope struct {
	OK          bool              `json:"ok"`
	Failure     string            `json:"failure,omitempty"`
	Status      int               `json:"status"`
	Code        string            `json:"code,omitempty"`
	End         string            `json:"end,omitempty"`
	Detail      string            `json:"detail,omitempty"`
	Data        json.RawMessage   `json:"data,omitempty"`
	Retry       string            `json:"retry,omitempty"`
	Instance    string            `json:"instance,omitempty"`
	Elapsed     numeral           `json:"elapsed_ms"`
	Tried       []string          `json:"tried,omitempty"`
	Near        []string          `json:"near,omitempty"`
	ContentType string            `json:"content_type,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	Body        json.RawMessage   `json:"body,omitempty"`
	Text        *string           `json:"text,omitempty"`
	Base64      []byte            `json:"base64,omitempty"`
	Bytes       int               `json:"bytes"`
	RequestID   string            `json:"request_id,omitempty"`
}

// Which of the things has happened that can go wrong with a call.
const (
	failureRequest = "request"
	failureBus     = "bus"
	failureNobody  = "nobody"
	failureService = "service"
)

// serveCall makes a unary call.
func (w *Web) serveCall(rw http.ResponseWriter, r *http.Request) {
	var asked callRequest
	if err := readJSON(rw, r, maxRequest, &asked); err != nil {
		gateway.WriteError(rw, r, Service, err)
		return
	}
	e, release := w.call(r, &asked)
	defer release()
	e.RequestID = gateway.RequestID(r.Context())
	writeJSON(rw, r, http.StatusOK, e)
}

// call returns what the page gets, and what must be called once that is written.
func (w *Web) call(r *http.Request, asked *callRequest) (*envelope, func()) {
	start := time.Now()
	req, err := w.request(r, asked)
	if err != nil {
		e := failed(err, start)
		e.Failure = failureRequest
		return e, func() {}
	}
	timeout := defaultTimeout
	if asked.Timeout > 0 {
		timeout = time.Duration(min(asked.Timeout, maxTimeout.Milliseconds())) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(gateway.Operator(r.Context()), timeout)
	defer cancel()
	tried := w.candidates(req)
	res, release, err := w.bus.Whole(ctx, req)
	if err != nil {
		e := failed(err, start)
		w.explain(e, req, tried)
		return e, release
	}
	return answered(res, req, start), release
}

// request is the call that a page wants.
func (w *Web) request(r *http.Request, asked *callRequest) (*rpc.Request, error) {
	foreign := w.collect.foreign(asked.Service)
	if err := wire.CheckService(asked.Service); err != nil && !foreign {
		return nil, bus.Errorf(bus.InvalidArgument, "%v", err)
	}
	if err := wire.CheckMethod(asked.Method); err != nil && !foreign {
		return nil, bus.Errorf(bus.InvalidArgument, "%v", err)
	}
	body := bytes.TrimSpace(asked.Request)
	if len(body) == 0 {
		body = []byte("{}")
	}
	if err := codec.Guard(codec.JSON, body); err != nil {
		return nil, bus.Errorf(bus.InvalidArgument, "the request: %s", bus.AsError(err).Message)
	}
	meta := gateway.Metadata(r)
	for name := range meta {
		// What the browser says of itself is nothing that a service is to know.
		if name != gateway.HeaderRequestID {
			delete(meta, name)
		}
	}
	for name, value := range asked.Headers {
		if gateway.Internal(name) {
			return nil, bus.Errorf(bus.InvalidArgument, "the header %q belongs to the bus", name)
		}
		meta[name] = value
	}
	return &rpc.Request{
		Service: asked.Service, Method: asked.Method, Instance: w.bus.InstanceID(asked.Service, asked.Node),
		Codec: codec.JSON, Body: body, Meta: meta, Idempotent: asked.Idempotent,
	}, nil
}

// candidates are the nodes that a call may go to.
func (w *Web) candidates(req *rpc.Request) []string {
	view := w.bus.View()
	if view == nil {
		return nil
	}
	var ids []string
	for _, i := range view.Instances(req.Service) {
		if req.Instance != "" && i.CallID() != req.Instance {
			continue
		}
		if _, ok := i.Endpoint(req.Method); ok && len(ids) < maxTried {
			ids = append(ids, i.NodeID())
		}
	}
	return ids
}

func failed(err error, start time.Time) *envelope {
	b := bus.AsError(err)
	e := &envelope{
		Status: b.Status, Code: b.Code.String(), Detail: b.Message, Instance: b.Instance, Elapsed: milliseconds(time.Since(start)), Retry: b.Retry.String(),
	}
	if e.Status == 0 {
		e.Status = b.Code.Status()
	}
	if b.End != 0 {
		e.End = b.End.String()
	}
	if json.Valid(b.Detail) {
		e.Data = b.Detail
	}
	switch b.End {
	case bus.Broker:
		e.Failure = failureBus
	case bus.Handler:
		e.Failure = failureService
	case 0:
		e.Failure = failureRequest
	default:
		e.Failure = failureNobody
	}
	return e
}

// explain says who was asked, or whom it could have been.
func (w *Web) explain(e *envelope, req *rpc.Request, tried []string) {
	if e.Failure != failureNobody {
		return
	}
	e.Tried = tried
	if e.End != bus.Nobody.String() {
		return
	}
	view := w.bus.View()
	if view == nil {
		return
	}
	if methods := w.collect.methods(req.Service); len(methods) > 0 {
		e.Near = discovery.Near(req.Method, methods)
		return
	}
	e.Near = discovery.Near(req.Service, view.Services())
}

// answered is the envelope of an answer.
func answered(res *rpc.Response, req *rpc.Request, start time.Time) *envelope {
	e := &envelope{OK: true, Status: http.StatusOK, Elapsed: milliseconds(time.Since(start)), Headers: res.Meta, Bytes: len(res.Body)}
	kind := res.Codec
	if !kind.Valid() {
		kind = codec.JSON
	}
	e.ContentType = kind.ContentType()
	e.Instance = req.Instance
	body := res.Body
	if kind == codec.Msgpack {
		if text, err := codec.Transcode(codec.Msgpack, codec.JSON, body); err == nil {
			body, kind = text, codec.JSON
		}
	}
	switch {
	case kind == codec.JSON && codec.Guard(codec.JSON, body) == nil && json.Valid(body):
		e.Body = body
	case utf8.Valid(body) && !strings.ContainsRune(string(body), 0):
		text := string(body)
		e.Text = &text
	default:
		e.Base64 = body
	}
	return e
}

// serveStream is a stream, in the frames of package live.
func (w *Web) serveStream(rw http.ResponseWriter, r *http.Request) {
	var asked callRequest
	text := false
	switch r.Method {
	case http.MethodGet:
		q := r.URL.Query()
		asked = callRequest{Service: q.Get("service"), Method: q.Get("method"), Node: q.Get("node")}
		if text = q.Has("request"); text {
			asked.Request = json.RawMessage(q.Get("request"))
		}
	case http.MethodPost:
		text = true
		if err := readJSON(rw, r, maxRequest, &asked); err != nil {
			gateway.WriteError(rw, r, Service, err)
			return
		}
	default:
		rw.Header().Set("Allow", "GET, POST")
		e := bus.Errorf(bus.InvalidArgument, "streams are opened with GET or POST")
		e.Status = http.StatusMethodNotAllowed
		gateway.WriteError(rw, r, Service, e)
		return
	}
	req, err := w.request(r, &asked)
	if err != nil {
		gateway.WriteError(rw, r, Service, err)
		return
	}
	if !text && r.Header.Get("Upgrade") != "" {
		req.Body = nil // the messages come over the WebSocket
		w.talks.ServeWebSocket(rw, r, req)
		return
	}
	w.talks.ServeStream(rw, r, req)
}
