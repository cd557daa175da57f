package sidecar

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
)

// FuzzAnswer takes what an app answers: it becomes a valid answer or an error
// with a code and a status that may end a request.
func FuzzAnswer(f *testing.F) {
	for _, body := range []string{
		``, `null`, `{}`, `[]`, `{"id":0,"result":{"msg":"x"},"error":null}`, `{"result":1,"result":2}`, `{"error":"x"}`, `{"error":""}`, `{"error":{}}`, `{"error":[]}`,
		`{"error":"{\"id\":\"x\",\"code\":404,\"detail\":\"y\",\"status\":\"z\"}"}`, `{"error":{"error":{"error":"x"}}}`, `{"error":{"code":-32601,"message":"m","data":{"a":1}}}`,
		`{"error":{"code":1e99,"message":1}}`, `{"error":{"code":"404"}}`, `{"result":`, "\xff\xfe", `{"error":"\ud800"}`, `{"result":1}x`, strings.Repeat(`{"error":`, 70) + `1`,
	} {
		f.Add(200, "application/json", body)
		f.Add(418, "text/plain", body)
	}
	f.Add(204, "", "")
	f.Add(302, "a,b", "x")
	f.Add(-1, ";", "{")
	f.Fuzz(func(t *testing.T, status int, kind, body string) {
		a := &answer{status: status, header: http.Header{"Content-Type": {kind}, "Retry-After": {kind}}, body: []byte(body)}
		for _, read := range []func() ([]byte, codec.Codec, error){
			func() ([]byte, codec.Codec, error) {
				res, err := a.readJSONRPC()
				if err != nil {
					return nil, 0, err
				}
				return res.Body, res.Codec, nil
			},
			func() ([]byte, codec.Codec, error) {
				res, err := a.readPlain()
				if err != nil {
					return nil, 0, err
				}
				return res.Body, res.Codec, nil
			},
			func() ([]byte, codec.Codec, error) { return nil, 0, a.failed() },
		} {
			got, c, err := read()
			if err == nil {
				if !c.Valid() || codec.Guard(c, got) != nil {
					t.Errorf("%q became %q, %v", body, got, c)
				}
				continue
			}
			e := bus.AsError(err)
			if e.Message == "" || len(e.Message) > maxErrorText+200 || e.Code.Status() < 400 || e.Status < 400 && e.Status != status {
				t.Errorf("%q became %#v", body, e)
			}
		}
	})
}

// FuzzTarget takes an address, a URL and a path: what is accepted leads to this
// host and is spelled in one way.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{
		"127.0.0.1", "::1", "[::1]", "127.1", "0x7f.1", "2130706433", "::ffff:127.0.0.1", "fe80::1%lo", "localhost", "169.254.169.254", "127.0.0.1:80", "",
		"http://127.0.0.1:80/x?y#z", "http://a@127.0.0.1/", "http://127.0.0.1@a/", "//127.0.0.1", "/a/b?c", "//a/b", "/\\a", "/%2f", "http:/x", "HTTP://127.0.0.1:1/",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if target, err := targetOf(s, 80); err == nil && (!target.Addr().IsLoopback() || target.Addr().Is4In6() || strings.Trim(s, "[]") != target.Addr().String() && !strings.Contains(s, ":")) {
			t.Errorf("%q leads to %v", s, target)
		}
		if text, err := parseHealthURL(s, netip.AddrPort{}); err == nil {
			u, err := url.Parse(text)
			if err != nil || u.Scheme != "http" || u.User != nil {
				t.Fatalf("%q became %q", s, text)
			}
			if target, err := netip.ParseAddrPort(u.Host); err != nil || !target.Addr().IsLoopback() {
				t.Errorf("%q leads to %q", s, text)
			}
			if again, err := parseHealthURL(text, netip.AddrPort{}); err != nil || again != text {
				t.Errorf("%q became %q, and that %q, %v", s, text, again, err)
			}
		}
		if path, err := parsePath(s); err == nil {
			r, err := http.NewRequest(http.MethodPost, "http://127.0.0.1:80"+path, nil)
			if err != nil || r.URL.Host != "127.0.0.1:80" || r.Host != "127.0.0.1:80" || r.URL.User != nil {
				t.Errorf("%q became %q: %v, %v", s, path, r, err)
			}
		}
	})
}
