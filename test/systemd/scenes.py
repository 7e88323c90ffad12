"""What is done to both programs on a machine with systemd, and what has to come of it.  Each function
raises where something else has come; what it returns is printed."""
import contextlib
import ctypes
import glob
import json
import os
import re
import signal
import statistics
import subprocess
import time
import urllib.request

from helpers import WAIT_S, wait_until
from stack import Client, TlsClient
from tls import Tls
from upgrading import Load, Tunnels

PORT, ADMIN, SCALER_ADMIN, TLS_PORT = 8080, 8081, 8082, 8443
CONF = "/etc/activator/activator.conf"
UNITS = ("autoscaler", "activator")
BASE = """
activator {
    listen = {"0.0.0.0:%(port)d"%(listen)s}
    admin = "127.0.0.1:%(admin)d"
    drain_timeout = %(drain)s
    workers = 2
    %(activator)s
}
autoscaler {
    admin = "127.0.0.1:%(scaler)d"
    %(autoscaler)s
}
service "s" { hosts = {"s"} revision "v1" { command = {"/srv/hello"} min_scale = 1 } }
service "one" { hosts = {"one"} container_concurrency = 1
    revision "v1" { command = {"/srv/hello"} min_scale = 1 max_scale = 1 } }
service "tunnel" { hosts = {"tunnel"} revision "v1" { addresses = {"127.0.0.1:%(tunnels)d"} } }
"""


class World:
    """The machine, and an instance for tunnels that runs beside it."""

    port = PORT  # for Load

    def __init__(self, machine):
        self.m, self.tunnels, self.tls = machine, Tunnels(), None
        self.write_conf()

    def write_conf(self, activator="", autoscaler="", listen="", drain="1s", more=""):
        self.m.write(CONF, BASE % {
            "port": PORT, "admin": ADMIN, "scaler": SCALER_ADMIN, "listen": listen,
            "activator": activator, "autoscaler": autoscaler, "drain": drain,
            "tunnels": self.tunnels.port} + more, 0o640)

    def drop_in(self, unit, text):
        """Instead of the one before; "": none."""
        path = "/etc/systemd/system/%s.d/test.conf" % unit
        if text:
            self.m.write(path, text)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.m.path(path))
        self.m.run("systemctl", "daemon-reload")

    def url(self, port, path):
        with urllib.request.urlopen("http://127.0.0.1:%d%s" % (port, path), timeout=WAIT_S) as a:
            return a.read().decode()

    def metric(self, port, name):
        return float(re.search(r"^%s (\S+)$" % re.escape(name), self.url(port, "/metrics"), re.M)[1])

    def reloads(self):
        return (self.metric(ADMIN, "activator_config_reloads_total"),
                self.metric(SCALER_ADMIN, "autoscaler_config_reloads_total"))

    def is_ready(self):
        try:
            return self.url(ADMIN, "/readyz") is not None
        except OSError:
            return False

    def get(self, host="s", path="/", port=PORT):
        with Client(port) as c:
            c.request("GET", path, host, fields=[("Connection", "close")])
            return c.response()

    def wait_served(self):
        def is_served():
            with contextlib.suppress(OSError, AssertionError):
                return self.get()[0] == 200
        wait_until(is_served, what="an answer")

    def restart(self, *units):
        """With nothing under way."""
        self.m.run("systemctl", "reset-failed")
        self.m.run("systemctl", "restart", *(units or UNITS))
        wait_until(self.is_ready, what="/readyz")
        self.wait_served()

    def elders(self):
        return json.loads(self.url(ADMIN, "/status"))["older_processes"]

    def close(self):
        self.tunnels.close()


# --- under load

class LoadOfRestarts(Load):
    """An idle connection may end: the next activator cannot take it over, and a client sends its
    request again."""

    def short(self):
        with Client(self.stack.port) as c:
            self.check(c, "s")
            while not self.is_over.is_set():
                time.sleep(0.002)
                try:
                    if not self.check(c, "s"):
                        return
                except (AssertionError, ConnectionResetError, BrokenPipeError) as e:
                    if isinstance(e, AssertionError) and "inside a head: b''" not in str(e):
                        raise
                    self.done("idle_ended")
                    return


class Figures:
    """What clients have seen during each step.  Refused connections and wrong answers are errors."""

    def __init__(self, world):
        self.world, self.rows = world, []

    def measure(self, what, times, step, kind=Load):
        """Steps under load; the row, and a failure if a client has seen anything."""
        with kind(self.world) as load:
            begin = time.monotonic()
            with load.lock:
                load.waits, before = [], dict(load.counts)
            for i in range(times):
                step(load, i)
            with load.lock:
                waits, errors = sorted(load.waits), list(load.errors)
                counts = {k: v - before.get(k, 0) for k, v in load.counts.items()}
            seconds = time.monotonic() - begin
        text = "%d times in %.1f s; %s; short: median %.1f, p99 %.1f, worst %.0f ms; errors %d" % (
            times, seconds, ", ".join("%s %d" % c for c in sorted(counts.items())),
            1e3 * statistics.median(waits), 1e3 * waits[len(waits) * 99 // 100], 1e3 * waits[-1],
            len(errors))
        assert not errors, "%s: %s: %s" % (what, text, errors[:10])
        return text


def change_conf(w, i):
    """A time limit, a bound, a service that comes and goes."""
    if i % 2 == 0:
        w.write_conf("max_parked = 9000 idle_timeout = 74s",
                     more='service "more" { hosts = {"more"} revision "v1" { command = {"true"} } }')
    else:
        w.write_conf()


def reload_both(w, load, i):
    before = w.reloads()
    change_conf(w, i)
    w.m.run("systemctl", "reload", *UNITS)
    wait_until(lambda: all(now > was for now, was in zip(w.reloads(), before)), what="the reload")
    load.wait_more()


def reload_by_ctl(w, load, i):
    before = w.reloads()
    change_conf(w, i)
    w.m.run("activatorctl", "reload")
    assert all(now > was for now, was in zip(w.reloads(), before))
    load.wait_more()


def replace_programs(w):
    """As `make install` and packages do it: by a rename."""
    for name in ("activator", "autoscaler"):
        path = w.m.path("/usr/local/sbin/" + name)
        with open(path, "rb") as f, open(path + ".new", "wb") as new:
            new.write(f.read())
        os.chmod(path + ".new", 0o755)
        os.replace(path + ".new", path)


def upgrade_activator(w, load, i):
    """In turn by a signal and by activatorctl; systemd follows the new process."""
    wait_until(lambda: w.elders() <= 1, what="older activators to end")
    replace_programs(w)
    before = w.m.main_pid("activator")
    if i % 2 == 0:
        w.m.run("systemctl", "kill", "--kill-whom=main", "--signal=USR2", "activator")
    else:
        w.m.run("activatorctl", "upgrade")
    wait_until(lambda: w.m.main_pid("activator") not in (0, before), what="the new main process")
    wait_until(lambda: json.loads(w.url(ADMIN, "/status"))["pid"] == w.m.main_pid("activator"),
               what="the new activator to answer")
    assert w.m.show("activator", "ActiveState") == "active"
    load.wait_more()


def started_at(w):
    return w.m.journal("autoscaler", "-o", "cat").count('msg="autoscaler started"')


def upgrade_autoscaler(w, load, i):
    replace_programs(w)
    before, pid = started_at(w), w.m.main_pid("autoscaler")
    w.m.run("systemctl", "kill", "--kill-whom=main", "--signal=USR2", "autoscaler")
    wait_until(lambda: started_at(w) > before, what="the new autoscaler")
    assert w.m.main_pid("autoscaler") == pid
    load.wait_more()


def restart_autoscaler(w, load, i):
    w.m.run("systemctl", "restart", "autoscaler")
    load.wait_more()


def kill_autoscaler(w, load, i):
    before = w.m.main_pid("autoscaler")
    os.kill(w.m.outside(before), signal.SIGKILL)
    wait_until(lambda: w.m.main_pid("autoscaler") not in (0, before), what="the autoscaler")
    load.wait_more()


def restart_with_socket(w, load, i):
    """Connections that are open end in order, and new ones wait."""
    w.m.run("systemctl", "restart", "activator")
    wait_until(w.is_ready, what="/readyz")
    load.wait_more()


# --- one after another

def units(w):
    """systemd-analyze verify says nothing, and how exposed each unit is."""
    done = w.m.ask("systemd-analyze", "verify", "--man=no", *(
        "/usr/local/lib/systemd/system/" + u for u in ("activator.service", "activator.socket",
                                                       "autoscaler.service")))
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    levels = []
    for unit, drop_in, most in (("activator", "", 3.0), ("autoscaler", "", 4.0),
                                ("autoscaler", "kubernetes", 3.0),
                                ("autoscaler", "single-user", 3.0)):
        name = unit + (" with %s.conf" % drop_in if drop_in else "")
        w.drop_in("autoscaler.service", w.m.read("/usr/local/share/activator/autoscaler-%s.conf" %
                                                 drop_in) if drop_in else "")
        out = w.m.run("systemd-analyze", "--no-pager", "security", unit + ".service")
        level = float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", out)[1])
        assert level < most, out
        levels.append("%s %.1f" % (name, level))
    w.drop_in("autoscaler.service", "")
    return ", ".join(levels)


def first_start(w):
    """As README says: enable and start both; the first request starts its program."""
    w.m.run("activator", "-t")
    w.m.run("systemctl", "enable", "--now", *UNITS)
    for unit in UNITS:
        assert w.m.show(unit, "ActiveState") == "active"
    w.wait_served()
    return "both are active, and a request is answered"


def descriptors(w):
    """With activator.socket: one socket an address, of which all workers accept."""
    w.m.run("systemctl", "stop", "activator")
    w.m.run("systemctl", "enable", "--now", "activator.socket")
    assert w.m.show("activator", "ActiveState") != "active"
    begin = time.monotonic()
    assert w.get()[0] == 200  # it starts by this
    took = time.monotonic() - begin
    inodes = set()
    with open("/proc/%d/net/tcp" % w.m.pid) as f:
        for line in f:
            fields = line.split()
            if fields[1].endswith(":%04X" % PORT) and fields[3] == "0A":
                inodes.add(fields[9])
    assert len(inodes) == 1, inodes
    return "one descriptor; the first connection started the activator, and was answered in %d ms" % (
        took * 1e3)


def hang(tid):
    """Stop one thread of a process, as its tracer."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    seize, interrupt = 0x4206, 0x4207
    for request in seize, interrupt:
        assert libc.ptrace(request, tid, None, None) == 0, os.strerror(ctypes.get_errno())
    wait_until(lambda: state_of(tid) == "t", what="the thread to stop")


def reap(tid):
    """The process of a traced thread ends once its tracer has seen the end of the thread."""
    wall = 0x40000000
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(tid, os.WNOHANG | wall)[0] != 0:
            pass
    return True


def state_of(tid):
    try:
        with open("/proc/%d/stat" % tid) as f:
            return f.read().rpartition(")")[2].split()[0]
    except OSError:
        return None


def threads_of(pid):
    return sorted(int(os.path.basename(p)) for p in glob.glob("/proc/%d/task/*" % pid))


def watchdog(w):
    """A worker thread that hangs, and programs that do: systemd ends and restarts them."""
    said = []
    for unit, what in (("activator", "a worker"), ("activator", "all"), ("autoscaler", "all")):
        w.drop_in(unit + ".service", "[Service]\nWatchdogSec=3\n")
        w.restart(unit)
        before = w.m.main_pid(unit)
        here = w.m.outside(before)
        begin = time.monotonic()
        if what == "all":
            os.kill(here, signal.SIGSTOP)
        else:
            tid = threads_of(here)[-1]
            hang(tid)
        wait_until(lambda: (what == "all" or reap(tid)) and w.m.main_pid(unit) not in (0, before),
                   what="the restart of " + unit)
        if what != "all":
            assert "a thread does not answer; systemd will end this process" in w.m.journal(unit)
        wait_until(lambda: w.m.show(unit, "ActiveState") == "active", what=unit)
        wait_until(w.is_ready, what="/readyz")
        w.wait_served()
        said.append("%s (%s) after %.1f s" % (unit, what, time.monotonic() - begin))
        w.drop_in(unit + ".service", "")
        w.restart(unit)
    return "WatchdogSec=3: served again: " + ", ".join(said)


def without_autoscaler(w):
    """The activator accepts before it is ready, and systemd never ends it for that."""
    w.m.run("systemctl", "stop", "activator", "autoscaler")
    w.m.run("systemctl", "mask", "--runtime", "autoscaler")
    w.m.run("systemctl", "start", "--no-block", "activator")
    assert w.m.show("activator", "TimeoutStartUSec") == "infinity"
    try:
        wait_until(lambda: "msg=\"activator started\"" in w.m.journal(
            "activator", "_PID=%d" % w.m.main_pid("activator"), "-o", "cat"), what="the activator")
        with Client(PORT) as c:
            c.request("GET", "/", "s")
            assert w.m.show("activator", "ActiveState") == "activating"
            w.m.run("systemctl", "unmask", "--runtime", "autoscaler")
            w.m.run("systemctl", "start", "autoscaler")
            assert c.response()[0] == 200
        wait_until(lambda: w.m.show("activator", "ActiveState") == "active", what="the unit")
    finally:
        w.m.run("systemctl", "unmask", "--runtime", "autoscaler")
    w.restart()
    return "a request waited for it, and was answered"


def late_address(w):
    """An address that comes late: systemd goes on starting, beyond its usual limit of five."""
    w.write_conf(listen=', "10.99.99.99:8090"')
    w.m.run("systemctl", "restart", "activator", check=False)
    wait_until(lambda: int(w.m.show("activator", "NRestarts")) > 6, what="restarts")
    subprocess.run(["ip", "address", "add", "10.99.99.99/32", "dev", "lo"], check=True)
    wait_until(w.is_ready, what="/readyz")
    tries = w.m.show("activator", "NRestarts")
    w.write_conf()
    w.restart("activator")
    return "served after %s tries" % tries


def open_tunnel(c):
    c.sendall(b"GET / HTTP/1.1\r\nHost: tunnel\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
    assert c.head()[0].split()[1] == "101"


def upgrade_and_kill(w):
    """Kill the activator that an upgrade has begun.  Returns after how many seconds a third one
    serves."""
    before = w.m.main_pid("activator")
    w.m.run("activatorctl", "upgrade")
    wait_until(lambda: w.m.main_pid("activator") not in (0, before), what="MAINPID=")
    new = w.m.main_pid("activator")
    begin = time.monotonic()
    os.kill(w.m.outside(new), signal.SIGKILL)
    wait_until(lambda: w.m.main_pid("activator") not in (0, new), what="a third activator")
    wait_until(w.is_ready, what="/readyz")
    w.wait_served()
    return time.monotonic() - begin


def killed_after_upgrade(w):
    """The main process is a child of the older one, which still has a tunnel: it ends early, and
    systemd, which had not noticed, starts another one."""
    w.write_conf(drain="24h")
    w.restart("activator")
    with Client(PORT) as tunnel:
        open_tunnel(tunnel)
        took = upgrade_and_kill(w)
    w.write_conf()
    w.restart("activator")
    return "served again after %.1f s" % took


def killed_under_a_request(w):
    """Where the older one still finishes a request, the watchdog notices."""
    w.drop_in("activator.service", "[Service]\nWatchdogSec=3\n")
    w.restart("activator")
    with Client(PORT) as busy:
        busy.request("GET", "/?ms=20000", "s")
        wait_until(lambda: 'activator_revision_in_flight{revision="s/v1"} 1' in
                   w.url(ADMIN, "/metrics"), what="the request")
        took = upgrade_and_kill(w)
        lost = ""
        try:
            assert busy.response()[0] == 200
        except (AssertionError, OSError):
            lost = "; the request of the older one was lost"
    w.drop_in("activator.service", "")
    w.restart("activator")
    return "WatchdogSec=3: served again after %.1f s%s" % (took, lost)


def credential(w):
    """LoadCredential= for the key of a certificate; after an upgrade and a reload, too."""
    folder = w.m.path("/root/tls")
    os.makedirs(folder, exist_ok=True)
    tls = Tls(folder)
    text = tls.certificate("www", "localhost")
    key = re.search(r'key = "([^"]+)"', text)[1]
    os.chmod(key, 0o600)
    text = text.replace(key, "credential:www.key").replace(
        w.m.path("/root/tls"), "/etc/activator/tls")
    os.makedirs(w.m.path("/etc/activator/tls"), exist_ok=True)
    chain = os.path.basename(re.search(r'chain = "([^"]+)"', text)[1])
    with open(os.path.join(folder, chain)) as f:
        w.m.write("/etc/activator/tls/" + chain, f.read())
    w.drop_in("activator.service", "[Service]\nLoadCredential=www.key:/root/tls/%s\n" %
              os.path.basename(key))
    w.write_conf(activator=text, listen=', "0.0.0.0:%d tls"' % TLS_PORT)
    w.restart("activator")

    def ask():
        with TlsClient(TLS_PORT, tls.context()) as c:
            c.request("GET", "/", "s", fields=[("Connection", "close")])
            return c.response()[0]

    assert ask() == 200
    before = w.reloads()[0]
    w.write_conf(activator=text + " idle_timeout = 50s", listen=', "0.0.0.0:%d tls"' % TLS_PORT)
    w.m.run("systemctl", "reload", "activator")
    wait_until(lambda: w.reloads()[0] > before, what="the reload")
    assert ask() == 200
    w.m.run("activatorctl", "upgrade")
    assert ask() == 200
    w.drop_in("activator.service", "")
    w.write_conf()
    w.restart("activator")
    return "a key that only root may read serves TLS, after a reload and an upgrade, too"


def bad_reload(w):
    """systemctl reload fails on a file with a mistake, the journal names file and line, and all goes
    on."""
    w.write_conf(autoscaler="stable_windo = 9s")
    said = []
    for unit in UNITS:
        done = w.m.ask("systemctl", "reload", unit)
        assert done.returncode != 0, "systemctl reload %s: status 0" % unit
        lines = w.m.journal(unit, "-p", "err", "-o", "cat")
        assert re.search(r"activator\.conf:\d+: stable_windo: unknown key", lines), lines
        assert w.m.show(unit, "ActiveState") == "active"
        said.append("%s: status %d" % (unit, done.returncode))
    assert w.get()[0] == 200
    w.write_conf()
    w.m.run("systemctl", "reload", *UNITS)
    return ", ".join(said) + "; the journal names file and line"


def journal(w):
    """Priorities, and one time a line."""
    entries = []
    for unit in UNITS:
        for line in w.m.journal(unit, "-o", "json").splitlines():
            e = json.loads(line)
            if e.get("_TRANSPORT") == "stdout" and isinstance(e["MESSAGE"], str):
                entries.append((e["PRIORITY"], e["MESSAGE"]))
    levels = {"debug": "7", "info": "6", "warn": "4", "error": "3"}
    counts = {}
    for priority, text in entries:
        assert not re.search(r"\bts=|^<\d>", text), text
        level = re.match(r"level=(\w+) ", text)
        if level:
            assert priority == levels[level[1]], (priority, text)
            counts[level[1]] = counts.get(level[1], 0) + 1
    assert counts.get("info") and counts.get("error"), counts
    return ", ".join("%s %d" % c for c in sorted(counts.items())) + \
        ": each has its priority, and no time of its own"


def stop(w):
    """Under load: what was read is answered; nothing is left running.  The activator first: without
    the autoscaler it parks what needs another instance."""
    w.write_conf(drain="10s")
    w.restart("activator")
    with LoadOfRestarts(w) as load:
        w.m.run("systemctl", "stop", "activator.socket", "activator", "autoscaler")
        load.is_over.set()
        errors = list(load.errors)
    wrong = [e for e in errors if "ConnectionRefused" not in e]
    left = [p for unit in UNITS for p in w.m.ask(
        "cat", "/sys/fs/cgroup/system.slice/%s.service/cgroup.procs" % unit).stdout.split()]
    assert not left, left
    assert not wrong, wrong
    for unit in UNITS:
        assert w.m.show(unit, "Result") == "success", unit
    return "%d connections refused afterwards, no other error; no process is left" % len(errors)


def single_user(w):
    """The drop-in as its own text says it: all programs run as one user."""
    name = "autoscaler-single-user.conf"
    text = w.m.read("/usr/local/share/activator/" + name)
    for line in re.findall(r"^#   (.*)$", text, re.M):
        w.m.run("sh", "-c", "cd /usr/local/share/activator && " + line)
    try:
        w.m.run("systemctl", "daemon-reload")
        w.m.run("systemctl", "stop", *UNITS)
        w.restart()
        uid = int(w.m.run("id", "-u", "activator"))
        pids = instances(w)
        assert pids
        for pid in pids:
            assert uid == os.stat("/proc/%d" % w.m.outside(pid)).st_uid
        w.m.run("activatorctl", "list")
        w.m.run("systemctl", "restart", "autoscaler")
        wait_until(w.is_ready, what="/readyz")
        w.wait_served()
    finally:
        w.m.run("systemctl", "stop", *UNITS)
        os.unlink(w.m.path("/etc/systemd/system/autoscaler.service.d/single-user.conf"))
        w.m.run("chown", "root:root", CONF)
        w.m.run("systemctl", "daemon-reload")
    w.restart()
    return "it starts, its instances are that user's, activatorctl reaches it, and root's again after it"


KUBECONFIG = """apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:9"}}]
users: [{name: u, user: {}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
"""


def kubernetes(w):
    """The drop-in as its own text says it, with a kubeconfig that only root may read.  No API server
    answers: what is seen is that the autoscaler runs, as a user without rights."""
    name = "autoscaler-kubernetes.conf"
    text = w.m.read("/usr/local/share/activator/" + name)
    for line in re.findall(r"^#   (.*)$", text, re.M):
        w.m.run("sh", "-c", "cd /usr/local/share/activator && " + line)
    w.m.write("/root/.kube/config", KUBECONFIG, 0o600)
    w.drop_in("autoscaler.service", "[Service]\nLoadCredential=kubeconfig:/root/.kube/config\n")
    conf = """autoscaler { driver = "kubernetes" kubeconfig = "credential:kubeconfig" %s }
service "k" { hosts = {"k"} revision "v1" { deployment = "default/k" port = 8080 } }
"""
    try:
        w.m.write(CONF, conf % "", 0o644)
        w.m.run("systemctl", "stop", *UNITS)
        w.m.run("systemctl", "start", *UNITS)
        pid = w.m.outside(w.m.main_pid("autoscaler"))
        assert os.stat("/proc/%d" % pid).st_uid >= 61184  # of DynamicUser=
        wait_until(w.is_ready, what="/readyz")
        wait_until(lambda: "k " in w.m.run("activatorctl", "list"), what="the service")
        before = w.metric(SCALER_ADMIN, "autoscaler_config_reloads_total")
        w.m.write(CONF, conf % "stable_window = 50s", 0o644)
        w.m.run("systemctl", "reload", *UNITS)
        wait_until(lambda: w.metric(SCALER_ADMIN, "autoscaler_config_reloads_total") > before,
                   what="the reload")
    finally:
        w.m.run("systemctl", "stop", *UNITS)
        os.unlink(w.m.path("/etc/systemd/system/autoscaler.service.d/kubernetes.conf"))
        w.drop_in("autoscaler.service", "")
        w.write_conf()
    w.restart()
    return "it runs as a dynamic user, with a kubeconfig that only root may read, and reloads"


def instances(w):
    """Pids there of the programs that the keeper has started."""
    found = []
    for pid in w.m.run("sh", "-c", "cat $(find /sys/fs/cgroup/system.slice/autoscaler.service "
                                   "-name cgroup.procs)").split():
        with contextlib.suppress(OSError, TypeError):
            if os.readlink("/proc/%d/exe" % w.m.outside(int(pid))).endswith("/srv/hello"):
                found.append(int(pid))
    return found


def recover(w):
    """After a failure: both programs as they are after first_start."""
    for unit in ("autoscaler.service", "activator.service"):
        w.drop_in(unit, "")
    w.write_conf()
    with contextlib.suppress(AssertionError, OSError):
        w.restart()
