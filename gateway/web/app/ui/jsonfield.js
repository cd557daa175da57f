// A field for JSON. Tab leaves it; Ctrl ] indents; what is wrong is said with
// its line.
import {html, view} from "./view.js";
import {jsonError} from "../core/json.js";

export const JSONField = view(({id, label, value, onInput, onSend, rows = 8, notes = [], plain = false}) => {
  const bad = plain ? null : jsonError(value);
  return html`<div class="jsonfield"><label class="lab" for=${id}><span class="lab-t">${label}</span><span class=${bad ? "wrong" : "quiet"} id=${id + "-says"}>${bad ? `line ${bad.line}, column ${bad.column}: ${bad.message}` : plain ? "" : "valid JSON"}</span></label>
    <textarea id=${id} rows=${rows} spellcheck="false" autocomplete="off" autocapitalize="off" aria-invalid=${String(Boolean(bad))} aria-describedby=${id + "-says"} value=${value} onInput=${e => onInput(e.target.value)} onKeyDown=${e => keys(e, onInput, onSend)}></textarea>
    ${notes.map(n => html`<p key=${n} class="note">${n}</p>`)}</div>`;
});

function keys(e, onInput, onSend) {
  if (!(e.ctrlKey || e.metaKey)) return;
  if (e.key === "Enter") { e.preventDefault(); onSend?.(); return; }
  if (e.key !== "]" && e.key !== "[") return;
  e.preventDefault();
  const f = e.target, v = f.value, from = v.lastIndexOf("\n", f.selectionStart - 1) + 1, at = f.selectionStart;
  if (e.key === "]") f.setRangeText("  ", from, from, "preserve");
  else if (v.startsWith("  ", from)) f.setRangeText("", from, from + 2, "preserve");
  f.selectionStart = f.selectionEnd = Math.max(from, at + (f.value.length - v.length));
  onInput(f.value);
}
