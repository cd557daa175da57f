package main

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mbus-dev/mbus/embedded"
)

// TestEveryContenderDoesWhatItIsMeasuredAt has each contender answer a few
// calls and deliver a stream or some events; the calls themselves check what
// comes back.
func TestEveryContenderDoesWhatItIsMeasuredAt(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	node, err := embedded.Start(ctx, embedded.Config{Listen: "127.0.0.1:0", NoJetStream: true})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(node.Stop)
	for _, c := range slices.Concat(callers(), publishers(), yielders(), gateways(), locals()) {
		t.Run(c.name, func(t *testing.T) {
			if c.program != nil {
				t.Skip("it is another program")
			}
			address := ""
			if c.serve != nil {
				at, stop, err := c.serve(ctx, node.URL())
				if err != nil {
					t.Fatal(err)
				}
				defer stop()
				address = at
			}
			if c.front != nil {
				at, stop, err := c.front(ctx, node.URL())
				if err != nil {
					t.Fatal(err)
				}
				defer stop()
				address = at
			}
			if c.events {
				address = "1"
			}
			client, err := c.dial(ctx, node.URL(), address)
			if err != nil {
				t.Fatal(err)
			}
			defer client.close()
			if !c.events {
				for _, size := range []int{small, medium, large} {
					if err := client.call(size)(ctx); err != nil {
						t.Errorf("a call of %d bytes: %v", size, err)
					}
				}
			}
			if c.events || c.streams == "" {
				for range 2 {
					if err := client.transfer(ctx, small, 300); err != nil {
						t.Errorf("a transfer: %v", err)
					}
				}
			}
		})
	}
}

func TestAProgramThatIsNotThereSaysWhatBuildsIt(t *testing.T) {
	if _, err := sibling(withGoMicro); err == nil || !strings.Contains(err.Error(), "make bench") {
		t.Errorf("beside a test there is %s: %v", withGoMicro, err)
	}
}

func TestACallThatBringsBackSomethingElseFails(t *testing.T) {
	if err := checked(3, 4, nil); err == nil {
		t.Error("3 bytes instead of 4 went well")
	}
	if err := arrived(3, 4, nil); err == nil {
		t.Error("3 messages instead of 4 went well")
	}
}
