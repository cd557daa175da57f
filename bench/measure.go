package main

import (
	"fmt"
	"time"
)

// A pair is a contender with its processes.
type pair struct {
	contender
	services []*child
	client   *child
	missing  string // why it does not run
	counts   map[cell]int
}

// A sample is what one contender did in one repetition of a cell.
type sample struct {
	result
	rate                    float64       // calls, or messages, a second
	client, service, broker time.Duration // processor time of each process, per call
	others                  float64       // of one processor, what was not this benchmark
}

// spoiled tells that others took too much for the sample to count.
func (s sample) spoiled() bool { return s.others > foreignShare }

func (s sample) cpu() time.Duration { return s.client + s.service + s.broker }

// foreignShare is how much of one processor others may use during a sample:
// 15 % of a pair of cores. A sample with more is spoiled.
const foreignShare = 0.3

// sample measures a contender once.
func (r *runner) sample(p *pair, k cell) (s sample, err error) {
	o := load{Size: k.Size, InFlight: k.InFlight, Rate: k.Rate, Duration: r.plan.Warm}
	if k.Case == "stream" || k.Case == "events" || k.Case == "local" {
		if o.Count, err = r.count(p, k); err != nil {
			return s, err
		}
	} else if _, err := p.load(o); err != nil { // to get warm
		return s, err
	}
	o.Duration = r.plan.Window
	before, err := r.marks(p)
	if err != nil {
		return s, err
	}
	if s.result, err = p.load(o); err != nil {
		return s, err
	}
	after, err := r.marks(p)
	if err != nil {
		return s, err
	}
	calls := time.Duration(max(s.Calls, 1))
	s.rate = float64(s.Calls) / s.Elapsed.Seconds()
	s.client, s.service = s.CPU/calls, (after.service-before.service)/calls
	if p.broker {
		s.broker = (after.broker - before.broker) / calls
	}
	s.others = foreign(before, after)
	return s, nil
}

// count is how many messages of a stream, events, or calls one after the other
// take about one window.
func (r *runner) count(p *pair, k cell) (int, error) {
	if n := p.counts[k]; n > 0 {
		return n, nil
	}
	n := 200
	for range 3 { // each closer than the one before
		got, err := p.load(load{Size: k.Size, Count: n})
		if err != nil {
			return 0, err
		}
		perSecond := float64(n) / got.Elapsed.Seconds()
		n = min(max(int(perSecond*r.plan.Window.Seconds()), 200), n*50, 500_000, 256<<20/k.Size)
	}
	p.counts[k] = n
	return n, nil
}

// load has the client make calls. A contender most of whose calls fail is not
// measured.
func (p *pair) load(o load) (result, error) {
	got, err := p.client.ask(order{Load: &o}, o.Duration*3+2*patience)
	switch {
	case err != nil:
		return result{}, err
	case got.Result == nil:
		return result{}, fmt.Errorf("%s answered without a result", p.name)
	case got.Result.Calls == 0 || got.Result.Failed >= maxFailed:
		return result{}, fmt.Errorf("calls failed: %s", got.Result.Error)
	}
	return *got.Result, nil
}

// marks are what everybody has used up to a moment.
type marks struct {
	at              time.Time
	service, broker time.Duration
	own, all        time.Duration // of this benchmark, of the machine
	known           bool          // whether all is
}

func (r *runner) marks(p *pair) (m marks, err error) {
	take := func(c *child) time.Duration {
		if err != nil {
			return 0
		}
		var got report
		got, err = c.usage()
		return got.CPU
	}
	for _, c := range p.services {
		m.service += take(c)
	}
	m.broker = take(r.broker)
	m.own = m.service + m.broker + take(p.client) + usedCPU()
	m.all, m.known = busy()
	m.at = time.Now()
	return m, err
}

// foreign is the share of one processor that others used in between.
func foreign(before, after marks) float64 {
	if !before.known || !after.known {
		return 0
	}
	others := (after.all - before.all) - (after.own - before.own)
	return others.Seconds() / after.at.Sub(before.at).Seconds()
}
