"""Mutexes on real nodes that all stay up (crashes: test_state_faults.py)."""
import signal
import subprocess

import pytest

from kithtest import BUILD, FULL, environment, in_threads, run, wait_for

# Minutes under a sanitizer, where the cores have worlds of their own.
pytestmark = pytest.mark.plain


def test_fences_increase_in_the_order_of_entry(three, tmp_path):
    log = tmp_path / "fences"
    each = 100 if FULL else 12

    def enter(i):
        for _ in range(each):
            three[i % 3].kith("lock", "run", "build", "--", "sh", "-c",
                              f"echo in $KITH_FENCE >>{log}; echo out $KITH_FENCE >>{log}",
                              timeout=120)
    in_threads(8, enter)
    lines = [line.split() for line in log.read_text().splitlines()]
    assert len(lines) == 2 * 8 * each
    fences = []
    for entered, left in zip(lines[::2], lines[1::2]):
        assert (entered[0], left[0]) == ("in", "out") and entered[1] == left[1], "two were inside"
        fences.append(int(entered[1]))
    assert fences == sorted(set(fences))


def test_lock_of_a_client_that_is_killed_is_free(three):
    client = subprocess.Popen([str(BUILD / "kith"), "lock", "run", "killed", "--", "sleep", "600"],
                              env=environment({"KITH_SOCKET": str(three[1].socket)}))
    wait_for(lambda: three[0].kith("lock", "run", "killed", "--try", "--", "true", check=None).code == 7)
    client.send_signal(signal.SIGKILL)
    client.wait()
    three[0].kith("lock", "run", "killed", "--wait", "10s", "--", "true")


def test_acquire_for_a_shell_until_it_ends(three, tmp_path):
    node = three[0]
    script = (f"f=$({BUILD}/kith lock acquire shell) && echo $f && "
              f"{BUILD}/kith lock run shell --try -- true; echo $?; "
              f"{BUILD}/kith lock release shell && {BUILD}/kith lock run shell --try -- true; echo $?; "
              f"{BUILD}/kith lock acquire shell >/dev/null")
    result = run("sh", "-c", script, env={"KITH_SOCKET": str(node.socket)})
    lines = result.text.split()
    assert int(lines[0]) > 0 and lines[1:] == ["7", "0"], result
    # The shell has ended with the lock: it is free.
    node.kith("lock", "run", "shell", "--wait", "10s", "--", "true")
    node.kith("lock", "release", "shell", check=4)


def test_who_holds_and_who_waits(three, processes):
    held = processes.start(
        [BUILD / "kith", "lock", "run", "who", "--", "sh", "-c", "echo in; sleep 600"],
        env={"KITH_SOCKET": str(three[0].socket)})
    held.wait_log("in")
    processes.start([BUILD / "kith", "lock", "run", "who", "--", "true"],
                            env={"KITH_SOCKET": str(three[1].socket)})

    def parties():
        info = three[2].kith("lock", "info", "who", "--json").json
        states = sorted((p["holds"], p["node_name"]) for p in info["parties"])
        assert states == [(False, "n2"), (True, "n1")], info
        return True
    wait_for(parties)
    three[2].kith("lock", "break", "who")
    held.wait(20)


def test_the_list_has_mutexes_of_all_nodes(three, processes):
    held = processes.start(
        [BUILD / "kith", "lock", "run", "listed", "--", "sh", "-c", "echo in; sleep 600"],
        env={"KITH_SOCKET": str(three[0].socket)})
    held.wait_log("in")
    for node in three:
        listed = node.kith("lock", "ls", "--json").json
        assert listed["silent_nodes"] == 0
        assert [[(p["holds"], p["node_name"]) for p in lock["parties"]]
                for lock in listed["locks"] if lock["name"] == "listed"] == [[(True, "n1")]]
    assert "listed" in three[2].kith("lock", "ls", "--node", "n1").text
    assert "listed" not in three[2].kith("lock", "ls", "--node", "n2").text


def holders(node, lock):
    """Names of the nodes that hold @lock, as @node hears it."""
    info = node.kith("lock", "info", lock, "--json").json
    return sorted(party["node_name"] for party in info["parties"] if party["holds"])


def test_permits_and_shared(three):
    def held(i):
        three[i].kith("lock", "run", "sem", "--permits", "2", "--", "sleep", "0.3")
    in_threads(3, held)
    first = subprocess.Popen([str(BUILD / "kith"), "lock", "run", "rw", "--shared", "--", "sleep", "600"],
                             env=environment({"KITH_SOCKET": str(three[0].socket)}))
    try:
        wait_for(lambda: holders(three[1], "rw") == ["n1"])
        three[1].kith("lock", "run", "rw", "--try", "--", "true", check=7)
        three[1].kith("lock", "run", "rw", "--shared", "--wait", "10s", "--", "true")
    finally:
        first.kill()
        first.wait()


def test_exit_codes_of_lock_run(three):
    node = three[0]
    node.kith("lock", "run", "codes", "--", "sh", "-c", "exit 7", check=7)
    node.kith("lock", "run", "codes", "--", "sh", "-c", "kill -9 $$", check=137)
    node.kith("lock", "run", "codes", "--", "/nonexistent/command", check=127)
    node.kith("lock", "run", "codes", "--wait", "10s", "--", "true")
