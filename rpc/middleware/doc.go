// Package middleware has what people put around calls so that trouble stays
// small: each piece is an [rpc.Middleware], made by a function, for a client or
// a server.
//
//	client := rpc.NewClient(conn, rpc.ClientConfig{Middleware: []rpc.Middleware{
//		cache.Wrap,                                    // the outermost
//		middleware.Merge(middleware.MergeConfig{}),
//		middleware.Breaker(middleware.BreakerConfig{}),
//	}})
//	srv := rpc.NewServer(conn, rpc.ServerConfig{Name: "go.micro.srv.greeter", Middleware: []rpc.Middleware{
//		middleware.Shed(middleware.ShedConfig{}),
//	}})
//
// Each configuration works as its zero value and says what that means. A piece
// keeps its state where it is made: used twice, by two clients or two servers,
// it is shared.
//
//	piece      side           refuses with                                  bound                          at the bound
//	Breaker    client         unavailable, after the rest of the time       1024 methods                   the least recently called is forgotten: closed
//	RateLimit  both           resource_exhausted, after the time until the  Keys, 1024                     the least recently used is forgotten: a full burst
//	                          next may come
//	Bulkhead   both           resource_exhausted, safe to retry             Calls 64, Waiting 0            refused, at once or after Wait
//	                                                                        1024 methods                   the least recently called is forgotten: empty
//	Shed       both           resource_exhausted, safe to retry             learnt, at most 1024 calls     refused at once
//	                                                                        1024 methods                   the least recently called is forgotten: learns again
//	Fallback   client         never                                         keeps nothing
//	Merge      both           never                                         the calls at work              none: each is some caller's
//	Cache      both           never                                         1024 entries, 16 MiB           the least recently used is forgotten
//
// # Refusals
//
// A call that is refused has not reached its handler, and its caller learns it
// as the end Refused, wherever the piece stands: errors.Is(err, bus.Refused).
// Retry says that another try is safe, or after how long. A client sends again
// what a server's middleware has refused, to whichever instance the bus chooses,
// within its budget and its time; what its own middleware has refused it does
// not, since that stands around all tries. A handler that returns the refusal of
// a call of its own passes on the code and not that another try is safe.
//
// A stream that a server's middleware refuses was accepted before that: it ends
// with the refusal as its first event, and is not opened again by itself.
//
// # Streams
//
// On the caller's side middleware sees the opening of a stream, on the server's
// side all of it. Breaker, RateLimit and Bulkhead count it as one call; Shed,
// Fallback, Merge and Cache let it pass.
//
// # Servers
//
// A server's middleware stands around its own methods too, Debug.Health among
// them. Pieces that go by method keep these apart from all others.
//
// Bulkhead with Waiting, and Merge, block: not around handlers that are
// [rpc.Inline]. A call that waits in a Bulkhead counts in the server's
// Concurrency.
//
// A caller that learns that a service speaks frames changes its codec, so that
// its first call is not like its later ones: Merge and Cache keep them apart.
package middleware
