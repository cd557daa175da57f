package cli

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/discovery/registrar"
)

// The checks of the bus.

const (
	// clockLimit is by how much clocks may differ before times in logs and in
	// credentials mislead.
	clockLimit = 5 * time.Second
	// busLimit is how long one question to the bus may take.
	busLimit = 2 * time.Second
)

// bus looks at the broker, and if there is one at what only it can tell.
func (d *doctor) bus(ctx context.Context) []finding {
	conn, done, err := d.session.connect(ctx)
	if err != nil {
		return []finding{fine("broker", "%s", errorLine(err)).fail("without a broker nothing else can be checked")}
	}
	defer done()
	return []finding{d.broker(ctx, conn), d.brokerClock(ctx, conn), d.rights(ctx, conn), d.node(ctx, conn)}
}

func (d *doctor) broker(ctx context.Context, conn *bus.Conn) finding {
	ctx, cancel := context.WithTimeout(ctx, busLimit)
	defer cancel()
	start := time.Now()
	if err := conn.Flush(ctx); err != nil {
		return fine("broker", "%s", errorLine(err)).fail("see whether the broker is overloaded")
	}
	trip := time.Since(start)
	store := "no JetStream"
	if hasStreams(ctx, conn) {
		store = "JetStream"
	}
	nc := conn.NATS()
	return fine("broker", "%s, NATS %s, %s, round trip %s, messages up to %d bytes",
		nc.ConnectedUrlRedacted(), nc.ConnectedServerVersion(), store, trip.Round(time.Microsecond), conn.MaxPayload())
}

// hasStreams asks JetStream for this account. The question goes through the
// bus itself, which notices at once when it may not be asked.
func hasStreams(ctx context.Context, conn *bus.Conn) bool {
	m, err := conn.Request(ctx, "$JS.API.INFO", nil, nil)
	var answer struct {
		Error *struct{} `json:"error"`
	}
	return err == nil && json.Unmarshal(m.Data, &answer) == nil && answer.Error == nil
}

// brokerClock compares the clocks by what the broker tells every user about
// itself.
func (d *doctor) brokerClock(ctx context.Context, conn *bus.Conn) finding {
	ctx, cancel := context.WithTimeout(ctx, busLimit)
	defer cancel()
	m, err := conn.Request(ctx, "$SYS.REQ.USER.INFO", nil, nil)
	var answer struct {
		Server struct {
			Time time.Time `json:"time"`
		} `json:"server"`
	}
	if err != nil || json.Unmarshal(m.Data, &answer) != nil || answer.Server.Time.IsZero() {
		return fine("clocks", "the broker does not tell its time")
	}
	if apart := time.Since(answer.Server.Time); apart.Abs() > clockLimit {
		return fine("clocks", "this machine and the broker are %s apart", apart.Abs().Round(time.Second)).
			warn("let both keep their time with NTP")
	}
	return fine("clocks", "this machine and the broker agree")
}

// rights tries what calls and discovery need. Nothing hears it: the subjects
// are those of services and instances that are not there.
func (d *doctor) rights(ctx context.Context, conn *bus.Conn) finding {
	ctx, cancel := context.WithTimeout(ctx, busLimit)
	defer cancel()
	const nobody = "mbus-doctor"
	for _, subject := range []string{
		wire.CallSubject(nobody, "Debug.Health"), wire.NodeSubject(nobody, nobody, "Debug.Health"),
		wire.ProbeSubject(nobody), wire.SrvSubject(wire.VerbPing, nobody, ""),
	} {
		_, err := conn.Request(ctx, subject, nil, []byte("{}"))
		if errors.Is(err, bus.PermissionDenied) {
			return fine("rights", "the broker does not let this user publish on %s", subject).
				fail("give the user the rights that docs/operations.md lists, or use other --creds")
		}
	}
	return fine("rights", "calls and discovery are allowed")
}

// node compares the versions of this command and of the nodes on the bus.
func (d *doctor) node(ctx context.Context, conn *bus.Conn) finding {
	ctx, cancel := context.WithTimeout(ctx, busLimit)
	defer cancel()
	nodes, err := discovery.Query(ctx, conn, registrar.Service)
	if err != nil {
		return fine("node", "%s", errorLine(err)).warn("see whether the broker is overloaded")
	}
	if len(nodes) == 0 {
		return fine("node", "no node on this bus, so no registry").warn(`"mbus node --url URL" adds one to a broker that runs already`)
	}
	ours := d.session.process.build().Version
	for _, n := range nodes {
		if n.V > protocolVersion {
			return fine("node", "%s speaks protocol %d, this command %d", n.NodeID(), n.V, protocolVersion).warn("update this command")
		}
		if n.Version != ours {
			return fine("node", "%s is version %s, this command is %s", n.NodeID(), n.Version, ours).warn("use one version everywhere")
		}
	}
	return fine("node", "%d on this bus, version %s like this command", len(nodes), ours)
}
