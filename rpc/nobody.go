package rpc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
)

// comeBackAfter is the advice to callers of a service that has just gone.
const comeBackAfter = time.Second

// maxNamed bounds the names listed in one error.
const maxNamed = 20

// afterNobody decides what follows when nobody listened: another try, or the
// error that says why. A method found on a foreign service is tried there at
// once.
func (c *Client) afterNobody(ctx context.Context, p *peer, req *Request, failure *bus.Error, retries int) (again bool, verdict *bus.Error) {
	if errors.Is(failure, errExcluded) {
		coming := failure.Code == bus.Unavailable
		return coming && retries < c.retries(req) && pause(ctx, jitter()), failure
	}
	wasForeign := p.foreign.Swap(nil) != nil
	f := c.diagnose(ctx, p)
	if ctx.Err() != nil {
		return false, failure
	}
	if !wasForeign && f.foreignTo(p, req) {
		if req.Instance != "" {
			return false, nobody(bus.Unimplemented, failure, "%s is not an mbus service: its instances cannot be called one by one", req.Service)
		}
		return true, nil
	}
	coming, verdict := f.judge(req, failure)
	if coming && retries < c.retries(req) && pause(ctx, jitter()) {
		return true, nil
	}
	return false, verdict
}

// foreignTo learns the subjects of a foreign service; false if it is none or
// does not have the method.
func (f *finding) foreignTo(p *peer, req *Request) bool {
	subjects := make(map[string]string)
	for i := range f.instances {
		one := &f.instances[i]
		if subject, ok := one.CallSubject(req.Method); ok && one.Foreign && callable(subject) {
			subjects[req.Method] = subject
		}
		for _, e := range one.Endpoints {
			if one.Foreign && callable(e.Subject) && len(subjects) < maxSubjects {
				subjects[e.Name] = e.Subject
			}
		}
	}
	if subjects[req.Method] == "" {
		return false
	}
	p.foreign.Store(&subjects)
	return true
}

// callable reports whether a subject that a service announced can be published
// to, and is not one that only the protocol may use.
func callable(subject string) bool {
	return subject != "" && !strings.ContainsAny(subject, "*> \t\r\n") && subject[0] != '$' && subject[0] != '_' && !strings.HasPrefix(subject, "mbus.")
}

// foreignSubject is where a foreign service takes the request, "" if the
// service is not known to be one.
func (p *peer) foreignSubject(req *Request) string {
	if subjects := p.foreign.Load(); subjects != nil && req.Instance == "" {
		return (*subjects)[req.Method]
	}
	return ""
}

// judge says what a finding means for a request on which nobody listened, and
// whether someone may do so in a moment.
func (f *finding) judge(req *Request, failure *bus.Error) (coming bool, verdict *bus.Error) {
	switch {
	case len(f.instances) > 0 && req.Instance != "":
		return f.judgePinned(req, failure)
	case len(f.instances) > 0:
		if offer, drain := f.offer(req.Method); offer > 0 && drain == offer {
			return true, away(failure, "every instance of %s that has the method %s is draining", req.Service, req.Method)
		} else if offer > 0 {
			return true, away(failure, "%s has the method %s but nobody takes calls of it at this moment", req.Service, req.Method)
		}
		return false, nobody(bus.NotFound, failure, "%s", noSuchMethod(req.Service, req.Method, f.methods()))
	case f.registered != "" && req.Instance != "" && !slices.Contains(f.appNodes, req.Instance):
		return false, nobody(bus.NotFound, failure, "no node %s of %s; there are %s", req.Instance, req.Service, listed(f.appNodes))
	case f.registered != "" && len(f.appMethods) > 0 && !slices.Contains(f.appMethods, req.Method) && !isDebug(req.Method):
		return false, nobody(bus.NotFound, failure, "%s", noSuchMethod(req.Service, req.Method, f.appMethods))
	case f.registered != "":
		return true, away(failure, "%s is registered at %s and is not on the bus, and no sidecar serves it at this moment", req.Service, f.registered)
	case f.recent:
		return true, away(failure, "%s was here in the last %d minutes and is gone", req.Service, int(rememberedFor/time.Minute))
	case len(f.near) > 0:
		return false, nobody(bus.NotFound, failure, "no service %s; did you mean %s?", req.Service, strings.Join(f.near, ", "))
	}
	return false, nobody(bus.NotFound, failure, "no service %s", req.Service)
}

// judgePinned is judge for a request to one instance.
func (f *finding) judgePinned(req *Request, failure *bus.Error) (bool, *bus.Error) {
	var ids []string
	for _, i := range f.instances {
		if i.ID == req.Instance {
			return true, away(failure, "instance %s of %s takes no calls at this moment", req.Instance, req.Service)
		}
		ids = append(ids, i.NodeID())
	}
	return false, nobody(bus.NotFound, failure, "no instance %s of %s; there are %s", req.Instance, req.Service, listed(ids))
}

// offer counts the instances that have a method, and those of them that drain.
func (f *finding) offer(method string) (offer, drain int) {
	for i := range f.instances {
		if _, ok := f.instances[i].Endpoint(method); !ok {
			continue
		}
		offer++
		if f.instances[i].State == discovery.StateDraining {
			drain++
		}
	}
	return offer, drain
}

func (f *finding) methods() []string {
	var names []string
	for _, i := range f.instances {
		for _, e := range i.Endpoints {
			if !isDebug(e.Name) {
				names = append(names, e.Name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func isDebug(method string) bool {
	return method == MethodHealth || method == MethodStats || method == MethodSchema || method == MethodDrain
}

// nobody is the error of a call that reached no one and will not do better.
func nobody(code bus.Code, failure *bus.Error, format string, args ...any) *bus.Error {
	e := bus.Errorf(code, format, args...)
	e.End, e.Elapsed = bus.Nobody, failure.Elapsed
	return e
}

// away is the error of a call that reached no one and may do better soon.
func away(failure *bus.Error, format string, args ...any) *bus.Error {
	e := nobody(bus.Unavailable, failure, format, args...)
	e.Retry = bus.RetryAfter(comeBackAfter)
	return e
}

// noSuchMethod names the methods that there are, the likely ones first.
func noSuchMethod(service, method string, methods []string) string {
	if err := wire.CheckMethod(method); err != nil {
		return fmt.Sprintf("%s has no such method: %v", service, err)
	}
	if len(methods) == 0 {
		return fmt.Sprintf("%s has no method %s", service, method)
	}
	if near := discovery.Near(method, methods); len(near) > 0 {
		return fmt.Sprintf("%s has no method %s; did you mean %s?", service, method, strings.Join(near, ", "))
	}
	return fmt.Sprintf("%s has no method %s; it has %s", service, method, listed(methods))
}

func listed(names []string) string {
	if len(names) > maxNamed {
		return strings.Join(names[:maxNamed], ", ") + fmt.Sprintf(" and %d more", len(names)-maxNamed)
	}
	return strings.Join(names, ", ")
}
