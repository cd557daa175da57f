//go:build unix

package browsertest

import (
	"context"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// shell runs what a page offers to copy, as somebody who pastes it.
func shell(t *testing.T, command string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Env = append(os.Environ(), "PATH="+lab.dir+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+t.TempDir(), "NO_COLOR=1")
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s\n%v\n%s", command, err, last(string(out)))
	}
	return string(out)
}

// copies waits for the form of a command and returns it.
func (p *tab) copies(section, form string) string {
	p.Helper()
	p.until(`document.querySelector(` + quote(section) + `)`)
	eval[bool](p, `([...document.querySelectorAll(`+quote(section+" .seg button")+`)].find(b => b.innerText === `+quote(form)+`)?.click(), true)`)
	p.settle()
	return p.text(section + " pre")
}

// Whatever a page offers for a shell does there what the page does.
func TestWhatIsCopiedRunsInAShell(t *testing.T) {
	t.Parallel()
	url := demoWeb(t)
	if _, err := exec.LookPath("curl"); err != nil {
		missing(t, "there is no curl")
	}
	const call = "section[aria-label='Same call from a shell']"
	for _, c := range []struct{ name, path, section, want string }{
		{"a call", "/query/" + greeter + "/Say.Hello?req=eyJuYW1lIjoiQWRhIE8nTmVpbCJ9", call, "Hello Ada O'Neil"},
		{"a server stream", "/query/" + labName + "/Lab.Count?req=eyJuIjozfQ", call, "2"},
		{"a publication", "/events?subject=user.created", "section[aria-label='Same event from a shell']", ""},
		{"an endpoint", "/services/" + greeter, "section[aria-label='From a shell: Say.Hello']", "Hello"},
		{"a service", "/services/" + greeter, ".side section.commands", greeter},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := open(t, url+c.path)
			mbus := p.copies(c.section, "mbus")
			if !strings.Contains(mbus, "--url "+lab.demo.Bus) {
				t.Errorf("it does not say which broker: %s", mbus)
			}
			if out := shell(t, mbus); !strings.Contains(out, c.want) {
				t.Errorf("%s\nsays %q, want %q", mbus, out, c.want)
			}
			curl := p.copies(c.section, "curl")
			if out := shell(t, strings.Replace(curl, "curl", "curl -sS --fail-with-body", 1)); !strings.Contains(out, c.want) {
				t.Errorf("%s\nsays %q, want %q", curl, out, c.want)
			}
			if c.name == "a service" {
				return // it is no call
			}
			code := p.copies(c.section, "Go")
			if _, err := parser.ParseFile(token.NewFileSet(), "", "package p\nfunc f() {\n"+code+"\n}", 0); err != nil {
				t.Errorf("%v:\n%s", err, code)
			}
		})
	}
}

// The key c copies a command that finds the broker, too.
func TestTheKeyCopiesTheCommandOfTheRow(t *testing.T) {
	t.Parallel()
	p := open(t, settledWeb(t)+"/services")
	eval[bool](p, `(Object.defineProperty(navigator.clipboard, 'writeText', {value: t => { window.copied = t; return Promise.resolve() }}), true)`)
	for path, c := range map[string]struct{ row, want string }{
		"/services":                    {"[aria-label=Services] [data-i='1']", " get service "},
		"/nodes":                       {"[aria-label=Nodes] [data-i='1']", " health "},
		"/events?subject=user.created": {".erow", " publish user.created "},
	} {
		eval[bool](p, `(() => { window.copied = ''; const a = document.createElement('a'); a.href = `+quote(path)+`; document.querySelector('main').append(a); a.click(); a.remove(); return true })()`)
		p.until(`document.querySelector(` + quote(c.row) + `) && location.pathname + location.search === ` + quote(path))
		p.press("j")
		p.settle()
		p.press("c")
		p.until(`window.copied`)
		got := eval[string](p, `window.copied`)
		if !strings.HasPrefix(got, "mbus --url "+lab.demo.Bus) || !strings.Contains(got, c.want) {
			t.Errorf("on %s it copies %q", path, got)
			continue
		}
		shell(t, got)
	}
}
