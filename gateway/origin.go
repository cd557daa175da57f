package gateway

import (
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/embedded/bind"
)

// Micro's lists for preflight requests, and what has come since.
const (
	corsMethods = "POST, GET, OPTIONS, PUT, DELETE, PATCH, HEAD"
	corsHeaders = "Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token, Authorization, Accept, If-None-Match, Last-Event-ID, Request-Timeout, X-Request-Id"
	corsExposed = "Mbus-End, X-Request-Id, Retry-After, ETag, Mcp-Session-Id"
	corsMaxAge  = "600"
)

// origins are the sites whose pages may use the gateway.
type origins struct {
	listed map[string]bool
	any    bool
	flag   string // for messages
}

// newOrigins reads a comma list of origins, or "*".
func newOrigins(flag, list string) (origins, error) {
	o := origins{listed: make(map[string]bool), flag: flag}
	for text := range strings.SplitSeq(list, ",") {
		switch text = strings.TrimSpace(text); text {
		case "":
		case "*":
			o.any = true
		default:
			origin, ok := canonicalOrigin(text)
			if !ok {
				return o, bind.Errorf("%s %q is no origin; write https://example.com, or * for all sites", flag, text)
			}
			o.listed[origin] = true
		}
	}
	return o, nil
}

// canonicalOrigin brings scheme://host[:port] into the form of browsers.
func canonicalOrigin(text string) (string, bool) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", false
	}
	scheme, host := strings.ToLower(u.Scheme), strings.ToLower(u.Host)
	return scheme + "://" + withoutDefaultPort(scheme, host), true
}

func withoutDefaultPort(scheme, host string) string {
	switch scheme {
	case "http":
		return strings.TrimSuffix(host, ":80")
	case "https":
		return strings.TrimSuffix(host, ":443")
	}
	return host
}

// check refuses what a page of another site asks, unless the site is listed. It
// tells the browser of those that are.
//
// A request without Origin and Sec-Fetch-Site comes from no page, or from a
// browser that is older than these rules.
func (o origins) check(w http.ResponseWriter, r *http.Request, secure bool, page, public func(path string) bool) error {
	if o.any || len(o.listed) > 0 {
		w.Header().Add("Vary", "Origin")
	}
	site := r.Header.Get("Sec-Fetch-Site")
	from := r.Header["Origin"]
	if len(from) == 0 {
		if site == "" || site == "none" || site == "same-origin" || navigation(r) && page(r.URL.Path) || !writes(r.Method) && public(r.URL.Path) {
			return nil
		}
		return foreign("a page of another site may not ask for this; open it yourself, or list the site with %s", o.flag)
	}
	if len(from) > 1 {
		return foreign("a request has one origin")
	}
	same := sameOrigin(from[0], r.Host, secure)
	switch {
	case same && site != "cross-site":
		return nil
	case same || !o.allowed(from[0]):
		return foreign("pages of %q may not use this gateway; %s lists those that may", cut(from[0]), o.flag)
	case writes(r.Method) && simple(r.Header):
		return foreign("a page of another site must not send forms or text; send application/json")
	}
	o.permit(w.Header(), from[0])
	return nil
}

// allowed reports whether pages of an origin may use the gateway.
func (o origins) allowed(origin string) bool {
	name, ok := canonicalOrigin(origin)
	return o.any || ok && o.listed[name]
}

// permit tells the browser that the page may read the answer. Credentials are
// for origins that are listed by name.
func (o origins) permit(h http.Header, origin string) {
	if name, ok := canonicalOrigin(origin); ok && o.listed[name] {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
	} else {
		h.Set("Access-Control-Allow-Origin", "*")
	}
	h.Set("Access-Control-Expose-Headers", corsExposed)
}

// preflight answers OPTIONS: 200 as in Micro, whatever the path. What the
// browser needs to go on is there for origins that are allowed.
func (o origins) preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Allow", allVerbs)
	h.Set("Content-Length", "0")
	h["Vary"] = append(h["Vary"], "Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers")
	if from := r.Header["Origin"]; len(from) == 1 && o.allowed(from[0]) {
		o.permit(h, from[0])
		h.Set("Access-Control-Allow-Methods", corsMethods)
		h.Set("Access-Control-Allow-Headers", corsHeaders)
		if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" && fieldNames(asked) {
			h.Set("Access-Control-Allow-Headers", asked)
		}
		h.Set("Access-Control-Max-Age", corsMaxAge)
	}
	w.WriteHeader(http.StatusOK)
}

// fieldNames reports whether a list holds names of headers that a client may
// send.
func fieldNames(list string) bool {
	if len(list) > 1024 {
		return false
	}
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		if name == "" || Internal(name) || strings.ContainsFunc(name, func(c rune) bool {
			return c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
		}) {
			return false
		}
	}
	return true
}

func sameOrigin(origin, host string, secure bool) bool {
	scheme := "http"
	if secure {
		scheme = "https"
	}
	name, ok := canonicalOrigin(origin)
	return ok && name == scheme+"://"+withoutDefaultPort(scheme, strings.ToLower(host))
}

// navigation reports whether somebody follows a link.
func navigation(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

func writes(method string) bool { return method != http.MethodGet && method != http.MethodHead }

// simple reports whether a browser sends a body of this type without asking.
func simple(h http.Header) bool {
	text := h.Get("Content-Type")
	if text == "" {
		return true
	}
	kind, _, err := mime.ParseMediaType(text)
	return err != nil || slices.Contains([]string{"application/x-www-form-urlencoded", "multipart/form-data", "text/plain"}, kind)
}

func foreign(format string, args ...any) error {
	return bus.Errorf(bus.PermissionDenied, format, args...)
}
