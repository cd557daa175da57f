package discovery

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
)

// ProtocolVersion is the version of the mbus protocol that this package speaks,
// announced as v and as the metadata mbus.v.
const ProtocolVersion = 1

// Bounds of an announcement. One that breaks a bound is dropped and counted.
const (
	maxAnnouncement = 32 << 10 // bytes of an up, a change or an answer to a probe
	maxBeat         = 64       // bytes
	maxLeave        = 1 << 10  // bytes of a drain or a down
	maxEndpoints    = 1024
	maxCodecs       = 16
	maxText         = 256 // bytes of a version, an address, a state, a hash, a reason
	maxValueDepth   = 8
	maxPort         = 65535
)

// Intervals outside these bounds are moved to the nearer one: an instance that
// claims to beat once a year would stay in every View for as long.
const (
	minInterval = 100 * time.Millisecond
	maxInterval = 5 * time.Minute
)

// Kinds of an endpoint. An empty kind is unary.
const (
	KindUnary        = "unary"
	KindServerStream = "server-stream"
	KindClientStream = "client-stream"
	KindBidi         = "bidi"
)

// An Endpoint is one method of a service, as announced.
type Endpoint struct {
	// Name is the method, with its dots: Say.Hello. For a foreign service it is
	// the ADR-32 endpoint name.
	Name string `json:"name"`
	// Kind is one of the Kind constants; empty means unary.
	Kind string `json:"kind,omitempty"`
	// Request and Response name the JSON Schemas of the messages by their
	// hashes. Schemas fetches the bodies. Empty means not described.
	Request  string `json:"request,omitempty"`
	Response string `json:"response,omitempty"`
	// Metadata is the user's. Keys under "mbus." are refused.
	Metadata map[string]string `json:"metadata,omitempty"`
	// Subject is where calls go, if that is not the subject which follows from
	// service and method: for foreign services only.
	Subject string `json:"subject,omitempty"`
	// RequestValue and ResponseValue describe the messages of an app that is
	// registered and not on the bus, which has no schemas to fetch.
	RequestValue  *Value `json:"request_value,omitempty"`
	ResponseValue *Value `json:"response_value,omitempty"`
}

// An announcement says who an instance is and what it offers.
type announcement struct {
	V               int               `json:"v"`
	Name            string            `json:"name"`
	ID              string            `json:"id"`
	Version         string            `json:"version,omitempty"`
	Metadata        map[string]string `json:"metadata,omitempty"`
	ServiceMetadata map[string]string `json:"service_metadata,omitempty"`
	Endpoints       []Endpoint        `json:"endpoints,omitempty"`
	Codecs          []string          `json:"codecs,omitempty"`
	Server          string            `json:"server,omitempty"`
	Client          uint64            `json:"client,omitempty"`
	Rev             uint64            `json:"rev"`
	Interval        int64             `json:"interval"` // ms
	Started         time.Time         `json:"started"`
	State           State             `json:"state,omitempty"`
	Address         string            `json:"address,omitempty"`
	Port            int               `json:"port,omitempty"`
	TTL             int64             `json:"ttl,omitempty"`  // ms
	Left            int64             `json:"left,omitempty"` // ms of the ttl that are left
}

// A beat says that an instance is still there.
type beat struct {
	Rev      uint64 `json:"r"`
	Load     int    `json:"l"` // 0–100
	InFlight int    `json:"f"`
	Interval int64  `json:"i"` // ms until the next one
}

// A leave is the body of drain and down. A down that names a connection is
// meant for an instance on that connection only: one that has connected anew
// stays.
type leave struct {
	Reason string `json:"reason,omitempty"`
	Rev    uint64 `json:"rev,omitempty"`
	Server string `json:"server,omitempty"`
	Client uint64 `json:"client,omitempty"`
}

// encodeAnnouncement is too_large when a is over the bound.
func encodeAnnouncement(a *announcement) ([]byte, error) {
	data, err := codec.Msgpack.Marshal(a)
	if err != nil {
		return nil, err
	}
	if len(data) > maxAnnouncement {
		return nil, bus.Errorf(bus.TooLarge, "announcement of %s: %d bytes, at most %d are allowed; give it less metadata or split the service", a.Name, len(data), maxAnnouncement)
	}
	return data, nil
}

// decodeAnnouncement reads what an instance says about itself. service and id
// come from a subject, where the broker checks rights, or from the question;
// the body must name the same.
func decodeAnnouncement(p *codec.Plan, service, id string, data []byte) (*announcement, error) {
	if len(data) > maxAnnouncement {
		return nil, fmt.Errorf("%d bytes, at most %d are allowed", len(data), maxAnnouncement)
	}
	a := new(announcement)
	if err := decode(p, data, a); err != nil {
		return nil, err
	}
	if a.Name != service || a.ID != id {
		return nil, fmt.Errorf("it names %.140q %.140q but speaks for %q %q", a.Name, a.ID, service, id)
	}
	if err := a.check(); err != nil {
		return nil, err
	}
	return a, nil
}

// decodeAnswer reads the answer to a probe, where only the body names the
// instance.
func decodeAnswer(p *codec.Plan, data []byte) (*announcement, error) {
	if len(data) > maxAnnouncement {
		return nil, fmt.Errorf("%d bytes, at most %d are allowed", len(data), maxAnnouncement)
	}
	a := new(announcement)
	if err := decode(p, data, a); err != nil {
		return nil, err
	}
	return a, a.check()
}

func (a *announcement) check() error {
	if err := wire.CheckService(a.Name); err != nil {
		return err
	}
	if err := wire.CheckID(a.ID); err != nil {
		return err
	}
	if a.V < 1 {
		return fmt.Errorf("protocol version %d", a.V)
	}
	if len(a.Endpoints) > maxEndpoints {
		return fmt.Errorf("%d endpoints, at most %d are allowed", len(a.Endpoints), maxEndpoints)
	}
	for i := range a.Endpoints {
		if err := a.Endpoints[i].check(); err != nil {
			return err
		}
	}
	if a.Port < 0 || a.Port > maxPort {
		return fmt.Errorf("port %d", a.Port)
	}
	if len(a.Codecs) > maxCodecs || a.TTL < 0 || a.Left < 0 {
		return errors.New("codecs or ttl out of bounds")
	}
	for _, s := range []string{a.Version, a.Address, string(a.State), a.Server} {
		if len(s) > maxText {
			return fmt.Errorf("a field of %d bytes, at most %d are allowed", len(s), maxText)
		}
	}
	return nil
}

func (e *Endpoint) check() error {
	if err := wire.CheckMethod(e.Name); err != nil {
		return err
	}
	for _, s := range []string{e.Kind, e.Request, e.Response, e.Subject} {
		if len(s) > maxText {
			return fmt.Errorf("endpoint %s: a field of %d bytes, at most %d are allowed", e.Name, len(s), maxText)
		}
	}
	if e.RequestValue.depth() > maxValueDepth || e.ResponseValue.depth() > maxValueDepth {
		return fmt.Errorf("endpoint %s: a description deeper than %d", e.Name, maxValueDepth)
	}
	return nil
}

// encodeBeat writes {"r","l","f","i"}. Beats are most of what is announced, so
// they take no detour through the codec.
func encodeBeat(b beat) []byte {
	dst := append(make([]byte, 0, maxBeat), 0x84)
	for _, f := range []struct {
		key   byte
		value uint64
	}{{'r', b.Rev}, {'l', uint64(max(b.Load, 0))}, {'f', uint64(max(b.InFlight, 0))}, {'i', uint64(max(b.Interval, 0))}} {
		dst = append(dst, 0xa1, f.key)
		dst = appendUint(dst, f.value)
	}
	return dst
}

// appendUint appends the shortest msgpack form of n.
func appendUint(dst []byte, n uint64) []byte {
	switch {
	case n < 0x80:
		return append(dst, byte(n))
	case n <= math.MaxUint8:
		return append(dst, 0xcc, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, 0xcd), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, 0xce), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, 0xcf), n)
}

func decodeBeat(p *codec.Plan, data []byte) (beat, error) {
	var b beat
	if len(data) > maxBeat {
		return b, fmt.Errorf("%d bytes, at most %d are allowed", len(data), maxBeat)
	}
	if err := decode(p, data, &b); err != nil {
		return b, err
	}
	b.Load = min(max(b.Load, 0), 100)
	b.InFlight = max(b.InFlight, 0)
	return b, nil
}

func encodeLeave(l leave) ([]byte, error) {
	l.Reason = cut(l.Reason, maxText)
	return codec.Msgpack.Marshal(l)
}

// decodeLeave takes an empty body for an empty leave.
func decodeLeave(p *codec.Plan, data []byte) (leave, error) {
	var l leave
	if len(data) > maxLeave {
		return l, fmt.Errorf("%d bytes, at most %d are allowed", len(data), maxLeave)
	}
	if len(data) == 0 {
		return l, nil
	}
	if err := decode(p, data, &l); err != nil {
		return l, err
	}
	l.Reason = cut(l.Reason, maxText)
	return l, nil
}

// decode reads one msgpack or JSON object, told apart by the first byte. The
// codec's guard looks at the bytes before anything is allocated for them.
func decode(p *codec.Plan, data []byte, v any) error {
	if len(data) == 0 {
		return errors.New("empty")
	}
	if data[0] == '{' {
		return p.Unmarshal(codec.JSON, data, v)
	}
	if !msgpackMap(data[0]) {
		return fmt.Errorf("first byte 0x%02x is neither a JSON nor a msgpack object", data[0])
	}
	return p.Unmarshal(codec.Msgpack, data, v)
}

func msgpackMap(b byte) bool {
	return b&0xf0 == 0x80 || b == 0xde || b == 0xdf
}

// interval reads milliseconds from the wire.
func interval(ms int64) time.Duration {
	if ms <= 0 {
		return paceFloor
	}
	if ms > int64(maxInterval/time.Millisecond) {
		return maxInterval
	}
	return max(time.Duration(ms)*time.Millisecond, minInterval)
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}
