// A stream of a service: what is sent, what comes, and how it ends.
import {html, view, signal} from "./view.js";
import {tell} from "./state.js";
import {JSONField} from "./jsonfield.js";
import {clock, plural, count} from "../core/format.js";
import {squeeze} from "../core/copy.js";
import {jsonError} from "../core/json.js";

const KEEP = 500;   // messages shown
const CODES = {1000: "done", 1001: "mbus stops", 1006: "the connection was cut", 1008: "closed: ", 1011: "failed: "};

/** A conversation over a WebSocket. kind is server, client or bidi. */
export const Talk = view(({service, method, node, kind, text, setText, onEnd}, self) => {
  const s = self.local(() => ({ws: null, state: signal("idle"), list: signal([]), n: signal({in: 0, out: 0}), end: signal(null), half: signal(false), follow: true, el: null, error: null, last: false, trailer: null}));
  const add = m => { const next = [...s.list.value, {...m, at: Date.now()}]; s.list.value = next.length > KEEP ? next.slice(-KEEP) : next; s.n.value = {...s.n.value, [m.dir]: s.n.value[m.dir] + 1}; };
  self.after(() => () => s.ws?.close(), []);
  self.after(() => { if (s.follow && s.el) s.el.scrollTop = s.el.scrollHeight; }, [s.list.value]);
  const bad = jsonError(text);
  const open = () => {
    if (bad || s.ws) return;
    s.list.value = []; s.n.value = {in: 0, out: 0}; s.end.value = null; s.half.value = false; s.error = null; s.last = false; s.trailer = null;
    const p = new URLSearchParams({service, method});
    if (node) p.set("node", node);
    const ws = s.ws = new WebSocket(`${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/-/stream?${p}`, "mbus.json");
    const started = Date.now();
    s.state.value = "connecting";
    ws.onopen = () => {
      s.state.value = "open";
      ws.send(squeeze(text)); add({dir: "out", text: squeeze(text)});
      if (kind === "server") { ws.send(""); s.half.value = true; }
    };
    ws.onmessage = ({data}) => {
      if (data === "") { s.last = true; return; }   // what follows is the trailer
      try { const v = JSON.parse(data); if (s.last) { s.trailer = v.trailer; return; } if (v?.error?.code && Object.keys(v).length === 1) { s.error = v.error; s.trailer = v.error.trailer; return; } } catch { /* shown as it is */ }
      add({dir: "in", text: data});
    };
    ws.onclose = e => {
      s.ws = null;
      s.state.value = "closed";
      const end = s.error ? {ok: false, text: `${s.error.code}: ${s.error.detail ?? s.error.message ?? ""}`, end: s.error.end} : {ok: e.code === 1000, text: (CODES[e.code] ?? `closed with ${e.code}: `) + (e.code >= 1002 && e.code !== 1006 ? e.reason : "")};
      const extra = Object.entries(s.trailer ?? {}).map(([k, v]) => `${k}: ${v}`).join(", ");
      end.trailer = extra && ` With it came ${extra}.`;
      s.end.value = end;
      onEnd?.({ok: end.ok, ms: Date.now() - started, messages: s.n.value.in, text: end.text, status: s.error?.status ?? (end.ok ? 200 : 0)});
    };
  };
  const send = () => { if (!bad && s.ws && s.state.value === "open" && !s.half.value) { s.ws.send(squeeze(text)); add({dir: "out", text: squeeze(text)}); } };
  const running = s.state.value === "open" || s.state.value === "connecting", both = kind !== "server";
  return html`<div class="talk"><${JSONField} id="q-json" label=${running && both ? "Next message" : "Request"} value=${text} onInput=${setText} onSend=${running ? send : open} rows=${7}/>
    <div class="row">${!running ? html`<button type="button" class="btn pri" aria-disabled=${String(Boolean(bad))} onClick=${open}>Open the stream</button>` : html`${both && html`<button type="button" class="btn pri" disabled=${s.half.value} onClick=${send}>Send message</button><button type="button" class="btn" disabled=${s.half.value} onClick=${() => { s.ws.send(""); s.half.value = true; }}>Last message sent</button>`}<button type="button" class="btn" onClick=${() => { s.ws?.close(1000); tell("Stream stopped."); }}>Stop</button>`}<span class="quiet"><kbd>Ctrl</kbd> <kbd>Enter</kbd></span></div>
    <div class="lab"><span class="lab-t">Messages</span><span class="quiet mono" role="status">${running ? s.state.value === "open" ? "open · " : "connecting · " : ""}${plural(s.n.value.in, "message")} in${both ? `, ${count(s.n.value.out)} out` : ""}</span></div>
    <div class="msgs" tabindex="0" role="log" aria-label="Messages of the stream" data-test="messages" ref=${el => { s.el = el; }} onScroll=${e => { s.follow = e.target.scrollTop + e.target.clientHeight > e.target.scrollHeight - 30; }}><ol>${s.list.value.map((m, i) => html`<li key=${m.at + "-" + i} class=${m.dir}><span class="dir" title=${m.dir === "in" ? "from the service" : "sent"}>${m.dir === "in" ? "←" : "→"}<span class="vh">${m.dir === "in" ? "received" : "sent"}</span></span><span class="quiet mono">${clock(m.at, true)}</span><pre>${m.text}</pre></li>`)}
      ${!s.list.value.length && html`<li class="quiet">${running ? "Nothing yet." : "Opened, the stream shows its messages here."}</li>`}</ol></div>
    ${s.end.value && html`<p class=${"end " + (s.end.value.ok ? "okn" : "badn")} role="status" data-test="end">${s.end.value.ok ? "The stream ended well." : `The stream ended: ${s.end.value.text}`}${s.end.value.trailer}</p>`}</div>`;
});
