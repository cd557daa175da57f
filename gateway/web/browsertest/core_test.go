//go:build unix

package browsertest

import "testing"

// What has no document is tested in the browser that it runs in, so that nobody
// needs another runtime.
func TestTheRulesOfTheApp(t *testing.T) {
	t.Parallel()
	p := open(t, demoWeb(t)+"/services")
	failed := eval[[]struct{ Name, Error string }](p, `import(JSON.parse(document.querySelector('#boot').textContent).base + '/core/core.test.js').then(m => m.run()).then(all => { window.ran = all.length; return all.filter(r => r.error).map(r => ({Name: r.name, Error: String(r.error)})) })`)
	for _, f := range failed {
		t.Errorf("%s: %s", f.Name, f.Error)
	}
	if n := eval[int](p, `window.ran`); n < 10 {
		t.Errorf("only %d tests ran", n)
	}
}
