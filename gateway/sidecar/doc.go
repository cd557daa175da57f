// Package sidecar lets programs take part that speak HTTP and no NATS: they
// register with a POST, are called by HTTP, call others by HTTP, and have events
// pushed to them.
//
//	app ──HTTP──► Sidecar ──► bus     the app calls, publishes, registers
//	app ◄──HTTP── Sidecar ◄── bus     the app is called, and gets events
//
// # Endpoints
//
// They are Micro's, and a few more. Errors are JSON, see package gateway, but for
// those of /registry, which are words as in Micro unless the client accepts
// application/json.
//
//	GET    /registry                 the names: [{"name":…}, …]
//	GET    /registry?service=NAME    a service, one object a version; 404 "Service not found"
//	POST   /registry[?ttl=30s]       registers the service in the body; 200, empty, once it is served
//	DELETE /registry                 deregisters the nodes of the service in the body
//	GET    /registry/watch           changes as NDJSON or SSE: [?service=NAME…][&snapshot=true], see WatchLine
//	POST   /rpc                      a call, see gateway.RPC
//	POST   /{service}/{method}       a call: both names in full, or by Micro's rule below go.micro.srv; ?node=ID for
//	                                 one instance; streams as NDJSON, SSE or WebSocket, see package live
//	GET    /broker?topic=T[&queue=Q] Micro's WebSocket for events, see package live
//	GET    /events, POST /events     topics as SSE, NDJSON and WebSocket; publishing; see package live
//	GET    /subscriptions            the subscriptions of the apps: [?service=NAME][&node=ID]
//	GET    /subscriptions/{name}     one; PUT makes it, DELETE ends it; see Events
//	GET    /health                   asks the app that the sidecar was started with; 404 without one
//
// Where the gateway asks for tokens, rules allow the registry as methods of
// go.micro.sidecar: Registry.Read, Registry.Watch, Registry.Register (with it
// subscriptions, whose topics count too) and Registry.Deregister; and what the
// handler "proxy" passes as the method HTTP.Request of the app's service.
//
// With the handler "proxy" the path /{app}/… is passed as it is to a node of the
// app go.micro.srv.{app} of this host, instead of being a call. Verbs that have no
// meaning are 405; Micro answered 200 and did nothing. What is wrong with a
// definition is 400; Micro's was 500.
//
// # Which apps are served
//
// An app is a node in the registry with an address of this host: a literal
// loopback address, 127.0.0.0/8 or ::1. Anything else is refused with 400,
// names among it, since what a name stands for may change. The sidecar is the
// only way in which an app is called, and it calls nothing but apps.
//
// A loopback address means another program on each host, so nodes carry the
// metadata "host" (see HostID): what is registered through a sidecar, or with the
// mbus command, gets it, and a sidecar serves the nodes with its own. A node
// without it is served if the registrar that announces it is in the sidecar's own
// process, which has then heard it from whoever could reach that process.
//
// For each node the sidecar answers on the bus as an instance would: in the queue
// group of the service and for calls to that node alone. The metadata
// "protocol" of the node, or of its service, says how the app wants its calls:
//
//	jsonrpc  POST / {"method":"Say.Hello","params":[{…}],"id":1}, answered 200 {"id":1,"result":{…},"error":null}: Micro's, the default
//	http     POST /Say.Hello {…}, answered 2xx with the result
//
// Both get the headers Content-Type, Timeout (nanoseconds left),
// X-Micro-From-Service, and the metadata of the call. The error of an answer is a
// string, an object, or with http the status and the body:
//
//	{"id","code","detail","status"}            Micro's error, also as a string: code and detail count
//	{"code","message","data"}                  the same with other names; -32601 is not_found, -326xx invalid_argument
//	{"error":…}                                one of these inside
//	any other words                            internal, or what the status says
//	status 3xx                                 internal: no redirect is followed
//	no connection                              unavailable, and safe to repeat
//	a connection that ends without an answer   unavailable
//	what is no HTTP, or no such JSON           data_loss
//	over MaxBody                               too_large
//	nothing in time                            deadline_exceeded
//
// If the node was registered with endpoints, exactly those are served. Without,
// every method of the service goes to the app, which alone knows what it has; such
// a node takes its share of all calls, so the other instances of that service, on
// the bus or not, must know the same methods. Either way Debug.Health asks the app,
// and Debug.Stats are the sidecar's counts of its calls. The metadata "timeout" of
// an endpoint, in milliseconds, replaces the limit of 30 s.
//
// An app gets at most Concurrency calls at once; Queue more wait, and what is
// beyond is refused with resource_exhausted. At most 1024 nodes are served.
//
// # Life and death
//
//	registered with            | is gone when
//	no more                    | it does not accept connections at two looks in a row: every 2 s, after a failed call at once, and the second
//	                           | look half a second after the first
//	?ttl=                      | that is over without another POST, or it does not accept connections at two looks 2 s apart
//	metadata "healthcheck"     | the same, or a GET of that URL every 30 s is not answered with exactly 200; the URL must lead to the app
//	--server-name and -address | the same; it is registered again when it is well, and deregistered with the sidecar
//
// The registration is in the registrars, not in the sidecar: any number of
// sidecars may run on a host and share the calls, and one that starts serves at
// once what another has left behind.
//
// # Events
//
// PUT /subscriptions/{name} with {"topic":…,"path":…} pushes the events of a topic
// or a pattern to an app: each is a POST to the path, with the event as the body,
// its headers, and Mbus-Topic, Mbus-Subscription and Mbus-Attempt. 2xx means that
// the app has it. Other answers and none are repeated five times with growing
// pauses, 4xx but 408, 425 and 429 not at all; what is not taken then is lost,
// counted and logged. Events come one after another. 1024 events or 16 MiB may
// wait; the newest beyond are lost and counted. "queue" shares the events with
// others of that queue group; "service" and "node" say whose subscription it is, if
// several apps are served.
//
// A subscription is part of the registration, as the metadata "subscribe.NAME" of
// the node, {"topic","queue","path"}: it lasts as long, a node may be registered
// with it, and the next sidecar goes on with it. The sidecars of one host share its
// events. What waits in one that is killed is lost.
package sidecar
