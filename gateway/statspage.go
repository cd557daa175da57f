package gateway

import (
	"encoding/json"
	"fmt"
	"html/template"
	"mime"
	"net/http"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Micro's windows: two minutes in 24 steps.
const (
	statsWindows = 24
	statsWindow  = 5 * time.Second
)

// stats counts the requests of a room as Micro did.
type stats struct {
	mu      sync.Mutex
	started time.Time
	windows []window // oldest first
}

type window struct {
	// Timestamp is the beginning of the window in Unix seconds.
	Timestamp int64 `json:"timestamp"`
	// StatusCodes counts by class: "20x", "30x", "40x", "50x".
	StatusCodes map[string]int `json:"status_codes"`
	TotalReqs   int            `json:"total_reqs"`
}

// statsAnswer is the JSON of /stats.
type statsAnswer struct {
	Started  int64    `json:"started"`
	Memory   string   `json:"memory"`
	Threads  int      `json:"threads"`
	GC       string   `json:"gc_pause"`
	Counters []window `json:"counters"`
}

func newStats() *stats { return &stats{started: time.Now()} }

// count adds an answer.
func (s *stats) count(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(time.Now())
	w := &s.windows[len(s.windows)-1]
	w.TotalReqs++
	if class := status / 100; class >= 2 && class <= 5 {
		w.StatusCodes[strconv.Itoa(class)+"0x"]++
	}
}

// advance makes the last window that of now.
func (s *stats) advance(now time.Time) {
	at := now.Truncate(statsWindow).Unix()
	if n := len(s.windows); n > 0 && s.windows[n-1].Timestamp >= at {
		return
	}
	s.windows = append(s.windows, window{Timestamp: at, StatusCodes: map[string]int{}})
	if len(s.windows) > statsWindows {
		s.windows = append(s.windows[:0], s.windows[len(s.windows)-statsWindows:]...)
	}
}

func (s *stats) read() statsAnswer {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(samples)
	var gc debug.GCStats
	debug.ReadGCStats(&gc)
	a := statsAnswer{
		Started: s.started.Unix(), Threads: runtime.NumGoroutine(),
		GC: fmt.Sprintf("%.3fms", gc.PauseTotal.Seconds()*1000),
	}
	if samples[0].Value.Kind() == metrics.KindUint64 {
		a.Memory = fmt.Sprintf("%.2fmb", float64(samples[0].Value.Uint64())/(1<<20))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(time.Now())
	for _, w := range s.windows {
		codes := make(map[string]int, len(w.StatusCodes))
		for class, n := range w.StatusCodes {
			codes[class] = n
		}
		w.StatusCodes = codes
		a.Counters = append(a.Counters, w)
	}
	return a
}

// ServeHTTP shows the statistics: as JSON to who asks for it by Accept or, as
// Micro had it, by the Content-Type of the request; else as a page.
func (s *stats) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	a := s.read()
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind == "application/json" || strings.Contains(r.Header.Get("Accept"), "application/json") {
		h.Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(a) // the client has gone
		return
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	if err := statsPage().Execute(w, pageOf(a)); err != nil {
		panic(http.ErrAbortHandler) // half a page
	}
}

// A statsView is what the page shows.
type statsView struct {
	Started, Uptime, Memory, GC string
	Threads                     int
	Rows                        []statsRow
	Line                        string // points of the chart
	Peak                        int
}

type statsRow struct {
	Name  string
	Count int
}

func pageOf(a statsAnswer) statsView {
	started := time.Unix(a.Started, 0)
	v := statsView{
		Started: started.Format(time.DateTime), Uptime: time.Since(started).Round(time.Second).String(),
		Memory: a.Memory, GC: a.GC, Threads: a.Threads,
	}
	total, classes := 0, map[string]int{}
	for _, w := range a.Counters {
		total, v.Peak = total+w.TotalReqs, max(v.Peak, w.TotalReqs)
		for class, n := range w.StatusCodes {
			classes[class] += n
		}
	}
	v.Rows = []statsRow{{"Total", total}}
	for _, class := range []string{"20x", "30x", "40x", "50x"} {
		v.Rows = append(v.Rows, statsRow{class, classes[class]})
	}
	last := a.Counters[len(a.Counters)-1].Timestamp
	counts := make(map[int64]int, len(a.Counters))
	for _, w := range a.Counters {
		counts[w.Timestamp] = w.TotalReqs
	}
	var points []string
	for i := range statsWindows {
		at := last - int64(statsWindows-1-i)*int64(statsWindow/time.Second)
		y := 100 - 100*float64(counts[at])/float64(max(1, v.Peak))
		points = append(points, fmt.Sprintf("%d,%.1f", i*10, y))
	}
	v.Line = strings.Join(points, " ")
	return v
}

func statsPage() *template.Template { return template.Must(template.New("stats").Parse(statsText)) }

const statsText = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Stats</title>
<style>
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:44rem;padding:0 1rem;color:#1d2327;background:#fbfaf7}
h1{font-size:1.4rem}h2{font-size:1.05rem;margin-top:2rem}table{border-collapse:collapse}
th,td{text-align:left;padding:.2rem 2rem .2rem 0;font-weight:400}td{font-variant-numeric:tabular-nums}
svg{width:100%;height:9rem;border-bottom:1px solid #8a8f94}polyline{fill:none;stroke:#0b7a75;stroke-width:2;vector-effect:non-scaling-stroke}
@media (prefers-color-scheme:dark){body{color:#e8e6e1;background:#1c1f22}polyline{stroke:#4fc3bd}}
</style></head><body><main><h1>Stats</h1>
<h2>Info</h2><table>
<tr><th scope="row">Started</th><td>{{.Started}}</td></tr>
<tr><th scope="row">Uptime</th><td>{{.Uptime}}</td></tr>
<tr><th scope="row">Memory</th><td>{{.Memory}}</td></tr>
<tr><th scope="row">Threads</th><td>{{.Threads}}</td></tr>
<tr><th scope="row">GC</th><td>{{.GC}}</td></tr></table>
<h2>Requests</h2><table>{{range .Rows}}
<tr><th scope="row">{{.Name}}</th><td>{{.Count}}</td></tr>{{end}}</table>
<h2>Request Load</h2>
<svg viewBox="0 0 230 100" preserveAspectRatio="none" role="img" aria-label="Requests in each five seconds of the last two minutes, at most {{.Peak}}"><polyline points="{{.Line}}"/></svg>
<p>Requests in each five seconds of the last two minutes, at most {{.Peak}}.</p>
</main></body></html>
`
