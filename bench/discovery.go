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
			failed := r.fact("discovery, "+whole(float64(instances))+" instances", "all of it", "", nil, false)
			failed.Instances, failed.NotRun = instances, reason(err)
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
	memory := &growing{parts: []*child{watch, registry}}
	if memory.first, err = memory.rest(); err != nil {
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
	names := crowdParts()
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
	last, err := registry.usage() // before it rests
	if err != nil {
		return err
	}
	r.fact(title, "registrar, memory", "MiB", []float64{mib(last.RSS)}, false).Instances = instances
	if err := r.crowdMemory(title, memory, crowd, instances, seen); err != nil {
		return err
	}
	r.fact(title, untilKnown, "ms", []float64{millisOf(known)}, 2*spoiled >= looks).Instances = instances
	fmt.Fprintf(r.progress, "%s: known after %s\n", title, known.Round(time.Millisecond))
	return nil
}

// crowdMemory adds what an instance takes where it is known, and where it runs.
func (r *runner) crowdMemory(title string, memory *growing, crowd *child, instances, seen int) error {
	var err error
	if memory.used, err = memory.rest(); err != nil {
		return err
	}
	own, err := crowd.ask(order{Rest: true}, patience)
	if err != nil {
		return err
	}
	each := func(bytes int64, n int) []float64 { return []float64{max(float64(bytes)/1024/float64(n), 0)} }
	for _, f := range []struct {
		name  string
		value []float64
	}{
		{instanceInRegistrar, each(memory.used[1]-memory.first[1], instances)},
		{instanceInWatcher, each(memory.used[0]-memory.first[0], seen)},
		{instanceItself, each(own.Own-int64(own.Numbers["empty"]), instances)},
	} {
		r.fact(title, f.name, "KiB", f.value, false).Instances = instances
	}
	return nil
}

// crowdParts are the processes of discovery.
func crowdParts() []string {
	return []string{"broker", fmt.Sprintf("%d watchers of %d services", watchers, watched), "registrar", "all instances"}
}

const (
	instanceInRegistrar = "registrar, memory of an instance"
	instanceInWatcher   = "a watcher, memory of an instance"
	instanceItself      = "an instance, memory where it runs"
	untilKnown          = "until all are known to all"
)

// crowdTable adds a fact of discovery to its table, which has a column for each
// number of instances.
func crowdTable(all []table, r record) []table {
	const title = "discovery"
	if len(all) == 0 || all[len(all)-1].title != title {
		all = append(all, table{title: title, head: []string{"", ""}})
	}
	last := &all[len(all)-1]
	column := whole(float64(r.Instances)) + " instances"
	at := slices.Index(last.head, column)
	if at < 0 {
		at = len(last.head)
		last.head = append(last.head, column)
	}
	n := slices.IndexFunc(last.rows, func(row []string) bool { return row[0] == r.title })
	if n < 0 {
		n = len(last.rows)
		last.rows = append(last.rows, []string{r.title, r.Unit})
	}
	row := last.rows[n]
	for len(row) < at {
		row = append(row, "")
	}
	value := number(r.Value)
	if r.Min < r.Max {
		value += fmt.Sprintf(" (%s–%s)", number(r.Min), number(r.Max))
	}
	if r.NotRun != "" {
		value = "not run: " + r.NotRun
	}
	last.rows[n] = append(row, value+mark(r))
	return all
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
