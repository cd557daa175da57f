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
package gateway
