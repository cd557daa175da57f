package rpc

import "sync"

// buffers keeps byte slices for frames on their way out: NATS copies what it
// publishes, so a slice is free again at once.
type buffers struct{ pool sync.Pool }

type buffer struct{ b []byte }

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
	b.b = b.b[:0]
	p.pool.Put(b)
}
