// One node beside the list, with what can be done to it.
import {html, view} from "./view.js";
import {bus} from "./live.js";
import {Health, Age} from "./bits.js";
import {Commands, Pairs} from "./detail.js";
import {Actions, actionCommands} from "./nodeactions.js";
import {rate, ms, count, none} from "../core/format.js";
import {mbus} from "../core/copy.js";
import {nodeURL, serviceURL} from "../core/routes.js";

export const NodeInspector = view(({node: n, only, onClose}) => html`<aside class="inspect" aria-label="Inspector">
  <header><h2><a href=${nodeURL(n.id)}>${n.id}</a></h2><button type="button" class="btn small" onClick=${onClose}>Close<span class="vh"> inspector</span></button></header>
  <p class="meta"><${Health} h=${n.state}/>${n.version && html`<span class="tag">${n.version}</span>`}</p>
  <dl class="mini"><div><dt>Req/s</dt><dd>${rate(n.rps)}</dd></div><div><dt>p99</dt><dd>${ms(n.p99_ms)}</dd></div><div><dt>In flight</dt><dd>${count(n.in_flight)}</dd></div><div><dt>Heard</dt><dd><${Age} at=${n.last_seen}/></dd></div></dl>
  <div class="row"><a class="btn small" href=${nodeURL(n.id)}>Open</a><${Actions} node=${n} only=${only}/></div>
  <dl class="pairs"><div><dt>service</dt><dd><a href=${serviceURL(n.service)}>${n.service}</a></dd></div><div><dt>address</dt><dd>${n.address || none}</dd></div></dl>
  <div class="lab"><span class="lab-t">Metadata</span></div><${Pairs} of=${n.metadata}/>
  <${Commands} commands=${{mbus: `${mbus(bus.value?.url)}health ${n.service}`}} title="From a shell"/>
  ${actionCommands(n) && html`<${Commands} commands=${actionCommands(n)} title=${n.kind === "app" ? "Deregister from a shell" : n.state === "draining" ? "Resume from a shell" : "Drain from a shell"}/>`}
</aside>`);
