package discovery

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/wire"
)

const (
	// paceFloor is the interval of beats without a registrar, and the shortest
	// that a registrar asks for.
	paceFloor = 2 * time.Second
	// paceRate is how many beats a second a registrar lets all instances of the
	// bus send together.
	paceRate = 500
	// paceTrust is for how long the word of a registrar holds.
	paceTrust = 30 * time.Second
	// maxPaceInstances bounds what a pace may claim.
	maxPaceInstances = 10_000_000
)

// A Pace is how often instances beat.
type Pace struct {
	Beat      time.Duration // between two beats of an instance
	Instances int           // on the whole bus; 0 when no registrar has said it
}

type paceMessage struct {
	BeatMS    int64 `json:"beat_ms"`
	Instances int   `json:"instances"`
}

// PaceFor returns the pace of a bus with that many instances: two seconds, and
// longer when that would be more than 500 beats a second in all.
func PaceFor(instances int) Pace {
	instances = min(max(instances, 0), maxPaceInstances)
	beat := time.Duration(instances) * time.Second / paceRate
	return Pace{Beat: min(max(beat, paceFloor), maxInterval), Instances: instances}
}

// PublishPace tells every instance how often to beat. A registrar says it at
// each change and every ten seconds; without word for 30 seconds instances
// beat every two seconds.
func PublishPace(ctx context.Context, conn *bus.Conn, p Pace) error {
	data, err := json.Marshal(paceMessage{BeatMS: p.Beat.Milliseconds(), Instances: p.Instances})
	if err != nil {
		return bus.AsError(err)
	}
	return conn.Publish(ctx, wire.PaceSubject, "", nil, data)
}

// A pacer remembers the last pace that a registrar has published.
type pacer struct {
	mu    sync.Mutex
	pace  Pace
	heard time.Time
}

// hear takes a message of the pace subject and reports whether the pace is new.
func (p *pacer) hear(m *nats.Msg, now time.Time) bool {
	var said paceMessage
	if len(m.Data) > maxLeave || json.Unmarshal(m.Data, &said) != nil || said.BeatMS <= 0 {
		return false
	}
	pace := Pace{Beat: max(interval(said.BeatMS), paceFloor), Instances: min(max(said.Instances, 0), maxPaceInstances)}
	was := p.now(now)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pace, p.heard = pace, now
	return pace != was
}

// now returns the pace that holds at this time.
func (p *pacer) now(now time.Time) Pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heard.IsZero() || now.Sub(p.heard) > paceTrust {
		return Pace{Beat: paceFloor}
	}
	return p.pace
}

// spread is the time over which the instances of the bus spread their answers
// to one who asks all and does not say: a tenth of a millisecond each, at most
// a second.
func (p Pace) spread() time.Duration {
	return min(time.Duration(p.Instances)*100*time.Microsecond, time.Second)
}
