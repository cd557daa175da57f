package gateway

import (
	"context"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/gateway/token"
	"github.com/mbus-dev/mbus/rpc"
)

type ownKey struct{}

// Own returns a context for what the gateway does of its own accord, such as
// reading schemas: no caller's rights bound it. It must never carry out what a
// client asked for.
func Own(ctx context.Context) context.Context { return context.WithValue(ctx, ownKey{}, true) }

// callerOf is who the request of ctx speaks for, nil without a token.
func callerOf(ctx context.Context) *token.Caller {
	if x := exchangeOf(ctx); x != nil {
		return x.caller
	}
	return nil
}

// Subject is who the request of ctx speaks for, as its token says; "" without
// one.
func Subject(ctx context.Context) string {
	if c := callerOf(ctx); c != nil {
		return c.Subject
	}
	return ""
}

type operatorKey struct{}

// Operator returns a context for what somebody asked for at the dashboard, where
// services are looked after: it may also call Debug.Drain. The caller's rights
// bound it as any other.
func Operator(ctx context.Context) context.Context {
	return context.WithValue(ctx, operatorKey{}, true)
}

// Withheld reports whether a method of services is one that the rooms for
// clients neither offer nor pass on: Debug.Drain, with which anyone could take a
// service off the bus.
func Withheld(method string) bool { return method == rpc.MethodDrain }

// guard is the middleware of all calls and streams of the rooms.
func (b *Bus) guard(next rpc.HandlerFunc) rpc.HandlerFunc {
	return func(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
		Note(ctx, req.Service, req.Method)
		if err := b.MayCall(ctx, req.Service, req.Method); err != nil {
			return nil, err
		}
		if err := b.Reachable(); err != nil {
			return nil, err
		}
		return next(ctx, req)
	}
}

// MayCall returns nil if the request of ctx may call a method; Client asks by
// itself. The error is unauthenticated without a token, permission_denied with
// one that is not enough, or for what is withheld. Whether there is such a method
// makes no difference.
func (b *Bus) MayCall(ctx context.Context, service, method string) error {
	if Withheld(method) && ctx.Value(operatorKey{}) == nil {
		e := bus.Errorf(bus.PermissionDenied, "%s is for the dashboard and for clients on the bus, such as mbus drain; no gateway passes it on", method)
		e.End = bus.Refused
		return e
	}
	if b.free(ctx) {
		return nil
	}
	return b.rules.MayCall(callerOf(ctx), service, method)
}

// MayPublish returns nil if the request of ctx may publish to a topic, which has
// to be one: invalid_argument else, also for the subjects of the bus itself.
func (b *Bus) MayPublish(ctx context.Context, topic string) error {
	if err := wire.CheckTopic(topic); err != nil {
		return bus.Errorf(bus.InvalidArgument, "%v", err)
	}
	if b.free(ctx) {
		return nil
	}
	return b.rules.MayPublish(callerOf(ctx), topic)
}

// MaySubscribe is MayPublish for a topic or a pattern to subscribe to.
func (b *Bus) MaySubscribe(ctx context.Context, pattern string) error {
	if err := wire.CheckPattern(pattern); err != nil {
		return bus.Errorf(bus.InvalidArgument, "%v", err)
	}
	if b.free(ctx) {
		return nil
	}
	return b.rules.MaySubscribe(callerOf(ctx), pattern)
}

// MaySubscribeAll is MaySubscribe for the events of all topics. They are no
// pattern that can be subscribed to.
func (b *Bus) MaySubscribeAll(ctx context.Context) error {
	if b.free(ctx) {
		return nil
	}
	return b.rules.MaySubscribe(callerOf(ctx), ">")
}

func (b *Bus) free(ctx context.Context) bool { return b.rules == nil || ctx.Value(ownKey{}) != nil }
