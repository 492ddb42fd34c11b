// A page goes on at another node when its own hangs or dies: to other hosts, and by TLS as the user it was.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { after, afterEach, before, test } from "node:test";
import { cluster, go, launch, logIn } from "./browser.mjs";

const MOVED = 90000; // a page takes its node for dead after some 20 s
let browser;
let nodes;

before(async () => {
  browser = await launch();
});

afterEach(() => {
  nodes?.stop();
  nodes = null;
});

after(async () => {
  await browser?.close();
});

const info = (k) => JSON.parse(nodes.at(k, "info", "--json"));
const told = (page) => page.evaluate(() => document.querySelector(".link-state")?.textContent);
/** Where a page of dev-1 went on: the number of that node. */
const moved = async (page) => {
  await page.waitForFunction(() => /live, now at dev-[123]$/.test(document.querySelector(".link-state")?.textContent ?? ""), null, { timeout: MOVED });
  return Number((await told(page)).at(-1));
};
/** The page, loaded when its node knows where the others are: its policy names them. */
const knowing = async (page) => {
  await page.waitForFunction(async () => {
    const { api } = await import("/lib/session.js");
    return (await api("/v1/nodes")).nodes.every((node) => node.web);
  }, null, { timeout: 60000, polling: 500 });
  await page.reload();
  await page.waitForSelector(".link-state.live");
  await page.waitForFunction(async () => {
    const { session } = await import("/lib/session.js");
    return [...session.members.values()].filter((member) => member.web).length === 2;
  }, null, { timeout: 60000 });
};

test("a page goes on at a member on another host when its node hangs, and when that dies, but talks to no stranger", async () => {
  nodes = cluster(3);
  nodes.kith("dev", "stop", "--quiet");
  for (const k of [1, 2, 3]) {
    const file = `${nodes.dir}/${k}/kith.conf`;
    writeFileSync(file, `${readFileSync(file, "utf8")}[web]\nlisten = 127.0.0.${k}:0\n`);
  }
  nodes.kith("dev", "3", "--quiet");
  const page = await logIn(browser, nodes, 1);
  page.setDefaultTimeout(30000);
  await knowing(page);
  const blocked = await page.evaluate(() => new Promise((resolve) => {
    addEventListener("securitypolicyviolation", (event) => resolve(event.blockedURI), { once: true });
    fetch("http://127.0.0.9:7118/v1/session").catch(() => {});
  }));
  assert.match(blocked, /127\.0\.0\.9/);

  const { pid } = info(1);
  process.kill(pid, "SIGSTOP");
  let at;
  try {
    at = await moved(page);
  } finally {
    process.kill(pid, "SIGCONT");
  }
  assert.notEqual(at, 1);
  assert.equal(await page.evaluate(async () => (await import("/lib/session.js")).session.base), nodes.web(at));
  await go(page, "self");
  await page.waitForFunction((name) => document.querySelector("main h1")?.textContent.includes(name), `dev-${at}`);

  // the second time it brings a token from where it was handed over to, and nobody looks at it
  await go(page, "nodes");
  await page.waitForFunction(() => document.querySelectorAll("main tbody .badge.alive").length === 3, null, { timeout: 60000 });
  await page.waitForFunction(async () => {
    const { session } = await import("/lib/session.js");
    return [...session.members.values()].filter((member) => member.web).length === 2;
  }, null, { timeout: 60000 });
  await page.evaluate(() => {
    Object.defineProperty(document, "hidden", { value: true, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  nodes.kith("dev", "kill", String(at), "--quiet");
  await page.waitForFunction((name) => /live, now at dev-[123]$/.test(document.querySelector(".link-state")?.textContent ?? "") && !document.querySelector(".link-state").textContent.endsWith(name), `dev-${at}`, { timeout: MOVED });
  const next = Number((await told(page)).at(-1));
  await page.evaluate(() => {
    delete document.hidden;
    document.dispatchEvent(new Event("visibilitychange"));
  });
  nodes.at(next, "var", "set", "here", "too");
  await go(page, "variables/here");
  await page.waitForFunction(() => document.querySelector("pre.reply")?.textContent === "too");
  await page.context().close();
});

const outward = Object.values(networkInterfaces()).flat().find((one) => one.family === "IPv4" && !one.internal)?.address;

test("by TLS a user goes on at another node as the same user, until that one is removed, and another logs in there", { skip: outward ? false : "this machine has no address but loopback" }, async () => {
  nodes = cluster(3, "--set", `web.listen=${outward}:0`);
  for (const [user, role] of [["ana", "admin"], ["ben", "operator"]])
    execFileSync(`${process.env.KITH_BUILD ?? "build"}/kith`, ["user", "add", user, "--role", role, "--dev", "1", "--dir", nodes.dir], { input: "correct horse battery\n" });
  assert.match(nodes.web(1), /^https:/);
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ignoreHTTPSErrors: true });
  const page = await context.newPage();
  page.setDefaultTimeout(30000);
  const enter = async (user) => {
    await page.fill("input[name=user]", user);
    await page.fill("input[name=password]", "correct horse battery");
    await page.locator("button[type=submit]").click();
    await page.waitForSelector(".link-state.live");
  };
  await page.goto(nodes.web(1));
  await enter("ben");
  const shows = (value) => page.waitForFunction((wanted) => document.querySelector("pre.reply")?.textContent === wanted, value);
  await knowing(page);
  await page.evaluate(() => import("/pages/variables.js")); // what was not loaded by then is another test's
  assert.match(await page.textContent(".who .name"), /ben · operator/);
  nodes.kith("dev", "kill", "1", "--quiet");
  const at = await moved(page);
  assert.match(await page.textContent(".who .name"), /ben · operator/);

  // as an operator: variables may be written, users not looked at
  nodes.at(at, "var", "set", "mine", "before");
  await go(page, "variables/mine");
  await shows("before");
  await page.fill("main textarea", "after");
  await page.getByRole("button", { name: "Save" }).click();
  await shows("after");
  const status = await page.evaluate(async () => {
    const { api } = await import("/lib/session.js");
    return (await api("/v1/users", { raw: true })).status;
  });
  assert.equal(status, 403);

  nodes.at(at, "user", "rm", "ben");
  await page.waitForFunction(() => document.querySelector(".door .problem")?.textContent.includes("Your session is over."));
  await enter("ana");
  assert.match(await page.textContent(".who .name"), /ana · admin/);
  await go(page, "users");
  await page.waitForFunction(() => document.querySelector("main tbody")?.textContent.includes("ana"));
  await page.getByRole("button", { name: "Log out" }).click();
  await page.waitForSelector(".door h1");
  await context.close();
});
