"""A stack whose activator can be upgraded, and clients of several kinds that may see nothing of it;
for tests, and for a loop by hand (python3 test/system/upgrading.py TIMES): so many reloads of both
programs and so many upgrades, beside as long a time without either."""
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import threading
import time
import urllib.request

from fakes.supervisor import FINE
from helpers import BUILD, ROOT, WAIT_S, free_port, process_state, wait_until
from stack import Client, Program, Stack

SUPERVISOR = [sys.executable, os.path.join(ROOT, "test/system/fakes/supervisor.py")]


class Tunnels:
    """An instance that speaks an echo protocol after an upgrade; "/" is answered at once."""

    def __init__(self):
        self.port = free_port()
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=100)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.serve, args=self.listener.accept()[:1],
                                 daemon=True).start()

    def serve(self, c):
        with c, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                data = c.recv(4096)
                if not data:
                    return
                head += data
            if b"Upgrade: echo" not in head:
                c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            c.sendall(b"HTTP/1.1 101 Switching\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
            while True:
                data = c.recv(4096)
                if not data:
                    return
                c.sendall(data)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


SERVICES = """
service "s" { hosts = {"s"} revision "v1" { command = {"HELLO"} min_scale = 1 } }
service "one" { hosts = {"one"} container_concurrency = 1
    revision "v1" { command = {"HELLO"} min_scale = 1 max_scale = 1 } }
service "tunnel" { hosts = {"tunnel"} revision "v1" { addresses = {"127.0.0.1:%d"} } }
"""


class UpgradeStack(Stack):
    """The activator is a copy of the program, so that a test can put another one in its place."""

    def __init__(self, path, services=None, behind=(), pass_fds=(), **more):
        self.tunnels = Tunnels()
        super().__init__(path, (services or SERVICES) % self.tunnels.port if services is None
                         else services, **more)
        self.program = os.path.join(self.path, "activator")
        self.put_program()
        self.behind, self.pass_fds = list(behind), list(pass_fds)

    def put_program(self):
        """What is on disk is the program that was built."""
        shutil.copy(os.path.join(BUILD, "activator"), self.program + ".new")
        os.replace(self.program + ".new", self.program)

    def put_script(self, text, mode=0o755):
        """What is on disk is this shell script."""
        with open(self.program + ".new", "w") as f:
            f.write("#!/bin/sh\n" + text)
        os.chmod(self.program + ".new", mode)
        os.replace(self.program + ".new", self.program)

    def start_activator(self):
        self.record = os.path.join(self.path, "ended")
        self.activator = Program(
            "activator", self.conf, self.path + "/activator.log", self.environment, self.nofile,
            behind=SUPERVISOR + [self.record] + self.behind, path=self.program,
            pass_fds=self.pass_fds)

    def status(self):
        with urllib.request.urlopen("http://127.0.0.1:%d/status" % self.admin,
                                    timeout=WAIT_S) as answer:
            return json.loads(answer.read())

    def pid(self):
        return self.status()["pid"]

    def ended(self):
        """{pid: exit status}"""
        with contextlib.suppress(FileNotFoundError), open(self.record) as f:
            return dict(map(int, line.split()) for line in f if line.endswith("\n"))
        return {}

    def count(self, text):
        return self.activator.text().count(text)

    def upgrade(self):
        """An upgrade that has to succeed; (the pid before, the pid after).  From here on the new
        one alone accepts."""
        before, text = self.pid(), "a new activator has taken over; this one finishes"
        lines = self.count(text)
        os.kill(before, signal.SIGUSR2)
        wait_until(lambda: self.count(text) > lines, what="the upgrade")
        return before, self.pid()

    def refused_upgrade(self, text):
        """SIGUSR2, which the running activator has to answer with a line that has this text, and
        with nothing else.  The new one may have written the text before: until its end is known
        the next upgrade would be refused."""
        def refusals():
            return sum('msg="the upgrade ' in line and text in line
                       for line in self.activator.text().splitlines())
        before, lines = self.pid(), refusals()
        os.kill(before, signal.SIGUSR2)
        wait_until(lambda: refusals() > lines, what=text)
        assert self.pid() == before

    def wait_elders(self, most):
        wait_until(lambda: self.status()["older_processes"] <= most,
                   what="older activators to end")

    def stop(self):
        try:
            super().stop()
        finally:
            self.tunnels.close()
        statuses = self.ended()
        assert all(code in FINE for code in statuses.values()), statuses
        for pid in statuses:
            with contextlib.suppress(OSError):
                assert process_state(pid) == "Z"


@contextlib.contextmanager
def upgrading(path, services=None, **more):
    s = UpgradeStack(path, services, **more)
    try:
        yield s.start()
    except BaseException:
        for p in (s.activator, s.autoscaler):
            if p is not None:
                print("--- %s\n%s" % (p.name, p.text()[-12000:]))
        raise
    finally:
        s.stop()


class Load:
    """Clients that ask again and again until the end.  Every answer that is not right is in
    `errors`; how long short requests took, in `waits`."""

    def __init__(self, stack):
        self.stack, self.errors, self.waits = stack, [], []
        self.counts, self.cuts = {}, 0
        self.is_over, self.lock = threading.Event(), threading.Lock()
        kinds = [self.short, self.short, self.new, self.new, self.long, self.stream, self.parked,
                 self.parked, self.tunnel]
        self.threads = [threading.Thread(target=self.run, args=(k,)) for k in kinds]

    def __enter__(self):
        for t in self.threads:
            t.start()
        wait_until(lambda: len(self.counts) >= 6, what="an answer of each kind")
        return self

    def __exit__(self, *_):
        self.is_over.set()
        for t in self.threads:
            t.join()

    def run(self, kind):
        while not self.is_over.is_set():
            try:
                kind()
            except Exception as e:  # noqa: it is the test's to judge
                with self.lock:
                    self.errors.append("%s: %r" % (kind.__name__, e))
                time.sleep(0.05)

    def done(self, kind):
        with self.lock:
            self.counts[kind] = self.counts.get(kind, 0) + 1

    def snapshot(self):
        with self.lock:
            return dict(self.counts)

    def wait_more(self):
        """Each kind has had one more answer."""
        before = self.snapshot()
        wait_until(lambda: all(n > before.get(kind, 0) for kind, n in self.snapshot().items()
                               if not kind.endswith("_ended")),
                   what="more answers")

    def check(self, c, host, path="/", kind="short"):
        begin = time.monotonic()
        c.request("GET", path, host)
        status, fields, body = c.response()
        with self.lock:
            self.waits.append(time.monotonic() - begin)
        assert status == 200 and body == b"hello\n", (status, fields, body)
        self.done(kind)
        return fields.get("connection") != "close"

    def short(self):
        """One request after another on one connection, until it says close."""
        with Client(self.stack.port) as c:
            while self.check(c, "s") and not self.is_over.is_set():
                time.sleep(0.002)

    def new(self):
        with Client(self.stack.port) as c:
            self.check(c, "s", kind="new")

    def long(self):
        with Client(self.stack.port) as c:
            c.request("GET", "/?ms=700", "s")
            status, _, body = c.response()
            assert status == 200 and body == b"hello\n", status
            self.done("long")

    def stream(self):
        """A response that the client takes slowly."""
        size = 3000000
        with Client(self.stack.port) as c:
            c.request("GET", "/bytes/%d" % size, "s")
            line, _ = c.head()
            assert line.split()[1] == "200", line
            for _ in range(30):
                c.exactly(size // 30)
                time.sleep(0.02)
            self.done("stream")

    def parked(self):
        """Two clients share the only slot of an instance: one of them is parked."""
        with Client(self.stack.port) as c:
            c.request("GET", "/?ms=150", "one")
            status, _, body = c.response()
            assert status == 200 and body == b"hello\n", status
            self.done("parked")

    def tunnel(self):
        """Bytes go there and back until drain_timeout; only then may it end, and cleanly between
        two exchanges."""
        with Client(self.stack.port) as c:
            c.sendall(b"GET / HTTP/1.1\r\nHost: tunnel\r\nUpgrade: echo\r\n"
                      b"Connection: Upgrade\r\n\r\n")
            line, _ = c.head()
            assert line.split()[1] == "101", line
            try:
                while not self.is_over.is_set():
                    c.sendall(b"ping")
                    if c.exactly(4) != b"ping":
                        raise ValueError("other bytes")
                    self.done("tunnel")
                    time.sleep(0.02)
            except (OSError, AssertionError):
                self.done("tunnel_ended")


def idle(stack, load, i):
    load.wait_more()


def reload(stack, load, i):
    """A time limit, a bound and the addresses change, and a service comes or goes."""
    text = 'msg="conf file reloaded"'
    before = [stack.count(text), stack.autoscaler.text().count(text)]
    stack.edit("activator {", "activator { max_parked = 9000 idle_timeout = 74s") if i % 2 == 0 \
        else stack.edit("activator { max_parked = 9000 idle_timeout = 74s", "activator {")
    more = '\nservice "more" { hosts = {"more"} revision "v1" { command = {"true"} } }\n'
    with open(stack.conf) as f:
        conf = f.read()
    with open(stack.conf, "w") as f:
        f.write(conf.replace(more, "") if more in conf else conf + more)
    os.kill(stack.pid(), signal.SIGHUP)
    stack.autoscaler.kill(signal.SIGHUP)
    wait_until(lambda: stack.count(text) > before[0] and
               stack.autoscaler.text().count(text) > before[1], what="the reload")
    load.wait_more()


def upgrade(stack, load, i):
    stack.upgrade()
    load.wait_more()
    stack.wait_elders(1)


def loop(n):
    import statistics
    import tempfile
    with tempfile.TemporaryDirectory() as path:
        with upgrading(path, activator="drain_timeout = 1s") as s, Load(s) as load:
            for step in idle, reload, upgrade:
                with load.lock:
                    load.waits, errors, before = [], len(load.errors), dict(load.counts)
                begin = time.monotonic()
                for i in range(n):
                    step(s, load, i)
                with load.lock:
                    waits = sorted(load.waits)
                    counts = {k: v - before.get(k, 0) for k, v in load.counts.items()}
                print("%s %d times in %.1f s: %d short answers: median %.1f, p99 %.1f, worst %.0f ms; "
                      "errors %d; %s" % (
                          step.__name__, n, time.monotonic() - begin, len(waits),
                          1e3 * statistics.median(waits), 1e3 * waits[len(waits) * 99 // 100],
                          1e3 * waits[-1], len(load.errors) - errors, counts), flush=True)
            s.wait_elders(0)
    print("errors:", load.errors[:20])
    return 1 if load.errors else 0


if __name__ == "__main__":
    sys.exit(loop(int(sys.argv[1]) if len(sys.argv) > 1 else 10))
