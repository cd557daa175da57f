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

// count sends the numbers below N.
func count(_ context.Context, m *message, send func(*message) error) error {
	for n := range m.N {
		if err := send(&message{n}); err != nil {
			return err
		}
	}
	return nil
}
