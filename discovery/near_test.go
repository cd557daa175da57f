package discovery_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/mbus-dev/mbus/discovery"
)

func TestNear(t *testing.T) {
	services := []string{"go.micro.srv.greeter", "go.micro.srv.geo", "go.micro.srv.auth", "go.micro.api.greeter", "mbus", "EchoService"}
	for _, c := range []struct {
		name string
		want []string
	}{
		{"go.micro.srv.greter", []string{"go.micro.srv.greeter", "go.micro.api.greeter", "go.micro.srv.geo"}},
		{"greeter", []string{"go.micro.api.greeter", "go.micro.srv.greeter"}},
		{"GO.MICRO.SRV.AUTH", []string{"go.micro.srv.auth", "go.micro.srv.geo"}},
		{"greter", []string{"go.micro.api.greeter", "go.micro.srv.greeter"}},
		{"srv.greter", []string{"go.micro.srv.greeter"}},
		{"mbsu", []string{"mbus"}}, // two neighbours swapped
		{"echoservice", []string{"EchoService"}},
		{"", nil},
		{"zebra", nil},
		{strings.Repeat("x", 10_000), nil},
	} {
		if got := discovery.Near(c.name, services); !slices.Equal(got, c.want) {
			t.Errorf("Near(%.30q) = %q, want %q", c.name, got, c.want)
		}
	}
	if got := discovery.Near("ab", []string{"ab", "ab", "ax", "bb", "aab"}); len(got) != 3 || got[0] != "ab" {
		t.Errorf("%q, want three names, each once, the same one first", got)
	}
}
