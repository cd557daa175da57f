package live

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/rpc"
)

const (
	typeSSE    = "text/event-stream"
	typeNDJSON = "application/x-ndjson"
)

// A feed is the way in which the messages of a stream go to an HTTP client.
type feed interface {
	contentType() string
	// head goes out before everything else.
	head(h http.Header) []byte
	message(line []byte) []byte
	// ping is what keeps an idle connection open; empty means nothing.
	ping() []byte
	// fail is the last thing that goes out, and so is end.
	fail(h http.Header, f failure, end string) []byte
	end(h http.Header, trailer rpc.Metadata) []byte
	// leave tells that the gateway stops before the stream is over.
	leave(h http.Header, f gateway.Failure) []byte
}

var (
	_ feed = (*sse)(nil)
	_ feed = ndjson{}
)

// sse is server-sent events.
type sse struct{ id uint64 }

func (*sse) contentType() string { return typeSSE }

func (*sse) head(http.Header) []byte { return []byte("retry: 2000\n\n") }

func (s *sse) message(line []byte) []byte {
	s.id++
	b := make([]byte, 0, len(line)+32)
	b = append(b, "id: "...)
	b = strconv.AppendUint(b, s.id, 10)
	b = append(b, '\n')
	return appendData(b, line)
}

func (*sse) ping() []byte { return []byte(": ping\n\n") }

func (*sse) fail(_ http.Header, f failure, _ string) []byte {
	return namedEvent("error", f)
}

func (*sse) end(_ http.Header, trailer rpc.Metadata) []byte {
	return namedEvent("end", ending{Reason: "done", Trailer: public(trailer)})
}

func (*sse) leave(http.Header, gateway.Failure) []byte {
	return namedEvent("end", ending{Reason: "shutdown"})
}

// An ending is the data of the last event.
type ending struct {
	Reason  string       `json:"reason"`
	Trailer rpc.Metadata `json:"trailer,omitempty"`
}

func namedEvent(name string, v any) []byte {
	data, err := json.Marshal(v)
	if err != nil { // only the Data of a Failure can be wrong, and it was checked
		data = []byte("{}")
	}
	return appendData([]byte("event: "+name+"\n"), data)
}

// appendData appends text as the data of an event and ends the event. Whatever
// counts as a line break there, which is LF, CR and both, begins another line of
// data.
func appendData(b, text []byte) []byte {
	for {
		i := bytes.IndexAny(text, "\r\n")
		b = append(b, "data: "...)
		if i < 0 {
			b = append(b, text...)
			return append(b, "\n\n"...)
		}
		b = append(b, text[:i]...)
		b = append(b, '\n')
		if text[i] == '\r' && i+1 < len(text) && text[i+1] == '\n' {
			i++
		}
		text = text[i+1:]
	}
}

// ndjson is one JSON document a line.
type ndjson struct{}

func (ndjson) contentType() string { return typeNDJSON }

func (ndjson) head(h http.Header) []byte {
	h.Set("Trailer", gateway.HeaderEnd)
	return nil
}

func (ndjson) message(line []byte) []byte { return append(line[:len(line):len(line)], '\n') }

func (ndjson) ping() []byte { return nil }

func (ndjson) fail(h http.Header, f failure, end string) []byte {
	h.Set(gateway.HeaderEnd, end)
	setTrailer(h, f.Trailer)
	return failureLine(f)
}

func (ndjson) end(h http.Header, trailer rpc.Metadata) []byte {
	h.Set(gateway.HeaderEnd, "ok")
	setTrailer(h, public(trailer))
	return nil
}

func (n ndjson) leave(h http.Header, f gateway.Failure) []byte {
	return n.fail(h, failure{Failure: f}, "refused")
}

// failureLine is a Failure, or a failure, as a line of its own.
func failureLine(f any) []byte {
	line, err := json.Marshal(struct {
		Error any `json:"error"`
	}{f})
	if err != nil {
		return []byte("{\"error\":{}}\n") // only Data can be wrong, and it was checked
	}
	return append(line, '\n')
}
