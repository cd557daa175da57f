package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"

	"github.com/mbus-dev/mbus/gateway"
)

//go:embed app
var embedded embed.FS

const (
	shellFile  = "shell.html"
	assetsPath = "/-/a/"
)

// assets are the files of the app. The embedded ones are below one hash of them
// all, so that modules import each other relatively and everything is kept for
// ever.
type assets struct {
	hash  string
	files map[string]asset
	shell *template.Template
	disk  fs.FS // of those who change the files; nil: the embedded ones
}

type asset struct {
	kind         string
	worker       bool   // it may run as a worker
	plain, small []byte // small is gzip's, nil if that is no smaller
}

// loadAssets reads the embedded files, or prepares to read disk anew each time.
func loadAssets(disk fs.FS) (*assets, error) {
	if disk != nil {
		a := &assets{hash: "disk", disk: disk}
		_, err := a.template()
		return a, err
	}
	files, err := fs.Sub(embedded, "app")
	if err != nil {
		return nil, err
	}
	a := &assets{files: make(map[string]asset)}
	sum := sha256.New()
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(sum, "%s %d\n%s", name, len(body), body) // a hash takes everything
		if name != shellFile {
			a.files[name], err = newAsset(name, body)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	a.hash = hex.EncodeToString(sum.Sum(nil))[:12]
	a.shell, err = parseShell(files)
	return a, err
}

func newAsset(name string, body []byte) (asset, error) {
	f := asset{kind: kindOf(name), worker: mayRun(name), plain: body}
	if strings.HasPrefix(f.kind, "font/") {
		return f, nil
	}
	var small bytes.Buffer
	z, err := gzip.NewWriterLevel(&small, gzip.BestCompression)
	if err != nil {
		return f, err
	}
	if _, err := z.Write(body); err != nil {
		return f, err
	}
	if err := z.Close(); err != nil {
		return f, err
	}
	if small.Len() < len(body) {
		f.small = small.Bytes()
	}
	return f, nil
}

// mayRun reports whether a file may be opened as a page or a worker, and needs a
// policy of its own.
func mayRun(name string) bool {
	return path.Dir(name) == "." && path.Ext(name) == ".js" || path.Ext(name) == ".svg"
}

func kindOf(name string) string {
	switch path.Ext(name) {
	case ".js", ".mjs":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".png":
		return "image/png"
	case ".woff2":
		return "font/woff2"
	case ".json":
		return "application/json"
	}
	return "text/plain; charset=utf-8"
}

func parseShell(files fs.FS) (*template.Template, error) {
	return template.ParseFS(files, shellFile)
}

// template is the frame of all pages.
func (a *assets) template() (*template.Template, error) {
	if a.disk != nil {
		return parseShell(a.disk)
	}
	return a.shell, nil
}

// base is the path below which the files are.
func (a *assets) base() string { return assetsPath + a.hash }

func (a *assets) get(name string) (asset, bool) {
	if a.disk == nil {
		f, ok := a.files[name]
		return f, ok
	}
	if !fs.ValidPath(name) || name == shellFile {
		return asset{}, false
	}
	body, err := fs.ReadFile(a.disk, name)
	return asset{kind: kindOf(name), worker: mayRun(name), plain: body}, err == nil
}

func (w *Web) serveAsset(rw http.ResponseWriter, r *http.Request) {
	f, ok := w.assets.get(r.PathValue("file"))
	if !ok || r.PathValue("hash") != w.assets.hash {
		http.Error(rw, "no such file; the program has changed, load the page again", http.StatusNotFound)
		return
	}
	keep := "max-age=31536000, immutable"
	if w.assets.disk != nil {
		keep = "no-store"
	}
	f.write(rw, r, keep)
}

// serveIcon answers what browsers ask for by themselves.
func (w *Web) serveIcon(rw http.ResponseWriter, r *http.Request) {
	f, ok := w.assets.get("icon.svg")
	if !ok {
		rw.WriteHeader(http.StatusOK) // as Micro
		return
	}
	f.write(rw, r, "max-age=86400")
}

func (f asset) write(rw http.ResponseWriter, r *http.Request, keep string) {
	h := rw.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", keep)
	h["Date"] = nil // it is the same for ever, and there are many files
	for _, name := range []string{"Referrer-Policy", gateway.HeaderRequestID, "Content-Security-Policy"} {
		h.Del(name)
	}
	if f.worker {
		h.Set("Content-Security-Policy", policy) // that of the page does not bind it
	}
	body := f.plain
	if f.small != nil {
		h.Set("Vary", "Accept-Encoding")
		if acceptsGzip(r) {
			h.Set("Content-Encoding", "gzip")
			body = f.small
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = rw.Write(body) // the client has gone: nobody to tell
	}
}

// acceptsGzip reports whether a client takes gzip, as all browsers do.
func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(name, "gzip") {
			return !strings.HasPrefix(strings.ReplaceAll(weight, " ", ""), "q=0") || strings.Contains(weight, "0.")
		}
	}
	return false
}
