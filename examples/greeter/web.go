package greeter

import (
	"errors"
	"html/template"
	"net/http"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/rpc"
)

// WebService is the name of the greeter's web page: the dashboard shows it as
// "greeter".
const WebService = "go.micro.web.greeter"

// maxForm bounds the form that a browser sends.
const maxForm = 64 << 10

var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Greeter</title>
<h1>Greeter</h1>
<form method="post">
<label>Name <input name="name" value="{{.Name}}" autofocus></label>
<button>Greet</button>
</form>
{{with .Msg}}<p role="status">{{.}}</p>{{end}}
{{with .Failure}}<p role="alert">{{.}}</p>{{end}}
</html>
`))

// NewWeb makes the web page of the greeter, an HTTP app that gateways find in the
// registry: a form, and the greeting of Say.Hello. address is where it listens,
// "" a free port of this machine.
func NewWeb(conn *bus.Conn, address string, log zerolog.Logger) *gateway.App {
	client := rpc.NewClient(conn, rpc.ClientConfig{From: WebService})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { show(w, http.StatusOK, greeting{}) })
	mux.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		g := greeting{Name: r.FormValue("name")}
		status := http.StatusOK
		res, err := Hello.Call(r.Context(), client, &HelloRequest{Name: g.Name})
		if e, failed := errors.AsType[*bus.Error](err); failed {
			status, g.Failure = e.Status, e.Message
		} else {
			g.Msg = res.Msg
		}
		show(w, status, g)
	})
	return gateway.NewApp(conn, gateway.AppConfig{Name: WebService, Address: address, Handler: mux, Logger: log})
}

type greeting struct{ Name, Msg, Failure string }

func show(w http.ResponseWriter, status int, g greeting) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = page.Execute(w, g) // the browser has gone
}
