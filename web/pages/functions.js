// What can be called.
import { fill, h } from "../lib/dom.js";
import { clock, DASH, number, rtt } from "../lib/format.js";
import { link } from "../lib/route.js";
import { subscribe } from "../lib/stream.js";
import { table } from "../lib/table.js";
import { errorState, loadingState, pageHead } from "../lib/ui.js";
import { functionPage } from "./function.js";

export function page(path) {
  return path.length ? functionPage(path.join("/")) : list();
}

/** Of all nodes that serve @row together. */
export const total = (row, key) => (row.nodes ?? []).reduce((all, node) => all + (node[key] ?? 0), 0);

/** Of all nodes together: the median that half of the measured runs are at or below, and the worst node's p99. */
function took(nodes) {
  const sorted = (nodes ?? []).filter((node) => node.measured > 0).sort((a, b) => a.p50_ms - b.p50_ms);
  const all = sorted.reduce((n, node) => n + node.measured, 0);
  let seen = 0;
  const middle = sorted.find((node) => (seen += node.measured) * 2 >= all);
  return { p50: middle?.p50_ms, p99: sorted.length ? Math.max(...sorted.map((node) => node.p99_ms)) : undefined };
}

/** A rate of a minute: 0, 0.02, 3.4, 120. */
export const perSecond = (rate) => (rate === null || rate === undefined ? DASH : rate === 0 ? "0" : number(rate, rate < 1 ? 2 : rate < 100 ? 1 : 0));

/** What went wrong last in a cell: when, and on hovering all of it. */
function lastErrorIn(td, last) {
  if (td.dataset.time === (last?.time ?? "none")) return;
  td.dataset.time = last?.time ?? "none";
  td.classList.add("cut");
  td.title = last ? `${clock(last.time)} on ${last.node_name ?? "this node"}: ${last.text} (code ${last.code})` : "";
  fill(td, last ? [h("span.quiet", null, `${clock(last.time)} `), last.text || `code ${last.code}`] : DASH);
}

function list() {
  let times = new Map(); // name -> its row of the topic
  const lately = (row) => times.get(row.name);
  // counters of now, where its node told them; what the registry says is up to 30 s old
  const counted = (row, key) => Math.max(total(row, key), lately(row) ? total(lately(row), key) : 0);
  const rows = table({
    noun: "function", key: (row) => row.name, sort: "name", href: (row) => link("functions", row.name),
    columns: [
      { key: "name", title: "Name", text: (row) => row.name, cell: (row, td) => {
        if (td.dataset.about === row.description) return;
        td.dataset.about = row.description;
        td.classList.add("two-lines");
        fill(td, h("a", { href: link("functions", row.name) }, row.name), row.description && h("small", null, row.description));
      } },
      { key: "nodes", title: "Nodes", num: true, sort: (row) => row.nodes?.length ?? 0, text: (row) => number(row.nodes?.length ?? 0) },
      { key: "rate", title: "Calls/s", num: true, sort: (row) => lately(row)?.calls_per_s ?? -1, text: (row) => perSecond(lately(row)?.calls_per_s) },
      { key: "calls", title: "Calls", num: true, minor: true, sort: (row) => counted(row, "calls"), text: (row) => number(counted(row, "calls")) },
      { key: "errors", title: "Errors", num: true, minor: true, sort: (row) => counted(row, "errors"), text: (row) => number(counted(row, "errors")) },
      { key: "p50", title: "p50", num: true, minor: true, sort: (row) => took(lately(row)?.nodes).p50 ?? -1, text: (row) => rtt(took(lately(row)?.nodes).p50) },
      { key: "p99", title: "p99", num: true, minor: true, sort: (row) => took(lately(row)?.nodes).p99 ?? -1, text: (row) => rtt(took(lately(row)?.nodes).p99) },
      { key: "last", title: "Last error", minor: true, sort: (row) => lately(row)?.last_error?.time ?? "", text: (row) => lately(row)?.last_error?.text ?? "–", cell: (row, td) => lastErrorIn(td, lately(row)?.last_error) },
      { key: "version", title: "Version", minor: true, text: (row) => row.version || "–" },
    ],
    search: (row) => `${row.name} ${row.description} ${row.signature} ${(row.flags ?? []).join(" ")} ${(row.nodes ?? []).map((node) => node.name).join(" ")}`,
    empty: { title: "No functions are served", text: "A program that serves one, or a shell command, makes them appear.", command: "kith fn serve hello -- echo hi" },
    flash: () => false,
  });
  const body = h("div", null, loadingState("functions"));
  body.style.display = "contents";
  const live = subscribe("functions", {}, ({ doc, rows: all, error }) => {
    if (!doc) {
      if (error) fill(body, errorState(error));
      return;
    }
    if (!rows.element.isConnected) fill(body, rows.element);
    rows.update(all);
  });
  const timed = subscribe("times", {}, ({ doc, rows: all }) => {
    if (!doc) return;
    times = new Map(all.map((one) => [one.name, one]));
    rows.redraw();
  });
  return {
    element: [pageHead("Functions", { sub: "What nodes and programs offer to be called. Any node can call them; choose one to try it here. Calls/s are those of the last minute; p50 and p99 how long runs took lately." }), body],
    close: () => {
      live.close();
      timed.close();
    },
  };
}

/** The table of the nodes that serve one function: {element, update(rows), times(rows)}. */
export function servers() {
  let times = [];
  const time = (row) => times.find((one) => one.id === row.id);
  const counted = (row, key) => (row[key] === null && !time(row) ? undefined : Math.max(row[key] ?? 0, time(row)?.[key] ?? 0));
  const rows = table({
    noun: "server", key: (row) => row.id, sort: "name", href: (row) => link("nodes", row.name),
    columns: [
      { key: "name", title: "Served by", text: (row) => row.name, cell: (row, td) => td.firstChild || fill(td, h("a", { href: link("nodes", row.name) }, row.name)) },
      { key: "rate", title: "Calls/s", num: true, sort: (row) => time(row)?.calls_per_s ?? -1, text: (row) => perSecond(time(row)?.calls_per_s) },
      { key: "calls", title: "Calls", num: true, minor: true, sort: (row) => counted(row, "calls") ?? -1, text: (row) => number(counted(row, "calls")) },
      { key: "errors", title: "Errors", num: true, minor: true, sort: (row) => counted(row, "errors") ?? -1, text: (row) => number(counted(row, "errors")) },
      { key: "p50", title: "p50", num: true, sort: (row) => time(row)?.p50_ms ?? -1, text: (row) => rtt(time(row)?.p50_ms) },
      { key: "p99", title: "p99", num: true, minor: true, sort: (row) => time(row)?.p99_ms ?? -1, text: (row) => rtt(time(row)?.p99_ms) },
      { key: "last", title: "Last error", minor: true, sort: (row) => time(row)?.last_error?.time ?? "", text: (row) => time(row)?.last_error?.text ?? DASH, cell: (row, td) => lastErrorIn(td, time(row)?.last_error && { ...time(row).last_error, node_name: row.name }) },
    ],
    flash: () => false, bare: true,
  });
  return {
    element: rows.element,
    update: rows.update,
    times(list) {
      times = list;
      rows.redraw();
    },
  };
}
