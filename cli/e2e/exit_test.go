//go:build unix

package e2e_test

import (
	"strings"
	"testing"
	"time"
)

// Every way to fail has its exit code, one line on standard error that says
// what to do, nothing on standard output, and does not keep people waiting.
func TestFailuresAreToldAtOnce(t *testing.T) {
	t.Parallel()
	b := startNode(t, "--ephemeral", "--demo")
	nobody := &broker{url: "nats://127.0.0.1:" + freePort(t)}
	const hello, say = "go.micro.srv.greeter", "Say.Hello"
	for name, c := range map[string]struct {
		command command
		code    int
		words   []string
	}{
		"no broker for query":     {nobody.mbus("query", hello, say, "{}"), 3, []string{nobody.url, "mbus node"}},
		"no broker for list":      {nobody.mbus("list", "services"), 3, []string{nobody.url}},
		"no broker for publish":   {nobody.mbus("publish", "user.created", "{}"), 3, []string{nobody.url}},
		"no broker for subscribe": {nobody.mbus("subscribe", "user.created"), 3, []string{nobody.url}},
		"unknown service":         {b.mbus("query", "go.micro.srv.greetr", say, "{}"), 5, []string{"not_found", "go.micro.srv.greetr", "did you mean " + hello}},
		"short name of a service": {b.mbus("get", "service", "greeter"), 5, []string{"not_found", hello}},
		"unknown method":          {b.mbus("query", hello, "Say.Helo", "{}"), 5, []string{"not_found", "did you mean Say.Hello?"}},
		"a method like no other":  {b.mbus("query", hello, "Fly", "{}"), 5, []string{"not_found", "Say.Hello"}},
		"broken JSON":             {b.mbus("query", hello, say, `{"name": "John",`), 2, []string{"1:17"}},
		"JSON of the wrong type":  {b.mbus("query", hello, say, `{"name": 5}`), 1, []string{"invalid_argument", "name"}},
		"a field that is unknown": {b.mbus("query", hello, say, `{"nme": "John"}`), 1, []string{"invalid_argument", "nme"}},
		"an unknown flag":         {b.mbus("query", hello, say, "--tiemout", "1s"), 2, []string{"--tiemout", "--timeout"}},
		"an unknown command":      {b.mbus("qeury", hello), 2, []string{"qeury", "query"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, c.command)
			if r.code != c.code {
				t.Errorf("got exit code %d, want %d", r.code, c.code)
			}
			if lines := strings.Count(r.stderr, "\n"); lines != 1 || r.stdout != "" || !containsAll(r.stderr, c.words) {
				t.Errorf("want one line on standard error with %q and nothing else; got\n%s%s", c.words, r.stderr, r.stdout)
			}
			// The promise is a second; a busy machine takes longer to start a
			// process, and nothing here waits for as long as a timeout.
			if r.took > 3*time.Second {
				t.Errorf("it took %v", r.took)
			}
			t.Logf("%v: %s", r.took, strings.TrimSpace(r.stderr))
		})
	}
	// The checker can fail: a call that works has exit code 0 and an answer.
	if r := run(t, b.mbus("query", hello, say, `{"name":"John"}`)); r.code != 0 || r.stdout == "" || r.stderr != "" {
		t.Errorf("a good call: exit code %d, %q, %q", r.code, r.stdout, r.stderr)
	}
}
