// A small call: a request, a button, and what came of it.
import {html, view, signal} from "./view.js";
import {postJSON} from "./state.js";
import {bus} from "./live.js";
import {Answer} from "./answer.js";
import {Commands} from "./detail.js";
import {JSONField} from "./jsonfield.js";
import {jsonError, pretty, read} from "../core/json.js";
import {example} from "../core/schema.js";
import {callAs} from "../core/copy.js";

/** The JSON of a Call whose request is text, so that its numbers stay exact. */
export const callBody = (call, text) => JSON.stringify(call).slice(0, -1) + `,"request":${text.trim() || "{}"}}`;

export const CallBox = view(({service, endpoint}, self) => {
  const s = self.local(() => ({text: signal(pretty(endpoint.example ?? (endpoint.request ? example(endpoint.request) : {})) ?? "{}"), busy: signal(false), answer: signal(null)}));
  const bad = jsonError(s.text.value);
  const send = async () => {
    if (bad || s.busy.value) return;
    s.busy.value = true;
    try { s.answer.value = await postJSON("/-/call", callBody({service, method: endpoint.name, timeout_ms: 5000}, s.text.value), {read}); } catch (e) {
      s.answer.value = {ok: false, failure: "dashboard", status: e.status ?? 0, code: e.code, detail: e.message};
    }
    s.busy.value = false;
  };
  return html`<form onSubmit=${e => { e.preventDefault(); send(); }}>
    <${JSONField} id="ins-rq" label="Request JSON" value=${s.text.value} onInput=${v => { s.text.value = v; }} onSend=${send} rows=${5}/>
    <div class="row"><button class="btn pri" disabled=${s.busy.value} aria-disabled=${String(Boolean(bad))}>${s.busy.value ? "Sending" : "Send request"}</button><span class="quiet"><kbd>Ctrl</kbd> <kbd>Enter</kbd></span></div></form>
    <div role="status" aria-live="polite">${s.answer.value && html`<${Answer} answer=${s.answer.value} small=${true}/>`}</div>
    ${s.answer.value && html`<${Commands} commands=${callAs({service, method: endpoint.name, request: bad ? "{}" : s.text.value, url: bus.value?.url}, location.origin)}/>`}`;
});
