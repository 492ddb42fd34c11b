// All nodes, and one of them.
import { fill, h, text } from "../lib/dom.js";
import { ago, bytes, percent, rtt, running } from "../lib/format.js";
import { link } from "../lib/route.js";
import { api } from "../lib/session.js";
import { subscribe } from "../lib/stream.js";
import { sparkline, table } from "../lib/table.js";
import { badgeIn, dialog, failed, field, loadingState, note, pageHead, roleButton } from "../lib/ui.js";
import { roundTrips } from "./rtt.js";
import { nodePage } from "./node.js";

const KEPT = 60; // points of a line in the table

/** The zone of a link-local address, fe80::1%eth0: it names the interface by which one gets there. */
export function zone(address) {
  return address?.match(/%([^\]:]+)/)?.[1] ?? "";
}

export function page(path) {
  return path.length ? nodePage(path[0]) : list();
}

export async function connect() {
  const answer = await dialog({
    title: "Connect to a node", text: "It must belong to this cluster: it needs the same secret. kith join on the other machine does the same from there.", action: "Connect",
    fields: [field("Address", h("input", { name: "address", required: true, placeholder: "10.0.0.5:7117 or [fe80::1%eth0]:7117", spellcheck: false }))],
  });
  if (!answer) return;
  try {
    await api("/v1/nodes", { method: "POST", json: { address: answer.address.trim() } });
    note(`Connected to ${answer.address}`);
  } catch (error) {
    failed(error);
  }
}

export async function disconnect(name) {
  const sure = await dialog({ title: `Disconnect ${name}?`, text: "Its streams to this node close in order. It goes on running and stays a member; its next call or the next echo connects again.", action: "Disconnect", kind: "danger" });
  if (!sure) return;
  try {
    await api(`/v1/nodes/${encodeURIComponent(name)}`, { method: "DELETE" });
    note(`Disconnected ${name}`);
  } catch (error) {
    failed(error);
  }
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
        fill(td, h("a", { href: link("nodes", row.name) }, row.name), row.id === self && h("span.me", null, "this node"));
      } },
      { key: "status", title: "Status", text: (row) => row.status, cell: (row, td) => badgeIn(td, row.status) },
      { key: "cpu", title: "CPU", num: true, sort: (row) => row.cpu_percent ?? -1, text: (row) => percent(row.status === "alive" ? row.cpu_percent : null) },
      { key: "line", title: "", sort: false, minor: true, cell: (row, td) => sparkline(td, past.get(row.id) ?? [], 100, `CPU of ${row.name}, the last minutes`) },
      { key: "memory", title: "Memory", num: true, sort: (row) => row.memory_bytes - row.memory_available_bytes,
        minor: true, text: (row) => (row.memory_bytes ? `${bytes(row.memory_bytes - row.memory_available_bytes)} of ${bytes(row.memory_bytes)}` : "–") },
      { key: "load", title: "Load", num: true, minor: true, sort: (row) => row.load ?? -1, text: (row) => row.load?.toFixed(2) ?? "–" },
      { key: "rtt", title: "RTT", num: true, sort: (row) => row.rtt_ms ?? 1e9, text: (row) => (row.id === self ? "–" : rtt(row.rtt_ms)) },
      { key: "address", title: "Address", minor: true, text: (row) => row.address },
      { key: "zone", title: "Zone", minor: true, text: (row) => zone(row.address) || "–" },
      { key: "seen", title: "Since", num: true, minor: true, runs: true, sort: (row) => running(row, "status_age_ms") ?? 0, text: (row) => ago(running(row, "status_age_ms")) },
      { key: "version", title: "Version", minor: true, text: (row) => row.version ?? "–" },
    ],
    search: (row) => `${row.name} ${row.status} ${row.address} ${row.id} ${row.version} ${row.role}`,
    filters: [{ key: "status", title: "Every status", values: ["alive", "suspect", "failed", "left"], of: (row) => row.status }],
    empty: { title: "No nodes yet", command: "kith dev 3" },
    flash: () => false,
    summary: (all) => ["alive", "suspect", "failed", "left"].map((s) => [all.filter((row) => row.status === s).length, s]).filter(([n]) => n).map(([n, s]) => `${n} ${s}`).join(", "),
  });
  const body = h("div", null, loadingState("nodes"));
  body.style.display = "contents";
  const sub = h("span");
  const matrix = roundTrips();
  const live = subscribe("nodes", {}, ({ doc, rows: nodes, error }) => {
    if (error && !doc) return;
    self = doc.self;
    text(sub, `Every machine of ${doc.cluster}, as this node sees it.`);
    if (!rows.element.isConnected) fill(body, rows.element);
    rows.update(nodes);
    matrix.nodes(nodes.filter((node) => node.role === "node" && node.status !== "left").length);
  });
  const load = subscribe("resources", {}, ({ rows: nodes }) => {
    for (const node of nodes) {
      const points = past.get(node.id) ?? [];
      points.push(node.cpu_percent ?? 0);
      past.set(node.id, points.slice(-KEPT));
    }
  });
  return {
    element: [pageHead("Nodes", { sub, actions: [roleButton("operator", "Connect to a node", connect, "primary")] }), body, matrix.element],
    tick: () => rows.tick(),
    close: () => {
      live.close();
      load.close();
      matrix.close();
    },
  };
}
