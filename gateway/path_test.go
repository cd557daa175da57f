package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/mbus-dev/mbus/gateway"
)

// FuzzPath: a path that a room sees has one reading, however it was written.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{"/", "/foo/bar", "//a//b/", "/a/%2e%2e/b", "/a%2fb", "/%c3%a4", "/a;b=c", "/..%00/", "http://localhost/a", "*", "/%25%32%66"} {
		f.Add(seed)
	}
	h, c := edge(f, gateway.EdgeConfig{})
	f.Fuzz(func(t *testing.T, target string) {
		r, err := http.ReadRequest(newReader("GET " + target + " HTTP/1.1\r\nHost: localhost\r\n\r\n"))
		if err != nil {
			return
		}
		r.RemoteAddr = "127.0.0.1:1"
		if w := answer(h, r); w.Code != http.StatusOK {
			return
		}
		path, escaped := c.last.Load().URL.Path, c.last.Load().URL.EscapedPath()
		if !utf8.ValidString(path) || strings.Contains(path, "//") || strings.ContainsAny(path, "\\\x00\r\n") ||
			strings.Contains(path+"/", "/./") || strings.Contains(path+"/", "/../") || !strings.HasPrefix(path, "/") {
			t.Errorf("%q comes in as %q", target, path)
		}
		if strings.Count(path, "/") != strings.Count(escaped, "/") {
			t.Errorf("%q has %q for some and %q for others", target, path, escaped)
		}
	})
}
