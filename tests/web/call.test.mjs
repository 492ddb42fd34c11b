// Calling with typed fields: what is packed is what C packs, and what is copied is the same call.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { axe, barriers, cluster, go, launch, logIn } from "./browser.mjs";
import { modules, scaling, serve } from "./serve.mjs";

// not the one that waits: the functions run in this process
const run = promisify(execFile);
const build = resolve(process.env.KITH_BUILD ?? "build");
const root = resolve(import.meta.dirname, "../..");
const [{ fromHex, pack, parse, read, unpack }, { asC, asCommand }] = await modules("lib/signature.js", "lib/snippet.js");

const ALL = "all(i32 a, i64 b, u32 c, u64 d, f32 e, f64 f, bool g, text h, bytes i, i32[] j, i64[] k, u64[] l, f32[] m, f64[] n, bool[] o, text[] p, bytes[] q, f64[] none, u32)";
const WRITTEN = ["-2147483648", "-9223372036854775808", "4294967295", "18446744073709551615", "1.5", "-0", "true", 'say "hi"?\\ \u00e4\n2', "00ff22", "1, -2 3", "9007199254740993", "0x10", "0.1 inf", "1e-300;nan -inf", "true false", "one\n\ntwo,2", "00\n\nabcd", "", "7"];

let nodes;
let atDev1; // environment of programs that talk to dev-1
let browser;
let page;
const served = [];

before(async () => {
  nodes = cluster(2);
  atDev1 = { ...process.env, KITH_SOCKET: join(nodes.dir, "1", "kith.sock") };
  const socket = join(nodes.dir, "2", "kith.sock");
  served.push(await serve(socket, { name: "test.all", signature: ALL, run: (argument) => Buffer.from(argument.toString("hex")) }));
  served.push(await serve(socket, scaling));
  served.push(await serve(socket, { name: "test.size", signature: "size(bytes data, bool twice) -> u64", run: (argument) => {
    const out = Buffer.alloc(8);
    const n = argument.readUInt32LE(0);
    out.writeBigUInt64LE(BigInt(n * (argument[4 + n] + 1)));
    return out;
  } }));
  for (const end = Date.now() + 60000; !nodes.at(1, "fn", "ls").includes("test.size");) assert.ok(Date.now() < end, "dev-1 does not hear of the functions");
  browser = await launch();
  page = await logIn(browser, nodes, 1);
  page.setDefaultTimeout(30000);
}, { timeout: 120000 });

after(async () => {
  for (const end of served) end();
  await browser?.close();
  nodes?.stop();
});

const shown = (selector, text) => page.waitForFunction(([s, t]) => [...document.querySelectorAll(s)].some((one) => one.textContent.includes(t)), [selector, text]);
const calm = () => assert.deepEqual(page.troubles.splice(0), []);
const call = () => page.getByRole("button", { name: "Call", exact: true }).click();
/** Builds @source as its reader would, against the headers and the library of this build, and runs it at dev-1. */
async function runC(source) {
  const file = join(nodes.dir, "call.c");
  writeFileSync(file, source);
  await run("cc", ["-Wall", "-Wextra", "-Werror", "-I", join(root, "include"), file, "-o", join(nodes.dir, "call"), "-L", join(build, "src"), "-lkith"], { timeout: 60000 });
  return (await run(join(nodes.dir, "call"), [], { encoding: "latin1", timeout: 60000, env: { ...atDev1, LD_LIBRARY_PATH: join(build, "src") } })).stdout;
}
const runShell = async (command) => (await run("sh", ["-c", command], { timeout: 60000, env: { ...atDev1, PATH: `${build}:${process.env.PATH}` } })).stdout;

test("signatures are read as the nodes read them", () => {
  assert.equal(parse(""), null);
  assert.deepEqual(parse(" f.x-1 ( i32 index,f64 [ ]m ) ->bytes "), { params: [{ base: "i32", array: false, name: "index" }, { base: "f64", array: true, name: "m" }], result: { base: "bytes", array: false } });
  assert.deepEqual(parse("()"), { params: [], result: null });
  for (const odd of ["f", "f(", "f(int)", "f(i32", "f(i32[)", "f(i32 a b)", "f(i32,)", "f() ->", "f() -> x", "f() x", `f(${Array(33).fill("i32").join()})`]) assert.throws(() => parse(odd), /expected at column/, odd);
});

test("what is written is read, or a sentence says why not", () => {
  const one = (base, text) => read({ base, array: false }, text);
  assert.equal(one("i64", " -0x10 "), -16n);
  assert.equal(one("f64", ".5e1"), 5);
  assert.equal(one("text", " as it is "), " as it is ");
  assert.deepEqual([...one("bytes", "00 fF")], [0, 255]);
  for (const [base, text, words] of [["i32", "2147483648", /does not fit an i32: -2147483648 to 2147483647/], ["u32", "-1", /does not fit a u32/], ["i64", "1.5", /no whole number/], ["u64", "", /missing/], ["f64", "1,5", /no number/], ["f32", "1e39", /too large/],
    ["f64", "1e309", /too large/], ["bool", "perhaps", /neither true nor false/], ["text", "a\0b", /no byte 0/], ["bytes", "abc", /pairs/]]) assert.throws(() => one(base, text), words, `${base} ${text}`);
  assert.throws(() => read({ base: "u32", array: true }, "1 2 x"), /Element 3: "x" is no whole number/);
  assert.deepEqual(read({ base: "i64", array: true }, "[1, 2]"), [1n, 2n]);
});

test("values come back from their bytes, and other bytes are refused", () => {
  const { params } = parse(ALL);
  const values = params.map((param, i) => read(param, WRITTEN[i]));
  const data = pack(params, values);
  assert.deepEqual(unpack(params, data), values);
  for (let n = 0; n < data.length; n++) assert.throws(() => unpack(params, data.subarray(0, n)), undefined, `${n} bytes`);
  assert.throws(() => unpack(params, Uint8Array.of(...data, 0)));
  assert.throws(() => unpack([{ base: "bool" }], Uint8Array.of(2)), /do not hold bool/);
  assert.throws(() => unpack([{ base: "i32", array: true }], Uint8Array.of(255, 255, 255, 255)));
});

test("the C program that is copied compiles, and packs every type to the same bytes", async () => {
  const types = parse(ALL);
  const values = types.params.map((param, i) => read(param, WRITTEN[i]));
  const bytes = pack(types.params, values);
  const call = { name: "test.all", signature: ALL, types, values, bytes, node: "dev-2", nodes: 2, seconds: 10 };
  assert.equal(await runC(asC(call)), Buffer.from(bytes).toString("hex"));
  // and so does the one with raw bytes, and the command
  assert.equal(await runC(asC({ ...call, types: null, values: null })), Buffer.from(bytes).toString("hex"));
  const { text, whole } = asCommand(call);
  assert.ok(whole);
  assert.equal(await runShell(text), Buffer.from(bytes).toString("hex"));
});

test("a command brings every argument to the function as it is", async () => {
  for (const argument of ["", "plain", "two words", "it's", "@file", "-", "--all", "tab\tand\nline", "%s\\n", "\u00e4", "\0\x01'\\%"]) {
    const { text } = asCommand({ name: "sys.echo", bytes: new TextEncoder().encode(argument), file: "", node: "", seconds: 0.5 });
    assert.equal(await runShell(text), argument, text);
  }
  assert.deepEqual(asCommand({ name: "f", bytes: new Uint8Array(3000), file: "", node: "", seconds: 10 }), { text: "kith call f @argument.bin", whole: false });
  assert.equal(asCommand({ name: "f", bytes: fromHex("00"), file: "my file", node: "a b", seconds: 10 }).text, "kith call f '@my file' --node 'a b'");
});

test("a call is made with a field for each parameter, and its result has its type", async () => {
  await go(page, "functions/test.scale");
  await page.getByLabel("a", { exact: true }).fill("2.5");
  await page.getByLabel("x", { exact: true }).fill("1 -2, 4e1");
  await page.getByLabel("b", { exact: true }).fill("0.5");
  await call();
  await shown(".outcome", "OK");
  await shown(".outcome", "f64[]");
  assert.equal(await page.textContent("main .outcome + pre.reply"), "3\n-4.5\n100.5");
  // the address has the fields, and brings them back
  assert.match(page.url(), /a1=2\.5/);
  await page.reload();
  await shown("main h2", "The same call as");
  assert.equal(await page.getByLabel("x", { exact: true }).inputValue(), "1 -2, 4e1");
  await page.getByLabel("x", { exact: true }).fill("1 2 3 4");
  await call();
  await page.waitForSelector(".outcome .badge.error");
  // what went wrong last stands with the function, and in the list
  await shown("main .card p", "at most three x were expected");
  await shown("main .card span", "on dev-2");
  await go(page, "functions");
  await shown("main td.cut", "at most three x were expected");
  await shown("main td.num", "0.0");
  page.troubles.splice(0);
});

test("a field that is wrong says so, has the focus, and nothing is sent", async () => {
  await go(page, "functions/test.scale");
  await page.getByLabel("a", { exact: true }).fill("much");
  await shown("main .wrong:not([hidden])", '"much" is no number.');
  await page.getByLabel("x", { exact: true }).fill("1");
  const sent = [];
  const note = (request) => sent.push(request.url());
  page.on("request", note);
  await call();
  assert.ok(await page.evaluate(() => document.activeElement.getAttribute("aria-label") === "a"));
  assert.equal(await page.getByLabel("a", { exact: true }).getAttribute("aria-invalid"), "true");
  page.off("request", note);
  assert.deepEqual(sent.filter((url) => url.includes("/v1/call/")), []);
  await shown("main p.quiet", "Not yet:");
  await page.evaluate(readFileSync(axe(), "utf8"));
  assert.deepEqual(await barriers(page), []);
  calm();
});

test("bytes of a parameter come as text, hex or a file, and raw bytes are the way out", async () => {
  await go(page, "functions/test.size");
  await page.getByLabel("data", { exact: true }).fill("hello");
  await page.getByLabel("twice", { exact: true }).selectOption("true");
  await call();
  await shown("main .outcome + pre.reply", "10");
  await page.getByLabel("How data is written").selectOption("hex");
  await page.getByLabel("data", { exact: true }).fill("00 01");
  await call();
  await page.waitForFunction(() => document.querySelector("main .outcome + pre.reply")?.textContent === "4");
  await page.getByLabel("How data is written").selectOption("file");
  await page.locator("input[type=file]").setInputFiles({ name: "seven", mimeType: "application/octet-stream", buffer: Buffer.from("0123456") });
  await call();
  await page.waitForFunction(() => document.querySelector("main .outcome + pre.reply")?.textContent === "14");
  await page.getByRole("button", { name: "Raw bytes" }).click();
  await page.getByLabel("How the argument is written").selectOption("hex");
  await page.fill("main textarea[name=argument]", "03 00 00 00 61 62 63 00");
  await call();
  await shown("main .outcome + pre.reply", "03 00 00 00 00 00 00 00");
  assert.match(page.url(), /raw=1/);
  calm();
});

test("what the page copies as C is what it calls with", async () => {
  await go(page, "functions/test.scale?a1=3&a2=1+2&a3=0&as=c");
  await shown(".code-block pre", "kith_pack(");
  assert.equal(await runC(await page.textContent(".code-block pre")), "3\n6\n");
  calm();
});
