package gateway_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/mbus-dev/mbus/gateway"
)

// said is an answer as a client reads it.
type said struct {
	status  string
	header  http.Header
	body    string
	fault   string // of reading the body
	trailer http.Header
	close   bool
	length  int64
}

// hear sends a request on a new connection and reads the answers up to the last.
func hear(t *testing.T, address, method, path, more, body string) (all []said, open bool) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	text := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\n%s", method, path, more)
	if body != "" {
		text += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	// The second request tells whether the connection goes on.
	if _, err := io.WriteString(c, text+"\r\n"+body); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	for {
		res, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			return all, false
		}
		got, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		one := said{status: res.Status, header: res.Header, body: string(got), trailer: res.Trailer, close: res.Close, length: res.ContentLength}
		if err != nil {
			one.fault = err.Error()
		}
		one.header.Del("Date")
		all = append(all, one)
		if res.StatusCode >= 200 {
			break
		}
	}
	_, _ = io.WriteString(c, "GET /last HTTP/1.1\r\nHost: localhost\r\n\r\n")
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		return all, false
	}
	_ = res.Body.Close()
	return all, res.StatusCode == http.StatusAccepted
}

// What a client gets does not depend on who serves it: the same handlers answer by
// the shortcut, and through net/http to those who ask for trailers.
func TestTheShortcutAnswersAsNetHTTPDoes(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 6<<10)
	handlers := []struct {
		name  string
		serve http.HandlerFunc
	}{
		{"nothing", func(http.ResponseWriter, *http.Request) {}},
		{"a few bytes", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "sung") }},
		{"a page", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html><p>sung") }},
		{"json", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, "{}")
		}},
		{"bytes that are packed", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, "\x1f\x8b")
		}},
		{"no type", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			_, _ = io.WriteString(w, "sung")
		}},
		{"many bytes", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, large) }},
		{"many writes", func(w http.ResponseWriter, _ *http.Request) {
			for part := range slices.Chunk([]byte(large), 1000) {
				_, _ = w.Write(part)
			}
		}},
		{"a length", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "4")
			_, _ = io.WriteString(w, "su")
			_, _ = io.WriteString(w, "ng")
		}},
		{"a large length", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(large)))
			_, _ = io.WriteString(w, large[:10_000])
			_, _ = io.WriteString(w, large[10_000:])
		}},
		{"a length of 20 KiB", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(20<<10))
			_, _ = io.WriteString(w, large[:20<<10])
		}},
		{"fewer bytes than the length", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "sung")
		}},
		{"more bytes than the length", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2")
			if n, err := io.WriteString(w, "sung"); n != 0 && !errors.Is(err, http.ErrContentLength) {
				panic(fmt.Sprint(n, err))
			}
			_, _ = io.WriteString(w, "su")
		}},
		{"a flush first", func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "sung")
		}},
		{"flushes between", func(w http.ResponseWriter, _ *http.Request) {
			for range 3 {
				_, _ = io.WriteString(w, "sung")
				w.(http.Flusher).Flush()
			}
			_, _ = io.WriteString(w, large[:6<<10])
		}},
		{"a flush with a length", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "4")
			_, _ = io.WriteString(w, "su")
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "ng")
		}},
		{"404", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusNotFound) }},
		{"299", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(299); _, _ = io.WriteString(w, "odd") }},
		{"two statuses", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusCreated)
			w.WriteHeader(http.StatusBadGateway)
		}},
		{"204", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "4")
			w.WriteHeader(http.StatusNoContent)
			if _, err := io.WriteString(w, "sung"); !errors.Is(err, http.ErrBodyNotAllowed) {
				panic(err)
			}
		}},
		{"304", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Etag", `"a"`)
			w.WriteHeader(http.StatusNotModified)
		}},
		{"103", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</a>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			_, _ = io.WriteString(w, "sung")
		}},
		{"trailers", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Sum, x-more")
			_, _ = io.WriteString(w, "sung")
			w.Header().Set("X-Sum", "4")
			w.Header().Set("X-More", "5")
		}},
		{"a trailer that was not announced", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "sung")
			w.(http.Flusher).Flush()
			w.Header().Set(http.TrailerPrefix+"X-Sum", "4")
		}},
		{"a trailer that was not announced, without a flush", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "sung")
			w.Header().Set(http.TrailerPrefix+"X-Sum", "4")
		}},
		{"the end of the connection", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			_, _ = io.WriteString(w, "sung")
		}},
		{"fields that are none", func(w http.ResponseWriter, _ *http.Request) {
			h := w.Header()
			h["X Y"], h["X-A"], h["X-B"], h["X-C"] = []string{"a"}, []string{"a\r\nX-D: b"}, []string{" b ", ""}, []string{"é"}
		}},
		{"a header that comes late", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusOK)
			w.Header().Set("X-A", "a")
			_, _ = io.WriteString(w, "sung")
		}},
		{"no date", func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = nil }},
		{"the body", func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			_, _ = fmt.Fprint(w, r.ContentLength, string(body), err, r.Method, r.URL, r.Proto, r.Host, r.RequestURI, r.TransferEncoding, r.TLS, r.Body.Close())
			delete(r.Header, "Te")
			_, _ = fmt.Fprint(w, r.Header)
		}},
		{"a body that is not read", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "sung") }},
		{"a panic", func(http.ResponseWriter, *http.Request) { panic("a panic") }},
		{"a panic after some bytes", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "sung")
			panic(http.ErrAbortHandler)
		}},
		{"a panic after a flush", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "sung")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}},
	}
	b, _ := realBus(t)
	for _, h := range handlers {
		t.Run(h.name, func(t *testing.T) {
			s, _ := serve(t, b, func(c *gateway.ServerConfig) {
				c.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/last" {
						w.WriteHeader(http.StatusAccepted)
						return
					}
					h.serve(w, r)
				})
			})
			for _, method := range []string{"GET", "HEAD", "POST"} {
				body := ""
				if method == "POST" {
					body = `{"name":"John"}`
				}
				got, open := hear(t, s.Address(), method, "/a?b=c", "X-One: 1\r\n", body)
				want, goes := hear(t, s.Address(), method, "/a?b=c", "X-One: 1\r\nTe: trailers\r\n", body)
				if show(got) != show(want) || open != goes {
					t.Errorf("%s: got, and the connection goes on: %v\n%s\nnet/http answers, and it goes on: %v\n%s", method, open, show(got), goes, show(want))
				}
			}
		})
	}
}

func show(all []said) string {
	var b bytes.Buffer
	for _, a := range all {
		body := a.body
		if len(body) > 200 {
			body = fmt.Sprintf("%d bytes ending in %s", len(body), body[len(body)-50:])
		}
		fmt.Fprintf(&b, "%s %v %d, closes %v, body %q %s, trailer %v\n", a.status, a.header, a.length, a.close, body, a.fault, a.trailer)
	}
	return b.String()
}
