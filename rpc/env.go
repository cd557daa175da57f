package rpc

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// ConfigFromEnv reads a ServerConfig from the environment, for programs whose
// name, version and the rest are decided where they are deployed. Each variable
// MBUS_SERVER_X falls back to MICRO_SERVER_X; an empty one counts as unset.
//
//	NAME                the service
//	VERSION             its version
//	ID                  the id of the instance
//	METADATA            k=v,k=v
//	ADVERTISE           host:port shown in discovery
//	ADDRESS             accepted, for programs that came from Micro: a server on the bus listens nowhere
//	REGISTER_INTERVAL   seconds between heartbeats
//	REGISTER_TTL        seconds until a silent instance counts as gone; without an interval, a third of it is the interval
//
// REGISTER_TTL and REGISTER_INTERVAL are also read without SERVER_. What is not
// set is left at the zero value, to be filled in by the program. The error names
// the variable and says what it wants.
func ConfigFromEnv() (ServerConfig, error) {
	var cfg ServerConfig
	var err error
	cfg.Name, _ = fromEnv("NAME")
	cfg.Version, _ = fromEnv("VERSION")
	cfg.ID, _ = fromEnv("ID")
	cfg.Advertise, _ = fromEnv("ADVERTISE")
	if text, name := fromEnv("METADATA"); text != "" {
		if cfg.Metadata, err = parseMetadata(text); err != nil {
			return ServerConfig{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	ttl, ttlName, err := seconds("REGISTER_TTL")
	if err != nil {
		return ServerConfig{}, err
	}
	if cfg.BeatInterval, _, err = seconds("REGISTER_INTERVAL"); err != nil {
		return ServerConfig{}, err
	}
	switch {
	case ttl > 0 && cfg.BeatInterval == 0:
		cfg.BeatInterval = ttl / 3
	case ttl > 0 && ttl <= cfg.BeatInterval:
		return ServerConfig{}, fmt.Errorf("%s is %v, not more than the interval of %v: the instance would be gone before each heartbeat", ttlName, ttl, cfg.BeatInterval)
	}
	return cfg, cfg.checkEnv()
}

// checkEnv checks the values that NewServer would panic for.
func (c ServerConfig) checkEnv() error {
	for _, field := range []struct {
		variable string
		value    string
		alone    ServerConfig
	}{
		{"NAME", c.Name, ServerConfig{Name: c.Name}},
		{"ID", c.ID, ServerConfig{Name: "x", ID: c.ID}},
	} {
		if field.value == "" {
			continue
		}
		if err := field.alone.check(); err != nil {
			_, name := fromEnv(field.variable)
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := checkNotes(c.Metadata); err != nil {
		_, name := fromEnv("METADATA")
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// fromEnv returns the value of a variable and the name under which it was
// found.
func fromEnv(what string) (value, name string) {
	names := []string{"MBUS_SERVER_" + what, "MICRO_SERVER_" + what}
	if strings.HasPrefix(what, "REGISTER_") {
		names = []string{"MBUS_SERVER_" + what, "MBUS_" + what, "MICRO_SERVER_" + what, "MICRO_" + what}
	}
	return firstEnv(names...)
}

// firstEnv returns the value of the first variable that is not empty, and its
// name; that of the first if all are.
func firstEnv(names ...string) (value, name string) {
	for _, name := range names {
		if v := os.Getenv(name); v != "" {
			return v, name
		}
	}
	return "", names[0]
}

func seconds(what string) (time.Duration, string, error) {
	text, name := fromEnv(what)
	if text == "" {
		return 0, name, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 24*60*60 {
		return 0, name, fmt.Errorf("%s: %q is not a number of seconds from 0 to 86400", name, text)
	}
	return time.Duration(n) * time.Second, name, nil
}

// parseMetadata reads k=v,k=v. A value may hold "=" but no comma.
func parseMetadata(text string) (map[string]string, error) {
	m := make(map[string]string)
	for _, entry := range strings.Split(text, ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		k, v, found := strings.Cut(entry, "=")
		k = strings.TrimSpace(k)
		if !found || k == "" {
			return nil, fmt.Errorf("%q is not k=v; want k=v,k=v", entry)
		}
		if _, twice := m[k]; twice {
			return nil, fmt.Errorf("%q is given twice", k)
		}
		m[k] = strings.TrimSpace(v)
	}
	return m, nil
}
