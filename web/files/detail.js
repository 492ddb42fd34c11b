// One file: what is in it, who has it, its versions, and what can be done with it.
import { fill, h } from "../lib/dom.js";
import { ago, bytes, clock, shell } from "../lib/format.js";
import { stat } from "../lib/files.js";
import { link } from "../lib/route.js";
import { may } from "../lib/session.js";
import { commandLine, copyButton, emptyState, errorState, facts, loadingState } from "../lib/ui.js";
import { bringBack, drop, evictIt, keepIt, pinIt, save, unpinIt, verifyIt } from "./acts.js";
import { glyph, kindOf } from "./icons.js";
import { preview } from "./preview.js";
import { folderOf, nameOf, outOfReach } from "./store.js";
import { byNode, sideBySide } from "./versions.js";
import { minute } from "./words.js";

const mode = (bits) => [6, 3, 0].map((by) => ["r", "w", "x"].map((c, i) => (bits >> by & (4 >> i) ? c : "-")).join("")).join("");

/**
 * {element, renew, close} of the file at @path. options: close(): the way back, known(entry): it was looked at, sharers(): names of the nodes that have a folder of its share.
 */
export function detail(path, { close, known, sharers }) {
  const leaving = new AbortController();
  const body = h("div.detail-body", null, loadingState(nameOf(path)));
  const picture = h("span");
  const element = h("section.card.detail", { ariaLabel: nameOf(path), role: "region", tabIndex: 0 },
    h("header.detail-head", null, picture, h("div", null, h("h2", null, nameOf(path)), h("p.quiet.small", null, folderOf(path))),
      h("button.icon-only.shut", { ariaLabel: "Close", title: "Close", onclick: close }, glyph("close"))),
    body);
  let parts = []; // what is to be closed
  let drawn = "";
  let turn = 0;

  async function load() {
    const mine = ++turn;
    try {
      const entry = await stat(path, leaving.signal);
      if (mine !== turn || leaving.signal.aborted) return;
      known(entry);
      draw(entry);
    } catch (error) {
      if (mine !== turn || leaving.signal.aborted) return;
      drawn = "";
      for (const part of parts.splice(0)) part.close();
      if (error.status !== 404) fill(body, errorState(error, load));
      else fill(body, emptyState({ title: "It was deleted", text: "For 7 days it can be restored." }), h("div.acts.centre", null,
        may("operator") && h("button", { onclick: async (event) => await bringBack({ path }, event.currentTarget) && load() }, glyph("undo"), "Restore"), h("a", { href: `${link("files", path.split("/")[0])}?view=trash` }, "Look in the trash")));
    }
  }

  function acts(entry) {
    const then = (act) => async (event) => await act(entry, event.currentTarget) && load();
    return h("div.acts", null,
      entry.kind === "file" && h("button.primary", { onclick: (event) => save(path, { hash: entry.hash, size: entry.size }, event.currentTarget) }, glyph("download"), "Download"),
      may("operator") && entry.kind === "file" && [
        entry.conflict_of && h("button", { onclick: async (event) => await keepIt(path, false, event.currentTarget) && close() }, "Keep this version"),
        h("button", { onclick: then(entry.pinned ? unpinIt : pinIt), title: entry.pinned ? "It may leave the cache again" : "Fetch it, and let it stay in this node's cache" }, entry.pinned ? "Unpin" : "Pin"),
        h("button", { onclick: then(evictIt), disabled: !entry.cached, title: entry.cached ? "Out of this node's cache" : "It is not in this node's cache" }, "Evict"),
        h("button", { onclick: then(verifyIt), title: "Read again what this node holds of it" }, "Verify"),
      ],
      may("operator") && !entry.conflict_of && h("button.danger", { onclick: async (event) => await drop(entry, event.currentTarget) && close() }, "Delete"));
  }

  function draw(entry) {
    // what a preview shows stays while the content does
    const key = JSON.stringify([entry.hash, entry.conflicts, entry.holders, entry.holders_alive, entry.cached, entry.pinned, entry.here, entry.modified, entry.kind]);
    if (key === drawn) return;
    drawn = key;
    for (const part of parts.splice(0)) part.close();
    fill(picture, glyph(kindOf(entry)));
    const view = preview(entry);
    const nodes = entry.kind === "file" ? byNode(entry, sharers()) : null;
    const both = Number(entry.conflicts) > 0 || entry.conflict_of ? sideBySide(entry.conflict_of || path, () => { drawn = ""; load(); }) : null;
    parts = [view, nodes, both].filter(Boolean);
    const alive = Number(entry.holders_alive ?? entry.holders.length);
    const holder = (name, i) => h("li", null, h(`span.shape.${i < alive ? "ok" : "error"}`, { ariaHidden: "true" }, i < alive ? "●" : "■"), h("a", { href: link("nodes", name) }, name), i >= alive && h("span.quiet", null, " away"));
    fill(body, acts(entry),
      both && h("div", null, h("h3", null, "Versions that stand beside each other"), h("p.quiet.small", null, "They were made without knowing of each other. All of them stay until one is chosen."), both.element),
      !both && view.element,
      outOfReach(entry) && h("p.warning", null, h("span.shape.warn", { ariaHidden: "true" }, "▲"), entry.holders.length ? "No node that holds it is within reach: it can be read when one is back." : "No node that is known holds it."),
      facts([
        ["Size", `${bytes(Number(entry.size))}`], ["Modified", h("time", { title: `${clock(entry.modified)}, ${ago(Date.now() - new Date(entry.modified))}` }, minute(entry.modified))],
        ["Published", h("time", { title: `${clock(entry.changed)}, ${ago(Date.now() - new Date(entry.changed))}` }, minute(entry.changed))], ["By", entry.author ? h("a", { href: link("nodes", entry.author) }, entry.author) : "–"],
        ["Here", entry.here ? "held" : entry.cached ? "in the cache" : "not yet fetched"], ["Pinned", entry.pinned ? "yes" : "no"],
        ["Mode", h("code", null, mode(entry.mode))],
      ]),
      entry.hash && h("div.hash", null, h("span.quiet.small", null, "BLAKE2b"), h("code", null, entry.hash), copyButton(() => entry.hash, "Copy the hash")),
      entry.kind === "file" && h("div", null, h("h3", null, "Held by"), entry.holders.length ? h("ul.holders", null, entry.holders.map(holder)) : h("p.quiet", null, "nobody")),
      nodes?.element,
      commandLine(`kith fs get ${shell(path)}`));
  }

  load();
  return {
    element,
    renew: load,
    close() {
      leaving.abort();
      for (const part of parts) part.close();
    },
  };
}
