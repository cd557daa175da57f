package web

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"syscall"

	"github.com/mbus-dev/mbus/gateway"
)

const (
	maxAppTries = 3
	// maxAppBody bounds a request to an app.
	maxAppBody  = 64 << 20
	maxAppConns = 256
)

var _ http.RoundTripper = (*apps)(nil)

// elsewhere is about an app that is registered at an address which is not of this
// machine.
const elsewhere = "the app is registered at an address of another machine, and the dashboard shows those of its own"

// rewrite makes the request that the app gets.
func (a *apps) rewrite(p *httputil.ProxyRequest) {
	v := p.In.Context().Value(visitKey{}).(*visit)
	p.Out.URL.Scheme, p.Out.URL.Host, p.Out.Host = "http", v.targets[0], v.targets[0]
	p.Out.URL.Path, p.Out.URL.RawPath = stripBase(v.base, p.In.URL.Path), stripBase(v.base, p.In.URL.RawPath)
	p.Out.URL.RawQuery = p.In.URL.RawQuery
	for name := range p.Out.Header {
		if gateway.Internal(name) || name == "Authorization" && a.web.cfg.HideAuthorization {
			p.Out.Header.Del(name)
		}
	}
	withoutOwnCookies(p.Out)
	p.Out.Header.Del(headerBasePath)
	if v.base != "" {
		p.Out.Header.Set(headerBasePath, v.base)
	}
	if prior := p.In.Header["X-Forwarded-For"]; len(prior) > 0 {
		p.Out.Header["X-Forwarded-For"] = prior
	}
	p.SetXForwarded()
	if id := gateway.RequestID(p.In.Context()); id != "" {
		p.Out.Header.Set(gateway.HeaderRequestID, id)
	}
}

func stripBase(base, path string) string {
	if base == "" || path == "" {
		return path
	}
	rest := strings.TrimPrefix(path, base)
	if rest == path && len(path) > len(base) {
		// The prefix was written in another way, such as with escapes.
		if _, after, ok := strings.Cut(path[1:], "/"); ok {
			rest = "/" + after
		}
	}
	if rest == "" {
		return "/"
	}
	return rest
}

// withoutOwnCookies takes out those of the dashboard.
func withoutOwnCookies(r *http.Request) {
	cookies := r.Cookies()
	r.Header.Del("Cookie")
	for _, c := range cookies {
		if !strings.HasPrefix(c.Name, "mbus_") {
			r.AddCookie(c)
		}
	}
}

// RoundTrip sends a request to the first node that takes connections.
func (a *apps) RoundTrip(r *http.Request) (*http.Response, error) {
	v := r.Context().Value(visitKey{}).(*visit)
	return a.transport.Send(r, v.targets, func(i int) { v.tried = v.nodes[i] })
}

// modify takes from an answer what is not the app's to say, and puts it into the
// sandbox where it is on the origin of the dashboard.
func (a *apps) modify(res *http.Response) error {
	v := res.Request.Context().Value(visitKey{}).(*visit)
	for name := range res.Header {
		switch l := strings.ToLower(name); {
		case gateway.Internal(l), strings.HasPrefix(l, "access-control-"), l == "strict-transport-security", l == "alt-svc",
			l == "x-request-id", l == "clear-site-data", l == "service-worker-allowed":
			res.Header.Del(name)
		case l != "vary":
			v.edge.Del(name) // the app's own counts
		}
	}
	v.edge.Del("Content-Security-Policy") // its pages are its own matter
	if v.base != "" {
		res.Header.Add("Content-Security-Policy", sandbox)
		// Its scripts have an opaque origin, for which even its own files are
		// those of another site.
		v.edge.Del("Cross-Origin-Resource-Policy")
		res.Header.Set("Cross-Origin-Resource-Policy", "cross-origin")
		ownCookies(res, v.base)
	}
	a.relocate(res, v)
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		v.lasts()
	}
	return nil
}

// ownCookies keeps the cookies of an app below its path, and from the names of the
// dashboard's.
func ownCookies(res *http.Response, base string) {
	cookies := res.Cookies()
	res.Header.Del("Set-Cookie")
	for _, c := range cookies {
		if strings.HasPrefix(c.Name, "mbus_") {
			continue
		}
		c.Path, c.Domain = base+"/", ""
		res.Header.Add("Set-Cookie", c.String())
	}
}

// relocate makes a redirect lead to where the app is shown.
func (a *apps) relocate(res *http.Response, v *visit) {
	to, err := url.Parse(res.Header.Get("Location"))
	if err != nil || to.String() == "" {
		return
	}
	if to.Host == res.Request.URL.Host {
		to.Scheme, to.Host = "", ""
	}
	if to.Host == "" && v.base != "" && strings.HasPrefix(to.Path, "/") {
		to.Path, to.RawPath = v.base+to.Path, ""
	}
	res.Header.Set("Location", to.String())
}

// unanswered answers for an app that does not.
func (a *apps) unanswered(rw http.ResponseWriter, r *http.Request, err error) {
	v := r.Context().Value(visitKey{}).(*visit)
	timeout, isNet := errors.AsType[net.Error](err)
	_, over := errors.AsType[*http.MaxBytesError](err)
	_, not := errors.AsType[*gateway.ForbiddenAddress](err)
	switch {
	case over:
		a.fail(rw, r, v, http.StatusRequestEntityTooLarge, fmt.Sprintf("a request to an app has at most %d bytes", maxAppBody))
	case not:
		a.fail(rw, r, v, http.StatusForbidden, elsewhere)
	case errors.Is(err, syscall.ECONNREFUSED):
		a.fail(rw, r, v, http.StatusServiceUnavailable, "the app "+v.alias+" is registered and takes no connections")
	case isNet && timeout.Timeout():
		a.fail(rw, r, v, http.StatusGatewayTimeout, "the app "+v.alias+" did not answer in time")
	default:
		a.fail(rw, r, v, http.StatusBadGateway, "the app "+v.alias+" did not answer as HTTP has it")
	}
}
