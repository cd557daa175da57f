// Package spec describes what is on the bus to people and programs that speak
// HTTP: an OpenAPI 3.1 document, an AsyncAPI 3.0 document and a page on which
// every method can be tried.
//
//	/openapi.json    unary methods and streams, with every path that leads to them
//	/asyncapi.json   conversations over WebSocket, and topics
//	/                the page for a browser; for others a few lines of JSON
//
// The documents are made of what instances announce and of the JSON Schemas that
// they serve, and are made anew when that changes, at most once a second. A
// document says of each method its service, kind and how many instances have it,
// as x-mbus-service, x-mbus-method, x-mbus-kind and x-mbus-instances. The Debug
// methods are left out unless the query says debug=1.
//
// Where the gateway asks for tokens, rules allow all of this as the method
// Documents.Read of go.micro.api.
//
// Anyone on the bus can announce anything. A schema is taken apart and put
// together again from the keywords that are known, so a broken one cannot break a
// document; a reference leads nowhere but to its own definitions.
//
// # Bounds
//
//	methods in a document   4,096     x-mbus-left-out says how many more there are
//	a schema                128 KiB   described as any value
//	levels of a schema      32        what is below is any value
package spec
