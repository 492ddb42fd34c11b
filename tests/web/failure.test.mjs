// What pages show when nodes die, and who draws the Mandelbrot set meanwhile.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { cluster, go, launch, logIn } from "./browser.mjs";

let nodes;
let browser;
let page;

before(async () => {
  nodes = cluster(3);
  browser = await launch();
  page = await logIn(browser, nodes, 1);
  page.setDefaultTimeout(30000);
}, { timeout: 60000 });

after(async () => {
  await browser?.close();
  nodes?.stop();
});

const drawn = () => page.waitForFunction(() => / tiles in [\d.]+ s/.test(document.querySelector(".panel p.quiet")?.textContent ?? ""), null, { timeout: 60000 });

/** The same picture with so many iterations; what is drawn by now is that one. */
const redraw = async (iterations) => {
  // at once: the picture before may end in between, and say so
  await page.getByLabel("Iterations").evaluate((select, wanted) => {
    document.querySelector(".panel p.quiet").textContent = "";
    select.value = wanted;
    select.dispatchEvent(new Event("change"));
  }, iterations);
};

/** How many tiles each node has drawn since the page was opened. */
const tallies = () => page.$$eval(".workers li", (rows) => rows.map((row) => [row.children[1].textContent, Number(row.children[2].textContent.match(/· ([\d,]+)/)?.[1].replaceAll(",", ""))]));

/** What the canvas shows, to the last bit. */
const picture = () => page.evaluate(async () => {
  const canvas = document.querySelector("canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const hash = [...new Uint8Array(await crypto.subtle.digest("SHA-256", data))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${canvas.width}x${canvas.height} ${hash}`;
});

test("the explorer draws a picture by all nodes, and says by which", async () => {
  const providers = () => JSON.parse(nodes.at(1, "fn", "ls", "--json")).functions.find((one) => one.name === "mandelbrot.tile")?.nodes.length;
  for (const until = Date.now() + 60000; providers() !== 3;) assert.ok(Date.now() < until, "dev-1 does not hear who can draw");
  await go(page, "apps/mandelbrot");
  // who is busy gets fewer, and of one picture perhaps none: after several each has drawn
  let sum = 0;
  let all;
  for (const iterations of ["500", "1000", "500", "1000", "500"]) {
    await drawn();
    sum += Number((await page.textContent(".panel p.quiet")).match(/^(\d+) tiles/)[1]);
    all = await tallies();
    assert.ok(all.reduce((n, [, tiles]) => n + tiles, 0) >= sum, `the picture is there, and its ${sum} tiles are not told: ${all}`);
    if (all.every(([, tiles]) => tiles > 0)) break;
    await redraw(iterations);
  }
  assert.deepEqual(all.map(([name]) => name), ["dev-1", "dev-2", "dev-3"]);
  for (const [name, tiles] of all) assert.ok(tiles > 0, `${name} drew nothing`);
  const colours = await page.evaluate(() => {
    const canvas = document.querySelector("canvas");
    const data = new Uint32Array(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    return new Set(data).size;
  });
  assert.ok(colours > 50, `${colours} colours`);
});

test("moving on cancels what is no longer looked at", async () => {
  // held between page and node, so that they are certainly under way when the place is left
  await page.route(/mandelbrot\.tile/, () => {});
  const asked = page.waitForRequest(/mandelbrot\.tile/);
  const cancelled = page.waitForEvent("requestfailed", (request) => request.url().includes("mandelbrot.tile"));
  await page.getByLabel("Iterations").selectOption("5000");
  await asked;
  await page.locator("canvas").press("+");
  assert.match((await cancelled).failure().errorText, /ABORTED/);
  await page.unrouteAll({ behavior: "ignoreErrors" });
  await page.getByLabel("Iterations").selectOption("500");
  await page.locator("canvas").press("0");
  await page.waitForFunction(() => /span=3\.4/.test(location.hash) && /iterations=500/.test(location.hash));
  await drawn();
  page.troubles.splice(0);
});

test("a node killed by the button is drawn around, and is suspect, then failed, without a reload", async () => {
  await page.getByLabel("Tint by node").uncheck();
  await redraw("5000");
  await drawn();
  const whole = await picture();
  await redraw("500");
  await drawn();
  assert.notEqual(await picture(), whole);
  await page.getByLabel("Node to be killed").selectOption("dev-3");
  await redraw("5000"); // under way when the node is killed
  await page.getByRole("button", { name: "Kill the node" }).click();
  await page.evaluate(() => { window.states = []; }); // a reload would lose it
  await page.locator("dialog button[type=submit]").click();
  await drawn();
  assert.equal(await picture(), whole, await page.textContent(".panel"));
  await page.evaluate(() => { location.hash = "#/nodes"; });
  await page.waitForFunction(() => {
    const state = [...document.querySelectorAll("main tbody tr")].find((row) => row.textContent.includes("dev-3"))?.querySelector(".badge")?.textContent;
    if (state && !window.states.at(-1)?.endsWith(state)) window.states.push(state);
    return state?.includes("failed");
  }, null, { timeout: 60000 });
  const states = await page.evaluate(() => window.states.map((one) => one.replace(/[^a-z]/g, "")));
  assert.deepEqual(states.slice(-2), ["suspect", "failed"]);
  await go(page, "apps/mandelbrot");
  await drawn();
  assert.equal(await page.locator(".workers .gone").textContent(), "dev-3");
  await go(page, "");
  await page.waitForFunction(() => document.querySelector("ul.problems")?.textContent.includes("dev-3 has failed"));
  await page.waitForFunction(() => document.querySelector("nav .tally.bad"));
});

// Another page of dev-1, which has not got all pages when that dies.
let other;
const lacking = async (name) => {
  const fresh = await logIn(browser, nodes, 1);
  fresh.setDefaultTimeout(60000);
  await fresh.route(`${nodes.web(1)}/pages/${name}.js`, (route) => route.abort());
  await fresh.reload();
  await fresh.waitForSelector(".link-state.live");
  return fresh;
};

test("the page of a node that is killed goes on at another", async () => {
  nodes.kith("dev", "3", "--load", `${process.env.KITH_BUILD ?? "build"}/mandelbrot.so`, "--quiet");
  await go(page, "nodes");
  await page.waitForFunction(() => document.querySelectorAll("main tbody .badge.alive").length === 3, null, { timeout: 60000 });
  const origin = await page.evaluate(() => location.origin);
  other = await lacking("locks");
  await go(page, "self");
  await page.waitForFunction(() => document.querySelector("main h1")?.textContent === "dev-1");
  nodes.kith("dev", "kill", "1", "--quiet");
  await page.waitForFunction(() => /live, now at dev-[23]/.test(document.querySelector(".link-state")?.textContent ?? ""), null, { timeout: 60000 });
  assert.equal(await page.evaluate(() => location.origin), origin);
  // "This node" is the other one from now on
  await page.waitForFunction(() => document.querySelector("main h1")?.textContent === document.querySelector(".link-state").textContent.match(/dev-[23]/)[0]);
});

test("a page that could not be loaded in time is shown by the node that its reader went on at, to the same user", async () => {
  await other.waitForFunction(() => /live, now at dev-[23]/.test(document.querySelector(".link-state")?.textContent ?? ""));
  const at = (await other.textContent(".link-state")).at(-1);
  await other.evaluate(() => { location.hash = "#/locks?filter=x"; });
  await other.waitForURL(`${nodes.web(at)}/#/locks?filter=x`);
  await other.waitForFunction(() => document.querySelector("main h1")?.textContent === "Locks" && document.querySelector(".link-state.live"));
  assert.match(await other.textContent(".who .name"), /admin/);
  await other.context().close();
});

test("a page that goes on at another node opens pages that it had not opened before", async () => {
  nodes.at(2, "var", "set", "after", "the fall");
  await go(page, "variables/after");
  await page.waitForFunction(() => document.querySelector("pre.reply")?.textContent === "the fall");
});

test("a page that goes on at another node writes variables there", async () => {
  await page.fill("main textarea", "and on");
  await page.getByRole("button", { name: "Save" }).click();
  await page.waitForFunction(() => document.querySelector("pre.reply")?.textContent === "and on");
});
