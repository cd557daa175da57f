package gateway

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

const plainPost = "POST /a/b?c=d HTTP/1.1\r\nHost: localhost:8080\r\n"

func TestWhatMostClientsSendIsPlain(t *testing.T) {
	for _, text := range []string{
		"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: [::1]:8080\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n",
		plainPost + "User-Agent: Go-http-client/1.1\r\nContent-Length: 3\r\nAccept-Encoding: gzip\r\n\r\nabc",
		plainPost + "content-type:application/json\r\ncontent-length:\t 2 \r\nconnection: Keep-Alive\r\n\r\n{}",
		plainPost + "Cookie: a=b\r\nCookie: c=d\r\nX-Empty:\r\nContent-Length: 0\r\n\r\n",
	} {
		if _, ok := readPlain([]byte(text)); !ok {
			t.Errorf("%q is not plain", text)
		}
	}
}

func TestWhatHasAnotherReadingIsNotPlain(t *testing.T) {
	for _, text := range []string{
		"", "\r\n\r\n", "GET", "GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: h\r\n", "GET / HTTP/1.1\nHost: h\n\n",
		"GET / HTTP/1.0\r\nHost: h\r\n\r\n", "get / HTTP/1.1\r\nHost: h\r\n\r\n", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", "GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
		"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", "GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n", "GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET / HTTP/1.1\r\nHost: h/\r\n\r\n",
		plainPost + "Content-Length: 3\r\n\r\nab", plainPost + "Content-Length: 3\r\n\r\nabcd", plainPost + "\r\nabc",
		plainPost + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", plainPost + "Content-Length: +3\r\n\r\nabc", plainPost + "Content-Length:\r\n\r\n",
		plainPost + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", plainPost + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		plainPost + "X: a\r\n b\r\n\r\n", plainPost + "X : a\r\n\r\n", plainPost + "X: a\x00\r\n\r\n", plainPost + "X: a\rb\r\n\r\n", plainPost + "X: a\nb\r\n\r\n", plainPost + "X\r\n\r\n", plainPost + ": a\r\n\r\n", plainPost + "X_Y: a\r\n\r\n",
		plainPost + "Expect: 100-continue\r\n\r\n", plainPost + "Upgrade: websocket\r\n\r\n", plainPost + "Connection: close\r\n\r\n", plainPost + "Connection: X-A\r\n\r\n", plainPost + "Trailer: X\r\n\r\n", plainPost + "Pragma: no-cache\r\n\r\n",
		plainPost + strings.Repeat("X: a\r\n", maxPlainFields) + "\r\n",
	} {
		if _, ok := readPlain([]byte(text)); ok {
			t.Errorf("%q is plain", text)
		}
	}
}

func TestOnlyTheSameHeadIsTakenForTheSame(t *testing.T) {
	const head = plainPost + "Content-Length: 3\r\n\r\n"
	var r repetition
	for i, test := range []struct {
		data, body string
		ok         bool
	}{
		{head + "abc", "abc", true},
		{head + "def", "def", true},
		{head + "ghi", "ghi", true},
		{head + "gh", "", false},
		{head + "abc", "abc", true},
		{head + "abc", "abc", true},
		{head + "abcd", "", false},
		{plainPost + "Content-Length: 3\r\n\nxabc", "", false},
		{plainPost + "Content-Length: 3\r\nX: a\r\n\r\nabc", "abc", true},
		{plainPost + "Content-Length: 3\r\nX: a\r\n\r\nabc", "abc", true},
		{plainPost + "Content-Length: 3\r\nX: b\r\n\r\nabc", "abc", true},
		{plainGet, "", true},
		{plainGet, "", true},
		{plainGet, "", true},
		{plainGet + plainGet, "", false},
	} {
		p, ok := r.read([]byte(test.data))
		if ok != test.ok || ok && string(p.body) != test.body {
			t.Errorf("%d: %q: got %q, %v", i, test.data, p.body, ok)
		}
	}
}

// FuzzPlain holds plain requests to what net/http makes of them: it reads each one
// alike, to the last byte.
func FuzzPlain(f *testing.F) {
	for _, seed := range []string{
		"GET /a HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\n", plainPost + "content-length: 3\r\n\r\nabc",
		plainPost + "X-A:  b \t\r\nx-a:\r\n\r\n", plainPost + "Connection: keep-alive\r\nCookie: \"a\"\r\n\r\n",
		"GET //a/../%41?%zz HTTP/1.1\r\nHost: [::1]:0\r\nReferer: /\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, ok := readPlain(data)
		if !ok {
			return
		}
		var again repetition
		for i := range 4 {
			p, ok := again.read(data)
			if !ok || !reflect.DeepEqual(p, got) {
				t.Fatalf("%q, time %d: got %+v, %v; want %+v", data, i+1, p, ok, got)
			}
			p.header.Set("X-Changed", "by the room")
			p.url.Path = "/changed"
		}
		in := bufio.NewReader(bytes.NewReader(data))
		want, err := http.ReadRequest(in)
		if err != nil {
			t.Fatalf("%q is plain, and net/http says %v", data, err)
		}
		body, err := io.ReadAll(want.Body)
		if err != nil || in.Buffered() > 0 {
			t.Fatalf("%q: net/http reads the body %q, %v, and %d bytes are left", data, body, err, in.Buffered())
		}
		if got.method != want.Method || got.target != want.RequestURI || got.host != want.Host || !reflect.DeepEqual(got.url, want.URL) ||
			!reflect.DeepEqual(got.header, want.Header) || !bytes.Equal(got.body, body) || want.ContentLength != int64(len(got.body)) ||
			want.Close || want.ProtoMinor != 1 || len(want.TransferEncoding) > 0 {
			t.Fatalf("%q: got %+v, net/http has %+v", data, got, want)
		}
	})
}
