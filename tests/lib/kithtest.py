"""Running kith from a test: commands, agents, clusters, waiting for conditions.

Nothing here sleeps for a result: wait_for() asks again until it is so or its time is over.
"""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("KITH_BUILD", ROOT / "build"))
# Sanitized builds are slower: every bound is multiplied by this.
SLOW = float(os.environ.get("KITH_TEST_SLOW", "1"))
# As often and as long as in production, where a test run does less: minutes.
FULL = os.environ.get("KITH_FULL") == "1"
SOCKET_PATH_MAX = 107

# What a process of kith must not take from whoever runs the tests.
CLEARED = ("KITH_SOCKET", "KITH_MODULE_PATH", "XDG_STATE_HOME", "XDG_CONFIG_HOME",
           "XDG_RUNTIME_DIR", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "NOTIFY_SOCKET",
           "JOURNAL_STREAM", "NO_COLOR")


def environment(extra=None):
    env = {name: value for name, value in os.environ.items() if name not in CLEARED}
    env["HOME"] = "/nonexistent"
    env["LC_ALL"] = "C.UTF-8"
    env.update(extra or {})
    return env


def wait_for(condition, timeout=20, what=None, interval=0.05):
    """Calls @condition until it gives something true, which is returned; fails after @timeout s.

    A condition may raise AssertionError, KeyError or CommandError for "not yet".
    """
    deadline = time.monotonic() + timeout * SLOW
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = value
        except (AssertionError, KeyError, CommandError, OSError) as error:
            last = error
        if time.monotonic() > deadline:
            what = what or getattr(condition, "__name__", "condition")
            raise AssertionError(f"not within {timeout * SLOW:.0f} s: {what}; last: {last}")
        time.sleep(interval)


def in_threads(count, function):
    """Runs function(i) in so many threads at once; raises what the first of them raised."""
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


class CommandError(AssertionError):
    pass


class Result:
    """What a command left: code, out and err as bytes; text and error as str; json parsed."""

    def __init__(self, command, code, out, err):
        self.command, self.code, self.out, self.err = command, code, out, err

    @property
    def text(self):
        return self.out.decode()

    @property
    def error(self):
        return self.err.decode(errors="replace")

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def lines(self):
        return self.text.splitlines()

    def __str__(self):
        shown = self.out.decode(errors="replace")
        return (f"{' '.join(map(str, self.command))}\n  exit {self.code}\n"
                f"  stdout: {shown[-2000:]}\n  stderr: {self.error[-4000:]}")


def run(*command, check=0, input=None, timeout=30, env=None, cwd=None):
    """Runs a program to its end. @check: the exit code it must have, several, or None for any."""
    if isinstance(input, str):
        input = input.encode()
    process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=environment(env), cwd=cwd,
                               stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL)
    try:
        out, err = process.communicate(input, timeout=timeout * SLOW)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise CommandError(f"still running after {timeout * SLOW:.0f} s: "
                           f"{Result(command, None, out, err)}") from None
    result = Result(command, process.returncode, out, err)
    expected = (check,) if isinstance(check, int) else check
    if expected is not None and result.code not in expected:
        raise CommandError(f"exit code {result.code}, not {check}: {result}")
    return result


def kith(*args, **options):
    return run(BUILD / "kith", *args, **options)


# ---- processes ----

# Of which sort a sanitizer's report, or an assertion, is.
REPORT_MARKS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:",
                "WARNING: ThreadSanitizer", "Assertion `")
SHOWN = 6000          # of the end of a log
SHOWN_REPORT = 20000  # of a report, which is longer than that


def threads_of(pid):
    """What each thread of a process does: whether it waits, and for what, or how long it has computed."""
    lines = []
    for task in sorted(pathlib.Path(f"/proc/{pid}/task").glob("*"), key=lambda path: int(path.name)):
        try:
            name, fields = (task / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
            state, *numbers = fields.split()
            seconds = sum(map(int, numbers[10:12])) / os.sysconf("SC_CLK_TCK")
            lines.append(f"  thread {task.name} {name}: {state}, {seconds:.2f} s of processor time, "
                         f"in {(task / 'wchan').read_text()}")
        except OSError:  # it has ended
            continue
    return "\n".join(lines)


def state_of(pid):
    """A process that runs and does not answer: its threads, and how many files it has open."""
    try:
        limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
        most = re.search(r"Max open files\s+(\d+)", limits)[1]
        files = len(os.listdir(f"/proc/{pid}/fd"))
    except OSError as error:
        return f"  {error}"
    return f"{threads_of(pid)}\n  {files} of {most} files open"


class Process:
    """A program in the background; its output goes to a file."""

    def __init__(self, command, log, env=None, cwd=None):
        self.command = [str(c) for c in command]
        self.log_path = pathlib.Path(log)
        with open(self.log_path, "ab") as out:
            self.popen = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=out,
                                          stderr=subprocess.STDOUT, env=environment(env), cwd=cwd)
        self.pid = self.popen.pid

    @property
    def running(self):
        return self.popen.poll() is None

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    def signal(self, number):
        if self.running:
            self.popen.send_signal(number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.popen.wait()

    def pause(self):
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def wait(self, timeout=20):
        """Its exit code, once it has ended by itself."""
        try:
            return self.popen.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running: {' '.join(self.command)}\n{self.log}") from None

    def stop(self, timeout=20):
        """SIGTERM and its exit code."""
        self.resume()
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def wait_log(self, pattern, timeout=20):
        """Waits until its output has a match of @pattern, which is returned."""
        def found():
            assert self.running or re.search(pattern, self.log), \
                f"it ended with {self.popen.returncode}"
            return re.search(pattern, self.log)
        return wait_for(found, timeout, f"{pattern!r} in the output of {self.command}")

    def report(self):
        """From a sanitizer's first report, or a failed assertion, on; None if there is none."""
        log = self.log
        at = [log.find(mark) for mark in REPORT_MARKS if mark in log]
        return log[log.rfind("\n", 0, min(at)) + 1:][:SHOWN_REPORT] if at else None

    def describe(self):
        """How it ended, or what it does; the end of its log; and a report in whole, wherever in the log it is."""
        state = "running" if self.running else f"ended with {self.popen.returncode}"
        shown = [f"---- {' '.join(self.command)} (pid {self.pid}, {state})"]
        if self.running:
            shown.append(state_of(self.pid))
        shown.append(self.log[-SHOWN:])
        report = self.report()
        if report is not None and report not in shown[-1]:
            shown.append(f"-- it reported\n{report}")
        return "\n".join(shown)


class Processes:
    """Programs that a test started; end() ends exactly these."""

    def __init__(self, folder=None):
        import tempfile
        self.own = tempfile.TemporaryDirectory(prefix="kithlog") if folder is None else None
        self.folder = pathlib.Path(folder or self.own.name)
        self.all = []
        self.stuck = []  # what end() had to kill

    def start(self, command, env=None, cwd=None):
        process = Process(command, self.folder / f"{len(self.all)}.log", env, cwd)
        self.all.append(process)
        return process

    def end(self):
        for process in self.all:
            process.resume()
            process.signal(signal.SIGTERM)
        deadline = time.monotonic() + 20 * SLOW
        for process in self.all:
            try:
                process.popen.wait(max(0.01, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.stuck.append(process.describe())
                process.kill()

    def describe(self):
        return "\n".join(process.describe() for process in self.all)

    def reports(self):
        """Of sanitizers, in their output; and what had to be killed since it did not end in order."""
        return [p.describe() for p in self.all if p.report() is not None] + self.stuck


# ---- nodes and clusters ----

class Node:
    """One data directory and, while it runs, its agent."""

    def __init__(self, cluster, name, folder):
        self.cluster, self.name, self.dir = cluster, name, pathlib.Path(folder)
        self.socket = self.dir / "kith.sock"
        assert len(str(self.socket)) <= SOCKET_PATH_MAX, f"too long for a socket: {self.socket}"
        self.agent = None

    def __repr__(self):
        return self.name

    def start(self, *args, listen="127.0.0.1:0", env=None, wait=True):
        """Starts its agent; with @wait, returns once its control socket answers."""
        assert self.agent is None or not self.agent.running, f"{self} runs"
        self.agent = self.cluster.processes.start(
            [BUILD / "kith", "agent", "--data-dir", self.dir, "--listen", listen, *args], env=env)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=20):
        def ready():
            if not self.agent.running:
                raise RuntimeError(f"the agent of {self} ended:\n{self.agent.describe()}")
            with self.control() as control:
                return control.request("hello")
        wait_for(ready, timeout, f"the agent of {self} answers")

    def control(self):
        return Control(self.socket)

    def kill(self):
        self.agent.kill()

    def stop(self, timeout=20):
        """Leaves gracefully; its exit code must be 0."""
        code = self.agent.stop(timeout)
        assert code == 0, f"exit code {code}:\n{self.agent.describe()}"

    def kith(self, *args, **options):
        """A command to this node: node.kith('nodes', '--json')."""
        env = dict(options.pop("env", None) or {}, KITH_SOCKET=str(self.socket))
        return kith(*args, env=env, **options)

    def nodes(self, *args):
        """What it knows of the others: name -> entry of `kith nodes --json`."""
        listed = self.kith("nodes", "--json", *args).json
        return {entry["name"]: entry for entry in listed["nodes"]}

    def status(self, other):
        entry = self.nodes().get(getattr(other, "name", other))
        return entry["status"] if entry else None

    @property
    def id(self):
        return self.kith("nodes", "--json").json["self"]

    @property
    def address(self):
        """address:port where it listens on loopback."""
        info = self.kith("info", "--json").json
        return f"127.0.0.1:{info['port']}"


class Cluster:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        logs = self.folder / "log"
        logs.mkdir()
        self.processes = Processes(logs)
        self.nodes = []

    def add(self, name=None):
        """One more data directory of this cluster, without an agent yet.

        The first is made by `kith init`, the others by a token of one that runs and `kith join`.
        """
        name = name or f"n{len(self.nodes) + 1}"
        node = Node(self, name, self.folder / str(len(self.nodes) + 1))
        if not self.nodes:
            kith("init", "--name", name, "--cluster", "test", "--data-dir", node.dir)
        else:
            kith("join", self.token(), "--name", name, "--data-dir", node.dir)
        self.nodes.append(node)
        return node

    def token(self):
        running = [n for n in self.nodes if n.agent is not None and n.agent.running]
        assert running, "a token comes from an agent that runs"
        return kith("invite", "--data-dir", running[0].dir).text.strip()

    def start(self, count, *args, wait=True):
        """Adds and starts @count nodes; with @wait, returns once all that run see one another."""
        made = [self.add().start(*args) for _ in range(count)]
        if wait:
            self.wait_alive()
        return made

    @property
    def running(self):
        return [n for n in self.nodes if n.agent is not None and n.agent.running]

    def wait_alive(self, timeout=30):
        """Waits until every running node sees every running node as alive."""
        self.wait_status({node: "alive" for node in self.running}, timeout)

    def settle(self, tolerated=1, timeout=30):
        """Waits until every running node says that so many failures are survived now."""
        def settled():
            for node in self.running:
                seen = node.kith("view", "--json").json
                assert seen["failures_tolerated"] >= tolerated, (node, seen)
            return True
        wait_for(settled, timeout, f"{tolerated} failures are tolerated")

    def wait_status(self, wanted, timeout=30, seen_by=None):
        """Waits until every running node (or those of @seen_by) sees @wanted: {node: status}."""
        def agreed():
            for viewer in seen_by or self.running:
                seen = viewer.nodes()
                for node, status in wanted.items():
                    entry = seen.get(node.name)
                    assert entry and entry["status"] == status, \
                        f"{viewer} sees {node} as {entry and entry['status']}"
            return True
        wait_for(agreed, timeout, f"status {wanted}", interval=0.1)

    def describe(self):
        return self.processes.describe()

    def reports(self):
        return self.processes.reports()

    def end(self):
        self.processes.end()


# ---- the control socket ----

class ControlError(Exception):
    def __init__(self, error):
        super().__init__(f"{error.get('code')}: {error.get('message')}")
        self.code, self.exit = error.get("code"), error.get("exit")
        self.message, self.hint = error.get("message"), error.get("hint")


class Control:
    """A client of docs/protocols/control.md, as any language could have one."""

    def __init__(self, path, timeout=20):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout * SLOW)
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rb")
        self.next_id = 0

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def send(self, message, data=b""):
        if data:
            message = dict(message, data_bytes=len(data))
        self.socket.sendall(json.dumps(message).encode() + b"\n" + data)

    def receive(self):
        """The next message and its bytes; None at the end of the stream."""
        line = self.file.readline()
        if not line:
            return None
        message = json.loads(line)
        return message, self.file.read(message.get("data_bytes", 0))

    def ask(self, verb, args=None, data=b""):
        """Sends a request and gives its id."""
        self.next_id += 1
        self.send({"id": self.next_id, "verb": verb, "args": args or {}}, data)
        return self.next_id

    def stream(self, verb, args=None, data=b""):
        """Every reply to a request: (result, bytes). The last is the one without "more"."""
        asked = self.ask(verb, args, data)
        while True:
            received = self.receive()
            if received is None:
                raise ConnectionError("the agent closed the connection")
            message, body = received
            if message.get("id") != asked:
                continue
            if not message.get("ok"):
                raise ControlError(message["error"])
            yield message["result"], body
            if not message.get("more"):
                return

    def request(self, verb, args=None, data=b""):
        """The result of a request; (result, bytes) if there are bytes."""
        for result, body in self.stream(verb, args, data):
            return (result, body) if body else result
