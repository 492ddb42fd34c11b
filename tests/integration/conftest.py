"""Fixtures of the integration tests: real processes on loopback. See tests/lib/kithtest.py."""
import pathlib
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))

import kithtest  # noqa: E402


def pytest_configure(config):
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
    path = pathlib.Path(tempfile.mkdtemp(prefix="k", dir="/tmp"))
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
    failed = getattr(request.node, "report_call", None)
    if failed is not None and failed.failed:
        print(made.describe())
    made.end()
    # A sanitizer's report of an agent that ended is a failure of its test.
    assert not made.reports(), "\n".join(made.reports())
