// JSON Schema as people read it: a typed tree, an example, the fields of a form.
// Schemas may refer to themselves; nothing here follows a reference twice.

const DEPTH = 12;

/** The schema that a $ref within root means. */
export function resolve(schema, root) {
  for (let i = 0; i < 8 && schema && schema.$ref; i++) {
    if (!schema.$ref.startsWith("#")) return {};
    let at = root;
    for (const key of schema.$ref.slice(1).split("/").filter(Boolean)) at = at?.[key.replaceAll("~1", "/").replaceAll("~0", "~")];
    const {$ref, ...rest} = schema;
    schema = {...at, ...rest, $name: $ref.split("/").at(-1)};
    if (at?.$ref) schema.$ref = at.$ref;
  }
  return schema === true || !schema ? {} : schema;
}

/** The kind of a value: its type, without null. */
export function kindOf(s) {
  if (s.enum) return "enum";
  if (s.const !== undefined) return "enum";
  const types = [].concat(s.type ?? []).filter(t => t !== "null");
  if (types.length === 1) return types[0];
  if (types.length > 1) return "any";
  if (s.properties) return "object";
  if (s.items) return "array";
  return "any";
}

export const nullable = s => [].concat(s.type ?? []).includes("null");

/** What stands behind a field's name: string, int64, []User, map of string. */
export function typeName(schema, root) {
  const s = resolve(schema, root);
  switch (kindOf(s)) {
    case "enum": return (s.enum ?? [s.const]).map(v => JSON.stringify(v)).join(" | ");
    case "array": return "[]" + typeName(s.items ?? {}, root);
    case "object": return s.properties ? s.$name ?? s.title ?? "object" : s.additionalProperties ? "map of " + typeName(s.additionalProperties, root) : "object";
    case "integer": return s.format ?? "integer";
    case "string": return s.contentEncoding === "base64" ? "bytes" : s.format ?? "string";
    case "any": return s.anyOf || s.oneOf ? (s.anyOf ?? s.oneOf).map(x => typeName(x, root)).join(" | ") : "any";
    default: return kindOf(s);
  }
}

/** The tree of an object's fields: [{name, type, required, text, fields, again}]. */
export function tree(schema, root = schema, seen = []) {
  let s = resolve(schema, root);
  while (kindOf(s) === "array") s = resolve(s.items ?? {}, root);
  if (kindOf(s) === "object" && !s.properties && s.additionalProperties) return tree(s.additionalProperties, root, seen);
  if (!s.properties) return [];
  return Object.entries(s.properties).map(([name, p]) => {
    const r = resolve(p, root);
    let inner = r;
    while (kindOf(inner) === "array") inner = resolve(inner.items ?? {}, root);
    const again = inner.properties && (seen.includes(inner.properties) || inner.properties === s.properties || seen.length > DEPTH);
    return {
      name, type: typeName(p, root), required: (s.required ?? []).includes(name), text: r.description ?? "",
      rules: rules(r), again: Boolean(again), fields: again ? [] : tree(p, root, [...seen, s.properties]),
    };
  });
}

function rules(s) {
  const out = [];
  if (s.minimum !== undefined) out.push("≥ " + s.minimum);
  if (s.maximum !== undefined) out.push("≤ " + s.maximum);
  if (s.minLength) out.push(`at least ${s.minLength} characters`);
  if (s.maxLength !== undefined) out.push(`at most ${s.maxLength} characters`);
  if (s.pattern) out.push("matches " + s.pattern);
  if (s.default !== undefined) out.push("default " + JSON.stringify(s.default));
  return out.join(", ");
}

/** A value that the schema allows, with its own examples where it has some. */
export function example(schema, root = schema, depth = 0, seen = []) {
  const s = resolve(schema, root);
  if (s.examples?.length) return s.examples[0];
  if (s.default !== undefined) return s.default;
  switch (kindOf(s)) {
    case "enum": return s.const ?? s.enum[0];
    case "string": return s.format === "date-time" ? "2026-01-01T00:00:00Z" : "";
    case "integer": return s.minimum > 0 ? s.minimum : 0;
    case "number": return s.minimum > 0 ? s.minimum : 0;
    case "boolean": return false;
    case "array": return depth > 4 || !s.items || seen.includes(s.items) ? [] : [example(s.items, root, depth + 1, [...seen, s.items])];
    case "object": {
      const out = {};
      if (depth > 6 || seen.includes(s.properties)) return out;
      for (const [k, p] of Object.entries(s.properties ?? {})) out[k] = example(p, root, depth + 1, [...seen, s.properties]);
      return out;
    }
    default: return null;
  }
}

/** Fields of the value that the schema does not name, as paths. At most 20. */
export function unknown(value, schema, root = schema, path = "", out = []) {
  const s = resolve(schema, root);
  if (out.length >= 20 || value === null || typeof value !== "object") return out;
  if (Array.isArray(value)) {
    if (s.items) value.slice(0, 50).forEach((v, i) => unknown(v, s.items, root, `${path}[${i}]`, out));
    return out;
  }
  if (!s.properties) {
    if (typeof s.additionalProperties === "object") for (const k in value) unknown(value[k], s.additionalProperties, root, path ? `${path}.${k}` : k, out);
    return out;
  }
  for (const k in value) {
    const at = path ? `${path}.${k}` : k;
    if (Object.hasOwn(s.properties, k)) unknown(value[k], s.properties[k], root, at, out);
    else if (s.additionalProperties === undefined || s.additionalProperties === false) out.push(at);
  }
  return out;
}

/** A copy of value with what stands at path replaced; undefined removes it. */
export function withAt(value, path, next) {
  if (!path.length) return next;
  const [key, ...rest] = path;
  if (typeof key === "number") {
    const copy = Array.isArray(value) ? [...value] : [];
    if (!rest.length && next === undefined) copy.splice(key, 1);
    else copy[key] = withAt(copy[key], rest, next);
    return copy;
  }
  const copy = value && typeof value === "object" && !Array.isArray(value) ? {...value} : {};
  if (!rest.length && next === undefined) delete copy[key];
  else copy[key] = withAt(copy[key], rest, next);
  return copy;
}

/** Whether JavaScript changes some number of this JSON by reading it. */
export function loses(text) {
  return [...text.replace(/"(?:[^"\\]|\\.)*"/g, '""').matchAll(/-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g)]
    .some(([n]) => /^-?\d+$/.test(n) && !Number.isSafeInteger(Number(n)));
}
