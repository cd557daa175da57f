package api

import (
	"compress/gzip"
	"net/http"
	"strconv"

	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/rpc"
)

// download answers with what a service answers in parts: as it comes, if the
// client takes it as it is, else gathered and converted. want is the codec that
// the client likes best.
func (a *API) download(w http.ResponseWriter, r *http.Request, t *target, res *rpc.Response, want codec.Codec, list []accepted) error {
	parts := res.Parts
	defer func() { _ = parts.Close() }() // it cannot fail
	safe := t.safe() && reads(r)
	if parts.Size() >= 0 {
		kind, as, err := asItComes(res, want, list)
		if err != nil {
			return err
		}
		if as {
			a.begin(w, res, kind)
			a.pour(w, r, res, safe)
			return nil
		}
	}
	release, err := a.bus.Gather(res, want)
	defer release()
	if err != nil {
		return err
	}
	body, kind, err := convert(res, want, list)
	if err != nil {
		return err
	}
	a.begin(w, res, kind)
	a.write(w, r, answer{status: http.StatusOK, body: body, packed: res.Codec != codec.Raw, safe: safe})
	return nil
}

// asItComes reports whether the client takes the body of an answer as it is, and
// of what type that is. The error is convert's, of an answer that no conversion
// helps.
func asItComes(res *rpc.Response, want codec.Codec, list []accepted) (kind string, as bool, err error) {
	bare := *res
	bare.Body = nil
	switch got := res.Codec; {
	case got == codec.Raw, got == want, want == 0, want == codec.Protobuf, got == codec.Protobuf:
		_, kind, err = convert(&bare, want, list)
		return kind, err == nil, err
	}
	return "", false, nil
}

// begin sets the headers of an answer that do not follow from its body.
func (a *API) begin(w http.ResponseWriter, res *rpc.Response, kind string) {
	h := w.Header()
	headers(h, res.Meta)
	if res.Codec == codec.Raw {
		h.Set("Content-Security-Policy", noPage)
	}
	h.Set("Content-Type", kind)
	h.Add("Vary", "Accept")
}

// pour is write for an answer in parts. Its tag, if the service has not set one,
// is weak: it is made of the size and the checksum that are known before the
// body.
func (a *API) pour(w http.ResponseWriter, r *http.Request, res *rpc.Response, safe bool) {
	h, parts := w.Header(), res.Parts
	h.Set("X-Content-Type-Options", "nosniff")
	packing := res.Codec != codec.Raw
	if packing {
		h.Add("Vary", "Accept-Encoding")
		packing = packs(r)
	}
	switch {
	case !safe && h.Get("Cache-Control") == "":
		h.Set("Cache-Control", "no-store")
	case safe:
		if h.Get("ETag") == "" {
			h.Set("ETag", `W/"`+strconv.Itoa(parts.Size())+"-"+parts.Sum()+`"`)
		}
		if tagged(h, r, nil, packing) {
			h.Del("Content-Type")
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	if packing {
		h.Set("Content-Encoding", "gzip")
	} else {
		h.Set("Content-Length", strconv.Itoa(parts.Size()))
	}
	w.WriteHeader(http.StatusOK)
	switch {
	case r.Method == http.MethodHead:
	case packing:
		a.pourPacked(w, parts)
	default:
		a.bus.Pour(w, parts)
	}
}

func (a *API) pourPacked(w http.ResponseWriter, parts *rpc.Parts) {
	z, _ := a.packers.Get().(*gzip.Writer)
	if z == nil {
		z, _ = gzip.NewWriterLevel(nil, gzip.BestSpeed) // a level that exists
	}
	defer a.packers.Put(z)
	z.Reset(w)
	a.bus.Pour(z, parts)
	_ = z.Close() // the client has gone: nobody to tell
}
