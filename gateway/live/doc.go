// Package live holds the long conversations of the gateway: streams of services
// and topics of the bus, over HTTP. A room decides what a request means and hands
// it to a [Server]:
//
//	talks := live.New(b, live.Config{From: "go.micro.api"})
//	mux.HandleFunc("GET /numbers", func(w http.ResponseWriter, r *http.Request) {
//		talks.ServeStream(w, r, &rpc.Request{
//			Service: "go.micro.srv.lab", Method: "Lab.Count", Meta: gateway.Metadata(r),
//			Body: []byte(`{"n":3}`),
//		})
//	})
//	mux.HandleFunc("/events", talks.ServeEvents)
//
// What there is:
//
//	method          client                       answer
//	ServeStream     Accept: text/event-stream    server-sent events
//	                Upgrade: websocket           as ServeWebSocket
//	                anything else                NDJSON, one JSON document a line
//	ServeUpload     a body of NDJSON             one JSON document
//	                Upgrade: websocket           as ServeWebSocket
//	ServeWebSocket  a stream of any kind         frames
//	ServeEvents     GET  ?topic=a&topic=b        server-sent events, NDJSON if preferred, frames
//	                POST ?topic=a                202 once the broker has the body
//	ServeBroker     GET  ?topic=a&queue=q        Micro's frames
//
// The JSON of a message is the service's own, on one line. A service that answers
// in msgpack is translated; bytes become base64 text, an empty message null.
// Protobuf has no JSON form without its type: the stream fails as unimplemented.
//
// # Streams
//
// What fails before the first message has the status and the body of every other
// error. The head of an answer waits for that message for half a second.
// Afterwards:
//
//	                server-sent events                   NDJSON
//	a message       id: 7, data: {"i":7}                 {"i":7}
//	silence         a comment every 15 s                 nothing
//	the good end    event: end                           the end, with the trailer Mbus-End: ok
//	                data: {"reason":"done","trailer":    and the service's metadata as further
//	                {"rows":"3"}}                        trailers
//	a failure       event: error, data: a Failure,       {"error":{…}}, a gateway.Failure, with
//	                with "trailer" if there is one       "trailer" if there is one; the trailer
//	                                                     Mbus-End: handler, …, and those as above
//	the gateway     event: end                           {"error":{…}} of code 503,
//	stops           data: {"reason":"shutdown"}          with the trailer Mbus-End: refused
//
// The one answer of ServeUpload has the service's metadata as trailers as well, if
// they come within half a second; without them it has a Content-Length.
//
// A document {"error":…} may be a message, too: the trailer, which HTTP/1.0 does
// not have, tells them apart. A body that ends without the trailer was cut off.
//
// An EventSource connects again by itself after every end, also a good one. To
// call again on its behalf would be wrong, so a stream that is asked for with
// Last-Event-ID, as it does, is answered 204 without a call, which makes it give
// up. Pages close the EventSource at the event end.
//
// # WebSockets
//
//	frame                     from the client                  to the client
//	text                      a message in JSON                a message in JSON
//	binary                    a message in msgpack             a message in msgpack
//	empty text                the last message has been sent   the same: a trailer follows
//	text {"trailer":{…}}      -                                behind it, the metadata that the service sends
//	                                                           with a good end; the close follows
//	text {"error":{…}}        -                                a gateway.Failure, with "trailer" if there is
//	                                                           one; the close follows
//
// The empty text collides with nothing, since no JSON document is empty. Whoever
// has no use for trailers reads over it and what follows; without a trailer there is
// neither.
// Answers come in the kind of the client's latest message, text at first. The
// subprotocol mbus.json allows text only, mbus.msgpack binary only, and the empty
// text. A stream whose request is in its URL takes no messages. Trailers and
// failures are text under mbus.msgpack, too.
//
//	close  reason              when
//	1000                       the good end; the client's own close is answered with its code
//	1001   shutdown            the gateway stops: connect again
//	1002   …                   a frame against RFC 6455
//	1003   …                   a kind of frame that the subprotocol excludes
//	1007   invalid UTF-8       in a text, or in the reason of a close
//	1008   no pong             the client is pinged every 20 s, and 60 s without a pong are over
//	1008   too slow            the client has taken nothing for 30 s; the connection is cut
//	1008   too many fragments  a message in over 16,384 frames
//	1008   …                   a message on a socket that only sends
//	1009   …                   a message over MaxMessage
//	1013   lost                events came faster than the client took them
//	4000 + an HTTP status      the call failed; the reason is the name of the code:
//	                           4400 invalid_argument, 4404 not_found, 4503 unavailable, …
//	4401   unauthenticated     among them, when the caller's token expires
//
// A handshake against RFC 6455 is answered 426 or 400, and one over MaxStreams
// 503. A call that fails at once closes the WebSocket: a page in a browser sees
// the code of a close, but not the status of a handshake. Messages are never
// compressed.
//
// # Topics
//
// Topics and patterns are what package pubsub says: neither begins with a
// wildcard, "mbus", "$" or "_". A reader may follow 16; each keeps its order, but
// events of one may overtake those of another. An event that two of the patterns
// match comes twice.
//
//	                server-sent events                  NDJSON, and text frames
//	an event        event: user.created                 {"topic":"user.created","data":"{\"id\":1}"}
//	                data: {"id":1}
//	…not UTF-8, or  event: user.created base64          {"topic":"user.created","data":"gf8=",
//	for the first   data: gf8=                           "encoding":"base64"}
//	with a CR
//	the broker was  event: mbus.gap                     {"gap":{"reason":"broker"}}
//	away            data: {"reason":"broker"}
//	too slow        event: mbus.lost                    {"lost":{"reason":"slow"}};
//	                data: {"reason":"slow"}              a WebSocket: only close 1013
//	the gateway     event: mbus.end                     {"end":{"reason":"shutdown"}};
//	stops           data: {"reason":"shutdown"}          a WebSocket: only close 1001
//	a failure       event: mbus.error, data: a Failure  {"error":{…}}; a WebSocket: and close 4401, …
//
// No topic has a space, or begins with mbus, so events cannot pass for these. In
// JSON "content_type" is there if the event has one. The comment ": listening"
// says that the broker knows of the subscription. Topics keep nothing: who comes
// back with Last-Event-ID is told in a comment that nothing is repeated.
//
// # Bounds
//
// Between the bus and a client there is one message of a stream, in each
// direction. A client that takes nothing leaves the rest in the stream's window
// (1,024 messages, 1 MiB), and then the service waits; a service that takes
// nothing stops the reading from the client. Topics cannot wait: a reader has
// one queue.
//
//	what                            bound                 at the bound
//	conversations                   MaxStreams, 10,000    503 with Retry-After
//	a message of a client           MaxMessage, 1 MiB     413, or close 1009
//	a client that takes nothing     30 s for 16 KiB       cut off, the call is cancelled
//	an upload that brings nothing   60 s                  408, the call is cancelled
//	a client that sends no pong     60 s                  close 1008
//	a close that is not answered    5 s                   cut off
//	what still comes after a close  4 MiB                 cut off
//	the end when the gateway stops  5 s                   cut off
//	events that wait for a reader   1,024, 4 MiB          mbus.lost or close 1013, after the last
//	                                                      event before the gap
//	Micro's broker: a message       16 KiB                close 1009
//	Micro's broker: the times       ping every 54 s, 60 s for a pong, 10 s to take a message
//
// A client that goes away cancels the call of the bus.
package live
