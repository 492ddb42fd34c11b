// Who has a variable: the nodes that keep it, those that cache it, and how many watch.
import { fill, h } from "../lib/dom.js";
import { big, count, number } from "../lib/format.js";
import { link } from "../lib/route.js";
import { api } from "../lib/session.js";
import { table } from "../lib/table.js";
import { errorState, facts } from "../lib/ui.js";

const EVERY_MS = 5000; // every node is asked
const ROLES = { home: "home: orders its writes", replica: "replica", cache: "cached", none: "–" };

/** {element, close} of the variable @name. */
export function holders(name) {
  const about = h("div");
  const rows = table({
    noun: "node", key: (row) => row.id, sort: "role", href: (row) => link("nodes", row.name), bare: true, flash: () => false,
    columns: [
      { key: "name", title: "Node", text: (row) => row.name, cell: (row, td) => td.firstChild || fill(td, h("a", { href: link("nodes", row.name) }, row.name)) },
      { key: "role", title: "Has it as", sort: (row) => Object.keys(ROLES).indexOf(row.role), text: (row) => ROLES[row.role] ?? row.role },
      { key: "readable", title: "Read without asking", minor: true, sort: (row) => Number(row.readable), text: (row) => (row.readable ? "yes" : "no") },
      { key: "version", title: "Version", num: true, minor: true, sort: (row) => Number(row.version ?? 0), text: (row) => big(row.version) },
      { key: "watches", title: "Watches", num: true, sort: (row) => row.watches ?? 0, text: (row) => number(row.watches) },
    ],
  });
  const element = h("section", { class: "card whole", hidden: true }, h("h2", null, "Who has it"), about, rows.element);
  let timer = 0;
  let closed = false;

  async function ask() {
    clearTimeout(timer);
    if (!document.hidden) {
      try {
        const info = await api(`/v1/vars/${encodeURIComponent(name)}?info=true`);
        if (closed) return;
        element.hidden = !info.found;
        rows.element.hidden = false;
        fill(about, facts([
          ["Replicas", info.policy === "available" ? "every node" : info.replicas.map((one) => one.name).join(", ") || "–"],
          ["Cached by", info.sharers === null || info.sharers === undefined ? "–" : count(info.sharers, "other")], ["Watched by", count(info.watchers, "watch", "watches")],
          info.silent_nodes > 0 && ["Did not answer", count(info.silent_nodes, "node")]]));
        rows.update(info.nodes);
      } catch (error) {
        if (closed) return;
        element.hidden = false;
        rows.element.hidden = true;
        fill(about, errorState(error, ask));
      }
    }
    timer = setTimeout(ask, EVERY_MS);
  }
  ask();
  return {
    element,
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}
