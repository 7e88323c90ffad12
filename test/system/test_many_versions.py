"""Versions come, share, take over and go back, by activatorctl as an operator would, while clients
with kept connections ask by HTTP/1.1 and HTTP/2.  No request fails, no connection ends, and in each
state the part of each revision is within the binomial bound of its percent.

As a program: test/system/test_many_versions.py [ROUNDS [SERVICES [SEED]]].  Each round has a deploy, a
split, a rollout, a rollback and deletes; the rounds are shared by services that change at the same
time.  wrk asks beside the clients then."""
import collections
import math
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

from h2client import H2Client
from helpers import HELLO, WAIT_S, wait_until
from stack import running
from test_ctl import ctl

CONF = 'service "file" { hosts = {"file.x"} revision "v1" { command = {"HELLO"} } }'
STREAMS = 4  # of an HTTP/2 client at a time
STATUSES = range(210, 300)  # by which a revision shows itself
LIVE = 3  # revisions that a service has between two rounds, at most


# --- what is measured

def tail(k, n, p):
    """(P(X <= k), P(X >= k)) of the binomial distribution."""
    terms = [math.exp(math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) +
                      i * math.log(p) + (n - i) * math.log1p(-p)) for i in range(n + 1)]
    return math.fsum(terms[:k + 1]), math.fsum(terms[k:])


class Measure(collections.namedtuple("Measure", "what service revision percent k n")):
    """k of n requests were answered by a revision that has this percent."""

    def chance(self):
        """How probable a deviation like this is, to both sides."""
        if self.percent in (0, 100):
            return 1.0 if self.k * 100 == self.n * self.percent else 0.0
        return min(1.0, 2 * min(tail(self.k, self.n, self.percent / 100)))

    def deviation(self):
        p = self.percent / 100
        return 0 if p in (0, 1) else (self.k - self.n * p) / math.sqrt(self.n * p * (1 - p))


def judge(measures, alpha):
    """The revisions with more or less than their percent.  Where all percents hold, there is one
    with the probability alpha at most: each comparison gets its part of alpha (Bonferroni)."""
    return [m for m in measures if m.chance() < alpha / len(measures)]


# --- who asks

class Window:
    """The answers to the next n requests that begin.  All of these are counted, however long each
    takes: else quick revisions would count for more."""

    def __init__(self, n):
        self.lock, self.left, self.pending = threading.Lock(), n, n
        self.seen = collections.Counter()

    def take(self, n):
        """So many of n requests that begin now are to be counted."""
        with self.lock:
            n = min(n, self.left)
            self.left -= n
            return n

    def add(self, statuses):
        with self.lock:
            self.seen.update(statuses)
            self.pending -= len(statuses)


class Clients:
    """Of one service.  Each asks one turn after another on one connection."""

    def __init__(self, stack, host, h1=2, h2=1):
        self.stack, self.host = stack, host
        self.window, self.is_over = None, threading.Event()
        self.asked, self.failures = 0, []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(kind,))
                        for kind in [self.by_h1] * h1 + [self.by_h2] * h2]

    def by_h1(self):
        with self.stack.connect() as c:
            def turn():
                c.request("GET", "/", self.host)
                status, fields, _ = c.response()
                assert fields.get("connection", "") != "close", "the connection is to end"
                return [status]
            yield turn

    def by_h2(self):
        with H2Client(self.stack.port) as c:
            def turn():
                streams = [c.request("/", self.host) for _ in range(STREAMS)]
                ended = [c.response(s) for s in streams]
                for s, r in zip(streams, ended):
                    assert r.reset is None, "RST_STREAM %d" % r.reset
                    del c.streams[s]
                assert not c.goaways, c.goaways
                return [r.status for r in ended]
            yield turn

    def run(self, kind):
        seen, connection = None, kind()
        try:
            turn = next(connection)
            while not self.is_over.is_set():
                # The first turn in a window may be routed as before: a worker may handle it before
                # it takes the new routes.
                window, is_first = self.window, self.window is not seen
                seen = window
                n = 0 if window is None or is_first else window.take(STREAMS if kind == self.by_h2
                                                                     else 1)
                statuses = turn()
                if n > 0:
                    window.add(statuses[:n])
                with self.lock:
                    self.asked += len(statuses)
                bad = [s for s in statuses if s not in STATUSES]
                assert not bad, "answered with %s" % bad
                self.is_over.wait(0.001)
        except (OSError, AssertionError) as e:
            self.failures.append("%s: %s" % (self.host, e))
        finally:
            connection.close()

    def measure(self, n):
        """The statuses of n requests."""
        self.window = window = Window(n)
        wait_until(lambda: window.pending == 0 or self.failures, what="requests")
        self.window = None
        return window.seen

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        for t in self.threads:
            t.join(WAIT_S)
        assert not any(t.is_alive() for t in self.threads), "a request was never answered"


class Wrk:
    """wrk asks a host until the end of the with block.  text: what it has said then."""

    def __init__(self, stack, host, folder):
        self.script, self.text = "%s/%s.lua" % (folder, host), ""
        self.command = ["wrk", "-t", "1", "-c", "4", "-d", "100000", "--timeout", "60", "-s",
                        self.script, "-H", "Host: " + host, "http://127.0.0.1:%d/" % stack.port]

    def __enter__(self):
        with open(self.script, "w") as f:
            f.write("function delay() return 10 end\n")
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True,
                                        stderr=subprocess.STDOUT)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.text = self.process.communicate(timeout=WAIT_S)[0]

    def requests(self):
        return int(re.search(r"(\d+) requests in", self.text)[1])

    def errors(self):
        return re.findall(r"Socket errors.*|Non-2xx.*", self.text)


# --- who changes

class Shop:
    """A service, and the operator who changes it."""

    def __init__(self, stack, name, rng, n):
        self.stack, self.name, self.rng, self.n = stack, name, rng, n
        self.host = name + ".x"
        self.done, self.measures = collections.Counter(), []
        self.statuses = {}  # of the revisions that there are
        self.serial = 0

    def ctl(self, command, *arguments):
        done = ctl(self.stack, command, *arguments)
        assert done.status == 0, (command, arguments, done)
        self.done[command] += 1
        return done

    def deploy(self, *options):
        """The name of the new revision."""
        free = [s for s in STATUSES if s not in self.statuses.values()]
        status = free[self.serial % len(free)]
        self.serial += 1
        done = self.ctl("deploy", self.name, *options, "-o", "json", "--env",
                        "TEST_STACK=" + self.stack.path, "--env", "SERIAL=%d" % self.serial, "--",
                        HELLO, "--status", str(status))
        revision, = [r["revision"] for r in done.json["results"] if "revision" in r]
        assert revision not in self.statuses
        self.statuses[revision] = status
        return revision

    def percents(self):
        shown = ctl(self.stack, "list", self.name, "-o", "json").json["services"][0]["revisions"]
        return {r["revision"]: r["percent"] for r in shown}

    def wait_routed(self):
        """Until the activator has the routes that the autoscaler has now."""
        generation = ctl(self.stack, "status", "-o", "json").json["generation"]
        wait_until(lambda: self.stack.generation() >= generation, what="the new routes")

    def measure(self, clients, what):
        percents = self.percents()
        assert set(percents) == set(self.statuses), (percents, self.statuses)
        assert sum(percents.values()) == 100, percents
        self.wait_routed()
        seen = clients.measure(self.n)
        assert not clients.failures, clients.failures
        assert sum(seen.values()) == self.n
        assert set(seen) <= set(self.statuses.values()), (seen, self.statuses)
        self.measures += [Measure(what, self.name, r, percents[r], seen[s], self.n)
                          for r, s in self.statuses.items()]

    def split(self):
        """Random percents for all revisions."""
        cuts = sorted(self.rng.sample(range(1, 100), len(self.statuses) - 1))
        parts = [b - a for a, b in zip([0] + cuts, cuts + [100])]
        words = ["%s=%d" % w for w in zip(self.statuses, parts)]
        if self.rng.random() < 0.3:
            words[-1] = "latest=%d" % parts[-1]
        self.ctl("traffic", self.name, *words)

    def rollout(self, clients, revision):
        """It stops at each step, to be measured."""
        steps = sorted(self.rng.sample(range(1, 100), 2)) + [100]
        percent = self.percents()[revision]
        steps = [p for p in steps if p > percent]
        self.ctl("rollout", self.name, "--over", "1s", "--no-wait", "--to", revision, "--steps",
                 ",".join(map(str, steps)))
        while percent < 100:
            def next_percent():
                p = self.percents()[revision]
                return p > percent and p
            wait_until(next_percent, what="the next step")
            ctl(self.stack, "rollout", "pause", self.name)  # unless it has just ended
            percent = self.percents()[revision]
            self.measure(clients, "step")
            ctl(self.stack, "rollout", "resume", self.name)
        done = ctl(self.stack, "rollout", "wait", self.name)
        assert done.status == 0, done

    def forget(self, revision):
        self.ctl("delete", "%s/%s" % (self.name, revision))
        del self.statuses[revision]

    def clean(self):
        """After a rollback: the new one takes over, and the oldest goes, or the new one goes."""
        revisions = list(self.statuses)
        if self.rng.random() < 0.5 or len(revisions) > LIVE:
            self.ctl("traffic", self.name, "latest=100")
            for revision in revisions[:-LIVE + 1 or None]:
                self.forget(revision)
        else:
            self.forget(revisions[-1])

    def round(self, clients):
        options = self.rng.choice([["--no-traffic"], ["--traffic", str(self.rng.randrange(1, 100))],
                                   ["--no-traffic", "--wait", "60s"]])
        revision = self.deploy(*options)
        self.measure(clients, "deploy")
        self.split()
        self.measure(clients, "split")
        self.rollout(clients, revision)
        self.ctl("rollback", self.name)
        self.measure(clients, "rollback")
        self.clean()

    def play(self, clients, rounds):
        for _ in range(rounds):
            self.round(clients)


def play(path, rounds, services, seed, n, wrk):
    """(measures, commands, answers to clients, answers to wrk, seconds)"""
    with running(path, CONF) as stack:
        shops = [Shop(stack, "shop%d" % i, random.Random(seed + i), n) for i in range(services)]
        for shop in shops:
            shop.deploy("--host", shop.host)
            wait_until(lambda: stack.get(shop.host)[0] in STATUSES, what="the route")
        failures, asked, loads = [], 0, []
        begun = time.monotonic()

        def work(shop, rounds):
            nonlocal asked
            load = Wrk(stack, shop.host, path) if wrk else None
            try:
                with Clients(stack, shop.host) as clients:
                    if load is not None:
                        with load:
                            shop.play(clients, rounds)
                    else:
                        shop.play(clients, rounds)
                asked += clients.asked
                failures.extend(clients.failures)
            except Exception as e:
                failures.append("%s: %r" % (shop.name, e))
            if load is not None:
                loads.append(load)

        threads = [threading.Thread(target=work, args=(
            s, rounds // services + (i < rounds % services))) for i, s in enumerate(shops)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert not failures, failures
        assert not any(w.errors() for w in loads), [w.text for w in loads]
        commands = sum((s.done for s in shops), collections.Counter())
        # The store has no more than the revisions that are left.
        files = 1 + sum(1 + len(s.statuses) for s in shops)
        assert len(ctl(stack, "export").out) > 0 and files <= 1 + services * (LIVE + 2)
        return (sum((s.measures for s in shops), []), commands, asked,
                sum(w.requests() for w in loads), time.monotonic() - begun)


def test_a_few(tmp_path):
    measures, commands, _, _, _ = play(tmp_path, 2, 1, 17, 200, wrk=False)
    assert commands["deploy"] == 3 and commands["rollout"] == commands["rollback"] == 2
    wrong = judge(measures, 1e-6)
    assert not wrong, wrong


def main(rounds="200", services="4", seed="1"):
    with tempfile.TemporaryDirectory() as folder:
        measures, commands, asked, by_wrk, seconds = play(folder, int(rounds), int(services),
                                                          int(seed), 500, wrk=True)
    print("%d s; %s" % (seconds, ", ".join("%d %s" % (n, c) for c, n in sorted(commands.items()))))
    print("%d requests of clients with kept connections, %d of wrk: all answered, none failed, "
          "no connection ended" % (asked, by_wrk))
    alpha, wrong = 1e-3, judge(measures, 1e-3)
    split = [m for m in measures if m.percent not in (0, 100)]
    print("%d comparisons of %d requests each, of which %d with a percent of 1 to 99; the bound of "
          "each is %.2g to both sides, %g for all" % (
              len(measures), measures[0].n, len(split), alpha / len(measures), alpha))
    for what in ("deploy", "split", "step", "rollback"):
        some = [m for m in split if m.what == what] or [m for m in measures if m.what == what]
        print("%-8s %5d comparisons, mean deviation %+.3f, mean square %.3f, largest %.2f, least "
              "probable %.2g" % (what, len(some), sum(m.deviation() for m in some) / len(some),
                                 sum(m.deviation() ** 2 for m in some) / len(some),
                                 max(abs(m.deviation()) for m in some),
                                 min(m.chance() for m in some)))
    for m in wrong:
        print("outside of its bound: %s" % (m,))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
