// What can be done on pages, beyond the first look: files, filters, exports, graphs of waits, nodes that go.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { cluster, go, launch, logIn } from "./browser.mjs";

const kith = `${process.env.KITH_BUILD ?? "build"}/kith`;
let nodes;
let browser;
let page;

before(async () => {
  nodes = cluster(3);
  browser = await launch();
  page = await logIn(browser, nodes, 1, { acceptDownloads: true });
  page.setDefaultTimeout(30000);
}, { timeout: 60000 });

after(async () => {
  await browser?.close();
  nodes?.stop();
});

const shown = (selector, text, options) => page.waitForFunction(([s, t]) => [...document.querySelectorAll(s)].some((one) => one.textContent.includes(t)), [selector, text], options);
const calm = () => assert.deepEqual(page.troubles.splice(0), []);
const names = () => page.$$eval("main .table tbody tr", (rows) => rows.map((row) => (row.cells[0].querySelector("a") ?? row.cells[0]).textContent));

test("the argument of a call comes from a file", async () => {
  await go(page, "functions/sys.echo");
  await page.getByLabel("How the argument is written").selectOption("file");
  await page.getByRole("button", { name: "Call", exact: true }).click();
  await shown("main .state.error", "Choose the file");
  await page.locator("input[type=file]").setInputFiles({ name: "argument", mimeType: "application/octet-stream", buffer: Buffer.from("of a file \u00e4") });
  await page.getByRole("button", { name: "Call", exact: true }).click();
  await shown("pre.reply", "of a file \u00e4");
  calm();
});

test("a function says how long its runs took, on the list and for each node", async () => {
  nodes.kith("call", "sys.sleep", "20ms", "--node", "dev-2");
  await go(page, "functions/sys.sleep");
  /** Column @title of the row of @name, wherever it stands. */
  const cell = (name, title) => page.evaluate(([n, t]) => {
    const at = [...document.querySelectorAll("main .table th")].findIndex((th) => th.textContent === t);
    return [...document.querySelectorAll("main .table tbody tr")].find((row) => row.cells[0].querySelector("a").textContent === n)?.cells[at].textContent;
  }, [name, title]);
  const becomes = async (name, title, pattern) => {
    for (const end = Date.now() + 60000; !pattern.test(await cell(name, title) ?? "");) assert.ok(Date.now() < end, `${title} of ${name}: ${await cell(name, title)}`);
  };
  for (const title of ["p50", "p99"]) await becomes("dev-2", title, / ms$/);
  await becomes("dev-2", "Calls/s", /^0\.\d+$/);
  for (const name of ["dev-1", "dev-3"]) assert.equal(await cell(name, "p99"), "\u2013");
  await go(page, "functions");
  await becomes("sys.sleep", "p50", / ms$/);
  calm();
});

test("round trips of all pairs are shown as a matrix", async () => {
  await go(page, "nodes");
  await page.waitForFunction(() => [...document.querySelectorAll(".matrix td")].filter((td) => /^[\d.]+ (µs|ms)$/.test(td.textContent)).length === 6);
  assert.deepEqual(await page.$$eval(".matrix tbody th", (all) => all.map((th) => th.textContent)), ["dev-1", "dev-2", "dev-3"]);
  calm();
});

test("the speed-up is measured with one node, two and three", async () => {
  await go(page, "apps/mandelbrot");
  await page.waitForFunction(() => / tiles in [\d.]+ s/.test(document.querySelector(".panel p.quiet")?.textContent ?? ""), null, { timeout: 60000 });
  await page.getByLabel("Iterations").selectOption("500");
  await page.getByRole("button", { name: "Measure" }).click();
  await shown("main dt", "3 nodes", { timeout: 90000 });
  const said = await page.$$eval("main .panel dd", (all) => all.map((dd) => dd.textContent).filter((words) => words.includes("tiles/s")));
  assert.equal(said.length, 3);
  assert.match(said[0], /1\.00 ×/);
});

test("every table sorts by each heading, and filters", async () => {
  nodes.kith("var", "set", "a/first", "2", "--type", "i64");
  nodes.kith("var", "set", "b/second", "1", "--type", "i64");
  await page.evaluate(async () => {
    const { api } = await import("/lib/session.js");
    for (const lock of ["one", "two"]) await api(`/v1/locks/${lock}?timeout_ms=5000`, { method: "POST" });
  });
  for (const [path, few] of [["nodes", "dev-2"], ["resources", "dev-2"], ["functions", "sys.echo"], ["variables", "a/first"], ["locks", "two"], ["events", "dev-2"]]) {
    await go(page, path);
    await shown("main .table td", few);
    await page.waitForFunction(() => document.querySelectorAll("main .table tbody tr").length > 1);
    const shownHeadings = page.locator("main .table th button").filter({ visible: true }); // not of what no row has
    const headings = await shownHeadings.count();
    assert.ok(headings >= 3, `${path}: ${headings} headings sort`);
    for (let i = 0; i < headings; i++) {
      const heading = shownHeadings.nth(i);
      await heading.click();
      await heading.click();
      const sorted = await page.$$eval("main .table th", (all) => all.filter((th) => th.hasAttribute("aria-sort")).length);
      assert.equal(sorted, 1, `${path}: heading ${i}`);
    }
    const first = page.locator("main .table th button").first();
    const of = async () => (await names()).join();
    if (path !== "events") {
      await first.click();
      const one = await of();
      await first.click();
      assert.equal(await of(), one.split(",").reverse().join(), path);
    }
    await page.fill("main .filter", few);
    await page.waitForFunction((text) => [...document.querySelectorAll("main .table tbody tr")].every((row) => row.textContent.includes(text)), few);
    assert.match(page.url(), /filter=/);
    await page.fill("main .filter", "nothing is called so");
    await shown("main .state.empty", "matches");
  }
  calm();
});

/** Asks for @names at the agent of node @k, over one connection: they are held, or waited for, until what this gives is destroyed. */
function hold(k, names, owner) {
  const client = connect(join(nodes.dir, String(k), "kith.sock"));
  names.forEach((name, i) => client.write(`${JSON.stringify({ id: i + 1, verb: "lock.acquire", args: { name, owner: owner(i) } })}\n`));
  client.resume();
  return client;
}

test("of more locks than the page has at once all are paged, found by any word, and sorted", async () => {
  const many = (n) => `many/${String(n).padStart(3, "0")}`;
  const holder = hold(2, Array.from({ length: 260 }, (_, i) => many(i)), (i) => `worker-${i % 7}`);
  const waiters = hold(3, [many(123), many(123), many(217)], (i) => `impatient ${i}`);
  const become = async (wanted) => page.waitForFunction((list) => [...document.querySelectorAll("main .table tbody tr")].map((row) => row.cells[0].textContent).join() === list, wanted.join());
  try {
    await go(page, "help");
    await page.waitForFunction(async () => {
      const { api } = await import("/lib/session.js");
      return (await api("/v1/locks?search=many/")).total === 260;
    });
    await page.evaluate(async () => {
      const { api } = await import("/lib/session.js");
      for (const lock of ["one", "two"]) await api(`/v1/locks/${lock}`, { method: "DELETE" }).catch(() => {}); // of another case
    });
    page.troubles.splice(0);
    await go(page, "locks");
    await shown("main .pager span", "1 of 6");
    await become(Array.from({ length: 50 }, (_, i) => many(i)));
    // who waits is drawn whatever page is shown
    await shown(".graph text", many(123));
    await shown(".graph text", many(217));
    for (let at = 2; at <= 6; at++) {
      await page.getByLabel("Next page").click();
      await become(Array.from({ length: at < 6 ? 50 : 10 }, (_, i) => many((at - 1) * 50 + i)));
    }
    await page.reload();
    await become(Array.from({ length: 10 }, (_, i) => many(250 + i)));
    assert.match(page.url(), /page=6/);
    // by words of names and holders, wherever they stand
    await page.fill("main .filter", "259");
    await become([many(259)]);
    await page.fill("main .filter", "DEV-2 worker-3");
    await page.waitForFunction(() => document.querySelectorAll("main .table tbody tr").length === 37);
    await page.fill("main .filter", "nothing is called so");
    await shown("main .state.empty", "matches");
    await page.fill("main .filter", "");
    await shown("main .pager span", "1 of 6");
    // by a column, of all and not of this page
    const heading = page.locator("main .table th button", { hasText: "Waiting" });
    await heading.click();
    await heading.click();
    await page.waitForFunction((two) => [...document.querySelectorAll("main .table tbody tr")].slice(0, 2).map((row) => row.cells[0].textContent).join() === two, [many(123), many(217)].join());
    assert.match(page.url(), /sort=-waiters/);
    await page.locator("main .table th button", { hasText: "Name" }).click();
    await page.locator("main .table th button", { hasText: "Name" }).click();
    await become(Array.from({ length: 50 }, (_, i) => many(259 - i)));
    await go(page, "locks/many/259");
    await shown("main td", "worker-0 on dev-2");
    // and when they go the list follows
    holder.destroy();
    waiters.destroy();
    await go(page, "locks");
    await page.waitForFunction(() => document.querySelector("main .state.empty")?.checkVisibility() && document.querySelectorAll("main .table tbody tr").length === 0);
  } finally {
    holder.destroy();
    waiters.destroy();
  }
  calm();
});

test("who waits for whom is drawn, and a cycle is named", async () => {
  const go_on = join(nodes.dir, "go");
  const crossed = [[1, "left", "right"], [2, "right", "left"]].map(([k, mine, other]) =>
    spawn(kith, ["lock", "run", "--dev", String(k), "--dir", nodes.dir, mine, "--", "sh", "-c", `until [ -e ${go_on} ]; do sleep 0.05; done; exec ${kith} lock run --dev ${k} --dir ${nodes.dir} ${other} -- true`], { stdio: "ignore", detached: true }));
  try {
    await go(page, "locks");
    await shown("main td", "left");
    await shown("main td", "right");
    writeFileSync(go_on, "");
    await page.waitForSelector(".graph path.waits");
    await shown("main h2", "a cycle, nobody in it can go on", { timeout: 60000 });
    assert.equal(await page.locator(".graph path.edge.cycle").count(), 4);
    assert.ok(await page.locator("main .command", { hasText: "kith lock break" }).count());
  } finally {
    for (const child of crossed) process.kill(-child.pid, "SIGKILL");
  }
  page.troubles.splice(0);
});

test("events are filtered, held back while paused, and exported", async () => {
  await go(page, "events");
  await shown("main td", "dev-3");
  await page.getByLabel("Every kind").selectOption("joined");
  await page.fill("main .filter", "dev-2");
  await page.waitForFunction(() => document.querySelectorAll("main tbody tr").length === 1);
  await page.reload();
  await page.waitForFunction(() => document.querySelectorAll("main tbody tr").length === 1 && document.querySelector("main tbody").textContent.includes("dev-2"));
  await page.fill("main .filter", "");
  await page.getByLabel("Every kind").selectOption("");
  await shown("main td", "dev-3");
  await page.getByRole("button", { name: "Pause" }).click();
  nodes.kith("dev", "kill", "3", "--quiet");
  await page.waitForFunction(() => /paused, [1-9]\d* updates? since/.test(document.querySelector("main .sum").textContent), null, { timeout: 60000 });
  assert.equal(await page.locator("main .badge.warn, main .badge.error").count(), 0);
  await page.getByRole("button", { name: "Go on" }).click();
  await shown("main .badge", "failed", { timeout: 60000 });
  await page.getByLabel("Every kind").selectOption("failed");
  const waiting = page.waitForEvent("download");
  await page.getByRole("button", { name: "Export" }).click();
  const lines = readFileSync(await (await waiting).path(), "utf8").trim().split("\n").map((line) => JSON.parse(line));
  assert.ok(lines.length >= 1);
  for (const line of lines) assert.deepEqual([line.type, line.name], ["failed", "dev-3"]);
  calm();
});

test("nodes are filtered by status, and a failed one is forgotten", async () => {
  await go(page, "nodes");
  await page.getByLabel("Every status").selectOption("failed");
  await page.waitForFunction(() => document.querySelectorAll("main .table tbody tr").length === 1);
  assert.deepEqual(await names(), ["dev-3"]);
  assert.match(page.url(), /status=failed/);
  await page.locator("main .table tbody tr").click();
  await page.getByRole("button", { name: "Forget" }).click();
  await page.locator("dialog button[type=submit]").click();
  await shown(".note", "Forgot dev-3");
  await page.waitForFunction(() => location.hash === "#/nodes");
  await page.waitForFunction(() => document.querySelectorAll("main .table tbody tr").length === 2);
  assert.equal(JSON.parse(nodes.kith("nodes", "--json")).nodes.length, 2);
  page.troubles.splice(0);
});
