package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/mbus-dev/mbus/discovery"
)

const (
	crowdServices = 100
	watchers      = 100
	settle        = 2 * time.Second // until the pace is known to all
	looks         = 3               // windows that a watch is divided into
)

// discovery measures what it takes to know who is there, at several numbers of
// instances. No contender has a like for it, so there is no floor: the numbers
// are shares of one processor, bytes and times.
func (r *runner) discovery(ctx context.Context) error {
	if r.skips("mbus") {
		return nil
	}
	for _, instances := range r.plan.Instances {
		before := len(r.children)
		err := r.crowd(ctx, instances)
		r.clear(before)
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			r.fact("discovery, "+whole(float64(instances))+" instances", "all of it", "", nil, false).NotRun = reason(err)
		}
	}
	return nil
}

// crowd runs instances, watchers and a registrar on a broker of their own.
func (r *runner) crowd(ctx context.Context, instances int) error {
	title := fmt.Sprintf("discovery, %d instances", instances)
	broker, err := r.role("broker")
	if err != nil {
		return err
	}
	watch, err := r.role("watch", broker.address, strconv.Itoa(watchers), strconv.Itoa(crowdServices))
	if err != nil {
		return err
	}
	registry, err := r.role("registry", broker.address)
	if err != nil {
		return err
	}
	begun := time.Now()
	crowd, err := r.role("announce", broker.address, strconv.Itoa(instances), strconv.Itoa(crowdServices))
	if err != nil {
		return err
	}
	seen := watchers * watched * instances / crowdServices
	if err := r.until(ctx, watch, seen); err != nil {
		return err
	}
	if err := r.until(ctx, registry, instances); err != nil {
		return err
	}
	known := time.Since(begun)
	if err := sleep(ctx, settle); err != nil {
		return err
	}
	parts := []*child{broker, watch, registry, crowd}
	names := []string{"broker", fmt.Sprintf("%d watchers of %d services", watchers, watched), "registrar", "all instances"}
	shares := make([][]float64, len(parts))
	spoiled := 0
	window := max(r.plan.Watch, discovery.PaceFor(instances).Beat) / looks
	before, err := r.crowdMarks(parts)
	if err != nil {
		return err
	}
	for range looks {
		if err := sleep(ctx, window); err != nil {
			return err
		}
		after, err := r.crowdMarks(parts)
		if err != nil {
			return err
		}
		for i := range parts {
			shares[i] = append(shares[i], 100*(after.each[i]-before.each[i]).Seconds()/after.at.Sub(before.at).Seconds())
		}
		if foreign(before.marks, after.marks) > foreignShare {
			spoiled++
		}
		before = after
	}
	for i, name := range names {
		r.fact(title, name, "% of a core", shares[i], 2*spoiled >= looks).Instances = instances
	}
	last, err := registry.usage()
	if err != nil {
		return err
	}
	r.fact(title, "registrar, memory", "MiB", []float64{mib(last.RSS)}, false).Instances = instances
	r.fact(title, "until all are known to all", "ms", []float64{millisOf(known)}, 2*spoiled >= looks).Instances = instances
	fmt.Fprintf(r.progress, "%s: known after %s\n", title, known.Round(time.Millisecond))
	return nil
}

// until waits for a process to know so many instances.
func (r *runner) until(ctx context.Context, c *child, instances int) error {
	for deadline := time.Now().Add(patience); ; {
		got, err := c.usage()
		if err != nil {
			return err
		}
		if got.Numbers["instances"] >= float64(instances) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s knows %g of %d instances after %s", c.name, got.Numbers["instances"], instances, patience)
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// crowdMarks are what each of some processes has used up to a moment.
type crowdMarks struct {
	marks
	each []time.Duration
}

func (r *runner) crowdMarks(parts []*child) (m crowdMarks, err error) {
	for _, c := range parts {
		got, err := c.usage()
		if err != nil {
			return m, err
		}
		m.each = append(m.each, got.CPU)
		m.own += got.CPU
	}
	m.own += usedCPU()
	m.all, m.known = busy()
	m.at = time.Now()
	return m, nil
}

// fact adds a record of something that has no floor.
func (r *runner) fact(title, name, unit string, values []float64, spoiled bool) *record {
	rec := record{Contender: "mbus", Case: title, Fact: name, Unit: unit, Spoiled: spoiled, title: name}
	if len(values) > 0 {
		values = slices.Sorted(slices.Values(values))
		rec.Value, rec.Min, rec.Max = round(median(values)), round(values[0]), round(values[len(values)-1])
	}
	r.records = append(r.records, rec)
	return &r.records[len(r.records)-1]
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

func millisOf(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// sleep waits, or tells that the run was stopped.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
