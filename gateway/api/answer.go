package api

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/rpc"
)

// packAbove is the size in bytes from which an answer is worth packing.
const packAbove = 1 << 10

// An answer is what goes out.
type answer struct {
	status int
	body   []byte
	packed bool // the body may be packed: it is text, or has a structure
	safe   bool // the request changed nothing, so the answer can be kept
}

// convert makes the answer of a service one in the codec that the client wants.
func convert(res *rpc.Response, want codec.Codec, list []accepted) ([]byte, string, error) {
	switch got := res.Codec; {
	case got == codec.Raw:
		kind := rawType(res.Meta)
		full, _, _ := mime.ParseMediaType(kind) // rawType has read it before
		if weight(list, full) == 0 {
			return nil, "", status(http.StatusNotAcceptable, "the answer is %.80q, which the request does not accept", kind)
		}
		return res.Body, kind, nil
	case got == want || want == 0 && got == codec.JSON:
		return res.Body, got.ContentType(), nil
	case want != codec.Protobuf && got != codec.Protobuf && want != 0:
		body, err := codec.Transcode(got, want, res.Body)
		if err != nil {
			return nil, "", bus.Errorf(bus.DataLoss, "the answer is broken: %w", err)
		}
		return body, want.ContentType(), nil
	default:
		return nil, "", status(http.StatusNotAcceptable, "the answer is %s, which the request does not accept", got.ContentType())
	}
}

// rawType is the media type of bytes: what the service says, if that is one.
func rawType(meta rpc.Metadata) string {
	said := meta.Get(metaType)
	if kind, params, err := mime.ParseMediaType(said); err == nil && strings.Contains(kind, "/") {
		return mime.FormatMediaType(kind, params)
	}
	return typeRaw
}

// write sends an answer whose headers, but for those that follow from the body,
// are set.
func (a *API) write(w http.ResponseWriter, r *http.Request, out answer) {
	h := w.Header()
	if len(h["X-Content-Type-Options"]) == 0 { // the edge has set it
		h.Set("X-Content-Type-Options", "nosniff")
	}
	packing := out.packed && len(out.body) >= packAbove
	if packing {
		h.Add("Vary", "Accept-Encoding")
		packing = packs(r)
	}
	if out.safe {
		if tagged(h, r, out.body, packing) {
			h.Del("Content-Type")
			w.WriteHeader(http.StatusNotModified)
			return
		}
	} else if len(h["Cache-Control"]) == 0 {
		h["Cache-Control"] = a.usual.noStore
	}
	switch {
	case bodyless(out.status):
		h.Del("Content-Type")
		w.WriteHeader(out.status)
		return
	case packing:
		h.Set("Content-Encoding", "gzip")
	default:
		gateway.SetLength(w, len(out.body))
	}
	w.WriteHeader(out.status)
	switch {
	case r.Method == http.MethodHead:
	case packing:
		a.pack(w, out.body)
	default:
		_, _ = w.Write(out.body) // the client has gone: nobody to tell
	}
}

func bodyless(status int) bool {
	return status < 200 || status == http.StatusNoContent || status == http.StatusNotModified
}

// tagged marks an answer that can be kept, and reports whether the client has it
// already. A packed body is another one than the same unpacked.
func tagged(h http.Header, r *http.Request, body []byte, packing bool) bool {
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "private, no-cache")
	}
	tag := h.Get("ETag")
	if tag == "" {
		sum := sha256.Sum256(body)
		tag = `"` + base64.RawURLEncoding.EncodeToString(sum[:18])
		if packing {
			tag += "-gzip"
		}
		tag += `"`
		h.Set("ETag", tag)
	} else if packing && !strings.HasPrefix(tag, "W/") { // the service's own, of the body unpacked
		h.Set("ETag", "W/"+tag)
	}
	for _, line := range r.Header["If-None-Match"] {
		for known := range strings.SplitSeq(line, ",") {
			known = strings.TrimPrefix(strings.TrimSpace(known), "W/")
			if known == "*" || known == strings.TrimPrefix(tag, "W/") {
				return true
			}
		}
	}
	return false
}

// packs reports whether a client takes gzip.
func packs(r *http.Request) bool {
	for _, line := range r.Header["Accept-Encoding"] {
		for entry := range strings.SplitSeq(strings.ToLower(line), ",") {
			name, param, _ := strings.Cut(entry, ";")
			if name = strings.TrimSpace(name); name != "gzip" && name != "x-gzip" {
				continue
			}
			q, given := strings.CutPrefix(strings.TrimSpace(param), "q=")
			if !given {
				return true
			}
			value, err := strconv.ParseFloat(q, 64)
			return err == nil && value > 0
		}
	}
	return false
}

func (a *API) pack(w http.ResponseWriter, body []byte) {
	z, _ := a.packers.Get().(*gzip.Writer)
	if z == nil {
		z, _ = gzip.NewWriterLevel(nil, gzip.BestSpeed) // a level that exists
	}
	z.Reset(w)
	_, _ = z.Write(body) // the client has gone: nobody to tell
	_ = z.Close()
	a.packers.Put(z)
}

// headers puts the metadata of an answer into the headers of the response.
func headers(h http.Header, meta rpc.Metadata) {
	for name, value := range meta {
		if !allowed(name) || strings.EqualFold(name, metaType) || strings.EqualFold(name, "Set-Cookie") || hasControls(value) {
			continue
		}
		h.Set(name, value)
	}
}

// allowed reports whether a service may set this header of a response. What
// frames the message, what belongs to the hop or the bus, and what the gateway
// decides for all is not the service's.
func allowed(name string) bool {
	switch l := strings.ToLower(name); l {
	case "connection", "keep-alive", "proxy-authenticate", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
		"content-length", "content-encoding", "content-type", "date", "server", "alt-svc", "strict-transport-security",
		"clear-site-data", "service-worker-allowed", "x-request-id", "traceparent", "tracestate", "baggage":
		return false
	default:
		return !gateway.Internal(l) && !strings.HasPrefix(l, "access-control-") && !strings.HasPrefix(l, "proxy-") && isToken(l)
	}
}

func hasControls(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) >= 0
}

// isToken reports whether s can be the name of a header.
func isToken(s string) bool {
	return s != "" && strings.Trim(s, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}
