// The greeter as a service on the bus, with the NATS client for Node.js and what
// docs/protocol.md asks of a service: it takes calls in the plain spelling,
// answers the services API, announces itself, beats, and leaves without losing a
// call. The broker is MBUS_URL, by default nats://127.0.0.1:4222.
//
//	npm install
//	node native_server.mjs
//	mbus query js.micro.srv.greeter Say.Hello '{"name":"John"}'

import { createHash, randomUUID } from "node:crypto";
import { connect, headers } from "@nats-io/transport-node";

const name = "js.micro.srv.greeter";
const version = "1.0.0";
const id = randomUUID();
const token = name.replaceAll("_", "__").replaceAll(".", "_");
const node = `${name}-${id}`;
const started = new Date();

// A JSON Schema, and the hash that names it on the bus.
function schema(title, properties) {
	const body = JSON.stringify({
		$schema: "https://json-schema.org/draft/2020-12/schema",
		title, type: "object", properties,
	});
	const letters = "abcdefghijklmnopqrstuvwxyz234567"; // base32
	let hash = "", bits = 0, held = 0;
	for (const byte of createHash("sha256").update(body).digest()) {
		held = (held << 8 | byte) & 0xfff;
		for (bits += 8; bits >= 5; bits -= 5) hash += letters[held >> (bits - 5) & 31];
	}
	return { hash: hash.slice(0, 20), body: JSON.parse(body) };
}

const request = schema("HelloRequest", { name: { type: "string" } });
const response = schema("HelloResponse", { msg: { type: "string" } });

// A Refusal is an error that the caller gets, with its code and HTTP number.
class Refusal extends Error {
	constructor(code, status, message) {
		super(message);
		Object.assign(this, { code, status });
	}
}

const stats = { requests: 0, errors: 0, last_error: "", processing: 0 };
let state = "";

const methods = {
	"Say.Hello"(req) {
		const { name = "" } = req;
		if (typeof name !== "string") throw new Refusal("invalid_argument", 400, "name is not a string");
		return { msg: `${node}: Hello ${name}` };
	},
	// The Debug methods are for people and tools: health, counters, schemas.
	"Debug.Health": () => ({ status: state || "ok" }),
	"Debug.Stats": () => ({
		started: Math.floor(started / 1000), uptime: Math.floor(process.uptime()),
		memory: process.memoryUsage().heapUsed, endpoints: [{ name: "Say.Hello", ...stats }],
	}),
	"Debug.Schema"(req) {
		const known = { [request.hash]: request.body, [response.hash]: response.body };
		const wanted = req.hashes?.length ? req.hashes : Object.keys(known);
		return { schemas: Object.fromEntries(wanted.filter((h) => h in known).map((h) => [h, known[h]])) };
	},
};

const endpoints = Object.keys(methods).map((name) =>
	name === "Say.Hello" ? { name, request: request.hash, response: response.hash } : { name });

const nc = await connect({
	servers: process.env.MBUS_URL || "nats://127.0.0.1:4222",
	name, waitOnFirstConnect: true, maxReconnectAttempts: -1, reconnectTimeWait: 100, pingInterval: 5000,
});

// What comes from the bus.

function call(prefix, m) {
	if (!m.reply?.startsWith("_")) return; // an answer could go where the caller may not publish
	const method = m.subject.slice(prefix.length);
	const began = process.hrtime.bigint();
	let failure;
	try {
		m.respond(JSON.stringify(handle(method, m)));
	} catch (e) {
		failure = e instanceof Refusal ? e : new Refusal("internal", 500, "the handler failed");
		if (failure !== e) console.error(`greeter: ${method}:`, e); // the caller learns no more than that
		const h = headers();
		h.set("Nats-Service-Error", failure.message.replace(/\s+/g, " "));
		h.set("Nats-Service-Error-Code", String(failure.status));
		h.set("Mbus-Error", failure.code);
		h.set("Mbus-Retry", "never");
		m.respond("", { headers: h });
	}
	if (method !== "Say.Hello") return;
	stats.requests++;
	stats.processing += Number(process.hrtime.bigint() - began);
	if (failure) {
		stats.errors++;
		stats.last_error = `${failure.code}: ${failure.message}`;
	}
}

function handle(method, m) {
	const type = m.headers?.get("Content-Type") ?? "";
	if ((type && type.split(";")[0] !== "application/json") || (!type && m.data[0] === 0xc1))
		throw new Refusal("unimplemented", 501, "this service takes JSON in the plain spelling");
	if (m.headers?.get("Mbus-Timeout") === "0") throw new Refusal("deadline_exceeded", 504, "no time is left");
	if (!Object.hasOwn(methods, method))
		throw new Refusal("not_found", 404, `no method ${method}; there is ${Object.keys(methods).join(", ")}`);
	let req;
	try {
		req = m.data.length ? m.json() : {};
	} catch (e) {
		throw new Refusal("invalid_argument", 400, `the request is no JSON: ${e.message}`);
	}
	if (typeof req !== "object" || req === null || Array.isArray(req))
		throw new Refusal("invalid_argument", 400, "the request is no JSON object");
	return methods[method](req);
}

// The services API of NATS, which makes the service visible to every tool.
function service(m) {
	if (!m.reply?.startsWith("_")) return;
	const verb = m.subject.split(".")[1];
	const answer = {
		name: token, id, version, type: `io.nats.micro.v1.${verb.toLowerCase()}_response`,
		// Without msgpack in its codecs a service is called plainly, in JSON.
		metadata: { "mbus.v": "1", "mbus.name": name, "mbus.version": version, "mbus.codecs": "json" },
	};
	if (verb === "INFO") answer.description = "Says hello, in JavaScript.";
	if (verb === "STATS") answer.started = started.toISOString();
	if (verb !== "PING") answer.endpoints = endpoints.map((e) => {
		const metadata = { "mbus.method": e.name, "mbus.kind": "unary" };
		if (e.request) Object.assign(metadata, { "mbus.request": e.request, "mbus.response": e.response });
		const about = { name: e.name.replaceAll(".", "_"), subject: `mbus.rpc.${token}.${e.name}`, queue_group: "q" };
		if (verb === "INFO") return { ...about, metadata };
		const s = e.name === "Say.Hello" ? stats : { requests: 0, errors: 0, last_error: "", processing: 0 };
		return {
			...about, num_requests: s.requests, num_errors: s.errors, last_error: s.last_error,
			processing_time: s.processing, average_processing_time: Math.floor(s.processing / Math.max(1, s.requests)),
		};
	});
	m.respond(JSON.stringify(answer));
}

// Announcements.

let rev = 0, pace = 2000;

const announce = (event, body) => nc.publish(`mbus.announce.${token}.${id}.${event}`, JSON.stringify(body));

const announcement = () => ({
	v: 1, name, id, version, endpoints, codecs: ["json"], server: nc.info.server_id, client: nc.info.client_id,
	rev, interval: pace, started: started.toISOString(), ...(state && { state }),
});

function up() {
	rev++;
	announce("up", announcement());
}

function probe(m) {
	if (!m.reply?.startsWith("_")) return;
	let spread = 0;
	try {
		if (!m.subject.endsWith(`.${id}`)) spread = Math.min(Math.max(Number(m.json().spread_ms) || 0, 0), 1000);
	} catch {} // a spread that cannot be read is none
	setTimeout(() => nc.isClosed() || m.respond(JSON.stringify(announcement())), Math.random() * spread);
}

function hear(m) {
	try {
		const { beat_ms } = m.json();
		if (Number.isFinite(beat_ms)) pace = Math.min(Math.max(Math.round(beat_ms), 2000), 300000);
	} catch {} // a pace that cannot be read changes nothing
}

let beating;
function beat(wait) {
	beating = setTimeout(() => {
		announce("beat", { r: rev, l: 0, f: 0, i: pace });
		beat(pace * (0.9 + 0.2 * Math.random()));
	}, wait);
}

// The life of the service.

const on = (subject, f, queue) => nc.subscribe(subject, { queue, callback: (err, m) => err ? console.error("greeter:", err.message) : f(m) });

const calls = endpoints.map((e) => on(`mbus.rpc.${token}.${e.name}`, (m) => call(`mbus.rpc.${token}.`, m), "q"));
calls.push(on(`mbus.node.${token}.${id}.>`, (m) => call(`mbus.node.${token}.${id}.`, m)));
for (const verb of ["PING", "INFO", "STATS"])
	for (const rest of ["", `.${token}`, `.${token}.${id}`]) on(`$SRV.${verb}${rest}`, service);
for (const rest of ["", `.${token}`, `.${token}.${id}`]) on(`mbus.probe${rest}`, probe);
on("mbus.registry.pace", hear);
await nc.flush();
up();
beat(Math.random() * pace);

let stopping = false;
async function stop() {
	if (stopping) process.exit(1); // the second signal
	stopping = true;
	state = "draining";
	rev++;
	announce("drain", { reason: "stopping", rev });
	await Promise.all(calls.map((s) => s.drain())); // what has been sent here still arrives
	announce("down", { reason: "stopped" });
	clearTimeout(beating);
	await nc.drain();
}
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, stop);

console.log(node);
for await (const s of nc.status()) {
	if (s.type === "disconnect") console.error("greeter: the broker is away");
	// After a random part of a second, so that not everyone speaks at once.
	if (s.type === "reconnect") setTimeout(() => nc.isClosed() || up(), Math.random() * 1000);
}
