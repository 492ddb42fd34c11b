// All shared folders as one tree: what there is, who has it, what is under way, what conflicts, what was deleted.
import { browse } from "../files/browse.js";
import { conflictList, trashList } from "../files/lists.js";
import { Store } from "../files/store.js";
import { queue, transfers } from "../files/transfers.js";
import { fill, h, text } from "../lib/dom.js";
import { conflicts, list, followShares, shares as askShares, stat, watch } from "../lib/files.js";
import { link, query } from "../lib/route.js";
import { may, onSession, session } from "../lib/session.js";
import { dialog, errorState, field, loadingState, note, pageHead } from "../lib/ui.js";

const LISTS_SOON_MS = 500;
const CONFLICTING = new Set(["conflict", "resolved", "deleted"]);
const COUNT_EVERY_MS = 30000; // of other shares nothing is told
const COUNT_PAGES = 20; // of conflicts, for their number
const VIEWS = [["", "Browse"], ["transfers", "Transfers"], ["conflicts", "Conflicts"], ["trash", "Trash"]];

// Its own style, fetched with the page and not before.
const styled = new Promise((resolve) => {
  document.head.append(h("link", { rel: "stylesheet", href: "/files/files.css", onload: resolve, onerror: resolve }));
});

/** A share in the tree is what share.ls says of it. */
const asEntry = (share) => ({ path: share.name, kind: "share", size: share.bytes, modified: "", hash: "", holders: share.nodes, holders_alive: share.nodes.length, conflicts: 0, here: share.folder !== "", cached: false, pinned: false });

export async function page(path) {
  await styled;
  let shares = [];
  let live = null;
  let watched = null;
  let view = null; // of this page: "" is the tree
  let other = null; // the list that is shown instead of the tree
  let scope = "";
  let turn = 0;
  let node = session.base;
  let closed = false;
  let listsTimer = 0;
  let counted = 0;
  const tallies = Object.fromEntries(VIEWS.map(([name]) => [name, h("span.tally")]));

  const store = new Store(async (folder, after) => {
    if (folder) return list(folder, after);
    shares = await askShares();
    return { entries: shares.map(asEntry) };
  }, () => tree.later());
  const tree = browse({ store, shares: () => shares, upload: send });
  const moving = transfers((n) => text(tallies.transfers, n ? String(n) : ""));

  const tabs = VIEWS.map(([name, words]) => h("a", { dataset: { view: name } }, words, tallies[name]));
  const place = h("div.files-place", null, loadingState("files"));
  const picker = h("input", { type: "file", multiple: true, hidden: true, ariaLabel: "Files to upload", onchange: () => {
    send([...picker.files].map((file) => ({ file, name: file.name })), view === "" ? tree.base : scope);
    picker.value = "";
  } });
  const upload = may("operator") && [picker, h("button.primary", { onclick: () => picker.click() }, "Upload")];
  const element = h("div.files", null, pageHead("Files", { sub: "The shared folders of all nodes as one tree. Content is fetched when it is asked for.", actions: upload }),
    h("nav.tabs", { ariaLabel: "Of the files" }, tabs), moving.strip, place);

  /* ---- what is known ---- */

  // The lines of the shares, and what is said of one beside the tree.
  const told = followShares((all, doc) => {
    if (!doc) return; // asking for them said what is wrong
    shares = all;
    const root = store.folder("");
    if (root.state === "new") return;
    const names = new Set(shares.map((share) => share.name));
    for (const name of [...root.entries.keys()]) if (!names.has(name)) root.delete(name);
    for (const share of shares) root.set(asEntry(share));
    root.state = "ready";
    tree.later();
  });

  async function countConflicts() {
    counted = performance.now();
    let n = 0;
    let after = "";
    try {
      for (let pages = 0; pages < COUNT_PAGES && (after || pages === 0) && !closed; pages++) {
        const page = await conflicts("", after);
        n += page.entries.filter((entry) => !entry.conflict_of).length;
        after = page.next ?? "";
      }
    } catch {
      return; // the tree says what is wrong
    }
    if (!closed) tell(n, Boolean(after));
  }
  const tell = (n, more = false) => {
    text(tallies.conflicts, n ? `${n}${more ? "+" : ""}` : "");
    tallies.conflicts.classList.toggle("warn", n > 0);
  };

  function listen(to) {
    if (live && watched === to) return;
    live?.close();
    watched = to;
    live = watch(to, ({ changes, again }) => {
      if (again) {
        store.refresh();
        tree.renew();
        tree.again();
      }
      const touched = changes.flatMap((change) => store.apply(change));
      if (touched.length) tree.flash(touched);
      if (changes.some((change) => change.path === tree.chosen || change.entry?.conflict_of === tree.chosen || change.from === tree.chosen)) tree.renew();
      if (!changes.length && !again) return;
      listsTimer ||= setTimeout(() => {
        listsTimer = 0;
        other?.renew?.();
        if (again || changes.some((change) => CONFLICTING.has(change.type) || Number(change.entry?.conflicts) > 0)) countConflicts();
      }, LISTS_SOON_MS);
    });
    countConflicts();
  }

  /* ---- sending ---- */

  async function send(files, folder) {
    if (!files.length) return;
    let into = folder;
    if (!into) {
      if (!shares.length) return note("Nothing is shared yet: kith share add NAME FOLDER makes a share to put files into", "error");
      const answer = shares.length === 1 ? { share: shares[0].name } : await dialog({ title: "Into which share?", action: "Upload", fields: [field("Share", h("select", { name: "share" }, shares.map((share) => h("option", { value: share.name }, share.name))))] });
      if (!answer) return;
      into = answer.share;
    }
    queue.add(files.map(({ file, name }) => ({ file, path: `${into}/${name}` })));
  }
  const deaf = queue.listen((item) => {
    if (!item) for (const one of queue.items) if (one.entry && !one.told) {
      one.told = true;
      tree.flash(store.apply({ type: "created", path: one.entry.path, entry: one.entry }));
    }
  });

  /* ---- where one is ---- */

  async function go(parts) {
    const mine = ++turn;
    const to = parts.join("/");
    const wanted = VIEWS.some(([name]) => name === query().get("view")) ? query().get("view") : "";
    for (const tab of tabs) {
      const { view: name } = tab.dataset;
      const around = name === "" || name === "transfers" ? to : to.split("/")[0];
      tab.href = `${link("files", ...around.split("/").filter(Boolean))}${name ? `?view=${name}` : ""}`;
      if (name === wanted) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
    moving.strip.classList.toggle("off", wanted === "transfers");
    if (wanted) return goList(wanted, to);
    if (view !== "") {
      other?.close?.();
      other = null;
      fill(place, tree.element);
      view = "";
    }
    let entry = to ? store.entry(to) ?? null : null;
    if (to && !entry)
      try {
        entry = to.includes("/") ? await stat(to) : (await shareOf(to));
      } catch (error) {
        if (mine !== turn || closed) return;
        return lost(to, error);
      }
    if (mine !== turn || closed) return;
    listen(to.split("/")[0] ?? "");
    if (tree.show(to, entry)) scrollTo(0, 0);
  }

  async function shareOf(name) {
    if (!shares.some((share) => share.name === name)) shares = await askShares();
    const share = shares.find((one) => one.name === name);
    return share ? asEntry(share) : stat(name);
  }

  function lost(to, error) {
    view = null;
    fill(place, h("section.card", null, errorState(error.status === 404 ? { message: `There is no ${to}.`, hint: "It may have been deleted; then it can be restored for 7 days." } : error, () => go(to.split("/"))),
      error.status === 404 && h("p.centred", null, h("a", { href: `${link("files", to.split("/")[0])}?view=trash` }, "Look in the trash"), " · ", h("a", { href: "#/files" }, "All shares"))));
  }

  async function goList(name, to) {
    if (view === name && scope === to) return;
    other?.close?.();
    other = null;
    view = name;
    scope = to;
    listen(to.split("/")[0] ?? "");
    if (name === "transfers") {
      fill(place, moving.whole);
      return;
    }
    other = name === "conflicts" ? conflictList(to, (n) => to === "" && tell(n)) : trashList(to);
    fill(place, to && h("p.scope", null, "Beneath ", h("code", null, to), ". ", h("a", { href: `#/files?view=${name}` }, "Everywhere")), other.element);
  }

  const away = onSession(() => {
    if (node === session.base) return;
    node = session.base; // what is cached and held is another node's now
    store.refresh();
    tree.renew();
  });
  await go(path);
  return {
    element,
    title: "Files",
    within: (parts) => {
      go(parts);
      return parts.at(-1) ?? "Files";
    },
    tick: () => {
      moving.tick();
      other?.tick?.();
      if (performance.now() - counted > COUNT_EVERY_MS) countConflicts();
    },
    close: () => {
      closed = true;
      clearTimeout(listsTimer);
      told.close();
      deaf();
      away();
      live?.close();
      other?.close?.();
      store.close();
      tree.close();
      moving.close();
    },
  };
}
