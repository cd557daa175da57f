package bind_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/mbus-dev/mbus/embedded/bind"
)

func ExampleResolve() {
	for _, text := range []string{"127.0.0.1:8080", ":8080", "nowhere"} {
		a, err := bind.Resolve(context.Background(), "--api-address", text)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(a.Host, a.Port, "loopback:", a.Loopback())
	}
	// Output:
	// 127.0.0.1 8080 loopback: true
	// 0.0.0.0 8080 loopback: false
	// --api-address wants HOST:PORT, not "nowhere"
}

func ExampleAddress_Listen() {
	ctx := context.Background()
	free, _ := bind.Resolve(ctx, "--api-address", "127.0.0.1:0")
	l, err := free.Listen(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = l.Close() }()
	taken, _ := bind.Resolve(ctx, "--api-address", l.Addr().String())
	_, err = taken.Listen(ctx)
	_, ok := errors.AsType[*bind.InUseError](err)
	fmt.Println(ok)
	// Output: true
}
