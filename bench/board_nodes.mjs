// The whiteboard over nodes: how long what is drawn at a page of one node takes to a page of another, and what 20 who draw at once cost
// the nodes. KITH_BUILD=build node bench/board_nodes.mjs
import { readFileSync } from "node:fs";
import { cluster, launch } from "../tests/web/browser.mjs";
import { drag } from "../tests/web/board-browser.mjs";

const nodes = cluster(3);
const browser = await launch();
const at = (list, part) => list[Math.min(list.length - 1, Math.floor(list.length * part))];
const tokens = new Map();

async function logIn(k) {
  const response = await fetch(`${nodes.web(k)}/v1/login`, { method: "POST", headers: { "X-Kith": "1", "Content-Type": "application/json" }, body: JSON.stringify({ link: nodes.link(k).split("#login=")[1], bearer: true }) });
  tokens.set(k, (await response.json()).token);
}
async function open(k, name) {
  const page = await (await browser.newContext({ viewport: { width: 1100, height: 720 } })).newPage();
  await page.goto(`${nodes.link(k).replace("/#login=", "/board/index.html#login=")}/${name}`);
  await page.waitForFunction(() => window.whiteboard?.session.author && window.whiteboard.session.link === "live");
  return page;
}
const ticks = (k) => {
  const { pid } = JSON.parse(nodes.at(k, "info", "--json"));
  return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ").slice(11, 13).reduce((sum, n) => sum + Number(n), 0);
};

async function latency() {
  const [a, b] = [await open(1, "pace"), await open(2, "pace")];
  await b.waitForFunction(() => window.whiteboard.session.peers.all.size === 1);
  await a.evaluate(() => {
    const { session } = window.whiteboard;
    const say = session.say.bind(session);
    window.said = [];
    session.say = (m) => {
      if (m.op) window.said.push([`${m.number}/${m.index}`, performance.timeOrigin + performance.now()]);
      say(m);
    };
  });
  await b.evaluate(() => {
    const { peers } = window.whiteboard.session;
    const take = peers.takeDraft.bind(peers);
    window.heard = [];
    peers.takeDraft = (peer, m) => {
      take(peer, m);
      requestAnimationFrame(() => window.heard.push([`${m.number}/${m.index}`, performance.timeOrigin + performance.now()]));
    };
  });
  for (let i = 0; i < 8; i++) await drag(a, Array.from({ length: 60 }, (_, n) => [180 + 10 * n, 160 + 50 * i + 20 * Math.sin(n / 3)]));
  const said = new Map(await a.evaluate(() => window.said)), heard = await b.evaluate(() => window.heard);
  const took = heard.map(([key, when]) => when - said.get(key)).sort((x, y) => x - y);
  console.log(`points of a stroke to the other node's page, with its next frame: ${took.length} messages, p50 ${at(took, 0.5).toFixed(1)} ms (target 50), p99 ${at(took, 0.99).toFixed(1)} ms (target 100)`);
  for (const page of [a, b]) await page.context().close();
}

async function crowd(n = 20, seconds = 10) {
  for (const k of [1, 2, 3]) await logIn(k);
  const page = await open(1, "beside");
  const before = [1, 2, 3].map(ticks), began = performance.now();
  // One page plays all of them: a member's page may talk to every node.
  const { strokes, failed, bytes } = await page.evaluate(async ({ n, seconds, webs }) => {
    const { encodeLive, DRAFT, HERE } = await import("/board/live.js");
    const { encodeLog } = await import("/board/log.js");
    const { STROKE } = await import("/board/ops.js");
    const drawers = [], count = { strokes: 0, failed: 0, bytes: 0 };
    for (let i = 0; i < n; i++) {
      const [web, token] = webs[i % 3], from = i.toString(16).padStart(16, "0"), writer = i.toString(16).padStart(32, "0");
      const socket = new WebSocket(`${web.replace("http", "ws")}/v1/boards/crowd/live`, ["kith", `bearer.${token}`]);
      socket.binaryType = "arraybuffer";
      socket.onmessage = ({ data }) => { count.bytes += data.byteLength; };
      await new Promise((resolve, reject) => { socket.onopen = resolve; socket.onerror = reject; });
      socket.send(encodeLive({ kind: HERE, from, writer, name: `p${i}`, machine: "m", colour: i % 12, pen: false }));
      drawers.push({ web, token, from, writer, socket, counter: 0, number: 1, index: i });
    }
    // Each draws a stroke a second: points each 33 ms, then the stroke itself.
    const timer = setInterval(() => {
      for (const one of drawers) {
        const points = [160 * one.index, 320, 160 * one.index + 40, 330, 160 * one.index + 80, 320];
        one.socket.send(encodeLive({ kind: DRAFT, from: one.from, number: one.number, index: 3 * one.index, op: { kind: STROKE, colour: 1, width: 32, points, pressures: null } }));
        if (++one.index < 30) continue;
        one.index = 0;
        one.number++;
        const op = { writer: one.writer, counter: ++one.counter, clock: Date.now() * 1000, kind: STROKE, joined: false, colour: 1, width: 32, points: Array.from({ length: 180 }, (_, i) => 40 * i), pressures: null };
        count.strokes++;
        fetch(`${one.web}/v1/boards/crowd/ops`, { method: "POST", credentials: "omit", headers: { "X-Kith": "1", Authorization: `Bearer ${one.token}` }, body: encodeLog({ board: "crowd", writer: one.writer, name: "p" }, [op]) })
          .then((response) => { count.failed += !response.ok; }, () => { count.failed++; });
      }
    }, 33);
    await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
    clearInterval(timer);
    await new Promise((resolve) => setTimeout(resolve, 500));
    for (const { socket } of drawers) socket.close();
    return count;
  }, { n, seconds, webs: [1, 2, 3].map((k) => [nodes.web(k), tokens.get(k)]) });
  const took = (performance.now() - began) / 1000;
  const shares = [1, 2, 3].map((k, i) => (ticks(k) - before[i]) / took);
  console.log(`${n} who draw at once on one board of three nodes, ${took.toFixed(1)} s: ${shares.map((share) => `${share.toFixed(1)} %`).join(", ")} of a core (target 20); ${strokes} strokes, ${failed} not acknowledged, ${(bytes / 1024 / took).toFixed(0)} KiB/s to all pages`);
}

try {
  await latency();
  await crowd();
} finally {
  await browser.close();
  nodes.stop();
}
