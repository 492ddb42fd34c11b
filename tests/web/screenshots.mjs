// Every page in both themes at both widths: node tests/web/screenshots.mjs OUT (make screenshots).
import { mkdirSync } from "node:fs";
import { cluster, go, launch, logIn } from "./browser.mjs";

const out = process.argv[2] ?? "build/screenshots";
const SIZES = { wide: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } };
const only = process.argv.slice(3);
mkdirSync(out, { recursive: true });

const nodes = cluster(3);
const browser = await launch();
let troubles = 0;
try {
  nodes.kith("var", "set", "greeting", "hello");
  nodes.kith("var", "set", "sensor/kitchen", "21.5", "--type", "f64");
  nodes.kith("var", "set", "sensor/cellar", "14", "--type", "f64");
  nodes.kith("var", "set", "settings/motto", "small and many", "--policy", "durable");
  nodes.kith("var", "incr", "visits", "41");
  const page = await logIn(browser, nodes, 1);
  const lock = page.evaluate(async () => {
    const { api } = await import("/lib/session.js");
    await api("/v1/locks/build?timeout_ms=5000", { method: "POST" });
    api("/v1/locks/build?timeout_ms=60000", { method: "POST" }).catch(() => {});
  });
  await lock;
  const PAGES = { overview: "", nodes: "nodes", node: "nodes/dev-2", resources: "resources", self: "self", functions: "functions", function: "functions/sys.echo",
    variables: "variables", variable: "variables/visits", locks: "locks", lock: "locks/build", events: "events", apps: "apps", mandelbrot: "apps/mandelbrot", help: "help", users: "users", missing: "nowhere" };
  for (const [name, path] of Object.entries(PAGES)) {
    if (only.length && !only.includes(name)) continue;
    await go(page, path);
    if (name === "variable")
      for (const value of [41, 44, 52, 50, 55]) {
        if (value !== 41) nodes.kith("var", "set", "visits", String(value));
        await page.waitForFunction((text) => document.querySelector("pre.reply")?.textContent === text, String(value));
      }
    if (name === "variables") await page.waitForFunction(() => [...document.querySelectorAll("td.value")].some((td) => td.textContent === "hello"));
    if (name === "mandelbrot") await page.waitForFunction(() => / in [\d.]+ s/.test(document.querySelector(".panel p.quiet")?.textContent ?? ""), null, { timeout: 60000 });
    for (const [size, viewport] of Object.entries(SIZES))
      for (const theme of ["light", "dark"]) {
        await page.setViewportSize(viewport);
        await page.evaluate((to) => { document.documentElement.dataset.theme = to; }, theme);
        await page.waitForTimeout(name === "mandelbrot" ? 2500 : 400);
        await page.screenshot({ path: `${out}/${name}-${size}-${theme}.png` });
        const wider = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (wider > 0) console.log(`${name} ${size}: ${wider} px wider than the window`);
      }
    await page.setViewportSize(SIZES.wide);
  }
  if (!only.length || only.includes("login")) {
    const context = await browser.newContext({ viewport: SIZES.wide });
    const door = await context.newPage();
    await door.goto(nodes.web(2));
    await door.waitForSelector(".door h1");
    for (const [size, viewport] of Object.entries(SIZES)) {
      await door.setViewportSize(viewport);
      await door.screenshot({ path: `${out}/login-${size}-light.png` });
    }
  }
  for (const trouble of page.troubles) console.log(`trouble: ${trouble}`);
  troubles = page.troubles.length;
} finally {
  await browser.close();
  nodes.stop();
}
process.exitCode = troubles ? 1 : 0;
