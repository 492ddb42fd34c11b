// Typed arguments as include/kith/rpc.h has them: "f(i32 index, f64[] m) -> bytes" is parsed, what a person writes is
// read, and values are packed as kith_pack() packs them (docs/protocols/rpc.md). Knows nothing of pages.

const SIZES = { i32: 4, i64: 8, u32: 4, u64: 8, f32: 4, f64: 8, bool: 1, text: 0, bytes: 0 };
const RANGES = { i32: [-(2n ** 31n), 2n ** 31n - 1n], u32: [0n, 2n ** 32n - 1n], i64: [-(2n ** 63n), 2n ** 63n - 1n], u64: [0n, 2n ** 64n - 1n] };
const PARAMS_MAX = 32;

/** Words for people: what is expected where a value of @type is written. */
export function expects({ base, array }) {
  const one = RANGES[base] ? `whole numbers, ${RANGES[base][0]} to ${RANGES[base][1]}` : { f32: "numbers", f64: "numbers", bool: "true or false", text: "lines of text", bytes: "lines of hex" }[base];
  if (array) return base === "text" || base === "bytes" ? `One element a line${base === "bytes" ? ", in hex" : ""}.` : `Any number of ${one}${base === "bool" ? "" : ";"} spaces, commas or line breaks between.`;
  if (RANGES[base]) return `A whole number, ${RANGES[base][0]} to ${RANGES[base][1]}.`;
  return { f32: "A number of single precision, such as 2.5 or 1e-3, inf or nan.", f64: "A number, such as 2.5 or 1e-3, inf or nan.", bool: "", text: "", bytes: "Pairs of the digits 0 to 9 and a to f, such as 68 69." }[base];
}

export const typeName = ({ base, array }) => base + (array ? "[]" : "");

/** {params: [{base, array, name}], result: {base, array} or null}; null if @signature is empty. Throws if it is none. */
export function parse(signature) {
  if (!signature) return null;
  let at = 0;
  const fail = (expected) => { throw new Error(`signature '${signature}': ${expected} expected at column ${at + 1}`); };
  const spaces = () => { while (signature[at] === " " || signature[at] === "\t") at++; };
  const take = (token) => {
    spaces();
    if (!signature.startsWith(token, at)) return false;
    at += token.length;
    return true;
  };
  const word = () => {
    spaces();
    const [found] = signature.slice(at).match(/^(?:[A-Za-z0-9_.:]|-(?!>))*/);
    at += found.length;
    return found;
  };
  const type = () => {
    spaces();
    const from = at;
    const base = word();
    if (!Object.hasOwn(SIZES, base)) {
      at = from;
      fail("a type");
    }
    const array = take("[");
    if (array && !take("]")) fail("']'");
    return { base, array };
  };
  word();
  if (!take("(")) fail("'('");
  const params = [];
  if (!take(")"))
    for (;;) {
      if (params.length === PARAMS_MAX) fail("at most 32 parameters");
      params.push({ ...type(), name: word() });
      if (take(")")) break;
      if (!take(",")) fail("',' or ')'");
    }
  const result = take("->") ? type() : null;
  spaces();
  if (at !== signature.length) fail("the end");
  return { params, result };
}

/* ---- what a person writes ---- */

function whole(base, text) {
  if (!/^[+-]?(\d+|0x[0-9a-f]+)$/i.test(text)) throw new Error(`${quoted(text)} is no whole number.`);
  const digits = text.replace(/^[+-]/, "");
  const value = text.startsWith("-") ? -BigInt(digits) : BigInt(digits);
  const [low, high] = RANGES[base];
  if (value < low || value > high) throw new Error(`${quoted(text)} does not fit an ${base}: ${low} to ${high}.`.replace("an u", "a u"));
  return SIZES[base] === 8 ? value : Number(value);
}

function real(base, text) {
  const special = { inf: Infinity, "+inf": Infinity, "-inf": -Infinity, infinity: Infinity, "-infinity": -Infinity, nan: NaN }[text.toLowerCase()];
  if (special !== undefined) return special;
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) throw new Error(`${quoted(text)} is no number.`);
  const value = base === "f32" ? Math.fround(Number(text)) : Number(text);
  if (!Number.isFinite(value)) throw new Error(`${quoted(text)} is too large for an ${base}; write inf if that is meant.`);
  return value;
}

function bool(text) {
  const value = { true: true, yes: true, 1: true, false: false, no: false, 0: false }[text.toLowerCase()];
  if (value === undefined) throw new Error(`${quoted(text)} is neither true nor false.`);
  return value;
}

/** The bytes of pairs of hex digits, with or without spaces. */
export function fromHex(text) {
  const digits = text.replace(/\s+/g, "");
  if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new Error("Hex is pairs of the digits 0 to 9 and a to f, such as 6869.");
  return new Uint8Array((digits.match(/../g) ?? []).map((pair) => parseInt(pair, 16)));
}

const quoted = (text) => `"${text.length > 40 ? `${text.slice(0, 40)}…` : text}"`;

function scalar(base, text) {
  if (base === "text") {
    if (text.includes("\0")) throw new Error("A text holds no byte 0.");
    return text;
  }
  if (base === "bytes") return fromHex(text);
  const trimmed = text.trim();
  if (trimmed === "") throw new Error("A value is missing.");
  return base === "bool" ? bool(trimmed) : RANGES[base] ? whole(base, trimmed) : real(base, trimmed);
}

/** The value of @type that @text says: a number, a BigInt (64 bits), boolean, text, Uint8Array, or an array of them. Throws a sentence. */
export function read({ base, array }, text) {
  if (!array) return scalar(base, text);
  if (base === "text" || base === "bytes") {
    const lines = text === "" ? [] : text.split("\n");
    return lines.map((line, i) => element(base, line, i, lines.length));
  }
  const words = text.replace(/^\s*\[|\]\s*$/g, "").split(/[\s,;]+/).filter(Boolean);
  return words.map((one, i) => element(base, one, i, words.length));
}

function element(base, text, i, n) {
  try {
    return scalar(base, text);
  } catch (error) {
    throw n > 1 ? new Error(`Element ${i + 1}: ${error.message}`) : error;
  }
}

/* ---- bytes ---- */

class Writer {
  constructor() {
    this.data = new Uint8Array(256);
    this.len = 0;
  }
  room(n) {
    if (this.len + n > this.data.length) {
      const larger = new Uint8Array(Math.max(this.data.length * 2, this.len + n));
      larger.set(this.data.subarray(0, this.len));
      this.data = larger;
    }
    const at = this.len;
    this.len += n;
    return at;
  }
  align(size) {
    this.room((size - this.len % size) % size);
  }
  bytes(bytes) {
    const at = this.room(bytes.length);
    this.data.set(bytes, at);
  }
  number(base, value) {
    const size = SIZES[base];
    this.align(size);
    const at = this.room(size);
    const view = new DataView(this.data.buffer);
    if (base === "bool") view.setUint8(at, value ? 1 : 0);
    else view[SETTERS[base]](at, value, true);
  }
  value(base, value) {
    if (base !== "text" && base !== "bytes") {
      this.number(base, value);
      return;
    }
    const bytes = base === "text" ? new TextEncoder().encode(value) : value;
    this.number("u32", bytes.length);
    this.bytes(bytes);
    if (base === "text") this.room(1);
  }
}
const SETTERS = { i32: "setInt32", u32: "setUint32", i64: "setBigInt64", u64: "setBigUint64", f32: "setFloat32", f64: "setFloat64" };

/** @values of @types one behind the other, as kith_pack() does it. */
export function pack(types, values) {
  const out = new Writer();
  types.forEach(({ base, array }, i) => {
    if (!array) {
      out.value(base, values[i]);
      return;
    }
    out.number("u32", values[i].length);
    if (SIZES[base]) out.align(SIZES[base]); // also where there are none
    for (const one of values[i]) out.value(base, one);
  });
  return out.data.slice(0, out.len);
}

/** The values of @types that @bytes hold; throws if they do not hold exactly these. */
export function unpack(types, bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const wrong = () => new Error(`${bytes.length} bytes do not hold ${types.map(typeName).join(", ")}.`);
  let at = 0;
  const take = (size, n = 1) => {
    while (at % size) if (at >= bytes.length || bytes[at++] !== 0) throw wrong();
    if (n > (bytes.length - at) / size) throw wrong();
    const from = at;
    at += size * n;
    return from;
  };
  const one = (base) => {
    if (base === "text" || base === "bytes") {
      const len = view.getUint32(take(4), true);
      const from = take(1, len + (base === "text"));
      const run = bytes.slice(from, from + len);
      if (base === "bytes") return run;
      if (bytes[from + len] !== 0 || run.includes(0)) throw wrong();
      return new TextDecoder("utf-8", { fatal: true }).decode(run);
    }
    const from = take(SIZES[base]);
    if (base !== "bool") return view[SETTERS[base].replace("set", "get")](from, true);
    if (bytes[from] > 1) throw wrong();
    return bytes[from] === 1;
  };
  const values = types.map(({ base, array }) => {
    if (!array) return one(base);
    const n = view.getUint32(take(4), true);
    take(SIZES[base] || 1, 0);
    if (n > bytes.length) throw wrong();
    return Array.from({ length: n }, () => one(base));
  });
  if (at !== bytes.length) throw wrong();
  return values;
}
