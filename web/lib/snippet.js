// The same call as a command and as a C program, to be copied. Knows nothing of pages.
import { shell } from "./format.js";
import { typeName } from "./signature.js";

const ARGUMENT_MAX = 2000; // a longer one is not for a command line

/** How long @seconds are, for kith --timeout: 10s, 500ms. */
export const duration = (seconds) => (Number.isInteger(seconds) ? `${seconds}s` : `${Math.max(1, Math.round(seconds * 1000))}ms`);

/** @bytes as a text, or null if they are none that a shell can pass on. */
function printable(bytes) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return /[\u0000-\u0008\u000b-\u001f\u007f]/.test(text) ? null : text;
  } catch {
    return null;
  }
}

/**
 * kith call of @name with @bytes (or @file, the name of a file that holds them) on @node ("": any) within @seconds.
 * {text, whole}: whole is false where the argument is in a file that has to be saved first.
 */
export function asCommand({ name, bytes, file, node, seconds }) {
  const tail = `${node ? ` --node ${shell(node)}` : ""}${seconds === 10 ? "" : ` --timeout ${duration(seconds)}`}`;
  const call = `kith call ${shell(name)}`;
  if (file) return { text: `${call} ${shell(`@${file}`)}${tail}`, whole: true };
  if (bytes.length === 0) return { text: call + tail, whole: true };
  if (bytes.length > ARGUMENT_MAX) return { text: `${call} @argument.bin${tail}`, whole: false };
  const text = printable(bytes);
  if (text !== null && !/^[@-]/.test(text)) return { text: `${call} ${shell(text)}${tail}`, whole: true };
  if (text !== null) return { text: `printf %s ${shell(text)} | ${call} -${tail}`, whole: true };
  // octal, which every printf knows
  const octal = [...bytes].map((byte) => (byte > 32 && byte < 127 && !"\\'%".includes(String.fromCharCode(byte)) ? String.fromCharCode(byte) : `\\${byte.toString(8).padStart(3, "0")}`)).join("");
  return { text: `printf '${octal}' | ${call} -${tail}`, whole: true };
}

/* ---- C ---- */

/** @bytes as a C string literal; lines of at most 76 characters or so. */
export function literal(bytes) {
  const parts = [];
  let line = "";
  for (const byte of bytes) {
    const c = String.fromCharCode(byte);
    line += c === "\\" || c === '"' || c === "?" ? `\\${c}` : c === "\n" ? "\\n" : byte >= 32 && byte < 127 ? c : `\\${byte.toString(8).padStart(3, "0")}`;
    if (line.length >= 76) {
      parts.push(line);
      line = "";
    }
  }
  if (line || !parts.length) parts.push(line);
  return parts.map((part) => `"${part}"`).join("\n        ");
}
const text = (value) => literal(new TextEncoder().encode(value));

function number(base, value) {
  if (base === "f32" || base === "f64") {
    if (Number.isNaN(value)) return "NAN";
    if (!Number.isFinite(value)) return value < 0 ? "-INFINITY" : "INFINITY";
    const digits = Object.is(value, -0) ? "-0" : String(value);
    return /[.e]/.test(digits) ? digits : `${digits}.0`;
  }
  if (base === "bool") return value ? "1" : "0";
  if (base === "i32") return value === -(2 ** 31) ? "INT32_MIN" : String(value);
  if (base === "u32") return `${value}u`;
  if (base === "i64") return value === -(2n ** 63n) ? "INT64_MIN" : `INT64_C(${value})`;
  return `UINT64_C(${value})`;
}

const ELEMENT = { i32: "int32_t", u32: "uint32_t", i64: "int64_t", u64: "uint64_t", f32: "float", f64: "double", bool: "uint8_t", text: "char *const", bytes: "struct kith_bytes" };
const ONE = { ...ELEMENT, f32: "double", bool: "int", text: "char *" };
const PRINT = { i32: '"%" PRId32', u32: '"%" PRIu32', i64: '"%" PRId64', u64: '"%" PRIu64', f32: '"%.9g', f64: '"%.17g', bool: '"%d', text: '"%s' };

/** [declarations, arguments of kith_pack()] of one parameter. */
function argument(param, value, name) {
  const { base, array } = param;
  if (!array) {
    if (base === "text") return ["", [text(value)]];
    if (base === "bytes") return ["", [literal(value), `(size_t)${value.length}`]];
    return ["", [number(base, value)]];
  }
  if (!value.length) return ["", ["NULL", "(size_t)0"]];
  const one = base === "text" ? text : base === "bytes" ? (bytes) => `{${literal(bytes)}, ${bytes.length}}` : (each) => number(base, each);
  return [`    static const ${ELEMENT[base]} ${name}[] = {${wrapped(value.map(one))}};\n`, [name, `(size_t)${value.length}`]];
}

function wrapped(items) {
  let line = "";
  const lines = [];
  for (const item of items) {
    if (line && line.length + item.length > 84) {
      lines.push(line);
      line = "";
    }
    line += line ? `, ${item}` : item;
  }
  return [...lines, line].join(",\n        ");
}

// What unpacks and prints the result: [declarations, condition, statements]; nothing for what kith_unpack() does not do.
function printing(result) {
  if (!result || (result.array && (result.base === "text" || result.base === "bytes")))
    return ["", "", "    fwrite(reply->result.data, 1, reply->result.len, stdout);\n"];
  const { base, array } = result;
  const counted = array || base === "bytes";
  const format = base === "bytes" ? "" : PRINT[base].endsWith("64") || PRINT[base].endsWith("32") ? `${PRINT[base]} "\\n"` : `${PRINT[base]}\\n"`;
  const unpack = ` ||\n        kith_unpack_result(reply->result.data, reply->result.len, options.signature, &result${counted ? ", &n" : ""}) != 0`;
  if (base === "bytes") return ["    const void *result;\n    size_t n;\n", unpack, "    fwrite(result, 1, n, stdout);\n"];
  if (array) return [`    const ${ELEMENT[base]} *result;\n    size_t n;\n`, unpack, `    for (size_t i = 0; i < n; i++)\n        printf(${format}, ${base === "f32" ? "(double)" : ""}result[i]);\n`];
  return [`    ${base === "text" ? "const char *" : `${ONE[base]} `}result;\n`, unpack, `    printf(${format}, result);\n`];
}

// A name that is not taken and no word of the language.
const local = (param, i) => `arg_${(param.name || String(i + 1)).replace(/\W/g, "_")}_${i + 1}`;

/**
 * A C program that makes the call: with @signature (parsed: @types, from signature.js) and @values typed, else with
 * the raw @bytes. @nodes: how many there are; a program that has just started knows nobody by @node's name.
 */
export function asC({ name, signature, types, values, bytes, node, nodes = 1, seconds }) {
  const typed = Boolean(types);
  const parts = typed ? types.params.map((param, i) => argument(param, values[i], local(param, i))) : [];
  const [declared, check, print] = typed ? printing(types.result) : printing(null);
  const set = [node && `.node = ${text(node)}`, `.timeout_ms = ${Math.max(1, Math.round(seconds * 1000))}`, !node && ".wait_for_function = true", typed && `.signature =\n        ${text(signature)}`].filter(Boolean).join(", ");
  const packed = typed
    ? `kith_pack(&arg, &len, options.signature${parts.flatMap(([, args]) => args).map((arg) => `, ${arg}`).join("")}) != 0 ||\n        kith_call(node, ${text(name)}, arg, len, &options, &reply) != 0`
    : `kith_call(node, ${text(name)}, arg, sizeof(arg) - 1, &options, &reply) != 0`;
  const source = `struct kith_call_options options = {${set}};
    struct kith_config *config = kith_config_new();
    struct kith_node *node = NULL;
    struct kith_reply *reply = NULL;
${typed ? `${parts.map(([lines]) => lines).join("")}    void *arg = NULL;\n    size_t len = 0;\n${declared}` : `    static const char arg[] =\n        ${literal(bytes)};\n`}
    if (kith_config_from_agent(config, NULL) != 0 || kith_node_start(config, &node) != 0 ||
        ${node ? `kith_node_wait_for(node, ${nodes}, 5000) != 0 || /* until it knows them all */\n        ` : ""}${packed}${check})
        return fprintf(stderr, "%s\\n", kith_errmsg()), 1;
${print}${typed ? "    kith_free(arg);\n" : ""}    kith_reply_free(reply);
    kith_node_stop(node);
    kith_config_free(config);
`;
  const includes = [/INT32|INT64|int32_t|int64_t|PRI/.test(source) && "inttypes.h", "kith.h", /NAN|INFINITY/.test(source) && "math.h", "stdio.h"].filter(Boolean);
  return `/* ${name.replaceAll("*/", "* /")}${typed ? `: ${types.params.map(typeName).join(", ") || "nothing"} -> ${types.result ? typeName(types.result) : "bytes"}` : ""}
   cc call.c $(pkg-config --cflags --libs kith) -o call && ./call */
${includes.map((one) => `#include <${one}>\n`).join("")}
int main(void)
{
    ${source}}
`;
}
