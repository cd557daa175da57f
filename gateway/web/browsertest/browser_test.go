//go:build unix

package browsertest

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// A browser is one Chromium, for all tests of the package. Each tab has cookies
// and storage of its own.
type browser struct {
	ctx    context.Context
	cancel []context.CancelFunc
}

func openBrowser(path, profile string) (*browser, error) {
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(profile),
		chromedp.DisableGPU, chromedp.WindowSize(1280, 800), chromedp.Flag("hide-scrollbars", false),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("force-color-profile", "srgb"))
	if os.Geteuid() == 0 {
		opts = append(opts, chromedp.NoSandbox) // root has no other choice
	}
	b := &browser{}
	actx, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, leave := chromedp.NewContext(actx)
	b.ctx, b.cancel = ctx, []context.CancelFunc{leave, stop}
	if err := chromedp.Do(ctx); err != nil {
		b.close()
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return b, nil
}

func (b *browser) close() {
	for _, f := range b.cancel {
		f()
	}
}

// A tab shows one page. Its console must stay silent.
type tab struct {
	*testing.T
	ctx   context.Context
	mu    sync.Mutex
	said  []string
	allow []*regexp.Regexp
}

// open opens a tab on a page and waits until the page is there.
func open(t *testing.T, url string, options ...func(*tab)) *tab {
	t.Helper()
	p := blank(t, options...)
	p.visit(url)
	return p
}

// blank opens a tab without a page.
func blank(t *testing.T, options ...func(*tab)) *tab {
	t.Helper()
	need(t)
	return newTab(t, lab.browser.ctx, append([]chromedp.ContextOption{}, chromedp.WithNewBrowserContext()), options...)
}

// beside opens another tab of the same person: with the same cookies and workers.
func (p *tab) beside(url string) *tab {
	p.Helper()
	q := newTab(p.T, p.ctx, nil)
	q.visit(url)
	return q
}

func newTab(t *testing.T, parent context.Context, how []chromedp.ContextOption, options ...func(*tab)) *tab {
	t.Helper()
	ctx, leave := chromedp.NewContext(parent, how...)
	ctx, stop := context.WithTimeout(ctx, 5*time.Minute)
	p := &tab{T: t, ctx: ctx}
	for _, f := range options {
		f(p)
	}
	console := chromedp.Console(ctx)
	var reading sync.WaitGroup
	reading.Go(func() {
		for m, err := range console {
			if err != nil {
				return
			}
			p.hear(m)
		}
	})
	t.Cleanup(func() {
		if f := flag.Lookup("test.artifacts"); t.Failed() && f != nil && f.Value.String() == "true" {
			p.picture("failed")
		}
		stop()
		leave()
		reading.Wait()
		for _, s := range p.said {
			t.Errorf("the console says: %s", s)
		}
	})
	p.size(1280, 800, 1)
	return p
}

// allowing lets the console say what the expression matches.
func allowing(expr string) func(*tab) {
	return func(p *tab) { p.allow = append(p.allow, regexp.MustCompile(expr)) }
}

func (p *tab) hear(m chromedp.ConsoleMessage) {
	if m.Type == chromedp.ConsoleDebug {
		return // what Chromium says of itself
	}
	for _, e := range p.allow {
		if e.MatchString(m.Text) {
			return
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said = append(p.said, fmt.Sprintf("%s: %s (%s:%d)", m.Type, m.Text, m.URL, m.Line+1))
}

// visit goes to a page of the dashboard and waits until its code has drawn it.
func (p *tab) visit(url string) {
	p.Helper()
	p.do(chromedp.Navigate(url))
	p.until(`document.documentElement.dataset.ready === 'yes'`)
}

func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.Fatal(err)
	}
}

// eval is the value of a JavaScript expression, which may be a promise.
func eval[T any](p *tab, js string) T {
	p.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](js, chromedp.EvalAwaitPromise))
	if err != nil {
		p.Fatalf("%s: %v", js, err)
	}
	return v
}

// until waits until an expression is true.
func (p *tab) until(js string) time.Duration {
	p.Helper()
	begun := time.Now()
	for {
		ok, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](`Boolean(`+js+`)`))
		switch took := time.Since(begun); {
		case err == nil && ok:
			return took
		case took > patience:
			p.Fatalf("after %v it is not true that %s; the page says:\n%s", patience, js, last(p.text("main")))
		}
		time.Sleep(15 * time.Millisecond)
	}
}

// says waits until an element holds a text.
func (p *tab) says(selector, text string) {
	p.Helper()
	p.until(fmt.Sprintf(`[...document.querySelectorAll(%s)].some(e => e.innerText.includes(%s))`, quote(selector), quote(text)))
}

// text is that of the first element, "" without one.
func (p *tab) text(selector string) string {
	p.Helper()
	return eval[string](p, `document.querySelector(`+quote(selector)+`)?.innerText ?? ''`)
}

func (p *tab) count(selector string) int {
	p.Helper()
	return eval[int](p, `document.querySelectorAll(`+quote(selector)+`).length`)
}

// path is where the tab is, with the query.
func (p *tab) path() string {
	p.Helper()
	return eval[string](p, `location.pathname + location.search`)
}

// press presses keys one after another as a keyboard does: what a page prevents
// is not typed.
func (p *tab) press(keys ...string) {
	p.Helper()
	for _, k := range keys {
		if len(k) != 1 || k < " " || k > "~" {
			p.do(chromedp.KeyEvent(k))
			continue
		}
		for _, kind := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeKeyDown, input.DispatchKeyEventTypeKeyUp} {
			key := input.DispatchKeyEventParams{Type: kind, Key: k}
			if kind == input.DispatchKeyEventTypeKeyDown {
				key.Text = k
			}
			if _, err := chromedp.Call(p.ctx, input.DispatchKeyEvent, key); err != nil {
				p.Fatal(err)
			}
		}
	}
}

// write types a text into what has the focus.
func (p *tab) write(text string) {
	p.Helper()
	for _, r := range text {
		p.press(string(r))
	}
}

// control presses a key with Ctrl.
func (p *tab) control(key string) {
	p.Helper()
	p.do(chromedp.KeyEvent(key, chromedp.KeyModifiers(kb.ModifierCtrl)))
}

// click clicks the first element in sight that a selector finds.
func (p *tab) click(selector string) {
	p.Helper()
	p.until(`document.querySelector(` + quote(selector) + `)`)
	p.do(chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// button clicks the button, link or summary with a text.
func (p *tab) button(text string) {
	p.Helper()
	find := fmt.Sprintf(`[...document.querySelectorAll('button,a,summary')].find(e => e.innerText.trim().startsWith(%s) && e.offsetParent)`, quote(text))
	p.until(find)
	eval[bool](p, find+`.click() ?? true`)
}

// fill writes into a field as a person does.
func (p *tab) fill(selector, text string) {
	p.Helper()
	p.until(`document.querySelector(` + quote(selector) + `)`)
	eval[bool](p, fmt.Sprintf(`(() => { const e = document.querySelector(%s); e.focus(); e.select(); return true })()`, quote(selector)))
	p.press(kb.Backspace)
	p.do(chromedp.KeyEvent(text))
}

// size makes the window so many CSS pixels wide, at a scale.
func (p *tab) size(width, height int64, scale float64) {
	p.Helper()
	p.do(chromedp.EmulateViewport(width, height, chromedp.EmulateScale(scale)))
}

// theme is what the system prefers.
func (p *tab) theme(scheme string) {
	p.Helper()
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}}); err != nil {
		p.Fatal(err)
	}
}

// settle waits until what has changed is drawn.
func (p *tab) settle() {
	p.Helper()
	eval[bool](p, `document.fonts.ready.then(() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r(true)))))`)
}

// picture keeps what the tab shows, as NAME.png.
func (p *tab) picture(name string) []byte {
	p.Helper()
	r, err := chromedp.Call(p.ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{OptimizeForSpeed: new(true)})
	if err != nil {
		p.Logf("no picture: %v", err)
		return nil
	}
	if err := os.WriteFile(filepath.Join(p.ArtifactDir(), name+".png"), r.Data, 0o600); err != nil {
		p.Error(err)
	}
	return r.Data
}

// axe fails the test for what people with other means than a screen and a mouse
// stumble over.
func (p *tab) axe(what string) {
	p.Helper()
	for _, v := range p.violations() {
		p.Errorf("%s: axe: %s", what, v)
	}
}

func (p *tab) violations() []string {
	p.Helper()
	if eval[bool](p, `typeof axe === 'undefined'`) {
		code, err := os.ReadFile("../../../.ci/validators/node_modules/axe-core/axe.min.js")
		if err != nil {
			missing(p.T, noAxe)
		}
		// Through the protocol the page's policy does not stop it, and stays strict.
		eval[bool](p, string(code)+`;true`)
	}
	raw := eval[string](p, `axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then(r => JSON.stringify(r.violations.map(v => v.id + ": " + v.help + ": " + v.nodes.map(n => n.html.slice(0, 200) + " " + (n.any[0] ?? n.all[0] ?? n.none[0])?.message).slice(0, 3).join(" | "))))`)
	var violations []string
	if err := json.Unmarshal([]byte(raw), &violations); err != nil {
		p.Fatal(err)
	}
	return violations
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""`
	}
	return strings.ReplaceAll(string(b), "</", `<\/`)
}
