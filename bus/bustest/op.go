package bustest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	maxLine    = 1 << 20  // INFO and CONNECT are the only long lines
	maxMessage = 64 << 20 // what a broker can be configured to take
)

var errLine = errors.New("line of the NATS protocol is too long")

// An op is one operation of the NATS client protocol, in either direction.
type op struct {
	verb    string // upper case
	subject string // of a message; otherwise empty
	raw     []byte // all its bytes
}

// endsHandshake reports whether the operation is the last one of a handshake in
// its direction.
func (o op) endsHandshake(dir Direction) bool {
	return dir == ToBroker && o.verb == "PING" || dir == FromBroker && o.verb == "PONG"
}

// readOp reads the next operation, with the message that belongs to it.
func readOp(r *bufio.Reader) (op, error) {
	line, err := readLine(r)
	if err != nil {
		return op{}, err
	}
	verb, rest, _ := strings.Cut(strings.TrimRight(string(line), "\r\n"), " ")
	o := op{verb: strings.ToUpper(verb), raw: line}
	switch o.verb {
	case "PUB", "HPUB", "MSG", "HMSG":
	default:
		return o, nil
	}
	args := strings.Fields(rest)
	if len(args) < 2 {
		return op{}, fmt.Errorf("%s with %d arguments", o.verb, len(args))
	}
	size, err := strconv.Atoi(args[len(args)-1])
	if err != nil || size < 0 || size > maxMessage {
		return op{}, fmt.Errorf("%s with size %q", o.verb, args[len(args)-1])
	}
	o.subject = args[0]
	o.raw = append(o.raw, make([]byte, size+len("\r\n"))...)
	_, err = io.ReadFull(r, o.raw[len(line):])
	return o, err
}

// readLine reads to the end of the line, which it keeps.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(line) > maxLine:
			return nil, errLine
		}
	}
}
