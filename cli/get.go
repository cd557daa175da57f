package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/mbus-dev/mbus/discovery"
)

type getCommand struct {
	Name []string `arg:"" complete:"noun service" help:"Name of the service, after the word service or alone."`
}

// Run prints what there is to know of a service.
func (c *getCommand) Run(ctx context.Context, s *session) error {
	name, err := c.service()
	if err != nil {
		return err
	}
	way, err := s.reach(ctx)
	if err != nil {
		return err
	}
	defer way.close()
	ctx, cancel := s.within(ctx)
	defer cancel()
	s.begin("asking for " + name)
	services, err := way.get(ctx, name)
	if err != nil {
		return err
	}
	if s.json() {
		return s.printJSON(services)
	}
	return s.printf("%s", formatServices(services))
}

func (c *getCommand) service() (string, error) {
	words := c.Name
	if words[0] == "service" || words[0] == "services" {
		words = words[1:]
	}
	switch {
	case len(words) == 0:
		return "", usagef("get service: NAME is missing; usage: mbus get service NAME")
	case len(words) > 1:
		return "", usagef("get: do not know what to do with %q; usage: mbus get service NAME", words[1])
	}
	return words[0], nil
}

// formatServices is the layout of Micro: the versions with their instances,
// then the endpoints of the first version.
func formatServices(services []discovery.Service) string {
	if len(services) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "service  %s\n", services[0].Name)
	for _, service := range services {
		formatVersion(&b, service.Version)
		b.WriteString("\nId\tAddress\tPort\tMetadata\n")
		for _, n := range service.Nodes {
			fmt.Fprintf(&b, "%s\t%s\t%s\t%s\n", n.ID, n.Address, port(n.Port), pairs(n.Metadata))
		}
	}
	for _, e := range services[0].Endpoints {
		fmt.Fprintf(&b, "\nEndpoint: %s\nMetadata: %s\n\n", e.Name, pairs(e.Metadata))
		fmt.Fprintf(&b, "Request: %s\n\nResponse: %s\n\n", formatMessage(e.Request), formatMessage(e.Response))
	}
	return b.String()
}

func formatVersion(b *strings.Builder, version string) {
	if version != "" {
		fmt.Fprintf(b, "\nversion %s\n", version)
	}
}

// port is "-" for what is on the bus.
func port(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

func pairs(metadata map[string]string) string {
	var list []string
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		list = append(list, key+"="+metadata[key])
	}
	return strings.Join(list, ",")
}

func formatMessage(v *discovery.Value) string {
	if v == nil || len(v.Values) == 0 {
		return "{}"
	}
	var b strings.Builder
	b.WriteString("{\n")
	for _, field := range v.Values {
		formatField(&b, field, 1)
	}
	b.WriteString("}")
	return b.String()
}

// formatField prints a field under the name that it has in a request, so that
// what is shown can be typed.
func formatField(b *strings.Builder, v discovery.Value, depth int) {
	tabs := strings.Repeat("\t", depth)
	if len(v.Values) == 0 {
		fmt.Fprintf(b, "%s%s %s\n", tabs, v.Name, v.Type)
		return
	}
	fmt.Fprintf(b, "%s%s %s {\n", tabs, v.Name, v.Type)
	for _, field := range v.Values {
		formatField(b, field, depth+1)
	}
	fmt.Fprintf(b, "%s}\n", tabs)
}
