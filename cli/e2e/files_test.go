//go:build unix

package e2e_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// Whoever opens connections to an HTTP listener of a node without end must not
// take the files that the broker in it needs for its own.
func TestAFloodOfConnectionsLeavesTheBrokerItsFiles(t *testing.T) {
	t.Parallel()
	shell := command{path: "/bin/sh", args: []string{
		"-c", `ulimit -n 300; exec "$@"`, "sh", mbus.path(), "node", "--listen", "127.0.0.1:0", "--ephemeral", "--no-jetstream", "--demo",
		"--log-level", "warn", "--api-address", "127.0.0.1:0", "--sidecar-address", "off", "--web-address", "off",
	}}
	b := launchNode(t, shell)
	address := strings.TrimPrefix(b.api, "http://")
	var flood []net.Conn
	for range 400 {
		var d net.Dialer
		c, err := d.DialContext(t.Context(), "tcp", address)
		if err != nil {
			break // they come faster than they are thrown away
		}
		defer c.Close()
		flood = append(flood, c)
	}
	// The last of them have been closed, so the node has taken in all.
	eventually(t, startup, "the end of the last connection", func() error {
		last := flood[len(flood)-1]
		_ = last.SetReadDeadline(time.Now().Add(2 * time.Second))
		if _, err := last.Read(make([]byte, 1)); err != io.EOF && !strings.Contains(err.Error(), "reset") { //nolint:errorlint // it is never wrapped
			return err
		}
		return nil
	})
	for range 3 {
		if r := run(t, of(mbus, "--url", b.url, "query", "go.micro.srv.greeter", "Say.Hello", `{"name":"John"}`)); r.code != 0 {
			t.Errorf("a call while the flood lasts: %d %s", r.code, r.stderr)
		}
	}
	if lines := strings.Count(b.node.stderr.String(), "connections"); lines == 0 || lines > 20 {
		t.Errorf("%d lines tell of %d connections", lines, len(flood))
	}
}
