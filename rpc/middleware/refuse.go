package middleware

import (
	"context"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/rpc"
)

// refuse makes the error of a call that was turned away before next: its handler
// has not run, and retry says when to try again.
func refuse(ctx context.Context, req *rpc.Request, code bus.Code, retry bus.Retry, format string, args ...any) *bus.Error {
	e := bus.Errorf(code, format, args...)
	e.Retry = retry
	if !serves(ctx, req) {
		e.End = bus.Refused
	}
	return e
}

// serves reports whether req is the request that ctx serves, and not one that
// its handler makes. A server's error must not have an end, since one that has
// came out of another call, whose being safe to repeat a server does not pass
// on; the caller derives the end from code and retry.
func serves(ctx context.Context, req *rpc.Request) bool {
	s := rpc.RequestFrom(ctx)
	if s == nil || s == req {
		return s != nil
	}
	// Middleware may pass a copy on. Only a server knows the instance before
	// the call, but for a handler that calls itself by its own id.
	return req.Instance != "" && s.Instance == req.Instance && s.Service == req.Service && s.Method == req.Method
}
