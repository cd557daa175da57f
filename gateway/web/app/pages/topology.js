// Who calls whom. Focus first: a large system is never drawn whole. The table
// holds the same, and reads better for many.
import {html, view, signal, computed} from "../ui/view.js";
import {param, setParams, asset, load as reload} from "../ui/state.js";
import {script, stale} from "../ui/live.js";
import {totals} from "../ui/services.js";
import {Choice, Health, Name, Glyph, Empty} from "../ui/bits.js";
import {Picker} from "../ui/picker.js";
import {visible, shapeOf} from "../core/graph.js";
import {rank} from "../core/filter.js";
import {rate, count, span, nameParts, tail} from "../core/format.js";
import {serviceURL} from "../core/routes.js";

const data = signal(null), drawn = signal(null), failed = signal("");
let worker = null, asked = 0, last = "", wide = 196;

function load(d) { data.value = d; }
function on(kind, d) {
  if (kind !== "topology" || !data.value) return;
  const old = data.value, nodes = d.nodes ?? old.nodes, there = new Set(nodes.map(n => n.name));
  // the stream brings the busiest; others are as they were
  const others = nodes.length < MOST ? [] : old.nodes.filter(n => !there.has(n.name));
  data.value = {...old, at: d.at, edges: d.edges ?? old.edges, nodes: [...nodes, ...others]};
}

/** Another part of the system: the server sends what lies around the focus. */
function look(values, push = false) { setParams(values, push); reload(true); }

const hidden = () => param("hide").split(",").filter(Boolean);
const view_ = computed(() => {
  const d = data.value;
  if (!d) return null;
  return visible(d.nodes, d.edges, {focus: param("focus"), depth: Number(param("depth") || 1), hide: hidden(), rank});
});

const MOST = 600; // nodes in one answer
const H = 34, DEPTH = 4;
const across = signal(900); // how wide the picture may be
/** How wide a node is: two stand beside each other on a phone. */
const widthOf = room => room < 480 ? Math.max(130, Math.floor((room - 58) / 20) * 10) : 196;
const isTopic = name => name.startsWith("topic ");
const bare = name => name.replace(/^topic /, "");
const isPlain = n => n.kind === "client"; // no service, so that it has no health
/** What fits of a name: its last part, or the end of that; of words the beginning. */
function cutTo(text, n) {
  if (text.length <= n) return text;
  if (text.includes(" ")) return text.slice(0, n - 1) + "…";
  const last = nameParts(text)[1];
  return last.length > n ? "…" + last.slice(-n + 1) : last;
}
function arrange(v, dir, room) {
  const w = widthOf(room), key = `${dir} ${w} ${Math.floor((room - 22) / (w + 18))} ${shapeOf(v.nodes, v.edges)}`;
  if (key === last) return;
  last = key;
  if (!worker) {
    worker = new Worker(script(asset("layout.js")), {type: "module"});
    worker.onmessage = ({data: m}) => {
      if (m.id !== asked) return;
      if (m.error) { failed.value = m.error; return; }
      failed.value = "";
      drawn.value = {w: wide, width: m.width, height: m.height, at: new Map(m.nodes.map(([n, x, y]) => [n, [x, y]])), points: new Map(m.edges.map(([a, b, p]) => [a + "\n" + b, p]))};
    };
  }
  wide = w;
  worker.postMessage({id: ++asked, dir, across: Math.max(300, room - 16), nodes: v.nodes.map(n => ({name: n.name, w, h: H})), edges: v.edges.map(e => ({from: e.from, to: e.to}))});
}

const Topology = view((_, self) => {
  const d = data.value, v = view_.value;
  if (!d || !v) return null;
  const s = self.local(() => ({el: null})), room = across.value;
  const dir = param("layout") || (room < 700 ? "TB" : "LR"), table = param("view") === "table", focus = param("focus");
  self.after(() => {
    const watch = new ResizeObserver(() => { if (s.el.clientWidth) across.value = s.el.clientWidth; });
    watch.observe(s.el);
    return () => watch.disconnect();
  }, []);
  self.after(() => { if (!table) arrange(v, dir, room); }, [v, dir, table, room]);
  const options = d.nodes.map(n => ({text: n.name, note: n.health}));
  const depth = Number(param("depth") || 1), all = Math.max(d.nodes.length, totals.value?.services ?? 0);
  return html`<div class=${"fill topo" + (stale.value ? " old" : "")} ref=${el => { s.el = el; }}><div class="bar"><${Picker} id="focus" label="Focus" value=${focus} options=${options} placeholder="All, or a service" onPick=${n => look({focus: n}, true)}/>
      ${focus && html`<span class="row tight"><span class="quiet">Depth</span><button type="button" class="btn small" aria-label="One less" disabled=${depth <= 1} onClick=${() => look({depth: depth > 2 ? String(depth - 1) : ""})}>−</button><b class="mono">${depth}</b><button type="button" class="btn small" aria-label="One more" disabled=${depth >= DEPTH} onClick=${() => look({depth: String(depth + 1)})}>+</button><button type="button" class="btn small" onClick=${() => look({focus: "", depth: ""}, true)}>Show all</button></span>`}
      <span class="grow"></span>${hidden().map(n => html`<button key=${n} type="button" class="btn small" title="Show it again" onClick=${() => look({hide: hidden().filter(x => x !== n).join()})}>${nameParts(n)[1]} ×<span class="vh"> is hidden; show it</span></button>`)}
      ${!table && html`<${Choice} label="Direction" value=${dir} options=${[["LR", "→"], ["TB", "↓"]]} on=${x => setParams({layout: x})}/>`}
      <${Choice} label="Show as" value=${table ? "table" : ""} options=${[["", "Graph"], ["table", "Table"]]} on=${x => setParams({view: x})}/></div>
    ${v.mode === "unhealthy" && html`<p class="hint">${v.nodes.length ? `${count(all)} are too many for one picture: here is what is unhealthy, with its neighbours.` : `${count(all)} are too many for one picture, and all are well.`} Choose a focus to see others.</p>`}
    ${!d.edges.length && html`<p class="hint">No traffic seen in the last ${span((d.window_s ?? 300) * 1000)}. ${d.nodes.length ? "These are on the bus:" : ""}</p>`}
    ${table ? html`<${Table} d=${d} v=${v} focus=${focus}/>` : v.nodes.length ? html`<${Graph} v=${v} focus=${focus} all=${all}/>` : v.mode === "unhealthy" ? html`<${Foci} d=${d}/>` : html`<${Empty} title=${focus ? `${focus} is not here` : "Nothing is on the bus yet"}><p>${focus ? html`<button type="button" class="btn" onClick=${() => look({focus: "", depth: ""})}>Show all</button>` : html`<a href="/services">Services</a> says how to start one.`}</p></${Empty}>`}</div>`;
});

/** Names to begin with when there are too many and all are well. */
const Foci = ({d}) => html`<div class="page"><h2>Busiest</h2><ul class="plain-list">${[...d.nodes].sort((a, b) => (b.rps ?? 0) - (a.rps ?? 0)).slice(0, 12).map(n => html`<li key=${n.name}><${Health} h=${n.health}/><a class="mono" href=${"/topology?focus=" + encodeURIComponent(n.name)}>${n.name}</a><span class="quiet">${rate(n.rps)}/s</span></li>`)}</ul></div>`;

const Graph = view(({v, focus, all}) => {
  const g = drawn.value;
  if (failed.value) return html`<${Empty} title="This picture could not be laid out"><p>${failed.value}. The table shows the same.</p><button type="button" class="btn" onClick=${() => setParams({view: "table"})}>Show the table</button></${Empty}>`;
  if (!g) return html`<p class="quiet hint">Laying out</p>`;
  const W = g.w, fit = Math.min(1, Math.max(0.85, (across.value - 16) / g.width)); // a little smaller rather than sideways
  const left = all - v.nodes.reduce((n, x) => n + (x.size ?? 1), 0);
  const most = Math.max(1, ...v.edges.map(e => e.rps ?? 0));
  const keysOf = (e, name) => {
    const by = {ArrowRight: () => v.edges.find(x => x.from === name)?.to, ArrowLeft: () => v.edges.find(x => x.to === name)?.from, ArrowDown: () => near(v, g, name, 1), ArrowUp: () => near(v, g, name, -1)}[e.key];
    const to = by?.();
    if (!by) return;
    e.preventDefault(); e.stopPropagation();
    if (to) e.currentTarget.closest("svg").querySelector(`[data-n="${CSS.escape(to)}"]`)?.focus();
  };
  return html`<div class="graph" tabindex="-1" role="group" aria-label=${`Topology: ${v.nodes.length} services, ${v.edges.length} connections. Arrow keys follow connections.`}><svg width=${g.width * fit} height=${g.height * fit} viewBox=${`0 0 ${g.width} ${g.height}`}>
    <defs>${["", "-err"].map(k => html`<marker key=${k} id=${"arrow" + k} class=${"head-m" + (k ? " err" : "")} viewBox="0 0 10 12" refX="1" refY="6" markerWidth="10" markerHeight="12" markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 10 6 0 12Z"/></marker>`)}</defs>
    ${v.edges.map(e => { const p = g.points.get(e.from + "\n" + e.to); return p && html`<path key=${e.from + ">" + e.to} class=${"edge" + (e.errors_per_s > 0 ? " err" : "") + (e.source === "broker" ? " seen" : "")} d=${curve(p)} stroke-width=${e.rps ? 1 + 5 * Math.sqrt(e.rps / most) : 1} marker-end=${`url(#arrow${e.errors_per_s > 0 ? "-err" : ""})`}><title>${`${e.from} → ${e.to}: ${e.rps == null ? "the broker sees a subscription" : rate(e.rps) + "/s"}${e.errors_per_s ? `, ${rate(e.errors_per_s)} errors/s` : ""}`}</title></path>`; })}
    ${v.nodes.map(n => { const at = g.at.get(n.name); if (!at) return null; const text = cutTo(label(n), Math.floor((W - 66) / 7.2)), speed = n.rps == null ? "" : rate(n.rps);
      const href = n.group ? `/services?q=${encodeURIComponent("name:" + n.name.replace(/\*$/, ""))}` : isTopic(n.name) ? "/events?subject=" + encodeURIComponent(bare(n.name)) : isPlain(n) ? "/bus" : n.name === focus ? serviceURL(n.name) : `/topology?focus=${encodeURIComponent(n.name)}`;
    return html`<a key=${n.name} href=${href} class=${"gn " + n.health + (n.name === focus ? " focus" : "") + (n.kind !== "service" ? " other" : "")} data-n=${n.name} aria-label=${`${n.name === "?" ? "" : n.name + " "}${text} ${speed}${speed ? " requests a second" : ""}, ${isTopic(n.name) ? "topic" : isPlain(n) ? "not a service" : n.health}`} transform=${`translate(${at[0] - W / 2} ${at[1] - H / 2})`} onKeyDown=${e => keysOf(e, n.name)} onContextMenu=${e => { e.preventDefault(); setParams({hide: [...hidden(), n.name].join()}); }}>
      <title>${n.name === "?" ? "callers that do not say who they are" : n.name}</title>${" "}<rect width=${W} height=${H} rx="6"/>${!isPlain(n) && html`<svg x="10" y="12" width="10" height="10" class=${"st " + n.health}><${Glyph} h=${n.health}/></svg>`}<text x=${isPlain(n) ? 10 : 27} y="21">${text}</text>${" "}<text class="r" x=${W - 8} y="21" text-anchor="end">${speed}</text></a>`; })}
  </svg></div><p class="hint">Numbers and widths are requests a second; dashed is errors; dotted is what only the broker sees. A node leads to its neighbourhood, the focus to its page; a right click hides one. ${left > 0 && v.mode !== "focus" ? `${count(left)} are not drawn.` : ""}</p>`;
});

/** What a node is called in the picture. */
const label = n => n.name === "?" ? "unknown callers" : n.group ? `${n.name} (${n.size})` : isTopic(n.name) ? bare(n.name) : tail(n.name);

function near(v, g, name, way) {
  const [x, y] = g.at.get(name) ?? [0, 0];
  return v.nodes.map(n => [n.name, g.at.get(n.name)]).filter(([n, p]) => p && n !== name && Math.abs(p[0] - x) < g.w && (p[1] - y) * way > 0).sort((a, b) => (a[1][1] - b[1][1]) * way)[0]?.[0];
}

function curve(p) {
  // it ends where the arrow head begins
  const [[ax, ay], [bx, by]] = p.slice(-2), far = Math.hypot(bx - ax, by - ay) || 1, back = Math.min(9, far / 2);
  p = [...p.slice(0, -1), [bx - (bx - ax) / far * back, by - (by - ay) / far * back]];
  let d = `M${p[0]}`;
  for (let i = 1; i < p.length - 1; i++) d += `Q${p[i]} ${(p[i][0] + p[i + 1][0]) / 2},${(p[i][1] + p[i + 1][1]) / 2}`;
  return d + `L${p.at(-1)}`;
}

const Table = view(({d, v, focus}, self) => {
  const s = self.local(() => ({all: signal(false)}));
  const edges = (focus ? v.edges : d.edges).toSorted((a, b) => (b.rps ?? -1) - (a.rps ?? -1)), shown = s.all.value ? edges : edges.slice(0, 200);
  const services = new Set(d.nodes.filter(x => x.kind !== "client").map(x => x.name));
  const name = n => n === "?" ? html`<span class="quiet">unknown callers</span>` : isTopic(n) ? html`<span class="quiet">topic</span> <a class="mono" href=${"/events?subject=" + encodeURIComponent(bare(n))}>${bare(n)}</a>` : html`<a href=${services.has(n) ? serviceURL(n) : "/bus"}><${Name} n=${n}/></a>`;
  return html`<div class="tablebox tall" tabindex="0" role="region" aria-label="Connections"><table><thead><tr><th scope="col">From</th><th scope="col">To</th><th scope="col" class="num">Req/s</th><th scope="col" class="num">Errors/s</th><th scope="col" class="num wide-only">Calls</th><th scope="col" class="wide-only">Seen by</th></tr></thead>
    <tbody>${shown.map(e => html`<tr key=${e.from + ">" + e.to}><td>${name(e.from)}</td><td>${name(e.to)}</td><td class="num">${rate(e.rps)}</td><td class=${"num" + (e.errors_per_s > 0 ? " badn" : "")}>${rate(e.errors_per_s)}</td><td class="num wide-only">${count(e.calls)}</td><td class="wide-only">${e.source === "broker" ? "broker" : "services"}</td></tr>`)}</tbody></table>
    ${!edges.length && html`<p class="quiet hint">No connections.</p>`}${shown.length < edges.length && html`<button type="button" class="btn" onClick=${() => { s.all.value = true; }}>Show all ${count(edges.length)}</button>`}</div>`;
});

export default {
  title: () => "Topology", view: Topology, load, on, topics: () => ["topology"],
  toggle: () => setParams({view: param("view") === "table" ? "" : "table"}),
};
