// The cluster at a glance: how many live, what is wrong and what to do, what happened last.
import { fill, h, text } from "../lib/dom.js";
import { bytes, count, number, percent } from "../lib/format.js";
import { totalHistories } from "../lib/history.js";
import { link } from "../lib/route.js";
import { api, session } from "../lib/session.js";
import { subscribe } from "../lib/stream.js";
import { commandLine, errorState, loadingState, pageHead, roleButton } from "../lib/ui.js";
import { eventRow } from "./events.js";
import { invite } from "./invite.js";
import { totals } from "./resources.js";

const STATUS_EVERY_MS = 5000;

export function page() {
  const head = h("div", null, loadingState("the cluster"));
  const figures = ["Nodes alive", "Failures survived now", "CPU in use", "Memory available"].map((label) => h("section", { class: "card figure quarter" }, h("div.value", null, "–"), h("div.label", null, label)));
  const problems = h("ul.problems");
  const events = h("tbody");
  const more = h("p.quiet", { hidden: true }, "Nothing has happened since this node started.");
  const title = h("h2", null, "All nodes over time");
  const past = totalHistories(({ nodes: counted, silent_nodes: silent, seen_by: by }) =>
    text(title, `${count(counted, "node")} together, over time${by ? `, as ${by} sees them` : silent ? `; ${number(silent)} did not answer` : ""}`));
  head.style.display = "contents";
  let nodes = [];
  let status = null;
  let timer = 0;
  let closed = false;

  const set = (i, words) => text(figures[i].firstChild, words);

  function drawProblems() {
    const list = [];
    const bad = (state) => nodes.filter((node) => node.status === state);
    for (const node of bad("failed"))
      list.push(["error", [h("a", { href: link("nodes", node.name) }, node.name), ` has failed${node.address ? ` (${node.address})` : ""}. Start it again, or forget it if it will not come back.`], `kith forget ${node.name}`]);
    for (const node of bad("suspect")) list.push(["warn", [h("a", { href: link("nodes", node.name) }, node.name), " does not answer; it counts as failed soon unless it does."], `kith ping ${node.name}`]);
    const missing = (status?.missing ?? []).map((node) => node.name || node.id.slice(0, 8)).join(", ");
    if (status && !status.quorum) list.push(["error", [`Variables, locks and names wait: no majority of the voters is heard${missing ? `; missing: ${missing}` : ""}.`], "kith view"]);
    else if (status && status.failures_tolerated === 0 && nodes.length > 2) list.push(["warn", ["If one more voter is lost now, variables and locks wait until it is back."], "kith view"]);
    for (const node of nodes)
      if (node.status === "alive" && node.memory_bytes && node.memory_available_bytes / node.memory_bytes < 0.05)
        list.push(["warn", [h("a", { href: link("nodes", node.name) }, node.name), ` has ${bytes(node.memory_available_bytes)} of memory left.`], `kith info ${node.name}`]);
    for (const node of nodes)
      if (node.drained && node.status !== "left") list.push(["warn", [h("a", { href: link("nodes", node.name) }, node.name), " is drained: no call or item of a map is given to it."], `kith undrain ${node.name}`]);
    if (nodes.length === 1) list.push(["ok", ["This node is alone. Invite another machine:"], "kith invite"]);
    const key = JSON.stringify([list.map(([kind, , command]) => [kind, command]), nodes.length, missing, status?.failures_tolerated]);
    if (problems.dataset.key === key) return;
    problems.dataset.key = key;
    fill(problems, list.length
      ? list.map(([kind, words, command]) => h("li", null, h(`span.shape.${kind}`, { ariaHidden: "true" }, { ok: "●", warn: "▲", error: "■" }[kind]), h("span", null, words), command && commandLine(command)))
      : h("li", null, h("span.shape.ok", { ariaHidden: "true" }, "●"), h("span", null, `All is well: ${count(nodes.length, "node")}${status ? `, and shared state survives ${count(status.failures_tolerated, "failure")} now` : ""}.`)));
  }

  async function askStatus() {
    clearTimeout(timer);
    if (!document.hidden) {
      try {
        status = await api("/v1/view");
        if (closed) return;
        set(1, status.quorum ? number(status.failures_tolerated) : "none");
        drawProblems();
      } catch {
        /* the banner says that the node does not answer */
      }
    }
    if (!closed) timer = setTimeout(askStatus, STATUS_EVERY_MS);
  }

  const live = subscribe("nodes", {}, ({ doc, rows, error }) => {
    if (!doc) {
      if (error) fill(head, errorState(error));
      return;
    }
    nodes = rows;
    const alive = rows.filter((row) => row.status === "alive").length;
    if (!head.dataset.done) {
      head.dataset.done = "1";
      fill(head, pageHead(doc.cluster || session.info.cluster, { sub: "Every node of this cluster serves these pages; what one knows, all know.",
        actions: [roleButton("admin", "Invite a machine", invite, "primary")] }));
    }
    fill(figures[0].firstChild, number(alive), h("small.quiet", null, ` of ${rows.filter((row) => row.status !== "left").length}`));
    const all = totals(rows); // of what the nodes say of themselves: no second list is fetched for it
    fill(figures[2].firstChild, percent(all.cpu), h("small.quiet", null, ` of ${count(all.cpus, "CPU")}`));
    fill(figures[3].firstChild, bytes(all.available), h("small.quiet", null, ` of ${bytes(all.memory)}`));
    drawProblems();
  });
  const happened = subscribe("events", { limit: 8 }, ({ doc, rows }) => {
    if (!doc) return;
    const newest = rows.sort((a, b) => b.seq - a.seq).slice(0, 8);
    fill(events, newest.map(eventRow));
    more.hidden = newest.length > 0;
  });
  askStatus();
  return {
    element: [head, h("div.cards", null, figures,
      h("section.card", null, h("h2", null, "What needs attention"), problems),
      h("section.card", null, h("div.card-head", null, h("h2", null, "Last events"), h("a", { href: "#/events" }, "All events")), h("div.table-frame", { tabIndex: 0, role: "region", ariaLabel: "Last events" }, h("table", null, events)), more)),
    h("div.card-head", null, title, past.choices), h("div.cards", null, past.element)],
    close: () => {
      closed = true;
      clearTimeout(timer);
      live.close();
      happened.close();
      past.close();
    },
  };
}
