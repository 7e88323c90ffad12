"""The second part of the judge: what the programs themselves keep of a seed.  The access log, the
counters of the activators, the usage and the audit have to agree with each other, with the clients
and with the instances: to the request for processes that ended in order, and but for the last
seconds of a process that was killed."""
import collections
import glob
import json
import re

from chaos import books

# A killed activator loses the lines of its rings; as long as it was frozen, no line left them.
RING_S = books.PERIOD_S
KILLS = {"kill_activator", "kill_older_in_upgrade", "kill_newer_in_upgrade"}
# The activator may have got nothing of these requests, or not their heads.
UNHEARD = {"gone", "refused", "left", "late", "unprocessed", "queue_full"}
# What the line may say of a request whose client saw this; any other reason is in the line, too.
AS_LOGGED = {
    "ok": {"ok", "upgraded"},
    "cut": {"upstream_broken", "stalled", "upgraded", "client_gone", "response_timeout",
            "request_timeout", "upstream_protocol", "shutting_down"},
}
ANY = {"gone", "refused", "left", "late", "unprocessed", "wrong"}
# Ends of requests in the usage that have the name of their outcome.
SAME_IN_USAGE = {"client_gone", "upstream_broken", "stalled", "waiting_page"}
REFUSED_IN_USAGE = {"queue_full", "not_active", "activation_failed", "activation_timeout",
                    "deadline_exceeded", "upstream_failed", "upstream_refused",
                    "upstream_protocol", "response_timeout", "request_timeout", "shutting_down"}


def lines_of(path):
    """Objects of a file with one a line; and how many other lines there are: those that a full disk
    has cut short, which were written again, and the rest."""
    found, whole, broken = [], [], []
    for name in glob.glob(path):
        with open(name, errors="replace") as f:
            for line in f:
                try:
                    found.append(json.loads(line))
                    whole.append(line)
                except ValueError:
                    broken.append(line.rstrip("\n"))  # an empty one ends one that was cut
    broken = [b for b in broken if b]
    again = sum(any(w.startswith(b) for w in whole) for b in broken)
    return found, again, len(broken) - again


def usage_end(line):
    """The end of a request in the usage, from its line in the access log."""
    outcome = line["outcome"]
    if outcome == "ok":
        return "answered_%dxx" % min(max(line["status"] // 100, 1), 5)
    if outcome == "upgraded":
        return "answered_1xx"
    if outcome in SAME_IN_USAGE:
        return outcome
    return "refused_" + (outcome if outcome in REFUSED_IN_USAGE else "other")


class Records:
    """figures: for people, what was held against each other."""

    def __init__(self, world, books):
        self.world, self.books, self.figures = world, books, collections.Counter()
        self.metrics, self.usage = {}, None
        self.lines = collections.defaultdict(list)  # (activator, request id): its lines
        self.nameless = collections.Counter()  # (activator, outcome): lines without an id

    def wrong(self, text, *more):
        self.books.wrong("records: " + text, *more)

    def note(self, metrics, usage):
        """metrics: by the name of the activator; both are of the end, when nobody asks."""
        self.metrics, self.usage = metrics, usage

    def judge(self):
        """When all programs have ended, and the books were judged."""
        for activator in self.world.activators:
            self.read_access_log(activator.name)
        self.judge_lines()
        for activator in self.world.activators:
            if activator.name in self.metrics:
                self.judge_counters(activator, self.metrics[activator.name])
        if self.usage is not None:
            self.judge_usage()
        for member in self.world.members:
            self.judge_audit(member)

    # --- the access log and the clients

    def read_access_log(self, name):
        found, again, broken = lines_of(self.world.file(name + ".access*"))
        self.figures["lines"] += len(found)
        kills = sum(d.row.name in KILLS and d.action.target == name for d in self.books.done)
        if again + broken > kills:  # each may have cut its last one short
            self.wrong("%d lines of the access log of %s are broken", again + broken,
                       name)
        for line in found:
            id = line.get("request_id")
            if id in self.books.by_id:
                self.lines[name, id].append(line)
            elif id is not None:
                self.wrong("no client has sent the request of this line: %s", line)
            else:
                self.nameless[name, line["outcome"]] += 1

    def is_lost(self, a):
        """May the line be one that a killed activator had not written?"""
        return any(d.row.name in KILLS and d.action.target == a.activator
                   and a.ended >= d.since - RING_S - self.starved_s(d.since)
                   and a.sent <= d.until for d in self.books.done)

    def starved_s(self, until):
        """How long the machine, much too busy, may have kept a thread from writing."""
        pulse = self.books.pulse
        return 0 if pulse is None else pulse.lost_s(until - books.BEFORE_S, until)[0]

    def judge_lines(self):
        for a in self.books.asked:
            lines = self.lines.get((a.activator, a.id), [])
            if len(lines) > 1:
                self.wrong("%d lines of one request: %s: %s", len(lines), a, lines)
            elif lines:
                self.judge_line(a, lines[0])
            elif a.outcome not in UNHEARD and a.outcome is not None:
                self.figures["lines lost by kills"] += 1
                if not self.is_lost(a):
                    self.wrong("no line in the access log: %s", a)
        for (name, id), lines in self.lines.items():
            if self.books.by_id[id].activator != name:
                self.wrong("%s has a line of a request of another one: %s", name, lines)

    def judge_line(self, a, line):
        self.figures["lines held against clients"] += 1
        if a.outcome not in ANY and line["outcome"] not in AS_LOGGED.get(a.outcome, {a.outcome}):
            self.wrong("the client saw another end than the line has: %s: %s", a, line)
        if a.outcome == "ok" and (line["outcome"] == "upgraded") != (a.kind == "tunnel"):
            self.wrong("a line with the wrong end: %s: %s", a, line)
        if a.outcome == "ok" and line["status"] != (101 if a.kind == "tunnel" else 200):
            self.wrong("a line with the wrong status: %s: %s", a, line)
        if "service" in line and (line["service"], line.get("revision")) != (
                a.service, a.service + "/v1"):
            self.wrong("a line of another service: %s: %s", a, line)
        receipts = self.books.journals.receipts.get(a.id, [])
        if a.outcome == "ok" and receipts and (
                line.get("instance") != self.books.journals.names.get(receipts[-1].instance)):
            self.wrong("the line names another instance than %s: %s: %s",
                       self.books.journals.names.get(receipts[-1].instance), a, line)

    # --- the access log and the counters of the activators

    def judge_counters(self, activator, metrics):
        """Of its last process.  maybe: of that one, or of the one before it."""
        sure, maybe = collections.Counter(), collections.Counter()
        for a in self.books.asked:
            for line in self.lines.get((activator.name, a.id), []):
                if a.opened >= activator.alone:
                    sure[line["outcome"]] += 1
                elif a.ended >= activator.started:
                    maybe[line["outcome"]] += 1
        counted = collections.Counter()
        for name, n in metrics.items():
            if name.startswith("activator_requests_total{"):
                counted[name.split('"')[1]] += int(n)
        for outcome in set(sure) | set(counted):
            most = sure[outcome] + maybe[outcome] + self.nameless[activator.name, outcome]
            if not sure[outcome] <= counted[outcome] <= most:
                self.wrong("%s counts %d requests as %s, its access log has %d to %d",
                           activator.name, counted[outcome], outcome, sure[outcome], most)
        lines = {n: int(metrics.get('activator_access_log_lines_total{result="%s"}' % n, 0))
                 for n in ("written", "lost", "left_out")}
        self.figures["lost and counted"] += lines["lost"]
        self.figures["requests counted"] += sum(counted.values())
        if sum(lines.values()) != sum(counted.values()):
            self.wrong("%s counts %d requests, and %s lines of its access log", activator.name,
                       sum(counted.values()), lines)

    # --- the access log and the usage

    def judge_usage(self):
        for service in self.world.services:
            row = self.usage.get(service + "/v1", {})
            sure, all_, silent = collections.Counter(), collections.Counter(), 0
            for a in self.books.asked:
                if a.service != service:
                    continue
                lines = [x for x in self.lines.get((a.activator, a.id), []) if "revision" in x]
                silent += not lines
                for line in lines:
                    all_[usage_end(line)] += 1
                    if not self.books.may_be_lost(a):
                        sure[usage_end(line)] += 1
            got = {k: n for k, n in row.items() if n and (
                k in SAME_IN_USAGE or k.startswith(("answered_", "refused_")))}
            self.figures["requests of the usage"] += int(sum(got.values()))
            self.figures["lines of revisions"] += sum(all_.values())
            for end in set(sure) | set(got):
                if not sure[end] <= got.get(end, 0) <= all_[end] + silent:
                    self.wrong("the usage has %d requests of %s as %s, the access log %d to %d",
                               got.get(end, 0), service, end, sure[end], all_[end] + silent)

    # --- the audit

    def judge_audit(self, member):
        records, again, broken = lines_of(member.audit_path() + "*")
        if not self.is_disk_full():
            broken, again = broken + again, 0
        if broken > len(member.killed):  # each may have cut its last record short
            self.wrong("%d records of the audit of %s are broken", broken, member.name)
        intents = {r["id"]: r for r in records if r["event"] == "intent"}
        ended = collections.defaultdict(list)
        for r in records:
            if r["event"] == "outcome":
                ended[r["id"]].append(r)
        self.figures["changes"] += len(intents)
        if len(intents) != sum(r["event"] == "intent" for r in records):
            self.wrong("two intents of %s have one id", member.name)
        for id in set(ended) - set(intents):
            self.wrong("an outcome without an intent: %s", ended[id])
        for id, intent in intents.items():
            self.judge_change(member, intent, ended[id])
        if member.name != "autoscaler" or not self.is_disk_full():  # it may end meanwhile
            self.judge_changes(member, intents)

    def is_disk_full(self):
        return any(d.row.name == "fill_disk" for d in self.books.done)

    def judge_change(self, member, intent, outcomes):
        last = [o for o in outcomes if intent["kind"] != "scale" or o["result"] != "failed"]
        if len(last) > 1:
            self.wrong("a change with two ends: %s: %s", intent, outcomes)
        if not outcomes:
            self.wrong("a change without an outcome: %s", intent)
        for o in outcomes:
            if not o.get("after_restart"):
                continue
            self.figures["changes cut short"] += 1
            if intent["pid"] not in member.killed and intent["pid"] != o["pid"]:
                self.wrong("a change of a process that was not killed is ended by another one: "
                           "%s: %s", intent, o)

    def judge_changes(self, member, intents):
        """Against the log of the program, and the instances that have run."""
        done = collections.Counter()
        for i in intents.values():
            done[i["kind"], i.get("revision"), i["to"] if i["kind"] == "scale" else None] += 1
        said, text = collections.Counter(), member.text()
        for m in re.finditer(r'msg="scaled(?: to zero)?" revision=(\S+) from=\d+(?: to=(\d+))?',
                             text):
            said["scale", m[1], int(m[2] or 0)] += 1
        said["conf", None, None] = text.count('msg="conf file reloaded"')
        for what, n in said.items():
            # One that was killed has written the one, and not the other yet.
            if done[what] < n - len(member.killed):
                self.wrong("the log of %s has %d changes %s, its audit %d", member.name, n, what,
                           done[what])
        if member.name != "autoscaler":
            return
        for service in set(self.books.journals.services):
            if not any(w[1] == service + "/v1" and w[2] for w in done):
                self.wrong("instances of %s have run, and no change says so", service)
