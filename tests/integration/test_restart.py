"""Power cuts: everything is killed, comes back in any order, and finds itself again."""
import random
import re

from kithtest import kith, wait_for


def port_of(node):
    return int(node.address.rsplit(":", 1)[1])


def test_full_stop_and_restart_in_any_order_with_half_of_the_ports_changed(cluster):
    nodes = cluster.start(4)
    # What a node must remember is written a moment after it was learned.
    wait_for(lambda: all(o.name.encode() in (n.dir / "peers").read_bytes()
                         for n in nodes for o in nodes if o is not n), 20, "peers files")
    ids = {n.name: n.id for n in nodes}
    ports = {n.name: port_of(n) for n in nodes}
    for node in nodes:
        node.kill()
    order = list(nodes)
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    random.Random(seed).shuffle(order)
    moved = order[:2]
    for node in moved:
        (node.dir / "port").unlink()  # the kernel chooses another
    for node in order:
        node.start()
    cluster.wait_alive(60)
    for node in nodes:
        assert node.id == ids[node.name]
        if node not in moved:
            assert port_of(node) == ports[node.name], "the port is kept"
    for viewer in nodes:
        assert len(viewer.nodes()) == 4


def test_one_node_killed_is_suspected_failed_and_comes_back(cluster):
    one, two, three = cluster.start(3)
    two.kill()
    seen = []

    def failed():
        status = one.status(two)
        if not seen or seen[-1] != status:
            seen.append(status)
        return status == "failed"
    wait_for(failed, 40, "two is failed")
    assert seen in (["alive", "suspect", "failed"], ["suspect", "failed"])
    two.start()
    cluster.wait_alive()
    story = [re.split(r"\s+", line)[1] for line in one.kith("events").lines
             if two.name in line]
    assert story[-3:] == ["suspect", "failed", "joined"]


def test_paused_node_is_suspected_and_refutes(cluster):
    one, two, three = cluster.start(3)
    two.agent.pause()
    try:
        wait_for(lambda: one.status(two) == "suspect", 20, "suspect")
    finally:
        two.agent.resume()
    cluster.wait_alive(30)
    kinds = [e["type"] for e in events(one) if e["name"] == two.name]
    assert "failed" not in kinds


def events(node):
    import json
    return [json.loads(line) for line in node.kith("events", "--json").lines]


def test_graceful_leave_is_left_and_not_failed(cluster):
    one, two = cluster.start(2)
    two.stop()
    wait_for(lambda: one.status(two) == "left", 20, "left")
    kinds = [e["type"] for e in events(one) if e["name"] == two.name]
    assert "failed" not in kinds and kinds[-1] == "left"


def test_wrong_secret_is_refused_and_both_sides_say_so(cluster, short_dir, processes):
    one, = cluster.start(1)
    stranger = short_dir / "stranger"
    kith("init", "--name", "stranger", "--cluster", "other", "--data-dir", stranger)
    from kithtest import BUILD
    agent = processes.start([BUILD / "kith", "agent", "--data-dir", stranger,
                             "--listen", "127.0.0.1:0", "--seed", one.address])
    agent.wait_log(r"cluster", 20)
    agent.wait_log(r"kith (invite|join)", 20)
    one.agent.wait_log(r"cluster", 20)
    assert list(one.nodes()) == [one.name]


def test_key_that_others_may_read_is_refused_with_the_chmod(cluster):
    one = cluster.add()
    (one.dir / "node.key").chmod(0o644)
    one.start(wait=False)
    assert one.agent.wait() != 0
    assert "chmod" in one.agent.log and "node.key" in one.agent.log
    (one.dir / "node.key").chmod(0o400)
    one.start()
    one.stop()


def test_data_directory_in_use_is_refused(cluster):
    one, = cluster.start(1)
    result = kith("agent", "--data-dir", one.dir, "--listen", "127.0.0.1:0", check=None)
    assert result.code == 7 or result.code == 1
    assert str(one.agent.pid) in result.error or "in use" in result.error
