"""The programs under test and all that they touch: one or two activators, an autoscaler with its
keeper, their conf files, their instances (witness.c), and what can be made to fail around them
(faults.c)."""
import contextlib
import glob
import json
import mmap
import os
import re
import resource
import signal
import struct
import subprocess
import time
import urllib.error
import urllib.request

from helpers import BUILD, IS_SANITISED, ROOT, WAIT_S, claim_range, free_port, release, wait_until
from stack import Program
from tls import Tls

WITNESS = os.path.join(ROOT, "build/test/chaos/witness")
FAULTS = os.path.join(ROOT, "build/test/chaos/faults.so")
SIGNS = ("WARNING: ThreadSanitizer", "ERROR: AddressSanitizer", "runtime error:", "LeakSanitizer",
         "check failed")
STARTED_FDS = 12  # a program that has started has more
ABORT_S = 1  # abort_timeout
# name: (container_concurrency, max_scale, ms from its start until it listens, more keys)
SERVICES = {
    "one": (1, 3, 0, ""),
    "few": (3, 2, 50, ""),
    "any": (0, 2, 0, ""),
    "cold": (1, 2, 300, ""),
    "edge": (1, 1, 300, ""),
    "odd": (2, 2, 0, "response_timeout = 1s stall_timeout = 1s"),
    "extra": (1, 1, 0, ""),  # it comes and goes by reloads
}
LINK_CUT, LINK_HALF, LINK_GARBAGE = 1, 2, 3


def sanitiser():
    """The library of the sanitiser: it must be the first that is preloaded."""
    if not IS_SANITISED:
        return ""
    name = "libasan.so" if BUILD.endswith("address") else "libtsan.so"
    return subprocess.run(["gcc", "-print-file-name=" + name], check=True, capture_output=True,
                          text=True).stdout.strip()


class Control:
    """The struct control of faults.c, shared with one program."""

    STEP, FULL, FAULT, REPEAT, TEXT_N, MET_FULL, MET_LINK, TEXT = 0, 8, 12, 16, 20, 24, 28, 32
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

    def break_link(self, fault, text=b"", repeat=1):
        """At the next send."""
        self.map[self.TEXT:self.TEXT + len(text)] = text
        self.put(self.TEXT_N, len(text))
        self.put(self.REPEAT, repeat)
        self.put(self.FAULT, fault)


class Member:
    """An activator, or the autoscaler.  The same one after it was killed and started again."""

    def __init__(self, world, name):
        self.world, self.name = world, name
        self.kind = name.rstrip("0123456789")
        self.conf, self.log = world.file(name + ".conf"), world.file(name + ".log")
        self.control = Control(world.file(name + ".control"))
        self.program, self.pid, self.started, self.settings = None, None, 0, {}
        self.is_ending = False  # in order

    def conf_text(self):
        return self.world.conf_text()

    def write_conf(self, text=None):
        with open(self.conf + ".new", "w") as f:
            f.write(self.conf_text() if text is None else text)
        os.replace(self.conf + ".new", self.conf)

    def start(self):
        self.started = time.monotonic()
        self.program = Program(self.kind, self.conf, self.log, {
            "LD_PRELOAD": " ".join(filter(None, (sanitiser(), FAULTS))),
            "CHAOS_CONTROL": self.world.file(self.name + ".control"),
            "CHAOS_WORLD": self.world.path, "CHAOS_MEMBER": self.name})
        self.pid = self.program.pid

    def is_running(self):
        """And not dead, nor a zombie."""
        return self.program is not None and self.program.process.poll() is None

    def kill(self):
        self.program.kill(signal.SIGCONT)
        self.program.kill()

    def stop(self):
        self.program.stop()
        self.check_ended()

    def check_ended(self):
        """In order."""
        status = self.program.process.returncode
        assert status == 0, "%s ended with %d:\n%s" % (self.name, status, self.text()[-3000:])

    def text(self):
        return self.program.text() if self.program else ""

    def has_started(self):
        """Has it gone so far that it handles signals, and needs no more descriptors to start?"""
        return self.is_running() and self.descriptors() >= STARTED_FDS

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.pid))

    def limit_descriptors(self, room):
        """So many more than are open now; None: as many as at first."""
        hard = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)[1]
        soft = hard if room is None else self.descriptors() + room
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (min(soft, hard), hard))


class Activator(Member):
    def __init__(self, world, name):
        super().__init__(world, name)
        self.port, self.tls_port, self.admin = free_port(), free_port(), free_port()
        self.more_port = free_port()
        self.settings = {"listens_more": False, "idle_s": 75, "connections": 0}
        self.write_conf()

    def conf_text(self):
        return """socket = "%s/s"
state_dir = "%s/state"
log_level = "debug"
activator { listen = {"127.0.0.1:%d", "127.0.0.1:%d tls"%s} admin = "127.0.0.1:%d" workers = 2
    idle_timeout = %ds max_connections = %d %s }
""" % (self.world.path, self.world.path, self.port, self.tls_port,
       ', "127.0.0.1:%d"' % self.more_port if self.settings["listens_more"] else "", self.admin,
       self.settings["idle_s"], self.settings["connections"], self.world.certificate)

    def get(self, path, timeout=WAIT_S):
        return self.world.get(self.admin, path, timeout)

    def metrics(self):
        return self.world.metrics(self.admin)

    def is_ready(self, timeout=WAIT_S):
        with contextlib.suppress(OSError):
            return self.get("/readyz", timeout)[0] == 200
        return False


class Process:
    """A process of the world.  role: activator, autoscaler, keeper or instance."""

    def __init__(self, pid, member, role, service):
        self.pid, self.member, self.role, self.service = pid, member, role, service


class World:
    def __init__(self, path, activators=1, services=tuple(SERVICES)):
        self.path = str(path)
        os.makedirs(self.file("journals"))
        os.makedirs(self.file("state"))
        self.tls = Tls(self.path)
        self.certificate = self.tls.certificate("test", "localhost")
        self.context = self.tls.context()
        self.instance_ports = claim_range()
        self.scaler_admin = free_port()
        self.services = list(services)
        self.settings = {"extra": True, "any_max": 2, "utilization": 70}
        self.autoscaler = Member(self, "autoscaler")
        self.autoscaler.settings = self.settings
        self.keeper_control = Control(self.file("autoscaler.control.keeper"))
        self.activators = [Activator(self, "activator%d" % i) for i in range(activators)]
        self.members = [*self.activators, self.autoscaler]
        self.autoscaler.write_conf()

    def file(self, name):
        return os.path.join(self.path, name)

    # --- the conf file

    def service(self, name):
        limit, most, startup, more = SERVICES[name]
        if name == "any":
            most = self.settings["any_max"]
        return """service "%s" { hosts = {"%s.test"} container_concurrency = %d max_scale = %d
    abort_timeout = %ds %s
    revision "v1" { command = {"%s", "%s", "%s", "%d", "%d"} environment = {"LD_PRELOAD="} } }
""" % (name, name, limit, most, ABORT_S, more, WITNESS, self.file("journals"), name, limit, startup)

    def conf_text(self):
        return """socket = "%s/s"
state_dir = "%s/state"
log_level = "debug"
activator { activation_timeout = %ds response_timeout = %ds }
autoscaler { admin = "127.0.0.1:%d" ports = "%d-%d" stable_window = 1s scale_to_zero_grace = 1s
    target_utilization = %d }
%s""" % (self.path, self.path, WAIT_S, WAIT_S, self.scaler_admin, *self.instance_ports,
         self.settings["utilization"],
         "".join(self.service(s) for s in self.services if s != "extra" or self.settings["extra"]))

    # --- what runs

    def processes(self, role=None):
        found, mark = [], b"CHAOS_WORLD=" + self.path.encode() + b"\0"
        for pid in os.listdir("/proc"):
            if not pid.isdigit():
                continue
            with contextlib.suppress(OSError):
                with open("/proc/%s/environ" % pid, "rb") as f:
                    environment = f.read()
                if mark not in environment:
                    continue
                with open("/proc/%s/cmdline" % pid, "rb") as f:
                    words = f.read().decode(errors="replace").split("\0")
                member = re.search(rb"CHAOS_MEMBER=(\w+)\0", environment)
                found.append(self.process(int(pid), words, member[1].decode()))
        return [p for p in found if role is None or p.role == role]

    @staticmethod
    def process(pid, words, member):
        name = os.path.basename(words[0])
        if name == "witness":
            return Process(pid, member, "instance", words[2])
        if "--keeper" in words:
            return Process(pid, member, "keeper", None)
        return Process(pid, member, member.rstrip("0123456789"), None)

    def start(self):
        for m in (self.autoscaler, *self.activators):
            m.start()
        for a in self.activators:
            wait_until(a.is_ready, what="/readyz of " + a.name)
        return self

    def thaw(self):
        for p in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(p.pid, signal.SIGCONT)

    def stop(self):
        """In order.  Nothing may be left, and no log may complain."""
        for m in self.members:
            m.stop()
        for m in self.members:
            text = m.text()
            for sign in SIGNS:
                assert sign not in text, text[text.index(sign):][:4000]
        wait_until(lambda: not self.processes(), what="all processes to end")
        sockets = glob.glob(self.file("s")) + glob.glob(self.file("state/*.sock"))
        assert not sockets, "left behind: %r" % sockets

    def clear(self):
        """Whatever is still there ends now."""
        for role in "activator", "autoscaler", "keeper", "instance":
            for p in self.processes(role):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(p.pid, signal.SIGKILL)
        for m in self.members:
            if m.program is not None:
                m.program.process.wait(WAIT_S)
                m.program.out.close()
        release(self.instance_ports[0])

    # --- what they say

    @staticmethod
    def get(port, path, timeout=WAIT_S):
        url = "http://127.0.0.1:%d%s" % (port, path)
        try:
            with urllib.request.urlopen(url, timeout=timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def metrics(self, port):
        text = self.get(port, "/metrics")[1]
        return {m[1]: float(m[2]) for m in re.finditer(r"^([^#\s]\S*(?: [^\s]*=\S*)*) (\S+)$",
                                                       text, re.M)}

    def usage(self):
        """{revision: row}, or None while the journal is read.  What was counted while the clock was
        ahead is of later hours."""
        status, text = self.get(self.scaler_admin, "/usage?from=0&to=2100-01-01&format=json")
        return {r["revision"]: r for r in json.loads(text)["rows"]} if status == 200 else None
