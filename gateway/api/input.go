package api

import (
	"bytes"
	"context"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/rpc"
)

const (
	typeForm      = "application/x-www-form-urlencoded"
	typeMultipart = "multipart/form-data"
	typeRaw       = "application/octet-stream"
)

// An input is what a request brings to a method.
type input struct {
	codec codec.Codec
	body  []byte
	meta  rpc.Metadata // besides that of the headers
}

// input reads a request for a method: its body, or where there is none its
// query; and what the path says, which wins.
func (a *API) input(w http.ResponseWriter, r *http.Request, t *target, h *hold) (input, error) {
	in, err := a.content(w, r, t, h)
	if err != nil || len(t.params) == 0 {
		return in, err
	}
	return in, a.merge(r.Context(), t, &in)
}

func (a *API) content(w http.ResponseWriter, r *http.Request, t *target, h *hold) (input, error) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead || r.ContentLength == 0 {
		return a.fromQuery(r, t)
	}
	types := r.Header["Content-Type"]
	if len(types) > 1 {
		return input{}, bus.Errorf(bus.InvalidArgument, "there are %d headers Content-Type: send one", len(types))
	}
	kind := ""
	if len(types) == 1 && types[0] == "application/json" {
		kind = types[0]
	} else if len(types) == 1 && types[0] != "" {
		var err error
		if kind, _, err = mime.ParseMediaType(types[0]); err != nil {
			return input{}, bus.Errorf(bus.InvalidArgument, "the content type %.80q cannot be read: %v", types[0], err)
		}
	}
	switch kind {
	case typeForm:
		body, err := readBody(w, r, maxForm, &hold{})
		if err != nil {
			return input{}, err
		}
		return a.fromForm(r.Context(), t, body)
	case typeMultipart:
		return a.fromMultipart(w, r, t, h)
	}
	c := codec.JSON
	if kind != "" {
		var err error
		if c, err = codec.Parse(types[0]); err != nil {
			return a.unknownType(w, r, t, h, kind, err)
		}
	}
	if c == codec.Raw {
		return a.upload(w, r, t, h, "")
	}
	body, err := readBody(w, r, maxForm, &hold{})
	if err != nil {
		return input{}, err
	}
	if len(body) == 0 {
		return a.fromQuery(r, t)
	}
	return a.body(t, c, body)
}

// body is a request in one of the codecs with a structure.
func (a *API) body(t *target, c codec.Codec, body []byte) (input, error) {
	if err := codec.Guard(c, body); err != nil {
		return input{}, err
	}
	if c == codec.Msgpack && t.known && !t.takesMsgpack() {
		text, err := codec.Transcode(codec.Msgpack, codec.JSON, body)
		return input{codec: codec.JSON, body: text}, err
	}
	return input{codec: c, body: body}, nil
}

// fromQuery makes a request of the query.
func (a *API) fromQuery(r *http.Request, t *target) (input, error) {
	if r.URL.RawQuery == "" {
		return input{codec: codec.JSON}, nil
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return input{}, bus.Errorf(bus.InvalidArgument, "the query cannot be read: %w", err)
	}
	return a.fromFields(r.Context(), t, q)
}

// fromForm makes a request of a form. What begins like JSON is JSON: a client
// such as curl calls everything a form.
func (a *API) fromForm(ctx context.Context, t *target, body []byte) (input, error) {
	if looksLikeJSON(body) {
		return a.body(t, codec.JSON, body)
	}
	q, err := url.ParseQuery(string(body))
	if err != nil {
		return input{}, bus.Errorf(bus.InvalidArgument, "the form cannot be read: %w", err)
	}
	return a.fromFields(ctx, t, q)
}

func (a *API) fromFields(ctx context.Context, t *target, q url.Values) (input, error) {
	shape, err := a.shapes.typing(ctx, t)
	if err != nil {
		return input{}, err
	}
	body, err := queryJSON(q, shape)
	if err != nil {
		return input{}, err
	}
	return input{codec: codec.JSON, body: body}, codec.Guard(codec.JSON, body)
}

func looksLikeJSON(body []byte) bool {
	body = bytes.TrimLeft(body, " \t\r\n")
	return len(body) > 0 && (body[0] == '{' || body[0] == '[')
}

// merge puts the parameters of the path into a request.
func (a *API) merge(ctx context.Context, t *target, in *input) error {
	if in.codec == codec.Msgpack {
		text, err := codec.Transcode(codec.Msgpack, codec.JSON, in.body)
		if err != nil {
			return err
		}
		in.codec, in.body = codec.JSON, text
	}
	if in.codec != codec.JSON {
		if in.meta == nil {
			in.meta = make(rpc.Metadata, len(t.params))
		}
		for name, value := range t.params { // bytes have no fields
			in.meta[metaField+name] = value
		}
		return nil
	}
	shape, err := a.shapes.typing(ctx, t)
	if err != nil {
		return err
	}
	fields := map[string]json.RawMessage{}
	if len(in.body) > 0 {
		if err := json.Unmarshal(in.body, &fields); err != nil || fields == nil {
			return bus.Errorf(bus.InvalidArgument, "the body is no object, and the path has fields for it")
		}
	}
	for name, value := range t.params {
		text, err := appendValue(nil, name, value, shape.field(name))
		if err != nil {
			return err
		}
		fields[name] = text
	}
	in.body, err = json.Marshal(fields)
	if err != nil {
		return bus.Errorf(bus.InvalidArgument, "the body: %w", err)
	}
	return nil
}

// unknownType reads a body of a type that is none of the codecs', which is right
// where a method takes bytes.
func (a *API) unknownType(w http.ResponseWriter, r *http.Request, t *target, h *hold, kind string, refusal error) (input, error) {
	e := *bus.AsError(refusal)
	if e.Code == bus.Unimplemented {
		e.Code, e.Status = bus.InvalidArgument, http.StatusUnsupportedMediaType
	}
	if !t.known || e.Status != http.StatusUnsupportedMediaType {
		return input{}, &e
	}
	if takes, err := a.takesBytes(r.Context(), t); err != nil {
		return input{}, err
	} else if !takes {
		return input{}, &e
	}
	return a.upload(w, r, t, h, kind)
}

// takesBytes reports whether a method takes a body that is neither JSON nor
// msgpack: it says so, or says nothing.
func (a *API) takesBytes(ctx context.Context, t *target) (bool, error) {
	shape, err := a.shapes.request(ctx, t)
	return isBytes(shape), err
}

func isBytes(v *discovery.Value) bool { return v == nil || v.Type == bytesType || v.Type == "" }
