"""The faults: what is done to the world, how it is undone, and what clients may see of it.

FAULTS is the table.  A row has a weight (how often a plan has it), the targets that it chooses from,
and do(world, action), which returns the function that undoes it.  None: there is nothing to undo.
SKIPPED: it could not be done now.  The function may return NOT_YET, and is then called again.
What clients may see of the fault, besides what they see without any:
  - may: the outcomes.  Any other outcome fails the seed.
  - whose: the requests that may end so: "activator" (by the target), "service" (of the target), or
    "all".
  - since: "opened": also requests on connections that were open when it began; "sent": requests
    that were under way.
  - after_s: how long after its end they may still end so."""
import collections
import contextlib
import os
import random
import signal
import subprocess
import time

from chaos import members
from helpers import BUILD, SLOW, WAIT_S

SKIPPED, NOT_YET = object(), object()
LATE_S = 15 * SLOW  # what instances have lost is noticed by then, also by a program that was frozen

Fault = collections.namedtuple("Fault", "name weight hold targets do may whose since after_s")
FAULTS = {}


class Action:
    """may: more outcomes that clients may see, which is known only once it has happened."""

    def __init__(self, at, name, target, hold, dice):
        self.at, self.name, self.target, self.hold, self.dice = at, name, target, hold, dice
        self.may = frozenset()


def fault(weight, targets, hold=(0, 0), may=(), whose="all", since="sent", after_s=0):
    """hold: the shortest and the longest time until it is undone."""
    def enter(do):
        FAULTS[do.__name__] = Fault(do.__name__, weight, hold, targets, do, frozenset(may), whose,
                                    since, after_s)
        return do
    return enter


def activators(world):
    return [a.name for a in world.activators]


def programs(world):
    return [m.name for m in world.members]


def services(world):
    return [s for s in world.services if s != "extra"]


def none(world):
    return [""]


def member(world, action):
    return next(m for m in world.members if m.name == action.target)


# --- processes end, and come back

def starting_again(m):
    """What starts it, once, unless another process takes over, and says NOT_YET until it is ready, or
    was ended once more."""
    started = []

    def start():
        if m.is_ending or (started and (m.started != started[0] or not m.is_running())):
            return None
        if not m.is_running():
            if m.may_take_over() or not m.may_start():
                return NOT_YET
            m.write_conf()  # it would not start with a bad one
            m.put_program()
            m.start()
        if not started:
            started.append(m.started)
        return None if m.kind == "autoscaler" or m.is_ready(0.1) else NOT_YET
    return start


def kill(m):
    if not m.is_running() or m.is_ending:
        return SKIPPED
    m.kill()
    return starting_again(m)


@fault(2, activators, (0, 1.5), {"gone", "cut", "refused"}, "activator", "opened", 1)
def kill_activator(world, action):
    return kill(member(world, action))


@fault(1, activators, (0.2, 1), {"gone", "cut", "refused", "shutting_down"}, "activator", "opened",
       1)
def stop_activator(world, action):
    """In order.  cut: tunnels, at drain_timeout."""
    m = member(world, action)
    if not m.has_started() or m.is_ending:
        return SKIPPED
    m.end()
    start = starting_again(m)
    return lambda: NOT_YET if m.is_ending and not m.end() else start()


@fault(3, none, (0, 2))
def kill_autoscaler(world, action):
    return kill(world.autoscaler)


@fault(2, none, may={"upstream_failed", "cut", "activation_failed"}, after_s=LATE_S)
def kill_keeper(world, action):
    keepers = world.processes("keeper")
    if not keepers:
        return SKIPPED
    for k in keepers:
        os.kill(k.pid, signal.SIGKILL)
    return None


@fault(1, none, (0, 2), {"upstream_failed", "cut", "activation_failed"}, after_s=LATE_S)
def kill_both(world, action):
    """The autoscaler and its keeper."""
    if not world.autoscaler.is_running() or kill_keeper(world, action) is SKIPPED:
        return SKIPPED
    return kill_autoscaler(world, action)


@fault(3, services, may={"upstream_failed", "cut", "activation_failed"}, whose="service",
       after_s=LATE_S)
def kill_instance(world, action):
    found = sorted(p.pid for p in world.processes("instance") if p.service == action.target)
    if not found:
        return SKIPPED
    with contextlib.suppress(ProcessLookupError):
        os.kill(action.dice.choice(found), signal.SIGKILL)
    return None


# --- processes stand still

def freeze(pids):
    if not pids:
        return SKIPPED
    frozen = []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            frozen.append(pid)

    def thaw():
        for pid in frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    return thaw


@fault(2, activators, (0.05, 2))
def freeze_activator(world, action):
    m = member(world, action)
    return freeze([m.pid] if m.is_running() else [])


@fault(2, none, (0.05, 2))
def freeze_autoscaler(world, action):
    m = world.autoscaler
    return freeze([m.pid] if m.is_running() else [])


@fault(2, none, (0.05, 2))
def freeze_keeper(world, action):
    return freeze([p.pid for p in world.processes("keeper")])


@fault(2, services, (0.05, 1.5))
def freeze_instance(world, action):
    found = sorted(p.pid for p in world.processes("instance") if p.service == action.target)
    return freeze([action.dice.choice(found)] if found else [])


# --- the conf file

def hang_up(m):
    if not m.has_started() or m.is_ending:
        return SKIPPED
    m.signal(signal.SIGHUP)
    return None


def reload(m, action, changes):
    """Make one of the changes: {setting: its new value}."""
    key = action.dice.choice(sorted(changes))
    m.settings[key] = changes[key]
    m.write_conf()
    return hang_up(m)


@fault(3, none)
def reload_good(world, action):
    """A service comes or goes, a limit or the scaling changes."""
    s = world.settings
    return reload(world.autoscaler, action, {
        "extra": not s["extra"], "any_max": 3 - s["any_max"], "utilization": 130 - s["utilization"]})


@fault(2, activators)
def reload_activator(world, action):
    """A listener comes or goes, a time limit or a bound changes."""
    m = member(world, action)
    s = m.settings
    return reload(m, action, {"listens_more": not s["listens_more"], "idle_s": 135 - s["idle_s"],
                              "connections": 5000 - s["connections"]})


@fault(2, programs, (0.1, 0.5))
def reload_bad(world, action):
    """Not once the autoscaler may have checked the file that was there before: it is read once more by
    the program that takes its place."""
    m = member(world, action)
    if m.kind == "autoscaler" and m.is_upgrading():
        return SKIPPED
    text = m.conf_text()
    m.write_conf(action.dice.choice((
        text.replace("log_level", "log_levl"), text.rstrip()[:-1], "\0", "services",
        text.replace("socket", 'socket = "/x"\nsocket'), text + 'service "one" { }')))
    if hang_up(m) is SKIPPED:
        m.write_conf()
        return SKIPPED
    return m.write_conf


# --- upgrades

def member_to_upgrade(world, action):
    m = member(world, action)
    return m if m.has_started() and not m.is_ending else None


def until(is_over, then=lambda: None):
    return lambda: then() if is_over() else NOT_YET


@fault(4, programs)
def upgrade(world, action):
    """Another process of the same program takes its place."""
    m = member_to_upgrade(world, action)
    return SKIPPED if m is None else until(m.upgrade())


@fault(2, programs, (0, 0.3))
def upgrade_twice(world, action):
    """The second one is asked of all of its processes, at any moment of the first."""
    m = member_to_upgrade(world, action)
    if m is None:
        return SKIPPED
    pending = [m.upgrade()]

    def again():
        if len(pending) == 1 and m.has_started():  # not one that was started again just now
            newer = m.newer() if m.kind == "activator" else []
            pending.append(m.upgrade())
            for pid in newer:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGUSR2)
        return None if all(is_over() for is_over in pending) else NOT_YET
    return again


@fault(2, programs, (0, 0.2))
def upgrade_to_bad(world, action):
    """What is on disk does not start, ends, crashes, or takes other arguments; or nothing is there.  Not
    once the autoscaler may have checked the program that was there before, which takes its place."""
    m = member_to_upgrade(world, action)
    if m is None or (m.kind == "autoscaler" and m.is_upgrading()):
        return SKIPPED
    text, mode = action.dice.choice((
        ("exit 3\n", 0o755), ("sleep 0.3\nexit 1\n", 0o755), ("kill -SEGV $$\n", 0o755),
        ("kill -KILL $$\n", 0o755), ("exit 0\n", 0o644), (None, 0),
        ('exec "%s" "$@" --nonsense\n' % os.path.join(BUILD, m.kind), 0o755)))
    if text is None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(m.path)
    else:
        m.put_script(text, mode)
    return until(m.upgrade(), m.put_program)


@fault(3, activators, (0, 0.3), whose="activator", since="opened", after_s=1)
def kill_newer_in_upgrade(world, action):
    """The older one goes on, and no client notices."""
    m = member_to_upgrade(world, action)
    if m is None:
        return SKIPPED
    is_over, killed, starts = m.upgrade(), [], []

    def kill_it():
        if starts:
            return starts[0]()
        for pid in [] if killed else m.newer():
            m.kill_process(pid)
            killed.append(pid)
        killed.append(0)
        if not is_over():
            return NOT_YET
        if m.pid not in killed:
            return None
        action.may = frozenset(("gone", "cut", "refused"))  # it has taken over just before
        if members.is_alive(m.pid):  # it still dies, and would pass for one that runs
            return NOT_YET
        starts.append(starting_again(m))
        return starts[0]()
    return kill_it


@fault(3, activators, (0, 0.3), {"gone", "cut", "refused"}, "activator", "opened", 1)
def kill_older_in_upgrade(world, action):
    """The newer one takes over by itself, with the sockets that it has been given by then."""
    m = member_to_upgrade(world, action)
    if m is None:
        return SKIPPED
    pid, start = m.pid, starting_again(m)
    m.upgrade()

    def kill_it():
        m.kill_process(pid)
        return NOT_YET if members.is_alive(pid) else start()
    return kill_it


@fault(2, none, (0, 0.1))
def kill_autoscaler_in_upgrade(world, action):
    m = world.autoscaler
    if not m.has_started():
        return SKIPPED
    pid, start = m.pid, starting_again(m)
    m.upgrade()

    def kill_it():
        if m.pid == pid and m.is_running():
            m.kill()
        return start()
    return kill_it


def by_ctl(world, action, command):
    """activatorctl says what has become of it, whatever happens meanwhile."""
    if not world.autoscaler.has_started():
        return SKIPPED
    for a in world.activators:
        a.begin_upgrade()
    program = subprocess.Popen(
        [os.path.join(BUILD, "activatorctl"), "-c", world.autoscaler.conf, "--timeout", "20s",
         command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    world.strangers.add(program.pid)
    started = time.monotonic()

    def is_over():
        if program.poll() is None:
            assert time.monotonic() - started < WAIT_S, "activatorctl %s does not end" % command
            return False
        text = program.stdout.read().decode()
        program.stdout.close()
        assert program.returncode in (0, 1, 2, 4, 5) and text, "activatorctl %s: status %d: %s" % (
            command, program.returncode, text)
        return True
    return is_over


@fault(2, none)
def reload_by_ctl(world, action):
    is_over = by_ctl(world, action, "reload")
    return SKIPPED if is_over is SKIPPED else until(is_over)


@fault(2, none)
def upgrade_by_ctl(world, action):
    """All activators."""
    is_over = by_ctl(world, action, "upgrade")

    def settle():
        return NOT_YET if any(a.newer() for a in world.activators) else None
    if is_over is SKIPPED:
        return SKIPPED
    done = []

    def end():
        if not done and not is_over():
            return NOT_YET
        done.append(True)
        return settle()
    return end


# --- the links

def break_link(action, control):
    rng = action.dice
    garbage = rng.choice((
        b"\n", b"\0\n", b"{}\n", b"[]\n", b'{"type":"hello"}\n', b'{"type":\n', b'{"type":"none"}\n',
        b'{"type":"drained","token":"none"}\n', b'{"type":"stats","period_ms":-1}\n',
        b"[" * 3999 + b"\n",
        b'{"type":"end","generation":1,"services":9}\n', b"x" * 4000, rng.randbytes(200) + b"\n",
        b'{"type":"instances","revision":"one/v1","instances":[{"id":1}]}\n'))
    how = rng.choice((members.LINK_CUT, members.LINK_HALF, members.LINK_GARBAGE))
    control.break_link(how, garbage, 300 if b"\n" not in garbage else 1)


@fault(4, programs)
def break_link_of(world, action):
    """It ends, ends within a line, or brings garbage: what this program sends next."""
    break_link(action, member(world, action).control)


@fault(2, programs, (0.2, 3))
def stall_link_of(world, action):
    """It reads its links late, because it has much to do: what comes meanwhile waits for it."""
    control = member(world, action).control
    control.stall(action.dice.choice((0.005, 0.03, 0.1)))
    return lambda: control.stall(0)


@fault(2, none)
def break_link_of_keeper(world, action):
    break_link(action, world.keeper_control)


# --- the machine

@fault(2, none, (0.1, 4))
def fill_disk(world, action):
    """The folder of the state, for autoscaler and keeper."""
    world.autoscaler.control.fill_disk(True)
    world.keeper_control.fill_disk(True)

    def undo():
        world.autoscaler.control.fill_disk(False)
        world.keeper_control.fill_disk(False)
    return undo


def limit(m, action):
    if not m.has_started():
        return SKIPPED
    pid = m.pid
    m.limit_descriptors(action.dice.choice((0, 1, 3)))

    def undo():
        if m.is_running() and m.pid == pid:
            m.limit_descriptors(None)
    return undo


@fault(2, activators, (0.1, 2), {"queue_full", "gone"}, "activator", "opened")
def take_descriptors_of_activator(world, action):
    """A new connection is answered with 503 and closed; one of TLS or HTTP/2 is closed."""
    return limit(member(world, action), action)


@fault(2, none, (0.1, 2), {"activation_failed"}, after_s=LATE_S)
def take_descriptors_of_autoscaler(world, action):
    return limit(world.autoscaler, action)


@fault(2, programs, (0.1, 4))
def step_clock(world, action):
    control = member(world, action).control
    control.step_clock(action.dice.choice((-7200, -3600, -1, 1, 60, 3600, 7200)))
    return lambda: control.step_clock(0)


def table():
    """What clients may see of each fault, for people."""
    lines = ["%-32s %-22s %s" % ("fault", "whose requests", "may see, besides their answers")]
    for name, row in sorted(FAULTS.items()):
        lines.append("%-32s %-22s %s" % (name, {"all": "all", "activator": "by that activator",
                                                "service": "of that service"}[row.whose] if row.may
                                         else "-", ", ".join(sorted(row.may)) or "nothing"))
    return "\n".join(lines)


# --- plans

def plan_of(world, seed, seconds, names=None):
    """What happens when, all of it decided by the seed.  Each third seed has one fault after
    another, to see what each does; the others have several at once."""
    rng = random.Random("plan %s" % seed)
    rows = [FAULTS[n] for n in sorted(names or FAULTS)]
    actions, at = [], 0.5
    is_alone = is_one_by_one(seed)
    while at < seconds - 1:
        row = rng.choices(rows, [r.weight for r in rows])[0]
        hold = rng.uniform(*row.hold)
        actions.append(Action(at, row.name, rng.choice(row.targets(world)),
                              min(hold, seconds - at), random.Random(rng.random())))
        at += hold + rng.uniform(1, 2) if is_alone else rng.expovariate(1.8)
    return actions


def is_one_by_one(seed):
    return seed % 3 == 0


class Done:
    """A fault that has happened, from `since` until `until`."""

    def __init__(self, action, since):
        self.row, self.action, self.since, self.until = FAULTS[action.name], action, since, None
        self.undo = None

    @property
    def may(self):
        return self.row.may | self.action.may

    def is_seen_by(self, a):
        """May the request have felt it?"""
        since = a.opened if self.row.since == "opened" else a.sent
        if not (self.since <= a.ended and since <= self.until + self.row.after_s):
            return False
        return {"activator": a.activator == self.action.target,
                "service": a.service == self.action.target, "all": True}[self.row.whose]

    def __str__(self):
        return "%-30s %-11s %.3f to %.3f" % (self.row.name, self.action.target, self.since,
                                             self.until or 0)


def execute(world, actions, seconds, done):
    """Appends to done what has happened, in the order of the beginnings."""
    start, due = time.monotonic(), []
    queue = collections.deque(actions)

    def undo(d):
        if d.undo is not None and d.undo() is NOT_YET:
            due.append((time.monotonic() - start + 0.05, d))
        else:
            d.until = time.monotonic()

    while queue or due:
        now = time.monotonic() - start
        assert now < seconds + 5 * WAIT_S, "never over: %s" % [str(d) for _, d in due]
        world.statuses()
        while due and due[0][0] <= now:
            undo(due.pop(0)[1])
        while queue and queue[0].at <= now:
            action = queue.popleft()
            d = Done(action, time.monotonic())
            d.undo = d.row.do(world, action)
            if d.undo is SKIPPED:
                continue
            done.append(d)
            due.append((time.monotonic() - start + action.hold, d))
        due.sort(key=lambda x: x[0])
        time.sleep(0.005)
    time.sleep(max(0, seconds - (time.monotonic() - start)))
