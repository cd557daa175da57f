package cli

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
)

// A sample is the counters of everything that answers $SRV.STATS, which every
// NATS service does, at one moment.
type sample struct {
	at        time.Time
	instances map[string]instanceSample // by service and id
}

type instanceSample struct {
	service          string
	requests, errors uint64
	weighted         float64 // medians times requests
	measured         uint64  // requests in weighted
	p99              time.Duration
}

// An answerOfStats is what is read of an answer to $SRV.STATS.
type answerOfStats struct {
	Name      string            `json:"name"`
	ID        string            `json:"id"`
	Metadata  map[string]string `json:"metadata"`
	Endpoints []struct {
		Name     string          `json:"name"`
		Requests uint64          `json:"num_requests"`
		Errors   uint64          `json:"num_errors"`
		Average  time.Duration   `json:"average_processing_time"`
		Data     json.RawMessage `json:"data"`
	} `json:"endpoints"`
}

const (
	firstAnswer = 500 * time.Millisecond
	lastAnswer  = 60 * time.Millisecond // silence after which nobody else answers
)

func takeSample(ctx context.Context, conn *bus.Conn) (sample, error) {
	s := sample{at: time.Now(), instances: map[string]instanceSample{}}
	answers := conn.Gather(ctx, wire.SrvSubject(wire.VerbStats, "", ""), nil, nil, bus.Gather{First: firstAnswer, Quiet: lastAnswer})
	for m, err := range answers {
		if errors.Is(err, bus.Nobody) {
			return s, nil
		}
		if err != nil {
			return s, err
		}
		var a answerOfStats
		if json.Unmarshal(m.Data, &a) == nil && a.Name != "" {
			s.instances[a.Name+" "+a.ID] = a.sample()
		}
	}
	return s, nil
}

func (a *answerOfStats) sample() instanceSample {
	i := instanceSample{service: a.Name}
	if name := a.Metadata["mbus.name"]; wire.CheckService(name) == nil && wire.Escape(name) == a.Name {
		i.service = name
	}
	for _, e := range a.Endpoints {
		if strings.HasPrefix(e.Name, "Debug_") {
			continue
		}
		i.requests += e.Requests
		i.errors += e.Errors
		if e.Requests == 0 {
			continue
		}
		p50, p99 := e.Average, e.Average // all that foreign services tell
		var quantiles struct{ P50, P99 time.Duration }
		if json.Unmarshal(unquote(e.Data), &quantiles) == nil && quantiles.P99 > 0 {
			p50, p99 = quantiles.P50, quantiles.P99
		}
		i.weighted += float64(p50) * float64(e.Requests)
		i.measured += e.Requests
		i.p99 = max(i.p99, p99)
	}
	return i
}

// unquote returns the JSON that ADR-32 tools want inside a string.
func unquote(data json.RawMessage) []byte {
	var text string
	if json.Unmarshal(data, &text) == nil {
		return []byte(text)
	}
	return data
}

// since sums up what has happened since an earlier sample, by service. What an
// instance had counted before it was first seen does not count.
func (s sample) since(before sample) []topLine {
	seconds := s.at.Sub(before.at).Seconds()
	totals := map[string]*topLine{}
	weighted, measured := map[string]float64{}, map[string]uint64{}
	for key, now := range s.instances {
		line := totals[now.service]
		if line == nil {
			line = &topLine{Service: now.service}
			totals[now.service] = line
		}
		line.Instances++
		if then, ok := before.instances[key]; ok && seconds > 0 {
			line.Requests += float64(grown(then.requests, now.requests)) / seconds
			line.Errors += float64(grown(then.errors, now.errors)) / seconds
		}
		weighted[now.service] += now.weighted
		measured[now.service] += now.measured
		line.P99 = max(line.P99, milliseconds(now.p99))
	}
	lines := make([]topLine, 0, len(totals))
	for name, line := range totals {
		if n := measured[name]; n > 0 {
			line.P50 = milliseconds(time.Duration(weighted[name] / float64(n)))
		}
		line.Requests, line.Errors = round(line.Requests), round(line.Errors)
		lines = append(lines, *line)
	}
	slices.SortFunc(lines, busiest)
	return lines
}

// grown is by how much a counter has grown; one that was reset has grown from
// zero.
func grown(then, now uint64) uint64 {
	if now < then {
		return now
	}
	return now - then
}
