// What can be called, and calling it.
import { fill, h } from "../lib/dom.js";
import { bytes, number, rtt, shell } from "../lib/format.js";
import { link, query, setQuery } from "../lib/route.js";
import { api, ApiError } from "../lib/session.js";
import { subscribe } from "../lib/stream.js";
import { table } from "../lib/table.js";
import { card, commandLine, errorState, facts, field, loadingState, pageHead, roleButton } from "../lib/ui.js";

export function page(path) {
  return path.length ? one(path[0]) : list();
}

const sum = (row, key) => (row.nodes ?? []).reduce((all, node) => all + (node[key] ?? 0), 0);

/** Of all nodes together: the median that half of the measured runs are at or below, and the worst node's p99. */
function took(nodes) {
  const sorted = [...(nodes ?? [])].sort((a, b) => a.p50_ms - b.p50_ms);
  const all = sorted.reduce((n, node) => n + node.measured, 0);
  let seen = 0;
  const middle = sorted.find((node) => (seen += node.measured) * 2 >= all);
  return { p50: middle?.p50_ms, p99: sorted.length ? Math.max(...sorted.map((node) => node.p99_ms)) : undefined };
}

function list() {
  let times = new Map();
  const rows = table({
    noun: "function", key: (row) => row.name, sort: "name", href: (row) => link("functions", row.name),
    columns: [
      { key: "name", title: "Name", text: (row) => row.name, cell: (row, td) => td.firstChild || fill(td, h("a", { href: link("functions", row.name) }, row.name)) },
      { key: "nodes", title: "Nodes", num: true, sort: (row) => row.nodes?.length ?? 0, text: (row) => number(row.nodes?.length ?? 0) },
      { key: "calls", title: "Calls", num: true, sort: (row) => sum(row, "calls"), text: (row) => number(sum(row, "calls")) },
      { key: "errors", title: "Errors", num: true, minor: true, sort: (row) => sum(row, "errors"), text: (row) => number(sum(row, "errors")) },
      { key: "p50", title: "p50", num: true, sort: (row) => took(times.get(row.name)).p50 ?? -1, text: (row) => rtt(took(times.get(row.name)).p50) },
      { key: "p99", title: "p99", num: true, minor: true, sort: (row) => took(times.get(row.name)).p99 ?? -1, text: (row) => rtt(took(times.get(row.name)).p99) },
      { key: "version", title: "Version", minor: true, text: (row) => row.version || "–" },
      { key: "flags", title: "Kind", minor: true, text: (row) => (row.flags ?? []).join(", ") || "–" },
      { key: "description", title: "Description", wide: true, minor: true, text: (row) => row.description || "–" },
    ],
    search: (row) => `${row.name} ${row.description} ${(row.nodes ?? []).map((node) => node.name).join(" ")}`,
    empty: { title: "No functions are served", text: "A program that serves one, or a shell command, makes them appear.", command: "kith fn serve hello -- echo hi" },
    flash: () => false,
  });
  const body = h("div", null, loadingState("functions"));
  body.style.display = "contents";
  const live = subscribe("functions", {}, ({ doc, rows: all }) => {
    if (!doc) return;
    if (!rows.element.isConnected) fill(body, rows.element);
    rows.update(all);
  });
  const timed = subscribe("times", {}, ({ doc, rows: all }) => {
    if (!doc) return;
    times = new Map(all.map((one) => [one.name, one.nodes]));
    rows.redraw();
  });
  return {
    element: [pageHead("Functions", { sub: "What nodes and programs offer to be called. Any node can call them; choose one to try it here. p50 and p99: how long its runs took lately." }), body],
    close: () => {
      live.close();
      timed.close();
    },
  };
}

function one(name) {
  let fn = null;
  const about = h("div", null, loadingState(name));
  about.style.display = "contents";
  const node = h("select", { name: "node" });
  const argument = h("textarea", { name: "argument", spellcheck: false, placeholder: "Bytes as they are; empty is fine.", value: query().get("arg") ?? "", oninput: () => setQuery({ arg: argument.value }) });
  const kind = h("select", { ariaLabel: "How the argument is written" }, h("option", { value: "text" }, "as text"), h("option", { value: "hex" }, "as hex"), h("option", { value: "file" }, "from a file"));
  const file = h("input", { type: "file", hidden: true, ariaLabel: "File with the argument" });
  const timeout = h("input", { type: "number", value: "10", min: "0.1", max: "600", step: "any" });
  const outcome = h("div");
  let times = [];
  const served = table({
    noun: "server", key: (row) => row.id, sort: "name", href: (row) => link("nodes", row.name),
    columns: [
      { key: "name", title: "Served by", text: (row) => row.name, cell: (row, td) => td.firstChild || fill(td, h("a", { href: link("nodes", row.name) }, row.name)) },
      { key: "calls", title: "Calls", num: true, sort: (row) => row.calls ?? -1, text: (row) => number(row.calls) },
      { key: "errors", title: "Errors", num: true, minor: true, sort: (row) => row.errors ?? -1, text: (row) => number(row.errors) },
      { key: "p50", title: "p50", num: true, sort: (row) => time(row)?.p50_ms ?? -1, text: (row) => rtt(time(row)?.p50_ms) },
      { key: "p99", title: "p99", num: true, sort: (row) => time(row)?.p99_ms ?? -1, text: (row) => rtt(time(row)?.p99_ms) },
    ],
    flash: () => false, bare: true,
  });
  const time = (row) => times.find((one) => one.id === row.id);
  const command = h("div");
  let under = null;

  kind.addEventListener("change", () => {
    file.hidden = kind.value !== "file";
    argument.hidden = kind.value === "file";
    say();
  });
  for (const input of [node, argument, timeout]) input.addEventListener("input", say);

  function say() {
    const where = node.value ? ` --node ${shell(node.value)}` : "";
    fill(command, commandLine(`kith call ${shell(name)}${kind.value === "text" && argument.value ? ` ${shell(argument.value)}` : ""}${where}${timeout.value === "10" ? "" : ` --timeout ${timeout.value}s`}`));
  }

  async function body() {
    if (kind.value === "file") {
      if (!file.files.length) throw new ApiError(0, null, "Choose the file whose bytes are to be the argument.");
      return file.files[0];
    }
    if (kind.value === "text") return argument.value;
    const digits = argument.value.replace(/\s+/g, "");
    if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new ApiError(0, null, "Hex is pairs of the digits 0 to 9 and a to f, such as 6869.");
    return new Uint8Array((digits.match(/../g) ?? []).map((pair) => parseInt(pair, 16)));
  }

  async function call() {
    under?.abort();
    const mine = new AbortController();
    under = mine;
    fill(outcome, card(null, loadingState("the reply"), h("button", { onclick: () => mine.abort() }, "Cancel")));
    const began = performance.now();
    try {
      const ask = new URLSearchParams({ timeout_ms: String(Math.round(Number(timeout.value) * 1000)) });
      if (node.value) ask.set("node", node.value);
      const response = await api(`/v1/call/${encodeURIComponent(name)}?${ask}`, { method: "POST", body: await body(), headers: { "Content-Type": "application/octet-stream" }, signal: mine.signal, raw: true });
      const bytesIn = new Uint8Array(await response.arrayBuffer());
      if (under === mine) fill(outcome, reply(response, bytesIn, performance.now() - began));
    } catch (error) {
      if (under !== mine) return;
      fill(outcome, error.name === "AbortError" ? card(null, h("p.quiet", null, "Cancelled.")) : card(null, errorState(error)));
    }
  }

  say();
  const live = subscribe("functions", {}, ({ doc, rows }) => {
    if (!doc) return;
    const found = rows.find((row) => row.name === name);
    if (!found) {
      fill(about, errorState({ message: `Nobody serves ${name} now.`, hint: "A call waits for nobody: it ends with NO_FUNCTION until a node serves it again." }));
      return;
    }
    fn = found;
    const chosen = node.value;
    fill(node, h("option", { value: "" }, "any (the node chooses)"), fn.nodes.map((at) => h("option", { value: at.name, selected: at.name === chosen }, at.name)));
    fill(about, card(null, facts([["Description", fn.description || "–"], ["Version", fn.version || "–"], ["Signature", fn.signature ? h("code", null, fn.signature) : "–"], ["Kind", (fn.flags ?? []).join(", ") || "–"],
      ["Calls, errors", `${number(sum(fn, "calls"))}, ${number(sum(fn, "errors"))}`]])), served.element);
    served.update(fn.nodes);
  });
  const timed = subscribe("times", {}, ({ doc, rows }) => {
    if (!doc) return;
    times = rows.find((row) => row.name === name)?.nodes ?? [];
    served.redraw();
  });
  return {
    title: name,
    element: [pageHead(name, { crumbs: [["Functions", "#/functions"]] }), about,
      card("Call", h("div.form", null, field("Argument", argument), file, h("div.row", null, field("Written", kind), field("On", node), field("At most, seconds", timeout), h("span.grow"), roleButton("operator", "Call", call, "primary"))), h("p.hint.quiet", null, "The same as a command"), command),
      outcome],
    close: () => {
      under?.abort();
      live.close();
      timed.close();
    },
  };
}

function reply(response, data, elapsed) {
  const outcome = response.headers.get("X-Kith-Outcome") ?? `HTTP ${response.status}`;
  const fine = outcome === "OK";
  const text = new TextDecoder("utf-8", { fatal: false }).decode(data);
  const readable = !/[\u0000-\u0008\u000e-\u001f\ufffd]/.test(text);
  let shown = readable ? text : hex(data);
  let pretty = false;
  if (readable && /^\s*[[{]/.test(text)) {
    try {
      shown = JSON.stringify(JSON.parse(text), null, 2);
      pretty = true;
    } catch {
      /* text that only looks like JSON */
    }
  }
  let error = null;
  if (!fine && (response.headers.get("Content-Type") ?? "").includes("json")) {
    try {
      error = JSON.parse(text);
    } catch {
      /* shown as it is */
    }
  }
  return card(null,
    h("div.outcome", { role: "status" }, h(`span.badge.${fine ? "ok" : "error"}`, null, h("span.shape", { ariaHidden: "true" }, fine ? "●" : "■"), outcome),
      response.headers.get("X-Kith-Node-Name") && h("span.quiet", null, `on ${response.headers.get("X-Kith-Node-Name")}`),
      h("span.quiet", null, `${rtt(Number(response.headers.get("X-Kith-Elapsed-Ms") ?? elapsed))} in the cluster, ${rtt(elapsed)} to this page`),
      h("span.quiet", null, `${bytes(data.length)}${readable ? pretty ? ", JSON" : "" : ", binary"}`)),
    error ? h("p", null, error.message, error.hint && h("span.quiet", null, ` ${error.hint}`)) : data.length ? h("pre.reply", { tabIndex: 0 }, shown.slice(0, 65536)) : h("p.quiet", null, "The reply is empty."));
}

function hex(data) {
  const lines = [];
  for (let at = 0; at < Math.min(data.length, 4096); at += 16) {
    const row = [...data.subarray(at, at + 16)];
    lines.push(`${at.toString(16).padStart(6, "0")}  ${row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ").padEnd(47)}  ${row.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : ".")).join("")}`);
  }
  if (data.length > 4096) lines.push(`… ${data.length - 4096} more bytes`);
  return lines.join("\n");
}
