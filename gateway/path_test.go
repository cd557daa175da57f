package gateway_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/gateway"
)

func TestPathsBecomeServicesAndMethodsAsInMicro(t *testing.T) {
	for path, want := range map[string][2]string{
		"/foo/bar":             {"foo", "Foo.Bar"},
		"/foo/foo/bar":         {"foo", "Foo.Bar"},
		"/foo/bar/baz":         {"foo", "Bar.Baz"},
		"/foo/bar/baz/cat":     {"foo.bar", "Baz.Cat"},
		"/foo/bar/baz/cat/car": {"foo.bar.baz", "Cat.Car"},
		"/v1/foo/bar":          {"v1.foo", "Foo.Bar"},
		"/v1/foo/bar/baz":      {"v1.foo", "Bar.Baz"},
		"/v1/foo/bar/baz/cat":  {"v1.foo.bar", "Baz.Cat"},
		"/greeter/say/hello":   {"greeter", "Say.Hello"},
		"/user/getInfo":        {"user", "User.GetInfo"},
		"/foo":                 {"foo", "Foo"},
		"/foo/say-hello":       {"foo", "Foo.SayHello"},
		"//foo///bar/":         {"foo", "Foo.Bar"},
		"/v1/foo":              {"v1", "V1.Foo"},
	} {
		parts, err := gateway.Segments(&url.URL{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		service, method := gateway.MicroPath("go.micro.srv", parts)
		if service != "go.micro.srv."+want[0] || method != want[1] {
			t.Errorf("%s: %s %s, want %v", path, service, method, want)
		}
	}
}

func TestPathsThatNameBothInFull(t *testing.T) {
	for path, want := range map[string]bool{
		"/go.micro.srv.greeter/Say.Hello": true, "/greeter/Say.Hello": true, "/go.micro.srv.greeter/hello": true,
		"/greeter/hello": false, "/a.b/c.d/e": false, "/a.b": false,
	} {
		parts, err := gateway.Segments(&url.URL{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, ok := gateway.DirectPath(parts); ok != want {
			t.Errorf("%s: %v", path, ok)
		}
	}
}

func TestPathsThatTwoReadersReadDifferently(t *testing.T) {
	for _, path := range []string{"/a/../b", "/a/./b", "/a/%2e%2e/b", "/a%2fb", "/a%5cb", "/a%00b", "/a%ff", "/a\\b", "/a%0ab", "/" + strings.Repeat("a/", 65)} {
		u, err := url.Parse("http://x" + path)
		if err != nil {
			continue
		}
		if parts, err := gateway.Segments(u); err == nil {
			t.Errorf("%s became %q", path, parts)
		}
	}
}

// FuzzPath takes a path: what is accepted is read alike however it is spelled,
// and no part of it can reach a subject that it does not name.
func FuzzPath(f *testing.F) {
	for _, path := range []string{"/foo/bar", "/v1/foo/bar", "//a///b/", "/a%2fb", "/a/../b", "/-/x", "/a b/c", "/a.b/C.D", "/\xff", "/" + strings.Repeat("a", 300) + "/b", "/*/>", "/a/b-"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil {
			return
		}
		parts, err := gateway.Segments(u)
		if err != nil || len(parts) == 0 {
			return
		}
		again, err := gateway.Segments(&url.URL{Path: "/" + strings.Join(parts, "/")})
		if err != nil || strings.Join(again, "/") != strings.Join(parts, "/") {
			t.Fatalf("%q became %q, and that %q, %v", path, parts, again, err)
		}
		service, method := gateway.MicroPath("go.micro.srv", parts)
		if !strings.HasPrefix(service, "go.micro.srv.") {
			t.Errorf("%q became %q %q", path, service, method)
		}
		if wire.CheckService(service) == nil && strings.ContainsAny(service, "*> /") {
			t.Errorf("%q became %q", path, service)
		}
		if app, ok := gateway.AppPath("go.micro.srv", parts); ok && strings.ContainsAny(app, "*> /") {
			t.Errorf("%q became %q", path, app)
		}
	})
}
