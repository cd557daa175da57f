// Package api is the API gateway: HTTP in, calls of services out.
//
//	curl 'localhost:8080/greeter/say/hello?name=John'
//	curl -d '{"name":"John"}' localhost:8080/go.micro.srv.greeter/Say.Hello
//
// It stands behind a gateway.Edge, which decides what may come in, and calls
// through a gateway.Bus, which decides who may call what; the right to call is
// asked before anything is told about a service.
//
// # Paths
//
// Empty parts of a path count as not written. A part that is . or .., or holds an
// encoded slash, a backslash or a control character, is refused: nobody behind
// the gateway may read the path differently. Then the first of these decides:
//
//	path                            leads to
//	/rpc                            service and method that the body names: gateway.RPC
//	/events                         topics: package gateway/live
//	/  /openapi.json                Config.Documents; so are /asyncapi.json, /page.js, /page.css
//	/mcp                            Config.MCP
//	/favicon.ico                    nothing, with status 200
//	/healthz /readyz /stats         not found here: a server answers them before
//	a route of an endpoint          that endpoint
//	/{service}/{method}             service and method by full names, where one of them has a dot
//	any other                       Micro's rule, below
//
// Micro's rule completes names with Config.Namespace, here NS:
//
//	path                            service        method
//	/foo                            NS.foo         Foo
//	/foo/bar                        NS.foo         Foo.Bar
//	/foo/bar/baz                    NS.foo         Bar.Baz
//	/foo/bar/baz/cat                NS.foo.bar     Baz.Cat
//	/v1/foo/bar                     NS.v1.foo      Foo.Bar
//	/v1/foo/bar/baz                 NS.v1.foo      Bar.Baz
//	/foo/say-hello                  NS.foo         Foo.SayHello
//	/v1/foo                         NS.v1          V1.Foo
//
// If there is no such method, and no such service on the bus, but an app is
// registered as NS.foo, or as NS.v1.foo for /v1/foo, the app gets the request.
//
// # Routes
//
// An endpoint asks for routes by its metadata, in Micro's words:
//
//	path     templates or POSIX regular expressions, with commas between
//	method   methods of HTTP, with commas between; none means all. GET includes HEAD
//	host     names of hosts, with commas between; none means all
//	handler  the handler that serves it, below
//
// A template is /users/{id} or /files/{path...}; what it holds becomes a field of
// the request, and wins over a field of the body. A path with one of ^ $ * + ? ( )
// [ ] | \ is a regular expression, which matches anywhere unless it says ^ and $.
// Of several routes the one that says most wins: one with a host before one
// without, text before a field, a field before an open end, regular expressions
// last; then the service and the method whose names come first. Two that never
// differ are logged once. A path whose routes are for other methods is answered
// 405. Routes follow what services announce within a tenth of a second, or in
// twenty times the time that it takes to read them.
//
// # Handlers
//
//	handler      what becomes of a request
//	rpc          a call with the body, or the query
//	api          a call with the whole request as a message: Request, Response
//	http, proxy  passed on to an app that is registered with an address
//	web          the same, and it may become a WebSocket
//	event        an event of the shape of Event
//	cloudevents  an event that is a CloudEvent
//
// An endpoint names its handler, or gets api if it takes a message with exactly
// the fields of Request (url may be missing), and else rpc; what is called by full
// names always gets rpc. Apps get web. Config.Handler is one handler for all, and
// full names then only lead somewhere with rpc.
//
// # rpc
//
// POST, PUT, PATCH and DELETE call with the body, or with the query if there is no
// body. GET and HEAD call with the query: methods that have the metadata
// safe=true; and, but not by full names, the others too, as in Micro, unless they
// have safe=false. A browser's request from a page of another site has been
// stopped before.
//
// A method that streams is handed to package gateway/live: one whose service sends
// is answered with NDJSON or server-sent events, one whose client sends reads the
// NDJSON of the body, and any opens over a WebSocket, where a stream whose service
// alone sends has its request in the query, or as the first message. A GET by an EventSource or for a
// WebSocket opens any stream. Request-Timeout and the 5 s are for calls; a stream
// lasts as long as it lasts.
//
//	Content-Type                         body
//	application/json, or none            JSON
//	application/msgpack                  msgpack; becomes JSON for services that take none
//	application/protobuf                 protobuf, for methods that take it
//	application/x-www-form-urlencoded    JSON if it begins with { or [; else fields
//	multipart/form-data                  fields; or one file, and fields beside it
//	application/octet-stream             bytes, for methods that take them
//	any other                            bytes with that type, for methods that are known to take them; else 415
//
// Fields become JSON with the types of the method's schema, however deep they are,
// and integers with all their digits: a[b][c]=d is a field in an object in an
// object, a field given several times, or once as a[], is a list, and an object or
// list may be written as JSON. Without a schema values are text.
//
// Bytes travel as they are, in parts if they are large. Beside them travel, as
// metadata, their type (Media-Type), the name of a file (Filename) and the fields
// beside it (Field-NAME). A method answers with bytes in the same way: its
// metadata Media-Type becomes the Content-Type, and Content-Disposition is passed
// on. Such an answer has a Content-Security-Policy that keeps it from being a page
// of the gateway's site.
//
// The answer is JSON, msgpack, or protobuf to a request in protobuf or an empty
// one, as the header Accept has it, and else as the request was; 406 if the client
// takes none of them. To a GET of a safe method it has an ETag; anything else is
// not to be kept, unless the service says so by Cache-Control. From 1 KiB it is
// packed with gzip for clients that take it. A request may be packed so too, as
// long as it unpacks to at most 20 times its size (or 16 KiB).
//
// Headers become metadata as gateway.Metadata has it: without cookies and
// Authorization. Metadata of the answer become headers, but for those that belong
// to the connection, to the gateway (CORS, the request's id) or to its whole site
// (Set-Cookie, Strict-Transport-Security).
//
//	request header       meaning
//	X-Node               the one instance to call, by any name that registries show
//	Request-Timeout      seconds to wait, at most 30, or what the method announces if that is more
//
// Without Request-Timeout a call has 5 s, or the time that the method announces if
// that is more. A client that goes away cancels its call.
//
// # api
//
// The message has all headers of the request, with Cookie and Authorization: they
// are what such a service exists for. Only those of the connection and of the bus
// are left out, and Authorization where the gateway itself reads tokens. A body of
// type form, of no type or of one that cannot be read is in post, any other in
// body, which is text. The answer's statusCode 0 means 200, and a header with a
// line break is dropped. A GET may be sent twice, as HTTP has it.
//
// # http, proxy, web
//
// The path is passed on as it came, and Host is the app's own. Targets are dialled
// only in the networks of Config.Targets, which is checked after names have become
// addresses; no proxy of the environment is used and no redirect followed. If an
// instance refuses the connection the next one, of at most three, gets the
// request. Rights know a request to an app as the method HTTP.GET, HTTP.POST and so
// on of its service.
//
// # event, cloudevents
//
// The first part of the path, or the first two with a version, completes the
// namespace to a topic; the rest is the name of the event. Subjects of the bus
// itself are refused. The answer is 200 and empty once the broker has the event. A
// CloudEvent of version 1.0, structured or in headers, or of version 0.1,
// structured, is published as it is, in structured JSON; anything else becomes a
// CloudEvent of version 0.1 as Micro made it.
//
// # Errors
//
// An error is a gateway.Failure; gateway.WriteError has the list. What a request
// fails of before a call is made has the id go.micro.api.
//
//	400  the path, the query, the body or a header is wrong
//	404  no such service or method, with names that are near
//	405  a method of HTTP that does not go here, with Allow
//	406  no answer there could be is accepted
//	413  a body over 1 MiB, an upload over Config.MaxUpload, or one that unpacks to too much
//	415  a type or an encoding of the body that is not taken
//	429  too many uploads at once, with Retry-After
//
// # Bounds
//
//	what                              bound                       at the bound
//	a JSON, msgpack, protobuf or      1 MiB                       413
//	form body
//	an upload, a body for an app      MaxUpload, 64 MiB           413
//	uploads at once                   4 × MaxUpload               429
//	an answer of an app               MaxUpload                   413, or cut off if it has begun
//	parts of a path                   64                          400
//	routes                            10,000; 16 paths each       the rest is not served, and logged
//	types of methods that are kept    10,000, 200,000 fields      the oldest are asked for again
//	fields of a query or form         10,000, 64 deep             400
//	parts of a form with a file       1,000, one file             400
package api
