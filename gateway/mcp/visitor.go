package mcp

import (
	"context"
	"net/http"
	"strconv"
	"sync"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// headerVisitor carries the number of an HTTP request through the library, which
// hands tools the headers and not the context. Whatever a client sends under this
// name is replaced.
const headerVisitor = "Mbus-Visitor"

// visitors are the HTTP requests being served, so that a call knows on whose
// behalf it is: their contexts hold the rights and the request id. There are as
// many as the listener admits.
type visitors struct {
	mu   sync.Mutex
	last uint64
	here map[string]context.Context
}

func newVisitors() *visitors { return &visitors{here: make(map[string]context.Context)} }

// enter notes a request until leave is called.
func (v *visitors) enter(r *http.Request) (_ *http.Request, leave func()) {
	v.mu.Lock()
	v.last++
	number := strconv.FormatUint(v.last, 36)
	v.here[number] = r.Context()
	v.mu.Unlock()
	r = r.Clone(r.Context())
	r.Header.Set(headerVisitor, number)
	return r, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.here, number)
	}
}

// join returns ctx with the values of the HTTP request that a message came in.
// Without one, as on standard input, ctx stays as it is; and a client that has
// left before its call began has no rights any more.
func (v *visitors) join(ctx context.Context, req *sdk.CallToolRequest) context.Context {
	extra := req.GetExtra()
	if extra == nil || extra.Header == nil {
		return ctx
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if from, ok := v.here[extra.Header.Get(headerVisitor)]; ok {
		return visit{ctx, from}
	}
	return ctx
}

// A visit ends with one context and has the values of another first.
type visit struct {
	context.Context
	from context.Context
}

// Value returns the value of the HTTP request, or else of the session.
func (v visit) Value(key any) any {
	if value := v.from.Value(key); value != nil {
		return value
	}
	return v.Context.Value(key)
}
