package rpc

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/nats-io/nuid"
	"github.com/rs/zerolog"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/bus/codec"
	"github.com/mbus-dev/mbus/bus/wire"
	"github.com/mbus-dev/mbus/discovery/selector"
)

const (
	defaultTimeout = 5 * time.Second
	defaultRetries = 3
)

// ClientConfig configures a Client. The zero value works.
type ClientConfig struct {
	// Timeout bounds a call whose context has no deadline. 0 means 5 s,
	// negative means no bound: then the server's own limit ends the call. Calls
	// that follow each other closely share a timer, and may get up to a
	// hundredth less.
	Timeout time.Duration
	// Retries is how many more times a call is sent when that is safe: when
	// nobody listened, or an overloaded instance turned it away. A call that
	// got no answer is sent again only if it is idempotent. Nil means 3, 0 and
	// less mean none: new(0).
	Retries *int
	// Hedge sends a second copy of an idempotent call that takes longer than
	// nineteen of twenty recent ones of its method; the first answer counts, and
	// the other copy is cancelled. At most a tenth of the calls is doubled so.
	Hedge bool
	// Batch lets calls to one method that are due at the same moment share a
	// message, and their answers too: 64 calls and 32 KiB at most, of requests up
	// to 4 KiB. With hundreds of calls in flight that multiplies what a
	// connection carries; a call that is alone goes as ever. All else stays that
	// of a call. The calls of one message go to one instance, and only to
	// services all of whose instances read batches.
	Batch bool
	// Middleware wraps every call, with all its tries; the first is the
	// outermost.
	Middleware []Middleware
	// From is the name that calls carry as their origin. "" means the service
	// whose handler is calling, if there is one.
	From string
	// Forward lists the metadata that a call made in a handler takes over from
	// the request being served, unless it sets them itself. What belongs to a
	// trace is always passed on, anything else never.
	Forward []string
	// Local lists servers of this program, on the same connection. Calls to
	// their services skip the broker; middleware, deadlines, statistics, limits
	// and encoding stay as they are. A server that is not serving, or is
	// draining, is called through the bus.
	Local []*Server
	// Selector chooses the instance of each call and each stream. The zero value
	// leaves that to the bus, which costs nothing; with one the client keeps a
	// live list of the instances of each service it calls. A call that names its
	// instance, and one to a Local server that the filters admit, is not asked
	// about. The package documentation has the rest.
	Selector selector.Config
	// ChunkAbove is the size in bytes above which a request goes in parts, so
	// that it holds up nobody else on the connection. 0 means 256 KiB; it is
	// never more than the broker takes in one message.
	ChunkAbove int
	// MaxBody is the most bytes of a message of a stream, and of a request or
	// answer that travels in parts. 0 means 64 MiB.
	MaxBody int
	// Logger gets what no caller can be told, at the level debug. The zero
	// value is silent.
	Logger zerolog.Logger
}

// A Client calls services. It may be used from any goroutine. One client for a
// connection is enough; it learns about the services that it calls.
type Client struct {
	conn  *bus.Conn
	cfg   ClientConfig
	plan  *codec.Plan
	peers *peers
	local map[string]*Server
	run   HandlerFunc // middleware around roundTrip

	token    string // where this client says that it has given up
	pairs    []wire.Pair
	seq      atomic.Uint64
	buffers  buffers
	giveUps  giveUps
	patience patience
	outgoing spareOutgoing
}

// NewClient returns a client. It panics when a Local server is on another
// connection, and when there is no such Selector.
func NewClient(conn *bus.Conn, cfg ClientConfig) *Client {
	if conn == nil {
		panic("rpc: NewClient without a connection")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if err := cfg.Selector.Check(); err != nil {
		panic("rpc: NewClient: " + err.Error())
	}
	c := &Client{conn: conn, cfg: cfg, plan: codec.PlanOf(conn), peers: newPeers(conn, cfg.Logger), token: nuid.Next(), patience: patience{conn: conn}}
	c.peers.selector = cfg.Selector
	c.pairs = []wire.Pair{{Key: wire.HeaderConn, Value: c.token}}
	if len(cfg.Local) > 0 {
		c.local = make(map[string]*Server, len(cfg.Local))
	}
	for _, s := range cfg.Local {
		if s.conn != conn {
			panic(fmt.Sprintf("rpc: NewClient: the Local server %s is on another connection", s.cfg.Name))
		}
		c.local[s.cfg.Name] = s
	}
	c.run = chain(c.roundTrip, cfg.Middleware)
	// Another client's calls have other numbers, but for a rare coincidence.
	c.seq.Store(uint64(rand.Uint32()))
	return c
}

// retries is how often a request may be sent again.
func (c *Client) retries(req *Request) int {
	switch {
	case req.Retries != nil:
		return max(0, *req.Retries)
	case c.cfg.Retries != nil:
		return max(0, *c.cfg.Retries)
	}
	return defaultRetries
}

func (c *Client) maxBody() int {
	if c.cfg.MaxBody > 0 {
		return c.cfg.MaxBody
	}
	return defaultMaxBody
}

// Close frees what the client listens to for knowledge of services. It matters
// only where the connection lives on; calls still work afterwards, plainly.
func (c *Client) Close(ctx context.Context) error { return c.peers.close(ctx) }

// Do sends a request as it is and returns the answer as it is. Service and
// Method are required; Codec is what Body is in. The typed functions are made of
// Do: what Do cannot, nobody can.
//
// The error is a *bus.Error that says how the call ended; the package
// documentation has the list.
func (c *Client) Do(ctx context.Context, req *Request) (*Response, error) {
	own := c.outgoing.get()
	own.Request = *req
	own.cancellable = ctx.Done() != nil
	if own.InParts {
		own.from.life = ctx
	}
	res, err := c.do(ctx, own, c.conn.Now())
	c.outgoing.put(own)
	return res, err
}

// do is Do for a request that began at start.
func (c *Client) do(ctx context.Context, out *outgoing, start time.Time) (*Response, error) {
	req := &out.Request
	req.origin = &out.from
	req.origin.began = start
	if err := c.begin(ctx, req); err != nil {
		return nil, c.explain(err, req, start)
	}
	if timeout := c.timeout(ctx, req); timeout > 0 {
		c.patience.limit(ctx, &out.bound, timeout, start)
		defer c.patience.release(&out.bound)
		ctx = &out.bound
	}
	res, err := c.run(ctx, req)
	if err != nil {
		return nil, c.explain(err, req, start)
	}
	if res == nil {
		res = &Response{Codec: codec.JSON} // middleware may answer so
	}
	return res, nil
}

// begin makes a request ready to be sent, or says why it must not be.
func (c *Client) begin(ctx context.Context, req *Request) error {
	if !c.peers.know(req) {
		if err := checkTarget(req); err != nil {
			return err
		}
	}
	if !req.Codec.Valid() {
		req.Codec = codec.JSON
	}
	req.Attempt = 1
	if req.origin == nil {
		req.origin = new(origin)
	}
	req.origin.tried = c.newTried()
	c.inherit(ctx, req)
	if req.depth > maxDepth {
		return tooDeep(req)
	}
	return nil
}

// timeout is the bound that ctx needs besides its own, 0 if none.
func (c *Client) timeout(ctx context.Context, req *Request) time.Duration {
	if req.Timeout > 0 {
		return req.Timeout
	}
	if _, bounded := ctx.Deadline(); bounded {
		return 0
	}
	return c.cfg.Timeout
}

// inherit takes over what the request being served, if ctx is a handler's,
// passes on.
func (c *Client) inherit(ctx context.Context, req *Request) {
	serving := RequestFrom(ctx)
	if req.From == "" {
		req.From = c.cfg.From
		if req.From == "" && serving != nil {
			req.From = serving.Service
		}
	}
	if serving == nil {
		return
	}
	req.depth = serving.depth + 1
	if len(serving.Meta) == 0 {
		return
	}
	copied := false
	take := func(name string) {
		v, ok := serving.Meta[name]
		if !ok {
			return
		}
		if _, own := req.Meta[name]; own {
			return
		}
		if !copied {
			copied = true
			if req.Meta = req.Meta.clone(); req.Meta == nil {
				req.Meta = make(Metadata)
			}
		}
		req.Meta[name] = v
	}
	// A new parent without its state, or the other way round, is no trace.
	if _, own := req.Meta[wire.HeaderTraceparent]; !own {
		take(wire.HeaderTraceparent)
		take(wire.HeaderTracestate)
	}
	take(wire.HeaderBaggage)
	for _, name := range c.cfg.Forward {
		take(name)
	}
}

// maxDepth is how many calls a call may stand in: services that call each other
// in a circle end there.
const maxDepth = 16

func tooDeep(req *Request) *bus.Error {
	e := bus.Errorf(bus.ResourceExhausted, "this call was to be the %dth inside another, and %d are allowed; services seem to call each other in a circle", req.depth, maxDepth)
	e.End = bus.Refused
	return e
}

// explain makes an error say which call it is about.
func (c *Client) explain(err error, req *Request, start time.Time) error {
	e := *bus.AsError(err)
	e.Service, e.Method = req.Service, req.Method
	if e.Instance == "" {
		e.Instance = req.Instance
	}
	e.Elapsed = time.Since(start)
	return &e
}

// checkTarget refuses names that must not become subjects.
func checkTarget(req *Request) error {
	if err := wire.CheckService(req.Service); err != nil && !isToken(req.Service) {
		return bus.Errorf(bus.InvalidArgument, "%w", err)
	}
	if err := wire.CheckMethod(req.Method); err != nil && !isToken(req.Method) {
		return bus.Errorf(bus.InvalidArgument, "%w", err)
	}
	if req.Instance == "" {
		return nil
	}
	if err := wire.CheckID(req.Instance); err != nil {
		return bus.Errorf(bus.InvalidArgument, "%w", err)
	}
	return nil
}

// roundTrip is what the client's middleware is wrapped around.
func (c *Client) roundTrip(ctx context.Context, req *Request) (*Response, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s := c.local[req.Service]; s != nil && (req.Instance == s.id || req.Instance == "" && c.cfg.Selector.Admits(s.cfg.Version, s.cfg.Metadata)) {
		res, failure, served := s.serveHere(ctx, req)
		if served {
			if req.origin != nil && len(c.cfg.Middleware) == 0 {
				req.origin.simple = true // the handler has a copy
			}
			return res, orNil(failure)
		}
	}
	p := c.peers.get(req.Service)
	if (req.Idempotent || p.repeatable(req.Method)) && (c.retries(req) > 0 || c.hedges(req)) {
		return c.insist(ctx, p, req)
	}
	res, failure := c.try(ctx, p, req, c.send)
	return res, orNil(failure)
}

// orNil keeps a nil *bus.Error from becoming an error that is not nil.
func orNil(e *bus.Error) error {
	if e == nil {
		return nil
	}
	return e
}
