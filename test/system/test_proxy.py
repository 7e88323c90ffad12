"""What passes between client and instance: bodies and their framing, keep-alive, pipelines,
routing, tunnels."""
import hashlib
import os
import socket
import threading

import pytest

from fakes.instance import FakeInstance, read_head
from helpers import IS_SANITISED, rss_kib, wait_until
from stack import Gate, running, stats

SERVICES = """
service "hello" { hosts = {"hello"} revision "v1" { command = {"HELLO"} } }
service "one" { hosts = {"one"} revision "v1" { command = {"HELLO", "--response", "2ms"}
    container_concurrency = 1 max_scale = 1 } }
service "origin" { hosts = {"origin"} revision "v1" { addresses = {"127.0.0.1:ORIGIN"} } }
service "exact" { hosts = {"a.example.com"} revision "v1" { command = {"HELLO"} } }
service "wild" { hosts = {"*.example.com"} revision "v1" { addresses = {"127.0.0.1:ORIGIN"} } }
service "path" { hosts = {"hello"} paths = {"/api"}
    revision "v1" { addresses = {"127.0.0.1:ORIGIN"} } }
service "split" { hosts = {"split"}
    traffic "a" { percent = 70 } traffic "b" { percent = 30 tag = "next" }
    revision "a" { addresses = {"127.0.0.1:ORIGIN"} } revision "b" { command = {"HELLO"} } }
"""


class Origin(FakeInstance):
    """Answers every request with `answer`, or lets script(connection, head, bytes behind it)
    answer the only one of a connection."""

    def __init__(self):
        super().__init__()
        self.forget()

    def forget(self):
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\norigin"
        self.script, self.requests = None, []

    def serve(self, connection):
        head, rest = read_head(connection)
        while head is not None:
            self.requests.append(head)
            if self.script is not None:
                self.script(connection, head, rest)
                return
            connection.sendall(self.answer)
            head, rest = read_head(connection, rest)


@pytest.fixture(scope="module")
def origin():
    return Origin()


@pytest.fixture(scope="module", params=["plain", "tls"])
def stack(request, tmp_path_factory, origin):
    with running(tmp_path_factory.mktemp("proxy"), SERVICES.replace("ORIGIN", str(origin.port)),
                 tls=request.param == "tls") as s:
        yield s


@pytest.fixture(autouse=True)
def fresh(origin):
    origin.forget()


def test_the_request_head_that_an_instance_gets(stack, origin):
    with stack.connect() as c:
        c.sendall(b"GET http://origin:80/p?q HTTP/1.1\r\nHost: other\r\nX-A: 1\r\n"
                  b"Connection: keep-alive, x-hop\r\nX-Hop: 2\r\nKeep-Alive: 5\r\nTE: trailers\r\n"
                  b"X-Forwarded-For: 6.6.6.6\r\nProxy-Connection: x\r\n"
                  b"Proxy-Authorization: Basic x\r\nProxy: http://x/\r\nX-Real-IP: 6.6.6.6\r\n"
                  b"X-Forwarded-Port: 1\r\nX_Forwarded_Prefix: /x\r\nFront-End-Https: on\r\n"
                  b"X-Activator-Reason: x\r\n\r\n")
        assert c.response()[2] == b"origin"
    assert origin.requests == [
        b"GET /p?q HTTP/1.1\r\nHost: origin:80\r\nX-A: 1\r\n"
        b"Connection: TE\r\nTE: trailers\r\nX-Forwarded-For: 127.0.0.1\r\n"
        b"X-Forwarded-Proto: %(scheme)s\r\nX-Forwarded-Host: origin:80\r\n"
        b'Forwarded: for=127.0.0.1;host="origin:80";proto=%(scheme)s\r\n\r\n'
        % {b"scheme": stack.scheme.encode()}]


def test_keep_alive_on_both_sides(stack):
    with stack.connect() as c:
        c.request("GET", "/", "hello")
        assert c.response()[0] == 200
        before = stats(stack, "hello")["connections"]
        for _ in range(20):
            c.request("GET", "/", "hello")
            assert c.response()[0] == 200
        assert stats(stack, "hello")["connections"] <= before + 1


def test_a_pipeline_is_answered_in_order(stack):
    with stack.connect() as c:
        c.sendall(b"".join(b"GET /bytes/%d HTTP/1.1\r\nHost: hello\r\n\r\n" % n
                           for n in (5, 0, 70000, 1)))
        assert [len(c.response()[2]) for _ in range(4)] == [5, 0, 70000, 1]


def test_http_1_0(stack):
    with stack.connect() as c:
        c.sendall(b"GET / HTTP/1.0\r\nHost: hello\r\n\r\n")
        status, fields, body = c.response()
        assert (status, body, fields["connection"]) == (200, b"hello\n", "close")
        assert c.is_closed()
    with stack.connect() as c:
        for _ in range(2):
            c.sendall(b"GET / HTTP/1.0\r\nHost: hello\r\nConnection: keep-alive\r\n\r\n")
            assert c.response()[1]["connection"] == "keep-alive"


def test_head(stack):
    with stack.connect() as c:
        c.request("HEAD", "/bytes/1000", "hello")
        status, fields, _ = c.response(is_head=True)
        assert (status, fields["content-length"]) == (200, "1000")
        c.request("GET", "/", "hello")
        assert c.response()[2] == b"hello\n"


@pytest.mark.parametrize("is_chunked", [False, True])
def test_bodies_up_and_down(stack, is_chunked):
    body = os.urandom(1 << 20) * 8
    with stack.connect() as c:
        def send():
            if is_chunked:
                c.sendall(b"POST /echo HTTP/1.1\r\nHost: hello\r\nTransfer-Encoding: chunked\r\n\r\n")
                for at in range(0, len(body), 100003):
                    piece = body[at:at + 100003]
                    c.sendall(b"%x;ext=1\r\n%s\r\n" % (len(piece), piece))
                c.sendall(b"0\r\n\r\n")
            else:
                c.request("POST", "/echo", "hello", body)
        sender = threading.Thread(target=send)
        sender.start()
        status, _, got = c.response()
        sender.join()
    assert status == 200
    assert hashlib.sha256(got).digest() == hashlib.sha256(body).digest()


def test_chunked_and_close_delimited_responses(stack, origin):
    origin.answer = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n"
                     b"3\r\nabc\r\n4;e=f\r\ndefg\r\n0\r\nX-T: 1\r\nX-U: 2\r\n\r\n")
    with stack.connect() as c:
        c.request("GET", "/", "origin", fields=[("TE", "trailers"), ("Connection", "TE")])
        line, fields = c.head()
        assert ("Transfer-Encoding", "chunked") in fields
        body = b""
        while not body.endswith(b"\r\n\r\n"):
            body += c.rest or c.recv(65536)
            c.rest = b""
        assert body == b"7\r\nabcdefg\r\n0\r\nX-T: 1\r\n\r\n"
        origin.script = lambda fd, head, rest: fd.sendall(b"HTTP/1.0 200 OK\r\n\r\nto the end")
        c.request("GET", "/", "origin")
        assert c.response()[2] == b"to the end"
        c.request("GET", "/", "origin")  # the client's connection is still open
        assert c.response()[2] == b"to the end"


def test_a_response_that_breaks_off_is_reset(stack, origin):
    origin.script = lambda fd, head, rest: fd.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
    with stack.connect() as c:
        c.request("GET", "/", "origin")
        c.head()
        with pytest.raises((AssertionError, ConnectionResetError)):
            c.exactly(100)


@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
    b"HTTP/1.1 200 OK\nA: b\n\n",
    b"nonsense\r\n\r\n",
])
def test_ambiguous_responses(stack, origin, answer):
    origin.script = lambda fd, head, rest: fd.sendall(answer)
    status, fields, _ = stack.get("origin")
    assert (status, fields["x-activator-reason"]) == (502, "upstream_protocol")


def test_100_continue_comes_from_the_instance(stack):
    with stack.connect() as c:
        c.sendall(b"POST /echo HTTP/1.1\r\nHost: hello\r\nContent-Length: 3\r\n"
                  b"Expect: 100-continue\r\n\r\n")
        assert c.head()[0].split()[1] == "100"
        c.sendall(b"abc")
        assert c.response()[2] == b"abc"


def test_upgrade(stack, origin):
    def tunnel(fd, head, rest):
        fd.sendall(b"HTTP/1.1 101 Switching\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nearly")
        while True:
            data = rest or fd.recv(1000)
            rest = b""
            if not data:
                fd.sendall(b"bye")
                return
            fd.sendall(data.upper())
    origin.script = tunnel
    with stack.connect() as c:
        c.sendall(b"GET / HTTP/1.1\r\nHost: origin\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nfirst")
        line, fields = c.head()
        assert line.startswith("HTTP/1.1 101")
        assert dict(fields)["Upgrade"] == "echo"
        assert c.exactly(10) == b"earlyFIRST"
        c.sendall(b"more")
        assert c.exactly(4) == b"MORE"
        c.shutdown(socket.SHUT_WR)  # reaches the instance
        assert c.exactly(3) == b"bye"
        assert c.is_closed()
    assert b"Upgrade: echo\r\n" in origin.requests[0]


def test_a_kept_connection_that_the_instance_closes(stack, origin):
    with stack.connect() as c:
        for _ in range(3):  # sent again on a new connection, which the client does not notice
            origin.script = None
            c.request("GET", "/", "origin")
            assert c.response()[2] == b"origin"


def test_one_at_a_time_over_all_workers(stack):
    def ask():
        with stack.connect() as c:
            for _ in range(10):
                c.request("GET", "/", "one")
                assert c.response()[0] == 200
    threads = [threading.Thread(target=ask) for _ in range(20)]
    for t in threads:
        t.start()
    for _ in range(20):  # these leave, parked or in flight
        with stack.connect() as c:
            c.request("GET", "/", "one")
    for t in threads:
        t.join()
    seen = stats(stack, "one")
    assert (seen["active_most"], seen["connections_most"]) == (1, 1)
    wait_until(lambda: stack.metric('activator_revision_in_flight{revision="one/v1"}') == 0,
               what="all slots given back")
    assert stack.metric('activator_revision_parked{revision="one/v1"}') == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_first_come_first_served(tmp_path, workers):
    """Each request is parked before the next one is sent.  The instance gets them in that order,
    whichever workers they are parked in."""
    gate = Gate(tmp_path)
    one = """service "one" { hosts = {"one"} revision "v1" {
        %s container_concurrency = 1 max_scale = 1 } }""" % gate.command()
    with running(tmp_path, one, workers=workers) as s:
        clients = [s.connect() for _ in range(100)]
        for i, c in enumerate(clients):
            c.request("GET", "/", "one", fields=[("X-Id", str(i))])
            wait_until(lambda: s.metric("activator_parked") == i + 1, what="a parked request")
        gate.open()
        for c in clients:
            assert c.response()[0] == 200
        clients[0].request("GET", "/log", "one")
        assert clients[0].response()[2].split() == [b"%d" % i for i in range(100)]


def test_routing(stack):
    def where(host, path="/", fields=()):
        return stack.get(host, path, fields=fields)[2]
    assert where("a.example.com") == b"hello\n"
    assert where("A.Example.COM:80") == b"hello\n"
    assert where("b.example.com") == b"origin"
    assert where("x.y.example.com") == b"origin"
    assert where("hello", "/api") == b"origin"
    assert where("hello", "/api/x?y") == b"origin"
    assert where("hello", "/apix") == b"hello\n"  # /api is not a whole segment of it
    assert where("next-split") == b"hello\n"
    assert where("split", fields=[("X-Activator-Tag", "next")]) == b"hello\n"


def test_percents(stack):
    with stack.connect() as c:
        seen = []
        for _ in range(400):
            c.request("GET", "/", "split")
            seen.append(c.response()[2])
    assert 200 <= seen.count(b"origin") <= 350


def test_a_slow_reader_costs_little(stack):
    size = 1 << 26
    with stack.connect() as c:
        c.request("GET", "/bytes/%d" % size, "hello")
        c.head()
        n, most = len(c.rest), 0
        while n < size:
            data = c.recv(1 << 20)
            assert data
            n += len(data)
            most = max(most, rss_kib(stack.activator.pid))
    if not IS_SANITISED:
        assert most < 40000  # KiB; nothing like the 64 MiB that passed
