package api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"mime/multipart"
	"net/textproto"
	"strings"
	"testing"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/gateway/api"
	"github.com/mbus-dev/mbus/rpc"
)

// files adds a service that takes and gives bytes.
func (h *house) files(t testing.TB) {
	t.Helper()
	s := h.server("go.micro.srv.files")
	s.HandleRaw("Files.Put", func(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
		sum := sha256.Sum256(r.Body)
		text := fmt.Sprintf(`{"codec":%q,"size":%d,"sum":%q,"type":%q,"name":%q,"field":%q}`, r.Codec, len(r.Body), hex.EncodeToString(sum[:4]),
			r.Meta.Get("Media-Type"), r.Meta.Get("Filename"), r.Meta.Get("Field-Album"))
		return &rpc.Response{Codec: codec.JSON, Body: []byte(text)}, nil
	}, rpc.Note("path", "/albums/{Album}"), rpc.Note("method", "PUT"))
	rpc.Handle(s, "Files.Typed", func(_ context.Context, r *[]byte) (*[]byte, error) { return r, nil })
	s.HandleRaw("Files.Get", func(_ context.Context, r *rpc.Request) (*rpc.Response, error) {
		var ask struct {
			Size int64  `json:"size"`
			Type string `json:"type"`
		}
		if err := codec.JSON.Unmarshal(r.Body, &ask); err != nil {
			return nil, err
		}
		return &rpc.Response{Codec: codec.Raw, Body: make([]byte, ask.Size), Meta: rpc.Metadata{
			"Media-Type": ask.Type, "Content-Disposition": `attachment; filename="x"`,
		}}, nil
	}, rpc.Note("safe", "true"))
	h.serve(t, s)
}

// A part is one part of a form.
type part struct{ name, file, kind, content string }

func formOf(t testing.TB, parts ...part) (body, kind string) {
	t.Helper()
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	for _, p := range parts {
		h := textproto.MIMEHeader{}
		disposition := fmt.Sprintf(`form-data; name=%q`, p.name)
		if p.file != "" {
			disposition += fmt.Sprintf(`; filename=%q`, p.file)
		}
		h.Set("Content-Disposition", disposition)
		if p.kind != "" {
			h.Set("Content-Type", p.kind)
		}
		out, err := w.CreatePart(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write([]byte(p.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.String(), w.FormDataContentType()
}

func TestUploadsReachTheMethodAsBytes(t *testing.T) {
	b := bustest.Start(t)
	h := open(t, b, api.Config{MaxUpload: 8 << 20})
	h.files(t)
	h.greet(t)
	const put = "/go.micro.srv.files/Files.Put"
	large := strings.Repeat("0123456789abcdef", 6<<16) // 6 MiB: over the broker's limit
	sum := sha256.Sum256([]byte(large))
	sized := fmt.Sprintf(`"size":%d,"sum":"%s"`, len(large), hex.EncodeToString(sum[:4]))
	one, oneType := formOf(t, part{"Album", "", "", "Holidays"}, part{"file", "../../pic.png", "image/png", large})
	two, twoType := formOf(t, part{"a", "a.txt", "", "a"}, part{"b", "b.txt", "", "b"})
	twice, twiceType := formOf(t, part{"a", "", "", "1"}, part{"a", "", "", "2"}, part{"f", "f.txt", "", "x"})
	odd, oddType := formOf(t, part{"a b", "", "", "1"}, part{"f", "f.txt", "", "x"})
	fields, fieldsType := formOf(t, part{"name", "", "", "John"})
	over, overType := formOf(t, part{"file", "x", "", strings.Repeat("x", 8<<20+1)})
	long, longType := formOf(t, part{"name", "", "", strings.Repeat("x", 1<<20+1)})
	for _, c := range []struct {
		name, method, target, kind, body string
		status                           int
		want                             string
		calls                            int
	}{
		{"bytes", "POST", put, "application/octet-stream", "abc", 200, `{"codec":"raw","size":3,`, 1},
		{"large bytes", "POST", put, "application/octet-stream", large, 200, sized, 1},
		{"bytes of a type", "PUT", put, "image/png", "abc", 200, `"type":"image/png"`, 1},
		{"bytes over the limit", "POST", put, "application/octet-stream", strings.Repeat("x", 8<<20+1), 413, "8388608", 0},
		{"a file and a field", "POST", put, oneType, one, 200, sized + `,"type":"image/png","name":"pic.png","field":"Holidays"`, 1},
		{"two files", "POST", put, twoType, two, 400, "more than one file", 0},
		{"a field twice", "POST", put, twiceType, twice, 400, "2 times", 0},
		{"a field that is no header", "POST", put, oddType, odd, 400, "not a header name", 0},
		{"a file over the limit", "POST", put, overType, over, 413, "8388608", 0},
		{"a form cut off", "POST", put, oneType, one[:len(one)/2], 400, "did not come whole", 0},
		{"a form without a boundary", "POST", put, "multipart/form-data", one, 400, "form", 0},
		{"a file by a route", "PUT", "/albums/Summer", "image/png", "abc", 200, `"field":"Summer"`, 1},
		{"a file for a method that takes JSON", "POST", direct, oneType, one, 415, "takes no file", 0},
		{"a picture for a method that takes JSON", "POST", direct, "image/png", "abc", 415, "image/png", 0},
		{"fields in parts", "POST", direct, fieldsType, fields, 200, "Hello John", 1},
		{"too much in a field", "POST", direct, longType, long, 413, "1048576", 0},
		{"a method of bytes", "POST", "/go.micro.srv.files/Files.Typed", "application/octet-stream", large, 200, large, 1},
	} {
		got := h.do(t, c.method, c.target, c.body, "Content-Type", c.kind)
		if len(got.body) > 1<<20 && got.body != c.want {
			t.Errorf("%s: got %d bytes, which differ", c.name, len(got.body))
			continue
		}
		got.want(t, c.name, c.status, c.want, c.calls)
	}
}

func TestDownloadsKeepTheirBytesAndTheirType(t *testing.T) {
	b := bustest.Start(t)
	h := open(t, b, api.Config{})
	h.files(t)
	const get = "/go.micro.srv.files/Files.Get"
	for _, c := range []struct {
		kind, accept, want string
		size, status       int
	}{
		{"image/png", "", "image/png", 6 << 20, 200},
		{"image/png", "image/*", "image/png", 5, 200},
		{"text/html; charset=utf-8", "*/*", "text/html; charset=utf-8", 5, 200},
		{"nonsense", "", "application/octet-stream", 5, 200},
		{"image/png", "application/json", "application/json", 5, 406},
	} {
		var header []string
		if c.accept != "" {
			header = []string{"Accept", c.accept}
		}
		ask := fmt.Sprintf(`{"size":%d,"type":%q}`, c.size, c.kind)
		got := h.do(t, "POST", get, ask, append(header, "Content-Type", "application/json")...)
		if got.status != c.status || got.header.Get("Content-Type") != c.want || c.status == 200 && len(got.body) != c.size {
			t.Errorf("%s for %q: got %d, %d bytes, %v", c.kind, c.accept, got.status, len(got.body), got.header)
		}
		if c.status == 200 && (got.header.Get("Content-Disposition") == "" || got.header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(got.header.Get("Content-Security-Policy"), "sandbox")) {
			t.Errorf("%s: got the headers %v", c.kind, got.header)
		}
	}
}

func TestUploadsAtOnceAreBounded(t *testing.T) {
	b := bustest.Start(t)
	h := open(t, b, api.Config{MaxUpload: 1 << 20})
	s := h.server("go.micro.srv.files")
	began, done := make(chan struct{}, 100), make(chan struct{})
	s.HandleRaw("Files.Hold", func(context.Context, *rpc.Request) (*rpc.Response, error) {
		began <- struct{}{}
		<-done
		return &rpc.Response{Codec: codec.JSON, Body: []byte("{}")}, nil
	})
	h.serve(t, s)
	send := func() reply {
		return h.do(t, "POST", "/go.micro.srv.files/Files.Hold", strings.Repeat("x", 900<<10), "Content-Type", "application/octet-stream")
	}
	answers := make(chan reply, 4)
	for range 4 {
		go func() { answers <- send() }()
	}
	for range 4 {
		<-began
	}
	got := send()
	if got.status != 429 || got.header.Get("Retry-After") == "" {
		t.Errorf("got %d, %s", got.status, got.body)
	}
	close(done)
	for range 4 {
		if got := <-answers; got.status != 200 {
			t.Errorf("got %d, %s", got.status, got.body)
		}
	}
	if got := send(); got.status != 200 {
		t.Errorf("afterwards: got %d, %s", got.status, got.body)
	}
}
