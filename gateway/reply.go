package gateway

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// maxReplyKept is how much of an answer of unknown length is kept back, to be
	// sent together with its header.
	maxReplyKept = 4 << 10
	// maxReplyWhole is up to where an answer of known length is sent together with
	// its header.
	maxReplyWhole = 32 << 10
)

// A reply is the ResponseWriter of a plain request. What it sends is what net/http
// would send, but for the order of the fields.
type reply struct {
	turn   *turn
	short  *shortcut
	header http.Header
	head   bool // the request is a HEAD

	status   int // 0 before the header is decided
	out      []byte
	kept     []byte // of the body, while the header is kept back
	declared int64  // length of the body, -1 if it is not known yet
	preset   int64  // one more than SetLength said
	written  int64  // of the body
	kind     bool   // the type of the body is to be found out
	sent     bool   // the header is out
	chunked  bool
	trailers []string
	last     bool // the connection ends with this answer
	err      error
}

var _ interface {
	http.ResponseWriter
	http.Flusher
	FlushError() error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	EnableFullDuplex() error
} = (*reply)(nil)

// Header is the header that WriteHeader sends.
func (w *reply) Header() http.Header { return w.header }

// SetReadDeadline does nothing: the request has come whole.
func (w *reply) SetReadDeadline(time.Time) error { return nil }

// EnableFullDuplex does nothing, likewise.
func (w *reply) EnableFullDuplex() error { return nil }

// SetWriteDeadline bounds the writes to come. The zero time leaves that to the
// connection.
func (w *reply) SetWriteDeadline(t time.Time) error { return w.short.limit(t) }

// WriteHeader decides on the header. It goes out with the first part of the body.
func (w *reply) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic("gateway: no status: " + strconv.Itoa(status))
	}
	if w.status != 0 || w.err != nil {
		return
	}
	if status < 200 && status != http.StatusSwitchingProtocols {
		w.out = w.line(w.out[:0], status)
		for name, values := range w.header {
			w.out = appendField(w.out, name, values)
		}
		w.out = append(w.out, "\r\n"...)
		w.send()
		return
	}
	w.status, w.declared = status, w.preset-1
	if bodyless(status) {
		w.declared = -1
	}
	w.out = w.line(w.out[:0], status)
	_, typed := w.header["Content-Type"]
	_, encoded := w.header["Content-Encoding"]
	w.kind = !typed && !encoded && !bodyless(status)
	for name, values := range w.header {
		switch name {
		case "Content-Length":
			if len(values) > 0 && !bodyless(status) {
				if n, err := strconv.ParseInt(values[0], 10, 64); err == nil && n >= 0 {
					w.declared = n
				}
			}
			continue
		case "Transfer-Encoding": // is decided here
			continue
		case "Connection":
			if len(values) > 0 && strings.EqualFold(values[0], "close") {
				w.last = true // which begin says
				continue
			}
		case "Content-Type":
			if status == http.StatusNotModified {
				continue
			}
		case "Trailer":
			w.announce(values)
		}
		if !strings.HasPrefix(name, http.TrailerPrefix) {
			w.out = appendField(w.out, name, values)
		}
	}
	if _, dated := w.header["Date"]; !dated {
		w.out = append(append(append(w.out, "Date: "...), w.short.shared.date(time.Now())...), "\r\n"...)
	}
}

func (w *reply) line(out []byte, status int) []byte {
	out = append(out, "HTTP/1.1 "...)
	out = strconv.AppendInt(out, int64(status), 10)
	out = append(out, ' ')
	if text := http.StatusText(status); text != "" {
		out = append(out, text...)
	} else {
		out = strconv.AppendInt(append(out, "status code "...), int64(status), 10)
	}
	return append(out, "\r\n"...)
}

// announce takes in the names of trailers, as far as there may be such.
func (w *reply) announce(values []string) {
	for _, value := range values {
		for name := range strings.SplitSeq(value, ",") {
			switch name = http.CanonicalHeaderKey(strings.TrimSpace(name)); name {
			case "", "Transfer-Encoding", "Content-Length", "Trailer":
			default:
				w.trailers = append(w.trailers, name)
			}
		}
	}
}

// Write sends a part of the body, or keeps it for a moment.
func (w *reply) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case w.err != nil:
		return 0, w.err
	case len(p) == 0:
		return 0, nil
	case bodyless(w.status):
		return 0, http.ErrBodyNotAllowed
	}
	if w.written += int64(len(p)); w.declared >= 0 && w.written > w.declared {
		return 0, http.ErrContentLength // and the connection ends
	}
	if w.kind {
		w.kind = false // what it seems to be, as net/http has it
		w.out = appendField(w.out, "Content-Type", []string{http.DetectContentType(p)})
	}
	if w.head {
		return len(p), nil
	}
	switch whole := w.written == w.declared && w.declared <= maxReplyWhole; {
	case !w.sent && (whole || len(w.kept)+len(p) <= maxReplyKept):
		w.kept = append(w.kept, p...)
		return len(p), nil
	case !w.sent:
		w.begin(false)
	}
	if len(p) <= maxReplyKept {
		w.part(p)
		w.send()
	} else { // without a copy
		if w.chunked {
			w.out = append(strconv.AppendInt(w.out, int64(len(p)), 16), "\r\n"...)
		}
		w.send()
		w.push(p)
		if w.chunked {
			w.out = append(w.out, "\r\n"...)
			w.send()
		}
	}
	if w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// part appends a part of the body as it travels.
func (w *reply) part(p []byte) {
	switch {
	case len(p) == 0:
	case w.chunked:
		w.out = append(strconv.AppendInt(w.out, int64(len(p)), 16), "\r\n"...)
		w.out = append(append(w.out, p...), "\r\n"...)
	default:
		w.out = append(w.out, p...)
	}
}

// begin ends the header, of which the rest depends on the body; whole says that
// there will be no more of it. The header and what is kept of the body are to be
// sent next.
func (w *reply) begin(whole bool) {
	w.sent, w.kind = true, false
	switch {
	case bodyless(w.status):
	case w.declared < 0 && whole && len(w.trailers) == 0 && (!w.head || w.written > 0 && w.written <= maxReplyKept):
		w.declared = w.written
		fallthrough
	case w.declared >= 0:
		w.out = append(w.out, "Content-Length: "...)
		w.out = append(strconv.AppendInt(w.out, w.declared, 10), "\r\n"...)
	case !w.head:
		w.chunked = true
		w.out = append(w.out, "Transfer-Encoding: chunked\r\n"...)
	}
	if w.last || w.short.shared.requests.draining() {
		w.last = true
		w.out = append(w.out, "Connection: close\r\n"...)
	}
	w.out = append(w.out, "\r\n"...)
	w.part(w.kept)
	w.kept = w.kept[:0]
}

// Flush sends what is kept back.
func (w *reply) Flush() { _ = w.FlushError() } // the next write says what it says

// FlushError sends what is kept back.
func (w *reply) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.sent && w.err == nil {
		w.begin(false)
		w.send()
	}
	return w.err
}

// finish sends what is left of the answer, and reports whether the connection may
// serve another.
func (w *reply) finish() bool {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.sent {
		w.begin(true)
	}
	if w.chunked {
		w.out = append(w.out, "0\r\n"...)
		for _, name := range w.trailers {
			w.out = appendField(w.out, name, w.header[name])
		}
		for name, values := range w.header {
			if name, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
				w.out = appendField(w.out, name, values)
			}
		}
		w.out = append(w.out, "\r\n"...)
	}
	w.send()
	short := w.declared >= 0 && w.written != w.declared && !w.head && !bodyless(w.status)
	return w.err == nil && !w.last && !short
}

// send writes what is in out.
func (w *reply) send() {
	if len(w.out) > 0 {
		w.push(w.out)
	}
	w.out = w.out[:0]
}

func (w *reply) push(p []byte) {
	if w.err == nil {
		w.short.bound()
		_, w.err = w.short.conn.Write(p)
	}
}

func bodyless(status int) bool {
	return status < 200 || status == http.StatusNoContent || status == http.StatusNotModified
}

// appendField appends a field of a header. What must not be in one is left out, or
// made a space.
func appendField(out []byte, name string, values []string) []byte {
	if !fieldName(name) {
		return out
	}
	for _, value := range values {
		out = append(append(out, name...), ": "...)
		if !plainValue(value) || value != "" && (value[0] <= ' ' || value[len(value)-1] <= ' ') {
			value = strings.NewReplacer("\n", " ", "\r", " ").Replace(value)
			value = strings.Trim(value, " \t")
		}
		out = append(append(out, value...), "\r\n"...)
	}
	return out
}

// fieldName reports whether s is a token, as names of fields are.
func fieldName(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-':
		case strings.IndexByte("!#$%&'*+.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

// A wholeBody is the body of a request that has come whole.
type wholeBody struct {
	data []byte
	at   int
}

var _ io.ReadCloser = (*wholeBody)(nil)

// Read reads on.
func (b *wholeBody) Read(p []byte) (int, error) {
	if b.at == len(b.data) {
		return 0, io.EOF
	}
	n := copy(p, b.data[b.at:])
	b.at += n
	return n, nil
}

// Close does nothing.
func (b *wholeBody) Close() error { return nil }

// take returns what has not been read, which nobody else uses.
func (b *wholeBody) take() []byte {
	data := b.data[b.at:]
	b.at = len(b.data)
	return data
}
