package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nuid"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/pubsub"
)

// An Event is what the handler event publishes for a request.
type Event struct {
	// Name is what of the path is not in the topic.
	Name string `json:"name"`
	ID   string `json:"id"`
	// Timestamp is the time in seconds since 1970.
	Timestamp int64            `json:"timestamp"`
	Header    map[string]*Pair `json:"header"`
	// Data is the body, or the query of a GET as a JSON object of lists.
	Data string `json:"data"`
}

// serveEvent publishes a request as an event.
func (a *API) serveEvent(w http.ResponseWriter, r *http.Request, parts []string) {
	topic, event := gateway.TopicPath(a.cfg.Namespace, parts)
	err := a.bus.MayPublish(r.Context(), topic)
	var data []byte
	if err == nil {
		data, err = a.eventData(w, r)
	}
	if err == nil {
		err = publishJSON(r.Context(), a.bus.Conn, topic, Event{
			Name: event, ID: topic + "-" + event + "-" + nuid.Next(), Timestamp: time.Now().Unix(),
			Header: a.messageHeader(r), Data: string(data),
		})
	}
	a.published(w, r, err)
}

// published answers for an event: with nothing, as Micro does, or with what is
// wrong.
func (a *API) published(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Length", "0")
	w.Header().Set("Cache-Control", "no-store")
}

// eventData is the body of a request, or the query of one that has none.
func (a *API) eventData(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if reads(r) {
		q, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil {
			return nil, bus.Errorf(bus.InvalidArgument, "the query cannot be read: %w", err)
		}
		data, err := json.Marshal(q)
		return data, err
	}
	body, err := readBody(w, r, maxForm, &hold{})
	if err == nil && !utf8.Valid(body) {
		err = status(http.StatusUnsupportedMediaType, "the body is no text in UTF-8, and an event carries text")
	}
	return body, err
}

// publishJSON publishes an event and waits until the broker has it.
func publishJSON(ctx context.Context, conn *bus.Conn, topic string, event any) error {
	return pubsub.Publish(ctx, conn, topic, event, pubsub.WithConfirm())
}

// decodeObject reads a JSON object with the spelling of its values.
func decodeObject(body []byte) (map[string]json.RawMessage, error) {
	if err := codec.Guard(codec.JSON, body); err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil || fields == nil {
		return nil, bus.Errorf(bus.InvalidArgument, "the body is no JSON object")
	}
	return fields, nil
}
