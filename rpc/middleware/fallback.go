package middleware

import (
	"context"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/rpc"
)

// FallbackConfig configures a Fallback. The zero value works.
type FallbackConfig struct {
	// For says which errors are worth an answer in place. nil means those that
	// speak of the service or the way to it: no answer, nobody to answer, no
	// broker, the codes internal, unavailable, data_loss and deadline_exceeded,
	// and being turned away for overload. A handler's no, missing rights and the
	// caller's own mistakes are not among them.
	For func(*bus.Error) bool
}

// Fallback answers calls that have failed with what answer makes of them, such
// as a default or an older value; err is why they failed. The error that answer
// returns, for example err itself, is the caller's.
//
// The caller's time may be over by then: answer gets the same context. A call
// that its caller has given up is never answered, whatever For says, nor is a
// stream, since no answer can stand for one.
func Fallback(answer func(ctx context.Context, req *rpc.Request, err error) (*rpc.Response, error), cfg FallbackConfig) rpc.Middleware {
	if answer == nil {
		panic("middleware: Fallback without an answer")
	}
	if cfg.For == nil {
		cfg.For = func(e *bus.Error) bool { return failed(e) || overloaded(e) }
	}
	return func(next rpc.HandlerFunc) rpc.HandlerFunc {
		return func(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
			res, err := next(ctx, req)
			if err == nil || req.Stream || isCanceled(err) || !cfg.For(bus.AsError(err)) {
				return res, err
			}
			return answer(ctx, req, err)
		}
	}
}
