package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// firstFew are open before anything is measured: what comes with the first one
// is no part of what each of many costs.
const firstFew = 10

// The figures of one of many units. Memory is what a process has in RAM, but for
// its code, after a collection.
const (
	clientIdle  = "client_kib" // of a unit that was never used
	serviceIdle = "service_kib"
	brokerIdle  = "broker_kib"
	clientUsed  = "client_used_kib" // once each was used
	serviceUsed = "service_used_kib"
	brokerUsed  = "broker_used_kib"
	openTime    = "open_us" // from one to the next, several being opened at a time
	useTime     = "use_us"
	clientRest  = "client_idle_percent" // of a core, while nobody does anything
	serviceRest = "service_idle_percent"
	brokerRest  = "broker_idle_percent"
	resident    = "resident_mib" // all processes in all
)

// scale measures what each of many open streams and connections costs, and how
// that grows with their number.
func (r *runner) scale(ctx context.Context) error {
	for _, h := range holders() {
		if r.skips(h.contender) {
			continue
		}
		before := len(r.children)
		err := r.hold(ctx, h)
		r.clear(before)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			r.scaled(h, 0, nil).NotRun = reason(err)
		}
	}
	return nil
}

// hold measures one holder at all counts, in processes of its own that keep
// growing.
func (r *runner) hold(ctx context.Context, h holder) error {
	broker, err := r.role("broker")
	if err != nil {
		return err
	}
	service, err := r.role("keep", h.name(), broker.address)
	if err != nil {
		return err
	}
	client, err := r.role("grow", h.name(), broker.address, service.address)
	if err != nil {
		return err
	}
	g := &growing{parts: []*child{client, service, broker}}
	if _, err := client.ask(order{Grow: firstFew, Use: true}, 3*patience); err != nil {
		return err
	}
	if g.used, err = g.rest(); err != nil {
		return err
	}
	g.first, g.count = g.used, firstFew
	for _, count := range r.plan.Counts {
		allowed := count
		if h.kind == kindConnections {
			allowed = openFiles(count)
		}
		marks, err := r.crowdMarks(g.parts)
		if err != nil {
			return err
		}
		figures, err := r.step(ctx, g, allowed)
		if err != nil {
			r.scaled(h, count, nil).NotRun = reason(err)
			return ctx.Err()
		}
		after, err := r.crowdMarks(g.parts)
		if err != nil {
			return err
		}
		rec := r.scaled(h, allowed, figures)
		rec.Spoiled = foreign(marks.marks, after.marks) > foreignShare
		if allowed < count {
			rec.Note = fmt.Sprintf("in place of %d: a process here may have no more open files", count)
			return nil
		}
	}
	return nil
}

// A growing is a holder whose units become more.
type growing struct {
	parts       []*child // client, service, broker
	count       int
	first, used []int64 // bytes with the first few, and when all were last used
	idle        []int64 // of all beyond the first few while they were not yet used
}

// rest is the memory of each process.
func (g *growing) rest() (all []int64, err error) {
	for _, c := range g.parts {
		got, err := c.ask(order{Rest: true}, patience)
		if err != nil {
			return nil, err
		}
		all = append(all, got.Own)
	}
	return all, nil
}

// step opens units up to a count, leaves them alone for a while, and uses each
// once.
func (r *runner) step(ctx context.Context, g *growing, count int) (map[string]float64, error) {
	client := g.parts[0]
	opened, err := client.ask(order{Grow: count}, 3*patience)
	if err != nil {
		return nil, err
	}
	idle, err := g.rest()
	if err != nil {
		return nil, err
	}
	if g.idle == nil {
		g.idle = make([]int64, len(g.parts))
	}
	for i := range idle {
		g.idle[i] += idle[i] - g.used[i]
	}
	shares, err := r.atRest(ctx, g.parts)
	if err != nil {
		return nil, err
	}
	used, err := client.ask(order{Use: true}, 3*patience)
	if err != nil {
		return nil, err
	}
	if g.used, err = g.rest(); err != nil {
		return nil, err
	}
	total := 0.0
	for _, c := range g.parts {
		got, err := c.usage()
		if err != nil {
			return nil, err
		}
		total += mib(got.RSS)
	}
	each := func(d time.Duration, n int) float64 { return float64(d) / float64(time.Microsecond) / float64(n) }
	figures := map[string]float64{openTime: each(opened.Elapsed, max(count-g.count, 1)), useTime: each(used.Elapsed, count), resident: total}
	g.count = count
	beyond := float64(max(count-firstFew, 1)) * 1024
	for i, names := range [][3]string{{clientIdle, clientUsed, clientRest}, {serviceIdle, serviceUsed, serviceRest}, {brokerIdle, brokerUsed, brokerRest}} {
		figures[names[0]] = float64(g.idle[i]) / beyond
		figures[names[1]] = float64(g.used[i]-g.first[i]) / beyond
		figures[names[2]] = shares[i]
	}
	for name, f := range figures {
		figures[name] = round(max(f, 0)) // a collection may find what was there before
	}
	return figures, nil
}

// atRest is what each process takes of a core while nobody asks for anything.
func (r *runner) atRest(ctx context.Context, parts []*child) ([]float64, error) {
	before, err := r.crowdMarks(parts)
	if err != nil {
		return nil, err
	}
	if err := sleep(ctx, r.plan.Idle); err != nil {
		return nil, err
	}
	after, err := r.crowdMarks(parts)
	if err != nil {
		return nil, err
	}
	var shares []float64
	for i := range parts {
		shares = append(shares, 100*(after.each[i]-before.each[i]).Seconds()/after.at.Sub(before.at).Seconds())
	}
	return shares, nil
}

// scaled adds the record of a holder at a count.
func (r *runner) scaled(h holder, count int, figures map[string]float64) *record {
	r.records = append(r.records, record{Contender: h.contender, Case: h.kind, Count: count, Figures: figures, title: h.title, scale: true})
	if figures != nil {
		fmt.Fprintf(r.progress, "%d %s, %s: %.1f KiB each, %.0f µs to open one\n", count, h.kind, h.contender, sum(figures, clientUsed, serviceUsed, brokerUsed), figures[openTime])
	}
	return &r.records[len(r.records)-1]
}

func sum(figures map[string]float64, names ...string) (total float64) {
	for _, name := range names {
		total += figures[name]
	}
	return total
}

// scaleHead are the columns of the table of a kind. Where three figures are in
// one, they are those of client, service and broker.
func scaleHead() []string {
	return []string{"", "number", "KiB, never used", "KiB, used once", "µs to open", "µs to use", "% of a core, at rest", "resident MiB"}
}

// scaleTable adds a record of one of many to the table of its kind.
func scaleTable(all []table, r record) []table {
	title := r.Case
	if r.Case == kindStreams {
		title += " on one connection"
	}
	if len(all) == 0 || all[len(all)-1].title != title {
		all = append(all, table{title: title, head: scaleHead()})
	}
	last := &all[len(all)-1]
	row := []string{r.title + mark(r)}
	if r.NotRun != "" {
		why := "not run: "
		if r.Count > 0 {
			why += strconv.Itoa(r.Count) + ": "
		}
		last.rows = append(last.rows, append(row, why+r.NotRun))
		return all
	}
	number := strconv.Itoa(r.Count)
	if r.Note != "" {
		number += " " + r.Note
	}
	three := func(names ...string) string {
		var parts []string
		for _, name := range names {
			parts = append(parts, strconv.FormatFloat(r.Figures[name], 'f', 1, 64))
		}
		return strings.Join(parts, " / ")
	}
	last.rows = append(last.rows, append(
		row, number, three(clientIdle, serviceIdle, brokerIdle), three(clientUsed, serviceUsed, brokerUsed),
		whole(r.Figures[openTime]), whole(r.Figures[useTime]), three(clientRest, serviceRest, brokerRest), whole(r.Figures[resident]),
	))
	return all
}

// counted returns the records of a contender at all counts of a kind that went
// well.
func counted(records []record, contender, kind string) []record {
	var all []record
	for _, r := range records {
		if r.scale && r.Contender == contender && r.Case == kind && r.Figures != nil {
			all = append(all, r)
		}
	}
	return slices.Clip(all)
}
