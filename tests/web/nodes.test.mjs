// Nodes: tags, drains, the log of any of them, and how they see each other.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { axe, barriers, cluster, go, launch, logIn } from "./browser.mjs";

let nodes;
let browser;
let page;

before(async () => {
  nodes = cluster(3);
  browser = await launch();
  page = await logIn(browser, nodes, 1);
  page.setDefaultTimeout(60000);
}, { timeout: 60000 });

after(async () => {
  await browser?.close();
  nodes?.stop();
});

const shown = (selector, text) => page.waitForFunction(([s, t]) => [...document.querySelectorAll(s)].some((one) => one.textContent.includes(t)), [selector, text]);
const gone = (selector, text) => page.waitForFunction(([s, t]) => ![...document.querySelectorAll(s)].some((one) => one.textContent.includes(t)), [selector, text]);
const calm = () => assert.deepEqual(page.troubles.splice(0), []);
const button = (name) => page.getByRole("button", { name, exact: true });
const rows = (n) => page.waitForFunction((count) => document.querySelectorAll("main .table tbody tr").length === count, n);

test("a node is drained after a question, and taken back", async () => {
  await go(page, "nodes/dev-2");
  await button("Drain").click();
  await shown("dialog", "Drain dev-2?");
  await page.getByRole("button", { name: "Cancel" }).click();
  await button("Drain").click();
  await page.locator("dialog button[type=submit]").click();
  await shown(".note", "Drained dev-2");
  await shown("main .sub .tag", "drained");
  await button("Take back").waitFor();
  assert.equal(JSON.parse(nodes.at(3, "nodes", "--json")).nodes.find((one) => one.name === "dev-2").drained, true);
  await go(page, "nodes");
  await shown("main td .tag", "drained");
  await page.getByLabel("Every status").selectOption("drained");
  await rows(1);
  assert.match(page.url(), /status=drained/);
  await go(page, "");
  await shown("ul.problems", "dev-2 is drained");
  await go(page, "nodes/dev-2");
  await button("Take back").click();
  await page.locator("dialog button[type=submit]").click();
  await button("Drain").waitFor();
  await gone("main .sub .tag", "drained");
  calm();
});

test("tags are written, shown, filtered by and taken away", async () => {
  await go(page, "nodes/dev-3");
  await button("Tags").click();
  await page.fill("dialog textarea", "zone");
  assert.ok(await page.$eval("dialog textarea", (area) => !area.checkValidity() && area.validationMessage.includes('"zone" is no tag')));
  await page.fill("dialog textarea", "zone=b\ngpu = 2 x\n");
  await page.locator("dialog button[type=submit]").click();
  await shown(".note", "Tags of dev-3 saved");
  await shown("main .tags .tag", "gpu=2 x");
  nodes.kith("tag", "set", "zone=a", "--node", "dev-2");
  await go(page, "nodes");
  await shown("main td .tag", "zone=a");
  await page.getByLabel("Every tag").selectOption("zone=b");
  await rows(1);
  await page.reload();
  await rows(1);
  await shown("main td", "dev-3");
  assert.match(page.url(), /tag=zone%3Db/);
  await page.getByLabel("Every tag").selectOption("");
  await page.fill("main .filter", "zone=a");
  await rows(1);
  await shown("main td", "dev-2");
  await go(page, "nodes/dev-3");
  await button("Tags").click();
  assert.equal(await page.inputValue("dialog textarea"), "gpu=2 x\nzone=b");
  await page.fill("dialog textarea", "zone=c");
  await page.locator("dialog button[type=submit]").click();
  await shown("main .tags .tag", "zone=c");
  await gone("main .tags .tag", "gpu");
  calm();
});

test("the log of another node is followed, held, filtered by level and words", async () => {
  await go(page, "nodes/dev-2");
  await shown(".log code", "");
  await page.waitForFunction(() => document.querySelectorAll(".log time").length > 0);
  await button("Pause").click();
  await shown(".table .sum", "paused");
  const held = await page.locator(".log .line").count();
  nodes.kith("drain", "dev-2");
  nodes.kith("undrain", "dev-2");
  for (const end = Date.now() + 60000; (nodes.kith("logs", "dev-2").match(/is drained|chosen again|taken back|undrained/g) ?? []).length < 1;) assert.ok(Date.now() < end);
  assert.equal(await page.locator(".log .line").count(), held);
  await button("Follow").click();
  await page.waitForFunction((n) => document.querySelectorAll(".log .line").length > n && document.querySelector(".log").textContent.includes("a node is drained"), held);
  await page.getByLabel("Least level").selectOption("error");
  await page.waitForFunction(() => document.querySelectorAll(".log .level").length === document.querySelectorAll(".log .level.error").length);
  assert.match(page.url(), /level=error/);
  await page.getByLabel("Filter log lines").fill("nothing is logged so");
  await shown(".log .none", "No line matches.");
  await page.getByLabel("Filter log lines").fill("");
  await page.evaluate(readFileSync(axe(), "utf8"));
  assert.deepEqual(await barriers(page), []);
  calm();
});

test("who sees whom otherwise is told", async () => {
  const [{ compare }] = [await page.evaluate(async () => {
    const { compare: same } = await import("/pages/sight.js");
    const row = (id, status) => ({ id, name: `n${id}`, status, rtt_ms: 1 });
    return { compare: same([row("1", "alive"), row("2", "failed")], [row("1", "alive"), row("2", "alive"), row("3", "alive")]) };
  })];
  assert.deepEqual(compare.map((one) => [one.name, one.theirs, one.ours, one.differs]), [["n1", "alive", "alive", false], ["n2", "failed", "alive", true], ["n3", "unknown", "alive", true]]);
  await go(page, "nodes/dev-2");
  await shown("main p", "It sees the same 3 nodes as this one");
  await rows(3);
  await go(page, "nodes/dev-1");
  assert.equal(await page.locator("main h2", { hasText: "Peers as" }).isVisible(), false);
  calm();
});

test("temperatures are shown where a machine tells some, and nothing of them elsewhere", async () => {
  await go(page, "nodes/dev-2");
  await shown("main dt", "Disk available");
  await page.waitForFunction(() => /^[\d.]+ [KMGT]iB of [\d.]+ [KMGT]iB$/.test([...document.querySelectorAll("main dt")].find((one) => one.textContent === "Disk available")?.nextSibling.textContent ?? ""));
  const told = JSON.parse(await page.evaluate(async () => JSON.stringify((await (await import("/lib/session.js")).api("/v1/resources?node=dev-2")).temperatures)));
  assert.equal(await page.locator("main .sensors .core").count(), told.length);

  // a machine with sensors: what the node says of itself, with them
  const context = await browser.newContext({ viewport: { width: 390, height: 844 } });
  const warm = await context.newPage();
  warm.setDefaultTimeout(60000);
  await warm.routeWebSocket(/\/v1\/stream$/, (socket) => {
    const node = socket.connectToServer();
    node.onMessage((text) => {
      const message = JSON.parse(text);
      if (message.full?.temperatures) message.full.temperatures = [{ name: "coretemp Package id 0", celsius: 48.4, critical_celsius: 100 }, { name: "nvme Composite", celsius: 82, critical_celsius: 85 }];
      socket.send(JSON.stringify(message));
    });
  });
  await warm.goto(nodes.link(1));
  await warm.waitForSelector(".link-state.live", { state: "attached" });
  for (const path of ["nodes/dev-3", "self"]) {
    await go(warm, path);
    await warm.waitForFunction(() => document.querySelectorAll("main .sensors .core").length === 2);
    assert.deepEqual(await warm.locator("main .sensors .core").evaluateAll((all) => all.map((one) => [one.children[0].textContent, one.children[1].textContent, one.querySelector("i").classList.contains("high")])),
      [["coretemp Package id 0", "48 °C", false], ["nvme Composite", "82 °C", true]]);
    assert.ok(await warm.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "it is wider than a phone");
  }
  await warm.evaluate(readFileSync(axe(), "utf8"));
  assert.deepEqual(await barriers(warm), []);
  await context.close();
  calm();
});
