package rpc

import (
	"context"
	"io"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
)

// A caller that knows no frames has no way to say how much it takes, so what it
// gets is bounded, and slowed down to what the broker has passed on.
const (
	maxPlainMessages = 10000
	maxPlainBytes    = 64 << 20
	plainBurst       = 64      // messages between two round trips with the broker
	plainBurstBytes  = 1 << 20 // or bytes
)

// A plainFlow is the server's side of a stream whose caller knows no frames: the
// body of the request is the only message that comes, each message that goes is
// a body of its own, and an empty body ends them.
type plainFlow struct {
	call   *inbound
	cancel context.CancelCauseFunc
	sid    string
	uplink string // where the broker says that the caller is gone

	taken bool // the message that came
	over  atomic.Bool

	mu       sync.Mutex // of those who send
	messages int
	bytes    int
	unseen   int // messages since the last round trip
	unheard  int // bytes
}

func (c *inbound) newPlainFlow(cancel context.CancelCauseFunc) *plainFlow {
	s := c.ep.srv
	p := &plainFlow{call: c, cancel: cancel}
	p.sid = s.uplinks.add(p)
	p.uplink = wire.StreamSubject(s.cfg.Name, s.id, p.sid)
	return p
}

// receive hears from the broker that the caller is gone.
func (p *plainFlow) receive(m *nats.Msg) {
	if bus.NoResponders(m) {
		p.over.Store(true)
		p.cancel(errGaveUp)
	}
}

// Send sends one message as a body.
func (p *plainFlow) Send(ctx context.Context, c uint8, data []byte) error {
	if ctx.Err() != nil {
		return bus.AsError(ctx.Err())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.messages++
	p.bytes += len(data)
	if p.messages > maxPlainMessages || p.bytes > maxPlainBytes {
		return bus.Errorf(bus.ResourceExhausted, "more than %d messages or %d MiB without flow control; open a stream in frames", maxPlainMessages, maxPlainBytes>>20)
	}
	if p.unseen++; p.unseen > plainBurst || p.unheard > plainBurstBytes {
		if err := p.call.ep.srv.conn.Flush(ctx); err != nil {
			return err
		}
		p.unseen, p.unheard = 0, 0
	}
	p.unheard += len(data)
	var header nats.Header
	// An empty body without headers is the end.
	if k := codec.Codec(c); k.Valid() && (k != codec.JSON || len(data) == 0) {
		header = nats.Header{wire.HeaderContentType: {k.ContentType()}}
	}
	return p.publish(header, data)
}

func (p *plainFlow) publish(header nats.Header, data []byte) error {
	s := p.call.ep.srv
	return s.conn.Publish(s.life, p.call.msg.Reply, p.uplink, header, data)
}

// Recv returns the body of the request, and then io.EOF.
func (p *plainFlow) Recv(context.Context) (uint8, []byte, error) {
	if p.taken {
		return 0, nil, io.EOF
	}
	p.taken = true
	return uint8(p.call.request.Codec), p.call.request.Body, nil
}

// Peek is Recv.
func (p *plainFlow) Peek(ctx context.Context) (uint8, []byte, error) { return p.Recv(ctx) }

// Half does nothing: the caller hears of the end alone.
func (p *plainFlow) Half([]wire.Pair) error { return nil }

// Trailer is for callers.
func (p *plainFlow) Trailer() []wire.Pair { return nil }

// end ends the messages: with an error, or with an empty body where there may be
// several.
func (p *plainFlow) end(failure *bus.Error) {
	p.call.ep.srv.uplinks.remove(p.sid)
	switch {
	case p.over.Load():
	case failure != nil:
		p.call.reply(nil, failure)
	case p.call.ep.kind != discovery.KindClientStream:
		if err := p.publish(nil, nil); err != nil {
			p.call.ep.srv.log.Warn().Err(err).Str("method", p.call.ep.method).Msg("the end of a stream is lost")
		}
	}
}
