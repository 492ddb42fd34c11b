"""kith dev: nodes on this machine, from nothing to a crash and back."""
import json
import os
import pathlib
import signal

import pytest
from kithtest import BUILD, kith, wait_for


@pytest.fixture
def dev(build, short_dir):
    """Runs kith with its dev nodes in a directory of their own; stops them at the end."""
    directory = short_dir / "d"

    def command(*args, **options):
        return kith(*args, "--dir", directory, **options)

    command.dir = directory
    yield command
    kith("dev", "stop", "--dir", directory, check=None)
    logs = [path.read_text(errors="replace") for path in directory.glob("*/log")]
    assert not any("ERROR: AddressSanitizer" in log or "runtime error:" in log for log in logs), "\n".join(logs)


def statuses(dev):
    return {n["name"]: n["status"] for n in dev("nodes", "--dev", "1", "--json").json["nodes"]}


def test_three_nodes_a_crash_and_a_return(dev):
    result = dev("dev", "3", timeout=60)
    assert "3 nodes up" in result.text and "kith nodes" in result.error
    assert statuses(dev) == {"dev-1": "alive", "dev-2": "alive", "dev-3": "alive"}

    dev("dev", "kill", "2")
    wait_for(lambda: statuses(dev)["dev-2"] == "failed", timeout=30, what="dev-2 failed")
    states = {n["name"]: n["running"] for n in dev("dev", "ls", "--json").json["nodes"]}
    assert states == {"dev-1": True, "dev-2": False, "dev-3": True}
    assert dev("dev", "kill", "2", check=7).out == b""

    dev("dev", "start", "2")
    wait_for(lambda: statuses(dev)["dev-2"] == "alive", timeout=30, what="dev-2 is back")

    events = [json.loads(line) for line in dev("events", "--dev", "1", "--json").lines]
    story = [e["type"] for e in events if e["name"] == "dev-2"]
    assert [k for k in story if k in ("joined", "failed")][-2:] == ["failed", "joined"], story
    assert "suspect" in story[:story.index("failed")]

    dev("dev", "stop", timeout=60)
    assert not any(n["running"] for n in dev("dev", "ls", "--json").json["nodes"])


def test_the_first_running_node_is_the_default(dev, short_dir):
    env = {"XDG_STATE_HOME": str(short_dir)}
    kith("dev", "2", env=env, timeout=60)
    try:
        assert kith("info", "--json", env=env).json["name"] == "dev-1"
        assert kith("info", "--dev", "2", "--json", env=env).json["name"] == "dev-2"
        kith("dev", "kill", "1", env=env)
        assert kith("info", "--json", env=env).json["name"] == "dev-2"
    finally:
        kith("dev", "stop", env=env, check=None, timeout=60)
    assert "kith dev 3" in kith("info", env=env, check=3).error


def test_again_and_more_nodes(dev):
    first = {n["name"]: n["pid"] for n in dev("dev", "1", "--json", timeout=60).json["nodes"]}
    second = {n["name"]: n["pid"] for n in dev("dev", "2", "--json", timeout=60).json["nodes"]}
    assert second["dev-1"] == first["dev-1"] and set(second) == {"dev-1", "dev-2"}


def running(dev):
    return {n["k"]: n["pid"] for n in dev("dev", "ls", "--json").json["nodes"] if n["running"]}


def asked(socket):
    """True once a command has looked whether somebody listens there, and then asked: of a node that is stopped, which accepts nobody."""
    listed = pathlib.Path("/proc/net/unix").read_text().splitlines()
    return sum(line.endswith(f" {socket}") for line in listed) > 2  # the socket that listens is one


@pytest.mark.parametrize("command, killed", [(("dev", "3"), 1), (("dev", "3"), 3), (("dev", "start", "1", "2", "3"), 2)])
def test_a_node_that_ends_while_it_is_taken_to_run_is_started_again(dev, processes, command, killed):
    dev("dev", "3", timeout=60)
    before = running(dev)
    os.kill(before[killed], signal.SIGSTOP)
    again = processes.start([BUILD / "kith", *command, "--dir", dev.dir])
    wait_for(lambda: asked(dev.dir / str(killed) / "kith.sock"), what="the command takes it to run")
    os.kill(before[killed], signal.SIGKILL)
    assert again.wait(60) == 0, again.log
    assert f"dev-{killed} (process {before[killed]}) has just ended: it is started again" in again.log
    assert "started 1 node" in again.log or "3 nodes up" in again.log
    after = running(dev)
    assert {k for k in after if after[k] != before[k]} == {killed} and len(after) == 3, (before, after)


def test_nodes_killed_at_the_same_time_as_the_command_begins_are_started_again(dev):
    dev("dev", "3", timeout=60)
    for killed in ((1,), (2,), (3,), (2, 3), (1, 2, 3), (1,), (3,), (1, 2)):
        before = running(dev)
        for k in killed:
            os.kill(before[k], signal.SIGKILL)
        dev("dev", "3", timeout=60)
        after = running(dev)
        assert {k for k in after if after[k] != before[k]} == set(killed) and len(after) == 3, (before, after)


def test_settings_go_into_each_nodes_file(dev):
    dev("dev", "2", "--set", "member.profile=fast", "--set", "log.level=debug", timeout=60)
    conf = (dev.dir / "1" / "kith.conf").read_text()
    assert "profile = fast" in conf and "level = debug" in conf
    log = dev.dir / "1" / "log"
    wait_for(lambda: dev("disconnect", "dev-2", "--dev", "1") and "level=debug" in log.read_text(),
             what="debug in the log")
    assert "did you mean" in dev("dev", "3", "--set", "member.profil=fast", check=(1, 2)).error


def test_mistakes(dev):
    assert dev("dev", "0", check=2).out == b""
    assert dev("dev", "1000", check=2).out == b""
    assert "no dev node 5" in dev("dev", "kill", "5", check=4).error
    assert "no dev nodes in" in dev("dev", "ls").error
    long = "/tmp/" + "x" * 120
    assert "107" in kith("dev", "1", "--dir", long, check=2).error


@pytest.mark.plain
def test_variables_of_three_nodes_from_nothing(dev):
    dev("dev", "3", timeout=60)
    dev("var", "set", "x", "1")
    assert dev("var", "get", "x", "--dev", "3").text == "1\n"
    dev("dev", "stop", timeout=60)
