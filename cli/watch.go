package cli

import (
	"context"
	"maps"
	"time"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/discovery"
)

type watchCommand struct {
	Service  []string `arg:"" optional:"" complete:"service" help:"Services to watch. Without any all are watched."`
	Snapshot bool     `help:"First print what is there already, as if it had just come."`
}

// Help explains what the one-line summary cannot.
func (*watchCommand) Help() string {
	return `Each change is a line: what happened, the service, its version and the instance.
--output json prints it as {"action": "create|update|delete", "service": {…},
"at": TIME}. The command runs until it is interrupted.`
}

// A watchLine is a change in the JSON output: the service with the one
// instance that it is about.
type watchLine struct {
	Action  discovery.Action  `json:"action"`
	Service discovery.Service `json:"service"`
	At      string            `json:"at"`
}

// Run prints changes.
func (c *watchCommand) Run(ctx context.Context, s *session) error {
	s.defaultLevel = zerolog.WarnLevel
	conn, done, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer done()
	var opts []discovery.WatchOption
	if len(c.Service) > 0 {
		opts = append(opts, discovery.WithService(c.Service...))
	}
	view, err := discovery.Watch(ctx, conn, opts...)
	if err != nil {
		return err
	}
	defer view.Close()
	s.begin("asking who is there")
	limited, cancel := s.within(ctx)
	defer cancel()
	select {
	case <-view.Ready():
	case <-limited.Done():
		return stopped(ctx, context.Cause(limited))
	}
	w := &watcher{session: s, view: view, known: map[string]discovery.Instance{}}
	return w.run(ctx, c.Snapshot)
}

// A watcher prints what changes in a view. It knows what it has printed, so
// that it can make up for changes that it was too slow for.
type watcher struct {
	session *session
	view    *discovery.View
	known   map[string]discovery.Instance // by service and id
}

func (w *watcher) run(ctx context.Context, snapshot bool) error {
	instances, seq := w.view.Snapshot()
	for _, i := range instances {
		if !snapshot {
			w.known[watchKey(i)] = i
		} else if err := w.print(discovery.Create, i, time.Now()); err != nil {
			return err
		}
	}
	w.session.begin("watching")
	defer w.session.endProgress()
	for change := range w.view.ChangesAfter(ctx, seq) {
		var err error
		if change.Action == discovery.Resync {
			err = w.catchUp(change.At)
		} else {
			err = w.print(change.Action, change.Instance, change.At)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// catchUp prints the difference between what was printed and what is there.
func (w *watcher) catchUp(at time.Time) error {
	instances, _ := w.view.Snapshot()
	gone := maps.Clone(w.known)
	for _, i := range instances {
		action := discovery.Update
		if _, ok := gone[watchKey(i)]; !ok {
			action = discovery.Create
		}
		delete(gone, watchKey(i))
		if err := w.print(action, i, at); err != nil {
			return err
		}
	}
	for _, i := range gone {
		if err := w.print(discovery.Delete, i, at); err != nil {
			return err
		}
	}
	return nil
}

func watchKey(i discovery.Instance) string { return i.Service + " " + i.ID }

func (w *watcher) print(action discovery.Action, i discovery.Instance, at time.Time) error {
	if action == discovery.Delete {
		delete(w.known, watchKey(i))
	} else {
		w.known[watchKey(i)] = i
	}
	if !w.session.json() {
		return w.session.printf("%s\t%s\t%s\t%s\n", action, i.Service, i.Version, i.NodeID())
	}
	for _, service := range discovery.Services([]discovery.Instance{i}, nil) {
		if err := w.session.printLine(watchLine{action, service, stamp(at)}); err != nil {
			return err
		}
	}
	return nil
}
