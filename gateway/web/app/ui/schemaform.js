// A form from a JSON Schema. It shows and changes the same value as the JSON.
import {html} from "./view.js";
import {resolve, kindOf, typeName, example, withAt, nullable} from "../core/schema.js";

/** props: schema, value, onChange(value). */
export const SchemaForm = ({schema, value, onChange}) => html`<div class="form">${fieldsOf(schema, schema, value, [], (path, v) => onChange(withAt(value, path, v)), 0)}</div>`;

function fieldsOf(schema, root, value, path, set, depth) {
  const s = resolve(schema, root), props = Object.entries(s.properties ?? {});
  if (!props.length) return html`<p class="quiet">${depth ? "no fields: edit it as JSON" : "The request has no fields."}</p>`;
  return props.map(([name, p]) => html`<${Field} key=${name} name=${name} schema=${p} root=${root} value=${value?.[name]} has=${value != null && typeof value === "object" && Object.hasOwn(value, name)} path=${[...path, name]} set=${set} required=${(s.required ?? []).includes(name)} depth=${depth}/>`);
}

function Field({name, schema, root, value, has, path, set, required, depth}) {
  const s = resolve(schema, root), kind = kindOf(s), id = "f-" + path.join("-");
  const label = html`<label for=${id}><code class="k">${name}</code>${required && html`<abbr class="req" title="required">*</abbr>`} <span class="ty">${typeName(schema, root)}</span></label>`;
  const remove = has && !required ? html`<button type="button" class="linkish" onClick=${() => set(path, undefined)}>Leave out<span class="vh"> ${name}</span></button>` : null;
  const note = s.description && html`<p class="doc">${s.description}</p>`;
  if (kind === "object" && s.properties) {
    if (!has || value === null) return html`<div class="fld"><div class="fld-h"><span><code class="k">${name}</code> <span class="ty">${typeName(schema, root)}</span></span><button type="button" class="linkish" onClick=${() => set(path, example(schema, root))}>Add<span class="vh"> ${name}</span></button></div></div>`;
    return html`<fieldset class="fld"><legend><code class="k">${name}</code> <span class="ty">${typeName(schema, root)}</span> ${remove}</legend>${note}${depth > 6 ? html`<p class="quiet">deeper: edit it as JSON</p>` : fieldsOf(schema, root, value, path, set, depth + 1)}</fieldset>`;
  }
  if (kind === "array" && depth < 6) {
    const items = Array.isArray(value) ? value : [], of = s.items ?? {};
    return html`<fieldset class="fld"><legend><code class="k">${name}</code> <span class="ty">${typeName(schema, root)}</span> ${remove}</legend>${note}
      ${items.slice(0, 50).map((v, i) => html`<div class="item" key=${i}><${Field} name=${String(i)} schema=${of} root=${root} value=${v} has=${true} path=${[...path, i]} set=${set} required=${true} depth=${depth + 1}/><button type="button" class="linkish" onClick=${() => set([...path, i], undefined)}>Remove<span class="vh"> ${name} ${i}</span></button></div>`)}
      ${items.length > 50 && html`<p class="quiet">${items.length - 50} more in the JSON</p>`}
      <button type="button" class="btn small" onClick=${() => set([...path, items.length], example(of, root))}>Add<span class="vh"> to ${name}</span></button></fieldset>`;
  }
  return html`<div class="fld"><div class="fld-h">${label}${remove}</div>${note}<${Input} id=${id} s=${s} kind=${kind} value=${value} set=${v => set(path, v)}/></div>`;
}

function Input({id, s, kind, value, set}) {
  const raw = JSON.isRawJSON?.(value);
  switch (kind) {
    case "boolean": return html`<label class="check"><input id=${id} type="checkbox" checked=${value === true} onChange=${e => set(e.target.checked)}/> ${value === undefined ? "left out" : value === null ? "null" : String(value)}</label>`;
    case "enum": { const all = s.enum ?? [s.const]; return html`<select id=${id} value=${value === undefined ? "" : JSON.stringify(value)} onChange=${e => set(e.target.value === "" ? undefined : JSON.parse(e.target.value))}><option value="">left out</option>${all.map(v => html`<option key=${JSON.stringify(v)} value=${JSON.stringify(v)}>${String(v)}</option>`)}</select>`; }
    case "integer": case "number": return html`<input id=${id} class="field mono" inputmode=${kind === "integer" ? "numeric" : "decimal"} placeholder="left out" value=${raw ? value.rawJSON : value === undefined ? "" : value === null ? "null" : String(value)} onChange=${e => set(number(e.target.value, s))}/>`;
    case "string": return String(value ?? "").includes("\n") || (s.maxLength ?? 0) > 200
      ? html`<textarea id=${id} rows="3" value=${value ?? ""} onInput=${e => set(e.target.value)}></textarea>`
      : html`<input id=${id} class="field" type="text" placeholder=${value === undefined ? "left out" : value === null ? "null" : ""} value=${typeof value === "string" ? value : ""} onInput=${e => set(e.target.value)}/>`;
    default: return html`<input id=${id} class="field mono" type="text" placeholder="left out; any JSON" value=${value === undefined ? "" : JSON.stringify(value)} onChange=${e => set(anything(e.target.value))}/>`;
  }
}

function number(text, s) {
  const t = text.trim();
  if (t === "") return undefined;
  if (t === "null" && nullable(s)) return null;
  if (/^-?\d+$/.test(t) && !Number.isSafeInteger(Number(t)) && JSON.rawJSON) return JSON.rawJSON(String(BigInt(t)));
  return Number.isFinite(Number(t)) ? Number(t) : t;
}
function anything(text) { if (text.trim() === "") return undefined; try { return JSON.parse(text); } catch { return text; } }
