#!/usr/bin/python3
"""Times Syncthing (Debian's) moving one file between two nodes of this machine.

usage: bench/syncthing_bench.py [--mib 1024] [--rounds 3] [--dir /dev/shm]

For comparison with `kith bench file`. Both nodes run in a network namespace of their own that has
nothing but loopback, with discovery, relays and reports off. The file is scanned at the first one
before; what is timed goes from the moment at which the second one, which waits, may connect until
it has the whole file. The time until two connected nodes have exchanged a file of one byte is
measured too and shown apart, since none of it depends on the size.
"""
import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

WAIT_S = 300
CONFIG = """<configuration version="35">
  <folder id="f" path="{folder}" type="sendreceive" rescanIntervalS="3600" fsWatcherEnabled="false">
    <device id="{ids[0]}"/><device id="{ids[1]}"/><minDiskFree unit="%">0</minDiskFree>
  </folder>
  <device id="{ids[0]}" name="a"><address>tcp://127.0.0.1:{ports[0]}</address></device>
  <device id="{ids[1]}" name="b"><address>tcp://127.0.0.1:{ports[1]}</address></device>
  <gui enabled="true"><address>127.0.0.1:{gui}</address><apikey>k</apikey></gui>
  <options>
    <listenAddress>tcp://127.0.0.1:{own}</listenAddress>
    <globalAnnounceEnabled>false</globalAnnounceEnabled><localAnnounceEnabled>false</localAnnounceEnabled>
    <relaysEnabled>false</relaysEnabled><natEnabled>false</natEnabled><reconnectionIntervalS>1</reconnectionIntervalS>
    <urAccepted>-1</urAccepted><autoUpgradeIntervalH>0</autoUpgradeIntervalH><crashReportingEnabled>false</crashReportingEnabled>
    <startBrowser>false</startBrowser><minHomeDiskFree unit="%">0</minHomeDiskFree>
  </options>
</configuration>
"""


class Node:
    def __init__(self, root, name, own, gui):
        self.home, self.folder = root / f"home-{name}", root / f"folder-{name}"
        self.folder.mkdir()
        self.own, self.gui, self.process = own, gui, None
        subprocess.run(["syncthing", "generate", "--home", self.home, "--no-default-folder", "--skip-port-probing"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.id = re.search(r'<device id="([A-Z0-9-]+)"', (self.home / "config.xml").read_text()).group(1)

    def start(self, ids, ports):
        (self.folder / ".stfolder").mkdir(exist_ok=True)
        (self.home / "config.xml").write_text(CONFIG.format(folder=self.folder, ids=ids, ports=ports, own=self.own, gui=self.gui))
        self.process = subprocess.Popen(["syncthing", "serve", "--home", self.home, "--no-browser", "--no-restart", "--no-upgrade"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: self.process.poll() is not None or self.ask("system/status"), "Syncthing answers")
        if self.process.poll() is not None:
            sys.exit(f"syncthing_bench: it ended with {self.process.returncode}: syncthing serve --home {self.home} says why")

    def ask(self, path, method="GET"):
        request = urllib.request.Request(f"http://127.0.0.1:{self.gui}/rest/{path}", method=method, headers={"X-API-Key": "k"})
        with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"true")
        return None

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait()


def until(check, what):
    end = time.monotonic() + WAIT_S
    while not check():
        if time.monotonic() > end:
            sys.exit(f"syncthing_bench: not within {WAIT_S} s: {what}")
        time.sleep(0.005)


def has(path, size):
    with contextlib.suppress(OSError):
        return path.stat().st_size == size
    return False


def timed(a, b, size, no):
    """Seconds until b has a file of @size that a has scanned."""
    name = f"file-{no}"
    b.ask("system/pause", "POST")
    with open(a.folder / name, "wb") as file:
        for at in range(0, size, 1 << 20):
            file.write(os.urandom(min(1 << 20, size - at)))
    a.ask("db/scan?folder=f", "POST")
    began = time.monotonic()
    b.ask("system/resume", "POST")
    until(lambda: has(b.folder / name, size), f"{name} is there")  # it is renamed when it is whole
    took = time.monotonic() - began
    (a.folder / name).unlink()
    a.ask("db/scan?folder=f", "POST")
    until(lambda: not (b.folder / name).exists(), f"{name} is gone")
    return took


def inside(options):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    root = pathlib.Path(tempfile.mkdtemp(prefix="syncthing-bench-", dir=options.dir))
    nodes = []
    try:
        nodes = [Node(root, "a", 22001, 8401), Node(root, "b", 22002, 8402)]
        for node in nodes:
            node.start([n.id for n in nodes], [n.own for n in nodes])
        small = [timed(*nodes, 1, f"s{i}") for i in range(options.rounds)]
        large = [timed(*nodes, options.mib << 20, f"l{i}") for i in range(options.rounds)]
    finally:
        for node in nodes:
            node.stop()
        shutil.rmtree(root)
    base, took = statistics.median(small), statistics.median(large)
    print(f"one byte: {base:.2f} s; {options.mib} MiB: {took:.2f} s, that is {options.mib * 1.048576 / took:.0f} MB/s, "
          f"and {options.mib * 1.048576 / max(took - base, 0.001):.0f} MB/s without what one byte takes")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", default="/dev/shm")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if shutil.which("syncthing") is None:
        sys.exit("syncthing_bench: there is no syncthing here; install Debian's package of that name")
    if options.inside:
        inside(options)
    else:
        os.execvp("unshare", ["unshare", "--net", sys.executable, __file__, *sys.argv[1:], "--inside"])


if __name__ == "__main__":
    main()
