package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// isTerminal reports whether w, or r, is a terminal that a person looks at.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// escapeControl makes text from elsewhere harmless for a terminal: everything
// but line breaks and tabs that could move the cursor, change colours, reorder
// what is read or is not text at all is written as an escape. The \u forms are
// also right inside JSON strings.
func escapeControl(s string) string {
	harmless := func(r rune) bool { return r != utf8.RuneError && !dangerous(r) }
	if strings.IndexFunc(s, func(r rune) bool { return !harmless(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case dangerous(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
		i += n
	}
	return b.String()
}

func dangerous(r rune) bool {
	if r == '\n' || r == '\t' {
		return false
	}
	// Bidi controls show text in another order than it is in.
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
}

// A terminalWriter escapes what is written to a terminal. Commands use it for
// results; each call of Write should hold whole characters.
type terminalWriter struct{ w io.Writer }

func (t terminalWriter) Write(p []byte) (int, error) {
	if _, err := io.WriteString(t.w, escapeControl(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
