// One node: what it says of itself.
import {html, view, signal} from "../ui/view.js";
import {here, load as reload, now} from "../ui/state.js";
import {stale, bus, paused} from "../ui/live.js";
import {Health, Figure, Age} from "../ui/bits.js";
import {Commands, Pairs, JSONTree} from "../ui/detail.js";
import {Actions, actionCommands} from "../ui/nodeactions.js";
import {Endpoints} from "../ui/endpoints.js";
import {rate, ms, count, bytes, span, none} from "../core/format.js";
import {serviceURL} from "../core/routes.js";

const data = signal(null);
function load(d) { data.value = d; if (d?.bus) bus.value = d.bus; }
function on(kind, d) { if (kind === "node" && data.value) data.value = {...data.value, node: {...data.value.node, ...d.node}}; }

const Node = view((_, self) => {
  const d = data.value, n = d?.node;
  self.after(() => { // the stream brings the node, not its endpoints
    const every = setInterval(() => { if (!document.hidden && !paused.value && !stale.value) reload(true); }, 5000);
    return () => clearInterval(every);
  }, []);
  if (!n) return html`<div class="page"><p class="quiet">Loading</p></div>`;
  return html`<div class=${"page" + (stale.value ? " old" : "")}><header class="head"><div class="head-l"><${Health} h=${n.state}/><h2 class="mono">${n.id}</h2>${n.version && html`<span class="tag">${n.version}</span>`}</div>
    <div class="row"><a class="btn" href=${serviceURL(n.service)}>${n.service}</a><button type="button" class="btn" onClick=${() => reload()}>Ask it again</button><${Actions} node=${n} small=${false}/></div>
    <dl class="figs small"><${Figure} name="Req/s" value=${rate(n.rps)}/><${Figure} name="p99" value=${ms(n.p99_ms)} unit=" ms"/><${Figure} name="In flight" value=${count(n.in_flight)}/><${Figure} name="Up" value=${html`<${Up} at=${n.started}/>`}/><${Figure} name="Heard" value=${html`<${Age} at=${n.last_seen}/>`}/><${Figure} name="Heap" value=${bytes(n.memory)}/><${Figure} name="Goroutines" value=${count(n.threads)}/></dl></header>
    ${d.error && html`<div class="banner warn"><span>The node did not answer: ${d.error}</span></div>`}
    <div class="cols"><div><h3>Endpoints</h3><${Endpoints} service=${n.service} endpoints=${d.endpoints ?? []} node=${n.instance || n.id}/></div>
    <aside class="side" aria-label="About the node"><h3>Where it is</h3><dl class="pairs"><div><dt>address</dt><dd>${n.address || none}</dd></div><div><dt>instance</dt><dd>${n.instance}</dd></div><div><dt>health</dt><dd>${d.health || none}</dd></div>${n.server && html`<div><dt>server</dt><dd>${n.server}</dd></div>`}${n.client ? html`<div><dt>client</dt><dd>${n.client}</dd></div>` : ""}<div><dt>beats every</dt><dd>${n.interval_ms ? span(n.interval_ms) : none}</dd></div></dl>
      <h3>Metadata</h3><${Pairs} of=${n.metadata}/>
      ${d.stats && html`<h3>Debug.Stats</h3><div class="treebox" tabindex="0" role="region" aria-label="Debug.Stats"><${JSONTree} value=${d.stats}/></div>`}
      <${Commands} commands=${d.commands} title="From a shell"/>
      ${actionCommands(n) && html`<${Commands} commands=${actionCommands(n)} title=${n.kind === "app" ? "Deregister from a shell" : n.state === "draining" ? "Resume from a shell" : "Drain from a shell"}/>`}</aside></div></div>`;
});
const Up = view(({at}) => at ? span(now.value - at) : none);

export default {title: r => r?.name ?? "Node", view: Node, load, on, topics: () => here.value?.page === "node" && here.value.name ? ["node:" + here.value.name] : []};
