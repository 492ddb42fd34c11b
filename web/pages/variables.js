// Shared variables: the table that flashes, and one of them with its edit form and its graph.
import { fill, h, text } from "../lib/dom.js";
import { ago, big, bytes, clock, running, shell } from "../lib/format.js";
import { chart } from "../lib/chart.js";
import { link, query, setQuery } from "../lib/route.js";
import { api, ApiError } from "../lib/session.js";
import { subscribe } from "../lib/stream.js";
import { flash, table } from "../lib/table.js";
import { card, commandLine, dialog, emptyState, errorState, facts, failed, field, loadingState, note, pageHead, roleButton } from "../lib/ui.js";
import { holders } from "./holders.js";
import { tree } from "./vartree.js";

const POLICIES = ["volatile", "durable", "available"];
export const WHOLE = 200; // as many a topic has at once
const TYPES = ["text", "i64", "f64", "bool", "bytes"];

export function page(path) {
  return path.length ? one(path.join("/")) : list();
}

/** Said while there is none. */
export const EMPTY = { title: "No variables yet", text: "Programs make them, and so does a command:", command: "kith var set greeting hello" };

/** A value in a cell. */
export function preview(row) {
  return row.value === undefined ? "–" : row.truncated ? `${row.value}…` : row.value === "" && row.value_bytes > 0 ? `${bytes(row.value_bytes)} of bytes` : row.value;
}

function list() {
  const place = h("div");
  place.style.display = "contents";
  let view = null;
  function show() {
    view?.close();
    const asTree = query().get("view") === "tree";
    const switcher = h("div.choices", { role: "group", ariaLabel: "How they are listed" }, [[false, "List"], [true, "Tree"]].map(([one, words]) => h("button", { ariaPressed: String(one === asTree), onclick: () => {
      if (one === asTree) return;
      setQuery({ view: one ? "tree" : "", page: "", sort: "", open: "" });
      show();
    } }, words)));
    view = asTree ? tree(switcher) : flat(switcher);
    fill(place, view.element);
  }
  show();
  return {
    element: [pageHead("Variables", { sub: "Shared by all nodes and kept coherent. A row flashes when its value changes.", actions: [roleButton("operator", "New variable", create, "primary")] }), place],
    tick: () => view.tick(),
    close: () => view.close(),
  };
}

function flat(switcher) {
  let total = null; // while the server pages: how many there are
  let live = null;
  const versions = new Map(); // name -> the last one shown: only what really changed flashes
  const rows = table({
    noun: "variable", key: (row) => row.name, href: (row) => link("variables", row.name), placeholder: "Filter variables", sort: "name",
    columns: [
      { key: "name", title: "Name", text: (row) => row.name, cell: (row, td) => td.firstChild || fill(td, h("a", { href: link("variables", row.name) }, row.name.split(/(?<=\/)/).map((part, i) => [i > 0 && h("wbr"), part]))) },
      { key: "value", title: "Value", sort: (row) => (row.type === "i64" || row.type === "f64" ? Number(row.value) : row.value ?? ""), cell: (row, td) => {
        td.classList.add("value");
        text(td, preview(row));
      } },
      { key: "type", title: "Type", minor: true, text: (row) => row.type },
      { key: "policy", title: "Policy", minor: true, text: (row) => row.policy },
      { key: "bytes", title: "Size", num: true, minor: true, sort: (row) => row.value_bytes ?? row.bytes ?? 0, text: (row) => bytes(row.value_bytes ?? row.bytes) },
      { key: "version", title: "Version", num: true, minor: true, text: (row) => big(row.version) },
      { key: "writer", title: "Written by", minor: true, text: (row) => row.writer_name ?? "–" },
      { key: "home", title: "Home", minor: true, text: (row) => row.home ?? "–" },
      { key: "age", title: "Changed", num: true, runs: true, sort: (row) => running(row, "age_ms") ?? 0, text: (row) => ago(running(row, "age_ms")) },
    ],
    search: (row) => `${row.name} ${row.value ?? ""} ${row.type} ${row.policy} ${row.writer_name ?? ""}`,
    remote: { total: () => total, sorts: ["name"], page: (part) => ask(part) },
    tools: switcher,
    empty: EMPTY,
  });
  const body = h("div", null, loadingState("variables"));
  body.style.display = "contents";

  // As many as a topic has at once are sorted and filtered here; of more the server gives a page of those whose names have the words.
  function ask(args) {
    if (live) live.again(args);
    else
      live = subscribe("vars", args, ({ doc, rows: page, changed, error }) => {
        if (!doc) {
          if (error) fill(body, errorState(error));
          return;
        }
        if (total === null && Number(doc.total) > WHOLE) {
          total = Number(doc.total);
          return ask(rows.part());
        }
        if (total !== null) total = Number(doc.total);
        if (!rows.element.isConnected) fill(body, rows.element);
        const flashing = new Set([...(changed ?? [])].filter((name) => versions.has(name)));
        for (const row of page) {
          if (row.version === versions.get(row.name) || row.value === undefined) flashing.delete(row.name);
          if (row.value !== undefined) versions.set(row.name, row.version);
        }
        rows.update(page, flashing);
      });
  }
  ask({ offset: 0, limit: WHOLE });
  return { element: body, tick: () => rows.tick(), close: () => live.close() };
}

async function create() {
  const option = (value) => h("option", { value }, value);
  const answer = await dialog({
    title: "New variable", action: "Create",
    fields: [field("Name", h("input", { name: "name", required: true, maxLength: 255, spellcheck: false })), field("Value", h("textarea", { name: "value", spellcheck: false })),
      field("Type", h("select", { name: "type" }, TYPES.map(option)), "Fixed from then on."),
      field("Policy", h("select", { name: "policy" }, POLICIES.map(option)), "volatile lives in memory on several nodes; durable survives a power cut of all; available works on both sides of a cut.")],
  });
  if (!answer) return;
  try {
    const query = new URLSearchParams({ type: answer.type, policy: answer.policy });
    await api(`/v1/vars/${encodeURIComponent(answer.name)}?${query}`, { method: "PUT", body: answer.value, headers: { "If-None-Match": "*" } });
    location.hash = link("variables", answer.name);
  } catch (error) {
    failed(error.status === 412 ? new ApiError(412, { message: `${answer.name} is there already.`, hint: "Open it to change its value." }) : error);
  }
}

function one(name) {
  let now = null;
  let base = null; // the version the edit began from
  let unknown = false; // the node says that it cannot know the value now
  const seen = []; // changes since the page was opened
  const value = h("pre.reply", { tabIndex: 0 });
  const about = h("div");
  const area = h("textarea", { ariaLabel: "New value", spellcheck: false, oninput: () => begin() });
  const warning = h("p", { hidden: true, role: "status" });
  const trouble = h("div");
  const body = h("div", null, loadingState(name));
  const changes = h("ol.problems");
  const graph = h("section", { class: "card whole", hidden: true });
  body.style.display = "contents";
  let plot = null;

  function begin() {
    base ??= now?.found ? now.version : "";
    warn();
  }
  function warn() {
    const moved = base !== null && now && (now.found ? now.version : "") !== base;
    warning.hidden = !moved;
    if (moved) fill(warning, h("span.badge.warn", null, h("span.shape", null, "▲"), "It has changed since you began."), " Saving now would be refused. ", h("button.plain", { onclick: take }, "Take the new value"));
  }
  function take() {
    area.value = now?.encoding === "text" ? now.value : "";
    base = null;
    warn();
  }

  async function save() {
    begin();
    try {
      const headers = base ? { "If-Match": `"${base}"` } : { "If-None-Match": "*" };
      await api(`/v1/vars/${encodeURIComponent(name)}`, { method: "PUT", body: area.value, headers });
      base = null;
      note("Saved");
      fill(trouble);
    } catch (error) {
      fill(trouble, errorState(error.status === 412 ? new ApiError(412, { message: "Somebody has changed it in between; nothing was written.", hint: "Look at the new value above and save again if you still want yours." }) : error));
    }
    warn();
  }

  async function remove() {
    if (!await dialog({ title: `Remove ${name}?`, text: "Every node forgets its value.", action: "Remove", kind: "danger" })) return;
    try {
      await api(`/v1/vars/${encodeURIComponent(name)}`, { method: "DELETE" });
      location.hash = "#/variables";
    } catch (error) {
      failed(error);
    }
  }

  async function add(by) {
    try {
      await api(`/v1/vars/${encodeURIComponent(name)}/incr?delta=${by}`, { method: "POST" });
    } catch (error) {
      failed(error);
    }
  }

  const who = holders(name);
  const content = [
    h("div.cards", null,
      h("section", { class: "card two-thirds" }, h("h2", null, "Value"), value, about),
      h("section", { class: "card third" }, h("h2", null, "Change"), h("div.form", null, area, warning, trouble, h("div.row", null, roleButton("operator", "Save", save, "primary"), roleButton("operator", "+ 1", () => add(1)), roleButton("operator", "− 1", () => add(-1))))),
      graph,
      who.element,
      h("section", { class: "card whole" }, h("h2", null, "Changes since this page was opened"), changes)),
    commandLine(`kith var watch ${shell(name)}`)];

  function draw(first) {
    if (!now.found) {
      text(value, "");
      fill(about, emptyState({ title: now.gone ? "It was removed" : "It does not exist", text: "Saving a value makes it.", command: `kith var set ${shell(name)} VALUE` }));
    } else {
      text(value, now.encoding === "text" ? now.value : hexOf(now.value));
      fill(about, facts([["Type", now.type], ["Policy", now.policy], ["Version", big(now.version)], ["Written by", now.writer_name ?? now.writer ?? "–"], ["At", clock(now.time)], ["Size", bytes(now.value_bytes)], now.truncated && ["Shown", "the first 64 KiB"], now.missed > 0 && ["Changes skipped", now.missed]]));
    }
    if (!first) flash(value);
    if (base === null && document.activeElement !== area) area.value = now.found && now.encoding === "text" ? now.value : "";
    warn();
    remember();
  }

  function remember() {
    if ((seen.length === 0 && !now.found) || (seen.at(-1)?.version === now.version && seen.at(-1)?.found === now.found)) return;
    seen.push({ at: Date.now() / 1000, version: now.version, found: now.found, value: now.value, writer: now.writer_name, time: now.time });
    if (seen.length > 600) seen.shift();
    fill(changes, seen.slice(-12).reverse().map((one) => h("li", null, h("span.quiet", null, "·"), h("span", null, h("span.quiet", null, `${clock(one.time)} `), h("code", null, one.found ? String(one.value).slice(0, 200) : "removed"), h("span.quiet", null, one.writer ? ` by ${one.writer}` : "")))));
    const numeric = (now.type === "i64" || now.type === "f64") && seen.some((one) => one.found);
    if (numeric && !plot) {
      plot = chart({ label: `${name} over time`, series: [{ label: name, fill: false }], format: (v) => String(Math.round(v * 1000) / 1000), min: null, height: 170, stepped: true });
      graph.hidden = false;
      fill(graph, h("div.card-head", null, h("h2", null, "Over time, since this page was opened"), plot.readout), plot.element);
    }
    drawGraph();
  }

  // The newest value holds until now.
  function drawGraph() {
    if (!plot || !seen.length) return;
    const points = [...seen, { ...seen.at(-1), at: Date.now() / 1000 }];
    plot.data([points.map((one) => one.at), points.map((one) => (one.found ? Number(one.value) : null))]);
  }

  const live = subscribe("var", { name }, ({ doc, error }) => {
    if (error) {
      unknown = true;
      fill(trouble, errorState(error));
      if (!now) fill(body, errorState(error));
      return;
    }
    const first = now === null;
    if (unknown) fill(trouble);
    unknown = false;
    now = doc;
    if (first) fill(body, content);
    draw(first);
  });
  return {
    title: name,
    element: [pageHead(name, { crumbs: [["Variables", "#/variables"]], actions: [roleButton("operator", "Remove", remove, "danger")] }), body],
    tick: drawGraph,
    close: () => {
      live.close();
      who.close();
      plot?.close();
    },
  };
}

function hexOf(base64) {
  const raw = atob(base64 ?? "");
  return [...raw].slice(0, 2048).map((c) => c.charCodeAt(0).toString(16).padStart(2, "0")).join(" ").replace(/((?:.. ){16})/g, "$1\n");
}
