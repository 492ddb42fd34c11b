"""What one sees of a cluster from the command line, and what one changes."""
import json
import os
import pty
import signal
import subprocess

import kithtest
import pytest
from kithtest import wait_for


@pytest.fixture
def three(cluster):
    return cluster.start(3)


def test_table_and_json_agree_under_the_same_filters(three):
    a, b, c = three
    document = a.kith("nodes", "--json").json
    assert document["schema"] == "kith.nodes/1"
    assert document["self"] == document["nodes"][0]["id"]
    for entry in document["nodes"]:
        assert set(entry) >= {"id", "name", "status", "address", "version", "cpus", "memory_bytes",
                              "load", "rtt_ms"}
        assert isinstance(entry["id"], str) and len(entry["id"]) == 32
    result = a.kith("nodes")
    rows = [line.split() for line in result.lines[1:]]
    assert [row[0] for row in rows] == [entry["name"] for entry in document["nodes"]]
    assert rows[0][1] == "*" and "3 nodes: 3 alive" in result.error
    assert len(a.kith("nodes", "--status", "alive", "--json").json["nodes"]) == 3
    assert a.kith("nodes", "--status", "failed", "--json").json["nodes"] == []
    assert a.kith("nodes", "--status", "failed", "--no-headers").out == b""
    assert "\033[" not in result.text


def test_status_is_a_sentence_and_an_exit_code(three, cluster):
    a, b, c = three
    nodes, state = a.kith("status").lines
    assert nodes == "all is well: 3 nodes alive, cluster test"
    assert state.startswith("shared state works")
    c.kill()
    cluster.wait_status({c: "failed"})
    result = a.kith("status", check=8)
    assert "not all is well: 2 nodes alive, 1 failed (n3), cluster test" in result.text
    assert a.kith("status", "--json", check=8).json["failed"] == 1


def test_another_node_answers_for_itself(three):
    a, b, c = three
    own = a.kith("info", "--json").json
    assert own["name"] == "n1" and own["cluster"] == "test"
    assert own["data_dir"] == str(a.dir)
    other = a.kith("info", "n2", "--json").json
    assert other["name"] == "n2" and other["id"] != own["id"]
    assert a.kith("info", "--node", other["id"][:8], "--json").json["name"] == "n2"
    assert "cluster" in a.kith("info").text
    assert "n2" in a.kith("info", "n22", check=4).error
    assert a.kith("info", "n2", "--node", "n3", check=2).out == b""


def test_ping_counts_what_came_back(three):
    a, b, c = three
    result = a.kith("ping", "n2", "-c", "2")
    assert len(result.lines) == 2 and "2 sent, 2 came back" in result.error
    one = a.kith("ping", "n2", "-c", "1", "--json").json
    assert one["rtt_ms"] > 0
    assert a.kith("ping", "n3", "-c", "1", "--node", "n2").lines[0].startswith("n3: echo")
    assert a.kith("ping", "nobody", check=4).out == b""
    c.agent.pause()
    lost = a.kith("ping", "n3", "-c", "1", "-t", "300ms", check=6)
    assert lost.lines and lost.lines[0].startswith("n3: ")


@pytest.mark.plain
def test_events_tell_the_story_in_order(three, cluster):
    a, b, c = three
    b.kill()
    cluster.wait_status({b: "failed"})
    b.start()
    cluster.wait_alive()
    events = [json.loads(line) for line in a.kith("events", "--json").lines]
    story = [event["type"] for event in events if event["name"] == "n2"]
    expected = ["joined", "suspect", "failed", "joined"]
    at = 0
    for kind in story:
        at += at < len(expected) and kind == expected[at]
    assert at == len(expected), story
    seqs = [event["seq"] for event in events]
    assert seqs == sorted(seqs)
    later = a.kith("events", "--json", "--after", str(seqs[-1])).lines
    assert later == []
    assert "n2" in a.kith("events").text


def test_followed_events_come_line_by_line(cluster, processes):
    a = cluster.start(1)[0]
    follow = processes.start([kithtest.BUILD / "kith", "events", "-f", "--json", "--data-dir", a.dir])
    b = cluster.add("late").start()
    found = follow.wait_log(r'\{[^\n]*"joined"[^\n]*"late"[^\n]*\}|\{[^\n]*"late"[^\n]*"joined"[^\n]*\}')
    assert json.loads(found.group(0))["name"] == "late"
    assert follow.running
    a.stop()
    assert follow.wait() == 3
    b.stop()


def test_monitor_shows_a_finer_level_than_the_node_logs(three, processes):
    a, b, c = three
    kith = kithtest.BUILD / "kith"
    here = processes.start([kith, "monitor", "-l", "debug", "--data-dir", a.dir])
    there = processes.start([kith, "monitor", "-l", "debug", "--node", "n2", "--data-dir", a.dir])

    def lines():
        a.kith("ping", "n2", "-c", "1")
        a.kith("disconnect", "n2")
        return "level=debug" in here.log and "level=debug" in there.log

    wait_for(lines, what="lines of level debug")
    assert "level=debug" not in a.agent.log


def test_the_log_level_changes_while_it_runs(three):
    a, b, c = three
    assert a.kith("loglevel", "debug", "--json").json["level"] == "debug"
    wait_for(lambda: a.kith("disconnect", "n2") and "level=debug" in a.agent.log, what="debug in the log")
    a.kith("loglevel", "error", "--node", "n2")
    assert "loud is no log level" in a.kith("loglevel", "loud", check=2).error


@pytest.mark.plain
def test_forget_refuses_while_it_is_alive(three, cluster):
    a, b, c = three
    result = a.kith("forget", "n3", check=7)
    assert "alive" in result.error
    c.kill()
    cluster.wait_status({c: "failed"})
    a.kith("forget", "n3")
    for node in (a, b):
        wait_for(lambda: node.status(c) is None, what="n3 forgotten by all")
    assert a.kith("forget", "n3", check=4).out == b""


def test_leave_ends_the_agent(three, cluster):
    a, b, c = three
    c.kith("leave")
    assert c.agent.wait() == 0
    cluster.wait_status({c: "left"})


def test_connect_and_disconnect(three):
    a, b, c = three
    assert a.kith("connect", b.address, "--json").json["name"] == "n2"
    a.kith("disconnect", "n2")
    assert a.status(b) == "alive"
    refused = a.kith("connect", "127.0.0.1:1", "--timeout", "2s", check=(1, 6))
    assert refused.error.startswith("kith: ")
    assert a.kith("disconnect", "nobody", check=4).out == b""


def test_each_verb_says_what_it_cannot_do_with_which_node(three, cluster):
    a, b, c = three

    def refused(code, words, *command):
        result = a.kith(*command, check=code)
        assert result.out == b"" and words in result.error, result

    # The node asked itself.
    refused(2, "n1 is this node itself", "disconnect", "n1")
    refused(2, "n1 is this node itself", "disconnect", a.id[:12])
    refused(7, "kith leave", "forget", "n1")
    assert a.kith("ping", "n1", "-c", "1").lines[0].startswith("n1: echo 1")
    assert "this node itself" in a.kith("connect", a.address).error
    assert a.kith("connect", a.address, "--json").json["self"] is True
    assert a.kith("connect", b.address, "--json").json["self"] is False
    # Nobody.
    for verb in ("disconnect", "forget", "ping", "info"):
        refused(4, "nobody", verb, "nobody")
    for verb in ("disconnect", "forget", "ping"):
        refused(2, "not empty", verb, "")
    refused(4, "is empty", "info", "")
    # How many connections there were.
    wait_for(lambda: a.kith("ping", "n2", "-c", "1") and
             a.kith("disconnect", "n2", "--json").json["closed"] > 0, what="a connection closed")
    # One that has left: a fact, no error, but for those that need an answer of it.
    c.stop()
    cluster.wait_status({c: "left"})
    wait_for(lambda: a.kith("disconnect", "n3", "--json").json["closed"] == 0, what="none open")
    assert "no connection to n3 was open" in a.kith("disconnect", "n3").error
    assert "left" in a.kith("ping", "n3", "-c", "1", check=6).text
    refused(4, "left", "info", "n3")
    a.kith("forget", "n3")
    # One that failed, first while that is not certain yet.
    b.kill()
    a.kith("disconnect", "n2")
    lost = a.kith("ping", "n2", "-c", "1", check=6).text
    assert "nothing ran" in lost and "answers before" not in lost
    wait_for(lambda: a.status(b) == "suspect", what="n2 suspect")
    result = a.kith("forget", "n2", check=(7, 0))
    assert result.code == 0 or "suspect" in result.error  # it may have failed between the two
    if result.code == 7:
        cluster.wait_status({b: "failed"})
        refused(4, "failed", "info", "n2")
        assert "no connection to n2 was open" in a.kith("disconnect", "n2").error
        assert "failed" in a.kith("ping", "n2", "-c", "1", check=6).text
        a.kith("forget", "n2")
    # Where nobody listens, and a name that nobody knows.
    refused(1, "does an agent run there?", "connect", "127.0.0.1:1", "--timeout", "2s")
    refused(1, "no-such-host.invalid: ", "connect", "no-such-host.invalid:7", "--timeout", "9s")


def test_reach_shows_every_pair(three):
    a, b, c = three
    document = a.kith("reach", "--json").json
    assert len(document["links"]) == 6 and all(link["ok"] for link in document["links"])
    result = a.kith("reach")
    assert len(result.lines) == 7 and "all 3 nodes reach each other" in result.error


def test_reach_names_a_node_that_does_not_answer(three):
    a, b, c = three
    c.agent.pause()
    result = a.kith("reach", "--timeout", "1s", check=8)
    assert any(line.split()[1] == "n3" and line.split()[2] == "no" for line in result.lines[1:])
    c.agent.signal(signal.SIGCONT)


def test_completion_offers_live_names(three):
    a, b, c = three
    assert set(a.kith("completion", "names", "nodes").lines) == {"n1", "n2", "n3"}
    assert "sys.echo" in a.kith("completion", "names", "functions").lines


def test_the_socket_is_chosen_by_flag_and_environment(three):
    a, b, c = three
    assert kithtest.kith("info", "--socket", b.socket, "--json").json["name"] == "n2"
    assert kithtest.kith("info", "--data-dir", c.dir, "--json").json["name"] == "n3"
    assert kithtest.kith("info", "--json", env={"KITH_SOCKET": str(b.dir)}).json["name"] == "n2"
    # A flag goes before the environment.
    assert b.kith("info", "--data-dir", c.dir, "--json").json["name"] == "n3"
    assert b.kith("version").lines[1].startswith("agent ")


def on_terminal(command, env):
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=theirs,
                               stderr=theirs, env=kithtest.environment(env))
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert process.wait(20) == 0, shown
    return shown


def test_a_terminal_gets_colour_unless_it_does_not_want_it(three):
    a, b, c = three
    command = [kithtest.BUILD / "kith", "nodes", "--data-dir", a.dir]
    assert b"\033[32malive\033[0m" in on_terminal(command, {"TERM": "xterm"})
    assert b"\033[" not in on_terminal(command, {"TERM": "xterm", "NO_COLOR": "1"})
    assert b"\033[" not in on_terminal(command, {"TERM": "dumb"})


def test_a_terminal_gets_indented_json_and_progress(three, short_dir):
    a, b, c = three
    kith = kithtest.BUILD / "kith"
    shown = on_terminal([kith, "nodes", "--json", "--data-dir", a.dir], {"TERM": "xterm"})
    assert b'\n  "schema": "kith.nodes/1"' in shown
    (short_dir / "in").write_text("1\n2\n")
    shown = on_terminal([kith, "map", "sys.echo", "--in", short_dir / "in", "--data-dir", a.dir], {"TERM": "xterm"})
    assert b"2 of 2 done" in shown and b"\r\033[K" in shown
