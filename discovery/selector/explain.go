package selector

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mbus-dev/mbus/discovery"
)

// maxNamed bounds the values listed in one sentence.
const maxNamed = 8

// Explain says why none of the instances passes: which filter leaves out how
// many of them, and what there is in its place. It is "" if one passes and
// offers the method, or if none of them offers it at all. Foreign instances and
// registered apps do not count.
func (c Config) Explain(instances []discovery.Instance, method string) string {
	instances = slices.DeleteFunc(slices.Clone(instances), func(i discovery.Instance) bool { return !callable(&i) })
	var offered, passed, both int
	for i := range instances {
		_, offers := instances[i].Endpoint(method)
		admitted := c.Admits(instances[i].Version, instances[i].Metadata)
		if offers {
			offered++
		}
		if admitted {
			passed++
		}
		if offers && admitted {
			both++
		}
	}
	switch {
	case both > 0 || offered == 0:
		return ""
	case passed > 0:
		return fmt.Sprintf("%s passes %d of %d instances, and none of those has the method %s", c.filters(), passed, len(instances), method)
	}
	var parts []string
	say := func(filter string, value func(*discovery.Instance) (string, bool), want string) {
		there := make(map[string]bool)
		out := 0
		for i := range instances {
			got, has := value(&instances[i])
			if has && got == want {
				continue
			}
			out++
			if has {
				there[got] = true
			}
		}
		if out > 0 {
			parts = append(parts, fmt.Sprintf("%s leaves out %d of %d instances (there %s)", filter, out, len(instances), listed(there)))
		}
	}
	if c.Version != "" {
		say("version="+c.Version, func(i *discovery.Instance) (string, bool) { return i.Version, true }, c.Version)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Labels)) {
		say(name+"="+c.Labels[name], func(i *discovery.Instance) (string, bool) {
			v, ok := i.Metadata[name]
			return v, ok
		}, c.Labels[name])
	}
	return strings.Join(parts, ", ")
}

// filters are the filters alone, as Parse reads them.
func (c Config) filters() string {
	c.Strategy, c.Local = Bus, false
	return strings.TrimPrefix(c.String(), "default,")
}

func listed(values map[string]bool) string {
	names := slices.Sorted(maps.Keys(values))
	switch {
	case len(names) == 0:
		return "is none with any value"
	case len(names) == 1:
		return "is " + names[0]
	case len(names) > maxNamed:
		return "are " + strings.Join(names[:maxNamed], ", ") + fmt.Sprintf(" and %d more", len(names)-maxNamed)
	}
	return "are " + strings.Join(names, ", ")
}
