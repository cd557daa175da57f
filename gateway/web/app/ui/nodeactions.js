// What can be done to a node: an app is taken out of the registry, an instance
// that offers it is drained and resumed. Success is what the list shows.
import {html, view, signal} from "./view.js";
import {postJSON, tell, here, go, setParams} from "./state.js";
import {dialog} from "./shell.js";
import {Dialog} from "./dialogs.js";
import {bus} from "./live.js";
import {Commands} from "./detail.js";
import {typedID} from "../core/format.js";
import {deregisterAs, drainAs} from "../core/copy.js";
import {serviceURL} from "../core/routes.js";

/** What is about to be done: {action, node, only}. */
const asked = signal(null);
const busy = signal(""), failed = signal("");

const does = {
  deregister: {title: "Deregister node", button: "Deregister", at: "Waiting until the registry no longer shows it.", done: n => `${typedID(n.id, n.service)} is deregistered: the registry no longer shows it.`},
  drain: {title: "Drain node", button: "Drain", at: "Waiting until the node announces it.", done: n => `${typedID(n.id, n.service)} drains: it takes no new calls.`},
  resume: {done: n => `${typedID(n.id, n.service)} takes calls again.`},
};

/** Does it, and says so once it has come true. */
async function act(action, node) {
  busy.value = node.id; failed.value = "";
  const body = {service: node.service, node: node.id, ...action === "deregister" ? {} : {drain: action === "drain"}};
  let r;
  try { r = await postJSON(action === "deregister" ? "/-/deregister" : "/-/drain", body); } catch (e) { r = {ok: false, code: e.code, detail: e.message}; }
  busy.value = "";
  if (!r.ok) { failed.value = `${r.code}: ${r.detail}`; return false; }
  tell(does[action].done(node));
  return true;
}

/** The buttons of a node; none where nothing can be done. only says that no other node of the service takes calls. */
export const Actions = view(({node, only = false, small = true}) => {
  const open = action => { asked.value = {action, node, only}; failed.value = ""; dialog.value = "node"; };
  const kind = "btn" + (small ? " small" : ""), waits = busy.value === node.id;
  if (node.kind === "app") return html`<button type="button" class=${kind} onClick=${() => open("deregister")}>Deregister…</button>`;
  if (!node.drains) return null;
  return node.state === "draining"
    ? html`<button type="button" class=${kind} aria-disabled=${String(waits)} onClick=${async () => { if (!waits && !await act("resume", node)) tell("Not resumed. " + failed.value); }}>${waits ? "Resuming" : "Resume"}</button>`
    : html`<button type="button" class=${kind} onClick=${() => open("drain")}>Drain…</button>`;
});

/** The same from a shell; of no use where nothing can be done. */
export const actionCommands = node => node.kind === "app" ? deregisterAs(node, bus.value?.url, location.origin)
  : node.drains ? drainAs(node, node.state !== "draining", bus.value?.url, location.origin) : null;

const Why = ({action, node, only}) => action === "deregister"
  ? html`<p>The app at <code>${node.address}</code> leaves the registry, and gateways no longer find it. The app itself goes on running. If it renews its registration it comes back, so stop it first.</p>`
  : html`<p>The node finishes what it has begun and takes no new calls until it is resumed. It goes on running.</p>${only && html`<p class="note bad">It is the only node of <code>${node.service}</code> that takes calls: without it they find nobody.</p>`}`;

/** The dialog before what cannot simply be undone: one types the node's short id. */
export const Confirm = view((_, self) => {
  const s = self.local(() => ({typed: signal(""), it: asked.value}));
  const {action, node, only} = s.it, word = typedID(node.id, node.service), right = s.typed.value.trim() === word, waits = busy.value === node.id;
  const submit = async e => {
    e.preventDefault();
    if (!right || waits || !await act(action, node)) return;
    dialog.value = "";
    if (action !== "deregister") return;
    if (here.value?.page === "node") go(serviceURL(node.service, "nodes")); else { setParams({sel: ""}); document.getElementById("main")?.focus({preventScroll: true}); }
  };
  return html`<${Dialog} name="node" label=${does[action].title}><form class="ask" onSubmit=${submit}>
    <p class="mono brk">${node.id}</p><${Why} action=${action} node=${node} only=${only}/>
    <label class="lab" for="ask-id"><span>Type <code>${word}</code> to confirm</span></label><input id="ask-id" class="field mono" autofocus autocomplete="off" spellcheck="false" autocapitalize="off" value=${s.typed.value} onInput=${e => { s.typed.value = e.target.value; }}/>
    <div class="row"><button class="btn danger" aria-disabled=${String(!right || waits)} data-test="confirm">${does[action].button}</button><button type="button" class="btn" onClick=${e => e.currentTarget.closest("dialog").close()}>Cancel</button></div>
    <div role="status" aria-live="polite">${waits ? html`<p class="quiet">${does[action].at}</p>` : failed.value && html`<p class="badn">Not done. ${failed.value}</p>`}</div>
    <${Commands} commands=${action === "deregister" ? deregisterAs(node, bus.value?.url, location.origin) : drainAs(node, true, bus.value?.url, location.origin)} title="Same from a shell"/></form></${Dialog}>`;
});
