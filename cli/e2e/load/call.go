package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/rpc"
)

// maxOpen bounds the calls that wait; a load that gets there is no open loop any
// more, and ends with an error.
const maxOpen = 50_000

// A record is one call. Times are Unix nanoseconds.
type record struct {
	ID       string `json:"id"`
	Phase    int    `json:"phase"`
	Due      int64  `json:"due"`
	Sent     int64  `json:"sent"`
	End      int64  `json:"end"`
	OK       bool   `json:"ok"`
	Code     string `json:"code,omitempty"`
	How      string `json:"how,omitempty"` // the end of the call
	Message  string `json:"message,omitempty"`
	Instance string `json:"instance,omitempty"`
	Attempt  int    `json:"attempt,omitempty"`
}

type done struct {
	By      string `json:"by"`
	Attempt int    `json:"attempt"`
}

// A caller makes one call. The error is a *bus.Error.
type caller func(ctx context.Context, id string, body []byte) (done, *bus.Error)

// call makes the calls of the phases, waits for their ends and writes the
// history.
func call(ctx context.Context, s settings, phases []phase) error {
	callers := make([]caller, s.clients)
	for i := range callers {
		c, end, err := dial(ctx, s)
		if err != nil {
			return err
		}
		defer end()
		callers[i] = c
	}
	var (
		mu      sync.Mutex
		history []record
		open    sync.WaitGroup
		room    = make(chan struct{}, maxOpen)
		full    bool
	)
	fields := s.request
	if fields != "" {
		fields = "," + fields
	}
	// What the clients learn with their first calls is not part of the load.
	for i, c := range callers {
		id := fmt.Sprintf("%s-first-%d", s.prefix, i)
		if err := first(ctx, c, id, []byte(fmt.Sprintf(`{"id":%q}`, id))); err != nil {
			return err
		}
	}
	ready()
	pace(ctx, phases, func(n int, p phase, due time.Time) {
		select {
		case room <- struct{}{}:
		default:
			full = true
			return
		}
		open.Go(func() {
			defer func() { <-room }()
			id := fmt.Sprintf("%s-%d", s.prefix, n)
			r := record{ID: id, Phase: p.number, Due: due.UnixNano()}
			limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
			defer cancel()
			r.Sent = time.Now().UnixNano()
			answer, err := callers[n%len(callers)](limited, id, []byte(fmt.Sprintf(`{"id":%q%s}`, id, fields)))
			r.End = time.Now().UnixNano()
			if r.OK = err == nil; r.OK {
				r.Instance, r.Attempt = answer.By, answer.Attempt
			} else {
				r.Code, r.How, r.Message, r.Instance = err.Code.String(), fmt.Sprint(err.End), err.Message, err.Instance
			}
			mu.Lock()
			defer mu.Unlock()
			history = append(history, r)
		})
	})
	open.Wait()
	if full {
		return fmt.Errorf("%d calls were open at once", maxOpen)
	}
	return write(s.history, history)
}

// first calls until there is an answer.
func first(ctx context.Context, c caller, id string, body []byte) error {
	for {
		one, cancel := context.WithTimeout(ctx, time.Second)
		_, err := c(one, id, body)
		cancel()
		if err == nil || err.End == bus.Handler {
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
	}
}

func write(path string, history []record) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	b := bufio.NewWriter(f)
	encoder := json.NewEncoder(b)
	for i := range history {
		if err := encoder.Encode(&history[i]); err != nil {
			return err
		}
	}
	return b.Flush()
}

func dial(ctx context.Context, s settings) (caller, func(), error) {
	if s.plain {
		return dialPlain(s)
	}
	conn, err := bus.Connect(ctx, bus.Config{Name: "load"})
	if err != nil {
		return nil, nil, err
	}
	cfg := rpc.ClientConfig{}
	if s.retries != 0 {
		cfg.Retries = &s.retries
	}
	client := rpc.NewClient(conn, cfg)
	end := func() {
		short, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(short)
	}
	return func(ctx context.Context, id string, body []byte) (done, *bus.Error) {
		res, err := client.Do(ctx, &rpc.Request{
			Service: s.service, Method: s.method, Codec: codec.JSON, Body: body, ID: id, Idempotent: s.idempotent,
		})
		if err != nil {
			return done{}, bus.AsError(err)
		}
		return read(res.Body)
	}, end, nil
}

// dialPlain is a client that knows nothing of mbus but its subjects.
func dialPlain(s settings) (caller, func(), error) {
	nc, err := nats.Connect(os.Getenv("NATS_URL"), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		return nil, nil, err
	}
	subject := "mbus.rpc." + s.service + "." + s.method
	return func(ctx context.Context, _ string, body []byte) (done, *bus.Error) {
		m, err := nc.RequestWithContext(ctx, subject, body)
		switch {
		case errors.Is(err, nats.ErrNoResponders):
			e := bus.Errorf(bus.Unavailable, "no responders")
			e.End = bus.Nobody
			return done{}, e
		case errors.Is(err, context.DeadlineExceeded):
			e := bus.Errorf(bus.DeadlineExceeded, "no answer")
			e.End = bus.Timeout
			return done{}, e
		case err != nil:
			e := bus.Errorf(bus.Unavailable, "%v", err)
			e.End = bus.Broker
			return done{}, e
		}
		if e := bus.ReplyError(m); e != nil {
			return done{}, e
		}
		return read(m.Data)
	}, nc.Close, nil
}

func read(body []byte) (done, *bus.Error) {
	var d done
	if err := json.Unmarshal(body, &d); err != nil {
		return d, bus.Errorf(bus.DataLoss, "the answer is not what a worker says: %v", err)
	}
	return d, nil
}
