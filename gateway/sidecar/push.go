package sidecar

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/gateway"
)

const (
	// pushTries is how often an event is sent to an app that does not take it,
	// with a pause that begins at pushPause and doubles.
	pushTries = 6
	pushPause = 100 * time.Millisecond
	// pushLimit is how long an app may take to accept one event.
	pushLimit = 10 * time.Second
	// maxPushAnswer bounds what is read of the answer, which nobody needs.
	maxPushAnswer = 4 << 10
	// Events that wait for an app, by number and by bytes; the newest beyond are
	// lost.
	pushBuffer      = 1024
	pushBufferBytes = 16 << 20
)

// Headers of an event that is pushed to an app.
const (
	headerTopic        = "Mbus-Topic"
	headerSubscription = "Mbus-Subscription"
	headerAttempt      = "Mbus-Attempt"
)

// pushes are the subscriptions of an app, by name.
type pushes struct {
	mu  sync.Mutex
	all map[string]*push
}

// A push is one subscription of an app at work: events come from the bus and go
// out as POSTs, one after another.
type push struct {
	app  *app
	def  Subscription
	sub  *bus.Subscription // nil while the broker does not have it
	life context.Context
	cut  context.CancelFunc

	delivered, retried, lost atomic.Uint64
	failure                  atomic.Pointer[string]
	complained               atomic.Int64 // when, in Unix nanoseconds
}

// settle follows what the registry says about the subscriptions of an app.
func (p *pushes) settle(ctx context.Context, a *app, at *placement) {
	wanted, err := subscriptionsOf(at.node.Metadata)
	if err != nil {
		a.log.Warn().Err(err).Msg("a subscription of an app is not served")
	}
	for _, one := range p.list() {
		def, there := wanted[one.def.Name]
		if there && def == one.def && one.sub != nil {
			delete(wanted, def.Name)
			continue
		}
		p.remove(one)
	}
	for _, def := range wanted {
		p.add(ctx, a, def)
	}
}

func (p *pushes) list() []*push {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]*push, 0, len(p.all))
	for _, one := range p.all {
		all = append(all, one)
	}
	return all
}

func (p *pushes) get(name string) *push {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all[name]
}

// add subscribes for an app. Sidecars of one host share the events: each goes to
// one of them.
func (p *pushes) add(ctx context.Context, a *app, def Subscription) {
	one := &push{app: a, def: def}
	one.life, one.cut = context.WithCancel(context.WithoutCancel(ctx))
	queue := cmp.Or(def.Queue, "mbus.push "+a.key.service+" "+a.key.id+" "+def.Name)
	sub, err := a.side.bus.Conn.Subscribe(ctx, def.Topic, strings.ReplaceAll(queue, " ", "|"), bus.Limits{Messages: pushBuffer, Bytes: pushBufferBytes}, one.deliver)
	if err != nil {
		one.cut()
		text := bus.AsError(err).Message
		one.failure.Store(&text)
		a.log.Warn().Err(err).Str("topic", def.Topic).Str("subscription", def.Name).Msg("an app cannot be subscribed")
	}
	one.sub = sub
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = make(map[string]*push)
	}
	p.all[def.Name] = one
}

func (p *pushes) remove(one *push) {
	p.mu.Lock()
	delete(p.all, one.def.Name)
	p.mu.Unlock()
	one.end(one.app.side.hard)
}

// end ends all of them, and lets what has come be delivered until hard ends.
func (p *pushes) end(hard context.Context) {
	var work sync.WaitGroup
	for _, one := range p.list() {
		work.Go(func() { one.end(hard) })
	}
	work.Wait()
}

func (p *push) end(hard context.Context) {
	if p.sub == nil {
		return
	}
	ctx, cancel := context.WithTimeout(hard, stopLimit)
	defer cancel()
	stop := context.AfterFunc(ctx, p.cut)
	defer stop()
	if err := p.sub.Drain(ctx); err != nil && p.app.side.bus.Conn.Connected() {
		p.app.log.Warn().Err(err).Str("subscription", p.def.Name).Msg("events that waited for an app are lost")
	}
	p.cut()
}

// deliver sends one event to the app until it takes it, or the tries are over.
func (p *push) deliver(m *nats.Msg) {
	pause := pushPause
	for try := 1; ; try++ {
		err := p.post(m, try)
		if err == nil {
			p.delivered.Add(1)
			return
		}
		if try == pushTries || refusedForGood(err) || !sleep(p.life, pause) {
			p.lose(m.Subject, try, err)
			return
		}
		p.retried.Add(1)
		pause *= 2
	}
}

// lose counts an event that the app did not take, and logs it, at most once in
// complainEvery.
func (p *push) lose(topic string, tries int, err error) {
	p.lost.Add(1)
	text := bus.AsError(err).Message
	p.failure.Store(&text)
	now := time.Now().UnixNano()
	if last := p.complained.Load(); now-last < int64(complainEvery) || !p.complained.CompareAndSwap(last, now) {
		return
	}
	p.app.log.Warn().Err(err).Str("topic", topic).Str("subscription", p.def.Name).Int("tries", tries).Uint64("lost", p.lost.Load()).Msg("an event was not taken by the app and is lost")
}

// refusedForGood reports whether another try would fail alike: the app has read
// the event and does not want it.
func refusedForGood(err error) bool {
	switch e := bus.AsError(err); e.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	default:
		return e.Status >= 400 && e.Status <= 499 && e.Code != bus.Canceled && e.Code != bus.TooLarge
	}
}

// sleep is false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// post sends one event once.
func (p *push) post(m *nats.Msg, try int) error {
	at := p.app.now.Load()
	if at == nil {
		return bus.Errorf(bus.Unavailable, "the app is no longer served here")
	}
	ctx, cancel := context.WithTimeout(p.life, pushLimit)
	defer cancel()
	select {
	case p.app.slots <- struct{}{}:
		defer func() { <-p.app.slots }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+at.target.String()+p.def.Path, bytes.NewReader(m.Data))
	if err != nil {
		return err
	}
	meta := make(map[string]string, len(m.Header))
	for name, values := range m.Header {
		if !gateway.Internal(name) {
			meta[name] = strings.Join(values, ", ")
		}
	}
	setHeaders(r.Header, meta)
	r.Header.Set("Content-Type", contentType(m))
	r.Header.Set("User-Agent", "mbus-sidecar")
	r.Header.Set(headerTopic, m.Subject)
	r.Header.Set(headerSubscription, p.def.Name)
	r.Header.Set(headerAttempt, strconv.Itoa(try))
	res, err := p.app.side.transport.RoundTrip(r)
	if err != nil {
		err = unanswered(ctx, err)
		if neverSent(err) {
			p.app.unreachable()
		}
		return err
	}
	defer func() { _ = res.Body.Close() }() // what is left is not wanted
	// The status counts; of the words only the beginning, if they come.
	words, _ := io.ReadAll(io.LimitReader(res.Body, maxPushAnswer))
	if res.StatusCode >= 200 && res.StatusCode <= 299 {
		return nil
	}
	return (&answer{res.StatusCode, res.Header, words}).failed()
}

// contentType is that of an event, which needs no header for JSON and msgpack.
func contentType(m *nats.Msg) string {
	if said := m.Header.Get("Content-Type"); said != "" {
		return said
	}
	if c, err := codec.OfEvent("", m.Data); err == nil {
		return c.ContentType()
	}
	return codec.JSON.ContentType()
}
