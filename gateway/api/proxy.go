package api

import (
	"context"
	"errors"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/live"
)

const (
	// maxAppConns is how many connections there are to one app.
	maxAppConns = 1024
	// maxTries is how many instances of an app are tried.
	maxTries = 3
)

// A proxy passes requests on to apps that are registered with an address.
type proxy struct {
	api       *API
	transport *gateway.AppTransport
	reverse   httputil.ReverseProxy
}

var _ http.RoundTripper = (*proxy)(nil)

type appKey struct{}

// An app is where a request goes: the instances, in the order in which they are
// tried.
type app struct {
	service string
	targets []string
	lasts   func()      // says that the answer lasts as long as it lasts
	header  http.Header // of the answer, as the edge has begun it
}

func newProxy(a *API) *proxy {
	p := &proxy{api: a, transport: gateway.NewAppTransport(maxAppConns, a.mayDial)}
	p.reverse = httputil.ReverseProxy{
		Rewrite: p.rewrite, Transport: p, ModifyResponse: p.modify, ErrorHandler: p.failed,
		FlushInterval: -1, ErrorLog: log.New(a.cfg.Logger, "", 0),
	}
	return p
}

// mayDial reports whether apps may be at an address.
func (a *API) mayDial(at netip.Addr) bool {
	if len(a.cfg.Targets) == 0 {
		return at.IsLoopback()
	}
	for _, prefix := range a.cfg.Targets {
		if prefix.Contains(at) {
			return true
		}
	}
	return false
}

// serveApp passes a request on to an app of the service. web lets it become a
// WebSocket.
func (a *API) serveApp(w http.ResponseWriter, r *http.Request, service string, web bool) {
	ctx, giveUp := context.WithCancelCause(r.Context())
	defer giveUp(nil)
	to := &app{service: service, header: w.Header()}
	to.lasts = func() {
		stream, over := gateway.Stream(w, r)
		context.AfterFunc(ctx, over)
		context.AfterFunc(stream, func() { giveUp(context.Cause(stream)) })
	}
	apps := a.bus.Apps(service)
	for _, i := range rand.Perm(len(apps)) {
		if len(to.targets) < maxTries {
			to.targets = append(to.targets, addressOf(&apps[i]))
		}
	}
	if len(to.targets) == 0 {
		a.fail(w, r, a.missing(&target{service: service, method: methodOfApp + r.Method}))
		return
	}
	if r.ContentLength > a.cfg.MaxUpload {
		a.fail(w, r, overBody(a.cfg.MaxUpload))
		return
	}
	in := r.WithContext(context.WithValue(ctx, appKey{}, to))
	if r.Body != nil && r.Body != http.NoBody {
		in.Body = http.MaxBytesReader(w, r.Body, a.cfg.MaxUpload)
	}
	if web && live.IsWebSocket(r) {
		to.lasts()
	} else {
		in.Header = in.Header.Clone()
		in.Header.Del("Upgrade")
	}
	a.proxy.reverse.ServeHTTP(w, in)
}

func addressOf(i *discovery.Instance) string {
	if i.Port == 0 {
		return i.Address
	}
	return net.JoinHostPort(strings.Trim(i.Address, "[]"), strconv.Itoa(i.Port))
}

func (p *proxy) rewrite(pr *httputil.ProxyRequest) {
	to := pr.In.Context().Value(appKey{}).(*app)
	pr.Out.URL.Scheme, pr.Out.URL.Host, pr.Out.Host = "http", to.targets[0], to.targets[0]
	// The path goes out as it came.
	pr.Out.URL.Path, pr.Out.URL.RawPath, pr.Out.URL.RawQuery = pr.In.URL.Path, pr.In.URL.RawPath, pr.In.URL.RawQuery
	for name := range pr.Out.Header {
		if gateway.Internal(name) || p.api.cfg.HideAuthorization && name == "Authorization" {
			pr.Out.Header.Del(name)
		}
	}
	if prior := pr.In.Header["X-Forwarded-For"]; len(prior) > 0 {
		pr.Out.Header["X-Forwarded-For"] = prior
	}
	pr.SetXForwarded()
	if id := gateway.RequestID(pr.In.Context()); id != "" {
		pr.Out.Header.Set(gateway.HeaderRequestID, id)
	}
}

// RoundTrip sends a request to the first instance that takes connections.
func (p *proxy) RoundTrip(r *http.Request) (*http.Response, error) {
	return p.transport.Send(r, r.Context().Value(appKey{}).(*app).targets, nil)
}

// modify bounds an answer, and takes from it what is not the app's to say.
func (p *proxy) modify(res *http.Response) error {
	to := res.Request.Context().Value(appKey{}).(*app)
	limit := p.api.cfg.MaxUpload
	if res.ContentLength > limit {
		return bus.Errorf(bus.TooLarge, "the answer of %d bytes is over the limit of %d", res.ContentLength, limit)
	}
	for name := range res.Header {
		if l := strings.ToLower(name); gateway.Internal(l) || strings.HasPrefix(l, "access-control-") || l == "strict-transport-security" || l == "alt-svc" || l == "x-request-id" {
			res.Header.Del(name)
		} else if l != "vary" {
			to.header.Del(name) // the app's own counts
		}
	}
	to.header.Del("Content-Security-Policy") // its pages are its own matter
	switch {
	case res.StatusCode == http.StatusSwitchingProtocols:
	case strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream"):
		to.lasts()
	default:
		res.Body = &bounded{ReadCloser: res.Body, left: limit}
	}
	return nil
}

// A bounded breaks an answer off that is over the limit.
type bounded struct {
	io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errors.New("the answer of an app is over the limit")
	}
	return n, err
}

// failed answers for an app that does not.
func (p *proxy) failed(w http.ResponseWriter, r *http.Request, err error) {
	to := r.Context().Value(appKey{}).(*app)
	p.api.fail(w, r, p.judge(r, to, err))
	p.api.cfg.Logger.Debug().Err(err).Str("service", to.service).Msg("an app did not answer")
}

func (p *proxy) judge(r *http.Request, to *app, err error) error {
	var e *bus.Error
	_, over := errors.AsType[*http.MaxBytesError](err)
	_, not := errors.AsType[*gateway.ForbiddenAddress](err)
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case r.Context().Err() != nil:
		e = bus.AsError(context.Cause(r.Context()))
	case over:
		return overBody(p.api.cfg.MaxUpload)
	case not:
		e = bus.Errorf(bus.PermissionDenied, "%s is registered outside of the networks that apps may be in", to.service)
		e.End = bus.Refused
	case errors.Is(err, syscall.ECONNREFUSED):
		e = bus.Errorf(bus.Unavailable, "%s is registered and takes no connections", to.service)
		e.End, e.Retry = bus.Nobody, bus.RetryAfter(time.Second)
	case isNet && timeout.Timeout():
		e = bus.Errorf(bus.DeadlineExceeded, "%s did not answer in time", to.service)
		e.End = bus.Timeout
	default:
		var own bool
		if e, own = errors.AsType[*bus.Error](err); !own {
			e = bus.Errorf(bus.Unavailable, "%s did not answer as HTTP has it", to.service)
			e.End = bus.Handler
		}
	}
	own := *e
	own.Service = to.service
	return &own
}
