package sidecar

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/bus"
)

const (
	// dialLimit is how long an app may take to accept a connection.
	dialLimit = 2 * time.Second
	// idleLimit is how long a connection to an app is kept for the next call:
	// less than any server waits before it closes one, so that no call meets a
	// connection that is just being closed.
	idleLimit = 2 * time.Second
	// maxIdle bounds the connections to one app that are kept.
	maxIdle = 64
	// maxAnswerHeader bounds the headers of an app's answer.
	maxAnswerHeader = 64 << 10
)

// loopback reads the address of an app: an IP address of this host in its usual
// spelling. Names are refused, since what they stand for may change, and so is
// every spelling in which an address can hide another.
func loopback(host string) (netip.Addr, error) {
	literal := host
	if inner, ok := strings.CutPrefix(host, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); ok {
			literal = inner
		}
	}
	ip, err := netip.ParseAddr(literal)
	if err != nil || ip.Zone() != "" || ip.Is4In6() || !ip.IsLoopback() {
		return netip.Addr{}, bus.Errorf(bus.InvalidArgument, "the address %.80q is not one that a sidecar calls: write an IP address of this host, 127.0.0.1 or ::1", host)
	}
	return ip, nil
}

// targetOf is where an app listens.
func targetOf(host string, port int) (netip.AddrPort, error) {
	ip, err := loopback(host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if port < 1 || port > 65535 {
		return netip.AddrPort{}, bus.Errorf(bus.InvalidArgument, "the port %d: an app listens on one of 1 to 65535", port)
	}
	return netip.AddrPortFrom(ip, uint16(port)), nil
}

// parseTarget reads HOST:PORT.
func parseTarget(address string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return netip.AddrPort{}, bus.Errorf(bus.InvalidArgument, "the address %.80q: write it as 127.0.0.1:PORT", address)
	}
	n, err := strconv.Atoi(port)
	if err != nil || strconv.Itoa(n) != port {
		return netip.AddrPort{}, bus.Errorf(bus.InvalidArgument, "the port %.20q is no number", port)
	}
	return targetOf(host, n)
}

// parseHealthURL reads the URL of a health check. It leads to this host, and with
// an app to that app.
func parseHealthURL(text string, app netip.AddrPort) (string, error) {
	wrong := func(why string) error {
		return bus.Errorf(bus.InvalidArgument, "the health check URL %.120q: %s; write http://127.0.0.1:PORT/PATH", text, why)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", wrong("it cannot be read")
	case u.Scheme != "http":
		return "", wrong("its scheme is not http")
	case u.User != nil || strings.Contains(u.Host, "@"):
		return "", wrong("it names a user")
	case u.Opaque != "" || u.Host == "":
		return "", wrong("it has no host")
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	target, err := parseTarget(net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return "", wrong(bus.AsError(err).Message)
	}
	if app.IsValid() && target != app {
		return "", wrong("it does not lead to the app, " + app.String())
	}
	// Spelled anew, so that what is asked is what was checked.
	return (&url.URL{Scheme: "http", Host: target.String(), Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}).String(), nil
}

// parsePath reads the path of an app that events are pushed to, with a query if
// it has one.
func parsePath(text string) (string, error) {
	u, err := url.ParseRequestURI(text)
	if err != nil || !strings.HasPrefix(text, "/") || strings.HasPrefix(text, "//") || u.IsAbs() || u.Host != "" || u.User != nil || strings.ContainsAny(text, " \\#") {
		return "", bus.Errorf(bus.InvalidArgument, "the path %.120q: write a path of the app that begins with one slash, such as /events", text)
	}
	return u.RequestURI(), nil
}

// A dial opens connections to apps.
type dial func(ctx context.Context, network, address string) (net.Conn, error)

// newTransport returns the way to apps. It uses no proxy, follows no redirect and
// resolves no name, whatever the environment says.
func newTransport(d dial) *http.Transport {
	if d == nil {
		d = (&net.Dialer{Timeout: dialLimit}).DialContext
	}
	return &http.Transport{
		Proxy: nil,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if _, err := parseTarget(address); err != nil {
				return nil, err
			}
			return d(ctx, network, address)
		},
		DisableCompression: true, MaxIdleConnsPerHost: maxIdle, IdleConnTimeout: idleLimit,
		MaxResponseHeaderBytes: maxAnswerHeader,
	}
}
