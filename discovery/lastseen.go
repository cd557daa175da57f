package discovery

import "time"

const (
	// rememberFor is for how long a service that is gone is remembered: a call
	// in that time finds it unavailable, and not unknown.
	rememberFor = 10 * time.Minute
	// maxRemembered bounds the services that are remembered; the longest gone
	// is forgotten first.
	maxRemembered = 10_000
)

// lastSeen remembers services that are gone. Its owner locks it.
type lastSeen struct {
	at    map[string]time.Time
	order []sighting // oldest first; outdated ones are skipped
}

type sighting struct {
	service string
	at      time.Time
}

func (l *lastSeen) set(service string, at time.Time) {
	if l.at == nil {
		l.at = make(map[string]time.Time)
	}
	l.at[service] = at
	l.order = append(l.order, sighting{service, at})
	for len(l.order) > 0 {
		oldest := l.order[0]
		current, known := l.at[oldest.service]
		outdated := !known || !current.Equal(oldest.at)
		if !outdated && len(l.at) <= maxRemembered && len(l.order) <= 2*maxRemembered && at.Sub(oldest.at) <= rememberFor {
			return
		}
		if !outdated {
			delete(l.at, oldest.service)
		}
		l.order = l.order[1:]
	}
}

func (l *lastSeen) get(service string, now time.Time) (time.Time, bool) {
	at, ok := l.at[service]
	if !ok || now.Sub(at) > rememberFor {
		return time.Time{}, false
	}
	return at, true
}
