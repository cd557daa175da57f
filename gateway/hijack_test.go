package gateway_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/mbus-dev/mbus/gateway"
)

func TestAConnectionThatARoomTakesIsLeftAlone(t *testing.T) {
	b, _ := realBus(t)
	s, c := serve(t, b)
	told := make(chan error, 1)
	c.serve = func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := gateway.Stream(w, r)
		defer cancel()
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		go func() { _, _ = io.Copy(conn, rw) }() // ends with the connection
		<-ctx.Done()
		told <- context.Cause(ctx)
	}
	conn, err := net.Dial("tcp", s.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got %v, %v", res, err)
	}
	_ = res.Body.Close()
	// What would be refused in a header is only bytes here.
	const odd = "POST /a HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
	for range 3 {
		if _, err := io.WriteString(conn, odd); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(odd))
		if _, err := io.ReadFull(in, got); err != nil || string(got) != odd {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Errorf("Stop: %v", err)
	}
	select {
	case err := <-told:
		if err == nil {
			t.Error("the room was not told why")
		}
	default:
		t.Error("Stop returned before the room was done")
	}
}
