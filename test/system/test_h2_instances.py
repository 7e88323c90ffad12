"""Instances that speak HTTP/2 (protocol = h2c): the same requests as of HTTP/1.1, whatever the
client speaks; several on a connection; what an instance refuses, shrinks or breaks off."""
import contextlib
import os
import signal
import socket
import ssl
import threading

import pytest

from fakes.instance import FakeInstance
from h2_instances import (ask, fresh, fresh_instance, get, in_flight, origin,  # noqa: F401
                          stack)
from h2client import (CANCEL, INITIAL_WINDOW, INTERNAL_ERROR, MAX_STREAMS, PING, REFUSED_STREAM,
                      SETTINGS, H2Client)
from h2origin import H2Origin
from helpers import WAIT_S, settled, wait_until
from stack import running
from tls import Tls


# --- requests and responses

def test_a_request(ask, origin, stack):
    status, fields, body = ask("free", "/p?q", fields=[("x-a", "1"), ("te", "trailers")])
    assert (status, body) == (200, b"origin")
    sent = origin.requests[-1][2].fields
    assert (sent[":method"], sent[":path"], sent[":authority"], sent[":scheme"], sent["x-a"]) == (
        "GET", "/p?q", "free", "http", "1")
    assert not {"host", "connection", "transfer-encoding"} & set(sent)
    assert sent["x-forwarded-for"] == "127.0.0.1"


@pytest.mark.parametrize("n", [0, 1, 5, 100000, 3000000])
def test_bodies_both_ways(ask, origin, n):
    body = os.urandom(n)

    def echo(peer, stream):
        got = peer.streams[stream].body
        peer.head([(":status", "200"), ("content-length", str(len(got)))], not got, stream)
        if got:
            peer.body(stream, got)

    origin.on_end = echo
    assert ask("free", method="POST", body=body)[::2] == (200, body)
    assert origin.requests[-1][2].fields["content-length"] == str(n)


def test_a_body_beside_frames_on_an_idle_connection(stack, origin):
    """A request with a body takes the idle connection in the round in which frames of the instance
    have come there."""
    body = b"body of the client " * 100

    def echo(peer, stream):
        got = peer.streams[stream].body
        peer.answer(stream, got, fields=[("content-length", str(len(got)))])

    origin.on_end = echo
    assert stack.get("free", method="POST", body=body)[::2] == (200, body)
    peer = origin.requests[-1][0]
    with socket.create_connection(("127.0.0.1", stack.port)) as client:
        client.settimeout(WAIT_S)
        for _ in range(10):
            os.kill(stack.activator.pid, signal.SIGSTOP)
            client.sendall(b"POST / HTTP/1.1\r\nHost: free\r\nContent-Length: %d\r\n\r\n" % len(body)
                           + body)
            for i in range(300):
                peer.frame(PING, 0, 0, b"%8d" % i)
            os.kill(stack.activator.pid, signal.SIGCONT)
            got = b""
            while not got.endswith(b"client ") or b"\r\n\r\n" not in got:
                more = client.recv(65536)
                assert more, got
                got += more
            assert got.split(b"\r\n\r\n", 1)[1] == body


def test_a_response_without_a_length(ask, origin):
    def answer(peer, stream):
        peer.head([(":status", "200")], False, stream)
        peer.data(stream, b"first ")
        peer.data(stream, b"second", end=True)

    origin.on_end = answer
    assert ask("free")[::2] == (200, b"first second")


def test_statuses_without_a_body(ask, origin):
    for status in (204, 304):
        origin.on_end = lambda peer, stream: peer.answer(stream, b"", status)
        assert ask("free")[0] == status
    origin.on_end = lambda peer, stream: peer.answer(stream, b"", 200, [("content-length", "9")])
    status, fields, body = ask("free", method="HEAD")
    assert (status, fields["content-length"], body) == (200, "9", b"")


def test_many_requests_share_a_connection(ask, origin):
    for _ in range(20):
        assert ask("free")[0] == 200
    assert len({id(peer) for peer, _, _ in origin.requests}) == 1


def test_fields_that_may_be_large_or_repeated(ask, origin):
    big = [("x-big-%d" % i, "v" * 1000) for i in range(10)]
    origin.on_end = lambda peer, stream: peer.answer(
        stream, b"x", 200, [("set-cookie", "a=1"), ("set-cookie", "b=2"), *big])
    status, fields, _ = ask("free", fields=[("cookie", "a=1; b=2"), *big])
    assert status == 200 and fields["x-big-9"] == "v" * 1000
    sent = origin.requests[-1][2].fields
    assert sent["cookie"] == "a=1; b=2" and sent["x-big-9"] == "v" * 1000


def test_interim_responses(ask, origin, stack):
    def answer(peer, stream):
        for status in ("103", "103"):
            peer.head([(":status", status), ("link", "</a>")], False, stream)
        peer.answer(stream)

    origin.on_end = answer
    if ask.kind == "h2":
        with H2Client(stack.port) as c:
            r = c.get(host="free")
            assert [s for s, _ in r.interim] == [103, 103] and (r.status, r.body) == (200, b"origin")
        return
    with stack.connect() as c:
        c.request("GET", "/", "free")
        assert [c.response()[0] for _ in range(3)] == [103, 103, 200]


def test_trailers_of_a_response(stack, origin):
    origin.on_end = lambda peer, stream: peer.answer(stream, b"x", 200, (), [("x-sum", "7")])
    with H2Client(stack.port) as c:
        r = c.get(host="free", fields=[("te", "trailers")])
        assert (r.body, r.trailers) == (b"x", {"x-sum": "7"})
    with stack.connect() as c:
        c.request("GET", "/", "free", fields=[("TE", "trailers"), ("Connection", "TE, close")])
        while c.more():
            pass
        assert c.rest.endswith(b"0\r\nx-sum: 7\r\n\r\n")


def test_trailers_without_a_body(stack, origin):
    """As gRPC has them: a head and trailers, or one that is both."""
    origin.on_end = lambda peer, stream: peer.answer(stream, b"", 200, (), [("grpc-status", "5")])
    with H2Client(stack.port) as c:
        assert c.get(host="free", fields=[("te", "trailers")]).trailers == {"grpc-status": "5"}
        origin.on_end = lambda peer, stream: peer.answer(stream, b"", 200, [("grpc-status", "6")])
        r = c.get(host="free", fields=[("te", "trailers")])
        assert r.fields["grpc-status"] == "6" and "content-length" not in r.fields


def test_trailers_of_a_request(stack, origin):
    with stack.connect() as c:
        c.sendall(b"POST / HTTP/1.1\r\nHost: free\r\nTransfer-Encoding: chunked\r\n"
                  b"Trailer: x-sum\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n")
        assert c.response()[0] == 200
    _, _, r = origin.requests[-1]
    assert (r.body, r.trailers) == (b"abc", {"x-sum": "7"})


def test_both_sides_stream_at_once(stack, origin):
    """Each piece of the request is answered before the next one is sent."""
    def on_request(peer, stream):
        peer.head([(":status", "200")], False, stream)
        while not peer.streams[stream].is_ended:
            peer.pump()
            body, peer.streams[stream].body = peer.streams[stream].body, b""
            if body or peer.streams[stream].is_ended:
                peer.data(stream, body, peer.streams[stream].is_ended)

    origin.on_request, origin.on_end = on_request, lambda peer, stream: None
    with H2Client(stack.port) as c:
        stream = c.request(host="free", method="POST", end=False)
        for i in range(5):
            c.data(stream, b"%d" % i)
            c.wait(lambda: c.streams[stream].body == b"01234"[:i + 1], "the echo")
        c.data(stream, b"", end=True)
        assert c.response(stream).body == b"01234"
    with stack.connect() as c:
        c.sendall(b"POST / HTTP/1.1\r\nHost: free\r\nTransfer-Encoding: chunked\r\n\r\n")
        for i in range(5):
            c.sendall(b"1\r\n%d\r\n" % i)
            if i == 0:
                c.head()
            assert (c.line(), c.line()) == (b"1", b"%d" % i)
        c.sendall(b"0\r\n\r\n")
        assert c.line() == b"0"


# --- what an instance refuses

def test_a_refused_stream_is_sent_again(ask, origin, stack):
    before = stack.metric("activator_upstream_h2_refused_total")
    origin.on_end = lambda peer, stream: (
        peer.reset(stream, REFUSED_STREAM) if len(origin.requests) < 3 else peer.answer(stream))
    assert ask("free", method="POST")[::2] == (200, b"origin")
    assert len(origin.requests) == 3
    assert stack.metric("activator_upstream_h2_refused_total") == before + 2


def is_refused(ask, *args, **more):
    if ask.kind == "h2":
        with pytest.raises(ConnectionResetError, match="RST_STREAM %d" % REFUSED_STREAM):
            ask(*args, **more)
    else:
        status, fields, _ = ask(*args, **more)
        assert (status, fields["x-activator-reason"]) == (503, "upstream_refused")
        assert "retry-after" in fields


def test_a_stream_that_is_refused_for_ever(ask, origin):
    origin.on_end = lambda peer, stream: peer.reset(stream, REFUSED_STREAM)
    is_refused(ask, "two")
    assert len(origin.requests) == 3
    # No slot is lost.
    origin.forget()
    assert ask("two")[0] == 200


def test_a_refused_body_is_sent_again(ask, origin):
    """As long as it is small: a large one is not kept."""
    origin.on_end = lambda peer, stream: (
        peer.reset(stream, REFUSED_STREAM) if len(origin.requests) < 3 else peer.answer(stream))
    assert ask("two", method="POST", body=b"body")[::2] == (200, b"origin")
    assert [r.body for _, _, r in origin.requests] == [b"body"] * 3


def test_a_large_body_that_is_refused_is_not_sent_again(ask, origin):
    origin.on_end = lambda peer, stream: peer.reset(stream, REFUSED_STREAM)
    is_refused(ask, "two", method="POST", body=b"x" * 20000)
    assert len(origin.requests) == 1


def test_goaway(ask, origin):
    """The instance leaves: what it does not name goes to another connection."""
    origin.on_end = lambda peer, stream: (
        peer.goaway(0) if len(origin.requests) < 3 else peer.answer(stream))
    assert ask("free", method="POST")[::2] == (200, b"origin")
    assert len({id(peer) for peer, _, _ in origin.requests}) == 3


def test_goaway_with_streams_under_way(stack, origin):
    gate = threading.Event()

    def on_request(peer, stream):
        if len(origin.requests) == 2:
            peer.goaway(origin.requests[0][1])

    def on_end(peer, stream):
        if len(origin.requests) == 1:
            threading.Thread(target=lambda: (gate.wait(WAIT_S), peer.answer(stream, b"first")),
                             daemon=True).start()
        elif len(origin.requests) > 2:
            peer.answer(stream, b"second")

    origin.on_request, origin.on_end = on_request, on_end
    with H2Client(stack.port) as c:
        one = c.request(host="free")
        wait_until(lambda: len(origin.requests) == 1, what="the first request")
        two = c.request(host="free")
        assert c.response(two).body == b"second"
        gate.set()
        assert c.response(one).body == b"first"
    assert origin.requests[2][0] is not origin.requests[0][0]


@pytest.mark.parametrize("most", [1, 2])
@pytest.mark.parametrize("kind", ["h1", "h2"])
def test_an_instance_that_takes_few_streams_at_a_time(fresh_instance, kind, most):
    """It refuses what is above, and more connections are opened instead."""
    s, origin = fresh_instance(((MAX_STREAMS, most),))
    gate = threading.Event()

    def on_request(peer, stream):
        under_way = [i for i, r in peer.streams.items() if r.reset is None and not r.is_answered]
        if len(under_way) > most:
            peer.streams[stream].is_answered = True
            peer.reset(stream, REFUSED_STREAM)

    def answer(peer, stream):
        gate.wait(WAIT_S)
        peer.streams[stream].is_answered = True
        peer.answer(stream)

    origin.on_request = on_request
    origin.on_end = lambda peer, stream: peer.streams[stream].is_answered or threading.Thread(
        target=answer, args=(peer, stream), daemon=True).start()
    got = []
    threads = [threading.Thread(target=lambda: got.append(get(s, kind)[0])) for _ in range(8)]
    for t in threads:
        t.start()
    wait_until(lambda: sum(1 for _, _, r in origin.requests if not r.is_answered) == 8,
               what="the requests")
    gate.set()
    for t in threads:
        t.join()
    assert got == [200] * 8
    assert len({id(p) for p, _, r in origin.requests}) >= 8 // most


@pytest.mark.parametrize("kind", ["h1", "h2"])
def test_an_instance_that_takes_no_streams(fresh_instance, kind):
    s, origin = fresh_instance(((MAX_STREAMS, 0),), "container_concurrency = 1")
    origin.on_request = lambda peer, stream: peer.reset(stream, REFUSED_STREAM)
    origin.on_end = lambda peer, stream: None
    if kind == "h1":
        assert get(s, kind)[1]["x-activator-reason"] == "upstream_refused"
    else:
        with pytest.raises(ConnectionResetError):
            get(s, kind)


@pytest.mark.parametrize("kind", ["h1", "h2"])
def test_an_instance_that_never_says_settings(fresh_instance, kind):
    """What it says instead breaks the rules (RFC 9113 3.4)."""
    s, origin = fresh_instance(None)
    assert get(s, kind)[0] == 502
    assert "has broken off" in s.activator.text() and "reason=protocol" in s.activator.text()


@pytest.mark.parametrize("kind", ["h1", "h2"])
def test_an_instance_that_says_nothing(fresh_instance, kind):
    """Further requests wait for its SETTINGS for a part of connect_timeout."""
    s, origin = fresh_instance(None, "response_timeout = 2s connect_timeout = 500ms")
    origin.is_mute, origin.on_end = True, lambda peer, stream: None
    got = []
    threads = [threading.Thread(target=lambda: got.append(get(s, kind)[0])) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert got == [504] * 3


@pytest.mark.parametrize("kind", ["h1", "h2"])
def test_a_connection_that_goes_silent(fresh_instance, kind):
    """Without a limit, too, a PING finds that it is dead; requests that overlap do not keep it in
    use."""
    s, origin = fresh_instance(more="response_timeout = 300ms abort_timeout = 300ms")
    assert get(s, kind)[0] == 200
    dead = origin.peers[0]
    dead.frame = lambda *args: None
    origin.on_end = lambda peer, stream: peer is dead or peer.answer(stream)
    done, got = threading.Event(), []

    def ask_on():
        while not done.is_set():
            got.append(get(s, kind)[0])

    threads = [threading.Thread(target=ask_on) for _ in range(2)]
    for t in threads:
        t.start()
    try:
        wait_until(lambda: 200 in got, what="an answer on another connection")
    finally:
        done.set()
        for t in threads:
            t.join()
    assert "does not answer a PING" in s.activator.text()
    assert get(s, kind)[::2] == (200, b"origin")


@pytest.mark.parametrize("kind", ["h1", "h2"])
def test_an_instance_with_a_small_window(fresh_instance, kind):
    """It closes the window of a stream that is under way, and opens it byte by byte."""
    s, origin = fresh_instance(((INITIAL_WINDOW, 10),))
    body = os.urandom(3000)

    def on_request(peer, stream):
        peer.say_settings(((INITIAL_WINDOW, 0),))
        peer.takes = False
        while not peer.streams[stream].is_ended:
            peer.open_window(stream, 100)
            peer.pump()

    origin.on_request = on_request
    origin.on_end = lambda peer, stream: peer.answer(stream, peer.streams[stream].body)
    assert get(s, kind, method="POST", body=body)[::2] == (200, body)


# --- clients that leave

def leave_in_flight(s, kind, host, whole=True):
    """Send a request, and leave when leave() is called."""
    if kind == "h1":
        c = s.connect()
        c.sendall(b"POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 3\r\n\r\n%s" % (
            host.encode(), b"abc" if whole else b"a"))
        return c.close
    c = H2Client(s.port)
    stream = c.request(host=host, method="POST", end=False)
    c.data(stream, b"abc", end=whole)
    return lambda: (c.reset(stream), c.ping())


@pytest.mark.parametrize("kind", ["h1", "h2"])
def test_a_client_leaves_a_whole_request(fresh_instance, kind):
    """The slot is free when the response is complete, and nothing is reset."""
    s, origin = fresh_instance(more="container_concurrency = 1 abort_timeout = 10s")
    origin.on_end = lambda peer, stream: None
    leave = leave_in_flight(s, kind, "s")
    wait_until(lambda: origin.requests and origin.requests[-1][2].is_ended, what="the request")
    leave()
    got = []
    t = threading.Thread(target=lambda: got.append(get(s, kind)))
    t.start()
    wait_until(lambda: s.metric('activator_revision_parked{revision="s/v1"}') == 1,
               what="the second request to wait")
    assert len(origin.requests) == 1 and origin.requests[0][2].reset is None
    peer, stream, _ = origin.requests[0]
    origin.on_end = lambda peer, stream: peer.answer(stream)
    peer.head([(":status", "200")], False, stream)
    peer.body(stream, bytes(200000))  # thrown away, so that the window stays open
    t.join()
    assert got[0][::2] == (200, b"origin")
    assert len(origin.peers) == 1


@pytest.mark.parametrize("kind", ["h1", "h2"])
def test_a_client_leaves_half_a_request(fresh_instance, kind):
    """The stream is reset, and the slot is free once the instance has answered the PING."""
    s, origin = fresh_instance(more="container_concurrency = 1 abort_timeout = 60s")
    origin.on_request = lambda peer, stream: setattr(peer, "says_pong", False)
    origin.on_end = lambda peer, stream: None
    leave = leave_in_flight(s, kind, "s", whole=False)
    wait_until(lambda: origin.requests, what="the request")
    leave()
    peer, _, request = origin.requests[0]
    wait_until(lambda: request.reset == CANCEL and peer.pings, what="the reset")
    got = []
    t = threading.Thread(target=lambda: got.append(get(s, kind)))
    t.start()
    wait_until(lambda: s.metric('activator_revision_parked{revision="s/v1"}') == 1,
               what="the second request to wait")
    origin.on_request = lambda peer, stream: None
    origin.on_end = lambda peer, stream: peer.answer(stream)
    peer.pong_all()
    t.join()
    assert got[0][0] == 200 and len(origin.peers) == 1


@pytest.mark.parametrize("kind", ["h1", "h2"])
def test_an_instance_that_answers_no_ping(fresh_instance, kind):
    s, origin = fresh_instance(more="container_concurrency = 1 abort_timeout = 300ms")
    origin.on_request = lambda peer, stream: setattr(peer, "says_pong", False)
    origin.on_end = lambda peer, stream: None
    leave = leave_in_flight(s, kind, "s", whole=False)
    wait_until(lambda: origin.requests, what="the request")
    leave()
    origin.on_request = lambda peer, stream: None
    origin.on_end = lambda peer, stream: peer.answer(stream)
    assert get(s, kind)[0] == 200
    assert len(origin.peers) == 2  # the silent connection got no more
    wait_until(lambda: s.metric(
        'activator_upstream_h2_connections_ended_total{reason="silent"}') == 1, what="its end")
    assert "does not answer a PING" in s.activator.text()


@pytest.mark.parametrize("kind", ["h1", "h2"])
def test_without_a_limit_the_slot_is_not_kept(ask, origin, stack, kind):
    origin.on_end = lambda peer, stream: None
    leave = leave_in_flight(stack, kind, "free")
    wait_until(lambda: origin.requests, what="the request")
    leave()
    wait_until(lambda: origin.requests[0][2].reset == CANCEL, what="the reset")
    wait_until(lambda: in_flight(stack, "free") == 0, what="the slot")


# --- instances that break off

@pytest.mark.parametrize("kind", ["h1", "h2"])
def test_no_response_in_time(ask, origin, stack, kind):
    origin.on_end = lambda peer, stream: None
    status, fields, _ = get(stack, kind, "late")
    assert (status, fields["x-activator-reason"]) == (504, "response_timeout")
    wait_until(lambda: origin.requests[-1][2].reset == CANCEL, what="the reset")


def cut(stack, kind, host):
    """Whether the response was cut off, and not ended in order."""
    if kind == "h1":
        with stack.connect() as c:
            c.request("GET", "/", host)
            with pytest.raises((AssertionError, ConnectionResetError)):
                c.response()
        return
    with H2Client(stack.port) as c:
        assert c.response(c.request(host=host)).reset == INTERNAL_ERROR


@pytest.mark.parametrize("body", [b"", b"12345"], ids=["head", "body"])
@pytest.mark.parametrize("how", ["reset", "close", "silence", "reset at once", "garbage at once"])
@pytest.mark.parametrize("kind", ["h1", "h2"])
def test_a_response_breaks_off(stack, origin, kind, how, body):
    """At once: the activator reads what there is of the response and its end in one turn."""
    def respond(peer, stream):
        peer.head([(":status", "200"), ("content-length", "10")], False, stream)
        if body:
            peer.data(stream, body)
        if how.startswith("reset"):
            peer.reset(stream, INTERNAL_ERROR)
        elif how == "garbage at once":
            peer.frame(SETTINGS, 0, 1)  # RFC 9113 6.5: an error of the connection
        elif how == "close":
            peer.close()

    def on_end(peer, stream):
        with peer.together() if "at once" in how else contextlib.nullcontext():
            respond(peer, stream)

    origin.on_end = on_end
    cut(stack, kind, "stalled" if how == "silence" else "free")


@pytest.mark.parametrize("kind", ["h1", "h2"])
def test_a_connection_ends_before_the_response(fresh_instance, kind):
    """A request that may be repeated is; any other gets 502."""
    s, origin = fresh_instance()
    origin.on_end = lambda peer, stream: (
        peer.link.shutdown(2) if len(origin.requests) % 2 else peer.answer(stream))
    assert get(s, kind)[0] == 200
    assert len(origin.requests) == 2
    status, fields, _ = get(s, kind, method="POST", body=b"x")
    assert (status, fields["x-activator-reason"]) == (502, "upstream_failed")
    wait_until(lambda: s.metric(
        'activator_upstream_h2_connections_ended_total{reason="instance"}') == 2, what="the ends")
    assert "has broken off" in s.activator.text()


@pytest.mark.parametrize("kind", ["h1", "h2"])
@pytest.mark.parametrize("fields", [
    [(":status", "200"), ("Upper", "a")],
    [(":status", "200"), ("connection", "close")],
    [(":status", "101")],
    [(":status", "2000")],
    [("x", "no status")],
    [(":status", "200"), ("bad", "a\nb")],
    [(":status", "200"), ("content-length", "x")],
    [(":status", "200"), *(("x-%d" % i, "v") for i in range(200))],
    [(":status", "200"), ("x", "v" * 40000)],
], ids=lambda f: "%s %s" % (f[0][1], f[-1][0]))
def test_a_malformed_response(ask, origin, stack, kind, fields):
    origin.on_end = lambda peer, stream: peer.head(fields, True, stream)
    status, answer, _ = get(stack, kind, "two")
    assert (status, answer["x-activator-reason"]) == (502, "upstream_protocol")
    assert len(origin.requests) == 1
    origin.forget()
    assert get(stack, kind, "two")[0] == 200


@pytest.mark.parametrize("kind", ["h1", "h2"])
def test_an_instance_that_breaks_the_rules_of_the_connection(fresh_instance, kind):
    s, origin = fresh_instance()
    origin.on_end = lambda peer, stream: peer.frame(8, 0, 0, bytes(4))  # a window of 0 more
    assert get(s, kind)[0] == 502
    assert s.metric('activator_upstream_h2_connections_ended_total{reason="protocol"}') >= 1
    origin.forget()
    assert get(s, kind)[0] == 200


def test_a_flood_of_interim_heads(stack, origin):
    def on_end(peer, stream):
        for _ in range(100):
            peer.head([(":status", "103"), ("x", "v" * 1000)], False, stream)

    origin.on_end = on_end
    assert stack.get("free")[0] in (103, 502)
    origin.forget()
    assert stack.get("free")[0] == 200


# --- back-pressure

@pytest.mark.parametrize("kind", ["h1", "h2"])
def test_a_slow_client_holds_up_its_own_stream_alone(ask, origin, stack, kind):
    size = 16 << 20
    sent = [0]

    def on_end(peer, stream):
        if len(origin.requests) > 1:
            peer.answer(stream)
            return
        peer.head([(":status", "200"), ("content-length", str(size))], False, stream)
        threading.Thread(target=feed, args=(peer, stream), daemon=True).start()

    def feed(peer, stream):
        while sent[0] < size:
            room = min(peer.window, peer.streams[stream].window, 16384, size - sent[0])
            if room > 0:
                peer.window -= room
                peer.streams[stream].window -= room
                sent[0] += room
                peer.data(stream, bytes(room), sent[0] == size)
            elif done.wait(0.01):
                return

    origin.on_end, done = on_end, threading.Event()
    if kind == "h1":
        slow = stack.connect()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        slow.request("GET", "/", "free")
    else:
        slow = H2Client(stack.port, takes=False)
        stream = slow.request(host="free")
    wait_until(lambda: sent[0] > 0, what="the first bytes")
    stalled_at = settled(lambda: sent[0])
    assert stalled_at < size
    assert get(stack, kind, "free")[::2] == (200, b"origin")
    assert origin.requests[1][0] is origin.requests[0][0]  # the same connection
    if kind == "h1":
        assert len(slow.response()[2]) == size
    else:
        slow.takes = True
        slow.open_window(0, size)
        slow.open_window(stream, size)
        assert len(slow.response(stream).body) == size
    slow.close()
    done.set()


@pytest.mark.parametrize("kind", ["h1", "h2"])
def test_a_slow_instance_stops_its_client(fresh_instance, kind):
    s, origin = fresh_instance(((INITIAL_WINDOW, 65535),))
    body = os.urandom(4 << 20)

    def on_request(peer, stream):
        peer.takes = False

    origin.on_request = on_request
    origin.on_end = lambda peer, stream: peer.answer(
        stream, b"%d" % len(peer.streams[stream].body))
    got = []
    t = threading.Thread(target=lambda: got.append(get(s, kind, method="POST", body=body)))
    t.start()
    wait_until(lambda: origin.requests and len(origin.requests[0][2].body) >= 65535,
               what="the first bytes")
    assert settled(lambda: s.metric("activator_stream_bytes")) < 2 << 20
    peer, stream, _ = origin.requests[0]
    peer.takes = True
    peer.open_window(0, len(body))
    peer.open_window(stream, len(body))
    t.join()
    assert got[0][::2] == (200, b"%d" % len(body))


# --- real servers

def free_conf(port, more=""):
    return """
service "s" { hosts = {"s"} revision "v1" { addresses = {"127.0.0.1:%d"} protocol = h2c %s } }
""" % (port, more)


def test_a_cold_start_of_nghttpd(tmp_path):
    """A program that speaks HTTP/2 starts when requests come, and is stopped again."""
    (tmp_path / "page").write_text("from nghttpd\n")
    with running(tmp_path, """
service "s" { hosts = {"s"} revision "v1" { protocol = h2c max_scale = 2
    command = {"nghttpd", "--no-tls", "-d", "%s", "$PORT"} } }""" % tmp_path) as s:
        got = []
        threads = [threading.Thread(target=lambda k=k: got.append(get(s, k, path="/page")))
                   for k in ("h1", "h2") * 5]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert [(status, body) for status, _, body in got] == [(200, b"from nghttpd\n")] * 10
        wait_until(lambda: not s.instances(), what="the instance to be stopped")


def test_http2_by_tls(tmp_path):
    """With upstream_tls, h2 is asked for by ALPN; a server that does not choose it is not spoken
    to."""
    tls = Tls(tmp_path)
    contexts = []
    for protocols in (["h2"], ["http/1.1"], []):
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        c.load_cert_chain(*tls.issue("app%d" % len(contexts), "app.internal"))
        if protocols:
            c.set_alpn_protocols(protocols)
        contexts.append(c)
    origins = [H2Origin(context=c) for c in contexts]
    services = "".join("""
service "s%d" { hosts = {"s%d"} revision "v1" { addresses = {"127.0.0.1:%d"} protocol = h2c
    upstream_tls = yes upstream_ca = "%s" upstream_name = "app.internal" } }""" % (
        i, i, o.port, tls.ca) for i, o in enumerate(origins))
    with running(tmp_path, services) as s:
        for kind in ("h1", "h2"):
            assert get(s, kind, "s0")[::2] == (200, b"origin")
            assert origins[0].requests[-1][2].fields[":scheme"] == "https"
            for host in ("s1", "s2"):
                status, fields, body = get(s, kind, host)
                assert (status, fields["x-activator-reason"]) == (502, "upstream_failed")
                assert b"HTTP/2" in body or b"TLS" in body


def test_an_instance_that_speaks_http1(tmp_path):
    class Http1(FakeInstance):
        def serve(self, connection):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with running(tmp_path, free_conf(Http1().port)) as s:
        for kind in ("h1", "h2"):
            assert get(s, kind)[0] == 502
        assert "has broken off" in s.activator.text()


# --- the end of the activator

@pytest.mark.parametrize("kind", ["h1", "h2"])
def test_a_drain_waits_for_streams(fresh_instance, kind):
    s, origin = fresh_instance()
    gate = threading.Event()
    origin.on_end = lambda peer, stream: threading.Thread(
        target=lambda: (gate.wait(WAIT_S), peer.answer(stream)), daemon=True).start()
    got = []
    t = threading.Thread(target=lambda: got.append(get(s, kind)))
    t.start()
    wait_until(lambda: origin.requests, what="the request")
    s.activator.kill(signal.SIGTERM)
    wait_until(lambda: s.readyz() == 503, what="the drain")
    gate.set()
    t.join()
    assert got[0][::2] == (200, b"origin")
    assert s.activator.process.wait(WAIT_S) == 0
