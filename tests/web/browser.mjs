// What the browser tests and the screenshots share: a cluster of their own, a browser, a logged-in page.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

export const build = process.env.KITH_BUILD ?? "build";
// Where npm put playwright-core and axe-core: tools/web-tools.sh says it.
const require = createRequire(resolve(process.env.KITH_WEB_TOOLS ?? join(build, "web-tools"), "package.json"));
export const { chromium } = require("playwright-core");
export const readQr = (...args) => require("jsqr")(...args);
export const axe = () => require.resolve("axe-core/axe.min.js");

const QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--force-color-profile=srgb"];

/** kith with some arguments; what it prints. */
export function kith(...args) {
  return execFileSync(`${build}/kith`, args, { encoding: "utf8", timeout: 60000, stdio: ["ignore", "pipe", "pipe"] });
}

/** A cluster of @n nodes in a directory of its own: {dir, kith(...), web(k), link(k), stop()}. */
export function cluster(n, ...options) {
  const dir = mkdtempSync(join(tmpdir(), "kith-web-"));
  kith("dev", String(n), "--dir", dir, "--load", `${build}/mandelbrot.so`, "--quiet", ...options);
  const here = { dir, kith: (...args) => kith(...args, "--dir", dir) };
  here.at = (k, ...args) => kith(...args, "--dev", String(k), "--dir", dir);
  here.web = (k) => JSON.parse(here.at(k, "info", "--json")).web;
  here.link = (k) => here.at(k, "web").trim().split("\n")[0];
  here.stop = () => {
    kith("dev", "stop", "--dir", dir, "--quiet");
    rmSync(dir, { recursive: true, force: true });
  };
  return here;
}

export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: QUIET });

/** A page that has logged in at node @k; what goes wrong in it is in page.troubles. */
export async function logIn(browser, nodes, k, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  const page = await context.newPage();
  page.troubles = [];
  page.on("pageerror", (error) => page.troubles.push(String(error)));
  page.on("console", (message) => message.type() === "error" && page.troubles.push(message.text()));
  await page.goto(nodes.link(k));
  await page.waitForSelector(".link-state.live");
  return page;
}

/** Goes to a page of the page, and waits until it has something to show. */
export async function go(page, path) {
  await page.evaluate((to) => { location.hash = to; }, `#/${path}`);
  await page.waitForFunction(() => document.querySelector("main :is(h1, .state.error)") && !document.querySelector("main .state.loading"));
}

/** What axe (which has been evaluated in @page) finds serious in what is shown now. */
export async function barriers(page) {
  // colours pass over into each other: what is judged is where they arrive
  await page.waitForFunction(() => document.getAnimations().every((one) => one.playState !== "running" || one.effect.getComputedTiming().iterations === Infinity));
  return page.evaluate(async () => {
    const { violations } = await window.axe.run(document, { resultTypes: ["violations"] });
    return violations.filter((one) => one.impact === "serious" || one.impact === "critical").map((one) => `${one.id}: ${one.nodes[0].html.slice(0, 120)} ${one.nodes[0].failureSummary.slice(0, 160)}`);
  });
}
