// Pages on a board without a browser: several sessions over a transport in memory with the faults of a network.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Malformed } from "../../web/board/bytes.js";
import * as limits from "../../web/board/limits.js";
import * as live from "../../web/board/live.js";
import { dump } from "../../web/board/merge.js";
import * as ops from "../../web/board/ops.js";
import { Session } from "../../web/board/session.js";
import { MemoryHub, MemoryTransport } from "../../web/board/transport.js";
import { chance, drawing, writerHex } from "./board-random.mjs";

const rect = { colour: 1, width: 32, fill: 0, x: 0, y: 0, w: 160, h: 160 };

function store() {
  const kept = new Map();
  return { kept, getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value), removeItem: (key) => kept.delete(key) };
}

const page = (transport, n, more = {}) => new Session({ transport, board: "plan", writer: writerHex(n), person: { name: `p${n}`, machine: `m${n}`, colour: n % 12 }, store: store(), timers: false, ...more }).open();

async function until(condition, what) {
  const end = Date.now() + 60000;
  while (!condition()) {
    assert.ok(Date.now() < end, `never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
const settled = async (...pages) => {
  for (const one of pages) await one.flush();
};

test("two pages draw, and both have everything", async () => {
  const hub = new MemoryHub();
  const a = await page(new MemoryTransport(hub), 1), b = await page(new MemoryTransport(hub), 2);
  a.commit(ops.RECT, rect);
  b.commit(ops.ELLIPSE, rect);
  await settled(a, b);
  await until(() => a.board.count === 2 && b.board.count === 2, "both have both");
  assert.equal(dump(a.board), dump(b.board));
  assert.equal(a.outbox.length, 0);
});

test("a network that loses, doubles and delays: after a reload all have the same", async () => {
  for (let seed = 1; seed <= 15; seed++) {
    const rng = chance(seed);
    const hub = new MemoryHub({ chance: rng.next, lose: 0.2, twice: 0.3, late: 0.3 });
    const pages = await Promise.all([1, 2, 3].map((n) => page(new MemoryTransport(hub), n, { now: () => 1e15 + rng.below(50) })));
    for (let i = 0; i < 60; i++) {
      const one = rng.of(pages);
      const dice = rng.below(10);
      if (dice < 6) one.commit(ops.RECT, drawing(rng, ops.RECT));
      else if (dice < 8) one.undo();
      else if (dice < 9) one.redo();
      else if (one.board.elements.length) one.commit(ops.CLEAR, { targets: one.board.clearTargets() });
      if (rng.chance(0.2)) await null;
      if (rng.chance(0.1)) hub.deliver();
    }
    await settled(...pages);
    hub.deliver();
    for (const one of pages) await one.reload();
    for (const one of pages) assert.equal(dump(one.board), dump(pages[0].board), `seed ${seed}`);
  }
});

test("cut in two both sides draw, and healed all have all", async () => {
  const hub = new MemoryHub();
  const transports = [1, 2, 3].map(() => new MemoryTransport(hub));
  const [a, b, c] = await Promise.all(transports.map((transport, i) => page(transport, i + 1)));
  a.commit(ops.RECT, rect);
  await settled(a);
  hub.cut([transports[2]], "other");
  c.commit(ops.RECT, rect);
  b.commit(ops.RECT, rect);
  b.commit(ops.CLEAR, { targets: b.board.clearTargets() });
  await settled(b, c);
  assert.equal(b.board.shown().length, 0);
  assert.equal(c.board.shown().length, 2);
  hub.heal();
  for (const one of [a, b, c]) assert.equal(one.board.shown().length, 1, "what the clear did not see is there");
  assert.equal(dump(a.board), dump(c.board));
});

test("what the node does not take is kept, through a reload too, and sent when it answers", async () => {
  const hub = new MemoryHub();
  const transport = new MemoryTransport(hub), kept = store();
  const a = await page(transport, 1, { store: kept }), b = await page(new MemoryTransport(hub), 2);
  transport.down = true;
  for (let i = 0; i < 5; i++) a.commit(ops.RECT, rect);
  await a.flush();
  assert.equal(a.outbox.length, 5);
  assert.equal(a.board.shown().length, 5, "it is seen here all the same");
  a.close();
  transport.down = false;
  const again = await page(new MemoryTransport(hub), 1, { store: kept });
  assert.equal(again.board.shown().length, 5);
  await until(() => b.board.count === 5, "the other one has them");
  again.undo();
  again.commit(ops.ELLIPSE, rect);
  await settled(again);
  await until(() => b.board.count === 7, "counters went on");
  assert.equal(dump(b.board), dump(again.board));
  assert.equal([...kept.kept.keys()].filter((key) => key.includes("unsent")).length, 0);
});

test("a node that fails for a while is asked again by itself", async () => {
  const transport = new MemoryTransport();
  const a = await page(transport, 1);
  transport.down = true;
  a.commit(ops.RECT, rect);
  await a.flush();
  transport.down = false;
  await until(() => a.outbox.length === 0, "sent again");
  a.close();
});

test("a counter is never used twice, even where one's own log has not come", async () => {
  const kept = store();
  const a = await page(new MemoryTransport(), 1, { store: kept });
  for (let i = 0; i < 3; i++) a.commit(ops.RECT, rect);
  await settled(a);
  // another node, which has nothing of it yet
  const again = await page(new MemoryTransport(), 1, { store: kept });
  assert.equal(again.board.count, 0);
  assert.equal(again.commit(ops.RECT, rect).counter, 4);
});

test("why a node refuses what waits is told once, and it is sent again", async () => {
  const transport = new MemoryTransport();
  const said = [];
  const a = await page(transport, 1, { on: { trouble: (text) => said.push(text) } });
  const append = transport.append.bind(transport);
  let asked = 0;
  transport.append = async () => {
    asked++;
    throw Object.assign(new Error("the disk of this node is full"), { status: 507, hint: "Make room there" });
  };
  a.commit(ops.RECT, rect);
  await until(() => asked >= 2, "it is sent again");
  assert.deepEqual(said, ["Not saved: the disk of this node is full. Make room there. What you drew is kept in this browser and sent again."]);
  assert.equal(a.outbox.length, 1);
  transport.append = append;
  await until(() => a.outbox.length === 0, "it is taken");
  a.close();
});

test("a laser is shown up to its limit, however long nobody paints it", () => {
  const peers = new live.Peers(() => 0);
  peers.take({ kind: live.HERE, from: "ab", writer: "cd", name: "p", machine: "m", colour: 1, pen: false });
  const points = Int32Array.from({ length: 2 * limits.LIVE_POINTS_MAX }, (_, i) => 16 * i);
  for (let i = 0; i < 5; i++) peers.take({ kind: live.LASER, from: "ab", points });
  const { laser } = peers.all.get("ab");
  assert.equal(laser.length, limits.LIVE_LASER_MAX);
  assert.deepEqual([laser.at(-1).x, laser.at(-1).y], [2 * limits.LIVE_POINTS_MAX - 2, 2 * limits.LIVE_POINTS_MAX - 1]);
});

test("what waits is bounded", async () => {
  const transport = new MemoryTransport();
  const said = [];
  const a = await page(transport, 1, { on: { trouble: (text) => said.push(text) } });
  transport.down = true;
  const stroke = { colour: 0, width: 16, points: Int32Array.from({ length: 8192 }, (_, i) => (i % 4 < 2 ? 1 : -1) * limits.BOARD_COORD_MAX), pressures: null };
  let n = 0;
  while (a.commit(ops.STROKE, stroke)) assert.ok(++n < 1000);
  assert.ok(a.outboxBytes >= limits.OUTBOX_BYTES_MAX && a.outboxBytes < limits.OUTBOX_BYTES_MAX + limits.BOARD_RECORD_BYTES_MAX);
  assert.match(said.at(-1), /Too much waits/);
  const shown = a.board.count;
  assert.equal(a.undo(), null);
  assert.equal(a.board.count, shown);
  transport.down = false;
  await until(() => a.outbox.length === 0, "it goes out");
  assert.ok(a.commit(ops.RECT, rect));
  a.close();
});

test("others are seen while they draw, and what was drawn takes the draft's place", async () => {
  const hub = new MemoryHub();
  const a = await page(new MemoryTransport(hub), 1), b = await page(new MemoryTransport(hub), 2);
  await until(() => b.peers.all.size === 1 && a.peers.all.size === 1, "they know of each other");
  const peer = [...b.peers.all.values()][0];
  assert.deepEqual([peer.name, peer.machine, peer.colour], ["p1", "m1", 1]);
  a.cursor(3.5, -2);
  await until(() => peer.cursor, "the cursor");
  assert.deepEqual([peer.cursor.x, peer.cursor.y], [3.5, -2]);
  const stroke = { kind: ops.STROKE, colour: 2, width: 32, points: [], pressures: [] };
  const draft = a.draft();
  for (let i = 0; i < 700; i++) {
    stroke.points.push(16 * i, i);
    stroke.pressures.push(i & 255);
    if (i % 9 === 0) draft.update(stroke);
  }
  draft.update(stroke);
  await until(() => [...peer.drafts.values()][0]?.points.length === 1400, "all points");
  const seen = [...peer.drafts.values()][0].op;
  assert.deepEqual([...seen.points], stroke.points);
  assert.deepEqual([...seen.pressures], stroke.pressures);
  const { kind, ...fields } = stroke;
  const op = a.commit(kind, { ...fields, points: Int32Array.from(stroke.points), pressures: Uint8Array.from(stroke.pressures) });
  draft.done(op);
  await settled(a);
  await until(() => peer.drafts.size === 0 && b.board.count === 1, "the operation instead of the draft");
  b.ping();
  await until(() => peer.rtt !== null, "the round trip");
  a.close();
  await until(() => b.peers.all.size === 0, "gone");
});

test("a draft of which messages were lost or doubled is the stroke with straight pieces", () => {
  const peers = new live.Peers(() => 0);
  peers.take({ kind: live.HERE, from: "aa".repeat(8), writer: writerHex(1), name: "", machine: "", colour: 0 });
  const say = (index, points) => peers.take(live.decodeLive(live.encodeLive({ kind: live.DRAFT, from: "aa".repeat(8), number: 1, index, op: { kind: ops.STROKE, colour: 0, width: 1, points, pressures: null } })));
  const peer = say(0, [0, 0, 1, 1]);
  say(0, [0, 0, 1, 1]);
  say(1, [1, 1, 2, 2]);
  say(5, [9, 9]);
  assert.deepEqual([...peer.drafts.get(1).points], [0, 0, 1, 1, 2, 2, 9, 9]);
});

test("limits of what is live", () => {
  const peers = new live.Peers(() => 0);
  const from = (n) => n.toString(16).padStart(16, "0");
  for (let i = 0; i < limits.LIVE_PEERS_MAX + 5; i++) peers.take({ kind: live.HERE, from: from(i), writer: writerHex(i), name: "", machine: "", colour: 0 });
  assert.equal(peers.all.size, limits.LIVE_PEERS_MAX);
  const last = from(limits.LIVE_PEERS_MAX + 4);
  for (let i = 0; i < limits.LIVE_DRAFTS_MAX + 2; i++) peers.take({ kind: live.DRAFT, from: last, number: i, index: 0, op: { kind: ops.RECT, ...rect } });
  assert.equal(peers.all.get(last).drafts.size, limits.LIVE_DRAFTS_MAX);
  const points = Array.from({ length: 2 * limits.LIVE_POINTS_MAX }, (_, i) => i);
  assert.deepEqual(live.decodeLive(live.encodeLive({ kind: live.LASER, from: last, points })).points, points);
  assert.throws(() => live.decodeLive(live.encodeLive({ kind: live.LASER, from: last, points: [...points, 1, 1] })), Malformed);
  assert.throws(() => live.decodeLive(new Uint8Array(limits.LIVE_BYTES_MAX + 1)), Malformed);
  const here = (name) => live.encodeLive({ kind: live.HERE, from: last, writer: writerHex(1), name, machine: "", colour: 0 });
  live.decodeLive(here("n".repeat(limits.BOARD_PERSON_BYTES_MAX)));
  assert.throws(() => live.decodeLive(here("n".repeat(limits.BOARD_PERSON_BYTES_MAX + 1))), Malformed);
  let now = 0;
  const aging = new live.Peers(() => now);
  aging.take({ kind: live.HERE, from: last, writer: writerHex(1), name: "", machine: "", colour: 0 });
  now = limits.LIVE_SILENCE_MS;
  assert.equal(aging.age(), false);
  now++;
  assert.equal(aging.age(), true);
});

test("whatever comes as a live message: understood or not, never anything else", () => {
  const rng = chance(5);
  const from = "0123456789abcdef";
  const good = [
    { kind: live.HERE, from, writer: writerHex(1), name: "Ana", machine: "lab-1", colour: 3, pen: true }, { kind: live.CURSOR, from, x: 5, y: -70000 }, { kind: live.GONE, from },
    { kind: live.DRAFT, from, number: 3, index: 9, op: { kind: ops.RECT, ...rect } }, { kind: live.DRAFT, from, number: 3, index: 9, op: { kind: ops.STROKE, colour: 1, width: 16, points: [1, 2, 3, 4], pressures: [7, 8] } },
    { kind: live.DROPPED, from, number: 1 }, { kind: live.DONE, from, number: 1, counter: 9 }, { kind: live.LASER, from, points: [1, 2, -3, 4] }, { kind: live.PING, from, nonce: 2 ** 40 }, { kind: live.PONG, from, to: from, nonce: 1 },
  ];
  const peers = new live.Peers(() => 0);
  let understood = 0;
  for (let i = 0; i < 20000; i++) {
    let bytes = live.encodeLive(good[i % good.length]);
    if (i >= good.length)
      for (let k = rng.between(1, 3); k > 0 && bytes.length; k--) {
        if (rng.chance(0.2)) bytes = bytes.slice(0, rng.below(bytes.length));
        else bytes[rng.below(bytes.length)] = rng.below(256);
      }
    try {
      const m = live.decodeLive(bytes);
      if (m.kind !== live.HERE) assert.deepEqual(live.encodeLive(m), bytes);
      peers.take(m);
      understood++;
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      assert.ok(i >= good.length, error.message);
    }
  }
  assert.ok(understood > 1000);
});

test("who may only look does not draw, and is told so once", async () => {
  const hub = new MemoryHub();
  const said = [];
  const a = await page(new MemoryTransport(hub), 1), b = await page(new MemoryTransport(hub), 2, { readOnly: true, on: { trouble: (text) => said.push(text) } });
  a.commit(ops.RECT, rect);
  await settled(a);
  await until(() => b.board.count === 1, "it sees");
  assert.equal(b.commit(ops.RECT, rect), null);
  assert.equal(b.undo(), null);
  assert.equal(b.board.count, 1);
  assert.equal(said.length, 1);
  assert.match(said[0], /viewer/);
});

test("what another node has no log of is sent again after a move", async () => {
  const hub = new MemoryHub();
  const transport = new MemoryTransport(hub);
  let handlers = null;
  transport.subscribe = (board, given) => {
    handlers = given;
    return MemoryTransport.prototype.subscribe.call(transport, board, given);
  };
  const a = await page(transport, 1);
  for (let i = 0; i < 3; i++) a.commit(ops.RECT, rect);
  await settled(a);
  assert.equal(a.outbox.length, 0);
  hub.side("").boards.clear(); // the node it is at now knows nothing of it
  a.commit(ops.RECT, rect);
  await settled(a);
  await handlers.missed({ moved: false });
  await until(() => a.outbox.length === 0, "all is acknowledged");
  const b = await page(new MemoryTransport(hub), 2);
  assert.equal(b.board.count, 1);
  handlers.missed({ moved: true });
  await until(() => b.board.count === 4, "all four are there");
  await until(() => a.outbox.length === 0, "all is acknowledged");
  assert.equal(a.store.kept.size, 1, "nothing is kept but the counter");
  assert.equal(dump(a.board), dump(b.board));
});
