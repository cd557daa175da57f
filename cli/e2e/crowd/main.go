// Command crowd runs many instances of many services in one process, for the
// process tests. It prints one line once all of them are announced.
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

func main() {
	name := flag.String("name", "crowd", "name of the service; with several services a prefix")
	services := flag.Int("services", 1, "number of services")
	instances := flag.Int("instances", 1, "number of instances of each")
	flag.Parse()

	log := zerolog.New(os.Stderr).With().Timestamp().Logger()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	if err := run(ctx, log, *name, *services, *instances); err != nil {
		stop()
		log.Fatal().Err(err).Msg("the crowd ends")
	}
}

func run(ctx context.Context, log zerolog.Logger, name string, services, instances int) error {
	conn, err := bus.Connect(ctx, bus.Config{Name: name, Logger: log})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()

	var all []bus.Runner
	for s := range services {
		service := name
		if services > 1 {
			service = fmt.Sprintf("%s.srv.s%03d", name, s)
		}
		for range instances {
			srv := rpc.NewServer(conn, rpc.ServerConfig{Name: service, Version: "1.0.0", Logger: log})
			rpc.Register(srv, new(Crowd))
			all = append(all, srv)
		}
	}
	return bus.Run(ctx, 10*time.Second, append(all, ready(len(all)))...)
}

// ready is the number of instances, which it prints when they have started.
type ready int

// Start prints the line.
func (r ready) Start(context.Context) error {
	_, err := fmt.Printf("{\"ready\":true,\"instances\":%d}\n", int(r))
	return err
}

// Stop does nothing.
func (ready) Stop(context.Context) error { return nil }

// Crowd holds the methods of every instance. Each costs what a test must be
// able to see: time, processor time or memory.
type Crowd struct{}

// Amount is how much of it.
type Amount struct {
	Millis int `json:"millis"`
	MiB    int `json:"mib"`
}

// Done is an answer.
type Done struct {
	Bytes int `json:"bytes"`
}

// Wait answers later.
func (*Crowd) Wait(ctx context.Context, a *Amount) (*Done, error) {
	wait := time.NewTimer(time.Duration(a.Millis) * time.Millisecond)
	defer wait.Stop()
	select {
	case <-wait.C:
		return &Done{}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Burn keeps a processor busy.
func (*Crowd) Burn(ctx context.Context, a *Amount) (*Done, error) {
	until := time.Now().Add(time.Duration(a.Millis) * time.Millisecond)
	for time.Now().Before(until) && ctx.Err() == nil {
	}
	return &Done{}, nil
}

// Hold uses memory.
func (*Crowd) Hold(_ context.Context, a *Amount) (*Done, error) {
	b := make([]byte, a.MiB<<20)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	runtime.KeepAlive(b)
	return &Done{Bytes: len(b)}, nil
}
