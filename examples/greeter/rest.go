package greeter

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/rpc"
)

// NewREST makes the greeter's API as an HTTP app: the API gateway hands it
// requests as they are, below /greeter. It has the same name as the server of
// NewAPI, which takes them as messages: run one of the two.
//
//	curl localhost:8080/greeter
//	curl localhost:8080/greeter/John
func NewREST(conn *bus.Conn, address string, log zerolog.Logger) *gateway.App {
	client := rpc.NewClient(conn, rpc.ClientConfig{From: APIService})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /greeter", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"message": "Hi, this is the Greeter API"})
	})
	mux.HandleFunc("GET /greeter/{name}", func(w http.ResponseWriter, r *http.Request) {
		res, err := Hello.Call(r.Context(), client, &HelloRequest{Name: r.PathValue("name")})
		if e, failed := errors.AsType[*bus.Error](err); failed {
			answer(w, e.Status, map[string]string{"error": e.Message})
			return
		}
		answer(w, http.StatusOK, res)
	})
	return gateway.NewApp(conn, gateway.AppConfig{Name: APIService, Address: address, Handler: mux, Logger: log})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client has gone
}
