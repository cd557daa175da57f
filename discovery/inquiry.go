package discovery

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
)

const (
	// maxInquiries bounds the questions to single instances that are open at a
	// time. Who has no turn is asked when it shows itself again.
	maxInquiries = 4096
	// inquiryTries and inquiryPause: three times within a second.
	inquiryTries = 3
	inquiryPause = time.Second / inquiryTries
	// inquiryJitter spreads the questions of all those who have missed the same
	// news.
	inquiryJitter = 50 * time.Millisecond
)

// What an inquiry asks for.
type inquiryKind int

const (
	inquirePing  inquiryKind = iota // are you there? A suspect.
	inquireProbe                    // who are you? One that is unknown or has news.
	inquireInfo                     // the same, by $SRV: it does not answer probes
)

// An inquiry asks one instance a question up to three times.
type inquiry struct {
	key     key
	kind    inquiryKind
	sent    int
	next    time.Time // when to ask again or to give up
	subject string
	reply   string
	release func()
}

// ask begins an inquiry, if there is none about this instance. It is false if
// too many are open. The caller holds mu.
func (v *View) ask(k key, kind inquiryKind, now time.Time) bool {
	if v.inquiries[k] != nil {
		return true
	}
	if len(v.inquiries) >= maxInquiries {
		return false
	}
	q := &inquiry{key: k, kind: kind, next: now}
	if kind != inquirePing {
		q.next = now.Add(rand.N(inquiryJitter))
	}
	v.inquiries[k] = q
	v.wake()
	return true
}

// inquire asks what is due and ends what nobody answered. It returns when to
// look again.
func (v *View) inquire(ctx context.Context, now time.Time) time.Time {
	next := now.Add(maxIdle)
	var due []*inquiry
	v.mu.Lock()
	for _, q := range v.inquiries {
		if !q.next.After(now) {
			if q.sent == inquiryTries {
				v.unanswered(q, "no answer", now)
				continue
			}
			q.sent++
			q.next = now.Add(inquiryPause)
			due = append(due, q)
		}
		if q.next.Before(next) {
			next = q.next
		}
	}
	v.mu.Unlock()
	for _, q := range due {
		if subject, reply, ok := v.address(q); ok {
			// What cannot be sent counts as asked: the connection's end shows
			// elsewhere.
			_ = v.conn.Publish(ctx, subject, reply, nil, nil)
		}
	}
	return next
}

// address prepares an inquiry for its first question.
func (v *View) address(q *inquiry) (subject, reply string, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.inquiries[q.key] != q {
		return "", "", false
	}
	if q.release == nil {
		reply, release, err := v.conn.Expect(func(m *nats.Msg) { v.answered(q, m) })
		if err != nil {
			q.sent-- // too many calls wait: a later turn
			return "", "", false
		}
		q.reply, q.release = reply, release
		q.subject = v.inquirySubject(q)
	}
	return q.subject, q.reply, true
}

func (v *View) inquirySubject(q *inquiry) string {
	service, id := q.key.service, q.key.id
	e := v.table.get(q.key)
	switch {
	case q.kind == inquireInfo:
		return wire.SrvSubject(wire.VerbInfo, wire.Escape(service), wire.EscapeID(id))
	case q.kind == inquireProbe, e != nil && e.inst.Registered():
		return probeOne(service, id)
	case e != nil && e.inst.Foreign:
		return wire.SrvSubject(wire.VerbPing, service, id)
	}
	return wire.SrvSubject(wire.VerbPing, wire.Escape(service), wire.EscapeID(id))
}

// answered takes the answer to an inquiry. It runs on the goroutine that
// serves all replies of the connection.
func (v *View) answered(q *inquiry, m *nats.Msg) {
	now := time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.inquiries[q.key] != q {
		return
	}
	if bus.NoResponders(m) {
		v.unanswered(q, "nobody listens", now)
		return
	}
	v.end(q)
	switch q.kind {
	case inquirePing:
		v.table.alive(q.key, now)
	case inquireProbe:
		a, err := decodeAnnouncement(v.plan, q.key.service, q.key.id, m.Data)
		if err != nil {
			v.drop(q.subject, err)
			return
		}
		v.table.put(a.instance(), len(m.Data), false, now)
	case inquireInfo:
		i, err := readSrv(m.Data)
		if err != nil || i.Service != q.key.service || i.ID != q.key.id || i.Foreign {
			v.drop(q.subject, err)
			return
		}
		v.putPolled(i, len(m.Data), now)
	}
}

// unanswered ends an inquiry without an answer. A suspect is gone. An instance
// that does not answer probes may be one that speaks ADR-32 only. The caller
// holds mu.
func (v *View) unanswered(q *inquiry, reason string, now time.Time) {
	v.end(q)
	switch q.kind {
	case inquirePing:
		if e := v.table.get(q.key); e != nil && e.suspect {
			v.table.remove(q.key, connection{}, reason, now)
		}
	default:
		switch e := v.table.get(q.key); {
		case e != nil && e.suspect:
			v.ask(q.key, inquirePing, now)
		case e == nil && q.kind == inquireProbe:
			v.ask(q.key, inquireInfo, now)
		}
	}
}

// end forgets an inquiry. The caller holds mu.
func (v *View) end(q *inquiry) {
	delete(v.inquiries, q.key)
	if q.release != nil {
		q.release()
	}
}

func (v *View) forgetInquiries() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, q := range v.inquiries {
		v.end(q)
	}
}
