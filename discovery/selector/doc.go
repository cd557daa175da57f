// Package selector chooses one of the instances of a service, for callers who
// want more than the bus gives: by itself the bus deals calls out among the
// instances that listen, and that needs no list of them.
//
//	cfg, err := selector.Parse("least-loaded,version=1.2.0,zone=a")
//	...
//	client := rpc.NewClient(conn, rpc.ClientConfig{Selector: cfg})
//
// A Config is what people write; a [Picker] is the memory that goes with it, one
// for each service. It has no connection: it chooses from the list that it is
// given, which is usually that of a discovery.View.
//
// # Strategies
//
//	random           any, all alike
//	roundrobin       a rotation over the ids, for each method; it goes on where it was when instances come and go,
//	                 and begins anywhere, so that many short-lived callers do not all begin with the same one
//	least-loaded     of two taken at random the one with the lower product of calls in flight (own, and those it has
//	                 announced with its last beat) and latency; latencies count if one is over twice the other, and are
//	                 forgotten by two thirds in 5 s, so that an instance that was slow is tried again
//	consistent-hash  the same instance for the same key, whoever calls; see [Hash]. A call without a key is random
//	blacklist        random, without the instances of which three calls in a row went wrong: for 30 s
//
// With Local, instances on the caller's own connection come first, then those at
// the same server of the broker, then the rest.
//
// # Outliers
//
// Every strategy leaves out, for a while, the instances that do not answer:
//
//	what happened                                     out
//	nobody listened at the instance                   at once, until it shows itself, or 1 s
//	three calls in a row had no answer, or were lost  1 s
//	it drains, is suspect, or has said down           it is not in the list
//
// After the time one call goes there as a probe. If it is answered the instance
// is back; if not, it is out for twice as long, at most 30 s. If all of them are
// out, all are used: it is likelier that the judgement is wrong than that nobody
// is there. A call that is tried again goes to an instance that it has not been
// sent to, if there is one.
//
// What is kept of an instance is a hundred bytes, and is forgotten when it
// leaves the list.
package selector
