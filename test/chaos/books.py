"""The judge.  Every request has an id; what its client saw is compared with what the instances wrote
down, with the counters of the activators, and with the books of the autoscaler."""
import collections
import glob

from chaos.world import ABORT_S, SERVICES

# Refusals by which a client knows that its request was never sent to an instance.
NEVER_SENT = {"queue_full", "activation_timeout", "activation_failed", "no_route", "shutting_down",
              "not_active", "refused", "bad_request", "unprocessed"}
# What may become of any request where a process has to wait long until it runs.
BUSY = {"late", "activation_timeout", "activation_failed"}
BUSY_S, BUSY_PART, BEFORE_S = 1, 0.3, 10  # so long at once, or so much of the time since so long before
TRIES = 4  # 3 (TRIES_MAX of dispatch.c), and one on a connection that was kept
STUCK_S, STUCK_N = 0.6, 100
CALM_S = 0.5  # after a fault
# They delay no request for which an instance runs.
HARMLESS = {"fill_disk", "step_clock", "freeze_keeper", "break_link_of_keeper", "reload_bad",
            "reload_good", "take_descriptors_of_autoscaler"}
LOOSE_S = 0.5  # between the end of a process and the moment in which the suite notes it

Receipt = collections.namedtuple("Receipt", "at instance service method")


class Journals:
    """What all instances have written down."""

    def __init__(self, world):
        self.receipts = collections.defaultdict(list)  # by id
        self.ends, self.written = {}, set()  # (id, instance): how; the same, with a response
        self.ended_at = {}  # by id
        self.crowded, self.connections = [], []
        self.instances, self.names, self.services = 0, {}, set()  # names: as the programs call them
        for path in glob.glob(world.file("journals/*.journal")):
            self.read(path)
        for found in self.receipts.values():
            found.sort()

    def read(self, path):
        instance, service = path.rsplit("/", 1)[1].split("-")[0] + "@" + path[-20:-8], ""
        self.instances += 1
        with open(path, errors="replace") as f:
            for line in f:
                words = line.split()
                what, at = words[0], int(words[1]) / 1e9
                if what == "L":
                    service = words[2]
                    self.names[instance] = words[3]
                    self.services.add(service)
                elif what == "B":
                    self.receipts[words[2]].append(Receipt(at, instance, service, words[3]))
                elif what == "W":
                    self.written.add((words[2], instance))
                elif what == "E":
                    self.ends[words[2], instance] = words[3]
                    self.ended_at[words[2]] = at
                elif what == "O":
                    self.crowded.append((at, instance, service, int(words[2]), int(words[3]),
                                         words[4:]))
                elif what == "C":
                    self.connections.append((at, instance, service, int(words[2])))

    def end(self, receipt, id):
        return self.ends.get((id, receipt.instance))


class Books:
    """judges_waits: also how long a request waits for a free slot, for which the machine must not be
    too busy."""

    def __init__(self, world, asked, done, judges_waits=True, pulse=None):
        self.world, self.asked, self.done, self.pulse = world, asked, done, pulse
        self.judges_waits = judges_waits
        self.journals, self.by_id = None, {}
        self.faults = []  # what is wrong: the seed fails

    def wrong(self, text, *more):
        self.faults.append(text % more if more else text)

    def judge(self):
        """When no instance is left."""
        self.journals = Journals(self.world)
        self.by_id = {a.id: a for a in self.asked}
        self.judge_outcomes()
        self.judge_receipts()
        self.judge_limits()
        if self.judges_waits:
            self.judge_pairs()
        return self.faults

    # --- what clients saw

    def allowed(self, a):
        found = set(a.expects) | {"unprocessed"}
        if self.was_busy(a):
            found |= BUSY
        for d in self.done:
            if d.may and d.is_seen_by(a):
                found |= d.may
        return found

    def was_busy(self, a):
        """Has the machine left the programs without time?"""
        since = a.sent - BEFORE_S
        if self.pulse is None or a.ended is None:
            return False
        lost, longest = self.pulse.lost_s(since, a.ended)
        return longest > BUSY_S or lost > BUSY_PART * (a.ended - since)

    def judge_outcomes(self):
        for a in self.asked:
            if a.outcome is None:
                self.wrong("no end: %s", a)
            elif a.kind != "calm" and a.outcome not in self.allowed(a):
                self.wrong("not allowed: %s; expected one of %s", a, sorted(self.allowed(a)))
            elif a.outcome == "wrong" or (a.outcome == "late" and not self.was_busy(a)):
                self.wrong("%s", a)

    # --- what instances saw

    def judge_receipts(self):
        for id in self.journals.receipts:
            if id not in self.by_id:
                self.wrong("an instance has got a request that no client has sent: %s", id)
        for a in self.asked:
            self.judge_request(a, self.journals.receipts.get(a.id, []))

    def judge_request(self, a, receipts):
        ends = [self.journals.end(r, a.id) for r in receipts]
        text = "%s; receipts: %s" % (a, ["%.3f %s %s" % (r.at, r.instance, e)
                                         for r, e in zip(receipts, ends)])
        if any(r.service != a.service for r in receipts):
            self.wrong("sent to an instance of %s: %s", sorted({r.service for r in receipts}), text)
        if len(receipts) > (TRIES if a.is_idempotent else 1):
            self.wrong("sent too often: %s", text)
        if any(e == "ok" for e in ends[:-1]):
            self.wrong("sent again after a complete response: %s", text)
        if any(e in ("short", "garbage") for e in ends[:-1]):
            self.wrong("sent again after a byte of a response: %s", text)
        if a.outcome == "ok" and not receipts:
            self.wrong("answered by no instance: %s", text)
        # An instance that is ended behind its last byte cannot note that it was the last.
        if a.outcome == "ok" and receipts and not (
                ends[-1] == "ok" or (a.path == "/tunnel" and ends[-1] == "gone") or
                (ends[-1] is None and (a.id, receipts[-1].instance) in self.journals.written)):
            self.wrong("a response that no instance has given: %s", text)
        if a.outcome in NEVER_SENT and receipts and not a.is_idempotent:
            self.wrong("refused as never sent, and sent: %s", text)
        if a.outcome in NEVER_SENT and any(e == "ok" for e in ends):
            self.wrong("refused as never sent, and answered: %s", text)

    # --- limits

    def is_past_killed(self, id, at):
        """Was the request that of an activator that was killed so long ago that its slots count as
        free, and had the instance had no chance to notice?"""
        a = self.by_id.get(id)
        return a is not None and any(
            d.row.name in KILLS and d.may and d.action.target == a.activator
            and a.sent <= d.since + LOOSE_S and at >= d.since + ABORT_S - LOOSE_S
            for d in self.done)

    def judge_limits(self):
        for at, instance, service, n, open_n, ids in self.journals.crowded:
            limit = SERVICES[service][0]
            n -= sum(self.is_past_killed(id, at) for id in ids)
            if n > limit or open_n > limit:
                self.wrong("%s %s has a limit of %d and got %d requests (%d open) at %.3f: %s",
                           service, instance, limit, n, open_n, at,
                           "; ".join(str(self.by_id.get(id, id)) for id in ids))
        for at, instance, service, n in self.journals.connections:
            self.wrong("%s %s has a limit of %d and got %d connections at %.3f", service, instance,
                       SERVICES[service][0], n, at)

    # --- waiters

    def judge_pairs(self):
        """The second of two requests gets the slot of the first, at once.  What counts as late is
        measured by what the activator has done for others meanwhile, not by the clock alone: the
        machine may be slow.  A waiter that was forgotten is found again within a second, by the
        tick of its activator."""
        pairs = [a for a in self.asked if a.kind == "pair" and a.outcome == "ok"]
        others = sorted((a.sent, a.ended) for a in self.asked
                        if a.outcome == "ok" and a.kind in ("short", "fresh", "h2"))
        for first, second in zip(pairs, pairs[1:]):
            found = self.journals.receipts.get(second.id)
            free = self.journals.ended_at.get(first.id)
            if not found or free is None or second.sent > free:
                continue
            since, until = max(free, second.sent), found[0].at
            if until - since < STUCK_S or any(
                    d.since <= until and since <= d.until + CALM_S and self.delays(d, "pair")
                    for d in self.done):
                continue
            served = sum(since < sent and ended < until for sent, ended in others)
            if served >= STUCK_N:
                self.wrong("its slot was free for %.3f s, in which %d others were served: %s",
                           until - since, served, second)

    @staticmethod
    def delays(d, service):
        """May the fault delay a request of the service, though its only slot is free?"""
        if d.row.name in ("kill_instance", "freeze_instance"):
            return d.action.target == service
        return d.row.name not in HARMLESS

    # --- counters

    def judge_activator(self, activator, metrics):
        """Its counters since its last start.  What a client has left may count in several ways."""
        sure, maybe = [], []  # maybe: they are of the process before it, or of this one
        for a in self.asked:
            if a.activator == activator.name and a.opened >= activator.alone:
                sure.append(a)
            elif a.activator == activator.name and a.ended >= activator.started:
                maybe.append(a)
        seen = collections.Counter(a.outcome for a in sure)
        seen_maybe = collections.Counter(a.outcome for a in maybe)
        # Connections that are refused for want of descriptors have no request yet.
        loose = (seen["left"] + seen["gone"] + seen["refused"] + seen["queue_full"] +
                 seen["unprocessed"] + seen["late"])
        counted = collections.Counter()
        for name, n in metrics.items():
            if name.startswith("activator_requests_total{"):
                counted[name.split('"')[1]] += int(n)
        tunnels = sum(a.kind == "tunnel" and a.outcome in ("ok", "cut") for a in sure + maybe)
        pairs = {"ok": seen["ok"] - sum(a.kind == "tunnel" and a.outcome == "ok" for a in sure)}
        for reason in set(counted) | set(seen):
            if reason not in ("ok", "upgraded", "client_gone", "upstream_broken", "stalled", "cut",
                              "left", "gone", "refused", "late", "wrong", "queue_full", "unprocessed"):
                pairs[reason] = seen[reason]
        for reason, n in pairs.items():
            most = n + loose + seen_maybe[reason]
            if not n <= counted[reason] <= most:
                self.wrong("%s counts %d requests as %s, its clients %d to %d", activator.name,
                           counted[reason], reason, n, most)
        if counted["upgraded"] > tunnels + loose:
            self.wrong("%s counts %d tunnels, its clients %d", activator.name, counted["upgraded"],
                       tunnels)
        total = sum(counted.values())
        if not len(sure) - loose <= total <= len(sure) + len(maybe):
            self.wrong("%s counts %d requests, its clients %d to %d", activator.name, total,
                       len(sure) - loose, len(sure) + len(maybe))

    def judge_usage(self, rows):
        """Requests of each revision, in the books of the autoscaler."""
        for service in SERVICES:
            asked = [a for a in self.asked if a.service == service]
            sure = sum((a.outcome == "ok" or a.outcome in ROUTED) and not self.may_be_lost(a)
                       for a in asked)
            row = rows.get(service + "/v1")
            got = 0 if row is None else row["requests"]
            if service != "extra" and not sure <= got <= len(asked):
                self.wrong("the books have %d requests of %s, clients have sent %d, of which %d are "
                           "sure", got, service, len(asked), sure)

    def may_be_lost(self, a):
        """Was it reported by a report that was lost on its way, or not at all before its activator
        was killed, or not written down before the autoscaler was?"""
        for d in self.done:
            before_s = LOSSY_S.get(d.row.name)
            if d.row.name in UPGRADES and d.action.target == "autoscaler" and any(
                    f.row.name == "fill_disk" and f.since <= d.until and d.since <= f.until
                    for f in self.done):
                before_s = LOSSY_S["kill_autoscaler"]
            if before_s is not None and d.action.target in ("", "autoscaler", a.activator) and (
                    a.ended >= d.since - before_s and a.sent <= d.until + PERIOD_S):
                return True
        return False

    # --- for people

    def summary(self):
        seen = collections.Counter("%s %s" % (a.kind, a.outcome) for a in self.asked)
        journals = self.journals or Journals(self.world)
        return "%d requests, %d receipts at %d instances: %s" % (
            len(self.asked), sum(map(len, journals.receipts.values())), journals.instances,
            ", ".join("%s %d" % x for x in sorted(seen.items())))


# After these the slots of an activator count as free, abort_timeout later.
KILLS = {"kill_activator", "stop_activator", "kill_older_in_upgrade", "kill_newer_in_upgrade"}
UPGRADES = {"upgrade", "upgrade_twice"}  # with a full disk, what is not written yet is lost
ROUTED = {"upstream_failed", "activation_failed", "response_timeout"}
PERIOD_S = 3  # a report each second, and what a program that was frozen has not read
# What these lose of the books, in seconds before them.  The journal is written each 10 s, and by a
# machine that has much else to do later.
LOSSY_S = {"kill_activator": 2 * PERIOD_S, "kill_older_in_upgrade": 2 * PERIOD_S,
           "kill_newer_in_upgrade": 2 * PERIOD_S, "kill_autoscaler_in_upgrade": 20 + PERIOD_S,
            "stop_activator": PERIOD_S, "break_link_of": PERIOD_S,
           "kill_autoscaler": 20 + PERIOD_S, "kill_both": 20 + PERIOD_S}
