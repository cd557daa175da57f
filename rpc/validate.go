package rpc

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/rpc/schema"
)

// maxInvalid is the most bytes of the message that says what is wrong with a
// request.
const maxInvalid = 1 << 10

// Validate checks each request against the JSON Schema of the request type, as
// its jsonschema tags narrow it, before the handler sees it. What breaks the
// schema is invalid_argument: the message names the fields, up to eight of them
// in 1 KiB, and Detail has them for programs:
//
//	{"fields":[{"field":"/items/3/price","rule":"maximum","message":"12.5 is over the maximum 10"}]}
//
// The check comes after the middleware, which so decides who is told, and is the
// same in JSON and in msgpack, from the bus and from the same process. An empty
// body counts as an object without fields. Of a stream each message of the caller
// is checked; a bad one, or one that cannot be decoded, ends the stream, whatever
// the handler makes of it. Bytes are not checked, nor are protobuf messages,
// whose schema says no more than their decoding; see [schema.Compile] for what
// in a schema is not checked either.
//
// A schema that cannot be checked panics at registration, and so does Validate
// on a raw handler.
func Validate() HandleOption {
	return func(o *handleOptions) { o.validate = true }
}

// checkerOf compiles the schema of the requests of a method; nil if there is
// nothing to check.
func checkerOf(s *Server, method string, plan codec.Codec, d schema.Schema) *schema.Checker {
	if plan == codec.Raw || plan == codec.Protobuf {
		return nil
	}
	c, err := schema.Compile(d.Body)
	if err != nil {
		panic(fmt.Sprintf("rpc: %s.%s cannot validate its requests: %v", s.cfg.Name, method, err))
	}
	return c
}

// check holds a body in JSON against the schema of its type.
func check(c *schema.Checker, body []byte) error {
	if err := codec.Guard(codec.JSON, body); err != nil {
		return err
	}
	switch {
	case len(body) > 0:
	case c.TakesObject():
		body = []byte("{}")
	default:
		body = []byte("null")
	}
	if problems := c.Check(body); len(problems) > 0 {
		return invalid(problems)
	}
	return nil
}

// invalid is the error that names the problems.
func invalid(problems []schema.Problem) *bus.Error {
	const more = "; there may be more"
	var text strings.Builder
	told := 0
	for _, p := range problems {
		one := p.String()
		if told > 0 && text.Len()+len("; ")+len(one)+len(more) > maxInvalid {
			break
		}
		if told > 0 {
			text.WriteString("; ")
		}
		text.WriteString(one)
		told++
	}
	if told < len(problems) || told >= schema.MaxProblems {
		text.WriteString(more)
	}
	e := bus.Errorf(bus.InvalidArgument, "%s", text.String())
	detail, err := json.Marshal(struct {
		Fields []schema.Problem `json:"fields"`
	}{problems})
	if err == nil {
		e.Detail = detail
	}
	return e
}

// decodeMessage reads one message of a stream as decode does. Where messages
// are validated, one that is not right ends the stream.
func (s *Server) decodeMessage(raw *RawStream, open *Request, c codec.Codec, body []byte, in any, shape shape) error {
	err := s.decodeBody(open.Method, c, body, in, shape)
	if err != nil && shape.checker != nil {
		raw.refuse(bus.AsError(err))
	}
	return err
}
