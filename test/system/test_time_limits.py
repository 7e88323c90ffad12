"""head_timeout, idle_timeout and connect_timeout.  (The limits of bodies, responses, tunnels and
whole requests are rows of test_golden.py.)"""
import socket
import time

import pytest

from fakes.instance import OK, listening_socket
from helpers import WAIT_S, free_port, wait_until
from stack import running

SERVICES = """
service "kept" { hosts = {"kept"} idle_timeout = 1s upstream_idle_timeout = 0
    revision "v1" { addresses = {"127.0.0.1:FULL"} } }
service "full" { hosts = {"full"} upstream_idle_timeout = 0
    connect_timeout = 200ms activation_timeout = 1s
    revision "v1" { addresses = {"127.0.0.1:FULL"} } }
service "two" { hosts = {"two"} upstream_idle_timeout = 0 connect_timeout = 200ms
    revision "v1" { addresses = {"127.0.0.1:FULL", "127.0.0.1:GOOD"} } }
"""


class Listener:
    """An instance.  fill() fills its queue of connections, so that no SYN is answered any more."""

    def __init__(self):
        self.port, self.filling = free_port(), []
        self.socket = listening_socket(self.port)

    def serve(self, answered):
        """Answer requests until answered() is true."""
        self.socket.settimeout(0.02)

        def step():
            try:
                fd, _ = self.socket.accept()
            except TimeoutError:
                return answered()
            fd.settimeout(WAIT_S)
            try:
                if fd.recv(65536):
                    fd.sendall(OK)
            except OSError:
                pass
            fd.close()
            return answered()
        wait_until(step, what="a served request")

    def fill(self):
        self.socket.listen(0)

        def is_full():
            fd = socket.socket()
            fd.settimeout(0.5)
            try:
                fd.connect(("127.0.0.1", self.port))
            except TimeoutError:
                fd.close()
                return True
            self.filling.append(fd)
            return False
        wait_until(is_full, what="a full queue")

    def drain(self):
        for fd in self.filling:
            fd.close()
        self.filling = []


@pytest.fixture
def listeners():
    made = [Listener(), Listener()]
    yield made
    for one in made:
        one.drain()
        one.socket.close()


@pytest.fixture
def stack(tmp_path, listeners):
    full, good = listeners
    text = SERVICES.replace("FULL", str(full.port)).replace("GOOD", str(good.port))
    with running(tmp_path, text, activator="head_timeout = 1s", workers=1) as s:
        wait_until(lambda: s.activator.text().count('"instance answers"') == 4,
                   what="all instances to answer the prober")
        yield s


def has_answer(client):
    if client.rest:
        return True
    client.settimeout(0)
    try:
        return client.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return False


def test_a_head_that_is_not_complete_in_time(stack):
    """Bytes that still come do not extend the limit."""
    with stack.connect() as c:
        c.sendall(b"GET / HTTP/1.1\r\nHost: kept\r\nX-Slow: ")

        def step():
            if has_answer(c):
                return True
            c.settimeout(WAIT_S)
            c.sendall(b"x")
            return False
        wait_until(step, what="an answer")
        c.settimeout(WAIT_S)
        status, fields, _ = c.response()
        assert (status, fields["x-activator-reason"]) == (408, "head_timeout")
        assert fields["connection"] == "close"
        assert c.is_closed()
    assert stack.metric('activator_requests_total{outcome="head_timeout"}') == 1


def test_a_connection_without_a_byte(stack):
    with stack.connect() as c:
        assert c.is_closed()
    assert stack.metric('activator_requests_total{outcome="head_timeout"}') == 0


def test_a_connection_that_is_idle_after_a_request(stack, listeners):
    """It is closed without a response.  A client that sends its next request just then may send it
    again (RFC 9112, section 9.3.1), but could take a 408 for the response to it."""
    began = time.monotonic()
    with stack.connect() as c:
        for _ in range(2):  # the second may have to wait for the first, but no limit runs
            c.request("GET", "/", "kept")
        for _ in range(2):
            c.settimeout(0)
            listeners[0].serve(lambda: has_answer(c))
            c.settimeout(WAIT_S)
            assert c.response()[2] == b"ok"
        assert c.is_closed()
        assert time.monotonic() - began >= 1  # idle_timeout
    wait_until(lambda: stack.metric("activator_connections") == 0, what="its end")


def test_an_empty_line_after_a_request_begins_no_other(stack, listeners):
    """Some clients send one after a body (RFC 9112, section 2.2)."""
    with stack.connect() as c:
        c.request("GET", "/", "kept")
        c.settimeout(0)
        listeners[0].serve(lambda: has_answer(c))
        c.settimeout(WAIT_S)
        assert c.response()[2] == b"ok"
        c.sendall(b"\r\n")
        assert c.is_closed()
    assert stack.metric('activator_requests_total{outcome="head_timeout"}') == 0


def test_the_only_instance_accepts_no_connection(stack, listeners):
    """The activator tries again, since nothing was sent, until activation_timeout."""
    listeners[0].fill()
    with stack.connect() as c:
        c.request("GET", "/", "full")
        status, fields, _ = c.response()
    assert (status, fields["x-activator-reason"]) == (502, "upstream_failed")


def test_one_of_two_instances_accepts_no_connection(stack, listeners):
    full, good = listeners
    full.fill()

    def is_tried():
        with stack.connect() as c:
            c.request("POST", "/", "two", b"body")
            good.serve(lambda: has_answer(c))
            c.settimeout(WAIT_S)
            assert c.response()[::2] == (200, b"ok")
        return stack.metric('activator_revision_retries_total{revision="two/v1"}') > 0
    wait_until(is_tried, what="a request that the full one was tried for first")
