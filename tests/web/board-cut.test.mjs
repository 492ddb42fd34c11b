// The whiteboard across a cut: pages on both sides draw on, and have the same when the network is whole again.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { build, kith, launch } from "./browser.mjs";
import { calm, drag, dumpOf, pixels, wave } from "./board-browser.mjs";
import { makeNet, whyNot } from "./netns.mjs";

const why = whyNot();
const dir = mkdtempSync("/tmp/kcut-");
const agents = [];
let net, browser;

before(async () => {
  if (why) return;
  net = makeNet(2);
  browser = await launch();
  for (const k of [1, 2]) {
    const home = join(dir, String(k));
    if (k === 1) kith("init", "--name", "h1", "--cluster", "cut", "--data-dir", home);
    else kith("join", kith("invite", "--data-dir", join(dir, "1")).trim(), "--name", "h2", "--data-dir", home);
    agents.push(net.start(k, `${build}/kith`, "agent", "--data-dir", home, "--listen", "0.0.0.0:7117", "--web", "127.0.0.1:7118", "--load", `${build}/whiteboard.so`));
    await until(() => kith("info", "--json", "--data-dir", home), `h${k} answers`);
  }
}, { timeout: 120000 });

after(async () => {
  await browser?.close();
  const ended = agents.map((agent) => new Promise((resolve) => agent.once("exit", resolve)));
  for (const agent of agents) agent.kill("SIGTERM");
  await Promise.all(ended);
  net?.end();
  rmSync(dir, { recursive: true, force: true });
});

async function until(condition, what, end = Date.now() + 60000) {
  for (;;) {
    try {
      if (condition()) return;
    } catch {
      /* not yet */
    }
    assert.ok(Date.now() < end, `never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
const statusOf = (k, name) => JSON.parse(kith("nodes", "--json", "--data-dir", join(dir, String(k)))).nodes.find((one) => one.name === name)?.status;

async function open(k, name) {
  const port = await net.reach(k, 7118, dir);
  const link = kith("web", "--data-dir", join(dir, String(k))).trim().split("\n")[0].match(/#login=(.*)$/)[1];
  const context = await browser.newContext({ viewport: { width: 1100, height: 720 } });
  const page = await context.newPage();
  page.troubles = [];
  page.on("pageerror", (error) => page.troubles.push(String(error)));
  page.on("console", (message) => message.type() === "error" && page.troubles.push(message.text()));
  page.setDefaultTimeout(60000);
  await page.goto(`http://127.0.0.1:${port}/board/index.html#login=${link}/${name}`);
  await page.waitForFunction(() => window.whiteboard?.session.author && window.whiteboard.session.link === "live" && window.whiteboard.stage.frames > 0);
  return page;
}
const shows = (page, n) => page.waitForFunction((count) => window.whiteboard.session.board.shown().length === count, n);
const alone = (page) => page.waitForFunction(() => window.whiteboard.session.peers.all.size === 0);

test("both sides of a cut draw, and have the same when it has healed", { skip: why || false }, async () => {
  await until(() => statusOf(1, "h2") === "alive" && statusOf(2, "h1") === "alive", "they see each other");
  const [a, b] = [await open(1, "plan"), await open(2, "plan")];
  await drag(a, wave(180, 160));
  await shows(b, 1);
  net.cut(2);
  await Promise.all([alone(a), alone(b)]);
  await drag(a, wave(180, 260));
  await drag(b, wave(560, 260));
  await drag(b, wave(560, 360));
  await b.keyboard.press("Control+z");
  await Promise.all([calm(a), calm(b)]); // acknowledged on either side
  await Promise.all([shows(a, 2), shows(b, 2)]);
  assert.notEqual(await dumpOf(a), await dumpOf(b));
  await until(() => statusOf(1, "h2") === "failed" && statusOf(2, "h1") === "failed", "each takes the other for dead");
  net.heal(2);
  await Promise.all([shows(a, 3), shows(b, 3)]);
  await Promise.all([calm(a), calm(b)]);
  assert.equal(await dumpOf(a), await dumpOf(b));
  const [one, two] = [await pixels(a), await pixels(b)];
  assert.ok(one.inked > 300);
  assert.deepEqual(one, two);
  await a.waitForFunction(() => window.whiteboard.session.peers.all.size === 1);
  assert.deepEqual([...a.troubles, ...b.troubles], []);
});
