"""The power of the whole cluster goes while files are written: each acknowledged put and append is there, byte for byte.

KITH_POWER_CUTS=N cuts it N times a case; KITH_TEST_SEED repeats a run's moments.
"""
import os
import random
import signal
import threading

import pytest

from kithtest import BUILD, CommandError, ControlError, wait_for

pytest.importorskip("websockets", reason="python3-websockets is not installed")

from webtest import Web  # noqa: E402

# A preloaded library and a sanitizer's runtime both want to be first; and it is about disks.
pytestmark = pytest.mark.plain

CUTS = int(os.environ.get("KITH_POWER_CUTS", "2"))
WAYS = ("control", "http", "control", "command", "control", "control")  # writer i is at node i % 3


@pytest.fixture
def chance():
    seed = int(os.environ.get("KITH_TEST_SEED", random.randrange(1 << 32)))
    print(f"KITH_TEST_SEED={seed}")
    return random.Random(seed)


def data_of(i, n):
    """What writer i puts as its nth: of one chunk, and of several."""
    of = random.Random(i << 32 | n)
    return of.randbytes(of.choice((0, 17, 1000, 1000, 140_000, 300_000)))


def control_way(node):
    control = node.control()
    return (lambda path, data: control.request("fs.write", {"path": path}, data),
            lambda path, data: control.request("fs.append", {"path": path}, data))


def http_way(node):
    web = Web(node, token=node.kith("web", "--token").text.strip())
    return (lambda path, data: web.ask("PUT", f"/v1/files/{path}", data, status=None).status in (200, 201) or refused(),
            lambda path, data: web.ask("POST", f"/v1/files/{path}?append", data))


def refused():
    raise ConnectionError("not put")


def command_way(node):
    return (lambda path, data: node.kith("fs", "put", "-", path, input=data),
            lambda path, data: node.kith("fs", "append", path, "-", input=data))


class Load:
    """Writers that put new files, replace one of their own, and append to their node's log; they know what they were told."""

    def __init__(self, nodes):
        self.nodes = nodes
        self.files = {}  # path: (writer, number) of each that was acknowledged
        self.asked = [0] * len(WAYS)
        self.replaced = [0] * len(WAYS)  # the last that was acknowledged
        self.lines = [[] for _ in nodes]
        self.lines_asked = [0] * len(nodes)
        self.threads = []

    def write(self, i):
        where = i % len(self.nodes)
        try:
            put, append = {"control": control_way, "http": http_way, "command": command_way}[WAYS[i]](self.nodes[where])
            while True:
                self.asked[i] += 1
                n = self.asked[i]
                put(f"s/w{i}/d{n % 7}/f{n}", data_of(i, n))
                self.files[f"s/w{i}/d{n % 7}/f{n}"] = (i, n)
                put(f"s/own{i}", data_of(i, n))
                self.replaced[i] = n
                line = b"%d/%d\n" % (i, n)
                self.lines_asked[where] += 1
                append(f"s/log{where}", line)
                self.lines[where].append(line)
        except (OSError, ConnectionError, ControlError, CommandError, AssertionError, ValueError):
            return  # its node is gone: what it asked for last may have happened

    @property
    def acknowledged(self):
        return len(self.files)

    def start(self):
        self.threads = [threading.Thread(target=self.write, args=(i,)) for i in range(len(WAYS))]
        for thread in self.threads:
            thread.start()

    def join(self):
        for thread in self.threads:
            thread.join()

    def check_at(self, where, paths):
        """What the node at @where has of what was acknowledged by any."""
        with self.nodes[where].control() as control:
            def read(path):
                out, at = b"", 0
                while True:
                    got = control.request("fs.read", {"path": path, "offset": at, "count": 1 << 20})
                    piece = got[1] if isinstance(got, tuple) else b""
                    out, at = out + piece, at + len(piece)
                    if not piece:
                        return out
            for path in paths:
                assert read(path) == data_of(*self.files[path]), f"{path} at {self.nodes[where]}"
            for i, n in enumerate(self.replaced):
                if n > 0:
                    assert read(f"s/own{i}") in [data_of(i, k) for k in range(n, self.asked[i] + 1)], f"own{i}"
            for at, lines in enumerate(self.lines):
                log = read(f"s/log{at}").splitlines(keepends=True) if lines else []
                assert set(lines) <= set(log), f"log{at}: {sorted(set(lines) - set(log))} of {len(lines)} are gone"
                assert len(set(log)) == len(log) <= self.lines_asked[at], f"log{at}"
        return True

    def check(self, chance):
        own = {where: [path for path, (i, _) in self.files.items() if i % len(self.nodes) == where]
               for where in range(len(self.nodes))}
        for where, paths in own.items():
            wait_for(lambda: self.check_at(where, paths), 60, f"all that {self.nodes[where]} acknowledged is there")

        def listed(node):
            seen = {entry["path"]: (entry["kind"], entry["hash"] if entry["kind"] == "file" else None)
                    for entry in node.kith("fs", "ls", "s", "-r", "--json").json["entries"]}
            assert set(self.files) <= set(seen), set(self.files) - set(seen)
            assert not [path for path in seen if ".conflict-" in path]
            return seen
        wait_for(lambda: len({str(sorted(listed(node).items())) for node in self.nodes}) == 1, 60, "all list the same")
        # And by way of others.
        where = chance.randrange(len(self.nodes))
        sample = chance.sample(sorted(self.files), min(10, len(self.files)))
        wait_for(lambda: self.check_at(where, sample), 60, f"{self.nodes[where]} reads what others have")


def cut_power(cluster, folder, chance, start, end_by):
    nodes = cluster.nodes
    folder.mkdir(exist_ok=True)
    nodes[2].kith("share", "add", "s", folder)  # there what is put is a file of the folder
    load = Load(nodes)
    for cut in range(CUTS):
        for node in nodes:
            wait_for(lambda: node.kith("fs", "ls", "s", check=None).code == 0, 60, f"{node} knows the share")
        load.start()
        moment = load.acknowledged + chance.randint(6, 60)
        wait_for(lambda: load.acknowledged >= moment, 60, "files before the power cut", interval=0.002)
        for node in nodes:
            node.agent.signal(end_by)
        for node in nodes:
            assert node.agent.wait() == -signal.SIGKILL, node.agent.describe()
        load.join()
        for node in chance.sample(nodes, len(nodes)):
            start(node, chance.randrange(1, 1 << 32) if cut > 0 else 0)
        load.check(chance)
    assert all(load.replaced) and all(load.lines)


def test_nodes_that_are_all_killed_keep_each_acknowledged_file(cluster, short_dir, chance):
    cluster.start(3, "--web", "127.0.0.1:0")
    cut_power(cluster, short_dir / "f", chance, lambda node, seed: node.start("--web", "127.0.0.1:0"), signal.SIGKILL)


def test_power_cut_that_loses_what_was_not_synced_loses_no_acknowledged_file(cluster, short_dir, chance):
    """Bytes and names: the first cut loses all that was not synced, later ones part of it."""
    folder = short_dir / "f"
    folder.mkdir()

    def start(node, seed):
        node.start("--web", "127.0.0.1:0",
                   env={"LD_PRELOAD": str(BUILD / "tests/libunsynced.so"),
                        "KITH_UNSYNCED_DIR": f"{node.dir}:{folder}", "KITH_UNSYNCED_SEED": str(seed)})
    for _ in range(3):
        start(cluster.add(), 0)
    cluster.wait_alive()
    cut_power(cluster, folder, chance, start, signal.SIGUSR2)
