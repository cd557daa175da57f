package web

import (
	"bytes"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/mbus-dev/mbus/bus"
)

// noVersion stands in addresses for a version that is empty.
const noVersion = "-"

// A comparison is two versions of a service beside each other.
type comparison struct {
	A         string     `json:"a"`
	B         string     `json:"b"`
	Over      string     `json:"over"`
	Note      string     `json:"note,omitempty"`
	Endpoints []compared `json:"endpoints"`
}

// A compared is a method in two versions. A version that has no such method is
// nil.
type compared struct {
	Name       string          `json:"name"`
	A          *versionNumbers `json:"a"`
	B          *versionNumbers `json:"b"`
	Difference difference      `json:"difference"`
}

// A difference is what the second has more than the first.
type difference struct {
	Rate    numeral `json:"rps"`
	Errors  numeral `json:"errors_per_s"`
	Percent numeral `json:"error_percent"`
	P50     numeral `json:"p50_ms"`
	P95     numeral `json:"p95_ms"`
	P99     numeral `json:"p99_ms"`
}

// comparisonOf reads ?a=1.0.0&b=1.1.0&over=minute; nil where nobody compares.
func comparisonOf(q url.Values) (*comparison, error) {
	if !q.Has("a") && !q.Has("b") {
		return nil, nil
	}
	c := &comparison{A: q.Get("a"), B: q.Get("b"), Over: q.Get("over"), Endpoints: []compared{}}
	switch c.Over {
	case "minute", "life":
	case "":
		c.Over = "minute"
	default:
		return nil, bus.Errorf(bus.InvalidArgument, "over=%.20q: want minute, or life for as long as the nodes run", c.Over)
	}
	return c, nil
}

// fill compares what there is to compare, and says so where there is not.
func (c *comparison) fill(all []versionData) {
	find := func(name string) *versionData {
		for i := range all {
			if versionText(all[i].Version) == name {
				return &all[i]
			}
		}
		return nil
	}
	a, b := find(c.A), find(c.B)
	switch {
	case len(all) < 2:
		c.Note = "only one version runs at the moment"
	case c.A == "" || c.B == "":
		c.Note = "give a version as a, and one as b"
	case a == nil || b == nil:
		missing := c.A
		if a != nil {
			missing = c.B
		}
		var names []string
		for _, v := range all {
			names = append(names, versionText(v.Version))
		}
		c.Note = fmt.Sprintf("no node runs %.80q; there is %s", missing, strings.Join(names, ", "))
	case a == b:
		c.Note = "choose two different versions"
	default:
		c.Endpoints = beside(a, b, c.Over == "life")
	}
}

func versionText(version string) string {
	if version == "" {
		return noVersion
	}
	return version
}

// beside puts the methods of two versions beside each other, by name.
func beside(a, b *versionData, life bool) []compared {
	all := []compared{}
	place := make(map[string]int)
	at := func(name string) *compared {
		i, known := place[name]
		if !known {
			i = len(all)
			place[name] = i
			all = append(all, compared{Name: name})
		}
		return &all[i]
	}
	numbers := func(e *versionEndpoint) *versionNumbers {
		if life {
			return &e.Life
		}
		return &e.Minute
	}
	for i := range a.Endpoints {
		at(a.Endpoints[i].Name).A = numbers(&a.Endpoints[i])
	}
	for i := range b.Endpoints {
		at(b.Endpoints[i].Name).B = numbers(&b.Endpoints[i])
	}
	for i := range all {
		all[i].Difference = differ(all[i].A, all[i].B)
	}
	slices.SortFunc(all, func(x, y compared) int { return strings.Compare(x.Name, y.Name) })
	return all
}

func differ(a, b *versionNumbers) difference {
	if a == nil || b == nil {
		n := unknownNumber()
		return difference{n, n, n, n, n, n}
	}
	return difference{b.Rate - a.Rate, b.Errors - a.Errors, b.Percent - a.Percent, b.P50 - a.P50, b.P95 - a.P95, b.P99 - a.P99}
}

func (c *comparison) text(b *bytes.Buffer) {
	_, _ = fmt.Fprintf(b, "\n%s beside %s, %s\n", c.A, c.B, map[string]string{"minute": "the last minute", "life": "since the nodes started"}[c.Over]) // a Buffer takes everything
	if c.Note != "" {
		_, _ = fmt.Fprintf(b, "%s\n", c.Note)
		return
	}
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(w, "METHOD\t\t%s\t%s\tDIFFERENCE\n", c.A, c.B)
	for _, e := range c.Endpoints {
		none := versionNumbers{Rate: unknownNumber(), Errors: unknownNumber(), Percent: unknownNumber(), P50: unknownNumber(), P95: unknownNumber(), P99: unknownNumber()}
		x, y := e.A, e.B
		if x == nil {
			x = &none
		}
		if y == nil {
			y = &none
		}
		for i, row := range []struct {
			name    string
			a, b, d numeral
		}{
			{"req/s", x.Rate, y.Rate, e.Difference.Rate},
			{"err %", x.Percent, y.Percent, e.Difference.Percent},
			{"p50 ms", x.P50, y.P50, e.Difference.P50},
			{"p95 ms", x.P95, y.P95, e.Difference.P95},
			{"p99 ms", x.P99, y.P99, e.Difference.P99},
		} {
			name := e.Name
			if i > 0 {
				name = ""
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", name, row.name, row.a.text(), row.b.text(), row.d.signed())
		}
	}
	_ = w.Flush()
}

// signed is the text of a difference.
func (n numeral) signed() string {
	if n.known() && n.rounded() > 0 {
		return "+" + n.text()
	}
	return n.text()
}
