"""Hosts on one bridge, in network namespaces made here, whose links can be cut and healed."""
import os
import shutil
import subprocess
import uuid

from kithtest import BUILD, Node


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

    def __init__(self, hosts_n):
        tag = "kt" + uuid.uuid4().hex[:5]
        self.switch = f"{tag}s"
        self.hosts = [f"{tag}{i}" for i in range(1, hosts_n + 1)]
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


def start_in(net, processes, folder, number, *args):
    """The agent of host @number, which counts from 1."""
    node = Node(None, f"h{number}", folder)
    node.agent = processes.start(
        ["ip", "netns", "exec", net.hosts[number - 1], BUILD / "kith", "agent", "--data-dir", folder,
         "--listen", "0.0.0.0:7117", *args])
    node.wait_ready()
    return node
