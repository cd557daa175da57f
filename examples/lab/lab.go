// Package lab is a service to poke at: it answers, sleeps, fails, panics, and
// streams as it is told. People use it to see what a call looks like, and tests
// to see how it ends.
package lab

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/rpc"
)

// Service is the name of the lab on the bus.
const Service = "go.micro.srv.lab"

// The messages of the lab. Their tags say what the service takes; it validates
// every request, so its methods need not.
type (
	// A SleepRequest says for how many milliseconds.
	SleepRequest struct {
		MS int64 `json:"ms" jsonschema:"minimum=0,maximum=60000"`
	}
	// A FailRequest is the error that is wanted: one of the thirteen code names,
	// and what to say.
	FailRequest struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}
	// A BigRequest says how many bytes.
	BigRequest struct {
		Bytes int `json:"bytes" jsonschema:"minimum=0,maximum=67108864"`
	}
	// A BigResponse has as many ASCII characters.
	BigResponse struct {
		Data string `json:"data"`
	}
	// A CountRequest says how far, and how many milliseconds lie between.
	CountRequest struct {
		N          int64 `json:"n"           jsonschema:"minimum=0"`
		IntervalMS int64 `json:"interval_ms" jsonschema:"minimum=0,maximum=60000"`
	}
	// A Number is one step of Lab.Count.
	Number struct {
		I int64 `json:"i"`
	}
	// A Value is one number to add.
	Value struct {
		Value float64 `json:"value"`
	}
	// A Total is what the values add up to.
	Total struct {
		Sum float64 `json:"sum"`
	}
	// A Line is what one side of a chat says.
	Line struct {
		Text string `json:"text"`
	}
	// Nothing is a message without fields.
	Nothing struct{}
)

// The contracts of the lab, for both sides.
var (
	Sleep = rpc.Method[SleepRequest, Nothing]{Service: Service, Name: "Lab.Sleep"}
	Fail  = rpc.Method[FailRequest, Nothing]{Service: Service, Name: "Lab.Fail"}
	Big   = rpc.Method[BigRequest, BigResponse]{Service: Service, Name: "Lab.Big"}
	Chat  = rpc.StreamMethod[Line, Line]{Service: Service, Name: "Lab.Chat"}
	Sum   = rpc.StreamMethod[Value, Total]{Service: Service, Name: "Lab.Sum"}
)

// Lab holds the methods of the service: its exported methods become Lab.Sleep
// and so on.
type Lab struct{}

// Sleep answers after a while, or gives up with its caller.
func (*Lab) Sleep(ctx context.Context, req *SleepRequest) (*Nothing, error) {
	return &Nothing{}, pause(ctx, req.MS)
}

// Fail fails as it is told.
func (*Lab) Fail(_ context.Context, req *FailRequest) (*Nothing, error) {
	code, ok := bus.CodeOf(req.Code)
	if !ok {
		return nil, bus.Errorf(bus.InvalidArgument, "code: %q is none of %s", req.Code, strings.Join(codes(), ", "))
	}
	text := req.Detail
	if text == "" {
		text = "as you asked"
	}
	return nil, bus.Errorf(code, "%s", text)
}

// codes are the names of all codes, in their order.
func codes() []string {
	var names []string
	for c := bus.InvalidArgument; c <= bus.DataLoss; c++ {
		names = append(names, c.String())
	}
	return names
}

// Panic panics: the caller gets an error, and the process lives on.
func (*Lab) Panic(context.Context, *Nothing) (*Nothing, error) {
	panic("the lab was asked to panic")
}

// Big answers with a string of the given length.
func (*Lab) Big(_ context.Context, req *BigRequest) (*BigResponse, error) {
	return &BigResponse{Data: strings.Repeat("x", req.Bytes)}, nil
}

// Count streams the numbers from 0 to n-1.
func (*Lab) Count(ctx context.Context, req *CountRequest, send func(*Number) error) error {
	for i := range req.N {
		if i > 0 && req.IntervalMS > 0 {
			if err := pause(ctx, req.IntervalMS); err != nil {
				return err
			}
		}
		if err := send(&Number{i}); err != nil {
			return err
		}
	}
	return nil
}

// Sum adds up what it is sent.
func (*Lab) Sum(_ context.Context, in iter.Seq2[*Value, error]) (*Total, error) {
	var total Total
	for v, err := range in {
		if err != nil {
			return nil, err
		}
		total.Sum += v.Value
	}
	return &total, nil
}

// Chat says again what it is told.
func (*Lab) Chat(_ context.Context, stream *rpc.Stream[Line, Line]) error {
	for line, err := range stream.All() {
		if err != nil {
			return err
		}
		if err := stream.Send(line); err != nil {
			return err
		}
	}
	return nil
}

// echo answers with its request, whatever it is.
func echo(_ context.Context, req *rpc.Request) (*rpc.Response, error) {
	if err := codec.Guard(req.Codec, req.Body); err != nil {
		return nil, err
	}
	return &rpc.Response{Codec: req.Codec, Body: req.Body}, nil
}

func pause(ctx context.Context, ms int64) error {
	timer := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// longest is the time that a call gets here: more than Lab.Sleep takes.
const longest = 90 * time.Second

// NewServer makes a lab on conn. cfg may leave its name and version out.
func NewServer(conn *bus.Conn, cfg rpc.ServerConfig) *rpc.Server {
	if cfg.Name == "" {
		cfg.Name = Service
	}
	if cfg.Version == "" {
		cfg.Version = "1.0.0"
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = longest
	}
	srv := rpc.NewServer(conn, cfg)
	srv.HandleRaw("Lab.Echo", echo, rpc.Describe("Answers its request, whatever JSON it is."), rpc.Idempotent())
	rpc.Register(srv, new(Lab), rpc.Validate())
	return srv
}
