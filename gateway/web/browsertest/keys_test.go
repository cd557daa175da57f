//go:build unix

package browsertest

import (
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

const focused = `document.activeElement.getAttribute('data-i')`

func TestTheKeyboardGoesThroughTheList(t *testing.T) {
	t.Parallel()
	p := open(t, settledWeb(t)+"/services")
	p.until(`document.querySelectorAll('[role=row][data-i]').length > 5`)
	p.press("j", "j")
	p.until(focused + ` === '2'`)
	p.press("k")
	p.until(focused + ` === '1'`)
	name := eval[string](p, `document.activeElement.querySelector('a').getAttribute('href').split('/').at(-1)`)
	p.press(kb.Enter)
	p.until(`location.search.includes('sel=')`)
	p.says(".inspect h2", name)
	p.press(kb.Escape)
	p.until(`!location.search.includes('sel=')`)
	p.press(kb.End)
	p.until(`document.activeElement.getAttribute('aria-rowindex') === document.querySelector('[role=grid]').getAttribute('aria-rowcount')`)
	p.press(kb.Home, "o")
	p.until(`location.pathname.startsWith('/services/')`)
	p.press("g", "n")
	p.until(`location.pathname === '/nodes' && document.title.startsWith('Nodes')`)
	p.press("/")
	p.until(`document.activeElement.id === 'find'`)
	p.press("j") // a letter, in a field
	p.until(`document.activeElement.value === 'j'`)
}

func TestTheKeyboardGoesAnywhere(t *testing.T) {
	t.Parallel()
	p := open(t, demoWeb(t)+"/services")
	p.control("k")
	p.until(`document.querySelector('dialog[open] [role=combobox]') === document.activeElement`)
	p.write("sayhel")
	p.says("dialog [role=option]", "Say.Hello")
	p.axe("the palette")
	p.press(kb.Enter)
	p.until(`location.pathname.startsWith('/query/') && location.pathname.endsWith('/Say.Hello')`)
	if n := p.count("dialog[open]"); n != 0 {
		t.Error("the palette stays open")
	}
}

// Everyone who cannot press two keys at once, or who speaks to the machine, can
// switch the single keys off.
func TestSingleKeysCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	p := open(t, demoWeb(t)+"/services")
	p.press("?")
	p.until(`document.querySelector('dialog[open]')`)
	help := p.text("dialog[open]")
	for _, key := range []string{"next row", "Ctrl", "filter", "light, dark"} {
		if !strings.Contains(help, key) {
			t.Errorf("the help does not name %q", key)
		}
	}
	p.axe("the help")
	p.picture("help")
	p.click("dialog[open] input[type=checkbox]")
	p.press(kb.Escape)
	p.until(`!document.querySelector('dialog[open]')`)
	p.press("?", "p", "t")
	p.settle()
	if p.count("dialog[open]") != 0 || p.count(".pill.paused") != 0 {
		t.Error("a key acts that is switched off")
	}
	q := p.beside(lab.demo.Web + "/nodes")
	q.press("?")
	q.settle()
	if q.count("dialog[open]") != 0 {
		t.Error("another page has forgotten that single keys are off")
	}
	q.control("k")
	q.until(`document.querySelector('dialog[open]')`)
}

func TestTheThemeComesWithThePage(t *testing.T) {
	t.Parallel()
	p := open(t, demoWeb(t)+"/services")
	p.press("t")
	p.until(`document.documentElement.dataset.theme !== 'auto'`)
	theme := eval[string](p, `document.documentElement.dataset.theme`)
	// The server draws it, so that nothing flashes.
	if got := eval[string](p, `fetch('/nodes', {headers: {Accept: 'text/html'}}).then(r => r.text()).then(t => /data-theme="(\w+)"/.exec(t)[1])`); got != theme {
		t.Errorf("the next page comes in %q, want %q", got, theme)
	}
}

func TestTheOtherKeysActOnTheList(t *testing.T) {
	t.Parallel()
	p := open(t, settledWeb(t)+"/services")
	height := `document.querySelector('[role=row][data-i]').offsetHeight`
	before := eval[int](p, height)
	p.press("d")
	p.until(height + ` !== ` + strconv.Itoa(before))
	p.press("j", ".")
	p.until(`document.activeElement.closest('.inspect')`)
	p.press(kb.Escape)
	p.until(`!document.querySelector('.inspect')`)
	p.press("y")
	p.says(".toast", "no time range")
	p.visit(lab.demo.Web + "/nodes")
	p.press("v")
	p.until(`document.querySelector('.tiles') && location.search.includes('view=tiles')`)
	p.press("t")
	p.until(`document.documentElement.dataset.theme === 'light'`)
}

func TestTheMenuOfViewsCloses(t *testing.T) {
	t.Parallel()
	p := open(t, demoWeb(t)+"/services?q=lab")
	for range 2 {
		p.click(".drop summary")
		p.until(`document.querySelector('.drop').open`)
		p.press(kb.Escape)
		p.until(`!document.querySelector('.drop').open && document.activeElement.matches('.drop summary')`)
	}
	if p.path() != "/services?q=lab" {
		t.Errorf("closing it led to %s", p.path())
	}
	p.click(".drop summary")
	p.click(".find input")
	p.until(`!document.querySelector('.drop').open`)
}
