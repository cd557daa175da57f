// The same call from a shell or from Go.

/** Quotes for a POSIX shell. */
export const quote = s => /^[A-Za-z0-9_./:=@%+,-]+$/.test(s) ? s : "'" + s.replaceAll("'", "'\\''") + "'";

/** The beginning of a command for the broker at url. */
export const mbus = url => "mbus " + (url && !/\/\/(127\.0\.0\.1|localhost):4222\/?$/.test(url) ? `--url ${quote(url)} ` : "");

/** What a page shows, as JSON from a shell. */
export const asJSON = (origin, path) => `curl -H 'Accept: application/json' ${quote(origin + path)}`;

/** A call as {mbus, curl, go}. url is where the broker is, origin the dashboard. */
export function callAs({service, method, request, node, timeout, headers = [], stream, url}, origin) {
  const compact = squeeze(request);
  const flags = (node ? " --node " + quote(node) : "") + (timeout && timeout !== 5000 ? ` --timeout ${timeout}ms` : "") +
    headers.map(([k, v]) => " -H " + quote(`${k}: ${v}`)).join("");
  const empty = compact === "{}" || compact === "";
  return {
    mbus: `${mbus(url)}${stream ? "stream" : "query"}${flags} ${quote(service)} ${quote(method)}${empty ? "" : " " + quote(compact)}`,
    curl: `curl -H 'Content-Type: application/json'${stream ? " -N" : ""}${headers.map(([k, v]) => " -H " + quote(`${k}: ${v}`)).join("")} ` +
      (stream ? `${origin}/-/stream -d ` : `${origin}/rpc -d `) +
      quote(`{"service":${JSON.stringify(service)},"method":${JSON.stringify(method)}` + (node ? `,"${stream ? "node" : "address"}":${JSON.stringify(node)}` : "") + `,"request":${compact || "{}"}}`),
    go: goCall(service, method, compact || "{}", stream),
  };
}

function goCall(service, method, body, stream) {
  const raw = body.includes("`") ? JSON.stringify(body) : "`" + body + "`";
  const args = `ctx, client,\n\t${JSON.stringify(service)}, ${JSON.stringify(method)}`;
  if (stream) return `stream, err := rpc.OpenStream[json.RawMessage, json.RawMessage](${args})\nif err == nil {\n\terr = stream.Send(json.RawMessage(${raw}))\n}`;
  return `answer, err := rpc.Call[json.RawMessage](${args},\n\tjson.RawMessage(${raw}))`;
}

const post = (origin, path, body) => `curl -H 'Content-Type: application/json' ${origin}${path} -d ${quote(JSON.stringify(body))}`;

/** Taking a registered app out of the registry, as {mbus, curl}. */
export const deregisterAs = ({service, id}, url, origin) => ({
  mbus: `${mbus(url)}deregister service ${quote(JSON.stringify({name: service, nodes: [{id}]}))}`,
  curl: post(origin, "/-/deregister", {service, node: id}),
});

/** Telling a node to drain, or to take calls again, as {mbus, curl}. */
export const drainAs = ({service, id}, drain, url, origin) => ({
  mbus: `${mbus(url)}drain ${drain ? "" : "--undo "}${quote(service)} ${quote(id)}`,
  curl: post(origin, "/-/drain", {service, node: id, drain}),
});

/** JSON on one line, its numbers and strings as they are. What is no JSON stays. */
export function squeeze(text) {
  let out = "", inside = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (inside) {
      out += c;
      if (c === "\\") out += text[++i] ?? "";
      else if (c === '"') inside = false;
    } else if (c === '"') { inside = true; out += c; } else if (!/\s/.test(c)) out += c;
  }
  return out;
}

/** Secrets that history never keeps. */
export const secret = name => /auth|token|secret|password|cookie|api-?key|credential|signature/i.test(name);
