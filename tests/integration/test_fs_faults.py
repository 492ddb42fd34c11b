"""Faults of the file system with real nodes: nodes that end, disks that are lost or old, data that is damaged.

The power of the whole cluster is in test_fs_power_cut.py, cut networks in test_fs_cut.py; the cores have worlds of their own.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest

from kithtest import BUILD, in_threads, wait_for
from webtest import Web
from test_fs import WAIT, entries, folders, share, wait_seen  # noqa: F401


# ---- an edit beside what is put by name ----

def test_an_edit_in_a_folder_follows_what_was_put_there(cluster, folders):
    a, b = cluster.start(2)
    cluster.wait_alive()
    one = folders("one")
    share(a, "s", one)
    a.kith("fs", "put", "-", "s/x", input=b"put\n")
    (one / "x").write_text("edited\n")
    wait_seen(a, "s/x", b"edited\n")
    a.kith("fs", "append", "s/x", "appended\n")
    (one / "x").write_text("again\n")
    for node in (a, b):
        wait_seen(node, "s/x", b"again\n")
        assert sorted(entries(node, "s")) == ["s/x"]
    # Also where the node ended between the two.
    a.kith("fs", "append", "s/x", "more\n")
    a.kill()
    (one / "x").write_text("while it was away\n")
    a.start()
    for node in (a, b):
        wait_seen(node, "s/x", b"while it was away\n")
        assert sorted(entries(node, "s")) == ["s/x"]


def test_a_put_beside_a_conflict_in_the_folder_replaces_neither(cluster, folders):
    a, b = cluster.start(2)
    one, two = folders("one"), folders("two")
    (one / "t").write_text("base\n")
    (two / "t").write_text("base\n")
    share(a, "s", one)
    share(b, "s", two)
    wait_for(lambda: len(entries(a, "s").get("s/t", {}).get("holders", [])) == 2, WAIT, "both have it")
    a.kill()
    (two / "t").write_text("side b\n")
    wait_seen(b, "s/t", b"side b\n")
    b.kill()
    (one / "t").write_text("side a\n")
    a.start()
    wait_seen(a, "s/t", b"side a\n")
    b.start()
    for node in (a, b):
        wait_for(lambda: len(entries(node, "s")) == 2, WAIT, f"{node} lists both versions")
    behind = next(node for node in (a, b) if node.kith("fs", "cat", "s/t").out != f"side {'ab'[node is b]}\n".encode())
    lost = f"side {'ab'[behind is b]}\n".encode()
    behind.kith("fs", "put", "-", "s/t", input=b"put\n")
    for node in (a, b):
        wait_seen(node, "s/t", b"put\n")
        assert {node.kith("fs", "cat", name).out for name in entries(node, "s")} == {b"put\n", lost}


# ---- disks that are lost, or older than what the others know ----

FAST = ("--set", "member.profile=fast", "--set", "fs.heal_after=1s")


def put(node, path, data):
    node.kith("fs", "put", "-", path, input=data)
    return data


def wait_copies(node, path, n):
    wait_for(lambda: entries(node, "s")[path]["holders_alive"] >= n, WAIT, f"{n} copies of {path}")


def wait_same(nodes, expect):
    """Every node lists exactly these, and reads them; nothing else has come back, nor become a conflict."""
    for node in nodes:
        wait_for(lambda: set(entries(node, "s")) == set(expect), WAIT, lambda: f"{node} lists {sorted(expect)}, "
                 f"not {sorted(entries(node, 's'))}")
        for path, data in expect.items():
            wait_for(lambda: node.kith("fs", "cat", path, check=(0, 1, 4)).out == data, WAIT, f"{node} reads {path}")


def wait_healed(nodes, expect, n):
    """Each has its copies, and they are what they are said to be."""
    for path in expect:
        wait_copies(nodes[0], path, n)
    for node in nodes:
        assert node.kith("fs", "verify", "s", "--json").json["damaged"] == 0
    wait_same(nodes, expect)


def three_with_copies(cluster, folders):
    """Of a share whose files are on two nodes each: the last node has put some of them."""
    a, b, c = cluster.start(3, *FAST)
    share(a, "s", folders("one"), "--replicas", "2")
    for node in (b, c):
        wait_for(lambda: "s" in entries(node, flags=()), WAIT, f"{node} knows the share")
    expect = {f"s/{name}": put(c, f"s/{name}", os.urandom(size))
              for name, size in (("large", 700_000), ("changes", 1000), ("grows", 1000), ("goes", 1000))}
    expect["s/of-b"] = put(b, "s/of-b", os.urandom(1000))
    for path in expect:
        wait_copies(a, path, 2)
    return (a, b, c), expect


@pytest.mark.plain
def test_a_wiped_disk_brings_nothing_back_and_loses_nothing(cluster, folders):
    nodes, expect = three_with_copies(cluster, folders)
    a, b, c = nodes
    identity = c.id
    c.kill()
    for name in ("files", "store"):
        shutil.rmtree(c.dir / name)
    expect["s/changes"] = put(a, "s/changes", b"changed while it was away\n")
    a.kith("fs", "rm", "s/goes")
    del expect["s/goes"]
    c.start(*FAST)
    assert c.id == identity
    wait_same(nodes, expect)
    wait_healed(nodes, expect, 2)
    # What it says now is newer than all that it ever said.
    expect["s/large"] = put(c, "s/large", b"small now\n")
    c.kith("fs", "append", "s/grows", "more\n")
    expect["s/grows"] += b"more\n"
    wait_healed(nodes, expect, 2)


@pytest.mark.plain
def test_a_restored_disk_takes_back_nothing_that_was_done_since(cluster, folders, short_dir):
    nodes, expect = three_with_copies(cluster, folders)
    a, b, c = nodes
    c.kill()
    shutil.copytree(c.dir, short_dir / "old", ignore=shutil.ignore_patterns("*.sock"))
    c.start(*FAST)
    # By itself, and by another:
    expect["s/changes"] = put(c, "s/changes", b"second\n")
    expect["s/new"] = put(c, "s/new", os.urandom(300_000))
    expect["s/of-b"] = put(b, "s/of-b", b"of b, again\n")
    c.kith("fs", "append", "s/grows", "more\n")
    expect["s/grows"] += b"more\n"
    c.kith("fs", "rm", "s/goes")
    del expect["s/goes"]
    for path in expect:
        wait_copies(a, path, 2)
    wait_for(lambda: "s/goes" not in entries(a, "s"), WAIT, "a knows that it is gone")
    c.kill()
    shutil.rmtree(c.dir)
    shutil.copytree(short_dir / "old", c.dir)
    c.start(*FAST)
    wait_same(nodes, expect)
    wait_healed(nodes, expect, 2)
    expect["s/changes"] = put(c, "s/changes", b"third\n")
    expect["s/goes"] = put(c, "s/goes", b"anew\n")
    wait_healed(nodes, expect, 2)


# ---- a pin whose node ends in the middle ----

def written(node):
    """By all its calls: to sockets and files."""
    return int(re.search(r"wchar: (\d+)", pathlib.Path(f"/proc/{node.agent.pid}/io").read_text())[1])


@pytest.mark.plain
def test_a_pin_goes_on_by_itself_when_its_node_is_back(cluster, folders, processes):
    a, b = cluster.start(2)
    one = folders("one")
    big = os.urandom(100_000_000)
    (one / "big").write_bytes(big)
    for i in range(20):
        (one / f"small{i}").write_bytes(os.urandom(150_000))
    share(a, "s", one, "--replicas", "1")
    wait_for(lambda: len(entries(b, "s")) == 21, WAIT, "b knows them")
    before = written(a)
    pin = processes.start([BUILD / "kith", "fs", "pin", "s", "--socket", b.socket])
    parts, keep = b.dir / "files" / "part", b.dir / "files" / "keep"
    wait_for(lambda: sum(part.stat().st_blocks * 512 for part in parts.iterdir()) > 15_000_000, WAIT, "some of it came",
             interval=0.001)
    b.kill()
    assert pin.wait() != 0
    had = sum(part.stat().st_blocks * 512 for part in parts.iterdir())
    assert had < len(big) and not any(path.is_file() for path in keep.rglob("*")), "it was too fast to be cut"
    b.start()

    def whole():
        listed = entries(b, "s").values()
        assert all(entry["here"] and entry["pinned"] for entry in listed), [e["path"] for e in listed if not e["here"]]
        return True
    wait_for(whole, WAIT, "all of it is here")
    # Both times together: nothing came twice but what was on its way.
    assert len(big) < written(a) - before < len(big) * 1.3
    assert b.kith("fs", "verify", "s", "--json").json["damaged"] == 0
    a.kill()
    assert b.kith("fs", "cat", "s/big").out == big
    assert b.kith("fs", "pin", "s", "--remove", "--json").json["count"] == 21


def test_a_pin_that_is_given_up_stays_given_up(cluster, folders, processes):
    a, b = cluster.start(2)
    one = folders("one")
    (one / "x").write_bytes(os.urandom(300_000))
    share(a, "s", one, "--replicas", "1")
    wait_for(lambda: "s/x" in entries(b, "s"), WAIT, "b knows it")
    a.agent.pause()
    pin = processes.start([BUILD / "kith", "fs", "pin", "s/x", "--socket", b.socket])
    wait_for(lambda: entries(b, "s")["s/x"]["pinned"], WAIT, "it is being pinned")
    pin.signal(signal.SIGTERM)
    pin.wait()
    wait_for(lambda: not entries(b, "s")["s/x"]["pinned"], WAIT, "it is not any more")
    a.agent.resume()


# ---- the caches ----

def cache_of(node):
    return node.kith("fs", "cache", "--json").json


@pytest.mark.plain
def test_a_small_disk_cache_keeps_its_bound_and_gives_out_nothing_damaged(cluster, folders):
    a = cluster.start(1)[0]
    b = cluster.add().start("--set", "fs.memory_mark=1", "--set", "fs.disk_cache=2M", "--set", "member.profile=fast")
    cluster.wait_alive()
    one = folders("one")
    data = {f"s/f{i:02}": os.urandom(200_000) for i in range(20)}
    for path, bytes_of in data.items():
        (one / path[2:]).write_bytes(bytes_of)
    share(a, "s", one, "--replicas", "1")
    wait_for(lambda: len(entries(b, "s")) == len(data), WAIT, "b knows them")
    b.kith("fs", "pin", "s/f05")
    wait_for(lambda: cache_of(b)["memory_used_percent"] > 1, WAIT, "it looked at the machine's memory")

    def disk():
        return sum(path.stat().st_size for path in (b.dir / "files" / "cache").rglob("*") if path.is_file())
    with b.control() as control:
        for path, bytes_of in data.items():
            for one in (path, "s/f00"):  # which is in use
                assert control.request("fs.read", {"path": one, "count": 1 << 20})[1] == data[one]
            assert control.request("fs.cache")["disk_bytes"] <= 2 << 20
    wait_for(lambda: disk() <= 2 << 20, WAIT, "what is on the disk is what is said to be")
    seen = cache_of(b)
    assert seen["memory_bytes"] == 0 and seen["disk_bytes"] > 1 << 20
    assert seen["disk_hits"] >= 2 * 19 and seen["misses"] >= 2 * 19, seen
    cached = {path for path, entry in entries(b, "s").items() if entry["cached"]}
    assert {"s/f00", "s/f19", "s/f18"} <= cached and not {"s/f01", "s/f02", "s/f10"} & cached, cached
    assert entries(b, "s")["s/f05"]["here"] and entries(b, "s")["s/f05"]["pinned"]

    def damage_chunk(path):
        root = entries(b, "s")[path]["hash"]
        lines = list((b.dir / "files" / "cache").rglob(f"{root}.*"))
        assert len(lines) == 2
        with open(lines[0], "r+b") as line:
            line.seek(1000)
            line.write(b"damage")
    damage_chunk("s/f19")
    assert b.kith("fs", "cat", "s/f19").out == data["s/f19"]
    b.agent.wait_log("disk cache is damaged", WAIT)
    wait_for(lambda: entries(b, "s")["s/f19"]["cached"], WAIT, "it is in the cache again")
    damage_chunk("s/f18")
    a.kill()
    wait_for(lambda: b.status(a) == "failed", WAIT, "a is away")
    refused = b.kith("fs", "cat", "s/f18", check=1)
    assert b"damage" not in refused.out and f"{a.name} (away)" in refused.error
    for path in ("s/f00", "s/f05"):
        assert b.kith("fs", "cat", path).out == data[path]


# ---- a holder that sends damage ----

def test_a_holder_that_sent_damage_is_told_and_mends_its_copy(cluster, folders):
    a, b, c = cluster.start(3, "--web", "127.0.0.1:0")
    share(a, "s", folders("one"), "--replicas", "1")
    wait_for(lambda: "s" in entries(c, flags=()), WAIT, "c knows the share")
    data = {f"s/f{i}": put(c, f"s/f{i}", os.urandom(600_000)) for i in range(4)}
    wait_for(lambda: len(entries(b, "s")) == len(data), WAIT, "b knows them")
    b.kith("fs", "pin", "s")
    for copy in (c.dir / "files" / "keep").rglob("*"):
        if copy.is_file():
            with open(copy, "r+b") as file:
                for at in range(50_000, 600_000, 128 << 10):
                    file.seek(at)
                    file.write(b"damage")
    for path in data:
        wait_for(lambda: len(entries(a, "s")[path]["holders"]) == 2, WAIT, "both hold it")
    for path, bytes_of in data.items():
        assert a.kith("fs", "cat", path).out == bytes_of
    blamed = [line for line in a.agent.log.splitlines() if "sent damaged data" in line]
    assert blamed and all(f"node={c.name}" in line for line in blamed)
    # For who does not read logs: a figure, and an event now and then.
    metrics = Web(a, token=a.kith("web", "--token").text.strip()).ask("GET", "/metrics").data.decode()
    counted = dict(re.findall(r'^kith_files_damaged_total{peer="(.*)"} (\d+)$', metrics, re.M))
    assert int(counted.pop(c.name)) >= len(blamed) and counted == {"": "0"}, counted
    event, = [json.loads(line) for line in a.kith("events", "--json").text.splitlines() if '"damaged"' in line]
    assert event["name"] == c.name and "sent damaged data" in event["reason"] and "s/f" in event["reason"]
    # It reads its copy again, finds what is wrong, and has it anew; b, who is never asked in vain, keeps its own.
    c.agent.wait_log(f"sent damaged data from here.*node={a.name}", WAIT)
    hashes = {path: entry["hash"] for path, entry in entries(a, "s").items()}
    told = {path for path in data if any(hashes[path] in line for line in blamed)}

    def mended():
        aside = [line for line in c.agent.log.splitlines() if "damaged on disk" in line]
        assert told <= {path for path in data if any(path in line for line in aside)}
        assert all(c.name in entries(a, "s")[path]["holders"] for path in told)
        return True
    wait_for(mended, WAIT, "c has good copies again")
    assert "damaged on disk" not in b.agent.log
    for path in told:
        assert c.kith("fs", "verify", path, "--json").json["damaged"] == 0


STEP = 256 * 1024  # no more than a chunk has


@pytest.mark.plain  # the copy must not end before its holder is paused
def test_who_reads_a_file_whose_copy_waits_for_its_holder_is_told_so(cluster, folders, tmp_path):
    """Also of what came for the copy before: that is in no cache, and fetched for nobody else."""
    a, b = cluster.start(2, "--web", "127.0.0.1:0")
    folder = folders("synced")
    share(a, "s", folder, "--replicas", "1", "--sync")
    wait_for(lambda: "s" in entries(b, flags=()), WAIT, "b knows the share")
    big = tmp_path / "big"
    big.write_bytes(os.urandom(300_000_000))
    put = subprocess.Popen([BUILD / "kith", "fs", "put", big, "s/big", "--socket", b.socket])
    parts = a.dir / "files" / "part"

    def came():
        return sum(path.stat().st_blocks * 512 for path in parts.iterdir()) if parts.exists() else 0
    wait_for(lambda: came() > 10_000_000, WAIT, "some of it came", interval=0.001)
    b.agent.pause()
    try:
        assert not (folder / "big").exists(), "it was not paused in time"
        wait_for(lambda: a.status(b) == "failed", WAIT, "b is failed")
        for command in (("cat",), ("get", "--out", tmp_path / "out")):
            said = a.kith("fs", command[0], "s/big", *command[1:], check=1)
            assert f"{b.name} (away)" in said.error
        web = Web(a, token=a.kith("web", "--token").text.strip())
        at = came() // STEP

        def read(i):  # among them are those for which the copy waits
            got = web.ask("GET", "/v1/files/s/big", headers={"Range": f"bytes={(at + i) * STEP}-{(at + i) * STEP}"}, status=None)
            assert got.status >= 400 and f"{b.name} (away)" in got.data.decode(), (got.status, got.data)
        in_threads(32, read)
    finally:
        b.agent.resume()
        put.wait()
    wait_for(lambda: (folder / "big").exists(), WAIT, "the copy goes on")
    assert (folder / "big").read_bytes() == big.read_bytes()
