// Who holds which lock, who waits, and whether they wait for each other.
import { fill, h, svg, text } from "../lib/dom.js";
import { big, count, left, number, running, shell, span } from "../lib/format.js";
import { link } from "../lib/route.js";
import { api } from "../lib/session.js";
import { subscribe } from "../lib/stream.js";
import { table } from "../lib/table.js";
import { card, commandLine, dialog, emptyState, errorState, failed, loadingState, note, pageHead, roleButton } from "../lib/ui.js";

const who = (party) => `${party.owner || "a program"} on ${party.node_name || party.node?.slice(0, 8)}${party.pid ? ` (pid ${party.pid})` : ""}`;
const holders = (row) => (row.parties ?? []).filter((party) => party.holds);
const waiters = (row) => (row.parties ?? []).filter((party) => !party.holds);

const WHOLE = 200; // as many a topic has at once; of more the server sorts, filters and gives a page

export function page(path) {
  const wanted = path.join("/");
  return wanted ? one(wanted) : list();
}

function list() {
  let total = null; // while the server pages: how many there are
  const rows = table({
    noun: "lock", key: (row) => row.name, sort: "name", href: (row) => link("locks", row.name),
    remote: { total: () => total, sorts: ["name", "holder", "since", "lease", "waiters", "fence", "mode"], page: (part) => live.again(part) },
    columns: [
      { key: "name", title: "Name", text: (row) => row.name, cell: (row, td) => td.firstChild || fill(td, h("a", { href: link("locks", row.name) }, row.name)) },
      { key: "holder", title: "Held by", wide: true, text: (row) => holders(row).map(who).join("; ") || "nobody" },
      { key: "since", title: "For", num: true, runs: true, sort: (row) => holders(row)[0]?.age_ms ?? -1, text: (row) => (holders(row).length ? span(running({ ...holders(row)[0], $at: row.$at }, "age_ms")) : "–") },
      { key: "lease", title: "Lease left", num: true, minor: true, runs: true, sort: (row) => holders(row)[0]?.lease_left_ms ?? -1, text: (row) => (holders(row).length ? span(left({ ...holders(row)[0], $at: row.$at }, "lease_left_ms")) : "–") },
      { key: "waiters", title: "Waiting", num: true, sort: (row) => waiters(row).length, text: (row) => number(waiters(row).length) },
      { key: "fence", title: "Fence", num: true, minor: true, sort: (row) => Number(holders(row)[0]?.fence ?? 0), text: (row) => big(holders(row)[0]?.fence) },
      { key: "mode", title: "Kind", minor: true, text: (row) => (row.permits > 1 ? `${row.permits} permits` : row.mode ?? "–") },
    ],
    search: (row) => `${row.name} ${(row.parties ?? []).map(who).join(" ")}`,
    empty: { title: "No lock is held or waited for", text: "A command can run under one:", command: "kith lock run build -- make" },
    flash: () => false,
  });
  const body = h("div", null, loadingState("locks"));
  const graph = h("div");
  const silent = h("p.quiet", { hidden: true });
  body.style.display = graph.style.display = "contents";
  let waiting = null; // while the server pages: those that most wait for, whatever page is shown
  const live = subscribe("locks", { offset: 0, limit: WHOLE }, ({ doc, rows: all, error }) => {
    if (!doc) {
      if (error) fill(body, errorState(error));
      return;
    }
    if (total === null && doc.total > WHOLE) {
      total = doc.total;
      waiting = subscribe("locks", { offset: 0, limit: WHOLE, sort: "-waiters" }, ({ doc: known, rows: most }) => known && draw(most));
      return live.again(rows.part());
    }
    if (total !== null) total = doc.total;
    if (!rows.element.isConnected) fill(body, rows.element);
    rows.update(all);
    const quiet = doc.silent_nodes ?? 0;
    silent.hidden = quiet === 0;
    text(silent, `${count(quiet, "node")} did not answer: what only they know is missing here.`);
    if (!waiting) draw(all);
  });
  function draw(all) {
    const picture = waitsFor(all);
    fill(graph, picture && card(picture.cycle ? "Who waits for whom: a cycle, nobody in it can go on" : "Who waits for whom", h("div.graph", { tabIndex: 0, role: "region", ariaLabel: "Who waits for whom" }, picture.element), picture.cycle && h("p", null, `${picture.said[0].toUpperCase()}${picture.said.slice(1)}. Breaking one of them ends it:`), picture.cycle && commandLine(`kith lock break ${shell(picture.cycle)}`)));
  }
  return {
    element: [pageHead("Locks", { sub: "Mutexes of the whole cluster. Each grant has a fence, a number that only grows: guarded writes with an old one are refused." }), silent, body, graph],
    tick: () => rows.tick(),
    close: () => {
      live.close();
      waiting?.close();
    },
  };
}

function one(name) {
  const body = h("div", null, loadingState(name));
  body.style.display = "contents";
  const parties = table({
    noun: "party", nouns: "parties", key: (party) => party.key, sort: "role", bare: true, flash: () => false,
    columns: [
      { key: "role", title: "Place", sort: (party) => party.at, text: (party) => (!party.holds ? `waits, ${party.place}.` : party.shared ? "holds, shared" : "holds") },
      { key: "who", title: "Who", wide: true, text: who },
      { key: "since", title: "For", num: true, runs: true, sort: (party) => party.age_ms, text: (party) => span(running(party, "age_ms")) },
      { key: "lease", title: "Lease left", num: true, minor: true, runs: true, sort: (party) => (party.holds ? party.lease_left_ms : -1), text: (party) => (party.holds ? span(left(party, "lease_left_ms")) : "–") },
      { key: "fence", title: "Fence", num: true, minor: true, sort: (party) => Number(party.fence ?? 0), text: (party) => big(party.fence) },
    ],
  });
  const live = subscribe("locks", { offset: 0, limit: 1, prefix: name }, ({ doc, rows: [row], error }) => {
    if (!doc) {
      if (error) fill(body, errorState(error));
      return;
    }
    if (row?.name !== name) { // what comes after it
      fill(body, card(null, emptyState({ title: "Nobody holds it or waits for it", command: `kith lock run ${shell(name)} -- sleep 10` })));
      return;
    }
    if (!parties.element.isConnected) fill(body, parties.element);
    const first = holders(row).length;
    parties.update([...holders(row), ...waiters(row)].map((party, i) => ({ ...party, key: i, at: i, place: i - first + 1, $at: row.$at })));
  });
  async function breakIt() {
    const sure = await dialog({ title: `Break ${name}?`, text: "Whoever holds it loses it and is told so; the next in line gets it with a higher fence. Only writes that are guarded by the fence are safe from the former holder.", action: "Break", kind: "danger" });
    if (!sure) return;
    try {
      await api(`/v1/locks/${encodeURIComponent(name)}/break`, { method: "POST" });
      note(`Broke ${name}`);
    } catch (error) {
      failed(error);
    }
  }
  return {
    title: name,
    element: [pageHead(name, { crumbs: [["Locks", "#/locks"]], actions: [roleButton("admin", "Break", breakIt, "danger")] }), body],
    tick: () => parties.tick(),
    close: () => live.close(),
  };
}

// Parties left, locks right. An edge from a party to a lock: it waits. From a lock to a party: it is held by it.
function waitsFor(rows) {
  const locks = rows.filter((row) => waiters(row).length > 0).slice(0, 40);
  if (!locks.length) return null;
  const shown = new Set(locks);
  // a lock that a waiter holds belongs to the picture too
  const id = (party) => `${party.node}/${party.pid}/${party.owner}`;
  const waiting = new Set(locks.flatMap((row) => waiters(row).map(id)));
  for (const row of rows) if (holders(row).some((party) => waiting.has(id(party)))) shown.add(row);
  const all = [...shown];
  const parties = new Map();
  for (const row of all) for (const party of row.parties ?? []) parties.set(id(party), party);
  const names = [...parties.keys()];
  const cycle = onCycle(all, id);
  const y = (i) => 30 + i * 46;
  const height = Math.max(names.length, all.length) * 46 + 20;
  const element = svg("svg", { viewBox: `0 0 760 ${height}`, width: 760, height, role: "img", "aria-label": "Waiting parties on the left, locks on the right" },
    svg("defs", {}, svg("marker", { id: "tip", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, svg("path", { d: "M0 0 8 4 0 8z", fill: "currentColor" }))));
  all.forEach((row, j) => {
    for (const party of row.parties ?? []) {
      const i = names.indexOf(id(party));
      const inCycle = cycle.has(row.name) && cycle.has(id(party));
      const d = party.holds ? `M500 ${y(j) + 6} C 420 ${y(j) + 6} 400 ${y(i) + 6} 322 ${y(i) + 6}` : `M320 ${y(i) - 6} C 400 ${y(i) - 6} 420 ${y(j) - 6} 498 ${y(j) - 6}`;
      element.append(svg("path", { d, class: `edge ${party.holds ? "" : "waits"} ${inCycle ? "cycle" : ""}`, "marker-end": "url(#tip)" }));
    }
  });
  names.forEach((name, i) => {
    const party = parties.get(name);
    element.append(svg("rect", { x: 10, y: y(i) - 18, width: 310, height: 36, rx: 8, class: `box ${cycle.has(name) ? "cycle" : ""}` }), svg("text", { x: 22, y: y(i) + 5 }, who(party).slice(0, 44)));
  });
  all.forEach((row, j) => element.append(svg("rect", { x: 500, y: y(j) - 18, width: 250, height: 36, rx: 18, class: `box ${cycle.has(row.name) ? "cycle" : ""}` }), svg("text", { x: 518, y: y(j) + 5 }, row.name.slice(0, 32))));
  const said = all.flatMap(waiters).find((party) => party.cycle)?.cycle ?? "";
  return { element, said, cycle: all.find((row) => cycle.has(row.name))?.name ?? "" };
}

// Names of locks and parties that lie on a cycle of waits. The nodes say which that are, since a command may wait
// within another one that holds; the picture alone would not show it, and would see cycles where one node's sessions meet.
function onCycle(locks, id) {
  const found = new Set();
  for (const row of locks)
    for (const party of waiters(row)) {
      if (!party.cycle) continue;
      found.add(id(party));
      for (const other of locks)
        if (party.cycle.includes(`'${other.name}'`)) {
          found.add(other.name);
          for (const holder of holders(other)) found.add(id(holder));
        }
    }
  return found;
}
