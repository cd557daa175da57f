package web

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/mbus-dev/mbus/bus"
)

const (
	// maxStored is how many events of a stream one page has, and maxStoredBytes
	// how many bytes of them.
	maxStored      = 200
	maxStoredBytes = 1 << 20
	// A page is read message by message, with the requests that need no consumer.
	// These bound what that may take, in time, requests and bytes: what has been
	// found by then is the page.
	storedPatience   = 3 * time.Second
	maxStoredReads   = 1000
	maxStoredReading = 8 << 20
	// widen is by how much the part of the stream grows that is looked through at
	// a time, where it had nothing of the topic.
	widen = 8
)

// A storedReader reads what a stream has of a topic.
type storedReader struct {
	stream  jetstream.Stream
	subject string
	first   uint64
	last    uint64
	reads   int
	bytes   int
	// short says that there was more to read than could be.
	short bool
}

// next is the first event of the topic from a sequence on, nil without one.
func (r *storedReader) next(ctx context.Context, seq uint64) (*jetstream.RawStreamMsg, error) {
	r.reads++
	m, err := r.stream.GetMsg(ctx, max(seq, 1), jetstream.WithGetMsgSubject(r.subject))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r.bytes += len(m.Data)
	return m, nil
}

// spent reports whether nothing more may be read for this page.
func (r *storedReader) spent(ctx context.Context) bool {
	if r.reads >= maxStoredReads || r.bytes >= maxStoredReading || ctx.Err() != nil {
		r.short = true
	}
	return r.short
}

// forward reads up to n events from a sequence on and before another. It ends
// early when they are too many bytes, or when no more may be read.
func (r *storedReader) forward(ctx context.Context, seq, end uint64, n int) ([]*jetstream.RawStreamMsg, error) {
	var found []*jetstream.RawStreamMsg
	size := 0
	for len(found) < n && seq < end && !r.spent(ctx) {
		m, err := r.next(ctx, seq)
		if err != nil {
			if r.spent(ctx) {
				break
			}
			return nil, err
		}
		if m == nil || m.Sequence >= end {
			break
		}
		if size += len(m.Data); size > maxStoredBytes && len(found) > 0 {
			break
		}
		found = append(found, m)
		seq = m.Sequence + 1
	}
	return found, nil
}

// backward reads the last events before a sequence, up to n of them, and returns
// from which sequence on nothing was left out. A stream is read forwards only, so
// it looks through parts of it, from the end, that grow while a page has room. The
// first part is a single sequence: however large the events are, a page has one.
func (r *storedReader) backward(ctx context.Context, end uint64, n int) (found []*jetstream.RawStreamMsg, from uint64, err error) {
	size, bytes := uint64(1), 0
	from = end
	for from > r.first && len(found) < n && bytes < maxStoredBytes && !r.spent(ctx) {
		begin := r.first
		if from > size && from-size > begin {
			begin = from - size
		}
		part, whole, err := r.part(ctx, begin, from, n-len(found))
		if err != nil {
			return nil, 0, err
		}
		if !whole {
			break // its end is missing: none of it counts
		}
		found = append(part, found...)
		from = begin
		for _, m := range part {
			bytes += len(m.Data)
		}
		grown := size * widen
		if len(part) > 0 && bytes > 0 {
			// As many as there is room for, if the stream goes on like this.
			room := min(n-len(found), (maxStoredBytes-bytes)*len(found)/bytes) + 1
			grown = min(grown, uint64(max(room, 1))*size/uint64(len(part)))
		}
		size = max(grown, 1)
	}
	if len(found) > 0 && len(found) == n {
		from = found[0].Sequence
	}
	found, from = fit(found, from)
	return found, from, nil
}

// part reads the last keep events between two sequences.
func (r *storedReader) part(ctx context.Context, seq, end uint64, keep int) (found []*jetstream.RawStreamMsg, whole bool, err error) {
	for seq < end {
		if r.spent(ctx) {
			return nil, false, nil
		}
		m, err := r.next(ctx, seq)
		if err != nil {
			if r.spent(ctx) {
				return nil, false, nil
			}
			return nil, false, err
		}
		if m == nil || m.Sequence >= end {
			break
		}
		if len(found) == keep {
			found = found[1:]
		}
		found = append(found, m)
		seq = m.Sequence + 1
	}
	return found, true, nil
}

// fit leaves out the earliest of what is too many bytes for a page.
func fit(found []*jetstream.RawStreamMsg, from uint64) ([]*jetstream.RawStreamMsg, uint64) {
	size := 0
	for i, m := range slices.Backward(found) {
		if size += len(m.Data); size > maxStoredBytes && i < len(found)-1 {
			return found[i+1:], found[i+1].Sequence
		}
	}
	return found, from
}

// since is the sequence of the first event that is not older than a time: by
// halves, since a stream is in the order of its times.
func (r *storedReader) since(ctx context.Context, at time.Time) (uint64, error) {
	low, high := r.first, r.last+1
	for low < high {
		middle := low + (high-low)/2
		m, err := r.next(ctx, middle)
		switch {
		case err != nil && ctx.Err() != nil:
			return 0, bus.Errorf(bus.DeadlineExceeded, "the stream has not answered in time")
		case err != nil:
			return 0, err
		case m == nil || !m.Time.Before(at):
			high = middle
		default:
			low = m.Sequence + 1
		}
	}
	return low, nil
}
