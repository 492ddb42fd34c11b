// Every page and what can be done on it, in a browser, against three real nodes.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { axe, barriers, cluster, go, kith, launch, logIn } from "./browser.mjs";

const PAGES = ["", "nodes", "nodes/dev-2", "resources", "self", "functions", "functions/sys.echo", "variables", "variables/visits", "locks", "locks/build", "files", "files/docs", "files/docs/notes/a.txt", "files?view=transfers", "files?view=conflicts", "files?view=trash", "events", "apps", "apps/mandelbrot", "help", "users"];
let nodes;
let browser;
let page;

before(async () => {
  nodes = cluster(3);
  browser = await launch();
  nodes.kith("var", "set", "greeting", "hello");
  nodes.kith("var", "incr", "visits", "41");
  mkdirSync(join(nodes.dir, "docs/notes"), { recursive: true });
  writeFileSync(join(nodes.dir, "docs/notes/a.txt"), "one\n");
  nodes.at(1, "share", "add", "docs", join(nodes.dir, "docs"));
  page = await logIn(browser, nodes, 1);
  page.setDefaultTimeout(20000);
  await hold("build");
}, { timeout: 60000 });

after(async () => {
  await browser?.close();
  nodes?.stop();
});

/** A lock that the session of the page holds. */
const hold = (name) => page.evaluate(async (lock) => {
  const { api } = await import("/lib/session.js");
  await api(`/v1/locks/${lock}?timeout_ms=5000`, { method: "POST" });
}, name);

const shown = (selector, text) => page.waitForFunction(([s, t]) => [...document.querySelectorAll(s)].some((one) => one.textContent.includes(t)), [selector, text]);
const calm = () => assert.deepEqual(page.troubles.splice(0), []);
const names = () => page.$$eval("main .table tbody tr", (rows) => rows.map((row) => (row.cells[0].querySelector("a") ?? row.cells[0]).textContent));

test("every page opens without a word in the console", async () => {
  for (const path of PAGES) {
    await go(page, path);
    assert.equal(await page.locator("main .state.error").count(), 0, `${path} shows an error`);
    assert.ok(await page.title() !== "", path);
    calm();
  }
});

test("a page that is none says so", async () => {
  await go(page, "nowhere");
  await shown("main .state.error", "There is no page nowhere.");
});

test("no page is wider than its window, and none has a serious barrier, on a phone in the dark and on a desk by day", async () => {
  // evaluated by the debugger, so that the Content-Security-Policy of the pages stays as it is
  await page.evaluate(readFileSync(axe(), "utf8"));
  const found = [];
  for (const [width, height, theme] of [[390, 844, "dark"], [1440, 900, "light"]]) {
    await page.setViewportSize({ width, height });
    await page.evaluate((to) => { document.documentElement.dataset.theme = to; }, theme);
    for (const path of PAGES) {
      await go(page, path);
      const wider = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (wider > 0) found.push(`${path}: ${wider} px wider than ${width}`);
      found.push(...(await barriers(page)).map((one) => `${path} ${theme}: ${one}`));
    }
  }
  await page.setViewportSize({ width: 1440, height: 900 });
  assert.deepEqual(found, []);
});

// Each feature: the item of the list beside, then what is clicked on that page (if anything), and the button that is there.
const FEATURES = [
  ["Nodes", null, "Connect to a node"], ["Nodes", "dev-2", "Disconnect"], ["Nodes", "dev-2", "Drain"], ["Nodes", "dev-2", "Tags"], ["Resources", null, "3 h"], ["Resources", "dev-2", "24 h"], ["This node", null, "Copy as JSON"], ["This node", null, "Reload"], ["This node", null, "Debug bundle"],
  ["Functions", "sys.echo", "Call"], ["Variables", null, "New variable"], ["Variables", null, "Tree"], ["Variables", "visits", "Save"], ["Variables", "visits", "+ 1"], ["Variables", "visits", "Remove"],
  ["Locks", "build", "Break"], ["Files", null, "Upload"], ["Files", "docs", "Pin"], ["Files", "docs", "Verify"], ["Files", "docs", "Evict"], ["Events", null, "Pause"], ["Events", null, "Export"], ["Apps", "Mandelbrot", "Kill the node"], ["Apps", "Mandelbrot", "Measure"],
  ["Help", null, "Make the first user"], ["Help", "Users", "Add a user"], ["Help", null, "Light or dark"], ["Help", null, "Log out"], ["Overview", null, "10 min"], ["Overview", null, "Invite a machine"], ["Overview", "All events", "Export"],
];

test("every feature is at most two clicks from any page", async () => {
  const from = ["events", "variables/visits", "apps/mandelbrot", "users"];
  for (const [i, [item, what, button]] of FEATURES.entries()) {
    await go(page, from[i % from.length]);
    await page.locator("nav.side a.item", { hasText: item }).click();
    if (what) await page.locator("main :is(a, button)", { hasText: what }).first().click();
    await page.getByRole("button", { name: button, exact: true }).first().waitFor();
  }
  // and every page has the whole list beside
  const side = await page.$$eval("nav.side a.item", (all) => all.map((one) => one.getAttribute("href").slice(2)));
  for (const path of PAGES.filter((one) => !/[/?]/.test(one) && one !== "users")) assert.ok(side.includes(path), path);
  calm();
});

test("a table sorts, filters, and its address brings back the same", async () => {
  await go(page, "nodes");
  await shown("main td", "dev-3");
  assert.deepEqual((await names()).map((name) => name.slice(0, 5)), ["dev-1", "dev-2", "dev-3"]);
  await page.locator("th button", { hasText: "Name" }).click();
  assert.deepEqual((await names()).map((name) => name.slice(0, 5)), ["dev-3", "dev-2", "dev-1"]);
  await page.fill("main .filter", "dev-2");
  assert.deepEqual(await names(), ["dev-2"]);
  assert.match(page.url(), /sort=-name/);
  assert.match(page.url(), /filter=dev-2/);
  await page.reload();
  await shown("main td", "dev-2");
  assert.deepEqual(await names(), ["dev-2"]);
  assert.equal(await page.inputValue("main .filter"), "dev-2");
});

test("more variables than a page holds are paged, and a prefix finds one", async () => {
  await page.evaluate(async () => {
    const { api } = await import("/lib/session.js");
    for (let i = 0; i < 60; i += 6)
      await Promise.all(Array.from({ length: 6 }, (_, k) => api(`/v1/vars/many/${String(i + k).padStart(2, "0")}`, { method: "PUT", body: "x" })));
  });
  await go(page, "variables");
  await shown("main .pager", "1 of 2");
  await page.getByLabel("Next page").click();
  await shown("main td", "visits");
  assert.match(page.url(), /page=2/);
  await page.fill("main .filter", "many/07");
  await page.waitForFunction(() => document.querySelectorAll("main tbody tr").length === 1);
  assert.deepEqual(await names(), ["many/07"]);
  calm();
});

test("the form to connect says what is wrong with an address", async () => {
  await go(page, "nodes");
  await page.getByRole("button", { name: "Connect to a node" }).click();
  await page.fill("dialog input[name=address]", "127.0.0.1:1");
  await page.locator("dialog button[type=submit]").click();
  await page.waitForSelector(".note.error");
  assert.match(await page.textContent(".note.error"), /127\.0\.0\.1:1/);
  await page.locator(".note.error button").click();
  page.troubles.splice(0); // the browser reports every answer that is none
});

test("a node is disconnected, and stays a member", async () => {
  await go(page, "nodes/dev-2");
  await page.getByRole("button", { name: "Disconnect" }).click();
  await page.locator("dialog button[type=submit]").click();
  await shown(".note", "Disconnected dev-2");
  await shown("main .badge.alive", "alive");
  calm();
});

test("a variable set by the command flashes in the table", async () => {
  await go(page, "variables");
  await page.fill("main .filter", "greeting");
  await shown("main td.value", "hello");
  nodes.kith("var", "set", "greeting", "good morning");
  await page.waitForFunction(() => [...document.querySelectorAll("tr.flash")].some((row) => row.textContent.includes("good morning")));
  calm();
});

test("a variable is made, changed, counted and removed", async () => {
  await go(page, "variables");
  await page.getByRole("button", { name: "New variable" }).click();
  await page.fill("dialog input[name=name]", "made/here");
  await page.fill("dialog textarea[name=value]", "7");
  await page.selectOption("dialog select[name=type]", "i64");
  await page.locator("dialog button[type=submit]").click();
  await shown("pre.reply", "7");
  await page.getByRole("button", { name: "+ 1", exact: true }).click();
  await shown("pre.reply", "8");
  await page.fill("main textarea", "100");
  await page.getByRole("button", { name: "Save" }).click();
  await shown("pre.reply", "100");
  assert.equal(nodes.kith("var", "get", "made/here").trim(), "100");
  await page.getByRole("button", { name: "Remove" }).click();
  await page.locator("dialog button[type=submit]").click();
  await page.waitForFunction(() => location.hash === "#/variables");
  assert.throws(() => nodes.kith("var", "get", "made/here"));
  calm();
});

test("an edit of a value that has changed meanwhile is refused", async () => {
  await go(page, "variables/greeting");
  await shown("pre.reply", "good morning");
  await page.fill("main textarea", "mine");
  nodes.kith("var", "set", "greeting", "theirs");
  await shown("main .badge.warn", "It has changed since you began.");
  await page.getByRole("button", { name: "Save" }).click();
  await shown("main .state.error", "Somebody has changed it in between; nothing was written.");
  assert.equal(nodes.kith("var", "get", "greeting").trim(), "theirs");
  await page.getByRole("button", { name: "Take the new value" }).click();
  assert.equal(await page.inputValue("main textarea"), "theirs");
  page.troubles.splice(0);
});

test("a function is called with text, with hex, and its errors are shown", async () => {
  await go(page, "functions/sys.echo");
  await page.fill("main textarea", "good day");
  await page.getByRole("button", { name: "Call", exact: true }).click();
  await shown("pre.reply", "good day");
  await shown(".outcome", "OK");
  await page.getByLabel("How the argument is written").selectOption("hex");
  await page.fill("main textarea", "00 ff 41");
  await page.getByRole("button", { name: "Call", exact: true }).click();
  await shown("pre.reply", "00 ff 41");
  await page.fill("main textarea", "0");
  await page.getByRole("button", { name: "Call", exact: true }).click();
  await shown("main .state.error", "Hex is pairs of the digits");
  calm();
  await go(page, "functions/mandelbrot.tile");
  await page.fill("main textarea", "no tile");
  await page.getByRole("button", { name: "Call", exact: true }).click();
  await page.waitForSelector(".outcome .badge.error");
  page.troubles.splice(0);
});

test("a lock is shown with its holder, and broken", async () => {
  await go(page, "locks");
  await shown("main td", "build");
  await go(page, "locks/build");
  await shown("main td", "holds");
  await page.getByRole("button", { name: "Break" }).click();
  await page.locator("dialog button[type=submit]").click();
  await shown(".note", "Broke build");
  kith("lock", "run", "--dev", "2", "--dir", nodes.dir, "--wait", "20s", "build", "--", "true"); // free for others
  calm();
});

test("a broken lock leaves the list at once", async () => {
  await hold("fragile");
  await go(page, "locks/fragile");
  await page.getByRole("button", { name: "Break" }).click();
  await page.locator("dialog button[type=submit]").click();
  await shown("main .state.empty", "Nobody holds it or waits for it");
});

test("keys go to pages, to the filter, to the help, and turn the theme", async () => {
  await go(page, "");
  await page.locator("main h1").click();
  await page.keyboard.press("g");
  await page.keyboard.press("6");
  await page.waitForFunction(() => location.hash.startsWith("#/variables") && document.querySelector("main .filter"));
  await page.keyboard.press("/");
  assert.ok(await page.evaluate(() => document.activeElement.classList.contains("filter")));
  await page.keyboard.type("t?");
  assert.equal(await page.inputValue("main .filter"), "t?");
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press("?");
  await shown("main h1", "Help");
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
  const old = await theme();
  await page.keyboard.press("t");
  const turned = await theme();
  assert.notEqual(turned, old);
  await page.reload();
  assert.equal(await theme(), turned);
  calm();
});

test("a page that nobody sees is sent nothing", async () => {
  const frames = [];
  let pausing;
  const paused = new Promise((resolve) => { pausing = resolve; });
  const fresh = await page.context().newPage();
  fresh.on("websocket", (socket) => {
    socket.on("framereceived", ({ payload }) => frames.push(String(payload)));
    socket.on("framesent", ({ payload }) => String(payload).includes('"pause"') && pausing());
  });
  await fresh.goto(`${nodes.web(1)}#/variables/visits`);
  await fresh.waitForFunction(() => document.querySelector("pre.reply")?.textContent === "41");
  await fresh.evaluate(() => {
    Object.defineProperty(document, "hidden", { value: true, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await paused;
  frames.length = 0;
  // the other page, which is seen, hears of it: so would this one have
  await go(page, "variables/visits");
  for (const value of ["50", "51", "52"]) {
    nodes.kith("var", "set", "visits", value);
    await shown("pre.reply", value);
    if (value !== "50") continue;
    assert.deepEqual(frames.filter((one) => one.includes('"value":"50"')), []);
    frames.length = 0; // one that was on its way when the node heard of the pause
  }
  assert.deepEqual(frames, []);
  await fresh.evaluate(() => {
    delete document.hidden;
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await fresh.waitForFunction(() => document.querySelector("pre.reply")?.textContent === "52");
  await fresh.close();
});
