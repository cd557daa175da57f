//go:build unix

package browsertest

import (
	"fmt"
	"os"
	"testing"
)

// A sheet is a page that is looked at, and what it must show before.
type sheet struct {
	name, path string
	// ready is an expression that is true once the page shows what it is for.
	ready string
	says  string // what the console may say
}

func sheets() []sheet {
	row := `document.querySelectorAll('[role=row][data-i]').length > 3`
	return []sheet{
		{name: "services", path: "/services", ready: row},
		{name: "services-inspector", path: "/services?sel=" + labName, ready: row + ` && document.querySelector('.inspect')?.innerText.includes('Lab.')`},
		{name: "service", path: "/services/" + labName, ready: `document.body.innerText.includes('Lab.Sleep')`},
		{name: "service-nodes", path: "/services/" + labName + "/nodes", ready: `document.querySelector('[role=row][data-i]')`},
		{name: "service-stats", path: "/services/" + labName + "/stats", ready: `document.querySelector('canvas, svg')`},
		{name: "service-raw", path: "/services/" + labName + "/raw", ready: `document.querySelector('pre')`},
		{name: "nodes", path: "/nodes", ready: row},
		{name: "query", path: "/query/" + greeter + "/Say.Hello", ready: `document.querySelector('[data-test=send]')`},
		{name: "query-empty", path: "/query", ready: `document.body.innerText.includes('Which service?')`},
		{name: "topology", path: "/topology?focus=" + greeter, ready: `document.querySelector('main svg, main table')`},
		{name: "stats", path: "/stats", ready: `document.querySelector('canvas, svg')`},
		{name: "events", path: "/events?subject=user.created", ready: `document.body.innerText.includes('user-')`},
		{name: "terminal", path: "/terminal", ready: `document.querySelector('input,textarea')`},
		{name: "webapps", path: "/webapps", ready: `document.body.innerText.includes('greeter')`},
		{name: "gateway", path: "/gateway", ready: `document.querySelector('main table, main [role=grid]')`},
		{name: "bus", path: "/bus", ready: `document.body.innerText.includes('shop')`},
		{name: "missing", path: "/nowhere", ready: `document.body.innerText.includes('Ways on')`, says: `status of 404`},
	}
}

// The widths of the pictures in CSS pixels, and what a pixel is.
func views() []struct {
	name          string
	width, height int64
	scale         float64
} {
	return []struct {
		name          string
		width, height int64
		scale         float64
	}{{"1280", 1280, 800, 1}, {"1120", 1120, 800, 1}, {"900", 900, 800, 1}, {"420", 420, 800, 1}, {"320", 320, 640, 1}, {"zoom200", 640, 400, 2}}
}

// TestAPictureOfEveryPage keeps one of every page in both themes and all widths,
// and finds what is ugly as far as a program can. Without MBUS_LONG the dark theme
// has two widths.
func TestAPictureOfEveryPage(t *testing.T) {
	url := settledWeb(t)
	all := os.Getenv("MBUS_LONG") != ""
	for _, s := range sheets() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			var options []func(*tab)
			if s.says != "" {
				options = append(options, allowing(s.says))
			}
			p := open(t, url+s.path, options...)
			p.until(s.ready)
			for _, theme := range []string{"light", "dark"} {
				p.theme(theme)
				for _, v := range views() {
					if theme == "dark" && !all && v.name != "1280" && v.name != "320" {
						continue // a theme moves nothing
					}
					p.size(v.width, v.height, v.scale)
					p.settle()
					what := fmt.Sprintf("%s-%s-%s", s.name, theme, v.name)
					p.picture(what)
					for _, flaw := range eval[[]string](p, flaws) {
						p.Errorf("%s: %s", what, flaw)
					}
					// Each theme in one layout: a run takes as long as five pictures.
					if v.name == map[string]string{"light": "1280", "dark": "320"}[theme] {
						p.axe(what)
					}
				}
			}
		})
	}
}

// flaws finds what sticks out of the page, what is cut off without a sign of it,
// and controls that lie on top of each other.
const flaws = `(() => {
  const found = [], root = document.documentElement;
  const name = e => e.tagName.toLowerCase() + (e.className && typeof e.className === 'string' ? '.' + e.className.trim().split(/\s+/).join('.') : '') + ' "' + (e.innerText ?? '').trim().slice(0, 40) + '"';
  if (innerWidth > 600 && root.scrollHeight > root.clientHeight + 1) found.push('the page scrolls beside what scrolls in it: ' + root.scrollHeight + ' > ' + root.clientHeight);
  if (root.scrollWidth > root.clientWidth + 1) found.push('the page scrolls sideways: ' + root.scrollWidth + ' > ' + root.clientWidth);
  const main = document.querySelector('#main');
  if (main.scrollWidth > main.clientWidth + 1) found.push('the content scrolls sideways: ' + main.scrollWidth + ' > ' + main.clientWidth);
  const scrolls = e => { for (let p = e.parentElement; p; p = p.parentElement) { const o = getComputedStyle(p); if (/auto|scroll/.test(o.overflowX)) return true; } return false; };
  for (const e of document.querySelectorAll('main *, header *, nav *')) {
    const s = getComputedStyle(e), r = e.getBoundingClientRect();
    if (!r.width || !r.height || s.visibility === 'hidden' || e.closest('.vh,[hidden],svg,.uplot')) continue;
    if (r.right > innerWidth + 1 && !scrolls(e) && s.position !== 'fixed') found.push('sticks out to the right: ' + name(e));
    const words = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (words && /hidden|clip/.test(s.overflowX) && e.scrollWidth > e.clientWidth + 1 && s.textOverflow !== 'ellipsis') found.push('cut off: ' + name(e));
    if (words && /hidden|clip/.test(s.overflowY) && e.scrollHeight > e.clientHeight + 2 && e.clientHeight) found.push('cut off below: ' + name(e));
  }
  const controls = [...document.querySelectorAll('button,a[href],input,select,textarea')].filter(e => e.checkVisibility({visibilityProperty: true}) && e.offsetParent && !e.closest('.vh,.skip,svg,.line'));
  const sheet = e => { for (let p = e; p; p = p.parentElement) if (getComputedStyle(p).position === 'fixed') return p; return null; };
  for (let i = 0; i < controls.length && i < 300; i++) {
    const a = controls[i].getBoundingClientRect();
    for (let j = i + 1; j < controls.length && j < 300; j++) {
      if (controls[i].contains(controls[j]) || controls[j].contains(controls[i])) continue;
      const b = controls[j].getBoundingClientRect();
      const w = Math.min(a.right, b.right) - Math.max(a.left, b.left), h = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (w > 3 && h > 3 && sheet(controls[i]) === sheet(controls[j]) && !controls[i].closest('[role=row]') && !controls[j].closest('[role=row]')) found.push('one on another: ' + name(controls[i]) + ' and ' + name(controls[j]));
    }
  }
  return [...new Set(found)].slice(0, 8);
})()`
