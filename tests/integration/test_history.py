"""Histories of real clusters under faults, and what judges them (docs/protocols/history.md)."""
import json

import pytest

from kithtest import BUILD, SLOW, kith, run, wait_for

# Minutes under a sanitizer, where the cores have worlds of their own.
pytestmark = pytest.mark.plain

CHECK = BUILD / "kith-history-check"
SECONDS = 15


def record(path, *args, seconds=SECONDS, check=0):
    return kith("bench", "history", "--out", path, "--seconds", str(seconds), *args, check=check,
                timeout=(seconds + 200))


def operations(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def calm(build, tmp_path):
    """A short history without faults."""
    path = tmp_path / "calm.jsonl"
    record(path, "--faults", "none", "--clients", "4", seconds=2)
    return path


def judge(path, wanted):
    result = run(CHECK, path, check=wanted)
    assert ("verdict: holds" if wanted == 0 else "verdict: violated") in result.text, result
    return result.text


def test_kills_and_pauses_break_no_promise(build, tmp_path):
    path = tmp_path / "h.jsonl"
    result = record(path, "--faults", "kill,stop", "--nodes", "3", "--clients", "6", "--seed", "3")
    assert "verdict: holds" in result.text, result
    done = operations(path)
    seen = {(o["op"], o["outcome"]) for o in done}
    # It was no idle run: each kind of operation succeeded, and faults were felt.
    for op in ("get", "set", "cas", "incr", "del", "lock", "unlock"):
        assert (op, "ok") in seen, (op, sorted(seen))
    assert sum(o["outcome"] == "ok" for o in done) > 100 / SLOW
    assert "faults: 0 kills" not in result.text and ", 0 pauses" not in result.text, result
    judge(path, 0)


def test_a_history_has_what_the_document_says(calm):
    known = {"client", "op", "name", "arg", "expect", "outcome", "ok", "value", "version", "fence",
             "start_ns", "end_ns", "error"}
    done = operations(calm)
    assert len(done) > 100 / SLOW
    for o in done:
        assert set(o) <= known, o
        assert o["outcome"] in ("ok", "failed", "unknown")
        assert o["start_ns"] <= o["end_ns"]
        assert o["op"] not in ("set", "cas") or isinstance(o["arg"], str)
        assert o["op"] != "lock" or o["outcome"] != "ok" or o["fence"] > 0
    judge(calm, 0)


def test_a_cluster_that_runs_is_judged_and_left_as_it_was(three, tmp_path):
    path = tmp_path / "h.jsonl"
    three[0].kith("var", "set", "mine", "1")
    sockets = [word for node in three for word in ("--socket", node.socket)]
    result = record(path, *sockets, "--clients", "4", seconds=2)
    assert "verdict: holds" in result.text and "faults" not in result.text, result
    done = operations(path)
    assert len(done) > 100 / SLOW and all(o["name"].startswith("bench/") for o in done)
    assert any(o["op"] == "lock" and o["outcome"] == "ok" for o in done)
    assert three[1].kith("var", "get", "mine").text == "1\n"
    wait_for(lambda: [v["name"] for v in three[1].kith("var", "ls", "--json").json["vars"]] == ["mine"],
             what="its variables are gone")


def test_a_socket_that_nobody_answers_at_is_named(build, tmp_path):
    result = record(tmp_path / "h.jsonl", "--socket", tmp_path / "nobody", seconds=1, check=1)
    assert f"{tmp_path}/nobody" in result.error, result


def doctor(path, change):
    """Writes the history anew as @change(operations) leaves it."""
    done = operations(path)
    change(done)
    path.write_text("".join(json.dumps(o) + "\n" for o in done))


def last(done, **wanted):
    """The last one that succeeded and has all these."""
    found = [o for o in done if o["outcome"] == "ok" and all(o.get(k) == v for k, v in wanted.items())]
    assert found, wanted
    return max(found, key=lambda o: o["end_ns"])


def test_an_old_value_read_late_is_found(calm):
    def change(done):
        reads = sorted((o for o in done if o["op"] == "get" and o["name"] == "n0" and o["value"]),
                       key=lambda o: o["end_ns"])
        early, late = reads[0], reads[-1]
        assert early["value"] != late["value"] and early["end_ns"] < late["start_ns"]
        late["value"], late["version"] = early["value"], early["version"]
    doctor(calm, change)
    judge(calm, 1)


def test_a_lost_increment_is_found_without_versions(calm):
    def change(done):
        for o in done:
            o.pop("version", None)
        read = last(done, op="get", name="n0")
        end = read["end_ns"]
        done.append({"client": 99, "op": "incr", "name": "n0", "arg": "1", "outcome": "ok",
                     "value": read["value"], "start_ns": end + 10, "end_ns": end + 20})
    doctor(calm, change)
    judge(calm, 1)


def test_a_value_that_nobody_wrote_is_found(calm):
    doctor(calm, lambda done: last(done, op="get", name="x0").update(value="made up", version=0))
    assert "nobody wrote" in judge(calm, 1)


def test_two_inside_one_lock_are_found(calm):
    def change(done):
        inside = sorted((o for o in done if o["op"] == "lock" and o["outcome"] == "ok"),
                        key=lambda o: o["fence"])
        # The first of two claims to have held it until after the second had it.
        first, second = inside[0], inside[1]
        release = next(o for o in done if o["op"] == "unlock" and o["fence"] == first["fence"])
        release["start_ns"] = second["end_ns"] + 1000
        release["end_ns"] = second["end_ns"] + 2000
    doctor(calm, change)
    assert "inside" in judge(calm, 1)


def test_what_is_no_history_is_refused(build, tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"client":1,"op":"jump","name":"x","outcome":"ok","start_ns":1,"end_ns":2}\n')
    assert "line 1" in run(CHECK, path, check=2).error


@pytest.mark.parametrize("args", [[], ["--out"], ["--out", "x", "--faults", "fire"],
                                  ["--out", "x", "--nodes", "0"], ["--out", "x", "--nodes", "2"],
                                  ["--out", "x", "--seconds", "soon"],
                                  ["--out", "x", "--socket", "y", "--faults", "kill"]])
def test_wrong_options_are_named(build, args):
    assert "usage:" in kith("bench", "history", *args, check=2).error
