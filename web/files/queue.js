// Files on their way from this browser to the node: a few at once, the others wait. Knows nothing of elements and routes.

const AT_ONCE = 2;
const KEPT_MS = 20000; // those that have arrived are shown for so long
const LATELY_MS = 3000; // over which the rate is taken

/** How fast something goes, from figures that come now and then: {add(done, now), rate}. */
export class Speed {
  constructor() {
    this.points = [];
  }

  add(done, now) {
    this.points.push([now, done]);
    while (this.points.length > 2 && now - this.points[1][0] > LATELY_MS) this.points.shift();
  }

  /** Bytes a second; undefined while it is not known. */
  get rate() {
    const [first, last] = [this.points[0], this.points.at(-1)];
    return !first || last[0] - first[0] < 200 ? undefined : ((last[1] - first[1]) * 1000) / (last[0] - first[0]);
  }
}

/** @send: as upload() of lib/files.js. */
export class Queue {
  constructor(send) {
    this.send = send;
    this.items = [];
    this.listeners = new Set();
    this.no = 0;
  }

  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  tell(item) {
    for (const listener of this.listeners) listener(item);
  }

  /** @files: [{file, path}]: what becomes which path. Nothing that is there already is replaced without being asked. */
  add(files) {
    for (const { file, path } of files) this.items.push({ id: ++this.no, file, path, size: file.size, done: 0, state: "waiting", fresh: true, error: null, speed: new Speed() });
    this.go();
  }

  get running() {
    return this.items.filter((item) => item.state === "running" || item.state === "waiting");
  }

  go() {
    const free = AT_ONCE - this.items.filter((item) => item.state === "running").length;
    for (const item of this.items.filter((one) => one.state === "waiting").slice(0, Math.max(0, free))) this.run(item);
    this.tell(null);
  }

  async run(item) {
    item.state = "running";
    item.done = 0;
    item.error = null;
    item.speed = new Speed();
    item.leaving = new AbortController();
    item.speed.add(0, performance.now());
    try {
      item.entry = await this.send(item.path, item.file, {
        fresh: item.fresh, signal: item.leaving.signal,
        progress: (done) => {
          item.done = done;
          item.speed.add(done, performance.now());
          this.tell(item);
        },
      });
      item.done = item.size;
      item.state = "done";
      setTimeout(() => this.forget(item), KEPT_MS);
    } catch (error) {
      item.error = error;
      item.state = error.name === "AbortError" ? "given up" : item.fresh && (error.status === 412 || error.code === "KITH_E_EXISTS") ? "exists" : "failed";
      if (item.state === "given up") setTimeout(() => this.forget(item), KEPT_MS);
    }
    this.go();
  }

  /** Once more; replace: even if there is such a file. */
  again(item, { replace = false } = {}) {
    if (replace) item.fresh = false;
    item.state = "waiting";
    this.go();
  }

  cancel(item) {
    if (item.state === "running") item.leaving.abort();
    else this.forget(item);
  }

  forget(item) {
    this.items = this.items.filter((one) => one !== item);
    this.tell(null);
  }
}

/** The files of a drop, those in folders too: resolves to [{file, name}], name: "dir/file". */
export async function dropped(transfer) {
  // entries are gone once the event is over
  const roots = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!roots.some((entry) => entry.isDirectory)) return [...transfer.files].map((file) => ({ file, name: file.name }));
  const found = [];
  const walk = async (entry, above) => {
    const name = above + entry.name;
    if (entry.isFile) {
      found.push({ file: await new Promise((resolve, reject) => { entry.file(resolve, reject); }), name });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); }); // a hundred at most each time
      if (!some.length) return;
      for (const one of some) await walk(one, `${name}/`);
    }
  };
  for (const entry of roots) await walk(entry, "");
  return found;
}
