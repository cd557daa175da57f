package gateway

import (
	"net/url"
	"strings"
	"testing"

	"github.com/mbus-dev/mbus/bus/wire"
)

const ns = "go.micro.api"

func parts(t testing.TB, path string) []string {
	t.Helper()
	u, err := url.ParseRequestURI(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Segments(u)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return got
}

func TestPathsLeadWhereMicroSaid(t *testing.T) {
	for path, want := range map[string][2]string{
		"/foo/bar":                      {"go.micro.api.foo", "Foo.Bar"},
		"/foo/foo/bar":                  {"go.micro.api.foo", "Foo.Bar"},
		"/foo/bar/baz":                  {"go.micro.api.foo", "Bar.Baz"},
		"/foo/bar/baz/cat":              {"go.micro.api.foo.bar", "Baz.Cat"},
		"/foo/bar/baz/cat/car":          {"go.micro.api.foo.bar.baz", "Cat.Car"},
		"/v1/foo/bar":                   {"go.micro.api.v1.foo", "Foo.Bar"},
		"/v1/foo/bar/baz":               {"go.micro.api.v1.foo", "Bar.Baz"},
		"/v1/foo/bar/baz/cat":           {"go.micro.api.v1.foo.bar", "Baz.Cat"},
		"/v12/foo/bar":                  {"go.micro.api.v12.foo", "Foo.Bar"},
		"/greeter/say/hello?name=John":  {"go.micro.api.greeter", "Say.Hello"},
		"/user/getInfo":                 {"go.micro.api.user", "User.GetInfo"},
		"/foo":                          {"go.micro.api.foo", "Foo"},
		"/foo/say-hello":                {"go.micro.api.foo", "Foo.SayHello"},
		"/foo-bar/baz":                  {"go.micro.api.foo-bar", "FooBar.Baz"},
		"//foo///bar/":                  {"go.micro.api.foo", "Foo.Bar"},
		"/v1/foo":                       {"go.micro.api.v1", "V1.Foo"},
		"/v1":                           {"go.micro.api.v1", "V1"},
		"/version/foo/bar":              {"go.micro.api.version", "Foo.Bar"},
		"/Foo/BAR":                      {"go.micro.api.Foo", "Foo.BAR"},
		"/f%6fo/bar":                    {"go.micro.api.foo", "Foo.Bar"},
		"/foo/-say--hello-":             {"go.micro.api.foo", "Foo.SayHello"},
		"/foo/1st":                      {"go.micro.api.foo", "Foo.1st"},
		"/foo.bar/baz/cat":              {"go.micro.api.foo.bar", "Baz.Cat"},
		"/greeter/say/hello/again/once": {"go.micro.api.greeter.say.hello", "Again.Once"},
	} {
		if service, method := MicroPath(ns, parts(t, path)); service != want[0] || method != want[1] {
			t.Errorf("%s: got %s %s, want %s %s", path, service, method, want[0], want[1])
		}
	}
}

func TestADotTellsFullNamesFromMicrosForm(t *testing.T) {
	for path, want := range map[string]bool{
		"/go.micro.srv.greeter/Say.Hello": true,
		"/greeter/Say.Hello":              true,
		"/go.micro.srv.greeter/Hello":     true,
		"/greeter/hello":                  false,
		"/greeter":                        false,
		"/go.micro.srv.greeter":           false,
		"/a.b/c/d":                        false,
	} {
		if _, _, ok := DirectPath(parts(t, path)); ok != want {
			t.Errorf("%s: got %v, want %v", path, ok, want)
		}
	}
}

func TestPathsLeadToAppsByMicrosProxyRule(t *testing.T) {
	for path, want := range map[string]string{
		"/foo/bar":     "go.micro.api.foo",
		"/foo":         "go.micro.api.foo",
		"/v1/foo/bar":  "go.micro.api.v1.foo",
		"/v1":          "go.micro.api.v1",
		"/my-app/x":    "go.micro.api.my-app",
		"/foo_bar/baz": "",
		"/-foo/x":      "",
		"/a.b/c/d":     "",
	} {
		if service, ok := AppPath(ns, parts(t, path)); ok != (want != "") || ok && service != want {
			t.Errorf("%s: got %q %v, want %q", path, service, ok, want)
		}
	}
}

func TestPathsLeadToTopicsAsMicroSaid(t *testing.T) {
	for path, want := range map[string][2]string{
		"/":            {"go.micro.api", "event"},
		"/foo":         {"go.micro.api.foo", ""},
		"/foo/bar":     {"go.micro.api.foo", "bar"},
		"/foo/bar/baz": {"go.micro.api.foo", "bar.baz"},
		"/v1/foo/bar":  {"go.micro.api.v1.foo", "foo.bar"},
		"/v1":          {"go.micro.api.v1", ""},
	} {
		if topic, event := TopicPath(ns, parts(t, path)); topic != want[0] || event != want[1] {
			t.Errorf("%s: got %q %q, want %q", path, topic, event, want)
		}
	}
}

func TestAnAmbiguousPathIsRefused(t *testing.T) {
	for _, path := range []string{
		"/foo/../bar", "/foo/./bar", "/foo/%2e%2e/bar", "/foo/%2E/bar", "/foo%2fbar", "/foo%2Fbar/baz", `/foo\bar`, "/foo%5cbar",
		"/foo%00/bar", "/foo%0a/bar", "/foo%7f/bar", "/foo/%ff", "/foo/%c0%af", "/..", "/foo/..", "/" + strings.Repeat("a/", maxSegments+1),
	} {
		if got, err := Segments(&url.URL{Path: unescaped(t, path), RawPath: path}); err == nil {
			t.Errorf("%s: got %q, want a refusal", path, got)
		}
	}
}

func unescaped(t testing.TB, path string) string {
	t.Helper()
	s, err := url.PathUnescape(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func FuzzAPathLeadsToOneDecision(f *testing.F) {
	for _, seed := range []string{
		"/foo/bar", "/v1/foo/bar", "//foo///bar/", "/foo/say-hello", "/go.micro.srv.greeter/Say.Hello", "/foo%2fbar", "/a/../b", "/%ff",
		"/%E4%BD%A0", "/a;b=c/d", "/v1", "/v/x", "/{id}/x", "/a b/c", "/*/>", "/%3e/x", "/a%20b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil {
			return
		}
		got, err := Segments(u)
		if err != nil || len(got) == 0 {
			return
		}
		for _, part := range got {
			if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "/\\\x00\r\n") {
				t.Fatalf("%q: the part %q", path, part)
			}
		}
		// Whatever the spelling of the same parts, the decision is the same.
		again := &url.URL{Path: "/" + strings.Join(got, "//") + "/"}
		same, err := Segments(again)
		if err != nil || strings.Join(same, "/") != strings.Join(got, "/") {
			t.Fatalf("%q: %q becomes %q, %v", path, got, same, err)
		}
		service, method := MicroPath(ns, got)
		if !strings.HasPrefix(service, ns+".") {
			t.Fatalf("%q: the service %q is outside of the namespace", path, service)
		}
		if wire.CheckService(service) == nil && wire.CheckMethod(method) == nil && strings.ContainsAny(service+method, "*> \t") {
			t.Fatalf("%q: %q %q", path, service, method)
		}
		TopicPath(ns, got)
		AppPath(ns, got)
	})
}
