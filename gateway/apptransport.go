package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

const (
	// appAnswerTime is how long an app may take to begin its answer.
	appAnswerTime = 30 * time.Second
	// appDialTime is how long an app may take to accept a connection.
	appDialTime = 2 * time.Second
	// appHeaderBytes bounds the header of its answer.
	appHeaderBytes = 64 << 10
	// appIdleShare is the part of its connections that are kept for later.
	appIdleShare = 16
)

// An AppTransport sends requests to apps that are registered with an address. An
// app has two seconds to take a connection, thirty to begin its answer, and 64 KiB
// for its header. Its methods may be called from any goroutine.
type AppTransport struct {
	may  func(netip.Addr) bool
	http *http.Transport
}

// A ForbiddenAddress is the error of an app at an address where none may be.
type ForbiddenAddress struct{ Address string }

func (f *ForbiddenAddress) Error() string {
	return fmt.Sprintf("%s is not among the networks that apps may be in", f.Address)
}

// NewAppTransport returns a transport that has at most conns connections to one
// address, and only to those of which may, which gets no zone and no IPv4 in IPv6,
// says that apps may be there. It is asked once names have become addresses: no
// name leads anywhere else.
func NewAppTransport(conns int, may func(netip.Addr) bool) *AppTransport {
	t := &AppTransport{may: may}
	dialer := &net.Dialer{Timeout: appDialTime, Control: t.control}
	t.http = &http.Transport{
		Proxy: nil, // of the environment: an app is where it says it is
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		},
		MaxIdleConnsPerHost: max(1, conns/appIdleShare), MaxConnsPerHost: conns, IdleConnTimeout: time.Minute,
		ResponseHeaderTimeout: appAnswerTime, MaxResponseHeaderBytes: appHeaderBytes, DisableCompression: true,
	}
	return t
}

// CloseIdleConnections closes the connections that serve no request.
func (t *AppTransport) CloseIdleConnections() { t.http.CloseIdleConnections() }

func (t *AppTransport) control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !t.may(at.Addr().Unmap().WithZone("")) {
		return &ForbiddenAddress{address}
	}
	return nil
}

// Send sends a request to the first of the targets, each a host with a port,
// that takes connections. One that refuses has not seen it, so the next one may
// have it, body and all; whatever else goes wrong is the error. trying, if not
// nil, hears the index of each target before it is tried. Redirects are the
// client's to follow.
func (t *AppTransport) Send(r *http.Request, targets []string, trying func(int)) (*http.Response, error) {
	body := &pendingBody{ReadCloser: r.Body}
	err := errors.New("there is no app to send the request to")
	for i, address := range targets {
		if trying != nil {
			trying(i)
		}
		out := r.Clone(r.Context())
		out.URL.Host, out.Host = address, address
		if r.Body != nil && r.Body != http.NoBody {
			out.Body = body
		}
		var res *http.Response
		if res, err = t.http.RoundTrip(out); err == nil {
			return res, nil
		}
		if !errors.Is(err, syscall.ECONNREFUSED) || body.touched {
			break
		}
	}
	return nil, err
}

// A pendingBody stays open for the next try, and tells whether anything of it has
// gone out.
type pendingBody struct {
	io.ReadCloser
	touched bool
}

func (p *pendingBody) Read(b []byte) (int, error) {
	p.touched = true
	return p.ReadCloser.Read(b)
}

// Close leaves the body to the server, which closes it.
func (p *pendingBody) Close() error { return nil }
