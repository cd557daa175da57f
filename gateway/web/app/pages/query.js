// The page Query: a call as a form and as JSON, streams, history.
import {html, view, signal} from "../ui/view.js";
import {param, setParams, go, postJSON, prefs, tell, copy} from "../ui/state.js";
import {bus} from "../ui/live.js";
import {index} from "../ui/palette.js";
import {Picker} from "../ui/picker.js";
import {SchemaForm} from "../ui/schemaform.js";
import {JSONField} from "../ui/jsonfield.js";
import {Choice, Empty} from "../ui/bits.js";
import {Schema, Commands} from "../ui/detail.js";
import {Answer} from "../ui/answer.js";
import {Talk} from "../ui/talk.js";
import {callBody} from "../ui/callbox.js";
import {jsonError, pretty, pack, unpack, diff, read} from "../core/json.js";
import {example, unknown} from "../core/schema.js";
import {callAs, secret} from "../core/copy.js";
import {queryURL} from "../core/routes.js";
import {clock, ms, kindOf, kindText} from "../core/format.js";

const TIMES = [500, 1000, 5000, 15000, 30000], USUAL = 5000; // ms
const data = signal(null), text = signal("{}"), node = signal(""), timeout = signal(5000);
const headers = signal([]), answer = signal(null), busy = signal(null), services = signal([]), repeat = signal(1), runs = signal(null), compared = signal(null);
let shown = "", saving = 0;

function load(d) {
  const key = d.service + " " + d.method;
  data.value = d;
  const packed = new URLSearchParams(location.search).get("req");
  if (packed) text.value = unpack(packed) ?? d.request ?? "{}";
  else if (key !== shown) text.value = d.request || pretty(d.endpoint?.example ?? (d.endpoint?.request ? example(d.endpoint.request) : {}));
  if (key !== shown) { answer.value = null; runs.value = null; compared.value = null; }
  node.value = new URLSearchParams(location.search).get("node") ?? d.node ?? "";
  const ms = Number(new URLSearchParams(location.search).get("timeout"));
  timeout.value = TIMES.includes(ms) ? ms : USUAL;
  shown = key;
  index().then(v => { services.value = v; }, () => {});
}

function type(v) {
  text.value = v;
  clearTimeout(saving);
  saving = setTimeout(() => setParams({req: v.length < 6000 ? pack(v) : ""}), 250);
}

const kind_ = d => kindOf(d.endpoint ?? d.methods?.find(m => m.name === d.method));

async function call(signal) {
  const d = data.value;
  try {
    return await postJSON("/-/call", callBody({service: d.service, method: d.method, node: node.value || undefined, timeout_ms: timeout.value, headers: Object.fromEntries(headers.value.filter(([k]) => k))}, text.value), {signal, read});
  } catch (e) {
    return {ok: false, failure: "dashboard", status: e.status ?? 0, code: e.code ?? "", detail: e.message, cancelled: e.cause?.name === "AbortError"};
  }
}

async function send() {
  const d = data.value;
  if (busy.value || jsonError(text.value) || !d.service || !d.method) return;
  const stop = new AbortController(), times = [];
  busy.value = stop;
  compared.value = null; runs.value = null;
  let last, good = 0;
  for (let i = 0; i < repeat.value && !stop.signal.aborted; i++) {
    last = await call(stop.signal);
    if (last.cancelled) break;
    times.push(last.elapsed_ms ?? 0);
    if (last.ok) good++;
    if (repeat.value > 1) runs.value = summary(times, good, repeat.value);
  }
  busy.value = null;
  if (!last || last.cancelled) { tell("Stopped."); return; }
  answer.value = {...last, service: d.service};
  remember({status: last.status, ok: last.ok, failure: last.failure, ms: last.elapsed_ms, answer: last.ok ? last.text ?? pretty(last.body) ?? "" : `${last.code}: ${last.detail}`});
}

function summary(times, good, of) {
  const s = [...times].sort((a, b) => a - b), at = q => s[Math.min(s.length - 1, Math.floor(s.length * q))];
  return {n: times.length, of, good, p50: at(0.5), p99: at(0.99), max: s.at(-1)};
}

function remember(what) {
  if (!prefs.history.value) return;
  const d = data.value, kept = headers.value.filter(([k]) => k && !secret(k));
  prefs.calls.value = [{at: Date.now(), service: d.service, method: d.method, node: node.value, request: text.value.slice(0, 20000), headers: kept, ...what, answer: String(what.answer ?? "").slice(0, 20000)}, ...prefs.calls.value].slice(0, 100);
}

function replay(c) {
  headers.value = c.headers ?? [];
  go(queryURL(c.service, c.method, pack(c.request)) + (c.node ? "&node=" + encodeURIComponent(c.node) : "")).then(() => { text.value = c.request; });
}

const Query = view((_, self) => {
  const d = data.value;
  if (!d) return null;
  const kind = kind_(d), stream = kind !== "unary", e = d.endpoint;
  self.after(() => {
    const f = ev => { if ((ev.ctrlKey || ev.metaKey) && ev.key === "Enter" && !ev.defaultPrevented && !stream) { ev.preventDefault(); send(); } };
    addEventListener("keydown", f);
    return () => removeEventListener("keydown", f);
  }, [stream]);
  const known = services.value.map(x => ({text: x.name, note: x.health}));
  const methods = (d.methods ?? []).map(m => ({text: m.name, note: m.debug ? "debug" : kindOf(m) === "unary" ? "" : kindText(m)}));
  const near = (d.near ?? []).filter(n => n !== d.service);
  const missing = d.service && d.method && !e && methods.length > 0;
  return html`<div class="page query"><div class="picks">
      <${Picker} id="q-service" label="Service" value=${d.service} options=${known} placeholder="Which service?" free=${true} onPick=${v => go(queryURL(v))}/>
      <${Picker} id="q-method" label="Endpoint" value=${d.method} options=${methods} placeholder=${d.service ? "Which endpoint?" : "Choose a service first"} free=${true} onPick=${v => go(queryURL(d.service, v))}/>
      <div><label class="lab" for="q-node"><span class="lab-t">Node</span></label><select id="q-node" value=${node.value} onChange=${ev => { node.value = ev.target.value; setParams({node: ev.target.value}); }}><option value="">any</option>${(d.nodes ?? []).map(n => html`<option key=${n.id} value=${n.id}>${n.id.slice(-10)} ${n.version}${n.state !== "ok" ? " (" + n.state + ")" : ""}</option>`)}${node.value && !(d.nodes ?? []).some(n => n.id === node.value) && html`<option value=${node.value}>${node.value}</option>`}</select></div>
      ${!stream && html`<div><label class="lab" for="q-timeout"><span class="lab-t">Timeout</span></label><select id="q-timeout" value=${String(timeout.value)} onChange=${ev => { timeout.value = Number(ev.target.value); setParams({timeout: timeout.value === USUAL ? "" : ev.target.value}); }}>${TIMES.map(t => html`<option key=${t} value=${String(t)}>${t < 1000 ? t + " ms" : t / 1000 + " s"}</option>`)}</select></div>`}</div>
    ${near.length > 0 && (missing || !methods.length) && html`<p class="note">${methods.length ? `${d.service} has no endpoint ${d.method}.` : near.length < d.near.length ? `${d.service} is gone.` : `No service is called ${d.service}.`} Close by: ${near.map((n, i) => html`${i ? ", " : ""}<a key=${n} href=${methods.length ? queryURL(d.service, n) : queryURL(n)}>${n}</a>`)}</p>`}
    ${!d.service ? html`<${Empty} title="Which service?"><p>Choose one above, or press <kbd>Ctrl</kbd> <kbd>K</kbd> and type a few letters of an endpoint.</p></${Empty}>`
    : !d.method ? html`<${Empty} title="Which endpoint?"><ul class="plain-list">${methods.map(m => html`<li key=${m.text}><a class="mono" href=${queryURL(d.service, m.text)}>${m.text}</a><span class="quiet">${m.note}</span></li>`)}</ul>${!methods.length && html`<p>${d.service} offers nothing that is known. Type the name of an endpoint above to call it all the same.</p>`}</${Empty}>`
    : html`<div class="two wide-two"><section aria-label="Request">${stream
      ? html`<${Talk} key=${d.service + d.method} service=${d.service} method=${d.method} node=${node.value} kind=${kind} text=${text.value} setText=${type} onEnd=${r => remember({status: r.status, ok: r.ok, ms: r.ms, answer: `${r.messages} messages; ${r.text}`})}/>`
      : html`<${Request} e=${e}/>`}
      ${e?.description && html`<p class="doc">${e.description}</p>`}</section>
      <section aria-label="Response">${!stream && html`<div role="status" aria-live="polite">${busy.value ? html`<p class="quiet">Waiting for an answer${runs.value ? `: ${runs.value.n} of ${runs.value.of}` : ""}</p>` : answer.value ? html`<${Answer} answer=${answer.value}/>` : html`<div class="lab"><span class="lab-t">Response</span></div><p class="quiet">Not sent yet. What the endpoint answers:</p><${Schema} schema=${e?.response}/>`}</div>
        ${runs.value && html`<p class="mono runs">${runs.value.n} calls, ${runs.value.good} good · p50 ${ms(runs.value.p50)} ms · p99 ${ms(runs.value.p99)} ms · max ${ms(runs.value.max)} ms</p>`}`}
        ${stream && html`<div class="lab"><span class="lab-t">Messages of the service</span></div><${Schema} schema=${e?.response}/>`}
        <${Commands} commands=${callAs({service: d.service, method: d.method, request: jsonError(text.value) ? "{}" : text.value, node: node.value, timeout: timeout.value, headers: headers.value.filter(([k]) => k), stream, url: bus.value?.url ?? /--url (\S+)/.exec(d.commands?.mbus ?? "")?.[1]}, location.origin)}/></section></div>`}
    <${History}/></div>`;
});

const Request = view(({e}) => {
  const bad = jsonError(text.value), as = param("as") || (e?.request && Object.keys(e.request.properties ?? e.request).length ? "form" : "json");
  const value = bad ? null : read(text.value);
  const strange = !bad && e?.request ? unknown(value, e.request) : [];
  const notes = strange.length ? [`Not in the schema, sent all the same: ${strange.join(", ")}`] : [];
  return html`<form onSubmit=${ev => { ev.preventDefault(); send(); }}>
    <div class="row tight"><${Choice} label="Write the request as" value=${as} options=${[["form", "Form"], ["json", "JSON"]]} on=${v => setParams({as: v})}/><button type="button" class="linkish" onClick=${() => copy(location.href, "Link copied: it opens this request.")}>Copy link</button></div>
    ${as === "form" ? bad ? html`<p class="note bad">The JSON is broken at line ${bad.line}: ${bad.message}. <button type="button" class="linkish" onClick=${() => setParams({as: "json"})}>Mend it</button></p>`
      : e?.request ? html`<${SchemaForm} schema=${e.request} value=${value} onChange=${v => type(pretty(v))}/>${notes.map(n => html`<p key=${n} class="note">${n}</p>`)}` : html`<p class="quiet">This endpoint describes no request, so there is no form. <button type="button" class="linkish" onClick=${() => setParams({as: "json"})}>Write JSON</button></p>`
    : html`<${JSONField} id="q-json" label="Request" value=${text.value} onInput=${type} onSend=${send} rows=${12} notes=${notes}/>`}
    <${Headers}/>
    <div class="row">${busy.value ? html`<button type="button" class="btn" onClick=${() => busy.value?.abort()}>Stop</button>` : html`<button class="btn pri" data-test="send" aria-disabled=${String(Boolean(bad))}>Send request</button>`}<span class="quiet"><kbd>Ctrl</kbd> <kbd>Enter</kbd></span>
      <label class="inline">Repeat <select aria-label="How often" value=${String(repeat.value)} onChange=${ev => { repeat.value = Number(ev.target.value); }}>${[1, 5, 10, 25, 50, 100].map(n => html`<option key=${n} value=${String(n)}>${n}×</option>`)}</select></label></div></form>`;
});

const Headers = view(() => {
  const all = headers.value;
  const set = (i, j, v) => { headers.value = all.map((h, k) => k === i ? (j ? [h[0], v] : [v, h[1]]) : h); };
  return html`<details class="hdrs"><summary>Headers${all.length ? ` (${all.length})` : ""}</summary>${all.map(([k, v], i) => html`<div key=${i} class="row"><input class="field mono" aria-label=${`Header ${i + 1} name`} placeholder="Name" value=${k} onInput=${e => set(i, 0, e.target.value)}/><input class="field mono" aria-label=${`Header ${i + 1} value`} placeholder="Value" type=${secret(k) ? "password" : "text"} autocomplete="off" value=${v} onInput=${e => set(i, 1, e.target.value)}/><button type="button" class="linkish" onClick=${() => { headers.value = all.filter((_, k2) => k2 !== i); }}>Remove<span class="vh"> header ${i + 1}</span></button></div>`)}
    <button type="button" class="btn small" onClick=${() => { headers.value = [...all, ["", ""]]; }}>Add header</button><p class="quiet">Headers that look like secrets are not kept in the history.</p></details>`;
});

const History = view(() => {
  const all = prefs.calls.value, c = compared.value, current = answer.value;
  return html`<section class="hist" aria-label="History"><div class="bar"><h2>History</h2><label class="check"><input type="checkbox" checked=${prefs.history.value} onChange=${e => { prefs.history.value = e.target.checked; if (!e.target.checked) prefs.calls.value = []; }}/> Keep it in this browser</label>${all.length > 0 && html`<button type="button" class="linkish" onClick=${() => { prefs.calls.value = []; }}>Clear</button>`}</div>
    ${!all.length ? html`<p class="quiet">Calls made here are listed, to send again or to compare.</p>` : html`<ul>${all.slice(0, 100).map(h => html`<li key=${h.at}><span class="quiet mono">${clock(h.at)}</span><span class=${"mono code-n " + (h.ok ? "okn" : "badn")}>${h.ok ? h.status || "ok" : h.status || "fail"}</span><span class="mono cut"><b>${h.method}</b> <span class="quiet">${h.service}</span> ${h.request.replace(/\s+/g, " ").slice(0, 160)}</span><span class="quiet mono num">${ms(h.ms)} ms</span>
      <span class="acts"><button type="button" class="linkish" onClick=${() => replay(h)}>Replay<span class="vh"> ${h.method} of ${clock(h.at)}</span></button>${current?.ok && h.ok && h.service === data.value.service && h.method === data.value.method && h.answer !== (current.text ?? pretty(current.body)) && html`<button type="button" class="linkish" onClick=${() => { compared.value = h; }}>Diff<span class="vh"> with ${clock(h.at)}</span></button>`}</span></li>`)}</ul>`}
    ${c && current?.ok && html`<div class="lab"><span class="lab-t">Response of ${clock(c.at)} beside this one</span><button type="button" class="linkish" onClick=${() => { compared.value = null; }}>Close</button></div><pre class="diff" tabindex="0">${diff(c.answer, current.text ?? pretty(current.body) ?? "").map(([k, l], i) => html`<span key=${i} class=${k === "+" ? "add" : k === "-" ? "del" : ""}>${k} ${l}\n</span>`)}</pre>`}</section>`;
});

export default {title: r => r?.method ? `${r.method} · Query` : "Query", view: Query, load};
