package web

import (
	"slices"
	"time"
)

// A row is a service on the page of services.
type row struct {
	ID        int            `json:"id"`
	Name      string         `json:"name"`
	Health    health         `json:"health"`
	Why       string         `json:"why,omitempty"`
	Since     int64          `json:"since"`
	Kind      string         `json:"kind"`
	Own       bool           `json:"own,omitempty"`
	Versions  []versionCount `json:"versions"`
	Instances int            `json:"instances"`
	rowNumbers
	Load     int      `json:"load"`
	LastSeen int64    `json:"last_seen"`
	Spark    numerals `json:"spark,omitempty"`
}

// rowNumbers are what changes all the time.
type rowNumbers struct {
	Rate     numeral `json:"rps"`
	P50      numeral `json:"p50_ms"`
	P99      numeral `json:"p99_ms"`
	Errors   numeral `json:"errors_per_s"`
	Percent  numeral `json:"error_percent"`
	InFlight int     `json:"in_flight"`
}

func (n *rowNumbers) same(o *rowNumbers) bool {
	return n.InFlight == o.InFlight && n.Rate.same(o.Rate) && n.P50.same(o.P50) && n.P99.same(o.P99) &&
		n.Errors.same(o.Errors) && n.Percent.same(o.Percent)
}

// same reports whether two rows differ in their numbers at most.
func (r *row) same(o *row) bool {
	return r.Health == o.Health && r.Why == o.Why && r.Since == o.Since && r.Kind == o.Kind && r.Instances == o.Instances &&
		slices.Equal(r.Versions, o.Versions)
}

// maxVersions bounds the versions in a row; those of the fewest instances are left
// out.
const maxVersions = 16

// row makes a row without the spark.
func (s *service) row() *row {
	r := &row{
		ID: s.id, Name: s.name, Health: s.health, Why: s.why, Since: milli(s.since), Kind: s.kind, Own: own(s.name),
		Versions: s.versions[:min(len(s.versions), maxVersions)], Instances: len(s.instances), Load: s.now.load, LastSeen: milli(s.lastSeen),
		rowNumbers: rowNumbers{Rate: s.now.rate, P50: s.now.p50, P99: s.now.p99, Errors: s.now.errors, Percent: s.percent(), InFlight: s.now.inFlight},
	}
	if r.Versions == nil {
		r.Versions = []versionCount{}
	}
	return r
}

// percent is the share of calls that fail, in percent.
func (s *service) percent() numeral {
	if s.latest.taken == 0 {
		if s.now.rate.known() {
			return 0
		}
		return unknownNumber()
	}
	return numeral(100 * float64(s.latest.failed) / float64(s.latest.taken))
}

// full is a row with its spark.
func (s *service) full() *row {
	r := s.row()
	r.Spark = make(numerals, sparkPoints)
	for i, v := range s.spark {
		r.Spark[i] = numeral(v)
	}
	return r
}

// deltas number what is published of a list.
type deltas struct {
	seq uint64
}

// publish tells what has changed since the last time. The caller holds mu.
func (c *collector) publish(now time.Time) {
	c.publishRows(now)
	c.publishNodes(now)
	if c.hub.wants(topicStats) {
		c.hub.send(topicStats, "stats", 0, struct {
			Topic string  `json:"topic"`
			At    int64   `json:"at"`
			Total current `json:"total"`
		}{topicStats, now.UnixMilli(), c.t.current()})
	}
	c.publishSingle(now)
}

// current is the latest point of the totals.
type current struct {
	Rate     numeral `json:"rps"`
	P50      numeral `json:"p50_ms"`
	P99      numeral `json:"p99_ms"`
	Errors   numeral `json:"errors_per_s"`
	InFlight int     `json:"in_flight"`
}

func (t *table) current() current {
	return current{t.all.Rate, t.allP50, t.all.P99, t.all.Errors, t.all.InFlight}
}

type rowsDelta struct {
	Topic  string     `json:"topic"`
	Seq    uint64     `json:"seq"`
	Prev   uint64     `json:"prev"`
	At     int64      `json:"at"`
	Totals totals     `json:"totals"`
	Rows   []*row     `json:"rows"`
	Gone   []int      `json:"gone"`
	N      numberRows `json:"n"`
}

// numberRows are written as arrays, since they are most of what is sent.
type numberRows []*row

// MarshalJSON writes [[id,rps,p50,p99,errors,percent,in flight],…].
func (n numberRows) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, 2+48*len(n))
	b = append(b, '[')
	for i, r := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		b = numeral(r.ID).append(b)
		for _, v := range [...]numeral{r.Rate, r.P50, r.P99, r.Errors, r.Percent} {
			b = v.append(append(b, ','))
		}
		b = numeral(r.InFlight).append(append(b, ','))
		b = append(b, ']')
	}
	return append(b, ']'), nil
}

// publishRows tells the page of services. Each look has a number of its own, also
// when nobody hears it, so that who comes back finds out that it has missed some.
func (c *collector) publishRows(now time.Time) {
	d := rowsDelta{
		Topic: topicServices, Seq: c.rows.seq + 1, Prev: c.rows.seq, At: now.UnixMilli(), Totals: c.t.all, Rows: []*row{}, Gone: []int{},
	}
	c.rows.seq++
	wanted := c.hub.wants(topicServices) || c.watched(now)
	if !wanted {
		c.t.dropped = nil
		return
	}
	for _, s := range c.t.services {
		r := s.row()
		switch {
		case s.shown == nil || !s.shown.same(r):
			d.Rows = append(d.Rows, r)
		case !s.shown.rowNumbers.same(&r.rowNumbers):
			d.N = append(d.N, r)
		default:
			continue
		}
		s.shown = r
	}
	if c.t.dropped != nil {
		d.Gone = c.t.dropped
		c.t.dropped = nil
	}
	c.hub.send(topicServices, "services", d.Seq, d)
}

// own reports whether a service is a part of mbus itself.
func own(name string) bool {
	switch name {
	case "mbus", "go.micro.api", "go.micro.sidecar", Service:
		return true
	}
	return false
}
