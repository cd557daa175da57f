// Micro's terminal: a few words of the command, run by the server, without a shell.
import {html, view, signal} from "../ui/view.js";
import {prefs, postJSON} from "../ui/state.js";

const words = signal([]), lines = signal([]), busy = signal(false);
const KEEP = 500;
const add = l => { lines.value = [...lines.value, l].slice(-KEEP); };

function load(d) { words.value = d.words ?? []; }

async function run(line) {
  prefs.words.value = [...prefs.words.value.filter(x => x !== line), line].slice(-100);
  busy.value = true;
  add({kind: "in", text: line});
  try {
    const r = await postJSON("/-/terminal", {line});
    if (r.clear) lines.value = [];
    else {
      if (r.output) add({kind: "out", text: r.output.replace(/\n$/, "")});
      if (!r.ok && r.error) add({kind: "err", text: r.error});
    }
  } catch (e) { add({kind: "err", text: e.message}); }
  busy.value = false;
}

const Terminal = view((_, self) => {
  const s = self.local(() => ({v: signal(""), at: -1, el: null, input: null}));
  self.after(() => { if (s.el) s.el.scrollTop = s.el.scrollHeight; }, [lines.value]);
  self.after(() => { s.input?.focus({preventScroll: true}); }, []);
  const known = words.value;
  return html`<div class="term"><div class="tout" role="log" aria-label="Output" tabindex="0" ref=${el => { s.el = el; }}>
      ${!lines.value.length && html`<div class="tintro"><p>These words work here as they do after <code>mbus</code>:</p><dl>${known.map(w => html`<div key=${w.word}><dt><code>${w.usage || w.word}</code></dt><dd>${w.help}</dd></div>`)}</dl></div>`}
      ${lines.value.map((l, i) => html`<pre key=${i} class=${l.kind}>${l.kind === "in" ? "mbus> " : ""}${l.text}</pre>`)}</div>
    <form class="tin" onSubmit=${e => { e.preventDefault(); const v = s.v.value.trim(); if (!v || busy.value) return; s.v.value = ""; s.at = -1; run(v); }}><label for="t-line" class="mono">mbus></label>
      <input id="t-line" class="mono" autocomplete="off" autocapitalize="off" spellcheck="false" value=${s.v.value} ref=${el => { s.input = el; }} placeholder="list services" onInput=${e => { s.v.value = e.target.value; }} onKeyDown=${e => {
    const past = prefs.words.value;
    if ((e.key !== "ArrowUp" && e.key !== "ArrowDown") || !past.length) return;
    e.preventDefault();
    s.at = Math.max(-1, Math.min(past.length - 1, s.at + (e.key === "ArrowUp" ? 1 : -1)));
    s.v.value = s.at < 0 ? "" : past[past.length - 1 - s.at];
  }}/><button class="btn pri" disabled=${busy.value}>Run</button></form></div>`;
});

export default {title: () => "Terminal", view: Terminal, load};
