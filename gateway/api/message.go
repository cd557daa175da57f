package api

import (
	"encoding/json"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/rpc"
)

// A Pair is a name with its values.
type Pair struct {
	Key    string   `json:"key"`
	Values []string `json:"values"`
}

// A Request is an HTTP request as the message that a method of the handler api
// takes.
type Request struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	// Header has all headers of the request, Host among them, and X-Forwarded-For
	// with the client's address at its end.
	Header map[string]*Pair `json:"header"`
	// Get has the fields of the query, and those that a route's path holds.
	Get map[string]*Pair `json:"get"`
	// Post has the fields of a form.
	Post map[string]*Pair `json:"post"`
	// Body is the body of any other type; it is text.
	Body string `json:"body"`
	URL  string `json:"url"`
}

// A Response is the answer of a method of the handler api.
type Response struct {
	// StatusCode is the status, 200 if it is 0.
	StatusCode int32            `json:"statusCode"`
	Header     map[string]*Pair `json:"header"`
	Body       string           `json:"body"`
}

// serveAPI calls a method with the request as a message, and answers with the
// message that comes back.
func (a *API) serveAPI(w http.ResponseWriter, r *http.Request, t *target) {
	if err := a.relay(w, r, t); err != nil {
		a.fail(w, r, err)
	}
}

func (a *API) relay(w http.ResponseWriter, r *http.Request, t *target) error {
	h := hold{of: &a.holds}
	defer h.release()
	message, err := a.message(w, r, t, &h)
	if err != nil {
		return err
	}
	body, err := json.Marshal(message)
	if err != nil {
		return bus.AsError(err)
	}
	ctx, cancel, err := a.patience(r, t)
	if err != nil {
		return err
	}
	defer cancel()
	req := a.request(r, t, input{codec: codec.JSON, body: body})
	req.Idempotent = reads(r)
	res, done, err := a.bus.Whole(ctx, &req)
	defer done()
	if err != nil {
		return err
	}
	return a.unfold(w, r, t, res)
}

// message makes the message of a request.
func (a *API) message(w http.ResponseWriter, r *http.Request, t *target, h *hold) (*Request, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, bus.Errorf(bus.InvalidArgument, "the query cannot be read: %w", err)
	}
	m := &Request{
		Method: r.Method, Path: r.URL.Path, URL: r.URL.RequestURI(),
		Header: a.messageHeader(r), Get: pairs(query), Post: map[string]*Pair{},
	}
	for name, value := range t.params {
		m.Get[name] = &Pair{Key: name, Values: []string{value}}
	}
	// A type that cannot be read is that of a form, as in Micro.
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	form := err != nil || kind == typeForm
	if form && r.Header.Get("Content-Type") == "" && reads(r) {
		return m, nil
	}
	limit := int64(maxForm)
	if !form && kind != "application/json" {
		limit = max(limit, a.cfg.MaxUpload)
	}
	body, err := readBody(w, r, limit, h)
	if err != nil {
		return nil, err
	}
	switch {
	case form:
		fields, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, bus.Errorf(bus.InvalidArgument, "the form cannot be read: %w", err)
		}
		m.Post = pairs(fields)
	case !utf8.Valid(body):
		return nil, status(http.StatusUnsupportedMediaType, "the body is no text in UTF-8, and %s.%s takes text", t.service, t.method)
	default:
		m.Body = string(body)
	}
	return m, nil
}

// messageHeader returns the headers of a request as they are: they are what the
// method is called with. Only what belongs to the hop or the bus stays out.
func (a *API) messageHeader(r *http.Request) map[string]*Pair {
	all := make(map[string]*Pair, len(r.Header)+2)
	for name, values := range r.Header {
		if gateway.Internal(name) || ofHop(r.Header, name) || a.cfg.HideAuthorization && name == "Authorization" {
			continue
		}
		all[name] = &Pair{Key: name, Values: values}
	}
	all["Host"] = &Pair{Key: "Host", Values: []string{r.Host}}
	if client, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		if prior := strings.Join(r.Header["X-Forwarded-For"], ", "); prior != "" {
			client = prior + ", " + client
		}
		all["X-Forwarded-For"] = &Pair{Key: "X-Forwarded-For", Values: []string{client}}
	}
	if id := gateway.RequestID(r.Context()); id != "" {
		all[gateway.HeaderRequestID] = &Pair{Key: gateway.HeaderRequestID, Values: []string{id}}
	}
	return all
}

func pairs(fields url.Values) map[string]*Pair {
	all := make(map[string]*Pair, len(fields))
	for name, values := range fields {
		all[name] = &Pair{Key: name, Values: values}
	}
	return all
}

// unfold answers with the message of a method.
func (a *API) unfold(w http.ResponseWriter, r *http.Request, t *target, res *rpc.Response) error {
	var m Response
	err := codec.PlanOf(a.bus.Conn).Unmarshal(res.Codec, res.Body, &m)
	if err != nil || m.StatusCode != 0 && (m.StatusCode < 200 || m.StatusCode > 599) {
		e := bus.Errorf(bus.DataLoss, "the answer is no response: %w", err)
		if err == nil {
			e = bus.Errorf(bus.DataLoss, "the answer has the status %d", m.StatusCode)
		}
		e.Service, e.Method, e.End = t.service, t.method, bus.Handler
		return e
	}
	if m.StatusCode == 0 {
		m.StatusCode = http.StatusOK
	}
	h := w.Header()
	for name, pair := range m.Header {
		if pair == nil {
			continue
		}
		if pair.Key != "" {
			name = pair.Key
		}
		if !allowed(name) && !strings.EqualFold(name, "Content-Type") {
			continue
		}
		h.Del(name)
		for _, value := range pair.Values {
			if !hasControls(value) {
				h.Add(name, value)
			}
		}
	}
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	a.write(w, r, answer{
		status: int(m.StatusCode), body: []byte(m.Body), packed: h.Get("Content-Encoding") == "",
		safe: t.safe() && reads(r) && m.StatusCode == http.StatusOK,
	})
	return nil
}

// takesRequest reports whether a method takes a Request, by the names of what it
// takes.
func takesRequest(v *discovery.Value) bool {
	if v == nil {
		return false
	}
	found := 0
	for _, f := range v.Values {
		switch f.Name {
		case "method", "path", "header", "get", "post", "body":
			found++
		case "url":
		default:
			return false
		}
	}
	return found == 6
}

// ofHop reports whether a header belongs to this hop only.
func ofHop(h http.Header, name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	for _, line := range h["Connection"] {
		for token := range strings.SplitSeq(line, ",") {
			if http.CanonicalHeaderKey(strings.TrimSpace(token)) == name {
				return true
			}
		}
	}
	return false
}
