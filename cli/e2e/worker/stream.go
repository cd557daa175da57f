package main

import (
	"context"

	"github.com/mbus-dev/mbus/rpc"
)

type message struct {
	N int `json:"n"`
}

// echo sends back whatever comes.
func echo(_ context.Context, s *rpc.Stream[message, message]) error {
	for m, err := range s.All() {
		if err != nil {
			return err
		}
		if err := s.Send(m); err != nil {
			return err
		}
	}
	return nil
}

// A span asks for the numbers below N, one of which may be left out.
type span struct {
	N    int `json:"n"`
	Skip int `json:"skip"`
}

// count sends the numbers of a span. Skip 0 leaves out none.
func count(_ context.Context, s *span, send func(*message) error) error {
	for n := range s.N {
		if n == s.Skip && n > 0 {
			continue
		}
		if err := send(&message{n}); err != nil {
			return err
		}
	}
	return nil
}
