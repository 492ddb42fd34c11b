// One function: who serves it, and calling it with typed fields or raw bytes.
import { rawArgument, typedArgument } from "../lib/argument.js";
import { fill, h, text } from "../lib/dom.js";
import { bytes as size, clock, rtt } from "../lib/format.js";
import { query, setQuery } from "../lib/route.js";
import { api, session } from "../lib/session.js";
import { pack, parse, typeName, unpack } from "../lib/signature.js";
import { asC, asCommand } from "../lib/snippet.js";
import { subscribe } from "../lib/stream.js";
import { card, codeBlock, commandLine, errorState, facts, failed, field, loadingState, pageHead, roleButton } from "../lib/ui.js";
import { perSecond, servers } from "./functions.js";

const PROGRAM_MAX = 16384; // a longer argument is not for the text of a program
const SHOWN_MAX = 65536;

const alive = () => 1 + [...session.members.values()].filter((one) => one.role === "node" && one.status === "alive").length;

/** The form of the call: {element, ask()}; ask() gives what is to be sent, or null after showing what is wrong. */
function callForm(name, signature) {
  let types = null;
  let odd = "";
  try {
    types = parse(signature);
  } catch (error) {
    odd = error.message;
  }
  let typed = types !== null && query().get("raw") !== "1";
  let form = null;
  const fields = h("div.form");
  const choices = h("div.choices", { role: "group", ariaLabel: "How the argument is given" });
  const code = h("div.form");
  const languages = h("div.choices", { role: "group", ariaLabel: "Language" });
  const node = h("select", { name: "node" });
  const timeout = h("input", { type: "number", value: query().get("timeout") ?? "10", min: "0.1", max: "600", step: "any" });
  const kindField = h("div");
  let language = query().get("as") === "c" ? "c" : "command";

  function make() {
    const { value, kind } = { value: query().get("arg") ?? "", kind: query().get("kind") ?? "text" };
    form = typed
      ? typedArgument({ params: types.params, states: types.params.map((_, i) => ({ value: query().get(`a${i + 1}`) ?? "", kind: query().get(`k${i + 1}`) ?? "" })), changed })
      : rawArgument({ value, kind, changed });
    fill(fields, form.element);
    kindField.hidden = typed;
    if (!typed) fill(kindField, field("Written", form.kind));
    fill(choices, [[true, "Typed"], [false, "Raw bytes"]].map(([one, words]) => h("button", { type: "button", ariaPressed: String(one === typed), onclick: () => {
      typed = one;
      setQuery({ raw: typed ? "" : "1" });
      make();
    } }, words)));
    choices.hidden = types === null;
    say();
  }

  function changed() {
    const keys = {};
    if (typed)
      form.state().forEach(({ value, kind }, i) => {
        keys[`a${i + 1}`] = value.length > 500 ? "" : value;
        keys[`k${i + 1}`] = kind === "text" ? "" : kind;
      });
    else {
      const { value, kind } = form.state();
      Object.assign(keys, { arg: value.length > 2000 ? "" : value, kind: kind === "text" ? "" : kind });
    }
    setQuery({ ...keys, node: node.value, timeout: timeout.value === "10" ? "" : timeout.value });
    say();
  }

  /** {bytes, values, file, node, seconds}; throws a sentence. */
  function current() {
    const seconds = Number(timeout.value);
    if (!(seconds > 0 && seconds <= 600)) throw new Error("It may take 0.1 to 600 seconds.");
    const { bytes, values, file } = typed ? { values: form.read(), bytes: null, file: "" } : { values: null, ...form.read() };
    return { name, signature, types: typed ? types : null, values, bytes: bytes ?? pack(types.params, values), file, node: node.value, nodes: alive(), seconds };
  }

  function say() {
    fill(languages, [["command", "Command"], ["c", "C"]].map(([one, words]) => h("button", { ariaPressed: String(one === language), onclick: () => {
      language = one;
      setQuery({ as: one === "c" ? "c" : "" });
      say();
    } }, words)));
    let now;
    try {
      now = current();
    } catch (error) {
      fill(code, h("p.quiet", null, `Not yet: ${error.message}`));
      return;
    }
    if (language === "command") {
      const { text, whole } = asCommand(now);
      fill(code, commandLine(text), !whole && h("p.quiet", null, "The argument is too long for a line. ", h("button.plain", { onclick: () => save(now.bytes) }, "Save it as argument.bin")));
    } else if (now.bytes.length > PROGRAM_MAX) {
      fill(code, h("p.quiet", null, `${size(now.bytes.length)} are too many for the text of a program: let it read them from a file, and call ${name} with them.`));
    } else {
      fill(code, codeBlock(asC(now), "C program that makes this call"));
    }
  }

  for (const input of [node, timeout]) input.addEventListener("input", changed);
  make();
  return {
    element: [!odd ? choices : h("p.quiet", null, `Its signature cannot be read (${odd}), so bytes are sent as they are.`), fields],
    row: [kindField, field("On", node), field("At most, seconds", timeout)],
    copy: [h("div.card-head", null, h("h2", null, "The same call as"), languages), code],
    nodes(names) {
      const chosen = node.value || query().get("node");
      if ([...node.options].map((option) => option.value).join() !== ["", ...names].join()) {
        fill(node, h("option", { value: "" }, "any (the node chooses)"), names.map((one) => h("option", { value: one, selected: one === chosen }, one)));
        say();
      }
    },
    async ask() {
      await form.ready();
      if (typed && !form.check()) return null;
      return current();
    },
    signature,
  };
}

function save(bytes) {
  const anchor = h("a", { href: URL.createObjectURL(new Blob([bytes])), download: "argument.bin" });
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 1000);
}

export function functionPage(name) {
  const about = h("div", null, loadingState(name));
  const outcome = h("div");
  const call = h("section.card");
  const copy = h("section.card");
  about.style.display = outcome.style.display = "contents";
  const rates = h("span", null, "–");
  const trouble = h("section", { class: "card", hidden: true });
  const table = servers();
  let form = null;
  let under = null;

  async function run() {
    under?.abort();
    const mine = new AbortController();
    under = mine;
    let asked = null;
    try {
      asked = await form.ask();
    } catch (error) {
      fill(outcome, card(null, errorState(error)));
    }
    if (!asked) return;
    fill(outcome, card(null, loadingState("the reply"), h("button", { onclick: () => mine.abort() }, "Cancel")));
    const began = performance.now();
    try {
      const keys = new URLSearchParams({ timeout_ms: String(Math.round(asked.seconds * 1000)) });
      if (asked.node) keys.set("node", asked.node);
      if (asked.types) keys.set("signature", asked.signature);
      const response = await api(`/v1/call/${encodeURIComponent(name)}?${keys}`, { method: "POST", body: asked.bytes, headers: { "Content-Type": "application/octet-stream" }, signal: mine.signal, raw: true });
      const data = new Uint8Array(await response.arrayBuffer());
      if (under === mine) fill(outcome, reply(response, data, performance.now() - began, asked.types?.result));
    } catch (error) {
      if (under !== mine) return;
      fill(outcome, error.name === "AbortError" ? card(null, h("p.quiet", null, "Cancelled.")) : card(null, errorState(error)));
    }
  }

  function makeForm(signature) {
    form = callForm(name, signature);
    fill(call, h("div.card-head", null, h("h2", null, "Call")), h("form.form", { onsubmit: (event) => {
      event.preventDefault();
      run().catch(failed);
    } }, form.element, h("div.row", null, form.row, h("span.grow"), roleButton("operator", "Call", null, "primary"))));
    fill(copy, form.copy);
  }

  // the newest of all nodes, with its sentence as a whole
  function drawTrouble(last) {
    trouble.hidden = !last;
    if (last)
      fill(trouble, h("h2", null, "Last error"), h("div.outcome", null, h("span.badge.error", null, h("span.shape", { ariaHidden: "true" }, "■"), `code ${last.code}`), h("span.quiet", null, `${clock(last.time)} on ${last.node_name}`)), h("p", null, last.text || "It said nothing."));
  }

  const live = subscribe("functions", {}, ({ doc, rows }) => {
    if (!doc) return;
    const fn = rows.find((row) => row.name === name);
    if (!fn) {
      fill(about, errorState({ message: `Nobody serves ${name} now.`, hint: "A call waits for nobody: it ends with NO_FUNCTION until a node serves it again." }));
      if (!form) makeForm("");
      return;
    }
    if (!form || form.signature !== (fn.signature ?? "")) makeForm(fn.signature ?? "");
    form.nodes(fn.nodes.map((one) => one.name));
    fill(about, card(null, facts([["Description", fn.description || "–"], ["Version", fn.version || "–"], ["Signature", fn.signature ? h("code", null, fn.signature) : "bytes → bytes"], ["Kind", (fn.flags ?? []).join(", ") || "–"],
      ["Rate", rates]])), table.element);
    table.update(fn.nodes);
  });
  const timed = subscribe("times", {}, ({ doc, rows }) => {
    if (!doc) return;
    const mine = rows.find((row) => row.name === name);
    table.times(mine?.nodes ?? []);
    text(rates, mine ? `${perSecond(mine.calls_per_s)} calls/s, ${perSecond(mine.errors_per_s)} errors/s in the last minute` : "not called in the last minute");
    drawTrouble(mine?.last_error);
  });
  return {
    title: name,
    element: [pageHead(name, { crumbs: [["Functions", "#/functions"]] }), about, trouble, call, outcome, copy],
    close: () => {
      under?.abort();
      live.close();
      timed.close();
    },
  };
}

/* ---- the reply ---- */

function reply(response, data, elapsed, type) {
  const outcome = response.headers.get("X-Kith-Outcome") ?? `HTTP ${response.status}`;
  const fine = outcome === "OK";
  const at = response.headers.get("X-Kith-Node-Name");
  let kind = "";
  let shown = null;
  let error = null;
  if (!fine && (response.headers.get("Content-Type") ?? "").includes("json")) error = JSON.parse(new TextDecoder().decode(data));
  if (fine && type) {
    try {
      shown = valueText(unpack([type], data)[0]);
      kind = `, ${typeName(type)}`;
    } catch (problem) {
      kind = `, not the ${typeName(type)} of its signature`;
    }
  }
  if (shown === null) {
    const plain = readable(data);
    shown = plain?.text ?? hex(data);
    kind += plain ? plain.json ? ", JSON" : "" : ", binary";
  }
  return card(null,
    h("div.outcome", { role: "status" }, h(`span.badge.${fine ? "ok" : "error"}`, null, h("span.shape", { ariaHidden: "true" }, fine ? "●" : "■"), outcome),
      at && h("span.quiet", null, `on ${at}`),
      h("span.quiet", null, `${rtt(Number(response.headers.get("X-Kith-Elapsed-Ms") ?? elapsed))} in the cluster, ${rtt(elapsed)} to this page`),
      h("span.quiet", null, `${size(data.length)}${kind}`)),
    error ? h("p", null, error.message, error.hint && h("span.quiet", null, ` ${error.hint}`)) : data.length ? h("pre.reply", { tabIndex: 0 }, shown.slice(0, SHOWN_MAX)) : h("p.quiet", null, "The reply is empty."));
}

/** A value of a signature's type as people read it; arrays one element a line. */
function valueText(value) {
  if (Array.isArray(value)) return value.length ? value.map(valueText).join("\n") : "(no elements)";
  if (value instanceof Uint8Array) return readable(value)?.text ?? hex(value);
  return Object.is(value, -0) ? "-0" : String(value);
}

function readable(data) {
  const text = new TextDecoder("utf-8", { fatal: false }).decode(data);
  if (/[\u0000-\u0008\u000e-\u001f\ufffd]/.test(text)) return null;
  if (/^\s*[[{]/.test(text)) {
    try {
      return { text: JSON.stringify(JSON.parse(text), null, 2), json: true };
    } catch {
      /* text that only looks like JSON */
    }
  }
  return { text, json: false };
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
