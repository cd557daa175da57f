package rpc

import (
	"context"
	"fmt"
	"reflect"

	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/rpc/schema"
)

// Register registers the methods of v, a struct or a pointer to one, as
// Type.Method. A method counts if it is exported and its first parameter is a
// context; it must then have one of these shapes, or Register panics with its
// full signature:
//
//	func (s *Say) Hello(ctx context.Context, req *Req) (*Res, error)
//	func (s *Say) Hello(ctx context.Context, req *Req, res *Res) error
//	func (s *Say) Count(ctx context.Context, req *Req, send func(*Res) error) error        // as HandleServerStream
//	func (s *Say) Sum(ctx context.Context, in iter.Seq2[*Req, error]) (*Res, error)        // as HandleClientStream
//	func (s *Say) Chat(ctx context.Context, stream *rpc.Stream[In, Out]) error              // as HandleStream
//
// Register panics too when v has no such method. The options apply to every
// method. For more, and for speed, register functions with [Handle].
func Register(s *Server, v any, opts ...HandleOption) {
	value := reflect.ValueOf(v)
	if !value.IsValid() || (value.Kind() == reflect.Pointer && value.IsNil()) {
		panic(fmt.Sprintf("rpc: Register on %s: the value is nil", s.cfg.Name))
	}
	t := value.Type()
	name := t.Name()
	if t.Kind() == reflect.Pointer {
		name = t.Elem().Name()
	}
	if name == "" {
		panic(fmt.Sprintf("rpc: Register on %s: %s has no name for the methods to carry; declare a type", s.cfg.Name, t))
	}
	found := false
	for m := range t.Methods() {
		if registerMethod(s, name, m, value.Method(m.Index), opts) {
			found = true
		}
	}
	if !found {
		panic(fmt.Sprintf("rpc: Register on %s: %s has no exported method whose first parameter is a context (does the method have a pointer receiver, and %s is a value?)", s.cfg.Name, t, t))
	}
}

// registerMethod registers one method; false if it is not meant as one.
func registerMethod(s *Server, typeName string, m reflect.Method, f reflect.Value, opts []HandleOption) bool {
	t := f.Type()
	if t.NumIn() == 0 || t.In(0) != reflect.TypeFor[context.Context]() {
		return false
	}
	method := typeName + "." + m.Name
	if registerStream(s, method, f, opts) {
		return true
	}
	in, out, micro, ok := shapeOfMethod(t)
	if !ok {
		panic(fmt.Sprintf("rpc: %s.%s has the signature %s; want func(context.Context, *Req) (*Res, error) or func(context.Context, *Req, *Res) error, or one of the shapes of streams", s.cfg.Name, method, t))
	}
	shape := newShape(s, method, in, out, opts)
	s.add(method, func(ctx context.Context, req *Request) (*Response, error) {
		request := reflect.New(in)
		if err := s.decode(req, request.Interface(), shape); err != nil {
			return nil, err
		}
		args := []reflect.Value{reflect.ValueOf(ctx), request}
		answer := reflect.New(out)
		if micro {
			args = append(args, answer)
		}
		results := f.Call(args)
		if err, _ := results[len(results)-1].Interface().(error); err != nil {
			return nil, err
		}
		if !micro && !results[0].IsNil() {
			answer = results[0]
		}
		return s.encode(req, answer.Interface(), shape.answerPlan)
	}, shape.request, shape.answer, opts)
	return true
}

// shapeOfMethod reads the request and answer types from a signature; micro
// tells the shape with three parameters.
func shapeOfMethod(t reflect.Type) (in, out reflect.Type, micro, ok bool) {
	isError := func(t reflect.Type) bool { return t == reflect.TypeFor[error]() }
	switch {
	case t.IsVariadic():
	case t.NumIn() == 2 && t.NumOut() == 2 && isError(t.Out(1)):
		in, out = t.In(1), t.Out(0)
	case t.NumIn() == 3 && t.NumOut() == 1 && isError(t.Out(0)):
		in, out, micro = t.In(1), t.In(2), true
	}
	if in == nil || in.Kind() != reflect.Pointer || out.Kind() != reflect.Pointer {
		return nil, nil, false, false
	}
	return in.Elem(), out.Elem(), micro, true
}

func shapeOf[Req, Res any](s *Server, method string, opts []HandleOption) shape {
	return newShape(s, method, reflect.TypeFor[Req](), reflect.TypeFor[Res](), opts)
}

func newShape(s *Server, method string, in, out reflect.Type, opts []HandleOption) shape {
	describe := func(what string, t reflect.Type) schema.Schema {
		d, err := schema.Of(t)
		if err != nil {
			panic(fmt.Sprintf("rpc: %s.%s: the %s type %s: %v", s.cfg.Name, method, what, t, err))
		}
		return d
	}
	o := optionsOf(opts)
	made := shape{
		requestPlan: s.plan.For(in), answerPlan: s.plan.For(out),
		request: describe("request", in), answer: describe("answer", out), strict: o.strict,
	}
	if o.validate || s.cfg.Validate && !o.exempt {
		made.checker = checkerOf(s, method, made.requestPlan, made.request)
	}
	return made
}

// planOfType is the codec that carries a T between mbus programs.
func planOfType[T any](p *codec.Plan) codec.Codec { return p.For(reflect.TypeFor[T]()) }

// planOfValue is the codec that carries what v holds.
func planOfValue(p *codec.Plan, v any) codec.Codec { return p.For(reflect.TypeOf(v)) }
