package rpc

import (
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus/wire"
)

// Metadata is what travels beside the body of a call or of its answer: names
// and one value each. Names keep the case they were given. At most 64 entries
// and 16 KiB of names and values travel.
//
// The names Mbus-*, Nats-* and Content-Type, in any case, belong to the
// protocol and are refused. traceparent, tracestate and baggage carry a trace;
// they are passed on along a chain of calls by themselves.
type Metadata map[string]string

// Get returns the value of a name: of exactly this name, or else of one that
// differs from it only in case, since HTTP changes the case of what passes
// through it. It is "" when there is none.
func (m Metadata) Get(name string) string {
	if v, ok := m[name]; ok {
		return v
	}
	for k, v := range m {
		if strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}

// clone copies m; nil stays nil.
func (m Metadata) clone() Metadata {
	if m == nil {
		return nil
	}
	c := make(Metadata, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

// isTrace reports whether name carries the trace that a call belongs to.
func isTrace(name string) bool {
	return name == wire.HeaderTraceparent || name == wire.HeaderTracestate || name == wire.HeaderBaggage
}

// appendPairs appends m to pairs and checks that they may travel.
func appendPairs(pairs []wire.Pair, m Metadata) ([]wire.Pair, error) {
	for k, v := range m {
		if wire.Reserved(k) && !isTrace(k) {
			return nil, reservedName(k)
		}
		pairs = append(pairs, wire.Pair{Key: k, Value: v})
	}
	if len(pairs) == 0 {
		return pairs, nil
	}
	return pairs, wire.CheckMeta(pairs)
}

// headerOf spells pairs as NATS headers; without pairs it is nil, since a
// message with headers costs more than one without.
func headerOf(pairs []wire.Pair) nats.Header {
	if len(pairs) == 0 {
		return nil
	}
	h := make(nats.Header, len(pairs))
	for _, p := range pairs {
		h[p.Key] = []string{p.Value}
	}
	return h
}

// metadataOfHeader returns the user metadata of a plain message: the first
// value of each name that the protocol does not own.
func metadataOfHeader(h nats.Header) Metadata {
	var m Metadata
	for k, values := range h {
		if len(values) == 0 || (wire.Reserved(k) && !isTrace(k)) {
			continue
		}
		if m == nil {
			m = make(Metadata, len(h))
		}
		m[k] = values[0]
	}
	return m
}

// metadataOfPairs returns the user metadata of a frame.
func metadataOfPairs(pairs []wire.Pair) Metadata {
	var m Metadata
	for _, p := range pairs {
		if wire.Reserved(p.Key) && !isTrace(p.Key) {
			continue
		}
		if m == nil {
			m = make(Metadata, len(pairs))
		}
		if _, twice := m[p.Key]; !twice {
			m[p.Key] = p.Value
		}
	}
	return m
}

// checkHeader bounds the headers of a message that came from the bus.
func checkHeader(h nats.Header) error {
	pairs, size := 0, 0
	for k, values := range h {
		pairs += len(values)
		for _, v := range values {
			size += len(k) + len(v)
		}
	}
	if pairs > wire.MaxMetaPairs || size > wire.MaxMetaBytes {
		return headerFlood(pairs, size)
	}
	return nil
}
