package discovery

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
)

const (
	// quietFloor is the shortest silence that ends a gathering: a busy machine
	// may well keep an instance waiting for so long.
	quietFloor = 50 * time.Millisecond
	// gatherLimit is the longest that a gathering takes, however the answers
	// come.
	gatherLimit = 500 * time.Millisecond
	// maxAnswers bounds the answers of a one-shot gathering.
	maxAnswers = 10_000
)

// A question is one of several requests whose answers are gathered together.
type question struct {
	subject string
	body    []byte
	heard   func(*nats.Msg)
}

// A gathering asks questions that anyone may answer, and stops soon after the
// answers stop: when there was silence for twice the longest gap between two
// answers, or when the broker says that nobody listens to any of the questions.
type gathering struct {
	conn  *bus.Conn
	floor time.Duration // the shortest silence that ends it
	limit time.Duration
	max   int // answers; the rest is not heard
	// more, if set, says whether somebody is known to be yet to answer, whom
	// silence then does not end it for.
	more func() bool
}

func newGathering(conn *bus.Conn) gathering {
	return gathering{conn: conn, floor: quietFloor, limit: gatherLimit, max: maxAnswers}
}

type heard struct {
	question int
	msg      *nats.Msg
}

// run returns how many answers there were. The error is nil if the questions
// could be asked: that nobody answers is no error.
func (g gathering) run(ctx context.Context, questions ...question) (int, error) {
	// Answers wait here while the ones before are read. At the bound they are
	// lost, as those over max are.
	answers := make(chan heard, min(g.max, 8192))
	changed := g.conn.Changed()
	for i, q := range questions {
		reply, release, err := g.conn.Expect(func(m *nats.Msg) {
			select {
			case answers <- heard{i, m}:
			default:
			}
		})
		if err != nil {
			return 0, err
		}
		defer release()
		if err := g.conn.Publish(ctx, q.subject, reply, nil, q.body); err != nil {
			return 0, err
		}
	}
	var n, nobody int
	end := time.NewTimer(g.limit)
	defer end.Stop()
	quiet := time.NewTimer(g.limit)
	defer quiet.Stop()
	last, gap := time.Now(), time.Duration(0)
	for n < g.max {
		select {
		case a := <-answers:
			now := time.Now()
			if bus.NoResponders(a.msg) {
				if nobody++; nobody == len(questions) {
					return n, nil
				}
				continue
			}
			gap = max(gap, now.Sub(last))
			last = now
			n++
			questions[a.question].heard(a.msg)
			quiet.Reset(max(g.floor, 2*gap))
		case <-quiet.C:
			if g.more == nil || !g.more() {
				return n, nil
			}
			quiet.Reset(max(g.floor, 2*gap))
		case <-end.C:
			return n, nil
		case <-changed:
			if !g.conn.Connected() {
				return n, &bus.Error{Code: bus.Unavailable, End: bus.Broker, Status: bus.Unavailable.Status(), Message: "lost the broker while gathering answers"}
			}
			changed = g.conn.Changed()
		case <-ctx.Done():
			if n > 0 {
				return n, nil
			}
			return 0, bus.AsError(context.Cause(ctx))
		}
	}
	return n, nil
}
