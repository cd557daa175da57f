package codec

// OfEvent is the codec of an event with this Content-Type header, which may be empty. An event
// without one is JSON, unless its first byte is one with which no JSON text begins: 0x80 or higher, but
// for 0xEF, the first of a byte order mark. Then it is MessagePack. The error is that of Parse.
func OfEvent(contentType string, body []byte) (Codec, error) {
	if contentType == "" {
		return bare(body), nil
	}
	return Parse(contentType)
}

// NeedsType tells whether an event must have a Content-Type so that OfEvent finds c.
func (c Codec) NeedsType(body []byte) bool { return bare(body) != c }

func bare(body []byte) Codec {
	if len(body) > 0 && body[0] >= 0x80 && body[0] != 0xef {
		return Msgpack
	}
	return JSON
}
