package gateway

import (
	"context"
	"net/http"

	"github.com/nats-io/nuid"
)

// maxRequestID is the most bytes of an id that a client chooses.
const maxRequestID = 128

// RequestID returns the id of the request that ctx belongs to, "" outside one.
func RequestID(ctx context.Context) string {
	if x := exchangeOf(ctx); x != nil {
		return x.id
	}
	return ""
}

// requestID is the id of a request: the client's own if it is fit for a log
// line, else a new one.
func requestID(r *http.Request) string {
	if id := r.Header.Get(HeaderRequestID); fitForLog(id) {
		return id
	}
	return nuid.Next()
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
