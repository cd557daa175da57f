package discovery

import (
	"context"
	"slices"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
)

// Query asks the bus once who serves a service, or who is there at all if
// service is empty, foreign services included, and returns the answers ordered
// by service and id. It stops soon after the answers stop: that takes some 50 ms
// longer than the slowest answer, at most a second. No answers are no error.
//
// Query reads at most 10,000 answers. It does not tell load and state of beats:
// those are in a View.
func Query(ctx context.Context, conn *bus.Conn, service string) ([]Instance, error) {
	var services []string
	if service != "" {
		if err := checkAsked(service); err != nil {
			return nil, err
		}
		services = []string{service}
	}
	instances := make(map[key]Instance)
	announced := make(map[key]bool)
	s := survey{gathering: newGathering(conn), plan: codec.PlanOf(conn), services: services, spread: serviceSpread, bad: func(string, error) {}}
	s.announced = func(a *announcement, _ int) {
		k := key{a.Name, a.ID}
		announced[k] = true
		instances[k] = a.instance()
	}
	s.found = func(i Instance, ping bool) {
		k := key{i.Service, i.ID}
		if _, known := instances[k]; announced[k] || ping && known {
			return
		}
		instances[k] = i
	}
	if err := s.run(ctx); err != nil && len(instances) == 0 {
		return nil, err
	}
	out := make([]Instance, 0, len(instances))
	for _, i := range instances {
		out = append(out, i)
	}
	slices.SortFunc(out, byName)
	return out, nil
}
