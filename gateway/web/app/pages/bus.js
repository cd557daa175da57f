// The bus itself: servers, connections, JetStream, and what may not be seen.
import {html, view, signal} from "../ui/view.js";
import {param, setParams, now, prefs, load as reload} from "../ui/state.js";
import {stale, bus} from "../ui/live.js";
import {Grid} from "../ui/grid.js";
import {Figure} from "../ui/bits.js";
import {bytes, count, rate, ms, span, plural, none} from "../core/format.js";
import {sorted} from "../core/filter.js";
import {serviceURL} from "../core/routes.js";

const data = signal(null), rates = signal(null);
let last = null;

function load(d) { note(d); data.value = d; if (d.bus) bus.value = d.bus; }
function on(kind, d) {
  if (kind !== "bus" || !data.value) return;
  note(d);
  data.value = {...data.value, ...d, me: {...d.me, rtt_ms: d.me?.rtt_ms ?? data.value.me?.rtt_ms}, connections: d.connections?.length ? d.connections : data.value.connections, jetstream: d.jetstream ?? data.value.jetstream, hidden: d.hidden ?? data.value.hidden, more_connections: d.more_connections ?? data.value.more_connections};
}
/** Rates of the servers, from two readings. */
function note(d) {
  const sum = {at: d.at, in: 0, out: 0, inb: 0, outb: 0};
  for (const s of d.servers ?? []) { sum.in += s.in_msgs ?? 0; sum.out += s.out_msgs ?? 0; sum.inb += s.in_bytes ?? 0; sum.outb += s.out_bytes ?? 0; }
  if (last && d.at > last.at && sum.in >= last.in && (d.servers ?? []).length) {
    const s = (d.at - last.at) / 1000;
    if (s > 0.5) rates.value = {in: (sum.in - last.in) / s, out: (sum.out - last.out) / s, inb: (sum.inb - last.inb) / s, outb: (sum.outb - last.outb) / s};
  }
  if (!last || d.at > last.at) last = sum;
}

const per = v => v == null ? none : bytes(v);
const columns = [
  {key: "name", title: "Connection", width: "minmax(120px,1fr)", cell: c => html`<span class="mono cut" title=${c.name || `client ${c.id}`}>${c.name || `client ${c.id}`}</span>`},
  {key: "slow", title: "State", width: "124px", min: 420, first: -1, cell: c => c.slow ? html`<span class="st degraded"><svg class="glyph" viewBox="0 0 10 10" aria-hidden="true"><path d="M5 .5 9.6 9.5H.4Z" fill="currentColor"/></svg>slow consumer</span>` : html`<span class="quiet">in time</span>`},
  {key: "services", title: "Serves", width: "minmax(100px,1.6fr)", min: 720, fixed: true, cell: c => html`<span class="mono cut" title=${(c.services ?? []).join(", ")}>${(c.services ?? []).length ? c.services.map((s, i) => html`${i ? ", " : ""}<a key=${s} tabindex="-1" href=${serviceURL(s)}>${s}</a>`) : none}</span>`},
  {key: "lang", title: "Client", width: "104px", min: 900, class: "mono", cell: c => [c.lang, c.version].filter(Boolean).join(" ") || none},
  {key: "rtt_ms", title: "RTT ms", width: "72px", min: 640, num: true, first: -1, cell: c => ms(c.rtt_ms)},
  {key: "pending", title: "Pending", width: "84px", num: true, first: -1, cell: c => per(c.pending)},
  {key: "subscriptions", title: "Subs", width: "84px", min: 560, num: true, first: -1, cell: c => count(c.subscriptions)},
  {key: "in_msgs", title: "Msgs in", width: "84px", min: 480, num: true, first: -1, cell: c => count(c.in_msgs)},
  {key: "out_msgs", title: "Msgs out", width: "84px", min: 480, num: true, first: -1, cell: c => count(c.out_msgs)},
];

/** A row where there is no room for columns. */
const card = c => [html`<span class="mono cut" title=${c.name}>${c.name || `client ${c.id}`}</span>${c.slow ? columns[1].cell(c) : ""}`, html`<span>${per(c.pending)} pending · ${ms(c.rtt_ms)} ms · ${count(c.in_msgs)} in · ${count(c.out_msgs)} out</span>`];

const Bus = view(() => {
  const d = data.value, r = rates.value;
  if (!d) return null;
  const words = param("q").toLowerCase().split(/\s+/).filter(Boolean), key = param("sort") || "slow", dir = param("sort") ? (param("dir") === "desc" ? -1 : 1) : -1;
  const all = sorted((d.connections ?? []).filter(c => words.every(w => `${c.name} ${(c.services ?? []).join(" ")} ${c.lang} ${c.ip} ${w === "is:slow" && c.slow ? w : ""}`.toLowerCase().includes(w))), key, dir);
  const me = d.me ?? {}, link = bus.value ?? d.bus ?? {}, away = link.connected === false;
  const onSort = (k, first = 1) => setParams(key === k ? {sort: k, dir: dir < 0 ? "" : "desc"} : {sort: k, dir: first < 0 ? "desc" : ""});
  return html`<div class=${"page" + (stale.value ? " old" : "")}><dl class="figs"><${Figure} name="Link" value=${link.connected === false ? "down" : "up"} kind=${link.connected === false ? "down" : ""}/><${Figure} name="Round trip" value=${ms(me.rtt_ms)} unit=" ms"/><${Figure} name="Servers" value=${count(d.servers?.length || null)}/><${Figure} name="Msgs in" value=${r ? rate(r.in) : none} unit="/s"/><${Figure} name="Msgs out" value=${r ? rate(r.out) : none} unit="/s"/><${Figure} name="Bytes out" value=${r ? bytes(r.outb) : none} unit="/s"/></dl>
    ${!away && d.hidden?.length > 0 && html`<section class="note" aria-label="Not visible">${d.hidden.map(h => html`<p key=${h}>Not visible here: ${h}.</p>`)}</section>`}
    <h2>Servers</h2>${d.servers?.length ? html`<div class="tablebox" tabindex="0" role="region" aria-label="Servers"><table><thead><tr><th scope="col">Name</th><th scope="col">Version</th><th scope="col" class="wide-only">Cluster</th><th scope="col" class="num">Conns</th><th scope="col" class="num"><abbr title="slow consumers so far">Slow</abbr></th><th scope="col" class="num wide-only">Subs</th><th scope="col" class="num wide-only">Memory</th><th scope="col" class="num wide-only">CPU %</th><th scope="col" class="num wide-only">Up</th></tr></thead><tbody>${d.servers.map(s => html`<tr key=${s.id}><td class="mono"><span class="cut" title=${s.id}>${s.name || s.id}</span></td><td class="mono">${s.version}${s.jetstream ? html` <span class="tag">JetStream</span>` : ""}</td><td class="wide-only">${s.cluster || none}</td><td class="num">${count(s.connections)}</td><td class=${"num" + (s.slow_consumers ? " badn" : "")}>${count(s.slow_consumers)}</td><td class="num wide-only">${count(s.subscriptions)}</td><td class="num wide-only">${bytes(s.memory)}</td><td class="num wide-only">${s.cpu == null ? none : s.cpu.toFixed(1)}</td><td class="num wide-only">${s.started ? span(now.value - s.started) : none}</td></tr>`)}</tbody></table></div>` : away ? html`<p class="quiet">Not connected${link.url ? html`; the last server was at <code>${link.url}</code>` : ""}.</p>` : html`<p class="quiet">Connected to ${me.server ? html`<code>${me.server}</code>` : "a server"}${link.url ? html` at <code>${link.url}</code>` : ""}${me.max_payload ? `, messages up to ${bytes(me.max_payload)}` : ""}.</p>`}
    <h2>Connections ${d.connections?.length ? html`<span class="quiet">${count(d.connections.length)}${d.more_connections ? ` and ${count(d.more_connections)} more` : ""}</span> <button type="button" class="linkish" onClick=${() => reload(true)}>Look again</button>` : ""}</h2>
    ${d.connections?.length ? html`<div class="gridbox" style=${{height: Math.min(420, Math.max(4, all.length) * prefs.density.value + 36) + "px"}}><${Grid} label="Connections" rows=${all} columns=${columns} card=${card} id=${c => `${c.server}-${c.id}`} sel=${param("sel")} tick=${d} stale=${stale.value > 0} sort=${key} dir=${dir} onSort=${onSort} onSelect=${c => setParams({sel: `${c.server}-${c.id}`})} empty=${html`<div class="empty"><b>No connection matches “${param("q")}”.</b></div>`}/></div>` : html`<p class="quiet">${away ? "Not known without the bus." : "Not visible to this account."}</p>`}
    <h2>JetStream</h2>${d.jetstream ? html`${d.jetstream.error ? html`<p class="note bad">${d.jetstream.error}</p>` : html`<p class="quiet">memory ${bytes(d.jetstream.memory)} · store ${bytes(d.jetstream.store)}</p>`}
      ${d.jetstream.streams?.length ? html`<div class="tablebox" tabindex="0" role="region" aria-label="Streams"><table><thead><tr><th scope="col">Stream</th><th scope="col">Subjects</th><th scope="col" class="num">Messages</th><th scope="col" class="num">Size</th><th scope="col">Consumers</th></tr></thead><tbody>${d.jetstream.streams.map(s => html`<tr key=${s.name}><td class="mono">${s.name}</td><td class="mono"><span class="cut">${(s.subjects ?? []).join(", ")}</span></td><td class="num">${count(s.messages)}</td><td class="num">${bytes(s.bytes)}</td><td>${(s.consumers ?? []).map(c => html`<div key=${c.name}><span class="mono">${c.name}</span> <span class=${c.pending ? "warnn" : "quiet"}>${plural(c.pending ?? 0, "message")} behind${c.ack_pending ? `, ${count(c.ack_pending)} unacknowledged` : ""}${c.redelivered ? `, ${count(c.redelivered)} redelivered` : ""}</span></div>`)}${!s.consumers?.length && html`<span class="quiet">none</span>`}</td></tr>`)}</tbody></table></div>` : !d.jetstream.error && html`<p class="quiet">No streams.</p>`}` : html`<p class="quiet">${away ? "Not known without the bus." : "Not enabled, or not visible to this account."}</p>`}</div>`;
});

export default {title: () => "Bus", view: Bus, load, on, topics: () => ["bus"], bar: () => ({label: "Filter connections", placeholder: "Filter, e.g. is:slow"})};
