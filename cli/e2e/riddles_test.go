//go:build unix

package e2e_test

import (
	"fmt"
	"strings"
)

// A riddle is a request that some programs take for two: the second, with the id,
// is hidden where others see a body, a header or an extension.
type riddle struct {
	name string
	text func(id string) string
}

const (
	riddlePost = "POST " + canaryPath + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	riddleBody = `{"id":"front"}`
	lastChunk  = "0\r\n\r\n"
)

func hiddenRequest(id string) string {
	return "GET " + canaryPath + "?id=" + id + " HTTP/1.1\r\nHost: localhost\r\n\r\n"
}

func chunk(data string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(data), data) }

func riddles() []riddle {
	all := append(encodingRiddles(), lengthRiddles()...)
	return append(append(all, idleBodyRiddles()...), chunkRiddles()...)
}

// encodingRiddles spell Transfer-Encoding in ways that not everybody knows, beside
// a Content-Length.
func encodingRiddles() []riddle {
	var all []riddle
	fields := []string{
		"Transfer-Encoding : chunked", "Transfer-Encoding\t: chunked", " Transfer-Encoding: chunked", "Transfer_Encoding: chunked",
		"X: y\nTransfer-Encoding: chunked", "X: y\rTransfer-Encoding: chunked", "X:\r\n Transfer-Encoding: chunked", "Transfer-Encoding:\r\n chunked",
		"\x00Transfer-Encoding: chunked", "Transfer-Encoding\x00: chunked", "Transfer-\r\n Encoding: chunked",
	}
	for _, value := range []string{
		"chunked", "Chunked", "chunked, identity", "identity, chunked", "xchunked", "chunked\t", "\x0bchunked", "\x0cchunked", "chunked\x00",
		`"chunked"`, "chunked;q=1", "gzip, chunked", "chunked, chunked", "chunked,", ",chunked", "identity", "",
	} {
		fields = append(fields, "Transfer-Encoding: "+value)
	}
	for _, field := range fields {
		length := func(body string) string { return fmt.Sprintf("Content-Length: %d\r\n", len(body)) }
		short := func(body string) string {
			head, _, _ := strings.Cut(body, "\r\n")
			return length(head + "\r\n")
		}
		old := strings.Replace(riddlePost, "HTTP/1.1", "HTTP/1.0", 1) + "Connection: keep-alive\r\n"
		all = append(all,
			riddle{"the length wins, " + field, func(id string) string {
				body := lastChunk + hiddenRequest(id)
				return riddlePost + length(body) + field + "\r\n\r\n" + body
			}},
			riddle{"the chunks win, " + field, func(id string) string {
				body := chunk(hiddenRequest(id)) + lastChunk
				return riddlePost + short(body) + field + "\r\n\r\n" + body
			}},
			riddle{"the chunks win, in the other order, " + field, func(id string) string {
				body := chunk(hiddenRequest(id)) + lastChunk
				return riddlePost + field + "\r\n" + short(body) + "\r\n" + body
			}},
			riddle{"both spellings, " + field, func(id string) string {
				return riddlePost + field + "\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(hiddenRequest(id)) + lastChunk
			}},
			riddle{"HTTP/1.0, " + field, func(id string) string {
				return old + field + "\r\n\r\n" + lastChunk + hiddenRequest(id)
			}},
		)
	}
	return all
}

// lengthRiddles spell Content-Length in ways that not everybody knows.
func lengthRiddles() []riddle {
	var all []riddle
	for _, form := range []string{
		"Content-Length: %d", "Content-Length: +%d", "Content-Length: 0x%x", "Content-Length: %[1]d,%[1]d", "Content-Length: 0%d", "Content-Length: -%d",
		"Content-Length: %d.0", "Content-Length: %d\x0b", "Content-Length: %d;", "Content-Length: 1 %d", `Content-Length: "%d"`, "Content-Length: %d\x00",
		"Content-Length: 1844674407370955161%d", "Content-Length : %d", "Content_Length: %d", "\tContent-Length: %d", "X:\n Content-Length: %d",
		"X: y\nContent-Length: %d", "X: y\rContent-Length: %d", "Content-Length:\r\n %d",
	} {
		whole := func(id string) (field, body string) {
			body = riddleBody + hiddenRequest(id)
			return fmt.Sprintf(form, len(body)) + "\r\n", body
		}
		honest := fmt.Sprintf("Content-Length: %d\r\n", len(riddleBody))
		all = append(
			all,
			riddle{"alone, " + form, func(id string) string { field, body := whole(id); return riddlePost + field + "\r\n" + body }},
			riddle{"before the short one, " + form, func(id string) string {
				field, body := whole(id)
				return riddlePost + field + honest + "\r\n" + body
			}},
			riddle{"after the short one, " + form, func(id string) string {
				field, body := whole(id)
				return riddlePost + honest + field + "\r\n" + body
			}},
		)
	}
	return all
}

// idleBodyRiddles are honest requests whose body nobody reads.
func idleBodyRiddles() []riddle {
	var all []riddle
	for _, line := range []string{
		"GET " + canaryPath + "?id=front", "OPTIONS " + canaryPath, "DELETE /nowhere", "POST /healthz", "POST /openapi.json", "POST /mcp", "PUT /events?topic=a",
		"POST /events?topic=mbus.x", "TRACE /", "FOO /", "POST /%2e%2e/", "POST /rpc", "POST /no/such/service",
	} {
		for _, field := range []string{
			"X: y", "Connection: Content-Length", "Expect: 100-continue",
			"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13",
			"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
		} {
			name, _, _ := strings.Cut(field, "\r\n")
			all = append(all, riddle{"a body nobody reads, " + line + ", " + name, func(id string) string {
				return fmt.Sprintf("%s HTTP/1.1\r\nHost: localhost\r\n%s\r\nContent-Length: %d\r\n\r\n%s", line, field, len(hiddenRequest(id)), hiddenRequest(id))
			}})
		}
		all = append(all, riddle{"chunks nobody reads, " + line, func(id string) string {
			return line + " HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(hiddenRequest(id)) + lastChunk
		}})
	}
	return all
}

// chunkRiddles end chunks where not everybody sees their end.
func chunkRiddles() []riddle {
	size := fmt.Sprintf("%x", len(riddleBody))
	one := chunk(riddleBody)
	var all []riddle
	for name, body := range map[string]func(hidden string) string{
		"a line in an extension":     func(h string) string { return size + ";a=\"\r\n\"\r\n" + riddleBody + "\r\n" + lastChunk + h },
		"a bare LF in an extension":  func(h string) string { return "2;\nxx\r\n" + chunk(lastChunk+h) + lastChunk },
		"a bare CR in an extension":  func(h string) string { return "2;\rxx\r\n" + chunk(lastChunk+h) + lastChunk },
		"bare LF everywhere":         func(h string) string { return size + "\n" + riddleBody + "\n0\n\n" + h },
		"a bare LF at the end":       func(h string) string { return one + "0\n\n" + h },
		"a bare LF after the data":   func(h string) string { return size + "\r\n" + riddleBody + "\n" + lastChunk + h },
		"a bare CR after the data":   func(h string) string { return size + "\r\n" + riddleBody + "\rX" + lastChunk + h },
		"a size with 0x":             func(h string) string { return "0x" + size + "\r\n" + riddleBody + "\r\n" + lastChunk + h },
		"a size with a sign":         func(h string) string { return "+" + size + "\r\n" + riddleBody + "\r\n" + lastChunk + h },
		"a size below zero":          func(h string) string { return "-" + size + "\r\n" + riddleBody + "\r\n" + lastChunk + h },
		"a size that overflows":      func(h string) string { return "10000000000000000" + "\r\n" + riddleBody + "\r\n" + lastChunk + h },
		"a size after a space":       func(h string) string { return " " + size + "\r\n" + riddleBody + "\r\n" + lastChunk + h },
		"no size":                    func(h string) string { return "\r\n" + riddleBody + "\r\n" + lastChunk + h },
		"more data than the size":    func(h string) string { return "2\r\n" + riddleBody + "\r\n" + lastChunk + h },
		"a length in the trailer":    func(h string) string { return one + fmt.Sprintf("0\r\nContent-Length: %d\r\n\r\n", len(h)) + h },
		"an encoding in the trailer": func(h string) string { return one + "0\r\nTransfer-Encoding: chunked\r\n\r\n" + h },
		"no field in the trailer":    func(h string) string { return one + "0\r\nbad\r\n\r\n" + h },
		"a bare LF in the trailer":   func(h string) string { return one + "0\r\nA: b\n\n" + h },
	} {
		all = append(all, riddle{"chunks, " + name, func(id string) string {
			return riddlePost + "Transfer-Encoding: chunked\r\n\r\n" + body(hiddenRequest(id))
		}})
	}
	return append(
		all,
		riddle{"a header that ends in bare LF", func(id string) string {
			return riddlePost + "X: a\n\n" + hiddenRequest(id)
		}},
		riddle{"a header that ends in bare CR", func(id string) string {
			return riddlePost + "X: a\r\r\r" + strings.ReplaceAll(hiddenRequest(id), "\r\n", "\r") + "\r\nContent-Length: 0\r\n\r\n"
		}},
		riddle{"a request line in a path", func(id string) string {
			return "GET " + canaryPath + "?id=front%0d%0a%0d%0a" + strings.ReplaceAll(hiddenRequest(id), " ", "%20")
		}},
	)
}
