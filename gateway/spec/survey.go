package spec

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway"
)

const (
	// maxMethods bounds the methods in a document.
	maxMethods  = 4096
	debugPrefix = "Debug."
)

// A method is one that some live instance has.
type method struct {
	service, name string
	version       string
	instances     int
	endpoint      discovery.Endpoint
	bodies        map[string]json.RawMessage // its schemas, by their hashes
}

func (m *method) kind() string { return cmp.Or(m.endpoint.Kind, discovery.KindUnary) }

func (m *method) stream() bool { return m.kind() != discovery.KindUnary }

func (m *method) note(name string) string { return m.endpoint.Metadata[name] }

// survey returns the methods on the bus in order, and how many are left out. Of
// several instances that differ the youngest describes a method.
func (s *Spec) survey(ctx context.Context, debug bool) (all []*method, services, left int) {
	view := s.bus.View()
	if view == nil {
		return nil, 0, 0
	}
	for _, service := range view.Services() {
		instances := slices.Clone(view.Instances(service))
		slices.SortStableFunc(instances, func(a, b discovery.Instance) int { return a.Started.Compare(b.Started) })
		services++
		known := map[string]*method{}
		for _, i := range instances {
			for _, e := range i.Endpoints {
				if strings.HasPrefix(e.Name, debugPrefix) && !debug || gateway.Withheld(e.Name) {
					continue
				}
				m := known[e.Name]
				if m == nil && len(all) == maxMethods {
					left++
					continue
				}
				if m == nil {
					m = &method{service: service, name: e.Name}
					known[e.Name] = m
					all = append(all, m)
				}
				m.version, m.endpoint = i.Version, e
				m.instances++
			}
		}
		var hashes []string
		for _, m := range known {
			hashes = append(hashes, m.endpoint.Request, m.endpoint.Response)
		}
		bodies := s.schemas.Get(ctx, service, hashes...)
		for _, m := range known {
			m.bodies = bodies
		}
	}
	slices.SortStableFunc(all, func(a, b *method) int {
		return cmp.Or(strings.Compare(a.service, b.service), strings.Compare(a.name, b.name))
	})
	return all, services, left
}
