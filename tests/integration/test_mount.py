"""kith fs mount: all shares as a directory. Skipped, and said, where this machine cannot mount."""
import errno
import os
import subprocess

import pytest

import kithtest
from kithtest import in_threads, wait_for

WAIT = 60


def cannot():
    """Why nothing can be mounted here, or nothing."""
    if not (kithtest.BUILD / "kith-mount").exists():
        return "kith-mount was built without libfuse3"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return f"/dev/fuse: {error.strerror}"
    return None


def is_mounted(path):
    return any(line.split()[1] == str(path) for line in open("/proc/mounts"))


@pytest.fixture
def mount(short_dir):
    """Mounts: mount(node, *flags) is the directory. All are unmounted at the end."""
    if reason := cannot():
        pytest.skip(f"nothing can be mounted here: {reason}")
    made = []

    def one(node, *flags):
        path = short_dir / f"mount{len(made)}"
        path.mkdir()
        result = node.kith("fs", "mount", path, *flags, check=None)
        if result.code != 0 and "not permitted" in result.error:
            pytest.skip(f"nothing can be mounted here: {result.error.strip()}")
        assert result.code == 0, result
        made.append(path)
        assert f"umount {path}" in result.error
        return path
    yield one
    for path in made:
        subprocess.run(["umount", path], check=False)
        if is_mounted(path):
            subprocess.run(["umount", "-l", path], check=True)


@pytest.fixture
def shared(cluster, short_dir):
    """Two nodes and a share of the first: (a, b, its folder)."""
    a, b = cluster.start(2)
    cluster.wait_alive()
    folder = short_dir / "folder"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "a.txt").write_text("from a\n")
    (folder / "deep" / "er" / "b.txt").write_text("below\n")
    (folder / "link").symlink_to("a.txt")
    a.kith("share", "add", "docs", folder)
    wait_for(lambda: len(b.kith("fs", "ls", "docs", "-r", "--json", check=(0, 4)).json.get("entries", [])) >= 5,
             WAIT, "the other node lists the share")
    return a, b, folder


def content(node, path):
    return node.kith("fs", "cat", path, check=(0, 1, 4)).out


def fails(number, action):
    with pytest.raises(OSError) as caught:
        action()
    assert caught.value.errno == number, caught.value


def reads(at, folder):
    assert os.listdir(at) == ["docs"]
    assert sorted(os.listdir(at / "docs")) == ["a.txt", "deep", "link"]
    assert (at / "docs" / "deep" / "er" / "b.txt").read_text() == "below\n"
    assert os.readlink(at / "docs" / "link") == "a.txt" and (at / "docs" / "link").read_text() == "from a\n"
    status = (at / "docs" / "a.txt").stat()
    assert status.st_size == 7 and abs(status.st_mtime - (folder / "a.txt").stat().st_mtime) < 0.01

    # pieces from anywhere of a file that is larger than what is fetched at once
    large = os.urandom(3_000_000)
    (folder / "large").write_bytes(large)
    wait_for(lambda: (at / "docs" / "large").exists(), WAIT, "the new file is seen")
    with open(at / "docs" / "large", "rb", buffering=0) as file:
        for offset, count in ((2_999_990, 100), (0, 10), (1_048_570, 20), (4_000_000, 5), (7, 2_000_000)):
            file.seek(offset)
            got = b""
            while piece := file.read(count - len(got)):
                got += piece
            assert got == large[offset:offset + count]
    assert (at / "docs" / "large").read_bytes() == large

    (folder / "a.txt").write_text("changed\n")
    wait_for(lambda: (at / "docs" / "a.txt").read_text() == "changed\n", WAIT, "the change is seen")
    fails(errno.ENOENT, lambda: (at / "docs" / "nothing").read_bytes())
    fails(errno.ENOENT, lambda: os.listdir(at / "nothing"))
    fails(errno.EPERM, lambda: (at / "beside").write_text("x"))
    fails(errno.EPERM, lambda: (at / "beside").mkdir())


def writes(docs, a, b):
    with open(docs / "new.txt", "w") as file:
        file.write("one\n")
        file.flush()
        assert (docs / "new.txt").read_text() == "one\n" and "new.txt" in os.listdir(docs)
        # (asked without a new process: one that is begun closes what it got of this one)
        with b.control() as control, pytest.raises(kithtest.ControlError):
            control.request("fs.stat", {"path": "docs/new.txt"})
    wait_for(lambda: content(a, "docs/new.txt") == b"one\n", WAIT, "the other node has it")
    with open(docs / "new.txt", "a") as file:
        file.write("two\n")
    wait_for(lambda: content(a, "docs/new.txt") == b"one\ntwo\n", WAIT, "the end was added")
    with open(docs / "new.txt", "r+") as file:
        file.seek(4)
        file.write("2nd")
        file.flush()
        os.fsync(file.fileno())
        wait_for(lambda: content(a, "docs/new.txt") == b"one\n2nd\n", WAIT, "the middle was changed")
    os.truncate(docs / "new.txt", 3)
    os.chmod(docs / "new.txt", 0o600)
    os.utime(docs / "new.txt", (1_500_000_000, 1_500_000_000))
    entry = b.kith("fs", "stat", "docs/new.txt", "--json").json["entry"]
    assert (entry["size"], entry["mode"], entry["modified"]) == (3, 0o600, "2017-07-14T02:40:00.000Z")
    fails(errno.EEXIST, lambda: open(docs / "new.txt", "x"))

    # more than one question takes
    large = os.urandom(5_000_000)
    (docs / "large").write_bytes(large)
    assert content(b, "docs/large") == large


def names(docs, a, b):
    (docs / "made" / "inner").mkdir(parents=True)
    assert os.listdir(docs / "made") == ["inner"] and os.listdir(docs / "made" / "inner") == []
    (docs / "made" / "inner" / "x").write_text("x\n")
    assert sorted(os.listdir(docs / "made")) == ["inner"]
    fails(errno.ENOTEMPTY, lambda: os.rmdir(docs / "made" / "inner"))
    os.rename(docs / "made" / "inner" / "x", docs / "made" / "y")
    assert os.listdir(docs / "made" / "inner") == [] and (docs / "made" / "y").read_text() == "x\n"
    wait_for(lambda: content(a, "docs/made/y") == b"x\n" and content(a, "docs/made/inner/x") == b"",
             WAIT, "the other node knows the new name")
    # as editors do: under the new name whoever has it open goes on
    with open(docs / "made" / "y.new", "w") as file:
        file.write("whole\n")
        file.flush()
        os.replace(docs / "made" / "y.new", docs / "made" / "y")
        file.write("and more\n")
    assert (docs / "made" / "y").read_text() == "whole\nand more\n"
    assert content(b, "docs/made/y.new") == b""
    # a directory is copied, as between disks
    subprocess.run(["mv", docs / "made", docs / "moved"], check=True)
    assert (docs / "moved" / "y").read_text() == "whole\nand more\n" and not (docs / "made").exists()
    subprocess.run(["rm", "-r", docs / "moved"], check=True)
    assert "moved" not in os.listdir(docs) and content(b, "docs/moved/y") == b""
    # deleted while it is open: it is not put again
    with open(docs / "gone", "w") as file:
        file.write("x")
        os.unlink(docs / "gone")
    assert content(b, "docs/gone") == b"" and not (docs / "gone").exists()

    def one(i):
        for k in range(5):
            (docs / f"many-{i}").write_text(f"{i} {k}\n" * 1000)
            assert (docs / f"many-{i}").read_text() == f"{i} {k}\n" * 1000
    in_threads(8, one)


def test_shares_are_read_written_and_renamed_as_on_a_disk(shared, mount):
    a, b, folder = shared
    at = mount(b)
    reads(at, folder)
    writes(at / "docs", a, b)
    names(at / "docs", a, b)


def test_what_cannot_be_done_has_its_own_error(shared, mount, short_dir):
    a, b, _ = shared
    (short_dir / "kept").mkdir()
    (short_dir / "kept" / "f").write_text("f\n")
    b.kith("share", "add", "kept", short_dir / "kept", "--read-only")
    at, only = mount(b), mount(b, "--read-only")
    wait_for(lambda: (at / "kept" / "f").exists(), WAIT, "the second share is seen")
    fails(errno.EROFS, lambda: (only / "docs" / "x").write_text("x"))
    fails(errno.EROFS, lambda: os.unlink(only / "kept" / "f"))
    fails(errno.EACCES, lambda: (at / "kept" / "f").write_text("x"))
    wait_for(lambda: (at / "kept" / "f").read_text() == "f\n", WAIT, "what could not be put is forgotten")

    assert "is no directory" in b.kith("fs", "mount", short_dir / "kept" / "f", check=2).error
    assert "mkdir" in b.kith("fs", "mount", short_dir / "nowhere", check=4).error

    if os.geteuid() == 0:
        bare = f"mount -t tmpfs none /dev && exec {kithtest.BUILD}/kith fs mount {at}"
        without = kithtest.run("unshare", "-m", "sh", "-c", bare, check=None,
                               env={"KITH_SOCKET": str(b.socket)})
        assert (without.code, "has no /dev/fuse" in without.error) == (1, True) or "unshare" in without.error

    # nobody who has it is here
    a.stop()
    wait_for(lambda: b.kith("fs", "stat", "docs/a.txt", "--json").json["entry"]["holders_alive"] == 0, WAIT, "a is away")
    fails(errno.EHOSTUNREACH, lambda: (at / "docs" / "deep" / "er" / "b.txt").read_bytes())
    # nor the node itself; and when it is back, so are the files
    b.kill()
    fails(errno.ENOTCONN, lambda: os.stat(at / "kept" / "f"))
    b.start()
    wait_for(lambda: (at / "kept" / "f").exists(), WAIT, "the node is back")
    assert (at / "kept" / "f").read_text() == "f\n"
