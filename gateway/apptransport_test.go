package gateway_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mbus-dev/mbus/gateway"
)

// closedPort is an address on which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// breaking is an app that ends the connection when it has read some of the body.
func breaking(t *testing.T, asked *atomic.Int32) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		_, _ = io.ReadFull(r.Body, make([]byte, 3))
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func TestARequestGoesToTheFirstAppThatTakesConnections(t *testing.T) {
	var broken atomic.Int32
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Host", r.Host)
		_, _ = io.Copy(w, r.Body)
	}))
	t.Cleanup(echo.Close)
	good := strings.TrimPrefix(echo.URL, "http://")
	_, port, err := net.SplitHostPort(good)
	if err != nil {
		t.Fatal(err)
	}
	closed, bad := closedPort(t), breaking(t, &broken)
	loopback := gateway.NewAppTransport(16, netip.Addr.IsLoopback)
	nowhere := gateway.NewAppTransport(16, func(netip.Addr) bool { return false })
	const large = 1 << 20
	for _, c := range []struct {
		name      string
		transport *gateway.AppTransport
		targets   []string
		body      int
		tried     []int
		host      string // of the one that answers
	}{
		{"the first", loopback, []string{good, bad}, 3, []int{0}, good},
		{"the first without a body", loopback, []string{good, bad}, 0, []int{0}, good},
		{"the second, with all of the body", loopback, []string{closed, good}, large, []int{0, 1}, good},
		{"the third", loopback, []string{closed, closed, good}, 3, []int{0, 1, 2}, good},
		{"none", loopback, []string{closed, closed}, 3, []int{0, 1}, ""},
		{"none behind one that has seen it", loopback, []string{bad, good}, large, []int{0}, ""},
		{"by a name", loopback, []string{"localhost:" + port}, 3, []int{0}, "localhost:" + port},
		{"a name that leads where none may be", nowhere, []string{"localhost:" + port}, 3, []int{0}, ""},
		{"where none may be", nowhere, []string{good}, 3, []int{0}, ""},
		{"there are none", loopback, nil, 3, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			sent := bytes.Repeat([]byte("x"), c.body)
			r := httptest.NewRequestWithContext(t.Context(), "POST", "http://app/x", bytes.NewReader(sent))
			var tried []int
			res, err := c.transport.Send(r, c.targets, func(i int) { tried = append(tried, i) })
			if !slices.Equal(tried, c.tried) {
				t.Errorf("it tried %v, want %v", tried, c.tried)
			}
			if c.host == "" {
				if err == nil || res != nil {
					t.Errorf("it got %v, %v", res, err)
				}
				var forbidden *gateway.ForbiddenAddress
				if errors.As(err, &forbidden) != (c.transport == nowhere) {
					t.Errorf("the error is %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if got, err := io.ReadAll(res.Body); err != nil || !bytes.Equal(got, sent) || res.Header.Get("X-Host") != c.host {
				t.Errorf("%d bytes came from %s: %v", len(got), res.Header.Get("X-Host"), err)
			}
		})
	}
	if broken.Load() != 1 {
		t.Errorf("the app that breaks off was asked %d times", broken.Load())
	}
}
