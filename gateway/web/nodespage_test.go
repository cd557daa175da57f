package web_test

import (
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/gateway/web"
	"github.com/mbus-dev/mbus/rpc"
)

// The page of a node says of its calls what the page of its service says.
func TestAFailingEndpointFailsOnThePageOfItsNodeToo(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, web.Config{})
		h.greet(t)
		h.live(t, "services")
		client := rpc.NewClient(h.conn, rpc.ClientConfig{})
		for range 100 {
			_, _ = rpc.Call[HelloResponse](t.Context(), client, greeter, "Say.Hello", &HelloRequest{}) // refused for want of a name
			time.Sleep(200 * time.Millisecond)
		}
		type answer struct {
			Nodes     []struct{ ID string }
			Endpoints []struct {
				Name    string
				Percent *float64 `json:"error_percent"`
			}
		}
		id := page[answer](t, h, "/services/"+greeter).Nodes[0].ID
		for _, path := range []string{"/services/" + greeter, "/nodes/" + id} {
			for _, e := range page[answer](t, h, path).Endpoints {
				if e.Name == "Say.Hello" && (e.Percent == nil || *e.Percent != 100) {
					t.Errorf("%s: %s of the calls fail, want all", path, show(e.Percent))
				}
			}
		}
	})
}
