// Tests of the rules in core, run in the browser that runs the app: run()
// answers [{name, error}], one for each test.
import * as filter from "./filter.js";
import * as fmt from "./format.js";
import * as win from "./window.js";
import * as json from "./json.js";
import * as schema from "./schema.js";
import * as routes from "./routes.js";
import * as copy from "./copy.js";
import * as graph from "./graph.js";
import * as live from "./live.js";
import * as fuzzy from "./fuzzy.js";
import * as subjects from "./subjects.js";
import * as versions from "./compare.js";
import * as stored from "./stored.js";
import {Keys, map} from "./keys.js";

function same(got, want, what = "") {
  const g = JSON.stringify(got), w = JSON.stringify(want);
  if (g !== w) throw new Error(`${what} got ${g}, want ${w}`);
}

const tests = {
  "versions are compared by method, and say what is missing"() {
    const n = (calls, p50) => ({calls, rps: calls / 60, error_percent: 0, p50_ms: p50, p95_ms: null, p99_ms: p50});
    const e = (name, x, y) => ({name, minute: x, life: y});
    const all = [{version: "1", instances: 2, endpoints: [e("B", n(60, 10), n(600, 20)), e("A", n(1, 1), n(1, 1))]}, {version: "", instances: 1, endpoints: [e("B", n(60, 12), n(600, 10))]}];
    const c = versions.compare(all, "1", "-", "minute");
    same(c.endpoints.map(x => [x.name, x.a?.p50_ms ?? null, x.b?.p50_ms ?? null]), [["A", 1, null], ["B", 10, 12]]);
    same(versions.compare(all, "1", "-", "life").endpoints[1].b.p50_ms, 10);
    for (const [a, b] of [["1", "1"], ["1", "3"], ["", "1"], ["1", ""]]) same(versions.compare(all, a, b, "minute").endpoints.length, 0, `${a} and ${b}:`);
    same(versions.compare(all.slice(1), "1", "-", "minute").note, "Only one version runs at the moment.");
  },
  "a difference has a word when it is large and both were called"() {
    const n = (calls, p50, errors = 0) => ({calls, rps: 1, error_percent: errors, p50_ms: p50});
    const word = (key, a, b) => versions.difference(key, a, b).word;
    same([word("p50_ms", n(20, 10), n(20, 11)), word("p50_ms", n(20, 10), n(20, 9)), word("p50_ms", n(20, 10), n(20, 10.9)), word("p50_ms", n(19, 10), n(20, 30))], ["slower", "faster", "", ""]);
    same([word("error_percent", n(20, 1, 0), n(20, 1, 1)), word("error_percent", n(20, 1, 5), n(20, 1, 1)), word("error_percent", n(20, 1, 1), n(20, 1, 1.5))], ["more fail", "fewer fail", ""]);
    same([word("rps", n(20, 1), n(200, 1)), versions.difference("p50_ms", n(9, null), n(9, 1)).by, versions.difference("p50_ms", null, n(9, 1)).by], ["", null, null]);
    same([versions.signed(1.5, fmt.ms), versions.signed(-1.5, fmt.ms), versions.signed(0, fmt.ms), versions.signed(null, fmt.ms)], ["+1.5", "−1.5", "±0", fmt.none]);
  },
  "addresses of a stream say where to read from"() {
    same(stored.wayOf(new URLSearchParams("subject=a&seq=7")), ["seq", "7"]);
    same(stored.wayOf(new URLSearchParams("subject=a&n=7")), null);
    same(stored.storedURL("orders.>", "", "last", 100, 100), "/events?subject=orders.%3E&last=100");
    same(stored.storedURL("a", "S", "before", 51, 50), "/events?subject=a&stream=S&before=51");
    same(stored.storedURL("a", "S", "seq", 51, 200), "/events?subject=a&stream=S&seq=51&n=200");
    const at = Date.UTC(2026, 0, 31, 12, 3, 4);
    same(stored.addressTime(stored.fieldTime(at)), "2026-01-31T12:03:04.000Z");
    same([stored.addressTime(""), stored.moment(at, at).length, stored.moment(at, at + 3 * 86400000).length], ["", 8, 19]);
  },
  "what is done to a node has its commands"() {
    same(copy.deregisterAs({service: "a.b", id: "it's"}, "nats://127.0.0.1:4222", "http://h").mbus, `mbus deregister service '{"name":"a.b","nodes":[{"id":"it'\\''s"}]}'`);
    same(copy.drainAs({service: "a.b", id: "a.b-1"}, true, "nats://x:1", "http://h").mbus, "mbus --url nats://x:1 drain a.b a.b-1");
    same([fmt.typedID("a.b-0123456789ABCDEF", "a.b"), fmt.typedID("ruby-1", "a.b")], ["89ABCDEF", "ruby-1"]);
  },
  async "filters match the table that Go is tested by, too"() {
    const {rows, cases} = await (await fetch(new URL("filter.cases.json", import.meta.url))).json();
    for (const c of cases) {
      const f = filter.compile(c.q, filter.serviceFields, filter.serviceWords);
      same(rows.flatMap((r, i) => f.test(r) ? [i] : []), c.want, `“${c.q}”:`);
      same(f.problems.length, c.problems ?? 0, `problems of “${c.q}”:`);
    }
  },
  "a filter is completed by fields and by values"() {
    same(filter.complete("order is:d", filter.serviceFields), ["is:down", "is:degraded"]);
    same(filter.complete("rp", filter.serviceFields), ["rps>"]);
  },
  "rows sort worst first, unknown numbers last, ties by name"() {
    const rows = [{name: "b", health: "ok", rps: 1}, {name: "a", health: "ok", rps: null}, {name: "c", health: "down", rps: 9}];
    same(filter.sorted(rows, "health", 1).map(r => r.name), ["c", "a", "b"]);
    same(filter.sorted(rows, "rps", -1).map(r => r.name), ["c", "b", "a"]);
    same(filter.sorted(rows, "rps", 1).map(r => r.name), ["b", "c", "a"]);
  },
  "unknown numbers read as a dash, never as zero"() {
    for (const f of [fmt.count, fmt.rate, fmt.ms, fmt.percent, fmt.bytes, fmt.span]) same(f(null), fmt.none);
    same([fmt.rate(0), fmt.rate(0.01), fmt.rate(12.34), fmt.rate(3012.4)], ["0", "<0.1", "12.3", "3,012"]);
    same([fmt.span(850), fmt.span(4200), fmt.span(7500000), fmt.span(90000000)], ["850 ms", "4 s", "2 h 5 min", "1 d 1 h"]);
    same([fmt.bytes(12), fmt.bytes(1536), fmt.bytes(5e9)], ["12 B", "1.5 KiB", "4.7 GiB"]);
  },
  "a window of 2,000 rows draws few"() {
    const w = win.windowOf(16000, 600, 2000, 32);
    same(w.to - w.from < 60, true);
    same(w.from * 32 <= 16000 && w.to * 32 >= 16600, true);
    same(win.windowOf(99999, 600, 3, 32), {from: 3, to: 3});
  },
  "a tick of the Line is as bad as the worst of its services"() {
    const rows = Array.from({length: 1000}, (_, i) => ({name: "s" + i, health: i === 501 ? "down" : "ok"}));
    const ticks = win.strip(rows, 100, filter.rank);
    same(ticks.length, 100);
    same(ticks.filter(t => t.health === "down").length, 1);
    same(ticks.reduce((n, t) => n + t.of, 0), 1000);
  },
  "a spark leaves gaps where nothing is known"() {
    same(win.sparkPath([1, null, 1], 90, 20), "M0 2M90 2");
    same(win.sparkPath([], 90, 20), "");
  },
  "an error in JSON is told with its line"() {
    same(json.jsonError('{"a":1}'), null);
    same(json.jsonError('{\n  "a": 1,\n  b\n}').line, 3);
    same(json.jsonError("").line, 1);
  },
  "a request survives the address"() {
    const text = '{"name":"Jörg 🚌","n":9007199254740993}';
    same(json.unpack(json.pack(text)), text);
    same(json.unpack("%%%"), null);
  },
  "big integers keep their digits"() {
    if (!JSON.rawJSON) return;
    same(json.pretty(json.read('{"n":9007199254740993}')), '{\n  "n": 9007199254740993\n}');
  },
  "a diff says what went and what came"() {
    same(json.diff("a\nb\nc", "a\nx\nc"), [[" ", "a"], ["-", "b"], ["+", "x"], [" ", "c"]]);
  },
  "a schema that refers to itself ends"() {
    const s = {type: "object", properties: {name: {type: "string"}, kids: {type: "array", items: {$ref: "#"}}, next: {$ref: "#/$defs/N"}}, required: ["name"], $defs: {N: {type: "object", properties: {n: {$ref: "#/$defs/N"}}}}};
    const t = schema.tree(s);
    same(t.map(f => [f.name, f.required, f.again]), [["name", true, false], ["kids", false, true], ["next", false, false]]);
    same(t[2].fields[0].again, true);
    same(typeof schema.example(s), "object");
  },
  "fields that a schema does not name are found, not dropped"() {
    const s = {type: "object", properties: {a: {type: "object", properties: {b: {type: "integer"}}}, list: {type: "array", items: {type: "object", properties: {x: {}}}}}};
    same(schema.unknown({a: {b: 1, c: 2}, z: 0, list: [{x: 1, y: 2}]}, s), ["a.c", "z", "list[0].y"]);
  },
  "a form changes one place of a value"() {
    same(schema.withAt({a: {b: 1}, c: 2}, ["a", "b"], 5), {a: {b: 5}, c: 2});
    same(schema.withAt({l: [1, 2, 3]}, ["l", 1], undefined), {l: [1, 3]});
    same(schema.withAt({a: 1}, ["a"], undefined), {});
  },
  "addresses and pages belong to each other"() {
    same(routes.route("/services/go.micro.srv.a/stats"), {page: "service", name: "go.micro.srv.a", tab: "stats"});
    same(routes.route("/query/a/Say.Hello"), {page: "query", name: "a", method: "Say.Hello"});
    same(routes.route("/cli"), {page: "terminal"});
    same(routes.route("/greeter/"), null);
    same(routes.route("/services/a/b"), null);
    same(routes.route(routes.serviceURL("a b/c")).name, "a b/c");
  },
  "a call reads the same from a shell"() {
    const c = copy.callAs({service: "go.micro.srv.greeter", method: "Say.Hello", request: '{\n  "name": "O\'Neil  x"\n}'}, "http://h");
    same(c.mbus, `mbus query go.micro.srv.greeter Say.Hello '{"name":"O'\\''Neil  x"}'`);
    same(copy.squeeze('{ "a b" : [ 1 , 2 ] }'), '{"a b":[1,2]}');
    same([copy.secret("Authorization"), copy.secret("X-Api-Key"), copy.secret("X-Trace")], [true, true, false]);
  },
  "a large topology is not drawn whole"() {
    const nodes = Array.from({length: 2000}, (_, i) => ({name: `a.g${i % 40}.s${i}`, health: i === 7 ? "down" : "ok", instances: 1, rps: 1}));
    const edges = nodes.slice(1).map((n, i) => ({from: nodes[i].name, to: n.name, rps: 1}));
    const v = graph.visible(nodes, edges, {rank: filter.rank});
    same([v.mode, v.nodes.length, v.left], ["unhealthy", 3, 1997]);
    same(graph.visible(nodes, edges, {focus: nodes[100].name, depth: 2, rank: filter.rank}).nodes.length, 5);
    same(graph.visible(nodes, edges, {focus: nodes[100].name, depth: 200, rank: filter.rank}).nodes.length <= 120, true);
    same(graph.visible(nodes.slice(0, 3), edges, {hide: [nodes[1].name], rank: filter.rank}).edges, []);
  },
  "deltas apply in order, and a gap is noticed"() {
    const rows = new Map([[1, {id: 1, name: "a", health: "ok", spark: [1]}]]), state = {seq: 5};
    same(live.applyServices(rows, state, {seq: 5, prev: 4}), "old");
    same(live.applyServices(rows, state, {seq: 8, prev: 7}), "stale");
    same(live.applyServices(rows, state, {seq: 6, prev: 5, n: [[1, 9, 1, 2, 0, 0, 3]], rows: [{id: 2, name: "b", health: "down", rps: 0}]}), {names: true, health: false});
    same([rows.get(1).rps, rows.get(1).spark, rows.get(2).health, state.seq], [9, [1, 9], "down", 6]);
    same(live.applyServices(rows, state, {seq: 7, prev: 6, gone: [2], rows: [{id: 1, name: "a", health: "degraded", rps: 9}]}), {names: true, health: true});
    same([rows.size, rows.get(1).spark], [1, [1, 9, 9]]);
  },
  "what waits while paused is bounded, and says when some was lost"() {
    const h = new live.Held(2);
    h.add(1); h.add(2); same(h.lost, 0); h.add(3); same([h.lost, h.take(), h.lost], [1, [2, 3], 0]);
    same(h.count, 0);
  },
  "a few letters find the closest name"() {
    same(fuzzy.find("greet hello", ["go.micro.srv.greeter Say.Hello", "go.micro.srv.geo Near"], x => x, 5).length, 1);
    same(fuzzy.find("order", ["reorderer", "go.order"], x => x, 1), ["go.order"]);
  },
  "subjects fold into a tree"() {
    const t = subjects.tree([{name: "orders.eu.paid"}, {name: "orders.eu.made"}, {name: "orders.eu.>"}, {name: "mail"}]);
    same(t.map(n => [n.name, n.kids.map(k => k.name)]), [["mail", []], ["orders.eu", ["made", "paid"]]]);
  },
  "keys follow the map that the help shows"() {
    const k = new Keys(true), feed = (key, more = {}) => k.feed({key, ctrl: false, alt: false, field: false, at: 0, ...more});
    same(feed("g"), ""); same(feed("s"), "/services");
    same(feed("/"), "filter"); same(feed("/", {field: true}), null);
    same(feed("k", {ctrl: true}), "palette"); same(feed("Escape", {field: true}), "escape");
    same(feed("g"), ""); same(feed("s", {at: 9000}), null);
    k.on = false; same([feed("p"), feed("k", {ctrl: true})], [null, "palette"]);
    same(new Set(map.map(m => m[0])).size, map.length);
  },
};

/** Runs all tests. */
export async function run() {
  const out = [];
  for (const [name, f] of Object.entries(tests)) {
    let error = null;
    try { await f(); } catch (e) { error = String(e.stack ?? e).slice(0, 600); }
    out.push({name, error});
  }
  return out;
}
