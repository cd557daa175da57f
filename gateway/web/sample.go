package web

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
)

const (
	firstAnswer = 500 * time.Millisecond
	lastAnswer  = 150 * time.Millisecond // silence after which nobody else answers
	maxAnswers  = 10_000
	// maxCallers is how many callers of an endpoint one instance may tell of.
	maxCallers = 65
	maxText    = 256
)

// An answer is what one instance says to $SRV.STATS, which every NATS service
// answers.
type answer struct {
	Name     string `json:"name"`
	ID       string `json:"id"`
	Metadata struct {
		V    string `json:"mbus.v"`
		Name string `json:"mbus.name"`
	} `json:"metadata"`
	Endpoints []answeredEndpoint `json:"endpoints"`

	at time.Time
}

type answeredEndpoint struct {
	Name       string          `json:"name"`
	Requests   uint64          `json:"num_requests"`
	Errors     uint64          `json:"num_errors"`
	LastError  string          `json:"last_error"`
	Processing int64           `json:"processing_time"`
	Data       json.RawMessage `json:"data"`
}

// A detail is what mbus says of an endpoint beyond that.
type detail struct {
	Refused uint64            `json:"refused"`
	P50     time.Duration     `json:"p50"`
	P99     time.Duration     `json:"p99"`
	Latency []uint64          `json:"latency"`
	Callers map[string]uint64 `json:"callers"`
}

// ask asks everybody for their numbers.
func ask(ctx context.Context, conn *bus.Conn, each func(*answer)) error {
	replies := conn.Gather(ctx, wire.SrvSubject(wire.VerbStats, "", ""), nil, nil, bus.Gather{First: firstAnswer, Quiet: lastAnswer, Max: maxAnswers})
	for m, err := range replies {
		if errors.Is(err, bus.Nobody) {
			return nil
		}
		if err != nil {
			return err
		}
		a := answer{at: time.Now()}
		if json.Unmarshal(m.Data, &a) == nil && a.Name != "" {
			each(&a)
		}
	}
	return nil
}

// key is the instance that has answered, as a View knows it.
func (a *answer) key() (instanceKey, bool) {
	if a.Metadata.V == "" {
		return instanceKey{a.Name, a.ID}, true
	}
	id, ok := wire.UnescapeID(a.ID)
	return instanceKey{a.Metadata.Name, id}, ok && wire.Escape(a.Metadata.Name) == a.Name
}

// read gives the detail, which ADR-32 tools want inside a string.
func (e *answeredEndpoint) read() detail {
	var d detail
	data := []byte(e.Data)
	var text string
	if len(data) > 0 && data[0] == '"' {
		if json.Unmarshal(data, &text) != nil {
			return d
		}
		data = []byte(text)
	}
	if len(data) > 0 {
		_ = json.Unmarshal(data, &d) // others put in it what they like
	}
	return d
}

// methodOf is the method of an endpoint, by the name that it has in ADR-32.
func methodOf(i *discovery.Instance, name string) string {
	if i.Foreign {
		return name
	}
	if method, ok := wire.Unescape(name); ok {
		return method
	}
	return name
}

func isDebug(method string) bool { return strings.HasPrefix(method, "Debug.") }

func cutText(s string) string {
	if len(s) > maxText {
		return strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}
