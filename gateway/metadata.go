package gateway

import (
	"net/http"
	"strings"

	"github.com/mbus-dev/mbus/rpc"
)

// notForwarded are the headers that belong to this hop, or to this gateway, and
// never reach a service. Cookie and Authorization are among them: a service that
// is called must not be able to act as the user elsewhere.
var notForwarded = [...]string{
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade", "Content-Length", "Content-Type", "Content-Encoding", "Host", "Expect",
	"Accept-Encoding", "Authorization", "Cookie", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host",
	"X-Forwarded-Proto", "X-Real-Ip",
}

// Internal reports whether a header is the bus's own and must not pass the edge
// in either direction.
func Internal(name string) bool {
	return begins(name, "mbus-") || begins(name, "nats-") || begins(name, "x-mbus-")
}

func begins(name, prefix string) bool {
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}

// Metadata turns the headers of a request into metadata: several values of one
// header are joined with ", ". What belongs to the hop, to the bus or to the
// gateway stays out, as do headers that Connection names; X-Request-Id is that of
// the request.
func Metadata(r *http.Request) rpc.Metadata {
	m := make(rpc.Metadata, len(r.Header))
	for name, values := range r.Header {
		if Internal(name) || hop(r.Header, name) {
			continue
		}
		// A trace has its own spelling on the bus.
		switch name {
		case "Traceparent", "Tracestate", "Baggage":
			name = strings.ToLower(name)
		}
		m[name] = strings.Join(values, ", ")
	}
	if id := RequestID(r.Context()); id != "" {
		m[HeaderRequestID] = id
	}
	return m
}

func hop(h http.Header, name string) bool {
	for _, n := range notForwarded {
		if n == name {
			return true
		}
	}
	for _, v := range h["Connection"] {
		for n := range strings.SplitSeq(v, ",") {
			if http.CanonicalHeaderKey(strings.TrimSpace(n)) == name {
				return true
			}
		}
	}
	return false
}
