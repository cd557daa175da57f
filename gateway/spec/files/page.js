// The page of the API gateway: what /openapi.json says, for people. Everything
// that comes from the bus is put in as text.

const every = 2000; // ms between two looks at the document
const shown = 500; // methods in the list at once
const verbs = ["get", "post", "put", "patch", "delete", "head", "options"];

const state = { tag: "", doc: null, methods: [], drafts: new Map(), failed: "" };
const $ = (id) => document.getElementById(id);

// h makes an element. Attributes that are functions are listeners.
function h(name, attributes = {}, ...children) {
	const element = document.createElement(name);
	for (const [key, value] of Object.entries(attributes)) {
		if (typeof value === "function") element.addEventListener(key, value);
		else if (value === true) element.setAttribute(key, "");
		else if (value !== false && value != null) element.setAttribute(key, value);
	}
	element.append(...children.flat().filter((c) => c != null && c !== false));
	return element;
}

// The document, as methods: each with its paths.
function methodsOf(doc) {
	const found = new Map();
	for (const [path, item] of Object.entries(doc.paths)) {
		for (const verb of verbs) {
			const op = item[verb];
			if (!op) continue;
			const key = `${op["x-mbus-service"]}/${op["x-mbus-method"]}`;
			const m = found.get(key) ?? {
				key, service: op["x-mbus-service"], name: op["x-mbus-method"], kind: op["x-mbus-kind"],
				instances: op["x-mbus-instances"], description: op.description, paths: [],
			};
			m.paths.push({ verb: verb.toUpperCase(), path, op });
			found.set(key, m);
		}
	}
	for (const m of found.values()) {
		const full = `/${m.service}/${m.name}`;
		m.paths.sort((a, b) => (b.path === full) - (a.path === full) || a.path.localeCompare(b.path) || verbs.indexOf(a.verb.toLowerCase()) - verbs.indexOf(b.verb.toLowerCase()));
		const op = m.paths.find((p) => p.path === full && p.verb === "POST")?.op ?? m.paths[0].op;
		m.request = op.requestBody?.content?.["application/json"]?.schema ?? {};
		const ok = op.responses["200"];
		m.response = (ok?.content?.["application/json"] ?? ok?.content?.["application/x-ndjson"])?.schema ?? {};
	}
	return [...found.values()].sort((a, b) => a.service.localeCompare(b.service) || a.name.localeCompare(b.name));
}

function resolve(schema, seen = 0) {
	const at = schema?.$ref;
	if (!at || seen > 8) return schema ?? {};
	let found = state.doc;
	for (const part of at.slice(2).split("/")) found = found?.[part.replaceAll("~1", "/").replaceAll("~0", "~")];
	return resolve(found, seen + 1);
}

// An example of what a schema describes, to begin with.
function example(schema, level = 0) {
	const s = resolve(schema);
	if ("const" in s) return s.const;
	if ("default" in s) return s.default;
	if (s.examples?.length) return s.examples[0];
	if (s.enum?.length) return s.enum[0];
	const type = Array.isArray(s.type) ? s.type.find((t) => t !== "null") : s.type;
	switch (type) {
	case "string": return s.format === "date-time" ? new Date(0).toISOString() : "";
	case "integer": case "number": return Math.max(s.minimum ?? 0, 0);
	case "boolean": return false;
	case "array": return [];
	}
	const object = {};
	if (level < 4) for (const [name, part] of Object.entries(s.properties ?? {})) object[name] = example(part, level + 1);
	return object;
}

function typeOf(schema) {
	const s = resolve(schema);
	const type = Array.isArray(s.type) ? s.type.join(" or ") : s.type;
	if (type === "array") return `list of ${typeOf(s.items ?? {})}`;
	if (type === "object" && s.title) return s.title;
	return s.format ? `${type ?? "any"} (${s.format})` : type ?? (s.anyOf || s.oneOf ? "one of several" : "any");
}

function rulesOf(s) {
	const words = [];
	if (s.enum) words.push(`one of ${s.enum.map((v) => JSON.stringify(v)).join(", ")}`);
	for (const [key, word] of [["minimum", "≥"], ["exclusiveMinimum", ">"], ["maximum", "≤"], ["exclusiveMaximum", "<"], ["minLength", "length ≥"], ["maxLength", "length ≤"], ["pattern", "like"]])
		if (s[key] !== undefined) words.push(`${word} ${s[key]}`);
	return [s.description, words.join(", ")].filter(Boolean).join("; ");
}

function fields(title, schema) {
	const s = resolve(schema);
	const rows = [];
	const walk = (part, prefix, level) => {
		for (const [name, value] of Object.entries(part.properties ?? {})) {
			const inner = resolve(value);
			const needed = part.required?.includes(name) ? " required" : "";
			rows.push(h("tr", {}, h("td", {}, prefix + name), h("td", {}, typeOf(value) + needed), h("td", {}, rulesOf({ ...inner, ...value }))));
			const below = inner.items ? resolve(inner.items) : inner;
			if (level < 3 && below.properties) walk(below, `${prefix}${name}${inner.items ? "[]" : ""}.`, level + 1);
		}
	};
	walk(s, "", 0);
	return h("section", {}, h("h3", {}, title), rows.length
		? h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": title }, h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Field"), h("th", { scope: "col" }, "Type"), h("th", { scope: "col" }, "Rules"))), h("tbody", {}, rows)))
		: h("p", { class: "about" }, typeOf(schema) === "any" || s.type === "object" ? "Not described." : typeOf(schema)));
}

const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const compact = (text) => {
	try { return JSON.stringify(JSON.parse(text)); } catch { return text; }
};

function commands(m, draft) {
	const body = compact(draft.body);
	const stream = m.kind !== "unary";
	const curl = `curl${stream ? " -N" : ""} ${quote(location.origin + `/${m.service}/${m.name}`)} -H 'Content-Type: application/json' -d ${quote(body)}`;
	return [["curl", curl], ["mbus", `mbus ${stream ? "stream" : "query"} ${m.service} ${m.name} ${quote(body)}`]];
}

function command([name, text]) {
	const button = h("button", { type: "button", "aria-label": `Copy the ${name} command`, click: async () => {
		await navigator.clipboard?.writeText(text);
		button.textContent = "Copied";
		setTimeout(() => { button.textContent = "Copy"; }, 1500);
	} }, "Copy");
	return h("div", { class: "command" }, h("pre", { tabindex: 0, role: "region", "aria-label": `The ${name} command` }, text), button);
}

// send makes the call that the form describes.
async function send(m, draft, out) {
	const began = performance.now();
	const stop = new AbortController();
	out.cancel?.abort();
	out.cancel = stop;
	const say = (kind, line, text) => out.replaceChildren(h("p", { class: kind }, line), text === "" ? "" : h("pre", { tabindex: 0, role: "region", "aria-label": "Answer" }, text));
	say("", "Waiting…", "");
	try {
		const response = await fetch(`/${m.service}/${m.name}`, {
			method: "POST", body: draft.body || "{}", signal: stop.signal,
			headers: { "Content-Type": "application/json", Accept: m.kind === "unary" ? "application/json" : "application/x-ndjson" },
		});
		const head = () => `${response.status} ${response.statusText}, ${(performance.now() - began).toFixed(0)} ms`
			+ (response.headers.get("Mbus-End") ? `, ended by ${response.headers.get("Mbus-End")}` : "");
		const kind = response.ok ? "good" : "bad";
		let text = "";
		const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
		for (;;) {
			const { done, value } = await reader.read();
			if (done) break;
			text = (text + value).slice(-100_000);
			say(kind, head(), text);
		}
		try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* lines of a stream, or no JSON */ }
		say(kind, head(), text === "" ? "(empty)" : text);
	} catch (e) {
		if (!stop.signal.aborted) say("bad", `No answer: ${e.message}`, "");
	}
}

function showMethod() {
	const main = $("method");
	const key = decodeURIComponent(location.hash.slice(1));
	const m = state.methods.find((m) => m.key === key) ?? (key ? null : state.methods[0]);
	const mark = m ? JSON.stringify([m, m.paths.length]) : `none ${key} ${state.methods.length}`;
	if (main.dataset.mark === mark) return;
	main.dataset.mark = mark;
	document.title = m ? `${m.name} of ${m.service}, mbus API` : "mbus API";
	if (!m) {
		main.replaceChildren(state.methods.length
			? h("p", { class: "empty" }, `Nobody on the bus has ${key}. Choose one of the methods in the list.`)
			: h("div", { class: "empty" }, "No service is on the bus yet. This page shows it as soon as it is there. To see one, start the greeter:", h("pre", {}, "go run ./examples/greeter/server")));
		return;
	}
	const draft = state.drafts.get(m.key) ?? { body: JSON.stringify(example(m.request), null, 2) };
	state.drafts.set(m.key, draft);
	const twins = h("div", {}, commands(m, draft).map(command));
	const out = h("div", { id: "answer", "aria-live": "polite" });
	const sendable = m.kind === "unary" || m.kind === "server-stream";
	const area = h("textarea", { id: "body", spellcheck: "false", rows: Math.min(16, draft.body.split("\n").length + 1),
		input: (e) => {
			draft.body = e.target.value;
			twins.replaceChildren(...commands(m, draft).map(command));
		},
		keydown: (e) => { if (e.key === "Enter" && (e.ctrlKey || e.metaKey) && sendable) send(m, draft, out); },
	});
	area.value = draft.body;
	main.replaceChildren(
		h("h2", {}, m.name, h("small", {}, m.service)),
		m.description ? h("p", { class: "about" }, m.description) : "",
		h("p", { class: "about" }, `${m.kind}, ${m.instances} ${m.instances === 1 ? "instance" : "instances"}`),
		h("ul", { class: "paths", "aria-label": "Paths" }, m.paths.map((p) => h("li", {}, h("b", {}, p.verb), p.path))),
		h("div", { class: "two" }, fields("Request", m.request), fields(m.kind === "unary" ? "Answer" : "Messages", m.response)),
		h("h3", {}, "Try it"),
		h("label", { for: "body" }, "Request as JSON"), area,
		sendable
			? h("div", { class: "row" }, h("button", { class: "primary", type: "button", click: () => send(m, draft, out) }, "Send"), h("span", { class: "about" }, "or Ctrl+Enter"))
			: h("p", { class: "about" }, "A stream in this direction is open to a WebSocket at its first path, and to the command below."),
		out, h("h3", {}, "The same elsewhere"), twins);
}

function showList() {
	const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
	const current = decodeURIComponent(location.hash.slice(1)) || state.methods[0]?.key;
	const fit = state.methods.filter((m) => {
		const text = `${m.service} ${m.name} ${m.paths.map((p) => p.path).join(" ")}`.toLowerCase();
		return words.every((w) => text.includes(w));
	});
	const groups = Map.groupBy ? Map.groupBy(fit.slice(0, shown), (m) => m.service) : fit.slice(0, shown).reduce((g, m) => g.set(m.service, [...(g.get(m.service) ?? []), m]), new Map());
	const focused = document.activeElement?.closest?.("#list a")?.getAttribute("href");
	$("list").replaceChildren(
		...[...groups].map(([service, methods]) => h("section", {}, h("h2", {}, service), h("ul", {}, methods.map((m) =>
			h("li", {}, h("a", { href: `#${encodeURIComponent(m.key)}`, "aria-current": m.key === current ? "true" : null }, m.name, m.kind === "unary" ? "" : h("small", {}, m.kind))))))),
		fit.length > shown ? h("p", { class: "about" }, `${fit.length - shown} more; filter to see them.`) : "",
		fit.length === 0 && state.methods.length ? h("p", { class: "about" }, "No method is like that.") : "");
	if (focused) $("list").querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
}

function showState() {
	const live = $("live");
	const services = new Set(state.methods.map((m) => m.service)).size;
	const text = state.failed || `${state.methods.length} methods of ${services} ${services === 1 ? "service" : "services"}, live`;
	if (live.textContent !== text) live.textContent = text;
	live.className = state.failed ? "bad" : "";
}

// look reads the document again; the browser keeps what has not changed.
async function look() {
	try {
		const response = await fetch("/openapi.json", { headers: state.tag ? { "If-None-Match": state.tag } : {}, signal: AbortSignal.timeout(10_000) });
		const was = state.failed;
		state.failed = response.ok || response.status === 304 ? "" : `The gateway answers ${response.status}. Trying again.`;
		if (response.ok && response.headers.get("ETag") !== state.tag) {
			state.doc = await response.json();
			state.tag = response.headers.get("ETag");
			state.methods = methodsOf(state.doc);
			showList();
			showMethod();
		}
		if (was !== state.failed || response.ok) showState();
	} catch {
		state.failed = "The gateway does not answer. What is shown may be old. Trying again.";
		showState();
	}
	setTimeout(look, document.hidden ? 5 * every : every);
}

$("filter").addEventListener("input", showList);
addEventListener("hashchange", () => {
	showList();
	showMethod();
	$("method").focus();
});
addEventListener("keydown", (e) => {
	if (e.key === "/" && !e.ctrlKey && !e.metaKey && !e.altKey && !e.target.closest("input, textarea, select")) {
		e.preventDefault();
		$("filter").focus();
	}
});
look();
