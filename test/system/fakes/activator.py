"""An activator as the autoscaler sees one: the link and nothing behind it.

It speaks protocol version 1 (DESIGN 7) in the thread of whoever calls: nothing happens
but inside wait() and the calls made from there, so a test says in its own order what is
answered and when.
"""
import json
import os
import select
import socket
import time

PATIENCE = 10.0


class Gone(Exception):
    """The autoscaler has closed the link."""


class Activator:
    """One link.  `stats` (name → dict) is told every `period` seconds while waiting;
    `answer` is what a drain gets: "drained", "busy" or None (nothing)."""

    def __init__(self, path, ident=None, hello=True, period=0.2, answer="drained", friends=()):
        self.ident = ident or f"fake-{os.getpid()}-{time.monotonic_ns()}"
        self.period = period
        self.answer = answer
        self.friends = friends  # other links that go on while this one waits
        self.is_stalled = False  # a friend that does not
        self.stats = {}
        self.seen = []  # every message, in order
        self.instances = {}  # revision → its newest `instances`, from any message
        self.services = {}  # name → service
        self.generation = None  # of the last `end`
        self.buffer = b""
        self.seq = 0
        self.told_at = time.monotonic()
        self.sock = socket.socket(socket.AF_UNIX)
        self._connect(path)
        if hello:
            self.send(type="hello", protocol=1, role="activator", id=self.ident)

    def _connect(self, path):
        until = time.monotonic() + PATIENCE
        while True:
            try:
                self.sock.connect(path)
                return
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)

    # -- out

    def raw(self, data):
        self.sock.sendall(data)

    def send(self, **message):
        self.raw(json.dumps(message).encode() + b"\n")

    def activate(self, revision, parked=1):
        """Ask, and remember the demand for the stats that follow."""
        self.seq += 1
        self.load(revision, parked=parked, concurrency=float(parked))
        self.send(type="activate", revision=revision, parked=parked, seq=self.seq)
        return self.seq

    def load(self, revision, **values):
        stat = {"concurrency": 0.0, "requests": 0, "parked": 0, "in_flight": 0, "instances": []}
        stat.update(values)
        self.stats[revision] = dict(stat, name=revision)

    def idle(self, revision):
        self.stats.pop(revision, None)

    def tell(self):
        now = time.monotonic()
        period_ms = max(1, round((now - self.told_at) * 1000))
        self.told_at = now
        self.send(type="stats", period_ms=period_ms, revisions=list(self.stats.values()))

    # -- in

    def close(self):
        self.is_stalled = True
        self.sock.close()

    def _read(self, timeout):
        if not select.select([self.sock], [], [], timeout)[0]:
            return
        data = self.sock.recv(1 << 16)
        if not data:
            raise Gone()
        self.buffer += data
        while b"\n" in self.buffer:
            line, self.buffer = self.buffer.split(b"\n", 1)
            self._take(json.loads(line))

    def _take(self, message):
        self.seen.append(message)
        kind = message["type"]
        if kind == "begin":
            self.services = {}
        elif kind == "service":
            self.services[message["name"]] = message
            for revision in message["revisions"]:
                self.instances[revision["name"]] = revision
        elif kind == "end":
            self.generation = message["generation"]
        elif kind == "instances":
            self.instances[message["revision"]] = message
        elif kind == "drain" and self.answer is not None:
            self.send(type=self.answer, token=message["token"])

    def pump(self, timeout=0.0):
        """Tell stats if they are due, take what has come."""
        if self.generation is not None and time.monotonic() - self.told_at >= self.period:
            self.tell()
        self._read(timeout)

    def wait(self, done, timeout=PATIENCE, what=""):
        """Read, and tell stats, until done() is true; returns what it said."""
        until = time.monotonic() + timeout
        while True:
            result = done()
            if result:
                return result
            if time.monotonic() > until:
                raise AssertionError(f"waited {timeout} s in vain {what}; last: {self.seen[-5:]}")
            self.pump(0.02)
            for friend in self.friends:
                if friend is not self and not friend.is_stalled:
                    friend.pump()

    def rest(self, seconds):
        until = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() >= until, seconds + 5)

    def wait_gone(self, timeout=PATIENCE):
        try:
            self.wait(lambda: False, timeout)
        except (Gone, ConnectionResetError, BrokenPipeError):
            return
        raise AssertionError("the autoscaler has not closed the link")

    def ready(self):
        """Wait for the services."""
        return self.wait(lambda: self.generation is not None, what="for `end`")

    def of(self, kind, since=0, **match):
        """The messages of a type (and members) seen since."""
        return [m for m in self.seen[since:] if m["type"] == kind
                and all(m.get(k) == v for k, v in match.items())]

    def wait_for(self, kind, timeout=PATIENCE, since=0, **match):
        """The first message of a type (and members) since."""
        return self.wait(lambda: self.of(kind, since, **match), timeout,
                         f"for {kind} {match}")[0]

    def states(self, revision):
        """id → state of the revision's instances; None: not known."""
        instances = self.instances[revision]["instances"]
        return None if instances is None else {i["id"]: i["state"] for i in instances}

    def wait_states(self, revision, test, timeout=PATIENCE):
        return self.wait(lambda: self.states(revision) is not None and test(self.states(revision)),
                         timeout, f"for a state of {revision}, have {self.instances.get(revision)}")
