package live

import (
	"bytes"
	"encoding/base64"
	"encoding/json"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
)

// asJSON is one message of a service as one line of JSON: bytes become base64
// text, and an empty body, which stands for a zero value, null.
func asJSON(c codec.Codec, body []byte) ([]byte, error) {
	switch c {
	case codec.Msgpack:
		out, err := codec.Transcode(codec.Msgpack, codec.JSON, body)
		if err != nil {
			return nil, broken(err)
		}
		body = out
	case codec.Raw:
		return base64Text(body), nil
	case codec.JSON:
		if err := codec.Guard(codec.JSON, body); err != nil {
			return nil, broken(err)
		}
	default:
		return nil, bus.Errorf(bus.Unimplemented, "the service sends %s, which has no JSON form without its type", c)
	}
	if len(body) == 0 {
		return []byte("null"), nil
	}
	return oneLine(body), nil
}

// oneLine takes the line breaks out of valid JSON, which has them only between
// its values.
func oneLine(body []byte) []byte {
	if !bytes.ContainsAny(body, "\r\n") {
		return body
	}
	var b bytes.Buffer
	if json.Compact(&b, body) != nil {
		return body // cannot be: it was checked
	}
	return b.Bytes()
}

func base64Text(body []byte) []byte {
	out := make([]byte, 0, base64.StdEncoding.EncodedLen(len(body))+2)
	out = append(out, '"')
	out = base64.StdEncoding.AppendEncode(out, body)
	return append(out, '"')
}

func broken(err error) error {
	return bus.Errorf(bus.DataLoss, "the service sent a message that cannot be read: %w", err)
}

// asMsgpack is one message of a service in msgpack.
func asMsgpack(c codec.Codec, body []byte) ([]byte, error) {
	switch c {
	case codec.Msgpack:
		return body, nil
	case codec.JSON:
		out, err := codec.Transcode(codec.JSON, codec.Msgpack, body)
		if err != nil {
			return nil, broken(err)
		}
		return out, nil
	case codec.Raw:
		return codec.Msgpack.Marshal(body)
	}
	return nil, bus.Errorf(bus.Unimplemented, "the service sends %s, which has no msgpack form without its type", c)
}
