package rpc

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery"
)

// maxAtOnce bounds the instances that CallAll has called and waits for.
const maxAtOnce = 64

// An Answer is what one instance said to a [CallAll].
type Answer[Res any] struct {
	// Instance is the id of who answered, or did not.
	Instance string
	// Version of that instance.
	Version string
	// Value is the answer; nil with an error.
	Value *Res
	// Elapsed is how long this instance took.
	Elapsed time.Duration
}

// Answers are yielded as they come, each with its error.
type Answers[Res any] = iter.Seq2[Answer[Res], error]

// CallAll calls a method on every instance of a service that is on the bus now,
// 64 at once, and yields what each says, in the order in which they say it. An
// instance that fails is an answer with an error; the others go on. If the
// instances cannot be found, or there are none, the only thing yielded is that
// error with an Answer that names no instance.
//
// Instances are found by asking, which takes some tens of milliseconds. Ending
// the loop early abandons the calls that are left.
func CallAll[Res any](ctx context.Context, c *Client, service, method string, req any, opts ...CallOption) Answers[Res] {
	return func(yield func(Answer[Res], error) bool) {
		start := time.Now()
		target := &Request{Service: service, Method: method}
		instances, err := c.instances(ctx, target)
		if err != nil {
			yield(Answer[Res]{}, c.explain(err, target, start))
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		type said struct {
			answer Answer[Res]
			err    error
		}
		answers := make(chan said)
		gate := make(chan struct{}, maxAtOnce)
		var wg sync.WaitGroup
		defer func() {
			cancel()
			wg.Wait()
		}()
		ask := func(i discovery.Instance) {
			began := time.Now()
			value, err := Call[Res](ctx, c, service, method, req, append(opts[:len(opts):len(opts)], WithNode(i.ID))...)
			select {
			case answers <- said{Answer[Res]{i.ID, i.Version, value, time.Since(began)}, err}:
			case <-ctx.Done():
			}
			<-gate
		}
		wg.Go(func() {
			for _, i := range instances {
				select {
				case gate <- struct{}{}:
					wg.Go(func() { ask(i) })
				case <-ctx.Done():
					return
				}
			}
		})
		for range instances {
			select {
			case s := <-answers:
				if !yield(s.answer, s.err) {
					return
				}
			case <-ctx.Done():
				yield(Answer[Res]{}, c.explain(ctx.Err(), target, start))
				return
			}
		}
	}
}

// instances finds who can be called one by one.
func (c *Client) instances(ctx context.Context, target *Request) ([]discovery.Instance, error) {
	if err := checkTarget(target); err != nil {
		return nil, err
	}
	if c.cfg.Timeout > 0 {
		limited, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
		defer cancel()
		ctx = limited
	}
	found, err := discovery.Query(ctx, c.conn, target.Service)
	if err != nil {
		return nil, err
	}
	var instances []discovery.Instance
	for _, i := range found {
		if !i.Foreign && !i.Registered() {
			instances = append(instances, i)
		}
	}
	switch {
	case len(instances) > 0:
		return instances, nil
	case len(found) > 0:
		return nil, nobody(bus.Unimplemented, &bus.Error{}, "%s is not an mbus service: its instances cannot be called one by one", target.Service)
	}
	f := c.diagnose(ctx, c.peers.get(target.Service))
	_, verdict := f.judge(target, &bus.Error{})
	return nil, verdict
}
