package web

import (
	"fmt"
	"time"

	"github.com/mbus-dev/mbus/discovery"
)

// A health is the one word about a service. The worst comes first.
type health int

const (
	down health = iota
	degraded
	starting
	stale
	ok
)

// String is the word on pages.
func (h health) String() string {
	return [...]string{"down", "degraded", "starting", "stale", "ok"}[h]
}

// MarshalText writes the word.
func (h health) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

const (
	// startingFor is how long a new service is neither well nor ill.
	startingFor = 2 * time.Second
	// lossShown is how long a node that was lost leaves its service degraded.
	lossShown = 30 * time.Second

	degradedShare = 0.01 // of the calls fail
	downShare     = 0.5
	downCalls     = 10 // that there must have been
)

// judge finds out how a service is, and why.
func (s *service) judge(now time.Time) (health, string) {
	ready, draining, suspect := 0, 0, 0
	for _, i := range s.instances {
		switch i.info.State {
		case discovery.StateSuspect:
			suspect++
		case discovery.StateDraining:
			draining++
		default:
			if i.info.Registered() && !i.info.Expires.IsZero() && now.After(i.info.Expires) {
				suspect++
			} else {
				ready++
			}
		}
	}
	n := len(s.instances)
	taken, failed, refused := s.latest.taken, s.latest.failed, s.latest.refused
	share := 0.0
	if taken > 0 {
		share = float64(failed) / float64(taken)
	}
	switch {
	case n == 0 && s.left != "":
		return down, "no node: " + s.left
	case n == 0:
		return down, "no node"
	case ready == 0 && suspect > 0:
		return stale, fmt.Sprintf("%s silent", ofAll(suspect, n))
	case ready == 0:
		return degraded, fmt.Sprintf("%s draining", ofAll(draining, n))
	case taken >= downCalls && share >= downShare:
		return down, fmt.Sprintf("%.0f %% of the calls fail", 100*share)
	case failed > 0 && share >= degradedShare:
		return degraded, fmt.Sprintf("%.2g %% of the calls fail", 100*share)
	case refused > 0:
		return degraded, "calls are turned away: too many at work"
	case suspect > 0:
		return degraded, fmt.Sprintf("%s silent", ofAll(suspect, n))
	case s.left != "" && now.Sub(s.lostAt) < lossShown:
		return degraded, s.left
	case now.Sub(s.first) < startingFor:
		return starting, "it has just come"
	}
	return ok, ""
}

func ofAll(some, all int) string {
	switch {
	case all == 1:
		return "the node is"
	case some == 1:
		return fmt.Sprintf("1 of %d nodes is", all)
	}
	return fmt.Sprintf("%d of %d nodes are", some, all)
}
