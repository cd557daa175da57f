package web

import (
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mbus-dev/mbus/bus"
)

const (
	usualRange = 15 * time.Minute
	usualTop   = 12
	maxTop     = 100
	maxPoints  = 360
)

type statsData struct {
	At       int64         `json:"at"`
	Range    int64         `json:"range_s"`
	Step     int64         `json:"step_s"`
	T        []int64       `json:"t"`
	Bus      link          `json:"bus"`
	Total    series        `json:"total"`
	Services []namedSeries `json:"services"`
	Rest     *series       `json:"rest"`
	RestOf   int           `json:"rest_of"`
	Marks    []mark        `json:"marks"`
	Process  processData   `json:"process"`
	Kept     string        `json:"kept"`
	Bytes    int           `json:"bytes"`
}

type namedSeries struct {
	Name string `json:"name"`
	series
}

// A mark is something that happened: a service in other versions.
type mark struct {
	At      int64  `json:"at"`
	Service string `json:"service"`
	Text    string `json:"text"`
}

// processData are the figures of the dashboard's own process, as Micro showed them.
type processData struct {
	Started int64  `json:"started"`
	Uptime  int64  `json:"uptime"`
	Memory  uint64 `json:"memory"`
	Threads int    `json:"threads"`
	GC      int64  `json:"gc"`
}

// rangeOf reads ?range=: up to five minutes are shown by the second.
func rangeOf(text string) (span, step time.Duration, err error) {
	span = usualRange
	if text != "" {
		if span, err = time.ParseDuration(text); err != nil || span < time.Minute || span > historySpan {
			return 0, 0, bus.Errorf(bus.InvalidArgument, "range=%.20q: want 1m to 60m", text)
		}
	}
	if span <= fineSpan {
		return span, fineStep, nil
	}
	return span, historyStep, nil
}

func (w *Web) statsPage(r *http.Request) (*page, error) {
	q := r.URL.Query()
	if asksMicro(r) {
		d := w.collect.stats(usualRange, historyStep, 0, "", time.Now())
		return &page{name: "stats", title: "Stats", data: w.microStats(d), json: true}, nil
	}
	span, step, err := rangeOf(q.Get("range"))
	if err != nil {
		return nil, err
	}
	top := usualTop
	if text := q.Get("top"); text != "" {
		if top, err = strconv.Atoi(text); err != nil || top < 0 || top > maxTop {
			return nil, bus.Errorf(bus.InvalidArgument, "top=%.20q: want 0 to %d", text, maxTop)
		}
	}
	d := w.collect.stats(span, step, top, q.Get("service"), time.Now())
	d.Process = w.process()
	return &page{name: "stats", title: "Stats", data: d, text: d.text}, nil
}

// stats are the histories of all services together and of those with most
// requests.
func (c *collector) stats(span, step time.Duration, top int, only string, now time.Time) *statsData {
	c.mu.Lock()
	defer c.mu.Unlock()
	from, to := slots(span, step, now)
	d := &statsData{
		At: now.UnixMilli(), Range: int64(span / time.Second), Step: int64(step / time.Second), Bus: c.link(now),
		Services: []namedSeries{}, Marks: []mark{}, Bytes: c.t.bytes,
		Kept: fmt.Sprintf("in memory: %d minutes in steps of %d s, %d minutes of what is watched in steps of %d s, at most %d MiB",
			historySpan/time.Minute, historyStep/time.Second, fineSpan/time.Minute, fineStep/time.Second, maxHistory>>20),
	}
	d.Total = pick(step, c.t.total, c.t.fine).read(from, to, true)
	d.T, d.Total.T = d.Total.T, nil
	busy := c.t.busiest(only, now)
	for _, s := range busy[:min(top, len(busy))] {
		if step == fineStep {
			s.watched = now.Add(fineSpan)
		}
		d.Services = append(d.Services, namedSeries{s.name, s.history(step).read(from, to, false)})
	}
	if len(busy) > top && only == "" {
		rest := restOf(busy[top:], step, from, to)
		d.Rest, d.RestOf = &rest, len(busy)-top
	}
	earliest := now.Add(-span)
	for _, s := range c.t.services {
		if s.changedAt.After(earliest) && len(s.versions) > 0 {
			var versions []string
			for _, v := range s.versions {
				versions = append(versions, fmt.Sprintf("%s ×%d", v.Version, v.Instances))
			}
			d.Marks = append(d.Marks, mark{s.changedAt.UnixMilli(), s.name, strings.Join(versions, ", ")})
		}
	}
	slices.SortFunc(d.Marks, func(a, b mark) int { return cmp.Or(cmp.Compare(a.At, b.At), strings.Compare(a.Service, b.Service)) })
	d.Marks = d.Marks[max(0, len(d.Marks)-maxTop):]
	return d
}

// history is the ring with a step. What is watched since a moment ago only has the
// coarse one, in which each point stands for its ten seconds.
func (s *service) history(step time.Duration) *ring { return pick(step, s.ring, s.fine) }

// busiest are the services with a history, those with most requests at the
// moment first.
func (t *table) busiest(only string, now time.Time) []*service {
	var all []*service
	for _, s := range t.services {
		if (s.ring != nil || s.now.rate > 0) && (only == "" || s.name == only) {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b *service) int {
		return cmp.Or(cmp.Compare(b.now.rate.or(-1), a.now.rate.or(-1)), strings.Compare(a.name, b.name))
	})
	return all
}

// restOf adds up the rates of services. Quantiles have no sum.
func restOf(all []*service, step time.Duration, from, to int64) series {
	n := int(to - from + 1)
	sum := series{Rate: make(numerals, n), P50: make(numerals, n), P99: make(numerals, n), Errors: make(numerals, n), InFlight: make(numerals, n)}
	for i := range n {
		sum.Rate[i], sum.P50[i], sum.P99[i], sum.Errors[i], sum.InFlight[i] = unknownNumber(), unknownNumber(), unknownNumber(), unknownNumber(), unknownNumber()
	}
	for _, s := range all {
		r := s.history(step)
		for i := range n {
			p := r.get(from + int64(i))
			sum.Rate[i], sum.Errors[i], sum.InFlight[i] = add(sum.Rate[i], numeral(p.rate)), add(sum.Errors[i], numeral(p.errors)), add(sum.InFlight[i], numeral(p.inFlight))
		}
	}
	return sum
}

func (w *Web) process() processData {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(samples)
	var gc debug.GCStats
	debug.ReadGCStats(&gc)
	p := processData{
		Started: w.started.Unix(), Uptime: int64(time.Since(w.started) / time.Second), Threads: runtime.NumGoroutine(), GC: gc.PauseTotal.Nanoseconds(),
	}
	if samples[0].Value.Kind() == metrics.KindUint64 {
		p.Memory = samples[0].Value.Uint64()
	}
	return p
}

// microStats is Micro's JSON of /stats, whose counters are the requests of the
// whole bus here, in windows of ten seconds.
func (w *Web) microStats(d *statsData) any {
	type window struct {
		Timestamp   int64          `json:"timestamp"`
		StatusCodes map[string]int `json:"status_codes"`
		Requests    int            `json:"total_reqs"`
	}
	counters := []window{}
	for i := max(0, len(d.T)-12); i < len(d.T); i++ {
		requests, failed := int(10*d.Total.Rate[i].or(0)), int(10*d.Total.Errors[i].or(0))
		counters = append(counters, window{d.T[i], map[string]int{"20x": max(0, requests-failed), "50x": failed}, requests})
	}
	p := w.process()
	return struct {
		Started  int64    `json:"started"`
		Memory   string   `json:"memory"`
		Threads  int      `json:"threads"`
		GC       string   `json:"gc_pause"`
		Counters []window `json:"counters"`
	}{p.Started, fmt.Sprintf("%.2fmb", float64(p.Memory)/(1<<20)), p.Threads, time.Duration(p.GC).String(), counters}
}

func (d *statsData) text(b *bytes.Buffer) {
	last := func(s numerals) string {
		if len(s) == 0 {
			return "-"
		}
		return s[len(s)-1].text()
	}
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "SERVICE\tREQ/S\tERR/S\tP50 ms\tP99 ms") // a Buffer takes everything
	for _, s := range append([]namedSeries{{"all", d.Total}}, d.Services...) {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", s.Name, last(s.Rate), last(s.Errors), last(s.P50), last(s.P99))
	}
	_ = w.Flush()
	b.WriteString("kept " + d.Kept + "\n")
}
