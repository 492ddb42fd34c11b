"""The vocabulary of the other tests does what they rely on."""
import signal

import kithtest
import pytest


def test_wait_for_gives_the_first_true_value():
    values = iter([None, 0, [], "there"])
    assert kithtest.wait_for(lambda: next(values), timeout=5) == "there"


def test_wait_for_ends_with_what_it_saw_last():
    with pytest.raises(AssertionError, match="never so; last: 7 is not 8"):
        def never():
            assert False, "7 is not 8"
        kithtest.wait_for(never, timeout=0.1, what="never so")


def test_run_checks_the_exit_code_and_shows_the_output():
    assert kithtest.run("sh", "-c", "cat; exit 4", input="in", check=4).text == "in"
    with pytest.raises(kithtest.CommandError, match="(?s)exit code 3, not 0.*why"):
        kithtest.run("sh", "-c", "echo why >&2; exit 3")
    with pytest.raises(kithtest.CommandError, match="still running"):
        kithtest.run("sleep", "60", timeout=0.1)


def test_processes_end_only_what_they_started(processes):
    mine = processes.start(["sleep", "60"])
    stubborn = processes.start(["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"])
    stubborn.wait_log("up")
    other = kithtest.Processes()
    theirs = other.start(["sleep", "60"])
    mine.pause()
    kithtest.SLOW, slow = 0.05, kithtest.SLOW
    processes.end()
    kithtest.SLOW = slow
    assert mine.popen.returncode == -signal.SIGTERM
    assert stubborn.popen.returncode == -signal.SIGKILL
    stuck, = processes.reports()
    assert "trap" in stuck and "thread" in stuck
    assert theirs.running
    other.end()
    assert not theirs.running


def test_report_of_a_sanitizer_is_seen(processes):
    loud = processes.start(["sh", "-c", "echo '==1==ERROR: AddressSanitizer: heap-use-after-free'"])
    quiet = processes.start(["sh", "-c", "echo all is well"])
    loud.wait()
    quiet.wait()
    assert len(processes.reports()) == 1


def test_what_a_failure_shows_has_a_report_in_whole_and_what_each_thread_does(processes):
    long = "".join(f"echo '#{i} 0x1234 in some_function some/file.c:{i}';" for i in range(400))
    loud = processes.start(["sh", "-c", f"echo '==1==ERROR: AddressSanitizer: heap-use-after-free'; {long} exit 3"])
    assert loud.wait() == 3
    waits = processes.start(["sleep", "60"])
    assert len(loud.log) > kithtest.SHOWN
    shown = loud.describe()
    assert "ended with 3" in shown and "heap-use-after-free" in shown and "file.c:399" in shown
    assert loud.report().startswith("==1==ERROR")
    kithtest.wait_for(lambda: "sleep: S" in waits.describe(), what="it sleeps")
    assert f"thread {waits.pid} sleep: S, 0.0" in waits.describe() and "files open" in waits.describe()
    assert waits.report() is None
