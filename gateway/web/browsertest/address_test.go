//go:build unix

package browsertest

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Back and Forward bring the data of an address, not only its looks.
func TestBackBringsTheDataOfTheAddress(t *testing.T) {
	t.Parallel()
	p := open(t, demoWeb(t)+"/events?subject=user.created")
	p.says(".erow", "user-")
	eval[bool](p, `(() => { const a = document.createElement('a'); a.href = '/events?subject=orders.eu.paid'; document.querySelector('main').append(a); a.click(); a.remove(); return true })()`)
	p.says(".tail .bar b", "orders.eu.paid")
	p.says(".erow", `"order"`)
	eval[bool](p, `(history.back(), true)`)
	p.says(".tail .bar b", "user.created")
	p.says(".erow", "user-")

	p.visit(lab.demo.Web + "/stats")
	p.until(`document.querySelector('canvas')`)
	p.button("5 min")
	p.until(`location.search === '?range=5m' && document.querySelector('.seg [aria-pressed=true]').innerText === '5 min'`)
	eval[bool](p, `(history.back(), true)`)
	p.until(`location.search === '' && document.querySelector('.seg [aria-pressed=true]').innerText === '15 min'`)
}

// Whoever is quick is not shown one page under the name of another.
func TestThePageIsThatOfTheLastAddress(t *testing.T) {
	t.Parallel()
	p := open(t, demoWeb(t)+"/services")
	// The first answer comes last.
	eval[bool](p, `(() => { const get = fetch; window.fetch = (u, o) => String(u).startsWith('/nodes') ? new Promise(r => setTimeout(r, 400)).then(() => get(u, o)) : get(u, o); return true })()`)
	p.press("g", "n")
	time.Sleep(20 * time.Millisecond) // the other way round in time, not awaited
	p.press("g", "b")
	p.until(`location.pathname === '/bus' && document.title.startsWith('Bus')`)
	p.until(`performance.getEntriesByType('resource').filter(e => new URL(e.name).pathname === '/nodes').length > 0`)
	p.settle()
	if got := p.text(".crumb h1"); got != "Bus" {
		t.Errorf("the page is called %q", got)
	}
	p.says("main h2", "Connections")
	p.until(`document.querySelector('.rail [aria-current=page]').innerText.startsWith('Bus')`)
}

func TestAPageThatDoesNotComeIsNoOtherPage(t *testing.T) {
	t.Parallel()
	p := open(t, demoWeb(t)+"/services/"+greeter)
	p.says("main", "Say.Hello")
	eval[bool](p, `(() => { window.get = fetch; window.fetch = () => Promise.reject(new Error('cut')); return true })()`)
	p.press("g", "n")
	p.says("main [role=alert]", "This page could not be loaded")
	if eval[bool](p, `document.querySelector('main').innerText.includes('Say.Hello')`) {
		t.Error("under the name of Nodes stands another page")
	}
	p.axe("a page that did not come")
	eval[bool](p, `(window.fetch = window.get, true)`)
	p.button("Try again")
	p.until(`document.querySelectorAll('[role=row][data-i]').length > 3`)
}

// An absolute range shows the same to whoever opens it later.
func TestAnAbsoluteRangeIsCutOutOfTheHistory(t *testing.T) {
	t.Parallel()
	p := open(t, demoWeb(t)+"/stats", allowing("clipboard"))
	p.until(`document.querySelector('canvas')`)
	p.press("y")
	p.until(`/from=\d+&to=\d+/.test(location.search)`)
	p.says("main", "Whole range")
	before := p.path()
	p.press("y")
	p.settle()
	if p.path() != before {
		t.Errorf("a range that is absolute became %s", p.path())
	}

	now := time.Now().Unix()
	for _, path := range []string{"/stats", "/services/" + greeter + "/stats"} {
		p.visit(fmt.Sprintf("%s%s?range=5m&from=%d&to=%d", lab.demo.Web, path, now-1200, now-600))
		p.until(`location.search.includes('range=60m')`) // what reaches back to it
		p.says("main", "Whole range")
		p.until(`document.querySelectorAll('.chart .nodata').length > 1`) // the demo is younger
	}
}

// The link of a call has all of its form.
func TestTheLinkOfACallHasItsTimeout(t *testing.T) {
	t.Parallel()
	p := open(t, demoWeb(t)+"/query/"+greeter+"/Say.Hello")
	eval[bool](p, `(() => { const s = document.querySelector('#q-timeout'); s.value = '15000'; s.dispatchEvent(new Event('change', {bubbles: true})); return true })()`)
	p.fill("#f-name", "Ada")
	p.until(`location.search.includes('req=') && location.search.includes('timeout=15000')`)
	q := p.beside(lab.demo.Web + p.path())
	q.until(`document.querySelector('#q-timeout').value === '15000' && document.querySelector('#f-name').value === 'Ada'`)
}

func TestEveryStepAroundAFocusIsAnAddress(t *testing.T) {
	t.Parallel()
	p := open(t, demoWeb(t)+"/topology?focus="+greeter)
	p.until(`document.querySelector('main svg .gn')`)
	more := `[...document.querySelectorAll('button')].find(b => b.getAttribute('aria-label') === 'One more')`
	for range 6 {
		eval[bool](p, more+`.click() ?? true`)
		p.settle()
	}
	if disabled := eval[bool](p, more+`.disabled`); !disabled {
		t.Error("the depth has no end")
	}
	p.until(`document.querySelector('main svg .gn')`)
	p.visit(lab.demo.Web + p.path()) // as somebody else opens it
	p.until(`document.querySelector('main svg .gn')`)
	p.button("Show all")
	p.until(`document.querySelectorAll('main svg .gn').length > 12`)
}

// The direction of the graph follows the width of the window, until one chooses.
func TestTheGraphFollowsTheWidthOfTheWindow(t *testing.T) {
	t.Parallel()
	p := open(t, demoWeb(t)+"/topology")
	direction := `document.querySelector('[aria-label=Direction] [aria-pressed=true]')?.innerText`
	p.until(direction + ` === '→'`)
	p.press("p") // nothing else draws the page anew
	p.says(".pill", "paused")
	p.size(420, 800, 1)
	p.until(direction + ` === '↓'`)
	p.size(1280, 800, 1)
	p.until(direction + ` === '→'`)
}

// Every page keeps what its address says when it is opened anew.
func TestTheAddressOfEveryListIsItsState(t *testing.T) {
	t.Parallel()
	demoWeb(t)
	for _, c := range []struct{ path, shows string }{
		{"/services?sort=rps&dir=desc&group=prefix", `document.querySelector('[aria-label=Group] [aria-pressed=true]').innerText === 'By prefix'`},
		{"/services?sort=rps&dir=desc", `document.querySelector('[aria-sort=descending]').innerText.startsWith('Req/s')`},
		{"/nodes?view=tiles&q=lab", `document.querySelectorAll('.tile').length === 1`},
		{"/nodes?service=" + greeter, `document.querySelectorAll('[role=row][data-i]').length === 1`},
		{"/topology?view=table&focus=" + greeter, `document.querySelector('main table') && document.querySelector('#focus').value === '` + greeter + `'`},
		{"/gateway?method=POST&path=" + url.QueryEscape("/greeter/say/hello"), `document.querySelector('main form [role=status]').innerText.includes('Say.Hello')`},
		{"/bus?q=shop", `document.querySelectorAll('[role=row][data-i]').length === 1`},
		{"/stats?range=60m", `document.querySelector('.seg [aria-pressed=true]').innerText === '60 min'`},
		{"/query/" + greeter + "/Say.Hello?as=json", `document.querySelector('#q-json')`},
	} {
		p := open(t, lab.demo.Web+c.path)
		p.until(c.shows)
	}
}

func TestADialogGivesTheFocusBack(t *testing.T) {
	t.Parallel()
	p := open(t, demoWeb(t)+"/services")
	p.press("j")
	p.until(focused + ` === '1'`)
	p.control("k")
	p.until(`document.querySelector('dialog[open] [role=combobox]') === document.activeElement`)
	p.write("theme")
	p.do(chromedp.KeyEvent(kb.Enter))
	p.until(`!document.querySelector('dialog')`)
	p.until(focused + ` === '1'`)
	p.press("?")
	p.until(`document.querySelector('dialog[open]')`)
	p.press(kb.Escape)
	p.until(focused + ` === '1'`)
}
