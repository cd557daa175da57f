package gateway

import (
	"bytes"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
)

const (
	// maxPlainFields is the most fields of the header of a plain request.
	maxPlainFields = 64
	// maxPlainDigits is the most digits of its Content-Length, whose body has to be
	// there already.
	maxPlainDigits = 5
	// maxRepeated is the most bytes of a head that is kept for the next request.
	maxRepeated = 1 << 10
)

// A plain request is one that can be read in one way only, whoever reads it:
// HTTP/1.1, a method and a path that most requests have, one Host, fields of
// visible characters on lines of their own, no encoding and no upgrade, and a body
// that has come whole, with nothing behind it. All others are for net/http, also
// all that are wrong.
type plain struct {
	head                 string // all of it but the empty line
	method, target, host string
	url                  *url.URL
	header               http.Header
	body                 []byte // part of what was read
}

var (
	endOfHead = []byte("\r\n\r\n")
	ofHTTP11  = []byte(" HTTP/1.1")
)

// readPlain reads a plain request, false if data is anything else.
func readPlain(data []byte) (p plain, ok bool) {
	end := bytes.Index(data, endOfHead)
	first := bytes.IndexByte(data, '\r')
	if end < 0 || !bytes.HasSuffix(data[:first], ofHTTP11) {
		return p, false
	}
	p.head = string(data[:end+2]) // each line with its end
	line := p.head[:first-len(ofHTTP11)]
	if p.method, p.target, ok = strings.Cut(line, " "); !ok || !known(p.method) || !plainTarget(p.target) {
		return p, false
	}
	length := 0
	if length, ok = p.fields(p.head[first:]); !ok || len(data)-end-len(endOfHead) != length {
		return p, false
	}
	var err error
	if p.url, err = url.ParseRequestURI(p.target); err != nil {
		return p, false
	}
	p.body = data[end+len(endOfHead):]
	return p, true
}

// A repetition is the last head that came on a connection, to read the next one
// without looking at it again if it is the same: most clients say the same over and
// over. What belongs to it is copied for each request, but for the texts.
type repetition struct {
	head   string
	length int // of the body
	parsed plain
}

// read is readPlain.
func (l *repetition) read(data []byte) (plain, bool) {
	n := len(l.head)
	same := n > 0 && len(data) == n+len(endOfHead)-2+l.length && string(data[:n]) == l.head && data[n] == '\r' && data[n+1] == '\n'
	if same && l.parsed.url != nil {
		return l.parsed.copy(data[n+2:]), true
	}
	p, ok := readPlain(data)
	switch {
	case same && ok: // a second time: from now on it is worth it
		l.parsed = p.copy(nil)
	case ok && len(p.head) <= maxRepeated:
		*l = repetition{head: p.head, length: len(p.body)}
	default:
		*l = repetition{}
	}
	return p, ok
}

func (p *plain) copy(body []byte) plain {
	c, u := *p, *p.url
	c.url, c.header, c.body = &u, maps.Clone(p.header), body
	return c
}

// plainTarget reports whether a target is a path of visible characters, perhaps
// with a query.
func plainTarget(target string) bool {
	if target == "" || target[0] != '/' {
		return false
	}
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return false
		}
	}
	return true
}

// fields reads the header behind the first line, whose end lines begins with. It
// returns the length of the body.
func (p *plain) fields(lines string) (length int, ok bool) {
	n := strings.Count(lines, "\r\n") - 1
	if n < 1 || n > maxPlainFields || lines[1] != '\n' {
		return 0, false
	}
	p.header = make(http.Header, n)
	values := make([]string, n) // of all fields
	lines = lines[2:]
	for lines != "" {
		line, rest, _ := strings.Cut(lines, "\r\n")
		lines = rest
		name, value, ok := strings.Cut(line, ":")
		if !ok || !plainName(name) || !plainValue(value) {
			return 0, false
		}
		name, value = textproto.CanonicalMIMEHeaderKey(name), strings.TrimPrefix(value, " ")
		if value != "" && (value[0] <= ' ' || value[len(value)-1] <= ' ') {
			value = strings.Trim(value, " \t")
		}
		switch name {
		case "Host":
			if p.host != "" || !plainHost(value) {
				return 0, false
			}
			p.host = value
			continue
		case "Content-Length":
			if length, ok = plainLength(value); !ok || p.header[name] != nil {
				return 0, false
			}
		case "Connection":
			if !strings.EqualFold(value, "keep-alive") {
				return 0, false
			}
		case "Transfer-Encoding", "Trailer", "Te", "Upgrade", "Expect", "Pragma", "Proxy-Connection", "Http2-Settings":
			return 0, false
		}
		if more := p.header[name]; more != nil {
			p.header[name] = slices.Clip(append(more, value)) // whoever appends makes a new one
			continue
		}
		values[0] = value
		p.header[name], values = values[:1:1], values[1:]
	}
	return length, p.host != ""
}

func plainName(name string) bool {
	for i := range len(name) {
		if c := name[i]; c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return name != ""
}

func plainValue(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c >= 0x7f {
			return false
		}
	}
	return true
}

func plainHost(host string) bool {
	for i := range len(host) {
		if c := host[i]; c != '-' && c != '.' && c != ':' && c != '[' && c != ']' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return host != ""
}

func plainLength(value string) (n int, ok bool) {
	if value == "" || len(value) > maxPlainDigits {
		return 0, false
	}
	for _, c := range []byte(value) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}
