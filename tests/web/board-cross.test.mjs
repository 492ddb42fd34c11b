// The page and the C side make the same of the same logs: bit by bit the same board, byte by byte the same picture.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Malformed } from "../../web/board/bytes.js";
import * as limits from "../../web/board/limits.js";
import { decodeLog, encodeLog } from "../../web/board/log.js";
import { Board, dump } from "../../web/board/merge.js";
import { toSvg } from "../../web/board/svg.js";
import { chance, history } from "./board-random.mjs";

const SEEDS = Number(process.env.KITH_BOARD_SEEDS ?? 120);
const dir = mkdtempSync(join(tmpdir(), "kith-board-"));
const read = (...args) => execFileSync(join(process.env.KITH_BUILD ?? "build", "tests/board_read"), args, { encoding: "utf8", maxBuffer: 1 << 28 });
after(() => rmSync(dir, { recursive: true, force: true }));

/** The logs of a made-up board as files, some operations in two of them. */
function logsOf(seed, options) {
  const rng = chance(seed + 5000);
  const all = history(seed, options);
  const writers = [...new Set(all.map((op) => op.writer))];
  const files = [];
  for (const writer of writers) {
    const own = all.filter((op) => op.writer === writer);
    const cut = rng.below(own.length + 1);
    const parts = rng.chance(0.3) ? [own.slice(0, cut), own.slice(Math.max(0, cut - 5))] : [own];
    for (const part of parts) {
      const file = join(dir, `${seed}-${files.length}`);
      writeFileSync(file, encodeLog({ board: "cross", writer, name: "x" }, part));
      files.push(file);
    }
  }
  const board = new Board();
  board.applyAll(all);
  return { board, files };
}

test("the same board and the same picture from the same logs", () => {
  let elements = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { board, files } = logsOf(seed, { writers: 1 + (seed % 4), n: 60 + (seed % 100) });
    assert.equal(read("dump", ...files), dump(board), `seed ${seed}`);
    assert.equal(read("svg", ...files), toSvg(board), `seed ${seed}`);
    elements += board.shown().length;
  }
  assert.ok(elements > 10 * SEEDS);
});

test("the same is said of logs that are torn or damaged", () => {
  const rng = chance(99);
  const files = [], said = [];
  const good = [1, 2, 3].map((seed) => {
    const all = history(seed, { writers: 1, n: 25 });
    return encodeLog({ board: "cross", writer: all[0].writer, name: "x" }, all);
  });
  for (let i = 0; i < 1500; i++) {
    let bytes = rng.of(good).slice();
    for (let k = rng.between(1, 3); k > 0 && bytes.length; k--) {
      if (rng.chance(0.3)) bytes = bytes.slice(0, rng.below(bytes.length));
      else if (rng.chance(0.2)) bytes = new Uint8Array([...bytes, ...new Uint8Array(rng.below(30))]);
      else bytes[rng.below(bytes.length)] ^= 1 << rng.below(8);
    }
    try {
      const log = decodeLog(bytes);
      said.push(`${log.state} ${log.good} ${log.ops.length}`);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      said.push("refused");
    }
    files.push(join(dir, `bad-${i}`));
    writeFileSync(files[i], bytes);
  }
  assert.deepEqual(read("logs", ...files).trim().split("\n"), said);
  for (const state of ["whole", "torn", "damaged", "refused"]) assert.ok(said.some((one) => one.startsWith(state)), state);
});

test("the limits of both are the same", () => {
  const lines = read("limits").trim().split("\n").map((line) => line.split(" "));
  for (const [name, value] of lines) assert.equal(limits[name], Number(value), name);
  const c = new Set(lines.map(([name]) => name));
  const pageOnly = ["BOARD_CLOCK_AHEAD_US", "BOARD_IMAGE_BYTES_MAX"];
  for (const name of Object.keys(limits).filter((one) => one.startsWith("BOARD_") && !pageOnly.includes(one))) assert.ok(c.has(name), name);
});

test("the document has every limit, with its value", () => {
  const text = readFileSync(new URL("../../docs/protocols/board.md", import.meta.url), "utf8");
  const rows = new Map([...text.matchAll(/^\| `([A-Z_]+)` \| ([\d,]+) \|/gm)].map(([, name, value]) => [name, Number(value.replaceAll(",", ""))]));
  for (const [name, value] of Object.entries(limits)) if (name !== "BOARD_CLOCK_AHEAD_US") assert.equal(rows.get(name), value, name);
});
