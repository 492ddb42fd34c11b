"""init, join, agent and the configuration: from an empty directory to a node that runs."""
import os
import re
import signal
import socket
import stat

import kithtest
import pytest
from kithtest import kith, run


def test_init_makes_private_keys_and_says_what_is_next(build, short_dir):
    d = short_dir / "a"
    result = kith("init", "--cluster", "lab", "--name", "left", "--data-dir", d, "--json")
    assert result.json["schema"] == "kith.init/1"
    assert result.json["cluster"] == "lab"
    assert re.fullmatch("[0-9a-f]{32}", result.json["id"])
    assert f"kith agent --data-dir {d}" in result.error
    for name in ("node.key", "cluster.key"):
        assert stat.S_IMODE((d / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(d.stat().st_mode) == 0o700
    assert "name = left" in (d / "kith.conf").read_text()


def test_init_twice_is_a_conflict_and_changes_nothing(build, short_dir):
    kith("init", "--data-dir", short_dir / "a", "--cluster", "one")
    before = (short_dir / "a" / "cluster.key").read_bytes()
    result = kith("init", "--data-dir", short_dir / "a", check=7)
    assert "cluster one already" in result.error
    assert (short_dir / "a" / "cluster.key").read_bytes() == before


def test_init_finds_a_name_for_the_cluster(build, short_dir):
    names = {kith("init", "--data-dir", short_dir / str(i), "--json").json["cluster"] for i in range(3)}
    assert all(re.fullmatch("[a-z]+-[a-z]+", name) for name in names)


def test_bad_names_are_refused_before_anything_is_made(build, short_dir):
    assert "a b" in kith("init", "--data-dir", short_dir / "a", "--name", "a b", check=2).error
    assert kith("init", "--data-dir", short_dir / "a", "--cluster", "x/y", check=2).out == b""
    assert not (short_dir / "a" / "cluster.key").exists()


def test_an_agent_without_a_cluster_names_the_commands(build, short_dir):
    result = kith("agent", "--data-dir", short_dir / "empty", check=4)
    for command in ("kith init", "kith join TOKEN", "kith dev 3", str(short_dir / "empty")):
        assert command in result.error


def test_an_agent_says_that_it_listens_and_leaves_on_sigterm(cluster):
    node = cluster.add("solo").start()
    line = node.agent.wait_log(r"kith: node solo \([0-9a-f]{8}\) of cluster test listens on 127\.0\.0\.1:(\d+)")
    assert int(line.group(1)) == node.kith("info", "--json").json["port"]
    assert stat.S_IMODE(node.socket.stat().st_mode) == 0o600
    node.stop()


def test_a_directory_in_use_is_a_conflict(cluster):
    node = cluster.add().start()
    result = kith("agent", "--data-dir", node.dir, "--listen", "127.0.0.1:0", check=7)
    assert str(node.agent.pid) in result.error
    assert kith("join", cluster.token(), "--data-dir", node.dir, check=7).out == b""


def test_a_key_that_others_may_read_is_refused(build, short_dir):
    kith("init", "--data-dir", short_dir / "a")
    os.chmod(short_dir / "a" / "node.key", 0o644)
    result = kith("agent", "--data-dir", short_dir / "a", "--listen", "127.0.0.1:0", check=5)
    assert "chmod 0600" in result.error


def test_what_the_disk_refuses_comes_with_what_to_do(build, short_dir):
    place = short_dir / "full"
    place.mkdir()
    if os.geteuid() != 0 or run("mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", place,
                                check=None).code != 0:
        pytest.skip("no right to mount a small file system")
    agent = ("agent", "--data-dir", place / "a", "--listen", "127.0.0.1:0")
    try:
        kith("init", "--data-dir", place / "a")
        with open(place / "rest", "wb", buffering=0) as rest, pytest.raises(OSError):
            while True:
                assert rest.write(bytes(4096)) > 0
        full = kith(*agent, check=1)
        assert "No space left on device; free some space there" in full.error
        assert "No space left on device; free" in kith("init", "--data-dir", place / "b", check=1).error
        (place / "rest").unlink()
        run("mount", "-o", "remount,ro", place)
        assert "Read-only file system; mount it for writing" in kith(*agent, check=1).error
    finally:
        run("umount", place)


def test_a_directory_in_place_of_a_file_is_named(build, short_dir):
    kith("init", "--data-dir", short_dir / "a")
    (short_dir / "a" / "boot_no").unlink(missing_ok=True)
    (short_dir / "a" / "boot_no").mkdir()
    result = kith("agent", "--data-dir", short_dir / "a", "--listen", "127.0.0.1:0", check=1)
    assert "boot_no: Is a directory; " in result.error and "move it away" in result.error


def test_a_stopped_agent_is_said_not_to_answer(cluster):
    node = cluster.add().start()
    node.agent.pause()
    result = node.kith("nodes", check=6, timeout=30)
    assert "did not answer in 10 s: it is busy or stopped; " in result.error
    assert "its log" in result.error
    node.agent.resume()


def test_the_token_is_alone_on_stdout(cluster):
    node = cluster.add().start()
    result = kith("invite", "--data-dir", node.dir)
    assert len(result.lines) == 1 and result.text.startswith("kith1-")
    assert "does not expire" in result.error
    assert kith("invite", "--data-dir", node.dir, "--json").json["token"] == result.text.strip()


def test_join_takes_a_word_a_file_or_stdin(cluster, short_dir):
    token = cluster.add().start() and cluster.token()
    (short_dir / "token").write_text(token + "\n")
    for i, (how, given) in enumerate([(token, None), (f"@{short_dir / 'token'}", None), ("-", token)]):
        d = short_dir / f"j{i}"
        result = kith("join", how, "--data-dir", d, "--json", input=given)
        assert result.json["cluster"] == "test"
        assert (d / "seeds").read_text().strip() != ""
    assert kith("join", f"@{short_dir / 'missing'}", "--data-dir", short_dir / "x", check=4).out == b""


def test_join_again_is_fine_but_not_another_cluster(cluster, short_dir):
    token = cluster.add().start() and cluster.token()
    kith("join", token, "--data-dir", short_dir / "j")
    kith("join", token, "--data-dir", short_dir / "j")
    seeds = (short_dir / "j" / "seeds").read_text().split()
    assert len(seeds) == len(set(seeds))
    kith("init", "--data-dir", short_dir / "other", "--cluster", "other")
    assert "another cluster, other" in kith("join", token, "--data-dir", short_dir / "other", check=7).error


def test_a_token_with_a_typo_is_named_as_such(cluster, short_dir):
    token = cluster.add().start() and cluster.token()
    bad = token[:20] + ("A" if token[20] != "A" else "B") + token[21:]
    result = kith("join", bad, "--data-dir", short_dir / "j", check=1)
    assert "typo" in result.error
    assert not (short_dir / "j").exists()
    assert "kith invite" in kith("join", "hello", "--data-dir", short_dir / "j", check=2).error


def test_a_secret_file_and_a_seed_are_enough(cluster, short_dir):
    first = cluster.add().start()
    (short_dir / "secret").write_bytes((first.dir / "cluster.key").read_bytes())
    token = short_dir / "token"
    token.write_text(cluster.token())
    os.chmod(token, 0o600)
    other = kithtest.Node(cluster, "other", short_dir / "o")
    other.start("--secret-file", str(token), "--seed", first.address, "--name", "other")
    cluster.nodes.append(other)
    cluster.wait_alive()
    other.stop()
    # It is in the cluster now: neither is needed any more.
    other.start("--name", "other")
    cluster.wait_alive()


def test_flags_override_files_which_override_defaults(build, short_dir):
    file = short_dir / "kith.ini"
    file.write_text("[log]\nlevel = warn\n[net]\nlisten = 127.0.0.1:7001\nseed = a:1\n")
    shown = kith("config", "show", "--origin", "--config", file, "--data-dir", short_dir / "d",
                 "--set", "net.listen=127.0.0.1:7002", "--json", env={"KITH_LOG": "error"}).json
    keys = {key["key"]: key["values"] for key in shown["keys"]}
    assert keys["net.listen"] == [{"value": "127.0.0.1:7002", "origin": "--set"}]
    assert keys["log.level"] == [{"value": "error", "origin": "KITH_LOG"}]
    assert keys["net.seed"] == [{"value": "a:1", "origin": f"{file}:5"}]
    assert keys["member.profile"][0]["origin"] == "default"
    table = kith("config", "show", "--origin", "--config", file, "--data-dir", short_dir / "d").text
    assert f"{file}:2" in table


def test_config_check_names_file_line_and_the_nearest_key(build, short_dir):
    file = short_dir / "bad.conf"
    file.write_text("[net]\nlisten = 127.0.0.1:1\nsede = a\n")
    result = kith("config", "check", file, check=1)
    assert f"{file}:3: there is no key net.sede: did you mean net.seed?" in result.error
    file.write_text("[net]\nseed = " + "x" * 300 + "\n")
    assert f"{file}:2: the line has" in kith("config", "check", file, check=1).error
    file.write_text("[net]\nseed = a\n")
    assert kith("config", "check", file, "--json").json["ok"] is True
    assert kith("config", "check", short_dir / "missing.conf", check=4).out == b""


def test_an_agent_refuses_a_bad_configuration(build, short_dir):
    kith("init", "--data-dir", short_dir / "a")
    (short_dir / "a" / "kith.conf").write_text("[log]\nlevle = debug\n")
    result = kith("agent", "--data-dir", short_dir / "a", check=(1, 2))
    assert "kith.conf:2" in result.error and "log.level" in result.error


def test_sighup_reads_the_configuration_again(cluster):
    node = cluster.add().start()
    (node.dir / "kith.conf").write_text("[log]\nlevel = debug\n")
    node.agent.signal(signal.SIGHUP)
    node.agent.wait_log("reload")
    (node.dir / "kith.conf").write_text("[log]\nlevel = loud\n")
    node.agent.signal(signal.SIGHUP)
    node.agent.wait_log("kith.conf:2")
    assert node.nodes()[node.name]["status"] == "alive"


def test_reload_says_what_changed_and_what_needs_a_restart(cluster):
    a, b = cluster.start(2)
    assert a.kith("config", "reload", "--json").json["changed"] == []
    assert "nothing has changed" in a.kith("config", "reload", "--node", "n2").error
    conf = b.dir / "kith.conf"
    before = conf.read_text() if conf.exists() else ""
    conf.write_text(before + "[log]\nlevel = debug\n[rpc]\nworkers = 3\n[web]\nregister = yes\nhost = proxy\nhost = other\n")
    done = a.kith("config", "reload", "--node", "n2", "--json", check=8).json
    assert done["name"] == "n2"
    assert {c["key"]: [v["value"] for v in c["values"]] for c in done["changed"]} == {
        "log.level": ["debug"], "web.register": ["yes"], "web.host": ["proxy", "other"]}
    [left] = done["restart"]
    assert left["key"] == "rpc.workers" and left["values"][0]["value"] == "3"
    assert left["values"][0]["origin"].endswith(f"kith.conf:{before.count(chr(10)) + 4}")
    with b.control() as control:
        keys = {k["key"]: k for k in control.request("config.show")["keys"]}
        assert keys["web.host"]["values"][1]["value"] == "other" and keys["web.host"]["reloads"]
        assert keys["rpc.workers"]["values"] == [{"value": "0", "origin": "default"}]  # what holds
        assert control.request("logs", {"lines": 1})["level"] == "debug"
        assert control.request("info")["config"]["log.level"] == "debug"
    said = b.kith("config", "reload", check=8)
    assert said.text == "restart  rpc.workers = 3\n"
    b.agent.wait_log("these keys change when the agent is started again")
    # A mistake changes nothing.
    conf.write_text(before + "[log]\nlevel = loud\n")
    assert "log.level" in b.kith("config", "reload", check=1).error
    with b.control() as control:
        assert control.request("logs", {"lines": 1})["level"] == "debug"
    conf.write_text(before)
    assert {c["key"] for c in b.kith("config", "reload", "--json").json["changed"]} == {"log.level", "web.register", "web.host"}


def test_sigusr1_writes_the_state_to_the_log(cluster):
    node = cluster.add().start()
    node.agent.signal(signal.SIGUSR1)
    node.agent.wait_log("state: loop")
    node.agent.wait_log(f"state: node {node.name}")


def test_a_service_manager_is_told(cluster, short_dir):
    path = short_dir / "notify"
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(path))
    manager.settimeout(20 * kithtest.SLOW)

    def told(wanted):
        for _ in range(100):
            text = manager.recv(4096).decode()
            if wanted in text:
                return text
        raise AssertionError(f"no {wanted}")

    node = cluster.add()
    node.start(env={"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "400000"})
    assert "STATUS=1 nodes alive" in told("READY=1")
    told("WATCHDOG=1")
    told("WATCHDOG=1")
    node.agent.signal(signal.SIGHUP)
    assert "MONOTONIC_USEC=" in told("RELOADING=1")
    told("READY=1")
    node.agent.signal(signal.SIGTERM)
    told("STOPPING=1")
    assert node.agent.wait() == 0
    manager.close()


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_either_signal_leaves_the_cluster(cluster, first):
    a, b = cluster.start(2)
    b.agent.signal(first)
    assert b.agent.wait() == 0
    cluster.wait_status({b: "left"})
