package rpc

import (
	"context"
	"io"
	"reflect"

	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/discovery"
)

// A sided is any *Stream, which knows its own types.
type sided interface {
	types() (in, out reflect.Type)
	serverSide(s *Server, raw *RawStream, req *Request, shape shape) any
}

func (*Stream[In, Out]) types() (in, out reflect.Type) {
	return reflect.TypeFor[In](), reflect.TypeFor[Out]()
}

func (*Stream[In, Out]) serverSide(s *Server, raw *RawStream, req *Request, shape shape) any {
	return newServerSide[In, Out](s, raw, req, shape)
}

// registerStream registers one method of a struct that has the shape of a
// stream; false if it has none.
func registerStream(s *Server, method string, f reflect.Value, opts []HandleOption) bool {
	t := f.Type()
	isError := func(t reflect.Type) bool { return t == reflect.TypeFor[error]() }
	switch {
	case t.IsVariadic():
		return false
	case t.NumIn() == 2 && t.NumOut() == 1 && isError(t.Out(0)) && t.In(1).Implements(reflect.TypeFor[sided]()):
		registerBoth(s, method, f, opts)
	case t.NumIn() == 3 && t.NumOut() == 1 && isError(t.Out(0)) && t.In(1).Kind() == reflect.Pointer && isSend(t.In(2)):
		registerAnswers(s, method, f, opts)
	case t.NumIn() == 2 && t.NumOut() == 2 && isError(t.Out(1)) && t.Out(0).Kind() == reflect.Pointer && isMessages(t.In(1)):
		registerRequests(s, method, f, opts)
	default:
		return false
	}
	return true
}

// isSend recognises func(*Res) error.
func isSend(t reflect.Type) bool {
	return t.Kind() == reflect.Func && t.NumIn() == 1 && t.NumOut() == 1 && t.In(0).Kind() == reflect.Pointer &&
		t.Out(0) == reflect.TypeFor[error]()
}

// isMessages recognises iter.Seq2[*Req, error].
func isMessages(t reflect.Type) bool {
	if t.Kind() != reflect.Func || t.NumIn() != 1 || t.NumOut() != 0 {
		return false
	}
	yield := t.In(0)
	return yield.Kind() == reflect.Func && yield.NumIn() == 2 && yield.NumOut() == 1 && yield.In(0).Kind() == reflect.Pointer &&
		yield.In(1) == reflect.TypeFor[error]() && yield.Out(0).Kind() == reflect.Bool
}

// registerBoth registers func(ctx, *Stream[In, Out]) error.
func registerBoth(s *Server, method string, f reflect.Value, opts []HandleOption) {
	side := reflect.New(f.Type().In(1).Elem()).Interface().(sided)
	in, out := side.types()
	shape := newShape(s, method, in, out, opts)
	s.addStream(method, discovery.KindBidi, func(ctx context.Context, raw *RawStream) error {
		stream := side.serverSide(s, raw, RequestFrom(ctx), shape)
		return errorOf(f.Call([]reflect.Value{reflect.ValueOf(ctx), reflect.ValueOf(stream)})[0])
	}, shape, opts)
}

// registerAnswers registers func(ctx, *Req, func(*Res) error) error.
func registerAnswers(s *Server, method string, f reflect.Value, opts []HandleOption) {
	in, send := f.Type().In(1).Elem(), f.Type().In(2)
	shape := newShape(s, method, in, send.In(0).Elem(), opts)
	s.addStream(method, discovery.KindServerStream, func(ctx context.Context, raw *RawStream) error {
		open := RequestFrom(ctx)
		c, body, err := receiveOne(raw)
		if err != nil {
			return err
		}
		req := reflect.New(in)
		if err := s.decodeMessage(raw, open, c, body, req.Interface(), shape); err != nil {
			return err
		}
		out := reflect.MakeFunc(send, func(args []reflect.Value) []reflect.Value {
			return []reflect.Value{valueOf(s.sendTo(raw, open, args[0].Interface(), shape.answerPlan))}
		})
		return errorOf(f.Call([]reflect.Value{reflect.ValueOf(ctx), req, out})[0])
	}, shape, opts)
}

// registerRequests registers func(ctx, iter.Seq2[*Req, error]) (*Res, error).
func registerRequests(s *Server, method string, f reflect.Value, opts []HandleOption) {
	messages, out := f.Type().In(1), f.Type().Out(0).Elem()
	in := messages.In(0).In(0).Elem()
	shape := newShape(s, method, in, out, opts)
	s.addStream(method, discovery.KindClientStream, func(ctx context.Context, raw *RawStream) error {
		open := RequestFrom(ctx)
		all := reflect.MakeFunc(messages, func(args []reflect.Value) []reflect.Value {
			for {
				c, body, err := raw.peek()
				if err == io.EOF { //nolint:errorlint // it is never wrapped
					return nil
				}
				req := reflect.New(in)
				if err == nil {
					err = s.decodeMessage(raw, open, c, body, req.Interface(), shape)
				}
				if err != nil {
					req = reflect.Zero(req.Type())
				}
				if !args[0].Call([]reflect.Value{req, valueOf(err)})[0].Bool() || err != nil {
					return nil
				}
			}
		})
		results := f.Call([]reflect.Value{reflect.ValueOf(ctx), all})
		if err := errorOf(results[1]); err != nil {
			return err
		}
		answer := results[0]
		if answer.IsNil() {
			answer = reflect.New(out)
		}
		return s.sendTo(raw, open, answer.Interface(), shape.answerPlan)
	}, shape, opts)
}

func (s *Server) sendTo(raw *RawStream, open *Request, m any, plan codec.Codec) error {
	res, err := s.encode(open, m, plan)
	if err != nil {
		return err
	}
	return raw.Send(res.Codec, res.Body)
}

func errorOf(v reflect.Value) error {
	err, _ := v.Interface().(error)
	return err
}

func valueOf(err error) reflect.Value {
	if err == nil {
		return reflect.Zero(reflect.TypeFor[error]())
	}
	return reflect.ValueOf(&err).Elem()
}
