"""What people say of nodes: tags, and that one is drained. On real nodes, across cuts and restarts."""
import json

from kithtest import BUILD, wait_for


def nodes_of(node):
    return node.nodes()


def tags(node, name):
    return nodes_of(node)[name]["tags"]


def drained(node, name):
    return nodes_of(node)[name]["drained"]


def serve(processes, node, name, *command):
    server = processes.start([BUILD / "kith", "fn", "serve", name, "--data-dir", node.dir, "--", *command])
    server.wait_log(f"serving {name}")
    return server


def known(node, name, count):
    wait_for(lambda: any(f["name"] == name and len(f["nodes"]) == count
                         for f in node.kith("fn", "ls", "--json").json["functions"]), 60, f"{name} is known")


def test_tags_are_known_everywhere_and_select_nodes(cluster):
    a, b = cluster.start(2)
    assert a.kith("tag", "set", "zone=b", "rack=4").error.strip() == "n1: rack=4 zone=b"
    assert a.kith("tag", "set", "--node", "n2", "zone=c", "note=it = new", "--json").json["tags"] == {
        "zone": "c", "note": "it = new"}
    for node in (a, b):
        wait_for(lambda: tags(node, "n1") == {"zone": "b", "rack": "4"}
                 and tags(node, "n2") == {"zone": "c", "note": "it = new"}, 60, "both know the tags")
    names = [n["name"] for n in b.kith("nodes", "--tag", "zone=b", "--json").json["nodes"]]
    assert names == ["n1"]
    assert [n["name"] for n in b.kith("nodes", "--tag", "zone", "--tag", "note", "--json").json["nodes"]] == ["n2"]
    assert b.kith("nodes", "--tag", "zone=", "--json").json["nodes"] == []
    assert "rack=4 zone=b" in b.kith("nodes").text
    assert b.kith("call", "sys.echo", "x", "--all", "--tag", "zone").lines in (["n1: x", "n2: x"], ["n2: x", "n1: x"])
    assert b.kith("call", "sys.echo", "x", "--all", "--tag", "zone=b", "--tag", "rack").lines == ["n1: x"]
    assert "tags" in b.kith("call", "sys.echo", "x", "--all", "--tag", "zone=d", check=4).error
    for _ in range(4):
        assert b.kith("call", "sys.echo", "x", "--tag", "zone=b", "--json").json["node_name"] == "n1"
        assert a.kith("call", "sys.echo", "x", "--tag", "note", "--any", "--json").json["node_name"] == "n2"
    assert "tags" in b.kith("call", "sys.echo", "x", "--tag", "zone=d", check=4).error
    b.kith("call", "sys.echo", "x", "--tag", "zone=b", "--node", "n1", check=2)
    assert "n2  " in b.kith("tag", "ls", "n2").text and "n1" not in b.kith("tag", "ls", "n2").text
    b.kith("tag", "rm", "rack", "--node", "n1")
    wait_for(lambda: tags(a, "n1") == {"zone": "b"}, 60, "the tag is gone")
    assert {n["name"]: n["tags"] for n in a.kith("tag", "ls", "--json").json["nodes"]} == {
        "n1": {"zone": "b"}, "n2": {"zone": "c", "note": "it = new"}}


def test_a_call_by_tag_goes_to_another_node_when_its_own_is_gone_or_drained(cluster):
    a, b, c = cluster.start(3)
    for node in (b, c):
        node.kith("tag", "set", "gpu=1")
    wait_for(lambda: tags(a, "n2") and tags(a, "n3"), 60, "a knows the tags")
    call = ("call", "sys.echo", "x", "--tag", "gpu", "--idempotent", "--json")
    wait_for(lambda: {a.kith(*call).json["node_name"] for _ in range(8)} == {"n2", "n3"}, 60, "both are chosen")
    b.kith("drain", "n2")
    wait_for(lambda: drained(a, "n2"), 60, "a knows")
    assert {a.kith(*call).json["node_name"] for _ in range(8)} == {"n3"}
    b.kith("undrain", "n2")
    wait_for(lambda: not drained(a, "n2"), 60, "a knows")
    c.kill()
    assert [a.kith(*call, timeout=60).json["node_name"] for _ in range(8)] == ["n2"] * 8
    b.kith("drain", "n2")
    wait_for(lambda: drained(a, "n2"), 60, "a knows")
    wait_for(lambda: a.status(c) == "failed", 60, "n3 is failed")
    assert "drained" in a.kith(*call, check=4).error


def test_a_map_by_tag_uses_the_nodes_that_have_it(cluster):
    a, b, c = cluster.start(3)
    b.kith("tag", "set", "gpu=1")
    wait_for(lambda: tags(a, "n2"), 60, "a knows the tag")
    items = "".join(f"{i}\n" for i in range(40))
    out = a.kith("map", "sys.echo", "--tag", "gpu=1", "--json", input=items).text
    results = [json.loads(line) for line in out.splitlines()]
    assert {one["node_name"] for one in results if not one.get("summary")} == {"n2"} and results[-1]["done"] == 40
    assert "tags" in a.kith("map", "sys.echo", "--tag", "gpu=2", check=4, input=items).error


def test_what_is_no_tag_is_refused_and_nothing_changes(cluster):
    a = cluster.start(1)[0]
    assert "KEY=VALUE" in a.kith("tag", "set", "zone", check=2).error
    assert "key of a tag" in a.kith("tag", "set", "good=1", "no/key=2", check=2).error
    assert "control character" in a.kith("tag", "set", "good=1", "bad=a\nb", check=2).error
    assert "255" in a.kith("tag", "set", "long=" + "x" * 256, check=1).error
    a.kith("tag", "set", "k" * 64 + "=1", check=2)
    assert "no tag none" in a.kith("tag", "rm", "none", check=4).error
    assert "nobody" in a.kith("tag", "set", "a=b", "--node", "nobody", check=4).error
    assert tags(a, "n1") == {}
    # At the limits.
    a.kith("tag", "set", "k" * 63 + "=" + "x" * 255, "empty=")
    a.kith("tag", "set", *[f"t{i}=1" for i in range(30)])
    assert len(tags(a, "n1")) == 32 and tags(a, "n1")["empty"] == ""
    assert "at most 32" in a.kith("tag", "set", "one=more", check=1).error
    a.kith("tag", "set", "t0=2")
    a.kith("tag", "rm", "t1")
    a.kith("tag", "set", "one=more")
    assert len(tags(a, "n1")) == 32


def test_labels_outlive_the_cluster_and_go_with_the_node(cluster):
    a, b = cluster.start(2)
    a.kith("tag", "set", "--node", "n2", "zone=c")
    a.kith("drain", "n2")
    wait_for(lambda: tags(b, "n2") == {"zone": "c"} and drained(b, "n2"), 60, "n2 knows")
    for node in (a, b):
        node.stop()
    a.start()
    b.start()
    cluster.wait_alive()
    for node in (a, b):
        wait_for(lambda: tags(node, "n2") == {"zone": "c"} and drained(node, "n2"), 60, "it is remembered")
    b.stop()
    wait_for(lambda: a.status("n2") in ("left", "failed"), 60, "n2 is gone")
    a.kith("forget", "n2")
    wait_for(lambda: a.kith("tag", "ls", "--json").json["nodes"] == [], 60, "nothing is left of it")
    b.start()
    cluster.wait_alive()
    wait_for(lambda: tags(b, "n2") == {} and not drained(b, "n2"), 60, "it is told so")


def test_a_drained_node_gets_nothing_by_choice_and_serves_who_names_it(cluster, processes):
    a, b, c = cluster.start(3)
    for node, name in ((b, "b"), (c, "c")):
        serve(processes, node, "who", "echo", name)
    known(a, "who", 2)
    said = a.kith("drain", "n2", "--json").json
    assert said["drained"] and said["name"] == "n2"
    for node in (a, b, c):
        wait_for(lambda: drained(node, "n2"), 60, "all know")
        assert {node.kith("call", "who").text.strip() for _ in range(12)} == {"c"}
    assert a.kith("call", "who", "--node", "n2").text.strip() == "b"
    assert sorted(line.split(": ")[1] for line in a.kith("call", "who", "--all").lines) == ["b", "c"]
    assert "alive, drained" in a.kith("nodes").text
    assert "drained, so nothing new goes there: n2" in a.kith("status").text
    assert a.kith("status", "--json").json["drained"] == 1
    assert a.kith("drain", "n2", "--json").json["drained"]  # again is no error
    a.kith("drain", "n3")
    wait_for(lambda: drained(b, "n3"), 60, "all know")
    only = b.kith("call", "who", check=4)
    assert "drained" in only.error and "kith undrain" in only.error
    b.kith("undrain", "n2")
    wait_for(lambda: not drained(a, "n2"), 60, "a knows")
    assert a.kith("call", "who").text.strip() == "b"
    types = [json.loads(line)["type"] for line in a.kith("events", "--json").lines]
    assert types.count("drained") == 2 and types.count("undrained") == 1
    assert "nobody" in a.kith("drain", "nobody", check=4).error


def test_a_map_sends_a_drained_node_nothing_new(cluster, processes, short_dir):
    a, b, c = cluster.start(3)
    script = ("n=$(cat); echo $n >> {0}/{1}; "
              "while [ ! -e {0}/go-{1} ]; do sleep 0.05; done; echo $n")
    for node, name in ((b, "b"), (c, "c")):
        serve(processes, node, "slow", "sh", "-c", script.format(short_dir, name))
    known(a, "slow", 2)
    items = "".join(f"{i}\n" for i in range(40))
    (short_dir / "items").write_text(items)
    went = processes.start([BUILD / "kith", "map", "slow", "--in", short_dir / "items", "--per-node", "2",
                            "--data-dir", a.dir])

    def given(name):
        path = short_dir / name
        return path.read_text().split() if path.exists() else []

    wait_for(lambda: given("b") and given("c"), 60, "both run items")
    a.kith("drain", "n2")
    wait_for(lambda: drained(a, "n2"), 60, "a knows")
    (short_dir / "go-b").touch()  # what it has goes on: two at most were sent to it
    (short_dir / "go-c").touch()
    assert went.wait(120) == 0
    assert 1 <= len(given("b")) <= 2 and len(given("b")) + len(given("c")) == 40
    assert {str(i) for i in range(40)} <= set(went.log.split())
    # The next one begins without it, and goes on with it once it is taken back.
    (short_dir / "go-c").unlink()
    before = len(given("b"))
    went = processes.start([BUILD / "kith", "map", "slow", "--in", short_dir / "items", "--per-node", "2",
                            "--data-dir", a.dir])
    wait_for(lambda: len(given("c")) > 40 - before, 60, "c runs items")
    assert len(given("b")) == before
    a.kith("undrain", "n2")
    wait_for(lambda: len(given("b")) > before, 60, "b runs items again")
    (short_dir / "go-c").touch()
    assert went.wait(120) == 0


def test_labels_are_no_variables_for_others(cluster):
    a = cluster.start(1)[0]
    a.kith("tag", "set", "zone=b")
    a.kith("drain", "n1")
    assert a.kith("var", "ls", "--json").json["vars"] == []
