package gateway_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/gateway"
)

// A browser sends Origin with scripts, fonts and writes of the page's own site. A
// plain listener that took itself for one of TLS would refuse them.
func TestAPlainListenerKnowsTheOriginOfItsOwnPages(t *testing.T) {
	g := gateway.NewBus(bustest.Start(t).Conn(t), gateway.BusConfig{})
	edge, err := gateway.NewEdge(gateway.EdgeConfig{Name: "go.micro.web"})
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan bool, 4)
	server := gateway.NewServer(g, gateway.ServerConfig{
		Service: "go.micro.web", Address: "127.0.0.1:0", Flag: "--web-address",
		Handler: edge.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.TLS != nil })),
	})
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	for origin, want := range map[string]int{
		server.URL():                   http.StatusOK,
		"https" + server.URL()[4:]:     http.StatusForbidden,
		"http://another.example":       http.StatusForbidden,
		"http://127.0.0.1.example.com": http.StatusForbidden,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL()+"/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", origin)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("a page of %s gets %d, want %d", origin, answer.StatusCode, want)
		}
	}
	if <-seen {
		t.Error("the room takes a plain request for one of TLS")
	}
}
