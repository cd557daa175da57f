package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/rpc"
)

// Every error has one of thirteen codes, and a handler may return any of them.
// This is what becomes of each: its name and its HTTP number are the same for
// every caller, and in Go errors.Is finds the code and how the call ended. Two
// codes end as a refusal when the handler says that another try is safe, because
// that means that it has not done anything; two always do, because they speak of
// rights; and time that is over is a timeout, whoever noticed.
func TestEachCodeIsTheSameForEveryCaller(t *testing.T) {
	for _, row := range []struct {
		code     bus.Code
		name     string
		http     int
		end      bus.End // of the call
		endRetry bus.End // of the call, if the handler adds that a retry is safe
	}{
		{bus.InvalidArgument, "invalid_argument", 400, bus.Handler, bus.Handler},
		{bus.Unauthenticated, "unauthenticated", 401, bus.Refused, bus.Refused},
		{bus.PermissionDenied, "permission_denied", 403, bus.Refused, bus.Refused},
		{bus.NotFound, "not_found", 404, bus.Handler, bus.Handler},
		{bus.Conflict, "conflict", 409, bus.Handler, bus.Handler},
		{bus.TooLarge, "too_large", 413, bus.Handler, bus.Handler},
		{bus.ResourceExhausted, "resource_exhausted", 429, bus.Handler, bus.Refused},
		{bus.Canceled, "canceled", 499, bus.Handler, bus.Handler},
		{bus.Internal, "internal", 500, bus.Handler, bus.Handler},
		{bus.Unimplemented, "unimplemented", 501, bus.Handler, bus.Handler},
		{bus.Unavailable, "unavailable", 503, bus.Handler, bus.Refused},
		{bus.DeadlineExceeded, "deadline_exceeded", 504, bus.Timeout, bus.Timeout},
		{bus.DataLoss, "data_loss", 500, bus.Handler, bus.Handler},
	} {
		t.Run(row.name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				conn := b.Conn(t)
				s := newGreeter(conn)
				rpc.Handle(s, "Say.Fail", func(_ context.Context, r *HelloRequest) (*HelloResponse, error) {
					e := bus.Errorf(row.code, "because of %s", r.Name)
					e.Detail = []byte(`{"try":"Jack"}`)
					if r.Name == "a moment" {
						e.Retry = bus.RetryAfter(1500 * time.Millisecond)
					}
					return nil, e
				})
				serve(t, s)
				far := rpc.NewClient(b.Conn(t), rpc.ClientConfig{Retries: new(0)})
				near := rpc.NewClient(conn, rpc.ClientConfig{Retries: new(0), Local: []*rpc.Server{s}})
				for _, because := range []struct {
					name  string
					end   bus.End
					retry bus.Retry
					said  string
				}{
					{"John", row.end, bus.RetryNever, "never"},
					{"a moment", row.endRetry, bus.RetryAfter(1500 * time.Millisecond), "after=1500"},
				} {
					// A program in Go: plainly, in a frame, and without the broker.
					for _, client := range []*rpc.Client{far, far, near} {
						_, err := rpc.Call[HelloResponse](bustest.Context(t), client, greeter, "Say.Fail", &HelloRequest{Name: because.name})
						if !errors.Is(err, row.code) || !errors.Is(err, because.end) {
							t.Errorf("got %v; want the code %v and the end %v", err, row.code, because.end)
						}
						e := failure(t, err)
						if e.Status != row.http || e.Message != "because of "+because.name || string(e.Detail) != `{"try":"Jack"}` || e.Retry != because.retry {
							t.Errorf("got status %d, message %q, detail %s, retry %v", e.Status, e.Message, e.Detail, e.Retry)
						}
						if e.Service != greeter || e.Method != "Say.Fail" {
							t.Errorf("got %s.%s", e.Service, e.Method)
						}
						time.Sleep(time.Second)
					}
					// A NATS client that knows nothing of mbus.
					m := ask(t, b.Conn(t), "mbus.rpc.go_micro_srv_greeter.Say.Fail", nil, fmt.Sprintf(`{"name":%q}`, because.name))
					for header, want := range map[string]string{
						"Nats-Service-Error": "because of " + because.name, "Nats-Service-Error-Code": fmt.Sprint(row.http),
						"Mbus-Error": row.name, "Mbus-Retry": because.said,
					} {
						if got := m.Header.Get(header); got != want {
							t.Errorf("%s: got %q, want %q", header, got, want)
						}
					}
					if string(m.Data) != `{"try":"Jack"}` {
						t.Errorf("the body is %q, want the detail", m.Data)
					}
				}
			})
		})
	}
}

// What is not a *bus.Error gets a code too, and a number outside the list keeps
// itself beside the code of its class.
func TestEveryErrorOfAHandlerHasACode(t *testing.T) {
	for _, row := range []struct {
		name string
		err  error
		code bus.Code
		end  bus.End
		http int
	}{
		{"any error", errors.New("out of words"), bus.Internal, bus.Handler, 500},
		{"a code alone", bus.NotFound, bus.NotFound, bus.Handler, 404},
		{"words around a code", fmt.Errorf("no John here: %w", bus.NotFound), bus.NotFound, bus.Handler, 404},
		{"one that wraps", fmt.Errorf("ask: %w", bus.Errorf(bus.Conflict, "no")), bus.Conflict, bus.Handler, 409},
		{"a context that was cancelled", context.Canceled, bus.Canceled, bus.Handler, 499},
		{"a context whose time is over", context.DeadlineExceeded, bus.DeadlineExceeded, bus.Timeout, 504},
		{"a number of its own", &bus.Error{Code: bus.InvalidArgument, Status: 418, Message: "a teapot"}, bus.InvalidArgument, bus.Handler, 418},
	} {
		t.Run(row.name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				s := newGreeter(b.Conn(t))
				rpc.Handle(s, "Say.Hello", func(context.Context, *HelloRequest) (*HelloResponse, error) { return nil, row.err })
				serve(t, s)
				client := rpc.NewClient(b.Conn(t), rpc.ClientConfig{Retries: new(0)})
				for range 2 {
					e := wantError(t, sayHello(bustest.Context(t), client), row.code, row.end)
					if e.Status != row.http {
						t.Errorf("got status %d, want %d", e.Status, row.http)
					}
					time.Sleep(time.Second)
				}
			})
		})
	}
}

// A talk opens a stream and waits for a word that does not come.
type talk func(context.Context, *rpc.Client) error

// A stream ends in the same six ways as a call, or well.
func TestEachEndOfAStreamIsToldApart(t *testing.T) {
	for _, row := range []struct {
		name string
		end  bus.End
		code bus.Code
		ask  func(t *testing.T, b *bustest.Bus, client *rpc.Client, chat talk) error
	}{
		{"nobody: no one serves it", bus.Nobody, bus.NotFound, func(t *testing.T, _ *bustest.Bus, client *rpc.Client, _ talk) error {
			_, err := rpc.OpenStream[Text, Text](bustest.Context(t), client, "nobody", "Lab.Chat")
			return err
		}},
		{"timeout: the caller's time is over", bus.Timeout, bus.DeadlineExceeded, func(t *testing.T, _ *bustest.Bus, client *rpc.Client, chat talk) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return chat(ctx, client)
		}},
		{"cancelled: the caller gave up", bus.Cancelled, bus.Canceled, func(t *testing.T, _ *bustest.Bus, client *rpc.Client, chat talk) error {
			ctx, cancel := context.WithCancel(bustest.Context(t))
			time.AfterFunc(time.Second, cancel)
			return chat(ctx, client)
		}},
		{"refused: too many are open", bus.Refused, bus.ResourceExhausted, func(t *testing.T, _ *bustest.Bus, client *rpc.Client, chat talk) error {
			first, err := rpc.OpenStream[Text, Text](bustest.Context(t), client, lab, "Lab.Chat")
			if err != nil {
				t.Fatal(err)
			}
			defer first.Close()
			return chat(bustest.Context(t), client)
		}},
		{"handler: it said no", bus.Handler, bus.Conflict, func(t *testing.T, _ *bustest.Bus, client *rpc.Client, _ talk) error {
			stream, err := rpc.OpenStream[Text, Text](bustest.Context(t), client, lab, "Lab.Chat")
			if err == nil {
				err = stream.Send(&Text{"fail"})
			}
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		}},
		{"broker: it is away", bus.Broker, bus.Unavailable, func(t *testing.T, b *bustest.Bus, _ *rpc.Client, chat talk) error {
			link := b.Link()
			client := rpc.NewClient(b.Conn(t, link.Use), rpc.ClientConfig{Retries: new(0)})
			link.Down()
			defer link.Heal()
			time.Sleep(100 * time.Millisecond)
			return chat(bustest.Context(t), client)
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
				s := rpc.NewServer(b.Conn(t), rpc.ServerConfig{Name: lab, Streams: 1})
				rpc.Register(s, new(Lab))
				serve(t, s)
				chat := func(ctx context.Context, client *rpc.Client) error {
					stream, err := rpc.OpenStream[Text, Text](ctx, client, lab, "Lab.Chat")
					if err != nil {
						return err
					}
					_, err = stream.Recv()
					return err
				}
				err := row.ask(t, b, rpc.NewClient(b.Conn(t), rpc.ClientConfig{Retries: new(0)}), chat)
				if !errors.Is(err, row.end) || !errors.Is(err, row.code) {
					t.Errorf("got %v; want the end %v and the code %v", err, row.end, row.code)
				}
			})
		})
	}
}
