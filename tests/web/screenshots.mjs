// Every page in both themes at both widths: node tests/web/screenshots.mjs OUT [NAMES] (make screenshots).
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { calm, drag, open } from "./board-browser.mjs";
import { cluster, go, launch, logIn } from "./browser.mjs";
import { scaling, serve } from "./serve.mjs";

const out = process.argv[2] ?? "build/screenshots";
const SIZES = { wide: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } };
const only = process.argv.slice(3);
// The explorer first, so that there is something to be seen in the graphs of the others.
const PAGES = {
  mandelbrot: "apps/mandelbrot", apps: "apps", functions: "functions", function: "functions/sys.echo", typed: "functions/example.fma?a1=2&a2=1+2+3&a3=0.5&as=c", variables: "variables", tree: "variables?view=tree", variable: "variables/visits", locks: "locks", lock: "locks/build",
  files: "files", folder: "files/docs", text: "files/docs/notes/november.txt", picture: "files/docs/kith.svg", versions: "files?view=conflicts", trash: "files?view=trash", transfers: "files?view=transfers",
  events: "events", help: "help", users: "users", missing: "nowhere", nodes: "nodes", node: "nodes/dev-2", resources: "resources", self: "self", overview: "",
};
const empty = ["locks", "variables", "files"];
mkdirSync(out, { recursive: true });

const nodes = cluster(3);
const unserve = await serve(join(nodes.dir, "2", "kith.sock"), { ...scaling, name: "example.fma" });
const browser = await launch();
let troubles = 0;
let page;

const wanted = (name) => !only.length || only.includes(name);

/** Pictures of what @on shows now, at both widths in both themes. */
async function shoot(on, name, pause = 300, settle) {
  for (const [size, viewport] of Object.entries(SIZES))
    for (const theme of ["light", "dark"]) {
      await on.setViewportSize(viewport);
      await on.evaluate((to) => { document.documentElement.dataset.theme = to; }, theme);
      await on.emulateMedia({ colorScheme: theme });
      await settle?.();
      await on.waitForTimeout(pause);
      await on.screenshot({ path: `${out}/${name}-${size}-${theme}.png` });
      const wider = await on.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (wider > 0) console.log(`${name} ${size}: ${wider} px wider than the window`);
    }
  await on.setViewportSize(SIZES.wide);
}

/** Folders of two nodes as one tree, with what a few people would have in it. */
function share() {
  const put = (folder, name, data) => {
    mkdirSync(dirname(join(nodes.dir, folder, name)), { recursive: true });
    writeFileSync(join(nodes.dir, folder, name), data);
  };
  const icon = readFileSync(new URL("../../web/icon.svg", import.meta.url));
  const lines = (n, words) => Array.from({ length: n }, (_, i) => `${String(i + 1).padStart(2, "0")}.11.  ${words[i % words.length]}\n`).join("");
  put("north", "README.md", "# Docs\n\nWhat is written down, so that nobody has to ask twice.\n");
  put("north", "kith.svg", icon);
  put("north", "plan.txt", "monday: racks\ntuesday: cables\nwednesday: power\n");
  put("north", "notes/november.txt", lines(30, ["racks are here", "cables are ordered", "two machines joined", "nothing happened, which is good"]));
  put("north", "notes/october.txt", lines(31, ["looked at rooms", "measured the doors"]));
  for (let i = 1; i <= 6; i++) put("north", `scans/page-${i}.txt`, lines(i * 4, ["a line of a page"]));
  put("south", "archive.bin", Buffer.alloc(3 * 1024 * 1024, 1));
  put("south", "plan.txt", "monday: racks\ntuesday: power first\nwednesday: cables\n");
  put("south", "old/list.txt", "1\n2\n");
  nodes.at(1, "share", "add", "docs", join(nodes.dir, "north"));
  nodes.at(2, "share", "add", "docs", join(nodes.dir, "south"));
  nodes.at(3, "share", "add", "music", mkdtempSync(join(nodes.dir, "music-")), "--read-only");
}

const circle = (x, y, r) => Array.from({ length: 40 }, (_, i) => [x + r * Math.cos(i / 6), y + r * Math.sin(i / 6)]);

/** One board on pages of two nodes, before and after the node of one of them is killed. */
async function together() {
  const pages = [];
  for (const k of [2, 3]) {
    const board = await (await browser.newContext({ viewport: SIZES.wide })).newPage();
    await board.goto(`${nodes.link(k).replace("/#login=", "/board/index.html#login=")}/together`);
    await board.waitForFunction(() => window.whiteboard?.session.link === "live" && window.whiteboard.stage.frames > 0, null, { timeout: 60000 });
    await board.keyboard.press("p");
    pages.push(board);
  }
  const [left, right] = pages;
  const shown = (n) => Promise.all(pages.map((board) => board.waitForFunction((count) => window.whiteboard.session.board.shown().length === count && window.whiteboard.session.link === "live", n, { timeout: 60000 })));
  const pictures = async (when) => {
    for (const [k, board] of pages.entries()) await shoot(board, `together-${k + 2}-${when}`, 300, () => board.evaluate(() => window.whiteboard.fit()));
  };
  await Promise.all([drag(left, circle(430, 330, 90)), drag(right, circle(900, 330, 90))]);
  await drag(left, [[525, 330], [650, 300], [805, 330]]);
  await shown(3);
  await pictures("both");
  nodes.kith("dev", "kill", "3", "--quiet");
  for (const board of pages) await board.evaluate(() => Object.assign(window.whiteboard.stage.camera, { x: 0, y: 0, zoom: 1 }));
  await Promise.all([drag(left, circle(660, 560, 60)), drag(right, [[870, 425], [810, 500], [720, 545]])]);
  await shown(5);
  await pictures("killed");
  for (const board of pages) await board.context().close();
}

/** Until @page shows what makes the picture worth looking at. */
async function ready(name) {
  const until = (check, arg) => page.waitForFunction(check, arg, { timeout: 60000 });
  if (name === "variable")
    for (const value of [41, 44, 52, 50, 55]) {
      if (value !== 41) nodes.kith("var", "set", "visits", String(value));
      await until((text) => document.querySelector("pre.reply")?.textContent === text, String(value));
    }
  if (name === "variable") await page.waitForTimeout(1500); // the flash goes by
  if (name === "variables" || name === "tree") await until(() => [...document.querySelectorAll("td.value")].some((td) => td.textContent === "hello"));
  if (name === "mandelbrot") await until(() => / in [\d.]+ s/.test(document.querySelector(".panel p.quiet")?.textContent ?? ""));
  if (name === "files") await until(() => [...document.querySelectorAll(".g-row")].some((row) => row.textContent.includes("MiB")));
  if (name === "files") await page.waitForTimeout(1500); // the flash goes by
  if (name === "folder") await until(() => document.querySelectorAll(".g-body .g-row").length >= 8);
  if (name === "text") await until(() => document.querySelector(".preview-text"));
  if (name === "picture") await until(() => document.querySelector(".preview-image img")?.naturalWidth);
  if (name === "versions") await until(() => document.querySelectorAll(".version").length === 2);
  if (name === "trash") {
    nodes.at(2, "fs", "rm", "docs/old/list.txt");
    await until(() => [...document.querySelectorAll("main td")].some((td) => td.textContent === "docs/old/list.txt"));
  }
  if (name === "nodes") await until(() => document.querySelectorAll(".matrix td.num").length === 9);
  if (name === "function" || name === "typed") {
    if (name === "function") await page.fill("main textarea", "good day");
    await page.getByRole("button", { name: "Call", exact: true }).click();
    await until(() => document.querySelector(".outcome"));
  }
}

try {
  page = await logIn(browser, nodes, 1);
  for (const name of empty) {
    if (!wanted(`${name}-empty`)) continue;
    await go(page, name);
    await shoot(page, `${name}-empty`);
  }
  nodes.kith("var", "set", "greeting", "hello");
  nodes.kith("var", "set", "sensor/kitchen/temperature", "21.5", "--type", "f64");
  nodes.kith("var", "set", "sensor/cellar/temperature", "14", "--type", "f64");
  nodes.kith("var", "set", "sensor/kitchen/humidity", "41", "--type", "f64");
  nodes.kith("var", "set", "settings/motto", "small and many", "--policy", "durable");
  for (const [k, tag] of [[1, "zone=north"], [2, "zone=north"], [3, "zone=south"]]) nodes.kith("tag", "set", tag, "--node", `dev-${k}`);
  nodes.kith("drain", "dev-3");
  nodes.kith("var", "incr", "visits", "41");
  for (let i = 0; i < 40; i++) nodes.kith("call", "sys.uptime", "--all");
  await page.evaluate(async () => {
    const { api } = await import("/lib/session.js");
    await api("/v1/locks/build?timeout_ms=5000", { method: "POST" });
    api("/v1/locks/build?timeout_ms=60000", { method: "POST" }).catch(() => {});
  });
  share();
  for (const [name, path] of Object.entries(PAGES)) {
    if (!wanted(name)) continue;
    if (name === "overview") nodes.kith("undrain", "dev-3"); // all is well there
    await go(page, path);
    await ready(name);
    await shoot(page, name, name === "mandelbrot" ? 2500 : 300);
  }
  if (wanted("invite")) {
    await go(page, "");
    await page.getByRole("button", { name: "Invite a machine" }).click();
    await page.waitForSelector("dialog svg.qr");
    await shoot(page, "invite");
    await page.evaluate(() => document.querySelector("dialog").close());
  }
  if (wanted("board") || wanted("boards")) {
    const board = await open(page.context(), { url: nodes.web(1) }, "sketch");
    await board.keyboard.press("p");
    for (const points of [circle(520, 330, 70), circle(820, 300, 90), circle(700, 520, 60), [[590, 330], [650, 322], [730, 310]], [[560, 385], [610, 440], [655, 480]], [[790, 385], [760, 430], [725, 468]]]) await drag(board, points);
    await calm(board);
    if (wanted("board")) await shoot(board, "board", 300, () => board.evaluate(() => window.whiteboard.fit()));
    await board.close();
    const list = await open(page.context(), { url: nodes.web(1) });
    if (wanted("boards")) await shoot(list, "boards");
    await list.close();
  }
  if (wanted("login")) {
    const door = await (await browser.newContext({ viewport: SIZES.wide })).newPage();
    await door.goto(nodes.web(2));
    await door.waitForSelector(".door h1");
    await shoot(door, "login");
  }
  // the one who waits for the lock gives up after a minute
  page.troubles = page.troubles.filter((one) => !one.includes("504"));
  troubles = page.troubles.length;
  for (const trouble of page.troubles) console.log(`trouble: ${trouble}`);
  if (wanted("together")) await together();
  if (wanted("trouble")) {
    if (!wanted("together")) nodes.kith("dev", "kill", "3", "--quiet");
    await go(page, "");
    await page.waitForFunction(() => document.querySelector("ul.problems")?.textContent.includes("dev-3 has failed"), null, { timeout: 60000 });
    await shoot(page, "trouble");
    await page.context().setOffline(true);
    nodes.kith("dev", "kill", "1", "--quiet");
    await page.waitForFunction(() => document.querySelector(".banner:not([hidden])"), null, { timeout: 60000 });
    await shoot(page, "stale");
  }
} finally {
  unserve();
  await browser.close();
  nodes.stop();
}
process.exitCode = troubles ? 1 : 0;
