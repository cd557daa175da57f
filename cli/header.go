package cli

import (
	"net/textproto"
	"strings"
)

// A header is one -H KEY:VALUE.
type header struct{ key, value string }

// UnmarshalText reads KEY:VALUE, or KEY=VALUE as Micro's --metadata had it.
func (h *header) UnmarshalText(text []byte) error {
	s := string(text)
	at := strings.IndexAny(s, ":=")
	if at <= 0 {
		return usagef("%q is no header; write KEY:VALUE", s)
	}
	key, value := textproto.TrimString(s[:at]), textproto.TrimString(s[at+1:])
	switch {
	case !validHeaderKey(key):
		return usagef("%q is no name for a header: letters, digits and hyphens", key)
	case len(key) > 5 && strings.EqualFold(key[:5], "Mbus-"):
		return usagef("the header %s belongs to the bus; choose another name", key)
	case strings.ContainsAny(value, "\r\n\x00"):
		return usagef("the value of header %s has a line break", key)
	}
	*h = header{key, value}
	return nil
}

// validHeaderKey reports whether s is a token as HTTP defines it.
func validHeaderKey(s string) bool {
	for _, c := range []byte(s) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}
