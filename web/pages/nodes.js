// All nodes, and one of them.
import { fill, h, text } from "../lib/dom.js";
import { ago, bytes, percent, rtt, running } from "../lib/format.js";
import { link } from "../lib/route.js";
import { subscribe } from "../lib/stream.js";
import { sparkline, table } from "../lib/table.js";
import { badge, errorState, loadingState, pageHead, roleButton } from "../lib/ui.js";
import { connect, tagLabels, tagLines } from "./nodeacts.js";
import { roundTrips } from "./rtt.js";
import { nodePage } from "./node.js";

const KEPT = 60; // points of a line in the table

/** The zone of a link-local address, fe80::1%eth0: it names the interface by which one gets there. */
export function zone(address) {
  return address?.match(/%([^\]:]+)/)?.[1] ?? "";
}

/** "1.4 of 23.5 GiB": the unit once if both have the same. */
function share(part, whole) {
  const [number, unit] = bytes(part).split(" ");
  const all = bytes(whole);
  return `${all.endsWith(` ${unit}`) ? number : `${number} ${unit}`} of ${all}`;
}

export function page(path) {
  return path.length ? nodePage(path[0]) : list();
}

function list() {
  const past = new Map(); // id -> cpu percent, newest last
  let self = "";
  const rows = table({
    noun: "node", key: (row) => row.id, sort: "name", href: (row) => `#/nodes/${encodeURIComponent(row.name)}`,
    columns: [
      { key: "name", title: "Name", text: (row) => row.name, cell: (row, td) => {
        if (td.dataset.name === row.name + (row.id === self)) return;
        td.dataset.name = row.name + (row.id === self);
        td.classList.add("two-lines");
        fill(td, h("a", { href: link("nodes", row.name) }, row.name), h("small", { title: row.id }, h("span.mono", null, row.id.slice(0, 8)), row.id === self && " · this node"));
      } },
      { key: "status", title: "Status", text: (row) => `${row.status}${row.drained ? " drained" : ""}`, cell: (row, td) => {
        const key = `${row.status} ${row.drained}`;
        if (td.dataset.status === key) return;
        td.dataset.status = key;
        fill(td, badge(row.status), row.drained && h("span.tag.warn", { title: "It is chosen for no call until it is taken back" }, "drained"));
      } },
      { key: "cpu", title: "CPU", num: true, sort: (row) => row.cpu_percent ?? -1, text: (row) => percent(row.status === "alive" ? row.cpu_percent : null) },
      { key: "line", title: "", sort: false, minor: true, cell: (row, td) => sparkline(td, past.get(row.id) ?? [], 100, `CPU of ${row.name}, the last minutes`) },
      { key: "memory", title: "Memory", num: true, sort: (row) => row.memory_bytes - row.memory_available_bytes,
        minor: true, text: (row) => (row.memory_bytes ? share(row.memory_bytes - row.memory_available_bytes, row.memory_bytes) : "–") },
      { key: "load", title: "Load", num: true, minor: true, sort: (row) => row.load ?? -1, text: (row) => row.load?.toFixed(2) ?? "–" },
      { key: "rtt", title: "RTT", num: true, sort: (row) => row.rtt_ms ?? 1e9, text: (row) => (row.id === self ? "–" : rtt(row.rtt_ms)) },
      { key: "address", title: "Address", minor: true, text: (row) => row.address },
      { key: "tags", title: "Tags", minor: true, optional: true, sort: (row) => tagLines(row.tags).join(" "), text: (row) => tagLines(row.tags).join(" ") || "–", cell: (row, td) => {
        const key = tagLines(row.tags).join(" ");
        if (td.dataset.tags === key) return;
        td.dataset.tags = key;
        fill(td, key ? h("div.tags", null, tagLabels(row.tags)) : "–");
      } },
      { key: "zone", title: "Zone", minor: true, optional: true, text: (row) => zone(row.address) || "–" },
      { key: "seen", title: "Since", num: true, minor: true, runs: true, sort: (row) => running(row, "status_age_ms") ?? 0, text: (row) => ago(running(row, "status_age_ms")) },
      { key: "version", title: "Version", minor: true, text: (row) => row.version ?? "–" },
    ],
    search: (row) => `${row.name} ${row.status} ${row.drained ? "drained" : ""} ${row.address} ${row.id} ${row.version} ${row.role} ${tagLines(row.tags).join(" ")}`,
    filters: [
      { key: "status", title: "Every status", values: ["alive", "suspect", "failed", "left", "drained"], of: (row) => [row.status, row.drained ? "drained" : ""] },
      { key: "tag", title: "Every tag", values: (all) => [...new Set(all.flatMap((row) => tagLines(row.tags)))].sort(), of: (row) => tagLines(row.tags) },
    ],
    empty: { title: "No nodes yet", command: "kith dev 3" },
    flash: () => false,
    summary: (all, view) => (view.length < all.length ? `${view.length} of ` : "") + ["alive", "suspect", "failed", "left"].map((s) => [all.filter((row) => row.status === s).length, s]).filter(([n]) => n).map(([n, s]) => `${n} ${s}`).join(", "),
  });
  const body = h("div", null, loadingState("nodes"));
  body.style.display = "contents";
  const sub = h("span");
  const matrix = roundTrips();
  const live = subscribe("nodes", {}, ({ doc, rows: nodes, changed, error }) => {
    if (error && !doc) fill(body, errorState(error));
    if (!doc) return;
    self = doc.self;
    text(sub, `Every machine of ${doc.cluster}, as this node sees it.`);
    if (!rows.element.isConnected) fill(body, rows.element);
    for (const node of nodes)
      if (!past.has(node.id) || changed.has(node.id)) past.set(node.id, [...(past.get(node.id) ?? []), node.cpu_percent ?? 0].slice(-KEPT));
    rows.update(nodes);
    matrix.nodes(nodes.filter((node) => node.role === "node" && node.status !== "left").length);
  });
  return {
    element: [pageHead("Nodes", { sub, actions: [roleButton("operator", "Connect to a node", connect, "primary")] }), body, matrix.element],
    tick: () => rows.tick(),
    close: () => {
      live.close();
      matrix.close();
    },
  };
}
