// The cluster as a whole and the node itself: totals, invitations, settings, bundles; who has a variable.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { axe, barriers, cluster, go, launch, logIn, readQr } from "./browser.mjs";
import { modules } from "./serve.mjs";

const [{ qr }] = await modules("lib/qr.js");
let nodes;
let browser;
let page;

before(async () => {
  nodes = cluster(3);
  browser = await launch();
  page = await logIn(browser, nodes, 1, { acceptDownloads: true });
  page.setDefaultTimeout(60000);
}, { timeout: 120000 });

after(async () => {
  await browser?.close();
  nodes?.stop();
});

const shown = (selector, text) => page.waitForFunction(([s, t]) => [...document.querySelectorAll(s)].some((one) => one.textContent.includes(t)), [selector, text]);
const calm = () => assert.deepEqual(page.troubles.splice(0), []);

/** What a reader makes of @rows (true: dark), three pixels a module, with light around. */
function scan(rows, quiet = 4) {
  const side = (rows.length + 2 * quiet) * 3;
  const pixels = new Uint8ClampedArray(side * side * 4).fill(255);
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++)
      if (rows[Math.floor(y / 3) - quiet]?.[Math.floor(x / 3) - quiet]) pixels.fill(0, (y * side + x) * 4, (y * side + x) * 4 + 3);
  return readQr(pixels, side, side);
}

test("a QR code is read by a reader, whatever its length", () => {
  // at the edges of versions, with and without version marks, one block and many, up to the longest
  for (const n of [0, 1, 14, 15, 26, 106, 122, 152, 180, 213, 287, 600, 2331]) {
    const text = Array.from({ length: n }, (_, i) => String.fromCharCode(33 + ((i * i * 7 + i) % 90))).join("");
    assert.equal(scan(qr(text))?.data, text, `${n} bytes`);
  }
  assert.equal(scan(qr("\u00e4\u20ac")).data, "\u00e4\u20ac");
  assert.equal(qr("x".repeat(2332)), null);
  // the smallest that holds it
  assert.deepEqual([14, 15].map((n) => qr("x".repeat(n)).length), [21, 25]);
});

test("an invitation is a command and a QR code of it", async () => {
  await go(page, "");
  await page.getByRole("button", { name: "Invite a machine" }).click();
  await page.waitForSelector("dialog svg.qr");
  const command = await page.textContent("dialog .command code");
  assert.equal(command, `kith join ${nodes.kith("invite", "-q").trim()}`);
  assert.ok(await page.getByRole("button", { name: "Copy the command" }).first().isVisible());
  // the picture as it is drawn, read from its path
  const dark = await page.$eval("dialog svg.qr", (svg) => ({ size: Number(svg.getAttribute("viewBox").split(" ")[2]), at: [...svg.querySelector("path").getAttribute("d").matchAll(/M(\d+) (\d+)/g)].map((one) => [Number(one[1]), Number(one[2])]) }));
  const rows = Array.from({ length: dark.size }, () => Array(dark.size).fill(false));
  for (const [x, y] of dark.at) rows[y][x] = true;
  assert.equal(scan(rows, 0).data, command);
  await page.evaluate(readFileSync(axe(), "utf8"));
  assert.deepEqual(await barriers(page), []);
  await page.locator("dialog").getByRole("button", { name: "Close" }).click();
  assert.equal(await page.locator("dialog").count(), 0);
  calm();
});

test("the overview has the totals of all nodes over each span", async () => {
  const asked = [];
  page.on("request", (request) => request.url().includes("/v1/overview/history") && asked.push(new URL(request.url()).searchParams.get("span")));
  await go(page, "help");
  await go(page, "");
  await shown("main h2", "3 nodes together, over time");
  await page.waitForSelector(".chart canvas");
  for (const [words, span] of [["3 h", "3h"], ["24 h", "24h"]]) {
    await page.getByRole("button", { name: words, exact: true }).click();
    await page.waitForFunction((s) => location.hash.includes(`span=${s}`), span);
  }
  for (const end = Date.now() + 60000; !["10m", "3h", "24h"].every((span) => asked.includes(span));) {
    assert.ok(Date.now() < end, asked.join());
    await page.evaluate(() => new Promise(requestAnimationFrame));
  }
  calm();
});

test("settings say where they come from, and are read again", async () => {
  await go(page, "self");
  await shown("main td b", "log.level");
  await page.getByLabel("Filter settings").fill("node.name");
  await page.waitForFunction(() => [...document.querySelectorAll("main .table tbody tr")].some((row) => row.textContent.includes("dev-1")));
  assert.match(page.url(), /filter=node.name/);
  await page.getByRole("button", { name: "Reload", exact: true }).click();
  await shown("dialog", "Read the configuration again?");
  await page.locator("dialog button[type=submit]").click();
  await page.waitForFunction(() => document.querySelector(".note")?.textContent.includes("Nothing differs") || document.querySelector("dialog h2")?.textContent === "Configuration reloaded");
  await page.evaluate(() => document.querySelector("dialog")?.close());
  await shown("main dt", "Descriptors");
  const facts = Object.fromEntries(await page.$$eval("main .facts > div", (all) => all.map((one) => [one.children[0].textContent, one.children[1].textContent])));
  assert.match(facts["Memory available"], /^[\d.]+ .?iB of [\d.]+ .?iB$/);
  assert.match(facts["Disk available"], /^[\d.]+ .?iB of [\d.]+ .?iB$/);
  assert.match(`${facts["CPUs, cores"]} ${facts["CPU in use"]} ${facts.Load}`, /^\d+, \d+ [\d.]+ % [\d.]+$/);
  calm();
});

test("a bundle for who helps is saved, without the secret", async () => {
  await go(page, "self");
  const waiting = page.waitForEvent("download");
  await page.getByRole("button", { name: "Debug bundle" }).click();
  const tar = readFileSync(await (await waiting).path());
  assert.equal(tar.subarray(257, 262).toString(), "ustar");
  assert.ok(tar.length > 2048);
  const token = nodes.kith("invite", "-q").trim();
  assert.ok(!tar.includes(token.slice(-20)));
  calm();
});

test("a variable says who has it, and who watches", async () => {
  nodes.kith("var", "set", "seen", "1", "--type", "i64");
  await go(page, "variables/seen");
  await shown("main h2", "Who has it");
  await shown("main dt", "Replicas");
  await shown("main td", "home: orders its writes");
  await page.waitForFunction(() => [...document.querySelectorAll("main .facts > div")].some((one) => /^Watched by[1-9]/.test(one.textContent)));
  calm();
});
