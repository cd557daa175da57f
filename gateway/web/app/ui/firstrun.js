// What an empty bus shows: how the first service comes, and that nothing else is
// to be done here.
import {html, view} from "./view.js";
import {copy} from "./state.js";
import {bus} from "./live.js";
import {mbus} from "../core/copy.js";

const STEPS = () => {
  const url = bus.value?.url ?? "";
  const env = url && !/127\.0\.0\.1:4222|localhost:4222/.test(url) ? `MBUS_URL=${url} ` : "";
  return [
    ["Start the greeter from this checkout", `${env}go run ./examples/greeter/server`],
    ["or start the node anew, with the greeter and a lab", "mbus node --demo"],
    ["or begin a service of your own", "mbus new greeter"],
  ];
};

export const FirstRun = view(() => html`<section class="first"><h2>No services yet</h2><p>This page becomes the list by itself when the first one announces itself on the bus${bus.value?.url ? html` at <code>${bus.value.url}</code>` : ""}.</p>
  <ol>${STEPS().map(([text, cmd]) => html`<li key=${cmd}><p>${text}</p><div class="code"><pre tabindex="0">${cmd}</pre><button type="button" class="btn small" onClick=${() => copy(cmd, "Command copied.")}>Copy<span class="vh"> ${cmd}</span></button></div></li>`)}</ol>
  <p class="quiet">Then call it: <code>${mbus(bus.value?.url)}query go.micro.srv.greeter Say.Hello '{"name":"John"}'</code></p></section>`);
