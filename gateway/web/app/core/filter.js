// The filter language of every list: words are joined by AND.
//
//   order            the text contains it        is:down   ver:1.2   kind:foreign
//   "two words"      a phrase                    rps>10    p99>50ms  err>=1%
//   -word            not                         -is:ok
//
// A field is {text(row) → string or array} or {number(row) → number or null}.
// Go reads the same language; filter.cases.json is the table both are tested by.

const UNITS = {ms: 1, s: 1000, m: 60000, "%": 1, k: 1000};
const TERM = /^([a-z][a-z0-9_]*)(:|>=|<=|>|<|=)(.*)$/i;

/** Splits a filter into terms. Never throws: what is no term is a word. */
export function parse(text) {
  const terms = [];
  const re = /(-?)(?:"([^"]*)"?|([^\s"]+(?:"[^"]*"?)?))/g;
  for (let m; (m = re.exec(text));) {
    if (m[0] === "") { re.lastIndex++; continue; }
    const not = m[1] === "-";
    if (m[2] !== undefined) {
      if (m[2]) terms.push({not, word: m[2].toLowerCase()});
      continue;
    }
    const t = TERM.exec(m[3]);
    if (!t) terms.push({not, word: m[3].toLowerCase()});
    else terms.push({not, field: t[1].toLowerCase(), op: t[2], value: t[3].replaceAll('"', "").toLowerCase()});
  }
  return terms;
}

/** Reads 50, 50ms, 1.5s, 2k, 1%. Null when it is no number. */
export function quantity(text) {
  const m = /^(-?\d+(?:\.\d+)?)(ms|s|m|%|k)?$/.exec(text);
  return m ? Number(m[1]) * (UNITS[m[2]] ?? 1) : null;
}

function holds(op, a, b) {
  if (a === null || a === undefined) return false;
  switch (op) {
    case ">": return a > b;
    case "<": return a < b;
    case ">=": return a >= b;
    case "<=": return a <= b;
    default: return a === b;
  }
}

/**
 * Makes a test for rows. Problems name what the filter says that no row can
 * answer; a term with a problem matches nothing, so that a typo is not "all".
 */
export function compile(text, fields, words) {
  const problems = [];
  const tests = parse(text).map(t => {
    if (t.word !== undefined) return row => words(row).includes(t.word) !== t.not;
    const f = fields[t.field];
    if (!f) {
      problems.push(`no field “${t.field}”`);
      return () => false;
    }
    if (f.number) {
      const want = quantity(t.value);
      if (want === null) {
        if (t.value !== "") problems.push(`“${t.value}” is no number`);
        return () => t.value === "";
      }
      const op = t.op === ":" ? "=" : t.op;
      return row => holds(op, f.number(row), want) !== t.not;
    }
    if (t.value === "") return () => true;
    const exact = t.op === "=";
    return row => {
      const have = [].concat(f.text(row) ?? []);
      const hit = have.some(v => {
        v = String(v).toLowerCase();
        return exact || f.exact ? v === t.value : f.prefix ? v.startsWith(t.value) : v.includes(t.value);
      });
      return hit !== t.not;
    };
  });
  return {test: row => tests.every(t => t(row)), problems, empty: tests.length === 0};
}

/** What may follow at the end of the text: fields, or values of the field. */
export function complete(text, fields) {
  const last = /(?:^|\s)-?([^\s"]*)$/.exec(text)?.[1] ?? "";
  const at = last.indexOf(":");
  if (at > 0) {
    const values = fields[last.slice(0, at)]?.values ?? [];
    return values.filter(v => v.startsWith(last.slice(at + 1))).map(v => last.slice(0, at + 1) + v);
  }
  return Object.entries(fields).filter(([k]) => k.startsWith(last))
    .map(([k, f]) => k + (f.number ? ">" : ":"));
}

const num = key => ({number: r => r[key]});

/** The fields of rows of services. */
export const serviceFields = {
  is: {text: r => r.health, exact: true, values: ["down", "degraded", "starting", "stale", "ok"]},
  name: {text: r => r.name},
  ver: {text: r => (r.versions ?? []).map(v => v.version), prefix: true},
  kind: {text: r => r.kind, exact: true, values: ["mbus", "foreign", "app"]},
  rps: num("rps"), p50: num("p50_ms"), p99: num("p99_ms"), err: num("error_percent"),
  errors: num("errors_per_s"), nodes: num("instances"), inflight: num("in_flight"),
};

/** The fields of rows of nodes. */
export const nodeFields = {
  is: {text: r => r.state, exact: true, values: ["suspect", "stale", "draining", "starting", "ok"]},
  node: {text: r => r.id},
  service: {text: r => r.service},
  ver: {text: r => r.version, prefix: true},
  kind: {text: r => r.kind, exact: true, values: ["mbus", "foreign", "app"]},
  rps: num("rps"), p99: num("p99_ms"), load: num("load"), inflight: num("in_flight"), errors: num("errors_per_s"),
};

export const serviceWords = r => r.lower ??= r.name.toLowerCase();
export const nodeWords = r => r.lower ??= `${r.id} ${r.service} ${r.address ?? ""}`.toLowerCase();

const RANK = {down: 0, suspect: 0, degraded: 1, stale: 2, draining: 2, starting: 3, ok: 4};
export const rank = health => RANK[health] ?? 5;

/** Sorted copies: by worst health and then name, or by one column. */
export function sorted(rows, key, dir) {
  const of = key === "health" ? r => rank(r.health ?? r.state)
    : key === "version" ? r => r.version ?? r.versions?.[0]?.version ?? "" : r => r[key];
  return [...rows].sort((a, b) => {
    const x = of(a), y = of(b);
    if (x === y || (x == null && y == null)) return key === "health" ? tie(a, b) : rank(a.health ?? a.state) - rank(b.health ?? b.state) || tie(a, b);
    if (x == null) return 1;
    if (y == null) return -1;
    return (x < y ? -1 : 1) * dir || tie(a, b);
  });
}
const tie = (a, b) => (a.name ?? a.id) < (b.name ?? b.id) ? -1 : 1;
