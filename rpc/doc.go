// Package rpc serves methods on the bus and calls them.
//
//	func greet(ctx context.Context, conn *bus.Conn) error {
//		srv := rpc.NewServer(conn, rpc.ServerConfig{Name: "go.micro.srv.greeter", Version: "1.0.0"})
//		rpc.Handle(srv, "Say.Hello", func(ctx context.Context, r *HelloRequest) (*HelloResponse, error) {
//			if r.Name == "" {
//				return nil, bus.Errorf(bus.InvalidArgument, "name is empty")
//			}
//			return &HelloResponse{Msg: "Hello " + r.Name}, nil
//		})
//		if err := srv.Start(ctx); err != nil { // or bus.Run(ctx, 10*time.Second, srv) for the life of the program
//			return err
//		}
//		defer srv.Stop(context.WithoutCancel(ctx))
//
//		client := rpc.NewClient(conn, rpc.ClientConfig{})
//		res, err := rpc.Call[HelloResponse](ctx, client, "go.micro.srv.greeter", "Say.Hello", &HelloRequest{Name: "John"})
//		if err != nil {
//			return err
//		}
//		fmt.Println(res.Msg)
//		return nil
//	}
//
// A handler is an ordinary function; [Register] takes the methods of a struct.
// Metadata and the rest of a request are in its context: [RequestFrom]. Below
// the typed functions everything is a [Request] and a [Response] with bytes,
// which is what [Middleware], [Server.HandleRaw] and [Client.Do] see. A server
// that stands in for a program whose methods it does not know has
// [Server.HandleAny].
//
// # The ends of a call
//
// A call that fails returns a *bus.Error that names service, method, instance
// and the time waited, and tells how the call ended:
//
//	end        code                   when                                                        sent again
//	Nobody     not_found              the service is here without this method; the message        no
//	                                  names its methods. Or there is no such service; the
//	                                  message names the near ones
//	Nobody     unavailable            the method exists, or the service was here in the last      yes, it was not delivered
//	                                  10 minutes, or it is an app that no sidecar serves, but
//	                                  nobody listens
//	Timeout    deadline_exceeded      no answer in time                                           only WithIdempotent
//	Timeout    unavailable            the instance that had the call was killed                   only WithIdempotent
//	Cancelled  canceled               the caller's context was canceled; the handler is told      no
//	Refused    resource_exhausted     too many calls at work there; the handler did not run       yes, within the budget
//	Refused    unavailable            the instance stops, or has just stood still                 yes, within the budget
//	Refused    permission_denied      the broker or the service denies the right                  no
//	Refused    too_large              the request is over MaxBody; it was not sent                no
//	Handler    any                    the handler ran and said no                                 no
//	Handler    internal               it returned another error, or panicked                      no
//	Handler    too_large              the server's MaxBody, or the caller's for the answer        no
//	Handler    data_loss              its answer cannot be read                                   no
//	Broker     unavailable            the broker is away                                          only WithIdempotent
//
// errors.Is(err, bus.NotFound) asks for a code, errors.Is(err, bus.Nobody) for
// an end. "Sent again" is at most three times, 5 to 50 ms apart, and never
// beyond the caller's time; ClientConfig.Retries and [WithRetries] say otherwise.
// The budget for refused calls of a service is a tenth of its answered calls and
// ten more, so that retries cannot feed an overload; that for calls without an
// answer is half of them and a hundred more. What [WithIdempotent] allows is also
// allowed for a method that is declared [Idempotent] on every instance. Such a
// call can be hedged: [WithHedge].
//
// What a handler's error becomes: a *bus.Error travels with code, message,
// status, detail and retry; an error that is or wraps a code, such as
// bus.NotFound, has that code; the errors of contexts become canceled and
// deadline_exceeded; any other error is internal, with its text as the message.
// Causes and stacks never travel: internal errors and panics are logged where
// they happen, and of a panic the caller learns only that there was one. An
// error that a handler got from another call may be returned as it is; that the
// other call was safe to repeat is not passed on, since this handler has run.
//
// # Time
//
// What travels is the time left, never a clock time. The context of a handler
// ends when its caller's time is over, at the server's cap (30 s, or the
// [TimeLimit] of the method) at the latest, when the caller gives up, when Stop
// runs out of time, and when the handler returns; context.Cause tells them
// apart. Calls made with that context have what is left of it. A request whose
// time is over is refused before its handler begins.
//
// # Validation
//
// A request is decoded as encoding/json would: what is missing is zero, what is
// unknown is ignored. [Strict] refuses unknown fields, and [Validate], or
// ServerConfig.Validate for all methods, checks requests against the JSON Schema
// of their type before the handler sees them. The schema takes its bounds from
// jsonschema tags, and is the one that callers can read:
//
//	type Order struct {
//		Name  string  `json:"name"  jsonschema:"required,minLength=1"`
//		Price float64 `json:"price" jsonschema:"minimum=0,maximum=10"`
//	}
//
// # Headers
//
// A request without any header is a complete JSON call. All of these are
// optional; frames carry the same as metadata and fields.
//
//	header                    on       meaning                                      absent means
//	Content-Type              both     codec of the body                            application/json
//	Mbus-Timeout              request  milliseconds left                            the server's cap
//	Mbus-Id                   request  names the call: Request.ID                   no name
//	Mbus-Conn                 request  token of the caller: who gives up says so    the call cannot be given up
//	                                   on mbus.cancel.<token>
//	Mbus-Attempt              request  count of tries, from 1                       1
//	Mbus-From                 request  the caller's service, unverified             unknown
//	Mbus-Depth                request  how many calls this one stands in            0
//	traceparent, tracestate,  request  the trace; passed on by itself               no trace
//	baggage
//	any other                 both     metadata; passed on only if listed in        none
//	                                   ClientConfig.Forward
//	Nats-Service-Error,       reply    an error: message, HTTP number, code name,   an answer
//	Nats-Service-Error-Code,           may it be tried again
//	Mbus-Error, Mbus-Retry
//
// A header that steers a call must be there once; other spellings of these names
// are neither obeyed nor passed on. More than 64 headers, or 16 KiB of them, are
// too_large.
//
// The body of a cancel is what names the call: its Mbus-Id, or a frame of type
// cancel with the call's sequence number. It is published when the caller gives
// up, and again 25 and 250 ms later, because a server listens only once a
// handler looks at the end of its context.
//
// # Spelling and codec
//
// The first call of a service goes out plainly, as JSON. Meanwhile the client
// asks all instances with $SRV.PING whether they speak frames; from then on, if
// all do, calls are frames, and msgpack where both types allow it. An instance
// that comes up, and a new connection, make it ask again. Services that are not
// made with mbus are found by their ADR-32 name and called plainly on their own
// subjects. Protobuf messages on both sides travel as protobuf, bytes as they
// are.
//
// A server answers in the spelling it was asked in, and in the codec it was
// asked in unless the answer's type cannot be carried so: then as JSON, or as
// bytes.
//
// # Choice of instance
//
// The bus chooses. With ClientConfig.Selector the client does, for calls and for
// streams: package discovery/selector has the strategies, the filters, and who is left
// out because it does not answer. For the first call of a service it opens a
// discovery.View of it; until that has its first snapshot, but for 100 ms at
// most, calls wait, and after that the bus chooses meanwhile. Filters are never
// passed over: with them calls wait for up to a second and then fail, as
// unavailable. Selector.Wait sets another time for both. Client.Close ends the Views.
//
// Where nobody listens at the chosen instance, the call goes to another one at
// once, and after eight of them to the bus. Tries and copies of one call go to
// different instances as long as there are any. If no instance passes the
// filters the call ends as nobody: not_found, or unavailable if one passed in the
// last ten minutes, and the message says what there is in their place. A call
// [WithNode] is not asked about, and a service that is not made with mbus is
// called as without a selector, if all its instances pass the filters.
//
// # Bounds
//
//	what                                     bound                        at the bound
//	calls at work in a server                Concurrency, 1024            refused with resource_exhausted; the Debug methods have 16 more
//	a request, an answer                     the broker's, 1 MiB          too_large
//	calls within calls                       16 deep                      resource_exhausted: services call each other in a circle
//	services a client keeps facts about      1024                         others are called plainly
//	instances of a service to choose from    10,000, 64 MiB               later ones are not chosen
//	services with a Selector                 1024                         the bus chooses; with filters unavailable
//	instances a call remembers to avoid      16                           further ones are not avoided
//	instances called at once by CallAll      64                           the rest wait
//	callers a server hears giving up         1024                         calls of others run to their deadline
//	a search for why nobody listens          500 ms, one for all          the error says less
//
// A request whose reply subject is missing, or does not begin with "_", is
// dropped and counted before its handler runs: no one could be answered, or the
// answer would go where the caller may not publish.
//
// # The server's own methods
//
// Debug.Health answers {"status":"ok"}, Debug.Stats the counters of instance and
// process, Debug.Schema the JSON Schemas that announcements name by hash. A
// service may register these names itself.
//
// Debug.Drain takes one instance, which the call has to name, out of rotation with
// {"drain":true} and puts it back with {"drain":false}:
//
//	state        calls for any instance   calls that name it, streams   Debug.Health   ends by
//	in rotation  served                   served                        ok             Debug.Drain, Stop
//	out          of others                served                        draining       Debug.Drain, Stop
//	stopping     of others                those that were sent before   draining
//
// The answer comes once the change is complete. No call is lost by it, and the
// state outlives the connection, but not the server.
package rpc
