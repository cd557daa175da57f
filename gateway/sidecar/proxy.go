package sidecar

import (
	"context"
	"log"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/gateway"
)

// serveProxy passes a request to a node of the app that its path begins with, as
// it is: the path whole, as Micro did. WebSockets pass too.
func (s *Sidecar) serveProxy(w http.ResponseWriter, r *http.Request, parts []string) {
	service, ok := gateway.AppPath(s.cfg.Namespace, parts)
	var target netip.AddrPort
	if ok {
		target, ok = s.pick(service)
	}
	if !ok {
		s.fail(w, r, bus.Errorf(bus.NotFound, "no app of this host at %.200q", "/"+strings.Join(parts, "/")))
		return
	}
	if err := s.bus.MayCall(r.Context(), service, "HTTP.Request"); err != nil {
		s.fail(w, r, err)
		return
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host, p.Out.Host = "http", target.String(), target.String()
			for name := range p.Out.Header {
				if gateway.Internal(name) {
					delete(p.Out.Header, name)
				}
			}
			p.SetXForwarded()
		},
		Transport: s.transport,
		ModifyResponse: func(res *http.Response) error {
			for name := range res.Header {
				if gateway.Internal(name) {
					delete(res.Header, name)
				}
			}
			if location, err := url.Parse(res.Header.Get("Location")); err == nil && location.Host == target.String() {
				location.Scheme, location.Host = "", "" // it means this sidecar
				res.Header.Set("Location", location.String())
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			s.fail(w, r, unanswered(r.Context(), err))
		},
		ErrorLog: log.New(discard{}, "", 0), // the access log has the status
	}
	r.Body = http.MaxBytesReader(w, r.Body, int64(s.cfg.MaxBody))
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	stop := context.AfterFunc(s.hard, cancel)
	defer stop()
	proxy.ServeHTTP(w, r.WithContext(ctx))
}

// pick chooses among the nodes of an app that are served here, in turn.
func (s *Sidecar) pick(service string) (netip.AddrPort, bool) {
	var all []netip.AddrPort
	for _, k := range s.keys() {
		if k.service != service {
			continue
		}
		if a := s.app(k); a != nil {
			if p := a.now.Load(); p != nil {
				all = append(all, p.target)
			}
		}
	}
	if len(all) == 0 {
		return netip.AddrPort{}, false
	}
	slices.SortFunc(all, netip.AddrPort.Compare)
	return all[s.turn.Add(1)%uint64(len(all))], true
}

// discard takes the log of the proxy.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
