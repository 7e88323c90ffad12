/* What all parts of the status page use: elements, numbers and times, and what the server has sent.
 * The scripts of the page follow each other in this order: base, revisions, lists, page. */
"use strict";

const PHASES = {
  signal: ["signal", "The activator asks the autoscaler"],
  ack: ["decision", "The autoscaler decides and answers"],
  address: ["start", "An instance gets an address"],
  connect: ["program", "The program starts, until it accepts connections"],
  send: ["send", "The request is sent"],
  first_byte: ["answer", "The program works, until the first byte of its answer"],
};
const STATES = {
  awake: "Instances answer",
  starting: "Instances start",
  failing: "Instances cannot be started",
  stopping: "The last instances stop",
  asleep: "No instance runs; the next request starts one",
  external: "Its instances run elsewhere; none answers",
  unknown: "The driver has not shown it yet",
};

const $ = (id) => document.getElementById(id);

/* Make an element: its class, its text, its children. */
function make(tag, name, text) {
  const e = document.createElement(tag);
  if (name) e.className = name;
  if (text !== undefined && text !== null) e.textContent = text;
  return e;
}

function put(parent, ...children) {
  parent.append(...children.filter((c) => c !== null && c !== undefined));
  return parent;
}

/* Set only what differs, so that nothing is laid out anew for nothing. */
function setText(e, text) {
  if (e.textContent !== text) e.textContent = text;
}

function setData(e, key, value) {
  if (e.dataset[key] !== value) e.dataset[key] = value;
}

// --- numbers and times

const count = (n) => (n === undefined || n === null ? "–" : Math.round(n).toLocaleString("en"));

function rough(n) {
  if (n === undefined || n === null) return "–";
  return n === 0 ? "0" : n < 10 ? String(+n.toPrecision(2)) : count(n);
}

function duration(ms) {
  if (ms === undefined || ms === null) return "–";
  if (ms < 1) return ms === 0 ? "0 ms" : ms < 0.1 ? "<0.1 ms" : ms.toFixed(1) + " ms";
  if (ms < 1000) return +ms.toPrecision(3) + " ms";
  if (ms < 60000) return +(ms / 1000).toPrecision(3) + " s";
  if (ms < 3600000) return Math.floor(ms / 60000) + " min";
  if (ms < 48 * 3600000) return Math.floor(ms / 3600000) + " h";
  return Math.floor(ms / 86400000) + " d";
}

let clockOffset = 0; // of the server's clock from ours
const now = () => Date.now() + clockOffset;
const ago = (ms) => {
  const d = Math.max(0, now() - ms);
  return d < 1500 ? "now" : duration(d < 60000 ? Math.floor(d / 1000) * 1000 : d) + " ago";
};

/* An age that goes on by itself: tick() renews its text. */
function age(ms, render) {
  const e = make("time");
  e.dateTime = new Date(ms).toISOString();
  e.title = new Date(ms).toLocaleString();
  e._at = ms;
  e._render = render || ago;
  e.textContent = e._render(ms);
  e.classList.add("age");
  return e;
}

function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i++; }
  return +n.toPrecision(3) + " " + units[i];
}

// --- what the server has sent

const items = { process: new Map(), service: new Map(), revision: new Map(),
                decision: new Map(), cold: new Map() };
const changed = new Set(); // names of revisions, since the last paint
const dirty = { revision: false, service: false, process: false, decision: false, cold: false };

const serviceOf = (name) => name.slice(0, name.indexOf("/"));
const shortOf = (name) => name.slice(name.indexOf("/") + 1);

function take(item) {
  if (item.gone !== undefined) {
    const at = item.gone.indexOf(" ");
    const kind = item.gone.slice(0, at), name = item.gone.slice(at + 1);
    if (!items[kind]) return;
    items[kind].delete(name);
    if (kind === "revision") changed.add(name);
    dirty[kind] = true;
    return;
  }
  if (!items[item.k]) return; // of a later version
  stale.delete(item.k + " " + item.name);
  items[item.k].set(item.name, item);
  if (item.k === "revision") changed.add(item.name);
  dirty[item.k] = true;
}

/* All items will be sent again: what has not come soon is gone.  Until then the old ones stay, so that
 * nothing that somebody reads vanishes for a moment. */
const stale = new Set(), STALE_MS = 2500;
let staleTimer = 0;

function beginAnew() {
  for (const kind of Object.keys(items))
    for (const name of items[kind].keys()) stale.add(kind + " " + name);
  clearTimeout(staleTimer);
  staleTimer = setTimeout(() => {
    for (const key of stale) take({ gone: key });
    stale.clear();
    schedule();
  }, STALE_MS);
}
