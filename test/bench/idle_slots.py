"""Several activators on one autoscaler, while the demand moves from one to the next: for how long do
slots idle while a request waits?  Counted at the instances (test/chaos/witness.c), which write down
when each request begins and ends; when it was sent, its client notes.

A slot idles while a request waits from the moment in which fewer requests are in flight at all
instances together than they have slots, and a request was sent longer ago than it takes to an
instance with a free slot of the same activator."""
import collections
import collections
import glob
import itertools
import os
import threading
import time

from fleet import Activator
from helpers import ROOT
from stack import Client, Stack

WITNESS = os.path.join(ROOT, "build/test/chaos/witness")
HOST = "s.test"
INSTANCES = 2
CASES = [(1, 2), (1, 3), (10, 2), (10, 3)]  # container_concurrency, activators
PHASE_S = 0.5
WORK_MS = {1: 5, 10: 20}
CALM = 1  # clients of an activator that has no demand, each with a pause
PAUSE_S = 0.05


class Crowd:
    """Clients of all activators.  `busy` is the activator that has the demand; None: all have."""

    def __init__(self, activators, clients, ms):
        self.sent, self.ms = {}, ms  # sent: {id: when}
        self.busy, self.is_over = activators[0], threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(a, k, "%d-%d" % (n, k)))
                        for n, a in enumerate(activators) for k in range(clients)]

    def run(self, activator, k, name):
        client, n = Client(activator.port), 0
        while not self.is_over.is_set():
            is_busy = self.busy in (activator, None)
            if k >= CALM and not is_busy:
                time.sleep(0.002)
                continue
            n += 1
            id = "%s-%d" % (name, n)
            self.sent[id] = time.monotonic()
            client.request("GET", "/ok?ms=%d" % self.ms, HOST, None, [("X-Id", id)])
            assert client.response()[0] == 200
            if not is_busy:
                time.sleep(PAUSE_S)
        client.close()


def read_journals(folder):
    """{id: [begin, end]}, and how often an instance saw more than its limit."""
    found, excess = collections.defaultdict(lambda: [None, None]), 0
    for path in glob.glob(folder + "/*.journal"):
        with open(path) as f:
            for line in f:
                what, at, *more = line.split()
                if what in "BE":
                    found[more[0]]["BE".index(what)] = int(at) / 1e9
                excess += what in "OC"
    return found, excess


def idle_times(sent, found, slots, transit):
    """The lengths of all spans in which a slot idled while a request waited."""
    events = []
    for id, (begin, end) in found.items():
        if begin is None or end is None or id not in sent:
            continue
        events += [(begin, 1, 0), (end, -1, 0)]
        since = sent[id] + transit
        if begin > since:
            events += [(since, 0, 1), (begin, 0, -1)]
    in_flight = waiting = 0
    since, spans = None, []
    for at, flight, wait in sorted(events):
        in_flight, waiting = in_flight + flight, waiting + wait
        is_idle = in_flight < slots and waiting > 0
        if is_idle and since is None:
            since = at
        elif not is_idle and since is not None:
            if at > since:
                spans.append(at - since)
            since = None
    return sorted(spans)


def measure(folder, cc, activators_n, seconds):
    """A row: (requests per second, spans, part of the time that they are, times above the limit)."""
    journals = os.path.join(folder, "journals")
    os.makedirs(journals)
    stack = Stack(folder, """service "s" { hosts = {"%s"}
        revision "v1" { command = {"%s", "%s", "s", "%d", "0"} container_concurrency = %d
            min_scale = %d max_scale = %d } }""" % (
                HOST, WITNESS, journals, cc, cc, INSTANCES, INSTANCES))
    slots, activators = cc * INSTANCES, []
    try:
        stack.start_autoscaler()
        for n in range(activators_n):
            activators.append(Activator(stack, "activator%d" % n))
            activators[-1].start()
        probe = Client(activators[0].port)
        sent = {}
        for n in range(100):
            sent["probe-%d" % n] = time.monotonic()
            probe.request("GET", "/ok?ms=0", HOST, None, [("X-Id", "probe-%d" % n)])
            assert probe.response()[0] == 200
        probe.close()
        crowd = Crowd(activators, slots * 3 // 2, WORK_MS[cc])
        for t in crowd.threads:
            t.start()
        started, turns = time.monotonic(), itertools.cycle(activators + [None])
        while time.monotonic() - started < seconds:
            crowd.busy = next(turns)
            time.sleep(PHASE_S)
        crowd.is_over.set()
        for t in crowd.threads:
            t.join()
        passed = time.monotonic() - started
        found, excess = read_journals(journals)
        transits = sorted(found[id][0] - since for id, since in sent.items() if found[id][0])
        spans = idle_times(crowd.sent, found, slots, transits[len(transits) // 2])
        return len(crowd.sent) / passed, spans, sum(spans) / passed, excess
    finally:
        for a in activators:
            if a.program is not None and a.program.process.poll() is None:
                a.program.kill()
        stack.stop()


def at(spans, part):
    return 1e3 * spans[min(int(len(spans) * part), len(spans) - 1)] if spans else 0


def report(folder, say, seconds):
    say("")
    say("## Several activators")
    say("")
    say("%d instances; the demand moves to the next activator each %.1f s, in the last turn all have "
        "it.  Time that slots idle while a request waits, counted at the instances." % (
            INSTANCES, PHASE_S))
    say("")
    say("| container_concurrency | activators | requests/s | p50 | p99 | worst | of the time | above "
        "the limit |")
    say("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for cc, n in CASES:
        rate, spans, part, excess = measure(os.path.join(folder, "shares-%d-%d" % (cc, n)), cc, n,
                                            seconds)
        say("| %d | %d | %.0f | %.2f ms | %.1f ms | %.1f ms | %.1f %% | %s |" % (
            cc, n, rate, at(spans, .5), at(spans, .99), at(spans, 1), 100 * part,
            excess or "never"))
