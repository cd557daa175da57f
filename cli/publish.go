package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
)

type publishCommand struct {
	Topic  string   `arg:"" help:"Topic, such as user.created."`
	Data   []string `arg:"" optional:"" help:"The event, byte for byte; several words are joined by spaces. Without it the event is read from standard input."`
	Lines  bool     `help:"Publish each line as an event of its own, without its line break."`
	Header []header `short:"H" sep:"none" placeholder:"KEY:VALUE" help:"Header of the event, repeatable."`
}

// Help explains what the one-line summary cannot.
func (*publishCommand) Help() string {
	return `The command returns once the broker has the event. Whoever is subscribed at
that moment gets it; that nobody is, is no error.

    mbus publish user.created '{"id": "1"}'
    tail -f access.log | mbus publish web.access --lines`
}

// Run publishes one event, or one for each line.
func (c *publishCommand) Run(ctx context.Context, s *session) error {
	if err := wire.CheckTopic(c.Topic); err != nil {
		return usagef("%v", err)
	}
	var input io.Reader = strings.NewReader(strings.Join(c.Data, " "))
	if len(c.Data) == 0 {
		input = s.stdin
		if isTerminal(s.process.Stdin) {
			s.note("reading events from the keyboard; ctrl-D ends them")
		}
	}
	if c.Lines {
		return c.publishLines(ctx, s, input)
	}
	data, err := readBounded(input)
	if err != nil {
		return usagef("cannot read the event: %v", err)
	}
	way, err := s.reach(ctx)
	if err != nil {
		return err
	}
	defer way.close()
	ctx, cancel := s.within(ctx)
	defer cancel()
	return way.publish(ctx, c.Topic, data, c.Header, true)
}

// publishLines publishes as fast as lines come. The first is confirmed, which
// finds a missing right at once, and the last, so that all have left when the
// command ends.
func (c *publishCommand) publishLines(ctx context.Context, s *session, input io.Reader) error {
	way, err := s.reach(ctx)
	if err != nil {
		return err
	}
	defer way.close()
	reader := bufio.NewReaderSize(input, 64<<10)
	for first := true; ctx.Err() == nil; first = false {
		line, end := nextLine(reader, way.maxEvent())
		if end != nil && (len(line) == 0 || !errors.Is(end, io.EOF)) {
			return c.finish(ctx, s, way, end)
		}
		if err := c.publishLine(ctx, s, way, line, first); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

func (c *publishCommand) publishLine(ctx context.Context, s *session, way reach, line []byte, confirmed bool) error {
	ctx, cancel := s.within(ctx)
	defer cancel()
	return way.publish(ctx, c.Topic, line, c.Header, confirmed)
}

func (c *publishCommand) finish(ctx context.Context, s *session, way reach, end error) error {
	if !errors.Is(end, io.EOF) {
		return usagef("cannot read the events: %v", end)
	}
	ctx, cancel := s.within(ctx)
	defer cancel()
	return way.settle(ctx)
}

// nextLine reads one line without its break. A line over limit bytes is an
// error, since no broker would take it.
func nextLine(r *bufio.Reader, limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > limit+2:
			return nil, bus.Errorf(bus.TooLarge, "a line is over the broker's limit of %d bytes an event", limit)
		case errors.Is(err, bufio.ErrBufferFull):
		case err != nil:
			return line, err
		default:
			return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")), nil
		}
	}
}
