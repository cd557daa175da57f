// Events: the subjects that are known, a tail of one of them, and publishing.
import {html, view, signal, computed} from "../ui/view.js";
import {param, params, go, getJSON, postJSON, load as reload} from "../ui/state.js";
import {stale, paused, bus} from "../ui/live.js";
import {current} from "../ui/grid.js";
import {Choice, Clock, Empty} from "../ui/bits.js";
import {Commands} from "../ui/detail.js";
import {Stored, Faces, turn} from "../ui/stored.js";
import {hex, pretty} from "../core/json.js";
import {mbus, quote} from "../core/copy.js";
import {clock, bytes, count, rate, plural} from "../core/format.js";
import {tree as subjectTree} from "../core/subjects.js";
import {wayOf, moment} from "../core/stored.js";

const KEEP = 2000, ALL = ">"; // the server makes of it what it knows, not one subscription to everything
const data = signal(null), list = signal([]), skipped = signal({last: 0, all: 0}), fresh = signal(0), chosen = signal(null), follow = signal(true);
const topic = signal(""), body = signal(""), sent = signal(null), listeners = signal(null), closed = signal(new Set());
let subject = "";

function load(d) {
  if (d.stored?.read || data.value?.stored?.read) chosen.value = null;
  data.value = d;
  if (d.subject !== subject) {
    subject = d.subject;
    list.value = []; skipped.value = {last: 0, all: 0}; chosen.value = null; fresh.value = 0;
    if (subject && !/[*>]/.test(subject)) { topic.value = subject; ask(1500); }
  }
}

function on(kind, d) {
  if (kind !== "events" || d.topic !== "events:" + subject) return;
  skipped.value = {last: d.skipped ?? 0, all: skipped.value.all + (d.skipped ?? 0)};
  if (!d.events?.length) return;
  const next = list.value.concat(d.events);
  list.value = next.length > KEEP ? next.slice(-KEEP) : next;
  if (!follow.value) fresh.value += d.events.length;
}

const words = computed(() => param("q").toLowerCase().split(/\s+/).filter(Boolean));
const matches = all => words.value.length ? all.filter(e => words.value.every(w => (e.subject + " " + (e.encoding === "text" ? e.data : "")).toLowerCase().includes(w))) : all;
const seen = computed(() => matches(list.value));
const stored = () => Boolean(wayOf(params.value));

let asking = 0;
/** Asks who subscribes, after a while: the page's own tail counts, too, once it has begun. */
function ask(wait = 250) {
  clearTimeout(asking);
  const t = topic.value.trim();
  listeners.value = null;
  if (!t) return;
  asking = setTimeout(look, wait);
}
function look() { getJSON("/-/subscribers?topic=" + encodeURIComponent(topic.value.trim())).then(d => { if (d.topic === topic.value.trim()) listeners.value = d; }, () => {}); }

async function publish() {
  const t = topic.value.trim();
  if (!t) { sent.value = {ok: false, detail: "Which topic?"}; return; }
  try { sent.value = {...await postJSON("/-/publish", {topic: t, data: body.value, encoding: "text"}), at: Date.now()}; } catch (e) { sent.value = {ok: false, code: e.code, detail: e.message}; }
}

/** Keeps the numbers of the subjects young. */
async function refresh() {
  if (document.hidden || paused.value || stale.value) return;
  const d = await getJSON("/events?subject=" + encodeURIComponent(subject)).catch(() => null);
  if (d && d.subject === subject && data.value && !paused.value) data.value = {...data.value, subjects: d.subjects, more: d.more};
  if (listeners.value) look();
}

const Events = view((_, self) => {
  const d = data.value;
  if (!d) return null;
  self.after(() => { const every = setInterval(refresh, 5000); return () => clearInterval(every); }, []);
  return html`<div class=${"events" + (stale.value ? " old" : "")}><${Subjects} d=${d}/><section class="tail" aria-label="Events">${d.subject && stored() ? html`<${Stored} d=${d} chosen=${chosen} keep=${matches}/>` : d.subject ? html`<${Tail} d=${d}/>` : html`<${Empty} title="Which subject?"><p>Choose one on the left, or write one: <code>orders.*</code> is one more token, <code>orders.></code> all below.</p><${Ask}/>${d.note && html`<p class="quiet">${d.note}</p>`}</${Empty}>`}</section>
    <div class="pane"><${Event}/>${stored() && html`<${Commands} commands=${{curl: "curl " + quote(location.origin + "/events" + location.search)}} title="This page from a shell"/>`}<${Publish}/></div></div>`;
});

const Ask = view((_, self) => {
  const s = self.local(() => ({v: signal("")}));
  return html`<form class="row" onSubmit=${e => { e.preventDefault(); const v = s.v.value.trim(); if (v) go("/events?subject=" + encodeURIComponent(v)); }}><input class="field mono" aria-label="Subject" placeholder="orders.>" value=${s.v.value} onInput=${e => { s.v.value = e.target.value; }}/><button class="btn">Follow</button></form>`;
});

const Subjects = view(({d}) => {
  const all = d.subjects ?? [];
  return html`<nav class="subjects" aria-label="Subjects"><div class="bar"><h2>Subjects</h2><button type="button" class="linkish" onClick=${() => reload(true)}>Look again</button></div>
    ${all.length ? html`<ul class="stree"><li><div class="srow"><span class="fold"></span><a href=${"/events?subject=" + encodeURIComponent(ALL)} aria-current=${d.subject === ALL ? "true" : null}>all events</a></div></li>${subjectTree(all).map(n => html`<${Subject} key=${n.path} n=${n} at=${d.subject} depth=${0}/>`)}</ul>` : html`<p class="quiet">No subjects are known yet. Publish one below, or subscribe: <code>${mbus(bus.value?.url)}subscribe user.created</code></p>`}
    ${d.more > 0 && html`<p class="quiet">${count(d.more)} more are not shown.</p>`}${d.hidden && html`<p class="quiet">Not shown: ${d.hidden}.</p>`}</nav>`;
});
const Subject = view(({n, at, depth}) => {
  const shut = closed.value.has(n.path), kids = n.kids.length > 0;
  const target = n.self ? n.path : n.path + ".>";
  return html`<li><div class="srow">${kids ? html`<button type="button" class="fold" aria-expanded=${String(!shut)} aria-label=${`${n.path}, ${n.kids.length} below`} onClick=${() => { const c = new Set(closed.value); c[shut ? "delete" : "add"](n.path); closed.value = c; }}>${shut ? "▸" : "▾"}</button>` : html`<span class="fold"></span>`}
    <a class="mono" href=${"/events?subject=" + encodeURIComponent(target)} aria-current=${at === target ? "true" : null} title=${target}>${n.name}${n.self ? "" : html`<span class="quiet">.></span>`}</a><span class="quiet mono" title=${n.self?.subscribers ? plural(n.self.subscribers, "subscriber") : null}>${n.self?.rate ? rate(n.self.rate) + "/s" : n.self?.subscribers ? n.self.subscribers + " sub" : ""}</span></div>
    ${kids && !shut && html`<ul>${n.kids.map(k => html`<${Subject} key=${k.path} n=${k} at=${at} depth=${depth + 1}/>`)}</ul>`}</li>`;
});

const ROW = 28;
const Tail = view(({d}, self) => {
  const s = self.local(() => ({top: signal(0), h: signal(400), el: null, free: false}));
  const all = seen.value;
  const from = Math.max(0, Math.floor(s.top.value / ROW) - 4), to = Math.min(all.length, Math.ceil((s.top.value + s.h.value) / ROW) + 4);
  self.after(() => {
    const r = new ResizeObserver(() => { s.h.value = s.el.clientHeight; });
    r.observe(s.el);
    return () => r.disconnect();
  }, []);
  self.after(() => { if (follow.value && s.el) { s.el.scrollTop = s.el.scrollHeight; s.top.value = s.el.scrollTop; } }, [all, follow.value]);
  const bottom = () => { follow.value = true; fresh.value = 0; };
  const pick = i => { const e = all[Math.max(0, Math.min(all.length - 1, i))]; if (!e) return; chosen.value = e; follow.value = false; const k = all.indexOf(e); const y = k * ROW; if (y < s.el.scrollTop || y > s.el.scrollTop + s.h.value - 2 * ROW) s.el.scrollTop = Math.max(0, y - s.h.value / 2); };
  s.all = all; s.pick = pick;
  self.after(() => {
    const mine = {
      move: to => { s.pick(to(chosen.value ? s.all.indexOf(chosen.value) : s.all.length)); s.el.focus({preventScroll: true}); },
      row: () => chosen.value, open: () => {}, page: () => {}, props: () => ({command: e => e.encoding === "text" ? command(e.subject, e.data) : ""}),
    };
    current.grid = mine;
    return () => { if (current.grid === mine) current.grid = null; };
  }, []);
  return html`<${Faces} d=${d}/><div class="bar"><b class="mono cut">${d.subject === ALL ? "all events" : d.subject}</b><span class="quiet">${plural(list.value.length, "event")}${list.value.length >= KEEP ? `, older ones left` : ""}</span>${skipped.value.all > 0 && html`<span class="note inline-note">${skipped.value.last ? `${count(skipped.value.last)} skipped/s` : `${count(skipped.value.all)} skipped in all`}</span>`}<span class="grow"></span>
      <button type="button" class="btn small" aria-pressed=${String(follow.value)} onClick=${() => { if (follow.value) follow.value = false; else bottom(); }}>Follow</button><button type="button" class="btn small" onClick=${() => { list.value = []; fresh.value = 0; chosen.value = null; }}>Clear</button></div>
    ${d.note && !stale.value && html`<p class="hint">${d.note}</p>`}
    <div class=${"etail" + (/[*>]/.test(d.subject) ? "" : " one")} tabindex="0" role="listbox" aria-label=${d.subject === ALL ? "All events" : `Events on ${d.subject}`} aria-activedescendant=${chosen.value ? "ev-" + chosen.value.n : null} ref=${el => { s.el = el; }} onScroll=${e => { const el = e.currentTarget; s.top.value = el.scrollTop; const low = el.scrollTop + el.clientHeight >= el.scrollHeight - 4; if (!low && follow.value && s.free) follow.value = false; if (low && !follow.value && !chosen.value) bottom(); }}
        onWheel=${() => { s.free = true; }} onPointerDown=${() => { s.free = true; }} onKeyDown=${e => {
    const i = chosen.value ? all.indexOf(chosen.value) : all.length;
    const next = {ArrowDown: i + 1, ArrowUp: i - 1, Home: 0, End: all.length - 1, PageDown: i + 12, PageUp: i - 12}[e.key];
    if (next === undefined) return;
    e.preventDefault(); e.stopPropagation();
    if (e.key === "End") { chosen.value = null; bottom(); } else pick(next);
  }}>
      <div class="ebody" role="presentation" style=${{height: all.length * ROW + "px"}}>${all.slice(from, to).map((e, i) => html`<div key=${e.n} id=${"ev-" + e.n} role="option" aria-selected=${String(e === chosen.value)} class="erow" style=${{top: (from + i) * ROW + "px"}} onClick=${() => { chosen.value = e; follow.value = false; }}><span class="mono quiet">${clock(e.at)}<span class="fine">${clock(e.at, true).slice(8)}</span></span><span class="mono cut es">${e.subject}</span><span class="mono quiet num">${bytes(e.size)}</span><span class="mono cut ed">${e.encoding === "text" ? e.data.slice(0, 300) : "binary"}</span></div>`)}</div></div>
    ${!all.length && html`<p class="quiet hint">${list.value.length ? `None of ${list.value.length} matches “${param("q")}”.` : stale.value ? "Not listening: the connection is lost." : "Listening. Nothing has come yet."}</p>`}
    ${fresh.value > 0 && html`<button type="button" class="btn newer" onClick=${() => { chosen.value = null; bottom(); }}>${count(fresh.value)} new ↓</button>`}`;
});

const Event = view((_, self) => {
  const s = self.local(() => ({as: signal("")})), e = chosen.value;
  if (!e) return html`<section class="event"><h2>Event</h2><p class="quiet">Choose one in the list to see its data and headers.</p></section>`;
  let json;
  if (e.encoding === "text") try { json = pretty(JSON.parse(e.data)); } catch { /* text it is */ }
  const forms = e.encoding === "text" ? [...json !== undefined ? [["json", "JSON"]] : [], ["text", "Text"], ["hex", "Hex"]] : [["hex", "Hex"], ["base64", "Base64"]];
  const as = forms.some(([k]) => k === s.as.value) ? s.as.value : forms[0][0];
  const text = as === "json" ? json : as === "hex" ? hex(e.encoding === "text" ? btoa(String.fromCharCode(...new TextEncoder().encode(e.data.slice(0, 4096)))) : e.data) : e.data;
  return html`<section class="event" aria-label="Event"><div class="bar"><h2>Event</h2><${Choice} label="Show as" value=${as} options=${forms} on=${v => { s.as.value = v; }}/><button type="button" class="linkish" onClick=${() => { topic.value = e.subject; if (e.encoding === "text") body.value = e.data; ask(); }}>Use as draft</button></div>
    <p class="quiet mono brk">${stored() && moment(e.at, Date.now()).length > 8 ? moment(e.at, Date.now()).slice(0, 11) : ""}<${Clock} at=${e.at} fine=${true}/> ${stored() ? ` · sequence ${count(e.n)}` : ""} · ${e.subject} · ${bytes(e.size)}${e.cut ? ", cut" : ""}${e.content_type ? " · " + e.content_type : ""}</p><pre tabindex="0">${text}</pre>
    ${Object.keys(e.headers ?? {}).length > 0 && html`<details><summary>Headers (${Object.keys(e.headers).length})</summary><pre tabindex="0">${Object.entries(e.headers).map(([k, v]) => `${k}: ${[].concat(v).join(", ")}`).join("\n")}</pre></details>`}</section>`;
});

const command = (topic, text) => `${mbus(bus.value?.url)}publish ${quote(topic)} ${quote(text)}`;
/** Who gets what is published, besides the tails of this dashboard. */
const receivers = n => !n ? "" : !n.known ? "who subscribes is not known" : n.subscribers ? `${plural(n.subscribers, "subscriber")} will receive it` : n.here ? "only this dashboard will receive it" : "nobody will receive it";
const Publish = view(() => {
  const n = listeners.value, r = sent.value;
  return html`<form class="publish" aria-label="Publish" onSubmit=${e => { e.preventDefault(); publish(); }} onKeyDown=${e => { if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) { e.preventDefault(); publish(); } }}>
    <h2>Publish</h2><label class="lab" for="p-topic"><span class="lab-t">Topic</span><span class="quiet">${receivers(n)}</span></label>
    <input id="p-topic" class="field mono" autocomplete="off" spellcheck="false" placeholder="user.created" value=${topic.value} onInput=${e => { topic.value = e.target.value; ask(); }}/>
    <label class="lab" for="p-body"><span class="lab-t">Data</span><span class="quiet">sent byte for byte</span></label><textarea id="p-body" rows="4" spellcheck="false" value=${body.value} onInput=${e => { body.value = e.target.value; }}></textarea>
    <div class="row"><button class="btn pri" data-test="publish">Publish event</button><span class="quiet"><kbd>Ctrl</kbd> <kbd>Enter</kbd></span></div>
    <div role="status" aria-live="polite">${r && (r.ok ? html`<p class="okn">Published ${bytes(r.bytes)} to <code>${r.topic}</code> at ${clock(r.at)}.</p>` : html`<p class="badn">Not published. ${r.code ? html`<code>${r.code}</code> ` : ""}${r.detail}</p>`)}</div>
    ${topic.value.trim() && html`<${Commands} commands=${{mbus: command(topic.value.trim(), body.value), curl: `curl -H 'Content-Type: application/json' ${location.origin}/-/publish -d ${quote(JSON.stringify({topic: topic.value.trim(), data: body.value}))}`, go: `err := pubsub.Publish(ctx, conn, ${JSON.stringify(topic.value.trim())}, []byte(${JSON.stringify(body.value)}))`}} title="Same event from a shell"/>`}</form>`;
});

export default {
  title: () => subject ? `${subject} · Events` : "Events", view: Events, load, on, topics: () => data.value?.subject && !stored() ? ["events:" + data.value.subject] : [], turn: way => turn(data.value, way),
  bar: () => data.value?.subject ? {label: "Filter events", placeholder: "Filter the events shown"} : null,
};
