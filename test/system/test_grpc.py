"""Calls of gRPC: refusals are answers of gRPC, and the deadline of the client goes along."""
import re
import socket
import urllib.parse

import pytest

from fakes.instance import FakeInstance, read_head
from h2client import INTERNAL_ERROR, H2Client
from helpers import wait_until
from stack import Client, running

SERVICES = """
service "hello" { hosts = {"hello"} revision "v1" { command = {"HELLO"}
    response_timeout = 500ms } }
service "exits" { hosts = {"exits"} revision "v1" { command = {"HELLO", "--exit", "3"} } }
service "deaf" { hosts = {"deaf"} waiting_page = "default"
    revision "v1" { command = {"HELLO", "--never-listen"} activation_timeout = 400ms } }
service "few" { hosts = {"few"} revision "v1" { command = {"HELLO", "--never-listen"}
    activation_timeout = 20s max_parked = 1 } }
service "away" { hosts = {"away"} revision "v1" { addresses = {"127.0.0.1:1"}
    activation_timeout = 400ms } }
service "moved" { hosts = {"moved"} redirect_https = yes revision "v1" { command = {"HELLO"} } }
service "ruled" { hosts = {"ruled"} revision "v1" { command = {"HELLO"} }
    rule "forbidden" { action = "answer" paths = {"/a.B/Forbidden"} status = 403
        body = "not you" fields = {"content-type: text/plain", "x-why: rule"} }
    rule "own" { action = "answer" paths = {"/a.B/Own"} status = 200
        fields = {"grpc-status: 5", "grpc-message: nothing here"} }
    rule "asleep" { action = "serve_only" } }
service "origin" { hosts = {"origin"} revision "v1" { addresses = {"127.0.0.1:ORIGIN"}
    container_concurrency = 1 } }
"""


class Origin(FakeInstance):
    """Answers a request when the test says so."""

    def __init__(self):
        super().__init__()
        self.requests = []

    def serve(self, connection):
        head, _ = read_head(connection)
        if head is not None:
            self.requests.append((head, connection))
            connection.recv(1)  # the test answers, or the activator goes


@pytest.fixture(scope="module")
def origin():
    return Origin()


@pytest.fixture(scope="module")
def stack(tmp_path_factory, origin):
    with running(tmp_path_factory.mktemp("grpc"), SERVICES.replace("ORIGIN", str(origin.port)),
                 activator="h2_glitch_rate = 0") as s:
        yield s


@pytest.fixture
def client(stack):
    with H2Client(stack.port) as c:
        yield c


def call(client, path="/a.B/C", host="hello", timeout=None, kind="application/grpc", fields=()):
    """Send the head of a call, and its end; the stream."""
    fields = [("content-type", kind), ("te", "trailers"), *fields]
    if timeout is not None:
        fields.append(("grpc-timeout", timeout))
    return client.request(path, host, "POST", fields)


def check(r, status, reason):
    """It is a head alone, with this status and reason."""
    assert (r.status, r.body, r.trailers, r.reset) == (200, b"", {}, None)
    assert r.fields["content-type"] == "application/grpc"
    assert (int(r.fields["grpc-status"]), r.fields["x-activator-reason"]) == (status, reason)
    assert urllib.parse.unquote(r.fields["grpc-message"]).startswith(reason + ": ")
    assert ("grpc-retry-pushback-ms" in r.fields) == (status == 14)
    if status == 14:
        assert int(r.fields["grpc-retry-pushback-ms"]) >= 1000


@pytest.mark.parametrize("host, path, status, reason", [
    ("nobody", "/a.B/C", 12, "no_route"),
    ("exits", "/a.B/C", 14, "activation_failed"),
    ("deaf", "/a.B/C", 14, "activation_timeout"),
    ("away", "/a.B/C", 14, "upstream_failed"),
    ("hello", "/?ms=5000", 4, "response_timeout"),
    ("hello", "/close", 13, "upstream_failed"),
    ("hello", "/reset", 13, "upstream_failed"),
    ("moved", "/a.B/C", 9, "redirect_https"),
    ("ruled", "/a.B/C", 14, "not_active"),
])
def test_refusals(client, host, path, status, reason):
    check(client.response(call(client, path, host)), status, reason)


def test_the_driver_says_why(client):
    r = client.response(call(client, host="exits"))
    assert "exited with status 3" in r.fields["grpc-message"]


def test_queue_full(stack, client):
    first = call(client, host="few")
    wait_until(lambda: stack.metric('activator_revision_parked{revision="few/v1"}') == 1,
               what="a parked call")
    check(client.response(call(client, host="few")), 14, "queue_full")
    client.reset(first)
    wait_until(lambda: stack.metric('activator_revision_parked{revision="few/v1"}') == 0,
               what="the queue to forget it")


@pytest.mark.parametrize("fields", [[("x-a", "y" * 20000)],
                                    [("x-%d" % i, "y") for i in range(101)]])
def test_heads_that_are_refused_before_they_are_parsed(client, fields):
    r = client.response(call(client, fields=fields))
    check(r, 8, "head_too_large")


@pytest.mark.parametrize("kind", ["application/grpc", "application/grpc+proto",
                                  "application/grpc;charset=utf-8"])
def test_content_types(client, kind):
    check(client.response(call(client, host="nobody", kind=kind)), 12, "no_route")


@pytest.mark.parametrize("kind", ["application/grpc-web", "application/grpc-web-text+proto",
                                  "application/json"])
def test_other_protocols_get_refusals_of_http(client, kind):
    r = client.response(call(client, host="nobody", kind=kind))
    assert (r.status, r.fields["x-activator-reason"]) == (404, "no_route")
    assert r.body.startswith(b"no_route: ") and "grpc-status" not in r.fields


def test_no_call_gets_the_waiting_page(client):
    r = client.response(client.request("/", "deaf", "GET", [
        ("content-type", "application/grpc"), ("sec-fetch-mode", "navigate"),
        ("accept", "text/html")]))
    check(r, 14, "activation_timeout")


def test_answers_of_rules(client):
    r = client.response(call(client, "/a.B/Forbidden", "ruled"))
    assert (r.status, r.body, r.fields["content-type"]) == (200, b"", "application/grpc")
    assert (r.fields["grpc-status"], r.fields["grpc-message"]) == ("7", "not you")
    assert r.fields["x-why"] == "rule"
    r = client.response(call(client, "/a.B/Own", "ruled"))
    assert (r.status, r.fields["content-type"]) == (200, "application/grpc")
    assert (r.fields["grpc-status"], r.fields["grpc-message"]) == ("5", "nothing here")


def test_a_refusal_over_http1(stack):
    with Client(stack.port) as c:
        c.sendall(b"POST /a.B/C HTTP/1.1\r\nHost: nobody\r\nContent-Type: application/grpc\r\n"
                  b"Content-Length: 0\r\n\r\n")
        status, fields, body = c.response()
        assert (status, body, fields["grpc-status"]) == (200, b"", "12")
        c.request("GET", "/", "hello")
        assert c.response()[0] == 200


# --- deadlines

def deadlines(stack):
    return stack.metric('activator_requests_total{outcome="deadline_exceeded"}') or 0


def test_a_deadline_that_is_over_while_the_call_is_parked(stack, client):
    before = deadlines(stack)
    check(client.response(call(client, host="few", timeout="300m")), 4, "deadline_exceeded")
    wait_until(lambda: deadlines(stack) == before + 1, what="the count of the refusal")


def parked(stack):
    return stack.metric('activator_revision_parked{revision="origin/v1"}')


def answer(origin, at):
    origin.requests[at][1].sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
                                   b"Connection: close\r\n\r\n")


def test_an_instance_is_told_what_is_left(stack, client, origin):
    origin.requests.clear()
    first = call(client, host="origin", timeout="1H")
    wait_until(lambda: len(origin.requests) == 1, what="the first call")
    second = call(client, host="origin", timeout="59M")
    third = call(client, host="origin", timeout="never")
    wait_until(lambda: parked(stack) == 2, what="two parked calls")
    for at, stream in enumerate((first, second, third)):
        wait_until(lambda: len(origin.requests) == at + 1, what="a call")
        answer(origin, at)
        assert client.response(stream).status == 200
    heads = [head.decode() for head, _ in origin.requests]
    left = [re.search(r"(?i)\r\ngrpc-timeout: *(\w+)\r\n", head).group(1) for head in heads]
    assert left[2] == "never"
    assert all(re.fullmatch(r"\d{1,8}m", value) for value in left[:2])
    assert 0 < int(left[0][:-1]) <= 3600000 and 0 < int(left[1][:-1]) < 3540000


def test_a_response_that_breaks_off_is_reset(client, origin):
    origin.requests.clear()
    stream = call(client, host="origin")
    wait_until(lambda: origin.requests, what="the call")
    _, connection = origin.requests[0]
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
    client.wait(lambda: client.streams[stream].body == b"x", "a message")
    connection.shutdown(socket.SHUT_RDWR)
    assert client.response(stream).reset == INTERNAL_ERROR
