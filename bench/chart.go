package main

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// The charts are drawn here, as they are a few rectangles: readable without a
// script, on a light or a dark page.
const (
	chartWidth = 760
	nameWidth  = 190
	barHeight  = 22
	barStep    = 32
	barsTop    = 70
	valueRoom  = 110
)

// A bar is one contender. Its parts are drawn one after the other.
type bar struct {
	name     string
	parts    []float64
	min, max float64 // whiskers, none if equal
	value    string
	ours     bool
}

var (
	ourColors   = []string{"#0b6bcb", "#5aa2e8", "#b3d4f5"}
	theirColors = []string{"#7a7f87", "#a6abb3", "#d0d4d9"}
)

// charted are the contenders of the charts: calls between processes.
func charted(records []record) []record {
	var all []record
	for _, r := range records {
		if (r.cell == cell{Case: "unary", InFlight: 64, Size: small}) && r.Fact == "" && r.NotRun == "" && r.Contender != "mbus-local" {
			all = append(all, r)
		}
	}
	return all
}

// throughputChart shows the ratios of throughput.
func throughputChart(records []record) string {
	var bars []bar
	for _, r := range charted(records) {
		bars = append(bars, bar{name: r.title, parts: []float64{r.Ratio}, min: r.Min, max: r.Max, value: number(r.Ratio) + " ×" + mark(r), ours: strings.HasPrefix(r.Contender, "mbus")})
	}
	return chart("Calls per second beside plain nats.go", "64 calls in flight, 16 B; longer is better; the thin line spans all repetitions", bars, nil)
}

// cpuChart shows the processor time of a call, by process.
func cpuChart(records []record) string {
	var bars []bar
	for _, r := range charted(records) {
		sum := r.Client + r.Service + r.Broker
		bars = append(bars, bar{name: r.title, parts: []float64{r.Client, r.Service, r.Broker}, value: fmt.Sprintf("%.1f µs%s", sum, mark(r)), ours: strings.HasPrefix(r.Contender, "mbus")})
	}
	return chart("Processor time of a call", "64 calls in flight, 16 B; shorter is better; all processes together", bars, []string{"client", "service", "broker"})
}

func chart(title, subtitle string, bars []bar, legend []string) string {
	top := 0.0
	for _, b := range bars {
		sum := 0.0
		for _, p := range b.parts {
			sum += p
		}
		top = max(top, sum, b.max)
	}
	scale := 0.0
	if top > 0 {
		scale = (chartWidth - nameWidth - valueRoom) / top
	}
	height := barsTop + len(bars)*barStep + 12
	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="system-ui, sans-serif" font-size="14" role="img" aria-label="%s">`+"\n", chartWidth, height, chartWidth, height, escape(title))
	fmt.Fprintf(&s, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", chartWidth, height)
	fmt.Fprintf(&s, `<text x="16" y="28" font-size="18" font-weight="600" fill="#1c1e21">%s</text>`+"\n", escape(title))
	fmt.Fprintf(&s, `<text x="16" y="50" fill="#5b6068">%s</text>`+"\n", escape(subtitle))
	for i, name := range legend {
		x := chartWidth - 90*(len(legend)-i)
		fmt.Fprintf(&s, `<rect x="%d" y="18" width="12" height="12" fill="%s"/><text x="%d" y="29" fill="#5b6068">%s</text>`+"\n", x, ourColors[i], x+18, escape(name))
	}
	for i, b := range bars {
		b.draw(&s, barsTop+i*barStep, scale)
	}
	s.WriteString("</svg>\n")
	return s.String()
}

func (b bar) draw(s *strings.Builder, y int, scale float64) {
	colors, weight := theirColors, "400"
	if b.ours {
		colors, weight = ourColors, "600"
	}
	middle := float64(y) + barHeight/2
	fmt.Fprintf(s, `<text x="%d" y="%.0f" text-anchor="end" font-weight="%s" fill="#1c1e21">%s</text>`+"\n", nameWidth-10, middle+5, weight, escape(b.name))
	x := float64(nameWidth)
	for i, p := range b.parts {
		fmt.Fprintf(s, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", x, y, p*scale, barHeight, colors[i])
		x += p * scale
	}
	if b.max > b.min {
		from, to := nameWidth+b.min*scale, nameWidth+b.max*scale
		fmt.Fprintf(s, `<path d="M%.1f %.1fH%.1fM%.1f %.1fv10M%.1f %.1fv10" stroke="#1c1e21" fill="none"/>`+"\n", from, middle, to, from, middle-5, to, middle-5)
		x = max(x, to)
	}
	fmt.Fprintf(s, `<text x="%.1f" y="%.0f" font-weight="%s" fill="#1c1e21">%s</text>`+"\n", x+8, middle+5, weight, escape(b.value))
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder takes everything
	return b.String()
}
