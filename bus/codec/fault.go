package codec

import (
	"fmt"
	"strconv"
	"unicode"

	"github.com/mbus-dev/mbus/bus"
)

// A fault is what is wrong with a body: where, and in which field if the body is well formed and
// only does not fit the Go type.
type fault struct {
	at   int // byte offset, or -1 where it means nothing to the sender
	path string
	text string
}

func faultf(at int, format string, args ...any) *fault {
	return &fault{at: at, text: fmt.Sprintf(format, args...)}
}

// in puts the name of the enclosing field, or an index such as [3], before the path.
func (f *fault) in(name string) *fault {
	switch {
	case f.path == "":
		f.path = name
	case f.path[0] == '[':
		f.path = name + f.path
	default:
		f.path = name + "." + f.path
	}
	return f
}

// where is the path for a message: short, and without what a stranger's keys could do to a terminal.
func (f *fault) where() string {
	path := clip(f.path)
	for _, r := range path {
		if !unicode.IsPrint(r) {
			return strconv.Quote(path)
		}
	}
	return path
}

func (f *fault) err(c Codec) *bus.Error {
	where := ""
	if f.at >= 0 {
		where = fmt.Sprintf(" at byte %d", f.at)
	}
	if f.path != "" {
		where += " (" + f.where() + ")"
	}
	return bus.Errorf(bus.InvalidArgument, "the %s body is wrong%s: %s", c, where, f.text)
}
