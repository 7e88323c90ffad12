"""The process driver and its keeper, alone, with real programs: starting and stopping them, how
failures are reported, what survives the end of the autoscaler or of the keeper, and that nothing
is left running."""
import contextlib
import datetime
import fcntl
import json
import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from helpers import (BUILD, ROOT, SLOW, WAIT_S, claim_range, process_state, release, rss_kib,
                     wait_until)

DRIVE = os.path.join(BUILD, "test", "drive")

SERVER = [sys.executable, "-c", """
import http.server, os, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"here")
    def log_message(self, *a): pass
print("listening on", sys.argv[1], flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
""", "$PORT"]
SLEEPER = ["sleep", "1000"]


def is_alive(pid):
    try:
        return process_state(pid) not in "ZX"
    except OSError:
        return False


def uptime():
    with open("/proc/uptime") as f:
        return float(f.read().split()[0])


def comm(pid):
    try:
        with open("/proc/%d/comm" % pid) as f:
            return f.read().strip()
    except OSError:
        return ""


def marked(text):
    """Live processes whose arguments or environment hold text."""
    found = set()
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        if pid == os.getpid() or not is_alive(pid):
            continue
        for part in ("environ", "cmdline"):
            try:
                with open("/proc/%d/%s" % (pid, part), "rb") as f:
                    if text.encode() in f.read():
                        found.add(pid)
            except OSError:
                pass
    return found


def get(port):
    with socket.create_connection(("127.0.0.1", port), 2) as s:
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while True:
            piece = s.recv(4096)
            if not piece:
                return answer
            answer += piece


def cgroup(name):
    """Where the control group (v2) of that name would be; None without any."""
    mounts = [x.split() for x in open("/proc/self/mountinfo") if " - cgroup2 " in x]
    own = [x[3:].strip() for x in open("/proc/self/cgroup") if x.startswith("0::")]
    return "%s%s/%s" % (mounts[0][4], own[0], name) if mounts and own else None


def has_cgroups():
    """Whether control groups (v2) can be made here."""
    path = cgroup("test-%d" % os.getpid())
    if not path:
        return False
    try:
        os.mkdir(path)
        os.rmdir(path)
    except OSError:
        return False
    return True


class Drive:
    """One process of the driver, test/drive.  views: {revision: the newest view}; history: all."""

    def __init__(self, state, ports, orphan_ms=5000):
        self.log_path = os.path.join(state, "log")
        self.log_from = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [DRIVE, state, str(orphan_ms), str(ports[0]), str(ports[1])],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        self.views = {}
        self.history = []
        self.closed = threading.Event()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            event = json.loads(line)
            if event["type"] == "closed":
                self.closed.set()
            else:
                self.history.append(event)
                self.views[event["revision"]] = event

    def do(self, what, **rest):
        self.process.stdin.write(json.dumps(dict(rest, do=what)).encode() + b"\n")
        self.process.stdin.flush()

    def revisions(self, *v):
        self.do("revisions", v=list(v))

    def scale(self, revision, n, victims=()):
        self.do("scale", revision=revision, n=n, victims=list(victims))

    def log(self):
        with open(self.log_path, errors="replace") as f:
            f.seek(self.log_from)
            return f.read()

    def instances(self, revision="a/v1", state=None):
        view = self.views.get(revision)
        if not view or not view["known"]:
            return []
        return [i for i in view["instances"] if state in (None, i["state"])]

    def failure(self, revision="a/v1"):
        """The failure in the newest view."""
        return (self.views.get(revision) or {}).get("failure")

    def failures(self):
        """The failures of all views, in order.  The newest view may have none: a failure ends with
        its back-off."""
        return [v["failure"] for v in self.history if v["failure"]]

    def lines(self, text):
        """The lines of the log that hold text."""
        return [x for x in self.log().splitlines() if text in x]

    def started(self, n=1, revision="a/v1"):
        """Wait until there are n instances, all with a running program."""
        def look():
            v = self.instances(revision)
            log = self.log()
            return len(v) == n and all(
                "instance=%s msg=\"instance started\"" % i["id"] in log for i in v) and v
        return wait_until(look)

    def pid(self, instance):
        line = next(x for x in self.lines("instance started")
                    if "instance=%s " % instance["id"] in x)
        return int(line.rsplit("pid=", 1)[1])

    def report_answering(self, instance):
        """Wait until it listens, and report that it answers."""
        wait_until(lambda: listens(instance["port"]))
        self.do("answers", id=instance["id"])
        wait_until(lambda: any(i["id"] == instance["id"] and i["state"] == "ready"
                          for v in self.views.values() for i in v["instances"]))

    def report_serving(self, instance):
        """Report that it answers, and that it has answered a request."""
        self.report_answering(instance)
        self.do("served", id=instance["id"])

    def close(self, stop_all=True):
        self.do("close", stop_all=stop_all)
        assert self.closed.wait(WAIT_S), self.log()
        assert self.process.wait(WAIT_S) == 0

    def kill(self, signo=signal.SIGKILL):
        self.process.send_signal(signo)
        self.process.wait()


def listens(port):
    try:
        get(port)
        return True
    except OSError:
        return False


class World:
    """A state_dir, and all processes that belong to it: drivers, keepers and instances."""

    def __init__(self, state):
        self.state = state
        st = os.stat(state)
        self.mark = "ACTIVATOR_KEEPER=%x:%x" % (st.st_dev, st.st_ino)
        self.drives = []
        self.ports = claim_range()

    def drive(self, ports=None, **options):
        d = Drive(self.state, ports or self.ports, **options)
        self.drives.append(d)
        return d

    def keeper(self):
        """Wait for a keeper; its process id."""
        def look():
            try:
                with open(os.path.join(self.state, "keeper.lock")) as f:
                    pid = int(f.read() or 0)
                with open("/proc/%d/comm" % pid) as f:
                    return pid if f.read() == "act-keeper\n" else 0
            except (OSError, ValueError):
                return 0
        return wait_until(look)

    def left(self):
        """All processes that belong to it, except the drivers."""
        drives = {d.process.pid for d in self.drives}
        return (marked(self.mark) | marked(self.state)) - drives

    def remove_cgroup(self):
        """Remove the control group, as the next keeper would.  No keeper follows a test that killed
        its keeper."""
        path = cgroup("activator-" + self.mark.split("=")[1])
        if path and os.path.isdir(path):
            wait_until(lambda: "populated 0" in open(path + "/cgroup.events").read())
            for name in [x for x in os.listdir(path) if os.path.isdir(os.path.join(path, x))]:
                os.rmdir(os.path.join(path, name))
            os.rmdir(path)

    def wait_until_empty(self):
        wait_until(lambda: not self.left(), what="all processes to end")


@pytest.fixture
def world(tmp_path):
    state = str(tmp_path / "s")
    os.mkdir(state)
    w = World(state)
    try:
        yield w
        for d in w.drives:
            if d.process.poll() is None:
                d.close()
        w.wait_until_empty()
        for d in w.drives:
            assert "Sanitizer" not in d.log() and "CHECK" not in d.log(), d.log()
    finally:
        for pid in w.left() | {d.process.pid for d in w.drives if d.process.poll() is None}:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        w.remove_cgroup()
        release(w.ports[0])


def revision(command, name="a/v1", **more):
    return dict(more, name=name, command=list(command))


def run_one(world, command, **more):
    """A driver, and its only instance, which runs command."""
    d = world.drive()
    d.revisions(revision(command, **more))
    d.scale("a/v1", 1)
    return d, d.started()[0]


# --- starting and stopping

def test_starts_answers_and_stops(world):
    d, i = run_one(world, SERVER)
    assert i["state"] == "starting" and world.ports[0] <= i["port"] <= world.ports[1]
    wait_until(lambda: listens(i["port"]))
    assert b"here" in get(i["port"])
    d.report_answering(i)
    assert d.failure() is None
    pid = d.pid(i)
    d.scale("a/v1", 0)
    wait_until(lambda: not d.instances() and not is_alive(pid))
    assert 'instance=%s msg="instance stopped" how="was ended by SIGTERM"' % i["id"] in d.log()
    assert "line=\"listening on %d\"" % i["port"] in d.log()


def test_the_newest_scale_counts_and_victims_are_stopped_first(world):
    d = world.drive()
    d.revisions(revision(SLEEPER))
    d.scale("a/v1", 5)
    d.scale("a/v1", 4)
    v = d.started(4)
    d.scale("a/v1", 2, [v[1]["id"], v[2]["id"]])
    wait_until(lambda: [i["id"] for i in d.instances()] == [v[0]["id"], v[3]["id"]])
    d.scale("a/v1", 1)
    wait_until(lambda: [i["id"] for i in d.instances()] == [v[0]["id"]])  # the youngest is stopped
    d.scale("a/v1", 2)
    wait_until(lambda: len(d.instances()) == 2)
    assert d.instances()[1]["id"] not in {i["id"] for i in v}  # an id is never used again


def test_an_instance_that_ended_is_replaced(world):
    d, i = run_one(world, SERVER)
    d.report_answering(i)
    os.kill(d.pid(i), signal.SIGKILL)
    new = wait_until(lambda: [x for x in d.instances() if x["id"] != i["id"]])[0]
    assert new["state"] == "starting" and d.failure() is None
    assert "how=\"was ended by SIGKILL\" was_ready=1" in d.log()


def test_stopped_before_it_is_executed(world):
    d = world.drive()
    d.revisions(revision(SLEEPER))
    for _ in range(20):
        d.scale("a/v1", 3)
        d.scale("a/v1", 0)
    wait_until(lambda: "a/v1" in d.views and d.views["a/v1"]["known"] and not d.instances())
    time.sleep(0.2)
    assert not d.failures()


def test_a_removed_revision_is_stopped(world):
    d = world.drive()
    d.revisions(revision(SLEEPER), revision(SLEEPER, name="b/v1"))
    d.scale("a/v1", 2)
    d.scale("b/v1", 1)
    d.started(2)
    other = d.started(1, "b/v1")[0]
    d.revisions(revision(SLEEPER, name="b/v1"))
    wait_until(lambda: not d.instances())
    assert [i["id"] for i in d.instances("b/v1")] == [other["id"]]


# --- what the program gets

def test_environment_of_an_instance(world):
    script = r"""
import os, resource, signal, sys
print("fds", sorted(os.listdir("/proc/self/fd"))[:4], os.readlink("/proc/self/fd/0"))
print("group", os.getpgrp() == os.getpid() == os.getsid(0))
status = dict(l.rstrip("\n").split(":\t", 1) for l in open("/proc/self/status") if ":\t" in l)
# Signals 32 and 33 are glibc's own: its posix_spawn(3) ignores them, and no program can set them.
print("signals", status["SigBlk"], "%016x" % (int(status["SigIgn"], 16) & ~0x180000000))
print("nofile", resource.getrlimit(resource.RLIMIT_NOFILE)[0])
print("args", sys.argv[1:], *map(os.environ.get, ("PORT", "EXTRA", "NOTIFY_SOCKET")))
print("at", os.getcwd(), os.environ["ACTIVATOR_INSTANCE"])
sys.stdout.flush()
import time; time.sleep(1000)
"""
    os.environ["NOTIFY_SOCKET"] = "/nowhere"
    try:
        d, i = run_one(world, [sys.executable, "-S", "-c", script, "$PORT", "x${PORT}y", "$PORTS"],
                       environment=["EXTRA=a b", "PORT=1"], directory=world.state)
    finally:
        del os.environ["NOTIFY_SOCKET"]
    wait_until(lambda: "line=\"at " in d.log())
    log, port = d.log(), i["port"]
    # 3 is the folder that listdir() reads.
    assert "fds ['0', '1', '2', '3'] /dev/null" in log
    assert "group True" in log
    # Python itself ignores SIGPIPE and SIGXFSZ.
    assert "signals 0000000000000000 0000000001001000" in log
    assert "nofile 1024" in log
    assert "args ['%d', 'x%dy', '$PORTS'] %d a b None" % (port, port, port) in log
    assert "at %s %s" % (world.state, i["id"]) in log


def test_inherited_descriptors_are_closed(world):
    d, i = run_one(world, SLEEPER)
    assert sorted(os.listdir("/proc/%d/fd" % d.pid(i))) == ["0", "1", "2"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root may change the user")
def test_an_instance_of_another_user_dies_with_the_keeper(world):
    nobody = pwd.getpwnam("nobody")
    script = "id -u; id -g; id -G; echo home $HOME; exec sleep 1000"
    d, i = run_one(world, ["sh", "-c", script], user="nobody", directory="/")
    wait_until(lambda: "line=\"home %s\"" % nobody.pw_dir in d.log())
    output = [x.rsplit("line=", 1)[1] for x in d.log().splitlines() if 'msg="output"' in x]
    assert output[0] == str(nobody.pw_uid) and output[1] == str(nobody.pw_gid)
    assert "0" not in output[2].strip('"').split()
    pid = d.pid(i)
    d.kill()
    os.kill(world.keeper(), signal.SIGKILL)
    wait_until(lambda: not is_alive(pid))  # without an autoscaler: the kernel kills it


# --- failures

def log_time(line):
    return datetime.datetime.fromisoformat(re.match(r"ts=(\S+)Z ", line)[1])


def retry_after_ms(line):
    return int(re.search(r"retry_after_ms=(\d+)", line)[1])


def test_a_program_that_exits_at_once(world):
    d = world.drive()
    d.revisions(revision(["sh", "-c", "echo $PORT; exit 3"]))
    d.scale("a/v1", 1)
    f = wait_until(d.failures)[0]
    assert f["reason"] == "exited"
    assert f["message"] == "exited with status 3 before it was ready"
    assert 0 < f["retry_after_ms"] <= 1000
    # The first exit is no failure: the program is started again at once, on another port.
    first, second = d.lines("instance ended by itself")[:2]
    assert "failed=0" in first and retry_after_ms(first) == 0
    assert "failed=1" in second and retry_after_ms(second) > 0
    ports = [x.rsplit("line=", 1)[1] for x in d.lines('msg="output"')[:2]]
    assert len(set(ports)) == 2
    # After the back-off it is started once; the next back-off is 1 to 2 s.
    third = wait_until(lambda: d.lines("instance ended by itself")[2:])[0]
    assert any(v["failure"] is None for v in d.history[d.history.index(
        next(v for v in d.history if v["failure"])):])
    assert "failed=1" in third and retry_after_ms(third) > 900


def test_a_second_start_that_succeeds_is_no_failure(world):
    flag = os.path.join(world.state, "flag")
    script = "[ -e %s ] && exec sleep 1000; touch %s; exit 1" % (flag, flag)
    d, _ = run_one(world, ["sh", "-c", script])
    wait_until(lambda: d.log().count("instance started") == 2)
    time.sleep(0.3)
    assert len(d.instances()) == 1 and not d.failures()


def test_a_program_that_a_signal_kills(world):
    d = world.drive()
    d.revisions(revision(["sh", "-c", "kill -SEGV $$"]))
    d.scale("a/v1", 1)
    assert wait_until(d.failures)[0]["message"] == "was ended by SIGSEGV before it was ready"


@pytest.mark.parametrize("more, message", [
    (dict(command=["no-such-program"]), "cannot start no-such-program: not found in PATH"),
    (dict(command=["no-such-program"], environment=["PATH=/etc/passwd:/no/such"]),
     "cannot start no-such-program: not found in PATH"),
    (dict(command=["/no/such"]), "cannot start /no/such: No such file or directory"),
    (dict(command=["/etc/passwd"]), "cannot start /etc/passwd: Permission denied"),
    (dict(command=["sleep", "9"], directory="/no/such"),
     "cannot start sleep in directory /no/such: No such file or directory"),
    (dict(command=["sleep", "9"], user="no-such-user"),
     "cannot start sleep as user no-such-user: no such user"),
    (dict(command=[]), "cannot start an instance: the revision has no command"),
])
def test_a_program_that_cannot_be_started(world, more, message):
    d = world.drive()
    d.revisions(dict(more, name="a/v1"))
    d.scale("a/v1", 1)
    f = wait_until(d.failures)[0]
    assert f["reason"] == "start_failed" and f["message"] == message
    assert not d.instances()
    assert retry_after_ms(d.lines("instance not started")[0]) > 0  # the first try is the failure


def test_a_program_that_never_listens_is_no_failure(world):
    d, i = run_one(world, SLEEPER)
    time.sleep(0.5)
    assert d.instances()[0]["state"] == "starting" and d.failure() is None


def test_no_failure_while_another_instance_answers(world):
    flag = os.path.join(world.state, "flag")
    script = "[ -e %s ] && exit 5; touch %s; exec %s -m http.server --bind 127.0.0.1 $PORT" % (
        flag, flag, sys.executable)
    d, i = run_one(world, ["sh", "-c", script])
    d.report_serving(i)
    d.scale("a/v1", 2)
    wait_until(lambda: d.log().count("failed=1") >= 1)
    time.sleep(0.2)
    assert not d.failures()
    os.kill(d.pid(i), signal.SIGKILL)
    assert wait_until(d.failures)[0]["message"] == "exited with status 5 before it was ready"


def test_after_a_failure_one_instance_starts_at_a_time(world):
    d = world.drive()
    d.revisions(revision(["sh", "-c", "sleep 0.2; exit 1"]))
    d.scale("a/v1", 4)
    wait_until(d.failures)
    n = len(d.lines("instance started"))
    wait_until(lambda: len(d.lines("instance started")) >= n + 2)
    starts, running = [], 0
    for line in d.log().splitlines():
        running += ("instance started" in line) - ("instance ended by itself" in line)
        if "instance started" in line:
            starts.append(running)
    assert starts[n:][:2] == [1, 1]


def test_an_end_before_any_answer_is_a_failed_start(world):
    """Its port was open, which proves nothing; a reported answer does."""
    go = os.path.join(world.state, "go")
    script = SERVER[2].replace("http.server.HTTPServer(", """
class S(http.server.HTTPServer):
    def service_actions(self):
        if os.path.exists(sys.argv[2]):
            os.unlink(sys.argv[2])
            os._exit(3)
S(""").replace("serve_forever()", "serve_forever(0.01)")
    d = world.drive()
    d.revisions(revision([*SERVER[:2], script, "$PORT", go]))
    d.scale("a/v1", 1)
    d.report_serving(d.started()[0])
    open(go, "w").close()
    first = wait_until(lambda: d.lines("instance ended by itself"))[0]
    assert "was_ready=1 had_served=1" in first and "failed=0" in first
    for n in (2, 3):
        d.report_answering(wait_until(lambda: d.instances(state="starting"))[0])
        open(go, "w").close()
        line = wait_until(lambda: d.lines("instance ended by itself")[n - 1:])[0]
        assert "was_ready=1 had_served=0" in line and "failed=%d" % (n == 3) in line
    f = wait_until(d.failures)[0]
    assert f["reason"] == "exited" and f["message"] == (
        "exited with status 3 soon after it was ready, before it answered a request")


def test_an_instance_that_hangs_in_its_start_is_replaced(world):
    d, i = run_one(world, SLEEPER, start_timeout_ms=200)
    f = wait_until(d.failures)[0]
    assert f["reason"] == "exited"
    assert f["message"] == "was stopped after 0.2 s (start_timeout) before it was ready"
    first, second = d.lines("instance not ready within start_timeout")[:2]
    assert "instance=%s " % i["id"] in first and "failed=0" in first and "failed=1" in second
    assert not d.lines("instance ended by itself")


def test_start_timeout_does_not_concern_what_is_ready(world):
    d, i = run_one(world, SERVER, start_timeout_ms=1000 * WAIT_S)
    d.report_answering(i)
    d.revisions(revision(SERVER, start_timeout_ms=1))
    d.do("refuses", id=i["id"])
    wait_until(lambda: d.instances(state="starting"))
    d.scale("a/v1", 2)
    wait_until(lambda: d.lines("instance not ready within start_timeout"))
    assert i["id"] in [x["id"] for x in d.instances()]


def test_an_instance_that_refuses_is_not_ready(world):
    d, i = run_one(world, SERVER)
    d.report_answering(i)
    d.do("refuses", id=i["id"])
    wait_until(lambda: d.instances(state="starting"))
    d.do("answers", id=i["id"])
    wait_until(lambda: d.instances(state="ready"))
    assert not d.failures()


def test_instances_that_die_repeatedly_after_they_answered_back_off(world):
    d = world.drive()
    d.revisions(revision(SERVER))
    d.scale("a/v1", 1)
    for _ in range(3):
        i = wait_until(lambda: d.instances(state="starting"))[0]
        d.report_serving(i)
        os.kill(d.pid(i), signal.SIGKILL)
        wait_until(lambda: i["id"] not in [x["id"] for x in d.instances()])
    assert not d.failures()
    waits = [retry_after_ms(x) for x in d.lines("instance ended by itself")]
    assert waits[0] == 0 and waits[1] > 0 and waits[2] > 0


# --- replacing instances

def retired(d):
    """The instances that the driver waits to stop, until they are drained."""
    return [i for i in d.instances() if i["retired"] and i["state"] != "stopping"]


HANGING = [sys.executable, "-c", SERVER[2].replace("def do_GET(self):", """def do_GET(self):
        if os.path.exists(sys.argv[2]):
            import time; time.sleep(1000)
        if os.path.exists(sys.argv[2] + ".bad"):
            return self.send_error(500)""").replace("HTTPServer(", "ThreadingHTTPServer("), "$PORT"]
# Closes its port once the file exists, and lives on.
CLOSING = [sys.executable, "-c", SERVER[2].replace("http.server.HTTPServer(", """
class S(http.server.HTTPServer):
    def service_actions(self):
        if os.path.exists(sys.argv[2]):
            self.socket.close()
            os.unlink(sys.argv[2])
            import time; time.sleep(1000)
S(""").replace("serve_forever()", "serve_forever(0.01)"), "$PORT"]


@pytest.mark.parametrize("limit", [0, 1])
def test_an_instance_that_refuses_for_long_is_replaced(world, limit):
    close = os.path.join(world.state, "close")
    d, i = run_one(world, CLOSING + [close], refusal_timeout_ms=1000, container_concurrency=limit)
    d.report_serving(i)
    open(close, "w").close()
    wait_until(lambda: not os.path.exists(close))
    d.do("refuses", id=i["id"])
    wait_until(lambda: d.lines("refused every connection for refusal_timeout"))
    assert "instance=%s " % i["id"] in d.lines("replacing it")[0]
    new = wait_until(lambda: [x for x in d.instances() if x["id"] != i["id"]])[0]
    assert [x["id"] for x in retired(d)] == [i["id"]]  # until it is drained
    d.report_serving(new)
    assert is_alive(d.pid(i))
    d.scale("a/v1", 1, [i["id"]])
    wait_until(lambda: [x["id"] for x in d.instances()] == [new["id"]])
    assert not d.failures()


def test_an_instance_with_a_limit_has_no_connection_to_spare(world):
    """Its activators try whether it answers again."""
    counting = SERVER[2].replace("http.server.HTTPServer(", """
class S(http.server.HTTPServer):
    def verify_request(self, *a):
        print("accepted", flush=True)
        return True
S(""")
    d, i = run_one(world, [sys.executable, "-c", counting, "$PORT"], container_concurrency=1)
    d.report_serving(i)
    wait_until(lambda: d.lines("line=accepted"))
    before = len(d.lines("line=accepted"))
    d.do("refuses", id=i["id"])
    wait_until(lambda: d.instances(state="starting"))
    d.do("answers", id=i["id"])
    wait_until(lambda: d.instances(state="ready"))
    get(i["port"])
    wait_until(lambda: len(d.lines("line=accepted")) > before)
    assert len(d.lines("line=accepted")) == before + 1


def test_an_instance_that_answers_again_is_kept(world):
    d, i = run_one(world, SERVER, refusal_timeout_ms=1000)
    d.report_serving(i)
    d.do("refuses", id=i["id"])
    wait_until(lambda: d.instances(state="starting"))
    d.do("answers", id=i["id"])
    wait_until(lambda: d.instances(state="ready"))
    d.do("refuses", id=i["id"])  # it does not: the driver can connect
    time.sleep(2)
    assert not d.lines("replacing it") and not retired(d)


@pytest.mark.parametrize("kind, liveness, why", [
    ("hangs", "/healthz", "it did not answer in time"), ("bad", "/healthz", "status 500"),
    ("closes", "tcp", "Connection refused")])
def test_liveness(world, kind, liveness, why):
    file = os.path.join(world.state, "trouble")
    command = (CLOSING if kind == "closes" else HANGING) + [file]
    d, i = run_one(world, command, liveness=liveness, liveness_period_ms=100,
                   liveness_timeout_ms=300 * SLOW)
    d.report_serving(i)
    time.sleep(0.5)
    assert not d.lines("failed its liveness checks")
    open(file + (".bad" if kind == "bad" else ""), "w").close()
    line = wait_until(lambda: d.lines("failed its liveness checks"))[0]
    assert why in line
    wait_until(lambda: len(d.instances()) == 2 and len(retired(d)) == 1)
    d.scale("a/v1", 1, [i["id"]])
    wait_until(lambda: i["id"] not in [x["id"] for x in d.instances()])


@pytest.mark.parametrize("liveness", ["grpc", "grpc:a.B"])
def test_liveness_by_grpc(world, liveness):
    file = os.path.join(world.state, "health")
    with open(file, "w") as f:
        f.write("SERVING")
    app = os.path.join(ROOT, "test/system/fakes/grpc_app.py")
    d, i = run_one(world, [sys.executable, app, "--health", file], liveness=liveness,
                   liveness_period_ms=100, liveness_timeout_ms=1000 * SLOW)
    wait_until(lambda: listens(i["port"]))
    d.report_serving(i)
    time.sleep(0.5)
    assert not d.lines("failed its liveness checks")
    with open(file, "w") as f:
        f.write("NOT_SERVING")
    assert "says NOT_SERVING" in wait_until(lambda: d.lines("failed its liveness checks"))[0]


def test_a_changed_command_replaces_instances_one_by_one(world):
    d, i = run_one(world, SERVER)
    d.report_serving(i)
    d.scale("a/v1", 2)
    d.report_serving(next(x for x in d.started(2) if x["id"] != i["id"]))
    old = [x["id"] for x in d.instances()]
    d.revisions(revision(SERVER, environment=["A=b"]))
    for left in (2, 1):
        new = wait_until(lambda: [x for x in d.instances(state="starting") if x["spare"]])
        assert len(new) == 1 and not retired(d)  # the old ones are used until it is ready
        assert len([x for x in d.instances(state="ready") if x["id"] in old]) == left
        d.report_serving(new[0])
        going = wait_until(lambda: retired(d))
        assert len(going) == 1 and going[0]["id"] in old
        d.scale("a/v1", 2, [going[0]["id"]])
        wait_until(lambda: not retired(d))
        old.remove(going[0]["id"])
    wait_until(lambda: len(d.instances()) == 2)
    assert not set(old) & {x["id"] for x in d.instances()} and not d.failures()


def test_a_changed_command_that_fails_leaves_the_old_instances(world):
    d, i = run_one(world, SERVER)
    d.report_serving(i)
    d.revisions(revision(["sh", "-c", "exit 3"]))
    wait_until(lambda: len(d.lines("failed=1")) >= 1)
    assert [x["id"] for x in d.instances(state="ready")] == [i["id"]]
    assert not d.failures() and not retired(d)
    d.revisions(revision(SERVER))  # taken back
    wait_until(lambda: [x["id"] for x in d.instances()] == [i["id"]])


def test_a_command_that_changed_while_no_autoscaler_ran(world):
    d, i = run_one(world, SERVER)
    d.report_serving(i)
    d.kill()
    d = world.drive()
    d.revisions(revision(SERVER, environment=["A=b"]))
    d.scale("a/v1", 1)
    new = wait_until(lambda: [x for x in d.instances(state="starting")])[0]
    assert new["spare"]
    d.report_serving(new)
    assert [x["id"] for x in wait_until(lambda: retired(d))] == [i["id"]]


def test_a_start_with_the_old_command_is_stopped_when_the_new_one_is_ready(world):
    d, i = run_one(world, SLEEPER)
    d.revisions(revision(SERVER))
    new = wait_until(lambda: [x for x in d.instances() if x["id"] != i["id"]])[0]
    d.report_serving(new)
    wait_until(lambda: [x["id"] for x in d.instances()] == [new["id"]])


# --- ports

def test_a_port_in_use_is_not_assigned(world):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        busy = s.getsockname()[1]
        s.listen()
        d = world.drive(ports=(busy, busy))
        d.revisions(revision(SLEEPER))
        d.scale("a/v1", 1)
        f = wait_until(d.failures)[0]
        assert f["message"] == "cannot start an instance: no port of %d-%d is free" % (busy, busy)
        assert f["reason"] == "no_port" and f["parking"]  # it passes: requests wait
        assert not d.instances() and not d.lines("instance not started")
    assert d.started()[0]["port"] == busy
    assert d.failure() is None


def test_a_port_in_time_wait_is_assigned(world):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
        s.listen()
        client = socket.create_connection(("127.0.0.1", port))
        s.accept()[0].close()
        assert client.recv(1) == b""
        client.close()
    d = world.drive(ports=(port, port))
    d.revisions(revision(SERVER))
    d.scale("a/v1", 1)
    i = d.started()[0]
    d.report_answering(i)
    assert i["port"] == port and not d.failures()


def test_the_only_port_is_assigned_again_after_an_early_end(world):
    flag = os.path.join(world.state, "flag")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    d = world.drive(ports=(port, port))
    d.revisions(revision(
        ["sh", "-c", "[ -e %s ] && exec sleep 1000; touch %s; exit 1" % (flag, flag)]))
    d.scale("a/v1", 1)
    wait_until(lambda: len(d.lines("instance started")) == 2)
    assert d.started()[0]["port"] == port


def test_a_port_is_assigned_as_soon_as_another_instance_gives_it_back(world):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    d = world.drive(ports=(port, port))
    d.revisions(revision(SLEEPER), revision(SLEEPER, name="b/v1"))
    d.scale("a/v1", 1)
    d.started()
    d.scale("b/v1", 1)
    assert wait_until(lambda: d.failure("b/v1"))["reason"] == "no_port"
    d.scale("a/v1", 0)
    assert d.started(1, "b/v1")[0]["port"] == port
    assert d.failure("b/v1") is None


def test_a_port_is_not_assigned_twice(world):
    d = world.drive(ports=(world.ports[0], world.ports[0] + 19))
    d.revisions(revision(SLEEPER))
    d.scale("a/v1", 12)  # no instance binds its port
    assert len({i["port"] for i in d.started(12)}) == 12


def test_a_port_is_not_assigned_again_soon(world):
    """Also by the next autoscaler, if this one and the keeper were killed: an activator may still
    try the instance that had it."""
    seen = []
    for _ in range(6):
        d = world.drive(ports=(world.ports[0], world.ports[0] + 9))
        d.revisions(revision(SLEEPER))
        d.scale("a/v1", 1)
        seen.append(d.started()[0]["port"])
        d.kill()
        os.kill(world.keeper(), signal.SIGKILL)
        world.wait_until_empty()
    assert len(set(seen)) == len(seen)


def test_ports_that_overlap_ephemeral_ports_are_logged(world):
    with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
        first, last = f.read().split()
    d = world.drive(ports=(int(first) - 2, int(first) + 100))
    d.revisions(revision(SLEEPER))
    d.scale("a/v1", 2)
    assert {i["port"] for i in d.started(2)} == {int(first) - 2, int(first) - 1}
    assert "ports overlap with net.ipv4.ip_local_port_range" in d.log()
    assert "ip_local_port_range=%s-%s" % (first, last) in d.log()


# --- ends

STUBBORN = ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"]


def test_a_program_that_ignores_sigterm_is_killed(world):
    d, i = run_one(world, STUBBORN, stop_timeout_ms=500)
    wait_until(lambda: "line=up" in d.log())
    pid, began = d.pid(i), time.monotonic()
    d.scale("a/v1", 0)
    wait_until(lambda: d.instances(state="stopping"))
    wait_until(lambda: not is_alive(pid))
    assert time.monotonic() - began >= 0.5  # stop_timeout
    wait_until(lambda: "how=\"was ended by SIGKILL\"" in d.log())


# Ways in which a child process may escape from its parent.  Each prints the child's pid.
CHILDREN = {
    "child": """
import os, time
if os.fork() == 0:
    print('pid', os.getpid(), flush=True)
time.sleep(1000)""",
    "stubborn child": """
import os, signal, time
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN); print('pid', os.getpid(), flush=True)
time.sleep(1000)""",
    "own group": """
import os, time
if os.fork() == 0:
    os.setpgid(0, 0); print('pid', os.getpid(), flush=True)
time.sleep(1000)""",
    "daemon": """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        print('pid', os.getpid(), flush=True)
        fd = os.open('/dev/null', os.O_RDWR)
        for i in range(3): os.dup2(fd, i)
        time.sleep(1000)
    os._exit(0)
time.sleep(1000)""",
    "daemon without a mark": """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print('pid', os.getpid(), flush=True)
        os.execve('/bin/sleep', ['sleep', '1000'], {})
    os._exit(0)
time.sleep(1000)""",
}


def child_pid(d):
    line = wait_until(lambda: [x for x in d.log().splitlines() if "line=\"pid " in x])
    return int(line[0].rsplit("pid ", 1)[1].strip('"'))


@pytest.mark.parametrize("kind", CHILDREN)
def test_children_end_with_a_stop(world, kind):
    d, i = run_one(world, [sys.executable, "-S", "-c", CHILDREN[kind]], stop_timeout_ms=700)
    pid = child_pid(d)
    d.scale("a/v1", 0)
    wait_until(lambda: not is_alive(pid) and not is_alive(d.pid(i)))


@pytest.mark.parametrize("kind", CHILDREN)
def test_children_end_with_the_instance(world, kind):
    d, i = run_one(world, [sys.executable, "-S", "-c", CHILDREN[kind]], stop_timeout_ms=700)
    pid = child_pid(d)
    os.kill(d.pid(i), signal.SIGKILL)
    wait_until(lambda: not is_alive(pid))


def test_an_unmarked_daemon_ends_beside_a_younger_instance(world):
    d, i = run_one(world, [sys.executable, "-S", "-c", CHILDREN["daemon without a mark"]],
                   stop_timeout_ms=700)
    pid = child_pid(d)
    wait_until(lambda: comm(pid) == "sleep")
    born = uptime()
    # Start times count in ticks: the other instance must be younger by one.
    wait_until(lambda: uptime() > born + 1 / os.sysconf("SC_CLK_TCK"))
    d.scale("a/v1", 2)
    d.started(2)
    os.kill(d.pid(i), signal.SIGKILL)
    wait_until(lambda: not is_alive(pid))


def test_a_program_that_goes_into_the_background_fails(world):
    d = world.drive()
    d.revisions(revision(["sh", "-c", "setsid sleep 1000 & exit 0"], stop_timeout_ms=500))
    d.scale("a/v1", 1)
    assert wait_until(d.failures)[0]["message"] == (
        "exited with status 0 (it must stay in the foreground) before it was ready")
    d.scale("a/v1", 0)
    wait_until(lambda: len(world.left()) == 1)  # the keeper


def test_close_ends_all_processes(world):
    d = world.drive()
    d.revisions(revision(STUBBORN, stop_timeout_ms=800), revision(SLEEPER, name="b/v1"))
    d.scale("a/v1", 2)
    d.scale("b/v1", 2)
    d.started(2)
    d.started(2, "b/v1")
    wait_until(lambda: d.log().count("line=up") == 2)
    d.close()
    assert not world.left()


# --- stop_command, pid_file

# Ends by SIGUSR1 alone.
ENDS_BY_USR1 = ["sh", "-c", "trap 'exit 7' USR1; trap '' TERM; echo up; "
                "while :; do sleep 0.05; done"]


def test_stop_command(world):
    d, i = run_one(world, ENDS_BY_USR1, stop_timeout_ms=1000 * WAIT_S, environment=["EXTRA=1"],
                   stop_command=["sh", "-c", "echo $PORT $MAINPID $EXTRA; kill -USR1 ${MAINPID}"])
    wait_until(lambda: "line=up" in d.log())
    d.scale("a/v1", 0)
    wait_until(lambda: d.lines("instance stopped"))
    assert 'how="exited with status 7"' in d.lines("instance stopped")[0]
    assert 'line="%d %d 1"' % (i["port"], d.pid(i)) in d.log()
    assert not d.lines("stop_command failed")


@pytest.mark.parametrize("command, why", [
    (["sh", "-c", "echo trouble; exit 4"], "sh exited with status 4"),
    (["no-such-program"], "cannot start no-such-program: not found in PATH")])
def test_stop_command_that_fails(world, command, why):
    d, i = run_one(world, SLEEPER, stop_command=command, stop_timeout_ms=1000 * WAIT_S)
    pid = d.pid(i)
    d.scale("a/v1", 0)
    wait_until(lambda: not is_alive(pid))
    wait_until(lambda: d.lines("stop_command failed, SIGTERM sent"))
    assert 'err="%s"' % why in d.lines("stop_command failed")[0]
    wait_until(lambda: d.lines("instance stopped"))
    assert "SIGTERM" in d.lines("instance stopped")[0]
    assert ("line=trouble" in d.log()) == (command[0] == "sh")


def test_stop_command_that_does_not_end(world):
    d, i = run_one(world, SLEEPER, stop_command=["sleep", "1000"], stop_timeout_ms=300)
    d.scale("a/v1", 0)
    wait_until(lambda: d.lines("instance stopped"))
    assert "SIGKILL" in d.lines("instance stopped")[0]
    wait_until(lambda: len(world.left()) == 1)  # the keeper


# Serves in the background: a daemon writes its process id to a file, which takes its time.
DAEMON = [sys.executable, "-c", """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(float(sys.argv[3]))
        with open(sys.argv[2] + ".new", "w") as f:
            f.write("%d\\n" % os.getpid())
        os.rename(sys.argv[2] + ".new", sys.argv[2])
        exec(SERVE)
    os._exit(0)
os._exit(0)
""".replace("SERVE", repr(SERVER[2])), "$PORT"]


def in_background(d, n=1):
    """Wait for the n-th instance that has gone there; its process id."""
    line = wait_until(lambda: d.lines("instance has gone into the background")[n - 1:])[0]
    return int(re.search(r" pid=(\d+)", line)[1])


@pytest.mark.parametrize("delay", ["0", "0.3"])
def test_pid_file(world, delay):
    with open(os.path.join(world.state, "pid"), "w") as f:
        f.write("1\n")  # of an earlier process
    daemon = revision(DAEMON + ["pid", delay], pid_file="pid", directory=world.state)
    d = world.drive()
    d.revisions(daemon)
    d.scale("a/v1", 1)
    i = d.started()[0]
    d.report_serving(i)
    assert b"here" in get(i["port"])
    pid = in_background(d)
    assert is_alive(pid) and len(d.instances()) == 1 and not d.lines("instance ended by itself")
    os.kill(pid, signal.SIGKILL)  # it is watched
    end = wait_until(lambda: d.lines("instance ended by itself"))[0]
    assert 'how="was ended by SIGKILL"' in end
    new = wait_until(lambda: [x for x in d.instances() if x["id"] != i["id"]])[0]
    pid = in_background(d, 2)
    d.report_serving(new)
    d.kill()
    d = world.drive()  # the next autoscaler adopts it
    d.revisions(daemon)
    d.scale("a/v1", 1)
    assert wait_until(d.instances)[0]["id"] == new["id"]
    d.scale("a/v1", 0)
    wait_until(lambda: not is_alive(pid) and not d.instances())


def test_pid_file_of_another_process(world):
    other = subprocess.Popen(SLEEPER)
    path = os.path.join(world.state, "other.pid")
    with open(path, "w") as f:
        f.write("%d\n" % other.pid)
    d = world.drive()
    d.revisions(revision(["true"], pid_file=path))
    d.scale("a/v1", 1)
    assert wait_until(d.failures)[0]["message"] == (
        "exited with status 0 (and no process of it is in pid_file) before it was ready")
    assert other.poll() is None
    other.kill()
    other.wait()


def test_a_keeper_that_dies_takes_the_process_of_pid_file_with_it(world):
    d, i = run_one(world, DAEMON + ["pid", "0"], pid_file="pid", directory=world.state)
    pid = in_background(d)
    os.kill(world.keeper(), signal.SIGKILL)
    wait_until(lambda: not is_alive(pid))
    wait_until(lambda: d.instances() and d.instances()[0]["id"] != i["id"])


# --- output

def test_output_is_logged_line_by_line(world, tmp_path):
    script = r"printf 'one\ntwo\r\nthr'; sleep 0.1; printf 'ee\n\377\001 \000x\n' >&2; " \
             r"head -c 5000 /dev/zero | tr '\0' z; printf '\nlast'"
    written = str(tmp_path / "written")
    d, i = run_one(world, ["sh", "-c", script + "; : >%s; sleep 1000 >/dev/null 2>&1" % written])
    wait_until(lambda: os.path.exists(written))
    os.kill(d.pid(i), signal.SIGKILL)
    wait_until(lambda: "line=last" in d.log())
    lines = [x for x in d.log().splitlines()
             if "instance=%s msg=\"output\"" % i["id"] in x]
    assert [x.rsplit("line=", 1)[1] for x in lines[:3]] == ["one", "two", "three"]
    assert "x" in lines[3]
    assert "".join(x.rsplit("line=", 1)[1] for x in lines[4:7]) == "z" * 5000


def test_much_output_costs_no_memory(world):
    """100 MB.  The autoscaler logs 5,000 lines of a revision at once and 1,000 a second."""
    began = time.monotonic()
    done = os.path.join(world.state, "done")
    d, i = run_one(world, ["sh", "-c", "yes 0123456789012345678901234567890123456789012345678 | "
                           "head -c 100000000; touch %s; sleep 1000" % done])
    other = revision(["sh", "-c", "while sleep 0.1; do echo tick; done"], name="b/v1")
    before = rss_kib(world.keeper()), rss_kib(d.process.pid)
    d.revisions(revision(SLEEPER), other)
    d.scale("b/v1", 1)
    wait_until(lambda: os.path.exists(done), timeout=300)
    wait_until(lambda: "output lines dropped" in d.log())
    n = d.log().count("line=tick")
    wait_until(lambda: d.log().count("line=tick") > n)
    if SLOW == 1:
        assert rss_kib(world.keeper()) - before[0] < 16 * 1024
        assert rss_kib(d.process.pid) - before[1] < 16 * 1024
    assert d.log().count("line=0123") < 5000 + 1000 * (time.monotonic() - began + 1)


def test_an_instance_may_close_its_output(world):
    d, i = run_one(world, ["sh", "-c", "exec >&- 2>&-; exec sleep 1000"])
    time.sleep(0.3)
    assert is_alive(d.pid(i)) and len(d.instances()) == 1


# --- without an autoscaler, without a keeper

def test_an_instance_survives_the_autoscaler_and_is_adopted(world):
    d, i = run_one(world, SERVER)
    d.report_answering(i)
    pid, keeper = d.pid(i), world.keeper()
    d.kill()
    assert b"here" in get(i["port"])
    d = world.drive()
    d.revisions(revision(SERVER))
    d.scale("a/v1", 1)
    adopted = wait_until(d.instances)[0]
    for member in ("id", "port", "state", "started_ns"):
        assert adopted[member] == dict(i, state="ready", started_ns=adopted["started_ns"])[member]
    assert is_alive(pid) and world.keeper() == keeper
    assert "instances adopted" in d.log()
    d.scale("a/v1", 2)
    ids = wait_until(lambda: len(d.instances()) == 2 and [x["id"] for x in d.instances()])
    assert len(set(ids)) == 2
    d.scale("a/v1", 0)
    wait_until(lambda: not d.instances() and not is_alive(pid))


def test_output_without_an_autoscaler_is_kept(world):
    go = os.path.join(world.state, "go")
    script = "until [ -e %s ]; do sleep 0.05; done; seq 1 50000; touch %s.done; sleep 1000"
    d, i = run_one(world, ["sh", "-c", script % (go, go)])
    d.kill()
    open(go, "w").close()
    wait_until(lambda: os.path.exists(go + ".done"))
    d = world.drive()
    d.revisions(revision(SLEEPER))
    wait_until(lambda: "line=50000" in d.log())
    held = [int(x.rsplit("line=", 1)[1]) for x in d.lines('msg="output"')]
    assert held == list(range(held[0], 50001))
    assert 60000 < sum(len(str(n)) + 1 for n in held) <= 65536  # the last 64 KiB
    wait_until(lambda: "output lines dropped" in d.log())


def test_an_instance_that_ends_without_an_autoscaler(world):
    d, i = run_one(world, SLEEPER)
    pid = d.pid(i)
    other = revision(SLEEPER, name="b/v1")
    d.revisions(revision(SLEEPER), other)
    d.scale("b/v1", 1)
    other_instance = d.started(1, "b/v1")[0]
    d.kill()
    os.kill(pid, signal.SIGKILL)
    d = world.drive()
    d.revisions(revision(SLEEPER), other)
    wait_until(lambda: d.instances("b/v1") and not d.instances())  # the keeper may notice late
    assert d.instances("b/v1")[0]["id"] == other_instance["id"]


def test_an_adopted_revision_without_a_service_is_stopped(world):
    d, i = run_one(world, SLEEPER)
    pid = d.pid(i)
    d.kill()
    d = world.drive()
    d.revisions(revision(SLEEPER, name="b/v1"))
    wait_until(lambda: "instances adopted" in d.log())
    wait_until(lambda: not is_alive(pid))


def test_orphan_timeout_ends_all(world):
    d = world.drive(orphan_ms=1500)
    d.revisions(revision([sys.executable, "-S", "-c", CHILDREN["daemon"]]))
    d.scale("a/v1", 1)
    d.started()
    child_pid(d)
    d.kill()
    world.wait_until_empty()
    held, ended = (log_time(d.lines(text)[0]) for text in (
        "autoscaler disconnected, keeping its instances",
        "no autoscaler connected within orphan_timeout"))
    assert (ended - held).total_seconds() >= 1.4


def test_a_keeper_without_an_autoscaler_ends_with_its_last_instance(world):
    d, i = run_one(world, SLEEPER)
    pid, keeper = d.pid(i), world.keeper()
    d.kill()
    time.sleep(0.2)
    assert is_alive(keeper)
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not is_alive(keeper))


def test_a_keeper_without_an_autoscaler_logs_output_and_ends(world):
    go = os.path.join(world.state, "go")
    script = "until [ -e %s ]; do sleep 0.05; done; echo adieu; exit 7" % go
    d, i = run_one(world, ["sh", "-c", script])
    keeper = world.keeper()
    d.kill()
    open(go, "w").close()
    wait_until(lambda: not is_alive(keeper))
    assert "msg=\"output\" instance=%s line=adieu" % i["id"] in d.log()
    assert ("msg=\"instance ended while no autoscaler was connected\" instance=%s "
            "how=\"exited with status 7\"" % i["id"]) in d.log()


def test_a_keeper_without_instances_ends_with_its_autoscaler(world):
    d = world.drive()
    d.revisions(revision(SLEEPER))
    keeper = world.keeper()
    wait_until(lambda: d.views.get("a/v1", {}).get("known"))
    d.kill()
    wait_until(lambda: not is_alive(keeper))


@pytest.mark.parametrize("kind", ["child", "own group", "daemon"])
def test_a_killed_keeper_is_replaced(world, kind):
    d, i = run_one(world, [sys.executable, "-S", "-c", CHILDREN[kind]])
    pid, child, keeper = d.pid(i), child_pid(d), world.keeper()
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid) and not is_alive(child))
    new = wait_until(lambda: [x for x in d.instances() if x["id"] != i["id"]])[0]
    d.started()
    assert world.keeper() != keeper and is_alive(d.pid(new))
    assert "keeper died" in d.log() and d.failure() is None


def test_a_keeper_is_killed_three_times(world):
    d, i = run_one(world, SLEEPER)
    for _ in range(3):
        os.kill(world.keeper(), signal.SIGKILL)
        before = i["id"]
        i = wait_until(lambda: d.started()[0]["id"] != before and d.started()[0])
    assert d.failure() is None


@pytest.mark.parametrize("kind", ["child", "daemon", "daemon without a mark"])
def test_autoscaler_and_keeper_are_killed(world, kind):
    if "without" in kind and not has_cgroups():
        pytest.skip("needs a writable cgroup v2")
    d, i = run_one(world, [sys.executable, "-S", "-c", CHILDREN[kind]])
    pid, child, keeper = d.pid(i), child_pid(d), world.keeper()
    d.process.send_signal(signal.SIGSTOP)  # so that it does not start another keeper
    os.kill(keeper, signal.SIGKILL)
    d.kill()
    wait_until(lambda: not is_alive(pid))  # the kernel kills it
    d = world.drive()
    d.revisions(revision(SLEEPER))
    wait_until(lambda: not is_alive(child))  # the new keeper kills it
    wait_until(lambda: "killed processes that a dead keeper left behind" in d.log())


def test_a_copy_of_a_state_dir_is_another_one(world, tmp_path):
    d, i = run_one(world, SLEEPER)
    copy = str(tmp_path / "c")
    subprocess.run(["cp", "-a", world.state, copy], check=True)
    other = World(copy)
    e = other.drive()
    world.drives.append(e)
    e.revisions(revision(SLEEPER))
    e.scale("a/v1", 1)
    e.started()
    assert is_alive(d.pid(i)) and "killed processes" not in e.log()
    e.close()
    other.wait_until_empty()
    release(other.ports[0])


def test_sigterm_ends_a_keeper_without_an_autoscaler(world):
    d, i = run_one(world, STUBBORN, stop_timeout_ms=500)
    pid, keeper = d.pid(i), world.keeper()
    wait_until(lambda: "line=up" in d.log())
    d.kill()
    os.kill(keeper, signal.SIGTERM)
    wait_until(lambda: not is_alive(keeper) and not is_alive(pid))


def test_sigterm_ends_a_keeper_and_the_autoscaler_starts_another(world):
    d, i = run_one(world, STUBBORN, stop_timeout_ms=500)
    pid, keeper = d.pid(i), world.keeper()
    wait_until(lambda: "line=up" in d.log())
    os.kill(keeper, signal.SIGTERM)
    wait_until(lambda: d.instances(state="stopping"))
    d.scale("a/v1", 2)
    wait_until(lambda: not is_alive(keeper) and not is_alive(pid))
    assert len({x["id"] for x in d.started(2)} | {i["id"]}) == 3
    assert world.keeper() != keeper
    assert not d.failures()
    assert "instance ended by itself" not in d.log()


def test_a_silent_keeper_is_a_failure_and_delays_no_end(world):
    d, i = run_one(world, SLEEPER, stop_timeout_ms=100)
    pid, keeper = d.pid(i), world.keeper()
    os.kill(keeper, signal.SIGSTOP)
    d.kill()
    d = world.drive()
    d.revisions(revision(SLEEPER))
    f = wait_until(d.failure)
    assert f == {"reason": "no_keeper", "message": "the keeper process does not answer",
                 "retry_after_ms": 1000, "parking": False}
    assert not d.views["a/v1"]["known"]
    os.kill(keeper, signal.SIGCONT)
    wait_until(lambda: d.failure() is None and [x["id"] for x in d.instances()] == [i["id"]])
    assert is_alive(pid)
    os.kill(keeper, signal.SIGSTOP)
    d.kill()
    d = world.drive()
    d.close()
    os.kill(keeper, signal.SIGCONT)
    os.kill(keeper, signal.SIGTERM)


def test_a_stopped_keeper_delays_no_end(world):
    d, i = run_one(world, SLEEPER, stop_timeout_ms=100)
    pid, keeper = d.pid(i), world.keeper()
    os.kill(keeper, signal.SIGSTOP)
    d.close()
    wait_until(lambda: not is_alive(pid) and not is_alive(keeper))


def test_a_second_keeper_is_refused(world):
    d, i = run_one(world, SLEEPER)
    keeper = world.keeper()
    d.kill()
    d = world.drive()
    d.revisions(revision(SLEEPER))
    wait_until(d.instances)
    assert world.keeper() == keeper
    assert len([p for p in world.left() if "act-keeper" in comm(p)]) == 1


class FakeAutoscaler:
    """A connection to the keeper of a state_dir, on which the test sends and receives messages."""

    def __init__(self, state):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(WAIT_S)
        self.socket.connect(os.path.join(state, "keeper.sock"))
        self.lines = self.socket.makefile("rb")
        assert self.receive()["type"] == "hello"

    def send(self, kind, **members):
        self.socket.sendall(json.dumps(dict(members, type=kind)).encode() + b"\n")

    def send_hello(self, protocol=1):
        self.send("hello", protocol=protocol, pid=os.getpid(), orphan_timeout_ms=60000)

    def receive(self):
        """The next message; None: the keeper has closed the connection."""
        line = self.lines.readline()
        return json.loads(line) if line else None

    def receive_until(self, kind):
        """The messages up to the first one of that kind."""
        messages = [self.receive()]
        while messages[-1] is not None and messages[-1]["type"] != kind:
            messages.append(self.receive())
        return messages

    def start(self, name, command):
        self.send("start", id=name, revision="a/v1", port=20000, argv=command,
                 env=["PATH=" + os.environ["PATH"]], stop_timeout_ms=100)


def test_a_keeper_that_shuts_down_starts_nothing(world):
    d, i = run_one(world, STUBBORN, stop_timeout_ms=60000)
    keeper = world.keeper()
    wait_until(lambda: "line=up" in d.log())
    pid = d.pid(i)
    d.kill()
    fake = FakeAutoscaler(world.state)
    fake.send_hello()
    fake.receive_until("synced")
    os.kill(keeper, signal.SIGTERM)
    fake.receive_until("leave")
    fake.start("late", SLEEPER)
    refused = fake.receive_until("failed")[-1]
    assert (refused["id"], refused["text"]) == (
        "late", "cannot start late: the keeper is shutting down")
    # The next autoscaler receives `leave` before the instances.
    other = FakeAutoscaler(world.state)
    other.send_hello()
    types = [m["type"] for m in other.receive_until("synced")]
    assert types == ["leave", "instance", "synced"]
    other.start("later", SLEEPER)
    assert other.receive_until("failed")[-1]["id"] == "later"
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(keeper))


@pytest.mark.parametrize("asked_by", ["SIGTERM", "leave"])
def test_a_keeper_is_gone_when_its_connections_end(world, asked_by):
    d, i = run_one(world, SLEEPER)
    keeper, pid = world.keeper(), d.pid(i)
    peers = [FakeAutoscaler(world.state) for _ in range(3)]
    if asked_by == "leave":
        peers[0].send_hello(protocol=99)
        peers[0].send("leave")
    else:
        os.kill(keeper, signal.SIGTERM)
    for peer in peers:
        assert peer.receive() is None
        assert not os.path.exists("/proc/%d" % keeper) and not is_alive(pid)
    assert d.started()[0]["id"] != i["id"]
    wait_until(lambda: [comm(p) for p in world.left()].count("act-keeper-end") == 0)


def test_a_keeper_obeys_no_message_before_hello(world):
    d, i = run_one(world, SLEEPER)
    keeper, pid = world.keeper(), d.pid(i)
    fake = FakeAutoscaler(world.state)
    fake.send("leave")
    assert fake.receive() is None
    assert is_alive(pid)
    fake = FakeAutoscaler(world.state)
    fake.send_hello(protocol=99)
    fake.send("stop", id=i["id"])  # another version may send `leave`, and nothing else
    assert fake.receive() is None
    assert is_alive(pid) and "connection to the keeper lost" not in d.log()
    fake = FakeAutoscaler(world.state)
    fake.send_hello(protocol=99)
    fake.send("leave")
    wait_until(lambda: not is_alive(keeper))


def test_a_start_refused_by_a_keeper_that_shuts_down_is_no_failure(world):
    """The driver sent the start before it received `leave`."""
    fake = FakeKeeper(world.state)
    fake.add_hello()
    fake.add(type="synced")
    d = world.drive()
    d.revisions(revision(SLEEPER))
    d.scale("a/v1", 1)
    with fake.accept() as (s, lines):
        start = json.loads(lines.readline())
        while start["type"] != "start":
            start = json.loads(lines.readline())
        for m in (dict(type="leave"), dict(type="failed", id=start["id"], text="shutting down")):
            s.sendall(json.dumps(m).encode() + b"\n")
        wait_until(lambda: d.lines("keeper was asked by another process") and not d.instances())
    fake.end()
    d.started()
    assert not d.failures()


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")
def test_a_keeper_refuses_other_users(world):
    d, i = run_one(world, SLEEPER)
    path = os.path.join(world.state, "keeper.sock")
    os.chmod(path, 0o666)
    at = world.state
    while at != "/":
        os.chmod(at, os.stat(at).st_mode | 0o011)
        at = os.path.dirname(at)
    done = subprocess.run(
        [sys.executable, "-S", "-c",
         "import os, socket, sys\nos.setuid(65534)\ns = socket.socket(socket.AF_UNIX)\n"
         "s.connect(sys.argv[1])\nprint(s.recv(99))", path], capture_output=True, text=True)
    assert done.stdout == "b''\n", done.stderr
    wait_until(lambda: d.lines("refused a connection of another user"))
    assert is_alive(d.pid(i))


class FakeKeeper:
    """Holds the lock and the socket; sends the lines that the test gives it.  Its hello names a
    process that does nothing, since the driver kills a keeper that does not exit."""

    def __init__(self, state, *lines):
        # The variable makes it a process of the world, which ends it where a test fails.
        self.process = subprocess.Popen(SLEEPER, env=dict(os.environ, STATE=state))
        self.lock = open(os.path.join(state, "keeper.lock"), "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.path.join(state, "keeper.sock"))
        self.listener.listen()
        self.listener.settimeout(WAIT_S)
        self.lines = list(lines)

    def add_hello(self, protocol=1):
        self.add(type="hello", protocol=protocol, pid=self.process.pid, orphan_timeout_ms=0)

    def add(self, **message):
        self.lines.append(json.dumps(message))

    @contextlib.contextmanager
    def accept(self):
        """Accept a connection and send the lines: the socket, and a file to receive from."""
        with self.listener.accept()[0] as s:
            s.settimeout(WAIT_S)
            for line in self.lines:
                s.sendall(line.encode() + b"\n")
            yield s, s.makefile("rb")

    def serve(self, n=1):
        """Accept a connection, send the lines, and return the first n lines that are received."""
        with self.accept() as (_, lines):
            return [lines.readline() for _ in range(n)]

    def end(self):
        self.process.kill()
        self.process.wait()
        self.listener.close()
        self.lock.close()


def test_a_keeper_of_another_version_is_replaced(world):
    fake = FakeKeeper(world.state)
    fake.add_hello(protocol=99)
    d = world.drive()
    d.revisions(revision(SLEEPER))
    d.scale("a/v1", 1)
    hello, leave = map(json.loads, fake.serve(2))
    assert hello["type"] == "hello" and leave == {"type": "leave"}
    assert not d.instances()
    fake.end()
    d.started()
    assert "keeper has another protocol version" in d.log()


@pytest.mark.parametrize("line", ["what?", '{"type":"gone"}', "[" * 100000, "x" * (1 << 20)],
                         ids=["no JSON", "no id", "deep", "long"])
def test_a_keeper_that_breaks_the_protocol_is_disconnected(world, line):
    fake = FakeKeeper(world.state, line)
    d = world.drive()
    d.revisions(revision(SLEEPER))
    d.scale("a/v1", 1)
    try:
        assert fake.serve() == [b""]
    except OSError:
        pass
    wait_until(lambda: "connection to the keeper lost" in d.log())
    fake.end()
    d.started()


def test_other_clients_do_not_disturb_the_keeper(world):
    d, i = run_one(world, SLEEPER)
    for line in (b"what?\n", b'{"type":"stop","id":"%s"}\n' % i["id"].encode(), b""):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(os.path.join(world.state, "keeper.sock"))
            received = s.makefile("rb")
            assert json.loads(received.readline())["type"] == "hello"
            s.sendall(line)
            if line:
                assert received.read() == b""
    d.scale("a/v1", 2)
    assert i["id"] in [x["id"] for x in d.started(2)]
    assert "connection to the keeper lost" not in d.log()
    assert os.stat(os.path.join(world.state, "keeper.sock")).st_mode & 0o777 == 0o600


def test_a_state_dir_with_too_long_a_name(world):
    state = os.path.join(world.state, "x" * 100)
    os.mkdir(state)
    done = subprocess.run([DRIVE, state, "1000", "20000", "20010"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "at most 95 bytes fit a socket" in done.stderr


# --- processor time and memory

def test_cpu_and_memory_include_child_processes(world):
    script = """
import os
b = bytearray(40 << 20)
if os.fork() == 0:
    b[::4096] = b'x' * len(b[::4096])
while True: pass"""
    d, _ = run_one(world, ["timeout", "%d" % WAIT_S, sys.executable, "-S", "-c", script])
    wait_until(lambda: d.instances()[0]["cpu_s"] > 0.5)
    wait_until(lambda: d.instances()[0]["memory_bytes"] > 80 << 20)
    seen = [v["instances"][0]["cpu_s"] for v in d.history if v["instances"]]
    assert seen == sorted(seen)
