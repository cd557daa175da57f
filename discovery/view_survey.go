package discovery

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/mbus-dev/mbus/bus/wire"
)

// takeSnapshot asks everyone who is watched to announce themselves.
func (v *View) takeSnapshot(ctx context.Context) error {
	s, unknown := v.survey()
	if err := s.run(ctx); err != nil {
		v.mu.Lock()
		v.noSnapshot = true
		v.mu.Unlock()
		return err
	}
	v.askUnknown(*unknown)
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.isReady {
		v.isReady = true
		close(v.ready)
	}
	return nil
}

// sweep finds what no announcement told of: foreign services and what they have
// added, and instances whose announcements were lost.
func (v *View) sweep(ctx context.Context) error {
	s, unknown := v.survey()
	names := make(map[string]bool)
	if len(v.services) == 0 {
		foreign, err := s.everyone(ctx)
		if err != nil {
			return err
		}
		// Many foreign services are asked for their INFO only once.
		for _, name := range foreign[:min(len(foreign), maxAtOnce)] {
			names[name] = true
		}
	} else if _, err := s.gathering.run(ctx, s.named(wire.VerbPing)...); err != nil {
		return err
	}
	for k, i := range *unknown {
		if i.Foreign {
			names[k.service] = true
		}
	}
	v.askUnknown(*unknown)
	return s.ask(ctx, wire.VerbInfo, slices.Sorted(maps.Keys(names)))
}

// poll asks the instances that do not announce themselves whether they are
// there. Those that are not are asked once more, one by one.
func (v *View) poll(ctx context.Context, names []string) error {
	s, _ := v.survey()
	if len(names) > maxAtOnce {
		names = []string{""}
	}
	start := time.Now()
	if err := s.ask(ctx, wire.VerbPing, names); err != nil {
		return err
	}
	now := time.Now()
	v.update(func(t *table) {
		for _, g := range t.services {
			for _, e := range g.entries {
				if e.polled && e.inst.LastSeen.Before(start) {
					e.due = now
					t.nextDue = now
				}
			}
		}
	})
	return nil
}

// survey prepares the questions of this View. Instances that have answered and
// are not known, and not foreign with an INFO, end up in unknown.
func (v *View) survey() (s *survey, unknown *map[key]Instance) {
	pending := make(map[key]Instance)
	s = &survey{
		gathering: newGathering(v.conn), plan: v.plan, services: v.services, spread: serviceSpread,
		announced: func(a *announcement, size int) {
			delete(pending, key{a.Name, a.ID})
			v.put(a.instance(), size, false, time.Now())
		},
		found: func(i Instance, ping bool) {
			now := time.Now()
			k := key{i.Service, i.ID}
			v.update(func(t *table) {
				switch e := t.get(k); {
				case i.Foreign && !ping, e != nil && e.polled && !ping:
					delete(pending, k)
					v.putPolled(i, 0, now)
				case e != nil:
					t.alive(k, now)
				default:
					pending[k] = i
				}
			})
		},
		bad: v.drop,
	}
	s.max = v.table.maxInstances
	// Who has answered $SRV at once still waits with its announcement, and would
	// be missing.
	s.more = func() bool {
		for _, i := range pending {
			if !i.Foreign {
				return true
			}
		}
		return false
	}
	if len(v.services) == 0 {
		s.spread = max(allSpread, v.pace.now(time.Now()).spread())
		s.floor = s.spread + spreadGrace
		s.limit = s.spread + gatherLimit
	}
	return s, &pending
}

// askUnknown asks the mbus instances that have answered $SRV but are not known
// for their announcement.
func (v *View) askUnknown(unknown map[key]Instance) {
	now := time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	for k, i := range unknown {
		if !i.Foreign && v.table.get(k) == nil {
			v.ask(k, inquireProbe, now)
		}
	}
}

// putPolled takes in an instance that is known from $SRV only. The caller holds
// mu.
func (v *View) putPolled(i Instance, size int, now time.Time) {
	i.Interval = v.pace.now(now).Beat * pollBeats
	if size == 0 {
		size = maxText
	}
	v.table.put(i, size, true, now)
}

// polledNames returns the ADR-32 names of the services with instances that do
// not announce themselves. The caller holds mu.
func (v *View) polledNames() []string {
	var names []string
	for name, g := range v.table.services {
		for _, e := range g.entries {
			if e.polled {
				if !e.inst.Foreign {
					name = wire.Escape(name)
				}
				names = append(names, name)
				break
			}
		}
	}
	return names
}
