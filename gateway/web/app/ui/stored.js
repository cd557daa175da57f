// What a stream has kept of a subject: from a sequence, from a time, or the last.
import {html, view, signal} from "./view.js";
import {params, param, go, say, now} from "./state.js";
import {Choice, Empty} from "./bits.js";
import {bytes, count, plural} from "../core/format.js";
import {wayOf, storedURL, fieldTime, addressTime, moment, COUNTS} from "../core/stored.js";

const liveURL = subject => "/events?subject=" + encodeURIComponent(subject);
const perPage = () => Number(param("n") || (wayOf(params.value)?.[0] === "last" ? param("last") : 50)) || 50;
/** The stream that is read: the one of the address, else the first. */
const streamOf = d => d.stored?.streams.find(s => s.name === param("stream")) ?? d.stored?.streams[0];

/** The subject, and its two faces: events as they come, and those that are kept. */
export const Faces = view(({d}) => {
  const stored = Boolean(wayOf(params.value));
  return html`<div class="bar faces"><b class="mono cut">${d.subject}</b><${Choice} label="Events that" value=${stored ? "stored" : "live"} options=${[["live", "Live"], ["stored", "Stored"]]} on=${v => { if ((v === "stored") !== stored) go(v === "live" ? liveURL(d.subject) : storedURL(d.subject, "", "last", 50)); }}/></div>`;
});

/** Goes to the page beside the one that is shown. */
export function turn(d, way) {
  const r = d?.stored?.read, seq = r?.[way];
  if (seq) go(storedURL(d.subject, r.stream, way === "later" ? "seq" : "before", seq, perPage()));
}

export const Stored = view(({d, chosen, keep}, self) => {
  const st = d.stored, r = st?.read, s = streamOf(d);
  self.after(() => { if (r) say(r.events.length ? `Sequence ${r.events[0].n} to ${r.events.at(-1).n}, ${plural(r.events.length, "event")}.` : r.note); }, [r]);
  if (!st?.streams.length) return html`<${Faces} d=${d}/><${Empty} title="Nothing is kept"><p>${first(st?.note ?? "")}. Events are shown as they come.</p><p>A stream keeps them, for instance <code>nats stream add --subjects '${d.subject}'</code>.</p><a class="btn" href=${liveURL(d.subject)}>Follow them live</a></${Empty}>`;
  return html`<${Faces} d=${d}/><div class="bar kept"><${Streams} d=${d} s=${s}/></div><${Seek} d=${d} s=${s}/>
    ${st.note && html`<p class="note inset">${first(st.note)}.</p>`}
    ${r && html`${r.note && html`<p class=${r.events.length ? "note inset" : "hint quiet"}>${first(r.note)}.</p>`}<${List} all=${keep(r.events)} of=${r.events.length} d=${d} chosen=${chosen}/><${Pager} d=${d} r=${r} s=${s}/>`}`;
});
const first = text => text.slice(0, 1).toUpperCase() + text.slice(1);

/** The stream, and what it holds. */
const Streams = view(({d, s}) => html`${d.stored.streams.length > 1
  ? html`<label class="inl"><span class="quiet">Stream</span><select aria-label="Stream" value=${s.name} onChange=${e => { const [way, value] = wayOf(params.value) ?? ["last", 50]; go(storedURL(d.subject, e.target.value, way === "time" ? way : "last", way === "time" ? value : perPage(), perPage())); }}>${d.stored.streams.map(x => html`<option key=${x.name} value=${x.name}>${x.name}</option>`)}</select></label>`
  : html`<span><span class="quiet">stream</span> <b class="mono">${s.name}</b></span>`}
  <span class="quiet">${s.messages ? html`sequence <span class="mono">${count(s.first)}</span> to <span class="mono">${count(s.last)}</span>, ${plural(s.messages, "message")}, ${bytes(s.bytes)}, from <span class="mono">${moment(s.first_at, now.value)}</span> to <span class="mono">${moment(s.last_at, now.value)}</span>` : "no messages"}</span>`);

/** Where to read from. */
const Seek = view(({d, s}, self) => {
  const [way, value] = wayOf(params.value) ?? ["last", "50"], n = perPage();
  const f = self.local(() => ({way: signal(""), seq: signal(""), time: signal(""), n: signal(50), bad: signal("")}));
  self.after(() => { // the form says what the address says
    f.way.value = way === "before" ? "seq" : way;
    f.bad.value = "";
    f.n.value = COUNTS.includes(n) ? n : COUNTS.find(c => c >= n) ?? 200;
    if (way === "seq") f.seq.value = value;
    const at = /^\d+$/.test(value) ? Number(value) : Date.parse(value);
    if (way === "time" && !Number.isNaN(at)) f.time.value = fieldTime(at);
  }, [way, value, n]);
  const read = e => {
    e.preventDefault();
    const to = {last: f.n.value, seq: f.seq.value.trim(), time: addressTime(f.time.value)}[f.way.value];
    if (f.way.value === "seq" && !/^\d{1,19}$/.test(to)) { f.bad.value = "A sequence is a whole number."; return; }
    if (f.way.value === "time" && !to) { f.bad.value = "From which day and time?"; return; }
    f.bad.value = "";
    go(storedURL(d.subject, d.stored.streams.length > 1 ? s.name : "", f.way.value, to, f.n.value));
  };
  const at = f.way.value || way, start = v => { f.way.value = v; f.bad.value = ""; if (v === "seq" && !f.seq.value) f.seq.value = String(s.first); if (v === "time" && !f.time.value) f.time.value = fieldTime(s.first_at || Date.now()); };
  return html`<form class="bar seek" aria-label="Read from" onSubmit=${read}><${Choice} label="Read from" value=${at} options=${[["last", "The last"], ["seq", "Sequence"], ["time", "Time"]]} on=${start}/>
    ${at === "seq" && html`<input class="field mono seq" inputmode="numeric" aria-label="Sequence" aria-describedby="seek-bad" value=${f.seq.value} onInput=${e => { f.seq.value = e.target.value; }}/>`}
    ${at === "time" && html`<input class="field mono" type="datetime-local" step="1" aria-label="Day and time" aria-describedby="seek-bad" value=${f.time.value} onInput=${e => { f.time.value = e.target.value; }}/>`}
    <select aria-label="Events a page" value=${f.n.value} onChange=${e => { f.n.value = Number(e.target.value); }}>${COUNTS.map(c => html`<option key=${c} value=${c}>${c} events</option>`)}</select>
    <button class="btn small" data-test="read">Read</button><span id="seek-bad" class="badn" role="status">${f.bad.value}</span></form>`;
});

const List = view(({all, of, d, chosen}, self) => {
  const s = self.local(() => ({el: null}));
  const pick = i => {
    const e = all[Math.max(0, Math.min(all.length - 1, i))];
    if (!e) return;
    chosen.value = e;
    requestAnimationFrame(() => s.el?.querySelector("[aria-selected=true]")?.scrollIntoView({block: "nearest"}));
  };
  if (!all.length) return of ? html`<p class="quiet hint">None of ${of} matches “${param("q")}”.</p>` : null;
  const today = moment(all[0].at, now.value).length === 8 && moment(all.at(-1).at, now.value).length === 8;
  return html`<div class=${"etail stored" + (today ? " today" : "")} style=${{"--seq": Math.max(44, count(all.at(-1).n).length * 7.5) + "px"}} tabindex="0" role="listbox" aria-label=${`Events kept of ${d.subject}`} aria-activedescendant=${chosen.value ? "st-" + chosen.value.n : null} ref=${el => { s.el = el; }} onKeyDown=${e => {
    const i = all.indexOf(chosen.value);
    const to = {ArrowDown: i + 1, ArrowUp: i < 0 ? all.length - 1 : i - 1, Home: 0, End: all.length - 1, PageDown: i + 12, PageUp: i - 12}[e.key];
    if (to === undefined) return;
    e.preventDefault(); e.stopPropagation();
    pick(to);
  }}>${all.map(e => html`<div key=${e.n} id=${"st-" + e.n} role="option" aria-selected=${String(e === chosen.value)} class="erow" onClick=${() => { chosen.value = e; }}><span class="mono num">${count(e.n)}</span><span class="mono quiet cut">${moment(e.at, now.value)}</span><span class="mono cut es">${e.subject}</span><span class="mono quiet num">${bytes(e.size)}</span><span class="mono cut ed">${e.encoding === "text" ? e.data.slice(0, 300) : "binary"}</span></div>`)}</div>`;
});

/** The pages beside this one, and the two ends of the stream. */
const Pager = view(({d, r, s}) => {
  const n = perPage(), to = (way, value) => go(storedURL(d.subject, r.stream, way, value, n));
  const button = (text, on, f, key) => html`<button type="button" class="btn small" aria-disabled=${String(!on)} title=${key ? `Key ${key}` : null} onClick=${() => { if (on) f(); }}>${text}</button>`;
  return html`<div class="bar pager" role="group" aria-label="Pages of the stream">${button("First", r.earlier > 0, () => to("seq", s.first))}${button("← Earlier", r.earlier > 0, () => turn(d, "earlier"), "[")}
    <span class="quiet">${r.events.length ? html`<span class="mono">${count(r.events[0].n)}</span> to <span class="mono">${count(r.events.at(-1).n)}</span>` : "nothing here"}</span>
    ${button("Later →", r.later > 0, () => turn(d, "later"), "]")}${button("Last", r.later > 0, () => to("last", n))}</div>`;
});
