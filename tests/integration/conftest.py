"""Fixtures of the integration tests: real processes on loopback. See tests/lib/kithtest.py."""
import pathlib
import shutil
import signal
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))

import kithtest  # noqa: E402


def pytest_configure(config):
    # A shell's background job ignores it, and so would all that the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "plain: not on the sanitized build (it measures)")


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Leaves the report where fixtures can see whether their test failed."""
    outcome = yield
    setattr(item, "report_" + call.when, outcome.get_result())


@pytest.fixture(scope="session")
def build():
    """The build directory with the binaries under test."""
    if not (kithtest.BUILD / "kith").exists():
        pytest.skip(f"no kith in {kithtest.BUILD}: run 'make build'")
    return kithtest.BUILD


@pytest.fixture
def kith(build):
    """Runs the command: kith('nodes', '--json', check=0); see kithtest.run()."""
    def command(*args, **options):
        return kithtest.kith(*args, **options)
    return command


@pytest.fixture
def short_dir():
    """A directory with a path short enough for a Unix socket in it."""
    path = short_path()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def processes(request):
    """Starts programs and ends what is left of them: processes.start([...]); see kithtest."""
    kept = kithtest.Processes()
    yield kept
    failed = getattr(request.node, "report_call", None)
    if failed is not None and failed.failed:
        print(kept.describe())
    kept.end()


def short_path():
    return pathlib.Path(tempfile.mkdtemp(prefix="k", dir="/tmp"))


def end_cluster(made):
    made.end()
    # A sanitizer's report of an agent that ended is a failure of its test.
    assert not made.reports(), "\n".join(made.reports())


def describe_if_failed(request, made):
    failed = getattr(request.node, "report_call", None)
    if failed is not None and failed.failed:
        print(made.describe())


@pytest.fixture
def cluster(request, build, short_dir):
    """
    An empty cluster to which a test adds nodes; all agents end with the test.

        def test_something(cluster):
            a, b, c = cluster.start(3)
            cluster.wait_status({a: "alive", b: "alive", c: "alive"})
            c.kill()
    """
    made = kithtest.Cluster(short_dir)
    yield made
    describe_if_failed(request, made)
    end_cluster(made)


@pytest.fixture(scope="module")
def shared_cluster(build):
    """Three nodes for all cases of a file that kill none of them."""
    folder = short_path()
    made = kithtest.Cluster(folder)
    try:
        made.start(3)
        made.settle()
        yield made
        end_cluster(made)
    finally:
        made.end()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def three(request, shared_cluster):
    """The nodes of the shared cluster. Variables and locks of a case have names of its own."""
    assert len(shared_cluster.running) == 3, shared_cluster.describe()
    yield shared_cluster.nodes
    describe_if_failed(request, shared_cluster)


@pytest.fixture
def own_three(cluster):
    """Three nodes of the case's own, to be killed and paused."""
    cluster.start(3)
    cluster.settle()
    return cluster.nodes


@pytest.fixture
def node(cluster):
    """One node with pages."""
    n = cluster.add().start("--web", "127.0.0.1:0")
    kithtest.wait_for(lambda: n.kith("view", "--json").json.get("keepers"), 30, "the node has a view")
    return n


@pytest.fixture
def web(node):
    """As the owner: a bearer token of the command."""
    import webtest
    return webtest.Web(node, token=node.kith("web", "--token").text.strip())
