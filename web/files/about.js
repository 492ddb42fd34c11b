// What stands beside the tree while no file is chosen: the share or folder one is in, or this node's cache and how to share a folder.
import { fill, h } from "../lib/dom.js";
import { bytes, count, number, percent, shell } from "../lib/format.js";
import { cache, confirm } from "../lib/files.js";
import { link } from "../lib/route.js";
import { may, session } from "../lib/session.js";
import { commandLine, dialog, errorState, facts, failed, loadingState, note } from "../lib/ui.js";
import { drop, evictIt, pinIt, unpinIt, verifyIt } from "./acts.js";
import { glyph, kindOf } from "./icons.js";
import { folderOf, nameOf } from "./store.js";

const PROBLEMS_MAX = 20;
const STATES = { scanning: ["warn", "▲", "is being read"], watched: ["ok", "●", "watched"], away: ["error", "■", "away"], held: ["warn", "▲", "waits to be confirmed"] };
const MODES = { plain: "others read it", "read-only": "never written to", sync: "kept in step with the others" };

/** How a folder gets into the tree, as commands. */
export const howToShare = () => h("div.form", null, h("h2", null, "Share a folder"),
  h("p.quiet", null, `On the machine that has it${session.info?.node ? ` (this one is ${session.info.node})` : ""}. Under the same name on several nodes, folders become one tree.`),
  commandLine("kith share add docs ~/docs"), h("p.quiet", null, "Kept in step, so that both machines have all of it:"), commandLine("kith share add docs ~/docs --sync"));

function gauge(label, used, max, words) {
  const high = max > 0 && used / max > 0.9;
  const bar = h("i", high ? { class: "high" } : {});
  bar.style.transform = `scaleX(${max > 0 ? Math.min(1, used / max) : 0})`;
  return h("div.gauge", null, h("span", null, label), h("span.quiet", null, words ?? `${bytes(used)} of ${bytes(max)}`), h("span.meter", { role: "img", ariaLabel: `${label}: ${percent(max > 0 ? (used * 100) / max : 0)}` }, bar));
}

/** {element, close}: this node's cache. */
export function cacheCard() {
  const body = h("div.form", null, loadingState("the cache"));
  const element = h("section.card", null, h("h2", null, "Cache of this node"), body);
  function draw(c) {
    const n = (key) => Number(c[key] ?? 0);
    const reads = n("memory_hits") + n("disk_hits") + n("misses");
    const share = (key) => (reads ? percent((n(key) * 100) / reads) : "–");
    fill(body,
      gauge("Memory", n("memory_bytes"), n("memory_bytes_max")), gauge("Disk", n("disk_bytes"), n("disk_bytes_max")),
      gauge("Memory of the machine", n("memory_used_percent"), 100, `${percent(n("memory_used_percent"))}, mark at ${percent(n("memory_mark_percent"))}`),
      facts([["Read from memory", share("memory_hits")], ["From the disk", share("disk_hits")], ["Fetched", share("misses")], ["Reads", number(reads)],
        ["Pinned", n("pinned_missing_bytes") ? `${bytes(n("pinned_bytes"))}, of which ${bytes(n("pinned_missing_bytes"))} are to come` : bytes(n("pinned_bytes"))], ["Kept for others", bytes(n("keep_bytes"))], ["Fetching now", n("fetching") ? `${count(n("fetching"), "file")}, ${bytes(n("fetching_bytes"))}` : "nothing"]]));
    body.querySelector(".facts").classList.add("tight");
  }

  const live = cache((_, figures, error) => {
    if (figures) draw(figures);
    else fill(body, errorState(error));
  });
  return { element, close: () => live.close() };
}

function problems(share) {
  const all = Number(share.problems_all ?? 0);
  if (!all) return null;
  return h("details.trouble-list", null, h("summary", null, h("span.shape.warn", { ariaHidden: "true" }, "▲"), `${count(all, "name")} in this node's folder ${all === 1 ? "is" : "are"} not shared`),
    h("ul", null, share.problems.slice(0, PROBLEMS_MAX).map((one) => h("li", null, h("code", null, one.path), " ", h("span.quiet", null, one.text)))),
    all > PROBLEMS_MAX && commandLine(`kith share ls ${shell(share.name)} --problems`));
}

async function sure(share) {
  if (!await dialog({ title: `Were the files of ${share.name} deleted?`, text: `${share.state_text}. If so, they are deleted for every node, and can be restored for 7 days.`, action: "They were deleted", kind: "danger" })) return;
  try {
    await confirm(share.name);
    note("Confirmed");
  } catch (error) {
    failed(error);
  }
}

/** {element, draw(entry, share)}: of a share or a folder. */
export function folderCard() {
  const element = h("section.card.about");
  let key = "";
  return {
    element,
    /** @entry: of the folder; @share: what share.ls says of its share; @shown: lines of it that are known. */
    draw(entry, share, shown) {
      const now = JSON.stringify([entry.path, share, entry.pinned, shown]);
      if (now === key) return;
      key = now;
      const whole = entry.kind === "share";
      const [kind, shape, words] = STATES[share?.state] ?? [];
      const act = (what) => (event) => what(entry, event.currentTarget);
      const list = h("div.acts", null, may("operator") && [
        h("button", { onclick: act(pinIt), title: "Fetch all of it, and let it stay in this node's cache" }, "Pin"), h("button", { onclick: act(unpinIt) }, "Unpin"),
        h("button", { onclick: act(evictIt), title: "Out of this node's cache" }, "Evict"), h("button", { onclick: act(verifyIt), title: "Read again what this node holds of it" }, "Verify"),
        !whole && h("button.danger", { onclick: async (event) => { if (await drop(entry, event.currentTarget)) location.hash = link("files", ...folderOf(entry.path).split("/")); } }, "Delete")]);
      fill(element,
        h("header.detail-head", null, h("span", null, glyph(kindOf(entry))), h("div", null, h("h2", null, nameOf(entry.path)), h("p.quiet.small", null, whole ? "share" : "folder"))),
        list,
        share?.state === "held" && h("p.warning", null, h("span.shape.warn", { ariaHidden: "true" }, "▲"), h("span", null, `${share.state_text} `, may("operator") && h("button", { onclick: () => sure(share) }, "Confirm"))),
        facts(whole ? [
          ["Entries", number(share ? Number(share.entries) : undefined)], ["Size", bytes(share ? Number(share.bytes) : undefined)], ["Copies wanted", share ? number(Number(share.replicas)) : "–"],
        ] : [["Entries", shown === undefined ? "–" : number(shown)], ["Share", h("a", { href: link("files", entry.path.split("/")[0]) }, entry.path.split("/")[0])]]),
        share && h("div", null, h("h3", null, "Shared by"), h("ul.holders", null, share.nodes.map((name) => h("li", null, h("a", { href: link("nodes", name) }, name))))),
        whole && share && h("div", null, h("h3", null, "This node's folder"), share.folder
          ? [h("p", null, h("code", null, share.folder)), h("p", null, h(`span.badge.${kind}`, null, h("span.shape", { ariaHidden: "true" }, shape), words), h("span.quiet", null, `, ${MODES[share.mode] ?? share.mode}`)),
            share.state_text && share.state !== "held" && h("p.quiet.small", null, share.state_text), share.state === "scanning" && h("p.quiet.small", null, `${number(Number(share.scanned))} entries seen so far`)]
          : [h("p.quiet", null, "Has none of it; it reads what the others have. To share one too:"), commandLine(`kith share add ${shell(share.name)} FOLDER`)]),
        whole && share && problems(share),
        commandLine(`kith fs ls ${shell(entry.path)}`));
    },
  };
}

/** The words of a share in its line of the tree. */
export function shareWords(share) {
  if (!share) return "";
  const [, , words] = STATES[share.state] ?? [];
  return share.folder && share.state !== "watched" ? `this node's folder ${words}` : "";
}
