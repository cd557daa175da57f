package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/rpc/schema"
)

// Handle registers f as a method of s. The method's name has the rules of
// service names; a name that breaks them, one that is taken, a nil f, a type
// that cannot be described and a server that has started are mistakes in the
// program, and panic.
//
// f runs on its own goroutine, at once with other calls, up to the server's
// Concurrency. A nil answer without an error is the zero Res. What an error
// becomes is in the package documentation.
func Handle[Req, Res any](s *Server, method string, f func(context.Context, *Req) (*Res, error), opts ...HandleOption) {
	if f == nil {
		panic(fmt.Sprintf("rpc: %s.%s: the handler is nil", s.cfg.Name, method))
	}
	shape := shapeOf[Req, Res](s, method, opts)
	s.add(method, func(ctx context.Context, req *Request) (*Response, error) {
		in := new(Req)
		if err := s.decode(req, in, shape); err != nil {
			return nil, err
		}
		out, err := f(ctx, in)
		if err != nil {
			return nil, err
		}
		if out == nil {
			out = new(Res)
		}
		return s.encode(req, out, shape.answerPlan)
	}, shape.request, shape.answer, opts)
}

// A shape is what registration works out about the types of a method, and how
// its requests are read.
type shape struct {
	requestPlan codec.Codec // that carries the type between mbus programs
	answerPlan  codec.Codec
	request     schema.Schema
	answer      schema.Schema
	strict      bool
	checker     *schema.Checker // nil if requests are not validated
}

// decode reads the body of a request into what in points to.
func (s *Server) decode(req *Request, in any, shape shape) error {
	return s.decodeBody(req.Method, req.Codec, req.Body, in, shape)
}

func (s *Server) decodeBody(method string, c codec.Codec, body []byte, in any, shape shape) error {
	plan := shape.requestPlan
	switch {
	case plan == codec.Raw:
		c = codec.Raw // who asks for bytes gets them as they are
	case c == codec.Raw:
		return refusedCodec(c, method)
	case c == codec.Msgpack && (plan != codec.Msgpack || shape.strict || shape.checker != nil):
		// msgpack cannot carry the type, or cannot tell which field it does
		// not know; and a schema is of JSON.
		if len(body) > 0 {
			text, err := codec.Transcode(codec.Msgpack, codec.JSON, body)
			if err != nil {
				return err
			}
			body = text
		}
		c = codec.JSON
	}
	if shape.checker != nil && c == codec.JSON {
		if err := check(shape.checker, body); err != nil {
			return err
		}
	}
	if err := s.plan.Unmarshal(c, body, in); err != nil {
		return err
	}
	if shape.strict && c == codec.JSON && plan != codec.Protobuf && len(body) > 0 {
		return knownFields(body, in, method)
	}
	return nil
}

// knownFields decodes body once more, to learn of a field that in does not
// have.
func knownFields(body []byte, in any, method string) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	err := d.Decode(in)
	if err == nil {
		return nil
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return bus.Errorf(bus.InvalidArgument, "the request has a field %s that %s does not know", field, method)
	}
	return bus.Errorf(bus.InvalidArgument, "%w", err)
}

// encode writes an answer in the codec of the request where its type can be
// carried so, else in JSON. Bytes stay bytes.
func (s *Server) encode(req *Request, out any, plan codec.Codec) (*Response, error) {
	c := answerCodec(req, plan)
	var body []byte
	var err error
	if req.room != nil && c != codec.Raw { // bytes are sent from where they are
		body, err = s.plan.Append(req.room.b[:0], c, out)
	} else {
		body, err = s.plan.Marshal(c, out)
	}
	if err != nil {
		return nil, unencodable(err, req.Method)
	}
	if req.room == nil {
		return &Response{Codec: c, Body: body}, nil
	}
	if c != codec.Raw {
		req.room.b = body
	}
	req.room.answer = Response{Codec: c, Body: body}
	return &req.room.answer, nil
}

// answerCodec is the codec of an answer whose type has this plan.
func answerCodec(req *Request, plan codec.Codec) codec.Codec {
	switch {
	case plan == codec.Raw:
		return codec.Raw
	case req.Codec != plan:
		return codec.JSON
	}
	return plan
}

func refusedCodec(c codec.Codec, method string) error {
	return bus.Errorf(bus.Unimplemented, "%s does not take %s: send application/json or application/msgpack", method, c.ContentType())
}

// unencodable says that an answer could not be written: the fault is the
// service's, whatever code the codec gave it.
func unencodable(err error, method string) error {
	text := err.Error()
	if e, ok := errors.AsType[*bus.Error](err); ok {
		text = e.Message
	}
	return bus.Errorf(bus.Internal, "the answer of %s cannot be encoded: %s", method, text)
}
