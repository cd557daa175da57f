//go:build unix

package browsertest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"
)

const (
	many          = 2000
	mostRows      = 60
	mostFilter    = 200 * time.Millisecond
	mostBusy      = 25 * time.Millisecond // of the main thread in a second
	mostFirstLoad = 120 << 10
)

// Not parallel: it measures.
func TestTwoThousandServicesStayQuickToUse(t *testing.T) {
	_, a := node(t)
	everyone := start(t, crowd, []string{"MBUS_URL=" + a.Bus}, "--services", fmt.Sprint(many), "--seed", "1", "--rate", "200")
	for until := time.Now().Add(patience); !strings.Contains(everyone.out.String(), `"ready":true`); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the crowd does not get ready")
		}
	}
	p := blank(t)
	got := p.wire(func() {
		p.visit(a.Web + "/services")
		p.until(isLive)
		time.Sleep(3 * time.Second) // not awaited: what the page fetches by itself
	})
	worker := eval[string](p, `new URL('worker.js', document.querySelector('link[rel=stylesheet]').href).href`)
	got[worker] = compressed(t, worker) // the browser fetches it outside of the page
	sum := 0
	for url, n := range got {
		t.Logf("%6d bytes of %s", n, url)
		sum += n
	}
	t.Logf("the first load took %d KiB over the wire, in %d answers", sum>>10, len(got))
	if sum > mostFirstLoad {
		t.Errorf("the first load takes %d bytes over the wire, over %d: %v", sum, mostFirstLoad, got)
	}
	p.picture("crowd-first")
	if words := eval[string](p, `document.querySelector('.line').getAttribute('aria-label')`); !strings.Contains(words, "2,0") {
		t.Errorf("without all rows the Line says %q", words)
	}
	p.axe("two thousand services, of which some are here")
	// The rest of the rows comes to whoever uses the page.
	eval[bool](p, `document.body.dispatchEvent(new PointerEvent('pointermove', {bubbles: true}))`)
	p.until(fmt.Sprintf(`Number(document.querySelector('[role=grid]').getAttribute('aria-rowcount')) > %d`, many))
	p.picture("crowd")
	if n := p.count(`[role=row]`); n > mostRows {
		t.Errorf("the page has %d rows, over %d", n, mostRows)
	}

	// Everything that a second of live numbers costs the page.
	p.until(`document.querySelector('[role=grid]').innerText.includes('ok')`)
	time.Sleep(2 * time.Second) // what the load began
	begun := p.busy()
	const watched = 5 * time.Second
	time.Sleep(watched) // not awaited: measured
	busy := (p.busy() - begun) / (watched / time.Second)
	t.Logf("the main thread worked %v in a second", busy)
	if busy > mostBusy {
		t.Errorf("the main thread works %v in a second, over %v", busy, mostBusy)
	}

	// The longest name, since a short one is a part of others.
	name := eval[string](p, `[...document.querySelectorAll('[role=row][data-i] a')].map(a => a.getAttribute('href').split('/').at(-1)).reduce((long, name) => name.length > long.length ? name : long)`)
	took := time.Duration(eval[float64](p, filterJS(name))*1000) * time.Microsecond
	t.Logf("the filter took %v", took)
	if took > mostFilter {
		t.Errorf("the filter takes %v, over %v", took, mostFilter)
	}
	eval[bool](p, filterJS("")+`.then(() => true)`)

	// Down at the end of the list and back.
	for _, at := range []string{"1e9", "0"} {
		eval[bool](p, `(document.querySelector('[role=grid]').scrollTop = `+at+`, true)`)
		p.until(`document.querySelectorAll('[role=row][data-i]').length > 5`)
		if n := p.count(`[role=row]`); n > mostRows {
			t.Errorf("scrolled to %s the page has %d rows, over %d", at, n, mostRows)
		}
	}
	if n := p.count(`.line a`); n > 240 {
		t.Errorf("the Line has %d ticks, over 240", n)
	}
	p.axe("two thousand services")

	for _, path := range []string{"/nodes", "/topology", "/stats", "/bus", "/gateway"} {
		p.visit(a.Web + path)
		p.settle()
		p.picture("crowd" + strings.ReplaceAll(path, "/", "-"))
		if n := p.count(`[role=row]`); n > 3*mostRows {
			t.Errorf("%s has %d rows", path, n)
		}
	}
}

// compressed is how many bytes a file takes over the wire, but for its header.
func compressed(t *testing.T, url string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept-Encoding", "gzip")
	w, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(w.Body)
	_ = w.Body.Close() // it was read to its end
	if err != nil || w.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v", url, w.StatusCode, err)
	}
	return len(body)
}

// filterJS types a filter and tells how many milliseconds pass until the rows
// are drawn.
func filterJS(q string) string {
	want := `document.querySelectorAll('[role=row][data-i]').length === 1`
	if q == "" {
		want = `document.querySelectorAll('[role=row][data-i]').length > 5`
	}
	return `new Promise(done => {
  const f = document.querySelector('#find'), begun = performance.now();
  f.value = ` + quote(q) + `;
  f.dispatchEvent(new Event('input', {bubbles: true}));
  const look = () => ` + want + ` ? requestAnimationFrame(() => done(performance.now() - begun)) : setTimeout(look, 1);
  look();
})`
}

// busy is how long the page's main thread has worked so far.
func (p *tab) busy() time.Duration {
	p.Helper()
	if _, err := chromedp.Call(p.ctx, performance.Enable, performance.EnableParams{}); err != nil {
		p.Fatal(err)
	}
	r, err := chromedp.Call(p.ctx, performance.GetMetrics, struct{}{})
	if err != nil {
		p.Fatal(err)
	}
	for _, m := range r.Metrics {
		if m.Name == "TaskDuration" {
			return time.Duration(m.Value * float64(time.Second))
		}
	}
	p.Fatal("the browser does not tell how long tasks take")
	return 0
}

// wire is what the page gets over the network while f runs, headers and all,
// without what a stream still brings: the bytes by address.
func (p *tab) wire(f func()) map[string]int {
	p.Helper()
	ctx, cancel := context.WithCancel(p.ctx)
	asked, finished := chromedp.Events(ctx, network.RequestWillBeSent), chromedp.Events(ctx, network.LoadingFinished)
	if _, err := chromedp.Call(p.ctx, network.Enable, network.EnableParams{}); err != nil {
		p.Fatal(err)
	}
	urls, sizes := map[network.RequestID]string{}, map[network.RequestID]int{}
	var reading sync.WaitGroup
	reading.Go(func() {
		for e, err := range asked {
			if err != nil {
				return
			}
			urls[e.RequestID] = e.Request.URL
		}
	})
	reading.Go(func() {
		for e, err := range finished {
			if err != nil {
				return
			}
			sizes[e.RequestID] = int(e.EncodedDataLength)
		}
	})
	f()
	p.settle()
	cancel()
	reading.Wait()
	got := map[string]int{}
	for id, n := range sizes {
		got[urls[id]] += n
	}
	return got
}
