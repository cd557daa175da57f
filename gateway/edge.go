package gateway

import (
	"net/http"

	"github.com/rs/zerolog"
)

// EdgeConfig configures an Edge.
type EdgeConfig struct {
	// Name is who answers for errors that come from no call, such as
	// "go.micro.api".
	Name string
	// Logger gets the access log, at the level info. The zero value is silent.
	Logger zerolog.Logger
}

// An Edge is what stands between clients and a room.
type Edge struct{ cfg EdgeConfig }

// NewEdge returns an Edge.
func NewEdge(cfg EdgeConfig) *Edge { return &Edge{cfg: cfg} }

// Wrap returns room behind the edge.
func (e *Edge) Wrap(room http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, id := withRequestID(r)
		w.Header().Set(HeaderRequestID, id)
		room.ServeHTTP(w, r)
	})
}
