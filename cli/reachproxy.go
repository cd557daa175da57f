package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/rpc"
)

// maxProxyAnswer bounds what is read of a sidecar's answer.
const maxProxyAnswer = maxInput

// A proxyReach is the way over HTTP to a sidecar.
type proxyReach struct {
	session *session
	base    *url.URL
	http    *http.Client
}

func (s *session) newProxyReach() (*proxyReach, error) {
	o := &s.opts
	if o.Selector != "" && o.line.given("selector") {
		return nil, usagef("--selector chooses on the bus; with --proxy-address the sidecar chooses, so leave one of them out")
	}
	base, err := parseProxy(o.ProxyAddress)
	if err != nil {
		return nil, usagef("%v%s", err, o.from.of("proxy-address"))
	}
	transport := &http.Transport{DialContext: (&net.Dialer{Timeout: connectLimit}).DialContext}
	if o.TLSCAFile != "" {
		pem, err := os.ReadFile(o.TLSCAFile)
		if err != nil {
			return nil, usagef("--tls-ca-file: %v", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, usagef("--tls-ca-file %s holds no certificate", o.TLSCAFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &proxyReach{session: s, base: base, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// parseProxy reads the address of a sidecar: HOST:PORT, or a URL.
func parseProxy(address string) (*url.URL, error) {
	text := address
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, fmt.Errorf("--proxy-address %q: write HOST:PORT or http://HOST:PORT", address)
	}
	u.Path = ""
	return u, nil
}

func (p *proxyReach) close() { p.http.CloseIdleConnections() }

// request makes a request to the sidecar.
func (p *proxyReach) request(ctx context.Context, method, path string, query url.Values, body io.Reader) (*http.Request, error) {
	u := *p.base
	u.Path, u.RawQuery = path, query.Encode()
	r, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, bus.Errorf(bus.InvalidArgument, "%w", err)
	}
	p.sign(r.Header)
	r.Header.Set("Accept", "application/json")
	if left, ok := timeLeft(ctx); ok {
		r.Header.Set(gateway.HeaderRequestTimeout, strconv.FormatFloat(left.Seconds(), 'f', 3, 64))
	}
	return r, nil
}

// timeLeft is how long the sidecar may take. Without --timeout it is told the
// longest time that it accepts, since its own limit is a short one.
func timeLeft(ctx context.Context) (time.Duration, bool) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return 10 * time.Minute, true
	}
	left := time.Until(deadline)
	return max(left, time.Millisecond), true
}

// sign adds the token, which for a sidecar is a bearer's.
func (p *proxyReach) sign(h http.Header) {
	if token := p.session.opts.Token; token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
}

// do sends a request and returns an answer that is no error.
func (p *proxyReach) do(r *http.Request) (*http.Response, error) {
	res, err := p.http.Do(r)
	if err != nil {
		return nil, p.unreached(r.Context(), err)
	}
	if res.StatusCode >= 200 && res.StatusCode <= 299 {
		return res, nil
	}
	defer func() { _ = res.Body.Close() }() // what is left is not wanted
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxProxyAnswer))
	return nil, proxyError(res, body)
}

// unreached is the error of a request that got no answer.
func (p *proxyReach) unreached(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return bus.AsError(context.Cause(ctx))
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	e := bus.Errorf(bus.Unavailable, "no sidecar at %s (%w); start one with \"mbus sidecar\", or name another with --proxy-address", p.base, err)
	e.End = bus.Broker
	return e
}

// proxyError reads an error that the sidecar has answered.
func proxyError(res *http.Response, body []byte) *bus.Error {
	var f gateway.Failure
	if json.Unmarshal(body, &f) != nil || f.Detail == "" {
		f = gateway.Failure{Detail: strings.TrimSpace(string(body))}
		if f.Detail == "" || len(f.Detail) > maxDetail {
			f.Detail = "the sidecar answers " + res.Status
		}
	}
	f.Code = res.StatusCode
	if f.End == "" {
		f.End = res.Header.Get(gateway.HeaderEnd)
	}
	return errorOfFailure(f)
}

// errorOfFailure is the error that a sidecar speaks of.
func errorOfFailure(f gateway.Failure) *bus.Error {
	code, ok := bus.CodeOf(f.Reason)
	if !ok {
		code = bus.CodeOfStatus(f.Code)
	}
	e := bus.Errorf(code, "%s", f.Detail)
	e.Status, e.Detail = f.Code, f.Data
	for end := bus.Nobody; end <= bus.Broker; end++ {
		if end.String() == f.End {
			e.End = end
		}
	}
	return e
}

// read sends a request and reads the answer whole. kind is its content type.
func (p *proxyReach) read(r *http.Request) (kind string, body []byte, err error) {
	res, err := p.do(r)
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = res.Body.Close() }() // it was read whole, or is not wanted
	body, err = io.ReadAll(io.LimitReader(res.Body, maxProxyAnswer+1))
	switch {
	case err != nil && r.Context().Err() != nil:
		return "", nil, bus.AsError(context.Cause(r.Context()))
	case err != nil:
		return "", nil, bus.Errorf(bus.DataLoss, "the answer of the sidecar ends before it is complete: %w", err)
	case len(body) > maxProxyAnswer:
		return "", nil, bus.Errorf(bus.TooLarge, "the answer of the sidecar is over %d bytes", maxProxyAnswer)
	}
	return res.Header.Get("Content-Type"), body, nil
}

// services fetches from the registry.
func (p *proxyReach) services(ctx context.Context, query url.Values) ([]discovery.Service, error) {
	r, err := p.request(ctx, http.MethodGet, "/registry", query, nil)
	if err != nil {
		return nil, err
	}
	_, body, err := p.read(r)
	if err != nil {
		return nil, err
	}
	var services []discovery.Service
	err = codec.Guard(codec.JSON, body)
	if err == nil {
		err = json.Unmarshal(body, &services)
	}
	if err != nil {
		return nil, bus.Errorf(bus.DataLoss, "what answers at %s is no sidecar: %w", p.base, err)
	}
	return services, nil
}

func (p *proxyReach) list(ctx context.Context) ([]string, error) {
	services, err := p.services(ctx, nil)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(services))
	for _, s := range services {
		names = append(names, s.Name)
	}
	return names, nil
}

func (p *proxyReach) get(ctx context.Context, service string) ([]discovery.Service, error) {
	services, err := p.services(ctx, url.Values{"service": {service}})
	if errors.Is(err, bus.NotFound) {
		e := *bus.AsError(err)
		e.End = bus.Nobody
		return nil, &e
	}
	return services, err
}

func (p *proxyReach) register(ctx context.Context, service discovery.Service, ttl time.Duration) error {
	query := url.Values{}
	if ttl > 0 {
		query.Set("ttl", ttl.String())
	}
	return p.define(ctx, http.MethodPost, query, service)
}

func (p *proxyReach) deregister(ctx context.Context, service discovery.Service) error {
	return p.define(ctx, http.MethodDelete, nil, service)
}

func (p *proxyReach) define(ctx context.Context, method string, query url.Values, service discovery.Service) error {
	body, err := json.Marshal(service)
	if err != nil {
		return err
	}
	r, err := p.request(ctx, method, "/registry", query, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	_, _, err = p.read(r)
	return err
}

func (p *proxyReach) call(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
	res, err := p.tryCall(ctx, req)
	if err != nil {
		e := *bus.AsError(err)
		e.Service, e.Method = req.Service, req.Method
		return nil, &e
	}
	return res, nil
}

func (p *proxyReach) tryCall(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
	body, err := json.Marshal(gateway.RPCRequest{
		Service: req.Service, Method: req.Method, Node: req.Instance, Request: req.Body,
		Key: req.Key, Retries: req.Retries, Idempotent: req.Idempotent,
	})
	if err != nil {
		return nil, bus.Errorf(bus.InvalidArgument, "%w", err)
	}
	r, err := p.request(ctx, http.MethodPost, "/rpc", nil, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, value := range req.Meta {
		r.Header.Set(name, value)
	}
	r.Header.Set("Content-Type", "application/json")
	contentType, answer, err := p.read(r)
	if err != nil {
		return nil, err
	}
	kind, err := codec.Parse(contentType)
	if err != nil {
		return nil, bus.Errorf(bus.DataLoss, "the answer of the sidecar: %w", err)
	}
	return &rpc.Response{Codec: kind, Body: answer}, nil
}

// ping cannot reach an instance that has no methods of mbus.
func (*proxyReach) ping(context.Context, string, discovery.Node) error {
	return bus.Errorf(bus.Unimplemented, "it has no Debug.Health, and through a sidecar nothing else can be asked")
}
