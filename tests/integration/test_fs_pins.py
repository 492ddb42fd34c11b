"""Pins: a path stays pinned whatever it has, at the node where it was pinned."""
import os

import pytest

from kithtest import wait_for
from test_fs import WAIT, entries, folders, share, wait_files  # noqa: F401


def pinned(node, share_name="s"):
    return {path for path, entry in entries(node, share_name).items() if entry["pinned"]}


def kept(node):
    return sorted(path.stat().st_size for path in (node.dir / "files" / "keep").rglob("*") if path.is_file())


def is_here(node, path, data):
    entry = entries(node, path.split("/")[0]).get(path, {})
    return entry.get("here") and entry["pinned"] and entry["size"] == len(data)


def cache_of(node):
    return node.kith("fs", "cache", "--json").json


def replace(folder, name, data):
    (folder / f"{name}.new").write_bytes(data)
    os.replace(folder / f"{name}.new", folder / name)


def test_a_new_version_of_a_pinned_path_comes_by_itself_and_the_old_one_goes(cluster, folders):
    a, b = cluster.start(2)
    one = folders("one")
    first, second, third = (os.urandom(n) for n in (300_000, 400_000, 500_000))
    (one / "x").write_bytes(first)
    share(a, "s", one, "--replicas", "1")
    wait_files((b,), {"s/x"}, "s")
    b.kith("fs", "pin", "s/x")
    assert pinned(b) == {"s/x"} and pinned(a) == set() and kept(b) == [300_000]
    replace(one, "x", second)
    wait_for(lambda: is_here(b, "s/x", second), WAIT, "the new version is here")
    # The old one stays for its week as any other that no version names any more, and is not pinned.
    seen = cache_of(b)
    assert (seen["pins"], seen["pinned_bytes"], seen["pinned_missing_bytes"]) == (1, 400_000, 0)
    # Also what came while the node was away, and it is the pin that was stored.
    b.stop()
    replace(one, "x", third)
    wait_for(lambda: entries(a, "s")["s/x"]["size"] == len(third), WAIT, "a has it")
    b.start()
    wait_for(lambda: is_here(b, "s/x", third), WAIT, "it comes when the node is back")
    assert cache_of(b)["pinned_bytes"] == 500_000
    a.kill()
    b.kith("fs", "evict")
    assert b.kith("fs", "cat", "s/x").out == third
    assert pinned(b) == {"s/x"}
    assert b.kith("fs", "pin", "s/x", "--remove", "--json").json["count"] == 1
    assert pinned(b) == set() and cache_of(b)["pins"] == 0
    b.kill()
    b.start()
    assert pinned(b) == set()


def test_a_pinned_folder_has_what_comes_into_it(cluster, folders):
    a, b = cluster.start(2)
    one = folders("one")
    (one / "d" / "e").mkdir(parents=True)
    (one / "d" / "old").write_bytes(b"old\n")
    (one / "beside").write_bytes(b"beside\n")
    share(a, "s", one, "--replicas", "1")
    wait_files((b,), {"s/beside", "s/d/old"}, "s")
    b.kith("fs", "pin", "s/d")
    assert pinned(b) == {"s/d", "s/d/e", "s/d/old"}
    for i in range(40):
        (one / "d" / "e" / f"{i:02}").write_bytes(os.urandom(30_000))
    wait_for(lambda: sum(entry["here"] for entry in entries(b, "s").values()) == 41, WAIT, "all of it is here")
    assert "s/beside" not in pinned(b)
    # A part of it is not unpinned alone, and what is said leads on.
    refused = b.kith("fs", "pin", "s/d/e/07", "--remove", check=2).error
    assert "pinned as a part of s/d" in refused and "kith fs pin s/d --remove" in refused
    # A path that goes is not pinned any more; what is there by the same name later is new.
    (one / "d" / "old").unlink()
    b_alone = b.kith("fs", "pin", "s/beside", "--json").json
    assert b_alone["count"] == 1
    (one / "beside").rename(one / "elsewhere")
    wait_for(lambda: "s/elsewhere" in entries(b, "s") and "s/beside" not in entries(b, "s"), WAIT, "b knows it")
    wait_for(lambda: cache_of(b)["pins"] == 1, WAIT, "its pin is gone")
    (one / "beside").write_bytes(b"another\n")
    wait_for(lambda: "s/beside" in entries(b, "s"), WAIT, "b knows it")
    assert not {"s/beside", "s/elsewhere"} & pinned(b)
    a.kill()
    for i in range(40):
        assert len(b.kith("fs", "cat", f"s/d/e/{i:02}").out) == 30_000
    assert b.kith("fs", "pin", "s", "--remove", "--json").json["count"] == 40
    assert cache_of(b)["pins"] == 0 and pinned(b) == set()


def test_a_deleted_folder_loses_its_pin(cluster, folders):
    a, b = cluster.start(2)
    one = folders("one")
    (one / "d").mkdir()
    for i in range(5):
        (one / "d" / f"f{i}").write_bytes(b"%d\n" % i)
    (one / "stays").write_bytes(b"stays\n")
    share(a, "s", one, "--replicas", "1")
    wait_for(lambda: len(entries(b, "s")) == 7, WAIT, "b knows them")
    b.kith("fs", "pin", "s/d")
    a.kith("fs", "rm", "-r", "s/d")
    wait_for(lambda: "s/d" not in entries(b, "s"), WAIT, "b knows that it is gone")
    wait_for(lambda: cache_of(b)["pins"] == 0, WAIT, "so is the pin")
    seen = cache_of(b)
    assert (seen["pinned_bytes"], seen["pinned_missing_bytes"]) == (0, 0)


def test_a_version_is_not_pinned_and_a_conflict_is_no_part(cluster, folders):
    a, b = cluster.start(2)
    one, two = folders("one"), folders("two")
    (one / "t").write_text("base\n")
    (two / "t").write_text("base\n")
    share(a, "s", one)
    share(b, "s", two)
    wait_for(lambda: len(entries(a, "s").get("s/t", {}).get("holders", [])) == 2, WAIT, "both have it")
    refused = b.kith("fs", "pin", f"s/t@{a.name}", check=2).error
    assert "names one version" in refused and "without @NODE" in refused
    a.kill()
    (two / "t").write_text("side b\n")
    wait_for(lambda: b.kith("fs", "cat", "s/t").out == b"side b\n", WAIT, "b has it")
    b.kill()
    (one / "t").write_text("side a\n")
    a.start()
    wait_for(lambda: a.kith("fs", "cat", "s/t").out == b"side a\n", WAIT, "a has it")
    b.start()
    wait_for(lambda: len(entries(b, "s")) == 2, WAIT, "b lists both versions")
    b.kith("fs", "pin", "s")
    assert pinned(b) == {"s/t"}
    other, = set(entries(b, "s")) - {"s/t"}
    refused = b.kith("fs", "pin", other, check=2).error
    assert "without .conflict-" in refused
    assert b.kith("fs", "pin", "s", "--remove", "--json").json["count"] == 1


@pytest.mark.plain
def test_a_pin_that_fails_stands_and_goes_on(cluster, folders):
    a, b = cluster.start(2)
    one = folders("one")
    data = os.urandom(200_000)
    (one / "x").write_bytes(data)
    share(a, "s", one, "--replicas", "1")
    wait_files((b,), {"s/x"}, "s")
    a.kill()
    wait_for(lambda: b.status(a) == "failed", WAIT, "a is away")
    refused = b.kith("fs", "pin", "s/x", check=1, timeout=WAIT).error
    assert "the pin stands" in refused and f"{a.name} (away)" in refused
    seen = cache_of(b)
    assert (seen["pins"], seen["pinned_missing_bytes"]) == (1, 200_000)
    a.start()
    wait_for(lambda: is_here(b, "s/x", data), WAIT, "it comes by itself")
    assert cache_of(b)["pinned_missing_bytes"] == 0
