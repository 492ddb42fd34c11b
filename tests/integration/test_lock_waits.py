"""Waits for mutexes on real nodes: how they end, and cycles of them."""
import os
import signal
import subprocess

import pytest

from kithtest import BUILD, environment, wait_for

pytestmark = pytest.mark.plain


def run_under(node, lock, *command, options=()):
    """`kith lock run @lock -- @command` by the agent of @node; its output is a pipe."""
    env = environment({"KITH_SOCKET": str(node.socket), "PATH": f"{BUILD}:{os.environ['PATH']}"})
    return subprocess.Popen([str(BUILD / "kith"), "lock", "run", lock, *options, "--", *command],
                            env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def parties(node, lock):
    return node.kith("lock", "info", lock, "--json").json["parties"]


def waiters(node, lock):
    return [p for p in parties(node, lock) if not p["holds"]]


@pytest.fixture
def started():
    processes = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def test_wait_that_runs_out_names_the_holder(three, started):
    started.append(run_under(three[2], "long", "sleep", "600"))
    wait_for(lambda: parties(three[0], "long"))
    failed = three[0].kith("lock", "run", "long", "--wait", "700ms", "--", "true", check=6)
    assert "long" in failed.error
    failed = three[2].kith("lock", "run", "long", "--try", "--", "true", check=7)
    assert "sleep" in failed.error and "n3" in failed.error


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_wait_that_is_given_up_leaves_no_place(three, started, how):
    lock = f"given-up-{int(how)}"
    started.append(run_under(three[0], lock, "sleep", "600"))
    wait_for(lambda: parties(three[1], lock))
    waiting = run_under(three[1], lock, "true")
    started.append(waiting)
    wait_for(lambda: waiters(three[2], lock))
    waiting.send_signal(how)
    assert waiting.wait(10) != 0
    wait_for(lambda: not waiters(three[2], lock))
    started[0].kill()
    three[2].kith("lock", "run", lock, "--wait", "10s", "--", "true")


def test_command_under_a_mutex_cannot_take_it_again(three):
    inner = [str(BUILD / "kith"), "lock", "run", "again", "--", "true"]
    failed = three[0].kith("lock", "run", "again", "--", *inner, check=7,
                           env={"KITH_SOCKET": str(three[0].socket)})
    assert "not recursive" in failed.error
    other = [str(BUILD / "kith"), "lock", "run", "inner", "--", "true"]
    three[0].kith("lock", "run", "again", "--", *other, env={"KITH_SOCKET": str(three[0].socket)})


def test_cycle_over_three_mutexes_and_nodes_is_named(three, started):
    """Each holds one and waits for the next; the last one looks whether that closes a ring."""
    names = ["ring-a", "ring-b", "ring-c"]
    for i in range(3):
        env = environment({"KITH_SOCKET": str(three[i].socket), "NEXT": names[(i + 1) % 3],
                           "OPTIONS": "--detect" if i == 2 else "",
                           "PATH": f"{BUILD}:{os.environ['PATH']}"})
        script = "echo in; read -r go; exec kith lock run $NEXT $OPTIONS -- true"
        started.append(subprocess.Popen(
            [str(BUILD / "kith"), "lock", "run", names[i], "--wait", "20s", "--", "sh", "-c", script], env=env,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    for process in started:
        assert process.stdout.readline() == "in\n", process.stderr.read()
    for process in started[:2]:
        process.stdin.write("go\n")
        process.stdin.flush()
    wait_for(lambda: all(waiters(three[0], name) for name in names[1:]))
    started[2].stdin.write("go\n")
    started[2].stdin.flush()
    _, error = started[2].communicate(timeout=20)
    assert started[2].returncode == 7, error
    assert "cycle" in error and all(name in error for name in names), error
    # It released what it held: the others go on, one after the other.
    assert started[1].wait(20) == 0 and started[0].wait(20) == 0


def test_cycle_is_shown_where_mutexes_are_listed(three, started):
    for i, (own, next_one) in enumerate([("knot-a", "knot-b"), ("knot-b", "knot-a")]):
        started.append(run_under(three[i], own, "sh", "-c",
                                 f"until kith lock info {next_one} --json | grep -q '\"holds\": *true'; "
                                 f"do sleep 0.1; done; exec kith lock run {next_one} -- true"))

    def shown():
        return [p["cycle"] for lock in three[2].kith("lock", "ls", "--json").json["locks"]
                for p in lock["parties"] if "cycle" in p]
    wait_for(shown, 30)
    assert all("knot-a" in cycle and "knot-b" in cycle for cycle in shown())
    assert "knot-a" in three[0].kith("lock", "ls").text
