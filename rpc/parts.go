package rpc

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
)

// Parts is the body of a large answer as it comes. What waits here is never more
// than the window of a stream, 1 MiB; the rest stays with the instance that
// answers until it is read.
//
// The last bytes come only once size and checksum are right: whoever has read to
// io.EOF has the whole body. Any other error is a *bus.Error that says what the
// call was and how it ended, such as unavailable for an instance that has died.
//
// One goroutine at a time reads; Close may be called from any.
type Parts struct {
	link    *clientStream
	ctx     context.Context
	stop    func() bool // leaves the context alone
	explain func(error) error

	size int // as announced, -1 if it was not
	said string
	most int
	meta Metadata

	codec uint8
	sum   hash.Hash32
	got   int
	part  []byte // taken and not read yet
	last  bool   // nothing comes behind it
	err   error
}

var (
	_ io.ReadCloser = (*Parts)(nil)
	_ io.WriterTo   = (*Parts)(nil)
)

// Size returns the bytes of the whole body, or -1 where the instance has not said
// it: an answer to a request that went in parts itself, or of an instance of an
// older version. Then what the Response has as Meta is nil; Trailer has it.
func (p *Parts) Size() int { return p.size }

// Sum returns the CRC-32C of the whole body in eight hex digits; "" if Size is
// -1.
func (p *Parts) Sum() string { return p.said }

// Trailer returns the metadata of the answer. Before io.EOF it is nil where Size
// is -1.
func (p *Parts) Trailer() Metadata { return p.meta }

// Read reads what comes next, and waits for it.
func (p *Parts) Read(b []byte) (int, error) {
	for len(p.part) == 0 {
		if err := p.next(); err != nil {
			return 0, err
		}
		if len(b) == 0 {
			return 0, nil
		}
	}
	n := copy(b, p.part)
	p.part = p.part[n:]
	return n, nil
}

// WriteTo writes all that is left to w, one part of up to 64 KiB at a time,
// without copying it.
func (p *Parts) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		if len(p.part) > 0 {
			n, err := w.Write(p.part)
			total += int64(n)
			p.part = p.part[n:]
			if err != nil {
				return total, err
			}
			continue
		}
		if err := p.next(); err == io.EOF { //nolint:errorlint // next returns it as it is
			return total, nil
		} else if err != nil {
			return total, err
		}
	}
}

// Close gives up what has not been read: the instance is told. It returns nil.
func (p *Parts) Close() error {
	p.stop()
	p.link.pipe.Cancel(bus.AsError(context.Canceled))
	p.link.giveUp()
	return nil
}

// next takes the next part.
func (p *Parts) next() error {
	switch {
	case p.err != nil:
		return p.err
	case p.last:
		return p.ended(io.EOF)
	}
	k, data, more, err := p.link.pipe.RecvPart(p.ctx, p.sum != nil)
	if err == io.EOF && p.sum == nil { //nolint:errorlint // the pipe never wraps it
		err = badReply("it ended before it began")
	}
	if err == nil {
		err = p.add(k, data)
	}
	if err == nil && !more {
		p.last = true
		err = p.check()
	}
	if err != nil {
		return p.ended(err)
	}
	p.part = data
	return nil
}

// add counts one part.
func (p *Parts) add(k uint8, data []byte) error {
	if p.sum == nil {
		p.codec, p.sum = k, crc32.New(crc32.MakeTable(crc32.Castagnoli))
	}
	p.got += len(data)
	switch {
	case k != p.codec:
		return badReply("a part in codec %d follows one in codec %d", k, p.codec)
	case p.size >= 0 && p.got > p.size:
		return badReply("a body of %d bytes goes on behind them", p.size)
	case p.got > p.most:
		failure := overLimit("the answer", p.got, p.most)
		failure.End = bus.Handler
		return failure
	}
	_, _ = p.sum.Write(data) // a hash takes everything
	return nil
}

// check compares the whole with what the instance says of it at the end.
func (p *Parts) check() error {
	if _, _, _, err := p.link.pipe.RecvPart(p.ctx, false); !errors.Is(err, io.EOF) {
		if err == nil {
			err = badReply("the answer goes on behind its end")
		}
		return err
	}
	trailer := p.link.pipe.Trailer()
	sum, said := fmt.Sprintf("%08x", p.sum.Sum32()), metaOf(trailer, wire.MetaCRC32C)
	switch {
	case p.size >= 0 && p.got != p.size:
		return badReply("the parts of the body have %d bytes together, not %d", p.got, p.size)
	case said != sum, p.size >= 0 && p.said != sum:
		return badReply("the parts of the body have the checksum %s, not %q", sum, said)
	case p.size < 0:
		p.meta = metadataOfPairs(trailer)
	}
	return nil
}

// ended is the last that a reader hears.
func (p *Parts) ended(err error) error {
	p.stop()
	if err != io.EOF { //nolint:errorlint // it is never wrapped
		failure := *bus.AsError(err)
		failure.Instance = p.link.instance
		p.link.pipe.Cancel(&failure)
		err = p.explain(&failure)
	} else {
		p.link.pipe.Close()
	}
	p.link.giveUp()
	p.err = err
	return err
}

// begunParts waits for the first part of an answer on s, until ctx ends. head is the
// announcement, nil if there was none. Once it is here the body lasts as long as
// the context that the caller gave.
func (c *Client) begunParts(ctx context.Context, req *Request, s *clientStream, size int, head *wire.Frame) (*Response, error) {
	start, about := time.Now(), &Request{Service: req.Service, Method: req.Method, Instance: req.Instance}
	p := &Parts{
		link: s, ctx: ctx, size: -1, most: c.maxBody(), stop: func() bool { return true },
		explain: func(err error) error { return err },
	}
	if head != nil && head.Codec != wire.CodecNone {
		p.size, p.said, p.meta = size, metaOf(head.Meta, wire.MetaCRC32C), metadataOfPairs(head.Meta)
	}
	if err := p.next(); err != nil {
		return nil, err
	}
	res := &Response{Codec: codec.Codec(p.codec), Meta: p.meta, Parts: p}
	if !res.Codec.Valid() || p.size >= 0 && head.Codec != p.codec {
		return nil, badReply("codec %d is not known, or not the one announced", p.codec)
	}
	s.req = about // what was asked may be large, too
	life := req.origin.life
	p.ctx = life
	p.stop = context.AfterFunc(life, func() { s.pipe.Cancel(bus.AsError(life.Err())) })
	p.explain = func(err error) error { return c.explain(err, about, start) }
	return res, nil
}

// drop closes what nobody reads.
func (r *Response) drop() {
	if r != nil && r.Parts != nil {
		_ = r.Parts.Close() // it cannot fail
	}
}
