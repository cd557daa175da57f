package main

import (
	"encoding/json"
	"os"
	"slices"
	"time"
)

// A record is one row of the results: a contender in a cell. Ratios are to the
// floor in the same repetition; where nothing is named, medians.
type record struct {
	Contender string  `json:"contender"`
	Case      string  `json:"case"`
	InFlight  int     `json:"inflight"`
	Size      int     `json:"size"`
	Rate      float64 `json:"rate,omitempty"`
	Fan       int     `json:"subscribers,omitempty"`
	Procs     int     `json:"procs,omitempty"` // GOMAXPROCS of all processes, of those with and without the yield
	// Ratio of throughput; of open it is that of the calls that were due.
	Ratio    float64  `json:"ratio"`
	Min      float64  `json:"min"` // of all repetitions
	Max      float64  `json:"max"`
	P99Ratio float64  `json:"p99_ratio"`
	CPURatio float64  `json:"cpu_ratio"` // of all processes together
	Allocs   *float64 `json:"allocs"`    // per call in the client, null if unknown

	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50_us"`
	P99       float64 `json:"p99_us"`
	P999      float64 `json:"p999_us"`
	Client    float64 `json:"cpu_client_us"` // per call
	Service   float64 `json:"cpu_service_us"`
	Broker    float64 `json:"cpu_broker_us"`
	Failed    int64   `json:"failed,omitempty"` // calls
	Behind    int64   `json:"behind,omitempty"` // calls that were due and never begun

	Fact      string  `json:"fact,omitempty"`      // what was measured without a floor
	Instances int     `json:"instances,omitempty"` // of discovery
	Value     float64 `json:"value,omitempty"`     // of the fact
	Unit      string  `json:"unit,omitempty"`

	Count   int                `json:"count,omitempty"`   // of many units that are open
	Figures map[string]float64 `json:"figures,omitempty"` // of one of them; the unit ends their names
	Note    string             `json:"note,omitempty"`

	Spoiled bool    `json:"spoiled"` // other load on the machine, in at least half of the repetitions
	Others  float64 `json:"others"`  // of one processor, what other processes used meanwhile
	NotRun  string  `json:"not_run,omitempty"`

	title string
	cell  cell
	scale bool // it has a count in place of a cell
}

// summary makes a record of the repetitions.
func summary(c contender, k cell, samples, floor []sample, failed string) record {
	r := record{
		Contender: c.name, Case: k.Case, InFlight: k.InFlight, Size: k.Size, Rate: k.Rate, Fan: k.Fan, Procs: k.Procs,
		NotRun: failed, title: c.title, cell: k,
	}
	if failed != "" || len(samples) == 0 {
		return r
	}
	of := func(f func(n int, s sample) float64) []float64 {
		var all []float64
		for n, s := range samples {
			all = append(all, f(n, s))
		}
		slices.Sort(all)
		return all
	}
	middle := func(f func(n int, s sample) float64) float64 { return round(median(of(f))) }
	ratios := of(func(n int, s sample) float64 {
		if k.Case == "open" {
			return s.rate / k.Rate
		}
		return s.rate / floor[n].rate
	})
	r.Ratio, r.Min, r.Max = round(median(ratios)), round(ratios[0]), round(ratios[len(ratios)-1])
	r.CPURatio = middle(func(n int, s sample) float64 { return over(s.cpu(), floor[n].cpu()) })
	r.P99Ratio = middle(func(n int, s sample) float64 { return over(s.P99, floor[n].P99) })
	r.PerSecond = middle(func(_ int, s sample) float64 { return s.rate })
	us := func(f func(s sample) time.Duration) float64 {
		return middle(func(_ int, s sample) float64 { return float64(f(s)) / float64(time.Microsecond) })
	}
	r.P50, r.P99, r.P999 = us(func(s sample) time.Duration { return s.P50 }), us(func(s sample) time.Duration { return s.P99 }), us(func(s sample) time.Duration { return s.P999 })
	r.Client, r.Service, r.Broker = us(func(s sample) time.Duration { return s.client }), us(func(s sample) time.Duration { return s.service }), us(func(s sample) time.Duration { return s.broker })
	if samples[0].Mallocs >= 0 {
		allocs := middle(func(_ int, s sample) float64 { return float64(s.Mallocs) / float64(s.Calls) })
		r.Allocs = &allocs
	}
	r.Others = middle(func(_ int, s sample) float64 { return s.others })
	spoiled := 0
	for n, s := range samples {
		r.Failed, r.Behind = r.Failed+s.Failed, r.Behind+s.Behind
		if s.spoiled() || floor[n].spoiled() {
			spoiled++
		}
	}
	r.Spoiled = 2*spoiled >= len(samples)
	return r
}

// short is the record in a word.
func (r record) short() string {
	if r.NotRun != "" {
		return "-"
	}
	return number(r.Ratio) + mark(r)
}

// mark is behind what was spoiled.
func mark(r record) string {
	if r.Spoiled {
		return " ~"
	}
	return ""
}

func median(sorted []float64) float64 {
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

func over(a, b time.Duration) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// round keeps three digits behind the point, which is more than is certain.
func round(f float64) float64 { return float64(int64(f*1000+0.5)) / 1000 }

func writeJSON(file string, records []record) error {
	data, err := json.MarshalIndent(records, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}
