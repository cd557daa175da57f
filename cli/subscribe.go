package cli

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
)

type subscribeCommand struct {
	Topic     string `arg:"" help:"Topic, or a pattern: * stands for one part, > at the end for all that follow."`
	Group     string `placeholder:"NAME" help:"Share the events with all others who subscribe with this group: each event goes to one of them."`
	Count     int    `placeholder:"N" help:"End after this many events."`
	JSONLines bool   `name:"json-lines" help:"Print one JSON object per event: topic, time, headers and data; msgpack is shown as JSON. --output json does the same."`
}

// Help explains what the one-line summary cannot.
func (*subscribeCommand) Help() string {
	return `Each event is printed as it came, followed by a line break. The command waits
for events until it is interrupted or has --count of them, however long that is;
it also outlasts a broker that restarts.

    mbus subscribe user.created
    mbus subscribe 'user.>' --group mailer --json-lines`
}

// lastEvents is how long an interrupted command prints what it has received.
const lastEvents = time.Second

// Run prints events.
func (c *subscribeCommand) Run(ctx context.Context, s *session) error {
	if err := wire.CheckPattern(c.Topic); err != nil {
		return usagef("%v", err)
	}
	if strings.ContainsAny(c.Group, " \t\r\n") {
		return usagef("--group %q: a group is one word", c.Group)
	}
	if c.Count < 0 {
		return usagef("--count %d is negative", c.Count)
	}
	s.defaultLevel = zerolog.WarnLevel
	way, err := s.reach(ctx)
	if err != nil {
		return stopped(ctx, err)
	}
	defer way.close()
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	p := &eventPrinter{session: s, command: c, enough: enough}
	log := s.logger()
	lost, err := way.subscribe(ctx, c.Topic, c.Group, func() {
		log.Info().Str("topic", c.Topic).Msg("listening")
		s.begin("listening on " + c.Topic)
	}, p.print)
	s.endProgress()
	if lost > 0 {
		s.warn("%d events came faster than they could be printed and were lost", lost)
	}
	if p.err != nil {
		return p.err
	}
	return stopped(ctx, err) // it may come before the broker has the subscription
}

// An eventPrinter prints events on the goroutine of the subscription. err is
// read once that has ended.
type eventPrinter struct {
	session *session
	command *subscribeCommand
	printed int
	err     error
	enough  context.CancelFunc
}

func (p *eventPrinter) print(m *nats.Msg) {
	if p.err != nil || p.command.Count > 0 && p.printed == p.command.Count {
		return
	}
	if p.command.JSONLines || p.session.json() {
		p.err = p.session.printLine(newEventLine(m, time.Now()))
	} else {
		p.err = p.session.printf("%s\n", m.Data)
	}
	p.printed++
	if p.err != nil || p.printed == p.command.Count {
		p.enough()
	}
}

// An eventLine is an event in the output of --json-lines. Data is the event's
// JSON, that of the same meaning if it is msgpack, or a string if it is text of
// another kind; Base64 is for what is none of these.
type eventLine struct {
	Topic   string              `json:"topic"`
	Time    string              `json:"time"`
	Headers map[string][]string `json:"headers,omitempty"`
	Data    any                 `json:"data,omitempty"`
	Base64  string              `json:"base64,omitempty"`
}

func newEventLine(m *nats.Msg, now time.Time) eventLine {
	line := eventLine{Topic: m.Subject, Time: stamp(now), Headers: m.Header}
	text, translated := fromMsgpack(m)
	switch {
	case translated:
		line.Data = json.RawMessage(text)
	case json.Valid(m.Data) && utf8.Valid(m.Data):
		line.Data = json.RawMessage(m.Data)
	case utf8.Valid(m.Data):
		line.Data = string(m.Data)
	default:
		line.Base64 = base64.StdEncoding.EncodeToString(m.Data)
	}
	return line
}

// fromMsgpack is the JSON of an event that is msgpack: by its Content-Type, or
// without one by its first byte.
func fromMsgpack(m *nats.Msg) (text []byte, ok bool) {
	if c, err := codec.OfEvent(m.Header.Get(wire.HeaderContentType), m.Data); err != nil || c != codec.Msgpack || len(m.Data) == 0 {
		return nil, false
	}
	text, err := codec.Transcode(codec.Msgpack, codec.JSON, m.Data)
	return text, err == nil
}

// stamp is a moment as the JSON output has it: RFC 3339 with milliseconds.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }
