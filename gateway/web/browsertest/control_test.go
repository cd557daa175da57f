//go:build unix

package browsertest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// That the checks of every page can find something.
func TestTheChecksSeeAPageThatIsWrong(t *testing.T) {
	t.Parallel()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "require-trusted-types-for 'script'")
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		_, _ = fmt.Fprint(w, `<!doctype html><html lang="en"><title>wrong</title><body><main id="main">
<p style="color:#999">too faint</p><img src="/gone.png"><div style="width:3000px">wide</div>
<p style="width:40px;overflow:hidden;white-space:nowrap">this is cut off in the middle</p>
<button>one</button><button style="margin-left:-30px">two</button></main>
<script>console.error("a word"); document.body.onclick = () => { document.body.innerHTML = "x" }; setTimeout(() => { throw new Error("thrown") })</script></body></html>`)
	}))
	t.Cleanup(site.Close)
	p := blank(t)
	p.visitPlain(site.URL)
	p.settle()
	contains := func(what string, all []string, words ...string) {
		t.Helper()
		for _, word := range words {
			if !strings.Contains(strings.Join(all, "\n"), word) {
				t.Errorf("%s do not show %q: %q", what, word, all)
			}
		}
	}
	contains("the violations", p.violations(), "color-contrast", "image-alt")
	contains("the flaws", eval[[]string](p, flaws), "scrolls sideways", "sticks out", "cut off", "one on another")
	p.until(`true`)
	p.mu.Lock()
	said := p.said
	p.said = nil // it was asked for
	p.mu.Unlock()
	contains("the words of the console", said, "a word", "thrown", "404")
}
