// The greeter as a small JSON-RPC server that the sidecar puts on the bus, with
// Node.js alone. The sidecar is MBUS_SIDECAR, by default http://127.0.0.1:8081.
//
//	node sidecar_server.mjs
//	mbus query js.micro.srv.greeter Say.Hello '{"name":"John"}'

import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

const name = "js.micro.srv.greeter";
const node = `${name}-${randomUUID()}`;
const sidecar = process.env.MBUS_SIDECAR || "http://127.0.0.1:8081";
const renew = 10; // seconds between registrations, so that a registry that was lost knows it again

const methods = {
	"Say.Hello": (request) => ({ msg: `${node}: Hello ${request.name ?? ""}` }),
};

// Answers {"method", "params": [request], "id"} with {"id", "result", "error"}.
const server = createServer(async (req, res) => {
	const answer = { id: null, result: null, error: null };
	try {
		let body = "";
		for await (const part of req.setEncoding("utf8")) body += part;
		const call = JSON.parse(body);
		answer.id = call.id;
		if (!Object.hasOwn(methods, call.method)) throw new Error(`there is no ${call.method}`);
		answer.result = methods[call.method](call.params[0]);
	} catch (e) {
		answer.error = e.message;
	}
	res.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(answer));
});
await new Promise((listening) => server.listen(0, "127.0.0.1", listening));

// Tells the sidecar that this server is there, or that it is not.
async function registry(method) {
	const value = (name, field) => ({ name, type: name, values: [{ name: field, type: "string" }] });
	const { address, port } = server.address();
	try {
		const response = await fetch(`${sidecar}/registry`, {
			method, headers: { "Content-Type": "application/json" }, signal: AbortSignal.timeout(5000),
			body: JSON.stringify({
				name, version: "1.0.0", nodes: [{ id: node, address, port }],
				endpoints: [{ name: "Say.Hello", request: value("HelloRequest", "name"), response: value("HelloResponse", "msg") }],
			}),
		});
		if (!response.ok) console.error(`greeter: ${method} /registry: ${response.status}: ${await response.text()}`);
		return response.ok;
	} catch (e) {
		console.error(`greeter: the sidecar is away: ${e.cause?.message ?? e.message}`);
		return false;
	}
}

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => stop.abort());
console.log(node);
while (!stop.signal.aborted) {
	const registered = await registry("POST");
	await sleep(registered ? renew * 1000 : 500, null, { signal: stop.signal }).catch(() => {}); // told to stop
}
await registry("DELETE");
server.close();
server.closeAllConnections();
