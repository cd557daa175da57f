package web

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/rpc"
)

const (
	// actionPatience bounds a change of a node, until the view shows it; lookAgain
	// is how often the view is looked at meanwhile.
	actionPatience = 5 * time.Second
	lookAgain      = 20 * time.Millisecond
	maxAction      = 4 << 10
)

// drains reports whether an instance can be told to drain.
func drains(i *discovery.Instance) bool {
	_, ok := i.Endpoint(rpc.MethodDrain)
	return ok && !i.Registered()
}

// A nodeAction is what a page wants of one node. Drain is for the action of that
// name.
type nodeAction struct {
	Service string `json:"service"`
	Node    string `json:"node"`
	Drain   *bool  `json:"drain"`
}

// A nodeAnswer says what became of it. OK means that the view shows it.
type nodeAnswer struct {
	OK      bool   `json:"ok"`
	Service string `json:"service"`
	Node    string `json:"node"`
	State   string `json:"state,omitempty"`
	Code    string `json:"code,omitempty"`
	Detail  string `json:"detail,omitempty"`
}

// serveDeregister takes an app out of the registry that was registered there.
func (w *Web) serveDeregister(rw http.ResponseWriter, r *http.Request) {
	w.act(rw, r, func(ctx context.Context, a *nodeAction, i discovery.Instance) error {
		if err := w.bus.MayCall(ctx, Service, "Registry.Deregister"); err != nil {
			return err
		}
		if !i.Registered() {
			return bus.Errorf(bus.InvalidArgument, "%s is on the bus and announces itself: stop it, or drain it", a.Node)
		}
		if err := discovery.Deregister(ctx, w.bus.Conn, discovery.Service{Name: i.Service, Nodes: []discovery.Node{{ID: i.ID}}}); err != nil {
			return err
		}
		return w.shown(ctx, &i, "the registrar has taken it out, and the list still has it", func(_ *discovery.Instance, there bool) bool { return !there })
	})
}

// serveDrain tells an instance to take no new calls, or to take them again.
func (w *Web) serveDrain(rw http.ResponseWriter, r *http.Request) {
	w.act(rw, r, func(ctx context.Context, a *nodeAction, i discovery.Instance) error {
		if a.Drain == nil {
			return bus.Errorf(bus.InvalidArgument, `say "drain": true or false`)
		}
		if !drains(&i) {
			return bus.Errorf(bus.InvalidArgument, "%s offers no %s", a.Node, rpc.MethodDrain)
		}
		request, err := json.Marshal(struct {
			Drain bool `json:"drain"`
		}{*a.Drain})
		if err != nil {
			return bus.AsError(err)
		}
		var answer struct {
			Draining bool `json:"draining"`
		}
		if err := w.askOne(gateway.Operator(ctx), i, rpc.MethodDrain, string(request), &answer); err != nil {
			return err
		}
		if answer.Draining != *a.Drain {
			return bus.Errorf(bus.Conflict, "%s answers draining: %v", a.Node, answer.Draining)
		}
		return w.shown(ctx, &i, "the node has said yes, and announces nothing of it", func(now *discovery.Instance, there bool) bool {
			return there && (now.State == discovery.StateDraining) == *a.Drain
		})
	})
}

// act reads what is wanted, finds the node, and answers what do has done to it.
func (w *Web) act(rw http.ResponseWriter, r *http.Request, do func(context.Context, *nodeAction, discovery.Instance) error) {
	var a nodeAction
	if err := readJSON(rw, r, maxAction, &a); err != nil {
		gateway.WriteError(rw, r, Service, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), actionPatience)
	defer cancel()
	answer := nodeAnswer{Service: a.Service, Node: a.Node}
	i, err := w.instanceOf(a.Service, a.Node)
	if err == nil {
		err = do(ctx, &a, i)
	}
	if err != nil {
		e := bus.AsError(err)
		answer.Code, answer.Detail = e.Code.String(), e.Message
	} else {
		answer.OK = true
		if now, there := w.bus.View().Get(i.Service, i.ID); there {
			answer.State = string(now.State)
		}
	}
	w.collect.touch() // the next page shows it, too
	writeJSON(rw, r, http.StatusOK, answer)
}

// instanceOf finds a node of a service by the id that people see, or by its own.
func (w *Web) instanceOf(service, node string) (discovery.Instance, error) {
	if view := w.bus.View(); view != nil {
		for _, i := range view.All(service) {
			if i.NodeID() == node || i.CallID() == node {
				return i, nil
			}
		}
	}
	return discovery.Instance{}, bus.Errorf(bus.NotFound, "no node %.80q of %.80q is there", node, service)
}

// shown waits until the view shows what was done. late says what has happened so
// far when that takes too long.
func (w *Web) shown(ctx context.Context, i *discovery.Instance, late string, done func(*discovery.Instance, bool) bool) error {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		now, there := w.bus.View().Get(i.Service, i.ID)
		if done(&now, there) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return bus.Errorf(bus.DeadlineExceeded, "%s", late)
		}
	}
}
