// Round trips between all pairs of nodes, as a table whose cells are the warmer the longer one took.
import { fill, h, text } from "../lib/dom.js";
import { number, rtt } from "../lib/format.js";
import { subscribe } from "../lib/stream.js";
import { errorState } from "../lib/ui.js";

const AT_ONCE = 12; // with more nodes somebody has to want it: each sends an echo to each
const NODES_MAX = 64;
const FAST_MS = 0.1;
const SLOW_MS = 300;

/** Share of the colour: 0 for a fast link, 1 for a slow one, by the logarithm between. */
export function shade(ms) {
  return Math.min(1, Math.max(0, Math.log(ms / FAST_MS) / Math.log(SLOW_MS / FAST_MS)));
}

/** {element, nodes(how many there are), close}. */
export function roundTrips() {
  const grid = h("table.matrix");
  const frame = h("div.table-frame", { tabIndex: 0, role: "region", ariaLabel: "Round trips between nodes" }, grid);
  const words = h("p.quiet");
  const begin = h("button", { onclick: () => { wanted = true; measure(); } }, "Measure");
  const element = h("section", { class: "card", hidden: true }, h("div.card-head", null, h("h2", null, "Round trips"), begin), words, frame);
  let wanted = false;
  let live = null;
  let count = 0;
  let key = "";

  function measure() {
    if (live) return;
    begin.hidden = true;
    text(words, "Each node sends an echo to each other.");
    live = subscribe("rtt", {}, ({ doc, rows, error }) => {
      if (error) fill(words, errorState(error));
      else if (doc) draw(rows);
    });
  }

  function draw(rows) {
    // rtt_ms is in the order of the rows as they came; what is seen is in that of the names
    const order = rows.map((_, i) => i).sort((a, b) => rows[a].name.localeCompare(rows[b].name, "en", { numeric: true }));
    const names = order.map((i) => rows[i].id).join();
    if (names !== key) {
      key = names;
      fill(grid, h("thead", null, h("tr", null, h("th", { scope: "col" }, "from \u2193 to \u2192"), order.map((i) => h("th.num", { scope: "col" }, rows[i].name)))),
        h("tbody", null, order.map((i) => h("tr", null, h("th", { scope: "row" }, rows[i].name), order.map(() => h("td.num"))))));
    }
    let silent = 0;
    order.forEach((i, y) => order.forEach((j, x) => {
      const ms = rows[i].rtt_ms[j];
      const td = grid.tBodies[0].rows[y].cells[x + 1];
      const lost = ms === null && i !== j;
      silent += lost;
      text(td, i === j ? "" : lost ? "■ none" : rtt(ms));
      td.className = i === j ? "num self" : lost ? "num lost" : "num";
      td.style.setProperty("--share", `${Math.round((ms === null ? 0 : shade(ms)) * 100)}%`);
    }));
    frame.hidden = false;
    text(words, silent ? `${number(silent)} of ${number(rows.length * (rows.length - 1))} echoes did not come back.` : "An echo from each node to each other, every 10 s while this is open. The warmer, the slower.");
  }

  frame.hidden = true;
  return {
    element,
    nodes(n) {
      if (n === count) return;
      count = n;
      element.hidden = n < 2;
      if (n > NODES_MAX) {
        begin.hidden = true;
        text(words, `${number(n)} nodes are ${number(n * (n - 1))} pairs, too many to look at: kith reach lists those that fail.`);
      } else if (n <= AT_ONCE || wanted) {
        measure();
      } else {
        text(words, `${number(n)} nodes, ${number(n * (n - 1))} pairs: measured when you ask for it.`);
      }
    },
    close: () => live?.close(),
  };
}
