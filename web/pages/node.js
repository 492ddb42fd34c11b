// One node: what it is, what it does, how it got there.
import { fill, h, text } from "../lib/dom.js";
import { ago, big, bytes, clock, number, percent, rtt, running, span } from "../lib/format.js";
import { histories } from "../lib/history.js";
import { subscribe } from "../lib/stream.js";
import { badge, card, errorState, facts, loadingState, pageHead, roleButton } from "../lib/ui.js";
import { logTail } from "./logtail.js";
import { disconnect, drain, editTags, forget, tagLabels, tagLines, undrain } from "./nodeacts.js";
import { zone } from "./nodes.js";
import { sight } from "./sight.js";

export function nodePage(name) {
  const head = h("div");
  const about = h("div", null, loadingState(name));
  const cores = h("div.cores");
  const inside = h("div", { class: "cards whole" });
  const past = histories(name);
  const sees = sight(name);
  const log = logTail(name);
  const below = h("div", { hidden: true }, sees.element, log.element); // not before what is above has its height
  const [away, since, loadNow, memory, disk] = [h("span"), h("span"), h("span"), h("span"), h("span", null, "–")];
  const warmth = temperatures();
  let row = null;
  let self = "";
  head.style.display = about.style.display = below.style.display = "contents";

  // Only what has changed is drawn again: a button that is made anew under the pointer is never clicked.
  const drawn = { head: "", about: "" };
  function changed(part, ...shown) {
    const key = JSON.stringify(shown);
    if (drawn[part] === key) return false;
    drawn[part] = key;
    return true;
  }

  function draw() {
    const role = (needed, label, act, kind) => roleButton(needed, label, act, kind);
    text(away, row.id === self ? " · this node" : ` · ${rtt(row.rtt_ms)} away`);
    text(since, ago(running(row, "status_age_ms")));
    text(loadNow, row.load?.toFixed(2) ?? "–");
    text(memory, `${bytes(row.memory_available_bytes)} of ${bytes(row.memory_bytes)}`);
    if (changed("head", row.name, row.status, row.drained, row.role, row.id === self)) fill(head, pageHead([row.name, " "], {
      crumbs: [["Nodes", "#/nodes"]],
      sub: h("span", null, badge(row.status), row.drained && [" ", h("span.tag.warn", null, "drained")], away, ` · ${row.role}`),
      actions: row.role !== "node" ? [] : [
        role("operator", "Tags", () => editTags(row.name, row.tags)),
        row.drained ? role("operator", "Take back", () => undrain(row.name), "primary") : role("operator", "Drain", () => drain(row.name)),
        row.id !== self && role("operator", "Disconnect", () => disconnect(row.name)),
        (row.status === "failed" || row.status === "left") && role("admin", "Forget", () => forget(row.name), "danger"),
      ],
    }));
    if (changed("about", row.address, row.addresses, row.version, row.cpus, row.cores, row.tags, row.boot_no, row.web)) fill(about, card(null, facts([
      ["Address", row.address], zone(row.address) && ["Zone (interface)", zone(row.address)],
      row.addresses?.length > 1 && ["All addresses", row.addresses.join(", ")],
      ["Status since", since], ["Version", row.version ?? "–"],
      ["CPUs, cores", `${row.cpus ?? "–"}, ${row.cores ?? "–"}`],
      ["Memory available", memory], ["Disk available", disk],
      ["Load", loadNow], ["Tags", tagLines(row.tags).length ? h("div.tags", null, tagLabels(row.tags)) : "–"], ["Boot", big(row.boot_no)], ["Id", h("span.mono", null, row.id)],
      row.web && ["Its pages", h("a", { href: row.web }, row.web)],
    ])));
  }

  const nodes = subscribe("nodes", {}, ({ doc, rows }) => {
    if (!doc) return;
    self = doc.self;
    row = rows.find((one) => one.name === name || one.id === name);
    sees.ours(rows, self);
    if (row) draw();
    else if (changed("about", null)) fill(about, errorState({ message: `No node is called ${name}.`, hint: "It may have been forgotten, or it never joined: see Nodes." }));
  });
  const load = subscribe("resources", { node: name }, ({ doc, error }) => {
    if (error) text(cores, `Not measured: ${error.message}`);
    else drawCores(cores, doc.cpu_percent_per_core);
    if (!error) text(disk, doc.disk_bytes ? `${bytes(doc.disk_available_bytes)} of ${bytes(doc.disk_bytes)}` : "–");
    warmth.draw(doc?.temperatures);
  });
  const own = subscribe("self", { node: name }, ({ doc, error }) => {
    fill(inside, error ? h("p.quiet", null, error.message) : insides(doc));
    below.hidden = false;
  });
  return {
    title: name,
    element: [head, about, h("div.card-head", null, h("h2", null, "Resources"), past.choices), h("div.cards", null, past.element, h("section", { class: "card whole" }, h("h2", null, "Cores"), cores), warmth.element), h("div.card-head", null, h("h2", null, "Inside")), inside, below],
    tick: () => row && draw(),
    close: () => {
      nodes.close();
      load.close();
      own.close();
      past.close();
      sees.close();
      log.close();
    },
  };
}

export function drawCores(place, list) {
  if (!list) return;
  while (place.children.length > list.length) place.lastChild.remove();
  list.forEach((value, i) => {
    let one = place.children[i];
    if (!one) {
      one = h("div.core", null, h("span", null, `core ${i}`), h("span"), h("span.meter", null, h("i")));
      place.append(one);
    }
    text(one.children[1], percent(value));
    const bar = one.lastChild.firstChild;
    bar.style.transform = `scaleX(${Math.min(1, value / 100)})`;
    bar.classList.toggle("high", value > 90);
  });
}

/** What the sensors of a machine say; there only where it has some: {element, draw(list)}. */
export function temperatures() {
  const list = h("div.cores.sensors");
  const element = h("section", { class: "card whole", hidden: true }, h("h2", null, "Temperatures"), list);
  return {
    element,
    draw(all) {
      element.hidden = !all?.length;
      if (element.hidden) return;
      while (list.children.length > all.length) list.lastChild.remove();
      all.forEach(({ name, celsius, critical_celsius: critical }, i) => {
        const one = list.children[i] ?? list.appendChild(h("div.core", null, h("span"), h("span"), h("span.meter", { ariaHidden: "true" }, h("i"))));
        text(one.children[0], name);
        text(one.children[1], `${Math.round(celsius)} °C`);
        one.title = critical ? `${name}: it protects itself at ${Math.round(critical)} °C` : name;
        const bar = one.lastChild.firstChild;
        bar.style.transform = `scaleX(${Math.max(0, Math.min(1, celsius / (critical || 100)))})`;
        bar.classList.toggle("high", celsius > (critical || 100) - 10);
      });
    },
  };
}

/** Cards of what a node says of itself (verb info). */
export function insides(info) {
  const part = (title, pairs) => card(title, facts(pairs));
  const { net = {}, rpc = {}, member = {}, loop = {} } = info;
  return [
    part("Process", [["Started", clock(info.started)], ["Up for", span(running(info, "uptime_ms"))], ["Memory of its own", bytes(info.rss_bytes)], ["Pid", info.pid], info.fds_open !== undefined && ["Descriptors", `${number(info.fds_open)} of ${number(info.fds_max)}`], ["Data directory", h("span.mono", null, info.data_dir)],
      ["Port", info.port], info.web && ["Pages", h("a", { href: info.web }, info.web)]]),
    part("Loop", [["Turns", number(loop.turns)], ["Longest lag", `${loop.lag_max_ms ?? "–"} ms`], ["Workers busy", `${loop.workers_busy ?? "–"} of ${loop.workers ?? "–"}`], ["Waiting for a worker", number(loop.workers_queue)], ["Requests from threads", number(loop.requests_crossed)], ["Polls that found something", loop.spins ? percent(loop.spin_hits / loop.spins * 100) : "–"]]),
    part("Network", [["Streams open", number(net.streams_open)], ["In", bytes(net.bytes_in)], ["Out", bytes(net.bytes_out)], ["Handshakes refused", number((net.refused_version ?? 0) + (net.refused_cluster ?? 0) + (net.refused_secret ?? 0))], ["Datagrams dropped", number(net.datagrams_dropped)]]),
    part("Calls", [["Made", number(rpc.calls_made)], ["Served", number(rpc.served)], ["Waiting their turn", number(rpc.queued_now)], ["Under way", number((rpc.calls_pending ?? 0) + (rpc.serving_now ?? 0))], ["Not executed", number(rpc.calls_not_executed)], ["Unknown outcome", number(rpc.calls_unknown)], ["Retries", number(rpc.retries)]]),
    part("Membership", [["Probes", number(member.probes)], ["That failed", number(member.probe_failures)], ["Suspicions", number(member.suspicions)], ["Failures seen", number(member.failures)], ["Health", member.health === 0 ? "good" : `slowed ×${(member.health ?? 0) + 1}`]]),
    (info.modules ?? []).length ? card("Modules", h("ul.problems", null, info.modules.map((one) => h("li", null, h("span"), h("span", null, h("b", null, one.name), ` ${one.version} – ${one.description}`))))) : null,
  ];
}
