package web

import (
	"math"
	"time"
)

const (
	// A chunk holds the points of a series in its finest grain of allocation.
	chunkPoints = 60
	chunkBytes  = chunkPoints*int(pointBytes) + 32
	pointBytes  = 20

	// historySpan is how long the coarse history reaches back, fineSpan the fine.
	historySpan = time.Hour
	historyStep = 10 * time.Second
	fineSpan    = 5 * time.Minute
	fineStep    = time.Second
	// maxHistory bounds the memory of all histories together.
	maxHistory = 48 << 20
)

// A point is what one step of a series knows. What is not known is NaN.
type point struct {
	rate, errors, p50, p99, inFlight float32
}

func unknown() point {
	nan := float32(math.NaN())
	return point{nan, nan, nan, nan, nan}
}

// A ring keeps the latest points of a series, in chunks that are only there where
// something was written.
type ring struct {
	step   int64 // seconds
	chunks []*chunk
	used   time.Time
	// under has what is not known here, in longer steps; it may be nil.
	under *ring
}

type chunk struct {
	number int64 // its first slot is number × chunkPoints
	points [chunkPoints]point
}

func newRing(span, step time.Duration) *ring {
	n := int(span/step)/chunkPoints + 1 // the newest one is never full
	return &ring{step: int64(step / time.Second), chunks: make([]*chunk, n)}
}

// slot is the number of the step that holds a moment.
func (r *ring) slot(at time.Time) int64 { return at.Unix() / r.step }

// put writes a point, and returns by how many bytes the ring has grown.
func (r *ring) put(at time.Time, p point) int {
	slot := r.slot(at)
	number := slot / chunkPoints
	place := &r.chunks[number%int64(len(r.chunks))]
	grown := 0
	if *place == nil {
		*place = &chunk{}
		(*place).number = number - 1 // anything else
		grown = chunkBytes
	}
	c := *place
	if c.number != number {
		c.number = number
		for i := range c.points {
			c.points[i] = unknown()
		}
	}
	c.points[slot%chunkPoints] = p
	r.used = at
	return grown
}

// get reads a slot.
func (r *ring) get(slot int64) point {
	if r == nil || slot < 0 {
		return unknown()
	}
	p := unknown()
	number := slot / chunkPoints
	if c := r.chunks[number%int64(len(r.chunks))]; c != nil && c.number == number {
		p = c.points[slot%chunkPoints]
	}
	if r.under != nil && !numeral(p.rate).known() {
		return r.under.get(slot * r.step / r.under.step)
	}
	return p
}

func (r *ring) bytes() int {
	n := 0
	if r != nil {
		for _, c := range r.chunks {
			if c != nil {
				n += chunkBytes
			}
		}
	}
	return n
}

// rates are those of a step of the coarse history.
type rates struct{ rate, errors numeral }

func noRates() rates { return rates{unknownNumber(), unknownNumber()} }

func (r rates) plus(more rates) rates {
	return rates{add(r.rate, more.rate), add(r.errors, more.errors)}
}

// at makes the point of a step that is over.
func (r rates) at(p point) point {
	p.rate, p.errors = float32(r.rate), float32(r.errors)
	return p
}

// A series is a ring as pages have it.
type series struct {
	T        []int64  `json:"t,omitempty"`
	Rate     numerals `json:"rps"`
	P50      numerals `json:"p50_ms"`
	P99      numerals `json:"p99_ms"`
	Errors   numerals `json:"errors_per_s"`
	InFlight numerals `json:"in_flight"`
}

// slots returns the slots of the last span before now.
func slots(span, step time.Duration, now time.Time) (from, to int64) {
	s := int64(step / time.Second)
	to = now.Unix()/s - 1 // the last one that is over
	return to - int64(span/step) + 1, to
}

// read makes a series of the slots from one to another.
func (r *ring) read(from, to int64, times bool) series {
	n := int(to - from + 1)
	s := series{Rate: make(numerals, n), P50: make(numerals, n), P99: make(numerals, n), Errors: make(numerals, n), InFlight: make(numerals, n)}
	if times {
		s.T = make([]int64, n)
	}
	for i := range n {
		p := r.get(from + int64(i))
		s.Rate[i], s.P50[i], s.P99[i], s.Errors[i], s.InFlight[i] = numeral(p.rate), numeral(p.p50), numeral(p.p99), numeral(p.errors), numeral(p.inFlight)
		if times {
			s.T[i] = (from + int64(i)) * r.step
		}
	}
	return s
}
