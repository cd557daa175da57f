// Dialogs, which are fetched when the first one is opened.
import {html, view} from "./view.js";
import {theme, nextTheme, prefs} from "./state.js";
import {dialog, Rail} from "./shell.js";
import {sections} from "../core/keys.js";

export const Help = view(() => html`<${Dialog} name="help" label="Keyboard">
  <div class="keys">${sections().map(([head, keys]) => html`<section key=${head}><h3>${head}</h3><dl>${keys.map(([k, text]) => html`<div key=${k}><dt>${k.split(" ").map(x => html`<kbd key=${x}>${x}</kbd>`)}</dt><dd>${text}</dd></div>`)}</dl></section>`)}</div>
  <label class="check"><input type="checkbox" checked=${prefs.keys.value} onChange=${e => { prefs.keys.value = e.target.checked; }}/> Single keys act (<kbd>Ctrl</kbd> <kbd>K</kbd>, <kbd>Esc</kbd> and keys in lists always do)</label></${Dialog}>`);

/** A modal dialog that Esc closes and that gives the focus back. */
export const Dialog = view(({name, label, children, wide}, self) => {
  const s = self.local(() => ({el: null}));
  self.after(() => { s.el.showModal(); return () => s.el.close(); }, []); // closed before it goes, it gives the focus back
  return html`<dialog class=${wide ? "wide" : ""} ref=${el => { s.el = el; }} aria-labelledby=${"d-" + name} onClose=${() => { if (dialog.value === name) dialog.value = ""; }} onClick=${e => { if (e.target === s.el) s.el.close(); }}>
    <div class="dbox"><header><h2 id=${"d-" + name}>${label}</h2><button type="button" class="btn small" onClick=${() => s.el.close()}>Close</button></header>${children}</div></dialog>`;
});

export const Menu = view(() => html`<${Dialog} name="menu" label="Pages"><div class="menu" onClick=${e => { if (e.target.closest("a")) dialog.value = ""; }}><${Rail}/>
  <div class="row"><button type="button" class="btn" onClick=${nextTheme}>Theme: ${theme.value}</button><button type="button" class="btn" onClick=${() => { dialog.value = "help"; }}>Keyboard</button></div></div></${Dialog}>`);
