// The tree, with what finds and orders its lines, and the panel beside it.
import { fill, h, text } from "../lib/dom.js";
import { bytes, clock, count, number } from "../lib/format.js";
import { find } from "../lib/files.js";
import { link, query, setQuery } from "../lib/route.js";
import { may } from "../lib/session.js";
import { clean } from "../lib/table.js";
import { copyButton, emptyState, errorState } from "../lib/ui.js";
import { cacheCard, folderCard, howToShare, shareWords } from "./about.js";
import { drop, save } from "./acts.js";
import { detail } from "./detail.js";
import { fillFor, grid } from "./grid.js";
import { glyph, kindOf } from "./icons.js";
import { dropped } from "./queue.js";
import { folderOf, hereOf, isFolder, KINDS, nameOf, order, outOfReach, pattern, within } from "./store.js";
import { minute } from "./words.js";

const FOUND_MAX = 2000;
const TYPING_MS = 250;
const MANY = 5000; // lines
const MANY_MS = 250;
const LOADING_MS = 1000;
const NAMES_SHOWN = 2; // of holders, in a cell; of more their number

/** The names of holders, short; those that are away are told. */
function holdersCell(cell, { entry }) {
  const names = entry.holders ?? [];
  const lost = outOfReach(entry);
  fillFor(cell, `${names.join()} ${lost}`, () => {
    cell.title = names.join(", ");
    const words = names.length > NAMES_SHOWN ? count(names.length, "node") : names.join(", ");
    return lost ? h("span.badge.warn", { title: names.join(", ") }, h("span.shape", { ariaHidden: "true" }, "▲"), names.length ? "away" : "nobody") : words;
  });
}

const COLUMNS = [
  { key: "name", title: "Name" },
  { key: "size", title: "Size", num: true, cell: (cell, { entry }) => text(cell, entry.kind === "directory" || entry.kind === "symlink" ? "" : bytes(Number(entry.size))) },
  { key: "modified", title: "Modified", num: true, minor: true, cell: (cell, { entry }) => {
    cell.title = entry.modified ? clock(entry.modified) : "";
    text(cell, entry.modified ? minute(entry.modified) : "");
  } },
  { key: "holders", title: "Held by", minor: true, cell: holdersCell },
  { key: "here", title: "Cached", minor: true, cell: (cell, { entry }) => {
    text(cell, hereOf(entry)[1]);
  } },
  { key: "conflicts", title: "Conflicts", num: true, minor: true, cell: (cell, { entry }) => fillFor(cell, String(entry.conflicts ?? 0), () => (Number(entry.conflicts) ? h("span.tag.warn", null, number(Number(entry.conflicts))) : "")) },
];

/**
 * {element, show(base, chosen, entry), draw(), flash(paths), ...}. options: store, shares(): what share.ls said, upload(files, folder), target: what is
 * dropped on or chosen for.
 */
export function browse({ store, shares, upload }) {
  let base = "";
  let chosen = "";
  let baseEntry = null;
  let panel = null; // {element, close?, renew?} beside the tree
  let open = new Set();
  let sort = "name"; // this and the two below stand in the address
  let typed = "";
  let kind = "";
  let found = null; // {entries, more, done, error} while something is looked for
  let looking = null;
  let timer = 0;

  const about = folderCard();
  /** The address of @path; @all: with what is looked for and chosen here. */
  const address = (path, all) => {
    const kept = new URLSearchParams({ ...(sort !== "name" && { sort }), ...(all && kind && { kind }), ...(all && typed && { find: typed }) }).toString();
    return `${link("files", ...path.split("/").filter(Boolean))}${kept && `?${kept}`}`;
  };
  const crumbs = h("nav.path", { ariaLabel: "Where this is" });
  const box = h("input.filter", { type: "search", placeholder: "Find by name", ariaLabel: "Find by name", spellcheck: false, autocomplete: "off", title: "Beneath this folder; * and ? stand for anything", oninput: () => {
    typed = box.value;
    setQuery({ find: typed });
    clearTimeout(timer);
    timer = setTimeout(look, TYPING_MS);
  } });
  const choice = h("select", { ariaLabel: "Which files", onchange: () => {
    kind = choice.value;
    setQuery({ kind });
    draw();
  } }, h("option", { value: "" }, "Every file"), Object.entries(KINDS).map(([value, [words]]) => h("option", { value }, words)));
  const sum = h("span.sum", { role: "status" });
  const nothing = h("div", { hidden: true });

  const lines = () => {
    if (!found) return store.visible(base, { open, sort, keep: kind ? KINDS[kind][1] : null });
    const picked = found.entries.filter((entry) => !kind || KINDS[kind][1](entry)).sort(order(sort));
    return picked.map((entry) => ({ key: entry.path, entry, depth: 0, label: base ? entry.path.slice(base.length + 1) : entry.path }));
  };

  const tree = grid({
    label: "Files", columns: COLUMNS, sort: () => sort, selected: () => chosen,
    turn: (key) => {
      sort = sort === key ? `-${key}` : key;
      setQuery({ sort: sort === "name" ? "" : sort });
      draw();
    },
    opens: (line) => (isFolder(line.entry) && !found ? open.has(line.entry.path) : null),
    toggle: (line, on) => toggle(line.entry.path, on),
    choose: (line) => {
      if (line.entry) location.hash = address(line.entry.path, !isFolder(line.entry));
      else if (line.says === "failed") store.load(line.folder.path);
    },
    act: (line, key) => {
      if (key === "Backspace" && base) location.hash = address(folderOf(base));
      else if (key === "Delete" && may("operator") && line?.entry && line.entry.kind !== "share" && !line.entry.conflict_of) drop(line.entry);
      else if (key === "d" && line?.entry?.kind === "file") save(line.entry.path, { hash: line.entry.hash, size: line.entry.size });
      else return false;
      return true;
    },
    name: nameCell,
  });
  const section = h("section.table.tree-box", { ariaLabel: "The tree" }, h("div.toolbar", null, crumbs, h("span.grow"), box, choice, copyButton(() => JSON.stringify(clean(lines().map((line) => line.entry).filter(Boolean)), null, 2), "Copy as JSON")), tree.element, nothing, h("div.tree-foot", null, sum));
  const side = h("aside.panel", { ariaLabel: "Details" });
  const element = h("div.browse", null, section, side);
  const escape = (event) => {
    if (event.key === "Escape" && chosen && element.isConnected && !document.querySelector("dialog") && event.target !== box) shut();
  };
  addEventListener("keydown", escape);

  function nameCell(cell, line) {
    const { entry } = line;
    if (line.says) {
      fillFor(cell, line.says + (line.folder.error?.message ?? ""), () => (line.says === "failed" ? [h("span.error", null, line.folder.error.message), h("button.plain", { onclick: () => store.load(line.folder.path) }, "Try again")] : h("span.quiet", null, line.says === "loading" ? "Loading" : "empty")));
      return;
    }
    const share = entry.kind === "share" ? shares().find((one) => one.name === entry.path) : null;
    const words = entry.conflict_of ? `another version, ${minute(entry.modified || entry.changed)}` : line.label ?? nameOf(entry.path);
    const beside = shareWords(share);
    const opened = isFolder(entry) && !found ? open.has(entry.path) : null;
    fillFor(cell, [words, kindOf(entry), opened === null, beside, entry.modified, entry.holders?.join()].join("|"), () => [
      opened !== null && h("button.twist", { tabIndex: -1, ariaLabel: `What is in ${words}`, onclick: () => toggle(entry.path, !open.has(entry.path)) }, glyph("right")),
      glyph(kindOf(entry)),
      h("span.name", null, h("a", { href: link("files", ...entry.path.split("/")), tabIndex: -1, title: entry.path }, words), beside && h("small.warn", null, beside),
        h("small.below", null, [entry.modified && minute(entry.modified), entry.holders?.join(", ")].filter(Boolean).join(" · ")))]);
    if (opened !== null) cell.firstChild.setAttribute("aria-expanded", String(opened));
  }

  function toggle(path, on) {
    if (on) open.add(path);
    else open.delete(path);
    if (on) store.load(path);
    draw();
  }

  /* ---- finding ---- */

  async function look() {
    looking?.abort();
    if (!typed.trim()) {
      found = null;
      return draw();
    }
    const mine = looking = new AbortController();
    const next = { entries: [], more: false, done: false, error: null };
    found ??= next;
    try {
      let after = "";
      do {
        const page = await find(base, pattern(typed), after, mine.signal);
        next.entries.push(...page.entries);
        after = page.next ?? "";
        next.more = Boolean(after);
        found = next;
        draw();
      } while (after && next.entries.length < FOUND_MAX);
    } catch (error) {
      if (mine.signal.aborted) return;
      next.error = error;
    }
    if (mine.signal.aborted) return;
    next.done = true;
    found = next;
    draw();
  }

  /* ---- drawing ---- */

  let frame = 0;
  let flashing = new Set();
  let pause = 0;
  let many = false;
  function later() {
    if (frame || pause) return;
    // of many lines each drawing takes a while: not one for every page that comes in
    if (many) pause = setTimeout(draw, store.folders.get(base)?.state === "loading" ? LOADING_MS : MANY_MS);
    else frame = requestAnimationFrame(draw);
  }

  function draw() {
    cancelAnimationFrame(frame);
    clearTimeout(pause);
    frame = pause = 0;
    const all = lines();
    many = all.length > MANY;
    const folder = store.folders.get(base);
    tree.update(all);
    if (flashing.size) tree.flash(flashing);
    flashing = new Set();
    const known = all.filter((line) => line.entry).length;
    const busy = found ? !found.done : folder?.state === "loading";
    text(sum, busy && !known ? "" : [count(known, found ? "match" : base ? "entry" : "share", found ? "matches" : base ? "entries" : "shares"), found?.more && found.done && "the first ones: be more precise to see others", busy && (found ? "looking on" : "loading")].filter(Boolean).join(", "));
    const empty = known === 0 && !busy && folder && folder.state !== "new";
    const failure = found?.error ?? (folder?.state === "failed" && !known ? folder.error : null);
    nothing.hidden = !empty && !failure;
    tree.element.hidden = !nothing.hidden;
    if (!nothing.hidden) fill(nothing, face(failure));
    drawPanel();
  }

  function face(failure) {
    if (failure) return errorState(failure, () => (found ? look() : store.load(base)));
    if (found) return emptyState({ title: "Nothing has such a name", text: base ? `Beneath ${base}.` : "In any share." });
    if (kind) return emptyState({ title: "No such file here", text: "Choose “Every file” to see them all." });
    if (!base) return emptyState({ title: "Nothing is shared yet", text: "A folder that a node shares is seen by all of them.", command: "kith share add docs ~/docs" });
    return emptyState({ title: "This folder is empty", text: may("operator") ? "Drop files here, or put one by a command:" : "A file is put by a command:", command: `kith fs put FILE ${base}/` });
  }

  function drawCrumbs() {
    const parts = base ? base.split("/") : [];
    fill(crumbs, h("a", { href: address("") }, "All shares"), parts.map((part, i) => [h("span.quiet", { ariaHidden: "true" }, "/"), h("a", { href: address(parts.slice(0, i + 1).join("/")), ariaCurrent: i === parts.length - 1 ? "page" : undefined }, part)]));
  }

  function drawPanel() {
    if (chosen || !base) return;
    const share = shares().find((one) => one.name === base.split("/")[0]);
    const folder = store.folders.get(base);
    about.draw(baseEntry ?? { path: base, kind: base.includes("/") ? "directory" : "share" }, share, folder?.state === "ready" ? folder.entries.size : undefined);
  }

  const shut = () => {
    location.hash = address(base, true);
    tree.element.focus({ preventScroll: true });
  };

  function setPanel() {
    panel?.close?.();
    panel = null;
    if (chosen) panel = detail(chosen, { close: shut, known: (entry) => store.note(entry), sharers: () => shares().find((one) => one.name === chosen.split("/")[0])?.nodes ?? [] });
    else if (base) panel = about;
    else {
      const card = cacheCard();
      panel = { element: [card.element, h("section.card", null, howToShare())], close: card.close };
    }
    fill(side, panel.element);
    element.classList.toggle("chosen", Boolean(chosen));
  }

  /* ---- what is dropped ---- */

  if (may("operator")) {
    let over = 0;
    const targetOf = (event) => {
      const line = tree.lineAt(event.clientX, event.clientY);
      return line?.entry ? (isFolder(line.entry) ? line.entry.path : folderOf(line.entry.path)) : base;
    };
    const mark = (target) => {
      section.classList.toggle("dropping", target !== null);
      section.dataset.into = target || "a share";
      tree.mark(target && target !== base ? target : null);
    };
    const holdsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    section.addEventListener("dragenter", (event) => {
      if (holdsFiles(event)) over++;
    });
    section.addEventListener("dragover", (event) => {
      if (!holdsFiles(event)) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = "copy";
      mark(targetOf(event));
    });
    section.addEventListener("dragleave", (event) => {
      if (holdsFiles(event) && --over <= 0) mark(null);
    });
    section.addEventListener("drop", async (event) => {
      if (!holdsFiles(event)) return;
      event.preventDefault();
      over = 0;
      const into = targetOf(event);
      mark(null);
      upload(await dropped(event.dataTransfer), into);
    });
  }

  return {
    element, later,
    get base() { return base; },
    get chosen() { return chosen; },
    /** Shows the folder @to, or the folder around the file @to. */
    show(to, entry) {
      const asked = query();
      const file = entry && !isFolder(entry) ? to : "";
      sort = COLUMNS.some(({ key }) => key === asked.get("sort")?.replace("-", "")) ? asked.get("sort") : "name";
      kind = choice.value = KINDS[asked.get("kind")] ? asked.get("kind") : "";
      const stays = file && within(file, base) && (found || base !== "") && lines().some((line) => line.key === file);
      const next = file ? (stays ? base : folderOf(file)) : to;
      const moved = next !== base;
      if (moved || !file) baseEntry = file ? null : entry;
      const other = moved || file !== chosen;
      base = next;
      chosen = file;
      store.load(base);
      if (moved) {
        for (const path of open) if (!within(path, base)) open.delete(path);
        tree.point(file);
      }
      if (other || !panel) setPanel();
      drawCrumbs();
      if (moved || typed !== (asked.get("find") ?? "")) {
        typed = box.value = asked.get("find") ?? "";
        if (moved) found = null;
        look(); // draws
      } else draw();
      return moved || (file !== "" && innerWidth <= 1080);
    },
    /** Lines of @paths have changed: they flash. */
    flash(paths) {
      for (const path of paths) flashing.add(path);
      later();
    },
    /** What is beside the tree is looked at anew. */
    renew: () => panel?.renew?.(),
    again() {
      if (typed) look();
    },
    close() {
      cancelAnimationFrame(frame);
      clearTimeout(pause);
      clearTimeout(timer);
      looking?.abort();
      panel?.close?.();
      removeEventListener("keydown", escape);
      tree.close();
    },
  };
}
