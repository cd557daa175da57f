package web

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// A form is one of the three in which a page can be had.
type form int

const (
	formText form = iota
	formJSON
	formHTML
)

// formOf is the form that a client wants: what ?format= says, else what its Accept
// header likes best. Who likes everything the same is no browser, and reads text.
func formOf(r *http.Request) form {
	switch r.URL.Query().Get("format") {
	case "json":
		return formJSON
	case "text":
		return formText
	case "html":
		return formHTML
	}
	best, chosen := 0.0, formText
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		kind, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		q := 1.0
		if text, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil || q < 0 || q > 1 {
				q = 0
			}
		}
		var f form
		switch kind {
		case "text/html", "application/xhtml+xml":
			f = formHTML
		case "application/json":
			f = formJSON
		case "text/plain", "text/*", "*/*":
		default:
			continue
		}
		if q > best {
			best, chosen = q, f
		}
	}
	return chosen
}

// asksMicro reports whether a request asks for Micro's JSON, which went by the
// type of the request.
func asksMicro(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "application/json"
}
