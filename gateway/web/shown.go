package web

import (
	"encoding/base64"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
)

// A shownEvent is an event on the page. N is its number in the tail, or its
// sequence in the stream that has kept it.
type shownEvent struct {
	N           uint64            `json:"n"`
	At          int64             `json:"at"`
	Subject     string            `json:"subject"`
	Size        int               `json:"size"`
	Data        string            `json:"data"`
	Encoding    string            `json:"encoding"`
	Cut         bool              `json:"cut,omitempty"`
	ContentType string            `json:"content_type,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
}

// show makes an event of a message. What is longer than maxShownBytes is cut.
func show(n uint64, at time.Time, subject string, header nats.Header, body []byte) shownEvent {
	e := shownEvent{N: n, At: at.UnixMilli(), Subject: subject, Size: len(body), ContentType: header.Get("Content-Type")}
	if whole := body; len(body) > maxShownBytes {
		body, e.Cut = body[:maxShownBytes], true
		for i := 0; i < utf8.UTFMax && len(body) > 0 && !utf8.RuneStart(whole[len(body)]); i++ {
			body = body[:len(body)-1]
		}
	}
	if utf8.Valid(body) {
		e.Data, e.Encoding = string(body), "text"
	} else {
		e.Data, e.Encoding = base64.StdEncoding.EncodeToString(body), "base64"
	}
	for name, values := range header {
		if len(e.Headers) == maxHeaders {
			break
		}
		if e.Headers == nil {
			e.Headers = make(map[string]string)
		}
		e.Headers[name] = cutText(strings.Join(values, ", "))
	}
	return e
}
