// Reading what people type, and telling where it is wrong.

/** Null if the text is JSON, else {line, column, message}. */
export function jsonError(text) {
  try { JSON.parse(text); return null; } catch (e) {
    const m = /position (\d+)/.exec(e.message), lc = /line (\d+) column (\d+)/.exec(e.message);
    const at = m ? Number(m[1]) : text.length;
    const before = text.slice(0, at).split("\n");
    const message = text.trim() === "" ? "empty: a request is a JSON document, such as {}"
      : e.message.replace(/^JSON\.parse: /, "").replace(/(, )?"?\.*.{0,200}"? is not valid JSON$/s, "").replace(/ in JSON.*$/s, "") || "not JSON";
    return {line: lc ? Number(lc[1]) : before.length, column: lc ? Number(lc[2]) : before.at(-1).length + 1, message};
  }
}

/** JSON.parse that keeps integers beyond 2^53 exact, where the browser can. */
export function read(text) {
  return JSON.parse(text, (key, v, context) => typeof v === "number" && !Number.isSafeInteger(v) && JSON.rawJSON && /^-?\d+$/.test(context?.source)
    ? JSON.rawJSON(context.source) : v);
}

export const pretty = v => JSON.stringify(v, null, 2);

/** base64url of UTF-8 text, as in ?req=. */
export function pack(text) {
  let s = "";
  for (const b of new TextEncoder().encode(text)) s += String.fromCharCode(b);
  return btoa(s).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

export function unpack(text) {
  try {
    const s = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    return new TextDecoder("utf-8", {fatal: true}).decode(Uint8Array.from(s, c => c.charCodeAt(0)));
  } catch { return null; }
}

/** Lines of a hex dump of base64 data, 16 bytes a line. */
export function hex(base64, limit = 4096) {
  const s = atob(base64), lines = [];
  for (let i = 0; i < Math.min(s.length, limit); i += 16) {
    let h = "", t = "";
    for (let j = i; j < Math.min(i + 16, s.length); j++) {
      const c = s.charCodeAt(j);
      h += c.toString(16).padStart(2, "0") + (j % 8 === 7 ? "  " : " ");
      t += c > 31 && c < 127 ? s[j] : ".";
    }
    lines.push(i.toString(16).padStart(6, "0") + "  " + h.padEnd(50) + t);
  }
  if (s.length > limit) lines.push(`… ${s.length - limit} bytes more`);
  return lines.join("\n");
}

/** Lines of two texts: [" ", same], ["-", only in a], ["+", only in b]. Long texts are compared line by line. */
export function diff(a, b) {
  a = a.split("\n"); b = b.split("\n");
  if (a.length * b.length > 250000) return [...a.map(l => ["-", l]), ...b.map(l => ["+", l])];
  const t = Array.from({length: a.length + 1}, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) for (let j = b.length - 1; j >= 0; j--) t[i][j] = a[i] === b[j] ? t[i + 1][j + 1] + 1 : Math.max(t[i + 1][j], t[i][j + 1]);
  const out = [];
  let i = 0, j = 0;
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) { out.push([" ", a[i++]]); j++; } else if (t[i + 1][j] >= t[i][j + 1]) out.push(["-", a[i++]]);
    else out.push(["+", b[j++]]);
  }
  while (i < a.length) out.push(["-", a[i++]]);
  while (j < b.length) out.push(["+", b[j++]]);
  return out;
}
