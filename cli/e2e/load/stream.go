package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/rpc"
)

type message struct {
	N int `json:"n"`
}

// A span asks for the numbers below N, one of which may be left out.
type span struct {
	N    int `json:"n"`
	Skip int `json:"skip"`
}

const (
	// A conversation is so many messages, at this distance; then the stream is
	// ended and a new one opened.
	conversation = 10
	sentence     = 100 * time.Millisecond
)

func streaming(ctx context.Context) (*bus.Conn, *rpc.Client, error) {
	conn, err := bus.Connect(ctx, bus.Config{Name: "streams"})
	if err != nil {
		return nil, nil, err
	}
	return conn, rpc.NewClient(conn, rpc.ClientConfig{}), nil
}

func hangUp(ctx context.Context, conn *bus.Conn) {
	short, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Close(short)
}

// talk holds one conversation after another on each of the streams. In the
// history each is one call.
func talk(ctx context.Context, s settings) error {
	conn, client, err := streaming(ctx)
	if err != nil {
		return err
	}
	defer hangUp(ctx, conn)
	var (
		mu      sync.Mutex
		history []record
		all     sync.WaitGroup
	)
	ready()
	for i := range s.streams {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				r := record{ID: fmt.Sprintf("%s-%d-%d", s.prefix, i, n), Due: time.Now().UnixNano()}
				r.Sent = r.Due
				err := converse(context.WithoutCancel(ctx), client, s, &r)
				r.End = time.Now().UnixNano()
				if r.OK = err == nil; !r.OK {
					e := bus.AsError(err)
					r.Code, r.How, r.Message = e.Code.String(), fmt.Sprint(e.End), e.Message
				}
				mu.Lock()
				history = append(history, r)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return write(s.history, history)
}

func converse(ctx context.Context, client *rpc.Client, s settings, r *record) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	stream, err := rpc.OpenStream[message, message](ctx, client, s.service, "Work.Echo")
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	r.Instance = stream.Instance()
	tick := time.NewTicker(sentence)
	defer tick.Stop()
	for n := range conversation {
		if err := stream.Send(&message{n}); err != nil {
			return err
		}
		if m, err := stream.Recv(); err != nil {
			return err
		} else if m.N != n {
			return bus.Errorf(bus.DataLoss, "message %d came as %d", n, m.N)
		}
		<-tick.C
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the last message: %w", err)
	}
	return nil
}

// drink reads the same number of messages from each stream. Of a stuck one it
// reads when all others have ended.
func drink(ctx context.Context, s settings) error {
	conn, client, err := streaming(ctx)
	if err != nil {
		return err
	}
	defer hangUp(ctx, conn)
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	begin := time.Now()
	free := make(chan struct{})
	lost := make([]error, s.streams)
	var others, all sync.WaitGroup
	for i := range s.streams {
		held := s.stuck && i == 0
		if !held {
			others.Add(1)
		}
		all.Go(func() {
			next := 0
			for m, err := range rpc.CallStream[message](ctx, client, s.service, "Work.Count", &span{s.count, s.skip}) {
				if err != nil {
					lost[i] = err
					break
				}
				if m.N != next {
					lost[i] = fmt.Errorf("message %d came as %d", next, m.N)
					break
				}
				if next++; held && next == 1 {
					<-free
				}
			}
			if lost[i] == nil && next != s.count {
				lost[i] = fmt.Errorf("%d of %d messages", next, s.count)
			}
			if !held {
				others.Done()
			}
		})
	}
	others.Wait()
	took := time.Since(begin)
	close(free)
	all.Wait()
	if err := errors.Join(lost...); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"ended": true, "ms": milliseconds(took)})
}

// idle opens streams and does nothing with them until the process is asked to
// end.
func idle(ctx context.Context, s settings) error {
	conn, client, err := streaming(ctx)
	if err != nil {
		return err
	}
	defer hangUp(ctx, conn)
	for range s.streams {
		stream, err := rpc.OpenStream[message, message](ctx, client, s.service, "Work.Echo")
		if err != nil {
			return err
		}
		defer func() { _ = stream.Close() }()
		// A first word, so that the stream is really there.
		if err := stream.Send(&message{}); err != nil {
			return err
		}
		if _, err := stream.Recv(); err != nil {
			return err
		}
	}
	ready()
	<-ctx.Done()
	return nil
}
