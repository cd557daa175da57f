// Package discovery knows who is alive on the bus and what they offer.
//
// An [Announcer] makes one instance known; [Query] asks once who is there, a
// [View] keeps a live list. Neither is needed for a call, which can always go to
// the subject of the method. [Get], [List], [Register] and [Deregister] speak to
// a registrar where there is one, and [Register] is for apps that are not on the
// bus. Foreign services, which speak NATS' services API (ADR-32) and no mbus, are
// listed under their own names.
//
//	view, err := discovery.Watch(ctx, conn, discovery.WithService("go.micro.srv.greeter"))
//	...
//	for _, i := range view.Instances("go.micro.srv.greeter") {
//		fmt.Println(i.NodeID(), i.Version, i.Load)
//	}
//
// # On the wire
//
// A body is one msgpack map or one JSON object, told apart by the first byte; mbus
// sends msgpack. What breaks a rule or a bound is dropped and counted. svc and id
// are tokens as package wire escapes them. A request is answered only if its reply
// subject begins with "_".
//
//	subject                          | from, to              | body
//	mbus.announce.<svc>.<id>.up      | instance, watchers    | announcement, ≤ 32 KiB: at the start and after a reconnect
//	mbus.announce.<svc>.<id>.change  | instance, watchers    | announcement: other endpoints, or back from drain
//	mbus.announce.<svc>.<id>.beat    | instance, watchers    | beat, ≤ 64 bytes
//	mbus.announce.<svc>.<id>.drain   | instance, watchers    | leave, ≤ 1 KiB: takes no new calls
//	mbus.announce.<svc>.<id>.down    | instance or registrar | leave: gone
//	mbus.probe                       | anyone, all instances | probe; the answers are announcements
//	mbus.probe.<svc>                 | anyone, the service   | probe
//	mbus.probe.<svc>.<id>            | anyone, the instance  | ignored; answered at once
//	$SRV.{PING,INFO,STATS}[.<svc>[.<id>]] | anyone, instances | ignored; the answers are ADR-32 JSON
//	mbus.registry.pace               | registrar, instances  | pace, JSON
//	mbus.registry.{list,get,register,deregister,watch} | anyone, one registrar (queue q) | JSON
//
//	announcement     | type    | meaning
//	v                | int     | newest protocol version it speaks, ≥ 1
//	name, id         | string  | as in the subject, unescaped
//	version          | string  | free text
//	metadata         | map     | string to string, fixed for the life of the instance
//	service_metadata | map     | of a registered app
//	endpoints        | array   | ≤ 1024 of name, kind, request, response (hashes of schemas), metadata,
//	                 |         | request_value, response_value (Micro's trees, of a registered app)
//	codecs           | array   | short names of the encodings it takes
//	server, client   | string, uint | ids that the broker has given its connection
//	rev              | uint    | grows with each announcement that says something new
//	interval         | int     | ms between beats; counts as 100 ms to 5 minutes
//	started          | time    | msgpack timestamp, RFC 3339 in JSON
//	state            | string  | "" or "draining"
//	address, port    | string, int | of an app that is registered and not on the bus
//	ttl              | int     | ms, of its registration
//
//	beat  | r rev · l load 0–100 · f calls and streams in flight · i ms until the next beat
//	leave | reason text · rev uint · server, client: only an instance on that connection is meant
//	probe | spread_ms: over how long the answers are to be spread, 0–1000; absent: 0.1 ms for each instance
//	      | of the bus that the pace tells of, at most 1 s
//	pace  | beat_ms between beats · instances on the bus
//
// # Liveness
//
//	state     | event                                                     | next
//	unknown   | up, change, answer to a question                          | up
//	unknown   | beat: asked on mbus.probe.<svc>.<id>, else $SRV.INFO      | up
//	up        | beat with the known rev                                   | up
//	up        | beat with another rev: asked on mbus.probe.<svc>.<id>     | up
//	up        | drain, unless its rev is not above the known one          | draining
//	draining  | up, change without a state                                | up
//	any       | down                                                      | gone
//	any       | silent for 3.3 intervals and 0.2 s                        | suspect
//	suspect   | anything it says                                          | as before
//	suspect   | asked 3 times in a second ($SRV.PING.<svc>.<id>): the broker's 503, or no answer | gone
//
// An interval is the pace of the bus: 2 s, and more when the registrar says that
// the bus has over 1000 instances. Beats vary by a tenth; the first one comes at
// any time of the first interval. After a reconnect an instance says up within a
// second, with its new connection. A View gives everyone time anew after it has
// itself been away, or was too busy to read. Foreign services do not beat: they
// are asked every two intervals, and looked for every five. What drains says so in
// its $SRV answers too, as the metadata "mbus.state".
//
// # Guarantees
//
// An instance that has died without a word is out of a View ten seconds later at
// the pace of two seconds; one that lives stays in it while a tenth of its
// announcements is lost. Memory is bounded whatever is announced: see
// [WithMaxInstances] and [WithMaxBytes]. What an announcement says of itself is
// not proven: rights on the announce subjects are what keeps impostors out.
//
// Locks: View.mu guards its table; functions on a connection's own goroutines
// take it for short. Announcer.mu is taken by no one who holds View.mu.
package discovery
