// What a call's argument is written in: a field for each parameter of the signature, or one for raw bytes.
import { h, text } from "./dom.js";
import { bytes as size } from "./format.js";
import { expects, fromHex, read, typeName } from "./signature.js";

const FILE_BYTES_MAX = 16 * 1024 * 1024; // RPC_BODY_BYTES_MAX: no call takes more

/**
 * Bytes as text, as hex or from a file: {element, kind, value() -> Uint8Array, file() -> its name or "",
 * state() -> {value, kind}, ready() -> when a file has been read}. value() throws a sentence. @changed runs after each change.
 */
function bytesControl({ name, label, value, kind: chosen, changed }) {
  const area = h("textarea", { name, ariaLabel: label, spellcheck: false, placeholder: "Bytes as they are; empty is fine.", value });
  const kind = h("select", { ariaLabel: label === "Argument" ? "How the argument is written" : `How ${label} is written` },
    [["text", "as text"], ["hex", "as hex"], ["file", "from a file"]].map(([one, words]) => h("option", { value: one, selected: one === chosen }, words)));
  const file = h("input", { type: "file", hidden: true, ariaLabel: `File with ${label === "Argument" ? "the argument" : label}` });
  let data = null;
  let reading = Promise.resolve();
  area.addEventListener("input", changed);
  kind.addEventListener("change", () => {
    turn();
    changed();
  });
  file.addEventListener("change", () => {
    const [one] = file.files;
    data = null;
    reading = one && one.size <= FILE_BYTES_MAX ? one.arrayBuffer().then((buffer) => { data = new Uint8Array(buffer); }) : Promise.resolve();
    reading.then(changed, changed);
  });
  function turn() {
    file.hidden = kind.value !== "file";
    area.hidden = kind.value === "file";
    area.placeholder = kind.value === "hex" ? "68 65 6c 6c 6f" : "Bytes as they are; empty is fine.";
  }
  turn();
  return {
    element: [area, file], kind,
    value() {
      if (kind.value === "text") return new TextEncoder().encode(area.value);
      if (kind.value === "hex") return fromHex(area.value);
      const [one] = file.files;
      if (!one) throw new Error("Choose the file whose bytes are to be the argument.");
      if (one.size > FILE_BYTES_MAX) throw new Error(`${one.name} has ${size(one.size)}; an argument has at most ${size(FILE_BYTES_MAX)}.`);
      if (!data) throw new Error(`${one.name} is being read, or cannot be.`);
      return data;
    },
    ready: () => reading.catch(() => {}),
    file: () => (kind.value === "file" ? file.files[0]?.name ?? "" : ""),
    state: () => ({ value: kind.value === "file" ? "" : area.value, kind: kind.value }),
    focus: () => (kind.value === "file" ? file : area).focus(),
  };
}

/** One field for the whole argument as bytes. */
export function rawArgument({ value, kind, changed }) {
  const one = bytesControl({ name: "argument", label: "Argument", value, kind, changed });
  return {
    element: h("div.field", null, h("span", null, "Argument"), one.element),
    kind: one.kind,
    read: () => ({ bytes: one.value(), file: one.file() }),
    state: one.state,
    ready: one.ready,
  };
}

/** A control for a value of @param's type: {element, value(), state(), focus()}. */
function valueControl(param, label, state, changed) {
  const { base, array } = param;
  if (base === "bytes" && !array) return bytesControl({ name: label, label, value: state.value, kind: state.kind || "text", changed });
  if (base === "bool" && !array) {
    const choice = h("select", { name: label, ariaLabel: label, onchange: changed }, ["false", "true"].map((one) => h("option", { value: one, selected: one === state.value }, one)));
    return { element: choice, value: () => choice.value === "true", state: () => ({ value: choice.value === "true" ? "true" : "" }), focus: () => choice.focus(), control: choice };
  }
  const long = array || base === "text";
  const control = h(long ? "textarea" : "input", { name: label, ariaLabel: label, value: state.value, spellcheck: false, autocomplete: "off", class: long ? "short" : "", ...(long ? { rows: 2 } : { type: "text", inputMode: base === "f32" || base === "f64" ? "decimal" : "numeric" }), oninput: changed });
  return { element: control, value: () => read(param, control.value), state: () => ({ value: control.value }), focus: () => control.focus(), control };
}

/**
 * A field for each of @params, with what is wrong in it below it. @states: [{value, kind}] to begin with.
 * {element, read(), check(), state(), ready()}.
 */
export function typedArgument({ params, states, changed }) {
  const fields = params.map((param, i) => {
    const label = param.name || `Parameter ${i + 1}`;
    const id = `field-${i}`;
    const wrong = h("p.wrong", { id, hidden: true });
    const hint = expects(param);
    const one = valueControl(param, label, states[i] ?? { value: "", kind: "" }, () => {
      show(field, one.control?.value !== "");
      changed();
    });
    const field = { one, wrong,
      element: h("div.field", null, h("span", null, label, h("code.type", null, typeName(param)), one.kind), one.element, hint && h("small", null, hint), wrong) };
    one.control?.setAttribute("aria-describedby", id);
    one.control?.addEventListener("blur", () => show(field, one.control.value !== ""));
    return field;
  });

  // An empty field is not wrong before somebody has tried to call with it.
  function show(field, strict) {
    let problem = "";
    try {
      field.one.value();
    } catch (error) {
      if (strict) problem = error.message;
    }
    field.wrong.hidden = !problem;
    text(field.wrong, problem);
    if (field.one.control) field.one.control.setAttribute("aria-invalid", String(Boolean(problem)));
    return problem;
  }

  return {
    element: fields.length ? h("div.params", null, fields.map((field) => field.element)) : h("p.quiet", null, "It takes no parameters."),
    /** The values, in order; throws the first that is wrong. */
    read: () => fields.map((field) => field.one.value()),
    /** Shows every problem and goes to the first; true if there is none. */
    check() {
      const bad = fields.filter((field) => show(field, true));
      bad[0]?.one.focus();
      return bad.length === 0;
    },
    state: () => fields.map((field) => field.one.state()),
    ready: () => Promise.all(fields.map((field) => field.one.ready?.())),
  };
}
