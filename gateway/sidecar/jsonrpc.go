package sidecar

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"strconv"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/rpc"
)

// callJSONRPC calls an app in Micro's form: a POST to / whose body names the
// method.
func callJSONRPC(ctx context.Context, transport http.RoundTripper, target netip.AddrPort, req *rpc.Request, id uint64, limit int) (*rpc.Response, error) {
	body, err := jsonOf(req)
	if err != nil {
		return nil, err
	}
	envelope := make([]byte, 0, len(body)+len(req.Method)+64)
	envelope = append(envelope, `{"method":"`...) // a method's name needs no quoting
	envelope = append(envelope, req.Method...)
	envelope = append(envelope, `","params":[`...)
	envelope = append(envelope, body...)
	envelope = append(envelope, `],"id":`...)
	envelope = strconv.AppendUint(envelope, id, 10)
	envelope = append(envelope, '}')
	r, err := newCall(ctx, target, "/", bytes.NewReader(envelope), req)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", codec.JSON.ContentType())
	a, err := exchange(transport, r, limit)
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK {
		return nil, a.failed()
	}
	return a.readJSONRPC()
}

// jsonOf is the request as JSON, {} if it is empty.
func jsonOf(req *rpc.Request) ([]byte, error) {
	body := req.Body
	switch req.Codec {
	case codec.Msgpack:
		text, err := codec.Transcode(codec.Msgpack, codec.JSON, body)
		if err != nil {
			return nil, err
		}
		body = text
	case codec.JSON:
		// What is not one value could end the envelope and begin another.
		if err := codec.Guard(codec.JSON, body); err != nil {
			return nil, err
		}
	default:
		return nil, bus.Errorf(bus.Unimplemented, "%s is an app that takes JSON, not %s", req.Service, req.Codec.ContentType())
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return []byte("{}"), nil
	}
	return body, nil
}

// readJSONRPC reads {"id","result","error"}. The id is not compared: there is one
// answer for a request, and apps spell ids as they like.
func (a *answer) readJSONRPC() (*rpc.Response, error) {
	if len(a.body) == 0 {
		return nil, bus.Errorf(bus.DataLoss, "the app answered with nothing; its answer is {\"id\":…,\"result\":…,\"error\":null}")
	}
	if err := codec.Guard(codec.JSON, a.body); err != nil {
		return nil, bus.Errorf(bus.DataLoss, "the answer of the app: %s", bus.AsError(err).Message)
	}
	var reply struct {
		Result json.RawMessage `json:"result"`
		Error  json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(a.body, &reply); err != nil {
		return nil, bus.Errorf(bus.DataLoss, "the answer of the app is JSON, but not {\"id\":…,\"result\":…,\"error\":null}")
	}
	if failure := errorOf(reply.Error); failure != nil {
		return nil, failure
	}
	if reply.Result == nil {
		reply.Result = json.RawMessage("null")
	}
	return &rpc.Response{Codec: codec.JSON, Body: reply.Result}, nil
}

// errorOf reads the error of an answer: a string or an object; null, an empty
// string and false are none.
func errorOf(raw json.RawMessage) *bus.Error {
	switch string(raw) {
	case "", "null", `""`, "false":
		return nil
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw)
	}
	return failureOf(text)
}
