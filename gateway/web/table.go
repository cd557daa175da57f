package web

import (
	"time"

	"github.com/mbus-dev/mbus/discovery"
)

type instanceKey struct{ service, id string }

// A table is what the collector knows. Its owner locks it.
type table struct {
	services map[string]*service
	byID     map[string][]*instance // by the id of a node, as people see it
	nodes    map[instanceKey]*instance
	lastID   int
	gone     int // services without a node
	bytes    int // of the histories
	total    *ring
	fine     *ring
	all      totals
	allP50   numeral
	edges    map[edgeKey]*edge
	dropped  []int    // ids of services that were forgotten since the last delta
	left     []string // ids of nodes likewise
}

// A service is a row of the table.
type service struct {
	id        int
	name      string
	kind      string
	health    health
	why       string
	since     time.Time // of health
	first     time.Time
	lastSeen  time.Time
	left      string    // why the last node that has left did
	lostAt    time.Time // when one was lost that had not said so
	versions  []versionCount
	byVersion map[string]*versionCounts
	instances map[string]*instance
	endpoints map[string]*endpoint
	metadata  map[string]string
	problems  []problem // latest first
	changedAt time.Time // of the versions

	now    numbers
	latest window // of all methods but those of every service
	spark  [sparkPoints]float32
	ring   *ring
	fine   *ring
	step   rates // of the coarse history, as of the last one
	// watched is until when the fine history is kept.
	watched time.Time

	shown *row // as it was published last
}

type versionCount struct {
	Version   string `json:"version"`
	Instances int    `json:"instances"`
}

const (
	sparkPoints = 40
	maxProblems = 5
)

// A problem is an error that a node has told of.
type problem struct {
	At     int64  `json:"at"`
	Node   string `json:"node"`
	Method string `json:"method"`
	Text   string `json:"text"`
}

// numbers are those of a service or an instance at a moment.
type numbers struct {
	rate, errors, p50, p99 numeral
	inFlight, load         int
}

func noNumbers() numbers {
	n := unknownNumber()
	return numbers{rate: n, errors: n, p50: n, p99: n}
}

// An instance is one running copy.
type instance struct {
	info     discovery.Instance
	id       string // as people see it
	first    time.Time
	answered time.Time // zero before the first answer to $SRV.STATS
	counters map[string]*counters
	now      numbers
	requests uint64
	failed   uint64
	// stepSeconds is the time that the answers in a step of the history tell of.
	stepSeconds float64
	process     processNumbers
	// processAsked is when it was last asked for them.
	processAsked time.Time
	shown        *node
	seen         uint64 // the look that it was in
}

// counters are what an instance has counted at one endpoint.
type counters struct {
	requests, errors, refused uint64
	processing                int64
	latency                   buckets
	callers                   map[string]uint64
	// since the answer before the last:
	rate, errorRate, refusing float64
	taken, failed             uint64
	calls                     buckets
	// since the step of the coarse history has begun:
	stepTaken, stepFailed uint64
}

// An endpoint is a method of a service, all its instances together.
type endpoint struct {
	name                      string
	requests, errors, refused uint64
	rate, errorRate, refusing numeral
	lastError                 string
	offered                   time.Time // when an instance has last had it
	windows                   [2]window // this one and the one before
	ring                      *ring
	fine                      *ring
	step                      rates // as of a service
}

// A window is what has come of the calls of some seconds.
type window struct {
	number  int64
	calls   buckets
	taken   uint64
	failed  uint64
	refused uint64
}

// windowSpan is a step of the history, so that a point is a window.
const windowSpan = historyStep

// at makes the first window that of now.
func (e *endpoint) at(now time.Time) *window {
	number := now.Unix() / int64(windowSpan/time.Second)
	if w := &e.windows[0]; w.number != number {
		if w.number == number-1 {
			e.windows[1] = *w
		} else {
			e.windows[1] = window{number: number - 1}
		}
		e.windows[0] = window{number: number}
	}
	return &e.windows[0]
}

// recent is the last ten to twenty seconds.
func (e *endpoint) recent(now time.Time) window {
	w := *e.at(now)
	both := window{taken: w.taken + e.windows[1].taken, failed: w.failed + e.windows[1].failed, refused: w.refused + e.windows[1].refused}
	both.calls = both.calls.plus(w.calls).plus(e.windows[1].calls)
	return both
}

func newTable() *table {
	return &table{
		services: make(map[string]*service), byID: make(map[string][]*instance), nodes: make(map[instanceKey]*instance),
		total: newRing(historySpan, historyStep), fine: newRing(fineSpan, fineStep), edges: make(map[edgeKey]*edge),
	}
}

func (t *table) service(name string, now time.Time) *service {
	s := t.services[name]
	if s == nil {
		t.lastID++
		s = &service{
			id: t.lastID, name: name, first: now, since: now, health: starting, now: noNumbers(),
			instances: make(map[string]*instance), endpoints: make(map[string]*endpoint),
		}
		for i := range s.spark {
			s.spark[i] = float32(unknownNumber())
		}
		t.services[name] = s
	}
	return s
}

func (s *service) endpoint(name string) *endpoint {
	e := s.endpoints[name]
	if e == nil {
		e = &endpoint{name: name, rate: unknownNumber(), errorRate: unknownNumber(), refusing: unknownNumber()}
		s.endpoints[name] = e
	}
	return e
}
