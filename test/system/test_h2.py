"""HTTP/2 from clients, with prior knowledge (RFC 9113): what a request of HTTP/1.1 can, each stream
of a connection can."""
import base64
import hashlib
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import threading

import pytest

import h2client
from fakes.instance import FakeInstance, read_head
from h2attacks import ATTACKS
from h2client import (CALM, CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS,
                      INTERNAL_ERROR, NO_ERROR, PING, PREFACE, PRIORITY, PROTOCOL_ERROR,
                      REFUSED_STREAM, RST_STREAM, SETTINGS, WINDOW_UPDATE, H2Client)
from helpers import wait_until
from stack import Gate, running, stats

SERVICES = """
service "hello" { hosts = {"hello"} revision "v1" { command = {"HELLO"} } }
service "one" { hosts = {"one"} revision "v1" { command = {"HELLO"}
    container_concurrency = 1 max_scale = 1 } }
service "origin" { hosts = {"origin"} revision "v1" { addresses = {"127.0.0.1:ORIGIN"} via = yes } }
service "limited" { hosts = {"limited"} revision "v1" { addresses = {"127.0.0.1:ORIGIN"}
    container_concurrency = 100 } }
service "narrow" { hosts = {"narrow"} revision "v1" { addresses = {"127.0.0.1:ORIGIN"}
    container_concurrency = 1 } }
"""


class Origin(FakeInstance):
    """Lets script(connection, head, bytes behind it) answer each request."""

    def __init__(self):
        super().__init__()
        self.forget()

    def forget(self):
        self.script, self.heads = None, []

    def serve(self, connection):
        head, rest = read_head(connection)
        if head is None:
            return
        self.heads.append(head)
        if self.script is None:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\norigin")
        else:
            self.script(connection, head, rest)


@pytest.fixture(scope="module")
def origin():
    return Origin()


@pytest.fixture(scope="module")
def stack(tmp_path_factory, origin):
    with running(tmp_path_factory.mktemp("h2"), SERVICES.replace("ORIGIN", str(origin.port)),
                 activator="h2_glitch_rate = 0") as s:
        yield s


@pytest.fixture(autouse=True)
def fresh(origin):
    origin.forget()


@pytest.fixture
def client(stack):
    with H2Client(stack.port) as c:
        yield c


def ended(stack, reason):
    return stack.metric('activator_h2_connections_ended_total{reason="%s"}' % reason)


def until_closed(connection):
    """Wait for the other side to close."""
    try:
        while connection.recv(65536):
            pass
    except OSError:
        pass


# --- requests and responses

def test_a_request(client):
    r = client.get()
    assert (r.status, r.body, r.fields["content-length"]) == (200, b"hello\n", "6")
    assert "connection" not in r.fields and "date" in r.fields


def test_the_preface_byte_by_byte(stack):
    with H2Client(stack.port, preface=False) as c:
        text = PREFACE + c.packed(SETTINGS) + c.packed(
            HEADERS, END_HEADERS | END_STREAM, 1, c.encoder.encode(
                [(":method", "GET"), (":scheme", "http"), (":authority", "hello"),
                 (":path", "/")]))
        for i in range(len(text)):
            c.sendall(text[i:i + 1])
        assert c.response(1).status == 200


def test_the_head_that_an_instance_gets(client, origin):
    r = client.get("/p?q", "origin", fields=[
        ("x-a", "1"), ("cookie", "a=1"), ("cookie", "b=2"), ("te", "trailers"),
        ("priority", "u=1"), ("x-forwarded-for", "6.6.6.6")])
    assert (r.status, r.body, r.fields["via"]) == (200, b"origin", "1.1 activator")
    assert origin.heads == [
        b"GET /p?q HTTP/1.1\r\nHost: origin\r\nx-a: 1\r\npriority: u=1\r\ncookie: a=1; b=2\r\n"
        b"Connection: TE\r\nTE: trailers\r\nVia: 2.0 activator\r\nX-Forwarded-For: 127.0.0.1\r\n"
        b"X-Forwarded-Proto: http\r\nX-Forwarded-Host: origin\r\n"
        b'Forwarded: for=127.0.0.1;host="origin";proto=http\r\n\r\n']


@pytest.mark.parametrize("size", [0, 1, 16384, 16385, 1000000])
@pytest.mark.parametrize("has_length", [True, False])
def test_bodies_pass_both_ways(client, size, has_length):
    body = os.urandom(size)
    fields = [("content-length", str(size))] if has_length else []
    stream = client.request("/echo", method="POST", fields=fields, end=False)
    client.body(stream, body)
    r = client.response(stream)
    assert (r.status, hashlib.sha256(r.body).digest()) == (200, hashlib.sha256(body).digest())


def test_many_streams_at_once(client):
    client.wait_settings()
    streams = [client.request("/bytes/%d" % (100 * i)) for i in range(100)]
    assert [len(client.response(s).body) for s in streams] == [100 * i for i in range(100)]
    assert client.settings[h2client.MAX_STREAMS] == 250


def test_head_requests_and_statuses_without_a_body(client, origin):
    r = client.get("/bytes/1000", method="HEAD")
    assert (r.status, r.fields["content-length"], r.body) == (200, "1000", b"")
    for status in (204, 304):
        origin.script = lambda c, *_: c.sendall(b"HTTP/1.1 %d X\r\n\r\n" % status)
        r = client.get(host="origin")
        assert (r.status, r.body, r.is_ended) == (status, b"", True)


def test_trailers_of_a_response(client, origin):
    origin.script = lambda c, *_: c.sendall(
        b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n")
    r = client.get(host="origin", fields=[("te", "trailers")])
    assert (r.body, r.trailers) == (b"hi", {"x-sum": "7"})
    r = client.get(host="origin")
    assert (r.body, r.trailers) == (b"hi", {})


def test_trailers_of_a_request(client, origin):
    seen = []

    def script(connection, head, rest):
        while not rest.endswith(b"\r\n\r\n"):
            rest += connection.recv(65536)
        seen.append(rest)
        connection.sendall(b"HTTP/1.1 204 X\r\n\r\n")
    origin.script = script
    stream = client.request("/", "origin", "POST", [("trailer", "x-sum")], end=False)
    client.data(stream, b"hi")
    client.head([("x-sum", "7"), ("x-other", "8")], stream=stream)
    assert client.response(stream).status == 204
    assert seen == [b"2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n"]


def test_interim_responses(client, origin):
    def script(connection, head, rest):
        assert b"expect: 100-continue" in head.lower()
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
                           b"HTTP/1.1 100 Continue\r\n\r\n")
        while not rest.endswith(b"0\r\n\r\n"):
            rest += connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    origin.script = script
    stream = client.request("/", "origin", "POST", [("expect", "100-continue")], end=False)
    client.wait(lambda: len(client.streams[stream].interim) == 2, "100")
    client.data(stream, b"x", end=True)
    r = client.response(stream)
    assert [s for s, _ in r.interim] == [103, 100] and r.interim[0][1]["link"] == "</x>"
    assert r.status == 200


def test_a_body_that_ends_with_its_connection(client, origin):
    origin.script = lambda c, *_: c.sendall(b"HTTP/1.1 200 OK\r\n\r\nto the end")
    r = client.get(host="origin")
    assert (r.status, r.body, r.reset) == (200, b"to the end", None)


def test_a_response_that_breaks_off_is_reset(client, origin):
    origin.script = lambda c, *_: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    assert client.get(host="origin").reset == INTERNAL_ERROR
    assert client.get().status == 200


def test_refusals(client):
    r = client.get(host="nobody")
    assert (r.status, r.fields["x-activator-reason"]) == (404, "no_route")
    assert r.body.startswith(b"no_route: ")
    stream = client.request("/", "nobody", "POST", end=False)
    r = client.response(stream)
    assert (r.status, r.reset) == (404, None)
    client.wait(lambda: r.reset is not None, "RST_STREAM")  # RFC 9113 8.1
    assert r.reset == NO_ERROR


# --- what is no request: RFC 9113 8

def pseudo(**changed):
    fields = {"method": "GET", "scheme": "http", "authority": "origin", "path": "/"}
    fields.update(changed)
    return [(":" + k, v) for k, v in fields.items() if v is not None]


@pytest.mark.parametrize("fields", [
    pseudo() + [("connection", "close")],             # 8.2.2
    pseudo() + [("transfer-encoding", "chunked")],    # 8.2.2
    pseudo() + [("keep-alive", "5")],                 # 8.2.2
    pseudo() + [("upgrade", "websocket")],            # 8.2.2
    pseudo() + [("te", "gzip")],                      # 8.2.2
    pseudo() + [("X-A", "1")],                        # 8.2.1
    pseudo() + [("x a", "1")],                        # 8.2.1
    pseudo() + [("x-a", "1\r\nx-b: 2")],              # 8.2.1
    pseudo() + [("x-a", "1\x00")],                    # 8.2.1
    pseudo() + [("x-a", " 1")],                       # 8.2.1
    pseudo() + [(":x", "1")],                         # 8.3
    pseudo() + [("x-a", "1"), (":path", "/")],        # 8.3
    pseudo() + [(":path", "/")],                      # 8.3
    pseudo(path=""),                                  # 8.3.1
    pseudo(path=None),                                # 8.3.1
    pseudo(method=None),                              # 8.3.1
    pseudo(scheme=None),                              # 8.3.1
    pseudo(path="/ HTTP/1.1\r\nx: y"),                # 8.2.1
    pseudo(path="/a b"),
    pseudo(method="GET /"),
    pseudo() + [("host", "other")],                   # 8.3.1
    pseudo() + [("content-length", "1")],             # 8.1.1: no body follows
])
def test_malformed_requests_are_reset(client, origin, fields):
    r = client.response(client.head(fields))
    assert r.reset == PROTOCOL_ERROR or r.status == 400
    assert origin.heads == []
    assert client.get().status == 200


def test_a_body_of_another_length_is_reset(client, origin):
    origin.script = lambda c, *_: until_closed(c)
    for body in (b"1234", b"12"):
        stream = client.request("/", "origin", "POST", [("content-length", "3")], end=False)
        client.data(stream, body, end=True)
        assert client.response(stream).reset == PROTOCOL_ERROR


def test_large_heads(client):
    r = client.get(fields=[("x-a", "y" * 20000)])
    assert (r.status, r.fields["x-activator-reason"]) == (431, "head_too_large")
    r = client.get(fields=[("x-%d" % i, "y") for i in range(101)])
    assert r.status == 431
    name = [("x-bomb", "y" * 4000)]  # one byte for each repetition
    client.get(fields=name)
    assert client.get(fields=name * 20).reset == CALM
    assert client.get().status == 200


def test_methods_that_are_no_requests_for_an_instance(client):
    r = client.response(client.head([(":method", "CONNECT"), (":authority", "hello:80")]))
    assert r.status == 501
    r = client.response(client.head(pseudo(method="CONNECT", protocol="other")))
    assert r.status == 501


# --- back-pressure

def test_a_stalled_stream_blocks_no_other(stack):
    with H2Client(stack.port, takes=False) as c:
        stalled = c.request("/bytes/1000000")
        c.wait(lambda: len(c.streams[stalled].body) == 65535, "a full window")
        c.open_window(0, 1000000)
        assert c.get("/bytes/50000").body == c.streams[stalled].body[:50000]
        c.open_window(stalled, 1000000)
        assert len(c.response(stalled).body) == 1000000


def test_an_instance_that_does_not_read_blocks_no_other(client, origin):
    gate = threading.Event()

    def script(connection, head, rest):
        gate.wait(60)
        n = len(rest)
        while n < 3000000:
            n += len(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 204 X\r\n\r\n")
    origin.script = script
    stream = client.request("/", "origin", "POST", [("content-length", "3000000")], end=False)
    client.wait_settings()
    sent = 0
    while True:  # until no window opens any more
        room = min(client.window, client.streams[stream].window, 16384, 3000000 - sent)
        if room > 0:
            client.body(stream, bytes(room), end=False)
            sent += room
            continue
        window = client.streams[stream].window
        client.ping()
        client.ping()
        if client.streams[stream].window == window:
            break
    assert client.window > 500000  # the connection's own stays open
    assert client.get().status == 200
    gate.set()
    client.body(stream, bytes(3000000 - sent))
    assert client.response(stream).status == 204


def test_a_client_that_takes_nothing_is_cut_off(tmp_path):
    with running(tmp_path, SERVICES.replace("ORIGIN", "1"),
                 activator="body_timeout = 300ms") as s:
        with H2Client(s.port, takes=False, settings=[(h2client.INITIAL_WINDOW, 0)]) as c:
            small, large = c.request("/"), c.request("/bytes/5000000")
            assert c.response(small).reset == CANCEL
            assert c.response(large).reset is not None
            assert s.get("hello")[0] == 200


def test_bytes_that_streams_keep_are_bounded(tmp_path, origin):
    gate = threading.Event()

    def script(connection, head, rest):
        gate.wait(60)
    origin.script = script
    with running(tmp_path, SERVICES.replace("ORIGIN", str(origin.port)),
                 activator="max_stream_bytes = 64KiB") as s:
        with H2Client(s.port) as c:
            c.wait_settings()
            streams = [c.request("/", "narrow", "POST", end=False) for _ in range(30)]
            wait_until(lambda: s.metric("activator_parked") == 29)
            c.ping()
            while not any(c.streams[x].is_ended for x in streams):
                for x in streams:
                    room = min(c.window, c.streams[x].window, 16384)
                    if room > 0 and not c.streams[x].is_ended:
                        c.body(x, bytes(room), end=False)
                c.ping()
            ended_now = [c.streams[x] for x in streams if c.streams[x].is_ended]
            assert {x.status for x in ended_now} == {503}
            gate.set()
            assert c.get().status == 200
        wait_until(lambda: s.metric("activator_stream_bytes") == 0)


# --- clients that leave

def test_a_reset_reaches_the_instance(client, origin):
    gone = threading.Event()

    def script(connection, head, rest):
        until_closed(connection)
        gone.set()
    origin.script = script
    stream = client.request("/", "origin")
    wait_until(lambda: origin.heads)
    client.reset(stream)
    assert gone.wait(60)
    assert client.get().status == 200


def test_a_reset_in_the_queue_gives_its_place_back(stack, client, tmp_path):
    gate = Gate(tmp_path)
    first = client.request("/" + gate.query(), "one")
    wait_until(lambda: stack.metric('activator_revision_in_flight{revision="one/v1"}') == 1)
    second, third = client.request("/", "one"), client.request("/", "one")
    wait_until(lambda: stack.metric('activator_revision_parked{revision="one/v1"}') == 2)
    client.reset(second)
    wait_until(lambda: stack.metric('activator_revision_parked{revision="one/v1"}') == 1)
    gate.open()
    assert client.response(first).status == 200
    assert client.response(third).status == 200


def test_a_slot_is_kept_until_the_instance_is_done(stack, client, origin):
    done = threading.Event()

    def script(connection, head, rest):
        if b"GET /first" in head:
            until_closed(connection)  # its client has left: there is no more to come
            done.wait(60)
        else:
            connection.sendall(b"HTTP/1.1 204 X\r\n\r\n")
    origin.script = script
    first = client.request("/first", "narrow")
    wait_until(lambda: origin.heads)
    client.reset(first)
    second = client.request("/second", "narrow")
    wait_until(lambda: stack.metric('activator_revision_parked{revision="narrow/v1"}') == 1)
    client.ping()
    assert len(origin.heads) == 1
    done.set()
    assert client.response(second).status == 204
    wait_until(lambda: stack.metric('activator_revision_in_flight{revision="narrow/v1"}') == 0)


def test_a_connection_that_ends_ends_its_requests(stack, origin):
    gone = []

    def script(connection, head, rest):
        until_closed(connection)
        gone.append(head)
    origin.script = script
    with H2Client(stack.port) as c:
        for _ in range(5):
            c.request("/", "origin")
        wait_until(lambda: len(origin.heads) == 5)
    wait_until(lambda: len(gone) == 5)


# --- parked

def test_first_come_first_served(stack, client, tmp_path):
    gate = Gate(tmp_path)
    first = client.request("/" + gate.query(), "one")
    wait_until(lambda: stack.metric('activator_revision_in_flight{revision="one/v1"}') == 1)
    streams = [client.request("/", "one", fields=[("x-id", "h2-%02d" % i)]) for i in range(20)]
    wait_until(lambda: stack.metric('activator_revision_parked{revision="one/v1"}') == 20)
    gate.open()
    assert [client.response(s).status for s in [first, *streams]] == [200] * 21
    log = [l for l in stack.get("one", "/log")[2].decode().split() if l.startswith("h2-")]
    assert log == ["h2-%02d" % i for i in range(20)]


def test_parked_streams_are_answered(tmp_path):
    gate = Gate(tmp_path)
    services = 'service "cold" { hosts = {"cold"} revision "v1" { %s } }' % gate.command()
    with running(tmp_path, services) as s, H2Client(s.port) as c:
        stream = c.request("/sha", "cold", "POST", end=False)
        c.body(stream, bytes(10000), end=False)
        others = [c.request("/", "cold") for _ in range(50)]
        wait_until(lambda: s.metric("activator_parked") == 51)
        gate.open()
        c.body(stream, bytes(100000))
        assert c.response(stream).body.startswith(b"110000 ")
        assert [c.response(o).status for o in others] == [200] * 50


def test_parked_streams_leave_room_for_other_services(tmp_path):
    gate = Gate(tmp_path)
    services = 'service "cold" { hosts = {"cold"} revision "v1" { %s } }' \
        'service "warm" { hosts = {"warm"} revision "v1" { command = {"HELLO"} } }' % gate.command()
    with running(tmp_path, services, activator="h2_streams = 8") as s, H2Client(s.port) as c:
        assert c.get(host="warm").status == 200
        parked = [c.request("/", "cold") for _ in range(6)]
        wait_until(lambda: s.metric("activator_parked") == 6)
        r = c.get(host="cold")
        assert (r.status, r.fields["x-activator-reason"]) == (503, "queue_full")
        assert c.get(host="warm").status == 200
        gate.open()
        assert [c.response(o).status for o in parked] == [200] * 6


def test_streams_before_the_first_route_table(tmp_path):
    s = running(tmp_path, SERVICES.replace("ORIGIN", "1"))
    with s as stack:
        stack.activator.stop()
        stack.autoscaler.stop()
        stack.start_activator()
        wait_until(lambda: stack.readyz() == 503)
        with H2Client(stack.port) as c:
            streams = [c.request("/") for _ in range(3)]
            post = c.request("/sha", "hello", "POST", end=False)
            c.body(post, b"abc")
            wait_until(lambda: stack.metric("activator_parked") == 4)
            stack.start_autoscaler()
            assert [c.response(x).status for x in streams] == [200] * 3
            assert c.response(post).body.startswith(b"3 ")


# --- the connection's end

def test_a_drain_ends_with_two_goaways(tmp_path):
    gate = Gate(tmp_path)
    with running(tmp_path, SERVICES.replace("ORIGIN", "1")) as s:
        with H2Client(s.port) as c, H2Client(s.port) as idle:
            assert c.get().status == 200
            assert idle.get().status == 200
            slow = c.request("/" + gate.query())
            wait_until(lambda: s.metric('activator_revision_in_flight{revision="hello/v1"}') == 1)
            s.activator.kill(15)
            c.wait(lambda: c.goaways, "GOAWAY")
            assert c.goaways == [(0x7fffffff, NO_ERROR)]
            late = c.request("/")  # on its way when the GOAWAY came: the PING follows it
            c.wait(lambda: len(c.goaways) == 2, "the second GOAWAY")
            assert c.response(late).status == 200 or c.goaways[1][0] < late
            assert c.goaways[1][0] >= slow
            gate.open()
            assert c.response(slow).status == 200
            assert c.end() == NO_ERROR
            assert idle.end() == NO_ERROR and len(idle.goaways) == 2
            assert s.activator.process.wait(60) == 0


def test_requests_per_connection(tmp_path):
    with running(tmp_path, SERVICES.replace("ORIGIN", "1"),
                 activator="requests_per_connection = 3") as s, H2Client(s.port) as c:
        assert [c.get().status for _ in range(3)] == [200] * 3
        assert c.end() == NO_ERROR
        assert ended(s, "idle") == 1


def test_time_limits_of_a_connection(tmp_path):
    with running(tmp_path, SERVICES.replace("ORIGIN", "1"),
                 activator="idle_timeout = 300ms head_timeout = 300ms") as s:
        with H2Client(s.port) as c:  # no request ever
            assert c.end() == CALM
        with H2Client(s.port) as c:
            assert c.get().status == 200
            assert c.end() == NO_ERROR
        with H2Client(s.port) as c:  # a head that does not end
            assert c.get().status == 200
            c.frame(HEADERS, END_STREAM, 3, c.encoder.encode(pseudo()))
            assert c.end() in (CALM, NO_ERROR)
        assert ended(s, "stalled") >= 1 and ended(s, "idle") >= 1


def test_http2_can_be_turned_off(tmp_path):
    with running(tmp_path, SERVICES.replace("ORIGIN", "1"), activator="http2 = no") as s:
        with s.connect() as c:
            c.sendall(PREFACE)
            assert c.response()[0] == 505


def test_a_wrong_preface(stack):
    before = ended(stack, "protocol")
    with H2Client(stack.port, preface=False) as c:
        c.sendall(PREFACE[:18] + b"XX\r\n\r\n" + bytes(100))
        c.end()
    wait_until(lambda: ended(stack, "protocol") == before + 1)


def test_the_preface_is_known_on_the_first_read_alone(stack):
    with stack.connect() as c:
        c.request("GET", "/", "hello")
        assert c.response()[0] == 200
        c.sendall(PREFACE)
        assert c.response()[0] == 505


# --- attacks: each ends the connection of the attacker, and nothing else

def attack(stack, reason, code, send):
    before = ended(stack, reason)
    with H2Client(stack.port) as c:
        assert c.get().status == 200
        try:
            send(c)
        except OSError:
            pass
        assert c.end() in (code, None)
    wait_until(lambda: ended(stack, reason) == before + 1, what="the end by " + reason)
    assert stack.get("hello")[0] == 200


def glitch_flood(frame):
    return lambda c: [c.sendall(frame(c, i) * 10) for i in range(60)]


@pytest.mark.parametrize("frame", [
    lambda c, i: c.packed(PING, 0, 0, b"12345678"),
    lambda c, i: c.packed(SETTINGS),
    lambda c, i: c.packed(PRIORITY, 0, 1, struct.pack(">IB", 0, 1)),
    lambda c, i: c.packed(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)),
    lambda c, i: c.packed(77, 0, 0, b"unknown"),
], ids=["ping", "settings", "priority", "window_update", "unknown"])
def test_floods_of_frames(stack, frame):
    attack(stack, "glitches", CALM, glitch_flood(frame))


def test_empty_data(stack):
    def send(c):
        stream = c.request("/echo", method="POST", end=False)
        c.sendall(c.packed(DATA, 0, stream) * 500)
    attack(stack, "glitches", CALM, send)


def test_heads_that_make_us_reset(stack):
    def send(c):
        for _ in range(300):
            c.head(pseudo() + [("connection", "x")])
    attack(stack, "glitches", CALM, send)


def test_streams_beyond_the_limit(stack, tmp_path):
    gate = Gate(tmp_path)

    def send(c):
        c.wait_settings()
        c.ping()
        for _ in range(500):
            c.request("/" + gate.query())
    attack(stack, "protocol", PROTOCOL_ERROR, send)
    gate.open()


def test_continuation_flood(stack):
    def send(c):
        c.frame(HEADERS, END_STREAM, 3, c.encoder.encode(pseudo()))
        for _ in range(10000):
            c.frame(CONTINUATION, 0, 3, b"")
    before = ended(stack, "flood") + ended(stack, "protocol")
    with H2Client(stack.port) as c:
        assert c.get().status == 200
        with pytest.raises(OSError):
            for _ in range(100):
                send(c)
        c.end()
    wait_until(lambda: ended(stack, "flood") + ended(stack, "protocol") == before + 1)
    assert stack.get("hello")[0] == 200


def test_rapid_reset(stack):
    def send(c):
        for _ in range(5000):
            stream = c.request("/")
            c.reset(stream)
    before = ended(stack, "flood") + ended(stack, "abandoned") + ended(stack, "protocol")
    with H2Client(stack.port) as c:
        assert c.get().status == 200
        try:
            send(c)
        except OSError:
            pass
        c.end()
    wait_until(lambda: ended(stack, "flood") + ended(stack, "abandoned") +
               ended(stack, "protocol") == before + 1)
    assert stack.get("hello")[0] == 200


def test_slow_resets_hold_no_more_slots_than_h2_abandoned(stack, origin):
    origin.script = lambda c, *_: threading.Event().wait(5)

    def send(c):
        for i in range(16):
            stream = c.request("/", "limited")
            wait_until(lambda: len(origin.heads) > i)
            c.reset(stream)
    attack(stack, "abandoned", CALM, send)
    assert len(origin.heads) == 16


@pytest.mark.parametrize("name, reasons", [
    ("rapid_reset", ("flood", "abandoned", "protocol")),
    ("made_you_reset", ("glitches",)),
    ("continuation", ("flood",)),
    ("empty_continuation", ("flood",)),
    ("settings", ("glitches",)),
    ("ping", ("glitches",)),
    ("priority", ("glitches",)),
    ("window_update", ("glitches",)),
    ("empty_data", ("glitches",)),
    ("hpack_bomb", ("flood",)),
    ("malformed", ("glitches",)),
])
def test_attacks_while_others_are_served(stack, client, name, reasons):
    """Those of test/bench/attacks: another client is answered after each piece of an attack, and
    the attacker's connection ends."""
    def ends():
        return sum(ended(stack, r) for r in reasons)
    before, pieces = ends(), ATTACKS[name]()
    with H2Client(stack.port) as c:
        c.link.setblocking(False)
        rest = b""
        while ends() == before:
            try:
                if c.link.recv(1 << 20) == b"":
                    break
            except BlockingIOError:
                pass
            except OSError:
                break
            rest = rest or next(pieces)
            try:
                rest = rest[c.link.send(rest):]
            except BlockingIOError:
                pass
            except OSError:
                break
            assert client.get().status == 200
    wait_until(lambda: ends() == before + 1, what="the end of the attacker's connection")
    assert client.get().status == 200


def test_data_on_a_stream_that_is_idle_is_an_error_of_the_connection(stack):
    attack(stack, "protocol", PROTOCOL_ERROR, lambda c: c.data(99, b"x"))


def test_a_window_beyond_its_bound(stack):  # RFC 9113 6.9.1
    attack(stack, "protocol", 3, lambda c: c.open_window(0, 0x7fffffff))


def test_frames_of_one_byte(client):
    stream = client.request("/sha", method="POST", end=False)
    client.wait_settings()
    for _ in range(2000):
        client.data(stream, b"x")
    client.data(stream, b"", end=True)
    assert client.response(stream).body.startswith(b"2000 ")


# --- WebSocket: RFC 8441

def accept(head):
    key = re.search(rb"sec-websocket-key: (\S+)", head, re.I)[1]
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    return base64.b64encode(digest)


def web_socket(client, fields=()):
    client.wait_settings()
    assert client.settings[h2client.CONNECT_PROTOCOL] == 1
    return client.head(pseudo(method="CONNECT", protocol="websocket", path="/chat") +
                       [("sec-websocket-version", "13"), *fields], end=False)


def test_a_web_socket(client, origin):
    def script(connection, head, rest):
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                           b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept(head) +
                           b"\r\nSec-WebSocket-Protocol: chat\r\n\r\nfirst")
        data = b""
        while not data.endswith(b"bye"):
            data += connection.recv(100)
        connection.sendall(data)
        until_closed(connection)
        connection.sendall(b"last")
    origin.script = script
    stream = web_socket(client, [("sec-websocket-protocol", "chat"),
                                 ("sec-websocket-key", "not-ours")])
    client.wait(lambda: client.streams[stream].body == b"first", "the first bytes")
    r = client.streams[stream]
    assert (r.status, r.fields["sec-websocket-protocol"]) == (200, "chat")
    assert "sec-websocket-accept" not in r.fields and "upgrade" not in r.fields
    assert origin.heads[0].startswith(b"GET /chat HTTP/1.1\r\nHost: origin\r\n")
    assert origin.heads[0].lower().count(b"sec-websocket-key") == 1
    assert b"not-ours" not in origin.heads[0]
    client.data(stream, b"hello ")
    client.data(stream, b"bye")
    client.wait(lambda: r.body == b"firsthello bye", "the echo")
    client.data(stream, b"", end=True)
    r = client.response(stream)
    assert (r.body, r.reset) == (b"firsthello byelast", None)


def test_the_directions_of_a_web_socket_end_each_for_itself(client, origin):
    got = []

    def script(connection, head, rest):
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                           b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept(head) +
                           b"\r\n\r\nfirst")
        connection.shutdown(socket.SHUT_WR)
        data = b""
        while True:
            more = connection.recv(100)
            if not more:
                break
            data += more
        got.append(data)
    origin.script = script
    stream = web_socket(client)
    r = client.streams[stream]
    client.wait(lambda: r.is_ended, "the end of the instance's side")
    client.ping()
    assert (r.body, r.reset) == (b"first", None)
    client.data(stream, b"hello ")
    client.data(stream, b"bye", end=True)
    wait_until(lambda: got)
    assert got == [b"hello bye"]
    client.ping()
    assert r.reset is None


@pytest.mark.parametrize("answer, status", [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 501),
    (b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
     b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n", 502),
    (b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", 403),
], ids=["not_upgraded", "wrong_accept", "refused"])
def test_a_web_socket_that_is_refused(client, origin, answer, status):
    origin.script = lambda c, *_: c.sendall(answer)
    assert client.response(web_socket(client)).status == status


# --- clients in use

def run(*words):
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)


def test_curl(stack):
    r = run("curl", "-s", "--http2-prior-knowledge", "-H", "host: hello", "-w", "%{http_version}",
            "--data-binary", "x" * 100000, "http://127.0.0.1:%d/echo" % stack.port)
    assert r.stdout == b"x" * 100000 + b"2"


@pytest.mark.skipif(not shutil.which("h2load"), reason="no h2load")
def test_h2load(stack):
    r = run("h2load", "-n", "2000", "-c", "4", "-m", "50", "-H", ":authority: hello",
            "http://127.0.0.1:%d/bytes/3000" % stack.port)
    assert b"2000 succeeded" in r.stdout, r.stdout.decode()


@pytest.mark.skipif(not shutil.which("nghttp"), reason="no nghttp")
def test_nghttp(stack):
    r = run("nghttp", "-ans", "-H", ":authority: hello",
            "http://127.0.0.1:%d/bytes/300000" % stack.port)
    assert b"  200 " in r.stdout, r.stdout.decode()


NODE = """
const http2 = require('http2');
const session = http2.connect(process.argv[1]);
const ask = (head, body) => new Promise((done, fail) => {
  const stream = session.request({':authority': 'hello', ...head});
  let status, got = Buffer.alloc(0);
  stream.on('response', h => status = h[':status']);
  stream.on('data', d => got = Buffer.concat([got, d]));
  stream.on('end', () => done([status, got.length]));
  stream.on('error', fail);
  stream.end(body);
});
const asks = [ask({':path': '/echo', ':method': 'POST'}, Buffer.alloc(500000))];
for (let i = 0; i < 50; i++) asks.push(ask({':path': '/bytes/' + i * 1000}));
Promise.all(asks).then(all => { console.log(JSON.stringify(all)); session.close(); });
"""


@pytest.mark.skipif(not shutil.which("node"), reason="no node")
def test_node(stack):
    r = run("node", "-e", NODE, "http://127.0.0.1:%d" % stack.port)
    assert json.loads(r.stdout) == [[200, 500000]] + [[200, i * 1000] for i in range(50)], r.stdout
