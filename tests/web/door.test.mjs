// Who gets in, as whom, and when that is over.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { axe, barriers, build, cluster, go, kith, launch, logIn } from "./browser.mjs";

let nodes;
let browser;
let admin;

before(async () => {
  nodes = cluster(3, "--set", "web.register=yes");
  browser = await launch();
  admin = await logIn(browser, nodes, 1);
  admin.setDefaultTimeout(20000);
}, { timeout: 60000 });

after(async () => {
  await browser?.close();
  nodes?.stop();
});

const visitor = async (k) => {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  page.setDefaultTimeout(20000);
  await page.goto(nodes.web(k));
  await page.waitForSelector(".door h1");
  return page;
};
const enter = async (page, user, password) => {
  await page.fill("input[name=user]", user);
  await page.fill("input[name=password]", password);
  await page.locator("button[type=submit]").click();
};
const live = (page) => page.waitForSelector(".link-state.live");

test("a stranger is told how to get in, and a link works once", async () => {
  const page = await visitor(2);
  await page.waitForFunction(() => document.querySelector(".door")?.textContent.includes("kith web"));
  const link = nodes.link(2);
  await page.goto(link);
  await live(page);
  assert.equal(new URL(page.url()).hash, "#/");
  const second = await visitor(2);
  await second.goto(link);
  await second.waitForSelector(".door .problem");
  await page.context().close();
  await second.context().close();
});

test("the first user is made from the help, and is an admin", async () => {
  await go(admin, "help");
  await admin.getByRole("button", { name: "Make the first user" }).click();
  await admin.fill("dialog input[name=user]", "ana");
  await admin.fill("dialog input[name=password]", "correct horse battery");
  await admin.locator("dialog button[type=submit]").click();
  await admin.waitForFunction(() => document.querySelector(".who .name")?.textContent.includes("ana · admin"));
});

test("a wrong password is refused with a sentence, the right one lets in at any node, and out again", async () => {
  const page = await visitor(3);
  await enter(page, "ana", "not that one");
  await page.waitForSelector(".door .problem");
  assert.match(await page.textContent(".door .problem"), /password/i);
  await enter(page, "ana", "correct horse battery");
  await live(page);
  await page.getByRole("button", { name: "Log out" }).click();
  await page.waitForSelector(".door h1");
  await page.reload();
  await page.waitForSelector(".door h1");
  await page.context().close();
});

test("who is kept logged in still is when the browser was closed, and nobody else", async () => {
  for (const keep of [true, false]) {
    const page = await visitor(1);
    await page.getByLabel("Keep me logged in").setChecked(keep);
    await enter(page, "ana", "correct horse battery");
    await live(page);
    const cookies = await page.context().cookies();
    await page.context().close();
    const kept = cookies.filter((cookie) => cookie.expires > 0); // the others end with the browser
    assert.equal(kept.length, keep ? 1 : 0);
    const context = await browser.newContext({ storageState: { cookies: kept, origins: [] } });
    const again = await context.newPage();
    again.setDefaultTimeout(20000);
    await again.goto(nodes.web(1));
    await again.waitForSelector(keep ? ".link-state.live" : ".door h1");
    if (keep) assert.ok(kept[0].expires - Date.now() / 1000 > 29 * 86400, "for a month");
    await context.close();
  }
});

test("who registers is a viewer, who looks and may not write", async () => {
  nodes.kith("var", "set", "greeting", "hello");
  const page = await visitor(1);
  await page.getByRole("button", { name: "Register a new account" }).click();
  await enter(page, "ben", "a long one as well");
  await live(page);
  await go(page, "variables/greeting");
  await page.waitForFunction(() => document.querySelector("pre.reply")?.textContent === "hello");
  for (const name of ["Save", "Remove"]) assert.ok(await page.getByRole("button", { name }).isDisabled(), name);
  await go(page, "functions/sys.echo");
  assert.ok(await page.getByRole("button", { name: "Call", exact: true }).isDisabled());
  await go(page, "nodes");
  assert.ok(await page.getByRole("button", { name: "Connect to a node" }).isDisabled());
  const status = await page.evaluate(async () => (await fetch("/v1/vars/greeting", { method: "PUT", body: "x", headers: { "X-Kith": "1" } })).status);
  assert.equal(status, 403);
  assert.equal(nodes.kith("var", "get", "greeting").trim(), "hello");
  await page.context().close();
});

test("a session that is over leads to the door, and back to the same page", async () => {
  const page = await visitor(1);
  await enter(page, "ben", "a long one as well");
  await live(page);
  await go(page, "nodes/dev-2");
  await go(admin, "users");
  await admin.locator("tr", { hasText: "ben" }).getByRole("button", { name: "Change" }).click();
  await admin.selectOption("dialog select[name=role]", "operator");
  await admin.locator("dialog button[type=submit]").click();
  await page.waitForFunction(() => document.querySelector(".door .problem")?.textContent.includes("Your session is over."));
  await enter(page, "ben", "a long one as well");
  await live(page);
  await page.waitForFunction(() => document.querySelector("main h1")?.textContent.includes("dev-2"));
  assert.match(await page.textContent(".who .name"), /operator/);
  await page.context().close();
});

test("a page whose node was started again goes on there without a log-in", async () => {
  const alone = cluster(1);
  const page = await logIn(browser, alone, 1);
  try {
    const web = alone.web(1);
    await page.evaluate(() => { window.same = true; }); // a reload would lose it
    const session = page.waitForResponse((response) => response.url().endsWith("/v1/login") && response.request().postData()?.includes("handover"), { timeout: 60000 });
    kith("dev", "kill", "1", "--dir", alone.dir, "--quiet"); // returns when it has ended
    kith("dev", "1", "--dir", alone.dir, "--load", `${build}/mandelbrot.so`, "--quiet");
    assert.equal(alone.web(1), web);
    assert.equal((await session).status(), 200);
    await page.waitForSelector(".link-state.live", { timeout: 60000 });
    assert.equal(await page.locator(".door").count(), 0);
    assert.equal(await page.evaluate(() => window.same), true);
  } finally {
    await page.context().close();
    alone.stop();
  }
});

test("who changes the password ends the other sessions, and comes in by the new one only", async () => {
  const [here, there] = [await visitor(1), await visitor(2)];
  for (const page of [here, there]) {
    await enter(page, "ben", "a long one as well");
    await live(page);
  }
  await go(here, "help");
  await here.getByRole("button", { name: "Change password" }).click();
  await here.fill("dialog input[name=old_password]", "not that one");
  await here.fill("dialog input[name=password]", "an even longer one");
  await here.locator("dialog button[type=submit]").click();
  await here.waitForSelector(".note.error");
  await here.locator(".note.error button").click();
  await here.getByRole("button", { name: "Change password" }).click();
  await here.fill("dialog input[name=old_password]", "a long one as well");
  await here.fill("dialog input[name=password]", "an even longer one");
  await here.locator("dialog button[type=submit]").click();
  await there.waitForSelector(".door .problem");
  await enter(there, "ben", "a long one as well");
  await there.waitForFunction(() => /password/i.test(document.querySelector(".door .problem")?.textContent ?? ""));
  await enter(there, "ben", "an even longer one");
  await live(there);
  await here.context().close();
  await there.context().close();
});

test("a user who is removed is out at once, and may not come back", async () => {
  const page = await visitor(3);
  await enter(page, "ben", "an even longer one");
  await live(page);
  await go(admin, "users");
  assert.ok(await admin.locator("tr", { hasText: "ana" }).getByRole("button", { name: "Remove" }).isDisabled(), "nobody removes themselves");
  await admin.locator("tr", { hasText: "ben" }).getByRole("button", { name: "Remove" }).click();
  await admin.locator("dialog button[type=submit]").click();
  await admin.waitForFunction(() => document.querySelectorAll("main .table tbody tr").length === 1);
  await page.waitForSelector(".door .problem");
  await enter(page, "ben", "an even longer one");
  await page.waitForFunction(() => /password/i.test(document.querySelector(".door .problem")?.textContent ?? ""));
  await page.context().close();
});

test("the page to log in at has no serious barrier, nor has that to register", async () => {
  const page = await visitor(1);
  await page.evaluate(readFileSync(axe(), "utf8"));
  const found = [];
  for (const theme of ["light", "dark"]) {
    await page.evaluate((to) => { document.documentElement.dataset.theme = to; }, theme);
    found.push(...await barriers(page));
    await page.getByRole("button", { name: /Register a new account|I have an account/ }).click();
    found.push(...await barriers(page));
  }
  assert.deepEqual(found, []);
  await page.context().close();
});
