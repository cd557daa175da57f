package spec

import (
	"context"
	"strings"
)

// asyncAPI makes the AsyncAPI document for the gateway at host.
func (s *Spec) asyncAPI(ctx context.Context, debug bool) object {
	methods, _, left := s.survey(ctx, debug)
	d := &asyncAPI{components: newComponents(), channels: object{}, operations: object{}}
	d.events()
	for _, m := range methods {
		if topic := m.note("topic"); topic != "" && m.note("subscriber") == "true" {
			d.topic(topic, m)
		}
		if m.stream() {
			d.stream(m)
		}
	}
	doc := object{
		"asyncapi": "3.0.0",
		"info": object{
			"title": "mbus", "version": s.cfg.Version,
			"description": "The streams of the services on the bus, and its topics. It changes as services come and go.",
		},
		"defaultContentType": "application/json",
		"servers":            object{"gateway": object{"host": hostMark, "protocol": "ws", "description": "The API gateway."}},
		"channels":           d.channels,
		"operations":         d.operations,
		"components":         object{"schemas": d.components.schemas},
	}
	if left > 0 {
		doc["x-mbus-left-out"] = left
	}
	return doc
}

type asyncAPI struct {
	components *components
	channels   object
	operations object
}

// stream adds a conversation with a method over WebSocket. The operations are the
// gateway's: it receives what a client sends.
func (d *asyncAPI) stream(m *method) {
	name := key(m.service + "." + m.name)
	messages := object{
		"request":  object{"title": "Request", "payload": d.components.message(m.service, m.endpoint.Request, m.bodies, m.endpoint.RequestValue)},
		"response": object{"title": "Response", "payload": d.components.message(m.service, m.endpoint.Response, m.bodies, m.endpoint.ResponseValue)},
	}
	channel := object{
		"address": "/" + m.service + "/" + m.name, "title": m.service + " " + m.name, "messages": messages,
		"servers":        []any{ref("#/servers/gateway")},
		"bindings":       object{"ws": object{"method": "GET", "bindingVersion": "0.1.0"}},
		"x-mbus-service": m.service, "x-mbus-method": m.name, "x-mbus-kind": m.kind(), "x-mbus-instances": m.instances,
	}
	if text := m.note(metaDescription); text != "" {
		channel["description"] = text
	}
	d.channels[name] = channel
	d.operation(name+".receive", "receive", name, "request")
	d.operation(name+".send", "send", name, "response")
}

// topic adds a topic that a service has said it listens to.
func (d *asyncAPI) topic(topic string, m *method) {
	name := "topic." + key(topic)
	if d.channels[name] != nil {
		return
	}
	payload := d.components.message(m.service, m.endpoint.Request, m.bodies, m.endpoint.RequestValue)
	d.channels[name] = object{
		"address": "/events?topic=" + strings.NewReplacer("{", "%7B", "}", "%7D").Replace(topic), "title": topic,
		"messages": object{"event": object{"title": "Event", "payload": payload}},
		"servers":  []any{ref("#/servers/gateway")},
	}
	d.operation(name+".receive", "receive", name, "event")
	d.operation(name+".send", "send", name, "event")
}

// events adds the channel through which every topic is reached.
func (d *asyncAPI) events() {
	const name = "events"
	d.channels[name] = object{
		"address": "/events?topic={topic}", "title": "Topics",
		"description": "Any topic: what is sent is published, and what is published is received.",
		"parameters":  object{"topic": object{"description": "The topic, or a pattern of topics to receive from."}},
		"messages":    object{"event": object{"title": "Event", "payload": object{}}},
		"servers":     []any{ref("#/servers/gateway")},
	}
	d.operation("events.receive", "receive", name, "event")
	d.operation("events.send", "send", name, "event")
}

func (d *asyncAPI) operation(name, action, channel, message string) {
	at := "#/channels/" + channel
	d.operations[name] = object{
		"action": action, "channel": ref(at), "messages": []any{ref(at + "/messages/" + message)},
	}
}

// key keeps the letters that keys and references both may have.
func key(text string) string { return legal(text) }
