// Web apps: services go.micro.web.* that are registered with an address.
import {html, view, signal} from "../ui/view.js";
import {load as reload} from "../ui/state.js";
import {shape} from "../ui/services.js";
import {Health, Clock} from "../ui/bits.js";
import {nodeURL, serviceURL} from "../core/routes.js";
import {plural} from "../core/format.js";

const data = signal(null);
let known = "";
function load(d) { data.value = d; }

const WebApps = view((_, self) => {
  const d = data.value, seen = shape.value;
  self.after(() => { if (known && known !== String(seen)) reload(true); known = String(seen); }, [seen]);
  if (!d) return null;
  const apps = d.apps ?? [];
  return html`<div class="page">${!apps.length ? html`<section class="first"><h2>No web apps yet</h2><p>A web app is a service called <code>go.micro.web.NAME</code> that is registered with an address. It then has an origin of its own at <code>http://NAME.${location.host.replace(/^127\.0\.0\.1/, "localhost")}/</code>.</p>
      <div class="code"><pre tabindex="0">${`mbus register service '{"name":"go.micro.web.hello","version":"1.0.0","nodes":[{"id":"hello-1","address":"127.0.0.1","port":9090}]}'`}</pre></div></section>`
  : html`<ul class="apps">${apps.map(a => html`<li key=${a.name} class="app"><div class="app-h">${a.icon ? html`<img src=${a.icon} alt="" width="24" height="24"/>` : html`<span class="app-i" aria-hidden="true">${(a.alias ?? "?")[0]?.toUpperCase()}</span>`}<h2><a href=${a.host_url} target="_blank" rel="noopener noreferrer">${a.title || a.alias}</a></h2><${Health} h=${a.health}/></div>
      <dl class="pairs"><div><dt>service</dt><dd><a class="mono" href=${serviceURL(a.name)}>${a.name}</a></dd></div><div><dt>host</dt><dd><a class="mono" href=${a.host_url} target="_blank" rel="noopener noreferrer">${a.host_url}</a></dd></div>
      ${a.path_url && !a.reserved && html`<div><dt>path</dt><dd><a class="mono" href=${a.path_url} target="_blank" rel="noopener noreferrer">${a.path_url}</a></dd></div>`}
      <div><dt>nodes</dt><dd>${a.nodes?.length ? a.nodes.map((n, i) => html`${i ? ", " : ""}<a key=${n.id} class="mono" href=${nodeURL(n.id)}>${n.address || n.id}</a>`) : "none"}</dd></div></dl>
      ${a.reserved && html`<p class="note">/${a.alias}/ is a page of the dashboard, so this app is at its host only.</p>`}
      ${a.error && html`<p class="note bad"><${Clock} at=${a.error.at}/> ${a.error.node}: ${a.error.text}</p>`}</li>`)}</ul>
    <p class="quiet">${plural(apps.length, "web app")}. The host form gives an app an origin of its own. In the path form its pages are sandboxed, so that they cannot act as you here; what an app posts or fetches needs the host form. Safari does not resolve *.localhost: use the path there.</p>`}</div>`;
});

export default {title: () => "Web apps", view: WebApps, load};
