"""Hosts on one bridge, in network namespaces made here: joining by token, cutting, healing."""
import pytest

from kithtest import SLOW, kith, wait_for
from netns import Net, start_in, why_not


@pytest.fixture
def net(request):
    reason = why_not()
    if reason:
        pytest.skip(reason)
    made = Net(getattr(request, "param", 4))
    yield made
    made.end()


def start_all(net, processes, short_dir, cluster="bridge"):
    """An agent on every host, h1 and so on, of one cluster made by tokens."""
    nodes = []
    for i in range(1, len(net.hosts) + 1):
        folder = short_dir / str(i)
        if i == 1:
            kith("init", "--name", "h1", "--cluster", cluster, "--data-dir", folder)
        else:
            token = kith("invite", "--data-dir", nodes[0].dir).text.strip()
            kith("join", token, "--name", f"h{i}", "--data-dir", folder)
        nodes.append(start_in(net, processes, folder, i))
    return nodes


def agree(nodes, wanted, timeout=60):
    def agreed():
        for node in nodes:
            seen = {name: e["status"] for name, e in node.nodes().items()}
            assert seen == wanted, f"{node} sees {seen}"
        return True
    wait_for(agreed, timeout, f"{wanted}")


@pytest.mark.plain
def test_four_hosts_join_by_token_and_survive_a_cut_link(net, processes, short_dir):
    nodes = start_all(net, processes, short_dir)
    everyone = {node.name: "alive" for node in nodes}
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
    wait_for(lambda: nodes[0].kith("call", "sys.echo", "hi", "--node", "h3", check=None).text == "hi", 60,
             "a call to h3 is answered")

    def all_reached():
        links = nodes[0].kith("reach", "--json").json["links"]
        assert len(links) == 12 and all(link["ok"] for link in links), links
        return True
    wait_for(all_reached, 60, "everyone reaches everyone")
    for node in nodes:
        assert node.agent.stop() == 0


@pytest.mark.plain  # leases; their cores have worlds of their own
@pytest.mark.parametrize("net", [3], indirect=True)
def test_of_a_cluster_cut_in_two_and_one_the_two_go_on(net, processes, short_dir):
    a, b, c = nodes = start_all(net, processes, short_dir)
    everyone = {node.name: "alive" for node in nodes}
    agree(nodes, everyone)

    def settled():
        return all(n.kith("view", "--json").json["failures_tolerated"] >= 1 for n in nodes)
    wait_for(settled, 60, "one failure is survived")
    a.kith("var", "set", "x", "before")
    a.kith("var", "incr", "visits", "1", "--policy", "available")
    wait_for(lambda: c.kith("var", "get", "visits", check=None).text == "1\n", what="available here, too")
    assert c.kith("var", "get", "x").text == "before\n"

    net.cut(3)
    # The majority goes on by itself ...
    wait_for(lambda: a.kith("var", "set", "x", "after", "--timeout", "2s", check=None).code == 0, 60,
             "the majority writes")
    assert b.kith("var", "get", "x").text == "after\n"
    assert b.kith("lock", "run", "l", "--wait", "20s", "--", "echo", "in").text == "in\n"

    # ... and the single node says who is missing, instead of an old value.
    def refused():
        for ask in (("var", "get", "x"), ("var", "set", "x", "mine"), ("lock", "run", "l", "--", "true")):
            got = c.kith(*ask, "--timeout", "5s", check=None) if ask[0] == "var" else \
                c.kith(*ask, check=None)
            assert got.code == 9, got
            assert "h1" in got.error and "h2" in got.error, got
            assert "before" not in got.text
        return True
    wait_for(refused, 60, "exit code 9 with the names")
    status = c.kith("status", check=None)
    assert status.code != 0 and "h1" in status.text + status.error

    # Calls and available variables work on both sides.
    assert c.kith("call", "sys.echo", "hi").text == "hi"
    assert a.kith("call", "sys.echo", "hi", "--node", "h2").text == "hi"
    a.kith("var", "incr", "visits", "5")
    c.kith("var", "incr", "visits", "3")
    assert c.kith("var", "get", "visits").text == "4\n"
    assert b.kith("var", "get", "visits").text in ("1\n", "6\n")

    net.heal(3)
    agree(nodes, everyone, 120)
    wait_for(lambda: c.kith("var", "get", "x", check=None).text == "after\n", 60, "it catches up")
    for node in nodes:
        wait_for(lambda: node.kith("var", "get", "visits").text == "9\n", 60, "both sides are one")
    wait_for(settled, 60 / SLOW, "one failure is survived again")
    c.kith("var", "set", "x", "again")
    assert a.kith("var", "get", "x").text == "again\n"
    assert c.kith("lock", "run", "l", "--wait", "20s", "--", "echo", "in").text == "in\n"
