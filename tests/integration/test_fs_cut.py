"""Files while the network is cut: hosts in network namespaces of their own."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from kithtest import BUILD, kith, wait_for
from netns import Net, start_in, why_not
from test_fs import WAIT, entries

pytestmark = pytest.mark.plain


@pytest.fixture
def three_hosts(processes, short_dir):
    """(net, nodes): three hosts; the first shares short_dir/f as s, of which each content is on one node."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    net = Net(3)
    nodes = []
    for i in range(1, 4):
        folder = short_dir / str(i)
        if i == 1:
            kith("init", "--name", "h1", "--cluster", "cut", "--data-dir", folder)
        else:
            token = kith("invite", "--data-dir", nodes[0].dir).text.strip()
            kith("join", token, "--name", f"h{i}", "--data-dir", folder)
        nodes.append(start_in(net, processes, folder, i, "--set", "member.profile=fast"))
    (short_dir / "f").mkdir()
    nodes[0].kith("share", "add", "s", short_dir / "f", "--replicas", "1")
    for node in nodes:
        wait_for(lambda: "s" in entries(node, flags=()), WAIT, f"{node} knows the share")
    yield net, nodes
    net.end()


def wait_status(viewer, other, status):
    wait_for(lambda: viewer.status(other) == status, WAIT, f"{viewer} sees {other} as {status}")


def get_and_cut(net, processes, node, path, out, number):
    """A get during which the link of a host is cut: how it ended."""
    get = processes.start([BUILD / "kith", "fs", "get", path, "--out", out, "--socket", node.socket])

    def came():
        return int(re.search(r"wchar: (\d+)", pathlib.Path(f"/proc/{get.pid}/io").read_text())[1])
    wait_for(lambda: not get.running or came() > 10_000_000, WAIT, "some of it came", interval=0.001)
    net.cut(number)
    assert get.running, f"it was not cut: {get.describe()}"
    get.wait(WAIT)
    return get


def test_a_fetch_goes_on_from_another_holder_or_says_who_is_away(three_hosts, short_dir, processes):
    net, (a, b, c) = three_hosts
    big = os.urandom(80_000_000)
    (short_dir / "f" / "both").write_bytes(big)
    wait_for(lambda: "s/both" in entries(b, "s"), WAIT, "b knows it")
    b.kith("fs", "pin", "s/both", timeout=WAIT)
    wait_for(lambda: len(entries(c, "s")["s/both"]["holders"]) == 2, WAIT, "both hold it")
    got = get_and_cut(net, processes, c, "s/both", short_dir / "both", 1)
    assert got.popen.returncode == 0, got.describe()
    assert (short_dir / "both").read_bytes() == big
    net.heal(1)
    wait_status(c, a, "alive")
    c.kith("fs", "evict")
    b.kith("fs", "pin", "s/both", "--remove")
    # Now with nobody else.
    shutil.copy(short_dir / "f" / "both", short_dir / "f" / "alone")
    with open(short_dir / "f" / "alone", "ab") as file:
        file.write(b"!")
    wait_for(lambda: entries(c, "s").get("s/alone", {}).get("size") == len(big) + 1, WAIT, "c knows it")
    got = get_and_cut(net, processes, c, "s/alone", short_dir / "alone", 1)
    assert got.popen.returncode == 1 and f"{a.name} (away)" in got.log, got.describe()
    assert not (short_dir / "alone").exists()
    # Back again it comes whole.
    net.heal(1)
    wait_status(c, a, "alive")
    c.kith("fs", "get", "s/alone", "--out", short_dir / "x", timeout=WAIT)
    assert (short_dir / "x").read_bytes() == big + b"!"


def test_what_both_sides_of_a_cut_wrote_stands_and_a_change_survives_a_deletion(three_hosts):
    net, nodes = three_hosts
    a, b, c = nodes
    for name in ("both", "changed", "deleted", "by-many"):
        a.kith("fs", "put", "-", f"s/{name}", input=b"base\n")
    for node in (b, c):
        wait_for(lambda: len(entries(node, "s")) == 4, WAIT, f"{node} knows them")
        assert node.kith("fs", "cat", "s/changed").out == b"base\n"  # it is to be appended to where a is away
    net.cut(3)
    wait_status(a, c, "failed")
    wait_status(c, a, "failed")
    a.kith("fs", "put", "-", "s/both", input=b"one side\n")
    c.kith("fs", "put", "-", "s/both", input=b"other side\n")
    a.kith("fs", "rm", "s/changed")
    c.kith("fs", "append", "s/changed", "and more\n")
    c.kith("fs", "rm", "s/deleted")
    for node, line in ((a, b"a\n"), (b, b"b\n"), (c, b"c\n")):
        node.kith("fs", "put", "-", f"s/of-{node.name}", input=line)
    for _ in range(3):
        a.kith("fs", "put", "-", "s/by-many", input=b"side of two\n")
        c.kith("fs", "put", "-", "s/by-many", input=b"side of two\n")  # the same: no conflict
    net.heal(3)

    def healed(node):
        listed = entries(node, "s")
        conflicts = [path for path in listed if ".conflict-" in path]
        assert len(conflicts) == 1 and conflicts[0].startswith("s/both.conflict-"), sorted(listed)
        assert set(listed) == {"s/both", conflicts[0], "s/changed", "s/by-many", "s/of-h1", "s/of-h2", "s/of-h3"}
        return conflicts[0]
    for node in nodes:
        conflict = wait_for(lambda: healed(node), WAIT, f"{node} has both sides")
        expect = {"s/changed": b"base\nand more\n", "s/by-many": b"side of two\n", "s/of-h3": b"c\n", "s/of-h1": b"a\n"}
        for path, data in expect.items():
            wait_for(lambda: node.kith("fs", "cat", path, check=(0, 1)).out == data, WAIT, f"{node} reads {path}")
        both = {node.kith("fs", "cat", path).out for path in ("s/both", conflict)}
        assert both == {b"one side\n", b"other side\n"}, both
    kept = b.kith("fs", "cat", conflict).out
    b.kith("fs", "conflicts", "keep", conflict)
    for node in nodes:
        wait_for(lambda: node.kith("fs", "cat", "s/both", check=(0, 1)).out == kept and len(entries(node, "s")) == 6, WAIT,
                 f"{node} has one version")


def test_a_long_put_whose_link_is_cut_ends_and_its_copy_goes_on_when_that_is_healed(three_hosts, short_dir, processes):
    """What is put into another's share is taken by the node that is asked: the link is needed for the others' copies."""
    net, (a, b, c) = three_hosts
    folder = short_dir / "g"
    folder.mkdir()
    a.kith("share", "add", "t", folder, "--replicas", "1", "--sync")
    for node in (a, b, c):
        wait_for(lambda: "t" in entries(node, flags=()), WAIT, f"{node} knows the share")
    half = os.urandom(60_000_000)
    put = subprocess.Popen([BUILD / "kith", "fs", "put", "-", "t/big", "--socket", c.socket], stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        put.stdin.write(half)
        put.stdin.flush()
        net.cut(3)
        for one, other in ((a, c), (c, a)):
            wait_status(one, other, "failed")
        for node in (a, b, c):
            assert entries(node, "t") == {}
        put.stdin.write(half)
        put.stdin.close()
        assert put.wait(WAIT) == 0, put.stdout.read()
    finally:
        put.kill()
        put.wait()
    assert entries(c, "t")["t/big"]["size"] == 2 * len(half)
    assert entries(a, "t") == {} and list(folder.iterdir()) == []
    # Its copy in the folder is cut in the middle, too.
    net.heal(3)
    parts = a.dir / "files" / "part"

    def came():
        return sum(path.stat().st_blocks * 512 for where in (parts, folder) if where.exists() for path in where.iterdir())
    wait_for(lambda: came() > 10_000_000, WAIT, "some of it came", interval=0.001)
    net.cut(3)
    assert not (folder / "big").exists(), "it was not cut"
    wait_status(a, c, "failed")
    assert all(path.name.startswith(".kith-") for path in folder.iterdir())
    assert not (folder / "big").exists()
    net.heal(3)
    wait_for(lambda: (folder / "big").exists(), WAIT, "the folder has it")
    assert (folder / "big").read_bytes() == half + half
    wait_for(lambda: sorted(entries(b, "t")["t/big"]["holders"]) == sorted([a.name, c.name]), WAIT, "both hold it")
    assert [path.name for path in folder.iterdir()] == ["big"]
