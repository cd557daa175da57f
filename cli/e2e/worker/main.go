// Command worker runs one instance of a service for the fault lab. It writes
// down every call that it executes, in a file that survives it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/rpc"
)

type settings struct {
	service, id, ledger string
	concurrency, lanes  int

	topic   string
	readers int
	slow    time.Duration
}

func main() {
	var s settings
	flag.StringVar(&s.service, "service", "worker", "name of the service")
	flag.StringVar(&s.id, "id", "", "id of the instance")
	flag.StringVar(&s.ledger, "ledger", "", "file that the executed calls are added to")
	flag.IntVar(&s.concurrency, "concurrency", 0, "most calls at work; 0 is the default of the library")
	flag.IntVar(&s.lanes, "lanes", 0, "calls that work at a time; the others wait, however many; 0 is no bound")
	flag.StringVar(&s.topic, "topic", "", "subscribe to this topic instead of serving calls")
	flag.IntVar(&s.readers, "readers", 1, "number of subscribers, each on a connection of its own")
	flag.DurationVar(&s.slow, "slow", 0, "time that each event takes a subscriber")
	flag.Parse()

	log := zerolog.New(os.Stderr).With().Timestamp().Logger()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	run := serve
	if s.topic != "" {
		run = read
	}
	if err := run(ctx, log, s); err != nil {
		stop()
		log.Fatal().Err(err).Msg("the worker ends")
	}
}

func serve(ctx context.Context, log zerolog.Logger, s settings) error {
	book, err := openLedger(s.ledger)
	if err != nil {
		return err
	}
	defer book.close()
	conn, err := bus.Connect(ctx, bus.Config{Name: "worker", Logger: log})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	srv := rpc.NewServer(conn, rpc.ServerConfig{Name: s.service, ID: s.id, Version: "1.0.0", Concurrency: s.concurrency, Logger: log})
	w := &worker{id: s.id, book: book, client: rpc.NewClient(conn, rpc.ClientConfig{From: s.service})}
	if s.lanes > 0 {
		w.lanes = make(chan struct{}, s.lanes)
	}
	rpc.Handle(srv, "Work.Do", w.do)
	rpc.Handle(srv, "Work.Again", w.do, rpc.Idempotent())
	rpc.Handle(srv, "Work.Chain", w.chain)
	rpc.Handle(srv, "Work.State", w.state)
	rpc.HandleStream(srv, "Work.Echo", echo)
	rpc.HandleServerStream(srv, "Work.Count", count)
	return bus.Run(ctx, 10*time.Second, srv, ready{id: s.id})
}

// ready says that the runners before it have started.
type ready struct{ id string }

// Start prints the line.
func (r ready) Start(context.Context) error {
	_, err := fmt.Printf("{\"ready\":true,\"id\":%q,\"clock\":%d}\n", r.id, time.Now().Unix())
	return err
}

// Stop does nothing.
func (ready) Stop(context.Context) error { return nil }

type worker struct {
	id     string
	book   *ledger
	client *rpc.Client
	lanes  chan struct{} // nil is no bound
}

// A task is a request. Fail is the name of a code to fail with, Safe marks the
// failure as one that may be tried again, Panic panics, Die ends the process.
type task struct {
	ID     string   `json:"id"`
	Millis int      `json:"millis,omitempty"`
	Fail   string   `json:"fail,omitempty"`
	Safe   bool     `json:"safe,omitempty"`
	Panic  bool     `json:"panic,omitempty"`
	Die    bool     `json:"die,omitempty"`
	Chain  []string `json:"chain,omitempty"`
}

type done struct {
	By      string `json:"by"`
	Attempt int    `json:"attempt"`
}

func (w *worker) do(ctx context.Context, t *task) (*done, error) {
	attempt := rpc.RequestFrom(ctx).Attempt
	w.book.add(entry{Event: began, Call: t.ID, By: w.id, Attempt: attempt})
	if t.Die {
		os.Exit(3) //nolint:forbidigo // this call ends the process
	}
	if t.Panic {
		panic("a poisoned call")
	}
	if err := w.work(ctx, t.Millis); err != nil {
		w.book.add(entry{Event: cancelled, Call: t.ID, By: w.id, Attempt: attempt})
		return nil, err
	}
	w.book.add(entry{Event: ended, Call: t.ID, By: w.id, Attempt: attempt})
	if t.Fail != "" {
		return nil, failure(t)
	}
	return &done{w.id, attempt}, nil
}

func failure(t *task) error {
	code, ok := bus.CodeOf(t.Fail)
	if !ok {
		return bus.Errorf(bus.InvalidArgument, "there is no code %q", t.Fail)
	}
	e := bus.Errorf(code, "it was asked to fail")
	if t.Safe {
		e.Retry = bus.RetrySafe
	}
	return e
}

// chain calls the next service of the chain, the last one works.
func (w *worker) chain(ctx context.Context, t *task) (*done, error) {
	if len(t.Chain) == 0 {
		return w.do(ctx, t)
	}
	next := *t
	next.Chain = t.Chain[1:]
	return rpc.Call[done](ctx, w.client, t.Chain[0], "Work.Chain", &next)
}

// A state is what a process holds.
type state struct {
	Goroutines int `json:"goroutines"`
	Files      int `json:"files"`
}

func (w *worker) state(context.Context, *struct{}) (*state, error) {
	s := state{Goroutines: runtime.NumGoroutine(), Files: -1}
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		s.Files = len(files)
	}
	return &s, nil
}

func (w *worker) work(ctx context.Context, millis int) error {
	if w.lanes == nil {
		return work(ctx, millis)
	}
	select {
	case w.lanes <- struct{}{}:
		defer func() { <-w.lanes }()
		return work(ctx, millis)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func work(ctx context.Context, millis int) error {
	if millis == 0 {
		return nil
	}
	wait := time.NewTimer(time.Duration(millis) * time.Millisecond)
	defer wait.Stop()
	select {
	case <-wait.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
