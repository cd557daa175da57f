// Package mcp gives the services on the bus to language models, as the tools of a
// server of the Model Context Protocol: over streamable HTTP for the API gateway,
// and over standard input and output for programs that start it.
//
//	go.micro.srv.greeter  Say.Hello  ──►  tool go_micro_srv_greeter___Say_Hello
//
// # Tools
//
// A method is a tool if the patterns of Config.Allow match it and a live instance
// has it. The list follows the bus: clients are told when it changes. A tool's
// name has the letters that every client takes; its title is the service and the
// method. What it takes and gives are the JSON Schemas of the method; one that
// describes no object becomes any object.
//
// A server stream is a tool that answers with the list of its messages, at most
// 100 of them. Streams that need more than one request are no tools, and neither
// are the Debug methods.
//
// Where the gateway asks for tokens, rules allow the list of tools as the method
// Tools.Use of go.micro.api; a call needs the right to its method as well.
//
// # Answers
//
// The answer of a method is the structured content and, as JSON, the text. A call
// that failed is a result marked as an error, whose structured content is that of
// a gateway's error: id, code, detail, status, reason. What the client cancels is
// cancelled on the bus.
//
// # Bounds
//
//	tools               1,024          further ones are left out, and logged
//	sessions over HTTP  idle 5 min     closed
//	a message           1 MiB          too large
//	an answer           1 MiB          the result says so
package mcp
