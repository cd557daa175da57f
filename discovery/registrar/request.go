package registrar

import (
	"context"
	"encoding/json"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
)

const (
	// maxReads and maxWrites bound the requests that wait for a worker; one more
	// is refused with resource_exhausted. Reads are short; writes wait for other
	// registrars.
	maxReads  = 1024
	maxWrites = 1024
	readers   = 4
	writers   = 32
	// maxBody bounds a request, maxRegistration one that registers.
	maxBody         = 4 << 10
	maxRegistration = 256 << 10
)

// Methods that a registrar serves on its own node subject.
const (
	methodWatch = "watch" // renew, cancel and resume a watch
	methodSync  = "sync"  // what registrars ask each other
)

// A request waits for a worker.
type request struct {
	msg *nats.Msg
	do  func(context.Context, *nats.Msg) (any, error)
}

// listenFront subscribes to what registrars share.
func (r *Registrar) listenFront() error {
	for _, s := range []struct {
		op    string
		queue chan request
		do    func(context.Context, *nats.Msg) (any, error)
	}{
		{wire.RegistryList, r.reads, r.list},
		{wire.RegistryGet, r.reads, r.get},
		{wire.RegistryWatch, r.reads, r.watch},
		{wire.RegistryRegister, r.writes, r.register},
		{wire.RegistryDeregister, r.writes, r.deregister},
	} {
		l, err := r.conn.Listen(bus.Control, wire.RegistrySubject(s.op), wire.Queue, func(m *nats.Msg) {
			r.enqueue(s.queue, request{m, s.do})
		})
		if err != nil {
			return err
		}
		r.front = append(r.front, l)
	}
	return nil
}

// listenBack subscribes to what concerns this registrar alone, and to all
// announcements: behind the view, which has therefore seen them first.
func (r *Registrar) listenBack() error {
	for subject, f := range map[string]func(*nats.Msg){
		wire.AnnounceAll: r.heard,
		wire.NodeSubject(Service, r.cfg.ID, methodSync):  r.answerSync,
		wire.NodeSubject(Service, r.cfg.ID, methodWatch): r.watches.heard,
	} {
		l, err := r.conn.Listen(bus.Control, subject, "", f)
		if err != nil {
			return err
		}
		r.back = append(r.back, l)
	}
	return nil
}

// allowed reports whether a request may be answered. Others are dropped: a
// reply elsewhere would publish with the rights of the registrar.
func (r *Registrar) allowed(m *nats.Msg) bool {
	if wire.ReplyAllowed(m.Reply) {
		return true
	}
	r.counts.dropped.Add(1)
	return false
}

func (r *Registrar) enqueue(queue chan request, q request) {
	if !r.allowed(q.msg) {
		return
	}
	select {
	case queue <- q:
	default:
		r.counts.refused.Add(1)
		busy := bus.Errorf(bus.ResourceExhausted, "the registrar has too many requests waiting; try again")
		busy.Retry = bus.RetrySafe
		r.fail(q.msg, busy)
	}
}

// work handles requests until no more can come.
func (r *Registrar) work(run context.Context, queue chan request) {
	for {
		select {
		case q := <-queue:
			r.handle(run, q)
		case <-run.Done():
			return
		case <-r.closing:
			select {
			case q := <-queue:
				r.handle(run, q)
			default:
				return
			}
		}
	}
}

func (r *Registrar) handle(run context.Context, q request) {
	r.counts.requests.Add(1)
	reply, err := q.do(run, q.msg)
	switch {
	case err != nil:
		r.fail(q.msg, err)
	case reply != nil:
		r.reply(q.msg, reply)
	}
}

// reply and fail do not care whether the asker can still be reached: it sees
// nothing and asks again.
func (r *Registrar) reply(m *nats.Msg, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		r.fail(m, err)
		return
	}
	r.say(m.Reply, data)
}

func (r *Registrar) fail(m *nats.Msg, err error) {
	e := bus.AsError(err)
	_ = r.conn.Publish(context.Background(), m.Reply, "", e.Header(), e.Detail)
}

func (r *Registrar) say(subject string, data []byte) {
	_ = r.conn.Publish(context.Background(), subject, "", nil, data)
}

// read reads the body of a request. An empty body is an empty object.
func read(m *nats.Msg, limit int, body any) error {
	if len(m.Data) > limit {
		return bus.Errorf(bus.TooLarge, "%s: a request of %d bytes, at most %d are allowed", m.Subject, len(m.Data), limit)
	}
	if len(m.Data) == 0 {
		return nil
	}
	if err := codec.Guard(codec.JSON, m.Data); err != nil {
		return err
	}
	if err := json.Unmarshal(m.Data, body); err != nil {
		return bus.Errorf(bus.InvalidArgument, "%s: %w", m.Subject, err)
	}
	return nil
}
