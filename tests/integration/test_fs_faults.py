"""Faults of the file system with real nodes: nodes that end, disks that are lost or old, data that is damaged.

The power of the whole cluster is in test_fs_power_cut.py, cut networks in test_fs_cut.py; the cores have worlds of their own.
"""
from kithtest import wait_for
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
