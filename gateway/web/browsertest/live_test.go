//go:build unix

package browsertest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// row is the row of a service in the grid, as an expression.
func row(name string) string {
	return fmt.Sprintf(`[...document.querySelectorAll('[role=row][data-i]')].find(r => r.querySelector('a')?.getAttribute('href') === '/services/' + %s)`, quote(name))
}

const (
	isLive  = `document.querySelector('.pill.live')`
	marked  = `window.kept === 'not reloaded'`
	markJS  = `(window.kept = 'not reloaded', true)`
	fastest = time.Second
)

func TestAServiceShowsWithoutAReloadWhenItStartsAndWithinASecondWhenItIsKilled(t *testing.T) {
	t.Parallel()
	_, a := node(t)
	p := open(t, a.Web+"/services")
	p.until(isLive)
	eval[bool](p, markJS)
	p.says("main", "No services yet") // but for the parts of the node

	victim := service(t, a, "go.micro.srv.victim")
	p.until(row("go.micro.srv.victim") + `?.innerText.includes('ok')`)
	service(t, a, "go.micro.srv.bystander")
	p.until(row("go.micro.srv.bystander"))

	// The clock of the page is that of this machine.
	eval[bool](p, `(() => { const see = () => { if (`+row("go.micro.srv.victim")+`?.innerText.includes('down')) window.down = Date.now(); else requestAnimationFrame(see) }; see(); return true })()`)
	killed := time.Now()
	victim.kill()
	p.until(`window.down`)
	took := time.Duration(eval[int64](p, `window.down`)-killed.UnixMilli()) * time.Millisecond
	t.Logf("down after %v", took)
	if took > fastest {
		t.Errorf("that the service is down showed after %v, over %v", took, fastest)
	}
	if first := eval[string](p, `document.querySelector('[role=row][data-i="0"]').innerText`); !strings.Contains(first, "victim") {
		t.Errorf("the first row is %q, want the worst one", first)
	}
	p.until(`document.querySelector('.line a').classList.contains('down')`)
	if !eval[bool](p, marked) {
		t.Error("the page was loaded again")
	}
}

func TestTheDashboardSaysThatTheBusIsGoneAndRecovers(t *testing.T) {
	t.Parallel()
	broker, a := node(t)
	_, w := serve(t, "web", "--url", a.Bus)
	service(t, a, "go.micro.srv.steady")
	p := open(t, w.Web+"/services")
	p.until(isLive + ` && ` + row("go.micro.srv.steady"))
	eval[bool](p, markJS)

	broker.kill()
	p.says(".pill", "bus disconnected")
	p.says("[role=alert]", "The bus is disconnected")
	p.until(`document.querySelector('[role=grid].old')`)
	p.until(`/\d+ s old/.test(document.querySelector('[role=alert]').innerText)`) // with its age
	if !eval[bool](p, `Boolean(`+row("go.micro.srv.steady")+`)`) {
		t.Error("what was known is gone")
	}
	p.picture("bus-gone")
	p.axe("without the bus")

	serve(t, "node", "--ephemeral", "--listen", strings.TrimPrefix(a.Bus, "nats://"))
	p.until(isLive + ` && !document.querySelector('[role=grid].old') && !document.querySelector('[role=alert]')`)
	p.until(row("go.micro.srv.steady") + `?.innerText.includes('ok')`)
	if !eval[bool](p, marked) {
		t.Error("the page was loaded again")
	}
}

func TestTheDashboardSaysThatMbusIsGoneAndRecovers(t *testing.T) {
	t.Parallel()
	_, a := node(t)
	service(t, a, "go.micro.srv.steady")
	first, w := serve(t, "web", "--url", a.Bus)
	p := open(t, w.Web+"/services", allowing(`ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE`))
	p.until(isLive + ` && ` + row("go.micro.srv.steady"))

	first.kill()
	p.says(".pill", "reconnecting")
	p.says("[role=alert]", "mbus is gone")
	p.until(`document.querySelector('[role=grid].old')`)

	serve(t, "web", "--url", a.Bus, "--web-address", strings.TrimPrefix(w.Web, "http://"))
	p.until(isLive + ` && !document.querySelector('[role=grid].old') && !document.querySelector('[role=alert]')`)
	p.until(row("go.micro.srv.steady") + `?.innerText.includes('ok')`)
}

// A browser opens six connections to a host: with a stream for each tab the
// seventh would not even load.
func TestEightTabsStayLive(t *testing.T) {
	t.Parallel()
	_, a := node(t)
	tabs := []*tab{open(t, a.Web+"/services")}
	for range 7 {
		tabs = append(tabs, tabs[0].beside(a.Web+"/services"))
	}
	for _, p := range tabs {
		p.until(isLive)
	}
	service(t, a, "go.micro.srv.late")
	for i, p := range tabs {
		took := p.until(row("go.micro.srv.late"))
		t.Logf("tab %d: after another %v", i+1, took)
	}
}

func TestAPauseHoldsTheViewAndLosesNothing(t *testing.T) {
	t.Parallel()
	_, a := node(t)
	p := open(t, a.Web+"/services")
	p.until(isLive)
	p.press("p")
	p.says(".pill", "paused at")
	service(t, a, "go.micro.srv.late")
	p.until(`/\+\d+ waiting/.test(document.querySelector('.pill').innerText)`)
	if eval[bool](p, `Boolean(`+row("go.micro.srv.late")+`)`) {
		t.Error("a view that is paused has changed")
	}
	p.until(`Number(/\+(\d+) waiting/.exec(document.querySelector('.pill').innerText)?.[1]) >= 3`)
	p.press("p")
	p.until(row("go.micro.srv.late"))
}

// The same address shows the same in another tab.
func TestTheAddressIsTheState(t *testing.T) {
	t.Parallel()
	p := open(t, demoWeb(t)+"/services")
	p.click("#find")
	p.do(chromedp.KeyEvent("lab is:degraded"))
	p.until(`location.search.includes('q=')`)
	p.until(row(labName))
	eval[bool](p, row(labName)+`.click() ?? true`)
	p.until(`location.search.includes('sel=` + labName + `')`)
	q := p.beside(lab.demo.Web + p.path())
	q.until(`document.querySelector('#find').value === 'lab is:degraded' && document.querySelector('.inspect')?.innerText.includes('` + labName + `')`)
	if n := q.count(`[role=row][data-i]`); n != 1 {
		t.Errorf("the filter finds %d rows, want 1", n)
	}
}
