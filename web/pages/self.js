// The node that these pages talk to.
import { fill, h } from "../lib/dom.js";
import { subscribe } from "../lib/stream.js";
import { card, copyButton, facts, loadingState, pageHead } from "../lib/ui.js";
import { histories } from "../lib/history.js";
import { drawCores, insides } from "./node.js";

export function page() {
  const head = h("div", null, loadingState("this node"));
  const inside = h("div.cards");
  const cores = h("div.cores");
  const past = histories("");
  head.style.display = "contents";
  let info = null;
  const live = subscribe("self", {}, ({ doc, error }) => {
    if (error && !doc) return;
    const first = info === null;
    info = doc;
    if (first)
      fill(head, pageHead(doc.name, { sub: "The node these pages talk to: its process, its figures and its settings.", actions: copyButton(() => JSON.stringify(info, null, 2), "Copy as JSON") }),
        card(null, facts([["Cluster", doc.cluster], ["Id", h("span.mono", null, doc.id)], ["Addresses", (doc.addresses ?? []).join(", ")], ["Version", doc.version], ["Socket", h("span.mono", null, doc.socket)]])));
    fill(inside, insides(doc),
      card("Settings in force", h("dl.facts", null, Object.entries(doc.config ?? {}).map(([key, value]) => h("div", null, h("dt", null, key), h("dd.mono", null, String(value) || "–"))))));
    inside.lastChild.classList.add("whole");
    drawCores(cores, doc.cpu_percent_per_core);
  });
  return {
    title: "This node",
    element: [head, h("div.card-head", null, h("h2", null, "Resources"), past.choices), h("div.cards", null, past.element, h("section", { class: "card whole" }, h("h2", null, "Cores"), cores)), h("div.card-head", null, h("h2", null, "Inside")), inside],
    close: () => {
      live.close();
      past.close();
    },
  };
}
