package wire_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/mbus-dev/mbus/bus/wire"
)

func ExampleEscape() {
	fmt.Println(wire.Escape("go.micro.srv.greeter"))
	fmt.Println(wire.Escape("go.micro.srv.my_greeter"))
	fmt.Println(wire.Unescape("go_micro_srv_my__greeter"))
	// Output:
	// go_micro_srv_greeter
	// go_micro_srv_my__greeter
	// go.micro.srv.my_greeter true
}

func ExampleEscapeID() {
	fmt.Println(wire.EscapeID("10.0.0.1:8080"))
	fmt.Println(wire.UnescapeID("10_2e0_2e0_2e1_3a8080"))
	// Output:
	// 10_2e0_2e0_2e1_3a8080
	// 10.0.0.1:8080 true
}

func ExampleCheckService() {
	fmt.Println(wire.CheckService("go.micro.srv.greeter"))
	fmt.Println(wire.CheckService("go.micro._srv"))
	// Output:
	// <nil>
	// service name "go.micro._srv": token starts with '_'
}

func ExampleCheckPattern() {
	fmt.Println(wire.CheckPattern("user.*.created"))
	fmt.Println(wire.CheckPattern(">"))
	// Output:
	// <nil>
	// pattern ">": first token is the wildcard ">"; name the first token, one subscription for each
}

func ExampleCallSubject() {
	fmt.Println(wire.CallSubject("go.micro.srv.greeter", "Say.Hello"))
	fmt.Println(wire.ParseCall("mbus.rpc.go_micro_srv_greeter.Say.Hello"))
	// Output:
	// mbus.rpc.go_micro_srv_greeter.Say.Hello
	// go.micro.srv.greeter Say.Hello true
}

func ExampleParseAnnounce() {
	fmt.Println(wire.ParseAnnounce("mbus.announce.go_micro_srv_greeter.abc.up"))
	// Output: go.micro.srv.greeter abc up true
}

func ExampleFormatTimeout() {
	fmt.Println(wire.FormatTimeout(1500 * time.Microsecond))
	fmt.Println(wire.ParseTimeout("5000"))
	// Output:
	// 2
	// 5s <nil>
}

func ExampleRetryAfter() {
	fmt.Println(wire.RetryNever, wire.RetrySafe, wire.RetryAfter(2*time.Second))
	// Output: never safe after=2000
}

func ExampleParseFrame() {
	body := wire.AppendFrame(nil, &wire.Frame{
		Type:    wire.FrameCall,
		Seq:     7,
		Codec:   wire.CodecJSON,
		Timeout: 5 * time.Second,
		Meta:    []wire.Pair{{Key: wire.HeaderFrom, Value: "go.micro.api"}},
		Payload: []byte(`{"name":"John"}`),
	})
	f, err := wire.ParseFrame(body)
	fmt.Println(f.Type, f.Seq, f.Timeout, f.Get(wire.HeaderFrom), string(f.Payload), err)

	_, err = wire.ParseFrame([]byte{wire.Magic, 2, 1, 0})
	fmt.Println(err, errors.Is(err, wire.ErrVersion))
	// Output:
	// call 7 5s go.micro.api {"name":"John"} <nil>
	// unknown frame version 2, want 1 true
}

func ExampleParseErrorFrame() {
	body := wire.AppendErrorFrame(nil, &wire.ErrorFrame{Seq: 7, Status: 404, Code: "not_found", Message: "no such user"})
	e, err := wire.ParseErrorFrame(body)
	fmt.Println(e.Seq, e.Status, e.Code, e.Message, e.Retry, err)
	// Output: 7 404 not_found no such user never <nil>
}
