package web

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/discovery"
)

const (
	// goneFor is how long a service stays in the table that has no node, and
	// maxGone how many of them do.
	goneFor = 10 * time.Minute
	maxGone = 2000
	// forgetful is how long the numbers of an instance count that does not
	// answer any more.
	forgetful = 30 * time.Second
)

// look takes over who is there.
func (t *table) look(view *discovery.View, look uint64, now time.Time) {
	all, _ := view.Snapshot()
	for n := range all {
		info := &all[n]
		key := instanceKey{info.Service, info.ID}
		i := t.nodes[key]
		if i == nil {
			began := now
			if started := info.Started; !started.IsZero() && started.Before(now) {
				began = started // it was there before anybody looked
			}
			i = &instance{id: info.NodeID(), first: began, counters: make(map[string]*counters), now: noNumbers(), process: noProcess()}
			t.nodes[key] = i
			t.byID[i.id] = append(t.byID[i.id], i)
			s := t.service(info.Service, now)
			if len(s.instances) == 0 && s.left != "" {
				t.gone--
				s.first, s.left = now, ""
			}
			if began.Before(s.first) {
				s.first = began
			}
			s.instances[info.ID] = i
			s.lostAt = time.Time{}
		}
		i.seen = look
		i.info = *info
		i.now.load, i.now.inFlight = info.Load, info.InFlight
	}
	for key, i := range t.nodes {
		if i.seen != look {
			t.drop(key, i, now)
		}
	}
	for name, s := range t.services {
		if len(s.instances) == 0 && now.Sub(s.lastSeen) > goneFor {
			t.forget(name, s)
			continue
		}
		s.describe(now)
	}
	for t.gone > maxGone {
		t.forgetOldest()
	}
}

// drop takes out an instance that is no longer there.
func (t *table) drop(key instanceKey, i *instance, now time.Time) {
	delete(t.nodes, key)
	others := slices.DeleteFunc(t.byID[i.id], func(o *instance) bool { return o == i })
	if t.byID[i.id] = others; len(others) == 0 {
		delete(t.byID, i.id)
	}
	t.left = append(t.left, i.id)
	s := t.services[key.service]
	delete(s.instances, key.id)
	if s.left == "" {
		s.left = "it has left"
	}
	if len(s.instances) == 0 {
		t.gone++
		s.lastSeen = now
		for _, e := range s.endpoints {
			e.rate, e.errorRate, e.refusing = unknownNumber(), unknownNumber(), unknownNumber()
		}
	}
}

func (t *table) forget(name string, s *service) {
	t.bytes -= s.bytes()
	t.gone--
	t.dropped = append(t.dropped, s.id)
	delete(t.services, name)
}

func (t *table) forgetOldest() {
	var name string
	var oldest *service
	for n, s := range t.services {
		if len(s.instances) == 0 && (oldest == nil || s.lastSeen.Before(oldest.lastSeen)) {
			name, oldest = n, s
		}
	}
	if oldest == nil {
		t.gone = 0
		return
	}
	t.forget(name, oldest)
}

// describe takes over what the instances of a service say together.
func (s *service) describe(now time.Time) {
	if len(s.instances) == 0 {
		s.versions, s.byVersion = nil, nil
		return
	}
	s.lastSeen = time.Time{}
	versions := make(map[string]int, 1)
	var newest *instance
	for _, i := range s.instances {
		versions[i.info.Version]++
		if i.info.LastSeen.After(s.lastSeen) {
			s.lastSeen = i.info.LastSeen
		}
		if newest == nil || i.info.Started.After(newest.info.Started) || i.info.Started.Equal(newest.info.Started) && i.info.ID > newest.info.ID {
			newest = i
		}
	}
	switch {
	case newest.info.Registered():
		s.kind = "app"
	case newest.info.Foreign:
		s.kind = "foreign"
	default:
		s.kind = "mbus"
	}
	s.metadata = newest.info.Metadata
	if newest.info.ServiceMetadata != nil {
		s.metadata = newest.info.ServiceMetadata
	}
	if len(versions) == len(s.versions) {
		same := true
		for _, v := range s.versions {
			same = same && versions[v.Version] == v.Instances
		}
		if same {
			return
		}
	}
	list := make([]versionCount, 0, len(versions))
	for v, n := range versions {
		list = append(list, versionCount{v, n})
	}
	slices.SortFunc(list, func(a, b versionCount) int {
		return cmp.Or(cmp.Compare(b.Instances, a.Instances), strings.Compare(b.Version, a.Version))
	})
	if s.versions != nil {
		s.changedAt = now
	}
	s.versions = list
	s.keepVersions()
}

// leastSpan is the least time between two answers that are compared. What comes
// sooner is left to the next one.
const leastSpan = askEvery / 2

// take takes over what an instance has answered to $SRV.STATS.
func (t *table) take(a *answer) {
	key, ok := a.key()
	i := t.nodes[key]
	if !ok || i == nil {
		return
	}
	s := t.services[key.service]
	seconds := a.at.Sub(i.answered).Seconds()
	first := i.answered.IsZero()
	if first {
		// Who has just started has counted from zero since.
		if young := a.at.Sub(i.info.Started); !i.info.Started.IsZero() && young > 0 && young < startingFor {
			first, seconds = false, max(young.Seconds(), 0.5)
		}
	}
	if !first && seconds < leastSpan.Seconds() {
		return // a late answer and one in time: a rate of so short a while says nothing
	}
	i.answered = a.at
	i.requests, i.failed = 0, 0
	rate, errors := 0.0, 0.0
	var calls buckets
	for n := range a.Endpoints {
		one := &a.Endpoints[n]
		method := methodOf(&i.info, one.Name)
		c := i.counters[method]
		if c == nil {
			if _, known := i.info.Endpoint(method); !known {
				continue
			}
			c = &counters{}
			i.counters[method] = c
		}
		if c.requests == 0 && one.Requests == 0 && one.Data == nil {
			continue
		}
		d := one.read()
		latest := t.count(s, i, c, method, one, &d, seconds, first, a.at)
		if !isDebug(method) {
			calls = calls.plus(latest)
			rate += c.rate
			errors += c.errorRate
			i.requests += one.Requests
			i.failed += one.Errors
		}
	}
	i.tidy()
	if !first {
		i.stepSeconds += seconds
		i.now.rate, i.now.errors, i.now.p99 = numeral(rate), numeral(errors), calls.quantile(0.99)
	}
}

// tidy forgets the counters of endpoints that the instance does not have any more.
func (i *instance) tidy() {
	if len(i.counters) <= len(i.info.Endpoints) {
		return
	}
	has := make(map[string]bool, len(i.info.Endpoints))
	for n := range i.info.Endpoints {
		has[i.info.Endpoints[n].Name] = true
	}
	maps.DeleteFunc(i.counters, func(method string, _ *counters) bool { return !has[method] })
}

// count takes over the counters of one endpoint, and returns the latest calls.
func (t *table) count(s *service, i *instance, c *counters, method string, one *answeredEndpoint, d *detail, seconds float64, first bool, at time.Time) (latest buckets) {
	latency := readBuckets(d.Latency)
	if !first {
		taken, failed, refused := grown(c.requests, one.Requests), grown(c.errors, one.Errors), grown(c.refused, d.Refused)
		c.rate, c.errorRate, c.refusing = float64(taken)/seconds, float64(failed)/seconds, float64(refused)/seconds
		w := s.endpoint(method).at(at)
		w.taken += taken
		w.failed += failed
		w.refused += refused
		latest = fresh(c, latency, one, d, taken)
		w.calls = w.calls.plus(latest)
		s.countVersion(i.info.Version, method, at, seconds, taken, failed, latest)
		c.taken, c.failed, c.calls = taken, failed, latest
		c.stepTaken += taken
		c.stepFailed += failed
		if failed > 0 && one.LastError != "" {
			s.problem(at, i.info.NodeID(), method, one.LastError)
		}
		if !isDebug(method) {
			t.called(s.name, c.callers, d.Callers, float64(failed)/max(float64(taken), 1), seconds, at)
		}
	}
	if one.LastError != "" {
		s.endpoint(method).lastError = cutText(one.LastError)
	}
	c.requests, c.errors, c.refused, c.processing = one.Requests, one.Errors, d.Refused, one.Processing
	// What an answer had no room for is not zero.
	if len(latency) > 0 {
		c.latency = latency
	}
	if n := len(d.Callers); n > 0 && n <= maxCallers {
		c.callers = d.Callers
	}
	return latest
}

// fresh are the times of the calls since the answer before. A service that tells
// no buckets tells the mean.
func fresh(c *counters, latency buckets, one *answeredEndpoint, d *detail, taken uint64) buckets {
	switch {
	case len(latency) > 0:
		return latency.since(c.latency)
	case taken == 0:
		return nil
	case d.P99 > 0:
		slow := max(1, taken/100)
		return buckets{{bucketFor(d.P50), taken - min(taken, slow)}}.plus(buckets{{bucketFor(d.P99), slow}})
	}
	spent := one.Processing - c.processing
	if spent < 0 {
		spent = one.Processing
	}
	return buckets{{bucketFor(time.Duration(uint64(spent) / taken)), taken}}
}

func (s *service) problem(at time.Time, node, method, text string) {
	s.problems = slices.Insert(s.problems, 0, problem{at.UnixMilli(), node, method, cutText(text)})
	s.problems = s.problems[:min(len(s.problems), maxProblems)]
}
