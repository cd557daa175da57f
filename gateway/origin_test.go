package gateway_test

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/mbus-dev/mbus/gateway"
)

func TestPagesOfOtherSites(t *testing.T) {
	const good, evil = "https://good.example", "https://evil.example"
	json, form := []string{"Content-Type", "application/json"}, []string{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}
	navigate := []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	fields := func(lists ...[]string) []string {
		var all []string
		for _, l := range lists {
			all = append(all, l...)
		}
		return all
	}
	origin := func(o string) []string { return []string{"Origin", o} }
	site := func(s string) []string { return []string{"Sec-Fetch-Site", s} }
	socket := []string{"Connection", "Upgrade", "Upgrade", "websocket"}
	tests := []struct {
		name, method, path, list string
		fields                   []string
		status                   int
		allowed                  string // Access-Control-Allow-Origin
		credentials              string
	}{
		{"a program", "POST", "/a", "", json, 200, "", ""},
		{"a program with a form", "POST", "/a", "", form, 200, "", ""},
		{"our own page", "POST", "/a", "", fields(json, origin("http://localhost:8080"), site("same-origin")), 200, "", ""},
		{"our own page in capitals", "POST", "/a", "", fields(json, origin("http://LOCALHOST:8080")), 200, "", ""},
		{"our own form", "POST", "/a", "", fields(form, origin("http://localhost:8080"), site("same-origin")), 200, "", ""},
		{"our own form, the browser disagrees", "POST", "/a", "", fields(form, origin("http://localhost:8080"), site("cross-site")), 403, "", ""},
		{"our name at another port", "POST", "/a", "", fields(json, origin("http://localhost:3000"), site("same-site")), 403, "", ""},
		{"our name with another scheme", "POST", "/a", "", fields(json, origin("https://localhost:8080")), 403, "", ""},
		{"another site", "POST", "/a", good, fields(json, origin(evil)), 403, "", ""},
		{"another site reads", "GET", "/a", good, fields(origin(evil)), 403, "", ""},
		{"the listed site", "POST", "/a", good, fields(json, origin(good), site("cross-site")), 200, good, "true"},
		{"the listed site with its port", "POST", "/a", good, fields(json, origin("https://good.example:443")), 200, "https://good.example:443", "true"},
		{"the listed site sends a form", "POST", "/a", good, fields(form, origin(good), site("cross-site")), 403, "", ""},
		{"the listed site sends text", "POST", "/a", good, fields(origin(good), []string{"Content-Type", "text/plain"}), 403, "", ""},
		{"the listed site sends an upload", "POST", "/a", good, fields(origin(good), []string{"Content-Type", "multipart/form-data; boundary=x"}), 403, "", ""},
		{"the listed site sends no type", "POST", "/a", good, origin(good), 403, "", ""},
		{"the listed site sends a broken type", "POST", "/a", good, fields(origin(good), []string{"Content-Type", "text/plain;;="}), 403, "", ""},
		{"the listed site reads", "GET", "/a", good, origin(good), 200, good, "true"},
		{"the listed site deletes", "DELETE", "/a", good, fields(json, origin(good)), 200, good, "true"},
		{"a suffix of it", "GET", "/a", good, origin(good + ".evil.example"), 403, "", ""},
		{"a prefix of it", "GET", "/a", good, origin("https://evil-good.example"), 403, "", ""},
		{"it without TLS", "GET", "/a", good, origin("http://good.example"), 403, "", ""},
		{"it at another port", "GET", "/a", good, origin(good + ":8443"), 403, "", ""},
		{"it with a user", "GET", "/a", good, origin("https://x@good.example"), 403, "", ""},
		{"null", "GET", "/a", good, origin("null"), 403, "", ""},
		{"an empty origin", "GET", "/a", good, origin(""), 403, "", ""},
		{"two origins", "GET", "/a", good, fields(origin(good), origin(evil)), 403, "", ""},
		{"anybody", "GET", "/a", "*", origin(evil), 200, "*", ""},
		{"anybody writes", "POST", "/a", "*", fields(json, origin(evil)), 200, "*", ""},
		{"anybody's form", "POST", "/a", "*", fields(form, origin(evil)), 403, "", ""},
		{"null, with all allowed", "GET", "/a", "*", origin("null"), 200, "*", ""},
		{"listed and all", "GET", "/a", "*, " + good, origin(good), 200, good, "true"},
		{"an image elsewhere", "GET", "/a", "", fields(site("cross-site"), []string{"Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}), 403, "", ""},
		{"an image at a neighbour", "GET", "/a", "", fields(site("same-site"), []string{"Sec-Fetch-Mode", "no-cors"}), 403, "", ""},
		{"a link to the page", "GET", "/", "", fields(site("cross-site"), navigate), 200, "", ""},
		{"a link to a call", "GET", "/a", "", fields(site("cross-site"), navigate), 403, "", ""},
		{"a form to the page", "POST", "/", "", fields(site("cross-site"), navigate), 403, "", ""},
		{"a frame with the page", "GET", "/", "", fields(site("cross-site"), []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}), 403, "", ""},
		{"the address bar", "GET", "/a", "", site("none"), 200, "", ""},
		{"our page's image", "GET", "/a", "", site("same-origin"), 200, "", ""},
		{"a site nobody knows", "GET", "/a", "", site("other"), 403, "", ""},
		{"a WebSocket of our page", "GET", "/a", "", fields(socket, origin("http://localhost:8080")), 200, "", ""},
		{"a WebSocket of another site", "GET", "/a", "", fields(socket, origin(evil)), 403, "", ""},
		{"a WebSocket of the listed site", "GET", "/a", good, fields(socket, origin(good)), 200, good, "true"},
		{"a WebSocket of a program", "GET", "/a", "", socket, 200, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h, c := edge(t, gateway.EdgeConfig{Origins: test.list})
			w := answer(h, ask(test.method, test.path, test.fields...))
			if test.status == 200 {
				if w.Code != 200 || c.calls.Load() != 1 {
					t.Errorf("got %d %s, want 200", w.Code, w.Body)
				}
			} else {
				refused(t, w, c, test.status, "")
			}
			if got := w.Header().Get("Access-Control-Allow-Origin"); got != test.allowed {
				t.Errorf("allowed origin %q, want %q", got, test.allowed)
			}
			if got := w.Header().Get("Access-Control-Allow-Credentials"); got != test.credentials {
				t.Errorf("credentials %q, want %q", got, test.credentials)
			}
			if test.list != "" && !strings.Contains(strings.Join(w.Header()["Vary"], ","), "Origin") {
				t.Error("a cache may give this answer to another origin")
			}
			if test.allowed != "" && !strings.Contains(w.Header().Get("Access-Control-Expose-Headers"), "Mbus-End") {
				t.Error("the page cannot read Mbus-End")
			}
		})
	}
}

func TestTheOriginOfAPageBehindTLSIsHTTPS(t *testing.T) {
	h, c := edge(t, gateway.EdgeConfig{})
	r := ask("GET", "/a", "Origin", "https://localhost")
	r.Host, r.TLS = "localhost:443", &tls.ConnectionState{}
	if w := answer(h, r); w.Code != 200 || c.calls.Load() != 1 {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestPreflightIsAnsweredForEveryPath(t *testing.T) {
	tests := []struct {
		name, list, origin, asked string
		allowed, headers          string
	}{
		{"nobody in particular", "", "", "", "", ""},
		{"a site that is not listed", "https://good.example", "https://evil.example", "authorization", "", ""},
		{"the site that is", "https://good.example", "https://good.example", "authorization, x-mine", "https://good.example", "authorization, x-mine"},
		{"it asks for ours", "https://good.example", "https://good.example", "mbus-id", "https://good.example", "Content-Type, Content-Length"},
		{"it asks for nonsense", "https://good.example", "https://good.example", "a b\r\nX: y", "https://good.example", "Content-Type, Content-Length"},
		{"all", "*", "https://evil.example", "", "*", "X-CSRF-Token"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h, c := edge(t, gateway.EdgeConfig{Origins: test.list})
			fields := []string{"Access-Control-Request-Method", "POST", "Sec-Fetch-Site", "cross-site"}
			if test.origin != "" {
				fields = append(fields, "Origin", test.origin)
			}
			if test.asked != "" {
				fields = append(fields, "Access-Control-Request-Headers", test.asked)
			}
			w := answer(h, ask("OPTIONS", "/no/such/thing", fields...))
			if w.Code != 200 || w.Body.Len() != 0 || c.calls.Load() != 0 {
				t.Errorf("got %d %q, the room was asked %d times; want 200, empty, by the edge", w.Code, w.Body, c.calls.Load())
			}
			if got := w.Header().Get("Access-Control-Allow-Origin"); got != test.allowed {
				t.Errorf("allowed origin %q, want %q", got, test.allowed)
			}
			if got := w.Header().Get("Access-Control-Allow-Headers"); !strings.Contains(got, test.headers) || (got == "") != (test.headers == "") {
				t.Errorf("allowed headers %q, want %q", got, test.headers)
			}
			if test.list == "*" && w.Header().Get("Access-Control-Allow-Credentials") != "" {
				t.Error("everybody gets credentials")
			}
		})
	}
}
