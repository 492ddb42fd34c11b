// Two lists beside the tree: files with several versions, and what was deleted.
import { fill, h, text } from "../lib/dom.js";
import { ago, number } from "../lib/format.js";
import { conflicts, trash } from "../lib/files.js";
import { link } from "../lib/route.js";
import { may } from "../lib/session.js";
import { table } from "../lib/table.js";
import { emptyState, errorState, loadingState } from "../lib/ui.js";
import { bringBack } from "./acts.js";
import { glyph } from "./icons.js";
import { sideBySide } from "./versions.js";

const FILES_MAX = 500; // with conflicts, shown at once
const TRASH_MAX = 20000;

/** {element, renew, close}: files under @scope with more than one version. @tell(n): how many. */
export function conflictList(scope, tell = () => {}) {
  const element = h("div.form", null, loadingState("conflicts"));
  let open = new Map(); // path -> side by side
  let known = "";
  let closed = false;

  async function load() {
    try {
      const found = [];
      let after = "";
      do {
        const page = await conflicts(scope, after);
        if (closed) return;
        found.push(...page.entries.filter((entry) => !entry.conflict_of));
        after = page.next ?? "";
      } while (after && found.length < FILES_MAX);
      tell(found.length);
      draw(found, Boolean(after));
    } catch (error) {
      if (!closed) fill(element, errorState(error, load));
    }
  }

  function draw(found, more) {
    const key = JSON.stringify(found.map((entry) => [entry.path, entry.hash, entry.conflicts]));
    if (key === known) return;
    known = key;
    const before = open;
    open = new Map();
    fill(element, found.length ? [
      h("p.quiet", null, "Changed on several nodes that did not know of each other: all versions are kept until one is chosen."),
      found.map((entry, i) => {
        const view = before.get(entry.path);
        const box = h("details.conflict", { open: view !== undefined || i < 3, ontoggle: () => {
          if (!box.open || open.has(entry.path)) return;
          const made = sideBySide(entry.path, load);
          open.set(entry.path, made);
          box.append(made.element, h("p.small", null, h("a", { href: link("files", ...entry.path.split("/")) }, "Show it in the tree")));
        } }, h("summary", null, glyph("conflict"), h("b", null, entry.path), h("span.tag.warn", null, `${Number(entry.conflicts) + 1} versions`)));
        return h("section.card", null, box);
      }), more && h("p.quiet", null, `The first ${number(found.length)}. `, h("code", null, "kith fs conflicts"), " lists them all."),
    ] : h("section.card", null, emptyState({ title: "No conflicts", text: "When two nodes change a file at once, or on two sides of a cut, both versions stay and are shown here." })));
    for (const view of before.values()) view.close();
  }
  load();
  return {
    element,
    renew: load,
    close() {
      closed = true;
      for (const view of open.values()) view.close();
    },
  };
}

/** {element, renew, tick, close}: what was deleted under @scope, "" everywhere. */
export function trashList(scope) {
  const rows = table({
    noun: "deleted file", key: (row) => row.path, sort: "-deleted", flash: () => false,
    columns: [
      { key: "path", title: "Path", wide: true, text: (row) => row.path },
      { key: "deleted", title: "Deleted", num: true, runs: true, sort: (row) => row.changed, text: (row) => ago(Date.now() - new Date(row.changed)) },
      ...(may("operator") ? [{ key: "act", title: "", num: true, sort: false, cell: (row, td) => {
        if (!td.firstChild) fill(td, h("button", { ariaLabel: `Restore ${row.path}`, onclick: async (event) => await bringBack(row, event.currentTarget) && load() }, glyph("undo"), "Restore"));
      } }] : []),
    ],
    search: (row) => row.path,
    empty: { title: "The trash is empty", text: "What is deleted, here or by a command, can be restored for 7 days.", command: "kith fs rm docs/old.txt" },
  });
  const element = h("div", null, loadingState("what was deleted"));
  const note = h("p.quiet");
  let closed = false;

  async function load() {
    try {
      const found = [];
      let after = "";
      do {
        const page = await trash(scope, after);
        if (closed) return;
        found.push(...page.entries.filter((entry) => entry.kind === "deleted"));
        after = page.next ?? "";
      } while (after && found.length < TRASH_MAX);
      if (!rows.element.isConnected) fill(element, rows.element, note);
      rows.update(found);
      text(note, found.length >= TRASH_MAX ? `The first ${number(TRASH_MAX)}; open a folder to see what was deleted there.` : "");
    } catch (error) {
      if (!closed) fill(element, errorState(error, load));
    }
  }
  load();
  return {
    element,
    renew: load,
    tick: () => rows.tick(),
    close() {
      closed = true;
    },
  };
}
