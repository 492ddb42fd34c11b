// Shared variables by the folders of their names. Of few the one subscription knows all; of many the names are paged
// in, and what an open folder holds is followed folder by folder.
import { fill, h, icon, text } from "../lib/dom.js";
import { ago, big, bytes, count, number, running } from "../lib/format.js";
import { link, query, setQuery } from "../lib/route.js";
import { api } from "../lib/session.js";
import { subscribe } from "../lib/stream.js";
import { clean, flash } from "../lib/table.js";
import { folders, paths, visible } from "../lib/tree.js";
import { copyButton, emptyState, errorState, loadingState } from "../lib/ui.js";
import { EMPTY, preview, WHOLE } from "./variables.js";

const NAMES_MAX = 5000; // more are not shown as a tree: by prefix they are
const NAMES_PAGE = 1000;
const NAMES_EVERY_MS = 15000;
const FOLLOWED_MAX = 12; // open folders whose values are live, of the 32 subscriptions of a connection
const OPEN_BY_ITSELF = 40; // as many variables are shown without a click

const COLUMNS = [
  { key: "name", title: "Name", sorts: true }, { key: "value", title: "Value" }, { key: "type", title: "Type", minor: true }, { key: "policy", title: "Policy", minor: true },
  { key: "version", title: "Version", minor: true, num: true }, { key: "writer", title: "Written by", minor: true }, { key: "age", title: "Changed", num: true, minor: true, sorts: true },
];

const age = (row) => running(row, "age_ms");
const youngest = (folder) => Math.min(...folder.rows.map((row) => age(row) ?? Infinity), ...folder.folders.map(youngest));

/** The tree: {element, tick, close}. @switcher: the choice between it and the list. */
export function tree(switcher) {
  let rows = new Map(); // name -> row, of those that are known
  let total = 0;
  let many = false;
  let open = null; // Set of paths, or null: not chosen yet
  let sort = query().get("sort") === "-name" || /^-?age$/.test(query().get("sort")) ? query().get("sort") : "name";
  let prefix = query().get("filter") ?? "";
  let timer = 0;
  let closed = false;
  const versions = new Map();
  const followed = new Map(); // path -> subscription
  const shown = new Map(); // key -> {tr, cells, entry}

  const box = h("input.filter", { type: "search", placeholder: "Filter by words", ariaLabel: "Filter variables", value: prefix, spellcheck: false, autocomplete: "off", oninput: () => {
    prefix = box.value;
    setQuery({ filter: prefix });
    if (many) later();
    else draw();
  } });
  const sum = h("span.sum", { role: "status" });
  const all = h("button.plain", { onclick: () => {
    const every = paths(root());
    setOpen(every.every((path) => open.has(path)) ? new Set() : new Set(every));
  } }, "Open all");
  const head = h("tr", null, COLUMNS.map((column) => {
    column.th = h("th", { class: [column.num && "num", column.minor && "minor"].filter(Boolean).join(" "), scope: "col" }, column.sorts
      ? h("button", { onclick: () => {
        sort = sort === column.key ? `-${column.key}` : column.key;
        setQuery({ sort: sort === "name" ? "" : sort });
        draw();
      } }, column.title, icon("up"))
      : column.title);
    return column.th;
  }));
  const body = h("tbody");
  const frame = h("div.table-frame", { tabIndex: 0, role: "region", ariaLabel: "Variables as a tree" }, h("table.tree", null, h("thead", null, head), body));
  const nothing = h("div", { hidden: true });
  const table = h("section.table", null, h("div.toolbar", null, box, switcher, all, h("span.grow"), sum, copyButton(() => JSON.stringify(clean(picked()), null, 2), "Copy as JSON")), frame, nothing);
  const element = h("div", null, loadingState("variables"));
  element.style.display = "contents";

  /* ---- what is known ---- */

  const live = subscribe("vars", { offset: 0, limit: WHOLE, prefix: "" }, ({ doc, rows: page, error }) => {
    if (!doc) {
      if (error) fill(element, errorState(error));
      return;
    }
    total = Number(doc.total);
    const became = total > WHOLE;
    if (became && !many) later(0);
    many = became;
    box.placeholder = many ? "Filter by prefix" : "Filter by words";
    if (!many) {
      rows = new Map(page.map((row) => [row.name, row]));
      draw();
    }
  });

  function later(ms = 200) {
    clearTimeout(timer);
    timer = setTimeout(names, ms);
  }

  // All names, a page at a time; again now and then, for those that came or went.
  async function names() {
    if (closed || !many) return;
    if (document.hidden) return later(1000);
    const asked = prefix;
    const found = new Map();
    try {
      for (let offset = 0; offset < NAMES_MAX; offset += NAMES_PAGE) {
        const answer = await api(`/v1/vars?${new URLSearchParams({ prefix: asked, offset, limit: NAMES_PAGE })}`);
        if (closed) return;
        if (asked !== prefix) return later(0);
        const at = performance.now();
        for (const row of answer.vars) found.set(row.name, { ...rows.get(row.name), ...row, $at: at });
        total = Number(answer.total);
        if (offset + NAMES_PAGE >= total) break;
      }
      rows = found;
      draw();
    } catch (error) {
      if (!rows.size) fill(element, errorState(error, names));
    }
    later(NAMES_EVERY_MS);
  }

  // Of many: the values of what open folders hold themselves.
  function follow(list) {
    const wanted = many ? [...new Set(list.filter(({ row }) => row).map(({ of }) => of.path))].slice(0, FOLLOWED_MAX) : [];
    for (const [path, subscription] of followed)
      if (!wanted.includes(path)) {
        subscription.close();
        followed.delete(path);
      }
    for (const path of wanted)
      if (!followed.has(path)) followed.set(path, subscribe("vars", { offset: 0, limit: WHOLE, prefix: path }, ({ doc, rows: page }) => {
        if (!doc) return;
        for (const row of page) if (rows.has(row.name)) rows.set(row.name, row);
        draw();
      }));
  }

  /* ---- what is seen ---- */

  function picked() {
    const words = many ? [] : prefix.toLowerCase().split(/\s+/).filter(Boolean);
    return [...rows.values()].filter((row) => words.every((word) => `${row.name} ${row.value ?? ""} ${row.type} ${row.policy} ${row.writer_name ?? ""}`.toLowerCase().includes(word)));
  }
  const root = () => folders(picked());

  function setOpen(next) {
    open = next;
    setQuery({ open: [...open].join(" ") || "-" });
    draw();
  }

  function orders() {
    const down = sort.startsWith("-") ? -1 : 1;
    const byName = (a, b) => a.localeCompare(b, "en", { numeric: true });
    if (sort.endsWith("age")) return { rows: (a, b) => down * ((age(a) ?? 0) - (age(b) ?? 0)) || byName(a.name, b.name), folders: (a, b) => down * (youngest(a) - youngest(b)) || byName(a.path, b.path) };
    return { rows: (a, b) => down * byName(a.name, b.name), folders: (a, b) => down * byName(a.path, b.path) };
  }

  function draw() {
    if (closed) return;
    if (!table.isConnected) fill(element, table);
    const top = root();
    if (open === null) {
      const asked = query().get("open");
      open = asked !== null ? new Set(asked === "-" ? [] : asked.split(" ")) : new Set(top.count <= OPEN_BY_ITSELF ? paths(top) : []);
    }
    // what is looked for is not hidden in folders
    const list = visible(top, prefix && !many ? new Set(paths(top)) : open, orders());
    follow(list);
    for (const column of COLUMNS) {
      if (sort.replace("-", "") === column.key) column.th.setAttribute("aria-sort", sort.startsWith("-") ? "descending" : "ascending");
      else column.th.removeAttribute("aria-sort");
    }
    const keys = new Set(list.map(keyOf));
    for (const [key, entry] of shown)
      if (!keys.has(key)) {
        entry.tr.remove();
        shown.delete(key);
      }
    let at = body.firstElementChild;
    for (const entry of list) {
      const tr = line(entry);
      if (tr === at) at = at.nextElementSibling;
      else body.insertBefore(tr, at);
    }
    const every = paths(top);
    text(all, every.length && every.every((path) => open.has(path)) ? "Close all" : "Open all");
    all.disabled = !every.length;
    frame.hidden = top.count === 0;
    nothing.hidden = top.count > 0;
    if (top.count === 0) fill(nothing, emptyState(total || prefix ? { title: "No variable matches", text: "Clear the filter to see them all." } : EMPTY));
    text(sum, total > top.count ? `${number(top.count)} of ${count(total, "variable")}${many && total > NAMES_MAX ? ": filter by prefix for the others" : ""}` : count(top.count, "variable"));
  }

  const keyOf = ({ folder, row, of }) => (folder ? `folder ${folder.path}` : row ? `row ${row.name}` : `more ${of.path}`);

  function line(entry) {
    const key = keyOf(entry);
    let kept = shown.get(key);
    if (!kept) {
      const tr = h("tr", !entry.row ? {} : { class: "link", onclick: (event) => {
        if (!event.target.closest("a, button") && !getSelection().toString()) location.hash = link("variables", entry.row.name);
      } });
      kept = { tr, cells: COLUMNS.map((column) => tr.appendChild(h("td", { class: [column.num && "num", column.minor && "minor", column.key === "value" && "value"].filter(Boolean).join(" ") }))) };
      shown.set(key, kept);
    }
    const [name] = kept.cells;
    if (kept.depth !== entry.depth) {
      kept.depth = entry.depth;
      name.style.setProperty("--depth", entry.depth);
    }
    kept.entry = entry;
    if (entry.folder) drawFolder(kept, entry.folder);
    else if (entry.row) drawRow(kept, entry.row, entry.of);
    else fill(name, h("a", { href: `#/variables?${new URLSearchParams({ filter: entry.of.path })}` }, `${number(entry.more)} more in the list`));
    return kept.tr;
  }

  function drawFolder({ cells: [name, ...rest] }, folder) {
    if (!name.firstChild) {
      const button = h("button.fold", { onclick: () => {
        const next = new Set(open);
        if (!next.delete(folder.path)) next.add(folder.path);
        setOpen(next);
      }, onkeydown: (event) => {
        if ((event.key === "ArrowRight") === !open.has(folder.path) && /^Arrow(Right|Left)$/.test(event.key)) button.click();
      } }, icon("down"), h("span"), h("span.tally"));
      fill(name, button);
    }
    const button = name.firstChild;
    button.setAttribute("aria-expanded", String(open.has(folder.path) || Boolean(prefix && !many)));
    text(button.children[1], folder.label);
    text(button.children[2], number(folder.count));
    const newest = youngest(folder);
    text(rest.at(-1), Number.isFinite(newest) ? ago(newest) : "");
  }

  function drawRow({ tr, cells: [name, value, type, policy, version, writer, changed] }, row, folder) {
    if (!name.firstChild) fill(name, h("a", { href: link("variables", row.name), title: row.name }, row.name.slice(folder.path.length) || "(no name)"));
    text(value, preview(row));
    text(type, row.type);
    text(policy, row.policy);
    text(version, big(row.version));
    text(writer, row.writer_name ?? "–");
    text(changed, ago(age(row)));
    if (row.value === undefined) return;
    if (versions.has(row.name) && versions.get(row.name) !== row.version) flash(tr);
    versions.set(row.name, row.version);
  }

  return {
    element,
    tick() {
      for (const { cells, entry } of shown.values()) text(cells.at(-1), entry.row ? ago(age(entry.row)) : entry.more ? "" : Number.isFinite(youngest(entry.folder)) ? ago(youngest(entry.folder)) : "");
    },
    close() {
      closed = true;
      clearTimeout(timer);
      live.close();
      for (const subscription of followed.values()) subscription.close();
    },
  };
}
