package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/discovery/registrar"
)

const (
	connections = 100 // that share the instances of a process
	endpoints   = 4   // of an instance
	watched     = 3   // services of a watcher
)

func serviceName(n int) string { return "bench.n" + strconv.Itoa(n) }

// crowd is the role of a process with many instances, spread evenly over the
// services.
func crowd(url, instances, services string) func(context.Context) (*role, error) {
	return func(ctx context.Context) (*role, error) {
		total, err := strconv.Atoi(instances)
		if err != nil {
			return nil, err
		}
		kinds, err := strconv.Atoi(services)
		if err != nil {
			return nil, err
		}
		var offered []discovery.Endpoint
		for n := range endpoints {
			offered = append(offered, discovery.Endpoint{Name: fmt.Sprintf("Some.Method%d", n), Request: "q5xw3k2m7n4p6r8t0v1a", Response: "z5xw3k2m7n4p6r8t0v1b"})
		}
		conns, err := connectAll(ctx, url, min(connections, total))
		if err != nil {
			return nil, err
		}
		empty := float64(rest())
		started := make(chan error, len(conns))
		for n, conn := range conns {
			go func() { // ends with its last instance
				for i := n; i < total; i += len(conns) {
					a, err := discovery.NewAnnouncer(conn, discovery.AnnouncerConfig{Name: serviceName(i % kinds), Version: "1.0.0", Endpoints: offered})
					if err == nil {
						err = a.Start(ctx)
					}
					if err != nil {
						started <- err
						return
					}
				}
				started <- nil
			}()
		}
		for range conns {
			if failed := <-started; failed != nil {
				err = failed
			}
		}
		numbers := func() map[string]float64 { return map[string]float64{"empty": empty} } // bytes without an instance
		return &role{numbers: numbers, stop: func() {}}, err                               // the process ends without a good-bye: nobody is left to hear it
	}
}

// audience is the role of a process with many watchers, each on a connection
// of its own and interested in a few services.
func audience(url, watchers, services string) func(context.Context) (*role, error) {
	return func(ctx context.Context) (*role, error) {
		total, err := strconv.Atoi(watchers)
		if err != nil {
			return nil, err
		}
		kinds, err := strconv.Atoi(services)
		if err != nil {
			return nil, err
		}
		conns, err := connectAll(ctx, url, total)
		if err != nil {
			return nil, err
		}
		var views []*discovery.View
		for n, conn := range conns {
			var names []string
			for i := range watched {
				names = append(names, serviceName((n*watched+i)%kinds))
			}
			v, err := discovery.Watch(context.WithoutCancel(ctx), conn, discovery.WithService(names...))
			if err != nil {
				return nil, err
			}
			views = append(views, v)
		}
		numbers := func() map[string]float64 {
			sum := 0
			for _, v := range views {
				sum += v.Stats().Instances
			}
			return map[string]float64{"instances": float64(sum)}
		}
		return &role{numbers: numbers, stop: func() {
			for _, v := range views {
				v.Close()
			}
		}}, nil
	}
}

// registry is the role of a registrar: a process that knows every instance.
func registry(url string) func(context.Context) (*role, error) {
	return func(ctx context.Context) (*role, error) {
		conn, err := bus.Connect(ctx, bus.Config{URL: url, Logger: logger()})
		if err != nil {
			return nil, err
		}
		r, err := registrar.New(conn, registrar.Config{Logger: logger()})
		if err != nil {
			return nil, err
		}
		numbers := func() map[string]float64 { return map[string]float64{"instances": float64(r.Stats().Instances)} }
		return &role{numbers: numbers, stop: func() { stop(r.Stop, conn.Close) }}, r.Start(ctx)
	}
}

// connectAll makes connections at the same time.
func connectAll(ctx context.Context, url string, count int) ([]*bus.Conn, error) {
	conns := make([]*bus.Conn, count)
	failed := make([]error, count)
	var all sync.WaitGroup
	for n := range conns {
		all.Go(func() { conns[n], failed[n] = bus.Connect(ctx, bus.Config{URL: url, Logger: logger()}) })
	}
	all.Wait()
	for _, err := range failed {
		if err != nil {
			return nil, err
		}
	}
	return conns, nil
}
