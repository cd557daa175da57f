package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery"
)

// maxProxyEvent is the most bytes of an event that a sidecar takes.
const maxProxyEvent = 1 << 20

func (*proxyReach) maxEvent() int { return maxProxyEvent }

// settle has nothing to wait for: every event was confirmed.
func (*proxyReach) settle(context.Context) error { return nil }

func (p *proxyReach) publish(ctx context.Context, topic string, body []byte, headers []header, _ bool) error {
	r, err := p.request(ctx, http.MethodPost, "/events", url.Values{"topic": {topic}}, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	for _, h := range headers {
		if !strings.EqualFold(h.key, "Content-Type") {
			return usagef("-H %s: through a sidecar an event has no header but Content-Type", h.key)
		}
		r.Header.Set("Content-Type", h.value)
	}
	_, _, err = p.read(r)
	return err
}

// lines reads the lines of an answer that goes on, until f returns an error.
func (p *proxyReach) lines(ctx context.Context, path string, query url.Values, began func(), f func([]byte) error) error {
	r, err := p.request(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/x-ndjson")
	res, err := p.do(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }() // it has ended, or is not wanted any more
	began()
	in := bufio.NewScanner(res.Body)
	in.Buffer(nil, maxProxyAnswer)
	for in.Scan() {
		if len(bytes.TrimSpace(in.Bytes())) == 0 {
			continue
		}
		if err := f(in.Bytes()); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return p.lost(in.Err())
}

// lost is the error of an answer that ended by itself.
func (p *proxyReach) lost(err error) error {
	if err == nil {
		err = io.EOF
	}
	e := bus.Errorf(bus.Unavailable, "the sidecar at %s has ended the connection: %w", p.base, err)
	e.End = bus.Broker
	return e
}

// A proxyEvent is a line of the sidecar's /events.
type proxyEvent struct {
	Topic       string          `json:"topic"`
	Data        string          `json:"data"`
	Encoding    string          `json:"encoding"`
	ContentType string          `json:"content_type"`
	Lost        json.RawMessage `json:"lost"`
	End         json.RawMessage `json:"end"`
}

func (p *proxyReach) subscribe(ctx context.Context, topic, group string, started func(), f func(*nats.Msg)) (uint64, error) {
	query := url.Values{"topic": {topic}}
	if group != "" {
		query.Set("queue", group)
	}
	err := p.lines(ctx, "/events", query, started, func(line []byte) error {
		var e proxyEvent
		if err := json.Unmarshal(line, &e); err != nil {
			return bus.Errorf(bus.DataLoss, "a line of the sidecar is broken: %w", err)
		}
		switch {
		case e.Lost != nil:
			return bus.Errorf(bus.ResourceExhausted, "events came faster than they could be printed, and the sidecar gave up")
		case e.End != nil:
			return p.lost(errors.New("it is stopping"))
		case e.Topic == "":
			return nil // a gap, while the sidecar was without a broker
		}
		m := &nats.Msg{Subject: e.Topic, Data: []byte(e.Data)}
		if e.Encoding == "base64" {
			data, err := base64.StdEncoding.DecodeString(e.Data)
			if err != nil {
				return bus.Errorf(bus.DataLoss, "a line of the sidecar is broken: %w", err)
			}
			m.Data = data
		}
		if e.ContentType != "" {
			m.Header = nats.Header{"Content-Type": {e.ContentType}}
		}
		f(m)
		return nil
	})
	if ctx.Err() != nil {
		err = nil
	}
	return 0, err
}

// errEnough ends the reading of lines.
var errEnough = errors.New("nobody wants more")

func (p *proxyReach) watch(ctx context.Context, services []string, snapshot bool) iter.Seq2[watchLine, error] {
	query := url.Values{"service": services}
	if snapshot {
		query.Set("snapshot", "true")
	}
	return func(yield func(watchLine, error) bool) {
		err := p.lines(ctx, "/registry/watch", query, func() {}, func(line []byte) error {
			var l watchLine
			if err := json.Unmarshal(line, &l); err != nil {
				return bus.Errorf(bus.DataLoss, "a line of the sidecar is broken: %w", err)
			}
			switch l.Action {
			case discovery.Create, discovery.Update, discovery.Delete:
				if !yield(l, nil) {
					return errEnough
				}
			case discovery.Resync: // what is there follows
			}
			return nil
		})
		if err != nil && !errors.Is(err, errEnough) && ctx.Err() == nil {
			yield(watchLine{}, err)
		}
	}
}
