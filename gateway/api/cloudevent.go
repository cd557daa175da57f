package api

import (
	"encoding/base64"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nuid"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/gateway"
)

const (
	typeCloudEvent  = "application/cloudevents+json"
	typeCloudEvents = "application/cloudevents-batch+json"
)

// serveCloudEvent publishes a request as a CloudEvent: one that it is already, in
// version 1.0 or 0.1, or else one of version 0.1 that Micro's gateway would have
// made.
func (a *API) serveCloudEvent(w http.ResponseWriter, r *http.Request, parts []string) {
	topic, event := gateway.TopicPath(a.cfg.Namespace, parts)
	err := a.bus.MayPublish(r.Context(), topic)
	var fields map[string]json.RawMessage
	if err == nil {
		fields, err = a.cloudEvent(w, r, topic, event)
	}
	if err == nil {
		err = publishJSON(r.Context(), a.bus.Conn, topic, fields)
	}
	a.published(w, r, err)
}

func (a *API) cloudEvent(w http.ResponseWriter, r *http.Request, topic, event string) (map[string]json.RawMessage, error) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")) // one that cannot be read is none of these
	if kind == typeCloudEvents {
		return nil, status(http.StatusUnsupportedMediaType, "a batch of events is not taken: send them one by one")
	}
	body, err := readBody(w, r, maxForm, &hold{})
	switch {
	case err != nil:
		return nil, err
	case kind == typeCloudEvent:
		return structured(body)
	case r.Header.Get("Ce-Specversion") != "":
		return binary(r.Header, kind, body)
	}
	return a.wrapped(r, kind, topic, event, body)
}

// structured reads an event that is its own body.
func structured(body []byte) (map[string]json.RawMessage, error) {
	fields, err := decodeObject(body)
	if err != nil {
		return nil, err
	}
	required := []string{"specversion", "id", "source", "type"}
	if _, old := fields["cloudEventsVersion"]; old {
		required = []string{"cloudEventsVersion", "eventID", "source", "eventType"}
	}
	for _, name := range required {
		var text string
		if json.Unmarshal(fields[name], &text) != nil || text == "" {
			return nil, bus.Errorf(bus.InvalidArgument, "the event has no %s, or it is no text", name)
		}
	}
	if v := string(fields["specversion"]); v != "" && v != `"1.0"` {
		return nil, bus.Errorf(bus.InvalidArgument, "the specversion %.20s is not known: send 1.0", v)
	}
	_, text := fields["data"]
	if _, bytes := fields["data_base64"]; text && bytes {
		return nil, bus.Errorf(bus.InvalidArgument, "the event has data and data_base64: send one")
	}
	return fields, nil
}

// binary reads an event of version 1.0 whose attributes are headers.
func binary(h http.Header, kind string, body []byte) (map[string]json.RawMessage, error) {
	fields := make(map[string]json.RawMessage)
	for name, values := range h {
		attribute, ok := strings.CutPrefix(strings.ToLower(name), "ce-")
		if !ok {
			continue
		}
		if strings.Trim(attribute, "abcdefghijklmnopqrstuvwxyz0123456789") != "" || len(values) != 1 ||
			attribute == "data" || attribute == "datacontenttype" || attribute == "" {
			return nil, bus.Errorf(bus.InvalidArgument, "the header %.60s is no attribute of an event", name)
		}
		text, err := url.PathUnescape(values[0]) // as the binding of CloudEvents to HTTP has it
		if err != nil || !utf8.ValidString(text) {
			return nil, bus.Errorf(bus.InvalidArgument, "the header %.60s cannot be read", name)
		}
		fields[attribute] = appendText(nil, text)
	}
	if kind != "" {
		fields["datacontenttype"] = appendText(nil, h.Get("Content-Type"))
	}
	name, data := dataOf(kind, body)
	if data != nil {
		if name == "data" && !utf8.Valid(body) {
			return nil, bus.Errorf(bus.InvalidArgument, "the body is no text in UTF-8")
		}
		fields[name] = data
	}
	event, err := json.Marshal(fields)
	if err != nil {
		return nil, bus.Errorf(bus.InvalidArgument, "the body is no %s: %w", kind, err)
	}
	return structured(event)
}

// dataOf is the data of an event in JSON: JSON as it is, text as text, and the
// rest as base64.
func dataOf(kind string, body []byte) (name string, data json.RawMessage) {
	switch {
	case len(body) == 0:
		return "", nil
	case (kind == "" || kind == "application/json" || strings.HasSuffix(kind, "+json")) && codec.Guard(codec.JSON, body) == nil:
		return "data", body
	case utf8.Valid(body):
		return "data", appendText(nil, string(body))
	}
	return "data_base64", appendText(nil, base64.StdEncoding.EncodeToString(body))
}

// wrapped makes an event of version 0.1 as Micro did: of the headers CE-*, of the
// older header Event, or of a request that knows nothing of events.
func (a *API) wrapped(r *http.Request, kind, topic, event string, body []byte) (map[string]json.RawMessage, error) {
	text := func(s string) json.RawMessage { return appendText(nil, s) }
	first := func(name, other string) string {
		if v := r.Header.Get(name); v != "" {
			return v
		}
		return other
	}
	eventType := first("Ce-Eventtype", first("Event", "http.request"))
	fields := map[string]json.RawMessage{
		"eventType":          text(eventType),
		"eventTypeVersion":   text(first("Ce-Eventtypeversion", "1.0")),
		"cloudEventsVersion": text(first("Ce-Cloudeventsversion", "0.1")),
		"source":             text(first("Ce-Source", r.Host+r.URL.Path)),
		"eventID":            text(first("Ce-Eventid", topic+"-"+event+"-"+nuid.Next())),
		"eventTime":          text(first("Ce-Eventtime", time.Now().UTC().Format(time.RFC3339Nano))),
		"contentType":        text(first("Content-Type", "application/octet-stream")),
	}
	if schema := r.Header.Get("Ce-Schemaurl"); schema != "" {
		fields["schemaURL"] = text(schema)
	}
	extensions := map[string]string{}
	for name, values := range r.Header {
		if x, ok := strings.CutPrefix(name, "Ce-X-"); ok && x != "" {
			extensions[x] = strings.Join(values, ", ")
		}
	}
	if len(extensions) > 0 {
		fields["extensions"], _ = json.Marshal(extensions) // texts always can
	}
	if reads(r) {
		q, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil {
			return nil, bus.Errorf(bus.InvalidArgument, "the query cannot be read: %w", err)
		}
		fields["data"], _ = json.Marshal(q) // texts always can
		return fields, nil
	}
	if _, data := dataOf(kind, body); data != nil {
		fields["data"] = data
	}
	return fields, nil
}
