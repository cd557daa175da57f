package registrar

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
)

// What the broker says in its system account.
const (
	disconnects = "$SYS.ACCOUNT.*.DISCONNECT"
	shutdowns   = "$SYS.SERVER.*.SHUTDOWN"
	// closedByClient is the reason when the other side has closed the
	// connection, which is also what a crash looks like.
	closedByClient = "Client Closed"
	// readError and writeError are the reasons when the system of the other side
	// has reset the connection: a process was killed before it had read
	// everything, or something between the two has cut it off.
	readError  = "Read Error"
	writeError = "Write Error"
	// maxEvent bounds an event that is read, in bytes.
	maxEvent = 64 << 10
)

const (
	// returnLimit is how long a connection that was lost for another reason has
	// to come back.
	returnLimit = time.Second
	// resetLimit is how long one has that was reset. A client that is alive is
	// back by then, and answers.
	resetLimit = 50 * time.Millisecond
	// askTries and askLimit: an instance of a connection that is gone is asked
	// whether it is there on another, which takes the broker's word only. The
	// event may come before the broker has dropped the subscriptions.
	askTries = 3
	askLimit = 20 * time.Millisecond
)

type disconnect struct {
	Server struct {
		ID string `json:"id"`
	} `json:"server"`
	Client struct {
		ID uint64 `json:"id"`
	} `json:"client"`
	Reason string `json:"reason"`
}

// listenSystem subscribes to what the broker tells of ended connections.
func (r *Registrar) listenSystem(ctx context.Context) error {
	if r.cfg.System == nil {
		return nil
	}
	var all []*bus.Listener
	for subject, f := range map[string]func(*nats.Msg){disconnects: r.disconnected, shutdowns: r.shutdown} {
		l, err := r.cfg.System.Listen(bus.Control, subject, "", f)
		if err != nil {
			return err
		}
		r.back = append(r.back, l)
		all = append(all, l)
	}
	return r.cfg.System.Confirm(ctx, all...)
}

// disconnected takes the end of a connection.
func (r *Registrar) disconnected(m *nats.Msg) {
	var e disconnect
	if len(m.Data) > maxEvent || json.Unmarshal(m.Data, &e) != nil || e.Server.ID == "" {
		return
	}
	at, now := pair{e.Server.ID, e.Client.ID}, time.Now()
	reason := "disconnected: " + e.Reason
	switch e.Reason {
	case closedByClient:
	case readError, writeError:
		r.later.add(now.Add(resetLimit), func(ctx context.Context) { r.gone(ctx, at, reason) })
		return
	default:
		r.later.add(now.Add(returnLimit), func(ctx context.Context) { r.gone(ctx, at, reason) })
		return
	}
	r.later.add(now, func(ctx context.Context) {
		if r.gone(ctx, at, reason) == 0 {
			// Its announcement may still be on its way: it came on another
			// connection than this event.
			r.later.add(now.Add(returnLimit), func(ctx context.Context) { r.gone(ctx, at, reason) })
		}
	})
}

// shutdown takes the end of a server: all its connections end without an event
// of their own.
func (r *Registrar) shutdown(m *nats.Msg) {
	tokens := strings.Split(m.Subject, ".")
	if len(tokens) != 4 {
		return
	}
	server := tokens[2]
	r.later.add(time.Now().Add(returnLimit), func(context.Context) {
		all, _ := r.view.Snapshot()
		done := make(map[pair]bool)
		for _, i := range all {
			if at := pairOf(i); at.server == server && !done[at] {
				done[at] = true
				r.later.add(time.Now(), func(ctx context.Context) { r.gone(ctx, at, "the server has shut down") })
			}
		}
	})
}

// gone announces the instances on a connection as gone, unless they have come
// back on another, and returns how many instances were on it.
func (r *Registrar) gone(ctx context.Context, at pair, reason string) int {
	if !r.conn.Connected() {
		return 0 // the beats will tell
	}
	there := r.view.AtClient(at.server, at.client)
	for _, i := range there {
		if i.Registered() && r.peers.was(at) {
			r.adoptLater(i)
			continue
		}
		if r.answers(ctx, i) {
			continue
		}
		if !r.view.Remove(i.Service, i.ID, at.server, at.client, reason) {
			continue
		}
		r.counts.downs.Add(1)
		if err := discovery.AnnounceDown(ctx, r.conn, i, reason); err != nil && r.conn.Connected() {
			r.log.Warn().Err(err).Str("service", i.Service).Str("instance", i.ID).Msg("an instance is gone but its watchers were not told")
		}
	}
	return len(there)
}

// answers asks an instance whether it is there.
func (r *Registrar) answers(ctx context.Context, i discovery.Instance) bool {
	subject := wire.SrvSubject(wire.VerbPing, wire.Escape(i.Service), wire.EscapeID(i.ID))
	if i.Registered() {
		subject = wire.ProbeSubject(i.Service) + "." + wire.EscapeID(i.ID)
	}
	for range askTries {
		ask, cancel := context.WithTimeout(ctx, askLimit)
		_, err := r.conn.Request(ask, subject, nil, nil)
		cancel()
		if err == nil {
			return true
		}
		if !errors.Is(err, bus.Timeout) {
			return false
		}
	}
	return false
}
