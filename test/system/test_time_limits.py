"""The time limits of a connection that no other test runs into: a head that does not come, a
connection that nobody uses, an instance that does not take a connection.  (Those of bodies,
responses, tunnels and of the whole request are rows of test_golden.py.)"""
import socket
import time

import pytest

from fakes.instance import OK, listening_socket
from helpers import SLOW, free_port, wait_until
from stack import running

SERVICES = """
service "kept" { hosts = {"kept"} idle_timeout = 300ms upstream_idle_timeout = 0
    revision "v1" { addresses = {"127.0.0.1:FULL"} } }
service "full" { hosts = {"full"} upstream_idle_timeout = 0
    connect_timeout = 200ms activation_timeout = 1s
    revision "v1" { addresses = {"127.0.0.1:FULL"} } }
service "two" { hosts = {"two"} upstream_idle_timeout = 0 connect_timeout = 200ms
    revision "v1" { addresses = {"127.0.0.1:FULL", "127.0.0.1:GOOD"} } }
"""


class Listener:
    """Answers who connects; its queue can be filled, so that a SYN is not answered any more."""

    def __init__(self):
        self.port, self.filling = free_port(), []
        self.socket = listening_socket(self.port)

    def serve(self, answered):
        """Until answered() is true."""
        self.socket.settimeout(0.02)

        def step():
            try:
                fd, _ = self.socket.accept()
            except TimeoutError:
                return answered()
            fd.settimeout(20 * SLOW)
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
    with running(tmp_path, text, activator="head_timeout = 300ms", workers=1) as s:
        wait_until(lambda: s.activator.text().count('"instance answers"') == 4,
                   what="all instances to answer the prober")
        yield s


def has_answer(client):
    client.settimeout(0)
    try:
        return client.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return False


def test_a_head_that_does_not_come_to_its_end(stack):
    """However many bytes of it still come, one by one."""
    with stack.connect() as c:
        c.sendall(b"GET / HTTP/1.1\r\nHost: kept\r\nX-Slow: ")

        def step():
            if has_answer(c):
                return True
            c.settimeout(30 * SLOW)
            c.sendall(b"x")
            return False
        wait_until(step, what="an answer")
        c.settimeout(30 * SLOW)
        status, fields, _ = c.response()
        assert (status, fields["x-activator-reason"]) == (408, "head_timeout")
        assert fields["connection"] == "close"
        assert c.is_closed()
    assert stack.metric('activator_requests_total{outcome="head_timeout"}') == 1


def test_a_connection_that_never_says_a_word(stack):
    with stack.connect() as c:
        assert c.is_closed()
    assert stack.metric('activator_requests_total{outcome="head_timeout"}') == 0


def test_a_connection_that_is_idle_between_two_requests(stack, listeners):
    """It is closed without a word: a client that sends just then may send it again (RFC 9112,
    section 9.3.1), one that gets 408 may take it for an answer."""
    with stack.connect() as c:
        for _ in range(2):
            c.request("GET", "/", "kept")
            c.settimeout(0)
            listeners[0].serve(lambda: has_answer(c))
            c.settimeout(30 * SLOW)
            assert c.response()[2] == b"ok"
        began = time.monotonic()
        assert c.is_closed()
        assert time.monotonic() - began > 0.2  # its own, and not at once
    wait_until(lambda: stack.metric("activator_connections") == 0, what="its end")


def test_an_empty_line_behind_a_request_begins_no_other(stack, listeners):
    """Some clients send one behind a body (RFC 9112, section 2.2)."""
    with stack.connect() as c:
        c.request("GET", "/", "kept")
        c.settimeout(0)
        listeners[0].serve(lambda: has_answer(c))
        c.settimeout(30 * SLOW)
        assert c.response()[2] == b"ok"
        c.sendall(b"\r\n")
        assert c.is_closed()
    assert stack.metric('activator_requests_total{outcome="head_timeout"}') == 0


def test_an_instance_that_takes_no_connection(stack, listeners):
    """It may be tried again, as nothing was sent; the deadline of the activation ends that."""
    listeners[0].fill()
    with stack.connect() as c:
        c.request("GET", "/", "full")
        status, fields, _ = c.response()
    assert (status, fields["x-activator-reason"]) == (502, "upstream_failed")


def test_another_instance_takes_what_one_does_not(stack, listeners):
    full, good = listeners
    full.fill()

    def is_tried():
        with stack.connect() as c:
            c.request("POST", "/", "two", b"body")
            good.serve(lambda: has_answer(c))
            c.settimeout(30 * SLOW)
            assert c.response()[::2] == (200, b"ok")
        return stack.metric('activator_revision_retries_total{revision="two/v1"}') > 0
    wait_until(is_tried, what="a request that the other had first")
