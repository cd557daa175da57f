package web

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mbus-dev/mbus/bus"
)

const firstRows = 200

// A servicesData is the page of services.
type servicesData struct {
	At      int64  `json:"at"`
	Seq     uint64 `json:"seq"`
	Bus     link   `json:"bus"`
	Totals  totals `json:"totals"`
	Series  series `json:"series"`
	Rows    []*row `json:"rows"`
	Offset  int    `json:"offset"`
	Matched int    `json:"matched"`
	Filter  string `json:"q,omitempty"`
}

// A slice of a list is what a page asks for of it.
type part struct {
	query  filter
	text   string
	sort   string
	desc   bool
	offset int
	limit  int
}

func partOf(q url.Values, limit int) (part, error) {
	p := part{text: q.Get("q"), sort: q.Get("sort"), desc: q.Get("dir") == "desc", limit: limit}
	p.query = parseFilter(p.text)
	for name, place := range map[string]*int{"offset": &p.offset, "limit": &p.limit} {
		text := q.Get(name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return p, bus.Errorf(bus.InvalidArgument, "%s=%.20q is no number", name, text)
		}
		*place = n
	}
	return p, nil
}

// cutOut is the part of a list.
func cutOut[T any](all []T, p part) []T {
	all = all[min(p.offset, len(all)):]
	if p.limit > 0 {
		all = all[:min(p.limit, len(all))]
	}
	return all
}

func (w *Web) servicesPage(r *http.Request) (*page, error) {
	q := r.URL.Query()
	p, err := partOf(q, firstRows)
	if err != nil {
		return nil, err
	}
	d := w.collect.services(p, time.Now(), q.Get("spark") != "0")
	return &page{name: "services", title: "Services", data: d, text: d.text}, nil
}

// services is the page of services at a moment.
func (c *collector) services(p part, now time.Time, spark bool) *servicesData {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := &servicesData{
		At: now.UnixMilli(), Seq: c.rows.seq, Bus: c.link(now), Totals: c.t.all, Series: c.t.latest(now), Offset: p.offset, Filter: p.text,
	}
	found := make([]*service, 0, len(c.t.services))
	for _, s := range c.t.services {
		if len(p.query) == 0 || p.query.row(s.row()) {
			found = append(found, s)
		}
	}
	d.Matched = len(found)
	slices.SortFunc(found, func(a, b *service) int {
		n := orderServices(p.sort, a, b)
		if p.desc {
			n = -n
		}
		return cmp.Or(n, strings.Compare(a.name, b.name))
	})
	d.Rows = []*row{}
	for _, s := range cutOut(found, p) {
		if spark {
			d.Rows = append(d.Rows, s.full())
		} else {
			d.Rows = append(d.Rows, s.row())
		}
	}
	return d
}

// orderServices compares by a column; without one the worst comes first.
func orderServices(column string, a, b *service) int {
	number := func(x, y numeral) int { return cmp.Compare(x.or(-1), y.or(-1)) }
	switch column {
	case "name":
		return strings.Compare(a.name, b.name)
	case "version", "versions":
		return strings.Compare(a.version(), b.version())
	case "nodes", "instances":
		return cmp.Compare(len(a.instances), len(b.instances))
	case "rps":
		return number(a.now.rate, b.now.rate)
	case "p50", "p50_ms":
		return number(a.now.p50, b.now.p50)
	case "p99", "p99_ms":
		return number(a.now.p99, b.now.p99)
	case "err", "error_percent":
		return number(a.percent(), b.percent())
	case "errors_per_s":
		return number(a.now.errors, b.now.errors)
	case "in_flight":
		return cmp.Compare(a.now.inFlight, b.now.inFlight)
	}
	return cmp.Compare(a.health, b.health)
}

func (s *service) version() string {
	if len(s.versions) == 0 {
		return ""
	}
	return s.versions[0].Version
}

// latest is the totals of the last three minutes.
func (t *table) latest(now time.Time) series {
	from, to := slots(180*time.Second, fineStep, now)
	r := pick(fineStep, t.total, t.fine)
	for from < to && !numeral(r.get(from).rate).known() {
		from++ // nothing ran yet
	}
	return r.read(from, to+1, true)
}

// text is the page as a table.
func (d *servicesData) text(b *bytes.Buffer) {
	if d.Filter == "" && d.Offset == 0 && !slices.ContainsFunc(d.Rows, func(r *row) bool { return !r.Own }) {
		b.WriteString(firstRun)
		if len(d.Rows) == 0 {
			return
		}
		b.WriteString("\n")
	}
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "HEALTH\tSERVICE\tVERSION\tNODES\tREQ/S\tP99 ms\tERR %") // a Buffer takes everything
	for _, r := range d.Rows {
		version := "-"
		if len(r.Versions) > 0 {
			version = r.Versions[0].Version
		}
		if len(r.Versions) > 1 {
			version += fmt.Sprintf(" +%d", len(r.Versions)-1)
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", r.Health, r.Name, version, r.Instances, r.Rate.text(), r.P99.text(), r.Percent.text())
	}
	_ = w.Flush() // likewise
	if left := d.Matched - d.Offset - len(d.Rows); left > 0 {
		_, _ = fmt.Fprintf(b, "%d more; ?limit=0 shows all\n", left)
	}
	if !d.Bus.Connected {
		b.WriteString(d.Bus.Error + "\n")
	}
}

// firstRun is for who has nothing yet.
const firstRun = `No services yet. Each of these starts one:

    mbus new greeter && cd greeter && go run .
    mbus node --demo
    mbus register service '{"name":"ruby.micro.srv.greeter","version":"1.0.0","nodes":[{"id":"ruby-1","address":"127.0.0.1","port":9090}]}'
`

// serveIndex names everything there is, for palettes and pickers.
func (w *Web) serveIndex(rw http.ResponseWriter, r *http.Request) {
	writeJSON(rw, r, http.StatusOK, w.collect.index())
}

const (
	maxIndexed        = 10_000
	maxIndexedMethods = 64
)

type indexData struct {
	Services []indexed `json:"services"`
	More     int       `json:"more"`
}

type indexed struct {
	Name    string   `json:"name"`
	Health  health   `json:"health"`
	Methods []string `json:"methods"`
}

func (c *collector) index() indexData {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := indexData{Services: []indexed{}}
	for name, s := range c.t.services {
		d.Services = append(d.Services, indexed{name, s.health, s.methods()})
	}
	slices.SortFunc(d.Services, func(a, b indexed) int { return strings.Compare(a.Name, b.Name) })
	if len(d.Services) > maxIndexed {
		d.More = len(d.Services) - maxIndexed
		d.Services = d.Services[:maxIndexed]
	}
	for i := range d.Services {
		d.Services[i].Methods = d.Services[i].Methods[:min(len(d.Services[i].Methods), maxIndexedMethods)]
	}
	return d
}

// methods are those that some instance has, those of every service last.
func (s *service) methods() []string {
	all := make(map[string]bool)
	for _, i := range s.instances {
		for n := range i.info.Endpoints {
			all[i.info.Endpoints[n].Name] = true
		}
	}
	names := slices.AppendSeq([]string{}, maps.Keys(all))
	slices.SortFunc(names, orderMethods)
	return names
}

func orderMethods(a, b string) int {
	if isDebug(a) != isDebug(b) {
		if isDebug(a) {
			return 1
		}
		return -1
	}
	return strings.Compare(a, b)
}

// methods of a service that is there.
func (c *collector) methods(service string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.t.services[service]; s != nil {
		return s.methods()
	}
	return nil
}

// has reports whether a service is in the table, also one that has gone.
func (c *collector) has(service string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t.services[service] != nil
}

// foreign reports whether a service speaks NATS and no mbus.
func (c *collector) foreign(service string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.t.services[service]
	return s != nil && s.kind == "foreign"
}

// names are those of all services.
func (c *collector) names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := make([]string, 0, len(c.t.services))
	for name := range c.t.services {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
