package web

import (
	"slices"
	"strings"
	"time"
)

const (
	// maxCompared is how many versions of a service are counted apart, those with
	// most instances, and maxOfVersion how many methods of each.
	maxCompared  = 8
	maxOfVersion = 200
	// versionWindows hold the last minute, and what of this window is over.
	versionWindows = 7
)

// versionCounts are the calls of the instances of one version. They are kept of
// services only that run several.
type versionCounts struct {
	last time.Time // when something was counted last
	// begun is when the time begins whose calls are in a window: who is asked
	// seldom tells of more than its window.
	begun   [versionWindows]moment
	methods map[string]*[versionWindows]window
}

type moment struct {
	number int64 // of the window
	at     time.Time
}

// countVersion adds what has come to a method of an instance in the seconds before
// at.
func (s *service) countVersion(version, method string, at time.Time, seconds float64, taken, failed uint64, calls buckets) {
	if len(s.versions) < 2 || isDebug(method) {
		return
	}
	v := s.byVersion[version]
	if v == nil {
		if !s.compared(version) {
			return
		}
		v = &versionCounts{methods: make(map[string]*[versionWindows]window)}
		if s.byVersion == nil {
			s.byVersion = make(map[string]*versionCounts)
		}
		s.byVersion[version] = v
	}
	v.last = at
	number := at.Unix() / int64(windowSpan/time.Second)
	begun := at.Add(-time.Duration(seconds * float64(time.Second)))
	if b := &v.begun[number%versionWindows]; b.number != number || begun.Before(b.at) {
		*b = moment{number, begun}
	}
	windows := v.methods[method]
	if windows == nil {
		if len(v.methods) >= maxOfVersion {
			return
		}
		windows = &[versionWindows]window{}
		v.methods[method] = windows
	}
	w := &windows[number%versionWindows]
	if w.number != number {
		*w = window{number: number}
	}
	w.taken += taken
	w.failed += failed
	w.calls = w.calls.plus(calls)
}

// compared reports whether a version is one of those that are counted apart.
func (s *service) compared(version string) bool {
	return slices.ContainsFunc(s.versions[:min(len(s.versions), maxCompared)], func(v versionCount) bool { return v.Version == version })
}

// keepVersions forgets the counts of versions that have left.
func (s *service) keepVersions() {
	if len(s.versions) < 2 {
		s.byVersion = nil
		return
	}
	for version := range s.byVersion {
		if !s.compared(version) {
			delete(s.byVersion, version)
		}
	}
}

// A versionData is a version as the page compares it.
type versionData struct {
	Version   string            `json:"version"`
	Instances int               `json:"instances"`
	Endpoints []versionEndpoint `json:"endpoints"`
}

// A versionEndpoint is a method of a version: in the last minute, and as long as
// the instances run that are there now.
type versionEndpoint struct {
	Name   string         `json:"name"`
	Minute versionNumbers `json:"minute"`
	Life   versionNumbers `json:"life"`
}

type versionNumbers struct {
	Calls   uint64  `json:"calls"`
	Rate    numeral `json:"rps"`
	Errors  numeral `json:"errors_per_s"`
	Percent numeral `json:"error_percent"`
	P50     numeral `json:"p50_ms"`
	P95     numeral `json:"p95_ms"`
	P99     numeral `json:"p99_ms"`
}

// numbersOf are those of calls in a time.
func numbersOf(taken, failed uint64, calls buckets, seconds float64) versionNumbers {
	n := versionNumbers{
		Calls: taken, Rate: unknownNumber(), Errors: unknownNumber(), Percent: unknownNumber(),
		P50: calls.quantile(0.50), P95: calls.quantile(0.95), P99: calls.quantile(0.99),
	}
	if seconds > 0 {
		n.Rate, n.Errors = numeral(float64(taken)/seconds), numeral(float64(failed)/seconds)
	}
	if taken > 0 {
		n.Percent = numeral(100 * float64(failed) / float64(taken))
	}
	return n
}

// minute are the numbers of a method in the minute before the instances were asked
// last, or since counting began.
func (v *versionCounts) minute(method string, now time.Time) versionNumbers {
	if now.Sub(v.last) < forgetful {
		now = v.last
	}
	first := now.Unix()/int64(windowSpan/time.Second) - versionWindows + 1
	begin := now
	for _, b := range v.begun {
		if b.number >= first && b.at.Before(begin) {
			begin = b.at
		}
	}
	var sum window
	if windows := v.methods[method]; windows != nil {
		for i := range windows {
			if w := &windows[i]; w.number >= first {
				sum.taken += w.taken
				sum.failed += w.failed
				sum.calls = sum.calls.plus(w.calls)
			}
		}
	}
	return numbersOf(sum.taken, sum.failed, sum.calls, now.Sub(begin).Seconds())
}

// life are the numbers of a method since the instances of a version have started.
func (s *service) life(version, method string) versionNumbers {
	var taken, failed uint64
	var calls buckets
	var rate, errors numeral
	for _, i := range s.instances {
		c := i.counters[method]
		if c == nil || i.info.Version != version {
			continue
		}
		taken += c.requests
		failed += c.errors
		calls = calls.plus(c.latency)
		if up := i.answered.Sub(i.info.Started).Seconds(); !i.info.Started.IsZero() && up > 0 {
			rate += numeral(float64(c.requests) / up)
			errors += numeral(float64(c.errors) / up)
		}
	}
	n := numbersOf(taken, failed, calls, 0)
	n.Rate, n.Errors = rate, errors
	return n
}

// versionData are the versions of a service that runs several, those with most
// instances first.
func (s *service) versionData(now time.Time) []versionData {
	all := []versionData{}
	if len(s.versions) < 2 {
		return all
	}
	for _, v := range s.versions[:min(len(s.versions), maxCompared)] {
		counts := s.byVersion[v.Version]
		if counts == nil {
			counts = &versionCounts{}
		}
		d := versionData{Version: v.Version, Instances: v.Instances, Endpoints: []versionEndpoint{}}
		for _, method := range s.methodsOf(v.Version) {
			d.Endpoints = append(d.Endpoints, versionEndpoint{method, counts.minute(method, now), s.life(v.Version, method)})
		}
		all = append(all, d)
	}
	return all
}

// methodsOf are the methods that the instances of a version offer.
func (s *service) methodsOf(version string) []string {
	var all []string
	for _, i := range s.instances {
		if i.info.Version != version {
			continue
		}
		for _, e := range i.info.Endpoints {
			if !isDebug(e.Name) && len(all) < maxOfVersion && !slices.Contains(all, e.Name) {
				all = append(all, e.Name)
			}
		}
	}
	slices.SortFunc(all, strings.Compare)
	return all
}

// A versionsUpdate is what changes while versions are compared.
type versionsUpdate struct {
	Topic    string        `json:"topic"`
	At       int64         `json:"at"`
	Versions []versionData `json:"by_version"`
}
