// Subjects as a tree of their tokens.

/** [{name, path, self: the subject or null, kids}], by name. A chain of single tokens is one entry. */
export function tree(subjects) {
  const root = {kids: new Map()};
  for (const s of subjects) {
    let at = root, path = "";
    const tokens = s.name.split(".");
    if (tokens.at(-1) === ">" && tokens.length > 1) tokens.pop(); // the entry of the parent stands for it
    for (const token of tokens) {
      path = path ? path + "." + token : token;
      if (!at.kids.has(token)) at.kids.set(token, {name: token, path, self: null, kids: new Map()});
      at = at.kids.get(token);
    }
    if (!s.name.endsWith(">")) at.self = s;
  }
  const list = node => [...node.kids.values()].sort((a, b) => a.name < b.name ? -1 : 1).map(n => {
    while (!n.self && n.kids.size === 1) {
      const [only] = n.kids.values();
      n = {...only, name: n.name + "." + only.name};
    }
    return {name: n.name, path: n.path, self: n.self, kids: list(n)};
  });
  return list(root);
}
