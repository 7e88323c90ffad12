"""The access log: one line for each request, in whatever way it ended, and no client can write one
of its own."""
import fcntl
import glob
import json
import os
import re
import signal
import socket

import pytest

from fakes.instance import FakeInstance, read_head
from h2client import H2Client
from helpers import HELLO, wait_until
from stack import Client, Gate, running

F_SETPIPE_SZ = 1031
SERVICES = """
service "hello" { hosts = {"hello"} revision "v1" { command = {"HELLO"} } }
service "exits" { hosts = {"exits"} revision "v1" { command = {"HELLO", "--exit", "3"} } }
service "quiet" { hosts = {"quiet"} access_log = off revision "v1" { command = {"HELLO"} } }
service "plain" { hosts = {"plain"} access_log = combined
    revision "v1" { command = {"HELLO"} } }
service "own" { hosts = {"own"} access_log = format access_log_query = no
    access_log_format = '$status [$request] "$http_x_y" $args $http_referer $service $cold'
    revision "v1" { command = {"HELLO"} } }
service "few" { hosts = {"few"} access_log_sample = 1000000
    revision "v1" { command = {"HELLO"} } }
service "ruled" { hosts = {"ruled"} revision "v1" { command = {"HELLO"} }
    rule "no" { action = "answer" status = 403 body = "no" } }
service "origin" { hosts = {"origin"} revision "v1" { addresses = {"127.0.0.1:ORIGIN"} } }
"""


class Origin(FakeInstance):
    """Says what a path asks for."""

    def serve(self, connection):
        head, _ = read_head(connection)
        if head is None:
            return
        if b"/tunnel" in head:
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n"
                               b"Connection: Upgrade\r\n\r\n12345")
            while connection.recv(100):
                pass
        elif b"/broken" in head:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123")
        elif b"/grpc" in head:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\n"
                               b"Grpc-Status: 5\r\nContent-Length: 0\r\n\r\n")
        elif b"/bad" in head:
            connection.sendall(b"nonsense\r\n\r\n")


class Log:
    """The lines of a file; each test reads those that came after its beginning."""

    def __init__(self, path):
        self.path, self.at = path, 0

    def text(self):
        with open(self.path, "rb") as f:
            f.seek(self.at)
            return f.read()

    def lines(self, n):
        """The next n lines, once they are there; those of two workers in any order."""
        text = wait_until(lambda: (lambda t: t if t.count(b"\n") >= n else None)(self.text()),
                          what="%d lines" % n)
        assert text.count(b"\n") == n, text
        self.at += len(text)
        return text.decode().splitlines()

    def entries(self, n):
        return [json.loads(line) for line in self.lines(n)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    path = tmp_path_factory.mktemp("access")
    origin = Origin()
    with running(path, SERVICES.replace("ORIGIN", str(origin.port)),
                 activator='access_log = json access_log_file = "%s/access.log" '
                 'access_log_max_bytes = 0' % path) as s:
        yield s


@pytest.fixture
def log(stack):
    log = Log(stack.path + "/access.log")

    def are_all_there():
        """The lines of earlier tests, also in files that have another name now."""
        n = 0
        for path in glob.glob(log.path + "*"):
            with open(path, "rb") as f:
                n += f.read().count(b"\n")
        return n == stack.metric('activator_access_log_lines_total{result="written"}')
    wait_until(are_all_there, what="the lines of earlier tests")
    log.at = len(log.text())
    return log


def test_a_cold_start_and_what_follows(stack, log):
    wait_until(lambda: not stack.instances(), what="zero instances")
    assert stack.get("hello", "/bytes/100?a=b", fields=[
        ("User-Agent", "me"), ("Referer", "http://x/")])[0] == 200
    e, = log.entries(1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", e["time"])
    assert {k: e[k] for k in ("client", "method", "host", "target", "protocol", "status",
                              "outcome", "service", "revision", "bytes_in", "bytes_out",
                              "user_agent", "referer", "cold")} == {
        "client": "127.0.0.1", "method": "GET", "host": "hello", "target": "/bytes/100?a=b",
        "protocol": "HTTP/1.1", "status": 200, "outcome": "ok", "service": "hello",
        "revision": "hello/v1", "bytes_in": 0, "bytes_out": 100, "user_agent": "me",
        "referer": "http://x/", "cold": True}
    assert e["instance"].startswith("hello-v1-")
    assert list(e["cold_start"]) == ["signal_ms", "ack_ms", "address_ms", "connect_ms", "send_ms",
                                     "first_byte_ms"]
    assert abs(sum(e["cold_start"].values()) - e["parked_ms"] - e["response_ms"]) < 0.01
    assert e["duration_ms"] >= e["parked_ms"] > 0

    assert stack.get("hello", "/echo", method="POST", body=b"x" * 70)[0] == 200
    e, = log.entries(1)
    assert (e["bytes_in"], e["bytes_out"]) == (70, 70)
    assert "cold" not in e and "parked_ms" not in e and "user_agent" not in e


def one(stack, log, bytes_):
    with Client(stack.port) as c:
        c.sendall(bytes_)
        c.response()
    return log.entries(1)[0]


def test_refusals(stack, log):
    e = one(stack, log, b"GET / HTTP/1.1\r\nHost: nope\r\n\r\n")
    assert (e["status"], e["outcome"], e.get("service")) == (404, "no_route", None)
    e = one(stack, log, b"GET / HTTP/1.1\r\nHost: ruled\r\n\r\n")
    assert (e["status"], e["outcome"], e["service"], e["bytes_out"]) == (403, "answered", "ruled", 2)
    e = one(stack, log, b"GET / HTTP/1.1\r\nHost: exits\r\n\r\n")
    assert (e["status"], e["outcome"], e["revision"]) == (503, "activation_failed", "exits/v1")
    assert "exited with status 3" in e["reason"]
    e = one(stack, log, b"\x16\x03\"\x01\r\n\r\n")
    assert (e["status"], e["outcome"], e["request"]) == (400, "bad_request", "\x16\x03\"\x01")
    assert "method" not in e
    e = one(stack, log, b"GET /" + b"y" * 20000 + b" HTTP/1.1\r\nHost: hello\r\n\r\n")
    assert (e["status"], e["outcome"]) == (414, "uri_too_long")
    assert e["request"].endswith("yyy...") and len(e["request"]) < 2100
    e = one(stack, log, b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n")
    assert (e["status"], e["protocol"], e["target"]) == (400, "HTTP/1.0", "/")
    e = one(stack, log, b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n")
    assert (e["status"], e["method"], e["target"]) == (501, "CONNECT", "a:1")
    e = one(stack, log, b"GET /bad HTTP/1.1\r\nHost: origin\r\n\r\n")
    assert (e["status"], e["outcome"]) == (502, "upstream_protocol")


def test_clients_that_leave_and_responses_that_break_off(stack, log, tmp_path):
    gate = Gate(tmp_path)
    with Client(stack.port) as c:
        c.request("GET", "/" + gate.query(), "hello")
        wait_until(lambda: stack.metric('activator_revision_in_flight{revision="hello/v1"}') == 1,
                   what="the request")
    e, = log.entries(1)
    assert (e["status"], e["outcome"]) == (499, "client_gone")
    gate.open()
    with Client(stack.port) as c:
        c.request("GET", "/broken", "origin")
        assert c.head()[0].startswith("HTTP/1.1 200")
        e, = log.entries(1)
    assert (e["status"], e["outcome"], e["bytes_out"]) == (200, "upstream_broken", 3)


def test_a_tunnel(stack, log):
    with Client(stack.port) as c:
        c.request("GET", "/tunnel", "origin", fields=[("Upgrade", "x"), ("Connection", "Upgrade")])
        assert c.head()[0].startswith("HTTP/1.1 101")
        c.sendall(b"abc")
        c.shutdown(socket.SHUT_WR)
        while c.more():
            pass
    e, = log.entries(1)
    assert (e["status"], e["outcome"], e["bytes_in"], e["bytes_out"]) == (101, "upgraded", 3, 5)


def test_http2_and_grpc(stack, log):
    with H2Client(stack.port) as c:
        assert c.get("/bytes/5", "hello").status == 200
        e, = log.entries(1)
        assert (e["protocol"], e["status"], e["bytes_out"]) == ("HTTP/2.0", 200, 5)
        kind = [("content-type", "application/grpc"), ("te", "trailers")]
        c.response(c.request("/a.B/C", "nope", "POST", kind))
        e, = log.entries(1)
        assert (e["status"], e["outcome"], e["grpc_status"]) == (200, "no_route", 12)
        c.response(c.request("/grpc", "origin", "POST", kind))
        e, = log.entries(1)
        assert (e["status"], e["outcome"], e["grpc_status"]) == (200, "ok", 5)
        stream = c.request("/", "hello", "POST", end=False)
        wait_until(lambda: stack.metric('activator_revision_in_flight{revision="hello/v1"}') == 1,
                   what="the request")
        c.reset(stream)
        e, = log.entries(1)
        assert e["outcome"] == "client_gone"


def test_formats_of_services(stack, log):
    stack.get("quiet")
    stack.get("plain", "/?a=b", fields=[("User-Agent", 'x"y')])
    line, = log.lines(1)
    assert re.fullmatch(r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] '
                        r'"GET /\?a=b HTTP/1\.1" 200 6 "-" "x\\x22y"', line), line
    stack.get("own", "/p?secret=1", fields=[("X-Y", 'a\tb"c'), ("Referer", "http://x/y?secret=2")])
    line, = log.lines(1)
    assert line == '200 [GET /p HTTP/1.1] "a\\x09b\\x22c" - http://x/y own 1'


def test_a_reload_gives_parked_requests_another_route(tmp_path):
    """Their lines have the form that was in force when they came."""
    log, gate = Log(str(tmp_path / "log")), Gate(tmp_path)  # the gate is never opened
    services = """service "gone" { hosts = {"gone"} revision "v1" { COMMAND } }
        service "off" { hosts = {"off"} revision "v1" { COMMAND } }
        service "moved" { hosts = {"moved"} access_log = combined
            revision "v1" { COMMAND } }""".replace("COMMAND", gate.command())
    new = """service "moved" { hosts = {"moved"} access_log = json
            revision "v2" { command = {"HELLO"} } }
        service "off" { hosts = {"off"} access_log = off revision "v2" { command = {"HELLO"} } }"""
    with running(tmp_path, services,
                 activator='access_log = json access_log_file = "%s"' % log.path) as s:
        clients = [(Client(s.port), host) for host in ("gone", "moved", "off")]
        for c, host in clients:
            c.request("GET", "/a", host)
        wait_until(lambda: s.metric("activator_parked") == 3, what="all to be parked")
        with open(s.conf) as f:
            text = f.read()
        with open(s.conf, "w") as f:
            f.write(text[:text.index('service "gone"')] + new.replace("HELLO", HELLO) + "\n")
        assert s.hangup(s.autoscaler), s.autoscaler.text()[-2000:]
        for c, host in clients:
            assert c.response()[0] == (404 if host == "gone" else 200)
            c.close()
        first, second = sorted(log.lines(2))
        assert re.search(r'"GET /a HTTP/1\.1" 200 6 "-" "-"$', first), first
        e = json.loads(second)
        assert (e["host"], e["status"], e["outcome"]) == ("gone", 404, "no_route")
        assert s.get("moved")[0] == 200
        assert log.entries(1)[0]["revision"] == "moved/v2"


def test_sampling_leaves_out_what_is_ordinary(stack, log):
    left_out = 'activator_access_log_lines_total{result="left_out"}'
    before = stack.metric(left_out)
    assert stack.get("few")[0] == 200  # a cold start
    log.entries(1)
    for _ in range(20):
        assert stack.get("few")[0] == 200
    assert stack.get("few", "/close")[0] == 502
    e, = log.entries(1)
    assert (e["status"], "sample" in e) == (502, False)
    assert stack.metric(left_out) == before + 20


def test_the_file_is_opened_again(stack, log):
    os.rename(log.path, log.path + ".old")
    stack.activator.kill(signal.SIGUSR1)
    wait_until(lambda: os.path.exists(log.path), what="the new file")
    log.at = 0
    assert stack.get("hello")[0] == 200
    assert log.entries(1)[0]["host"] == "hello"
    os.rename(log.path, log.path + ".older")
    assert stack.hangup(stack.activator)
    wait_until(lambda: os.path.exists(log.path), what="the new file")
    log.at = 0
    assert stack.get("hello")[0] == 200
    log.entries(1)


def test_each_request_has_a_line(stack, log):
    """Of many clients; and the metrics say how many they were."""
    def outcomes():
        return sum(v for k, v in stack.metrics().items() if k.startswith("activator_requests_total"))
    before = outcomes()
    clients = [Client(stack.port) for _ in range(20)]
    for i in range(25):
        for c in clients:
            c.request("GET", "/bytes/%d" % i, "hello")
        for c in clients:
            assert c.response()[0] == 200
    for c in clients:
        c.close()
    entries = log.entries(500)
    assert sorted(e["bytes_out"] for e in entries) == sorted(list(range(25)) * 20)
    wait_until(lambda: outcomes() == before + 500, what="the metrics")


def test_a_pipe_that_nobody_reads(tmp_path):
    """Requests go on; lines are lost, and counted."""
    os.mkfifo(tmp_path / "unread")
    reader = os.open(tmp_path / "unread", os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, F_SETPIPE_SZ, 4096)
    services = 'service "s" { hosts = {"s"} revision "v1" { command = {"HELLO"} } }'
    with running(tmp_path, services, workers=1, activator='access_log = json max_head = 64KiB '
                 'access_log_file = "%s/unread"' % tmp_path) as s:
        def lost():
            return s.metric('activator_access_log_lines_total{result="lost"}')
        with Client(s.port) as c:
            for i in range(3000):
                c.request("GET", "/", "s", fields=[("User-Agent", "a\t" * 1000 + "a")])
                assert c.response()[0] == 200
                if i % 50 == 0 and lost() > 0:
                    break
        assert lost() > 0
        wait_until(lambda: "access log lines lost" in s.activator.text(), what="a line in the log")
    os.close(reader)


def test_mistakes(tmp_path):
    services = 'service "s" { hosts = {"s"} revision "v1" { command = {"HELLO"} } }'
    with running(tmp_path, services, activator='access_log = json\n'
                 'access_log_file = "%s/a"\n' % tmp_path) as s:
        s.edit('%s/a"' % tmp_path, '%s/no/such/folder"' % tmp_path)
        assert not s.hangup(s.activator)
        assert re.search(r"a\.conf:\d+: access_log_file: cannot open .*/no/such/folder: No such file",
                         s.activator.text())
        assert s.get("s")[0] == 200
        wait_until(lambda: os.path.getsize(tmp_path / "a") > 0, what="the line")
