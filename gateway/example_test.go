package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/mbus-dev/mbus/gateway"
)

// A room behind an edge: what may not come in never reaches it.
func Example() {
	room := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "the room sees "+r.URL.Path)
	})
	edge, err := gateway.NewEdge(gateway.EdgeConfig{Name: "go.micro.api", Origins: "https://app.example.com"})
	if err != nil {
		fmt.Println(err)
		return
	}
	door := edge.Wrap(room)
	for _, origin := range []string{"", "https://app.example.com", "https://evil.example"} {
		r := httptest.NewRequest(http.MethodGet, "http://localhost:8080//greeter//say", nil)
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		w := httptest.NewRecorder()
		door.ServeHTTP(w, r)
		fmt.Printf("%d %q\n", w.Code, w.Header().Get("Access-Control-Allow-Origin"))
	}
	// Output:
	// 200 ""
	// 200 "https://app.example.com"
	// 403 ""
}
