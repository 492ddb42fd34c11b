// The tree as lines: only those in sight are elements, so 100,000 cost no more than thirty. The page itself scrolls.
// One stop of the tab key; inside it the arrows go.
import { fill, h, text } from "../lib/dom.js";
import { flash } from "../lib/table.js";
import { glyph } from "./icons.js";

const AHEAD = 8; // lines made beyond what is in sight, on each side
let grids = 0;

/**
 * options:
 *   label     what it is a list of
 *   columns   [{key, title, num, minor, sort, cell(cell, line)}]; sort false: no sorting; the first is the name, and is the line's own
 *   name(cell, line)
 *   sort()    "name" or "-size": what is sorted by; turn(key): the head of a column was clicked
 *   opens(line) is it open: true, false, or null where nothing can be
 *   toggle(line, on), choose(line), act(line, key): arrows, Enter or a click, other keys (line null: at none)
 */
export function grid(options) {
  const { columns } = options;
  const id = `grid${++grids}`;
  const shown = new Map(); // key -> {element, cells, line}
  let lines = [];
  let active = "";
  let height = 40;
  let frame = 0;

  const head = h("div.g-row.g-head", { role: "row", ariaRowIndex: "1" }, columns.map((column) => {
    const classes = ["g-cell", column.num && "num", column.minor && "minor"].filter(Boolean).join(" ");
    column.head = h("div", { class: classes, role: "columnheader" }, column.sort === false ? column.title
      : h("button", { type: "button", onclick: () => options.turn(column.key) }, column.title, glyph("right")));
    return column.head;
  }));
  const body = h("div.g-body", { role: "rowgroup" });
  const element = h("div.grid", { role: "treegrid", ariaLabel: options.label, tabIndex: 0, id, onkeydown: keys, onfocus: () => point(active) },
    h("div", { role: "rowgroup", class: "g-top" }, head), body);
  element.setAttribute("aria-colcount", String(columns.length));

  function make(line) {
    const cells = columns.map((column) => h("div", { class: ["g-cell", column.num && "num", column.minor && "minor"].filter(Boolean).join(" "), role: "gridcell" }));
    const row = h("div.g-row", { role: "row", onclick: (event) => {
      const kept = shown.get(row.dataset.key);
      if (!kept || event.target.closest("button, a[download]") || event.ctrlKey || event.metaKey) return;
      if (event.target.closest("a")) event.preventDefault();
      point(kept.line.key);
      options.choose(kept.line);
    } }, cells);
    row.dataset.key = line.key;
    return { element: row, cells, line };
  }

  function put(kept, line, i) {
    kept.line = line;
    const row = kept.element;
    row.style.transform = `translateY(${i * height}px)`;
    row.id = `${id}-${i}`;
    row.setAttribute("aria-rowindex", String(i + 2));
    row.setAttribute("aria-level", String(line.depth + 1));
    row.style.setProperty("--depth", line.depth);
    const open = line.entry ? options.opens(line) : null;
    if (open === null) row.removeAttribute("aria-expanded");
    else row.setAttribute("aria-expanded", String(open));
    const on = line.key === options.selected?.();
    row.setAttribute("aria-selected", String(on));
    row.classList.toggle("active", line.key === active);
    row.classList.toggle("says", Boolean(line.says));
    if (line.says) {
      options.name(kept.cells[0], line);
      kept.cells.slice(1).forEach((cell) => text(cell, ""));
    } else {
      options.name(kept.cells[0], line);
      columns.forEach((column, c) => c > 0 && column.cell(kept.cells[c], line));
    }
  }

  /** Makes what is in sight, and lets go of what is not. */
  function sight() {
    frame = 0;
    if (!element.isConnected) return;
    const top = body.getBoundingClientRect().top;
    const from = Math.max(0, Math.floor(-top / height) - AHEAD);
    const to = Math.min(lines.length, Math.ceil((innerHeight - top) / height) + AHEAD);
    const wanted = new Map();
    for (let i = from; i < to; i++) wanted.set(lines[i].key, i);
    for (const [key, kept] of shown)
      if (!wanted.has(key)) {
        kept.element.remove();
        shown.delete(key);
      }
    let before = body.firstElementChild;
    for (const [key, i] of wanted) {
      let kept = shown.get(key);
      if (!kept) shown.set(key, kept = make(lines[i]));
      put(kept, lines[i], i);
      if (kept.element === before) before = before.nextElementSibling;
      else body.insertBefore(kept.element, before);
    }
    const kept = shown.get(active);
    if (kept) element.setAttribute("aria-activedescendant", kept.element.id);
    else element.removeAttribute("aria-activedescendant");
  }
  function later() {
    if (!frame) frame = requestAnimationFrame(sight);
  }

  function draw() {
    const tall = parseFloat(getComputedStyle(element).getPropertyValue("--row"));
    if (tall) height = tall;
    body.style.height = `${lines.length * height}px`;
    element.setAttribute("aria-rowcount", String(lines.length + 1));
    const sort = options.sort();
    for (const column of columns)
      if (sort.replace("-", "") === column.key) column.head.setAttribute("aria-sort", sort.startsWith("-") ? "descending" : "ascending");
      else column.head.removeAttribute("aria-sort");
    sight();
  }

  const index = () => lines.findIndex((line) => line.key === active);

  function point(key, scroll = false) {
    active = key || lines[0]?.key || "";
    const i = index();
    if (scroll && i >= 0) {
      const top = body.getBoundingClientRect().top + i * height;
      const covered = parseFloat(getComputedStyle(element).getPropertyValue("--covered")) || 0;
      if (top < covered) scrollBy(0, top - covered);
      else if (top + height > innerHeight - 8) scrollBy(0, top + height - innerHeight + 8);
    }
    sight();
  }

  const MOVES = { ArrowDown: 1, ArrowUp: -1, PageDown: 12, PageUp: -12, Home: -Infinity, End: Infinity };
  function keys(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("button, input")) return;
    const i = index();
    const line = lines[i];
    const { key } = event;
    if (key in MOVES) {
      const to = Math.min(lines.length - 1, Math.max(0, (i < 0 ? 0 : i) + (i < 0 ? 0 : MOVES[key])));
      if (lines[to]) point(lines[to].key, true);
    } else if (!line) {
      if (!options.act(null, key)) return;
    } else if (key === "ArrowRight") {
      const open = line.entry ? options.opens(line) : null;
      if (open === false) options.toggle(line, true);
      else if (open && lines[i + 1]?.depth > line.depth) point(lines[i + 1].key, true);
    } else if (key === "ArrowLeft") {
      if (line.entry && options.opens(line)) options.toggle(line, false);
      else {
        const above = lines.slice(0, i).findLast((one) => one.depth < line.depth);
        if (above) point(above.key, true);
      }
    } else if (key === "Enter") {
      options.choose(line);
    } else if (!options.act(line, key)) {
      return;
    }
    event.preventDefault();
  }

  addEventListener("scroll", later, { passive: true });
  const sizes = new ResizeObserver(draw); // it is in the page now, or another layout holds
  sizes.observe(element);

  return {
    element,
    update(list) {
      lines = list;
      if (active && index() < 0) active = "";
      draw();
    },
    draw,
    point,
    /** The line that is under the point of the window, if any. */
    lineAt(x, y) {
      const row = document.elementFromPoint(x, y)?.closest(".g-row");
      return row && body.contains(row) ? shown.get(row.dataset.key)?.line : undefined;
    },
    mark(key) {
      for (const [one, kept] of shown) kept.element.classList.toggle("target", one === key);
    },
    flash(which) {
      for (const key of which) if (shown.has(key)) flash(shown.get(key).element);
    },
    close() {
      cancelAnimationFrame(frame);
      removeEventListener("scroll", later);
      sizes.disconnect();
    },
  };
}

/** Fills a cell anew only if @key is another than it was filled for. */
export function fillFor(cell, key, make) {
  if (cell.dataset.for === key) return;
  cell.dataset.for = key;
  fill(cell, make());
}
