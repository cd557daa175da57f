package rpc

import "context"

// A HandlerFunc answers a request, on the server's side and, for a client's
// middleware, on the caller's. The error may be any error: bus.AsError says
// what it becomes. A HandlerFunc must not keep the request's Body after it
// returns.
type HandlerFunc func(ctx context.Context, req *Request) (*Response, error)

// A Middleware wraps a HandlerFunc. It may look at the request, change a copy
// of it, answer in place of next, call next several times, or replace its
// answer. The same type serves both sides.
type Middleware func(next HandlerFunc) HandlerFunc

// chain wraps f so that the first middleware is the outermost.
func chain(f HandlerFunc, all []Middleware) HandlerFunc {
	for i := len(all) - 1; i >= 0; i-- {
		f = all[i](f)
	}
	return f
}
