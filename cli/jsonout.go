package cli

import (
	"bytes"
	"encoding/json"
)

// indent lays JSON out with one tab per level. Keys keep their order and
// numbers their digits, since nothing is decoded. What is no JSON is returned
// as it is.
func indent(data []byte) []byte {
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(data), "", "\t"); err != nil {
		return data
	}
	return b.Bytes()
}

// marshal encodes v without the escapes that are meant for HTML pages.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}
