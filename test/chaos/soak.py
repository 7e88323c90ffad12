"""Everything on for a long time: memory, descriptors, threads and processes stay flat.

Time passes in rounds.  Each has load and faults that leave the three programs alive, and then quiet,
until no request and no instance is left.  What a program holds is measured there, so that load does
not count as growth.  The first rounds warm up: pools and caches fill, the allocator's arenas grow to
their working size.  Judged from then on, by program:
 - descriptors and threads: never more than the most of the warm-up, but for SLACK_FDS;
 - processes: the programs and one keeper, nothing else, at each quiet;
 - resident memory: the slope of Theil and Sen (the median of the slopes of all pairs of rounds,
   which a few odd rounds cannot move) times the rounds may be GROWTH of the memory, or GROWTH_KIB
   where that is more.  The allocator moves by pages, so a few of them say nothing in a short soak;
   a leak of one small object a request is past the bound within minutes.
 - lines of the log that were lost, and requests that ended otherwise than the faults permit: none."""
import itertools
import os
import shutil
import statistics
import tempfile
import time

from chaos import clients, faults
from chaos.books import Books
from chaos.seeds import judge_reload, until_idle, until_served
from helpers import BUILD, IS_SANITISED, rss_kib
from chaos.world import World

ROUND_S = 20  # of load
WARM_UP = 3  # rounds
GROWTH, GROWTH_KIB, SLACK_FDS = 0.05, 1024, 2
# Those that end a program would begin its memory anew.
GENTLE = [n for n in faults.FAULTS if not n.startswith(("kill_", "stop_", "upgrade"))
          or n == "kill_instance"]


class Sample:
    def __init__(self, pid):
        self.kib = rss_kib(pid)
        self.fds = len(os.listdir("/proc/%d/fd" % pid))
        self.threads = len(os.listdir("/proc/%d/task" % pid))


def sample(world):
    """{program: Sample}; the keeper only where there is one: it ends with its last instance."""
    return {m.name: Sample(m.pid) for m in world.members}


def slope(values):
    """A round, by Theil and Sen."""
    return statistics.median((b - a) / (j - i) for (i, a), (j, b) in itertools.combinations(
        enumerate(values), 2)) if len(values) > 1 else 0


def judge(samples):
    wrong = []
    for name in samples[0]:
        warm, rest = [s[name] for s in samples[:WARM_UP]], [s[name] for s in samples[WARM_UP:]]
        if not rest:
            continue
        for what in "fds", "threads":
            most = max(getattr(s, what) for s in warm) + (SLACK_FDS if what == "fds" else 0)
            got = max(getattr(s, what) for s in rest)
            if got > most:
                wrong.append("%s has %d %s, at most %d were expected" % (name, got, what, most))
        kib = [s.kib for s in rest]
        growth, room = slope(kib) * len(kib), max(GROWTH * kib[0], GROWTH_KIB)
        if growth > room and not IS_SANITISED:  # a sanitiser keeps what was freed
            wrong.append("%s grows by %.0f KiB in %d rounds, at most %.0f were expected: %s" % (
                name, growth, len(kib), room, kib))
    return wrong


def one_round(world, seed, n):
    crowd = clients.Crowd(world, "%s/%d" % (seed, n), clients.ALL)
    done = []
    try:
        crowd.start()
        plan = faults.plan_of(world, seed * 1000 + n, ROUND_S, GENTLE)
        faults.execute(world, plan, ROUND_S, done)
    finally:
        world.thaw()
        crowd.is_over.set()
    crowd.stop()
    judge_reload(world)
    until_served(world, crowd, [s for s in world.services if s not in ("odd", "extra")])
    until_idle(world)
    books = Books(world, crowd.asked, done)
    wrong = books.judge()
    for path in os.listdir(world.file("journals")):
        os.unlink(world.file("journals/" + path))
    others = [p for p in world.processes() if p.role not in ("activator", "autoscaler", "keeper")]
    if others or len(world.processes()) > len(world.members) + 1:
        wrong.append("processes that should have ended: %s" % [
            (p.pid, p.role) for p in world.processes()])
    for m in world.members:
        port = world.scaler_admin if m.kind == "autoscaler" else m.admin
        if world.metrics(port).get(m.kind + "_log_lines_lost_total"):
            wrong.append("%s has lost lines of its log" % m.name)
    return wrong, books.summary()


def main(minutes, seed=1):
    root = os.path.join(BUILD, "chaos")
    os.makedirs(root, exist_ok=True)
    path = tempfile.mkdtemp(prefix="soak-", dir=root)
    world, samples, wrong = World(path, 2), [], []
    end = time.monotonic() + 60 * minutes
    try:
        world.start()
        while not wrong and (time.monotonic() < end or len(samples) < WARM_UP + 2):
            wrong, text = one_round(world, seed, len(samples))
            samples.append(sample(world))
            print("round %d: %s; %s" % (len(samples), ", ".join(
                "%s %d KiB %d descriptors %d threads" % (n, s.kib, s.fds, s.threads)
                for n, s in samples[-1].items()), text), flush=True)
            wrong += judge(samples) if len(samples) >= WARM_UP + 5 else []
        if not wrong:
            wrong += judge(samples)
            world.stop()
    except AssertionError as e:
        wrong.append(str(e))
    finally:
        world.clear()
    if wrong:
        print("the soak failed:\n  %s\nwhat was left is in %s" % ("\n  ".join(wrong[:20]), path))
        return 1
    shutil.rmtree(path)
    print("flat over %d rounds" % len(samples))
    return 0
