//go:build unix

package browsertest

import (
	"net/http"
	"strings"
	"testing"
)

func TestWhatIsNotThereIs404WithAWayOn(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/servces":                           "/services",
		"/services/go.micro.srv.gretter":     greeter,
		"/nodes/go.micro.srv.greeter-nobody": "/nodes",
		"/services/" + greeter + "/sttas":    greeter,
	} {
		t.Run(strings.ReplaceAll(path, "/", " "), func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, demoWeb(t)+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept", "text/html")
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != http.StatusNotFound {
				t.Errorf("status %d, want 404", res.StatusCode)
			}
			p := open(t, lab.demo.Web+path, allowing("status of 404"))
			p.says("main h2", "Nothing is here")
			p.until(`[...document.querySelectorAll('main a')].some(a => a.href.includes(` + quote(want) + `))`)
			if n := p.count("main section a"); n < 2 {
				t.Errorf("%d ways on", n)
			}
		})
	}
}

// A link of the app to what is gone is the same as its address typed in.
func TestAServiceThatIsGoneSaysSo(t *testing.T) {
	t.Parallel()
	_, a := node(t)
	p := open(t, a.Web+"/services/go.micro.srv.victim", allowing("status of 404"))
	p.says("main h2", "Nothing is here")
	p.until(isLive)
	victim := service(t, a, "go.micro.srv.victim")
	p.says("main", "Lab.Sleep") // by itself, when it comes
	victim.kill()
	p.says("main", "down")
	p.visit(a.Web + "/services/go.micro.srv.victim")
	p.says("main", "down")
}
