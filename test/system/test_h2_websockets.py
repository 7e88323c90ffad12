"""WebSockets to instances that speak HTTP/2 (RFC 8441), and other Upgrades."""
import contextlib

import pytest

from h2_instances import (ask, fresh, fresh_instance, get, in_flight, origin,  # noqa: F401
                          stack)
from h2client import INTERNAL_ERROR, NO_ERROR, H2Client
from helpers import wait_until

KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 1.3


def tunnel_echo(peer, stream):
    """Accept an extended CONNECT, and echo what comes, to its end."""
    peer.head([(":status", "200"), ("sec-websocket-protocol", "chat")], False, stream)
    while not peer.streams[stream].is_ended:
        peer.pump()
        body, peer.streams[stream].body = peer.streams[stream].body, b""
        if body:
            peer.data(stream, body)
    peer.data(stream, b"bye", end=True)


@pytest.mark.parametrize("host", ["free", "one"])
def test_a_websocket_of_http1(stack, origin, host):
    origin.on_request, origin.on_end = tunnel_echo, lambda peer, stream: None
    with stack.connect() as c:
        c.request("GET", "/chat", host, fields=[
            ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", KEY),
            ("Sec-WebSocket-Version", "13")])
        line, fields = c.head()
        fields = {n.lower(): v for n, v in fields}
        assert line.split()[1] == "101"
        assert (fields["upgrade"], fields["connection"], fields["sec-websocket-accept"],
                fields["sec-websocket-protocol"]) == ("websocket", "Upgrade", ACCEPT, "chat")
        for text in (b"one", b"two" * 50000):
            c.sendall(text)
            assert c.exactly(len(text)) == text
        c.shutdown(1)
        assert c.exactly(3) == b"bye" and c.is_closed()
    sent = origin.requests[-1][2].fields
    assert (sent[":method"], sent[":protocol"], sent[":path"], sent["sec-websocket-version"]) == (
        "CONNECT", "websocket", "/chat", "13")
    assert not {"sec-websocket-key", "upgrade", "connection"} & set(sent)
    wait_until(lambda: in_flight(stack, host) == 0, what="the end of the request")
    origin.forget()
    assert stack.get(host)[0] == 200


@pytest.mark.parametrize("host", ["free", "one"])
def test_a_websocket_of_http2(stack, origin, host):
    origin.on_request, origin.on_end = tunnel_echo, lambda peer, stream: None
    with H2Client(stack.port) as c:
        c.wait_settings()
        stream = c.head([(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
                         (":path", "/"), (":authority", host), ("sec-websocket-version", "13")],
                        end=False)
        c.wait(lambda: c.streams[stream].status == 200, "the tunnel")
        assert "sec-websocket-accept" not in c.streams[stream].fields
        c.data(stream, b"abc")
        c.wait(lambda: c.streams[stream].body == b"abc", "the echo")
        c.data(stream, b"", end=True)
        assert c.response(stream).body == b"abcbye"
    wait_until(lambda: in_flight(stack, host) == 0, what="the end of the request")
    origin.forget()
    assert stack.get(host)[0] == 200


def websocket(s, kind, host="s"):
    """The status of the answer to a WebSocket's opening."""
    if kind == "h1":
        with s.connect() as c:
            c.request("GET", "/", host, fields=[
                ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", KEY),
                ("Sec-WebSocket-Version", "13")])
            return c.response()[0]
    with H2Client(s.port) as c:
        c.wait_settings()
        return c.response(c.head(
            [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
             (":path", "/"), (":authority", host)], end=False)).status


@pytest.mark.parametrize("kind", ["h1", "h2"])
def test_an_instance_without_websockets(fresh_instance, kind):
    s, origin = fresh_instance((), "container_concurrency = 1")
    for _ in range(3):
        assert websocket(s, kind) == 501
    assert not origin.requests
    assert get(s, kind)[0] == 200


@pytest.mark.parametrize("kind", ["h1", "h2"])
def test_a_refused_websocket(ask, origin, stack, kind):
    origin.on_request = lambda peer, stream: peer.answer(stream, b"no", 403)
    origin.on_end = lambda peer, stream: None
    assert websocket(stack, kind, "one") == 403
    origin.forget()
    assert stack.get("one")[0] == 200


def test_another_upgrade_is_left_out(stack, origin):
    with stack.connect() as c:
        c.request("GET", "/", "free", fields=[("Connection", "Upgrade"), ("Upgrade", "irc")])
        assert c.response()[0] == 200
    assert "upgrade" not in origin.requests[-1][2].fields


@pytest.mark.parametrize("is_at_once", [False, True])
def test_the_instance_breaks_off_a_tunnel(stack, origin, is_at_once):
    def on_request(peer, stream):
        with peer.together() if is_at_once else contextlib.nullcontext():
            peer.head([(":status", "200")], False, stream)
            peer.data(stream, b"x")
            peer.reset(stream, INTERNAL_ERROR)

    origin.on_request, origin.on_end = on_request, lambda peer, stream: None
    with stack.connect() as c:
        c.request("GET", "/", "one", fields=[
            ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", KEY)])
        c.head()
        with contextlib.suppress(ConnectionResetError):
            while c.more():
                pass
    wait_until(lambda: in_flight(stack, "one") == 0, what="the end of the request")
    origin.forget()
    assert stack.get("one")[0] == 200


def test_the_instance_closes_a_tunnel_in_order(stack, origin):
    """A client of HTTP/2 that sends on is told to stop, by a reset that says no error."""
    def on_request(peer, stream):
        peer.head([(":status", "200")], False, stream)
        peer.data(stream, b"bye", end=True)
        peer.reset(stream, NO_ERROR)

    origin.on_request, origin.on_end = on_request, lambda peer, stream: None
    with H2Client(stack.port) as c:
        c.wait_settings()
        stream = c.head([(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
                         (":path", "/"), (":authority", "one")], end=False)
        c.wait(lambda: c.streams[stream].reset is not None, "the reset")
        assert (c.streams[stream].body, c.streams[stream].is_ended) == (b"bye", True)
        assert c.streams[stream].reset == NO_ERROR
    wait_until(lambda: in_flight(stack, "one") == 0, what="the end of the request")
    origin.forget()
    assert stack.get("one")[0] == 200
