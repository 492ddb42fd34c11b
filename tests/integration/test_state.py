"""Variables on real nodes that all stay up: what the command shows (crashes: test_state_faults.py)."""
import concurrent.futures
import json
import os
import time

import pytest

from kithtest import BUILD, FULL, SLOW, wait_for

# Minutes under a sanitizer, where the cores have worlds of their own.
pytestmark = pytest.mark.plain


# ---- one node ----

def test_one_node_works_alone_at_once(cluster):
    node, = cluster.start(1)
    began = time.monotonic()
    node.kith("var", "set", "x", "1")
    assert node.kith("var", "get", "x").text == "1\n"
    assert node.kith("lock", "run", "l", "--", "echo", "in").text == "in\n"
    assert time.monotonic() - began < 3 * SLOW
    assert node.kith("view", "--json").json["failures_tolerated"] == 0


# ---- three nodes ----

def test_what_one_node_writes_all_read(three):
    three[0].kith("var", "set", "all/x", "1")
    for node in three:
        assert node.kith("var", "get", "all/x").text == "1\n"
    three[2].kith("var", "set", "all/x", "2")
    for node in three:
        assert node.kith("var", "get", "all/x").text == "2\n"
    three[1].kith("var", "rm", "all/x")
    for node in three:
        absent = node.kith("var", "get", "all/x", check=4)
        assert "all/x" in absent.error


def test_types_are_fixed_and_named(three):
    a, b, _ = three
    a.kith("var", "set", "ty/t", "hello")
    wrong = b.kith("var", "set", "ty/t", "5", "--type", "i64", check=(2, 7))
    assert "text" in wrong.error and "i64" in wrong.error
    wrong = b.kith("var", "incr", "ty/t", check=7)
    assert "text" in wrong.error
    a.kith("var", "set", "ty/f", "2.5", "--type", "f64")
    assert b.kith("var", "get", "ty/f").text == "2.5\n"
    a.kith("var", "set", "ty/list", "[1, 2, 3]", "--type", "i64[]")
    assert b.kith("var", "get", "ty/list", "--index", "1").text == "[2]\n"
    b.kith("var", "set", "ty/list", "[9]", "--index", "1")
    wait_for(lambda: a.kith("var", "get", "ty/list").text.replace(" ", "") == "[1,9,3]\n")


def test_compare_and_set(three):
    a, b, _ = three
    a.kith("var", "set", "cas/x", "1")
    b.kith("var", "cas", "cas/x", "1", "2")
    lost = a.kith("var", "cas", "cas/x", "1", "3", check=7)
    assert lost.text == "2\n"
    version = a.kith("var", "get", "cas/x", "--json").json["version"]
    a.kith("var", "cas", "cas/x", "--version", version, "4")
    b.kith("var", "cas", "cas/x", "--version", version, "5", check=7)
    b.kith("var", "cas", "cas/new", "--absent", "1")
    a.kith("var", "cas", "cas/new", "--absent", "2", check=7)


def test_constants_stay(three):
    a, b, _ = three
    a.kith("var", "set", "pi", "3", "--once")
    b.kith("var", "set", "pi", "4", "--once", check=7)
    b.kith("var", "set", "pi", "4", check=7)
    assert b.kith("var", "get", "pi").text == "3\n"


def test_eight_shells_count_to_eight_times_as_much(three, processes):
    each = 1000 if FULL else 60
    script = f"i=0; while [ $i -lt {each} ]; do '{BUILD}/kith' var incr n || exit 1; i=$((i+1)); done"
    shells = [processes.start(["sh", "-c", script], env={"KITH_SOCKET": str(three[i % 3].socket)})
              for i in range(8)]
    for shell in shells:
        assert shell.wait(600 if FULL else 60) == 0, shell.log
    assert three[0].kith("var", "get", "n").text == f"{8 * each}\n"
    # Each told a number that no other was told.
    told = [int(line) for shell in shells for line in shell.log.splitlines()]
    assert sorted(told) == list(range(1, 8 * each + 1))


def test_what_is_said_to_be_the_last_is(three):
    done = three[1].kith("lock", "run", "last", "--", "sh", "-c",
                         f"k={BUILD}/kith; g='--mutex last --fence '$KITH_FENCE; "
                         "$k var incr section $g && $k var incr section $g --last; "
                         "$k var incr section $g; echo refused $?")
    assert done.text == "1\n2\nrefused 7\n", f"{done}"
    after = three[2].kith("lock", "run", "last", "--", "sh", "-c",
                          f"{BUILD}/kith var incr section --mutex last --fence $KITH_FENCE")
    assert after.text == "3\n"
    alone = three[0].kith("var", "incr", "section", "--last", check=None)
    assert alone.code == 2 and "mutex and fence" in alone.error, f"{alone}"


def test_watch_shows_changes_of_a_prefix(three, processes):
    watching = processes.start([BUILD / "kith", "var", "watch", "sensor/*"],
                                       env={"KITH_SOCKET": str(three[1].socket)})
    three[0].kith("var", "set", "sensor/a", "1")
    watching.wait_log(r"sensor/a\t1")
    three[2].kith("var", "set", "sensor/b", "2")
    watching.wait_log(r"sensor/b\t2")
    three[0].kith("var", "set", "other", "3")
    three[0].kith("var", "rm", "sensor/a")
    watching.wait_log(r"sensor/a\t\(gone\)")
    assert "other" not in watching.log


def test_each_change_is_told_or_counted_once_on_every_node(three, processes):
    """All keep copies, so most of it is told ahead of the home, which tells of it, too."""
    names = [f"each/{i}" for i in range(3)]
    watching = [processes.start([BUILD / "kith", "var", "watch", "each/*", "--json"], env={"KITH_SOCKET": str(node.socket)})
                for node in three]
    for name in names:
        three[0].kith("var", "incr", name)
        for process in watching:
            process.wait_log(f'"{name}".*"data":"1"')
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(three[i % 3].kith, "var", "incr", names[i // 3 % 3]) for i in range(180)]:
            done.result()
    for process in watching:
        for name in names:
            process.wait_log(f'"{name}".*"data":"61"')
        told = [json.loads(line) for line in process.log.splitlines()]
        for name in names:
            numbers = [int(change["data"]) for change in told if change["name"] == name]
            assert numbers == sorted(set(numbers)), (name, numbers)
            assert sum(change["missed"] + 1 for change in told if change["name"] == name) == 61, (name, told)


def test_watch_shows_first_what_exists(three):
    three[0].kith("var", "set", "exists", "1")
    for node in three:
        assert node.kith("var", "watch", "exists", "-c", "1").text == "exists\t1\n"


def test_list_and_info(three):
    three[0].kith("var", "set", "a/1", "x")
    three[0].kith("var", "set", "a/2", "[1]", "--type", "i64[]", "--policy", "durable")

    def listed():
        rows = {v["name"]: v for v in three[2].kith("var", "ls", "a/", "--json").json["vars"]}
        assert set(rows) == {"a/1", "a/2"}, rows
        return rows
    rows = wait_for(listed)
    assert rows["a/2"]["type"] == "i64[]" and rows["a/2"]["policy"] == "durable"
    info = three[1].kith("var", "info", "a/1", "--json").json
    assert info["type"] == "text" and info["writer_name"] == "n1"
    # Who has it: three copies, the home first, and who watches.
    assert sorted(r["name"] for r in info["replicas"]) == ["n1", "n2", "n3"] and info["silent_nodes"] == 0
    home = next(n["name"] for n in info["nodes"] if n["role"] == "home")
    assert info["replicas"][0]["name"] == home == info["home"] and info["sharers"] == 0
    assert {n["role"] for n in info["nodes"]} == {"home", "replica"} and info["watchers"] == 0
    with three[1].control() as control:
        for pattern in ("a/1", "a/*", "b/*"):
            control.send({"id": pattern, "verb": "var.watch", "args": {"pattern": pattern}})
        wait_for(lambda: three[0].kith("var", "info", "a/1", "--json").json["watchers"] == 2, 60, "two watch it")
    wait_for(lambda: three[0].kith("var", "info", "a/1", "--json").json["watchers"] == 0, 60, "nobody watches it")
    assert f"replicas {home} " in three[2].kith("var", "info", "a/1").text
    three[0].kith("var", "set", "a/3", "x", "--policy", "available")
    wait_for(lambda: "every node" in three[2].kith("var", "info", "a/3").text, 60, "n3 has it")
    three[0].kith("var", "info", "a/none", check=4)
    three[0].kith("var", "rm", "a/3")


def test_a_megabyte_and_not_more(three, tmp_path):
    blob = os.urandom(1024 * 1024)
    (tmp_path / "blob").write_bytes(blob)
    three[0].kith("var", "set", "blob", f"@{tmp_path}/blob", "--type", "bytes")
    assert three[2].kith("var", "get", "blob").out == blob
    (tmp_path / "blob").write_bytes(blob + b"x")
    three[0].kith("var", "set", "blob", f"@{tmp_path}/blob", check=(1, 2))
