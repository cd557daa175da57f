package live_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/bustest"
)

const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xa

	fin  = 0x80
	rsv1 = 0x40
	rsv2 = 0x20
	rsv3 = 0x10
)

const handshakeHeaders = "Host: mbus\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// A rawSocket is a WebSocket client that writes the bytes it is told to.
type rawSocket struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
	pong bool // answers pings

	writing chan struct{} // a mutex that virtual time does not wait for
}

// raw makes a WebSocket; further headers end with CRLF each.
func (r *room) raw(path string, headers ...string) *rawSocket {
	r.t.Helper()
	s := r.rawConn()
	s.write([]byte("GET " + path + " HTTP/1.1\r\n" + handshakeHeaders + strings.Join(headers, "") + "\r\n"))
	res, err := s.response(http.MethodGet)
	if err != nil {
		r.t.Fatal(err)
	}
	if res.StatusCode != http.StatusSwitchingProtocols || res.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		r.t.Fatalf("the handshake was answered with %s %v", res.Status, res.Header)
	}
	if res.Header.Get("Sec-WebSocket-Extensions") != "" {
		r.t.Fatalf("extensions: %s", res.Header.Get("Sec-WebSocket-Extensions"))
	}
	return s
}

func (r *room) rawConn() *rawSocket {
	r.t.Helper()
	conn, err := r.listen.dial(bustest.Context(r.t), "", "")
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	return &rawSocket{t: r.t, conn: conn, r: bufio.NewReader(conn), pong: true, writing: make(chan struct{}, 1)}
}

// response reads the answer to a handshake.
func (s *rawSocket) response(method string) (*answer, error) {
	res, err := http.ReadResponse(s.r, &http.Request{Method: method})
	if err != nil {
		return nil, err
	}
	s.t.Cleanup(func() { _ = res.Body.Close() })
	return &answer{res}, nil
}

// write sends bytes; a server that has closed, or reads no more, is no failure.
func (s *rawSocket) write(p []byte) bool {
	s.writing <- struct{}{}
	defer func() { <-s.writing }()
	_ = s.conn.SetWriteDeadline(time.Now().Add(2 * time.Minute))
	_, err := s.conn.Write(p)
	return err == nil
}

func (s *rawSocket) text(body string) { s.write(masked(fin|opText, body)) }

// masked is a frame of a client in the shortest form.
func masked(first byte, body string) []byte {
	return frame(first, body, "mask")
}

// frame is a frame with a mask, "" for none.
func frame(first byte, body, mask string) []byte {
	b := []byte{first}
	bit := byte(0)
	if mask != "" {
		bit = 0x80
	}
	switch {
	case len(body) < 126:
		b = append(b, bit|byte(len(body)))
	case len(body) < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, bit|126), uint16(len(body)))
	default:
		b = binary.BigEndian.AppendUint64(append(b, bit|127), uint64(len(body)))
	}
	b = append(b, mask...)
	for i := range len(body) {
		c := body[i]
		if mask != "" {
			c ^= mask[i%4]
		}
		b = append(b, c)
	}
	return b
}

// closing is a frame that closes with a code.
func closingFrame(code int, reason string) []byte {
	return masked(fin|opClose, string(binary.BigEndian.AppendUint16(nil, uint16(code)))+reason)
}

type rawFrame struct {
	first byte
	body  string
}

func (f rawFrame) String() string {
	switch f.first {
	case fin | opText:
		return "text " + f.body
	case fin | opBinary:
		return fmt.Sprintf("binary %x", f.body)
	case fin | opPing:
		return "ping"
	case fin | opPong:
		return "pong " + f.body
	case fin | opClose:
		if len(f.body) < 2 {
			return "close"
		}
		return strings.TrimSpace(fmt.Sprint("close ", binary.BigEndian.Uint16([]byte(f.body)), " ", f.body[2:]))
	}
	return fmt.Sprintf("%x %q", f.first, f.body)
}

// next reads a frame. Pings are answered by the way, and not returned, unless
// the client does not pong.
func (s *rawSocket) next() (rawFrame, error) {
	for {
		var head [2]byte
		if _, err := io.ReadFull(s.r, head[:]); err != nil {
			return rawFrame{}, err
		}
		if head[1]&0x80 != 0 {
			return rawFrame{}, errors.New("the server masks")
		}
		size := uint64(head[1])
		var long [8]byte
		switch size {
		case 126:
			if _, err := io.ReadFull(s.r, long[:2]); err != nil {
				return rawFrame{}, err
			}
			size = uint64(binary.BigEndian.Uint16(long[:2]))
		case 127:
			if _, err := io.ReadFull(s.r, long[:]); err != nil {
				return rawFrame{}, err
			}
			size = binary.BigEndian.Uint64(long[:])
		}
		body := make([]byte, size)
		if _, err := io.ReadFull(s.r, body); err != nil {
			return rawFrame{}, err
		}
		f := rawFrame{head[0], string(body)}
		if f.first == fin|opPing && s.pong {
			select {
			case s.writing <- struct{}{}:
				<-s.writing
				s.write(masked(fin|opPong, f.body))
			default: // a message is on its way, and the pong would wait behind it
			}
			continue
		}
		return f, nil
	}
}

// must is next, as text.
func (s *rawSocket) must() string {
	s.t.Helper()
	f, err := s.next()
	if err != nil {
		s.t.Fatal(err)
	}
	return f.String()
}

// rest answers the close of the server and returns everything up to the end of
// the connection.
func (s *rawSocket) rest() []string {
	var all []string
	for {
		f, err := s.next()
		if err != nil {
			return all
		}
		all = append(all, f.String())
		if f.first == fin|opClose {
			s.write(masked(fin|opClose, f.body))
		}
	}
}
