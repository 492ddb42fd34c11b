// The Files page: the same tree on every node, up and down, changes elsewhere, conflicts, trash, and who may do what.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { axe, barriers, cluster, go, launch, logIn } from "./browser.mjs";
import { modules } from "./serve.mjs";

const [{ order, pattern, Store }, { Queue, Speed }] = await modules("files/store.js", "files/queue.js");
const LARGE = 20 * 1024 * 1024; // above what a body of other routes may have
const PICTURE = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30"><rect width="40" height="30" fill="teal"/></svg>';
let nodes;
let browser;
let page; // at dev-1
let other; // at dev-2
let folders; // of dev-1, dev-2, dev-3

before(async () => {
  nodes = cluster(3);
  browser = await launch();
  folders = [1, 2, 3].map((k) => join(nodes.dir, `folder-${k}`));
  for (const folder of folders) mkdirSync(folder);
  [page, other] = await Promise.all([1, 2].map((k) => logIn(browser, nodes, k, { acceptDownloads: true })));
  for (const one of [page, other]) {
    one.setDefaultTimeout(60000);
  }
}, { timeout: 120000 });

after(async () => {
  await browser?.close();
  nodes?.stop();
});

const calm = (on = page) => assert.deepEqual(on.troubles.splice(0), []);
const shown = (selector, text, on = page) => on.waitForFunction(([s, t]) => [...document.querySelectorAll(s)].some((one) => one.textContent.includes(t)), [selector, text]);
const write = (k, name, data) => {
  const path = join(folders[k - 1], name);
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, data);
};
const row = (name, on = page) => on.locator(".g-body .g-row", { has: on.locator("a", { hasText: new RegExp(`^${name.replaceAll(".", "\\.")}$`) }) });
const names = (on = page) => on.$$eval(".g-body .g-row:not(.says)", (rows) => rows.map((one) => one.querySelector("a").textContent));
const become = async (wanted, on = page) => {
  for (const end = Date.now() + 60000; JSON.stringify(await names(on)) !== JSON.stringify(wanted);) assert.ok(Date.now() < end, `${JSON.stringify(await names(on))} instead of ${JSON.stringify(wanted)}`);
};
const act = (name, on = page) => on.locator(".panel").getByRole("button", { name, exact: true }).click();
/** What the page itself gets at @path. */
const got = async (path, on = page) => on.evaluate(async (at) => {
  const { content } = await import("/lib/files.js");
  return (await content(at)).text();
}, path);
const until = async (what, check) => {
  for (const end = Date.now() + 60000; ;) {
    const found = await check();
    if (found) return found;
    assert.ok(Date.now() < end, `never: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
};

/* ---- without a browser ---- */

const file = (path, more) => ({ path, kind: "file", size: 1, modified: "2026-01-01T00:00:00Z", holders: ["a"], conflicts: 0, ...more });
const folder = (path) => ({ path, kind: "directory", size: 0, modified: "", holders: [], conflicts: 0 });
/** A store of @tree (path of a folder -> pages of entries), and how often each was asked for. */
function known(tree) {
  const asked = [];
  const store = new Store(async (path, after) => {
    asked.push(path);
    const pages = tree[path];
    if (!pages) throw new Error(`no ${path}`);
    const i = Number(after || 0);
    return { entries: pages[i].map((entry) => ({ ...entry })), next: pages[i + 1] ? String(i + 1) : undefined };
  }, () => {}, async () => {});
  return { store, asked };
}
const lines = (store, base, more) => store.visible(base, { open: new Set(), ...more }).map((line) => `${" ".repeat(line.depth)}${line.says ?? line.entry.path}`);

test("a folder of several pages is in order: folders first, numbers by their worth, versions behind their file", async () => {
  const { store, asked } = known({ s: [[file("s/b10"), file("s/b9"), folder("s/z")], [file("s/A", { conflicts: 1 }), file("s/A.conflict-1", { conflict_of: "s/A", size: 9 }), file("s/\u00e4")]], "s/z": [[]] });
  await store.load("s");
  await store.load("s");
  assert.deepEqual(asked, ["s", "s"]);
  assert.deepEqual(lines(store, "s"), ["s/z", "s/A", " s/A.conflict-1", "s/\u00e4", "s/b9", "s/b10"]);
  assert.deepEqual(lines(store, "s", { sort: "-name" }), ["s/z", "s/b10", "s/b9", "s/\u00e4", "s/A", " s/A.conflict-1"]);
  assert.deepEqual(lines(store, "s", { keep: (entry) => entry.conflicts > 0 }), ["s/z", "s/A"]);
  await store.load("s/z");
  assert.deepEqual(lines(store, "s", { open: new Set(["s/z"]) }).slice(0, 2), ["s/z", " empty"]);
  assert.ok(order("size")(folder("x/b"), file("x/a")) < 0);
});

test("changes are followed: those that come while a folder is read, new folders, what is gone and back", async () => {
  const tree = { s: [[file("s/a")], [file("s/b")]] };
  const { store, asked } = known(tree);
  const reading = store.load("s");
  store.apply({ type: "deleted", path: "s/a" });
  store.apply({ type: "created", path: "s/c", entry: file("s/c") });
  await reading;
  assert.deepEqual(lines(store, "s"), ["s/b", "s/c"]);
  assert.deepEqual(store.apply({ type: "modified", path: "s/b", entry: file("s/b", { size: 7 }) }), ["s/b"]);
  assert.equal(store.entry("s/b").size, 7);
  store.apply({ type: "renamed", from: "s/b", path: "s/a2", entry: file("s/a2") });
  store.apply({ type: "deleted", path: "s/c" });
  store.apply({ type: "created", path: "s/c", entry: file("s/c") });
  assert.deepEqual(lines(store, "s"), ["s/a2", "s/c"]);
  // a file in a folder that nobody has heard of: the folder above is asked for it
  tree.s = [[file("s/a2"), folder("s/new")]];
  asked.length = 0;
  assert.deepEqual(store.apply({ type: "created", path: "s/new/x", entry: file("s/new/x") }), []);
  await until("it was read again", () => asked.includes("s") && lines(store, "s").join() === "s/new,s/a2");
  // what cannot be read says so, and can be tried again
  await store.load("t");
  assert.deepEqual(lines(store, "t"), ["failed"]);
  tree.t = [[file("t/x")]];
  await store.load("t");
  assert.deepEqual(lines(store, "t"), ["t/x"]);
});

test("what is typed becomes a pattern", () => {
  assert.equal(pattern(" ab1 "), "*ab1*");
  assert.equal(pattern("*.txt"), "*.txt");
  assert.equal(pattern("a?c"), "a?c");
});

test("two files are sent at once, what is there is not replaced unasked, and a rate is what came lately", async () => {
  const sent = [];
  const queue = new Queue((path, blob, { fresh, signal }) => new Promise((resolve, reject) => {
    sent.push({ path, fresh, resolve: () => resolve({ path }), reject: (error) => reject(Object.assign(new Error("no"), error)) });
    signal.addEventListener("abort", () => reject(Object.assign(new Error("given up"), { name: "AbortError" })));
  }));
  const state = () => queue.items.map((item) => item.state).join();
  const turn = () => new Promise((resolve) => { setImmediate(resolve); });
  queue.add(["a", "b", "c", "d"].map((name) => ({ path: `s/${name}`, file: { size: 5 } })));
  assert.equal(state(), "running,running,waiting,waiting");
  sent[0].reject({ status: 412 });
  sent[1].resolve();
  await turn();
  assert.equal(state(), "exists,done,running,running");
  queue.cancel(queue.items[2]);
  sent[3].reject({ status: 403 });
  await turn();
  assert.equal(state(), "exists,done,given up,failed");
  queue.again(queue.items[0], { replace: true });
  assert.deepEqual([sent[4].path, sent[4].fresh], ["s/a", false]);
  for (const item of [...queue.items]) queue.forget(item);
  const speed = new Speed();
  speed.add(0, 1000);
  assert.equal(speed.rate, undefined);
  for (let i = 1; i <= 100; i++) speed.add(i * 100, 1000 + i * 100);
  assert.equal(Math.round(speed.rate), 1000);
});

/* ---- with one ---- */

test("without shares the page says how to share a folder", async () => {
  await go(page, "files");
  await shown("main .state.empty .command", "kith share add");
  await shown(".panel h2", "Cache of this node");
  calm();
});

test("two nodes show the same tree, and the address of a part of it leads there", async () => {
  write(1, "readme.txt", "read me\n");
  write(1, "notes/a.txt", "one\n");
  write(1, "notes/deep/b 100%.txt", "two\n");
  write(2, "by-two.txt", "from two\n");
  write(2, "pictures/teal.svg", PICTURE);
  nodes.at(1, "share", "add", "docs", folders[0], "--sync");
  nodes.at(2, "share", "add", "docs", folders[1], "--sync");
  await go(page, "files");
  await become(["docs"]);
  for (const one of [page, other]) {
    await go(one, "files/docs");
    await become(["notes", "pictures", "by-two.txt", "readme.txt"], one);
    await row("notes", one).locator(".twist").click();
    await become(["notes", "deep", "a.txt", "pictures", "by-two.txt", "readme.txt"], one);
  }
  assert.equal(await page.locator(".tree-foot .sum").textContent(), "6 entries");
  await row("deep").locator("a").click();
  await become(["b 100%.txt"]);
  await row("b 100%.txt").click();
  await shown(".preview-text", "two");
  assert.match(page.url(), /#\/files\/docs\/notes\/deep\/b%20100%25\.txt/);
  await page.reload();
  await shown(".preview-text", "two");
  await become(["b 100%.txt"]);
  assert.deepEqual(await page.$$eval("nav.path a", (all) => all.map((one) => one.textContent)), ["All shares", "docs", "notes", "deep"]);
  await page.keyboard.press("Escape");
  await shown(".panel h2", "deep");
  await page.locator("nav.path a", { hasText: "docs" }).click();
  await become(["notes", "pictures", "by-two.txt", "readme.txt"]);
  await shown(".panel h2", "docs");
  calm();
  calm(other);
});

test("a file and a picture are shown, with who holds them, and saved byte by byte", async () => {
  await go(page, "files/docs/pictures/teal.svg");
  await page.waitForFunction(() => document.querySelector(".preview-image img")?.naturalWidth === 40);
  const data = Buffer.from(Array.from({ length: 300000 }, (_, i) => (i * i * 31 + (i >> 8)) & 255));
  write(2, "data.bin", data);
  await go(page, "files/docs");
  await row("data.bin").click();
  await shown(".preview-none", "no");
  await shown(".detail h3", "Held by");
  const waiting = page.waitForEvent("download");
  await act("Download");
  const saved = await waiting;
  assert.equal(saved.suggestedFilename(), "data.bin");
  assert.ok(readFileSync(await saved.path()).equals(data), "the bytes are others");
  const { hash } = JSON.parse(nodes.at(2, "fs", "stat", "docs/data.bin", "--json")).entry;
  assert.equal(await page.textContent(".hash code"), hash);
  calm();
});

test("files are uploaded by the button, and a name that is taken is refused for that file alone", async () => {
  await go(page, "files/docs/notes");
  const sent = join(nodes.dir, "sent");
  mkdirSync(sent);
  for (const [name, data] of [["a.txt", "mine\n"], ["new.txt", "new\n"], ["large.bin", Buffer.alloc(LARGE, 7)]]) writeFileSync(join(sent, name), data);
  const chooser = page.waitForEvent("filechooser");
  await page.getByRole("button", { name: "Upload", exact: true }).click();
  await (await chooser).setFiles(["a.txt", "new.txt", "large.bin"].map((name) => join(sent, name)));
  await page.waitForSelector(".strip .transfer[data-state=exists]");
  await page.waitForFunction(() => document.querySelectorAll(".strip .transfer[data-state=done]").length === 2);
  await become(["deep", "a.txt", "large.bin", "new.txt"]);
  assert.equal(await got("docs/notes/a.txt", other), "one\n");
  assert.equal(readFileSync(join(folders[0], "notes/new.txt"), "utf8"), "new\n");
  await page.getByRole("button", { name: "Replace: a.txt" }).click();
  await until("it was replaced", async () => (await got("docs/notes/a.txt", other)) === "mine\n");
  assert.equal(readFileSync(join(folders[0], "notes/large.bin")).length, LARGE);
  page.troubles.splice(0); // the browser reports what was refused
});

test("files are dropped on a folder of the tree", async () => {
  await go(page, "files/docs");
  await row("pictures").waitFor();
  const transfer = await page.evaluateHandle(() => {
    const all = new DataTransfer();
    all.items.add(new File(["dropped\n"], "dropped.txt", { type: "text/plain" }));
    all.items.add(new File(["too\n"], "too.txt", { type: "text/plain" }));
    return all;
  });
  const box = await row("pictures").boundingBox();
  const at = { dataTransfer: transfer, clientX: box.x + 80, clientY: box.y + 20 };
  await row("pictures").dispatchEvent("dragenter", at);
  await row("pictures").dispatchEvent("dragover", at);
  await page.waitForSelector(".dropping .g-row.target");
  await row("pictures").dispatchEvent("drop", at);
  await until("they are on the disk of the other node too", () => existsSync(join(folders[1], "pictures/dropped.txt")) && existsSync(join(folders[1], "pictures/too.txt")));
  assert.equal(await page.locator(".dropping").count(), 0);
  await go(page, "files/docs/pictures");
  await become(["dropped.txt", "teal.svg", "too.txt"]);
  calm();
});

test("what happens elsewhere is seen without a reload, and flashes", async () => {
  await go(page, "files/docs");
  await row("readme.txt").waitFor();
  await page.evaluate(() => { window.same = true; });
  write(2, "readme.txt", "read me again, it is longer now\n");
  await page.waitForFunction(() => [...document.querySelectorAll(".g-row.flash")].some((one) => one.textContent.includes("readme.txt") && one.textContent.includes("32 B")));
  write(2, "fresh/inside.txt", "x\n");
  await row("fresh").waitFor();
  rmSync(join(folders[1], "by-two.txt"));
  await row("by-two.txt").waitFor({ state: "detached" });
  // of the file that is open, too
  await row("readme.txt").click();
  await shown(".preview-text", "longer now");
  write(2, "readme.txt", "short\n");
  await page.waitForFunction(() => document.querySelector(".preview-text")?.textContent === "short");
  assert.equal(await page.evaluate(() => window.same), true);
  calm();
});

test("a file is deleted, the deletion undone, and another one restored from the trash", async () => {
  await go(page, "files/docs/notes");
  await row("new.txt").click();
  await act("Delete");
  await shown(".note", "Deleted new.txt");
  await row("new.txt").waitFor({ state: "detached" });
  await until("it is gone from the disk", () => !existsSync(join(folders[0], "notes/new.txt")));
  await page.locator(".note button", { hasText: "Undo" }).click();
  await row("new.txt").waitFor();
  assert.equal(await got("docs/notes/new.txt"), "new\n");
  // a folder asks first
  await go(page, "files/docs/fresh");
  await act("Delete");
  await page.locator("dialog button[type=submit]").click();
  await shown(".note", "Deleted fresh");
  await page.locator("nav.tabs a", { hasText: "Trash" }).click();
  await shown("main td", "docs/fresh/inside.txt");
  await page.getByRole("button", { name: "Restore docs/fresh/inside.txt" }).click();
  await page.waitForFunction(() => ![...document.querySelectorAll("main td")].some((td) => td.textContent === "docs/fresh/inside.txt"));
  await until("it is back", async () => (await got("docs/fresh/inside.txt").catch(() => "")) === "x\n");
  page.troubles.splice(0); // while it was not yet back
});

test("two versions stand side by side until one is chosen", async () => {
  // two folders that do not follow each other, with one name in both
  mkdirSync(join(nodes.dir, "left"));
  mkdirSync(join(nodes.dir, "right"));
  writeFileSync(join(nodes.dir, "left/plan.txt"), "monday\ntuesday\n");
  writeFileSync(join(nodes.dir, "right/plan.txt"), "monday\nfriday\n");
  nodes.at(1, "share", "add", "plans", join(nodes.dir, "left"));
  nodes.at(3, "share", "add", "plans", join(nodes.dir, "right"));
  await go(page, "files");
  await page.waitForFunction(() => document.querySelector("nav.tabs .tally.warn")?.textContent === "1");
  await page.locator("nav.tabs a", { hasText: "Conflicts" }).click();
  await page.waitForFunction(() => document.querySelectorAll(".version").length === 2);
  assert.deepEqual((await page.$$eval(".version h3", (all) => all.map((one) => one.firstChild.textContent))).sort(), ["dev-1", "dev-3"]);
  assert.deepEqual((await page.$$eval(".version mark", (all) => all.map((one) => one.textContent.trim()))).sort(), ["friday", "tuesday"]);
  await page.getByRole("button", { name: "Keep this one, by dev-3" }).click();
  await shown(".note", "Kept");
  await shown("main .state.empty", "No conflicts");
  await until("all read that one", async () => (await got("plans/plan.txt", other)) === "monday\nfriday\n");
  await page.waitForFunction(() => document.querySelector("nav.tabs .tally.warn") === null);
  calm();
});

test("a file is pinned into the cache of this node, verified, let go of and evicted", async () => {
  writeFileSync(join(nodes.dir, "right/far.txt"), "far away\n");
  await go(page, "files/plans");
  await row("far.txt").click();
  await act("Pin");
  await shown(".note", "Pinned far.txt: 1 file");
  await page.locator(".panel").getByRole("button", { name: "Unpin", exact: true }).waitFor();
  await page.waitForFunction(() => [...document.querySelectorAll(".g-row")].some((one) => one.textContent.includes("far.txt") && one.textContent.includes("pinned")));
  await act("Verify");
  await page.waitForFunction(() => [...document.querySelectorAll(".note")].some((one) => /read again|nothing to be verified/.test(one.textContent)));
  await act("Unpin");
  await page.locator(".panel").getByRole("button", { name: "Pin", exact: true }).waitFor();
  await act("Evict");
  await shown(".note", "1 file left the cache");
  await page.waitForFunction(() => !JSON.parse(JSON.stringify([...document.querySelectorAll(".g-row")].map((one) => one.textContent))).some((text) => text.includes("far.txt") && text.includes("cached")));
  calm();
  // and what each node's folder has
  await page.locator(".nodes summary").click();
  await shown(".by-node li", "dev-3");
  page.troubles.splice(0); // the other one has nothing there, and says so
});

test("what is fetched says how far it is, and from whom", async () => {
  const { pid } = JSON.parse(nodes.at(3, "info", "--json"));
  writeFileSync(join(nodes.dir, "right/slow.bin"), Buffer.alloc(100000, 5));
  await go(page, "files/plans");
  await row("slow.bin").click();
  await page.locator(".panel").getByRole("button", { name: "Pin", exact: true }).waitFor();
  process.kill(pid, "SIGSTOP"); // who is asked, and does not answer
  try {
    await act("Pin");
    await shown(".strip .transfer .words", "from dev-3");
    await page.locator("nav.tabs a", { hasText: "Transfers" }).click();
    await shown(".transfer .words", "from dev-3");
  } finally {
    process.kill(pid, "SIGCONT");
  }
  await shown(".note", "Pinned slow.bin: 1 file");
  page.troubles.splice(0);
});

test("names are found beneath a folder, kinds chosen, and the address has it", async () => {
  await go(page, "files/docs");
  await page.fill("main .filter", "A.T");
  await become(["data.bin", "notes/a.txt", "notes/large.bin"].filter((name) => /a\.t/i.test(name)));
  assert.match(page.url(), /find=A\.T/);
  await page.reload();
  await become(["notes/a.txt"]);
  await page.fill("main .filter", "*.BIN");
  await become(["data.bin", "notes/large.bin"]);
  await page.locator(".g-head button", { hasText: "Size" }).click();
  await page.locator(".g-head button", { hasText: "Size" }).click();
  await become(["notes/large.bin", "data.bin"]);
  await page.fill("main .filter", "no such name");
  await shown("main .state.empty", "Nothing has such a name");
  await page.fill("main .filter", "");
  await page.getByLabel("Which files").selectOption("pinned");
  await page.waitForFunction(() => [...document.querySelectorAll(".g-body .g-row")].every((one) => one.hasAttribute("aria-expanded")));
  assert.match(page.url(), /kind=pinned/);
  await go(page, "files/docs/nothing here.txt");
  await shown("main .state.error", "There is no docs/nothing here.txt.");
  page.troubles.splice(0);
});

test("a folder that cannot be read says why, and is tried again", async () => {
  await page.route(/\/v1\/files\/docs\/pictures\?/, (route) => route.fulfill({ status: 503, json: { code: "KITH_E_LIMIT", message: "too much at once", hint: "wait a little" } }));
  await go(page, "files/docs");
  await row("pictures").locator(".twist").click();
  await shown(".g-row.says .error", "too much at once");
  await page.unrouteAll({ behavior: "ignoreErrors" });
  await page.locator(".g-row.says button", { hasText: "Try again" }).click();
  await row("teal.svg").waitFor();
  page.troubles.splice(0);
});

test("the tree goes by keys", async () => {
  await go(page, "files/docs");
  await row("notes").waitFor();
  await page.locator(".grid").focus();
  const active = () => page.$eval(".grid", (grid) => document.getElementById(grid.getAttribute("aria-activedescendant"))?.querySelector("a")?.textContent);
  await page.keyboard.press("Home");
  assert.equal(await active(), (await names())[0]);
  for (let i = 0; i < 5 && await active() !== "notes"; i++) await page.keyboard.press("ArrowDown");
  assert.equal(await active(), "notes");
  await page.keyboard.press("ArrowRight");
  await row("deep").waitFor();
  await page.keyboard.press("ArrowRight");
  assert.equal(await active(), "deep");
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("ArrowLeft");
  await row("deep").waitFor({ state: "detached" });
  assert.equal(await active(), "notes");
  await page.keyboard.press("Enter");
  await shown(".panel h2", "notes");
  await page.locator(".grid").focus();
  await page.keyboard.press("Backspace");
  await shown(".panel h2", "docs");
  calm();
});

test("a viewer looks and saves, and sees nothing to write with", async () => {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const guest = await context.newPage();
  guest.setDefaultTimeout(60000);
  const password = "a long one as well";
  for (const [user, role] of [["ana", "admin"], ["ben", "viewer"]])
    assert.equal(await page.evaluate(async ([name, word, as]) => (await fetch("/v1/users", { method: "POST", headers: { "X-Kith": "1", "Content-Type": "application/json" }, body: JSON.stringify({ user: name, password: word, role: as }) })).ok, [user, password, role]), true);
  await guest.goto(nodes.web(1));
  await guest.fill("input[name=user]", "ben");
  await guest.fill("input[name=password]", password);
  await guest.locator("button[type=submit]").click();
  await guest.waitForSelector(".link-state.live");
  await go(guest, "files/docs/readme.txt");
  await guest.waitForFunction(() => document.querySelector(".preview-text"));
  assert.deepEqual(await guest.$$eval("main button", (all) => all.map((one) => one.textContent.trim()).filter((text) => /Upload|Delete|Pin|Unpin|Evict|Verify|Keep|Restore/.test(text))), []);
  assert.ok(await guest.getByRole("button", { name: "Download" }).isEnabled());
  const status = await guest.evaluate(async () => (await fetch("/v1/files/docs/readme.txt", { method: "PUT", body: "x", headers: { "X-Kith": "1" } })).status);
  assert.equal(status, 403);
  for (const view of ["trash", "conflicts", "transfers"]) {
    await go(guest, `files?view=${view}`);
    assert.deepEqual(await guest.$$eval("main button", (all) => all.map((one) => one.textContent.trim()).filter((text) => /Upload|Restore|Keep/.test(text))), []);
  }
  await context.close();
});

test("no part of the page is wider than a phone or has a serious barrier, and a file takes the place of the tree there", async () => {
  await page.evaluate(readFileSync(axe(), "utf8"));
  const found = [];
  for (const [width, height, theme] of [[390, 844, "dark"], [390, 844, "light"], [1440, 900, "dark"], [1440, 900, "light"]]) {
    await page.setViewportSize({ width, height });
    await page.evaluate((to) => { document.documentElement.dataset.theme = to; }, theme);
    for (const path of ["files", "files/docs", "files/docs/readme.txt", "files/docs/pictures/teal.svg", "files?view=transfers", "files?view=conflicts", "files?view=trash"]) {
      await go(page, path);
      if (path.endsWith(".txt")) await page.waitForSelector(".preview-text");
      const wider = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (wider > 0) found.push(`${path}: ${wider} px wider than ${width}`);
      if (path.endsWith(".txt") && width === 390) assert.ok(!await page.locator(".tree-box").isVisible());
      found.push(...(await barriers(page)).map((one) => `${path} ${width} ${theme}: ${one}`));
    }
  }
  await page.setViewportSize({ width: 1440, height: 900 });
  assert.deepEqual(found, []);
  calm();
});

test("of 100,000 entries those in sight are made, and the rest is scrolled to, sorted and followed", async () => {
  const many = 100000;
  const entry = (i) => ({ path: `docs/many/${String(i).padStart(6, "0")}.txt`, kind: "file", size: (i * 7919) % 1000003, hash: "", modified: "2026-11-28T09:12:33Z", changed: "2026-11-28T09:12:33Z", mode: 420, holders: ["dev-1", "dev-2"], holders_alive: 2, here: true, cached: false, pinned: false, conflicts: 0 });
  await page.route(/\/v1\/files\/docs\/many\?/, (route) => {
    const asked = new URL(route.request().url()).searchParams;
    if (asked.has("stat")) return route.fulfill({ json: { entry: { ...entry(0), path: "docs/many", kind: "directory" } } });
    const from = Number(asked.get("cursor") ?? 0);
    return route.fulfill({ json: { entries: Array.from({ length: 1000 }, (_, i) => entry(from + i)), ...(from + 1000 < many && { next: String(from + 1000) }) } });
  });
  await go(page, "files/docs/many");
  await row("000000.txt").waitFor(); // before all are here
  await page.waitForFunction(() => document.querySelector(".tree-foot .sum").textContent === "100,000 entries", null, { timeout: 120000 });
  assert.ok(await page.locator(".g-row").count() < 80);
  await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
  await row("099999.txt").waitFor();
  await page.locator(".grid").focus();
  await page.keyboard.press("Home");
  await row("000000.txt").waitFor();
  await page.locator(".g-head button", { hasText: "Size" }).click();
  await page.waitForFunction(() => document.querySelector(".g-body .g-row:nth-child(1)").textContent.includes("000000.txt") && !document.querySelector(".g-body").textContent.includes("000001.txt"));
  assert.ok(await page.locator(".g-row").count() < 80);
  await page.unrouteAll({ behavior: "ignoreErrors" });
  calm();
});
