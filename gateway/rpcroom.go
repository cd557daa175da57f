package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/rpc"
)

// RPCName is who Micro said had refused a request to /rpc.
const RPCName = "go.micro.rpc"

// An RPCRequest is the body of a request to Micro's /rpc.
type RPCRequest struct {
	Service string `json:"service"`
	Method  string `json:"method"`
	// Address is the node to call, as the registry shows its id; "" leaves the
	// choice to the bus. Node is another name for it.
	Address string `json:"address,omitempty"`
	Node    string `json:"node,omitempty"`
	// Request is JSON of any kind; a string holds the JSON itself.
	Request json.RawMessage `json:"request"`
	// Key, Retries and Idempotent are those of rpc.Request.
	Key        string `json:"key,omitempty"`
	Retries    *int   `json:"retries,omitempty"`
	Idempotent bool   `json:"idempotent,omitempty"`
}

// RPC returns Micro's /rpc: a call whose service and method are in the body, as
// JSON or, with any other content type, as a form. What begins with { is JSON
// whatever it is called, since curl calls everything a form.
//
//	{"service":NAME, "method":NAME, "request":JSON or a string of JSON, "address":NODE}
//	service=NAME&method=NAME&request=JSON&address=NODE
//
// The answer is the service's, as JSON. Numbers keep their digits.
func RPC(b *Bus) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodPost:
		case http.MethodOptions:
			w.Header().Set("Allow", "POST, OPTIONS")
			return
		default:
			w.Header().Set("Allow", "POST, OPTIONS")
			http.Error(w, "Method not allowed", http.StatusMethodNotAllowed)
			return
		}
		req, err := b.readRPC(w, r)
		if err != nil {
			WriteError(w, r, RPCName, err)
			return
		}
		ctx, cancel, err := WithTimeout(r)
		if err != nil {
			WriteError(w, r, RPCName, err)
			return
		}
		defer cancel()
		res, err := b.Fetch(ctx, r, req)
		if err == nil {
			err = b.WriteJSON(w, res)
		}
		if err != nil {
			WriteError(w, r, RPCName, err)
		}
	})
}

func (b *Bus) readRPC(w http.ResponseWriter, r *http.Request) (*rpc.Request, error) {
	body, err := ReadBody(w, r, MaxForm)
	if err != nil {
		return nil, err
	}
	var asked RPCRequest
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err == nil && kind == "application/json" || bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) {
		asked, err = parseRPC(body)
		if err != nil {
			return nil, err
		}
	} else if asked, err = parseRPCForm(string(body)); err != nil {
		return nil, err
	}
	switch {
	case wire.CheckService(asked.Service) != nil:
		return nil, bus.Errorf(bus.InvalidArgument, "invalid service")
	case wire.CheckMethod(asked.Method) != nil:
		return nil, bus.Errorf(bus.InvalidArgument, "invalid method")
	}
	node := asked.Node
	if node == "" {
		node = asked.Address
	}
	return &rpc.Request{
		Service: asked.Service, Method: asked.Method, Instance: b.InstanceID(asked.Service, node),
		Codec: codec.JSON, Body: asked.Request, Meta: Metadata(r),
		Key: asked.Key, Retries: asked.Retries, Idempotent: asked.Idempotent,
	}, nil
}

// parseRPC reads the JSON form.
func parseRPC(body []byte) (asked RPCRequest, err error) {
	if err := codec.Guard(codec.JSON, body); err != nil {
		return asked, err
	}
	if err := json.Unmarshal(body, &asked); err != nil {
		return asked, bus.Errorf(bus.InvalidArgument, "the body: %v", err)
	}
	if asked.Request == nil {
		asked.Request = json.RawMessage("null")
	}
	if asked.Request[0] != '"' {
		return asked, nil
	}
	var text string
	if err := json.Unmarshal(asked.Request, &text); err != nil {
		return asked, undecodable(err)
	}
	asked.Request, err = decoded(text)
	return asked, err
}

// parseRPCForm reads the form of HTML.
func parseRPCForm(body string) (asked RPCRequest, err error) {
	form, err := url.ParseQuery(body)
	if err != nil {
		return asked, bus.Errorf(bus.InvalidArgument, "the form: %v", err)
	}
	asked = RPCRequest{
		Service: form.Get("service"), Method: form.Get("method"), Address: form.Get("address"), Node: form.Get("node"), Key: form.Get("key"),
	}
	if wire.CheckService(asked.Service) != nil || wire.CheckMethod(asked.Method) != nil {
		return asked, nil // which is what to say first
	}
	if text := form.Get("retries"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return asked, bus.Errorf(bus.InvalidArgument, "retries: %.40q is no number", text)
		}
		asked.Retries = &n
	}
	asked.Idempotent = form.Get("idempotent") == "true"
	asked.Request, err = decoded(form.Get("request"))
	return asked, err
}

// decoded is the JSON that a string holds.
func decoded(text string) (json.RawMessage, error) {
	body := bytes.TrimSpace([]byte(text))
	if len(body) == 0 {
		return nil, undecodable(io.EOF)
	}
	if err := codec.Guard(codec.JSON, body); err != nil {
		if e, ok := errors.AsType[*bus.Error](err); ok {
			return nil, undecodable(errors.New(e.Message))
		}
		return nil, undecodable(err)
	}
	return body, nil
}

func undecodable(err error) *bus.Error {
	return bus.Errorf(bus.InvalidArgument, "error decoding request string: %v", err)
}

// WriteJSON answers with what a service has answered: msgpack becomes JSON,
// other bytes go out as they are, under their own type. The error is that of an
// answer that is none; nothing has been written then.
func WriteJSON(w http.ResponseWriter, res *rpc.Response) error {
	body, kind := res.Body, codec.JSON
	switch res.Codec {
	case codec.Msgpack:
		text, err := codec.Transcode(codec.Msgpack, codec.JSON, body)
		if err != nil {
			return bus.Errorf(bus.DataLoss, "the answer is broken: %w", err)
		}
		body = text
	case codec.Protobuf, codec.Raw:
		kind = res.Codec
	}
	jsonHeader(w.Header(), kind, len(body))
	_, _ = w.Write(body) // the client has gone: nobody to tell
	return nil
}
