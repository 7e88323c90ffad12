"""Several activators on one autoscaler, and clients that keep them busy; for tests and benchmarks."""
import contextlib
import json
import os
import signal
import threading
import urllib.request

from helpers import WAIT_S, free_port, wait_until
from stack import Client, Program, Stack

HOST = "s.test"
ENOUGH = 30  # requests that show that an activator has slots


def services(cc, instances, abort_timeout):
    return """service "s" { hosts = {"%s"}
    revision "v1" { command = {"HELLO"} container_concurrency = %d abort_timeout = %s
        min_scale = %d max_scale = %d } }""" % (
            HOST, cc, abort_timeout, instances, max(instances, 1))


class Activator:
    """One more activator on the autoscaler of a stack, and clients that keep it busy."""

    def __init__(self, stack, name, more=""):
        """more: keys of its conf file."""
        self.stack, self.name = stack, name
        self.port, self.admin = free_port(), free_port()
        self.conf = os.path.join(stack.path, name + ".conf")
        with open(self.conf, "w") as f:
            f.write('socket = "%s/s"\nstate_dir = "%s"\nlog_level = "debug"\nactivator { '
                    'listen = {"127.0.0.1:%d"} admin = "127.0.0.1:%d" workers = 2 %s }\n' % (
                        stack.path, stack.state, self.port, self.admin, more))
        self.lock = threading.Lock()
        self.served = self.failed = 0
        self.clients, self.is_over = [], threading.Event()
        self.program = None

    def start(self):
        self.program = Program("activator", self.conf, "%s/%s.log" % (self.stack.path, self.name))
        wait_until(self.is_ready, what=self.name)
        return self

    def is_ready(self):
        with contextlib.suppress(OSError):
            return urllib.request.urlopen("http://127.0.0.1:%d/readyz" % self.admin,
                                          timeout=WAIT_S).status == 200
        return False

    def status(self):
        """Of the revision."""
        url = "http://127.0.0.1:%d/status?revision=s/v1" % self.admin
        with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
            return json.loads(answer.read())["revisions"][0]

    def share(self):
        """The slots that it may use, of all instances."""
        return sum(i.get("share", 1 << 30) for i in self.status()["instances"])

    def load(self, clients, ms=3):
        """So many clients, each with one request after another, from now on."""
        self.is_over = threading.Event()
        self.clients = [threading.Thread(target=self.ask, args=(self.is_over, ms))
                        for _ in range(clients)]
        for c in self.clients:
            c.start()

    def ask(self, is_over, ms):
        client = None
        while not is_over.is_set():
            try:
                client = client or Client(self.port)
                client.request("GET", "/?ms=%d" % ms, HOST)
                status = client.response()[0]
            except (OSError, AssertionError):
                status = 0
            with self.lock:
                self.served += status == 200
                self.failed += status != 200
            if status != 200:
                if client is not None:
                    client.close()
                client = None
                is_over.wait(0.01)
        if client is not None:
            client.close()

    def calm(self):
        """Its clients send no more."""
        self.is_over.set()
        for c in self.clients:
            c.join(WAIT_S)
            assert not c.is_alive(), "a request was never answered"
        self.clients = []

    def wait_served(self, n=ENOUGH):
        """Until so many more requests have been served."""
        before = self.served
        wait_until(lambda: self.served >= before + n, what="%s to serve" % self.name)

    def kill(self):
        self.program.kill()

    def stop(self):
        self.calm()
        if self.program.process.poll() is None:
            assert self.program.stop() == 0, self.program.text()[-3000:]
        text = self.program.text()
        for sign in ("WARNING: ThreadSanitizer", "ERROR: AddressSanitizer", "runtime error:",
                     "LeakSanitizer", "check failed"):
            assert sign not in text, text[text.index(sign):][:4000]


def ask_instance(pid):
    """What the instance has counted.  It must have no other connections."""
    with open("/proc/%d/environ" % pid, "rb") as f:
        env = dict(v.split(b"=", 1) for v in f.read().split(b"\0") if b"=" in v)
    url = "http://127.0.0.1:%d/stats" % int(env[b"PORT"])
    with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
        return json.loads(answer.read())


@contextlib.contextmanager
def fleet(path, cc, instances, n, is_strict=True, abort_timeout="500ms"):
    """An autoscaler and n activators.  At the end the activators stop, and no instance may ever
    have had more than cc requests or connections (not is_strict: connections of others, too)."""
    stack = Stack(path, services(cc, instances, abort_timeout))
    stack.is_counted = True
    activators = []
    try:
        stack.start_autoscaler()
        activators += [Activator(stack, "activator%d" % i) for i in range(n)]
        for a in activators:
            a.start()
        yield stack, activators
        for a in activators:
            a.stop()
        seen = [ask_instance(pid) for pid in stack.instances()]
        assert len(seen) == instances
        for s in seen if stack.is_counted else ():
            assert s["active_most"] <= cc, seen
            assert s["connections_most"] <= cc or not is_strict, seen
        if instances > 0:
            assert sum(s["requests"] for s in seen) >= sum(a.served for a in activators)
    except BaseException:
        for a in activators:
            print("--- %s\n%s" % (a.name, a.program.text()[-3000:] if a.program else "not started"))
        print("--- autoscaler\n%s" % stack.autoscaler.text()[-6000:])
        raise
    finally:
        for a in activators:
            a.is_over.set()
            if a.program is not None and a.program.process.poll() is None:
                a.program.kill(signal.SIGCONT)
                a.program.kill()
        stack.stop()
