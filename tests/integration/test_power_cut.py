"""The power of the whole cluster goes at a random moment: every acknowledged durable write is there.

KITH_POWER_CUTS=N cuts it N times a case instead of the few that a test run can afford;
KITH_TEST_SEED repeats a run's moments.
"""
import json
import os
import random
import re
import signal
import subprocess
import threading

import pytest

from kithtest import BUILD, ControlError, wait_for
from webtest import log_in

# A preloaded library and a sanitizer's runtime both want to be first; and it is about disks.
pytestmark = pytest.mark.plain

CUTS = int(os.environ.get("KITH_POWER_CUTS", "2"))
WRITERS = 6


@pytest.fixture
def chance():
    seed = int(os.environ.get("KITH_TEST_SEED", random.randrange(1 << 32)))
    print(f"KITH_TEST_SEED={seed}")
    return random.Random(seed)


class Load:
    """Clients that write durable variables, and know what they were told."""

    def __init__(self, nodes):
        self.nodes = nodes
        self.asked = [0] * WRITERS  # each numbers its writes of its own variable
        self.acknowledged = [0] * WRITERS
        self.additions_asked = [0] * WRITERS  # to one counter of all
        self.additions = [0] * WRITERS
        self.threads = []

    def write(self, i):
        try:
            with self.nodes[i % len(self.nodes)].control() as control:
                while True:
                    self.asked[i] += 1
                    control.request("var.set", {"name": f"own{i}", "policy": "durable"},
                                    str(self.asked[i]).encode())
                    self.acknowledged[i] = self.asked[i]
                    self.additions_asked[i] += 1
                    control.request("var.incr", {"name": "sum", "policy": "durable"})
                    self.additions[i] += 1
        except (OSError, ConnectionError, ControlError, ValueError):
            return  # its node is gone: what it asked for last may have happened

    def start(self):
        self.threads = [threading.Thread(target=self.write, args=(i,)) for i in range(WRITERS)]
        for thread in self.threads:
            thread.start()

    def join(self):
        for thread in self.threads:
            thread.join()

    def check(self, node):
        """Whether @node has all that was acknowledged, and nothing that was never asked for."""
        for i in range(WRITERS):
            got = node.kith("var", "get", f"own{i}", check=(0, 4))
            value = int(got.text) if got.code == 0 else 0
            told = (f"own{i}", value, self.acknowledged[i], self.asked[i])
            if not self.acknowledged[i] <= value <= self.asked[i]:
                pytest.fail(f"read, acknowledged, asked for: {told}")
        got = node.kith("var", "get", "sum", check=(0, 4))
        value = int(got.text) if got.code == 0 else 0
        if not sum(self.additions) <= value <= sum(self.additions_asked):
            pytest.fail(f"the sum is {value}: {sum(self.additions)} additions were acknowledged, "
                        f"{sum(self.additions_asked)} asked for")
        return True


def cut_power(cluster, chance, start, end_by):
    nodes = cluster.nodes
    load = Load(nodes)
    for cut in range(CUTS):
        cluster.settle()
        load.start()
        begun = sum(load.additions)
        moment = begun + chance.randint(1, 150)
        wait_for(lambda: sum(load.additions) >= moment, 60, "writes before the power cut",
                 interval=0.002)
        for node in nodes:
            node.agent.signal(end_by)
        for node in nodes:
            assert node.agent.wait() == -signal.SIGKILL, node.agent.describe()
        load.join()
        for node in chance.sample(nodes, len(nodes)):
            start(node, chance.randrange(1, 1 << 32) if cut > 0 else 0)
        wait_for(lambda: load.check(chance.choice(nodes)), 60, "all is there after the power cut")
        for node in nodes:
            wait_for(lambda: load.check(node), 30)
    assert sum(load.additions) > CUTS


def test_nodes_that_are_all_killed_keep_each_acknowledged_write(cluster, chance):
    cluster.start(3)
    cut_power(cluster, chance, lambda node, seed: node.start(), signal.SIGKILL)


def test_power_cut_that_loses_what_was_not_synced_loses_no_acknowledged_write(cluster, chance):
    """The first cut loses all that was not synced, later ones part of it: sectors by chance."""
    def start(node, seed):
        node.start(env={"LD_PRELOAD": str(BUILD / "tests/libunsynced.so"),
                        "KITH_UNSYNCED_DIR": str(node.dir), "KITH_UNSYNCED_SEED": str(seed)})
    for _ in range(3):
        start(cluster.add(), 0)
    cluster.wait_alive()
    cut_power(cluster, chance, start, signal.SIGUSR2)


def test_users_are_known_after_a_power_cut_without_the_others(cluster):
    """Of the copy in the data directory all is lost that was not synced, names too."""
    def start(node):
        node.start("--web", "127.0.0.1:0",
                   env={"LD_PRELOAD": str(BUILD / "tests/libunsynced.so"), "KITH_UNSYNCED_DIR": str(node.dir)})
    a = cluster.add().start("--web", "127.0.0.1:0")
    b = cluster.add()
    start(b)
    cluster.wait_alive()
    wait_for(lambda: b.kith("view", "--json").json.get("keepers"), 30, "there is a view")

    def copied():
        return set(json.loads((b.dir / "users").read_text()))
    users = ["ana", "bob", "cid"]
    for i, user in enumerate(users):
        a.kith("user", "add", user, "--role", "operator", input=b"correct horse\n")
        wait_for(lambda: copied() == set(users[:i + 1]), what=f"b's copy has {user}")
    a.kill()
    b.agent.signal(signal.SIGUSR2)
    b.agent.wait()
    # One is written when the one before it is on the disk.
    assert {"ana", "bob"} <= copied()
    start(b)
    for user in ("ana", "bob"):
        assert log_in(b, user=user, password="correct horse").json("GET", "/v1/session")["user"] == user


@pytest.mark.parametrize("first", [0, 2], ids=["meta pages", "pages of the tree"])
def test_damaged_structure_ends_a_node_that_comes_back_as_a_fresh_one(own_three, cluster, first):
    a, _, c = own_three
    for i in range(40):
        a.kith("var", "set", f"d{i}", f"{i}", "--policy", "durable")
    c.kill()
    data = c.dir / "store" / "data.mdb"
    size = data.stat().st_size
    with open(data, "r+b") as file:
        file.seek(first * 4096)
        file.write(b"\x5a" * ((2 * 4096 if first == 0 else size) - first * 4096))
    c.start(wait=False)
    assert c.agent.wait() != 0
    said = c.agent.log
    assert "structure is damaged" in said and "fresh member" in said, said
    assert a.kith("var", "get", "d7").text == "7\n"  # the others go on
    # What the sentence says to do.
    move = re.search(r"\((mv \S+ \S+)\)", said)[1]
    subprocess.run(["sh", "-c", move], check=True)
    c.start()
    cluster.settle(timeout=60)
    for i in range(40):
        assert c.kith("var", "get", f"d{i}").text == f"{i}\n"
    c.kith("var", "set", "d0", "new", "--policy", "durable")
    assert a.kith("var", "get", "d0").text == "new\n"
