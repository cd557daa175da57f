package api_test

import (
	"context"
	"testing"

	"github.com/mbus-dev/mbus/bus/bustest"
	"github.com/mbus-dev/mbus/gateway/api"
	"github.com/mbus-dev/mbus/rpc"
)

// A Branch is as deep as it likes.
type Branch struct {
	N    int64             `json:"n"`
	Next *Branch           `json:"next"`
	By   map[string]Branch `json:"by"`
}

// sum is that of all numbers in b.
func (b *Branch) sum() int64 {
	if b == nil {
		return 0
	}
	n := b.N + b.Next.sum()
	for _, one := range b.By {
		n += one.sum()
	}
	return n
}

func TestAFieldIsOfItsTypeHoweverDeepItIs(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		h := open(t, b, api.Config{})
		s := h.server("go.micro.srv.tree")
		rpc.Handle(s, "Tree.Sum", func(_ context.Context, in *Branch) (*Count, error) { return &Count{N: in.sum()}, nil }, rpc.Note("safe", "true"))
		h.serve(t, s)
		const path, fields = "/go.micro.srv.tree/Tree.Sum", "n=1&next[n]=2&next[next][next][next][next][n]=4&by[a][by][b][next][by][c][n]=8"
		h.do(t, "GET", path+"?"+fields, "").want(t, "a query", 200, `{"n":15}`, 1)
		h.do(t, "POST", path, fields, "Content-Type", "application/x-www-form-urlencoded").want(t, "a form", 200, `{"n":15}`, 1)
		h.do(t, "GET", path+"?next[next][next][next][n]=x", "").want(t, "no number", 400, "is no int64", 0)
	})
}
