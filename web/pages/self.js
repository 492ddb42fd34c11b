// The node that these pages talk to.
import { fill, h, text } from "../lib/dom.js";
import { subscribe } from "../lib/stream.js";
import { api, may } from "../lib/session.js";
import { table } from "../lib/table.js";
import { card, copyButton, dialog, errorState, facts, failed, loadingState, note, pageHead, roleButton, sheet } from "../lib/ui.js";
import { bytes, percent } from "../lib/format.js";
import { histories } from "../lib/history.js";
import { drawCores, insides, temperatures } from "./node.js";
import { logTail } from "./logtail.js";

export function page() {
  const head = h("div", null, loadingState("this node"));
  const inside = h("div.cards");
  const cores = h("div.cores");
  const past = histories("");
  const settings = configuration();
  const log = logTail("");
  const below = h("div", { hidden: true }, log.element, settings.head, settings.element); // not before what is above has its height
  head.style.display = below.style.display = "contents";
  const warmth = temperatures();
  const [cpu, memory, loadNow, disk] = [h("span"), h("span"), h("span"), h("span", null, "–")];
  let info = null;
  let machine = null; // subscription to what this machine measures
  const live = subscribe("self", {}, ({ doc, error }) => {
    if (!doc) {
      if (error) fill(head, errorState(error));
      return;
    }
    const other = info?.id !== doc.id; // the first one, or where the page went on when that died
    if (info && other) settings.again();
    if (other) {
      machine?.close();
      machine = subscribe("resources", { node: doc.name }, ({ doc: measured }) => {
        warmth.draw(measured?.temperatures);
        if (measured?.disk_bytes) text(disk, `${bytes(measured.disk_available_bytes)} of ${bytes(measured.disk_bytes)}`);
      });
    }
    info = doc;
    text(cpu, percent(doc.cpu_percent));
    text(memory, `${bytes(doc.memory_available_bytes)} of ${bytes(doc.memory_bytes)}`);
    text(loadNow, doc.load?.toFixed(2) ?? "–");
    if (other)
      fill(head, pageHead(doc.name, { sub: "The node these pages talk to: its process, its figures and its settings.",
        actions: [roleButton("admin", "Debug bundle", bundle), copyButton(() => JSON.stringify(info, null, 2), "Copy as JSON")] }),
        card(null, facts([["Cluster", doc.cluster], ["Id", h("span.mono", null, doc.id)], ["Addresses", (doc.addresses ?? []).join(", ")], ["Version", doc.version], ["Socket", h("span.mono", null, doc.socket)],
          ["CPUs, cores", `${doc.cpus ?? "–"}, ${doc.cores ?? "–"}`], ["CPU in use", cpu], ["Memory available", memory], ["Load", loadNow], ["Disk available", disk]])));
    if (other) settings.plain(doc.config);
    fill(inside, insides(doc));
    below.hidden = false;
    drawCores(cores, doc.cpu_percent_per_core);
  });
  return {
    title: "This node",
    element: [head, h("div.card-head", null, h("h2", null, "Resources"), past.choices), h("div.cards", null, past.element, h("section", { class: "card whole" }, h("h2", null, "Cores"), cores), warmth.element),
      h("div.card-head", null, h("h2", null, "Inside")), inside, below],
    close: () => {
      live.close();
      machine?.close();
      past.close();
      settings.close();
      log.close();
    },
  };
}

// By the API and not by a link: at another node than the page came from only a token lets one in.
async function bundle() {
  try {
    const response = await api("/v1/debug/bundle", { raw: true });
    if (!response.ok) throw await response.json().then(({ message, hint }) => Object.assign(new Error(message), { hint }), () => new Error(`The node answered ${response.status}.`));
    const name = response.headers.get("Content-Disposition")?.match(/filename="([^"]+)"/)?.[1] ?? "kith-debug.tar";
    const anchor = h("a", { href: URL.createObjectURL(await response.blob()), download: name });
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(anchor.href), 1000);
    note(`${name} saved; it holds no secrets`);
  } catch (error) {
    failed(error);
  }
}

/* ---- settings ---- */

const written = (values) => values.map((one) => one.value).join(", ");

/** What holds and where it comes from; read again by a button. {head, element, close}. */
function configuration() {
  const rows = table({
    noun: "setting", key: (row) => row.key, sort: "key", flash: () => true,
    columns: [
      { key: "key", title: "Setting", text: (row) => row.key, cell: (row, td) => {
        if (td.firstChild) return;
        td.classList.add("two-lines");
        fill(td, h("b", null, row.key), h("small", null, row.help));
      } },
      { key: "value", title: "Value", text: (row) => written(row.values) || "–", cell: (row, td) => {
        td.classList.add("value");
        text(td, written(row.values) || "–");
      } },
      { key: "origin", title: "Comes from", minor: true, wide: true, text: (row) => [...new Set(row.values.map((one) => one.origin))].join(", ") || "default" },
      { key: "reloads", title: "When reloaded", minor: true, sort: (row) => Number(row.reloads), text: (row) => (row.reloads ? "takes effect" : "needs a restart") },
    ],
    filters: [{ key: "from", title: "Every origin", values: ["set", "default"], of: (row) => (row.values.length && row.values.some((one) => one.origin !== "default") ? "set" : "default") }],
    search: (row) => `${row.key} ${written(row.values)} ${row.help} ${row.values.map((one) => one.origin).join(" ")}`,
    empty: { title: "No settings" },
  });
  const body = h("div", null, loadingState("settings"));
  body.style.display = "contents";
  let closed = false;

  async function load(changed) {
    if (!may("operator")) return;
    try {
      const answer = await api("/v1/config");
      if (closed) return;
      if (!rows.element.isConnected) fill(body, rows.element);
      rows.update(answer.keys, changed);
    } catch (error) {
      if (!closed) fill(body, errorState(error, () => load()));
    }
  }

  async function reload() {
    if (!await dialog({ title: "Read the configuration again?", text: "As SIGHUP does: what differs and may change while the node runs takes effect. If the file is wrong nothing changes.", action: "Reload" })) return;
    try {
      const { changed, restart } = await api("/v1/config/reload", { method: "POST" });
      const list = (all) => h("ul.problems", null, all.map((one) => h("li", null, h("span.quiet", null, "·"), h("code", null, `${one.key} = ${[one.values ?? []].flat().map((value) => value.value ?? value).join(", ") || "(nothing)"}`))));
      if (!changed.length && !restart.length) note("Nothing differs");
      else
        sheet("Configuration reloaded", changed.length ? [h("p", null, "Holds now:"), list(changed)] : h("p", null, "Nothing that can change while it runs differs."),
          restart.length > 0 && [h("p", null, "Holds after a restart of the node:"), list(restart)]);
      load(new Set(changed.map((one) => one.key)));
    } catch (error) {
      failed(error);
    }
  }

  load();
  return {
    head: h("div.card-head", null, h("h2", null, "Settings in force"), roleButton("admin", "Reload", reload)),
    element: body,
    /** Those of another node. */
    again: () => load(),
    /** For viewers: what holds, as the node tells everybody. */
    plain(config) {
      if (!may("operator")) fill(body, card(null, facts(Object.entries(config ?? {}).map(([key, value]) => [key, String(value) || "–"]))));
    },
    close: () => { closed = true; },
  };
}
