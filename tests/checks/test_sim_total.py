"""tools/sim-total: what it counts, what it refuses, and that it leaves the rest of the page alone."""
import importlib.machinery
import importlib.util
import os
import shutil
import subprocess
import sys

import pytest
from tree import ROOT

TOOL = ROOT / "tools" / "sim-total"
PAGE = """# Page

| revision | scenario | seeds | events |
|---|---|---|---|

Total: nothing yet.

## Rules

| rule removed | scenario | first seed that fails |
|---|---|---|
| view-no-hold | view-faults | 2 |
"""


def load():
    loader = importlib.machinery.SourceFileLoader("sim_total", str(TOOL))
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("sim_total", loader))
    loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


tool = load()


def rows(text):
    return tool.split(text)[1]


def total(text):
    return next(line for line in text.splitlines() if line.startswith("Total"))


def test_first_row_goes_into_its_own_table():
    text = tool.with_run(PAGE, "abc", "state-swarm", 1, 250, 9000)
    assert text.replace("| `abc` | state-swarm | 1 to 250 | 9,000 |\n", "") == \
        PAGE.replace("Total: nothing yet.", "Total of state-swarm: 250 seeds, 9,000 events.")


def test_neighbouring_seeds_become_one_row_in_whatever_order_they_end():
    text = PAGE
    for first in (1, 501, 251):
        text = tool.with_run(text, "abc", "state-swarm", first, first + 249, 1000)
    assert rows(text) == [["abc", "state-swarm", 1, 750, 3000]]


def test_a_portion_that_is_missing_leaves_a_gap():
    text = tool.with_run(PAGE, "abc", "state-swarm", 1, 250, 1000)
    text = tool.with_run(text, "abc", "state-swarm", 501, 750, 1000)
    assert [row[2:4] for row in rows(text)] == [[1, 250], [501, 750]]
    assert tool.next_seed(text, "abc", "state-swarm") == 751
    assert tool.next_seed(text, "abd", "state-swarm") == 1


def test_only_state_swarm_counts_and_the_others_stand_beside_it():
    text = tool.with_run(PAGE, "abc", "view-faults", 1, 20, 5_000_000)
    assert total(text) == "Total of state-swarm: 0 seeds, 0 events. Beside it, view-faults: 20 seeds, 5,000,000 events."
    text = tool.with_run(text, "abc", "state-swarm", 1, 10, 7)
    text = tool.with_run(text, "def", "state-swarm", 1, 10, 8)
    assert total(text).startswith("Total of state-swarm: 20 seeds, 15 events. Beside it, view-faults: 20 seeds")


def test_seeds_do_not_count_twice():
    text = tool.with_run(PAGE, "abc", "state-swarm", 1, 250, 1000)
    for first, last in ((1, 250), (250, 251), (100, 120), (1, 1000)):
        with pytest.raises(tool.Refused, match="already"):
            tool.with_run(text, "abc", "state-swarm", first, last, 1)
    assert len(rows(tool.with_run(text, "def", "state-swarm", 1, 250, 1))) == 2


def test_a_page_without_its_table_or_sum_is_refused():
    for text in (PAGE.replace("| revision", "| version"), PAGE.replace("Total: nothing yet.", ""),
                 PAGE.replace("|---|---|---|---|\n", "|---|---|---|---|\n| some row |\n", 1)):
        with pytest.raises(tool.Refused):
            tool.with_run(text, "abc", "state-swarm", 1, 1, 1)


def test_the_page_in_the_tree_has_its_table():
    text = (ROOT / tool.DOCUMENT).read_text()
    assert total(text) == tool.sums(rows(text))


# ---- the whole tool, in a tree of its own, on a kith-sim that is a script ----

SIM = """#!/usr/bin/python3
import json, os, sys
first, n = int(sys.argv[4]), int(sys.argv[6])
bad = [f"seed {seed}: boom" for seed in range(first, first + n) if seed == int(os.environ.get("BAD_SEED", 0))]
print(json.dumps({"events": 100 * n, "failures": bad, "targets": []}))
sys.exit(1 if bad else 0)
"""


def make_tree(at):
    for name, text in {"docs/protocols/verification.md": PAGE, "build/kith-sim": SIM, "other.md": PAGE,
                       "build/build.ninja": "rule no\n command = true\nbuild kith-sim: phony\n"}.items():
        (at / name).parent.mkdir(parents=True, exist_ok=True)
        (at / name).write_text(text)
    (at / "build" / "kith-sim").chmod(0o755)
    (at / "tools").mkdir()
    shutil.copy2(TOOL, at / "tools")
    for arguments in (["init", "-q"], ["add", "-A"],
                      ["-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "all"]):
        subprocess.run(["git", "-C", str(at), *arguments], check=True)
    return at


@pytest.fixture
def tree(tmp_path):
    if not shutil.which("ninja"):
        pytest.skip("ninja is not installed")
    return make_tree(tmp_path)


def sim_total(tree, *arguments, **environment):
    return subprocess.run([sys.executable, str(tree / "tools" / "sim-total"), *arguments], capture_output=True,
                          text=True, timeout=60, env={**os.environ, **environment})


def test_portions_run_at_once_and_go_on_where_they_ended(tree):
    page = tree / "docs" / "protocols" / "verification.md"
    for _ in range(2):
        done = sim_total(tree, "--seeds", "1100", "--jobs", "3")
        assert done.returncode == 0, done.stderr
    assert [row[1:] for row in rows(page.read_text())] == [["state-swarm", 1, 2200, 220_000]]


def test_nothing_of_a_portion_that_fails_is_counted_and_its_seed_is_named(tree):
    done = sim_total(tree, "--seeds", "100000", "--jobs", "1", BAD_SEED="600")
    assert done.returncode == 1
    assert "seed 600: boom" in done.stderr
    assert [row[2:] for row in rows((tree / "docs" / "protocols" / "verification.md").read_text())] == \
        [[1, 500, 50_000]]


def test_another_checkouts_page_and_a_tree_that_stays_as_it_is(tree):
    other = tree / "other.md"
    done = sim_total(tree, "--seeds", "10", "--document", str(other))
    assert done.returncode == 0, done.stderr
    assert rows(other.read_text())[0][2:] == [1, 10, 1000]
    assert (tree / "docs" / "protocols" / "verification.md").read_text() == PAGE


def test_changes_that_are_not_committed_are_refused(tree):
    (tree / "tools" / "sim-total").write_text(TOOL.read_text() + "# changed\n")
    done = sim_total(tree, "--seeds", "1")
    assert done.returncode == 1
    assert "tools/sim-total has changes that are not committed" in done.stderr
    assert (tree / "docs" / "protocols" / "verification.md").read_text() == PAGE


def test_a_sim_that_is_killed_counts_for_nothing(tree):
    (tree / "build" / "kith-sim").write_text("#!/bin/sh\necho assertion failed >&2\nkill -ABRT $$\n")
    subprocess.run(["git", "-C", str(tree), "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qam",
                    "dies"], check=True)
    done = sim_total(tree, "--seeds", "5")
    assert done.returncode == 1 and "assertion failed" in done.stderr
    assert (tree / "docs" / "protocols" / "verification.md").read_text() == PAGE
