package mcp

import (
	"regexp"
	"strings"
	"testing"

	"github.com/mbus-dev/mbus/bus/wire"
)

func TestNamesOfToolsAreLegalAndTellMethodsApart(t *testing.T) {
	long := strings.TrimSuffix(strings.Repeat("abcdefghij.", 11), ".")
	seen := map[string]string{}
	legal := regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	for _, tc := range []struct{ service, method, want string }{
		{"go.micro.srv.greeter", "Say.Hello", "go_micro_srv_greeter___Say_Hello"},
		{"a.b", "c", "a_b___c"},
		{"a", "b.c", "a___b_c"},
		{"a_b", "c", "a__b___c"},
		{"a-b", "c", "a-b___c"},
		{long, "Say.Hello", ""},
		{long, "Say.Hallo", ""},
	} {
		got := toolName(tc.service, tc.method)
		if tc.want != "" && got != tc.want {
			t.Errorf("%s %s: got %q, want %q", tc.service, tc.method, got, tc.want)
		}
		if !legal.MatchString(got) {
			t.Errorf("%q is no name for a tool", got)
		}
		if other := seen[got]; other != "" {
			t.Errorf("%s and %s %s are both %q", other, tc.service, tc.method, got)
		}
		seen[got] = tc.service + " " + tc.method
	}
}

func FuzzToolName(f *testing.F) {
	f.Add("go.micro.srv.greeter", "Say.Hello", "a", "b")
	f.Add("a_b", "c", "a", "b_c")
	f.Add("a.b", "c", "a", "b.c")
	f.Fuzz(func(t *testing.T, s1, m1, s2, m2 string) {
		for _, name := range []string{s1, m1, s2, m2} {
			if wire.CheckService(name) != nil {
				return
			}
		}
		one, other := toolName(s1, m1), toolName(s2, m2)
		if (one == other) != (s1 == s2 && m1 == m2) {
			t.Errorf("%q %q is %q, %q %q is %q", s1, m1, one, s2, m2, other)
		}
	})
}

func FuzzGlob(f *testing.F) {
	f.Add("go.micro.srv.*", "go.micro.srv.greeter")
	f.Add("a*b*c", "abc")
	f.Add("*", "")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		quoted := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, `.*`)
		want, err := regexp.MatchString("(?s)^(?:"+quoted+")$", text)
		if err != nil || strings.ContainsRune(text, '�') || strings.ContainsRune(pattern, '�') {
			return
		}
		if got := glob(pattern, text); got != want {
			t.Errorf("glob(%q, %q) is %v, want %v", pattern, text, got, want)
		}
	})
}
