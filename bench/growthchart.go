package main

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// The chart of growth is small charts in a grid: a column for each thing that
// there can be many of, a row for each thing that one of them costs. Both axes
// are logarithmic, and all charts of a row have the same scale, so that a flat
// line is a cost that does not depend on the number.
const (
	plotWidth   = 160
	plotHeight  = 120
	plotLeft    = 62
	plotStep    = plotWidth + 72
	plotTop     = 146
	plotRowStep = plotHeight + 66

	// restLeast is the least processor time that can be told from none.
	restLeast = 0.1
)

// A point is a figure at a count.
type point struct {
	count int
	value float64
}

// A line is one contender in a plot.
type line struct {
	name   string
	color  string
	points []point
}

// The colors of lines: those of mbus are blue.
const (
	ourColor   = "#0b6bcb"
	ourSecond  = "#5aa2e8"
	ourThird   = "#0a3f78"
	floorColor = "#7a7f87"
	peerColor  = "#c2571a"
)

// A plotRow is one cost, of one thing in each column.
type plotRow struct {
	title string
	plots [3][]line
}

// growthChart shows how the costs of one of many grow with their number.
func growthChart(records []record) string {
	return growthSVG([3]string{"instances", kindStreams, kindConnections}, []plotRow{
		{title: "Memory of one, KiB", plots: [3][]line{
			{
				crowdLine(records, "registrar", ourColor, instanceInRegistrar),
				crowdLine(records, "watcher", ourSecond, instanceInWatcher),
				crowdLine(records, "itself", ourThird, instanceItself),
			},
			scaleLines(records, kindStreams, func(r record) float64 { return sum(r.Figures, clientUsed, serviceUsed, brokerUsed) }),
			scaleLines(records, kindConnections, func(r record) float64 { return sum(r.Figures, clientUsed, serviceUsed, brokerUsed) }),
		}},
		{title: "Time until one more is there, µs", plots: [3][]line{
			{perInstance(crowdLine(records, "", ourColor, untilKnown), 1e3)},
			scaleLines(records, kindStreams, func(r record) float64 { return r.Figures[openTime] }),
			scaleLines(records, kindConnections, func(r record) float64 { return r.Figures[openTime] }),
		}},
		{title: "Processor time of one that does nothing, µs a second", plots: [3][]line{
			{perInstance(crowdLine(records, "", ourColor, crowdParts()...), 1e4)},
			scaleLines(records, kindStreams, resting),
			scaleLines(records, kindConnections, resting),
		}},
	})
}

// resting is the processor time of one of many in all processes; a percent of a
// core is 10,000 µs a second.
func resting(r record) float64 {
	return max(sum(r.Figures, clientRest, serviceRest, brokerRest)*1e4/float64(r.Count), restLeast)
}

// crowdLine is the sum of some facts of discovery.
func crowdLine(records []record, name, color string, facts ...string) line {
	l := line{name: name, color: color}
	for _, r := range records {
		if r.Instances == 0 || r.NotRun != "" || !slices.Contains(facts, r.Fact) {
			continue
		}
		if i := slices.IndexFunc(l.points, func(p point) bool { return p.count == r.Instances }); i >= 0 {
			l.points[i].value += r.Value
		} else {
			l.points = append(l.points, point{r.Instances, r.Value})
		}
	}
	return l
}

// perInstance divides what all instances take together, in some unit.
func perInstance(l line, unit float64) line {
	for i, p := range l.points {
		l.points[i].value = p.value * unit / float64(p.count)
	}
	return l
}

// scaleLines are a figure of all contenders of a kind.
func scaleLines(records []record, kind string, figure func(record) float64) (all []line) {
	for _, h := range holders() {
		if h.kind != kind {
			continue
		}
		l := line{name: h.title, color: peerColor}
		switch h.contender {
		case "raw":
			l.color = floorColor
		case "mbus":
			l.color = ourColor
		}
		for _, r := range counted(records, h.contender, kind) {
			l.points = append(l.points, point{r.Count, figure(r)})
		}
		all = append(all, l)
	}
	return all
}

// growthSVG draws the grid.
func growthSVG(columns [3]string, rows []plotRow) string {
	const title = "What one of many costs, and how that grows with their number"
	width, height := plotLeft+3*plotStep, plotTop+len(rows)*plotRowStep-20
	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="%s">`+"\n", width, height, width, height, title)
	fmt.Fprintf(&s, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", width, height)
	fmt.Fprintf(&s, `<text x="16" y="28" font-size="18" font-weight="600" fill="#1c1e21">%s</text>`+"\n", title)
	fmt.Fprintf(&s, `<text x="16" y="50" font-size="14" fill="#5b6068">%s</text>`+"\n", "a flat line: ten times as many cost ten times as much; a rising one: more than that; lower is better")
	for i, name := range columns {
		x := plotLeft + i*plotStep
		fmt.Fprintf(&s, `<text x="%d" y="84" font-size="14" font-weight="600" fill="#1c1e21">%s</text>`+"\n", x, escape(name))
		for _, l := range rows[0].plots[i] {
			fmt.Fprintf(&s, `<path d="M%d 98h12" stroke="%s" stroke-width="3"/><text x="%d" y="102" font-size="11" fill="#5b6068">%s</text>`+"\n", x, l.color, x+15, escape(l.name))
			x += 24 + len(l.name)*6
		}
	}
	for i, row := range rows {
		row.draw(&s, plotTop+i*plotRowStep)
	}
	s.WriteString("</svg>\n")
	return s.String()
}

// draw draws a row from y on, with a scale of whole powers of ten.
func (row plotRow) draw(s *strings.Builder, y int) {
	fmt.Fprintf(s, `<text x="16" y="%d" font-size="13" fill="#1c1e21">%s</text>`+"\n", y-14, escape(row.title))
	var values []float64
	var counts []int
	for _, lines := range row.plots {
		for _, l := range lines {
			for _, p := range l.points {
				counts = append(counts, p.count)
				if p.value > 0 {
					values = append(values, p.value)
				}
			}
		}
	}
	if len(values) == 0 {
		return
	}
	low, high := math.Floor(math.Log10(slices.Min(values))), math.Ceil(math.Log10(slices.Max(values)))
	if high == low {
		high++
	}
	slices.Sort(counts)
	counts = slices.Compact(counts)
	first, last := math.Log10(float64(counts[0])), math.Log10(float64(counts[len(counts)-1]))
	if first == last {
		last++
	}
	for i, lines := range row.plots {
		p := plot{x: float64(plotLeft + i*plotStep), y: float64(y), low: low, high: high, first: first, last: last}
		p.frame(s, counts, i == 0)
		p.lines(s, lines)
	}
}

// A plot is one small chart; its bounds are powers of ten.
type plot struct {
	x, y, low, high, first, last float64
}

func (p plot) at(q point) (x, y float64) {
	value := min(max(math.Log10(max(q.value, 1e-9)), p.low), p.high)
	return p.x + plotWidth*(math.Log10(float64(q.count))-p.first)/(p.last-p.first), p.y + plotHeight*(p.high-value)/(p.high-p.low)
}

// frame draws the grid and names its lines.
func (p plot) frame(s *strings.Builder, counts []int, names bool) {
	for power := p.low; power <= p.high; power++ {
		_, y := p.at(point{1, math.Pow(10, power)})
		fmt.Fprintf(s, `<path d="M%.1f %.1fh%d" stroke="#e3e5e8"/>`+"\n", p.x, y, plotWidth)
		if names {
			fmt.Fprintf(s, `<text x="%.1f" y="%.1f" text-anchor="end" font-size="11" fill="#5b6068">%s</text>`+"\n", p.x-6, y+4, thousands(math.Pow(10, power)))
		}
	}
	for _, n := range counts {
		x, _ := p.at(point{n, 1})
		fmt.Fprintf(s, `<path d="M%.1f %.1fv%d" stroke="#e3e5e8"/><text x="%.1f" y="%.1f" text-anchor="middle" font-size="11" fill="#5b6068">%s</text>`+"\n", x, p.y, plotHeight, x, p.y+plotHeight+16, thousands(float64(n)))
	}
}

// lines draws the lines, those of mbus on top, each with its last value.
func (p plot) lines(s *strings.Builder, lines []line) {
	type label struct {
		y           float64
		text, color string
	}
	var labels []label
	for _, l := range lines {
		if len(l.points) == 0 {
			continue
		}
		var path strings.Builder
		for i, q := range l.points {
			x, y := p.at(q)
			path.WriteString(string("ML"[min(i, 1)]))
			fmt.Fprintf(&path, "%.1f %.1f", x, y)
			fmt.Fprintf(s, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", x, y, l.color)
		}
		fmt.Fprintf(s, `<path d="%s" stroke="%s" stroke-width="2" fill="none"/>`+"\n", path.String(), l.color)
		last := l.points[len(l.points)-1]
		_, y := p.at(last)
		labels = append(labels, label{y, brief(last.value), l.color})
	}
	slices.SortFunc(labels, func(a, b label) int { return cmp.Compare(a.y, b.y) })
	for i := range labels { // none over another, and none below the plot
		labels[i].y = min(labels[i].y, p.y+plotHeight-float64(12*(len(labels)-1-i)))
	}
	for i, l := range labels {
		if i > 0 {
			l.y = max(l.y, labels[i-1].y+12)
			labels[i].y = l.y
		}
		fmt.Fprintf(s, `<text x="%.1f" y="%.1f" font-size="11" font-weight="600" fill="%s">%s</text>`+"\n", p.x+plotWidth+7, l.y+4, l.color, l.text)
	}
}

// brief writes a figure with two digits or more.
func brief(f float64) string {
	switch {
	case f >= 10:
		return thousands(math.Round(f))
	case f <= restLeast:
		return "≤ " + strconv.FormatFloat(restLeast, 'f', 1, 64)
	}
	return strconv.FormatFloat(f, 'f', 1, 64)
}

// thousands writes a number with a comma between the thousands.
func thousands(f float64) string {
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if f < 1000 || f != math.Trunc(f) {
		return text
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
