/* The status page: it keeps what /events sends, and shows it.  All that users have written is set as
 * text, never as HTML.  It changes nothing at the server. */
"use strict";

const LOST_MS = 15000;      // without an event for so long, the connection is taken for dead
const SAY_EVERY_MS = 5000;  // to screen readers
const AWAY_MS = 30000;      // hidden for so long, the page gives its connection back

// --- the connection

let source = null, heardAt = 0, helloAt = 0, retryMs = 1000, isLive = false;
let isAway = false, awayTimer = 0;

function setLink(state, text) {
  setData($("link"), "state", state);
  setText($("link"), text);
}

function heard() {
  heardAt = Date.now();
  if (!isLive) {
    isLive = true;
    retryMs = 1000;
    setLink("live", "live");
    say("Connected.");
  }
}

function lost(why) {
  if (source) source.close();
  source = null;
  if (isLive) say("The connection to the autoscaler is lost. What you see is old.");
  isLive = false;
  setLink("lost", why + "; trying again");
  setTimeout(connect, retryMs);
  retryMs = Math.min(retryMs * 2, 15000);
}

function connect() {
  if (source || isAway) return;
  const s = source = new EventSource("events");
  heardAt = Date.now();
  s.addEventListener("hello", (e) => {
    const hello = JSON.parse(e.data);
    clockOffset = hello.now_ms - Date.now();
    beginAnew();
    items.process.clear(); // another autoscaler may have taken its place
    helloAt = Date.now();
    heard();
    schedule();
  });
  s.addEventListener("items", (e) => {
    heard();
    for (const item of JSON.parse(e.data)) take(item);
    schedule();
  });
  s.addEventListener("anew", () => { beginAnew(); heard(); });
  s.addEventListener("beat", (e) => {
    clockOffset = JSON.parse(e.data).now_ms - Date.now();
    heard();
  });
  s.onerror = () => { if (source === s) lost("not connected"); };
}

/* A browser has six connections to a host, and the server 32 streams: hidden pages must not hold them. */
function leave() {
  isAway = true;
  isLive = false;
  if (source) source.close();
  source = null;
  clearTimeout(usageTimer);
  setLink("wait", "paused");
}

function onVisibility() {
  clearTimeout(awayTimer);
  if (document.hidden) {
    awayTimer = setTimeout(leave, AWAY_MS);
    return;
  }
  if (isAway) {
    isAway = false;
    setLink("wait", "connecting");
    connect();
    askUsage();
  }
  for (const k of Object.keys(dirty)) dirty[k] = true;
  schedule();
}

// --- screen readers hear of what matters, and not of each number

let saidAt = 0, toSay = [], sayTimer = 0;

function say(text) {
  if (!toSay.includes(text)) toSay.push(text);
  if (sayTimer) return;
  sayTimer = setTimeout(() => {
    sayTimer = 0;
    saidAt = Date.now();
    $("live").textContent = toSay.length > 4
      ? toSay.slice(0, 4).join(" ") + " And " + (toSay.length - 4) + " more."
      : toSay.join(" ");
    toSay = [];
  }, Math.max(100, saidAt + SAY_EVERY_MS - Date.now()));
}

// --- painting: a few times a second, at once if a user has asked for it, not while the page is hidden

const PAINT_EVERY_MS = 250;
let isScheduled = false, isUrgent = false, paintedAt = -PAINT_EVERY_MS, paintTimer = 0;

/* urgent: somebody has asked for it. */
function schedule(urgent) {
  isUrgent = isUrgent || !!urgent;
  if (isScheduled || (document.hidden && !urgent)) return;
  clearTimeout(paintTimer);
  const wait = isUrgent ? 0 : paintedAt + PAINT_EVERY_MS - performance.now();
  if (wait > 0) {
    paintTimer = setTimeout(schedule, wait);
    return;
  }
  isScheduled = true;
  requestAnimationFrame(paint);
}

function paint() {
  isScheduled = false;
  paintedAt = performance.now();
  const d = { ...dirty };
  for (const k of Object.keys(dirty)) dirty[k] = false;
  if (d.revision || d.service) {
    paintRows();
    paintFilters();
    paintTotals();
  }
  if (d.revision || d.service || d.process) paintAttention();
  if (d.service) paintRollouts();
  if (d.process) paintProcess();
  if (d.decision) paintDecisions();
  if (d.cold || d.revision) paintCold(d.cold);
  isUrgent = false;
  if (wantedName && items.revision.has(wantedName)) {
    const name = wantedName;
    wantedName = "";
    show(name);
  }
}

function tick() {
  if (isLive && Date.now() - heardAt > LOST_MS) lost("no word for " + duration(Date.now() - heardAt));
  if (isLive && Date.now() - helloAt > 2000) { // all rows have come
    graph.push(sums().rps);
    if (graph.length > GRAPH_POINTS) graph.shift();
  }
  if (document.hidden) return;
  paintGraph();
  for (const e of document.querySelectorAll("time.age")) setText(e, e._render(e._at));
}

// --- search and keys

function search() {
  words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  limit = SHOWN;
  dirty.revision = true;
  schedule(true);
}

function onKey(e) {
  const isTyping = e.target instanceof HTMLInputElement;
  if (e.key === "/" && !isTyping && !e.ctrlKey && !e.metaKey && !e.altKey) {
    e.preventDefault();
    $("search").focus();
    $("search").select();
  } else if (e.key === "Escape") {
    if ($("search").value || filter !== "all") {
      $("search").value = "";
      search();
      $("filter-all").click();
    } else if (openName) {
      toggle(openName);
    }
  }
}

/* The revision that the address names, until it is there to be shown. */
let wantedName = "";

function readHash() {
  try {
    const hash = decodeURIComponent(location.hash.slice(1));
    if (!hash.includes("/") || hash === openName) return;
    wantedName = hash;
    schedule(true);
  } catch (e) { /* not an address of ours */ }
}

makeHeads();
makeFilters();
makeLegend();
makeUsageHeads();
$("search").addEventListener("input", () => { search(); sayCount(); });
$("more").addEventListener("click", () => { limit += SHOWN; dirty.revision = true; schedule(true); });
window.addEventListener("hashchange", readHash);
document.addEventListener("keydown", onKey);
document.addEventListener("visibilitychange", onVisibility);
setInterval(tick, 1000);
readHash();
connect();
askUsage();
if (document.hidden) onVisibility();
