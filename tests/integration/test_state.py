"""Variables and mutexes on real nodes: what the command shows, and what survives a crash."""
import os
import signal
import subprocess
import threading
import time

import pytest

from kithtest import BUILD, SLOW, CommandError, environment, wait_for

# Minutes under a sanitizer, where the cores have worlds of their own.
pytestmark = pytest.mark.plain


def settled(cluster, tolerated, timeout=30):
    """Waits until every node says that so many failures are survived now."""
    def view():
        for node in cluster.running:
            seen = node.kith("view", "--json").json
            assert seen["failures_tolerated"] >= tolerated, (node, seen)
        return True
    wait_for(view, timeout, f"{tolerated} failures are tolerated")


@pytest.fixture
def three(cluster):
    cluster.start(3)
    settled(cluster, 1)
    return cluster.nodes


def in_threads(count, function):
    """Runs function(i) in so many threads; raises what the first of them raised."""
    failures = []

    def one(i):
        try:
            function(i)
        except BaseException as error:  # noqa: B902: shown by the caller
            failures.append(error)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


# ---- one node ----

def test_one_node_works_alone_at_once(cluster):
    node, = cluster.start(1)
    began = time.monotonic()
    node.kith("var", "set", "x", "1")
    assert node.kith("var", "get", "x").text == "1\n"
    assert node.kith("lock", "run", "l", "--", "echo", "in").text == "in\n"
    assert time.monotonic() - began < 3 * SLOW
    assert node.kith("view", "--json").json["failures_tolerated"] == 0


def test_one_node_that_was_killed_has_its_durable_variables(cluster):
    node, = cluster.start(1)
    for i in range(20):
        node.kith("var", "set", f"d{i}", str(i), "--policy", "durable")
    node.kill()
    node.start()
    for i in range(20):
        wait_for(lambda: node.kith("var", "get", f"d{i}").text == f"{i}\n")
    # What was in memory only is gone, and says so.
    node.kith("var", "set", "v", "1")
    node.kill()
    node.start()
    wait_for(lambda: node.kith("var", "get", "v", check=None).code == 4)


# ---- variables ----

def test_what_one_node_writes_all_read(three):
    three[0].kith("var", "set", "x", "1")
    for node in three:
        assert node.kith("var", "get", "x").text == "1\n"
    three[2].kith("var", "set", "x", "2")
    for node in three:
        assert node.kith("var", "get", "x").text == "2\n"
    three[1].kith("var", "rm", "x")
    for node in three:
        absent = node.kith("var", "get", "x", check=4)
        assert "x" in absent.error


def test_types_are_fixed_and_named(three):
    a, b, _ = three
    a.kith("var", "set", "t", "hello")
    wrong = b.kith("var", "set", "t", "5", "--type", "i64", check=(2, 7))
    assert "text" in wrong.error and "i64" in wrong.error
    wrong = b.kith("var", "incr", "t", check=7)
    assert "text" in wrong.error
    a.kith("var", "set", "f", "2.5", "--type", "f64")
    assert b.kith("var", "get", "f").text == "2.5\n"
    a.kith("var", "set", "list", "[1, 2, 3]", "--type", "i64[]")
    assert b.kith("var", "get", "list", "--index", "1").text == "[2]\n"
    b.kith("var", "set", "list", "[9]", "--index", "1")
    wait_for(lambda: a.kith("var", "get", "list").text.replace(" ", "") == "[1,9,3]\n")


def test_compare_and_set(three):
    a, b, _ = three
    a.kith("var", "set", "x", "1")
    b.kith("var", "cas", "x", "1", "2")
    lost = a.kith("var", "cas", "x", "1", "3", check=7)
    assert lost.text == "2\n"
    version = a.kith("var", "get", "x", "--json").json["version"]
    a.kith("var", "cas", "x", "--version", version, "4")
    b.kith("var", "cas", "x", "--version", version, "5", check=7)
    b.kith("var", "cas", "new", "--absent", "1")
    a.kith("var", "cas", "new", "--absent", "2", check=7)


def test_constants_stay(three):
    a, b, _ = three
    a.kith("var", "set", "pi", "3", "--once")
    b.kith("var", "set", "pi", "4", "--once", check=7)
    b.kith("var", "set", "pi", "4", check=7)
    assert b.kith("var", "get", "pi").text == "3\n"


def test_eight_shells_count_to_eight_times_as_much(three):
    each = 40 if SLOW > 1 else 125

    def count(i):
        for _ in range(each):
            three[i % 3].kith("var", "incr", "n")
    in_threads(8, count)
    assert three[0].kith("var", "get", "n").text == f"{8 * each}\n"


def test_watch_shows_changes_of_a_prefix(three, cluster):
    watching = cluster.processes.start([BUILD / "kith", "var", "watch", "sensor/*"],
                                       env={"KITH_SOCKET": str(three[1].socket)})
    three[0].kith("var", "set", "sensor/a", "1")
    watching.wait_log(r"sensor/a\t1")
    three[2].kith("var", "set", "sensor/b", "2")
    watching.wait_log(r"sensor/b\t2")
    three[0].kith("var", "set", "other", "3")
    three[0].kith("var", "rm", "sensor/a")
    watching.wait_log(r"sensor/a\t\(gone\)")
    assert "other" not in watching.log


def test_list_and_info(three):
    three[0].kith("var", "set", "a/1", "x")
    three[0].kith("var", "set", "a/2", "[1]", "--type", "i64[]", "--policy", "durable")

    def listed():
        rows = {v["name"]: v for v in three[2].kith("var", "ls", "a/", "--json").json["vars"]}
        assert set(rows) == {"a/1", "a/2"}, rows
        return rows
    rows = wait_for(listed)
    assert rows["a/2"]["type"] == "i64[]" and rows["a/2"]["policy"] == "durable"
    info = three[1].kith("var", "info", "a/1", "--json").json
    assert info["type"] == "text" and info["writer_name"] == "n1"


def test_a_megabyte_and_not_more(three, tmp_path):
    blob = os.urandom(1024 * 1024)
    (tmp_path / "blob").write_bytes(blob)
    three[0].kith("var", "set", "blob", f"@{tmp_path}/blob", "--type", "bytes")
    assert three[2].kith("var", "get", "blob").out == blob
    (tmp_path / "blob").write_bytes(blob + b"x")
    three[0].kith("var", "set", "blob", f"@{tmp_path}/blob", check=(1, 2))


# ---- failures ----

def test_writes_go_on_when_one_of_three_is_killed(three):
    a, b, c = three
    for i in range(30):
        a.kith("var", "set", f"k{i}", "before")
    c.kill()

    def all_written():
        for i in range(30):
            a.kith("var", "set", f"k{i}", "after", "--timeout", "2s")
        return True
    wait_for(all_written, 30, "writes after a crash")
    for i in range(30):
        assert b.kith("var", "get", f"k{i}").text == "after\n"
    c.start()
    wait_for(lambda: all(c.kith("var", "get", f"k{i}").text == "after\n" for i in range(30)), 30)


def test_a_minority_says_so_at_once(three):
    a, b, c = three
    a.kith("var", "set", "x", "1")
    b.kill()
    c.kill()

    def refused():
        began = time.monotonic()
        got = a.kith("var", "get", "x", check=9)
        assert time.monotonic() - began < 2 * SLOW
        assert "n2" in got.error and "n3" in got.error, got.error
        return True
    wait_for(refused, 40, "exit code 9")
    a.kith("call", "sys.uptime")
    b.start()
    wait_for(lambda: a.kith("var", "get", "x", check=None).code in (0, 4), 40)


def test_power_cut_keeps_durable_variables(three):
    acknowledged = {}
    stop = threading.Event()

    def write(i):
        n = 0
        while not stop.is_set():
            n += 1
            try:
                three[i].kith("var", "set", f"p{i}", str(n), "--policy", "durable")
            except (CommandError, OSError):
                return
            acknowledged[f"p{i}"] = n
    threads = [threading.Thread(target=write, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(acknowledged) == 3 and min(acknowledged.values()) > 10, 60)
    for node in three:
        node.kill()
    stop.set()
    for thread in threads:
        thread.join()
    for node in three:
        node.start()

    def all_there():
        for name, n in acknowledged.items():
            got = int(three[0].kith("var", "get", name).text)
            assert got >= n, (name, got, n)
        return True
    wait_for(all_there, 60, "what was acknowledged before the power cut")


# ---- locks ----

def test_locked_increments_are_exact_though_a_node_dies(three):
    """lock; get; add 1; set; unlock, on three nodes; one of them is killed and comes back."""
    each = 15 if SLOW > 1 else 40
    script = ("v=$(kith var get sum --mutex m --fence $KITH_FENCE) && "
              "kith var set sum $((v + 1)) --mutex m --fence $KITH_FENCE")
    three[0].kith("var", "set", "sum", "0")
    done = [0, 0, 0]
    maybe = [0, 0, 0]

    def add(i):
        while done[i] < each:
            env = {"PATH": f"{BUILD}:{os.environ['PATH']}"}
            try:
                result = three[i].kith("lock", "run", "m", "--wait", "30s", "--", "sh", "-c",
                                       script, check=None, env=env, timeout=60)
            except (CommandError, OSError):
                maybe[i] += 1
                continue
            if result.code == 0:
                done[i] += 1
            elif "lost" in result.error or result.code in (1, 3, 143, 137, 6, 9, 5):
                maybe[i] += 1
                time.sleep(0.1)

    def crash():
        wait_for(lambda: sum(done) > each // 2, 120)
        three[2].kill()
        three[2].start()
    crasher = threading.Thread(target=crash)
    crasher.start()
    in_threads(3, add)
    crasher.join()
    total = int(three[0].kith("var", "get", "sum").text)
    assert 3 * each <= total <= 3 * each + sum(maybe), (total, done, maybe)


def test_fences_increase_in_the_order_of_entry(three, tmp_path):
    log = tmp_path / "fences"
    each = 5 if SLOW > 1 else 12

    def enter(i):
        for _ in range(each):
            three[i % 3].kith("lock", "run", "build", "--", "sh", "-c",
                              f"echo in $KITH_FENCE >>{log}; echo out $KITH_FENCE >>{log}",
                              timeout=60)
    in_threads(8, enter)
    lines = [line.split() for line in log.read_text().splitlines()]
    assert len(lines) == 2 * 8 * each
    fences = []
    for entered, left in zip(lines[::2], lines[1::2]):
        assert (entered[0], left[0]) == ("in", "out") and entered[1] == left[1], "two were inside"
        fences.append(int(entered[1]))
    assert fences == sorted(set(fences))


def test_lock_of_a_killed_node_goes_to_another_with_a_higher_fence(three, cluster):
    held = cluster.processes.start(
        [BUILD / "kith", "lock", "run", "l", "--", "sh", "-c", "echo fence $KITH_FENCE; sleep 600"],
        env={"KITH_SOCKET": str(three[2].socket)})
    fence = int(held.wait_log(r"fence (\d+)")[1])
    three[0].kith("lock", "run", "l", "--try", "--", "true", check=7)
    three[2].kill()
    after = three[0].kith("lock", "run", "l", "--wait", "20s", "--", "sh", "-c",
                          "echo $KITH_FENCE", timeout=40)
    assert int(after.text) > fence
    # The command lost its lock and was told.
    assert held.wait(20) != 0


def test_paused_holder_learns_that_it_lost_and_its_write_is_refused(three, cluster):
    a, _, c = three
    a.kith("var", "set", "g", "0")
    held = cluster.processes.start(
        [BUILD / "kith", "lock", "run", "l", "--", "sh", "-c",
         "trap 'kith var set g bad --mutex l --fence $KITH_FENCE; echo wrote $?; exit 3' TERM; "
         "echo fence $KITH_FENCE; while :; do sleep 0.1; done"],
        env={"KITH_SOCKET": str(c.socket), "PATH": f"{BUILD}:{os.environ['PATH']}"})
    fence = int(held.wait_log(r"fence (\d+)")[1])
    c.agent.pause()
    after = a.kith("lock", "run", "l", "--wait", "30s", "--", "sh", "-c",
                   f"{BUILD}/kith var set g good --mutex l --fence $KITH_FENCE; echo $KITH_FENCE",
                   timeout=60)
    assert int(after.text.split()[-1]) > fence
    c.agent.resume()
    held.wait_log(r"wrote (5|9|3|6|7)", 40)
    assert wait_for(lambda: a.kith("var", "get", "g").text) == "good\n"


def test_lock_of_a_client_that_is_killed_is_free(three):
    client = subprocess.Popen([str(BUILD / "kith"), "lock", "run", "l", "--", "sleep", "600"],
                              env=environment({"KITH_SOCKET": str(three[1].socket)}))
    wait_for(lambda: three[0].kith("lock", "run", "l", "--try", "--", "true", check=None).code == 7)
    client.send_signal(signal.SIGKILL)
    client.wait()
    three[0].kith("lock", "run", "l", "--wait", "10s", "--", "true")


def test_acquire_for_a_shell_until_it_ends(three, tmp_path):
    node = three[0]
    script = (f"f=$({BUILD}/kith lock acquire l) && echo $f && "
              f"{BUILD}/kith lock run l --try -- true; echo $?; "
              f"{BUILD}/kith lock release l && {BUILD}/kith lock run l --try -- true; echo $?; "
              f"{BUILD}/kith lock acquire l >/dev/null")
    from kithtest import run
    result = run("sh", "-c", script, env={"KITH_SOCKET": str(node.socket)})
    lines = result.text.split()
    assert int(lines[0]) > 0 and lines[1:] == ["7", "0"], result
    # The shell has ended with the lock: it is free.
    node.kith("lock", "run", "l", "--wait", "10s", "--", "true")
    node.kith("lock", "release", "l", check=4)


def test_who_holds_and_who_waits(three, cluster):
    held = cluster.processes.start(
        [BUILD / "kith", "lock", "run", "l", "--", "sh", "-c", "echo in; sleep 600"],
        env={"KITH_SOCKET": str(three[0].socket)})
    held.wait_log("in")
    cluster.processes.start([BUILD / "kith", "lock", "run", "l", "--", "true"],
                            env={"KITH_SOCKET": str(three[1].socket)})

    def parties():
        info = three[2].kith("lock", "info", "l", "--json").json
        states = sorted((p["holds"], p["node_name"]) for p in info["parties"])
        assert states == [(False, "n2"), (True, "n1")], info
        return True
    wait_for(parties)
    three[2].kith("lock", "break", "l")
    held.wait(20)


def test_permits_and_shared(three):
    def held(i):
        three[i].kith("lock", "run", "sem", "--permits", "2", "--", "sleep", "0.3")
    in_threads(3, held)
    first = subprocess.Popen([str(BUILD / "kith"), "lock", "run", "rw", "--shared", "--", "sleep", "600"],
                             env=environment({"KITH_SOCKET": str(three[0].socket)}))
    try:
        wait_for(lambda: three[1].kith("lock", "run", "rw", "--try", "--", "true",
                                       check=None).code == 7)
        three[1].kith("lock", "run", "rw", "--shared", "--wait", "10s", "--", "true")
    finally:
        first.kill()
        first.wait()


def test_exit_codes_of_lock_run(three):
    node = three[0]
    node.kith("lock", "run", "l", "--", "sh", "-c", "exit 7", check=7)
    node.kith("lock", "run", "l", "--", "sh", "-c", "kill -9 $$", check=137)
    node.kith("lock", "run", "l", "--", "/nonexistent/command", check=127)
    node.kith("lock", "run", "l", "--wait", "10s", "--", "true")
