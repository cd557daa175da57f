package live_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/embedded"
	"github.com/mbus-dev/mbus/gateway"
	"github.com/mbus-dev/mbus/gateway/live"
	"github.com/mbus-dev/mbus/rpc"
)

func Example() {
	ctx, conn, stop := connect()
	defer stop()

	type Range struct {
		N int `json:"n"`
	}
	type Number struct {
		I int `json:"i"`
	}
	srv := rpc.NewServer(conn, rpc.ServerConfig{Name: "go.micro.srv.lab"})
	rpc.HandleServerStream(srv, "Lab.Count", func(_ context.Context, req *Range, send func(*Number) error) error {
		for i := range req.N {
			if err := send(&Number{I: i}); err != nil {
				return err
			}
		}
		return nil
	})
	if err := srv.Start(ctx); err != nil {
		log.Fatal(err)
	}
	defer srv.Stop(ctx)

	talks := live.New(gateway.NewBus(conn, gateway.BusConfig{}), live.Config{})
	defer talks.Stop(ctx)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		talks.ServeStream(w, r, &rpc.Request{
			Service: "go.micro.srv.lab", Method: "Lab.Count", Meta: gateway.Metadata(r), Body: []byte(`{"n":2}`),
		})
	}))
	defer web.Close()

	for _, accept := range []string{"application/x-ndjson", "text/event-stream"} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, web.URL, nil)
		if err != nil {
			log.Fatal(err)
		}
		req.Header.Set("Accept", accept)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			log.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			log.Fatal(err)
		}
		_ = res.Body.Close()
		fmt.Println(strings.ReplaceAll(strings.TrimSpace(string(body)), "\n\n", "\n"))
	}
	// Output:
	// {"i":0}
	// {"i":1}
	// retry: 2000
	// id: 1
	// data: {"i":0}
	// id: 2
	// data: {"i":1}
	// event: end
	// data: {"reason":"done"}
}

func ExampleServer_ServeEvents() {
	ctx, conn, stop := connect()
	defer stop()
	talks := live.New(gateway.NewBus(conn, gateway.BusConfig{}), live.Config{})
	defer talks.Stop(ctx)
	web := httptest.NewServer(http.HandlerFunc(talks.ServeEvents))
	defer web.Close()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, web.URL+"?topic=user.*", nil)
	if err != nil {
		log.Fatal(err)
	}
	events, err := http.DefaultClient.Do(req) // as curl -N does
	if err != nil {
		log.Fatal(err)
	}
	defer events.Body.Close()
	res, err := http.Post(web.URL+"?topic=user.created", "application/json", strings.NewReader(`{"id":1}`))
	if err != nil {
		log.Fatal(err)
	}
	_ = res.Body.Close()
	fmt.Println(res.Status)

	lines := bufio.NewScanner(events.Body)
	for lines.Scan() {
		if lines.Text() != "" {
			fmt.Println(lines.Text())
		}
		if strings.HasPrefix(lines.Text(), "data:") {
			return
		}
	}
	// Output:
	// 202 Accepted
	// retry: 2000
	// : listening
	// event: user.created
	// data: {"id":1}
}

// connect starts a broker in this process, in place of one that is there.
func connect() (ctx context.Context, conn *bus.Conn, stop func()) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	node, err := embedded.Start(ctx, embedded.Config{Listen: "127.0.0.1:0", Ephemeral: true})
	if err != nil {
		panic(err)
	}
	return ctx, node.Conn(), func() {
		_ = node.Stop(ctx)
		cancel()
	}
}
