// Variables as a tree of their names: of few, of many, and kept in the address.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { axe, barriers, cluster, go, launch, logIn } from "./browser.mjs";
import { modules } from "./serve.mjs";

const [{ folders, paths, visible }] = await modules("lib/tree.js");
let nodes;
let browser;
let page;

before(async () => {
  nodes = cluster(1);
  browser = await launch();
  page = await logIn(browser, nodes, 1);
  page.setDefaultTimeout(60000);
}, { timeout: 60000 });

after(async () => {
  await browser?.close();
  nodes?.stop();
});

const lines = () => page.$$eval("main .tree tbody tr", (rows) => rows.map((row) => (row.querySelector(".fold") ? `${row.querySelector(".fold").children[1].textContent} ${row.querySelector(".tally").textContent}` : row.cells[0].textContent)));
const become = async (wanted) => {
  for (const end = Date.now() + 60000; JSON.stringify(await lines()) !== JSON.stringify(wanted);) assert.ok(Date.now() < end, `${await lines()} instead of ${wanted}`);
};
const calm = () => assert.deepEqual(page.troubles.splice(0), []);
const fold = (label) => page.locator("main .fold", { hasText: label }).click();
const put = (names, value = "x") => page.evaluate(async ([all, body]) => {
  const { api } = await import("/lib/session.js");
  for (let i = 0; i < all.length; i += 8) await Promise.all(all.slice(i, i + 8).map((name) => api(`/v1/vars/${name}`, { method: "PUT", body })));
}, [names, value]);

test("names become folders, and a folder with one folder is one with it", () => {
  const root = folders(["a", "b/c/d", "b/c/e", "f/g", "f/h/i", "a/x", "//y"].map((name) => ({ name })));
  const order = { rows: (a, b) => (a.name < b.name ? -1 : 1), folders: (a, b) => (a.path < b.path ? -1 : 1) };
  assert.equal(root.count, 7);
  assert.deepEqual(paths(root).sort(), ["//", "a/", "b/c/", "f/", "f/h/"]);
  const seen = (open) => visible(root, new Set(open), order).map((one) => `${" ".repeat(one.depth)}${one.folder ? `${one.folder.label}${one.folder.count}` : one.row.name}`);
  assert.deepEqual(seen([]), ["//1", "a/1", "b/c/2", "f/2", "a"]);
  assert.deepEqual(seen(["f/", "b/c/"]), ["//1", "a/1", "b/c/2", " b/c/d", " b/c/e", "f/2", " h/1", " f/g", "a"]);
  const many = folders(Array.from({ length: 207 }, (_, i) => ({ name: `m/${i}` })));
  assert.deepEqual(visible(many, new Set(["m/"]), order).at(-1).more, 7);
  assert.equal(visible(many, new Set(["m/"]), order).length, 202);
});

test("without variables the tree says how to make one", async () => {
  await go(page, "variables?view=tree");
  await page.waitForFunction(() => document.querySelector("main .state.empty .command")?.textContent.includes("kith var set"));
});

test("folders open and close, the address keeps it, and a change flashes", async () => {
  for (const [name, value] of [["greeting", "hello"], ["sensor/kitchen/temperature", "21"], ["sensor/kitchen/humidity", "40"], ["sensor/cellar", "14"]]) nodes.kith("var", "set", name, value);
  await go(page, "variables");
  await page.getByRole("button", { name: "Tree" }).click();
  await become(["sensor/ 3", "kitchen/ 2", "humidity", "temperature", "cellar", "greeting"]);
  await fold("kitchen/");
  await become(["sensor/ 3", "kitchen/ 2", "cellar", "greeting"]);
  assert.match(page.url(), /view=tree/);
  await page.reload();
  await become(["sensor/ 3", "kitchen/ 2", "cellar", "greeting"]);
  await fold("sensor/");
  await become(["sensor/ 3", "greeting"]);
  await page.reload();
  await become(["sensor/ 3", "greeting"]);
  assert.equal(await page.locator("main .fold").getAttribute("aria-expanded"), "false");
  await page.locator("main .fold").focus();
  await page.keyboard.press("ArrowRight");
  await become(["sensor/ 3", "kitchen/ 2", "cellar", "greeting"]);
  await page.getByRole("button", { name: "Open all" }).click();
  await become(["sensor/ 3", "kitchen/ 2", "humidity", "temperature", "cellar", "greeting"]);
  await page.waitForFunction(() => [...document.querySelectorAll("main td.value")].some((td) => td.textContent === "21"));
  nodes.kith("var", "set", "sensor/kitchen/temperature", "22");
  await page.waitForFunction(() => [...document.querySelectorAll("tr.flash")].some((row) => row.textContent.includes("22")));
  await page.locator("th button", { hasText: "Name" }).click();
  await become(["sensor/ 3", "kitchen/ 2", "temperature", "humidity", "cellar", "greeting"]);
  await page.fill("main .filter", "humid");
  await become(["sensor/kitchen/ 1", "humidity"]);
  await page.reload();
  await become(["sensor/kitchen/ 1", "humidity"]);
  await page.locator("main td a", { hasText: "humidity" }).click();
  await page.waitForFunction(() => document.querySelector("main h1")?.textContent === "sensor/kitchen/humidity");
  calm();
});

test("the tree has no serious barrier and fits a phone", async () => {
  await page.evaluate(readFileSync(axe(), "utf8"));
  for (const [width, height, theme] of [[390, 844, "dark"], [1440, 900, "light"]]) {
    await page.setViewportSize({ width, height });
    await page.evaluate((to) => { document.documentElement.dataset.theme = to; }, theme);
    await go(page, "variables?view=tree");
    await page.waitForSelector("main .fold");
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    assert.deepEqual(await barriers(page), []);
  }
});

test("of many the names are there, and the values of what is open are live", async () => {
  await put(Array.from({ length: 230 }, (_, i) => `many/one/${String(i).padStart(3, "0")}`));
  await put(["many/two/a", "many/two/b"]);
  await go(page, "help");
  await go(page, "variables?view=tree");
  await become(["many/ 232", "sensor/ 3", "greeting"]);
  await fold("many/");
  await become(["many/ 232", "one/ 230", "two/ 2", "sensor/ 3", "greeting"]);
  await fold("two/");
  await page.waitForFunction(() => [...document.querySelectorAll("main td.value")].filter((td) => td.textContent === "x").length === 2);
  nodes.kith("var", "set", "many/two/b", "changed");
  await page.waitForFunction(() => [...document.querySelectorAll("tr.flash td.value")].some((td) => td.textContent === "changed"));
  await fold("one/");
  await page.waitForFunction(() => document.querySelectorAll("main .tree tbody tr").length === 200 + 8);
  await page.locator("main td a", { hasText: "30 more in the list" }).click();
  await page.waitForFunction(() => document.querySelector("main .filter")?.value === "many/one/" && document.querySelector("main .pager span")?.textContent === "1 of 5");
  assert.ok(!page.url().includes("view=tree"));
  // the list of so many is searched and turned over where they are
  const rows = (wanted) => page.waitForFunction((list) => [...document.querySelectorAll("main .table tbody tr")].map((row) => row.cells[0].textContent).join() === list, wanted.join());
  await page.fill("main .filter", "29 ONE");
  await rows(["many/one/029", "many/one/129", "many/one/229"]);
  const name = page.locator("main .table th button", { hasText: "Name" });
  await name.click();
  await rows(["many/one/229", "many/one/129", "many/one/029"]);
  assert.ok(await page.locator("main .table th button", { hasText: "Value" }).isDisabled());
  await page.fill("main .filter", "");
  await page.waitForFunction(() => document.querySelector("main .table tbody tr")?.cells[0].textContent === "sensor/kitchen/temperature");
  await name.click();
  // by prefix, of many
  await go(page, "variables?view=tree&filter=many/t&open=many/two/");
  await become(["many/two/ 2", "a", "b"]);
  calm();
});
