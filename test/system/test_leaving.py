"""SIGTERM: what was let in is answered, and what is on its way to a client arrives."""
import os
import signal
import socket

import pytest

from helpers import SLOW, wait_until
from stack import running

SERVICES = """service "s" { hosts = {"s"} idle_timeout = 200ms
    revision "v1" { command = {"HELLO"} } }
service "one" { hosts = {"one"} container_concurrency = 1
    revision "v1" { command = {"HELLO"} max_scale = 1 } }"""


class Slow(socket.socket):
    """A client that takes little at a time."""

    def __init__(self, stack, size):
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self.size = size
        self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        self.settimeout(30 * SLOW)
        self.connect(("127.0.0.1", stack.port))
        self.sendall(b"GET /bytes/%d HTTP/1.1\r\nHost: s\r\n\r\n" % size)

    def has_all(self):
        got = b""
        while len(got.partition(b"\r\n\r\n")[2]) < self.size:
            data = self.recv(1 << 16)
            if not data:
                return False
            got += data
        return True


def slow_ones(stack):
    """Of some of them the instance has sent all, and the activator holds the last of it."""
    ended = 'activator_requests_total{outcome="ok"}'
    before = stack.metric(ended)
    clients = [Slow(stack, size) for size in range(30000, 200000, 2000)]
    wait_until(lambda: stack.metric("activator_connections") == len(clients) and
               stack.metric(ended) > before + 2, what="responses that have come whole")
    return clients


def test_a_slow_reader_is_not_idle(tmp_path):
    """Its connection may be idle for 200 ms; it has its response for body_timeout."""
    with running(tmp_path, SERVICES, workers=1) as s:
        assert s.get("s")[0] == 200
        wait_until(lambda: s.metric("activator_connections") == 0, what="no connection")
        clients = slow_ones(s)
        with s.connect() as idle:
            idle.request("GET", "/", "s")
            assert idle.response()[0] == 200
            assert idle.is_closed()
        assert [c.size for c in clients if not c.has_all()] == []


def test_a_slow_reader_at_sigterm(tmp_path):
    with running(tmp_path, SERVICES.replace("200ms", "60s"), workers=1) as s:
        assert s.get("s")[0] == 200
        wait_until(lambda: s.metric("activator_connections") == 0, what="no connection")
        clients = slow_ones(s)
        s.activator.kill(signal.SIGTERM)
        wait_until(lambda: s.readyz() == 503, what="/readyz")
        assert [c.size for c in clients if not c.has_all()] == []
        assert s.activator.process.wait(20) == 0


def test_who_has_connected_at_sigterm(tmp_path):
    """Whether accepted by then or not."""
    with running(tmp_path, SERVICES) as s:
        assert s.get("s")[0] == 200
        os.kill(s.activator.pid, signal.SIGSTOP)
        clients = [s.connect() for _ in range(100)]
        for c in clients:
            c.request("GET", "/", "s")
        os.kill(s.activator.pid, signal.SIGTERM)
        os.kill(s.activator.pid, signal.SIGCONT)
        for c in clients:
            # A worker may have answered some before it heard of the end: these are closed then.
            assert c.response()[0] == 200
            assert c.is_closed()
        assert s.activator.process.wait(20) == 0


@pytest.mark.parametrize("host", ["s", "one"])
def test_the_drain_time_is_over(tmp_path, host):
    """Each request that was read is answered: one at the instance, one behind it."""
    with running(tmp_path, SERVICES, activator="drain_timeout = 200ms") as s:
        with s.connect() as first, s.connect() as second:
            for c in first, second:
                c.request("GET", "/?ms=60000", host)
                wait_until(lambda: s.metric('activator_revision_in_flight{revision="%s/v1"}' % host)
                           > 0, what="a request in flight")
            s.activator.kill(signal.SIGTERM)
            for c in first, second:
                status, fields, _ = c.response()
                assert (status, fields["x-activator-reason"]) == (503, "shutting_down")
                assert "retry-after" in fields and fields["connection"] == "close"
        assert s.activator.process.wait(20) == 0
