package discovery

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
)

// AnnounceDown says in the name of an instance that it is gone: it is for
// registrars, which know from the broker that a connection has ended. Only
// watchers that know the instance on that same connection remove it.
func AnnounceDown(ctx context.Context, conn *bus.Conn, i Instance, reason string) error {
	if i.Foreign {
		return bus.AsError(errors.New("a foreign service is not announced"))
	}
	data, err := encodeLeave(leave{Reason: reason, Server: i.Server, Client: i.Client})
	if err != nil {
		return err
	}
	return conn.Publish(ctx, wire.AnnounceSubject(i.Service, i.ID, wire.EventDown), "", nil, data)
}

// A Departure is what is announced when an instance is gone.
type Departure struct {
	Service string
	ID      string
	// Reason is for people.
	Reason string
	// Itself tells that the instance has said goodbye, after its last call;
	// else someone has seen its connection end.
	Itself bool
}

// ReadDown reads an announcement of the event down. It is false for any other
// message, and for one that breaks the protocol.
func ReadDown(conn *bus.Conn, m *nats.Msg) (Departure, bool) {
	service, id, event, ok := wire.ParseAnnounce(m.Subject)
	if !ok || event != wire.EventDown {
		return Departure{}, false
	}
	l, err := decodeLeave(codec.PlanOf(conn), m.Data)
	if err != nil {
		return Departure{}, false
	}
	return Departure{Service: service, ID: id, Reason: l.Reason, Itself: l.Server == "" && l.Client == 0}, true
}
