package api

import (
	"strings"
	"testing"
)

func TestARoutesPathIsATemplateOrARegularExpression(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		match         bool
		fields        string
	}{
		{"/users/{id}", "/users/5", true, "id=5"},
		{"/users/{id}", "/users", false, ""},
		{"/users/{id}", "/users/5/x", false, ""},
		{"/users", "/users", true, ""},
		{"/users/", "/users", true, ""},
		{"/users", "/users/5", false, ""},
		{"/files/{path...}", "/files/a/b", true, "path=a/b"},
		{"/files/{path...}", "/files", true, "path="},
		{"/{a}/x/{b}", "/1/x/2", true, "a=1 b=2"},
		{"^/users/[0-9]+$", "/users/5", true, ""},
		{"^/users/[0-9]+$", "/users/x", false, ""},
		{"/users/.*", "/v1/users/5", true, ""}, // as Micro: anywhere
	} {
		p, err := parsePattern(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		fields, match := p.match(c.path, split(c.path))
		text := ""
		for _, name := range []string{"id", "path", "a", "b"} {
			if v, ok := fields[name]; ok {
				text = strings.TrimSpace(text + " " + name + "=" + v)
			}
		}
		if match != c.match || match && text != c.fields {
			t.Errorf("%s of %s: got %v %q, want %v %q", c.pattern, c.path, match, text, c.match, c.fields)
		}
	}
	for _, pattern := range []string{"/a/{b", "/a/x{b}", "/{}", "/{a}/{a}", "/{a...}/b", "/a/(", "/[z-a]", "/" + strings.Repeat("x", maxPattern), "/{a b}"} {
		if _, err := parsePattern(pattern); err == nil {
			t.Errorf("%s: want a refusal", pattern)
		}
	}
}

func TestTheRouteThatSaysMostComesFirst(t *testing.T) {
	order := []string{"/a/b", "/a/b/{rest...}", "/a/{x}", "/a/{rest...}", "/{x}/b", "/{x}/{y}", "/{rest...}", "^/a/[a-z]+$", "^/a/.$"}
	for i := 1; i < len(order); i++ {
		a, errA := parsePattern(order[i-1])
		b, errB := parsePattern(order[i])
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if a.closeness() >= b.closeness() {
			t.Errorf("%s (%s) does not come before %s (%s)", order[i-1], a.closeness(), order[i], b.closeness())
		}
	}
}

func FuzzAPatternMatchesWithoutPanic(f *testing.F) {
	f.Add("/users/{id}", "/users/5")
	f.Add("^/v[0-9]+/.*$", "/v1/x")
	f.Add("/{a...}", "/")
	f.Add("(((((a*)*)*)*)*)", "/aaaaaaaaaaaaaaaaaaaaaaaa!")
	f.Fuzz(func(t *testing.T, pattern, path string) {
		p, err := parsePattern(pattern)
		if err != nil {
			return
		}
		p.match(path, split(path))
		if p.closeness() == "" && p.shape() != "" {
			t.Fatalf("%q has the shape %q and no closeness", pattern, p.shape())
		}
	})
}
