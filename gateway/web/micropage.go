package web

import (
	"net/http"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery"
)

// registryPage is Micro's page of services, or of one.
func (w *Web) registryPage(r *http.Request) (*page, error) {
	name := r.URL.Query().Get("service")
	if asksMicro(r) {
		return w.microPage(r, name)
	}
	if name == "" {
		return w.servicesPage(r)
	}
	r.SetPathValue("name", name)
	return w.servicePage(r)
}

// microPage is Micro's JSON: the names of services, or one service whole.
func (w *Web) microPage(r *http.Request, name string) (*page, error) {
	d := microServices{Services: []discovery.Service{}}
	if name == "" {
		for _, n := range w.present() {
			d.Services = append(d.Services, discovery.Service{Name: n})
		}
	} else if d.Services = w.micro(r.Context(), name); len(d.Services) == 0 {
		return nil, bus.Errorf(bus.NotFound, "Not found")
	}
	return &page{name: "services", title: "Registry", data: d, json: true}, nil
}

// present are the names of the services that have a node.
func (w *Web) present() []string {
	if view := w.bus.View(); view != nil {
		return view.Services()
	}
	return nil
}
