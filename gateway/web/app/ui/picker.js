// Choosing one of many names by a few letters: a combobox.
import {html, view, signal} from "./view.js";
import {find} from "../core/fuzzy.js";

/** props: id, label, value, options [{text, note}], onPick(text), placeholder, free (any text may be picked). */
export const Picker = view(({id, label, value, options, onPick, placeholder, free}, self) => {
  const s = self.local(() => ({q: signal(null), at: signal(0)}));
  const open = s.q.value !== null;
  const hits = open ? find(s.q.value === value ? "" : s.q.value, options, o => o.text, 50) : [];
  const at = Math.min(s.at.value, hits.length - 1);
  const pick = text => { s.q.value = null; if (text && text !== value) onPick(text); };
  return html`<div class="picker"><label class="lab" for=${id}><span class="lab-t">${label}</span></label>
    <input id=${id} class="field mono" type="text" role="combobox" autocomplete="off" spellcheck="false" aria-expanded=${String(open)} aria-controls=${id + "-l"} aria-activedescendant=${open && hits[at] ? `${id}-${at}` : null} placeholder=${placeholder}
      value=${open ? s.q.value : value} title=${value} onFocus=${e => { s.q.value = value; s.at.value = 0; e.target.select(); }} onInput=${e => { s.q.value = e.target.value; s.at.value = 0; }}
      onBlur=${() => { if (s.q.value !== null && free && s.q.value) pick(s.q.value); else s.q.value = null; }}
      onKeyDown=${e => {
    if (e.key === "ArrowDown" || e.key === "ArrowUp") { e.preventDefault(); if (!open) s.q.value = value; s.at.value = Math.max(0, Math.min(hits.length - 1, at + (e.key === "ArrowDown" ? 1 : -1))); requestAnimationFrame(() => document.getElementById(`${id}-${s.at.value}`)?.scrollIntoView({block: "nearest"})); }
    if (e.key === "Enter") { e.preventDefault(); pick(hits[at]?.text ?? (free ? s.q.value : "")); e.target.blur(); }
    if (e.key === "Escape") { e.stopPropagation(); s.q.value = null; e.target.blur(); }
  }}/>
    <ul id=${id + "-l"} class="pick" role="listbox" aria-label=${label} hidden=${!open}>${hits.map((o, i) => html`<li key=${o.text} id=${`${id}-${i}`} role="option" aria-selected=${String(i === at)} onPointerDown=${e => { e.preventDefault(); pick(o.text); document.activeElement?.blur(); }}><span class="mono">${o.text}</span>${o.note && html`<span class="quiet">${o.note}</span>`}</li>`)}${open && !hits.length && html`<li class="quiet" role="option" aria-disabled="true" aria-selected="false">${options.length ? "nothing of this name" : "nothing to choose from"}${free && s.q.value ? ": Enter takes it as it is" : ""}</li>`}</ul></div>`;
});
