package spec

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/gateway"
)

const (
	name             = "go.micro.api"
	right            = "Documents.Read"
	defaultNamespace = "go.micro.api"
	// fresh is how long a document is not looked at again.
	fresh = time.Second
	// making bounds how long a document may take: what cannot be asked for by
	// then is described as any value.
	making = 10 * time.Second
	// hostMark stands in a document where the host of the request is to be.
	hostMark = "HOST-OF-THE-GATEWAY"
)

//go:embed files
var files embed.FS

// Config configures a Spec. The zero value works.
type Config struct {
	// Namespace is that of Micro's paths. "" means "go.micro.api".
	Namespace string
	// Version is that of the program. "" means "devel".
	Version string
	// Auth says that the gateway asks for bearer tokens.
	Auth bool
}

// A Spec serves the documents. It may be used from any goroutine.
type Spec struct {
	bus     *gateway.Bus
	cfg     Config
	schemas *gateway.Schemas

	open, async, openDebug, asyncDebug document
}

// A document is one of the two, as it was when it was last made.
type document struct {
	make func(context.Context) object

	mu      sync.Mutex
	body    []byte
	looked  time.Time
	changes uint64
}

// New returns a Spec of what b sees.
func New(b *gateway.Bus, cfg Config) *Spec {
	if cfg.Namespace == "" {
		cfg.Namespace = defaultNamespace
	}
	if cfg.Version == "" {
		cfg.Version = "devel"
	}
	s := &Spec{bus: b, cfg: cfg, schemas: gateway.NewSchemas(b)}
	s.open.make = func(ctx context.Context) object { return s.openAPI(ctx, false) }
	s.openDebug.make = func(ctx context.Context) object { return s.openAPI(ctx, true) }
	s.async.make = func(ctx context.Context) object { return s.asyncAPI(ctx, false) }
	s.asyncDebug.make = func(ctx context.Context) object { return s.asyncAPI(ctx, true) }
	return s
}

// ServeHTTP answers the paths that the package documentation lists, and the files
// of the page.
func (s *Spec) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		e := bus.Errorf(bus.InvalidArgument, "%s is to be read: %s does not go here", r.URL.Path, r.Method)
		e.Status = http.StatusMethodNotAllowed
		gateway.WriteError(w, r, name, e)
		return
	}
	if r.URL.Path != "/page.js" && r.URL.Path != "/page.css" {
		if err := s.bus.MayCall(r.Context(), name, right); err != nil {
			gateway.WriteError(w, r, name, err)
			return
		}
	}
	debug := r.URL.Query().Get("debug") != ""
	switch r.URL.Path {
	case "/openapi.json":
		s.document(w, r, choose(debug, &s.openDebug, &s.open))
	case "/asyncapi.json":
		s.document(w, r, choose(debug, &s.asyncDebug, &s.async))
	case "/page.js":
		s.file(w, r, "page.js", "text/javascript; charset=utf-8")
	case "/page.css":
		s.file(w, r, "page.css", "text/css; charset=utf-8")
	case "/":
		w.Header().Set("Vary", "Accept")
		if prefersHTML(r.Header.Get("Accept")) {
			s.file(w, r, "page.html", "text/html; charset=utf-8")
			return
		}
		s.summary(w, r)
	default:
		gateway.WriteError(w, r, name, bus.Errorf(bus.NotFound, "there is nothing at %s", r.URL.Path))
	}
}

func choose[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}

// summary is the page for programs.
func (s *Spec) summary(w http.ResponseWriter, r *http.Request) {
	services := []string{}
	if view := s.bus.View(); view != nil {
		services = view.Services()
	}
	s.write(w, r, "application/json", encode(object{
		"name": "mbus", "version": s.cfg.Version, "services": services,
		"links": object{"openapi": "/openapi.json", "asyncapi": "/asyncapi.json", "call": "/{service}/{method}", "events": "/events?topic={topic}"},
	}))
}

func (s *Spec) document(w http.ResponseWriter, r *http.Request, d *document) {
	body, err := s.current(r.Context(), d)
	if err != nil {
		gateway.WriteError(w, r, name, err)
		return
	}
	host, err := json.Marshal(r.Host)
	if err != nil {
		host = []byte(`""`)
	}
	body = bytes.ReplaceAll(body, []byte(`"`+hostMark+`"`), host)
	s.write(w, r, "application/json", body)
}

// current returns a document, made anew if the bus has changed. One request makes
// it while others wait.
func (s *Spec) current(ctx context.Context, d *document) ([]byte, error) {
	view := s.bus.View()
	if view == nil {
		return nil, bus.Errorf(bus.Unavailable, "the gateway has not started yet")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.body != nil && time.Since(d.looked) < fresh {
		return d.body, nil
	}
	changes := view.Stats().Changes
	if d.body == nil || changes != d.changes {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), making)
		defer cancel()
		d.body, d.changes = encode(d.make(ctx)), changes
	}
	d.looked = time.Now()
	return d.body, nil
}

// encode writes a document with its keys in order, so that equal ones are equal
// bytes.
func encode(v object) []byte {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err) // documents are made of what JSON has
	}
	return append(body, '\n')
}

func (s *Spec) file(w http.ResponseWriter, r *http.Request, file, kind string) {
	body, err := files.ReadFile("files/" + file)
	if err != nil {
		gateway.WriteError(w, r, name, err)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	s.write(w, r, kind, body)
}

// write answers with a body that may be the one that the client has.
func (s *Spec) write(w http.ResponseWriter, r *http.Request, kind string, body []byte) {
	sum := sha256.Sum256(body)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:15]) + `"`
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("ETag", tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// prefersHTML reports whether a client asks for a page before it asks for JSON,
// as browsers do.
func prefersHTML(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		switch kind, _, _ := strings.Cut(part, ";"); strings.TrimSpace(kind) {
		case "text/html", "application/xhtml+xml":
			return true
		case "application/json", "*/*":
			return false
		}
	}
	return false
}
