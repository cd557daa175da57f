package selector_test

import (
	"fmt"

	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/discovery/selector"
)

func ExampleParse() {
	cfg, err := selector.Parse("least-loaded,version=1.2.0,zone=a,local")
	fmt.Println(cfg.Strategy, cfg.Version, cfg.Labels, cfg.Local, err)
	_, err = selector.Parse("best")
	fmt.Println(err)
	// Output:
	// least-loaded 1.2.0 map[zone:a] true <nil>
	// no selector "best"; there are blacklist, cache, consistent-hash, default, least-loaded, random, roundrobin
}

func ExamplePicker() {
	hello := []discovery.Endpoint{{Name: "Say.Hello"}}
	instances := []discovery.Instance{ // as View.Instances returns them
		{ID: "a", Version: "1.0.0", Endpoints: hello},
		{ID: "b", Version: "2.0.0", Endpoints: hello},
		{ID: "c", Version: "2.0.0", Endpoints: hello},
	}
	p := selector.NewPicker(selector.Config{Strategy: selector.RoundRobin, Version: "2.0.0"})
	count := map[string]int{}
	for range 10 {
		choice, ok := p.Pick(instances, &selector.Call{Method: "Say.Hello"})
		if !ok {
			break // nobody passes
		}
		count[choice.ID]++
		choice.Done(selector.Answered)
	}
	fmt.Println(count)
	// Output: map[b:5 c:5]
}

func ExampleConfig_Explain() {
	instances := []discovery.Instance{{ID: "a", Version: "1.0.0", Endpoints: []discovery.Endpoint{{Name: "Say.Hello"}}}}
	fmt.Println(selector.Config{Version: "2.0.0"}.Explain(instances, "Say.Hello"))
	// Output: version=2.0.0 leaves out 1 of 1 instances (there is 1.0.0)
}
