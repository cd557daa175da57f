package registrar

import (
	"context"
	"encoding/json"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery"
)

const (
	// maxListed is how many bytes an instance takes in a list. Version, address
	// and port are left out of one that would be longer.
	maxListed = 256
	// maxListMessage bounds one message of a list.
	maxListMessage = 56 << 10
)

// listed is an instance in a list.
type listed struct {
	Name    string          `json:"name"`
	ID      string          `json:"id"`
	Version string          `json:"version,omitempty"`
	Address string          `json:"address,omitempty"`
	Port    int             `json:"port,omitempty"`
	State   discovery.State `json:"state,omitempty"`
}

// listing keeps the messages of the last list until something changes.
type listing struct {
	mu       sync.Mutex
	made     bool
	seq      uint64
	messages [][]byte
}

// list answers with everyone who is there.
func (r *Registrar) list(_ context.Context, m *nats.Msg) (any, error) {
	if err := read(m, maxBody, &struct{}{}); err != nil {
		return nil, err
	}
	for _, data := range r.listing.get(r.view, min(maxListMessage, r.conn.MaxPayload()/2)) {
		r.say(m.Reply, data)
	}
	r.say(m.Reply, nil)
	return nil, nil
}

// get holds mu while it encodes: who asks meanwhile gets the same.
func (l *listing) get(view *discovery.View, limit int) [][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.made && l.seq == view.Stats().Changes {
		return l.messages
	}
	all, seq := view.Snapshot()
	l.made, l.seq, l.messages = true, seq, nil
	var data []byte
	for i := range all {
		one := encodeListed(&all[i])
		if len(data) > 0 && len(data)+1+len(one) >= limit {
			l.messages = append(l.messages, append(data, ']'))
			data = nil
		}
		separator := byte(',')
		if len(data) == 0 {
			separator = '['
		}
		data = append(append(data, separator), one...)
	}
	if len(data) > 0 {
		l.messages = append(l.messages, append(data, ']'))
	}
	return l.messages
}

func encodeListed(i *discovery.Instance) []byte {
	entry := listed{Name: i.Service, ID: i.NodeID(), Version: i.Version, Address: address(i), Port: i.Port, State: i.State}
	data := encode(entry)
	if len(data) > maxListed {
		entry.Version, entry.Address, entry.Port = "", "", 0
		data = encode(entry)
	}
	return data
}

// encode encodes what always can be.
func encode(v any) []byte {
	data, _ := json.Marshal(v) // strings and numbers
	return data
}

// address is where one instance is called: its subject, if it is on the bus.
func address(i *discovery.Instance) string {
	switch {
	case i.Registered():
		return i.Address
	case !i.Foreign:
		return strings.TrimSuffix(wire.NodeWildcard(i.Service, i.ID), ".>")
	case len(i.Endpoints) > 0:
		return i.Endpoints[0].Subject
	}
	return ""
}
