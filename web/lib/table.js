// A table that sorts, filters and pages, keeps its place while rows change under it, and can be linked to:
// its state stands in the query of the page's address. Rows outside the page shown cost nothing.
import { fill, h, icon, svg, text } from "./dom.js";
import { count, DASH } from "./format.js";
import { copyButton, emptyState } from "./ui.js";
import { query, setQuery } from "./route.js";

const PAGE = 50;
const BARE_ROWS = 8; // so many are seen at a glance
const FLASH_MS = 1200;

/**
 * options:
 *   columns   [{key, title, num, wide, hidden on phones, text(row), cell(row, td), sort(row)}]: text for
 *             plain cells, cell(row, td) fills the cell itself; sort false: no sorting; optional: not there
 *             while every row has a dash there
 *   key       (row) -> a key that stays
 *   href      (row) -> where a click on the row leads; may be absent
 *   noun      "node": what is counted; nouns, if more of them have another ending
 *   empty     {title, command}: what is said when there is nothing at all
 *   sort      "name" or "-age": at first
 *   filters   [{key, title, values: [..], of(row)}]: a choice beside the filter box; values may be a function of all rows
 *             (the choice is hidden while it gives none), of(row) may give several
 *   bare      part of another page: its state is not in the address, and while it has a few rows only it needs no toolbar
 *   remote    {total(), sorts, page(part)}: while total() is not null the server sorts, filters and pages; rows are then one page, and
 *             part is {offset, limit, search, sort}, with sort one of the keys of columns that are in sorts (a "-" before it: down)
 */
export function table(options) {
  const { columns, key, noun, nouns = `${options.noun}s` } = options;
  const asked = options.bare ? new URLSearchParams() : query();
  const state = {
    sort: asked.get("sort") ?? options.sort ?? columns[0].key,
    filter: asked.get("filter") ?? "",
    page: Math.max(0, Number(asked.get("page") ?? 1) - 1) || 0,
    choice: Object.fromEntries((options.filters ?? []).map((f) => [f.key, asked.get(f.key) ?? ""])),
  };
  const remote = () => (options.remote && options.remote.total() !== null ? options.remote : null);
  const shown = new Map(); // key -> {tr, cells}
  let rows = [];
  let view = [];
  let loaded = false;

  const box = h("input.filter", {
    type: "search", placeholder: options.placeholder ?? `Filter ${nouns}`, ariaLabel: `Filter ${nouns}`, value: state.filter, spellcheck: false, autocomplete: "off",
    oninput: () => {
      state.filter = box.value;
      state.page = 0;
      save();
      if (remote()) ask();
      else draw();
    },
  });
  const choices = (options.filters ?? []).map((filter) =>
    h("select", {
      ariaLabel: filter.title,
      onchange: (event) => {
        state.choice[filter.key] = event.target.value;
        state.page = 0;
        save();
        draw();
      },
    },
    optionsOf(filter, typeof filter.values === "function" ? [] : filter.values)));
  const sum = h("span.sum", { role: "status" });
  const head = h("tr");
  const body = h("tbody");
  const back = h("button.plain", { onclick: () => turn(-1), ariaLabel: "Previous page" }, "‹ Previous");
  const forth = h("button.plain", { onclick: () => turn(1), ariaLabel: "Next page" }, "Next ›");
  const where = h("span");
  const pager = h("div.pager", { hidden: true }, back, where, forth);
  const nothing = h("div", { hidden: true });
  const frame = h("div.table-frame", { tabIndex: 0, role: "region", ariaLabel: nouns }, h("table", null, h("thead", null, head), body));
  const toolbar = h("div.toolbar", { hidden: Boolean(options.bare) }, box, choices, options.tools, h("span.grow"), sum,
    copyButton(() => JSON.stringify(clean(view), null, 2), "Copy as JSON"));
  const element = h("section.table", null, toolbar, frame, nothing, pager);

  for (const column of columns) {
    const th = h("th", { class: classes(column), scope: "col" });
    if (column.sort === false) th.append(column.title);
    else
      th.append(h("button", {
        onclick: () => {
          state.sort = sorted() === column.key ? `-${column.key}` : column.key;
          state.page = remote() ? 0 : state.page;
          save();
          if (remote()) ask();
          else draw();
        },
      }, column.title, icon("up")));
    head.append(th);
    column.th = th;
  }

  function classes(column) {
    return [column.num && "num", column.wide && "wide", column.minor && "minor"].filter(Boolean).join(" ");
  }

  function save() {
    if (options.bare) return;
    setQuery({ sort: state.sort === (options.sort ?? columns[0].key) ? "" : state.sort, filter: state.filter, page: state.page ? state.page + 1 : "", ...state.choice });
  }

  function turn(by) {
    state.page += by;
    save();
    if (remote()) ask();
    else draw();
    frame.scrollTop = 0;
  }

  const keyOf = (sort) => sort.replace(/^-/, "");
  // What is sorted by: the server cannot do it by every column.
  const sorted = () => (remote() && !remote().sorts.includes(keyOf(state.sort)) ? options.remote.sorts[0] : state.sort);
  const part = () => ({ offset: state.page * PAGE, limit: PAGE, search: state.filter, sort: sorted() });

  let patience = 0;
  function ask() {
    clearTimeout(patience);
    patience = setTimeout(() => remote()?.page(part()), 120);
  }

  function optionsOf(filter, values) {
    const chosen = state.choice[filter.key];
    const gone = chosen && !values.includes(chosen) ? [chosen] : []; // what the address asks for stays to be seen
    return [h("option", { value: "" }, filter.title), [...values, ...gone].map((value) => h("option", { value, selected: chosen === value }, value))];
  }

  // Choices that come from the rows follow them.
  function renewChoices() {
    (options.filters ?? []).forEach((filter, i) => {
      if (typeof filter.values !== "function") return;
      const values = filter.values(rows);
      const key = values.join("\n");
      choices[i].hidden = values.length === 0 && !state.choice[filter.key];
      if (choices[i].dataset.key === key) return;
      choices[i].dataset.key = key;
      fill(choices[i], optionsOf(filter, values));
    });
  }

  const plain = (column, row) => (column.sort ?? column.text)?.(row) ?? "";
  function compare(a, b) {
    return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  }

  function choose() {
    if (remote()) return order([...rows]);
    const words = state.filter.toLowerCase().split(/\s+/).filter(Boolean);
    const picked = rows.filter((row) => {
      for (const filter of options.filters ?? [])
        if (state.choice[filter.key] && ![filter.of(row)].flat().map(String).includes(state.choice[filter.key])) return false;
      if (!words.length) return true;
      const all = (options.search ?? ((r) => columns.map((c) => c.text?.(r) ?? "").join(" ")))(row).toLowerCase();
      return words.every((word) => all.includes(word));
    });
    return order(picked);
  }

  function order(picked) {
    const down = sorted().startsWith("-");
    const by = columns.find((column) => column.key === keyOf(sorted())) ?? columns[0];
    return picked.sort((a, b) => (down ? -1 : 1) * compare(plain(by, a), plain(by, b)) || compare(key(a), key(b)));
  }

  function draw(changed) {
    if (!loaded) return;
    view = choose();
    const total = remote() ? remote().total() : view.length;
    const pages = Math.max(1, Math.ceil(total / PAGE));
    if (state.page >= pages) {
      state.page = pages - 1;
      if (remote()) return ask();
    }
    const page = remote() ? view : view.slice(state.page * PAGE, (state.page + 1) * PAGE);
    for (const column of columns) {
      const mine = keyOf(sorted()) === column.key;
      if (mine) column.th.setAttribute("aria-sort", sorted().startsWith("-") ? "descending" : "ascending");
      else column.th.removeAttribute("aria-sort");
      const button = column.th.querySelector("button");
      if (!button) continue;
      button.disabled = Boolean(remote()) && !remote().sorts.includes(column.key);
      button.title = button.disabled ? `Of so many ${nouns} this one is not sorted by` : "";
    }
    for (const column of columns) {
      if (!column.optional) continue;
      column.th.hidden = rows.every((row) => column.text(row) === DASH);
    }
    const here = new Set(page.map(key));
    for (const [id, row] of shown)
      if (!here.has(id)) {
        row.tr.remove();
        shown.delete(id);
      }
    let at = body.firstElementChild;
    for (const row of page) {
      const tr = rowOf(row, changed);
      if (tr === at) at = at.nextElementSibling;
      else body.insertBefore(tr, at);
    }
    const none = total === 0;
    frame.hidden = none;
    nothing.hidden = !none;
    if (none) fill(nothing, emptyState(rows.length || state.filter ? { title: `No ${noun} matches`, text: "Clear the filter to see them all." } : options.empty));
    pager.hidden = pages < 2;
    back.disabled = state.page === 0;
    forth.disabled = state.page + 1 >= pages;
    text(where, `${state.page + 1} of ${pages}`);
    text(sum, options.summary ? options.summary(rows, view) : total === rows.length || remote() ? count(total, noun, nouns) : `${total} of ${count(rows.length, noun, nouns)}`);
  }

  function rowOf(row, changed) {
    const id = key(row);
    let entry = shown.get(id);
    if (!entry) {
      const tr = h("tr");
      const cells = columns.map((column) => tr.appendChild(h("td", { class: classes(column) })));
      entry = { tr, cells, row };
      if (options.href) {
        tr.classList.add("link");
        tr.addEventListener("click", (event) => {
          if (event.target.closest("a, button, input, select") || getSelection().toString()) return;
          location.hash = options.href(entry.row);
        });
      }
      shown.set(id, entry);
    }
    entry.row = row;
    columns.forEach((column, i) => {
      const td = entry.cells[i];
      if (column.optional) td.hidden = column.th.hidden;
      if (column.cell) column.cell(row, td);
      else text(td, column.text(row));
    });
    if (changed?.has(id) && options.flash?.(row) !== false) flash(entry.tr);
    return entry.tr;
  }

  return {
    element,
    /** All rows (or the page, if the server pages). @changed: keys to be flashed. */
    update(list, changed) {
      rows = list;
      loaded = true;
      if (options.bare) toolbar.hidden = rows.length <= BARE_ROWS && !state.filter;
      renewChoices();
      draw(changed);
    },
    /** The rows that the filter leaves, in their order. */
    view: () => view,
    /** What cells show besides their rows has changed. */
    redraw: () => draw(),
    /** Ages run on: draws the cells that show time again. */
    tick() {
      if (!loaded) return;
      for (const entry of shown.values())
        columns.forEach((column, i) => column.runs && (column.cell ? column.cell(entry.row, entry.cells[i]) : text(entry.cells[i], column.text(entry.row))));
    },
    /** What the server is asked for while it pages. */
    part,
  };
}

/** Copies of @rows without what the page added. */
export function clean(rows) {
  return rows.map((row) => Object.fromEntries(Object.entries(row).filter(([name]) => !name.startsWith("$"))));
}

export function flash(element) {
  element.classList.remove("flash");
  void element.offsetWidth;
  element.classList.add("flash");
  clearTimeout(element.flashTimer);
  element.flashTimer = setTimeout(() => element.classList.remove("flash"), FLASH_MS);
}

/** A line of @values (0 to @max) in a cell; only its points change. */
export function sparkline(td, values, max, label) {
  let line = td.querySelector("polyline");
  if (!line) {
    line = svg("polyline");
    fill(td, svg("svg", { class: "spark", viewBox: "0 0 60 18", preserveAspectRatio: "none", role: "img" }, line));
  }
  line.parentNode.setAttribute("aria-label", label);
  const step = 60 / Math.max(10, values.length - 1);
  line.setAttribute("points", values.map((value, i) => `${(i * step).toFixed(1)},${(17 - (Math.min(value, max) / (max || 1)) * 16).toFixed(1)}`).join(" "));
}
