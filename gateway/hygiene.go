package gateway

import (
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/mbus-dev/mbus/bus"
)

const (
	maxURI          = 8 << 10
	maxHeaderFields = 100

	allVerbs = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
)

// hygiene refuses requests that no honest client sends and that others on the
// way may read differently. It cleans the path of those that it lets pass.
func hygiene(w http.ResponseWriter, r *http.Request) error {
	if r.ProtoMajor == 1 && len(r.TransferEncoding) > 0 {
		// Whoever stands in front may have seen another end of the body: nothing
		// that follows it on this connection is believed.
		w.Header().Set("Connection", "close")
	}
	if r.ProtoMajor == 1 && r.ProtoMinor > 1 {
		return broken(w, http.StatusHTTPVersionNotSupported, "there is no %.20q; speak HTTP/1.1 or HTTP/2", r.Proto)
	}
	if !known(r.Method) {
		w.Header().Set("Allow", allVerbs)
		return status(http.StatusMethodNotAllowed, "%.20q is no method of this gateway", r.Method)
	}
	if len(r.RequestURI) > maxURI {
		return broken(w, http.StatusRequestURITooLong, "the URI is over %d bytes", maxURI)
	}
	if err := headerBounds(w, r.Header); err != nil {
		return err
	}
	return cleanPath(r)
}

func known(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return true
	}
	return false
}

func headerBounds(w http.ResponseWriter, h http.Header) error {
	fields, size := 0, 0
	for name, values := range h {
		fields += len(values)
		for _, v := range values {
			size += len(name) + len(v) + len(": \r\n")
		}
	}
	if fields > maxHeaderFields || size > maxHeaderBytes {
		return broken(w, http.StatusRequestHeaderFieldsTooLarge, "the header is over %d fields or %d bytes", maxHeaderFields, maxHeaderBytes)
	}
	return nil
}

// plainPath reports whether a path has one reading only, as most have: parts of
// letters, digits and a few signs, none of which begins with a dot.
func plainPath(u *url.URL) bool {
	path := u.Path
	if u.RawPath != "" || path == "" || path[0] != '/' {
		return false
	}
	for i := range len(path) {
		switch c := path[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		case c == '.', c == '/':
			if i > 0 && path[i-1] == '/' {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// cleanPath refuses paths that have a second reading, and takes the repeated
// slashes out of the others.
func cleanPath(r *http.Request) error {
	if plainPath(r.URL) {
		return nil
	}
	escaped := r.URL.EscapedPath()
	if escaped == "" && r.URL.Host != "" {
		escaped = "/" // absolute form without a path
	}
	path, err := url.PathUnescape(escaped)
	if err != nil || !strings.HasPrefix(escaped, "/") || !utf8.ValidString(path) {
		return status(http.StatusBadRequest, "the path is no path")
	}
	doubled := false
	for segment := range strings.SplitSeq(escaped[1:], "/") {
		doubled = doubled || segment == ""
		plain, err := url.PathUnescape(segment)
		if err != nil || plain == "." || plain == ".." || strings.ContainsFunc(plain, ambiguous) {
			return status(http.StatusBadRequest, "the path has a part that is read in more than one way: dots alone, a slash, a backslash or a control character")
		}
	}
	if doubled || r.URL.Path == "" {
		u := *r.URL
		u.Path, u.RawPath = single(path), single(escaped)
		r.URL = &u
	}
	return nil
}

// ambiguous reports what, behind an escape or not, some program on the way may
// take for the end of a part of the path.
func ambiguous(c rune) bool { return c < ' ' || c == 0x7f || c == '/' || c == '\\' }

// single makes one slash of several.
func single(path string) string {
	var b strings.Builder
	b.Grow(len(path))
	for i := range len(path) {
		if path[i] == '/' && i > 0 && path[i-1] == '/' {
			continue
		}
		b.WriteByte(path[i])
	}
	return b.String()
}

// broken is an error after which the connection is not used again.
func broken(w http.ResponseWriter, code int, format string, args ...any) error {
	w.Header().Set("Connection", "close")
	return status(code, format, args...)
}

// status is an error that has a status and no code of its own.
func status(code int, format string, args ...any) error {
	e := bus.Errorf(bus.CodeOfStatus(code), format, args...)
	e.Status = code
	return e
}
