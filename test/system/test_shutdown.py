"""SIGTERM to the activator: every request of a client that has connected is answered, and
responses that are under way arrive whole.  Slow readers, with and without it."""
import signal
import socket

import pytest

from helpers import WAIT_S, stopped, wait_until
from stack import running

SERVICES = """service "s" { hosts = {"s"} idle_timeout = 200ms
    revision "v1" { command = {"HELLO"} } }
service "one" { hosts = {"one"} container_concurrency = 1
    revision "v1" { command = {"HELLO"} max_scale = 1 } }"""


class SlowReader(socket.socket):
    """A client with a small receive buffer that asks for `size` bytes and reads them later."""

    def __init__(self, stack, size):
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self.size = size
        self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        self.settimeout(WAIT_S)
        self.connect(("127.0.0.1", stack.port))
        self.sendall(b"GET /bytes/%d HTTP/1.1\r\nHost: s\r\n\r\n" % size)

    def receives_all(self):
        got = b""
        while len(got.partition(b"\r\n\r\n")[2]) < self.size:
            data = self.recv(1 << 16)
            if not data:
                return False
            got += data
        return True


def slow_readers(stack):
    """Clients whose responses do not fit into the kernel's buffers.  Some instances' responses
    have come whole: the activator holds the rest of them."""
    ended = 'activator_requests_total{outcome="ok"}'
    before = stack.metric(ended)
    clients = [SlowReader(stack, size) for size in range(30000, 200000, 2000)]
    wait_until(lambda: stack.metric("activator_connections") == len(clients) and
               stack.metric(ended) > before + 2, what="responses that the instance has sent whole")
    return clients


def test_a_slow_reader_is_not_idle(tmp_path):
    """idle_timeout, 200 ms, begins when the response has been taken; body_timeout holds before."""
    with running(tmp_path, SERVICES, workers=1) as s:
        assert s.get("s")[0] == 200
        wait_until(lambda: s.metric("activator_connections") == 0,
                   what="all connections to be closed")
        clients = slow_readers(s)
        with s.connect() as idle:
            idle.request("GET", "/", "s")
            assert idle.response()[0] == 200
            assert idle.is_closed()
        assert [c.size for c in clients if not c.receives_all()] == []


def test_a_slow_reader_at_sigterm(tmp_path):
    with running(tmp_path, SERVICES.replace("200ms", "60s"), workers=1) as s:
        assert s.get("s")[0] == 200
        wait_until(lambda: s.metric("activator_connections") == 0,
                   what="all connections to be closed")
        clients = slow_readers(s)
        s.activator.kill(signal.SIGTERM)
        wait_until(lambda: s.readyz() == 503, what="/readyz")
        assert [c.size for c in clients if not c.receives_all()] == []
        assert s.activator.process.wait(WAIT_S) == 0


def test_clients_that_have_connected_before_sigterm(tmp_path):
    """Accepted or not: all of them are answered."""
    with running(tmp_path, SERVICES) as s:
        assert s.get("s")[0] == 200
        with stopped(s.activator.pid):
            clients = [s.connect() for _ in range(100)]
            for c in clients:
                c.request("GET", "/", "s")
            s.activator.kill(signal.SIGTERM)
        for c in clients:
            # Some may be answered before the worker knows of the signal: closed all the same.
            assert c.response()[0] == 200
            assert c.is_closed()
        assert s.activator.process.wait(WAIT_S) == 0


@pytest.mark.parametrize("host", ["s", "one"])
def test_what_is_left_after_drain_timeout_is_refused(tmp_path, host):
    """One request is in flight; the other as well, or parked behind it."""
    with running(tmp_path, SERVICES, activator="drain_timeout = 200ms") as s:
        with s.connect() as first, s.connect() as second:
            for c in first, second:
                c.request("GET", "/?ms=600000", host)
                wait_until(lambda: s.metric('activator_revision_in_flight{revision="%s/v1"}' % host)
                           > 0, what="a request in flight")
            s.activator.kill(signal.SIGTERM)
            for c in first, second:
                status, fields, _ = c.response()
                assert (status, fields["x-activator-reason"]) == (503, "shutting_down")
                assert "retry-after" in fields and fields["connection"] == "close"
        assert s.activator.process.wait(WAIT_S) == 0


def test_the_autoscaler_knows_that_it_leaves(tmp_path):
    """An orderly end is no warning."""
    with running(tmp_path, SERVICES) as s:
        s.activator.stop()
        wait_until(lambda: 'level=info program=autoscaler msg="activator has left"' in
                   s.autoscaler.text(), what="the end of the link")
        assert "activator disconnected" not in s.autoscaler.text()
