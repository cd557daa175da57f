package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/rpc"
)

const (
	// maxMessages bounds what is collected of a stream.
	maxMessages = 100
	// maxAnswer bounds an answer: a model reads all of it.
	maxAnswer = 1 << 20
)

// call answers a client's call of a tool.
func (s *Server) call(ctx context.Context, req *sdk.CallToolRequest, t target) (*sdk.CallToolResult, error) {
	ctx = s.visitors.join(ctx, req)
	arguments := req.Params.Arguments
	if len(arguments) == 0 {
		arguments = json.RawMessage("{}")
	}
	body, err := s.ask(ctx, t, arguments)
	if err == nil && len(body) > maxAnswer {
		err = overAnswer(len(body))
	}
	if err != nil {
		return failed(ctx, err), nil
	}
	result := &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: string(body)}}}
	if json.Valid(body) {
		result.StructuredContent = structured(body, t)
	}
	return result, nil
}

// structured is the answer as clients want it, which is an object: a list is put
// into one.
func structured(body json.RawMessage, t target) any {
	if t.endpoint.Kind == discovery.KindServerStream {
		return map[string]any{"messages": body}
	}
	if len(body) > 0 && body[0] == '{' {
		return body
	}
	return nil
}

// ask makes the call, or opens the stream, and returns JSON.
func (s *Server) ask(ctx context.Context, t target, arguments json.RawMessage) (json.RawMessage, error) {
	req := &rpc.Request{Service: t.service, Method: t.method, Codec: codec.JSON, Body: arguments}
	if t.endpoint.Kind == discovery.KindServerStream {
		return s.collect(ctx, req)
	}
	req.InParts = true
	res, err := s.bus.Client.Do(ctx, req)
	if err != nil {
		return nil, err
	}
	if res.Parts != nil && res.Parts.Size() > maxAnswer {
		_ = res.Parts.Close() // it cannot fail
		return nil, overAnswer(res.Parts.Size())
	}
	release, err := s.bus.Gather(res, codec.JSON)
	defer release() // what is left of it is under maxAnswer
	if err != nil {
		return nil, err
	}
	return asJSON(res.Codec, res.Body)
}

func overAnswer(size int) error {
	return bus.Errorf(bus.TooLarge, "the answer has %d bytes, and tools return %d at most", size, maxAnswer)
}

// collect reads the first messages of a server stream as a JSON list.
func (s *Server) collect(ctx context.Context, req *rpc.Request) (json.RawMessage, error) {
	body := req.Body
	req.Body, req.Stream = nil, true
	stream, err := s.bus.Client.Open(ctx, req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = stream.Close() }()
	if err := errors.Join(stream.Send(codec.JSON, body), stream.CloseSend()); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	messages, size := []json.RawMessage{}, 0
	for len(messages) < maxMessages {
		c, message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		one, err := asJSON(c, message)
		if err != nil {
			return nil, err
		}
		if size += len(one); size > maxAnswer {
			return nil, bus.Errorf(bus.TooLarge, "the first %d messages have over %d bytes, and tools return no more", len(messages)+1, maxAnswer)
		}
		messages = append(messages, one)
	}
	return json.Marshal(messages)
}

// asJSON turns a body into JSON; bytes that are none become a base64 string.
func asJSON(c codec.Codec, body []byte) (json.RawMessage, error) {
	switch {
	case len(body) == 0:
		return json.RawMessage("{}"), nil
	case c == codec.JSON || c == 0:
		if !json.Valid(body) {
			return nil, bus.Errorf(bus.DataLoss, "the answer is no JSON")
		}
		return body, nil
	case c == codec.Msgpack:
		return codec.Transcode(c, codec.JSON, body)
	}
	return json.Marshal(body)
}

// failed is a call that failed, told so that a model can do better.
func failed(ctx context.Context, err error) *sdk.CallToolResult {
	f := gateway.FailureOf(new(http.Request).WithContext(ctx), Name, err)
	text := fmt.Sprintf("%s: %s", f.Reason, f.Detail)
	return &sdk.CallToolResult{
		IsError: true, StructuredContent: f,
		Content: []sdk.Content{&sdk.TextContent{Text: text}},
	}
}
