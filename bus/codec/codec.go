package codec

import (
	"mime"
	"strings"

	"github.com/mbus-dev/mbus/bus"
)

// Codec is one of the encodings a body can have. The numbers are the ones frames carry; zero means "no body".
type Codec uint8

// The four codecs of protocol version 1.
const (
	// JSON is what a body without a content type is.
	JSON Codec = 1
	// Msgpack is MessagePack, what mbus speaks to mbus.
	Msgpack Codec = 2
	// Protobuf is the binary form of a protobuf message.
	Protobuf Codec = 3
	// Raw is bytes as they are.
	Raw Codec = 4
)

// supported ends every message about an encoding this package does not know.
const supported = "application/json, application/msgpack, application/protobuf and application/octet-stream are supported"

// String is the short name of c: json, msgpack, protobuf, raw, and "none" for zero or an unknown number.
func (c Codec) String() string {
	switch c {
	case JSON:
		return "json"
	case Msgpack:
		return "msgpack"
	case Protobuf:
		return "protobuf"
	case Raw:
		return "raw"
	}
	return "none"
}

// ContentType is the value of the Content-Type header that stands for c; empty for an unknown number.
func (c Codec) ContentType() string {
	switch c {
	case JSON:
		return "application/json"
	case Msgpack:
		return "application/msgpack"
	case Protobuf:
		return "application/protobuf"
	case Raw:
		return "application/octet-stream"
	}
	return ""
}

// Valid tells whether c is one of the four.
func (c Codec) Valid() bool { return c >= JSON && c <= Raw }

// Parse reads a Content-Type header. The empty string means JSON. The charset parameter may say utf-8 and nothing else; other parameters are ignored. The x- spellings
// and the short names String returns are understood. Two types at once are an invalid_argument, any other type is unimplemented and the message names those that are.
func Parse(contentType string) (Codec, error) {
	switch contentType {
	case "", "application/json":
		return JSON, nil
	case "application/msgpack":
		return Msgpack, nil
	}
	if strings.Contains(contentType, ",") {
		return 0, bus.Errorf(bus.InvalidArgument, "content type %q names more than one type: send exactly one", clip(contentType))
	}
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return 0, bus.Errorf(bus.InvalidArgument, "content type %q cannot be read: %v", clip(contentType), err)
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "utf8") {
		return 0, bus.Errorf(bus.Unimplemented, "charset %q is not supported: send utf-8", clip(charset))
	}
	switch kind {
	case "application/json", "text/json", "json":
		return JSON, nil
	case "application/msgpack", "application/x-msgpack", "application/vnd.msgpack", "msgpack":
		return Msgpack, nil
	case "application/protobuf", "application/x-protobuf", "application/vnd.google.protobuf", "protobuf":
		return Protobuf, nil
	case "application/octet-stream", "raw":
		return Raw, nil
	}
	return 0, bus.Errorf(bus.Unimplemented, "content type %q is not supported: %s", clip(contentType), supported)
}

// clip keeps what a stranger sent short enough for one line of a message.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
