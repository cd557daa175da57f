//go:build unix

package browsertest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/pubsub"
	"github.com/mbus-dev/mbus/rpc"
)

// A demo is a node with the greeter and the lab, a crowd of twelve, and somebody
// who calls them and publishes events, so that there is something to see. The
// tests that change nothing share it.
type demo struct {
	addresses
	node, crowd *process
	conn        *bus.Conn
	cancel      context.CancelFunc
	busy        sync.WaitGroup
}

const (
	greeter = "go.micro.srv.greeter"
	labName = "go.micro.srv.lab"
)

func startDemo() (*demo, error) {
	d := &demo{}
	var err error
	if d.node, d.addresses, err = run("node", "--demo", "--ephemeral", "--listen", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	if d.crowd, err = launch(crowd, []string{"MBUS_URL=" + d.Bus}, "--services", "12", "--seed", "5", "--rate", "40"); err != nil {
		d.stop()
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	if d.conn, err = bus.Connect(ctx, bus.Config{URL: d.Bus, Name: "shop"}); err != nil {
		d.stop()
		return nil, err
	}
	d.busy.Go(func() { d.visit(ctx) })
	return d, nil
}

// visit calls and publishes until ctx ends. Some calls fail: that is what they
// are for.
func (d *demo) visit(ctx context.Context) {
	client := rpc.NewClient(d.conn, rpc.ClientConfig{From: "go.micro.api.shop", Retries: new(0)})
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		_, _ = rpc.Call[map[string]any](ctx, client, greeter, "Say.Hello", map[string]string{"name": "John"})
		if i%4 == 0 {
			_, _ = rpc.Call[map[string]any](ctx, client, labName, "Lab.Sleep", map[string]int{"ms": 5 + i%40})
		}
		if i%20 == 0 {
			_, _ = rpc.Call[map[string]any](ctx, client, labName, "Lab.Fail", map[string]string{"code": "conflict", "detail": "order 17 is paid"})
			_ = pubsub.Publish(ctx, d.conn, "user.created", map[string]any{"id": i, "name": fmt.Sprintf("user-%d", i)})
		}
		if i%50 == 0 {
			_ = pubsub.Publish(ctx, d.conn, "orders.eu.paid", map[string]any{"order": 1000 + i, "amount": "12.50"})
		}
	}
}

func (d *demo) stop() {
	if d.cancel != nil {
		d.cancel()
		d.busy.Wait()
	}
	if d.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_ = d.conn.Close(ctx)
		cancel()
	}
	for _, p := range []*process{d.crowd, d.node} {
		if p != nil {
			p.kill()
		}
	}
}

// demoWeb is where the dashboard of the demo is.
func demoWeb(t testing.TB) string {
	t.Helper()
	need(t)
	return lab.demo.Web
}

// settledWeb is demoWeb once no service is starting and the lab's failures show:
// from then on the order of the rows stays.
func settledWeb(t testing.TB) string {
	t.Helper()
	url := demoWeb(t)
	for until := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		var page struct {
			Totals struct{ Services, Starting, Degraded int }
		}
		if err := getJSON(t.Context(), url+"/services", &page); err != nil {
			t.Fatal(err)
		}
		if page.Totals.Services >= 20 && page.Totals.Starting == 0 && page.Totals.Degraded > 0 {
			return url
		}
		if time.Now().After(until) {
			t.Fatalf("the demo does not settle: %+v", page.Totals)
		}
	}
}

func getJSON(ctx context.Context, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	return json.NewDecoder(res.Body).Decode(into)
}
