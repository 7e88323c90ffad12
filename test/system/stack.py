"""Both programs on free ports with a conf file of the test's own, and what tests need to
talk to them byte by byte."""
import contextlib
import fcntl
import json
import os
import re
import resource
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("ACTIVATOR_BUILD", "build"))
HELLO = os.path.join(ROOT, "build/test/apps/hello")
SLOW = 4 if "/" in os.environ.get("ACTIVATOR_BUILD", "build") else 1  # sanitised

_given = set()
_claims = os.open(os.path.join(tempfile.gettempdir(), "activator-test-ports.%d" % os.getuid()),
                  os.O_RDWR | os.O_CREAT, 0o600)


def claim(port):
    """Nobody else is given it until this process ends: a test that runs beside this one may be
    about to listen, too."""
    if port in _given:
        return False
    try:
        fcntl.lockf(_claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    _given.add(port)
    return True


def free_port():
    """A port that nobody has, outside of what connect(2) and the autoscaler choose from."""
    while True:
        port = 10000 + int.from_bytes(os.urandom(2), "big") % 9000
        if not claim(port):
            continue
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def wait_until(condition, timeout=20, what="the condition"):
    """The first true value of condition(); it is asked until then."""
    end = time.monotonic() + timeout * SLOW
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, "waited in vain for %s" % what
        time.sleep(0.01)


class Gate:
    """The start of an instance that takes until a test lets it go on: open()."""

    def __init__(self, path):
        self.path = os.path.join(str(path), "gate")

    def command(self, words=""):
        return 'command = {"sh", "-c", "until [ -e %s ]; do sleep 0.02; done; exec HELLO %s"}' % (
            self.path, words)

    def open(self):
        open(self.path, "w").close()


class Program:
    """One of the two, with its log.  behind: the command that it is executed by."""

    def __init__(self, name, conf, log, environment=None, nofile=None, behind=()):
        self.name, self.log = name, log
        self.out = open(log, "ab")
        self.process = subprocess.Popen(
            [*behind, os.path.join(BUILD, name), "-c", conf], stdin=subprocess.DEVNULL,
            stderr=self.out, stdout=self.out, cwd=ROOT,
            env=dict(os.environ, **(environment or {})),
            preexec_fn=nofile and (
                lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))))

    @property
    def pid(self):
        return self.process.pid

    def text(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def kill(self, signo=signal.SIGKILL):
        self.process.send_signal(signo)
        if signo == signal.SIGKILL:
            self.process.wait(20)

    def stop(self, timeout=20):
        """Orderly; what it exits with."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


class Stack:
    """activator and autoscaler with `services` (text of the conf file)."""

    def __init__(self, path, services, activator="", autoscaler="", workers=2,
                 environment=None, nofile=None):
        self.path = str(path)
        self.nofile = nofile  # descriptors that the activator may have
        self.environment = environment  # the activator's, beside what it inherits
        self.port, self.admin, self.scaler_admin = free_port(), free_port(), free_port()
        self.conf = os.path.join(self.path, "a.conf")
        self.state = os.path.join(self.path, "state")
        services = services.replace(
            "command = {", 'environment = {"TEST_STACK=%s"} command = {' % self.path)
        with open(self.conf, "w") as f:
            f.write("""socket = "%s/s"
state_dir = "%s"
log_level = "debug"
activator { listen = {"127.0.0.1:%d"} admin = "127.0.0.1:%d" workers = %d %s }
autoscaler { admin = "127.0.0.1:%d" stable_window = 1s scale_to_zero_grace = 1s %s }
%s
""" % (self.path, self.state, self.port, self.admin, workers, activator, self.scaler_admin,
                autoscaler, services.replace("HELLO", HELLO)))
        self.activator = self.autoscaler = None
        self.statuses = []

    def start(self):
        self.start_autoscaler()
        self.start_activator()
        self.wait_ready()
        return self

    def start_autoscaler(self):
        self.autoscaler = Program("autoscaler", self.conf, self.path + "/autoscaler.log")

    def start_activator(self):
        self.activator = Program("activator", self.conf, self.path + "/activator.log",
                                 self.environment, self.nofile)

    def wait_ready(self):
        wait_until(lambda: self.readyz() == 200, what="/readyz")

    def readyz(self):
        try:
            return urllib.request.urlopen("http://127.0.0.1:%d/readyz" % self.admin,
                                          timeout=5).status
        except urllib.error.HTTPError as e:
            return e.code
        except OSError:
            return 0

    def metrics(self, port=None):
        text = urllib.request.urlopen(
            "http://127.0.0.1:%d/metrics" % (port or self.admin), timeout=5).read().decode()
        return {m[1]: float(m[2]) for m in re.finditer(r"^([^#\s]\S*(?: [^\s]*=\S*)*) (\S+)$",
                                                       text, re.M)}

    def metric(self, name):
        return self.metrics().get(name, 0)

    def instances(self):
        """Pids of the instances that are running."""
        found, mark = [], b"TEST_STACK=" + self.path.encode() + b"\0"
        for pid in os.listdir("/proc"):
            if not pid.isdigit():
                continue
            try:
                with open("/proc/%s/environ" % pid, "rb") as f:
                    env = f.read()
            except OSError:
                continue
            if mark in env:
                found.append(int(pid))
        return found

    def connect(self):
        return Client(self.port)

    def get(self, host, path="/", timeout=30, method="GET", body=None, fields=()):
        """One request on a connection of its own: (status, fields, body)."""
        with self.connect() as c:
            c.settimeout(timeout * SLOW)
            c.request(method, path, host, body, list(fields) + [("Connection", "close")])
            return c.response(method == "HEAD")

    def stop(self):
        try:
            for p in (self.activator, self.autoscaler):
                if p is None:
                    continue
                was_running = p.process.poll() is None
                status = p.stop()
                if was_running:
                    assert status == 0, "%s ended with %d:\n%s" % (p.name, status,
                                                                    p.text()[-3000:])
        finally:
            for p in (self.activator, self.autoscaler):
                if p is not None and p.process.poll() is None:
                    p.process.kill()
        for p in (self.activator, self.autoscaler):
            if p is not None:
                text = p.text()
                for sign in ("WARNING: ThreadSanitizer", "ERROR: AddressSanitizer",
                             "runtime error:", "LeakSanitizer", "check failed"):
                    assert sign not in text, text[text.index(sign):][:4000]
        wait_until(lambda: not self.instances(), what="the end of all instances")


@contextlib.contextmanager
def running(path, services, **more):
    s = Stack(path, services, **more)
    try:
        yield s.start()
    except BaseException:
        for p in (s.activator, s.autoscaler):
            if p is not None:
                print("--- %s\n%s" % (p.name, p.text()[-6000:]))
        raise
    finally:
        s.stop()


class Client(socket.socket):
    """A client that says just what it is told to."""

    def __init__(self, port):
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self.settimeout(30 * SLOW)
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connect(("127.0.0.1", port))
        self.rest = b""

    def request(self, method, path, host, body=None, fields=()):
        head = "%s %s HTTP/1.1\r\nHost: %s\r\n" % (method, path, host)
        head += "".join("%s: %s\r\n" % f for f in fields)
        if body is not None:
            head += "Content-Length: %d\r\n" % len(body)
        self.sendall(head.encode() + b"\r\n" + (body or b""))

    def more(self):
        data = self.recv(65536)
        self.rest += data
        return bool(data)

    def head(self):
        """(status line, [(name, value)…]) of the next response."""
        while b"\r\n\r\n" not in self.rest:
            assert self.more(), "the connection ended inside a head: %r" % self.rest
        head, self.rest = self.rest.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        return lines[0], [tuple(l.split(": ", 1)) for l in lines[1:]]

    def response(self, is_head=False):
        line, fields = self.head()
        status = int(line.split()[1])
        names = {n.lower(): v for n, v in fields}
        if is_head or status in (204, 304) or status < 200:
            return status, names, b""
        if names.get("transfer-encoding") == "chunked":
            return status, names, self.chunked()
        if "content-length" in names:
            return status, names, self.exactly(int(names["content-length"]))
        while self.more():
            pass
        body, self.rest = self.rest, b""
        return status, names, body

    def exactly(self, n):
        while len(self.rest) < n:
            assert self.more(), "the connection ended %d bytes early" % (n - len(self.rest))
        body, self.rest = self.rest[:n], self.rest[n:]
        return body

    def line(self):
        while b"\r\n" not in self.rest:
            assert self.more(), "the connection ended inside a line"
        line, self.rest = self.rest.split(b"\r\n", 1)
        return line

    def chunked(self):
        body = b""
        while True:
            n = int(self.line().split(b";")[0], 16)
            if n == 0:
                while self.line():
                    pass
                return body
            body += self.exactly(n)
            assert self.line() == b""

    def is_closed(self):
        """Nothing more comes, and it ends."""
        try:
            return not self.rest and self.recv(1) == b""
        except ConnectionResetError:
            return True


@contextlib.contextmanager
def stopped(pid):
    """The process stands still meanwhile."""
    def state():
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rpartition(")")[2].split()[0]

    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: state() == "T", what="the stop")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def stats(stack, host):
    return json.loads(stack.get(host, "/stats")[2])
