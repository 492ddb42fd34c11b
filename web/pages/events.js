// What has happened, newest first.
import { fill, h, text } from "../lib/dom.js";
import { clock, count } from "../lib/format.js";
import { query, setQuery } from "../lib/route.js";
import { api } from "../lib/session.js";
import { subscribe } from "../lib/stream.js";
import { clean } from "../lib/table.js";
import { emptyState, failed, loadingState, pageHead } from "../lib/ui.js";

const KEPT = 2000;
const SHAPE = { failed: ["error", "■"], suspect: ["warn", "▲"], alive: ["ok", "●"], joined: ["ok", "●"], left: ["", "○"], refuted: ["ok", "●"] };

/** A sentence about an event. */
export function sentence(event) {
  const name = event.name || event.id?.slice(0, 8) || "";
  const rest = [event.address, event.reason].filter(Boolean).join(", ");
  return [name, rest && h("span.quiet", null, ` ${rest}`)];
}
export function eventRow(event) {
  const [kind, shape] = SHAPE[event.type] ?? ["", "·"];
  return h("tr", null, h("td.quiet", null, clock(event.time)), h("td", null, h(`span.badge${kind && `.${kind}`}`, null, h("span.shape", { ariaHidden: "true" }, shape), event.type)), h("td.wide", null, sentence(event)));
}

export function page() {
  let events = new Map();
  let held = null; // while paused: what came meanwhile
  let first = 0;
  let words = query().get("filter") ?? "";
  let type = query().get("type") ?? "";
  const body = h("tbody");
  const sum = h("span.sum", { role: "status" });
  const none = h("div", { hidden: true });
  const older = h("button.plain", { onclick: before }, "Older events");
  const types = h("select", { ariaLabel: "Kind of event", onchange: () => { type = types.value; setQuery({ type }); draw(); } });
  const filter = h("input.filter", { type: "search", placeholder: "Filter events", ariaLabel: "Filter events", value: words, oninput: () => { words = filter.value; setQuery({ filter: words }); draw(); } });
  const pause = h("button", { ariaPressed: "false", onclick: () => {
    held = held ? null : [];
    pause.setAttribute("aria-pressed", String(Boolean(held)));
    text(pause, held ? "Go on" : "Pause");
    draw();
  } }, "Pause");
  const frame = h("div.table-frame", { tabIndex: 0, role: "region", ariaLabel: "Events" }, h("table", null, h("thead", null, h("tr", null, h("th", null, "Time"), h("th", null, "Event"), h("th", null, "What"))), body));
  const element = h("section.table", null, h("div.toolbar", null, filter, types, pause, h("span.grow"), sum, h("button.plain", { onclick: save }, "Export")), frame, none, h("div.pager", null, older));
  const place = h("div", null, loadingState("events"));
  place.style.display = "contents";

  function list() {
    const need = words.toLowerCase();
    return [...events.values()].filter((event) => (!type || event.type === type) && (!need || JSON.stringify(event).toLowerCase().includes(need))).sort((a, b) => b.seq - a.seq);
  }

  function draw() {
    if (held) {
      text(sum, `paused, ${count(held.length, "update")} since`);
      return;
    }
    const all = [...new Set([...events.values()].map((event) => event.type))].sort();
    if (all.join() !== [...types.options].slice(1).map((o) => o.value).join()) fill(types, h("option", { value: "" }, "Every kind"), all.map((one) => h("option", { value: one, selected: one === type }, one)));
    const shown = list();
    fill(body, shown.slice(0, 500).map(eventRow));
    text(sum, shown.length === events.size ? count(shown.length, "event") : `${shown.length} of ${count(events.size, "event")}`);
    none.hidden = shown.length > 0;
    frame.hidden = shown.length === 0;
    fill(none, emptyState(events.size ? { title: "No event matches", text: "Clear the filter to see them all." } : { title: "Nothing has happened yet", text: "Joining, failing and leaving nodes show here.", command: "kith events -f" }));
    const lowest = Math.min(...events.keys());
    older.hidden = !events.size || lowest <= first;
  }

  async function before() {
    try {
      const answer = await api(`/v1/events?before=${Math.min(...events.keys())}&limit=500`);
      for (const event of answer.events) events.set(event.seq, event);
      first = answer.first_seq;
      draw();
    } catch (error) {
      failed(error);
    }
  }

  function save() {
    const blob = new Blob(clean(list()).map((event) => `${JSON.stringify(event)}\n`), { type: "application/x-ndjson" });
    const anchor = h("a", { href: URL.createObjectURL(blob), download: "events.jsonl" });
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(anchor.href), 1000);
  }

  const live = subscribe("events", { limit: 200 }, ({ doc, rows, full }) => {
    if (!doc) return;
    if (full) first = doc.first_seq ?? 0;
    for (const event of rows) events.set(event.seq, event);
    if (events.size > KEPT) events = new Map([...events].sort((a, b) => a[0] - b[0]).slice(-KEPT));
    held?.push(rows.length);
    if (!element.isConnected) fill(place, element);
    draw();
  });
  return { element: [pageHead("Events", { sub: "Of this node's view of the cluster: what kith events shows." }), place], close: () => live.close() };
}
