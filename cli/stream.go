package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/rpc"
)

type streamCommand struct {
	Service string   `arg:"" complete:"service" help:"Service to call."`
	Method  string   `arg:"" complete:"method" help:"Method of it, such as Lab.Count."`
	Request []string `arg:"" optional:"" help:"The first message as JSON or @FILE, after which nothing more is sent; or -, to send each line of standard input as a message. Default {}."`
	Node    string   `placeholder:"ID" help:"Open the stream on this instance, by its id as get shows it."`
	Header  []header `short:"H" sep:"none" placeholder:"KEY:VALUE" help:"Metadata of the stream, repeatable."`
	Key     string   `placeholder:"KEY" help:"What --selector consistent-hash goes by: the same key, the same instance."`
}

// Help explains what the one-line summary cannot.
func (*streamCommand) Help() string {
	return `Each message is printed as JSON when it comes; with --output json, on one line.
The command ends with the stream. --timeout is the wait for the first message
only, or with - for the stream to open. Ctrl-C tells the service to stop.

    mbus stream go.micro.srv.lab Lab.Count '{"n": 5, "interval_ms": 200}'
    printf '{"value": 1}\n{"value": 2}\n' | mbus stream go.micro.srv.lab Lab.Sum -`
}

// Run opens a stream and prints its messages.
func (c *streamCommand) Run(ctx context.Context, s *session) error {
	lines := len(c.Request) == 1 && c.Request[0] == "-"
	query := queryCommand{Service: c.Service, Method: c.Method, Request: c.Request, Node: c.Node, Header: c.Header, Key: c.Key}
	if lines {
		query.Request = nil
	}
	request, err := query.request(s)
	if err != nil {
		return err
	}
	first := request.Body
	way, err := s.reach(ctx)
	if err != nil {
		return err
	}
	defer way.close()
	s.begin("opening " + c.Service + " " + c.Method)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stream, err := way.open(ctx, request)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }() // it cannot fail
	if lines {
		stop := s.sendLines(ctx, stream, cancel)
		defer stop()
		return s.printMessages(ctx, stream, 0)
	}
	if err := stream.Send(codec.JSON, first); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	return s.printMessages(ctx, stream, time.Duration(s.opts.Timeout))
}

// errFirstMessage is the cause of the end of a stream whose first message did
// not come in time.
var errFirstMessage = errors.New("no message came in time")

// printMessages prints what comes up to the end of the stream. first is how long
// the first message may take, 0 for ever.
func (s *session) printMessages(ctx context.Context, stream conversation, first time.Duration) error {
	var late *time.Timer
	if first > 0 {
		late = time.AfterFunc(first, func() { _ = stream.Close() })
		defer late.Stop()
	}
	for n := 0; ; n++ {
		c, body, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			s.endProgress()
			return nil
		case err != nil && ctx.Err() != nil:
			return firstCause(ctx, err)
		case err != nil && n == 0 && late != nil && !late.Stop() && errors.Is(err, bus.Canceled):
			e := bus.Errorf(bus.DeadlineExceeded, "%w within %v", errFirstMessage, first)
			e.End = bus.Timeout
			return e
		case err != nil:
			return err
		}
		if n == 0 && late != nil {
			late.Stop()
		}
		if err := s.printMessage(c, body); err != nil {
			return err
		}
	}
}

// firstCause prefers what went wrong with the input to the end that it made.
func firstCause(ctx context.Context, err error) error {
	if u, ok := errors.AsType[*usageError](context.Cause(ctx)); ok {
		return u
	}
	return err
}

// printMessage prints one message as an answer is printed, or on one line.
func (s *session) printMessage(c codec.Codec, body []byte) error {
	if !s.json() {
		return s.printAnswer(&rpc.Response{Codec: c, Body: body})
	}
	if c == codec.Msgpack {
		text, err := codec.Transcode(codec.Msgpack, codec.JSON, body)
		if err != nil {
			return brokenAnswer(err)
		}
		body = text
	}
	var line bytes.Buffer
	if err := json.Compact(&line, body); err != nil {
		return brokenAnswer(err)
	}
	return s.printf("%s\n", line.Bytes())
}

// sendLines sends each line of standard input as a message, in the background.
// Input that is no JSON ends the stream with its error. The returned function
// waits for what is being sent.
func (s *session) sendLines(ctx context.Context, stream conversation, fail context.CancelCauseFunc) (stop func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		in := bufio.NewScanner(cancelReader{ctx, s.process.Stdin})
		in.Buffer(nil, maxInput)
		for in.Scan() {
			line := bytes.TrimSpace(in.Bytes())
			if len(line) == 0 {
				continue
			}
			if err := checkJSON("a line of standard input", line); err != nil {
				fail(err)
				return
			}
			if stream.Send(codec.JSON, bytes.Clone(line)) != nil {
				return // receiving says why
			}
		}
		if err := in.Err(); err != nil {
			if ctx.Err() == nil {
				fail(usagef("cannot read standard input: %v", err))
			}
			return
		}
		_ = stream.CloseSend() // receiving says why not
	}()
	return func() {
		fail(nil)
		<-done
	}
}
