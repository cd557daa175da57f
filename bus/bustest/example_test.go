package bustest_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
)

// The package comment shows this program; TestThePackageCommentShowsThisFile
// compares.

// Greeter greets whoever asks on greeter.hello.
type Greeter struct {
	conn    *bus.Conn
	started atomic.Bool
	sub     *bus.Subscription
}

func (g *Greeter) Start(ctx context.Context) (err error) {
	if !g.started.CompareAndSwap(false, true) {
		return errors.New("a greeter runs once")
	}
	g.sub, err = g.conn.Subscribe(ctx, "greeter.hello", "q", bus.Limits{}, g.greet)
	return err
}

func (g *Greeter) Stop(ctx context.Context) error {
	if g.sub == nil {
		return nil
	}
	return g.sub.Drain(ctx)
}

func (g *Greeter) greet(m *nats.Msg) {
	time.Sleep(20 * time.Millisecond) // the work
	_ = m.Respond([]byte("Hello, " + string(m.Data)))
}

func hello(ctx context.Context, conn *bus.Conn) error {
	_, err := conn.Request(ctx, "greeter.hello", nil, []byte("John"))
	return err
}

func TestTheGreeterTakesItsTime(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		ctx := bustest.Context(t)
		greeter, client := &Greeter{conn: b.Conn(t)}, b.Conn(t)
		if err := greeter.Start(ctx); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if err := hello(ctx, client); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 20*time.Millisecond {
			t.Errorf("took %v, want 20ms", took)
		}
	})
}

func TestALostReplyIsATimeout(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		link := b.Link()
		greeter, client := &Greeter{conn: b.Conn(t)}, b.Conn(t, link.Use)
		if err := greeter.Start(bustest.Context(t)); err != nil {
			t.Fatal(err)
		}
		lost := link.Drop(bustest.FromBroker, "_INBOX.>", 1)
		if err := hello(bustest.Context(t), client); !errors.Is(err, bus.Timeout) {
			t.Errorf("got %v, want a timeout", err)
		}
		if lost.Count() != 1 {
			t.Errorf("the link lost %d replies, want 1", lost.Count())
		}
	})
}

func TestTheLifecycleOfTheGreeter(t *testing.T) {
	bustest.Lifecycle(t,
		func(_ *bustest.Bus, conn *bus.Conn) bus.Runner { return &Greeter{conn: conn} },
		bustest.WithProbe(hello),
		bustest.WithLoad(func(ctx context.Context, conn *bus.Conn) { _ = hello(ctx, conn) }),
	)
}

func TestThePackageCommentShowsThisFile(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	for line := range strings.Lines(string(doc)) {
		if code, ok := strings.CutPrefix(line, "//\t"); ok {
			shown.WriteString(code)
		} else if line == "//\n" && shown.Len() > 0 {
			shown.WriteString("\n")
		}
	}
	_, program, _ := strings.Cut(string(file), "// Greeter greets")
	program, _, _ = strings.Cut(program, "func TestThePackageComment")
	program = "// Greeter greets" + program
	if got, want := strings.TrimSpace(shown.String()), strings.TrimSpace(program); got != want {
		t.Errorf("the package comment shows\n%s\nwant\n%s", got, want)
	}
}
