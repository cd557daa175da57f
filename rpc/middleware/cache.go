package middleware

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/mbus-dev/mbus/bus"
	"github.com/mbus-dev/mbus/rpc"
)

// CacheConfig configures a Cache. The zero value works; negative numbers count
// as zero.
type CacheConfig struct {
	// TTL is how long an answer is given again. 0 means 10 s.
	TTL time.Duration
	// Stale is how much longer it is kept to be given when a call fails: when
	// there is no answer, nobody to answer, no broker, a fault of the service or
	// an overload. A handler's no is passed on. 0 means not at all.
	Stale time.Duration
	// Entries and Bytes bound what is kept; bytes are those of requests and
	// answers. At either bound the least recently used is forgotten. An answer
	// over Bytes is not kept. 0 means 1024 entries and 16 MiB.
	Entries int
	Bytes   int
	// Meta names the metadata that an answer depends on. nil means all of it
	// but the trace. Its names are sought as Metadata.Get does, and an empty
	// value is like none. What tells users apart must be among them.
	Meta []string
}

// A Cache keeps answers. It may be used from any goroutine, and by clients and
// servers at once.
type Cache struct {
	cfg   CacheConfig
	reads func(*rpc.Request) bool

	mu      sync.Mutex
	entries *simplelru.LRU[string, *entry]
	bytes   int
	forgets uint64 // counts the calls of Forget
}

// An entry is an answer that never changes.
type entry struct {
	of    method
	res   *rpc.Response
	size  int
	until time.Time
}

// NewCache returns a cache for the calls for which reads returns true: those
// that only read, whose answer may be as old as the TTL. That a call is
// idempotent is not enough, since the second of two writes would not happen.
//
//	cache := middleware.NewCache(reads, middleware.CacheConfig{})
//	client := rpc.NewClient(conn, rpc.ClientConfig{Middleware: []rpc.Middleware{cache.Wrap}})
func NewCache(reads func(*rpc.Request) bool, cfg CacheConfig) *Cache {
	if reads == nil {
		panic("middleware: NewCache without a function that says which calls only read")
	}
	cfg.TTL = time.Duration(or(int64(cfg.TTL), int64(10*time.Second)))
	cfg.Stale = max(cfg.Stale, 0)
	cfg.Entries, cfg.Bytes = or(cfg.Entries, 1024), or(cfg.Bytes, 16<<20)
	c := &Cache{cfg: cfg, reads: reads}
	lru, err := simplelru.NewLRU(cfg.Entries, func(_ string, e *entry) { c.bytes -= e.size })
	if err != nil {
		panic("middleware: " + err.Error())
	}
	c.entries = lru
	return c
}

// Wrap is an rpc.Middleware. It gives a call the answer that an earlier one with
// the same service, method, instance, codec, body and metadata got; who called
// does not matter. Errors are never kept. Calls that miss at the same time all
// go on: Merge inside of the cache makes them one. Streams pass.
func (c *Cache) Wrap(next rpc.HandlerFunc) rpc.HandlerFunc {
	return func(ctx context.Context, req *rpc.Request) (*rpc.Response, error) {
		if req.Stream || !c.reads(req) {
			return next(ctx, req)
		}
		req = inOne(req)
		key := identity(req, c.cfg.Meta)
		kept, fresh, forgets := c.get(key)
		if fresh {
			return clone(kept), nil
		}
		res, err := next(ctx, req)
		if err == nil {
			c.put(key, methodOf(req), res, forgets)
			return res, nil
		}
		if kept != nil && !isCanceled(err) {
			if e := bus.AsError(err); failed(e) || overloaded(e) {
				return clone(kept), nil
			}
		}
		return nil, err
	}
}

// Forget drops the answers of a method; method "" means all of the service. An
// answer of a call that began before is not kept either.
func (c *Cache) Forget(service, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgets++
	for _, key := range c.entries.Keys() {
		if e, ok := c.entries.Peek(key); ok && e.of.service == service && (name == "" || e.of.name == name) {
			c.entries.Remove(key)
		}
	}
}

// get returns an answer, if there is one that is fresh or may be given all the
// same, and the count of what was forgotten.
func (c *Cache) get(key string) (res *rpc.Response, fresh bool, forgets uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries.Get(key)
	if !ok {
		return nil, false, c.forgets
	}
	age := time.Since(e.until)
	if age >= 0 && age >= c.cfg.Stale {
		c.entries.Remove(key)
		return nil, false, c.forgets
	}
	return e.res, age < 0, c.forgets
}

// put keeps a copy of an answer, unless something was forgotten meanwhile.
func (c *Cache) put(key string, of method, res *rpc.Response, forgets uint64) {
	size := len(key)
	if res != nil {
		size += len(res.Body)
		for k, v := range res.Meta {
			size += len(k) + len(v)
		}
	}
	if size > c.cfg.Bytes {
		return
	}
	if res = clone(res); res == nil {
		res = &rpc.Response{}
	}
	e := &entry{of: of, size: size, res: res, until: time.Now().Add(c.cfg.TTL)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.forgets != forgets {
		return
	}
	c.entries.Remove(key) // or what it weighed would still count
	c.entries.Add(key, e)
	for c.bytes += size; c.bytes > c.cfg.Bytes; {
		c.entries.RemoveOldest()
	}
}
