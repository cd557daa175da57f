// What the address does not lead to, what is close to it, and a way on.
import {html, view} from "../ui/view.js";
import {page, path, here, load as reload} from "../ui/state.js";
import {rows, shape} from "../ui/services.js";
import {find} from "../core/fuzzy.js";
import {serviceURL} from "../core/routes.js";

const Missing = view((_, self) => {
  shape.value;
  const r = here.value, come = r?.page === "service" && [...rows.values()].some(x => x.name === r.name);
  self.after(() => { if (come) reload(true); }, [come]); // it has come meanwhile
  const d = page.value.data ?? {}, last = path.value.split("/").filter(Boolean).at(-1) ?? "";
  const near = d.near?.length ? d.near : find(decodeURIComponent(last), [...rows.values()], r => r.name, 6).map(r => ({name: r.name, path: serviceURL(r.name)}));
  const ways = d.ways?.length ? d.ways : [{name: "All services", path: "/services"}];
  return html`<section class="plain"><h2>Nothing is here</h2><p>${d.detail ? d.detail[0].toUpperCase() + d.detail.slice(1) + "." : html`There is no page <code>${path.value}</code>.`}</p>
    ${near.length > 0 && html`<h3>Close to it</h3><ul class="plain-list">${near.map(n => html`<li key=${n.path}><a class="mono" href=${n.path}>${n.name}</a></li>`)}</ul>`}
    <h3>Ways on</h3><ul class="plain-list">${ways.map(n => html`<li key=${n.path}><a href=${n.path}>${n.name}</a></li>`)}</ul>
    <p class="quiet"><kbd>Ctrl</kbd> <kbd>K</kbd> finds services, endpoints and pages.</p></section>`;
});

export default {title: () => "Not found", view: Missing};
