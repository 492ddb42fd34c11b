// The members as another node sees them, beside how this one does: where the two differ the cluster may be cut.
import { fill, h, text } from "../lib/dom.js";
import { count, rtt } from "../lib/format.js";
import { link } from "../lib/route.js";
import { api } from "../lib/session.js";
import { table } from "../lib/table.js";
import { badge, errorState } from "../lib/ui.js";

const EVERY_MS = 5000;

/** What @theirs and @ours (rows of nodes) say of each other: [{id, name, theirs, ours, rtt_ms, differs}]. */
export function compare(theirs, ours) {
  const all = new Map([...ours, ...theirs].map((row) => [row.id, row.name]));
  return [...all].map(([id, name]) => {
    const there = theirs.find((row) => row.id === id);
    const here = ours.find((row) => row.id === id);
    return { id, name, theirs: there?.status ?? "unknown", ours: here?.status ?? "unknown", rtt_ms: there?.rtt_ms, differs: there?.status !== here?.status };
  });
}

/** {element, ours(rows, id of the node asked), close} of the node called @name. */
export function sight(name) {
  let own = [];
  let self = "";
  let theirs = null; // {self, nodes}
  let timer = 0;
  let closed = false;
  const state = (key) => (row, td) => {
    if (td.dataset.status === row[key]) return;
    td.dataset.status = row[key];
    fill(td, badge(row[key]));
  };
  const rows = table({
    noun: "peer", key: (row) => row.id, sort: "-differs", href: (row) => link("nodes", row.name), bare: true, flash: () => false,
    columns: [
      { key: "name", title: "Peer", text: (row) => row.name, cell: (row, td) => td.firstChild || fill(td, h("a", { href: link("nodes", row.name) }, row.name)) },
      { key: "theirs", title: `To ${name}`, text: (row) => row.theirs, cell: state("theirs") },
      { key: "ours", title: "To this node", text: (row) => row.ours, cell: state("ours") },
      { key: "differs", title: "Differs", sort: (row) => Number(row.differs), text: (row) => (row.differs ? "yes" : "") },
      { key: "rtt", title: `RTT from ${name}`, num: true, minor: true, sort: (row) => row.rtt_ms ?? 1e9, text: (row) => (row.id === theirs?.self ? "–" : rtt(row.rtt_ms)) },
    ],
  });
  const words = h("p.quiet", { role: "status" }, `${name} is asked who it sees.`);
  const element = h("section", { class: "card", hidden: true }, h("div.card-head", null, h("h2", null, `Peers as ${name} sees them`)), words, rows.element);
  rows.element.hidden = true;

  function draw() {
    const there = theirs?.nodes.filter((row) => row.role === "node");
    const here = own.filter((row) => row.role === "node");
    if (!there || !here.length) return;
    const list = compare(there, here);
    const differ = list.filter((row) => row.differs).length;
    rows.element.hidden = false;
    text(words, differ ? `It sees ${count(differ, "node")} otherwise than this node does. For some seconds that is news on its way; if it stays, the network between is cut: kith reach tells where.` : `It sees the same ${count(list.length, "node")} as this one, in the same state.`);
    words.classList.toggle("attention", differ > 0);
    rows.update(list);
  }

  async function ask() {
    if (closed) return;
    if (!document.hidden && self !== "") {
      try {
        theirs = await api(`/v1/nodes?node=${encodeURIComponent(name)}`);
        if (closed) return;
        element.hidden = theirs.self === self; // of itself it needs no comparison
        draw();
      } catch (error) {
        if (closed) return;
        element.hidden = false;
        rows.element.hidden = true;
        fill(words, errorState(error, ask));
      }
    }
    clearTimeout(timer);
    timer = setTimeout(ask, self === "" ? 200 : EVERY_MS);
  }
  ask();
  return {
    element,
    ours(list, id) {
      own = list;
      self = id;
      draw();
    },
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}
