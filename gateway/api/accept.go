package api

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/mbus-dev/mbus/bus/codec"
)

// maxAccept is the most types of an Accept header that are read.
const maxAccept = 64

// An accepted is one entry of an Accept header.
type accepted struct {
	kind, sub string
	q         float64
}

// acceptedBy reads the Accept header of a request, nil if there is none.
func acceptedBy(r *http.Request) []accepted {
	lines := r.Header["Accept"]
	if len(lines) == 0 || len(lines) == 1 && lines[0] == "*/*" {
		return nil
	}
	list := []accepted{}
	for _, line := range lines {
		for entry := range strings.SplitSeq(line, ",") {
			full, params, err := mime.ParseMediaType(entry)
			if err != nil || len(list) == maxAccept {
				continue
			}
			kind, sub, ok := strings.Cut(full, "/")
			if !ok {
				continue
			}
			a := accepted{kind, sub, 1}
			if q, ok := params["q"]; ok {
				if a.q, err = strconv.ParseFloat(q, 64); err != nil || !(a.q >= 0 && a.q <= 1) {
					continue
				}
			}
			list = append(list, a)
		}
	}
	return list
}

// weight is how much an Accept header likes one of several names of a type, the
// closest entry deciding. 0 is not at all; without a header everything is liked.
func weight(list []accepted, names ...string) float64 {
	if list == nil {
		return 1
	}
	best, q := -1, 0.0
	for _, a := range list {
		for _, name := range names {
			kind, sub, _ := strings.Cut(name, "/")
			closeness := -1
			switch {
			case a.kind == kind && a.sub == sub:
				closeness = 2
			case a.kind == kind && a.sub == "*":
				closeness = 1
			case a.kind == "*" && a.sub == "*":
				closeness = 0
			}
			if closeness > best || closeness == best && closeness >= 0 && a.q > q {
				best, q = closeness, a.q
			}
		}
	}
	return q
}

// spellings are the media types that stand for a codec.
func spellings(c codec.Codec) []string {
	switch c {
	case codec.JSON:
		return []string{"application/json", "text/json"}
	case codec.Msgpack:
		return []string{"application/msgpack", "application/x-msgpack", "application/vnd.msgpack"}
	case codec.Protobuf:
		return []string{"application/protobuf", "application/x-protobuf", "application/vnd.google.protobuf"}
	}
	return nil
}

// choose picks the codec of the answer to a request whose body is in the codec
// in: the one that the client likes best, among equals the one that it speaks
// itself. An answer in protobuf needs a question in protobuf, or an empty one,
// since only the service could make one of the other. 0 means that the client
// takes none of them.
func choose(list []accepted, in codec.Codec, empty bool) codec.Codec {
	order := []codec.Codec{in, codec.JSON, codec.Msgpack}
	if empty {
		order = append(order, codec.Protobuf)
	}
	var best codec.Codec
	most := 0.0
	for _, c := range order {
		names := spellings(c)
		if names == nil { // bytes: what comes back has another codec
			continue
		}
		if q := weight(list, names...); q > most {
			best, most = c, q
		}
	}
	return best
}
