package web

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"html/template"
	"net/http"
	"strconv"
	"unicode/utf8"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/gateway"
)

// policy is what pages of the dashboard may do: load from here, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; font-src 'self'; worker-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types mbus"

// themeCookie holds "light" or "dark".
const themeCookie = "mbus_theme"

// smallest is how many bytes are worth compressing.
const smallest = 1 << 10

// A page is what one URL answers, before its form is chosen.
type page struct {
	name   string
	title  string
	status int // 0 is 200
	data   any
	json   bool // it is JSON whatever is asked for
	// text writes the page for a terminal.
	text func(*bytes.Buffer)
}

// A boot is what the first script of a page reads.
type boot struct {
	Page    string `json:"page"`
	Title   string `json:"title"`
	Status  int    `json:"status"`
	Base    string `json:"base"`
	Build   string `json:"build"`
	Version string `json:"version"`
	Theme   string `json:"theme"`
	Links   Links  `json:"links"`
	Data    any    `json:"data"`
}

// serve answers with a page.
func (w *Web) serve(rw http.ResponseWriter, r *http.Request, make func(*http.Request) (*page, error)) {
	p, err := make(r)
	if err != nil {
		w.fail(rw, r, err)
		return
	}
	if p.status == 0 {
		p.status = http.StatusOK
	}
	h := rw.Header()
	h.Add("Vary", "Accept, Cookie")
	shape := formOf(r)
	if p.json {
		shape = formJSON
	}
	switch shape {
	case formJSON:
		body, err := json.Marshal(p.data)
		if err != nil {
			gateway.WriteError(rw, r, Service, err)
			return
		}
		write(rw, r, p.status, "application/json", body)
	case formHTML:
		body, err := w.html(r, p)
		if err != nil {
			gateway.WriteError(rw, r, Service, err)
			return
		}
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		write(rw, r, p.status, "text/html; charset=utf-8", body)
	default:
		var b bytes.Buffer
		if p.text != nil {
			p.text(&b)
		}
		write(rw, r, p.status, "text/plain; charset=utf-8", bytes.Map(printable, b.Bytes()))
	}
}

// printable keeps what services say of themselves from controlling the terminal
// that shows it.
func printable(c rune) rune {
	if c < ' ' && c != '\n' && c != '\t' || c >= 0x7f && c < 0xa0 {
		return utf8.RuneError
	}
	return c
}

// fail answers an error: as a page to whoever looks at pages.
func (w *Web) fail(rw http.ResponseWriter, r *http.Request, err error) {
	e := bus.AsError(err)
	if formOf(r) == formJSON || asksMicro(r) {
		gateway.WriteError(rw, r, Service, err)
		return
	}
	status := e.Status
	if status < 400 || status > 599 {
		status = e.Code.Status()
	}
	w.serve(rw, r, func(*http.Request) (*page, error) { return w.missing(status, e.Message, nil), nil })
}

// html is a page in its frame.
func (w *Web) html(r *http.Request, p *page) ([]byte, error) {
	theme := "auto"
	if c, err := r.Cookie(themeCookie); err == nil && (c.Value == "dark" || c.Value == "light") {
		theme = c.Value
	}
	data, err := json.Marshal(boot{
		Page: p.name, Title: p.title, Status: p.status, Base: w.assets.base(), Build: w.assets.hash, Version: w.cfg.Version,
		Theme: theme, Links: w.cfg.Links(), Data: p.data,
	})
	if err != nil {
		return nil, err
	}
	shell, err := w.assets.template()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = shell.Execute(&b, struct {
		Page, Title, Theme, Base, Build, Version string
		// Boot is the JSON of encoding/json, which has no < in it.
		Boot template.JS
	}{p.name, p.title, theme, w.assets.base(), w.assets.hash, w.cfg.Version, template.JS(data)}) //nolint:gosec // escaped by encoding/json
	return b.Bytes(), err
}

// write answers with a body that nobody keeps.
func write(rw http.ResponseWriter, r *http.Request, status int, kind string, body []byte) {
	h := rw.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "no-store")
	h.Add("Vary", "Accept-Encoding")
	if len(body) >= smallest && acceptsGzip(r) {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, err := z.Write(body)
		if err == nil {
			err = z.Close()
		}
		if err == nil {
			h.Set("Content-Encoding", "gzip")
			body = b.Bytes()
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	rw.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = rw.Write(body) // the client has gone: nobody to tell
	}
}

// writeJSON answers one of the own endpoints.
func writeJSON(rw http.ResponseWriter, r *http.Request, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		gateway.WriteError(rw, r, Service, err)
		return
	}
	write(rw, r, status, "application/json", body)
}
