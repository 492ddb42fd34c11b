"""Garbage on every port of a live node: it is dropped, counted, and costs bounded memory.

The counts are small here; `make soak` runs ten million datagrams and a hundred thousand connections
(KITH_GARBAGE_DATAGRAMS, KITH_GARBAGE_CONNECTIONS).
"""
import json
import os
import random

from kithtest import BUILD, run, wait_for

DATAGRAMS = int(os.environ.get("KITH_GARBAGE_DATAGRAMS", 200000))
CONNECTIONS = int(os.environ.get("KITH_GARBAGE_CONNECTIONS", 3000))
# The sanitizers keep freed memory for a while.
RSS_GROWTH_MAX = 32 * 1024 * 1024


def info(node):
    return node.kith("info", "--json").json


def rss(node):
    """Of the process, as the kernel counts it."""
    for line in open(f"/proc/{node.agent.pid}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def sanitized():
    """Whether the build has a sanitizer, linked in or beside."""
    options = json.loads((BUILD / "meson-info" / "intro-buildoptions.json").read_text())
    return any(o["name"] == "b_sanitize" and o["value"] != "none" for o in options)


def calls_while(process, caller, victim):
    """Calls @victim until @process has ended; how many came back, all of them right."""
    calls = 0
    while process.running:
        answer = caller.kith("call", "sys.echo", f"call {calls}", "--node", victim.name, timeout=30)
        assert answer.text == f"call {calls}"
        calls += 1
    assert process.wait() == 0, process.describe()
    return calls


def test_garbage_is_dropped_and_bounded(cluster, processes):
    victim, member, other = cluster.start(3)
    port = info(victim)["port"]
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    ids = {name: entry["id"] for name, entry in victim.nodes().items()}
    before = info(victim)
    # Buffers that a first load makes for good are not growth.
    run(BUILD / "tests" / "garbage", port, victim.dir, member.dir, 2000, 200, seed + 1, timeout=60)
    rss_before = rss(victim)
    flood = processes.start([BUILD / "tests" / "garbage", port, victim.dir, member.dir, DATAGRAMS,
                             CONNECTIONS, seed])
    calls = calls_while(flood, other, victim)
    print(f"{flood.log}calls of another node meanwhile: {calls}, none failed")

    # Others' calls go on, and nobody was driven out.
    assert calls > 0
    answer = other.kith("call", "sys.echo", "still here", "--node", victim.name)
    assert answer.text == "still here"
    cluster.wait_alive()
    assert {name: entry["id"] for name, entry in victim.nodes().items()} == ids
    kinds = [line.split()[1] for line in other.kith("events").lines]
    assert "failed" not in kinds

    after = info(victim)["net"]
    dropped = after["datagrams_dropped"] - before["net"]["datagrams_dropped"]
    assert dropped > 0
    assert after["handshakes_failed"] > before["net"]["handshakes_failed"]
    # Handshakes that hang on end at their deadline.
    wait_for(lambda: info(victim)["net"]["handshakes_failed"] >= 1, 10)
    growth = rss(victim) - rss_before
    print(f"dropped {dropped} datagrams, memory grew by {growth} bytes")
    if not sanitized():
        assert growth < RSS_GROWTH_MAX


def test_garbage_on_the_control_socket(cluster):
    import socket
    node, = cluster.start(1)
    rng = random.Random(7)
    for size in (1, 10, 1000, 300000, 300000):
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(10)
            door.connect(str(node.socket))
            try:
                door.sendall(rng.randbytes(size))
                door.shutdown(socket.SHUT_WR)
                while door.recv(65536):
                    pass
            except (BrokenPipeError, ConnectionResetError):
                pass
    assert node.kith("call", "sys.echo", "ok").text == "ok"
