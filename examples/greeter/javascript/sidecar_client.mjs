// Calls a greeter through the sidecar, with Node.js alone. The sidecar is
// MBUS_SIDECAR, by default http://127.0.0.1:8081.
//
//	node sidecar_client.mjs [NAME [SERVICE]]

const sidecar = process.env.MBUS_SIDECAR || "http://127.0.0.1:8081";
const [name = "John", service = "go.micro.srv.greeter"] = process.argv.slice(2);

try {
	const response = await fetch(`${sidecar}/rpc`, {
		method: "POST", headers: { "Content-Type": "application/json" },
		body: JSON.stringify({ service, method: "Say.Hello", request: { name } }),
	});
	const answer = await response.json();
	if (response.ok) {
		console.log(answer.msg);
	} else {
		console.error(`${answer.id}: ${response.status}: ${answer.detail}`);
		process.exitCode = 1;
	}
} catch (e) {
	console.error(`the sidecar is away: ${e.cause?.message ?? e.message}`);
	process.exitCode = 1;
}
