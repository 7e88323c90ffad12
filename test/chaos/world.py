"""The programs under test and all that they touch: one or two activators, an autoscaler with its
keeper, their conf files, their instances (witness.c), and what can be made to fail around them
(faults.c)."""
import contextlib
import glob
import json
import os
import re
import signal
import urllib.error
import urllib.request

from chaos.members import Activator, Control, Member, adopt_orphans, children
from helpers import ROOT, WAIT_S, claim_range, free_port, process_state, release, wait_until
from tls import Tls

WITNESS = os.path.join(ROOT, "build/test/chaos/witness")
SIGNS = ("WARNING: ThreadSanitizer", "ERROR: AddressSanitizer", "runtime error:", "LeakSanitizer",
         "check failed")
FINE = (0, -signal.SIGKILL)  # of an activator that was replaced
ABORT_S = 1  # abort_timeout
# name: (container_concurrency, max_scale, ms from its start until it listens, more keys)
SERVICES = {
    "one": (1, 3, 0, ""),
    "few": (3, 2, 50, ""),
    "any": (0, 2, 0, ""),
    "cold": (1, 2, 300, ""),
    "edge": (1, 1, 300, ""),
    "edge2": (1, 1, 300, ""),
    "edge3": (1, 1, 300, ""),
    "pair": (1, 1, 0, ""),
    "odd": (2, 2, 0, "response_timeout = 1s stall_timeout = 1s"),
    "extra": (1, 1, 0, ""),  # it comes and goes by reloads
}


class Process:
    """A process of the world.  role: activator, autoscaler, keeper or instance.  id: of an
    instance."""

    def __init__(self, pid, member, role, service, id=None):
        self.pid, self.member, self.role, self.service = pid, member, role, service
        self.id = id


class World:
    """is_old: the kernel gives no pidfd of a peer.  is_recorded: with access logs and audits."""

    def __init__(self, path, activators=1, services=tuple(SERVICES), is_old=False,
                 is_recorded=False):
        self.path, self.is_old, self.is_recorded = str(path), is_old, is_recorded
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
        self.programs, self.ended, self.strangers = [], {}, set(children(os.getpid()))

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
activator { activation_timeout = %ds response_timeout = %ds %s }
autoscaler { %s admin = "127.0.0.1:%d" ports = "%d-%d" stable_window = 1s scale_to_zero_grace = 1s
    target_utilization = %d orphan_timeout = %ds }
%s""" % (self.path, self.path, WAIT_S, WAIT_S, "access_log = json" if self.is_recorded else "",
         "" if self.is_recorded else 'audit_file = ""', self.scaler_admin, *self.instance_ports,
         self.settings["utilization"], 5 * WAIT_S,  # a busy machine starts the next one late
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
                id = re.search(rb"ACTIVATOR_INSTANCE=([^\0]*)\0", environment)
                found.append(self.process(int(pid), words, member[1].decode(),
                                          id and id[1].decode()))
        return [p for p in found if role is None or p.role == role]

    @staticmethod
    def process(pid, words, member, id):
        name = os.path.basename(words[0])
        if name == "witness":
            return Process(pid, member, "instance", words[2], id)
        if "--keeper" in words:
            return Process(pid, member, "keeper", None)
        return Process(pid, member, member.rstrip("0123456789"), None)

    def statuses(self):
        """{pid: exit status} of programs that have ended, orphans included."""
        known = {p.pid for p in self.programs} | self.strangers
        for pid in children(os.getpid()):
            with contextlib.suppress(OSError):
                if pid not in known and process_state(pid) == "Z":
                    self.ended[pid] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        for p in self.programs:
            if p.process.poll() is not None:
                self.ended[p.pid] = p.process.returncode
        return self.ended

    def start(self):
        adopt_orphans(True)
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
            wait_until(m.end, what="%s to end" % m.name)
        for m in self.members:
            text = m.text()
            for sign in SIGNS:
                assert sign not in text, text[text.index(sign):][:4000]
        wait_until(lambda: not self.processes(), what="all processes to end")
        statuses = self.statuses()
        for a in self.activators:
            for pid in a.elders:
                assert statuses.get(pid, 0) in FINE, "%s (pid %d) has ended with %d" % (
                    a.name, pid, statuses[pid])
        sockets = glob.glob(self.file("s")) + glob.glob(self.file("state/*.sock"))
        assert not sockets, "left behind: %r" % sockets

    def clear(self):
        """Whatever is still there ends now."""
        for role in "activator", "autoscaler", "keeper", "instance":
            for p in self.processes(role):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(p.pid, signal.SIGKILL)
        for p in self.programs:
            p.process.wait(WAIT_S)
            p.out.close()
        wait_until(lambda: not self.processes(), what="all processes to be killed")
        self.statuses()
        adopt_orphans(False)
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

    def known(self):
        """Ids of the instances that the autoscaler knows of; None: it does not answer now."""
        with contextlib.suppress(OSError):
            status, text = self.get(self.scaler_admin, "/status")
            if status == 200:
                return {i["id"] for r in json.loads(text)["revisions"]
                        for i in r["instances"] or ()}
        return None

    def usage(self):
        """{revision: row}, or None while the journal is read.  What was counted while the clock was
        ahead is of later hours."""
        status, text = self.get(self.scaler_admin, "/usage?from=0&to=2100-01-01&format=json")
        return {r["revision"]: r for r in json.loads(text)["rows"]} if status == 200 else None
