"""Four hosts on one bridge, in network namespaces made here: joining by token, cutting, healing."""
import os
import shutil
import subprocess
import uuid

import pytest

from kithtest import BUILD, Node, kith, run, wait_for

HOSTS = 4


def ip(*args, check=True):
    return subprocess.run(["ip", *args], check=check, capture_output=True, text=True)


def why_not():
    if os.geteuid() != 0:
        return "needs root to make network namespaces"
    if shutil.which("ip") is None:
        return "needs ip (Debian's iproute2)"
    name = "kt" + uuid.uuid4().hex[:6]
    made = ip("netns", "add", name, check=False)
    if made.returncode != 0:
        return f"network namespaces cannot be made here: {made.stderr.strip()}"
    probe = ip("-n", name, "link", "add", "br0", "type", "bridge", check=False)
    ip("netns", "del", name, check=False)
    return f"no bridges here: {probe.stderr.strip()}" if probe.returncode != 0 else None


class Net:
    """One namespace holds the bridge; each host has a veth pair to it."""

    def __init__(self):
        tag = "kt" + uuid.uuid4().hex[:5]
        self.switch = f"{tag}s"
        self.hosts = [f"{tag}{i}" for i in range(1, HOSTS + 1)]
        ip("netns", "add", self.switch)
        ip("-n", self.switch, "link", "add", "br0", "type", "bridge")
        ip("-n", self.switch, "link", "set", "br0", "up")
        for i, host in enumerate(self.hosts, 1):
            ip("netns", "add", host)
            ip("-n", host, "link", "set", "lo", "up")
            ip("-n", host, "link", "add", "eth0", "type", "veth", "peer", "name", f"p{i}",
               "netns", self.switch)
            ip("-n", host, "addr", "add", f"10.77.0.{i}/24", "dev", "eth0")
            ip("-n", host, "link", "set", "eth0", "up")
            ip("-n", self.switch, "link", "set", f"p{i}", "master", "br0")
            ip("-n", self.switch, "link", "set", f"p{i}", "up")

    def cut(self, number):
        ip("-n", self.switch, "link", "set", f"p{number}", "down")

    def heal(self, number):
        ip("-n", self.switch, "link", "set", f"p{number}", "up")

    def end(self):
        for name in [*self.hosts, self.switch]:
            ip("netns", "del", name, check=False)


@pytest.fixture
def net():
    reason = why_not()
    if reason:
        pytest.skip(reason)
    made = Net()
    yield made
    made.end()


def start(net, processes, folder, number):
    node = Node(None, f"h{number}", folder)
    node.agent = processes.start(["ip", "netns", "exec", net.hosts[number - 1], BUILD / "kith",
                                  "agent", "--data-dir", folder, "--listen", "0.0.0.0:7117"])
    node.wait_ready()
    return node


def agree(nodes, wanted, timeout=60):
    def agreed():
        for node in nodes:
            seen = {name: e["status"] for name, e in node.nodes().items()}
            assert seen == wanted, f"{node} sees {seen}"
        return True
    wait_for(agreed, timeout, f"{wanted}")


def test_four_hosts_join_by_token_and_survive_a_cut_link(net, processes, short_dir):
    folders = [short_dir / str(i) for i in range(1, HOSTS + 1)]
    kith("init", "--name", "h1", "--cluster", "bridge", "--data-dir", folders[0])
    nodes = [start(net, processes, folders[0], 1)]
    token = kith("invite", "--data-dir", folders[0]).text.strip()
    for i in range(2, HOSTS + 1):
        kith("join", token, "--name", f"h{i}", "--data-dir", folders[i - 1])
        nodes.append(start(net, processes, folders[i - 1], i))
    everyone = {f"h{i}": "alive" for i in range(1, HOSTS + 1)}
    agree(nodes, everyone)
    for i, entry in enumerate(sorted(nodes[0].nodes().values(), key=lambda e: e["name"]), 1):
        assert entry["address"] == f"10.77.0.{i}:7117"

    net.cut(3)
    others = [n for n in nodes if n is not nodes[2]]
    agree(others, dict(everyone, h3="failed"))
    agree([nodes[2]], {"h1": "failed", "h2": "failed", "h3": "alive", "h4": "failed"})
    assert nodes[0].kith("call", "sys.echo", "hi", "--node", "h2").text == "hi"
    refused = nodes[0].kith("call", "sys.echo", "hi", "--node", "h3", check=None)
    assert refused.code != 0 and "h3" in refused.error

    net.heal(3)
    agree(nodes, everyone, 120)
    assert nodes[0].kith("call", "sys.echo", "hi", "--node", "h3").text == "hi"
    reach = nodes[0].kith("reach", "--json").json
    assert all(link["ok"] for link in reach["links"])
    for node in nodes:
        assert node.agent.stop() == 0
    run("true")
