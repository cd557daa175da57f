package spec

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway"
)

const schemasAt = "#/components/schemas/"

// components are the schemas of a document under names of their own.
type components struct {
	schemas map[string]any
	names   map[string]string // by service and hash
	titles  map[string]string // the hash that has a name, by the name
}

func newComponents() *components {
	return &components{schemas: map[string]any{}, names: map[string]string{}, titles: map[string]string{}}
}

// message returns a reference to the schema of a message, or the schema of any
// value.
func (c *components) message(service, hash string, bodies map[string]json.RawMessage, value *discovery.Value) map[string]any {
	if body, ok := bodies[hash]; ok {
		return map[string]any{"$ref": schemasAt + c.add(service, hash, body)}
	}
	if value != nil && (value.Type != "" || len(value.Values) > 0) {
		return gateway.ValueSchema(*value)
	}
	return map[string]any{}
}

// add puts a schema under its title, with its definitions beside it.
func (c *components) add(service, hash string, body json.RawMessage) string {
	key := service + " " + hash
	if name, ok := c.names[key]; ok {
		return name
	}
	var root any
	reader := json.NewDecoder(bytes.NewReader(body))
	reader.UseNumber()
	if err := reader.Decode(&root); err != nil {
		root = map[string]any{}
	}
	object, _ := root.(map[string]any)
	title, _ := object["title"].(string)
	name := service + "." + legal(title)
	if title == "" {
		name = service + "." + hash
	}
	if other, taken := c.titles[name]; taken && other != hash {
		name += "-" + hash
	}
	c.titles[name] = hash
	c.names[key] = name

	defs, _ := object["$defs"].(map[string]any)
	places := map[string]string{}
	used := map[string]bool{}
	for _, def := range slices.Sorted(maps.Keys(defs)) {
		place := name + "." + legal(def)
		for used[place] {
			place += "_"
		}
		used[place], places[def] = true, place
	}
	clean := &cleaner{at: func(def string) string { return schemasAt + places[def] }, defs: map[string]bool{}}
	for def := range defs {
		clean.defs[def] = true
	}
	c.schemas[name] = clean.schema(root, 0)
	for def, body := range defs {
		c.schemas[places[def]] = clean.schema(body, 1)
	}
	return name
}

// legal keeps the letters that a component's name may have.
func legal(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		}
		return '_'
	}, text)
}
