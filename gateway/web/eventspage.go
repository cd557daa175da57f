package web

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/pubsub"
)

type eventsData struct {
	Bus      link          `json:"bus"`
	Subject  string        `json:"subject"`
	Subjects []subjectData `json:"subjects"`
	More     int           `json:"more"`
	Hidden   string        `json:"hidden"`
	Note     string        `json:"note"`
	Stored   *storedData   `json:"stored"`
	Commands commands      `json:"commands"`
}

func (w *Web) eventsPage(r *http.Request) (*page, error) {
	d := &eventsData{Bus: w.collect.state(), Subject: r.URL.Query().Get("subject"), Hidden: "the subjects of the bus itself: mbus, $ and _"}
	if wantsStored(d.Subject) {
		if err := w.bus.MaySubscribe(r.Context(), d.Subject); err != nil {
			return nil, err
		}
		if wire.CheckTopic(d.Subject) == nil {
			w.tails.names.know(d.Subject)
		}
		var err error
		if d.Stored, err = w.stored(r, d.Subject); err != nil {
			return nil, err
		}
		for _, e := range d.Stored.events() {
			w.tails.names.know(e.Subject)
		}
	}
	counts, at, note := w.monitor.subscriptions(r.Context())
	d.Note = note
	if counts != nil {
		for topic := range counts {
			counts[topic] = max(0, counts[topic]-w.tails.mine(at, func(pattern string) bool { return pattern == topic }))
		}
		w.tails.names.subscribed(counts)
	}
	d.Subjects, d.More = w.tails.names.list(time.Now())
	d.Subjects = slices.DeleteFunc(d.Subjects, func(s subjectData) bool { return w.bus.MaySubscribe(r.Context(), s.Name) != nil })
	d.Commands = commandsOfTopic(d.Subject, w.cfg.Links())
	return &page{name: "events", title: "Events", data: d, text: d.text}, nil
}

func commandsOfTopic(topic string, l Links) commands {
	if topic == "" || topic == allEvents {
		return commands{}
	}
	c := commands{Mbus: l.mbus() + " subscribe " + shellQuote(topic)}
	if l.API != "" {
		c.Curl = "curl -N " + shellQuote(l.API+"/events?topic="+topic)
	}
	return c
}

func (d *eventsData) text(b *bytes.Buffer) {
	if d.Stored != nil {
		d.Stored.text(b, d.Subject)
		if d.Stored.Read != nil {
			return // that is what was asked for
		}
		b.WriteByte('\n')
	}
	for _, s := range d.Subjects {
		_, _ = fmt.Fprintf(b, "%s  %d subscribers  %s/s\n", s.Name, s.Subscribers, s.Rate.text()) // a Buffer takes everything
	}
	if len(d.Subjects) == 0 {
		b.WriteString("no topics are known yet; mbus publish TOPIC DATA makes one\n")
	}
}

// A publication is what a page wants to publish.
type publication struct {
	Topic       string            `json:"topic"`
	Data        string            `json:"data"`
	Encoding    string            `json:"encoding"`
	ContentType string            `json:"content_type"`
	Headers     map[string]string `json:"headers"`
}

type published struct {
	OK     bool   `json:"ok"`
	Topic  string `json:"topic"`
	Bytes  int    `json:"bytes"`
	Code   string `json:"code,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// servePublish publishes an event, byte for byte.
func (w *Web) servePublish(rw http.ResponseWriter, r *http.Request) {
	var p publication
	if err := readJSON(rw, r, maxRequest, &p); err != nil {
		gateway.WriteError(rw, r, Service, err)
		return
	}
	size, err := w.publish(r, &p)
	answer := published{OK: err == nil, Topic: p.Topic, Bytes: size}
	if err != nil {
		e := bus.AsError(err)
		answer.Code, answer.Detail = e.Code.String(), e.Message
	}
	writeJSON(rw, r, http.StatusOK, answer)
}

func (w *Web) publish(r *http.Request, p *publication) (int, error) {
	if err := w.bus.MayPublish(r.Context(), p.Topic); err != nil {
		return 0, err
	}
	body := []byte(p.Data)
	if p.Encoding == "base64" {
		var err error
		if body, err = base64.StdEncoding.DecodeString(p.Data); err != nil {
			return 0, bus.Errorf(bus.InvalidArgument, "the data is no base64: %v", err)
		}
	}
	opts := []pubsub.PublishOption{pubsub.WithConfirm()}
	if c, err := codec.Parse(p.ContentType); p.ContentType != "" && (err != nil || c != codec.JSON) {
		opts = append(opts, pubsub.WithHeader("Content-Type", p.ContentType))
	}
	for name, value := range p.Headers {
		if gateway.Internal(name) {
			return 0, bus.Errorf(bus.InvalidArgument, "the header %q belongs to the bus", name)
		}
		opts = append(opts, pubsub.WithHeader(name, value))
	}
	if err := pubsub.Publish(r.Context(), w.bus.Conn, p.Topic, body, opts...); err != nil {
		return 0, err
	}
	w.tails.names.saw(p.Topic, len(body))
	poke(w.tails.changed)
	return len(body), nil
}

// serveSubscribers tells how many would get an event.
func (w *Web) serveSubscribers(rw http.ResponseWriter, r *http.Request) {
	topic := r.URL.Query().Get("topic")
	if err := w.bus.MayPublish(r.Context(), topic); err != nil {
		gateway.WriteError(rw, r, Service, err)
		return
	}
	n, at, known := w.monitor.subscribers(r.Context(), topic)
	get := func(pattern string) bool { return covers(pattern, topic) }
	writeJSON(rw, r, http.StatusOK, struct {
		Topic       string `json:"topic"`
		Known       bool   `json:"known"`
		Subscribers int    `json:"subscribers"`
		Here        int    `json:"here"`
	}{topic, known, max(0, n-w.tails.mine(at, get)), w.tails.mine(time.Now(), get)})
}

// covers reports whether a subscription to a pattern gets a topic.
func covers(pattern, topic string) bool {
	want, have := strings.Split(pattern, "."), strings.Split(topic, ".")
	for i, token := range want {
		switch {
		case token == ">":
			return len(have) > i
		case i >= len(have):
			return false
		case token != "*" && token != have[i]:
			return false
		}
	}
	return len(want) == len(have)
}
