package registrar

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery"
)

const (
	// maxGetMessage bounds one message of an answer to get. What does not fit
	// follows in further ones.
	maxGetMessage = 256 << 10
	// maxAsked bounds the name of a service that is asked for, in bytes.
	maxAsked = 256
	// askAbsent is how long a service that the view does not know is asked
	// itself; when it is not there the broker says so at once.
	askAbsent = 200 * time.Millisecond
)

type getRequest struct {
	Service string `json:"service"`
}

type getReply struct {
	Services []discovery.Service `json:"services"`
	LastSeen time.Time           `json:"last_seen,omitzero"`
	More     bool                `json:"more,omitempty"`
}

// absence is the detail of a not_found.
type absence struct {
	LastSeen time.Time `json:"last_seen,omitzero"`
	Near     []string  `json:"near"`
}

// get answers with all that is known of one service.
func (r *Registrar) get(ctx context.Context, m *nats.Msg) (any, error) {
	var body getRequest
	if err := read(m, maxBody, &body); err != nil {
		return nil, err
	}
	if body.Service == "" || len(body.Service) > maxAsked {
		return nil, bus.Errorf(bus.InvalidArgument, `say which service: {"service":"NAME"}, a name of 1 to %d bytes`, maxAsked)
	}
	instances := r.view.All(body.Service)
	if len(instances) == 0 {
		// A service of another library does not announce itself, so the view
		// learns of it some seconds late.
		ask, cancel := context.WithTimeout(ctx, askAbsent)
		instances, _ = discovery.Query(ask, r.conn, body.Service) // no answer is absence
		cancel()
	}
	if len(instances) == 0 {
		return nil, r.absent(body.Service)
	}
	services := discovery.Services(instances, r.schemas.of(ctx, r.conn, instances))
	seen, _ := r.view.LastSeen(body.Service)
	for _, part := range parts(services, seen.UTC().Truncate(time.Millisecond), min(maxGetMessage, r.conn.MaxPayload()*3/4)) {
		r.say(m.Reply, part)
	}
	return nil, nil
}

func (r *Registrar) absent(service string) error {
	names := r.view.Services()
	detail := absence{Near: discovery.Near(service, names)}
	if detail.Near == nil {
		detail.Near = []string{}
	}
	e := bus.AsError(discovery.NotFound(service, names))
	if at, ok := r.view.LastSeen(service); ok {
		detail.LastSeen = at.UTC().Truncate(time.Millisecond)
		e.Message = fmt.Sprintf("no instance of service %q is there now, the last one was seen %v ago", service, time.Since(at).Round(time.Second))
	}
	e.Detail = encode(detail)
	return e
}

// parts encodes an answer in messages of at most limit bytes. The nodes of one
// version may be spread over several; its endpoints are in the first.
func parts(services []discovery.Service, seen time.Time, limit int) [][]byte {
	if data, err := json.Marshal(getReply{Services: services, LastSeen: seen}); err == nil && len(data) <= limit {
		return [][]byte{data}
	}
	p := partition{limit: limit, seen: seen}
	for _, s := range services {
		p.add(s)
	}
	return p.end()
}

// A partition fills messages one after another.
type partition struct {
	limit int
	seen  time.Time
	done  [][]byte
	open  getReply
	size  int // of open, about
}

// spare is for the braces and names around the services of a message.
const spare = 256

func (p *partition) add(s discovery.Service) {
	nodes := s.Nodes
	s.Nodes = []discovery.Node{}
	p.begin(fit(s, p.limit-spare))
	s.Endpoints = []discovery.ServiceEndpoint{} // are said once
	for _, n := range nodes {
		size := len(encode(n)) + 1
		if p.size+size > p.limit {
			p.flush(true)
			p.begin(fit(s, p.limit/2))
		}
		last := &p.open.Services[len(p.open.Services)-1]
		last.Nodes = append(last.Nodes, n)
		p.size += size
	}
}

func (p *partition) begin(s discovery.Service) {
	size := len(encode(s)) + 1
	if len(p.open.Services) > 0 && p.size+size > p.limit {
		p.flush(true)
	}
	if len(p.open.Services) == 0 {
		p.size = spare
	}
	p.open.Services = append(p.open.Services, s)
	p.size += size
}

func (p *partition) flush(more bool) {
	p.open.LastSeen, p.open.More = p.seen, more
	p.done = append(p.done, encode(p.open))
	p.open = getReply{}
}

func (p *partition) end() [][]byte {
	p.flush(false)
	return p.done
}

// fit leaves out of a service without nodes what one message cannot carry: what
// its messages look like, then its endpoints, then its metadata.
func fit(s discovery.Service, limit int) discovery.Service {
	if len(encode(s)) <= limit {
		return s
	}
	endpoints := make([]discovery.ServiceEndpoint, len(s.Endpoints))
	for n, e := range s.Endpoints {
		e.Request, e.Response = &discovery.Value{Values: []discovery.Value{}}, &discovery.Value{Values: []discovery.Value{}}
		endpoints[n] = e
	}
	s.Endpoints = endpoints
	if len(encode(s)) <= limit {
		return s
	}
	s.Endpoints = []discovery.ServiceEndpoint{}
	if len(encode(s)) > limit {
		s.Metadata = map[string]string{}
	}
	return s
}
