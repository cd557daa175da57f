package token

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mbus-dev/mbus/bus"
)

// maxRules bounds a file of rules.
const maxRules = 1 << 20

// A Rule allows something. The package comment says what its members mean.
type Rule struct {
	Services  []string `json:"services,omitempty"`
	Methods   []string `json:"methods,omitempty"`
	Topics    []string `json:"topics,omitempty"`
	Publish   []string `json:"publish,omitempty"`
	Subscribe []string `json:"subscribe,omitempty"`
	Scopes    []string `json:"scopes,omitempty"`
	Public    bool     `json:"public,omitempty"`
}

// Rules say what callers may do. The zero value allows nothing; a nil *Rules
// allows everything. They are not changed after they were made, and may be used
// from any goroutine.
type Rules struct{ rules []Rule }

// NewRules checks rules. The error says which one is wrong.
func NewRules(rules []Rule) (*Rules, error) {
	for i, r := range rules {
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("rule %d: %w", i+1, err)
		}
	}
	return &Rules{rules}, nil
}

func (r Rule) check() error {
	topics := append(append(append([]string(nil), r.Topics...), r.Publish...), r.Subscribe...)
	switch {
	case len(r.Services) == 0 && len(topics) == 0:
		return fmt.Errorf("it names no services and no topics")
	case len(r.Methods) > 0 && len(r.Services) == 0:
		return fmt.Errorf("it names methods and no services")
	case r.Public && len(r.Scopes) > 0:
		return fmt.Errorf("what is public needs no scopes; leave out one of them")
	}
	for _, text := range append(append(append([]string(nil), r.Services...), r.Methods...), r.Scopes...) {
		if text == "" || strings.ContainsAny(text, " \t") {
			return fmt.Errorf("%q is no name", text)
		}
	}
	for _, topic := range topics {
		if err := checkPattern(topic); err != nil {
			return err
		}
	}
	return nil
}

func checkPattern(pattern string) error {
	parts := strings.Split(pattern, ".")
	for i, part := range parts {
		if part == "" || strings.ContainsAny(part, " \t") || part == ">" && i != len(parts)-1 {
			return fmt.Errorf("%q is no pattern of topics", pattern)
		}
	}
	return nil
}

// ReadRules reads a file of rules.
func ReadRules(path string) (*Rules, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxRules+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxRules {
		return nil, fmt.Errorf("%s has more than %d bytes", path, maxRules)
	}
	rules, err := ParseRules(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return rules, nil
}

// ParseRules reads rules as a file has them.
func ParseRules(data []byte) (*Rules, error) {
	var file struct {
		Rules []Rule `json:"rules"`
	}
	d := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("something follows the closing brace")
	}
	return NewRules(file.Rules)
}

// MayCall returns nil if the caller, nil for one without a token, may call a
// method. Else the error is unauthenticated or permission_denied.
func (rs *Rules) MayCall(c *Caller, service, method string) error {
	return rs.may(c, service+"."+method, func(r *Rule) bool {
		return anyGlob(r.Services, service) && (len(r.Methods) == 0 || anyGlob(r.Methods, method))
	})
}

// MayPublish is MayCall for a topic to publish.
func (rs *Rules) MayPublish(c *Caller, topic string) error {
	return rs.may(c, "the topic "+topic, func(r *Rule) bool {
		return anyTopic(r.Topics, topic) || anyTopic(r.Publish, topic)
	})
}

// MaySubscribe is MayCall for a topic or a pattern to subscribe to. All that the
// pattern stands for must be allowed by one rule.
func (rs *Rules) MaySubscribe(c *Caller, pattern string) error {
	return rs.may(c, "the topic "+pattern, func(r *Rule) bool {
		return anyTopic(r.Topics, pattern) || anyTopic(r.Subscribe, pattern)
	})
}

func (rs *Rules) may(c *Caller, what string, covers func(*Rule) bool) error {
	if rs == nil {
		return nil
	}
	var lacking string
	for i := range rs.rules {
		r := &rs.rules[i]
		if !covers(r) {
			continue
		}
		if r.Public {
			return nil
		}
		if c == nil {
			continue
		}
		missing, ok := r.missing(c)
		if ok {
			return nil
		}
		lacking = missing
	}
	var e *bus.Error
	switch {
	case c == nil:
		e = bus.Errorf(bus.Unauthenticated, "this needs a token: Authorization: Bearer TOKEN")
	case lacking != "":
		e = bus.Errorf(bus.PermissionDenied, "the token lacks the scope %q for %s", lacking, what)
	default:
		e = bus.Errorf(bus.PermissionDenied, "no rule allows %s", what)
	}
	e.End = bus.Refused
	return e
}

func (r *Rule) missing(c *Caller) (scope string, none bool) {
	for _, s := range r.Scopes {
		if !c.Has(s) {
			return s, false
		}
	}
	return "", true
}

func anyGlob(patterns []string, name string) bool {
	for _, p := range patterns {
		if glob(p, name) {
			return true
		}
	}
	return false
}

// glob matches a pattern in which "*" stands for any text.
func glob(pattern, name string) bool {
	first, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, first)
	if !ok {
		return false
	}
	for {
		part, after, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(name, part)
		}
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name, rest = name[i+len(part):], after
	}
}

func anyTopic(patterns []string, topic string) bool {
	for _, p := range patterns {
		if covers(p, topic) {
			return true
		}
	}
	return false
}

// covers reports whether all that topic, which may be a pattern itself, stands
// for is in pattern.
func covers(pattern, topic string) bool {
	allowed, asked := strings.Split(pattern, "."), strings.Split(topic, ".")
	for i, part := range allowed {
		switch {
		case part == ">":
			return i < len(asked)
		case i >= len(asked) || asked[i] == ">":
			return false
		case part != "*" && part != asked[i]:
			return false
		}
	}
	return len(asked) == len(allowed)
}
