// Package wire holds the names, subjects, headers and frames of the mbus protocol as pure functions: no I/O, no state, no
// dependency. Everything that builds or reads bytes of the protocol does it here, so that there is one parser to test.
// All functions may be called concurrently. The tables are normative for protocol version 1.
//
// # Names
//
//	what            rules                                                                      on the bus
//	service         1–16 tokens [A-Za-z0-9_-]+ joined by dots, ≤ 128 bytes,                     one token: "_" → "__", then "." → "_"
//	                no token starts or ends with "_"
//	method          as service                                                                 verbatim in subjects; escaped as ADR-32 endpoint name
//	instance id     1–128 printable ASCII bytes                                                one token: bytes outside [A-Za-z0-9-] → "_xx" (hex)
//	topic           NATS subject of ≤ 255 bytes of UTF-8, no space, control character,         verbatim
//	                "*" or ">"; first token not "mbus", "$…", "_…"
//	pattern         as topic; whole tokens after the first may be "*", the last may be ">"     verbatim
//
// # Subjects
//
// svc and id are the escaped tokens, Method is verbatim.
//
//	subject                                       | who publishes    | who subscribes, queue  | payload
//	$SRV.{PING,INFO,STATS}[.<svc>[.<id>]]         | anyone           | every instance, none   | empty; answers are ADR-32 JSON
//	mbus.rpc.<svc>.<Method>                       | callers          | instances, "q"         | a call, plain or frame
//	mbus.node.<svc>.<id>.<Method>                 | callers          | the instance, none     | a call, plain or frame
//	mbus.stream.<svc>.<id>.<sid>                  | a stream's caller| the instance, none     | frames of one stream
//	mbus.announce.<svc>.<id>.{up,change}          | the instance     | watchers, none         | announcement, ≤ 32 KiB
//	mbus.announce.<svc>.<id>.beat                 | the instance     | watchers, none         | beat, ≤ 64 bytes
//	mbus.announce.<svc>.<id>.{drain,down}         | the instance     | watchers, none         | reason
//	mbus.probe, mbus.probe.<svc>                  | anyone           | every instance, none   | empty; answers are announcements
//	mbus.probe.<svc>.<id>                         | a watcher        | that instance, none    | empty; the answer is its announcement
//	mbus.node.mbus.<id>.{watch,sync}              | watchers, peers  | that registrar, none   | see discovery/registrar
//	mbus.registry.{list,get,register,deregister,watch} | anyone      | registrars, "q"        | JSON
//	mbus.registry.pace                            | registrars       | every instance, none   | JSON
//	mbus.cancel.<conn>                            | the caller       | servers with its calls, none | which call
//	_INBOX.<conn>.*  (or another prefix with "_") | servers, broker  | the connection, none   | replies, frames, the broker's 503
//	any other                                     | users            | users                  | events, verbatim
//
// A request is served only if its reply subject starts with "_" (ReplyAllowed). A caller of a stream sends frames only to
// mbus.stream.<svc>.<id>.<sid> of the instance it opened the stream on, or under _R_. (UplinkAllowed).
//
// # Headers of the plain spelling
//
//	header                   | on      | type                       | meaning                              | absent means
//	Content-Type             | both    | media type                 | codec of the body                    | application/json
//	Mbus-Timeout             | request | decimal ms, ≥ 0            | time left, relative; 0 is over;      | the server's cap
//	                         |         |                            | more than a year is a year           |
//	Mbus-Id                  | request | text                       | id of the call                       | none
//	Mbus-Conn                | request | token                      | connection to cancel at              | the call cannot be cancelled
//	Mbus-Attempt             | request | decimal, ≥ 1               | which attempt this is                | 1
//	Mbus-From                | request | service name               | the caller as it calls itself        | unknown
//	Mbus-Stream              | request | "chunks"                   | the answer may come in parts, frames | the answer is one message
//	Mbus-Depth               | request | decimal, ≥ 0               | how many calls this one stands in    | 0
//	traceparent, tracestate  | request | W3C Trace Context          | the caller's span                    | no trace
//	baggage                  | request | W3C Baggage                | the trace's baggage                  | none
//	Nats-Service-Error       | reply   | text                       | message of the error                 | with the next: not an error
//	Nats-Service-Error-Code  | reply   | decimal                    | HTTP status number of the error      | not an error
//	Mbus-Error               | reply   | code name                  | code of the error                    | the class of the number
//	Mbus-Retry               | reply   | never | safe | after=<ms>  | may it be tried again                | never
//	any other                | both    | text                       | user metadata                        |
//
// # Frames
//
// A body is a frame if there is no Content-Type header and byte 0 is 0xC1.
//
//	part      | size                 | value
//	byte 0    | 1                    | 0xC1
//	byte 1    | 1                    | version: 1
//	byte 2    | 1                    | type: 1 call 2 reply 3 error 4 open 5 accept 6 data 7 credit 8 half 9 end 10 cancel 11 ping 12 pong 13 batch
//	          |                      | 14 stream-batch
//	byte 3    | 1                    | flags: 0x01 metadata, 0x02 timeout, 0x04 more; the other bits are 0
//	codec     | 1                    | 0 none 1 JSON 2 msgpack 3 protobuf 4 raw
//	seq       | uvarint              | 64 bits
//	timeout   | uvarint, if 0x02     | milliseconds left; 0 is over; more than a year is a year; without the flag: not said
//	metadata  | if 0x01              | count uvarint (1–64), then for each pair: length uvarint, key, length uvarint, value; ≤ 16 KiB of keys and values
//	payload   | to the end           |
//
// Bytes 0–3 are the same in every version. A metadata key is an HTTP header name, a value has no control character but
// tab. The headers above travel as pairs of the same name, except Content-Type and Mbus-Timeout, which have fields.
//
// The error frame, type 3, has a layout of its own, the same in every version; bytes 0–3 as above, flags 0:
//
//	part      | size                 | value
//	seq       | uvarint              | of the frame it answers, 0 if unknown
//	status    | 2, big endian        | HTTP status number
//	retry     | uvarint              | 0 never, 1 safe, n ≥ 2 safe after n−2 ms
//	code      | length 1, bytes      | code name
//	message   | length uvarint, bytes| UTF-8, one line; ≤ 4096 bytes are written, more are read
//	detail    | to the end           | JSON or empty
//
// The batch, type 13, is bytes 0–3 as above, flags 0, codec 0 and seq 0, then 1 to 64 times:
//
//	part      | size                 | value
//	length    | uvarint              | of the frame
//	frame     | length               | of the same version, no batch, with a seq other than 0
//
// It goes only to those who say that they read it. An error frame with the seq 0 is about all of its calls.
//
// A uvarint is base 128, low group first, as in package encoding/binary, in its shortest form. A frame that breaks a rule
// is refused as a whole; a frame of an unknown version is answered with an error frame "unimplemented".
package wire
