"""Files on real nodes: what the command shows, and what survives (the cores have worlds of their own)."""
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time

import pytest

from kithtest import BUILD, SLOW, run, wait_for

WAIT = 60


@pytest.fixture
def folders(short_dir):
    """Makes folders: folders('a') is DIR/a, which exists."""
    def make(name):
        path = short_dir / name
        path.mkdir(parents=True, exist_ok=True)
        return path
    return make


def entries(node, *path, flags=("-r",)):
    """{path: entry} of a listing."""
    listed = node.kith("fs", "ls", *path, *flags, "--json").json
    assert listed["schema"] == "kith.fs.ls/1"
    return {entry["path"]: entry for entry in listed["entries"]}


def files(node, *path):
    return {name: entry["hash"] for name, entry in entries(node, *path).items() if entry["kind"] == "file"}


def wait_files(nodes, expect, *path):
    for node in nodes:
        wait_for(lambda: set(files(node, *path)) == set(expect), WAIT,
                 lambda: f"{node} lists {sorted(expect)}")


def share(node, name, folder, *flags):
    node.kith("share", "add", name, folder, *flags)


def wait_seen(node, path, text):
    # Of what is not published yet the former content would be asked for, ten seconds long where nobody has it.
    wanted = hashlib.blake2b(text, digest_size=32).hexdigest()
    wait_for(lambda: node.kith("fs", "stat", path, "--json").json["entry"]["hash"] == wanted, WAIT,
             f"{node} knows {text!r} at {path}")
    wait_for(lambda: node.kith("fs", "cat", path, check=(0, 1, 4)).out == text, WAIT,
             f"{node} reads {text!r} at {path}")


# ---- two folders are one tree ----

def test_folders_of_two_nodes_are_one_tree_that_both_list(cluster, folders):
    a, b = cluster.start(2)
    cluster.wait_alive()
    one, two = folders("one"), folders("two")
    (one / "a.txt").write_text("from a\n")
    (one / "dir").mkdir()
    (one / "dir" / "deep.txt").write_text("deep\n")
    (two / "b.txt").write_text("from b\n")
    share(a, "docs", one)
    share(b, "docs", two)
    expect = {"docs/a.txt", "docs/b.txt", "docs/dir/deep.txt"}
    wait_files((a, b), expect, "docs")
    assert files(a, "docs") == files(b, "docs")
    listed = entries(b, "docs")
    assert listed["docs/a.txt"]["holders"] == [a.name]
    assert listed["docs/a.txt"]["size"] == 7
    # Who wrote it is known of one file that is asked for, and with it where that node is.
    assert not any(key.startswith("author") for entry in listed.values() for key in entry)
    entry = b.kith("fs", "stat", "docs/a.txt", "--json").json["entry"]
    assert (entry["author"], entry["author_id"], entry["author_address"]) == (a.name, a.id, a.address)
    assert f"author    {a.name} ({a.address})\n" in b.kith("fs", "stat", "docs/a.txt").text
    (one / "a.txt").chmod(0o751)
    wait_for(lambda: "rwxr-x--x" in b.kith("fs", "ls", "-l", "docs").text, WAIT, "-l shows permissions")
    assert "leave out the '/' in front" in b.kith("fs", "ls", "/docs", check=2).error
    assert b.kith("fs", "cat", "docs/a.txt").out == b"from a\n"
    assert a.kith("fs", "cat", "docs/b.txt").out == b"from b\n"
    # A file that was fetched is in the cache, and not in the folder of the other.
    assert not (two / "a.txt").exists()
    assert b.kith("fs", "stat", "docs/a.txt", "--json").json["entry"]["cached"]
    assert a.kith("fs", "stat", "docs/nothing", check=4).error.count("docs/nothing") == 1
    # Listing goes on while the other is away, and says so.
    a.kill()
    wait_for(lambda: entries(b, "docs")["docs/a.txt"]["holders_alive"] == 0, WAIT, "a is away")
    assert set(files(b, "docs")) == expect
    gone = b.kith("fs", "cat", "docs/dir/deep.txt", check=1)
    assert a.name in gone.error


def test_get_fetches_a_large_file_whole_from_another_node(cluster, folders, short_dir, processes):
    a, b = cluster.start(2)
    cluster.wait_alive()
    one = folders("one")
    data = os.urandom(5_000_000)
    (one / "big.bin").write_bytes(data)
    (one / "empty").write_bytes(b"")
    with open(one / "holes", "wb") as sparse:
        sparse.seek(20_000_000)
        sparse.write(b"the end")
    share(a, "s", one)
    wait_files((b,), {"s/big.bin", "s/empty", "s/holes"}, "s")
    # A get that is ended while it waits leaves nothing, under no name.
    a.agent.pause()
    get = processes.start([BUILD / "kith", "fs", "get", "s/big.bin", "--out", short_dir / "got.bin", "--socket", b.socket])

    def opened():
        return [link for fd in pathlib.Path(f"/proc/{get.pid}/fd").iterdir()
                if (link := os.readlink(fd)).startswith(str(short_dir)) and "sock" not in link]
    wait_for(opened, WAIT, "it has its file open")
    get.signal(signal.SIGTERM)
    assert get.wait(WAIT) == -signal.SIGTERM
    assert list(short_dir.glob("got.bin*")) == []
    a.agent.resume()
    got = b.kith("fs", "get", "s/big.bin", "--out", short_dir / "got.bin", "--json").json
    assert (short_dir / "got.bin").read_bytes() == data
    assert [(one["name"], one["bytes"]) for one in got["from"]] == [(a.name, 5_000_000)]
    b.kith("fs", "get", "s/empty", cwd=short_dir)
    assert (short_dir / "empty").read_bytes() == b""
    b.kith("fs", "get", "s/holes", cwd=short_dir)
    assert (short_dir / "holes").read_bytes() == bytes(20_000_000) + b"the end"
    assert (short_dir / "holes").stat().st_blocks * 512 < 1_000_000
    assert list(short_dir.glob("*.part")) == []
    got = b.kith("fs", "get", "s/big.bin", "--out", short_dir / "x", "--json").json
    assert got["schema"] == "kith.fs.get/1" and got["size"] == 5_000_000
    assert got["from"] == []  # it is in the cache


def test_a_change_by_an_editor_is_told_on_the_other_node(cluster, folders, processes):
    a, b = cluster.start(2)
    cluster.wait_alive()
    one = folders("one")
    (one / "t.txt").write_text("1\n")
    share(a, "s", one)
    wait_files((b,), {"s/t.txt"}, "s")
    watch = processes.start([BUILD / "kith", "fs", "watch", "s", "--json", "-c", "2", "--socket", b.socket])
    watch.wait_log("watching", WAIT)
    # As editors do it: another file, renamed over the old one.
    (one / ".t.txt.swp").write_text("noise")
    (one / "t.txt~new").write_text("two\n")
    os.rename(one / "t.txt~new", one / "t.txt")
    wait_seen(b, "s/t.txt", b"two\n")
    (one / "t.txt").unlink()
    assert watch.wait(WAIT) == 0
    told = [json.loads(line) for line in watch.log.splitlines() if line.startswith("{")]
    assert [(one["type"], one["path"]) for one in told] == [("modified", "s/t.txt"), ("deleted", "s/t.txt")]
    assert told[0]["author"] == a.name


# ---- writing through the catalogue ----

def test_put_append_replace_and_remove(cluster, folders, short_dir):
    a, b = cluster.start(2)
    cluster.wait_alive()
    one = folders("one")
    share(a, "s", one)
    wait_for(lambda: "s" in entries(b, flags=()), WAIT, "b knows the share")
    # On the node that shares the folder it is a file there.
    a.kith("fs", "put", "-", "s/dir/x.txt", input=b"first\n")
    assert (one / "dir" / "x.txt").read_bytes() == b"first\n"
    wait_seen(b, "s/dir/x.txt", b"first\n")
    # On another node it is kept without a folder.
    b.kith("fs", "put", "-", "s/y.txt", input=b"by b\n")
    b.kith("fs", "append", "s/y.txt", "more\n")
    assert b.kith("fs", "cat", "s/y.txt").out == b"by b\nmore\n"
    wait_seen(a, "s/y.txt", b"by b\nmore\n")
    a.kith("fs", "append", "s/dir/x.txt", "second\n")
    assert (one / "dir" / "x.txt").read_bytes() == b"first\nsecond\n"
    assert b.kith("fs", "put", "-", "s/y.txt", "--new", input=b"no", check=7).code == 7
    # What cannot be put, and what of it can: each with the next step.
    refused = a.kith("fs", "put", one, "s/", check=2).error
    assert f"{one} is a directory" in refused and f"kith fs put -r {one} PATH; kith share add NAME {one}" in refused
    assert "the path is not UTF-8; rename it" in a.kith("fs", "put", "-", "s/\udcff", input=b"no", check=2).error
    assert "choose another name" in b.kith("fs", "put", "-", "s/d/.kith-x", input=b"no", check=2).error
    (one / ".kithignore").write_text("*.o\n")
    (one / "bad\udcff").write_text("x")
    os.mkfifo(one / "pipe")

    def problems():
        said = a.kith("share", "ls", "--problems").text
        return "is not UTF-8; rename it" in said and "leave it or ignore it (.kithignore)" in said
    wait_for(problems, WAIT, "what is not shared, and what to do")
    ignored = a.kith("fs", "put", "-", "s/x.o", "--json", input=b"object")
    assert ignored.json["ignored"] and ".kithignore leaves it out" in ignored.error
    assert not (one / "x.o").exists() and b.kith("fs", "cat", "s/x.o").out == b"object"
    assert "ignored" not in b.kith("fs", "append", "s/x.o", "", "--json").json  # there is no folder there
    for name in (".kithignore", "bad\udcff", "pipe"):
        (one / name).unlink()
    a.kith("fs", "rm", "s/x.o")
    a.kith("fs", "rm", "s/dir/x.txt")
    wait_for(lambda: not (one / "dir" / "x.txt").exists(), WAIT, "it left the folder")
    wait_files((a, b), {"s/y.txt"}, "s")
    b.kith("fs", "rm", "s/y.txt")
    wait_files((a, b), set(), "s")
    # What was kept without a folder comes back, too, from anywhere, and after a crash.
    b.kill()
    b.start()
    cluster.wait_alive()
    wait_for(lambda: a.kith("fs", "restore", "s/y.txt", check=(0, 1, 4)).code == 0, WAIT, "it comes back")
    for node in (a, b):
        wait_seen(node, "s/y.txt", b"by b\nmore\n")


def tree(folder):
    """{path: content, or what a link points to} of what is beneath a folder."""
    return {str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
            for path in folder.rglob("*") if path.is_symlink() or path.is_file()}


def test_directories_go_in_and_come_out_whole(cluster, folders, short_dir):
    a, b = cluster.start(2)
    cluster.wait_alive()
    share(a, "s", folders("base/shared"))
    (folders("base/shared") / "x").write_bytes(b"x")
    (folders("base/shared") / "link").symlink_to("x")
    trip = folders("base/trip")
    for name in ("day1/a", "day1/b/c", "day2/d"):
        (trip / name).parent.mkdir(parents=True, exist_ok=True)
        (trip / name).write_bytes(name.encode() * 1000)
    (trip / "way").symlink_to("day1/a")
    put = a.kith("fs", "put", "-r", trip, "s/", "--json")
    assert {json.loads(line)["entry"]["path"] for line in put.text.splitlines()} == {
        "s/trip/day1/a", "s/trip/day1/b/c", "s/trip/day2/d"}
    assert "3 files" in put.error and "1 left out" in put.error
    # What is put comes to lie beneath what is read.
    assert "7 files" in a.kith("fs", "put", "--recursive", f"{trip.parent}/", "s/all").error
    assert "3 failed" in a.kith("fs", "put", "-r", trip, "s/trip", "--new", check=7).error
    wait_for(lambda: "s/all/trip/day2/d" in files(b) and "s/link" in entries(b), WAIT, "b knows all of it")
    expect = tree(trip)
    del expect["way"]
    assert files(b, "s/trip/day1/a") and "s/trip/day1/a" in b.kith("fs", "find", "-i", "A", "s/trip").text
    assert b.kith("fs", "find", "A", "s/trip").text == ""
    out = folders("out")
    assert "3 files" in b.kith("fs", "get", "-r", "s/trip/", "-o", out).error
    assert tree(out / "trip") == expect
    b.kith("fs", "get", "-r", "s", "-o", out / "new")
    assert tree(out / "new") == tree(folders("base/shared"))
    # Of a directory there is no version of one node; and a name may begin with a dot.
    assert "get s/trip, which has" in b.kith("fs", "get", "-r", f"s/trip@{a.name}", "-o", out / "at", check=2).error
    assert not (out / "at").exists()
    (folders("base/.set") / "x").write_bytes(b"dot")
    a.kith("fs", "put", "-r", folders("base/.set"), "s/")
    assert a.kith("fs", "cat", "s/.set/x").out == b"dot"
    # One that is in the way is told, and stays; all others come.
    shutil.rmtree(out / "trip")
    (out / "trip" / "day1" / "a").mkdir(parents=True)
    refused = b.kith("fs", "get", "-r", "s/trip", "-o", out, check=8)
    assert "day1/a cannot be written: Is a directory" in refused.error and "2 files" in refused.error
    assert set(tree(out / "trip")) == {"day1/b/c", "day2/d"}
    (out / "file").touch()
    assert "File exists" in b.kith("fs", "get", "-r", "s/trip", "-o", out / "file", check=1).error
    assert "get it without -r" in b.kith("fs", "get", "-r", "s/x", check=2).error
    assert "kith fs get -r s/trip" in b.kith("fs", "get", "s/trip", check=2).error
    assert "there is no s/none" in b.kith("fs", "get", "-r", "s/none", check=4).error


def test_an_acknowledged_put_survives_kill_9(cluster, folders):
    a, b = cluster.start(2)
    cluster.wait_alive()
    share(a, "s", folders("one"))
    wait_for(lambda: "s" in entries(b, flags=()), WAIT, "b knows the share")
    kept = {}
    for i in range(8):
        data = os.urandom(1000 + 100_000 * (i % 2))
        b.kith("fs", "put", "-", f"s/f{i}", input=data)
        kept[f"s/f{i}"] = data
    # A log grows until the kill comes, several appends at a time.
    appended = []

    def append(who):
        for i in range(10_000):
            line = b"%d/%d\n" % (who, i)
            if b.kith("fs", "append", "s/log", "-", input=line, check=None).code != 0:
                return
            appended.append(line)
    writers = [threading.Thread(target=append, args=(who,)) for who in range(3)]
    for writer in writers:
        writer.start()
    wait_for(lambda: len(appended) >= 30, WAIT, "30 lines are appended")
    b.kill()
    for writer in writers:
        writer.join()
    a.kill()
    nobodys = b.dir / "files" / "part" / ("ab" * 32)  # begun, and its version is gone
    nobodys.write_bytes(b"half")
    b.start()
    for name, data in kept.items():
        assert b.kith("fs", "cat", name).out == data
    assert not nobodys.exists()
    log = b.kith("fs", "cat", "s/log").out
    assert log.endswith(b"\n") and set(appended) <= set(log.splitlines(keepends=True))
    assert len(log.splitlines()) == len(set(log.splitlines())) <= len(appended) + len(writers)
    b.kith("fs", "append", "s/log", "-", input=b"behind\n")
    kept["s/log"] = log + b"behind\n"
    assert b.kith("fs", "cat", "s/log").out == kept["s/log"]
    a.start()
    wait_files((a,), kept, "s")
    assert a.kith("fs", "cat", "s/f1").out == kept["s/f1"]


def test_a_put_survives_a_restored_store_beside_its_file(cluster, folders, short_dir):
    # What the store said of the keep is older than the keep, and only others tell what is in it.
    a, b = cluster.start(2)
    cluster.wait_alive()
    share(a, "s", folders("one"), "--replicas", "1")
    wait_for(lambda: "s" in entries(b, flags=()), WAIT, "b knows the share")
    b.stop()
    shutil.copytree(b.dir / "store", short_dir / "store")
    b.start()
    wait_for(lambda: "s" in entries(b, flags=()), WAIT, "b is back")
    kept = {f"s/f{i}": os.urandom(1000 + 400_000 * i) for i in range(2)}
    for name, data in kept.items():
        b.kith("fs", "put", "-", name, input=data)
    b.kith("fs", "append", "s/f0", "-", input=b"more")  # one file of the keep has two names now
    kept["s/f0"] += b"more"
    for name, data in kept.items():
        wanted = hashlib.blake2b(data, digest_size=32).hexdigest()
        wait_for(lambda: a.kith("fs", "stat", name, "--json").json["entry"]["size"] == len(data), WAIT,
                 f"a knows {name} as {wanted}")
    b.kill()
    shutil.rmtree(b.dir / "store")
    shutil.copytree(short_dir / "store", b.dir / "store")
    b.start()
    for node in (a, b):
        for name, data in kept.items():
            wait_for(lambda: node.kith("fs", "cat", name, check=(0, 1, 4)).out == data, WAIT, f"{node} reads {name}")
    assert entries(a, "s")["s/f1"]["holders"] == [b.name]


def test_a_read_only_share_is_never_written(cluster, folders):
    a, = cluster.start(1)
    one = folders("one")
    (one / "a").write_text("a")
    share(a, "s", one, "--read-only")
    wait_files((a,), {"s/a"}, "s")
    refused = a.kith("fs", "put", "-", "s/b", input=b"b", check=5)
    assert "read-only" in refused.error
    a.kith("fs", "rm", "s/a", check=5)
    assert sorted(p.name for p in one.iterdir()) == ["a"]


# ---- folders in step ----

def test_folders_in_step_follow_each_other(cluster, folders):
    a, b = cluster.start(2)
    cluster.wait_alive()
    one, two = folders("one"), folders("two")
    (one / "a.txt").write_text("1\n")
    (two / "b.txt").write_text("2\n")
    share(a, "s", one, "--sync")
    share(b, "s", two, "--sync")
    wait_for(lambda: (two / "a.txt").exists() and (one / "b.txt").exists(), WAIT, "both have both")
    (one / "sub").mkdir()
    (one / "sub" / "c.txt").write_text("3\n")
    wait_for(lambda: (two / "sub" / "c.txt").exists(), WAIT, "a new file came")
    assert (two / "sub" / "c.txt").read_text() == "3\n"
    (two / "a.txt").write_text("changed by b\n")
    wait_for(lambda: (one / "a.txt").read_text() == "changed by b\n", WAIT, "a change came")
    (one / "b.txt").unlink()
    wait_for(lambda: not (two / "b.txt").exists(), WAIT, "a deletion came")
    b.kith("fs", "restore", "s/b.txt")
    wait_for(lambda: (two / "b.txt").exists() and (two / "b.txt").read_text() == "2\n", WAIT,
             "it came back out of the trash")


@pytest.mark.parametrize("flags", [(), ("--sync",)], ids=["plain", "in step"])
def test_both_sides_of_a_conflict_stay_until_one_is_chosen(cluster, folders, flags):
    a, b = cluster.start(2)
    one, two = folders("one"), folders("two")
    (one / "t.txt").write_text("base\n")
    (two / "t.txt").write_text("base\n")
    share(a, "s", one, *flags)
    share(b, "s", two, *flags)
    wait_for(lambda: len(entries(a, "s").get("s/t.txt", {}).get("holders", [])) == 2, WAIT, "both have it")
    b.kill()
    (one / "t.txt").write_text("side a\n")
    wait_seen(a, "s/t.txt", b"side a\n")
    a.kill()
    (two / "t.txt").write_text("side b\n")
    b.start()
    wait_seen(b, "s/t.txt", b"side b\n")
    a.start()
    for node in (a, b):
        wait_for(lambda: len(entries(node, "s")) == 2, WAIT, f"{node} lists both versions")
    names = sorted(entries(a, "s"))
    assert names[0] == "s/t.txt" and names[1].startswith("s/t.txt.conflict-")
    for node in (a, b):
        assert {node.kith("fs", "cat", name).out for name in names} == {b"side a\n", b"side b\n"}
    said = a.kith("fs", "conflicts")
    assert "kith fs conflicts keep PATH" in said.error
    of = {entry["path"]: entry["author"] for entry in a.kith("fs", "conflicts", "--json").json["entries"]}
    assert {of[name]: a.kith("fs", "cat", name).out for name in names} == {a.name: b"side a\n", b.name: b"side b\n"}
    assert all(f"  {name}  " in line for line, name in zip(said.lines[1:], (of[name] for name in names)))
    if flags:
        shown = a.kith("fs", "cat", "s/t.txt").out
        wait_for(lambda: (one / "t.txt").read_bytes() == (two / "t.txt").read_bytes() == shown, WAIT,
                 "both folders have what is shown")
    # Names of conflicts are the catalogue's alone.
    assert [p.name for folder in (one, two) for p in folder.iterdir()] == ["t.txt", "t.txt"]
    chosen = a.kith("fs", "cat", names[1]).out
    a.kith("fs", "conflicts", "keep", names[1])
    for node in (a, b):
        wait_for(lambda: sorted(entries(node, "s")) == ["s/t.txt"], WAIT, f"{node} has one version")
        wait_seen(node, "s/t.txt", chosen)
    if flags:
        wait_for(lambda: (one / "t.txt").read_bytes() == (two / "t.txt").read_bytes() == chosen, WAIT,
                 "both folders have what was chosen")


def test_what_comes_back_is_what_was_deleted_though_others_have_older(cluster, folders):
    a, b = cluster.start(2)
    one, two = folders("one"), folders("two")
    for folder in (one, two):
        (folder / "t.txt").write_text("old\n")
    share(a, "s", one)
    share(b, "s", two)
    wait_for(lambda: len(entries(a, "s").get("s/t.txt", {}).get("holders", [])) == 2, WAIT, "both have it")
    (one / "t.txt").write_text("newer\n")
    (one / "t.txt").chmod(0o640)
    wait_seen(a, "s/t.txt", b"newer\n")
    a.kith("fs", "rm", "s/t.txt")
    a.kith("fs", "restore", "s/t.txt")  # at once: it waits until the folder has followed
    wait_seen(a, "s/t.txt", b"newer\n")
    wait_seen(b, "s/t.txt", b"newer\n")
    assert (one / "t.txt").stat().st_mode & 0o777 == 0o640


def test_a_folder_comes_back_out_of_the_trash_of_the_only_node(cluster, folders):
    a = cluster.start(1)[0]
    one = folders("one")
    (one / "dir" / "sub").mkdir(parents=True)
    files = {f"dir/{i}.txt": f"content {i}\n" for i in range(7)} | {"dir/sub/deep.txt": "deep\n", "dirt.txt": "other\n"}
    for name, text in files.items():
        (one / name).write_text(text)
    share(a, "s", one)
    wait_files((a,), {f"s/{name}" for name in files}, "s")
    a.kith("fs", "rm", "s/dir", "-r", "--yes")
    a.kith("fs", "rm", "s/dirt.txt")
    wait_for(lambda: not (one / "dir" / "3.txt").exists(), WAIT, "they left the folder")
    assert b"restored 1 entry" in a.kith("fs", "restore", "s/dir/3.txt").err
    assert b"restored 7 entries" in a.kith("fs", "restore", "s/dir").err
    assert a.kith("fs", "restore", "s/dir", check=4).err.count(b"nothing is left") == 1
    assert not (one / "dirt.txt").exists()
    wait_for(lambda: all((one / name).exists() and (one / name).read_text() == text
                         for name, text in files.items() if name != "dirt.txt"), WAIT, "all is as it was")


# ---- what is missing is no deletion ----

def test_a_folder_that_is_missing_or_emptied_deletes_nothing(cluster, folders, short_dir):
    a, b = cluster.start(2)
    cluster.wait_alive()
    one = folders("one")
    for i in range(30):
        (one / f"f{i}").write_text(str(i))
    share(a, "s", one)
    expect = {f"s/f{i}" for i in range(30)}
    wait_files((a, b), expect, "s")
    os.rename(one, short_dir / "moved")
    wait_for(lambda: a.kith("share", "ls", "--json").json["shares"][0]["state"] == "away", WAIT, "it is away")
    assert set(files(b, "s")) == expect
    os.rename(short_dir / "moved", one)
    wait_for(lambda: a.kith("share", "ls", "--json").json["shares"][0]["state"] == "watched", WAIT, "it is back")
    for i in range(25):
        (one / f"f{i}").unlink()
    wait_for(lambda: a.kith("share", "ls", "--json").json["shares"][0]["state"] == "held", WAIT, "it asks")
    assert set(files(b, "s")) == expect
    a.kith("share", "confirm", "s")
    wait_files((a, b), {f"s/f{i}" for i in range(25, 30)}, "s")


def test_the_data_directory_cannot_be_shared(cluster, folders):
    a, = cluster.start(1)
    refused = a.kith("share", "add", "s", a.dir, check=5)
    assert "keys" in refused.error
    a.kith("share", "add", "s", a.dir.parent, check=5)
    a.kith("share", "add", "bad/name", folders("x"), check=2)


# ---- many, and damaged ----

@pytest.mark.plain
def test_ten_thousand_small_files(cluster, folders):
    a, b = cluster.start(2)
    cluster.wait_alive()
    one = folders("one")
    for i in range(100):
        (one / f"d{i:02}").mkdir()
        for j in range(100):
            (one / f"d{i:02}" / f"f{j:02}").write_text(f"{i}/{j}\n")
    share(a, "s", one)
    wait_for(lambda: b.kith("share", "ls", "s", "--json").json["shares"][0]["entries"] >= 10_000, 120 * SLOW,
             "b knows all of them")
    found = files(b, "s")
    assert len(found) == 10_000
    assert b.kith("fs", "cat", "s/d42/f17").out == b"42/17\n"
    assert len(b.kith("fs", "find", "f99", "s", "--json").json["entries"]) == 100


@pytest.mark.plain
def test_one_thread_scans_and_reads_more_than_may_wait(cluster, folders):
    """The scan waits while 16,384 files wait to be read, and the thread reads them meanwhile."""
    a, = cluster.start(1, "--set", "fs.workers=1")
    one = folders("one")
    for i in range(80):
        (one / f"d{i:02}").mkdir()
        for j in range(250):
            (one / f"d{i:02}" / f"f{j:03}").touch()
    share(a, "s", one)

    def shown():
        return a.kith("share", "ls", "s", "--json").json["shares"][0]
    wait_for(lambda: shown()["state"] == "watched", 60 * SLOW, "all is published")
    assert shown()["entries"] == 20_000


@pytest.mark.plain
def test_copies_are_made_and_made_again_when_a_holder_is_gone(cluster, folders):
    a, b, c = cluster.start(3, "--set", "member.profile=fast", "--set", "fs.heal_after=2s")
    data = os.urandom(300_000)
    share(a, "s", folders("one"), "--replicas", "2")
    wait_for(lambda: "s" in entries(c, flags=()), WAIT, "c knows the share")
    c.kith("fs", "put", "-", "s/x", input=data)

    def holders():
        return set(entries(c, "s").get("s/x", {}).get("holders", []))
    wait_for(lambda: len(holders()) == 2, WAIT, "another node makes a copy, nobody asks for it")
    gone = a if a.name in holders() else b
    gone.kill()
    rest = b if gone is a else a
    wait_for(lambda: {c.name, rest.name} <= holders(), WAIT, "the copy is made again where there was none")
    c.kill()
    assert rest.kith("fs", "cat", "s/x").out == data


def test_a_log_that_grows_costs_its_copies_what_is_new(cluster, folders):
    a, b, c = cluster.start(3, "--set", "member.profile=fast", "--set", "fs.heal_after=2s")
    log = os.urandom(1_000_000)
    share(a, "s", folders("one"))
    wait_for(lambda: "s" in entries(c, flags=()), WAIT, "c knows the share")

    def fetched(node):
        return node.kith("fs", "cache", "--json").json["fetched_bytes"]

    def is_everywhere():
        entry = c.kith("fs", "stat", "s/log", "--json").json["entry"]
        return entry["size"] == len(log) and set(entry["holders"]) == {a.name, b.name, c.name}
    c.kith("fs", "put", "-", "s/log", input=log)
    wait_for(is_everywhere, WAIT, "the other two make copies")
    before = [fetched(node) for node in (a, b)]
    assert all(n >= len(log) for n in before)
    for i in range(3):
        more = b"%d and a hundred bytes, about" % i
        c.kith("fs", "append", "s/log", input=more)
        log += more
        wait_for(is_everywhere, WAIT, "they grow")
    # The last chunk and the list of chunks, three times; the whole would be three million bytes.
    for node, n in zip((a, b), before):
        assert fetched(node) - n < 3 * (128 * 1024 + 2000)
        assert len({p.stat().st_ino for p in (node.dir / "files" / "keep").rglob("*") if p.is_file()}) == 1
    c.kill()
    for node in (a, b):
        assert node.kith("fs", "cat", "s/log").out == log


def damage(node):
    """Some bytes of what its keep has last, in the middle."""
    copies = sorted((p for p in (node.dir / "files" / "keep").rglob("*") if p.is_file()), key=lambda p: p.stat().st_mtime_ns)
    with open(copies[-1], "r+b") as copy:
        copy.seek(200_000)
        copy.write(b"damage")


def test_a_damaged_copy_is_found_and_fetched_again(cluster, folders):
    a, b = cluster.start(2)
    cluster.wait_alive()
    one = folders("one")
    data = os.urandom(300_000)
    (one / "x").write_bytes(data)
    share(a, "s", one)
    wait_files((b,), {"s/x"}, "s")
    b.kith("fs", "pin", "s/x")
    damage(b)
    verified = b.kith("fs", "verify", "s", "--json").json
    assert (verified["damaged"], verified["repaired"]) == (1, 1)
    assert b.kith("fs", "cat", "s/x").out == data
    assert b.kith("fs", "verify", "s", "--json").json["damaged"] == 0
    # A reader does not get it, though nothing asks for the copy to stay.
    data = os.urandom(300_000)
    b.kith("fs", "put", "-", "s/y", input=data)
    wait_files((a,), {"s/x", "s/y"}, "s")
    a.kith("fs", "pin", "s/y")
    damage(b)
    assert b.kith("fs", "cat", "s/y").out == data
    b.agent.wait_log("damaged on disk.*s/y", WAIT)
    wait_for(lambda: len(entries(a, "s")["s/y"]["holders"]) == 2, WAIT, "it is a copy again")
    for _ in range(2):
        damage(b)
        verified = b.kith("fs", "verify", "s/y", "--json").json
        assert (verified["damaged"], verified["repaired"]) == (1, 1)
    assert b.kith("fs", "cat", "s/y").out == data
    # The only one: it cannot be repaired, and is no copy any more.
    b.kith("fs", "put", "-", "s/z", input=os.urandom(300_000))
    damage(b)
    assert "1 damaged, 0 of them repaired" in b.kith("fs", "verify", "s/z", check=8).text
    wait_for(lambda: entries(a, "s")["s/z"]["holders"] == [], WAIT, "nobody has it")
    # What a node sends is checked by who gets it; where nobody else has it, who did answer is named.
    b.kith("fs", "put", "-", "s/w", input=os.urandom(300_000))
    damage(b)
    wait_for(lambda: "s/w" in files(a, "s"), WAIT, "a knows of it")
    # (Told of it, that one reads its copy again, and may have given it up before the fetch ends.)
    refused = a.kith("fs", "cat", "s/w", check=(1, 4)).error
    assert (f"{b.name} (sent damaged data); kith fs verify on {b.name}" in refused
            or "no node has this content any more" in refused)
    a.agent.wait_log("a node sent damaged data", WAIT)
    line, = [line for line in a.agent.log.splitlines() if "sent damaged data" in line]
    assert "level=warn" in line and files(a, "s")["s/w"] in line and b.name in line


def test_what_is_restored_does_not_wait_for_what_is_away(cluster, folders):
    a, b = cluster.start(2)
    cluster.wait_alive()
    one, two = folders("one"), folders("two")
    share(a, "s", one)
    wait_for(lambda: "s" in entries(b, flags=()), WAIT, "b knows the share")
    b.kith("fs", "put", "-", "s/y", input=b"y\n")
    a.kith("fs", "put", "-", "s/v", input=b"v\n")
    wait_files((b,), {"s/v", "s/y"}, "s")
    a.kill()
    # The folder waits for s/v for as long as a is away.
    share(b, "s", two, "--sync")
    wait_for(lambda: (two / "y").exists(), WAIT, "the folder has what was put before there was one")
    b.kith("fs", "rm", "s/y")
    wait_for(lambda: not (two / "y").exists(), WAIT, "it is in the trash")
    assert b"restored 1 entry" in b.kith("fs", "restore", "s").err
    assert (two / "y").read_text() == "y\n" and not (two / "v").exists()


def test_a_full_disk_ends_a_fetch_and_not_the_node(cluster, folders, short_dir):
    a, = cluster.start(1)
    one, small = folders("one"), folders("2")
    if os.geteuid() != 0 or run("mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "tmpfs", small, check=None).code != 0:
        pytest.skip("no right to mount a small file system")
    try:
        b = cluster.add().start()
        cluster.wait_alive()
        (one / "big").write_bytes(os.urandom(32_000_000))
        (one / "note").write_bytes(b"small\n")
        share(a, "s", one)
        wait_files((b,), {"s/big", "s/note"}, "s")
        # Nothing is left of what did not fit, and nobody is told that b has it.
        for command, why in ((("pin", "s/big"), "the disk is full"),
                             (("get", "s/big", "--out", small / "out"), "No space left on device")):
            refused = b.kith("fs", *command, check=(1, 8)).error
            assert why in refused and "free some space there" in refused
        assert [p for p in (b.dir / "files" / "keep").rglob("*") if p.is_file()] == []
        assert [p.name for p in small.iterdir() if p.name.startswith(("out", ".out"))] == []
        assert entries(a, "s")["s/big"]["holders"] == [a.name]
        wait_seen(b, "s/note", b"small\n")
        run("mount", "-o", "remount,size=160m", small)
        b.kith("fs", "pin", "s/big")
        assert len([p for p in (b.dir / "files" / "keep").rglob("*") if p.is_file()]) == 1
        b.stop()
    finally:
        cluster.end()
        run("umount", small)


def test_pinned_files_are_there_without_the_others(cluster, folders):
    a, b = cluster.start(2)
    cluster.wait_alive()
    one = folders("one")
    (one / "x").write_bytes(b"pinned\n")
    share(a, "s", one)
    wait_files((b,), {"s/x"}, "s")
    b.kith("fs", "pin", "s")
    a.kill()
    b.kith("fs", "evict")
    assert b.kith("fs", "cat", "s/x").out == b"pinned\n"
    assert b.kith("fs", "pin", "s", "--remove", "--json").json["count"] == 1


# ---- this machine's files ----

def test_track_tells_of_files_that_are_not_shared(cluster, folders, processes):
    a, = cluster.start(1)
    one = folders("one")
    (one / "there").write_text("x")
    track = processes.start([BUILD / "kith", "fs", "track", str(one), "--json", "-c", "2", "--socket", a.socket])
    track.wait_log("watching", WAIT)
    (one / "new").write_text("y")
    wait_for(lambda: "created" in track.log, WAIT, "created is told")
    (one / "there").unlink()
    assert track.wait(WAIT) == 0
    told = [json.loads(line) for line in track.log.splitlines() if line.startswith("{")]
    assert [(one["type"], os.path.basename(one["path"])) for one in told] == [("created", "new"), ("deleted", "there")]
    assert a.kith("fs", "ls", "--json").json["entries"] == []


@pytest.fixture
def follow(processes):
    """Tracks: follow(node, path, '-r') is {"told": [(type, path, from), ...] so far, "wait": for all of these}."""
    class Followed:
        def __init__(self, node, path, *flags):
            self.path = path
            self.process = processes.start([BUILD / "kith", "fs", "track", str(path), "--json", *flags,
                                            "--socket", node.socket])
            self.process.wait_log("watching", WAIT)

        def told(self):
            lines = [json.loads(line) for line in self.process.log.splitlines() if line.startswith("{") and line.endswith("}")]
            return [(one["type"], *(os.path.relpath(name, self.path) for name in (one["path"], one.get("from")) if name))
                    for one in lines]

        def wait(self, *expect):
            wait_for(lambda: set(expect) <= set(self.told()), WAIT, f"all of {expect}")
    return Followed


def test_track_tells_each_kind_of_change_of_any_name(cluster, folders, follow):
    a, = cluster.start(1)
    one = folders("one")
    for name in ("b~", "mode", "old", "gone"):
        (one / name).write_text(name)
    (one / ".kithignore").write_text("*")
    (one / ".git").mkdir()
    (one / ".git" / "HEAD").write_text("x")
    folder, file = follow(a, one, "-r"), follow(a, one / "b~")
    (one / "b~").write_text("longer")
    (one / "mode").chmod(0o600)
    (one / "old").rename(one / "new")
    (one / "gone").unlink()
    (one / ".git" / "HEAD").write_text("longer")
    (one / ".#lock").write_text("x")
    expect = {("modified", "b~"), ("attributes", "mode"), ("renamed", "new", "old"), ("deleted", "gone"),
              ("modified", ".git/HEAD"), ("created", ".#lock")}
    folder.wait(*expect)
    (one / "b~").unlink()
    folder.wait(("deleted", "b~"))
    file.wait(("modified", "."), ("deleted", "."))
    # A machine that is slow may see a file between its beginning and its end.
    assert {one for one in folder.told() if one[0] != "modified"} == {one for one in expect if one[0] != "modified"} | {("deleted", "b~")}
    assert set(file.told()) == {("modified", "."), ("deleted", ".")}


def test_track_tells_every_deletion(cluster, folders, follow):
    a, = cluster.start(1)
    many, last = folders("many"), folders("last")
    for i in range(30):
        (many / f"f{i}").write_text("x")
    (last / "only").write_text("x")
    tracks = follow(a, many), follow(a, last), follow(a, last / "only")
    for i in range(30):
        (many / f"f{i}").unlink()
    (last / "only").unlink()
    for track, expect in zip(tracks, ([("deleted", f"f{i}") for i in range(30)], [("deleted", "only")], [("deleted", ".")])):
        track.wait(*expect)
        assert sorted(track.told()) == sorted(expect)
    # The folder itself: what is in it goes first, and it may come back as another one.
    (last / "again").write_text("x")
    tracks[1].wait(("created", "again"))
    shutil.rmtree(last)
    tracks[1].wait(("deleted", "."))
    assert tracks[1].told()[-2:] == [("deleted", "again"), ("deleted", ".")]
    last.mkdir()
    (last / "only").write_text("y")
    tracks[1].wait(("created", "."), ("created", "only"))
    tracks[2].wait(("created", "."))


def test_track_of_one_level_tells_of_entries_alone(cluster, folders, follow):
    a, = cluster.start(1)
    one = folders("one")
    (one / "there").mkdir()
    flat, deep = follow(a, one), follow(a, one, "-r")
    (one / "new").mkdir()
    (one / "new" / "inner").write_text("x")
    (one / "there" / "inner").write_text("x")
    deep.wait(("created", "new"), ("created", "new/inner"), ("created", "there/inner"))
    (one / "new").rename(one / "moved")
    flat.wait(("created", "new"), ("renamed", "moved", "new"))
    deep.wait(("renamed", "moved", "new"), ("renamed", "moved/inner", "new/inner"))
    shutil.rmtree(one / "moved")
    flat.wait(("deleted", "moved"))
    deep.wait(("deleted", "moved"), ("deleted", "moved/inner"))
    assert flat.told() == [("created", "new"), ("renamed", "moved", "new"), ("deleted", "moved")]
    assert len([one for one in deep.told() if one[0] != "modified"]) == 7
