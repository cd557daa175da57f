package mcp

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway"
)

const (
	// maxTools bounds the tools: a model cannot choose among more.
	maxTools = 1024
	// maxDescription bounds the text of a tool, which a service chooses.
	maxDescription = 4 << 10

	debugPrefix = "Debug."
)

// A target is the method behind a tool.
type target struct {
	service, method string
	endpoint        discovery.Endpoint
}

// same reports whether the tool of t is also that of o.
func (t target) same(o target) bool {
	return t.service == o.service && t.method == o.method && t.endpoint.Kind == o.endpoint.Kind &&
		t.endpoint.Request == o.endpoint.Request && t.endpoint.Response == o.endpoint.Response &&
		maps.Equal(t.endpoint.Metadata, o.endpoint.Metadata)
}

// targets are the methods that may be tools and are there, by the names of their
// tools, and how many more there are than fit. Of several instances that
// differ the youngest counts.
func (s *Server) targets() (found map[string]target, left int) {
	found = make(map[string]target)
	view := s.bus.View()
	if view == nil {
		return found, 0
	}
	for _, service := range view.Services() {
		instances := slices.Clone(view.Instances(service))
		slices.SortStableFunc(instances, func(a, b discovery.Instance) int { return a.Started.Compare(b.Started) })
		for _, i := range instances {
			for _, e := range i.Endpoints {
				if !s.offers(service, e) {
					continue
				}
				name := toolName(service, e.Name)
				if _, known := found[name]; !known && len(found) == maxTools {
					left++
					continue
				}
				found[name] = target{service, e.Name, e}
			}
		}
	}
	return found, left
}

func (s *Server) offers(service string, e discovery.Endpoint) bool {
	if strings.HasPrefix(e.Name, debugPrefix) || e.Kind != "" && e.Kind != discovery.KindUnary && e.Kind != discovery.KindServerStream {
		return false
	}
	return slices.ContainsFunc(s.allow, func(p pattern) bool { return p.matches(service, e.Name) })
}

// tool describes a target to clients.
func (s *Server) tool(ctx context.Context, name string, t target) *sdk.Tool {
	schemas := s.schemas.Get(ctx, t.service, t.endpoint.Request, t.endpoint.Response)
	about := t.endpoint.Metadata
	text := about["description"]
	if text == "" {
		text = fmt.Sprintf("The method %s of the service %s.", t.method, t.service)
	}
	if len(text) > maxDescription {
		text = strings.ToValidUTF8(text[:maxDescription], "")
	}
	stream := t.endpoint.Kind == discovery.KindServerStream
	if stream {
		text += fmt.Sprintf(" The answer is the list of the first %d messages of a stream.", maxMessages)
	}
	tool := &sdk.Tool{
		Name: name, Title: t.service + " " + t.method, Description: text,
		Meta:        sdk.Meta{"mbus/service": t.service, "mbus/method": t.method},
		InputSchema: objectSchema(schemas[t.endpoint.Request], t.endpoint.RequestValue),
		Annotations: &sdk.ToolAnnotations{
			IdempotentHint: about[discovery.MetaIdempotent] == "true",
			ReadOnlyHint:   about["safe"] == "true",
		},
	}
	if !stream {
		if out, ok := outputSchema(schemas[t.endpoint.Response], t.endpoint.ResponseValue); ok {
			tool.OutputSchema = out
		}
	}
	return tool
}

// objectSchema is the schema of a request: the service's own if it describes an
// object, else that of any object.
func objectSchema(body json.RawMessage, value *discovery.Value) map[string]any {
	if schema, ok := outputSchema(body, value); ok {
		return schema
	}
	return map[string]any{"type": "object"}
}

// outputSchema is the schema of an answer; false if it describes no object, as
// clients want of structured content.
func outputSchema(body json.RawMessage, value *discovery.Value) (map[string]any, bool) {
	if len(body) == 0 {
		if value == nil || len(value.Values) == 0 {
			return nil, false
		}
		return gateway.ValueSchema(*value), true
	}
	var schema map[string]any
	if err := json.Unmarshal(body, &schema); err != nil || schema["type"] != "object" {
		return nil, false
	}
	strip(schema)
	return schema, true
}

// strip takes out what would steer the client's side: headers that arguments are
// to be sent in.
func strip(v any) {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "x-mcp-header")
		for _, part := range v {
			strip(part)
		}
	case []any:
		for _, part := range v {
			strip(part)
		}
	}
}
