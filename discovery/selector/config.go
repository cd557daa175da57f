package selector

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/discovery"
)

// A Strategy says how one of several instances is chosen. The list is closed.
type Strategy string

// The strategies; the package documentation says what each does.
const (
	// Bus leaves the choice to the bus, or is Random if there are filters.
	Bus            Strategy = ""
	Random         Strategy = "random"
	RoundRobin     Strategy = "roundrobin"
	LeastLoaded    Strategy = "least-loaded"
	ConsistentHash Strategy = "consistent-hash"
	Blacklist      Strategy = "blacklist"
)

// Names are the names that Parse knows, in order. Micro's default and cache
// mean the choice of the bus, which needs no cache.
func Names() []string {
	return []string{string(Blacklist), "cache", string(ConsistentHash), "default", string(LeastLoaded), string(Random), string(RoundRobin)}
}

// A Config says who may be chosen, and how. The zero value leaves the choice to
// the bus.
type Config struct {
	Strategy Strategy
	// Version is the only version that may be chosen, "" any.
	Version string
	// Labels are metadata that an instance must have, with these values.
	Labels map[string]string
	// Local prefers instances that are near: on the same connection, then at
	// the same server of the broker.
	Local bool
	// Wait is how long calls wait, counted from the first one, until it is known
	// which instances there are; after that the bus chooses, or with filters the
	// calls fail. 0 means 100 ms, and a second with filters. Parse does not set it.
	Wait time.Duration
}

// On reports whether there is anything to choose.
func (c Config) On() bool { return c.Strategy != Bus || c.Local || c.Filters() }

// Filters reports whether some instances may not be chosen.
func (c Config) Filters() bool { return c.Version != "" || len(c.Labels) > 0 }

// Admits reports whether an instance with this version and metadata may be
// chosen.
func (c Config) Admits(version string, metadata map[string]string) bool {
	if c.Version != "" && c.Version != version {
		return false
	}
	for name, want := range c.Labels {
		if got, ok := metadata[name]; !ok || got != want {
			return false
		}
	}
	return true
}

// Check returns an error if there is no such strategy.
func (c Config) Check() error {
	switch c.Strategy {
	case Bus, Random, RoundRobin, LeastLoaded, ConsistentHash, Blacklist:
		return nil
	}
	return unknown(string(c.Strategy))
}

func unknown(name string) error {
	return fmt.Errorf("no selector %q; there are %s", name, strings.Join(Names(), ", "))
}

// maxText bounds what Parse reads.
const maxText = 4096

// Parse reads what options and variables hold:
//
//	NAME[,version=VERSION][,local][,LABEL=VALUE...]
//
// NAME is one of Names; without it the filters choose at random. A value cannot
// hold a comma, and a label cannot be called version.
func Parse(text string) (Config, error) {
	var cfg Config
	if len(text) > maxText {
		return cfg, fmt.Errorf("a selector of %d bytes is too long, at most %d are read", len(text), maxText)
	}
	for n, item := range strings.Split(text, ",") {
		item = strings.TrimSpace(item)
		name, value, pair := strings.Cut(item, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		switch {
		case item == "" && n == 0:
		case pair && name == "version":
			if cfg.Version != "" || value == "" {
				return Config{}, fmt.Errorf("selector %q: want one version, as in version=1.2.0", text)
			}
			cfg.Version = value
		case pair && name != "":
			if _, twice := cfg.Labels[name]; twice {
				return Config{}, fmt.Errorf("selector %q: the label %s is given twice", text, name)
			}
			if cfg.Labels == nil {
				cfg.Labels = make(map[string]string)
			}
			cfg.Labels[name] = value
		case item == "local":
			cfg.Local = true
		case n == 0 && !pair:
			if item == "default" || item == "cache" {
				continue
			}
			cfg.Strategy = Strategy(item)
			if err := cfg.Check(); err != nil {
				return Config{}, err
			}
		default:
			return Config{}, fmt.Errorf("selector %q: %q is neither LABEL=VALUE nor local; want NAME[,version=VERSION][,local][,LABEL=VALUE...]", text, item)
		}
	}
	return cfg, nil
}

// String is what Parse reads.
func (c Config) String() string {
	items := []string{string(c.Strategy)}
	if c.Strategy == Bus {
		items[0] = "default"
	}
	if c.Version != "" {
		items = append(items, "version="+c.Version)
	}
	if c.Local {
		items = append(items, "local")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Labels)) {
		items = append(items, name+"="+c.Labels[name])
	}
	return strings.Join(items, ",")
}

// callable reports whether an instance can be called by its id: it is on the
// bus and speaks mbus.
func callable(i *discovery.Instance) bool { return !i.Foreign && !i.Registered() }
