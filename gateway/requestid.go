package gateway

import (
	"context"
	"net/http"

	"github.com/nats-io/nuid"
)

// maxRequestID is the most bytes of an id that a client chooses.
const maxRequestID = 128

type requestIDKey struct{}

// RequestID returns the id of the request that ctx belongs to, "" outside one.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// withRequestID gives a request its id: the client's own if it is fit for a log
// line, else a new one.
func withRequestID(r *http.Request) (*http.Request, string) {
	id := r.Header.Get(HeaderRequestID)
	if !fitForLog(id) {
		id = nuid.Next()
	}
	return r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id)), id
}

func fitForLog(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for _, c := range []byte(id) {
		if c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
