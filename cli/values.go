package cli

import (
	"strconv"
	"time"
)

// A span is a length of time on the command line: 500ms, 5s, 2m; 0 is none.
type span time.Duration

// UnmarshalText reads a Go duration that is not negative.
func (d *span) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return usagef("%q is no length of time; write 500ms, 5s or 2m", text)
	}
	if v < 0 {
		return usagef("%q is negative", text)
	}
	*d = span(v)
	return nil
}

// A seconds is a length of time as Micro's options give it, in whole seconds;
// a Go duration is accepted too.
type seconds time.Duration

// UnmarshalText reads 30 or 30s.
func (d *seconds) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(string(text))
	if err != nil {
		return (*span)(d).UnmarshalText(text)
	}
	if n < 0 || n > int(time.Duration(1<<63-1)/time.Second) {
		return usagef("%d seconds is out of range", n)
	}
	*d = seconds(time.Duration(n) * time.Second)
	return nil
}
