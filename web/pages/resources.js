// What all machines have and what they use of it.
import { fill, h, text } from "../lib/dom.js";
import { ago, bytes, number, percent, running } from "../lib/format.js";
import { histories } from "../lib/history.js";
import { link, query, setQuery } from "../lib/route.js";
import { subscribe } from "../lib/stream.js";
import { table } from "../lib/table.js";
import { badgeIn, errorState, loadingState, pageHead } from "../lib/ui.js";

function meterIn(td, words, share) {
  if (!td.firstChild) fill(td, h("span"), h("span.meter", { ariaHidden: "true" }, h("i")));
  text(td.firstChild, words);
  const bar = td.lastChild.firstChild;
  bar.style.transform = `scaleX(${Number.isFinite(share) ? Math.min(1, Math.max(0, share)) : 0})`;
  bar.classList.toggle("high", share > 0.9);
}

/** Sums over the nodes that are alive. */
export function totals(nodes) {
  const alive = nodes.filter((node) => node.status === "alive");
  const sum = (key) => alive.reduce((all, node) => all + (node[key] ?? 0), 0);
  const cpus = sum("cpus");
  return {
    nodes: alive.length, cpus, memory: sum("memory_bytes"), available: sum("memory_available_bytes"),
    cpu: cpus ? alive.reduce((all, node) => all + (node.cpu_percent ?? 0) * (node.cpus ?? 0), 0) / cpus : null,
  };
}

export function page() {
  const used = (row) => (row.memory_bytes ? 1 - row.memory_available_bytes / row.memory_bytes : NaN);
  const rows = table({
    noun: "node", key: (row) => row.id, sort: "name", href: (row) => `#/nodes/${encodeURIComponent(row.name)}`,
    columns: [
      { key: "name", title: "Name", text: (row) => row.name, cell: (row, td) => td.firstChild ? text(td.firstChild, row.name) : fill(td, h("a", { href: link("nodes", row.name) }, row.name)) },
      { key: "status", title: "Status", minor: true, text: (row) => row.status, cell: (row, td) => badgeIn(td, row.status) },
      { key: "cpu", title: "CPU", num: true, sort: (row) => row.cpu_percent ?? -1, cell: (row, td) => meterIn(td, percent(row.cpu_percent), (row.cpu_percent ?? NaN) / 100) },
      { key: "cpus", title: "CPUs", num: true, minor: true, sort: (row) => row.cpus ?? 0, text: (row) => number(row.cpus) },
      { key: "load", title: "Load", num: true, minor: true, sort: (row) => row.load ?? -1, text: (row) => row.load?.toFixed(2) ?? "–" },
      { key: "used", title: "Memory used", num: true, sort: (row) => used(row) || 0, cell: (row, td) => meterIn(td, percent(used(row) * 100), used(row)) },
      { key: "available", title: "Available", num: true, sort: (row) => row.memory_available_bytes ?? 0, text: (row) => bytes(row.memory_available_bytes) },
      { key: "installed", title: "Installed", num: true, minor: true, sort: (row) => row.memory_bytes ?? 0, text: (row) => bytes(row.memory_bytes) },
      { key: "age", title: "Measured", num: true, minor: true, runs: true, sort: (row) => running(row, "facts_age_ms") ?? 0, text: (row) => ago(running(row, "facts_age_ms")) },
    ],
    search: (row) => `${row.name} ${row.status}`,
    empty: { title: "No nodes yet", command: "kith dev 3" },
    flash: () => false,
  });
  const figures = h("div.cards");
  const value = (words) => h("div.value", null, words);
  const cards = ["CPU in use", "CPUs", "Memory in use", "Memory available"].map((label) => h("section", { class: "card figure quarter" }, value("–"), h("div.label", null, label)));
  fill(figures, cards);
  const body = h("div", null, loadingState("resources"));
  body.style.display = "contents";
  const select = h("select", { ariaLabel: "Node whose past is shown", onchange: () => showPast(select.value) });
  const past = h("div");
  past.style.display = "contents";
  let graphs = null;

  function showPast(name) {
    graphs?.close();
    setQuery({ node: name });
    graphs = histories(name);
    fill(past, h("div.card-head", null, h("h2", null, "Over time"), select, graphs.choices), h("div.cards", null, graphs.element));
  }

  const live = subscribe("resources", {}, ({ rows: nodes, doc, error }) => {
    if (!doc) {
      if (error) fill(body, errorState(error));
      return;
    }
    if (!rows.element.isConnected) fill(body, rows.element);
    rows.update(nodes);
    const all = totals(nodes);
    [percent(all.cpu), number(all.cpus), bytes(all.memory - all.available), bytes(all.available)].forEach((words, i) => text(cards[i].firstChild, words));
    const names = nodes.map((node) => node.name).sort();
    if ([...select.options].map((option) => option.value).join() !== names.join()) {
      const chosen = graphs ? select.value : query().get("node");
      fill(select, names.map((name) => h("option", { value: name, selected: name === chosen }, name)));
      if (!graphs && names.length) showPast(select.value);
    }
  });
  return {
    element: [pageHead("Resources", { sub: "Installed, available and in use, on every machine. Each node measures itself every two seconds." }), figures, body, past],
    tick: () => rows.tick(),
    close: () => {
      live.close();
      graphs?.close();
    },
  };
}
