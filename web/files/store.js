// What this page knows of the tree: folders are asked for when they are opened, page by page, and follow the changes
// that the node tells of. Knows nothing of elements.

// What names are compared by: cases and accents apart, numbers by what they are worth. Made once for each, since a
// collator is too slow for 100,000.
const keyOf = (name) => {
  const plain = /^[ -~]*$/.test(name) ? name : name.normalize("NFD").replace(/[\u0300-\u036f]/g, "");
  return plain.toLowerCase().replace(/\d+/g, (digits) => digits.replace(/^0+(?=\d)/, "").padStart(12, "0"));
};
const byText = (a, b) => (a.$key < b.$key ? -1 : a.$key > b.$key ? 1 : a.path < b.path ? -1 : Number(a.path > b.path));
/** @entry as it is kept: with what it is sorted by. */
const kept = (entry) => {
  entry.$key = keyOf(entry.path);
  return entry;
};

export const nameOf = (path) => path.slice(path.lastIndexOf("/") + 1);
export const folderOf = (path) => (path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : "");
export const isFolder = (entry) => entry.kind === "directory" || entry.kind === "share";
/** Is @path @folder, or beneath it? "" is above all. */
export const within = (path, folder) => folder === "" || path === folder || path.startsWith(`${folder}/`);

/** How this node has it: a number that sorts, and the words. */
export function hereOf(entry) {
  if (isFolder(entry) || entry.kind === "symlink") return [0, ""];
  if (entry.pinned) return [3, "pinned"];
  if (entry.here) return [2, "held"];
  return entry.cached ? [1, "cached"] : [0, ""];
}
/** No node that holds its content is there. */
export const outOfReach = (entry) => entry.kind === "file" && entry.size > 0 && !entry.cached && !entry.here && Number(entry.holders_alive ?? entry.holders?.length ?? 0) === 0;

const KEYS = {
  name: (entry) => entry.$key,
  size: (entry) => Number(entry.size),
  modified: (entry) => entry.modified ?? "",
  holders: (entry) => entry.holders?.length ?? 0,
  here: (entry) => hereOf(entry)[0],
  conflicts: (entry) => Number(entry.conflicts ?? 0),
};

/** Compares entries by @sort, "name" or "-size": folders before files, whatever the direction. */
export function order(sort) {
  const down = sort.startsWith("-") ? -1 : 1;
  const key = KEYS[sort.replace("-", "")] ?? KEYS.name;
  const plain = key === KEYS.name;
  return (a, b) => {
    const sides = isFolder(b) - isFolder(a);
    if (sides) return sides;
    if (plain) return down * byText(a, b);
    const [x, y] = [key(a), key(b)];
    return down * (x < y ? -1 : x > y ? 1 : 0) || byText(a, b);
  };
}

/** What the choice beside the filter leaves. */
export const KINDS = {
  conflicts: ["With conflicts", (entry) => entry.conflicts > 0 || Boolean(entry.conflict_of)],
  cached: ["In this node's cache", (entry) => entry.cached],
  pinned: ["Pinned", (entry) => entry.pinned],
  lost: ["No copy within reach", outOfReach],
};

class Folder {
  constructor(path) {
    this.path = path;
    this.entries = new Map(); // path -> entry
    this.state = "new"; // "loading" "ready" "failed"
    this.error = null;
    this.underWay = null;
    this.late = []; // changes that came while it was read
    this.sorted = []; // the entries in the order @by, as they were when it was last asked for
    this.by = "";
    this.added = []; // paths that have come since then
    this.lines = null; // what list() gives, until something changes
  }

  set(entry) {
    const before = this.entries.get(entry.path);
    if (!before) this.added.push(entry.path);
    this.entries.set(entry.path, kept(before ? { ...before, ...entry, $line: undefined } : entry));
    this.lines = null;
  }

  delete(path) {
    this.lines = null;
    return this.entries.delete(path);
  }

  /** Others in the place of all. */
  replace(entries) {
    this.entries = entries;
    this.sorted = [];
    this.by = "";
    this.lines = null;
  }

  /** Its entries in their order, versions in conflict behind the file that they belong to. */
  list(sort) {
    if (this.lines && this.by === sort) return this.lines;
    // most are where they were: sorting them again takes hardly longer than looking at each
    const before = this.by === sort ? this.sorted.map((entry) => entry.path) : [];
    const paths = this.by !== sort ? this.entries.keys() : this.added.length ? new Set([...before, ...this.added]) : before;
    const all = [];
    const beside = new Map(); // path of a file -> the versions behind it
    for (const path of paths) {
      const entry = this.entries.get(path);
      if (!entry) continue;
      all.push(entry);
      if (entry.conflict_of && this.entries.has(entry.conflict_of)) beside.set(entry.conflict_of, []);
    }
    this.sorted = this.lines = all.sort(order(sort));
    this.by = sort;
    this.added = [];
    if (!beside.size) return this.lines;
    for (const entry of all) beside.get(entry.conflict_of)?.push(entry);
    this.lines = all.filter((entry) => !beside.has(entry.conflict_of)).flatMap((entry) => [entry, ...(beside.get(entry.path) ?? [])]);
    return this.lines;
  }
}

export class Store {
  /**
   * @list(path, after) -> Promise of {entries, next}: a page of a folder; "" has the shares. @changed() is called whenever
   * something else is known. @wait(ms): resolves after a while, for what is asked again.
   */
  constructor(list, changed, wait = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); })) {
    Object.assign(this, { ask: list, changed, wait });
    this.folders = new Map();
    this.again = new Set();
    this.closed = false;
  }

  folder(path) {
    let folder = this.folders.get(path);
    if (!folder) this.folders.set(path, folder = new Folder(path));
    return folder;
  }

  /** The entry at @path, if it is known. */
  entry(path) {
    return this.folders.get(folderOf(path))?.entries.get(path);
  }

  /** Reads a folder, once; again: true, or after a failure, anew: what is known of it stays until then. */
  load(path, { again = false } = {}) {
    const folder = this.folder(path);
    if (folder.underWay) return folder.underWay;
    if (folder.state === "ready" && !again) return Promise.resolve();
    folder.underWay = this.read(folder).finally(() => {
      folder.underWay = null;
      this.changed();
    });
    return folder.underWay;
  }

  async read(folder) {
    const first = folder.state !== "ready";
    const found = new Map();
    folder.error = null;
    folder.late = [];
    if (first) folder.state = "loading";
    try {
      let after = "";
      do {
        const page = await this.ask(folder.path, after);
        if (this.closed) return;
        for (const entry of page.entries) if (first) folder.set(entry); else found.set(entry.path, kept(entry));
        after = page.next ?? "";
        if (first) this.changed();
      } while (after);
      if (!first) folder.replace(found);
      folder.state = "ready";
      for (const change of folder.late.splice(0)) this.put(folder, change);
    } catch (error) {
      folder.error = error;
      if (first) folder.state = "failed";
    }
  }

  /** All folders that were read are read anew. */
  refresh() {
    return Promise.all([...this.folders.values()].filter((folder) => folder.state !== "new").map((folder) => this.load(folder.path, { again: true })));
  }

  /** A change that the node told: {type, path, from, entry}. Returns the paths that look other than before. */
  apply(change) {
    const touched = [];
    if (change.from) touched.push(...this.gone(change.from));
    if (change.type === "deleted" || !change.entry) touched.push(...this.gone(change.path));
    else {
      const parent = this.folders.get(folderOf(change.path));
      if (parent && parent.state !== "new") {
        this.put(parent, change);
        touched.push(change.path);
      } else this.missing(change.path);
      // versions beside it have come or gone, and have names of their own
      if (change.type === "conflict" || change.type === "resolved") this.soon(folderOf(change.path));
    }
    if (touched.length) this.changed();
    return touched;
  }

  put(folder, change) {
    if (folder.underWay) folder.late.push(change);
    if (change.type === "deleted") folder.delete(change.path);
    else folder.set(change.entry);
  }

  gone(path) {
    const parent = this.folders.get(folderOf(path));
    if (!parent || parent.state === "new") return [];
    const was = parent.entries.get(path);
    this.put(parent, { type: "deleted", path });
    if (was && isFolder(was)) for (const known of [...this.folders.keys()]) if (within(known, path)) this.folders.delete(known);
    if (was && Number(was.conflicts) > 0) this.soon(parent.path);
    return [path];
  }

  // Something is in a folder that is not known: if it is a new one, the nearest known folder above lacks it.
  missing(path) {
    let below = path;
    for (let at = folderOf(path); ; below = at, at = folderOf(at)) {
      const folder = this.folders.get(at);
      if (folder && folder.state !== "new") {
        if (!folder.entries.has(below)) this.soon(at);
        return;
      }
      if (at === "") return;
    }
  }

  async soon(path) {
    if (this.again.has(path)) return;
    this.again.add(path);
    await this.wait(300);
    this.again.delete(path);
    if (this.closed) return;
    const folder = this.folders.get(path);
    if (folder?.underWay) await folder.underWay;
    if (!this.closed && this.folders.has(path)) await this.load(path, { again: true });
  }

  /** Other facts of an entry that is known: what a stat said, what an action did. */
  note(entry) {
    const folder = this.folders.get(folderOf(entry.path));
    if (!folder?.entries.has(entry.path)) return;
    folder.set(entry);
    this.changed();
  }

  /**
   * The lines that are seen of @base while the folders of the Set @open are open: {key, entry, depth}, and
   * {key, depth, says: "loading" "empty" "failed", folder}. @keep(entry): files that are shown.
   */
  visible(base, { open, sort = "name", keep = null }, depth = 0, lines = []) {
    const folder = this.folders.get(base);
    if (!folder) return lines;
    let shown = 0;
    for (const entry of folder.list(sort)) {
      if (keep && !isFolder(entry) && !keep(entry)) continue;
      shown++;
      const own = depth + (entry.conflict_of ? 1 : 0);
      if (entry.$line?.depth !== own) entry.$line = { key: entry.path, entry, depth: own };
      lines.push(entry.$line);
      if (isFolder(entry) && open.has(entry.path)) this.visible(entry.path, { open, sort, keep }, depth + 1, lines);
    }
    if (folder.state === "failed") lines.push({ key: `${base}/ failed`, says: "failed", depth, folder });
    else if (folder.state === "loading" || folder.state === "new") lines.push({ key: `${base}/ loading`, says: "loading", depth, folder });
    else if (!shown && depth > 0) lines.push({ key: `${base}/ empty`, says: "empty", depth, folder });
    return lines;
  }

  close() {
    this.closed = true;
  }
}

/** What is typed as a pattern of find: words without wildcards are found anywhere in a name. */
export function pattern(typed) {
  const text = typed.trim();
  return /[*?[\]\\]/.test(text) ? text : `*${text}*`;
}
