#!/usr/bin/python3
"""
How fast the pages answer, beside nginx, and what is left for others while somebody attacks them.

    KITH_BUILD=build /usr/bin/python3 bench/http.py [--rounds N] [--seconds S] [--only WHAT]

Needs nginx and wrk. Servers run on core 0, clients on core 1. What is measured and what came out:
docs/benchmarks.md, HTTP.
"""
import argparse
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/lib"))

import kithtest  # noqa: E402
import pressure  # noqa: E402
from webtest import Web  # noqa: E402

NGINX = """
daemon off; worker_processes 1; worker_cpu_affinity 01; pid {dir}/nginx.pid; error_log {dir}/error.log;
events {{ worker_connections 512; }}
http {{ access_log off; keepalive_requests 100000000;
  client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u;
  scgi_temp_path {dir}/s; server {{ listen 127.0.0.1:{port}; root {dir}; }} }}
"""


def pin(pid, core):
    subprocess.run(["taskset", "-a", "-p", "-c", str(core), str(pid)], check=True, capture_output=True)


def wrk(url, seconds, *more):
    out = subprocess.run(["taskset", "-c", "1", "wrk", "-t1", "-c32", f"-d{seconds}s", *more, url],
                         check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in out, out
    return float(re.search(r"Requests/sec:\s*([\d.]+)", out)[1])


def cpu_s(pid):
    """Processor time of a process so far, its own and the kernel's for it."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def speed(folder, rounds, seconds):
    """Requests a second: nginx with a file, a variable that is valid here, a call of sys.echo."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    (folder / "x").write_text("x" * 64)
    (folder / "nginx.conf").write_text(NGINX.format(dir=folder, port=port))
    folder.chmod(0o755)
    post = folder / "post.lua"
    post.write_text('wrk.method = "POST"\nwrk.body = string.rep("x", 64)\n')
    processes, cluster = kithtest.Processes(), kithtest.Cluster(folder)
    try:
        nginx = processes.start(["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")])
        node = cluster.add().start("--web", "127.0.0.1:0")
        web = Web(node, token=node.kith("web", "--token").text.strip())
        kithtest.wait_for(lambda: node.kith("view", "--json").json.get("keepers"), 30, "a view")
        pin(node.agent.pid, 0)
        web.ask("PUT", "/v1/vars/x", "x" * 64)
        bearer = ["-H", f"Authorization: Bearer {web.token}"]
        kinds = [("nginx", [f"http://127.0.0.1:{port}/x", seconds]),
                 ("GET /v1/vars/x", [web.url + "/v1/vars/x", seconds, *bearer]),
                 ("POST /v1/call/sys.echo", [web.url + "/v1/call/sys.echo", seconds, *bearer, "-s", str(post)])]
        worker = int(subprocess.run(["pgrep", "-P", str(nginx.pid)], capture_output=True, text=True).stdout)
        found = {name: [] for name, _ in kinds}
        for _ in range(rounds):
            for name, args in kinds:
                pid = worker if name == "nginx" else node.agent.pid
                before = cpu_s(pid)
                rate = wrk(*args)
                found[name].append((rate, (cpu_s(pid) - before) / (rate * seconds)))
        for name, _ in kinds:
            def ratios(i, up):
                return statistics.median((a[i] / b[i]) ** up for a, b in zip(found[name], found["nginx"]))
            print(f"{name:24} {statistics.median(r for r, _ in found[name]):9.0f}/s   {ratios(0, 1):.2f} x nginx;"
                  f" {statistics.median(c for _, c in found[name]) * 1e6:5.1f} us of processor each, by which"
                  f" {ratios(1, -1):.2f} x", flush=True)
    finally:
        cluster.end()
        processes.end()


def attacks(folder):
    """Calls from another node, echoes and memory of a node, quiet and under each attack."""
    cluster = kithtest.Cluster(folder)
    try:
        a, b = cluster.start(2, "--web", "127.0.0.1:0")
        lab = pressure.Lab(a, b)
        print(f"{'':44}  call p50   call p99   echo p50   memory")
        for name, figures in lab.figures(calls=400):
            print(f"{name:44} {figures.call_ms:6.3f} ms {figures.call_p99_ms:7.3f} ms {figures.echo_ms:7.3f} ms"
                  f" {figures.rss_bytes / (1 << 20):6.1f} MiB", flush=True)
    finally:
        cluster.end()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--only", choices=["speed", "attacks"])
    options = parser.parse_args()
    for name, run in (("speed", lambda f: speed(f, options.rounds, options.seconds)), ("attacks", attacks)):
        if options.only not in (None, name):
            continue
        if name == "speed" and not all(map(shutil.which, ("nginx", "wrk", "taskset"))):
            print("speed: skipped, it needs nginx, wrk and taskset")
            continue
        folder = pathlib.Path(tempfile.mkdtemp(prefix="k", dir="/tmp"))
        try:
            run(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
