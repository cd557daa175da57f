// Nodes as a grid or as tiles.
import {html, view, signal} from "./view.js";
import {param, setParams, go, now} from "./state.js";
import {stale, paused, bus} from "./live.js";
import {Grid} from "./grid.js";
import {NodeInspector} from "./nodeinspector.js";
import {Health, Name, Choice} from "./bits.js";
import {compile, nodeFields, nodeWords, sorted} from "../core/filter.js";
import {rate, ms, count, bytes, span, shortID, nameParts, plural, none} from "../core/format.js";
import {mbus} from "../core/copy.js";
import {nodeURL, serviceURL} from "../core/routes.js";

/** A bar that empties as the time of the last beat runs out. */
const Beat = view(({n}) => {
  const age = Math.max(0, (paused.value || now.value) - n.last_seen), ttl = (n.interval_ms || 2000) * 3;
  const left = Math.max(0, Math.min(1, 1 - age / ttl));
  return n.last_seen ? html`<span class="beat" title=${`last heard ${span(age)} ago`}><i style=${{width: Math.round(left * 36) + "px"}}></i></span><span class="mono">${span(age)}</span>` : none;
});

const columns = [
  {key: "health", title: "State", width: "104px", cell: n => html`<${Health} h=${n.state}/>`},
  {key: "id", title: "Node", width: "minmax(110px,1fr)", cell: n => html`<a class="mono" href=${nodeURL(n.id)} tabindex="-1" title=${n.id}>${shortID(n.id, n.service)}</a>`},
  {key: "service", title: "Service", width: "minmax(120px,1.4fr)", cell: n => html`<a href=${serviceURL(n.service)} tabindex="-1"><${Name} n=${n.service}/></a>`},
  {key: "version", title: "Version", width: "84px", min: 720, class: "mono", cell: n => n.version || none},
  {key: "last_seen", title: "Heard", width: "112px", first: -1, cell: n => html`<${Beat} n=${n}/>`},
  {key: "started", title: "Up", width: "92px", min: 980, num: true, cell: n => html`<${Up} at=${n.started}/>`},
  {key: "in_flight", title: "In flight", width: "84px", min: 860, num: true, first: -1, cell: n => count(n.in_flight)},
  {key: "rps", title: "Req/s", width: "76px", num: true, first: -1, cell: n => rate(n.rps)},
  {key: "p99_ms", title: "p99 ms", width: "76px", min: 600, num: true, first: -1, cell: n => ms(n.p99_ms)},
  {key: "memory", title: "Heap", width: "84px", min: 1080, num: true, first: -1, cell: n => bytes(n.memory)},
  {key: "threads", title: "Goroutines", width: "96px", min: 1180, num: true, first: -1, cell: n => count(n.threads)},
  {key: "gc_ms", title: "GC ms", width: "76px", min: 1260, num: true, first: -1, cell: n => ms(n.gc_ms)},
];
/** A row where there is no room for columns. */
const card = n => [html`<a class="mono cut" href=${nodeURL(n.id)} tabindex="-1" title=${n.id}>${nameParts(n.service)[1]} <span class="quiet">…${n.id.slice(-4)}</span></a><${Health} h=${n.state}/>`,
  html`<span>${[n.version, n.rps == null ? "" : `${rate(n.rps)} req/s`, n.p99_ms == null ? "" : `p99 ${ms(n.p99_ms)} ms`].filter(Boolean).join(" · ")}</span><span><${Beat} n=${n}/></span>`];
const Up = view(({at}) => at ? span(now.value - at) : none);

export const NodeGrid = view(({nodes, tick, service, empty}) => {
  const f = compile(param("q"), nodeFields, nodeWords);
  const sort = param("sort") || "health", dir = param("dir") === "desc" ? -1 : 1, tiles = param("view") === "tiles";
  const all = sorted(nodes.filter(f.test), sort, dir);
  const onSort = (key, first = 1) => setParams(sort === key ? {dir: dir < 0 ? "" : "desc"} : {sort: key === "health" ? "" : key, dir: first < 0 ? "desc" : ""});
  const cols = service ? columns.filter(c => c.key !== "service") : columns;
  const none = nodes.length ? html`<div class="empty"><b>No node matches “${param("q")}”.</b><p>${nodes.length} are there. <code>is:suspect</code> shows those that stopped answering.</p><button type="button" class="btn" onClick=${() => setParams({q: ""})}>Clear the filter</button></div>` : empty;
  const chosen = tiles ? null : nodes.find(n => n.id === param("sel"));
  const only = chosen && !nodes.some(n => n !== chosen && n.service === chosen.service && (n.state === "ok" || n.state === "starting"));
  return html`<div class=${"split" + (chosen ? " chosen" : "")}><section class="left" aria-label="Nodes"><div class="bar"><span class="quiet">${all.length === nodes.length ? plural(nodes.length, "node") : `${count(all.length)} of ${plural(nodes.length, "node")}`}</span><${Choice} label="Show as" value=${tiles ? "tiles" : ""} options=${[["", "Grid"], ["tiles", "Tiles"]]} on=${v => setParams({view: v})}/></div>
    ${tiles ? all.length ? html`<${Tiles} nodes=${all} tick=${tick}/>` : none
    : html`<${Grid} label="Nodes" rows=${all} columns=${cols} id=${n => n.id} sel=${param("sel")} tick=${tick} stale=${stale.value > 0} sort=${sort} dir=${dir} onSort=${onSort} onSelect=${n => setParams({sel: n.id})} onOpen=${n => go(nodeURL(n.id))} command=${n => `${mbus(bus.value?.url)}health ${n.service}`} card=${card} empty=${none}/>`}</section>${chosen && html`<${NodeInspector} key=${chosen.id} node=${chosen} only=${only} tick=${tick} onClose=${() => setParams({sel: ""})}/>`}</div>`;
});

/** One tile a node. Thousands fit, so that they are drawn in pieces as one scrolls. */
const Tiles = view(({nodes}, self) => {
  const s = self.local(() => ({shown: signal(600), el: null}));
  self.after(() => {
    const watch = new IntersectionObserver(([e]) => { if (e.isIntersecting) s.shown.value += 600; });
    if (s.el) watch.observe(s.el);
    return () => watch.disconnect();
  }, [nodes.length > s.shown.value]);
  return html`<div class="tiles-box" tabindex="0" role="region" aria-label="Nodes as tiles"><ul class="tiles">${nodes.slice(0, s.shown.value).map(n => html`<li key=${n.id}><a class=${"tile " + n.state} href=${nodeURL(n.id)} title=${`${n.id}: ${n.state}, ${rate(n.rps)} req/s`} aria-label=${`${n.id}: ${n.state}`}></a></li>`)}</ul>${nodes.length > s.shown.value && html`<p class="quiet" ref=${el => { s.el = el; }}>${count(nodes.length - s.shown.value)} more</p>`}</div>`;
});
