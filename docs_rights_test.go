package main_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/discovery"
	"github.com/mbus-dev/mbus/discovery/registrar"
	"github.com/mbus-dev/mbus/rpc"
)

// TestRightsOfThePageAreEnough gives a service, its caller and a registrar the
// rights that the operations page lists, and no others.
func TestRightsOfThePageAreEnough(t *testing.T) {
	log := &lines{}
	b := bustest.Start(t, rights(t)...)
	connect := func(user string) *bus.Conn {
		return b.Conn(t, func(c *bus.Config) { c.User, c.Password, c.Logger = user, user, zerolog.New(log) })
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()

	srv := rpc.NewServer(connect("service"), rpc.ServerConfig{Name: "go.micro.srv.hello", Version: "1.0.0"})
	rpc.Handle(srv, "Say.Hello", func(ctx context.Context, r *struct{ Wait bool }) (*struct{ Msg string }, error) {
		if r.Wait {
			<-ctx.Done() // which makes the server listen for the caller's cancel
		}
		return &struct{ Msg string }{"Hello"}, nil
	})
	reg, err := registrar.New(connect("registrar"), registrar.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []bus.Runner{reg, srv} {
		if err := r.Start(ctx); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := r.Stop(ctx); err != nil {
				t.Error(err)
			}
		}()
	}
	conn := connect("caller")
	client := rpc.NewClient(conn, rpc.ClientConfig{})
	view, err := discovery.Watch(ctx, conn, discovery.WithService("go.micro.srv.hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	<-view.Ready()
	if n := len(view.Instances("go.micro.srv.hello")); n != 1 {
		t.Errorf("the view has %d instances", n)
	}
	for _, opts := range [][]rpc.CallOption{nil, {rpc.WithNode(srv.ID())}} {
		if _, err := rpc.Call[struct{ Msg string }](ctx, client, "go.micro.srv.hello", "Say.Hello", struct{}{}, opts...); err != nil {
			t.Error(err)
		}
	}
	if _, err := rpc.Call[struct{}](ctx, client, "go.micro.srv.hello", "Say.Helo", nil); err == nil || !strings.Contains(err.Error(), "Say.Hello") {
		t.Errorf("a wrong method: %v, want the right one named", err)
	}
	calling, giveUp := context.WithCancel(ctx)
	time.AfterFunc(50*time.Millisecond, giveUp)
	_, _ = rpc.Call[struct{}](calling, client, "go.micro.srv.hello", "Say.Hello", struct{ Wait bool }{true})
	if names, err := discovery.List(ctx, conn); err != nil || len(names) != 2 {
		t.Errorf("list: %v, %v", names, err)
	}
	if services, err := discovery.Get(ctx, conn, "go.micro.srv.hello"); err != nil || len(services) != 1 || len(services[0].Endpoints[0].Response.Values) != 1 {
		t.Errorf("get: %+v, %v", services, err)
	}
	if refused := log.with("ermission"); refused != "" {
		t.Errorf("the broker has refused something:\n%s", refused)
	}
	// The control: what is not on the page is refused.
	if _, err := conn.Request(ctx, "mbus.rpc.go_micro_srv_other.Say.Hello", nil, nil); bus.AsError(err).Code != bus.PermissionDenied {
		t.Errorf("a call of another service: %v, want permission_denied", err)
	}
}

// rights turns the table of the page into users of the broker.
func rights(t *testing.T) []bustest.Option {
	t.Helper()
	var opts []bustest.Option
	list := func(cell string) *server.SubjectPermission {
		p := &server.SubjectPermission{}
		for _, subject := range codeIn(cell) {
			p.Allow = append(p.Allow, strings.ReplaceAll(subject, ".S", ".go_micro_srv_hello"))
		}
		return p
	}
	p := readPage(t, "docs/operations.md")
	for _, row := range p.table(t, "What a service may do", "") {
		opts = append(opts, bustest.WithUser(row[0], row[0], &server.Permissions{Publish: list(row[1]), Subscribe: list(row[2])}))
	}
	if len(opts) != 3 {
		t.Fatalf("the table has %d rows", len(opts))
	}
	return opts
}

// lines is a log that can be read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) with(word string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found strings.Builder
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, word) {
			found.WriteString(line)
		}
	}
	return found.String()
}
