"""Each bound on HTTP/2 from clients: it is announced, counted, and hit."""
import struct

import pytest

from fakes.instance import FakeInstance, read_head
from h2client import (CALM, DATA, INITIAL_WINDOW, MAX_STREAMS,
                      PING, PRIORITY, PROTOCOL_ERROR, SETTINGS, WINDOW_UPDATE, H2Client)
from helpers import wait_until
from stack import running

MAX_HEADER_LIST = 6
GLITCHES = "activator_h2_glitches_total"
SERVICES = """
service "hello" { hosts = {"hello"} min_scale = 1 revision "v1" { command = {"HELLO"} } }
service "silent" { hosts = {"silent"} revision "v1" { addresses = {"127.0.0.1:ORIGIN"} } }
service "parked" { hosts = {"parked"} max_scale = 1
    revision "v1" { command = {"HELLO", "--never-listen"} } }
"""


class Silent(FakeInstance):
    """Reads and never answers."""

    def serve(self, connection):
        read_head(connection)
        while connection.recv(65536):
            pass


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with running(tmp_path_factory.mktemp("h2_bounds"),
                 SERVICES.replace("ORIGIN", str(Silent().port)), tls=False,
                 activator="h2_glitches = 10 h2_glitch_rate = 0 h2_streams = 8 h2_window = 2KiB "
                 "h2_stream_window = 8KiB h2_header_list = 4KiB max_fields = 8 "
                 "max_head = 2KiB") as s:
        assert s.get("hello")[0] == 200
        yield s


def ended(stack, reason):
    return stack.metric('activator_h2_connections_ended_total{reason="%s"}' % reason)


# --- glitches

def post(c, host="silent", fields=()):
    return c.request("/", host, "POST", fields, end=False)


def reset(c, stream):
    c.wait(lambda: c.streams[stream].reset is not None, "RST_STREAM")


def malformed_head(c):
    reset(c, c.request(fields=[("connection", "x")]))


def hosts_that_differ(c):
    reset(c, c.request(fields=[("host", "other")]))


def large_head(c):
    reset(c, c.request(fields=[("x-%d" % i, "y" * 1000) for i in range(5)]))


def malformed_trailers(c):
    stream = post(c)
    c.head([("connection", "x")], stream=stream)
    reset(c, stream)


def large_trailers(c):
    stream = post(c)
    c.head([("x-%d" % i, "y" * 1000) for i in range(3)], stream=stream)
    reset(c, stream)


def larger_trailers(c):
    stream = post(c)
    c.head([("x-%d" % i, "y" * 1000) for i in range(5)], stream=stream)
    reset(c, stream)


def trailers_that_end_nothing(c):
    stream = post(c)
    c.head([("x-a", "1")], stream=stream, end=False)
    reset(c, stream)


def long_body(c):
    stream = post(c, fields=[("content-length", "1")])
    c.data(stream, b"12")
    reset(c, stream)


def short_body(c):
    stream = post(c, fields=[("content-length", "3")])
    c.data(stream, b"12", end=True)
    reset(c, stream)


def body_beyond_its_window(c):
    stream = post(c, "parked")
    c.data(stream, bytes(2049))
    reset(c, stream)


def window_beyond_its_bound(c):
    stream = post(c)
    c.open_window(stream, 0x7fffffff)
    reset(c, stream)


def empty_data(c):
    c.data(post(c), b"")


def data_of_padding(c):
    c.frame(DATA, 8, post(c), b"\x02\0\0")


def frame(*words):
    return lambda c: c.frame(*words)


@pytest.mark.xdist_group("h2_bounds")
@pytest.mark.parametrize("send", [
    malformed_head, hosts_that_differ, large_head, malformed_trailers, large_trailers,
    larger_trailers, trailers_that_end_nothing, long_body, short_body, body_beyond_its_window,
    window_beyond_its_bound, empty_data, data_of_padding,
    pytest.param(frame(PING, 0, 0, bytes(8)), id="ping"),
    pytest.param(frame(PING, 1, 0, bytes(8)), id="answer_to_no_ping"),
    pytest.param(frame(SETTINGS), id="settings"),
    pytest.param(frame(PRIORITY, 0, 1, bytes(5)), id="priority"),
    pytest.param(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)), id="small_window_update"),
    pytest.param(frame(77, 0, 0, b"x"), id="unknown"),
])
def test_each_glitch_counts_once(stack, send):
    with H2Client(stack.port) as c:
        c.wait_settings()
        c.ping()  # counts, as the first SETTINGS do
        before = stack.metric(GLITCHES)
        send(c)
        c.ping()
        assert stack.metric(GLITCHES) == before + 2
        assert not c.goaways


@pytest.mark.xdist_group("h2_bounds")
def test_the_budget_of_glitches(stack):
    before, all_before = ended(stack, "glitches"), stack.metric(GLITCHES)
    with H2Client(stack.port) as c:  # its SETTINGS are the first
        for _ in range(9):
            c.ping()
        assert not c.goaways
        c.frame(PING, 0, 0, bytes(8))
        assert c.end() == CALM
    wait_until(lambda: ended(stack, "glitches") == before + 1)
    assert stack.metric(GLITCHES) == all_before + 11
    with H2Client(stack.port, takes=False) as c:  # each frame of a response earns one back
        for _ in range(30):
            c.ping()
            c.get("/bytes/10")
        assert not c.goaways


@pytest.mark.xdist_group("h2_bounds")
def test_glitches_come_back_with_time(tmp_path):
    with running(tmp_path, SERVICES.replace("ORIGIN", "1"), tls=False,
                 activator="h2_glitches = 100 h2_glitch_rate = 1000000") as s:
        with H2Client(s.port) as c:
            while s.metric(GLITCHES) < 300:
                c.ping()
            assert not c.goaways


# --- streams, windows, heads

@pytest.mark.xdist_group("h2_bounds")
def test_what_is_announced(stack):
    with H2Client(stack.port) as c:
        c.wait_settings()
        assert (c.settings[MAX_STREAMS], c.settings[INITIAL_WINDOW],
                c.settings[MAX_HEADER_LIST]) == (8, 2048, 4096)


@pytest.mark.xdist_group("h2_bounds")
def test_what_is_announced_by_default(tmp_path):
    with running(tmp_path, SERVICES.replace("ORIGIN", "1"), tls=False) as s:
        with H2Client(s.port) as c:
            c.wait_settings()
            assert (c.settings[MAX_STREAMS], c.settings[INITIAL_WINDOW],
                    c.settings[MAX_HEADER_LIST]) == (250, 16 << 10, 64 << 10)


@pytest.mark.xdist_group("h2_bounds")
def test_streams_at_once(stack):
    before = ended(stack, "protocol")
    with H2Client(stack.port) as c:
        c.wait_settings()
        c.ping()
        for _ in range(9):
            post(c)
        assert c.end() == PROTOCOL_ERROR
    wait_until(lambda: ended(stack, "protocol") == before + 1)


@pytest.mark.xdist_group("h2_bounds")
def test_windows(stack):
    with H2Client(stack.port) as c:
        c.wait_settings()
        waits, asked = post(c, "parked"), post(c, "silent")
        c.streams[waits].window = c.streams[asked].window = 2048
        c.wait(lambda: c.streams[asked].window == 8192, "the window of a request with a slot")
        c.data(waits, bytes(2048))
        c.ping()
        assert c.streams[waits].window == 2048  # none was opened: the body waits at the client


@pytest.mark.xdist_group("h2_bounds")
def test_heads(stack):
    with H2Client(stack.port) as c:
        assert c.get(fields=[("x-a", "y" * 1500)]).status == 200
        r = c.get(fields=[("x-a", "y" * 2100)])
        assert (r.status, r.fields["x-activator-reason"]) == (431, "head_too_large")
        r = c.get(fields=[("x-%d" % i, "y") for i in range(9)])
        assert (r.status, r.fields["x-activator-reason"]) == (431, "head_too_large")
        assert c.get(fields=[("x-a", "y" * 4100)]).reset == CALM
        assert c.get().status == 200
        before = ended(stack, "flood")
        c.request(fields=[("x-%d" % i, "y" * 4000) for i in range(3)])
        assert c.end() == CALM
    wait_until(lambda: ended(stack, "flood") == before + 1)


# --- memory and time

@pytest.mark.xdist_group("h2_bounds")
def test_connections_beyond_the_memory_for_them(tmp_path):
    with running(tmp_path, SERVICES.replace("ORIGIN", "1"), tls=False, workers=1,
                 activator="max_stream_bytes = 64KiB") as s:
        kept = [H2Client(s.port) for _ in range(6)]
        for c in kept:
            c.ping()
        with H2Client(s.port) as c:
            assert c.end() == CALM
        wait_until(lambda: ended(s, "memory") == 1)
        assert kept[0].get().status == 200
        kept.pop().close()
        wait_until(lambda: s.metric("activator_h2_connections") == 5)
        with H2Client(s.port) as c:
            assert c.get().status == 200
        for c in kept:
            c.close()


@pytest.mark.xdist_group("h2_bounds")
def test_clients_that_stall(tmp_path):
    """A client that does not read what it has asked for, one whose body stops, and one that sends
    no request: each ends by time, and harms no other."""
    with running(tmp_path, SERVICES.replace("ORIGIN", str(Silent().port)), tls=False,
                 activator="body_timeout = 300ms head_timeout = 300ms") as s:
        with H2Client(s.port, settings=[(INITIAL_WINDOW, 0x7fffffff)]) as deaf:
            deaf.open_window(0, 0x7fff0000 - 65535)
            deaf.request("/bytes/100000000")
            wait_until(lambda: ended(s, "stalled") == 1, what="the end of a client that is deaf")
        with H2Client(s.port) as stopped:
            stream = post(stopped)
            stopped.data(stream, b"x")
            r = stopped.response(stream)
            assert r.status == 408 or r.reset is not None
            assert stopped.get().status == 200
        with H2Client(s.port) as idle:
            assert idle.end() == CALM
        wait_until(lambda: ended(s, "stalled") == 2)
        with H2Client(s.port) as c:
            assert c.get().status == 200
