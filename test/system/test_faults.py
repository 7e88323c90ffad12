"""No byte is lost, added or sent to the wrong peer (promise 1, README): the instance or the client
leaves after each byte, a peer resets, and streams larger than all buffers meet a slow reader."""
import hashlib
import os
import socket
import struct
import threading
import time

import pytest

from fakes.instance import OK, FakeInstance, read_head
from helpers import IS_SANITISED, SLOW, WAIT_S, reset, rss_kib, stopped, wait_until
from stack import running

SERVICES = """
service "any" { hosts = {"any"} upstream_idle_timeout = 0
    revision "v1" { addresses = {"127.0.0.1:PORT"} } }
service "one" { hosts = {"one"} container_concurrency = 1 abort_timeout = 100ms
    revision "v1" { addresses = {"127.0.0.1:PORT"} } }
service "late" { hosts = {"late"} container_concurrency = 1 activation_timeout = LATEs
    revision "v1" { addresses = {"127.0.0.1:PORT"} } }
service "long" { hosts = {"long"} max_head = 64KiB upstream_idle_timeout = 60s
    response_timeout = 5s
    revision "v1" { addresses = {"127.0.0.1:PORT"} } }
service "brief" { hosts = {"brief"} container_concurrency = 1 request_timeout = 300ms
    revision "v1" { addresses = {"127.0.0.1:PORT"} } }
service "pool" { hosts = {"pool"} upstream_idle_timeout = 60s
    revision "v1" { addresses = {"127.0.0.1:PORT"} } }
service "few" { hosts = {"few"} revision "v1" { addresses = {"127.0.0.1:PORT"} } }
"""
LATE_S = 4 * SLOW  # activation_timeout of "late"
pytestmark = pytest.mark.xdist_group("faults")
# MiB of a stream; fewer where a sanitiser slows the build down.
STREAM = int(os.environ.get("STREAM_MIB", "64" if SLOW == 1 else "8"))


class Instance(FakeInstance):
    """answer(connection, bytes read so far), which the test sets, serves each connection.  seen:
    the number of requests."""

    def __init__(self):
        super().__init__()
        self.answer, self.seen = None, 0

    def serve(self, connection):
        head, rest = read_head(connection)
        if head is not None:
            self.seen += 1
            self.answer(connection, head + rest)


@pytest.fixture(scope="module")
def instance():
    return Instance()


@pytest.fixture(scope="module")
def stack(tmp_path_factory, instance):
    services = SERVICES.replace("PORT", str(instance.port)).replace("LATE", str(LATE_S))
    with running(tmp_path_factory.mktemp("faults"), services,
                 activator="connections_per_client = 20 abort_timeout = 1h", workers=1) as s:
        yield s


HEADS = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n", b"x" * 20),
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-a\r\n\r\n",
                b"a\r\nxxxxxxxxxx\r\na;e=f\r\nxxxxxxxxxx\r\n0\r\nX-A: b\r\n\r\n"),
}


def outcome(fd):
    """All that a client receives until the connection ends: (bytes, was it reset?)."""
    got = b""
    while True:
        try:
            data = fd.recv(65536)
        except ConnectionResetError:
            return got, True
        got += data
        if not data:
            return got, False


@pytest.mark.parametrize("how", ["fin", "reset"])
@pytest.mark.parametrize("kind", sorted(HEADS))
def test_an_instance_leaves_after_each_byte(stack, instance, kind, how):
    head, body = HEADS[kind]
    whole = head + body
    for at in range(len(whole) + 1):
        def answer(fd, _, at=at):
            if at:
                fd.sendall(whole[:at])
            if how == "reset":
                reset(fd)
            else:
                fd.shutdown(socket.SHUT_WR)
                fd.recv(65536)
                fd.close()
        instance.answer = answer
        with stack.connect() as c:
            c.request("POST", "/", "any", b"", [("Connection", "close")])
            got, is_cut = outcome(c)
        status = got[9:12]
        if at == len(whole) and how == "fin":
            assert (status, is_cut) == (b"200", False)
        elif at < len(whole) and (at < len(head) or not got.startswith(b"HTTP/1.1 200")):
            # A reset may overtake bytes that were sent before it: then none of them has come.
            assert (status, is_cut) == (b"502", False), (at, got)
        elif at < len(whole):
            assert status == b"200" and is_cut, (at, got)
            assert not got.endswith(b"0\r\n\r\n")
        else:
            assert status in (b"200", b"502"), (at, got)


@pytest.mark.parametrize("how", ["fin", "reset"])
def test_a_client_leaves_after_each_byte(stack, instance, how):
    def answer(fd, data):
        head, rest = data.split(b"\r\n\r\n", 1)
        while not rest.endswith(b"0\r\n\r\n"):
            more = fd.recv(65536)
            if not more:
                fd.close()
                return
            rest += more
        fd.sendall(OK)
    instance.answer = answer
    whole = (b"POST / HTTP/1.1\r\nHost: one\r\nTransfer-Encoding: chunked\r\n\r\n"
             b"3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n")
    accepted = stack.metric("activator_connections_accepted_total")
    for at in range(len(whole) + 1):
        c = stack.connect()
        c.sendall(whole[:at])
        if how == "reset":
            reset(c)
        else:
            c.close()
    # All connections were accepted and are closed, and the only slot is free.
    accepted += len(whole) + 1
    wait_until(lambda: stack.metric("activator_connections_accepted_total") >= accepted and
               stack.metric("activator_connections") == 0 and
               stack.metric('activator_revision_in_flight{revision="one/v1"}') == 0,
               what="the slot")
    with stack.connect() as c:
        c.sendall(whole)
        assert c.response()[2] == b"ok"


def test_a_client_resets_while_its_request_is_parked(stack, instance):
    held, go_on = threading.Event(), threading.Event()

    def answer(fd, _):
        held.set()
        go_on.wait(WAIT_S)
        fd.sendall(OK)
    instance.answer = answer
    with stack.connect() as first:
        first.request("GET", "/", "one")
        assert held.wait(WAIT_S)
        seen = instance.seen
        second = stack.connect()
        second.request("GET", "/", "one")
        wait_until(lambda: stack.metric("activator_parked") == 1, what="a parked request")
        reset(second)
        wait_until(lambda: stack.metric("activator_parked") == 0,
                   what="the request to leave the queue")
        go_on.set()
        assert first.response()[2] == b"ok"
    assert instance.seen == seen


@pytest.mark.parametrize("sent", [b"HTTP/1.1 200 OK\r\nContent-", b"HTTP/1.1 200 OK\r\n\r\nhal"])
def test_an_instance_resets_within_a_response(stack, instance, sent):
    def answer(fd, _):
        with stopped(stack.activator.pid):
            fd.sendall(sent)
            reset(fd)
    instance.answer = answer
    with stack.connect() as c:
        c.request("GET", "/", "any", fields=[("Connection", "close")])
        got, is_cut = outcome(c)  # no time limit ends before the client gives up
    assert is_cut or got.startswith(b"HTTP/1.1 502")


def test_an_instance_resets_behind_a_response(stack, instance):
    """The kept connection is dead.  The next request goes to a new one, even a request that must
    not be sent twice, because the dead connection took no byte of it."""
    def answer(fd, _):
        fd.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        fd.recv(1)

    def answer_once(fd, data):
        instance.answer = answer
        with stopped(stack.activator.pid):
            fd.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            reset(fd)
    instance.answer = answer_once
    with stack.connect() as c:
        c.request("GET", "/", "few")
        assert c.response()[2] == b"ok"
        c.request("POST", "/", "few", b"body")
        assert c.response()[2] == b"ok"


@pytest.mark.parametrize("method, body, sent, times", [
    ("GET", None, b"", 3),  # the instance may not have seen it
    ("PUT", b"", b"", 3),
    ("GET", None, b"HTTP/1.1 2", 1),  # a byte of a response has come
    ("GET", None, b"HTTP/1.1 103 Early Hints\r\n\r\n", 1),
    ("PUT", b"body", b"", 1),  # the body was sent, and is not kept
    ("POST", b"", b"", 1),  # not idempotent (RFC 9110 9.2.2)
])
def test_which_requests_are_sent_again(stack, instance, method, body, sent, times):
    def answer(fd, _):
        with stopped(stack.activator.pid):
            fd.sendall(sent)
            fd.close()
    instance.answer, seen = answer, instance.seen
    with stack.connect() as c:
        c.request(method, "/", "any", body, [("Connection", "close")])
        got, is_cut = outcome(c)
    assert b"HTTP/1.1 502" in got and not is_cut
    assert instance.seen == seen + times


def test_a_slot_is_free_when_the_instance_has_answered(stack, instance):
    """And not when the client has left: a server with one thread still works on the request."""
    held, go_on = threading.Event(), threading.Event()

    def answer(fd, _):
        held.set()
        go_on.wait(WAIT_S)
        fd.sendall(OK)
    instance.answer = answer
    gone = 'activator_requests_total{outcome="client_gone"}'
    before = stack.metric(gone)
    with stack.connect() as first:
        first.request("GET", "/", "one")
        assert held.wait(WAIT_S)
    wait_until(lambda: stack.metric(gone) == before + 1, what="the request to be given up")
    seen = instance.seen
    with stack.connect() as second:
        second.request("GET", "/", "one")
        wait_until(lambda: stack.metric("activator_parked") == 1, what="a parked request")
        assert instance.seen == seen
        go_on.set()
        assert second.response()[2] == b"ok"


def test_a_slot_stays_taken_after_request_timeout(stack, instance):
    """The client has its 504; a server with one thread still works on the request."""
    go_on, in_work, most = threading.Event(), [], []

    def answer(fd, _):
        in_work.append(fd)
        most.append(len(in_work))
        go_on.wait(WAIT_S)
        in_work.remove(fd)
        fd.sendall(OK)
    instance.answer = answer
    for _ in range(3):
        with stack.connect() as c:
            c.request("GET", "/", "brief")
            status, fields, _ = c.response()
            assert (status, fields["x-activator-reason"]) == (504, "request_timeout")
    assert most == [1]
    go_on.set()

    def is_served():
        with stack.connect() as c:
            c.request("GET", "/", "brief")
            return c.response()[0] == 200
    wait_until(is_served, what="a free slot")
    assert max(most) == 1


def test_an_instance_closes_each_kept_connection(stack, instance):
    """A request that each connection ends is sent once on a kept one, and then as often as any
    other request."""
    n, ends = 8, []
    together = threading.Barrier(n)

    def answer(fd, data):
        while data:
            if b"/end" in data:
                ends.append(fd)
                break
            together.wait(WAIT_S)
            fd.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            data = fd.recv(65536)
        fd.close()
    instance.answer = answer
    clients = [stack.connect() for _ in range(n)]
    for c in clients:
        c.request("GET", "/", "pool")
    for c in clients:
        assert c.response()[0] == 200
        c.close()
    with stack.connect() as c:
        c.request("GET", "/end", "pool")
        status, fields, _ = c.response()
        assert (status, fields["x-activator-reason"]) == (502, "upstream_failed")
    assert len(ends) == 4


@pytest.mark.parametrize("leaves", ["before its head", "within its body"])
def test_a_response_without_a_client_is_reset(stack, instance, leaves):
    """The slot is free after the service's abort_timeout, even where the body goes on for ever."""
    ends, held, go_on = [], threading.Event(), threading.Event()

    def answer(fd, data):
        if b"/long" not in data:
            fd.sendall(OK)
            return
        held.set()
        go_on.wait(WAIT_S)
        fd.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nx")
        try:
            while True:
                time.sleep(0.01)
                fd.sendall(b"x")
        except OSError as e:
            ends.append(type(e))
            fd.close()
    instance.answer = answer
    with stack.connect() as first:
        first.request("GET", "/long", "one")
        assert held.wait(WAIT_S)
        if leaves == "within its body":
            go_on.set()
            assert first.head()[0] == "HTTP/1.1 200 OK"
    wait_until(lambda: stack.metric("activator_connections") == 0,
               what="the client's connection to end")
    go_on.set()
    with stack.connect() as second:
        second.request("GET", "/", "one")
        assert second.response()[2] == b"ok"
    wait_until(lambda: ends, what="the reset of the first request")


def test_a_client_resets_behind_its_request(stack, instance):
    """The request waits behind another one, and no instance sees it."""
    held, go_on = threading.Event(), threading.Event()

    def answer(fd, _):
        held.set()
        go_on.wait(WAIT_S)
        fd.sendall(OK)
    instance.answer = answer
    with stack.connect() as first:
        first.request("GET", "/", "one")
        assert held.wait(WAIT_S)
        seen, second = instance.seen, stack.connect()
        gone = stack.metric('activator_requests_total{outcome="client_gone"}')
        with stopped(stack.activator.pid):
            second.request("GET", "/", "one")
            reset(second)
        wait_until(lambda: stack.metric('activator_requests_total{outcome="client_gone"}') > gone
                   and stack.metric("activator_parked") == 0, what="the request to leave the queue")
        go_on.set()
        assert first.response()[2] == b"ok"
    assert instance.seen == seen


def test_a_slot_that_is_free_too_late(stack, instance):
    """The activator sees the free slot when the first waiter is past its time limit: the next
    waiter gets the slot, and the late request is never forwarded."""
    held, go_on, asked = threading.Event(), threading.Event(), []

    def answer(fd, data):
        asked.append(data.split(b" ")[1])
        held.set()
        go_on.wait(WAIT_S)
        fd.sendall(OK)
    instance.answer = answer
    with stack.connect() as first, stack.connect() as late, stack.connect() as last:
        first.request("GET", "/first", "late")
        assert held.wait(WAIT_S)
        late.request("GET", "/late", "late")
        wait_until(lambda: stack.metric("activator_parked") == 1, what="a parked request")
        due = time.monotonic() + LATE_S
        time.sleep(LATE_S / 2)
        last.request("GET", "/last", "late")
        wait_until(lambda: stack.metric("activator_parked") == 2, what="two parked requests")
        with stopped(stack.activator.pid):
            go_on.set()
            time.sleep(max(due - time.monotonic(), 0) + LATE_S / 8)
        assert first.response()[0] == 200
        status, fields, _ = late.response()
        assert (status, fields["x-activator-reason"]) == (502, "upstream_failed")
        assert last.response()[0] == 200
    assert asked == [b"/first", b"/last"]


def test_too_many_connections_of_one_client(stack, instance):
    instance.answer = lambda fd, _: fd.sendall(OK)
    wait_until(lambda: stack.metric("activator_connections") == 0,
               what="all other connections to end")
    clients = [stack.connect() for _ in range(20)]
    wait_until(lambda: stack.metric("activator_connections") == 20, what="20 connections")
    with stack.connect() as c:
        status, fields, body = c.response()
    assert (status, fields["x-activator-reason"]) == (503, "queue_full")
    assert b"of this client" in body and "retry-after" in fields
    clients.pop().close()

    def is_served():
        with stack.connect() as c:
            try:
                c.request("GET", "/", "few")
                return c.response()[0] == 200
            except (AssertionError, OSError):
                return False
    wait_until(is_served, what="room for a connection")
    for c in clients:
        c.close()
    wait_until(lambda: stack.metric("activator_connections") == 0, what="all connections to end")


def test_a_long_head_behind_a_slow_reader(stack, instance):
    """The activator reads in smaller pieces for a slow client.  The instance's connection, used
    again, must then take a head that is larger than a piece."""
    long, sizes = "x" * 40000, range(100000, 900000, 50000)

    def answer(fd, _):
        fd.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        fd.recv(65536)
        fd.sendall(b"HTTP/1.1 200 OK\r\nX-Long: %s\r\nContent-Length: 0\r\n"
                   b"Connection: close\r\n\r\n" % long.encode())
        fd.close()
    instance.answer = answer
    for size in sizes:
        with socket.socket() as slow:
            slow.settimeout(WAIT_S)
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
            slow.connect(("127.0.0.1", stack.port))
            slow.sendall(b"GET / HTTP/1.1\r\nHost: long\r\n\r\n")
            left = size
            while left > 0:
                time.sleep(0.0005)  # slower than the sender: the case under test
                data = slow.recv(4096)
                assert data
                left -= len(data)
        with stack.connect() as c:
            c.request("GET", "/", "long")
            status, fields, _ = c.response()
            assert (status, fields.get("x-long")) == (200, long)


# --- streams

def pieces():
    """STREAM pieces of 1 MiB, all different, made one by one."""
    block = os.urandom(1 << 20)
    for i in range(STREAM):
        yield struct.pack(">I", i) + block[4:]


class Watch:
    """The most memory that the activator had while a stream went on."""

    def __init__(self, pid):
        self.pid, self.start, self.most = pid, rss_kib(pid), 0

    def look(self):
        self.most = max(self.most, rss_kib(self.pid))

    def is_flat(self):
        if not IS_SANITISED:
            assert self.most - self.start < 4096, "grew from %d to %d KiB" % (self.start, self.most)


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_large_download_and_a_slow_reader(stack, instance, is_chunked):
    sent = hashlib.sha256()

    def answer(fd, _):
        fd.sendall(b"HTTP/1.1 200 OK\r\n" + (
            b"Transfer-Encoding: chunked\r\n\r\n" if is_chunked
            else b"Content-Length: %d\r\n\r\n" % (STREAM << 20)))
        for piece in pieces():
            sent.update(piece)
            fd.sendall(b"%x\r\n%s\r\n" % (len(piece), piece) if is_chunked else piece)
        fd.sendall(b"0\r\n\r\n" if is_chunked else b"")
        fd.recv(1)
    instance.answer = answer
    got, watch = hashlib.sha256(), Watch(stack.activator.pid)
    with stack.connect() as c:
        c.request("GET", "/", "any")
        assert c.head()[0] == "HTTP/1.1 200 OK"
        left = STREAM << 20
        while left > 0:
            if left % 97 == 0 or left > (STREAM << 20) - (1 << 20):
                time.sleep(0.001)  # slower than the sender: the case under test
            data = c.exactly(int(c.line(), 16)) if is_chunked else c.rest or c.recv(1 << 18)
            if is_chunked:
                assert c.line() == b""
            else:
                c.rest = b""
            assert data
            got.update(data)
            left -= len(data)
            watch.look()
    assert got.digest() == sent.digest()
    watch.is_flat()


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_large_upload_and_a_slow_instance(stack, instance, is_chunked):
    got, sent = hashlib.sha256(), hashlib.sha256()

    class Rest:
        def __init__(self, fd, data):
            self.fd, self.data = fd, data

        def exactly(self, n):
            parts = []
            while n > 0:
                if not self.data:
                    self.data = self.fd.recv(1 << 18)
                    assert self.data
                parts.append(self.data[:n])
                self.data = self.data[len(parts[-1]):]
                n -= len(parts[-1])
            return b"".join(parts)

        def line(self):
            line = b""
            while not line.endswith(b"\r\n"):
                line += self.exactly(1)
            return line[:-2]

    def answer(fd, data):
        r, left = Rest(fd, data.split(b"\r\n\r\n", 1)[1]), STREAM << 20
        time.sleep(0.3)  # the buffers between are full by now
        while left > 0:
            n = int(r.line(), 16) if is_chunked else min(left, 1 << 18)
            got.update(r.exactly(n))
            if is_chunked:
                assert r.line() == b""
            left -= n
        fd.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" + got.hexdigest().encode())
        fd.recv(1)
    instance.answer = answer
    watch = Watch(stack.activator.pid)
    with stack.connect() as c:
        c.sendall(b"POST / HTTP/1.1\r\nHost: any\r\n" + (
            b"Transfer-Encoding: chunked\r\n\r\n" if is_chunked
            else b"Content-Length: %d\r\n\r\n" % (STREAM << 20)))
        for piece in pieces():
            sent.update(piece)
            c.sendall(b"%x\r\n%s\r\n" % (len(piece), piece) if is_chunked else piece)
            watch.look()
        if is_chunked:
            c.sendall(b"0\r\n\r\n")
        assert c.response()[2].decode() == sent.hexdigest()
    watch.is_flat()
