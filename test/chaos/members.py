"""The programs under test, each with its conf file, its log and what can be made to fail around it
(faults.c).  A member stays the same one after it was killed and started again, or was replaced by an
upgrade.

The process that runs the suite adopts what the programs leave behind (adopt_orphans), as systemd
does: an activator that has taken over is a child of the older one, which ends before it."""
import contextlib
import ctypes
import mmap
import os
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import time

from helpers import BUILD, IS_SANITISED, ROOT, WAIT_S, free_port, process_state, wait_until
from stack import Program

FAULTS = os.path.join(ROOT, "build/test/chaos/faults.so")
# A program that has started has more: an activator some 27, an autoscaler 18.
STARTED_FDS = {"activator": 22, "autoscaler": 14}
LINK_CUT, LINK_HALF, LINK_GARBAGE = 1, 2, 3
PR_SET_CHILD_SUBREAPER = 36
# Lines of an activator's log.
TAKEN_OVER = r'msg="this activator has taken over" pid=(\d+)'
REPLACED = r'msg="a new activator has taken over; this one finishes its requests" pid=(\d+)'
REFUSED = r'msg="the upgrade (?:has failed, this \w+ goes on|is refused)"'
STARTED = r'msg="autoscaler started"'
OVER = {"activator": REPLACED + "|" + REFUSED, "autoscaler": STARTED + "|" + REFUSED}


def adopt_orphans(is_on):
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(is_on), 0, 0, 0) == 0


def children(pid):
    """Of all its threads."""
    found = []
    with contextlib.suppress(OSError):
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/children" % (pid, task)) as f:
                found += map(int, f.read().split())
    return found


def is_alive(pid):
    """And no zombie.  Other threads may end after the first, and hold descriptors so long."""
    try:
        return process_state(pid) not in "ZX" or len(os.listdir("/proc/%d/task" % pid)) > 1
    except OSError:
        return False


def environment_of(pid):
    with contextlib.suppress(OSError), open("/proc/%d/environ" % pid, "rb") as f:
        return f.read()
    return b""


def sanitiser():
    """The library of the sanitiser: it must be the first that is preloaded."""
    if not IS_SANITISED:
        return ""
    name = "libasan.so" if BUILD.endswith("address") else "libtsan.so"
    return subprocess.run(["gcc", "-print-file-name=" + name], check=True, capture_output=True,
                          text=True).stdout.strip()


class Control:
    """The struct control of faults.c, shared with one program."""

    STEP, FULL, FAULT, REPEAT, TEXT_N, STALL, MET_FULL, MET_LINK, MET_STALL, TEXT = (
        0, 8, 12, 16, 20, 24, 28, 32, 36, 40)
    TEXT_MAX = 4000

    def __init__(self, path):
        with open(path, "w+b") as f:
            f.truncate(self.TEXT + self.TEXT_MAX)
            self.map = mmap.mmap(f.fileno(), self.TEXT + self.TEXT_MAX)

    def put(self, at, value):
        struct.pack_into("I", self.map, at, value)

    def get(self, at):
        return struct.unpack_from("I", self.map, at)[0]

    def step_clock(self, seconds):
        struct.pack_into("q", self.map, self.STEP, int(seconds * 1e9))

    def fill_disk(self, is_full):
        self.put(self.FULL, is_full)

    def stall(self, seconds):
        """Before each read of a link."""
        self.put(self.STALL, int(seconds * 1e6))

    def break_link(self, fault, text=b"", repeat=1):
        """At the next send."""
        self.map[self.TEXT:self.TEXT + len(text)] = text
        self.put(self.TEXT_N, len(text))
        self.put(self.REPEAT, repeat)
        self.put(self.FAULT, fault)


class Member:
    """An activator, or the autoscaler.  pid: of the process that serves now."""

    def __init__(self, world, name):
        self.world, self.name = world, name
        self.kind = name.rstrip("0123456789")
        self.conf, self.log = world.file(name + ".conf"), world.file(name + ".log")
        self.path = world.file(name)  # of the program
        self.control = Control(world.file(name + ".control"))
        self.program, self.pid, self.started, self.settings = None, None, 0, {}
        self.is_ending = False  # in order
        self.read_n, self.over_n = 0, 0  # of its log: bytes; upgrades that have come to an end
        self.upgrades = []  # for each that is under way: what upgrade() has returned
        self.killed = set()  # its processes that the suite has killed
        self.put_program()

    def conf_text(self):
        return self.world.conf_text()

    def audit_path(self):
        return self.world.file("state/audit.log")

    def write_conf(self, text=None):
        with open(self.conf + ".new", "w") as f:
            f.write(self.conf_text() if text is None else text)
        os.replace(self.conf + ".new", self.conf)

    # --- what is on disk

    def put_program(self):
        shutil.copy(os.path.join(BUILD, self.kind), self.path + ".new")
        os.replace(self.path + ".new", self.path)

    def put_script(self, text, mode=0o755):
        """A shell script in place of the program."""
        with open(self.path + ".new", "w") as f:
            f.write("#!/bin/sh\n" + text)
        os.chmod(self.path + ".new", mode)
        os.replace(self.path + ".new", self.path)

    # --- its process

    def start(self):
        self.started = time.monotonic()
        self.program = Program(self.kind, self.conf, self.log, {
            "LD_PRELOAD": " ".join(filter(None, (sanitiser(), FAULTS))),
            "CHAOS_CONTROL": self.world.file(self.name + ".control"),
            "CHAOS_WORLD": self.world.path, "CHAOS_MEMBER": self.name,
            **({"CHAOS_NO_PEER_PIDFD": "1"} if self.world.is_old else {})}, path=self.path)
        self.world.programs.append(self.program)
        self.pid = self.program.pid

    def is_running(self):
        return self.pid is not None and is_alive(self.pid)

    def may_take_over(self):
        """Does another process of it start, to take the place of this one?"""
        return False

    def may_start(self):
        """Can it be started again, if it does not run?"""
        return True

    def signal(self, signo):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signo)

    def kill_process(self, pid):
        self.killed.add(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def kill(self):
        self.kill_process(self.pid)
        wait_until(lambda: not is_alive(self.pid), what="%s to be killed" % self.name)
        self.world.statuses()  # reaps it

    def end(self):
        """In order: it is asked to, and to be called until it has: True."""
        if not self.is_ending:
            self.is_ending = True
            self.signal(signal.SIGTERM)
        if self.is_running():
            return False
        self.check_ended(self.pid)
        self.is_ending = False
        return True

    def check_ended(self, pid):
        """In order, or by the suite."""
        status = self.world.statuses().get(pid, 0)
        assert status == 0 or pid in self.killed, "%s ended with %d:\n%s" % (self.name, status, self.text()[-3000:])

    def upgrade(self):
        """Ask for it.  The function that is returned is true once it is over, in any way."""
        self.follow()
        pid, before = self.pid, self.over_n
        self.signal(signal.SIGUSR2)
        self.upgrades.append(lambda: self.is_upgraded(pid, before))
        return self.upgrades[-1]

    def is_upgrading(self):
        self.upgrades = [is_over for is_over in self.upgrades if not is_over()]
        return bool(self.upgrades)

    def is_upgraded(self, pid, before):
        self.follow()
        return not is_alive(pid) or self.over_n > before

    # --- what it says

    def text(self):
        with contextlib.suppress(FileNotFoundError), open(self.log, errors="replace") as f:
            return f.read()
        return ""

    def follow(self):
        """Read what is new in its log; that text."""
        with open(self.log, "ab+") as f:
            f.seek(self.read_n)
            data = f.read()
        data = data[:data.rfind(b"\n") + 1]
        self.read_n += len(data)
        text = data.decode(errors="replace")
        self.over_n += len(re.findall(OVER[self.kind], text))
        return text

    def has_started(self):
        """Has it gone so far that it handles signals, and needs no more descriptors to start?"""
        return self.is_running() and self.descriptors() >= STARTED_FDS[self.kind]

    def descriptors(self):
        with contextlib.suppress(OSError):
            return len(os.listdir("/proc/%d/fd" % self.pid))
        return 0

    def limit_descriptors(self, room):
        """So many more than are open now; None: as many as at first."""
        hard = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)[1]
        soft = hard if room is None else self.descriptors() + room
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (min(soft, hard), hard))


class Activator(Member):
    """elders: the processes that it has replaced, dead or alive."""

    def __init__(self, world, name):
        super().__init__(world, name)
        self.port, self.tls_port, self.admin = free_port(), free_port(), free_port()
        self.more_port = free_port()
        self.settings = {"listens_more": False, "idle_s": 75, "connections": 0}
        self.elders, self.asked_to_end = [], set()
        # No request that came before `started` is this process's; each on a connection that was
        # opened after `alone` is.  alone: None as long as the one before it may accept, too.
        self.alone, self.attempt = None, None
        self.write_conf()

    def conf_text(self):
        return """socket = "%s/s"
state_dir = "%s/state"
log_level = "debug"
activator { listen = {"127.0.0.1:%d", "127.0.0.1:%d tls"%s} admin = "127.0.0.1:%d" workers = 2
    %s head_timeout = %ds tls_handshake_timeout = %ds idle_timeout = %ds max_connections = %d %s }
""" % (self.world.path, self.world.path, self.port, self.tls_port,
       ', "127.0.0.1:%d"' % self.more_port if self.settings["listens_more"] else "", self.admin,
       self.records_text() if self.world.is_recorded else "", WAIT_S, WAIT_S,
       self.settings["idle_s"], self.settings["connections"], self.world.certificate)

    def records_text(self):
        """All its requests in the access log, and its audit."""
        return 'access_log = json access_log_file = "%s.access" access_log_max_bytes = 0\n' \
               '    audit_file = "%s"' % (self.path, self.audit_path())

    def audit_path(self):
        return self.path + ".audit"

    # --- its processes

    def start(self):
        self.follow()
        if self.pid is not None:
            self.elders.append(self.pid)
        super().start()
        self.alone, self.attempt = self.started, None

    def follow(self):
        """Read in its log who has taken over from whom."""
        text = super().follow()
        for m in re.finditer(TAKEN_OVER + "|" + REPLACED, text):
            self.take_over(int(m[1] or m[2]), m[2] is not None)
        if self.alone is None and not any(map(is_alive, self.elders)):
            self.alone = time.monotonic()
        return text

    def take_over(self, pid, is_alone):
        if pid in self.elders:
            return  # a line that comes late
        if pid != self.pid:
            self.elders.append(self.pid)
            self.pid, self.alone = pid, None
            if self.attempt is not None:
                self.started, self.attempt = self.attempt, None
        if is_alone and self.alone is None:
            self.alone = time.monotonic()

    def processes(self):
        """The pids of all that run."""
        self.follow()
        mark = b"CHAOS_MEMBER=" + self.name.encode() + b"\0"
        own = b"CHAOS_WORLD=" + self.world.path.encode() + b"\0"
        # One that is about to be dead has no environment any more.
        known = [p for p in (self.pid, *self.elders) if p is not None]
        found, heads = set(filter(is_alive, known)), children(os.getpid())
        while heads:
            pid = heads.pop()
            environment = environment_of(pid)
            if mark in environment and own in environment and is_alive(pid):
                found.add(pid)
                heads += children(pid)
        return sorted(found)

    def newer(self):
        """Those that have not taken over yet."""
        found = self.processes()
        return [p for p in found if p != self.pid and p not in self.elders]

    def may_take_over(self):
        return bool(self.newer())

    def may_start(self):
        """Those that have left close their listening sockets a little later."""
        for port in (self.port, self.tls_port, self.admin, self.more_port):
            with socket.socket() as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    s.bind(("127.0.0.1", port))
                except OSError:
                    return False
        return True

    def is_running(self):
        self.follow()
        return super().is_running()

    def end(self):
        """All of its processes, as systemd does it."""
        self.is_ending = True
        found = self.processes()
        for pid in set(found) - self.asked_to_end:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            self.asked_to_end.add(pid)
        if found:
            return False
        self.check_ended(self.pid)
        self.asked_to_end.clear()
        self.is_ending = False
        return True

    def begin_upgrade(self):
        """Somebody is about to ask for it."""
        if self.attempt is None:
            self.attempt = time.monotonic()

    def upgrade(self):
        self.begin_upgrade()
        return super().upgrade()

    def is_upgraded(self, pid, before):
        return super().is_upgraded(pid, before) and not self.newer()

    # --- what it says

    def get(self, path, timeout=WAIT_S):
        return self.world.get(self.admin, path, timeout)

    def metrics(self):
        return self.world.metrics(self.admin)

    def is_ready(self, timeout=WAIT_S):
        with contextlib.suppress(OSError):
            return self.get("/readyz", timeout)[0] == 200
        return False
