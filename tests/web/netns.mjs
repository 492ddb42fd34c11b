// Hosts on one bridge in network namespaces, as tests/lib/netns.py makes them: their links can be cut. The pages of each are
// reached from outside through a socket of the file system, which is the same in all of them.
import { spawn, spawnSync } from "node:child_process";
import { connect, createServer } from "node:net";
import { join } from "node:path";

const ip = (...args) => spawnSync("ip", args, { encoding: "utf8" });

/** Why there can be none here, or "". */
export function whyNot() {
  if (process.getuid() !== 0) return "needs root to make network namespaces";
  const name = `kt${process.pid}p`;
  const made = ip("netns", "add", name);
  if (made.error) return "needs ip (Debian's iproute2)";
  if (made.status !== 0) return `network namespaces cannot be made here: ${made.stderr.trim()}`;
  const probe = ip("-n", name, "link", "add", "br0", "type", "bridge");
  ip("netns", "del", name);
  return probe.status !== 0 ? `no bridges here: ${probe.stderr.trim()}` : "";
}

const RELAY = `
const { connect, createServer } = require("node:net");
const [path, port] = process.argv.slice(1);
createServer((from) => {
  const to = connect(Number(port), "127.0.0.1");
  from.pipe(to).pipe(from);
  from.on("error", () => to.destroy());
  to.on("error", () => from.destroy());
}).listen(path, () => console.log("ready"));`;

/** @n hosts 10.77.1.1 and so on. */
export function makeNet(n) {
  const tag = `kt${process.pid}`;
  const hosts = Array.from({ length: n }, (_, i) => `${tag}h${i + 1}`);
  const relays = [], servers = [];
  const done = (...args) => {
    const made = ip(...args);
    if (made.status !== 0) throw new Error(`ip ${args.join(" ")}: ${made.stderr}`);
  };
  done("netns", "add", tag);
  done("-n", tag, "link", "add", "br0", "type", "bridge");
  done("-n", tag, "link", "set", "br0", "up");
  hosts.forEach((host, i) => {
    done("netns", "add", host);
    done("-n", host, "link", "set", "lo", "up");
    done("-n", host, "link", "add", "eth0", "type", "veth", "peer", "name", `p${i + 1}`, "netns", tag);
    done("-n", host, "addr", "add", `10.77.1.${i + 1}/24`, "dev", "eth0");
    done("-n", host, "link", "set", "eth0", "up");
    done("-n", tag, "link", "set", `p${i + 1}`, "master", "br0");
    done("-n", tag, "link", "set", `p${i + 1}`, "up");
  });
  return {
    /** Runs a program in host @k, which counts from 1. */
    start: (k, command, ...args) => spawn("ip", ["netns", "exec", hosts[k - 1], command, ...args], { stdio: "ignore" }),
    cut: (k) => done("-n", tag, "link", "set", `p${k}`, "down"),
    heal: (k) => done("-n", tag, "link", "set", `p${k}`, "up"),
    /** A port of this machine that leads to @port of host @k's loopback. */
    async reach(k, port, dir) {
      const path = join(dir, `web-${k}`);
      const relay = spawn("ip", ["netns", "exec", hosts[k - 1], process.execPath, "-e", RELAY, path, String(port)], { stdio: ["ignore", "pipe", "inherit"] });
      relays.push(relay);
      await new Promise((resolve, reject) => {
        relay.stdout.once("data", resolve);
        relay.once("exit", () => reject(new Error("the relay ended")));
      });
      const server = createServer((from) => {
        const to = connect(path);
        from.pipe(to).pipe(from);
        from.on("error", () => to.destroy());
        to.on("error", () => from.destroy());
      });
      servers.push(server);
      await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
      return server.address().port;
    },
    end() {
      for (const relay of relays) relay.kill();
      for (const server of servers) server.close();
      for (const name of [...hosts, tag]) ip("netns", "del", name);
    },
  };
}
