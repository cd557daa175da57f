// Package registrar serves the complete live view of a bus: who is there, also
// for those who cannot or will not listen to every announcement, and on behalf
// of apps that are not on the bus.
//
//	r, err := registrar.New(conn, registrar.Config{System: system})
//	if err != nil {
//		return err
//	}
//	err = bus.Run(ctx, 10*time.Second, r)
//
// Every node runs one. Any number may run at the same time: all of them hear
// every announcement, so all of them know the same, and any of them answers.
// Without one nothing but registering stops working: [discovery.Get] and
// [discovery.List] ask the instances themselves.
//
// A registrar is an instance of the service "mbus", with the metadata
// role=registrar.
//
// # Requests
//
// Bodies are JSON objects; unknown fields are ignored, an empty body is {}.
// Errors have the plain spelling. A request must have a reply subject that
// starts with "_", or it is dropped.
//
//	subject                   | queue | request                            | answer
//	mbus.registry.list        | q     | {}                                 | messages, each a JSON array of entries, then an empty one
//	mbus.registry.get         | q     | {"service":NAME}                   | {"services":[Service…],"last_seen":TIME}, in several messages if one is too small
//	mbus.registry.register    | q     | {"service":Service,"ttl_ms":N}     | {"nodes":N}
//	mbus.registry.deregister  | q     | {"service":Service}                | {"nodes":N}, how many were there
//	mbus.registry.watch       | q     | {"service":NAME,"snapshot":BOOL}   | messages, see Watches
//	mbus.node.mbus.<id>.watch | none  | see Watches                        | see Watches
//	mbus.node.mbus.<id>.sync  | none  | see Between registrars             | see Between registrars
//
// As an instance of a service it answers Debug.Health, Debug.Stats (with its own
// counts under "registrar") and Debug.Schema (of nothing), plainly and in JSON.
//
// Service is the object of Micro's registry, [discovery.Service]: name, version,
// metadata, endpoints (name, request, response, metadata), nodes (id, address,
// port, metadata). Field names are read without regard to case. TIME is RFC 3339
// in UTC to the millisecond.
//
// An entry of a list is {"name","id","version","address","port","state"}; empty
// fields are left out. state is "", "draining" or "suspect". An entry takes at
// most 256 bytes: version, address and port are left out of one that would be
// longer; only two very long names exceed it still. A message has at most 56
// KiB.
//
// An answer to get has at most 256 KiB in a message, or three quarters of what
// the broker takes; every message but the last has "more":true. The nodes of
// one version may be spread over several messages, its endpoints are in the
// first. For instances on the bus the shapes of messages are asked from the
// instances, for half a second at most, and remembered by hash. A service that
// is not there is not_found with the detail {"last_seen":TIME,"near":[NAME…]};
// last_seen is there for ten minutes after its last instance, near has the names
// that may have been meant.
//
//	code               | when
//	invalid_argument   | the request is wrong; the message says where
//	too_large          | a request over 4 KiB (256 KiB to register), over 64 nodes, a node over 32 KiB
//	not_found          | get: no such service
//	conflict           | register, deregister: the node is on the bus and announces itself
//	resource_exhausted | too many requests wait (1024), entries (MaxEntries), watches (MaxWatches), instances (MaxInstances)
//
// # Registered apps
//
// register makes the nodes of an app known that is not on the bus. Each needs an
// id, 1 to 128 printable ASCII bytes, and an address. The registrar that
// answers announces them from then on, with address, port and ttl, and beats for
// them, until the time is over or someone deregisters them. Registering a node
// again, by service and node id, begins a new time, and replaces what was said
// about it. ttl_ms 0 means for ever, as with Micro, which is until the last
// registrar stops. deregister goes by service and node id, whatever the
// version; what is not there is not an error.
//
// A service may have registered nodes and instances on the bus at the same time.
// The node ids of instances on the bus (<service>-<id>, and <id>) are a conflict,
// and so is a node whose announcer is not a registrar.
//
// register and deregister are answered when every registrar has seen the change,
// so that a read afterwards sees it wherever it is answered. A registrar that
// does not answer for half a second is not waited for.
//
// The time to live is counted by the registrar and travels as time left, so
// clocks need not agree.
//
//	what happens to the owner | what happens to its entries
//	it stops                  | another registrar adopts them at once; without another they are announced as gone
//	it crashes                | another adopts them when the broker says so, within milliseconds; without a
//	                          | system connection when three beats are missing: a watcher that judges
//	                          | earlier sees them go and come. Without another registrar they are gone:
//	                          | the next one begins empty, and apps register again
//	its connection is lost    | when it is back it asks the others: what was adopted, replaced or
//	                          | deregistered meanwhile stays so, the rest it announces again
//	the broker restarts       | they are announced again within two seconds
//
// Entries are adopted as they are, for what is left of their time. Of several
// registrars the one with the least id adopts first, each further one waits 250
// ms longer. When two announce the same node, the higher revision holds, of equal
// ones the greater pair of server id and client id; the other registrar stops
// without a word. Only nodes that a registrar has announced are adopted.
//
// # Watches
//
// A watch starts with a request to mbus.registry.watch. service "" means all;
// with snapshot everyone who is there comes first. Everything comes to the reply
// subject of that request. Each message has n, which counts the messages of the
// watch from 1, and seq, the registrar's number of the change.
//
//	message                                                             | meaning
//	{"n":1,"seq":S,"watch":W,"registrar":R,"lease_ms":30000,"window":1024} | the watch has begun
//	{"n","seq","snapshot":"begin","at"}                                 | everyone who is there follows; what was known before is void
//	{"n","seq","snapshot":"end","at"}                                   | that was everyone
//	{"n","seq","action":"create"|"update"|"delete","service":Service,   | one node; in a snapshot the action is create. What messages look
//	 "state","reason","at"}                                             | like is only said for registered nodes: get asks the others
//	{"n":N,"seq":S,"renewed":W}                                         | answer to a renewal: N messages have been sent before
//	{"n","seq","end":TEXT}                                              | the watch is over; start it again
//
// The watcher goes on with requests to mbus.node.mbus.<R>.watch:
//
//	request                          | meaning
//	{"renew":W,"n":N}                | I am there, and have read N messages; the answer goes to the reply subject of this request
//	{"cancel":W}                     | I want no more; no answer
//	{"service":NAME,"after":S}       | a new watch that goes on after change S
//
// A watch ends 30 s after it was last renewed, and at once when the broker says
// that nobody listens on its reply subject. A watcher renews it every 10 s, with
// a reply subject: the broker's 503 tells it that the registrar is gone, and a
// not_found that the watch is. No more than 1024 messages are sent beyond those
// that were said to be read. What happens meanwhile waits in the registrar, as
// long as it is among the last 4096 changes; else a new snapshot comes in its
// place. A watcher that finds a gap in n, also in the answer to a renewal,
// watches anew, after the last seq it has. [discovery.WatchRegistry] does all
// this.
//
// # The pace of beats
//
// mbus.registry.pace carries {"beat_ms":N,"instances":N}: how often instances
// should beat, the greater of two seconds and instances ÷ 500 seconds. It is
// said every ten seconds, and when it has changed, or the number of instances by
// more than a tenth, at most once a second. Several registrars say the same.
//
// # Disconnects
//
// With a system connection ($SYS.ACCOUNT.*.DISCONNECT, $SYS.SERVER.*.SHUTDOWN) a
// registrar announces down for the instances of a connection that has ended. An
// instance is concerned only if (server id, client id) is the last pair it has
// announced, and only if it does not answer $SRV.PING, as one does that has
// connected anew. When the client has closed the connection, which a crash also
// looks like, that is at once; 50 ms after a reset; for other reasons, and for
// the end of a server, after a second. The down names the pair, so it may be said by several
// registrars and does not harm an instance that is back.
//
// # Between registrars
//
//	request to mbus.node.mbus.<id>.sync                                   | answer
//	{"id","server","client","seen":[{"service","id","rev"}…]}             | {"seen":BOOL,"watching_ms":N}: has seen them all, as announced with at least that revision
//	{"id","server","client","seen":[{…,"gone":true,"server","client"}…]}  | the same: no longer knows them as announced on that connection
//	{"id","server","client","drop":[{"service","id","server","client"}…]}  | {"seen":true,"watching_ms":0}: has stopped announcing them and said down, as far as it announced them
//	{"id","server","client","ask":[{"service","id"}…]}                    | {"seen":true,"watching_ms":N,"known":[null|{"service","id","rev","server","client"}…]}
//
// id, server and client say who asks. watching_ms is for how long the registrar
// has heard everything: whoever was away for less than that believes it when it
// does not know a node. A question is about at most 500 nodes.
package registrar
