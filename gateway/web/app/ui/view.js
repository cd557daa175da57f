// Preact, htm and signals, joined.
//
// The npm files are served as they are, so only those without bare imports serve:
// preact.mjs, htm.module.js and signals-core.module.js. preact/hooks and
// @preact/signals name other packages in theirs and are left out; view is what
// the app needs of them.
import {h, render, Component, Fragment} from "../vendor/preact/preact.mjs";
import htm from "../vendor/htm/htm.module.js";
import {signal, computed, effect, batch, untracked} from "../vendor/signals-core/signals-core.module.js";

export const html = htm.bind(h);
export {render, Fragment, signal, computed, effect, batch, untracked};

function differ(a, b) {
  if (a === b) return false;
  for (const k in a) if (!(k in b)) return true;
  for (const k in b) if (a[k] !== b[k]) return true;
  return false;
}

/**
 * A component of draw(props, self). It draws again when its props differ or a
 * signal that it read has changed. self.local(make) keeps what make returned for
 * the life of the component; self.after(run, deps) runs once it is in the page,
 * and again when deps differ, after undoing with what run returned.
 */
export function view(draw) {
  return class View extends Component {
    shouldComponentUpdate(next) { return differ(this.props, next); }
    componentDidMount() { this.settle(); }
    componentDidUpdate() { this.settle(); }
    componentWillUnmount() {
      this.gone = true;
      this.stop?.();
      for (const job of this.jobs ?? []) job.undo?.();
    }
    local(make) { return this.kept ??= make(this.props); }
    after(run, deps) {
      const job = (this.jobs ??= [])[this.n] ??= {};
      this.n++;
      if (!job.deps || differ(job.deps, deps)) { job.next = run; job.deps = deps; }
    }
    settle() {
      for (const job of this.jobs ?? []) {
        if (!job.next) continue;
        const run = job.next;
        job.next = null;
        job.undo?.();
        job.undo = untracked(run);
      }
    }
    render(props) {
      this.stop?.();
      this.n = 0;
      let out, drawn = false;
      this.stop = effect(() => {
        if (drawn) { if (!this.gone) this.forceUpdate(); return; }
        drawn = true;
        out = draw(props, this);
      });
      return out;
    }
  };
}

/** A component whose module is fetched when it is first shown. */
export function later(load, Placeholder = () => null) {
  const it = signal(null);
  let coming = false;
  return view(props => {
    if (it.value) return h(it.value, props);
    if (!coming) { coming = true; load().then(c => { it.value = c; }, () => { coming = false; }); }
    return h(Placeholder, props);
  });
}
