/* The table of revisions, and the details of the one that is open. */
"use strict";

const SHOWN = 200;          // rows at first; "more" shows as many again

// --- the table of revisions

/* The parts of a revision that are shown by more than one cell. */
const loadOf = (r) => (r.in_flight || 0) + (r.parked || 0);
const troubleOf = (r) =>
  r.failure && !r.failure.parking ? "cannot start: " + r.failure.message
  : r.held_back ? "held back: " + r.held_back
  : r.failure ? "waiting: " + r.failure.message
  : r.held_by ? "held at " + r.held + " by " + r.held_by
  : "";
const stateRank = { failing: 0, starting: 1, awake: 2, stopping: 3, unknown: 4, external: 5, asleep: 6 };

const COLUMNS = [
  { id: "name", text: "Revision", key: (r) => r.name, fill: fillName },
  { id: "state", text: "State", key: (r) => stateRank[r.state] ?? 9, fill: fillState, wide: true },
  { id: "traffic", text: "Traffic", key: (r) => -(r.percent || 0), fill: fillTraffic, wide: true },
  { id: "instances", text: "Instances", key: (r) => -((r.ready || 0) + (r.starting || 0)),
    fill: fillInstances, number: true },
  { id: "in_flight", text: "In flight", key: (r) => -(r.in_flight || 0), number: true,
    fill: (e, r) => fillNumber(e, r.in_flight) },
  { id: "parked", text: "Parked", key: (r) => -(r.parked || 0), number: true,
    fill: (e, r) => fillNumber(e, r.parked, "parked") },
  { id: "rps", text: "Requests/s", key: (r) => -(r.requests_per_second || 0), number: true, wide: true,
    fill: (e, r) => fillNumber(e, r.requests_per_second) },
  { id: "latency", text: "Response", key: (r) => -(r.latency_ms || 0), number: true, wide: true,
    fill: (e, r) => setText(e, r.latency_ms ? duration(r.latency_ms) : "–") },
  { id: "why", text: "Why", key: (r) => r.why || "", fill: fillWhy, wide: true },
];

let sortBy = "name", sortDown = false, filter = "all", words = [], limit = SHOWN;
const rows = new Map(); // name → its row, and the one of its details
let shownNames = [];

function fillName(e, r) {
  if (e._button) {
    fillState(e._sub, r);
    return;
  }
  const b = e._button = make("button", "open");
  b.type = "button";
  b.setAttribute("aria-expanded", "false");
  put(b, make("span", "service", serviceOf(r.name)), make("span", "slash", "/"),
      make("span", "rev", shortOf(r.name)));
  b.addEventListener("click", () => toggle(r.name));
  e._sub = make("div", "narrow"); // there is no column for the state on a phone
  put(e, b, e._sub);
  fillState(e._sub, r);
}

function fillState(e, r) {
  if (!e._text) {
    e._text = make("span", "state");
    e.append(e._text);
  }
  setText(e._text, r.leaving ? "leaving" : r.state || "unknown");
  setData(e._text, "state", r.leaving ? "stopping" : r.state || "unknown");
  const title = STATES[r.state] || "";
  if (e._text.title !== title) e._text.title = title;
}

function fillTraffic(e, r) {
  const tags = (r.tags || []).join(", ");
  const text = r.percent === undefined ? "–" : r.percent + "%" + (r.latest_percent ? " latest" : "");
  if (e._said === text + tags) return;
  e._said = text + tags;
  e.replaceChildren();
  put(e, make("span", r.percent ? "" : "faint", text), tags ? make("span", "tag", tags) : null);
}

function fillInstances(e, r) {
  const extra = [r.starting ? r.starting + " starting" : "", r.stopping ? r.stopping + " stopping" : ""]
    .filter(Boolean).join(", ");
  const text = String(r.ready || 0), all = text + extra + r.wanted;
  if (e._said === all) return;
  e._said = all;
  e.replaceChildren();
  put(e, make("span", r.ready ? "" : "faint", text),
      r.wanted !== undefined && r.wanted !== r.ready ? make("span", "faint", " of " + r.wanted) : null);
  e.title = extra;
}

function fillNumber(e, n, mark) {
  setText(e, rough(n));
  e.classList.toggle("faint", !n);
  if (mark) e.classList.toggle(mark, !!n);
}

function fillWhy(e, r) {
  const trouble = troubleOf(r);
  setText(e, trouble || r.why || (r.external ? "its instances run elsewhere" : ""));
  e.classList.toggle("trouble", !!trouble);
  if (e.title !== e.textContent) e.title = e.textContent;
}

function isFiltered(r, by = filter) {
  if (by === "all") return true;
  if (by === "busy") return loadOf(r) > 0;
  if (by === "held") return !!(r.held_back || r.held_by);
  return r.state === by;
}

function matches(r) {
  if (!isFiltered(r)) return false;
  if (!words.length) return true;
  const s = items.service.get(serviceOf(r.name));
  const text = [r.name, r.state, r.why, troubleOf(r), (r.tags || []).join(" "),
                s ? s.hosts.join(" ") + " " + (s.owner || "") + " " + (s.cost_center || "") + " " + s.source
                  : ""].join(" ").toLowerCase();
  return words.every((w) => text.includes(w));
}

const inOrder = new Intl.Collator("en", { numeric: true }).compare; // v2 before v10

function compare(a, b) {
  const key = COLUMNS.find((c) => c.id === sortBy).key;
  const x = key(a), y = key(b);
  let d = typeof x === "string" ? inOrder(x, y) : x - y;
  if (sortDown) d = -d;
  return d || inOrder(a.name, b.name);
}

/* Rows stay where they are under a pointer, or around the focus, when only their numbers change. */
const isHeld = () => !isUrgent && sortBy !== "name" && $("rows").matches(":hover, :focus-within");

function compareHeld() {
  const at = new Map(shownNames.map((name, i) => [name, i]));
  return (a, b) => (at.get(a.name) ?? Infinity) - (at.get(b.name) ?? Infinity) || compare(a, b);
}

function makeRow(name) {
  const tr = make("tr");
  const cells = COLUMNS.map((c) => {
    const e = make(c.id === "name" ? "th" : "td", [c.number ? "number" : "", c.wide ? "wide" : "", "c-" + c.id]
      .filter(Boolean).join(" "));
    if (c.id === "name") e.scope = "row";
    tr.append(e);
    return e;
  });
  return { name, tr, cells, detail: null };
}

function fillRow(row, r) {
  COLUMNS.forEach((c, i) => c.fill(row.cells[i], r));
  setData(row.tr, "state", r.state || "unknown");
  if (row.detail) row.detail.update(r);
}

/* Lay the rows out in their order, moving only those that are not in their place. */
function layOut(list) {
  const body = $("rows");
  let at = body.firstElementChild;
  const place = (tr) => {
    if (tr === at) at = at.nextElementSibling;
    else body.insertBefore(tr, at);
  };
  for (const r of list) {
    let row = rows.get(r.name);
    if (!row) {
      rows.set(r.name, row = makeRow(r.name));
      fillRow(row, r);
    } else if (changed.has(r.name) || !row.tr.isConnected) {
      fillRow(row, r);
    }
    place(row.tr);
    if (row.detail) place(row.detail.tr);
  }
  while (at) {
    const next = at.nextElementSibling;
    at.remove();
    at = next;
  }
}

function paintRows() {
  const focused = document.activeElement;
  const all = [...items.revision.values()].filter(matches).sort(isHeld() ? compareHeld() : compare);
  const shown = all.slice(0, limit);
  for (const name of changed) {
    if (items.revision.has(name)) continue;
    const row = rows.get(name);
    if (row && row.detail) row.detail.close();
    rows.delete(name);
  }
  shownNames = shown.map((r) => r.name);
  layOut(shown);
  changed.clear();
  if (focused && focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
  const total = items.revision.size;
  setText($("count"), all.length === total ? count(total) + (total === 1 ? " revision" : " revisions")
                                           : count(all.length) + " of " + count(total));
  $("more").hidden = all.length <= limit;
  setText($("more"), "Show " + count(Math.min(SHOWN, all.length - limit)) + " more of " + count(all.length));
  $("none").hidden = all.length > 0;
  setText($("none"), !isLive ? "Waiting for the autoscaler." : total === 0 ? "There are no services yet. Name one in the conf file, or: activatorctl deploy."
                     : "No revision fits. Escape clears the search.");
}

function setSort(id) {
  if (sortBy === id) sortDown = !sortDown;
  else { sortBy = id; sortDown = false; }
  paintHeads();
  dirty.revision = true;
  schedule(true);
}

/* Numbers begin with the largest: "ascending" of their key is what people call descending. */
function paintHeads() {
  for (const c of COLUMNS) {
    const th = $("head-" + c.id);
    const isDescending = c.number || c.id === "traffic" ? !sortDown : sortDown;
    if (sortBy === c.id) th.setAttribute("aria-sort", isDescending ? "descending" : "ascending");
    else th.removeAttribute("aria-sort");
  }
}

function makeHeads() {
  for (const c of COLUMNS) {
    const th = make("th", [c.number ? "number" : "", c.wide ? "wide" : "", "c-" + c.id].filter(Boolean).join(" "));
    th.id = "head-" + c.id;
    th.scope = "col";
    const b = make("button", "sort", c.text);
    b.type = "button";
    b.addEventListener("click", () => setSort(c.id));
    th.append(b);
    $("heads").append(th);
  }
  paintHeads();
}

const FILTERS = [["all", "All"], ["busy", "Busy"], ["awake", "Awake"], ["starting", "Starting"],
                 ["failing", "Failing"], ["held", "Held"], ["asleep", "Asleep"]];

function makeFilters() {
  for (const [id, text] of FILTERS) {
    const b = make("button", "filter");
    b.type = "button";
    b.id = "filter-" + id;
    b._count = make("span", "n", "");
    put(b, make("span", "", text), b._count);
    b.setAttribute("aria-pressed", String(id === filter));
    b.addEventListener("click", () => {
      filter = id;
      limit = SHOWN;
      for (const [other] of FILTERS) $("filter-" + other).setAttribute("aria-pressed", String(other === id));
      dirty.revision = true;
      schedule(true);
      sayCount();
    });
    $("filters").append(b);
  }
}

function sayCount() {
  setTimeout(() => say($("count").textContent + "."), 300);
}

function paintFilters() {
  const n = {};
  for (const [id] of FILTERS) n[id] = 0;
  for (const r of items.revision.values())
    for (const [id] of FILTERS) n[id] += isFiltered(r, id) ? 1 : 0;
  for (const [id] of FILTERS) {
    const b = $("filter-" + id);
    setText(b._count, " " + count(n[id]));
    b.hidden = n[id] === 0 && id !== "all" && id !== filter;
  }
}

// --- the details of one revision

let openName = "";
const isNarrow = matchMedia("(max-width: 760px)"); // as in page.css
isNarrow.addEventListener("change", () => { for (const row of rows.values()) if (row.detail) row.detail.span(); });

function toggle(name) {
  const row = rows.get(name);
  if (row && row.detail) {
    row.detail.close();
    openName = "";
    history.replaceState(null, "", location.pathname + location.search);
    return;
  }
  open(name);
}

function open(name) {
  const before = rows.get(openName);
  if (before && before.detail) before.detail.close();
  const row = rows.get(name), r = items.revision.get(name);
  if (!row || !r) return;
  openName = name;
  row.detail = new Detail(row, r);
  row.tr.after(row.detail.tr);
  history.replaceState(null, "", "#" + encodeURIComponent(name));
}

function facts(list) {
  const dl = make("dl", "facts");
  for (const [name, value] of list) {
    if (value === null || value === undefined || value === "") continue;
    const d = make("div"), dd = make("dd");
    put(dd, value);
    put(d, make("dt", "", name), dd);
    dl.append(d);
  }
  return dl;
}

function tableOf(caption, heads, lines) {
  const t = make("table", "inner"), tr = make("tr"), head = make("thead"), body = make("tbody");
  put(t, make("caption", "", caption));
  heads.forEach(([text, cls]) => {
    const th = make("th", cls, text);
    th.scope = "col";
    tr.append(th);
  });
  for (const line of lines) {
    const l = make("tr");
    line.forEach((value, i) => l.append(put(make("td", heads[i][1]), value)));
    body.append(l);
  }
  return put(t, put(head, tr), body);
}

/* It asks for more than the stream has: instances, and the decisions with what they are based on. */
class Detail {
  constructor(row, r) {
    this.row = row;
    this.name = r.name;
    this.tr = make("tr", "detail");
    const td = make("td");
    this.cell = td;
    this.span();
    this.box = make("div", "box");
    this.box.setAttribute("role", "region");
    this.box.setAttribute("aria-label", "Details of " + r.name);
    put(this.tr, put(td, this.box));
    row.cells[0]._button.setAttribute("aria-expanded", "true");
    row.tr.classList.add("is-open");
    this.status = this.why = null;
    this.askedAt = 0;
    this.timer = 0;
    this.isClosed = false;
    this.paint(r);
    this.ask();
  }

  close() {
    this.isClosed = true;
    clearTimeout(this.timer);
    this.tr.remove();
    this.row.detail = null;
    this.row.tr.classList.remove("is-open");
    this.row.cells[0]._button.setAttribute("aria-expanded", "false");
  }

  /* As many as are shown: a table of fixed layout makes columns of the others, too. */
  span() {
    this.cell.colSpan = isNarrow.matches ? COLUMNS.filter((c) => !c.wide).length : COLUMNS.length;
  }

  update() {
    this.ask();
  }

  ask() {
    if (this.timer || this.isClosed) return;
    this.timer = setTimeout(async () => {
      this.askedAt = Date.now();
      const q = "revision=" + encodeURIComponent(this.name);
      try {
        const [status, why] = await Promise.all(["status?" + q, "why?format=json&" + q].map(async (url) => {
          const answer = await fetch(url);
          if (!answer.ok) throw new Error(url + ": " + answer.status);
          return answer.json();
        }));
        this.status = status.revisions[0];
        this.why = why;
        this.trouble = "";
      } catch (e) {
        this.trouble = "The details cannot be had: " + e.message;
      }
      this.timer = 0;
      const r = items.revision.get(this.name);
      if (!this.isClosed && r) this.paint(r);
    }, Math.max(0, this.askedAt + 1000 - Date.now()));
  }

  paint(r) {
    const s = items.service.get(serviceOf(r.name)), trouble = troubleOf(r), parts = [];
    parts.push(put(make("p", trouble ? "lead trouble" : "lead"),
                   trouble || (r.why ? r.wanted + " wanted: " + r.why : STATES[r.state] || "")));
    if (this.trouble) parts.push(make("p", "note", this.trouble));
    parts.push(facts([
      ["Hosts", s && s.hosts.join(", ")],
      ["Paths", s && s.paths && s.paths.join(", ")],
      ["From", s && { conf: "the conf file", store: "activatorctl", annotations: "annotations", knative: "Knative's objects" }[s.source]],
      ["Owner", s && s.owner], ["Cost center", s && s.cost_center],
      ["Traffic", r.percent === undefined ? null : r.percent + "%" + (r.tags ? ", tag " + r.tags.join(", ") : "")],
      ["Response", r.latency_ms ? duration(r.latency_ms) : null],
      ["A start takes", this.status && this.status.start_s > 0 ? duration(this.status.start_s * 1000) : null],
      ["Target load", this.status && this.status.target ? rough(this.status.target) + " an instance" : null],
      ["Learned", this.why && this.why.keep_warm], ["Slow brain", this.why && this.why.slow_brain],
      ["Schedule", this.why && this.why.schedule],
    ]));
    if (this.status && this.status.instances) parts.push(this.instances());
    if (this.why && this.why.decisions && this.why.decisions.length) parts.push(this.decisions());
    const cold = [...items.cold.values()].filter((c) => c.revision === r.name).sort((a, b) => b.at_ms - a.at_ms);
    if (cold.length) {
      const ol = make("ol", "cold");
      const longest = Math.max(...cold.slice(0, 5).map(totalOf));
      for (const c of cold.slice(0, 5)) ol.append(coldLine(c, longest, true));
      parts.push(make("h3", "", "Cold starts"), ol);
    }
    this.box.replaceChildren(...parts);
  }

  instances() {
    const list = this.status.instances;
    if (!list.length) return make("p", "note", "No instance runs.");
    return tableOf("Instances",
      [["Instance", ""], ["State", ""], ["Address", "wide"], ["In flight", "number"], ["Age", "number"],
       ["CPU", "number wide"], ["Memory", "number wide"]],
      list.map((i) => {
        const state = make("span", "state", i.answers && i.state === "starting" ? "ready" : i.state);
        state.dataset.state = state.textContent === "ready" ? "awake" : state.textContent;
        return [i.id, state, i.address ? (i.port ? i.address + ":" + i.port : i.address) : "–", count(i.in_flight),
                i.age_s === undefined ? "–" : duration(i.age_s * 1000),
                i.cpu_s === undefined ? "–" : duration(i.cpu_s * 1000),
                i.memory_bytes === undefined ? "–" : bytes(i.memory_bytes)];
      }));
  }

  decisions() {
    return tableOf("Decisions, the newest first",
      [["Since", "when"], ["Wanted", "number"], ["Why", ""], ["By", "wide inputs"]],
      this.why.decisions.slice(0, 12).map((d) => [
        age(Date.parse(d.from)), String(d.wanted), d.why || d.rule,
        Object.entries(d.inputs || {}).filter(([, v]) => typeof v === "number" && v !== 0)
          .map(([k, v]) => k + " " + +v.toPrecision(3)).join(" · ")]));
  }
}
