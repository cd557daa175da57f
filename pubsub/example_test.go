package pubsub_test

import (
	"context"
	"fmt"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/embedded"
	"github.com/mbus-dev/mbus/pubsub"
)

type User struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// UserCreated is what publishers and subscribers of the topic share.
var UserCreated = pubsub.Topic[User]{Name: "user.created"}

// connect starts a broker in this process, in place of one that is there.
func connect(ctx context.Context) (conn *bus.Conn, stop func()) {
	node, err := embedded.Start(ctx, embedded.Config{Listen: "127.0.0.1:0", Ephemeral: true})
	if err != nil {
		panic(err)
	}
	return node.Conn(), func() { _ = node.Stop(ctx) }
}

func ExampleSubscribe() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, stop := connect(ctx)
	defer stop()

	sub := pubsub.Subscribe(conn, "user.*", func(_ context.Context, e *pubsub.Event[User]) error {
		fmt.Println(e.Topic, e.Value.Name)
		return nil
	}, pubsub.WithGroup("mailer"))
	if err := sub.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	if err := pubsub.Publish(ctx, conn, "user.created", User{ID: "1", Name: "John"}, pubsub.WithConfirm()); err != nil {
		fmt.Println(err)
	}
	if err := sub.Stop(ctx); err != nil { // finishes what has arrived
		fmt.Println(err)
	}
	// Output: user.created John
}

func ExampleChan() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, stop := connect(ctx)
	defer stop()

	users := make(chan User)
	sub, err := pubsub.Chan(ctx, conn, "user.created", users)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = sub.Stop(ctx) }()
	if err := pubsub.Publish(ctx, conn, "user.created", User{ID: "1", Name: "John"}); err != nil {
		fmt.Println(err)
	}
	fmt.Println((<-users).Name)
	// Output: John
}

func ExampleTopic() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, stop := connect(ctx)
	defer stop()

	users := make(chan User)
	sub, err := UserCreated.Chan(ctx, conn, users)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = sub.Stop(ctx) }()
	if err := UserCreated.Publish(ctx, conn, User{ID: "1", Name: "Jane"}); err != nil {
		fmt.Println(err)
	}
	fmt.Println((<-users).Name)
	// Output: Jane
}
