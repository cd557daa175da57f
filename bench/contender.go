package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A contender is one way for a client to call a service.
type contender struct {
	name  string // in commands and in latest.json
	title string // in tables
	// broker says that what it sends goes through the broker, whose CPU time
	// then counts as the contender's.
	broker bool
	// events says that it publishes; its client dials a number of subscribers.
	events bool
	// streams tells why it is left out of the streams; "" if it is not.
	streams string
	// serve answers until stop. It returns what the client has to dial; nil if
	// the service lives in the client's process.
	serve func(ctx context.Context, broker string) (address string, stop func(), err error)
	dial  func(ctx context.Context, broker, address string) (*client, error)
	// front stands between client and service, in a process of its own: it is
	// what the client has to dial. Nil if there is none. Its processor time counts
	// as the service's.
	front func(ctx context.Context, broker string) (address string, stop func(), err error)
	// program starts a role of a contender that is another program. Address is
	// what its service said, "" before there is one. It returns a command, or why
	// there is none.
	program func(role, broker, address string) ([]string, error)
}

// A client makes the calls of a contender.
type client struct {
	// call returns a function that makes one call with size bytes each way. It
	// is called from many goroutines.
	call func(size int) func(ctx context.Context) error
	// transfer has count messages of size bytes sent, and returns when the
	// last one has arrived.
	transfer func(ctx context.Context, size, count int) error
	close    func()
}

const (
	noStreams = "has no streams"
	serviceID = "bench.echo"
)

// callers are the contenders of the calls and of the streams. The first is the
// floor that the others are divided by.
func callers() []contender {
	return []contender{
		rawCaller(), mbusCore(), mbusCoreBatched(), mbusInline(), mbusDefault(), mbusGenerated(), mbusBatched(), mbusLocal(),
		microCaller(), grpcCaller(), connectCaller(), psrpcCaller(), goMicroCaller(), httpCaller(), moleculerCaller(),
	}
}

// publishers are the contenders of the events.
func publishers() []contender {
	return []contender{rawEvents(), mbusEventsMsgpack(), mbusEventsJSON()}
}

func find(name string) (contender, error) {
	var known []string
	for _, c := range slices.Concat(callers(), publishers(), yielders(), gateways(), locals()) {
		if c.name == name {
			return c, nil
		}
		known = append(known, c.name)
	}
	return contender{}, fmt.Errorf("no contender %q, there are %s", name, strings.Join(known, ", "))
}

// A message is what the contenders with a codec send and get back.
type message struct {
	Text string `json:"text"`
}

func text(size int) string { return strings.Repeat("x", size) }

// checked fails a call that did not bring back what was sent.
func checked(got, want int, err error) error {
	if err == nil && got != want {
		err = fmt.Errorf("%d bytes came back, %d were sent", got, want)
	}
	return err
}

// A feed asks a service for a stream of count messages of size bytes.
type feed struct {
	Count int `json:"count"`
	Size  int `json:"size"`
}

func (f feed) String() string { return fmt.Sprintf("%d %d", f.Count, f.Size) }

func feedFrom(s string) (f feed, err error) {
	_, err = fmt.Sscan(s, &f.Count, &f.Size)
	return f, err
}

// arrived fails a stream that brought the wrong number of messages.
func arrived(got, want int, err error) error {
	if err == nil && got != want {
		err = fmt.Errorf("%d messages came, %d were asked for", got, want)
	}
	return err
}

const patience = 30 * time.Second // for anything that should take a moment
