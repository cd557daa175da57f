package web

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

type webAppsData struct {
	Bus       link     `json:"bus"`
	Namespace string   `json:"namespace"`
	Apps      []webApp `json:"apps"`
}

func (w *Web) webappsPage(r *http.Request) (*page, error) {
	d := &webAppsData{Bus: w.collect.state(), Namespace: w.cfg.Namespace, Apps: w.apps.list(r.Host, r.TLS != nil, time.Now())}
	return &page{name: "webapps", title: "Web apps", data: d, text: func(b *bytes.Buffer) {
		for _, a := range d.Apps {
			_, _ = fmt.Fprintf(b, "%s  %s  %s\n", a.Alias, a.Health, a.HostURL) // a Buffer takes everything
		}
		if len(d.Apps) == 0 {
			_, _ = fmt.Fprintf(b, "no web apps: a service %s.NAME that is registered with an address is one\n", w.cfg.Namespace)
		}
	}}, nil
}

func (c *collector) webApps(prefix string, now time.Time) []webApp {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := []webApp{}
	for name, s := range c.t.services {
		alias, ok := strings.CutPrefix(name, prefix)
		if !ok || alias == "" || s.kind != "app" {
			continue
		}
		a := webApp{Name: name, Alias: alias, Title: titleOf(s.metadata, alias), Health: s.health, Why: s.why, Nodes: s.nodes(now)}
		if icon := s.metadata["icon"]; len(icon) <= maxText {
			a.Icon = icon
		}
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b webApp) int { return strings.Compare(a.Name, b.Name) })
	return all
}
