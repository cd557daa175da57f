package web

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mbus-dev/mbus/bus"
)

const (
	usualStored      = 50
	maxStoredStreams = 20
	// shortLine is how much of an event a line of text has.
	shortLine = 120
)

// storedData is what JetStream has kept of a topic.
type storedData struct {
	Streams []storedStream `json:"streams"`
	// Note says why there is none.
	Note string      `json:"note,omitempty"`
	Read *storedPage `json:"read"`
}

// A storedStream is a stream that covers a topic.
type storedStream struct {
	Name     string   `json:"name"`
	Subjects []string `json:"subjects"`
	Messages uint64   `json:"messages"`
	Bytes    uint64   `json:"bytes"`
	First    uint64   `json:"first"`
	Last     uint64   `json:"last"`
	FirstAt  int64    `json:"first_at"`
	LastAt   int64    `json:"last_at"`
}

// A storedPage is a part of a stream. Earlier and Later are where the pages beside
// it are, as ?before= and ?seq=; 0 where there is none.
type storedPage struct {
	Stream  string       `json:"stream"`
	Events  []shownEvent `json:"events"`
	Earlier uint64       `json:"earlier"`
	Later   uint64       `json:"later"`
	Note    string       `json:"note,omitempty"`
}

// A seek says which part of a stream is wanted.
type seek struct {
	stream string
	how    string // seq, before, time, last, or "" for none
	seq    uint64
	at     time.Time
	n      int
}

// seekOf reads ?stream= and one of ?seq= ?before= ?time= ?last=, and ?n=.
func seekOf(q url.Values) (seek, error) {
	s := seek{stream: q.Get("stream"), n: usualStored}
	for _, how := range []string{"seq", "before", "time", "last"} {
		if !q.Has(how) {
			continue
		}
		if s.how != "" {
			return s, bus.Errorf(bus.InvalidArgument, "%s and %s: give one of seq, before, time and last", s.how, how)
		}
		s.how = how
	}
	count := func(key string) error {
		n, err := strconv.Atoi(q.Get(key))
		if err != nil || n < 1 || n > maxStored {
			return bus.Errorf(bus.InvalidArgument, "%s=%.20q: want 1 to %d", key, q.Get(key), maxStored)
		}
		s.n = n
		return nil
	}
	if q.Has("n") {
		if err := count("n"); err != nil {
			return s, err
		}
	}
	switch s.how {
	case "last":
		return s, count("last")
	case "seq", "before":
		n, err := strconv.ParseUint(q.Get(s.how), 10, 64)
		if err != nil {
			return s, bus.Errorf(bus.InvalidArgument, "%s=%.20q is no sequence number", s.how, q.Get(s.how))
		}
		s.seq = n
	case "time":
		text := q.Get("time")
		at, err := time.Parse(time.RFC3339, text)
		if ms, bad := strconv.ParseInt(text, 10, 64); err != nil && bad == nil {
			at, err = time.UnixMilli(ms), nil
		}
		if err != nil {
			return s, bus.Errorf(bus.InvalidArgument, "time=%.40q: want 2006-01-02T15:04:05Z, or milliseconds since 1970", text)
		}
		s.at = at
	}
	return s, nil
}

// stored is what the streams have of a topic, and the part of it that is wanted.
func (w *Web) stored(r *http.Request, subject string) (*storedData, error) {
	want, err := seekOf(r.URL.Query())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), storedPatience)
	defer cancel()
	js, err := w.bus.Conn.JetStream()
	if err != nil {
		return nil, bus.AsError(err)
	}
	d := &storedData{Streams: []storedStream{}}
	if !w.bus.Conn.Connected() {
		d.Note = "the bus is disconnected, so nothing can be read of what was kept"
		return d, nil
	}
	if err := d.look(ctx, js, subject); err != nil {
		d.Note = noStreams(err)
		return d, nil
	}
	if len(d.Streams) == 0 {
		d.Note = fmt.Sprintf("no stream covers %s, so nothing of it is kept", subject)
		return d, nil
	}
	if want.how == "" {
		return d, nil
	}
	i := 0
	if want.stream != "" {
		i = slices.IndexFunc(d.Streams, func(s storedStream) bool { return s.Name == want.stream })
	}
	if i < 0 {
		d.Note = fmt.Sprintf("no stream %.80q covers %s", want.stream, subject)
		return d, nil
	}
	if d.Read, err = read(ctx, js, &d.Streams[i], subject, want); err != nil {
		d.Note = noStreams(err)
	}
	return d, nil
}

// events are those that were read.
func (d *storedData) events() []shownEvent {
	if d.Read == nil {
		return nil
	}
	return d.Read.Events
}

// look finds the streams that cover a topic. They are asked for within a second:
// the page is worth more than that.
func (d *storedData) look(ctx context.Context, js jetstream.JetStream, subject string) error {
	ctx, cancel := context.WithTimeout(ctx, monitorPatience)
	defer cancel()
	list := js.ListStreams(ctx, jetstream.WithStreamListSubject(subject))
	for s := range list.Info() {
		if len(d.Streams) == maxStoredStreams {
			continue
		}
		one := storedStream{
			Name: s.Config.Name, Subjects: s.Config.Subjects, Messages: s.State.Msgs, Bytes: s.State.Bytes, First: s.State.FirstSeq, Last: s.State.LastSeq,
		}
		if s.State.Msgs > 0 {
			one.FirstAt, one.LastAt = milli(s.State.FirstTime), milli(s.State.LastTime)
		}
		d.Streams = append(d.Streams, one)
	}
	slices.SortFunc(d.Streams, func(a, b storedStream) int { return strings.Compare(a.Name, b.Name) })
	return list.Err()
}

// noStreams says why nothing can be read.
func noStreams(err error) string {
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, nats.ErrNoResponders):
		return "JetStream is off at this broker, so no event is kept"
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return "JetStream is off for the dashboard's account, so no event of it is kept"
	case errors.Is(err, context.DeadlineExceeded):
		return "JetStream has not answered in time; try again"
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return "the stream is gone"
	}
	return bus.AsError(err).Message
}

// read reads a part of a stream. It makes no consumer, so that nothing is left
// behind, and no message of a work queue is taken.
func read(ctx context.Context, js jetstream.JetStream, s *storedStream, subject string, want seek) (*storedPage, error) {
	p := &storedPage{Stream: s.Name, Events: []shownEvent{}}
	stream, err := js.Stream(ctx, s.Name)
	if err != nil {
		return nil, err
	}
	r := &storedReader{stream: stream, subject: subject, first: s.First, last: s.Last}
	var found []*jetstream.RawStreamMsg
	var from, next uint64 // nothing is left out between them
	switch want.how {
	case "last", "before":
		end := s.Last + 1
		if want.how == "before" {
			end = min(want.seq, end)
		}
		found, from, err = r.backward(ctx, end, want.n)
		next = end
	default:
		if from = max(want.seq, s.First); want.how == "time" {
			from, err = r.since(ctx, want.at)
		}
		if err == nil {
			found, err = r.forward(ctx, from, s.Last+1, want.n)
		}
		if next = from; len(found) > 0 {
			next = found[len(found)-1].Sequence + 1
		}
	}
	if err != nil {
		return nil, err
	}
	for _, m := range found {
		p.Events = append(p.Events, show(m.Sequence, m.Time, m.Subject, m.Header, m.Data))
	}
	if from > s.First {
		p.Earlier = from
	}
	if next <= s.Last && ctx.Err() == nil {
		if m, err := r.next(ctx, next); err == nil && m != nil && m.Sequence <= s.Last {
			p.Later = m.Sequence
		}
	}
	p.Note = p.about(r, want)
	return p, nil
}

// about says what is unusual about a page.
func (p *storedPage) about(r *storedReader, want seek) string {
	switch {
	case r.last < r.first || r.last == 0:
		return "the stream is empty"
	case r.short:
		return "the page ends early: there was more to look through than one page may take"
	case len(p.Events) > 0:
		return ""
	case want.how == "last":
		return "the stream has nothing of this topic"
	case want.how == "before":
		return "the stream has nothing of this topic before that"
	}
	return "the stream has nothing of this topic from there on"
}

func (d *storedData) text(b *bytes.Buffer, subject string) {
	for _, s := range d.Streams {
		_, _ = fmt.Fprintf(b, "kept in stream %s  %d messages, sequence %d to %d\n", s.Name, s.Messages, s.First, s.Last) // a Buffer takes everything
	}
	if d.Note != "" {
		_, _ = fmt.Fprintf(b, "%s\n", d.Note)
	}
	p := d.Read
	if p == nil {
		return
	}
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, e := range p.Events {
		data := e.Data
		if len(data) > shortLine {
			data = data[:shortLine] + "…"
		}
		_, _ = fmt.Fprintf(w, "%d\t%s\t%s\t%d\t%s\n", e.N, time.UnixMilli(e.At).UTC().Format(time.RFC3339Nano), e.Subject, e.Size, strconv.Quote(data))
	}
	_ = w.Flush()
	if p.Note != "" {
		_, _ = fmt.Fprintf(b, "%s\n", p.Note)
	}
	for _, way := range []struct {
		name, key string
		seq       uint64
	}{{"earlier", "before", p.Earlier}, {"later", "seq", p.Later}} {
		if way.seq > 0 {
			q := url.Values{"subject": {subject}, "stream": {p.Stream}, way.key: {strconv.FormatUint(way.seq, 10)}}
			_, _ = fmt.Fprintf(b, "%s: /events?%s\n", way.name, q.Encode())
		}
	}
}

// wantsStored reports whether a topic may have been kept: any but that of all.
func wantsStored(subject string) bool { return cmp.Or(subject, allEvents) != allEvents }
