"""An activator as the autoscaler sees one: the link, and no data plane behind it.

It speaks version 1 of the protocol (activator-protocol(7)).  It has no thread of its own: it
reads and sends only inside wait() and the calls made from there, so a test decides in which
order messages are answered.
"""
import json
import os
import select
import socket
import time

from helpers import WAIT_S, wait_until


class LinkClosed(Exception):
    """The autoscaler has closed the link."""


class FakeActivator:
    """One link.  While it waits, it sends `stats` (revision: dict) every `period` seconds.
    answer: what it replies to a drain: "drained", "busy" or None (nothing).  peers: a list of
    other links that are served while this one waits; links may be added to it later."""

    def __init__(self, path, ident=None, hello=True, period=0.2, answer="drained", peers=()):
        self.ident = ident or f"fake-{os.getpid()}-{time.monotonic_ns()}"
        self.period = period
        self.answer = answer
        self.peers = peers
        self.is_stalled = False  # its peers do not serve it
        self.stats = {}
        self.seen = []  # every message, in order
        self.instances = {}  # revision: the newest description of its instances
        self.services = {}  # name: service
        self.generation = None  # of the last `end`
        self.buffer = b""
        self.seq = 0
        self.stats_sent_at = time.monotonic()
        self.sock = socket.socket(socket.AF_UNIX)
        self._connect(path)
        if hello:
            self.send(type="hello", protocol=1, role="activator", id=self.ident)

    def _connect(self, path):
        def is_connected():
            try:
                self.sock.connect(path)
                return True
            except (FileNotFoundError, ConnectionRefusedError):
                return False

        wait_until(is_connected, what="the autoscaler's socket")

    # --- sending

    def raw(self, data):
        self.sock.sendall(data)

    def send(self, **message):
        self.raw(json.dumps(message).encode() + b"\n")

    def activate(self, revision, parked=1):
        """Send `activate`, and report the same demand in the stats that follow."""
        self.seq += 1
        self.load(revision, parked=parked, concurrency=float(parked))
        self.send(type="activate", revision=revision, parked=parked, seq=self.seq)
        return self.seq

    def load(self, revision, **values):
        """Report these values of the revision from now on."""
        stat = {"concurrency": 0.0, "requests": 0, "parked": 0, "in_flight": 0, "instances": []}
        stat.update(values)
        self.stats[revision] = dict(stat, name=revision)

    def idle(self, revision):
        """Report nothing of the revision any more."""
        self.stats.pop(revision, None)

    def send_stats(self):
        now = time.monotonic()
        period_ms = max(1, round((now - self.stats_sent_at) * 1000))
        self.stats_sent_at = now
        self.send(type="stats", period_ms=period_ms, revisions=list(self.stats.values()))

    # --- receiving

    def close(self):
        self.is_stalled = True
        self.sock.close()

    def _read(self, timeout):
        if not select.select([self.sock], [], [], timeout)[0]:
            return
        data = self.sock.recv(1 << 16)
        if not data:
            raise LinkClosed()
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

    def serve(self, timeout=0.0):
        """Send stats if a period has passed, and read what has come."""
        if self.generation is not None and time.monotonic() - self.stats_sent_at >= self.period:
            self.send_stats()
        self._read(timeout)

    def wait(self, condition, timeout=WAIT_S, what=""):
        """Serve this link and its peers until condition() is true; its value."""
        until = time.monotonic() + timeout
        while True:
            result = condition()
            if result:
                return result
            if time.monotonic() > until:
                raise AssertionError(f"waited {timeout} s in vain {what}; last: {self.seen[-5:]}")
            self.serve(0.02)
            for peer in self.peers:
                if peer is not self and not peer.is_stalled:
                    peer.serve()

    def serve_for(self, seconds):
        until = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() >= until, seconds + WAIT_S)

    def wait_closed(self):
        """Until the autoscaler closes the link."""
        try:
            self.wait(lambda: False)
        except (LinkClosed, ConnectionResetError, BrokenPipeError):
            return
        raise AssertionError("the autoscaler has not closed the link")

    def wait_described(self):
        """Until all services have been described."""
        return self.wait(lambda: self.generation is not None, what="for `end`")

    def messages(self, kind, since=0, **members):
        """Those of a type, with these members, that have come since seen[since]."""
        return [m for m in self.seen[since:] if m["type"] == kind
                and all(m.get(k) == v for k, v in members.items())]

    def wait_for(self, kind, since=0, **members):
        """The first message of a type, with these members, since seen[since]."""
        return self.wait(lambda: self.messages(kind, since, **members),
                         what=f"for {kind} {members}")[0]

    def states(self, revision):
        """{id: state} of the revision's instances; None: not known."""
        instances = self.instances[revision]["instances"]
        return None if instances is None else {i["id"]: i["state"] for i in instances}

    def wait_states(self, revision, test):
        """Until test({id: state}) is true."""
        return self.wait(lambda: self.states(revision) is not None and test(self.states(revision)),
                         what=f"for a state of {revision}, have {self.instances.get(revision)}")
