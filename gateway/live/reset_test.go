package live_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/gateway"
)

// A connection that is closed over bytes that nobody has read is reset, and the
// reset takes what the client has not read yet from it. This happens between real
// sockets only, and takes real time.
func TestAClientThatIsStillSendingReadsWhyItsSocketEnds(t *testing.T) {
	r := newRoom(t, bustest.Start(t))
	facade := gateway.NewBus(r.conn, gateway.BusConfig{})
	if err := facade.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, facade.Stop) })
	edge, err := gateway.NewEdge(gateway.EdgeConfig{Name: "go.micro.api"})
	if err != nil {
		t.Fatal(err)
	}
	server := gateway.NewServer(facade, gateway.ServerConfig{Address: "127.0.0.1:0", Handler: edge.Wrap(r.handler)})
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, server.Stop) })
	more := slices.Repeat(masked(opContinuation, ""), 200_000)
	for name, test := range map[string]struct{ first, want string }{
		"too many fragments": {string(masked(opText, "")), "close 1008 too many fragments"},
		"a reserved bit":     {string(masked(fin|rsv1|opText, "x")), "close 1002 "},
		"no mask":            {string(frame(fin|opText, "x", "")), "close 1002 "},
	} {
		t.Run(name, func(t *testing.T) {
			var d net.Dialer
			conn, err := d.DialContext(t.Context(), "tcp", server.Address())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
			s := &rawSocket{t: t, conn: conn, r: bufio.NewReader(conn), writing: make(chan struct{}, 1)}
			if _, err := fmt.Fprintf(conn, "GET /ws/%s/Lab.Chat HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", lab); err != nil {
				t.Fatal(err)
			}
			if res, err := s.response(http.MethodGet); err != nil || res.StatusCode != http.StatusSwitchingProtocols {
				t.Fatal(res, err)
			}
			start := time.Now()
			if _, err := conn.Write(append([]byte(test.first), more...)); err != nil {
				t.Fatalf("the connection was reset while the client wrote: %v", err)
			}
			f, err := s.next()
			if err != nil || len(f.String()) < len(test.want) || f.String()[:len(test.want)] != test.want {
				t.Fatalf("got %q, %v, want %q", f, err, test.want)
			}
			if _, err := s.next(); !errors.Is(err, io.EOF) {
				t.Errorf("after the close came %v", err)
			}
			_ = conn.Close()
			r.idle(time.Second)
			if took := time.Since(start); took > 4*time.Second { // it does not wait for the close of the client
				t.Errorf("it took %v", took)
			}
		})
	}
}
