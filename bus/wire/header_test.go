package wire_test

import (
	"math"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/wire"
)

func TestParseTimeout(t *testing.T) {
	for _, c := range []struct {
		in   string
		want time.Duration
		err  string
	}{
		{"0", 0, ""},
		{"1", time.Millisecond, ""},
		{"5000", 5 * time.Second, ""},
		{"0005", 5 * time.Millisecond, ""},
		{"31536000000", wire.MaxTimeout, ""},
		{"31536000001", wire.MaxTimeout, ""},
		{"1000000000000000000", wire.MaxTimeout, ""},
		{"99999999999999999999999999", wire.MaxTimeout, ""},
		{"", 0, `Mbus-Timeout "": empty, want milliseconds as decimal digits`},
		{"abc", 0, `Mbus-Timeout "abc": want milliseconds as decimal digits`},
		{"-1", 0, `Mbus-Timeout "-1": want milliseconds as decimal digits`},
		{"+1", 0, `Mbus-Timeout "+1": want milliseconds as decimal digits`},
		{" 1", 0, `Mbus-Timeout " 1": want milliseconds as decimal digits`},
		{"1.5", 0, `Mbus-Timeout "1.5": want milliseconds as decimal digits`},
		{"1s", 0, `Mbus-Timeout "1s": want milliseconds as decimal digits`},
		{"1e3", 0, `Mbus-Timeout "1e3": want milliseconds as decimal digits`},
		{"٣", 0, `Mbus-Timeout "٣": want milliseconds as decimal digits`},
	} {
		got, err := wire.ParseTimeout(c.in)
		if got != c.want || text(err) != c.err {
			t.Errorf("ParseTimeout(%q)\n got %s, %v\nwant %s, %s", c.in, got, err, c.want, c.err)
		}
	}
}

func TestFormatTimeoutRoundsUpAndClamps(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                                  "0",
		-time.Second:                       "0",
		math.MinInt64:                      "0",
		1:                                  "1",
		time.Millisecond:                   "1",
		time.Millisecond + 1:               "2",
		30 * time.Second:                   "30000",
		wire.MaxTimeout:                    "31536000000",
		wire.MaxTimeout + time.Millisecond: "31536000000",
		math.MaxInt64:                      "31536000000",
	} {
		if got := wire.FormatTimeout(d); got != want {
			t.Errorf("FormatTimeout(%d) = %s, want %s", d, got, want)
		}
	}
}

func TestRetrySpellings(t *testing.T) {
	for _, c := range []struct {
		r    wire.Retry
		want string
	}{
		{wire.RetryNever, "never"},
		{wire.RetrySafe, "safe"},
		{wire.RetryAfter(0), "after=0"},
		{wire.RetryAfter(-time.Hour), "after=0"},
		{wire.RetryAfter(1), "after=1"},
		{wire.RetryAfter(1500 * time.Millisecond), "after=1500"},
		{wire.RetryAfter(math.MaxInt64), "after=31536000000"},
	} {
		if got := c.r.String(); got != c.want {
			t.Errorf("Retry(%d) = %s, want %s", c.r, got, c.want)
		}
		if got, err := wire.ParseRetry(c.want); got != c.r || err != nil {
			t.Errorf("ParseRetry(%q) = %d, %v, want %d", c.want, got, err, c.r)
		}
	}
	if got, want := wire.Retry(math.MaxUint64).String(), "after=31536000000"; got != want {
		t.Errorf("largest Retry = %s, want %s", got, want)
	}
	if d, ok := wire.RetryAfter(2 * time.Second).After(); d != 2*time.Second || !ok {
		t.Errorf("After = %s, %t, want 2s, true", d, ok)
	}
	if d, ok := wire.RetrySafe.After(); d != 0 || ok {
		t.Errorf("RetrySafe.After = %s, %t, want 0, false", d, ok)
	}
}

func TestParseRetryTakesUnknownWordsAsNever(t *testing.T) {
	if r, err := wire.ParseRetry(""); r != wire.RetryNever || err != nil {
		t.Errorf("absent: got %v, %v, want never", r, err)
	}
	for _, s := range []string{"Safe", "after", "after=", "after=-1", "after=1s", "soon", " safe"} {
		r, err := wire.ParseRetry(s)
		if r != wire.RetryNever || err == nil {
			t.Errorf("ParseRetry(%q) = %v, %v, want never and an error", s, r, err)
		}
	}
}

func TestReservedHeaderNamesInAnyCase(t *testing.T) {
	for name, want := range map[string]bool{
		"Mbus-Timeout": true, "mbus-anything": true, "MBUS-": true, "Nats-Service-Error": true, "nATS-Request-Info": true,
		"Content-Type": true, "content-type": true, "Traceparent": true, "tracestate": true, "BAGGAGE": true,
		"": false, "Mbus": false, "X-Mbus-Id": false, "Content-Length": false, "X-User": false, "trace": false, "MbusX": false,
	} {
		if got := wire.Reserved(name); got != want {
			t.Errorf("Reserved(%q) = %t, want %t", name, got, want)
		}
	}
}
