// Package gateway is what the HTTP faces of mbus share: the way from a request
// to the bus, and from an error of the bus to a status.
//
// The rooms are http.Handlers: gateway/api is the API gateway, gateway/sidecar
// serves apps that speak no NATS, gateway/mcp gives services to language models
// as tools, gateway/web is the dashboard.
//
//	client ──► Server ──► Edge ──► room ──► Bus ──► service
//	          listener   guards   HTTP to   rpc.Client
//	          TLS, HTTP/2  ids    service   discovery.View
//	          drain       limits  + method  topics
//
// A room decides what a request means and never whether it may come in: the
// Edge has checked Host, Origin and size before, has given the request an id,
// and writes the access log. A room never decides either who may call what: it
// calls through Bus.Client and reaches topics through the Bus, which ask the
// caller's rights.
//
// # What the Edge does, in this order
//
//	step        | refuses with
//	request id  | -; X-Request-Id on the answer, the client's own if it is fit for a log
//	access log  | -; one line for each request, without its query
//	hygiene     | 400, 405, 414, 431, 505: what programs on the way may read differently
//	Host        | 421 for names that are not this gateway's
//	preflight   | -; OPTIONS is 200 for every path, and says more to listed origins
//	Origin      | 403 for pages of other sites, WebSockets among them
//	token       | 401 for one that is not right; none at all is for the rules to judge
//	rates       | 429 with Retry-After
//	headers     | -; what only the bus may say, and what strangers say of the client, is dropped
//	body        | 408 for one that comes at less than 1 KiB a second after ten seconds
//
// A write that the client leaves unread for thirty seconds fails. A room that
// streams says so with [Stream].
//
// A Server adds what belongs to connections: at most 16,384 of them and 256 of
// one address, five seconds for a header, sixty idle, 100 streams of HTTP/2; and
// it looks at the headers of HTTP/1 before net/http does, since that hides a
// request with both Content-Length and Transfer-Encoding, which gets 400 and the
// end of its connection.
package gateway
