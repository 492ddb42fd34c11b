// Functions served by a test over the control socket, and modules of web/ for tests that need no browser.
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/**
 * Serves @name at the agent of @socket: run(argument: Buffer) -> Buffer, or throws to fail with a sentence. Resolves to
 * a function that ends it, once calls can come.
 */
export function serve(socket, { name, signature, description, run }) {
  return new Promise((settled, failed) => {
    const client = connect(socket);
    let kept = Buffer.alloc(0);
    const send = (message, data) => {
      client.write(`${JSON.stringify({ ...message, ...(data?.length && { data_bytes: data.length }) })}\n`);
      if (data?.length) client.write(data);
    };
    client.on("error", failed);
    client.on("connect", () => send({ id: 1, verb: "fn.serve", args: { name, signature, description } }));
    client.on("data", (chunk) => {
      kept = Buffer.concat([kept, chunk]);
      for (;;) {
        const end = kept.indexOf(10);
        if (end < 0) return;
        const message = JSON.parse(kept.subarray(0, end).toString());
        const n = message.data_bytes ?? 0;
        if (kept.length < end + 1 + n) return;
        const data = kept.subarray(end + 1, end + 1 + n);
        kept = kept.subarray(end + 1 + n);
        take(message, data);
      }
    });
    function take(message, data) {
      if (message.id === 1 && message.ok && message.result.serving) settled(() => client.destroy());
      else if (message.id === 1 && message.ok === false) failed(new Error(message.error.message));
      else if (message.verb === "fn.run") {
        try {
          send({ id: message.id, ok: true, result: { outcome: "OK" } }, run(Buffer.from(data)));
        } catch (error) {
          send({ id: message.id, ok: true, result: { outcome: "APP_ERROR", code: 3, text: error.message } });
        }
      }
    }
  });
}

/** A function with types: a * x[i] + b for up to three x. */
export const scaling = {
  name: "test.scale", signature: "scale(f64 a, f64[] x, f64 b) -> f64[]", description: "a * x[i] + b for every element of x",
  run(argument) {
    const n = argument.readUInt32LE(8);
    if (n > 3) throw new Error("a, b and at most three x were expected");
    const out = Buffer.alloc(8 + n * 8);
    out.writeUInt32LE(n, 0);
    for (let i = 0; i < n; i++) out.writeDoubleLE(argument.readDoubleLE(0) * argument.readDoubleLE(16 + i * 8) + argument.readDoubleLE(16 + n * 8), 8 + i * 8);
    return out;
  },
};

const web = fileURLToPath(new URL("../../web/", import.meta.url));

/** Imports @names of web/ as modules of Node: a copy that says so, since web/ has no package.json. */
export async function modules(...names) {
  const dir = mkdtempSync(join(tmpdir(), "kith-modules-"));
  try {
    cpSync(web, dir, { recursive: true });
    writeFileSync(join(dir, "package.json"), '{"type":"module"}');
    return await Promise.all(names.map((name) => import(pathToFileURL(resolve(dir, name)))));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
