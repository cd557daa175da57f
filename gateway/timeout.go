package gateway

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/mbus-dev/mbus/bus"
)

// HeaderRequestTimeout is how long a client waits for the answer, in seconds,
// such as 2.5.
const HeaderRequestTimeout = "Request-Timeout"

// maxRequestTimeout bounds HeaderRequestTimeout.
const maxRequestTimeout = 10 * time.Minute

// WithTimeout returns a context for the call that a request asks for: it ends
// with the request, and after HeaderRequestTimeout if the client sends that.
func WithTimeout(r *http.Request) (context.Context, context.CancelFunc, error) {
	text := r.Header.Get(HeaderRequestTimeout)
	if text == "" {
		ctx, cancel := context.WithCancel(r.Context())
		return ctx, cancel, nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(seconds) || seconds <= 0 || len(text) > 32 {
		return nil, nil, bus.Errorf(bus.InvalidArgument, "%s: %.40q is no time; write seconds, such as 2.5", HeaderRequestTimeout, text)
	}
	seconds = min(seconds, maxRequestTimeout.Seconds())
	ctx, cancel := context.WithTimeout(r.Context(), max(time.Millisecond, time.Duration(seconds*float64(time.Second))))
	return ctx, cancel, nil
}
