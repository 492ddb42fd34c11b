// What has happened, newest first.
import { fill, h, text } from "../lib/dom.js";
import { clock, count } from "../lib/format.js";
import { api } from "../lib/session.js";
import { subscribe } from "../lib/stream.js";
import { clean, table } from "../lib/table.js";
import { errorState, failed, loadingState, pageHead } from "../lib/ui.js";

const KEPT = 2000;
const SHAPE = { failed: ["error", "■"], suspect: ["warn", "▲"], damaged: ["warn", "▲"], alive: ["ok", "●"], joined: ["ok", "●"], left: ["", "○"], "no-quorum": ["error", "■"], quorum: ["ok", "●"] };

/** A sentence about an event. */
export function sentence(event) {
  const name = event.name || event.id?.slice(0, 8) || "";
  const why = event.reason && event.type === "drained" ? `asked at ${event.reason}` : event.reason;
  const rest = [event.address, why].filter(Boolean).join(", ");
  return [name, rest && h("span.quiet", null, ` ${rest}`)];
}
function kind(type) {
  const [badge, shape] = SHAPE[type] ?? ["", "·"];
  return h(`span.badge${badge && `.${badge}`}`, null, h("span.shape", { ariaHidden: "true" }, shape), type);
}
export function eventRow(event) {
  return h("tr", null, h("td.quiet", null, clock(event.time)), h("td", null, kind(event.type)), h("td.wide", null, sentence(event)));
}

export function page() {
  let events = new Map();
  let held = null; // while paused: how many updates came meanwhile
  let first = 0;
  const pause = h("button", { ariaPressed: "false", onclick: () => {
    held = held === null ? 0 : null;
    pause.setAttribute("aria-pressed", String(held !== null));
    text(pause, held === null ? "Pause" : "Go on");
    draw();
  } }, "Pause");
  const older = h("button.plain", { onclick: before }, "Older events");
  const foot = h("div.pager", { hidden: true }, older);
  const rows = table({
    noun: "event", key: (row) => row.seq, sort: "-time", flash: () => false,
    columns: [
      { key: "time", title: "Time", sort: (row) => row.seq, text: (row) => clock(row.time) },
      { key: "type", title: "Event", text: (row) => row.type, cell: (row, td) => td.firstChild || fill(td, kind(row.type)) },
      { key: "what", title: "What", wide: true, text: (row) => [row.name, row.address, row.reason].filter(Boolean).join(" "), cell: (row, td) => td.firstChild || fill(td, sentence(row)) },
    ],
    filters: [{ key: "type", title: "Every kind", values: Object.keys(SHAPE), of: (row) => row.type }],
    tools: [pause, h("button.plain", { onclick: save }, "Export")],
    empty: { title: "Nothing has happened yet", text: "Joining, failing and leaving nodes show here.", command: "kith events -f" },
    summary: (all, view) => (held !== null ? `paused, ${count(held, "update")} since` : view.length === all.length ? count(all.length, "event") : `${view.length} of ${count(all.length, "event")}`),
  });
  const body = h("div", null, loadingState("events"));
  body.style.display = "contents";
  rows.element.append(foot);

  function draw() {
    if (held === null) rows.update([...events.values()]);
    else rows.redraw();
    foot.hidden = !events.size || Math.min(...events.keys()) <= first;
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
    const blob = new Blob(clean(rows.view()).map((event) => `${JSON.stringify(event)}\n`), { type: "application/x-ndjson" });
    const anchor = h("a", { href: URL.createObjectURL(blob), download: "events.jsonl" });
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(anchor.href), 1000);
  }

  const live = subscribe("events", { limit: 200 }, ({ doc, rows: all, full, error }) => {
    if (!doc) {
      if (error) fill(body, errorState(error));
      return;
    }
    if (full) first = doc.first_seq ?? 0;
    for (const event of all) events.set(event.seq, event);
    if (events.size > KEPT) events = new Map([...events].sort((a, b) => a[0] - b[0]).slice(-KEPT));
    if (held !== null) held++;
    if (!rows.element.isConnected) fill(body, rows.element);
    draw();
  });
  return { element: [pageHead("Events", { sub: "Of this node's view of the cluster: what kith events shows." }), body], close: () => live.close() };
}
