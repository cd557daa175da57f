// Package pubsub publishes events and subscribes to them.
//
//	type User struct {
//		ID   string `json:"id"`
//		Name string `json:"name"`
//	}
//
//	// one side
//	err := pubsub.Publish(ctx, conn, "user.created", User{ID: "1", Name: "John"})
//
//	// the other side, one of several that share the work
//	err := bus.Run(ctx, 10*time.Second, pubsub.Subscribe(conn, "user.*",
//		func(ctx context.Context, e *pubsub.Event[User]) error {
//			fmt.Println(e.Topic, e.Value.Name)
//			return nil
//		}, pubsub.WithGroup("mailer")))
//
// A topic is a NATS subject, verbatim, and an event is its body, so every NATS
// client is a peer. What an event looks like:
//
//	part          meaning                                   absent means
//	subject       the topic                                 -
//	body          the value, encoded                        the zero value
//	Content-Type  application/json, application/msgpack,    see below
//	              application/protobuf or
//	              application/octet-stream
//
// Without a Content-Type the body is JSON, unless its first byte is one with
// which no JSON text begins: 0x80 or higher, but for 0xEF. Then it is
// MessagePack, so that maps, arrays and strings of it need no header.
//
// A topic has at most 255 bytes and no empty part between its dots. Its first
// part is not "mbus", and begins with neither "$" nor "_". In a pattern "*"
// stands for one part and ">", last, for all that follow; neither may come
// first, since such a subscription is interest in every subject of the bus: it
// would see other people's calls and hide that nobody answers them.
//
// # Guarantees
//
// An event reaches each subscriber, or one member of each group, at most once:
// whoever is not connected at that moment does not get it. Events of one
// publisher on one connection reach a subscriber in their order. A handler gets
// one event after another unless [WithConcurrency] says otherwise.
//
// Events wait for a slow handler within [WithBuffer]; beyond it the newest are
// dropped and [Subscription.Stats] counts them. What a handler returns is
// counted and logged, and the event is not delivered again; a panic counts as
// an error.
package pubsub
