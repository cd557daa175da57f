package middleware

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/rpc"
)

// identity returns a string that two requests share only if they ask for the
// same: service, method, instance, codec, body, and the metadata of the given
// names; if names is nil, all metadata but the trace, which tells calls apart
// that are alike.
func identity(req *rpc.Request, names []string) string {
	b := make([]byte, 0, len(req.Service)+len(req.Method)+len(req.Instance)+len(req.Body)+16)
	b = appendString(b, req.Service)
	b = appendString(b, req.Method)
	b = appendString(b, req.Instance)
	b = append(b, byte(req.Codec))
	b = binary.AppendUvarint(b, uint64(len(req.Body)))
	b = append(b, req.Body...)
	if names == nil && len(req.Meta) > 0 {
		for _, name := range slices.Sorted(maps.Keys(req.Meta)) {
			if name == wire.HeaderTraceparent || name == wire.HeaderTracestate || name == wire.HeaderBaggage {
				continue
			}
			b = appendString(appendString(b, name), req.Meta[name])
		}
	}
	for _, name := range names {
		b = appendString(b, req.Meta.Get(name))
	}
	return string(b)
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// clone returns a copy that shares nothing with res.
func clone(res *rpc.Response) *rpc.Response {
	if res == nil {
		return nil
	}
	return &rpc.Response{Codec: res.Codec, Body: bytes.Clone(res.Body), Meta: maps.Clone(res.Meta)}
}

// inOne is a request whose answer comes whole: what is kept or shared cannot be
// read part by part.
func inOne(req *rpc.Request) *rpc.Request {
	if !req.InParts {
		return req
	}
	own := *req
	own.InParts = false
	return &own
}
