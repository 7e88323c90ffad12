/* The lists beside the table: cold starts, decisions, what needs attention, rollouts, totals,
 * owners, activators, usage. */
"use strict";

const GRAPH_POINTS = 240;   // one a second
const USAGE_EVERY_MS = 30000;

// --- cold starts

const totalOf = (c) => Object.values(c.phases_ms).reduce((a, b) => a + b, 0);

function coldLine(c, longest, isShort) {
  const li = make("li"), total = totalOf(c), bar = make("div", "bar");
  const parts = Object.entries(c.phases_ms).filter(([, ms]) => ms > 0);
  bar.setAttribute("role", "img");
  bar.setAttribute("aria-label", parts.map(([p, ms]) => (PHASES[p] ? PHASES[p][0] : p) + " " + duration(ms)).join(", "));
  bar.style.width = Math.max(2, (100 * total) / longest) + "%";
  for (const [p, ms] of parts) {
    const s = make("span", "phase p-" + (PHASES[p] ? p : "other"));
    s.style.flexGrow = String(ms);
    s.title = (PHASES[p] ? PHASES[p][1] : p) + ": " + duration(ms);
    bar.append(s);
  }
  if (!isShort) {
    const b = make("button", "open", c.revision);
    b.type = "button";
    b.addEventListener("click", () => show(c.revision));
    li.append(b);
  }
  return put(li, make("span", "total", duration(total)), age(c.at_ms), put(make("div", "track"), bar));
}

/* A cold start that is under way. */
function waitLine(r) {
  const li = make("li", "waiting"), b = make("button", "open", r.name);
  b.type = "button";
  b.addEventListener("click", () => show(r.name));
  return put(li, b, age(r.woken_ms, (ms) => duration(Math.max(0, now() - ms))),
             make("span", "parked", count(r.parked) + " parked"), put(make("div", "track"), make("div", "bar")));
}

let coldSaid = "";

function paintCold(isNew) {
  const waiting = [...items.revision.values()].filter((r) => r.woken_ms && r.parked)
    .sort((a, b) => a.woken_ms - b.woken_ms).slice(0, 12);
  const said = waiting.map((r) => r.name + r.woken_ms + r.parked).join();
  if (!isNew && said === coldSaid) return;
  coldSaid = said;
  const list = [...items.cold.values()].sort((a, b) => b.at_ms - a.at_ms).slice(0, 12);
  const longest = Math.max(1, ...list.map(totalOf));
  $("cold-list").replaceChildren(...waiting.map(waitLine), ...list.map((c) => coldLine(c, longest)));
  $("cold-none").hidden = list.length + waiting.length > 0;
  $("legend").hidden = list.length === 0;
}

function makeLegend() {
  for (const [id, [text, long]] of Object.entries(PHASES)) {
    const li = make("li");
    li.title = long;
    put(li, make("span", "phase p-" + id), text);
    $("legend").append(li);
  }
}

/* Show a revision in the table, whatever the search says. */
function show(name) {
  if (!items.revision.has(name)) return;
  $("search").value = "";
  words = [];
  if (!isFiltered(items.revision.get(name))) $("filter-all").click();
  limit = Math.max(limit, items.revision.size > 2000 ? SHOWN : items.revision.size);
  dirty.revision = true;
  paint();
  const row = rows.get(name);
  if (!row) { $("search").value = name; search(); paint(); }
  if (!rows.get(name)) return;
  if (!rows.get(name).detail) open(name);
  rows.get(name).cells[0]._button.focus({ preventScroll: true });
  rows.get(name).tr.scrollIntoView({ block: "start" });
}

// --- decisions

function paintDecisions() {
  const list = [...items.decision.values()].sort((a, b) => b.at_ms - a.at_ms).slice(0, 30);
  $("decision-list").replaceChildren(...list.map((d) => {
    const li = make("li"), b = make("button", "open", d.revision);
    b.type = "button";
    b.addEventListener("click", () => show(d.revision));
    const change = d.from === undefined || d.from === d.wanted ? String(d.wanted) : d.from + " → " + d.wanted;
    const step = make("span", "change", change);
    step.dataset.way = d.from === undefined || d.from === d.wanted ? "same" : d.wanted > d.from ? "up" : "down";
    return put(li, b, step, age(d.at_ms), make("p", "reason", d.why));
  }));
  $("decisions-none").hidden = list.length > 0;
}

// --- what needs attention

let attentionBefore = new Set();

function attentionList() {
  const list = [];
  for (const r of items.revision.values()) {
    const trouble = troubleOf(r);
    if (!trouble) continue;
    const isBad = r.failure && !r.failure.parking;
    list.push({ key: r.name, rank: isBad ? 0 : r.held_back ? 1 : 2, kind: isBad ? "failing" : "held",
                revision: r.name, text: trouble, at: isBad ? r.failure.since_ms : 0,
                more: r.parked ? count(r.parked) + " parked" : "" });
  }
  for (const p of items.process.values()) {
    if (!p.activators.length)
      list.push({ key: "none", rank: 0, kind: "failing", text: "No activator is connected: nothing is scaled down, and no request is seen." });
    for (const a of p.activators)
      if (a.silent) list.push({ key: "a" + a.id, rank: 1, kind: "held", text: "The activator " + a.id + " reports nothing: nothing is scaled down." });
    if (p.conf_differs)
      list.push({ key: "conf", rank: 2, kind: "held", text: "The conf file has changed since it was read; activatorctl reload takes it over." });
    if (p.stopping) list.push({ key: "stop", rank: 0, kind: "held", text: "The autoscaler is stopping." });
  }
  for (const s of items.service.values())
    if (s.rollout && s.rollout.state === "aborted" && now() - s.rollout.ended * 1000 < 86400000)
      list.push({ key: "r" + s.name, rank: 1, kind: "held", revision: s.name + "/" + s.rollout.to,
                  text: "the rollout went back at " + s.rollout.percent + "%: " + s.rollout.reason,
                  at: s.rollout.ended * 1000 });
  return list.sort((a, b) => a.rank - b.rank || inOrder(a.key, b.key));
}

function paintAttention() {
  const list = attentionList(), keys = new Set(list.map((x) => x.key));
  for (const x of list)
    if (!attentionBefore.has(x.key)) say((x.revision ? x.revision + ": " : "") + x.text);
  attentionBefore = keys;
  document.title = (list.length ? "(" + list.length + ") " : "") + "activator";
  $("attention").hidden = !list.length;
  const shown = list.slice(0, 8);
  $("attention-list").replaceChildren(...shown.map((x) => {
    const li = make("li");
    li.dataset.kind = x.kind;
    if (x.revision) {
      const b = make("button", "open", x.revision);
      b.type = "button";
      b.addEventListener("click", () => show(x.revision));
      li.append(b);
    }
    return put(li, make("span", "text", x.text), x.more ? make("span", "parked", x.more) : null,
               x.at ? age(x.at) : null);
  }));
  if (list.length > shown.length)
    $("attention-list").append(make("li", "faint", "and " + count(list.length - shown.length) + " more; the filters Failing and Held show all"));
}

// --- rollouts

const activeRollout = (s) => s.rollout && (s.rollout.state === "running" || s.rollout.state === "paused");

function sideText(name, side) {
  return side ? name + ": " + count(side.requests) + " requests, " + count(side.errors) + " errors, p99 " + duration(side.p99_ms) : "";
}

function paintRollouts() {
  const list = [...items.service.values()].filter((s) => activeRollout(s));
  $("rollouts").hidden = !list.length;
  $("rollout-list").replaceChildren(...list.map((s) => {
    const ro = s.rollout, li = make("li"), bar = make("div", "progress"), fill = make("span");
    const b = make("button", "open", s.name + "/" + ro.to);
    b.type = "button";
    b.addEventListener("click", () => show(s.name + "/" + ro.to));
    bar.setAttribute("role", "progressbar");
    bar.setAttribute("aria-valuemin", "0");
    bar.setAttribute("aria-valuemax", "100");
    bar.setAttribute("aria-valuenow", String(ro.percent));
    bar.setAttribute("aria-label", "Traffic of " + s.name + "/" + ro.to);
    fill.style.width = ro.percent + "%";
    bar.append(fill);
    for (const step of ro.steps || []) {
      const mark = make("i");
      mark.style.left = step + "%";
      bar.append(mark);
    }
    return put(li, b, make("span", "percent", ro.percent + "%"), make("span", "state", ro.held ? "held" : ro.state), bar,
               make("p", "reason", ro.waits_for || ""),
               make("p", "note", [sideText("new", ro.new), sideText("old", ro.old)].filter(Boolean).join("  ·  ")));
  }));
}

// --- totals

const graph = [];

function sums() {
  const t = { rps: 0, flight: 0, parked: 0, ready: 0, starting: 0 };
  for (const r of items.revision.values()) {
    t.rps += r.requests_per_second || 0;
    t.flight += r.in_flight || 0;
    t.parked += r.parked || 0;
    t.ready += r.ready || 0;
    t.starting += r.starting || 0;
  }
  return t;
}

function paintTotals() {
  const t = sums();
  setText($("total-rps"), rough(t.rps));
  setText($("total-flight"), count(t.flight));
  setText($("total-parked"), count(t.parked));
  $("total-parked").classList.toggle("parked", t.parked > 0);
  setText($("total-ready"), count(t.ready) + (t.starting ? " +" + count(t.starting) : ""));
  $("total-ready").title = t.starting ? t.starting + " starting" : "";
}

function paintGraph() {
  const points = Math.max(60, graph.length), from = points - graph.length; // it grows from a minute on
  const high = Math.max(1, ...graph), w = 240 / (points - 1);
  const at = graph.map((v, i) => ((from + i) * w).toFixed(1) + "," + (38 - (35 * v) / high).toFixed(1));
  if (at.length < 2) return;
  $("graph").classList.toggle("short", graph.length < 2);
  $("graph-line").setAttribute("d", "M" + at.join("L"));
  $("graph-area").setAttribute("d", "M" + (from * w).toFixed(1) + ",40L" + at.join("L") + "L240,40Z");
  $("graph").setAttribute("aria-label", "Requests a second over the last " + duration(graph.length * 1000) +
                          ": now " + rough(graph[graph.length - 1]) + ", at most " + rough(high));
}

// --- the process, the owners and the activators

function showOwner(name) {
  $("search").value = name;
  search();
  $("search").focus({ preventScroll: true });
  $("revisions").scrollIntoView({ block: "start" });
}

function paintProcess() {
  const p = [...items.process.values()][0];
  if (!p) return;
  setText($("about"), p.version + " · driver " + p.driver + " · " + count(p.services) +
          (p.services === 1 ? " service" : " services") + (p.max_instances ? " · at most " + count(p.max_instances) + " instances" : ""));
  $("activator-list").replaceChildren(...p.activators.map((a) => {
    const li = make("li"), state = make("span", "state", a.silent ? "silent" : a.leaving ? "leaving" : "connected");
    state.dataset.state = a.silent ? "failing" : a.leaving ? "stopping" : "awake";
    return put(li, make("strong", "", a.id), state, make("span", "faint", a.version || ""),
               put(make("span", "faint", "since "), age(a.since_ms)));
  }));
  $("owners").hidden = !p.owners.length;
  $("owner-list").replaceChildren(...p.owners.map((o) => {
    const li = make("li"), b = make("button", "open", o.name), isFull = o.wanted > o.max_instances;
    b.type = "button";
    b.title = "Show the revisions of this owner";
    b.addEventListener("click", () => showOwner(o.name));
    put(li, b, make("span", "", count(o.instances) + " of at most " + count(o.max_instances) + " instances"));
    return isFull ? put(li, make("span", "full", count(o.wanted) + " are wanted: the others wait")) : li;
  }));
  if (!p.activators.length) $("activator-list").append(make("li", "note", "None is connected."));
}

// --- usage

let usagePrice = 0, usageAsked = 0, usageTimer = 0;

function usageRow(u) {
  const saved = u.always_one_s > 0 ? 1 - u.instance_s / u.always_one_s : 0;
  return { name: u.service, requests: u.requests, cold: u.cold_starts || 0, waited_s: u.cold_wait_s || 0,
           hours: u.instance_s / 3600, one: u.always_one_s / 3600, peak: u.always_peak_s / 3600, saved,
           cost: u.cost, one_cost: u.always_one_cost };
}

const USAGE_COLUMNS = [
  ["Service", "", (u) => u.name], ["Requests", "number", (u) => count(u.requests)],
  ["Waited for a start", "number wide", (u) => count(u.cold)],
  ["How long, each", "number wide", (u) => (u.cold ? duration((u.waited_s * 1000) / u.cold) : "–")],
  ["Instance-hours", "number", (u) => hours(u.hours)],
  ["Always one", "number wide", (u) => hours(u.one)], ["Always the peak", "number wide", (u) => hours(u.peak)],
  ["Saved", "number saved", (u) => savedText(u)],
];
const hours = (h) => (h === 0 ? "0" : h < 0.01 ? "<0.01" : h < 10 ? h.toFixed(2) : h.toFixed(1));
const savedText = (u) => (u.one <= 0 ? "–" : Math.round(100 * u.saved) + "%" +
  (usagePrice && Math.abs(u.one_cost - u.cost) >= 0.005 ? " · " + money(u.one_cost - u.cost) : ""));
const money = (x) => (Math.abs(x) < 100 ? x.toFixed(2) : count(x));

async function askUsage() {
  clearTimeout(usageTimer);
  try {
    const answer = await fetch("usage?by=service&format=json");
    if (!answer.ok) throw new Error((await answer.text()).trim());
    const body = await answer.json();
    usagePrice = body.instance_hour_price || 0;
    paintUsage(body.rows.map(usageRow));
    setText($("usage-note"), "");
  } catch (e) {
    setText($("usage-note"), "Usage cannot be shown: " + e.message);
  }
  clearTimeout(usageTimer); // another one may have been under way
  if (!isAway) usageTimer = setTimeout(askUsage, usageAsked++ ? USAGE_EVERY_MS : USAGE_EVERY_MS / 6);
}

function paintUsage(list) {
  const all = { name: "All services", requests: 0, cold: 0, waited_s: 0, hours: 0, one: 0, peak: 0, cost: 0, one_cost: 0 };
  for (const u of list) {
    for (const k of ["requests", "cold", "waited_s", "hours", "one", "peak"]) all[k] += u[k];
    all.cost += u.cost || 0;
    all.one_cost += u.one_cost || 0;
  }
  all.saved = all.one > 0 ? 1 - all.hours / all.one : 0;
  setText($("total-saved"), savedText(all));
  list.sort((a, b) => b.hours - a.hours || b.requests - a.requests || inOrder(a.name, b.name));
  const rowsOf = (u, cls) => {
    const tr = make("tr", cls);
    USAGE_COLUMNS.forEach(([, c, text], i) => {
      const e = make(i ? "td" : "th", c, text(u));
      if (!i) e.scope = "row";
      tr.append(e);
    });
    return tr;
  };
  $("usage-rows").replaceChildren(rowsOf(all, "sum"), ...list.slice(0, 20).map((u) => rowsOf(u, "")));
  $("usage-table").hidden = false;
}

function makeUsageHeads() {
  for (const [text, cls] of USAGE_COLUMNS) {
    const th = make("th", cls, text);
    th.scope = "col";
    $("usage-heads").append(th);
  }
}
