package spec

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Metadata of endpoints that say how they are reached.
const (
	metaPath        = "path"
	metaMethod      = "method"
	metaHandler     = "handler"
	metaSafe        = "safe"
	metaDescription = "description"

	handlerAPI = "api"
)

// maxRoutes bounds the paths of one endpoint.
const maxRoutes = 16

type object = map[string]any

// openAPI makes the OpenAPI document.
func (s *Spec) openAPI(ctx context.Context, debug bool) object {
	methods, _, left := s.survey(ctx, debug)
	d := &openAPI{components: newComponents(), paths: object{}, shapes: map[string]string{}, operations: map[string]bool{}}
	tags := map[string]bool{}
	for _, m := range methods {
		tags[m.service] = true
		d.method(m, s.cfg.Namespace)
	}
	d.components.schemas["Failure"] = failureSchema()
	doc := object{
		"openapi": "3.1.0",
		"info": object{
			"title": "mbus", "version": s.cfg.Version,
			"summary":     "The services on the bus.",
			"description": "Made of what the services announce; it changes as they come and go.",
		},
		"servers":  []any{object{"url": "/"}},
		"security": []any{},
		"tags":     tagList(tags),
		"paths":    d.paths,
		"components": object{
			"schemas":   d.components.schemas,
			"responses": object{"Failure": jsonResponse("The call failed.", ref(schemasAt+"Failure"))},
		},
	}
	if s.cfg.Auth {
		doc["security"] = []any{object{"bearer": []any{}}}
		doc["components"].(object)["securitySchemes"] = object{"bearer": object{"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
	}
	if left > 0 {
		doc["x-mbus-left-out"] = left
	}
	return doc
}

type openAPI struct {
	components *components
	paths      object
	shapes     map[string]string // a path with each shape: two that differ in names alone are one
	operations map[string]bool
}

// method adds every way to reach a method.
func (d *openAPI) method(m *method, namespace string) {
	request := d.components.message(m.service, m.endpoint.Request, m.bodies, m.endpoint.RequestValue)
	response := d.components.message(m.service, m.endpoint.Response, m.bodies, m.endpoint.ResponseValue)
	asMessage := m.takesHTTP(d.components)
	d.add("/"+m.service+"/"+m.name, m, request, response, http.MethodPost)
	if m.note(metaSafe) == "true" && !m.stream() {
		d.add("/"+m.service+"/"+m.name, m, request, response, http.MethodGet)
	}
	verbs := []string{http.MethodPost}
	if asMessage {
		request, response = nil, object{}
		verbs = []string{http.MethodGet, http.MethodPost}
	} else if m.note(metaSafe) == "true" && !m.stream() {
		verbs = append(verbs, http.MethodGet)
	}
	if path, ok := microPath(namespace, m.service, m.name); ok {
		d.add(path, m, request, response, verbs...)
	}
	for _, path := range listed(m.note(metaPath)) {
		wanted := listed(strings.ToUpper(m.note(metaMethod)))
		if len(wanted) == 0 {
			wanted = verbs
		}
		d.add(path, m, request, response, wanted...)
	}
}

// takesHTTP reports whether a method takes HTTP requests as messages.
func (m *method) takesHTTP(c *components) bool {
	if handler := m.note(metaHandler); handler != "" {
		return handler == handlerAPI
	}
	fields := map[string]bool{}
	if v := m.endpoint.RequestValue; v != nil {
		for _, part := range v.Values {
			fields[part.Name] = true
		}
	} else if body, ok := c.schemas[c.names[m.service+" "+m.endpoint.Request]].(object); ok {
		properties, _ := body["properties"].(object)
		for name := range properties {
			fields[name] = true
		}
	}
	for _, want := range []string{"method", "path", "header", "get", "post", "body"} {
		if !fields[want] {
			return false
		}
	}
	return true
}

var field = regexp.MustCompile(`\{([A-Za-z0-9_.-]+?)(\.\.\.)?\}`)

// add describes a path. Regular expressions have no place in a document, and of
// two paths with one shape the first counts.
func (d *openAPI) add(path string, m *method, request, response object, verbs ...string) {
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "^$*+?()[]|\\ #\"<>%") {
		return
	}
	var fields []string
	path = field.ReplaceAllStringFunc(path, func(part string) string {
		name := field.FindStringSubmatch(part)[1]
		fields = append(fields, name)
		return "{" + name + "}"
	})
	shape := field.ReplaceAllString(path, "{}")
	if !wholeParts(shape) || len(slices.Compact(slices.Sorted(slices.Values(fields)))) < len(fields) {
		return
	}
	if known, ok := d.shapes[shape]; ok && known != path {
		return
	}
	d.shapes[shape] = path
	item, _ := d.paths[path].(object)
	if item == nil {
		item = object{}
	}
	for _, verb := range verbs {
		key := strings.ToLower(verb)
		if !slices.Contains([]string{"get", "put", "post", "delete", "options", "head", "patch"}, key) || item[key] != nil {
			continue
		}
		item[key] = d.operation(key, m, fields, request, response)
	}
	if len(item) > 0 {
		d.paths[path] = item
	}
}

// wholeParts reports whether the fields of a path are whole parts of it.
func wholeParts(shape string) bool {
	for part := range strings.SplitSeq(shape, "/") {
		if part != "{}" && strings.ContainsAny(part, "{}") {
			return false
		}
	}
	return true
}

func (d *openAPI) operation(verb string, m *method, fields []string, request, response object) object {
	op := object{
		"operationId": d.id(m, verb), "tags": []any{m.service}, "summary": m.name,
		"x-mbus-service": m.service, "x-mbus-method": m.name, "x-mbus-kind": m.kind(), "x-mbus-instances": m.instances,
		"responses": responses(m, response),
	}
	if text := m.note(metaDescription); text != "" {
		op["description"] = text
	}
	parameters := []any{}
	for _, name := range fields {
		parameters = append(parameters, object{"name": name, "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	switch {
	case verb == "get" || verb == "head" || verb == "delete":
		parameters = append(parameters, d.query(request, fields)...)
	case request == nil:
		op["requestBody"] = object{"content": object{"application/json": object{"schema": object{}}, "application/x-www-form-urlencoded": object{"schema": object{"type": "object"}}}}
	default:
		op["requestBody"] = object{"required": false, "content": object{"application/json": object{"schema": request}}}
	}
	if len(parameters) > 0 {
		op["parameters"] = parameters
	}
	return op
}

// id is the name of an operation; further ones of a method are numbered.
func (d *openAPI) id(m *method, verb string) string {
	id := m.service + "." + m.name
	if verb != "post" {
		id += "." + verb
	}
	for n := 2; d.operations[id]; n++ {
		id = m.service + "." + m.name + "." + verb + "." + strconv.Itoa(n)
	}
	d.operations[id] = true
	return id
}

// query are the fields of a request that fit into a query.
func (d *openAPI) query(request object, not []string) []any {
	schema := request
	if to, ok := request["$ref"].(string); ok {
		schema, _ = d.components.schemas[strings.TrimPrefix(to, schemasAt)].(object)
	}
	properties, _ := schema["properties"].(object)
	var parameters []any
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if slices.Contains(not, name) || name == "" {
			continue
		}
		parameters = append(parameters, object{"name": name, "in": "query", "schema": properties[name]})
	}
	return parameters
}

func responses(m *method, response object) object {
	all := object{"default": object{"$ref": "#/components/responses/Failure"}}
	for _, status := range []int{400, 404, 429, 503, 504} {
		all[strconv.Itoa(status)] = all["default"]
	}
	if !m.stream() {
		all["200"] = jsonResponse("The answer.", response)
		return all
	}
	all["200"] = object{
		"description": "The messages of the stream, as they come: each line of NDJSON, and the data of each event, is one.",
		"content": object{
			"application/x-ndjson": object{"schema": response},
			"text/event-stream":    object{"schema": object{"type": "string"}},
		},
	}
	return all
}

func jsonResponse(text string, schema object) object {
	return object{"description": text, "content": object{"application/json": object{"schema": schema}}}
}

func ref(to string) object { return object{"$ref": to} }

func tagList(names map[string]bool) []any {
	all := []any{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		all = append(all, object{"name": name})
	}
	return all
}

// failureSchema describes gateway.Failure.
func failureSchema() object {
	text := object{"type": "string"}
	return object{
		"type": "object", "title": "Failure", "required": []any{"id", "code", "detail", "status"},
		"properties": object{
			"id":         object{"type": "string", "description": "Who failed: SERVICE.METHOD of a call, else the gateway."},
			"code":       object{"type": "integer", "description": "The HTTP status."},
			"detail":     object{"type": "string", "description": "What was wrong and what to do."},
			"status":     text,
			"request_id": text,
			"reason":     object{"type": "string", "description": "The name of the code, such as invalid_argument."},
			"data":       object{"description": "What the service added for programs to read."},
		},
	}
}

// microPath is the path by which Micro's rule finds a method, if there is one.
func microPath(namespace, service, name string) (string, bool) {
	rest, inside := strings.CutPrefix(service, namespace+".")
	parts := strings.Split(name, ".")
	if !inside || len(parts) != 2 {
		return "", false
	}
	own := strings.Split(rest, ".")
	if version.MatchString(own[0]) && len(own) == 1 {
		return "", false // its path would be that of another service
	}
	for i, part := range parts {
		if part[0] < 'A' || part[0] > 'Z' {
			return "", false // the rule makes a capital of every first letter
		}
		parts[i] = strings.ToLower(part[:1]) + part[1:]
	}
	return fmt.Sprintf("/%s/%s", strings.Join(own, "/"), strings.Join(parts, "/")), true
}

var version = regexp.MustCompile(`^v[0-9]+$`)

// listed reads a list with commas.
func listed(text string) []string {
	var all []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" && len(all) < maxRoutes {
			all = append(all, item)
		}
	}
	return all
}
