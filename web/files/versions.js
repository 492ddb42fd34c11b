// A file's versions: those that stand beside each other until one is chosen, and what each node has.
import { fill, h } from "../lib/dom.js";
import { bytes } from "../lib/format.js";
import { conflicts, stat } from "../lib/files.js";
import { link } from "../lib/route.js";
import { may } from "../lib/session.js";
import { errorState, loadingState } from "../lib/ui.js";
import { keepIt, save } from "./acts.js";
import { glyph } from "./icons.js";
import { preview, textBlock, textOf } from "./preview.js";
import { folderOf, nameOf } from "./store.js";
import { minute } from "./words.js";

const VERSIONS_MAX = 8; // side by side
const NODES_MAX = 16; // asked for what they have
const COMPARED_BYTES = 64 * 1024;
const PICTURES = /\.(png|jpe?g|gif|webp|svg|avif|bmp|ico)$/i;

/** The versions of @path that stand beside each other, the one shown first, with who made them. */
async function versionsOf(path, signal) {
  const paths = [];
  let after = "";
  do {
    const page = await conflicts(folderOf(path), after);
    paths.push(...page.entries.filter((entry) => entry.path === path || entry.conflict_of === path).map((entry) => entry.path));
    after = page.next ?? "";
  } while (after && !paths.length);
  if (!paths.length) paths.push(path);
  return (await Promise.all(paths.slice(0, VERSIONS_MAX).map((one) => stat(one, signal).catch(() => null)))).filter(Boolean);
}

/** {element, close}: the versions of @path side by side. after(): one was chosen. */
export function sideBySide(path, after = () => {}) {
  const leaving = new AbortController();
  const element = h("div.versions", null, loadingState("the versions"));
  let shown = [];

  async function load() {
    try {
      const versions = await versionsOf(path, leaving.signal);
      if (leaving.signal.aborted) return;
      const texts = await Promise.all(versions.map((one) => (Number(one.size) <= COMPARED_BYTES && !PICTURES.test(path) ? textOf(one, leaving.signal).catch(() => null) : null)));
      if (leaving.signal.aborted) return;
      draw(versions, texts);
    } catch (error) {
      if (!leaving.signal.aborted) fill(element, errorState(error, load));
    }
  }

  function draw(versions, texts) {
    for (const one of shown.splice(0)) one.close();
    if (versions.length < 2) {
      fill(element, h("p.quiet", null, "There is one version only by now."));
      return;
    }
    element.style.setProperty("--n", Math.min(versions.length, 3));
    const lines = texts.map((source) => new Set(source?.split("\n")));
    const comparable = texts.filter((source) => source !== null).length > 1;
    fill(element, versions.map((version, i) => {
      const first = !version.conflict_of;
      const others = new Set(lines.flatMap((one, k) => (k === i ? [] : [...one])));
      let body;
      if (texts[i] !== null) body = textBlock(texts[i], `Version by ${version.author}`, comparable ? others : undefined);
      else {
        const view = preview(version);
        shown.push(view);
        body = view.element;
      }
      const choose = (both) => async (event) => await keepIt(version.path, both, event.target) && after();
      return h("article.version", null,
        h("header", null, h("h3", null, version.author || "somebody", first && h("span.tag", null, "shown")),
          h("p.quiet.small", null, `${minute(version.modified || version.changed)} · ${bytes(Number(version.size))} · `, h("code", { title: version.hash }, version.hash.slice(0, 8)))),
        body,
        h("div.acts", null,
          may("operator") && h("button.primary", { onclick: choose(false), ariaLabel: `Keep this one, by ${version.author}` }, "Keep this one"),
          may("operator") && !first && h("button", { onclick: choose(true), title: `It becomes ${nameOf(version.path)}; the version that is shown stays` }, "Keep both"),
          h("button.plain", { onclick: (event) => save(version.path, { hash: version.hash, size: version.size }, event.target) }, "Download")));
    }), comparable && h("p.quiet.small.whole", null, "Marked lines are in that version only."));
  }
  load();
  return {
    element,
    load,
    close() {
      leaving.abort();
      for (const one of shown) one.close();
    },
  };
}

/**
 * {element, close}: what each node that shares or holds @entry has under its name, once it is asked for. @nodes: that share
 * a folder of this share.
 */
export function byNode(entry, nodes) {
  const leaving = new AbortController();
  const list = h("div", null, h("p.quiet.small", null, "Asking"));
  const element = h("details.nodes", { ontoggle: () => element.open && load() }, h("summary", null, "What each node's folder has"), list);
  async function load() {
    try {
      const names = [...new Set([...nodes, ...entry.holders])].sort().slice(0, NODES_MAX);
      const found = await Promise.all(names.map((name) => stat(`${entry.path}@${name}`, leaving.signal).then((one) => [name, one], (error) => [name, null, error])));
      if (leaving.signal.aborted) return;
      const own = found.filter(([, one]) => one);
      if (!own.length) {
        fill(list, h("p.quiet", null, "No node has it in a folder; copies are kept beside the folders."));
        return;
      }
      fill(list, h("ul.by-node", null, own.map(([name, one]) => {
        const same = one.hash === entry.hash;
        return h("li", null, h("a", { href: link("nodes", name) }, name),
          h("span.quiet", null, same ? "this version" : one.kind === "deleted" ? "has deleted it" : `another: ${bytes(Number(one.size))}, ${minute(one.modified || one.changed)}`),
          !same && one.kind === "file" && h("button.icon-only", { ariaLabel: `Download the version of ${name}`, title: `Download the version of ${name}`, onclick: (event) => save(`${entry.path}@${name}`, { hash: one.hash, size: one.size, name: nameOf(entry.path) }, event.currentTarget) }, glyph("download")));
      })));
    } catch (error) {
      if (!leaving.signal.aborted) fill(list, errorState(error, load));
    }
  }
  return { element, close: () => leaving.abort() };
}
