"""One seed after another: a world, clients, a plan of faults, quiet, and the books."""
import collections
import os
import shutil
import statistics
import tempfile
import time

from chaos import clients, faults, members
from chaos.books import Books
from chaos.records import Records
from helpers import BUILD, WAIT_S, wait_until
from chaos.world import World

SECONDS = 15  # of faults
QUIET_S = 2.5  # without faults, while clients ask


class Result:
    def __init__(self, seed, judges_waits):
        self.judges_waits = judges_waits
        self.seed, self.wrong, self.books, self.actions, self.calm_s = seed, [], None, [], None
        self.path, self.logs, self.records = None, "", None

    def text(self):
        """For people, of a seed that failed."""
        lines = ["seed %d failed:" % self.seed] + ["  " + w for w in self.wrong[:20]]
        if len(self.wrong) > 20:
            lines.append("  and %d more" % (len(self.wrong) - 20))
        lines += ["the plan:"] + ["  %7.3f s  %-30s %-11s for %.3f s" % (
            a.at, a.name, a.target, a.hold) for a in self.actions]
        if self.books is not None:
            lines += ["what was done:"] + ["  %s" % d for d in self.books.done]
            lines += ["the books:", "  " + self.books.summary()]
        return "\n".join(lines + ["what was left is in %s" % self.path])


def until_served(world, crowd, services):
    """Every activator serves every service again.  The seconds that took."""
    start, asker = time.monotonic(), clients.Calm(crowd, 999)
    for a in world.activators:
        wait_until(a.is_ready, what="/readyz of " + a.name)
        for s in services:
            wait_until(lambda: asker.is_served(a, s) or time.sleep(0.05), 2 * WAIT_S,
                       "%s to serve %s" % (a.name, s))
    return time.monotonic() - start


GAUGES = ("activator_parked", "activator_parked_bytes", "activator_connections",
          "activator_h2_connections", "activator_stream_bytes", "activator_revision_parked",
          "activator_revision_in_flight")


def held(metrics):
    """Gauges that are not 0 though nobody asks."""
    return {n: v for n, v in metrics.items() if n.split("{")[0] in GAUGES and v != 0}


def until_idle(world):
    """No activator holds anything, and no instance is left.  All of that comes by itself."""
    for a in world.activators:
        wait_until(lambda: a.processes() == [a.pid] and a.alone is not None,
                   what="those that %s has replaced to end" % a.name)
        wait_until(lambda: not held(a.metrics()), what="%s to hold nothing; it holds %r" % (
            a.name, held(a.metrics())))
    wait_until(lambda: not world.processes("instance"), 2 * WAIT_S, "all revisions to be at zero")


def judge_instances(world):
    """Each instance that runs is one of those that the autoscaler knows of, or ends."""
    def is_fine(p):
        known = world.known()
        return known is not None and p.id in known or not members.is_alive(p.pid)
    for p in world.processes("instance"):
        wait_until(lambda: is_fine(p), what="the autoscaler to know instance %s" % p.id)


def judge_reload(world):
    """A reload takes effect, after all that has happened."""
    world.autoscaler.write_conf()
    wait_until(world.autoscaler.has_started, what="the autoscaler to start")
    before = world.autoscaler.text().count('msg="conf file reloaded"')
    faults.hang_up(world.autoscaler)
    wait_until(lambda: world.autoscaler.text().count('msg="conf file reloaded"') > before,
               what="a reload")


def play(world, result, seconds, names, pulse):
    result.actions = faults.plan_of(world, result.seed, seconds, names)
    crowd = clients.Crowd(world, result.seed, clients.ALL)
    done = []
    try:
        crowd.start()
        faults.execute(world, result.actions, seconds, done)
        time.sleep(QUIET_S)
        judge_instances(world)
    finally:
        world.thaw()
        crowd.is_over.set()
        result.books = books = Books(world, crowd.asked, [d for d in done if d.until],
                                     result.judges_waits, pulse)
    for m in world.members:
        assert m.is_running(), "%s has ended by itself, with status %s:\n%s" % (
            m.name, world.statuses().get(m.pid), m.text()[-2000:])
    crowd.stop()
    world.settings["extra"] = True
    judge_reload(world)
    result.calm_s = until_served(world, crowd, world.services)
    until_idle(world)
    metrics = {a.name: a.metrics() for a in world.activators}
    for a in world.activators:
        books.judge_activator(a, metrics[a.name])
    usage = wait_until(world.usage, what="the books of the autoscaler")
    books.judge_usage(usage)
    world.stop()
    books.judge()
    if world.is_recorded:
        result.records = Records(world, books)
        result.records.note(metrics, usage)
        result.records.judge()
    result.wrong += books.faults


def run_seed(seed, path, seconds=SECONDS, names=None, judges_waits=True):
    """path: a folder that does not exist yet."""
    result = Result(seed, judges_waits)
    result.path = str(path)
    os.makedirs(result.path, exist_ok=True)
    world = World(result.path, 1 + seed % 2, is_old=seed // 2 % 2 == 1,
                  is_recorded=seed // 4 % 2 == 0)
    pulse = clients.Pulse()
    try:
        pulse.start()
        world.start()
        play(world, result, seconds, names, pulse)
    except AssertionError as e:
        result.wrong.append(str(e))
        if result.books is not None:
            result.wrong += result.books.judge()
    finally:
        pulse.is_over.set()
        world.clear()
    if result.wrong:
        with open(world.file("result.txt"), "w") as f:
            f.write(result.text() + "\n" + "\n".join(map(str, result.books.asked if result.books
                                                           else [])) + "\n")
    return result


# --- what faults do

class Effects:
    """Over all seeds in which a fault came alone: what clients saw, and how long until they were
    served as before."""

    def __init__(self):
        self.seen = collections.defaultdict(collections.Counter)
        self.normal_s = collections.defaultdict(list)

    def add(self, result):
        if result.books is None or not faults.is_one_by_one(result.seed):
            return
        asked = sorted((a for a in result.books.asked if a.outcome is not None
                        and a.kind not in ("odd", "leaver", "calm") and a.service != "extra"),
                       key=lambda a: a.sent)
        for d in result.books.done:
            self.seen[d.row.name].update(
                a.outcome for a in asked if d.since <= a.ended and a.sent <= d.until)
            after = [a.ended for a in asked if a.sent >= d.until and a.outcome == "ok"
                     and (d.row.whose != "activator" or a.activator == d.action.target)]
            if after:
                self.normal_s[d.row.name].append(min(after) - d.until)

    def text(self):
        lines = ["%-30s %5s  %-60s %s" % ("fault", "times", "what clients saw during it",
                                          "first answer after it: median, worst (ms)")]
        for name, seen in sorted(self.seen.items()):
            times = [1e3 * s for s in self.normal_s[name]] or [0]
            lines.append("%-30s %5d  %-60s %.0f, %.0f" % (
                name, len(times), ", ".join("%s %d" % x for x in seen.most_common()),
                statistics.median(times), max(times)))
        return "\n".join(lines)


def main(seeds, seconds, names, is_kept):
    root, failed, effects = os.path.join(BUILD, "chaos"), [], Effects()
    os.makedirs(root, exist_ok=True)
    for seed in seeds:
        path = tempfile.mkdtemp(prefix="seed-%d-" % seed, dir=root)
        result = run_seed(seed, path, seconds, names)
        effects.add(result)
        if result.wrong:
            failed.append(seed)
            print(result.text(), flush=True)
        else:
            print("seed %d: %d faults; %s; as before after %.1f s" % (
                seed, len(result.books.done), result.books.summary(), result.calm_s), flush=True)
        if result.records is not None:
            print("seed %d: records: %s" % (seed, ", ".join(
                "%s %d" % x for x in result.records.figures.items())), flush=True)
        if not result.wrong:
            if not is_kept:
                shutil.rmtree(path)
    print(effects.text())
    print("failed seeds: %s of %d" % (", ".join(map(str, failed)) or "none", len(seeds)))
    return bool(failed)
