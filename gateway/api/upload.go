package api

import (
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/rpc"
)

// The metadata of uploads and downloads.
const (
	// metaType is the media type of bytes, in both directions.
	metaType = "Media-Type"
	// metaFilename is the name of an uploaded file.
	metaFilename = "Filename"
	// metaField begins the metadata of a field beside an uploaded file.
	metaField = "Field-"
)

// maxFormParts bounds the parts of a form with a file.
const maxFormParts = 1000

// upload reads bytes for a method that takes bytes.
func (a *API) upload(w http.ResponseWriter, r *http.Request, t *target, h *hold, kind string) (input, error) {
	if t.known {
		if takes, err := a.takesBytes(r.Context(), t); err != nil {
			return input{}, err
		} else if !takes {
			return input{}, status(http.StatusUnsupportedMediaType, "%s takes no bytes: send application/json or application/msgpack", t.method)
		}
	}
	body, err := readBody(w, r, a.cfg.MaxUpload, h)
	if err != nil {
		return input{}, err
	}
	in := input{codec: codec.Raw, body: body}
	if kind != "" {
		in.meta = rpc.Metadata{metaType: kind}
	}
	return in, nil
}

// fromMultipart makes a request of a form in parts: its fields, or the one file
// that is in it.
func (a *API) fromMultipart(w http.ResponseWriter, r *http.Request, t *target, h *hold) (input, error) {
	if e := r.Header.Get("Content-Encoding"); e != "" {
		return input{}, status(http.StatusUnsupportedMediaType, "a form in parts in the encoding %.40q is not read", e)
	}
	limit := a.cfg.MaxUpload + maxForm
	if r.ContentLength > limit {
		return input{}, overBody(limit)
	}
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	parts, err := r.MultipartReader()
	if err != nil {
		return input{}, bus.Errorf(bus.InvalidArgument, "the form cannot be read: %w", err)
	}
	f := form{api: a, request: r, hold: h, fields: url.Values{}, room: maxForm}
	for n := 0; ; n++ {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil && n == maxFormParts {
			err = bus.Errorf(bus.InvalidArgument, "the form has more than %d parts", maxFormParts)
		}
		if err == nil {
			err = f.read(part)
		}
		if err != nil {
			return input{}, unread(r, err, limit)
		}
	}
	if !f.hasFile {
		return a.fromFields(r.Context(), t, f.fields)
	}
	if t.known {
		if takes, err := a.takesBytes(r.Context(), t); err != nil {
			return input{}, err
		} else if !takes {
			return input{}, status(http.StatusUnsupportedMediaType, "%s takes no file: send application/json or application/msgpack", t.method)
		}
	}
	for name, values := range f.fields {
		if len(values) > 1 {
			return input{}, bus.Errorf(bus.InvalidArgument, "the field %.60q is there %d times beside a file", name, len(values))
		}
		f.file.meta[metaField+name] = values[0]
	}
	return f.file, nil
}

// A form is what has been read of a form in parts.
type form struct {
	api     *API
	request *http.Request
	hold    *hold
	fields  url.Values
	room    int64 // bytes that fields may still have
	file    input
	hasFile bool
}

func (f *form) read(part *multipart.Part) error {
	name := part.FileName()
	if name == "" {
		return f.readField(part)
	}
	if f.hasFile {
		return bus.Errorf(bus.InvalidArgument, "the form has more than one file")
	}
	limit := f.api.cfg.MaxUpload
	body, err := readAll(f.request, io.LimitReader(part, limit+1), limit, f.hold)
	if err != nil {
		return err
	}
	if int64(len(body)) > limit {
		return overBody(limit)
	}
	f.hasFile = true
	f.file = input{codec: codec.Raw, body: body, meta: rpc.Metadata{metaFilename: name}}
	if kind := part.Header.Get("Content-Type"); kind != "" {
		f.file.meta[metaType] = kind
	}
	return nil
}

func (f *form) readField(part *multipart.Part) error {
	value, err := io.ReadAll(io.LimitReader(part, f.room+1))
	if err != nil {
		return err
	}
	if f.room -= int64(len(value)); f.room < 0 {
		return overBody(maxForm)
	}
	f.fields.Add(part.FormName(), string(value))
	return nil
}
