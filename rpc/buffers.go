package rpc

import "sync"

// buffers keeps byte slices for frames on their way out: NATS copies what it
// publishes, so a slice is free again at once.
type buffers struct{ pool sync.Pool }

type buffer struct {
	b      []byte
	answer Response // that b is the body of
}

func (p *buffers) get() *buffer {
	if b, ok := p.pool.Get().(*buffer); ok {
		return b
	}
	return &buffer{}
}

func (p *buffers) put(b *buffer) {
	if cap(b.b) > maxKeptBuffer {
		return
	}
	b.b, b.answer = b.b[:0], Response{}
	p.pool.Put(b)
}

// An inbounds keeps the memory of calls for the next ones.
type inbounds struct{ pool sync.Pool }

func (p *inbounds) get() *inbound {
	if c, ok := p.pool.Get().(*inbound); ok {
		return c
	}
	return new(inbound)
}

func (p *inbounds) put(c *inbound) {
	*c = inbound{}
	p.pool.Put(c)
}
