//go:build unix

package browsertest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// hover moves the pointer over the first element that a selector finds.
func (p *tab) hover(selector string) {
	p.Helper()
	at := eval[[]float64](p, `(() => { const b = document.querySelector(`+quote(selector)+`).getBoundingClientRect(); return [b.left + b.width / 2, b.top + b.height / 2] })()`)
	p.pointer(at[0], at[1])
}

func (p *tab) pointer(x, y float64) {
	p.Helper()
	if _, err := chromedp.Call(p.ctx, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: input.DispatchMouseEventTypeMouseMoved, X: x, Y: y}); err != nil {
		p.Fatal(err)
	}
}

const names = `[...document.querySelectorAll('[role=row][data-i]')].sort((a, b) => a.dataset.i - b.dataset.i).map(r => r.querySelector('a').getAttribute('href').split('/').at(-1)).join(' ')`

// Whoever aims at a row hits it, however the numbers change meanwhile.
func TestNoRowMovesUnderThePointer(t *testing.T) {
	t.Parallel()
	_, a := node(t)
	for i := range 3 {
		service(t, a, fmt.Sprintf("go.micro.srv.n%d", i))
	}
	victim := service(t, a, "go.micro.srv.victim")
	for path, ready := range map[string]string{"/services": row("go.micro.srv.victim"), "/nodes": `document.querySelector('[role=row][data-i="3"]')`} {
		p := open(t, a.Web+path)
		p.until(isLive + ` && ` + ready + ` && document.body.innerText.includes('n2') && !document.querySelector('main').innerText.includes('starting')`)
		p.hover("[role=row][data-i='2']")
		before := eval[string](p, names)
		if path == "/services" {
			victim.kill()
			p.until(row("go.micro.srv.victim") + `?.innerText.includes('down')`)
		} else {
			service(t, a, "go.micro.srv.a-late-one") // stands first by its name
			p.until(`document.body.innerText.includes('late-one')`)
		}
		p.settle()
		if after := eval[string](p, names); !strings.HasPrefix(after, before) {
			t.Errorf("under the pointer the rows went from\n%s to\n%s", before, after)
		}
		p.pointer(5, 5)
		p.until(`!(` + names + `).startsWith(` + quote(before) + `)`)
	}
}

// The focus stays with its row when the rows change places, and what a key does
// is done to that row.
func TestTheFocusStaysWithItsRow(t *testing.T) {
	t.Parallel()
	_, a := node(t)
	service(t, a, "go.micro.srv.steady")
	victim := service(t, a, "go.micro.srv.victim")
	p := open(t, a.Web+"/services")
	p.until(isLive + ` && ` + row("go.micro.srv.steady") + ` && ` + row("go.micro.srv.victim") + ` && !document.querySelector('main').innerText.includes('starting')`)
	at := eval[int](p, `Number(`+row("go.micro.srv.steady")+`.dataset.i)`)
	for range at {
		p.press("j")
	}
	p.until(`document.activeElement.innerText.includes('steady')`)
	victim.kill()
	p.until(row("go.micro.srv.victim") + `?.dataset.i === '0'`)
	p.settle()
	if got := p.text("[role=row]:focus"); !strings.Contains(got, "steady") {
		t.Errorf("the focus has gone to %q", got)
	}
	p.press(kb.Enter)
	p.until(`location.search.includes('sel=')`)
	if got := p.path(); !strings.Contains(got, "steady") {
		t.Errorf("Enter chose %s", got)
	}
	p.press("k")
	p.until(`Number(` + focused + `) === ` + fmt.Sprint(at))
}

// A row that is far away keeps the focus: the next key goes on from there.
func TestTheFocusStaysWhenOneScrollsAway(t *testing.T) {
	t.Parallel()
	_, a := node(t)
	start(t, crowd, []string{"MBUS_URL=" + a.Bus}, "--services", "200", "--seed", "1", "--rate", "5")
	p := open(t, a.Web+"/services")
	p.until(`document.querySelector('[role=grid]')?.getAttribute('aria-rowcount') > 200`)
	p.until(`!document.querySelector('main').innerText.includes('starting')`)
	p.press("j", "j")
	p.until(focused + ` === '2'`)
	name := p.text("[role=row]:focus a")
	eval[bool](p, `(document.querySelector('[role=grid]').scrollTop = 1e9, true)`)
	p.until(`document.querySelector('[data-i="199"]')`)
	p.settle()
	if got := p.text("[role=row]:focus a"); got != name {
		t.Errorf("the focus has gone from %q to %q", name, got)
	}
	at := eval[int](p, `Number(`+focused+`)`)
	p.press("j")
	p.until(fmt.Sprintf(`%s === '%d' && document.querySelector('[role=grid]').scrollTop < 500`, focused, at+1))
}

// On a phone each row is a card: nothing of it is left out, and nothing sideways.
func TestOnAPhoneARowIsACard(t *testing.T) {
	t.Parallel()
	p := open(t, settledWeb(t)+"/services")
	p.size(360, 740, 1)
	p.until(row(labName) + `?.innerText.includes('req/s')`)
	text := eval[string](p, row(labName)+`.innerText`)
	for _, want := range []string{"lab", "degraded", "1 node", "% errors", "p99"} {
		if !strings.Contains(text, want) {
			t.Errorf("the card %q does not say %q", text, want)
		}
	}
	eval[bool](p, `(() => { const s = document.querySelector('.card-head select'); s.value = 'rps'; s.dispatchEvent(new Event('change', {bubbles: true})); return true })()`)
	p.until(`location.search.includes('sort=rps')`)
	p.press("j")
	p.until(focused)
	p.axe("cards")
	for _, path := range []string{"/nodes", "/bus", "/gateway", "/services?group=prefix", "/services/" + labName + "/nodes"} {
		p.visit(lab.demo.Web + path)
		p.until(`document.querySelector('[role=row][data-i] .card-b')`)
		p.settle()
		for _, flaw := range eval[[]string](p, flaws) {
			t.Errorf("%s: %s", path, flaw)
		}
		if eval[bool](p, `[...document.querySelectorAll('.grid')].some(g => g.scrollWidth > g.clientWidth)`) {
			t.Errorf("%s: the list scrolls sideways", path)
		}
	}
}
