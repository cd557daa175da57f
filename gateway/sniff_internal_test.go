package gateway

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// A script is a connection that delivers bytes in pieces of a size.
type script struct {
	net.Conn
	data []byte
	size int
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.size)], s.data)
	s.data = s.data[n:]
	return n, nil
}

func sniffed(t *testing.T, data []byte, size int) []byte {
	t.Helper()
	out, err := io.ReadAll(&sniffer{Conn: &script{data: bytes.Clone(data), size: size}})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// FuzzSniffer holds the sniffer to two rules. How the bytes come in pieces makes
// no difference to what is refused; and no request that net/http accepts has
// both lengths.
func FuzzSniffer(f *testing.F) {
	const host = "POST /a HTTP/1.1\r\nHost: h\r\n"
	for _, seed := range []string{
		host + "Content-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
		host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		host + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		host + "Content-Length: 3\nTransfer-Encoding:\n chunked\n\n0\r\n\r\n",
		"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
		"\r\n\r\n" + host + "Content-Length: 0\r\n\r\n",
		host + "X: " + strings.Repeat("a", 300) + "\r\ncontent-length: 2\r\n\r\nab" + host + "content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		whole := sniffed(t, data, len(data)+1)
		pieces := sniffed(t, data, 1)
		if refused(whole) != refused(pieces) {
			t.Fatalf("%q: in one piece %q, in many %q", data, whole, pieces)
		}
		in := bufio.NewReader(bytes.NewReader(whole))
		for {
			rest, _ := in.Peek(in.Buffered())
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			head, _, _ := bytes.Cut(rest, []byte("\r\n\r\n"))
			lower := strings.ToLower(string(head))
			if len(r.TransferEncoding) > 0 && strings.Contains(lower, "\r\ncontent-length:") && strings.Count(string(rest), "\r\n\r\n") > 0 && !strings.Contains(lower, "\n\n") {
				t.Fatalf("%q is passed on with both lengths", head)
			}
			if len(r.TransferEncoding) > 0 {
				return // the connection ends with it
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil && !errors.Is(err, io.EOF) {
				return
			}
		}
	})
}

func refused(out []byte) bool { return bytes.HasSuffix(out, []byte(":\r\n\r\n")) }
