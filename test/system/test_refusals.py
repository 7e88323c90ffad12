"""Every refusal says why, in its text and in X-Activator-Reason, and when to come again."""
import json

import pytest

from helpers import wait_until
from stack import Client, Gate, running

SERVICES = """
service "hello" { hosts = {"hello"} revision "v1" { command = {"HELLO"}
    response_timeout = 2s } }
service "exits" { hosts = {"exits"} revision "v1" { command = {"HELLO", "--exit", "3"} } }
service "missing" { hosts = {"missing"} revision "v1" { command = {"/no/such/program"} } }
service "deaf" { hosts = {"deaf"} revision "v1" { command = {"HELLO", "--never-listen"}
    activation_timeout = 400ms } }
service "few" { hosts = {"few"} revision "v1" { command = {"HELLO", "--never-listen"}
    activation_timeout = 20s max_parked = 2 } }
service "away" { hosts = {"away"} revision "v1" { addresses = {"127.0.0.1:1"}
    activation_timeout = 400ms } }
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with running(tmp_path_factory.mktemp("refusals"), SERVICES) as s:
        yield s


@pytest.mark.parametrize("host, path, status, reason, waits", [
    ("nobody", "/", 404, "no_route", False),
    ("exits", "/", 503, "activation_failed", True),
    ("missing", "/", 503, "activation_failed", True),
    ("deaf", "/", 504, "activation_timeout", True),
    ("away", "/", 502, "upstream_failed", False),
    ("hello", "/?ms=5000", 504, "response_timeout", False),
    ("hello", "/close", 502, "upstream_failed", False),
    ("hello", "/reset", 502, "upstream_failed", False),
])
def test_refusals(stack, host, path, status, reason, waits):
    got, fields, body = stack.get(host, path)
    assert (got, fields["x-activator-reason"]) == (status, reason)
    assert body.decode().startswith(reason + ": ")
    assert ("retry-after" in fields) == waits
    if waits:
        assert int(fields["retry-after"]) >= 1


def test_a_refusal_in_json(stack):
    _, fields, body = stack.get("nobody", fields=[("Accept", "application/json")])
    assert fields["content-type"] == "application/json"
    assert json.loads(body)["reason"] == "no_route"


def test_a_failed_start_is_described_by_the_driver(stack):
    assert b"exited with status 3" in stack.get("exits")[2]
    assert b"/no/such/program" in stack.get("missing")[2]


def test_queue_full(stack):
    clients = [stack.connect() for _ in range(2)]
    for i, c in enumerate(clients):
        c.request("GET", "/", "few")
        wait_until(lambda: stack.metric('activator_revision_parked{revision="few/v1"}') == i + 1,
                   what="a parked request")
    status, fields, _ = stack.get("few")
    assert (status, fields["x-activator-reason"]) == (503, "queue_full")
    assert int(fields["retry-after"]) >= 1
    for c in clients:
        c.close()
    wait_until(lambda: stack.metric('activator_revision_parked{revision="few/v1"}') == 0,
               what="the queue to forget clients that have left")


def test_retry_after_is_as_long_as_a_start_takes(tmp_path):
    gate = Gate(tmp_path)
    services = 'service "s" { hosts = {"s"} max_parked = 1 revision "v1" { %s } }' % (
        gate.command("--startup 2200ms"))
    with running(tmp_path, services) as s:
        gate.open()
        assert s.get("s")[0] == 200  # how long a start takes is known from now on
        wait_until(lambda: not s.instances(), what="zero instances")
        gate.close()
        with s.connect() as c:
            c.request("GET", "/", "s")
            wait_until(lambda: s.metric("activator_parked") == 1, what="a parked request")
            status, fields, _ = s.get("s")
            assert (status, fields["x-activator-reason"]) == (503, "queue_full")
            assert int(fields["retry-after"]) >= 3
            gate.open()
            assert c.response()[0] == 200


@pytest.mark.parametrize("request_, status", [
    (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host: RFC 9112 3.2
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: hello\r\n folded: x\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: hello\r\nX: a\r\n b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\nHost: hello\n\n", 400),
    (b"GET / HTTP/1.1\r\nHost: hello\r\nX : y\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: hello\r\nX: a\0b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: hello\r\nX: a\rb\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400),
    (b"POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: +1\r\n\r\nx", 400),
    (b"POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: 1\r\n"
     b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: hello\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: hello\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.0\r\nHost: hello\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"GET / HTTP/2.0\r\nHost: hello\r\n\r\n", 505),
    (b"CONNECT hello:1 HTTP/1.1\r\nHost: hello\r\n\r\n", 501),
    (b"TRACE / HTTP/1.1\r\nHost: hello\r\n\r\n", 501),
    (b"TRACE / HTTP/1.1\r\nHost: hello\r\nTransfer-Encoding: identity\r\n\r\n"
     b"GET / HTTP/1.1\r\nHost: hello\r\n\r\n", 400),
    (b"GET hello HTTP/1.1\r\nHost: hello\r\n\r\n", 400),
    (b"GET /#x HTTP/1.1\r\nHost: hello\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\x00\x01", 400),  # TLS
    (b"GET / HTTP/1.1\r\nHost: hello\r\nExpect: wonders\r\n\r\n", 417),
    (b"GET / HTTP/1.1\r\nHost: hello\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(200)) +
     b"\r\n", 431),
    (b"GET / HTTP/1.1\r\nHost: hello\r\nX: " + b"y" * 20000 + b"\r\n\r\n", 431),
    (b"GET /" + b"y" * 20000 + b" HTTP/1.1\r\nHost: hello\r\n\r\n", 414),
], ids=lambda v: repr(v[:60]) if isinstance(v, bytes) else str(v))
def test_requests_that_parsers_may_read_differently(stack, request_, status):
    with Client(stack.port) as c:
        c.sendall(request_)
        got, fields, _ = c.response()
        assert got == status
        if status == 400 or request_.startswith(b"CONNECT"):
            assert fields["connection"] == "close"
            assert c.is_closed()
