package wire

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Header names of the plain spelling, written exactly so (NATS headers are case-sensitive). The table in the package
// documentation says what each means and what its absence means.
const (
	HeaderContentType = "Content-Type"
	HeaderTimeout     = "Mbus-Timeout"
	HeaderID          = "Mbus-Id"
	HeaderConn        = "Mbus-Conn"
	HeaderAttempt     = "Mbus-Attempt"
	HeaderFrom        = "Mbus-From"
	HeaderStream      = "Mbus-Stream"
	HeaderDepth       = "Mbus-Depth"

	HeaderError            = "Mbus-Error"
	HeaderRetry            = "Mbus-Retry"
	HeaderServiceError     = "Nats-Service-Error"
	HeaderServiceErrorCode = "Nats-Service-Error-Code"

	HeaderTraceparent = "traceparent"
	HeaderTracestate  = "tracestate"
	HeaderBaggage     = "baggage"
)

// StreamChunks is the value of HeaderStream by which a plain caller says that it takes an answer in parts, as frames.
const StreamChunks = "chunks"

// Values of HeaderContentType. Absent means ContentTypeJSON.
const (
	ContentTypeJSON     = "application/json"
	ContentTypeMsgpack  = "application/msgpack"
	ContentTypeProtobuf = "application/protobuf"
	ContentTypeRaw      = "application/octet-stream"
)

// Reserved reports whether a header name belongs to mbus, to the broker or to a standard mbus handles itself, in any
// case: Mbus-*, Nats-*, Content-Type, traceparent, tracestate, baggage. User metadata may not use these names, and
// gateways drop them from what comes from outside.
func Reserved(name string) bool {
	switch len(name) {
	case len(HeaderTraceparent):
		if strings.EqualFold(name, HeaderTraceparent) {
			return true
		}
	case len(HeaderTracestate):
		if strings.EqualFold(name, HeaderTracestate) {
			return true
		}
	case len(HeaderBaggage):
		if strings.EqualFold(name, HeaderBaggage) {
			return true
		}
	case len(HeaderContentType):
		if strings.EqualFold(name, HeaderContentType) {
			return true
		}
	}
	const prefix = len("Mbus-")
	return len(name) >= prefix && (strings.EqualFold(name[:prefix], "Mbus-") || strings.EqualFold(name[:prefix], "Nats-"))
}

// MaxTimeout is the longest time that travels; longer ones are cut to it, when written and when read.
const MaxTimeout = 365 * 24 * time.Hour

// ParseTimeout reads the value of HeaderTimeout: decimal digits, milliseconds left. 0 means that no time is left; values
// over MaxTimeout give MaxTimeout. Anything but digits is an error.
func ParseTimeout(s string) (time.Duration, error) {
	ms, err := parseMillis(s)
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", HeaderTimeout, quote(s), err)
	}
	return millis(ms), nil
}

// FormatTimeout writes d for HeaderTimeout, in milliseconds rounded up, so that a time not yet over never reads as over.
// Negative d gives "0", d over MaxTimeout gives MaxTimeout.
func FormatTimeout(d time.Duration) string { return strconv.FormatUint(toMillis(d), 10) }

// parseMillis reads decimal digits; what does not fit 64 bits gives the largest number.
func parseMillis(s string) (uint64, error) {
	if s == "" {
		return 0, errors.New("empty, want milliseconds as decimal digits")
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, errors.New("want milliseconds as decimal digits")
		}
	}
	ms, err := strconv.ParseUint(s, 10, 64)
	if err != nil { // only out of range is left
		return math.MaxUint64, nil
	}
	return ms, nil
}

func millis(ms uint64) time.Duration {
	if ms > uint64(MaxTimeout/time.Millisecond) {
		return MaxTimeout
	}
	return time.Duration(ms) * time.Millisecond
}

func toMillis(d time.Duration) uint64 {
	switch {
	case d <= 0:
		return 0
	case d > MaxTimeout:
		d = MaxTimeout
	}
	return uint64((d + time.Millisecond - 1) / time.Millisecond)
}

// Retry says whether an error that came back may be answered by another attempt. It is the number error frames carry:
// 0 never, 1 safe, n ≥ 2 safe after n-2 milliseconds. String and ParseRetry are its spelling in HeaderRetry.
type Retry uint64

// The two fixed values of Retry.
const (
	RetryNever Retry = 0 // a further attempt could do the work twice, or would fail alike
	RetrySafe  Retry = 1 // nothing was done; at once, at another instance if there is one
)

const retryAfter = "after="

// RetryAfter is safe after d, rounded up to milliseconds, between 0 and MaxTimeout.
func RetryAfter(d time.Duration) Retry { return Retry(toMillis(d) + 2) }

// After returns the wait and true if r is of the RetryAfter kind, 0 and false otherwise. Waits are cut to MaxTimeout.
func (r Retry) After() (time.Duration, bool) {
	if r < 2 {
		return 0, false
	}
	return millis(uint64(r - 2)), true
}

// String is the spelling in HeaderRetry: "never", "safe" or "after=<ms>".
func (r Retry) String() string {
	switch r {
	case RetryNever:
		return "never"
	case RetrySafe:
		return "safe"
	}
	d, _ := r.After()
	return retryAfter + FormatTimeout(d)
}

// ParseRetry reads HeaderRetry. "" (absent) and RetryNever are the same; an unknown word is an error, and RetryNever.
func ParseRetry(s string) (Retry, error) {
	switch s {
	case "", "never":
		return RetryNever, nil
	case "safe":
		return RetrySafe, nil
	}
	if ms, ok := strings.CutPrefix(s, retryAfter); ok {
		if n, err := parseMillis(ms); err == nil {
			return RetryAfter(millis(n)), nil
		}
	}
	return RetryNever, fmt.Errorf("%s %s: want never, safe or after=<ms>", HeaderRetry, quote(s))
}
