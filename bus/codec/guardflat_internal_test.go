package codec

import (
	"testing"
)

// What the short way passes, the long one passes, and counts the same.
func FuzzGuardFlat(f *testing.F) {
	for _, s := range []string{
		"", "\x80", "\x81\xa1a\x01", "\x82\xa1a\x01\xa1a\x02", "\x82\xa1a\xa3abc\xa1b\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", "\x81\xa1a\x90",
		"\x83\xa0\xc0\xa1b\xc3\xa1c\xc4\x01x", "\x81\xa1\xff\x01", "\x81\xa1a\xa1\xff", "\x81\xa1a\xd9\x05abc", "\x89", "\x81\xa1a\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00",
		"\x81\xa1a\x01x", "\x81\xa5a", "\x81\xa1a\xd6\xff\x00\x00\x00\x00",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		seen, ok := guardFlat(data)
		want, fault := walkMsgpack(data)
		if ok && (fault != nil || seen != want) {
			t.Errorf("%x passes with %+v; the walk says %+v, %v", data, seen, want, fault)
		}
	})
}
