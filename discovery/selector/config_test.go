package selector_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/discovery/selector"
)

func TestParse(t *testing.T) {
	for _, row := range []struct {
		text string
		want selector.Config
		err  string
	}{
		{text: ""},
		{text: "default"},
		{text: "cache"},
		{text: "random", want: selector.Config{Strategy: selector.Random}},
		{text: " roundrobin , local ", want: selector.Config{Strategy: selector.RoundRobin, Local: true}},
		{text: "least-loaded,version=1.2.0,zone=a,rack=b=c", want: selector.Config{
			Strategy: selector.LeastLoaded, Version: "1.2.0", Labels: map[string]string{"zone": "a", "rack": "b=c"},
		}},
		{text: "version=2", want: selector.Config{Version: "2"}},
		{text: "local", want: selector.Config{Local: true}},
		{text: ",zone=", want: selector.Config{Labels: map[string]string{"zone": ""}}},
		{text: "cache,version=2", want: selector.Config{Version: "2"}},
		{text: "best", err: `no selector "best"; there are blacklist, cache, consistent-hash, default, least-loaded, random, roundrobin`},
		{text: "random,roundrobin", err: `"roundrobin" is neither LABEL=VALUE nor local`},
		{text: "random,", err: `"" is neither`},
		{text: "random,=a", err: `"=a" is neither`},
		{text: "=a", err: `"=a" is neither`},
		{text: "random,version=", err: "want one version"},
		{text: "random,version=1,version=2", err: "want one version"},
		{text: "random,zone=a,zone=b", err: "the label zone is given twice"},
		{text: strings.Repeat("x", 5000), err: "too long"},
	} {
		got, err := selector.Parse(row.text)
		switch {
		case row.err != "":
			if err == nil || !strings.Contains(err.Error(), row.err) {
				t.Errorf("%q: got %v, want %q", row.text, err, row.err)
			}
		case err != nil:
			t.Errorf("%q: %v", row.text, err)
		default:
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("%q: (-want +got)\n%s", row.text, diff)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"", "default", "random,version=1,local,zone=a", "version=,", ",a=b", "=", "local,local"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cfg, err := selector.Parse(text)
		if err != nil {
			if diff := cmp.Diff(selector.Config{}, cfg); diff != "" {
				t.Errorf("%q is wrong and is something:\n%s", text, diff)
			}
			return
		}
		if err := cfg.Check(); err != nil {
			t.Error(err)
		}
		again, err := selector.Parse(cfg.String())
		if err != nil {
			t.Fatalf("%q is written as %q: %v", text, cfg.String(), err)
		}
		if diff := cmp.Diff(cfg, again); diff != "" {
			t.Errorf("%q is written as %q:\n%s", text, cfg.String(), diff)
		}
	})
}

func TestWhatIsOn(t *testing.T) {
	for text, want := range map[string][2]bool{ // on, filters
		"default": {false, false}, "random": {true, false}, "local": {true, false}, "version=1": {true, true}, "zone=a": {true, true},
	} {
		cfg, err := selector.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]bool{cfg.On(), cfg.Filters()}; got != want {
			t.Errorf("%q: on and filters are %v, want %v", text, got, want)
		}
	}
}

func TestExplain(t *testing.T) {
	there := []discovery.Instance{
		instance("a", version("1.0.0"), label("zone", "x")),
		instance("b", version("1.1.0"), label("zone", "y")),
		instance("c", version("2.0.0")),
		instance("f", version("9"), foreign),
	}
	there[2].Endpoints = append(there[2].Endpoints, discovery.Endpoint{Name: "Say.New"})
	for text, want := range map[string]string{
		"version=1.0.0":        "",
		"version=9":            "version=9 leaves out 3 of 3 instances (there are 1.0.0, 1.1.0, 2.0.0)",
		"zone=z":               "zone=z leaves out 3 of 3 instances (there are x, y)",
		"rack=1":               "rack=1 leaves out 3 of 3 instances (there is none with any value)",
		"version=2.0.0,zone=x": "version=2.0.0 leaves out 2 of 3 instances (there are 1.0.0, 1.1.0), zone=x leaves out 2 of 3 instances (there is y)",
	} {
		cfg, err := selector.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := cfg.Explain(there, "Say.Hello"); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", text, got, want)
		}
	}
	cfg := selector.Config{Version: "1.0.0"}
	if got, want := cfg.Explain(there, "Say.New"), "version=1.0.0 passes 1 of 3 instances, and none of those has the method Say.New"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := cfg.Explain(there, "Say.Nothing"); got != "" {
		t.Errorf("a method that nobody has is explained by the filter: %q", got)
	}
}
