"""What a program may rely on in Knative, done by the activator, by HTTP/1.1 and HTTP/2: probes,
fields, and the time limits of a revision.  (golden/knative.txt has it byte by byte.)"""
import socket
import threading

import pytest

from fakes.echo import Echo, fields_of, name_of
from h2client import CONNECT_PROTOCOL, H2Client
from h2origin import H2Origin
from helpers import WAIT_S, free_port, wait_until
from stack import Gate, running

SERVICES = """
service "kn" { hosts = {"kn"} knative_headers = yes knative_tag_header = yes
    upstream_idle_timeout = 0
    traffic "v1" { percent = 100 } traffic "v2" { percent = 0 tag = "next" }
    revision "v1" { addresses = {"127.0.0.1:ONE"} }
    revision "v2" { addresses = {"127.0.0.1:TWO"} } }
service "inside" { hosts = {"inside"} visibility = "local" knative_headers = yes
    revision "v1" { addresses = {"127.0.0.1:ONE"} } }
service "asleep" { hosts = {"asleep"} knative_headers = yes revision "v1" { command = {"HELLO"} } }
service "h2c" { hosts = {"h2c"} knative_headers = yes tunnel_max_lifetime = 500ms
    revision "v1" { addresses = {"127.0.0.1:H2C"} protocol = h2c } }
service "slow" { hosts = {"slow"} knative_headers = yes response_start_timeout = 1s
    activation_timeout = 300s revision "v1" { START } }
service "begun" { hosts = {"begun"} response_start_timeout = 500ms
    revision "v1" { addresses = {"127.0.0.1:BEGUN"} } }
"""


class Begun:
    """Sends a head and a part of the body at once, the rest when the gate is open."""

    def __init__(self, port):
        self.gate = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                fd, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(fd,), daemon=True).start()

    def serve(self, fd):
        with fd:
            data = b""
            while not data.endswith(b"\r\n\r\n"):
                more = fd.recv(65536)
                if not more:
                    return
                data += more
            fd.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
            self.gate.wait(WAIT_S)
            fd.sendall(b"def")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contract")
    ports = [free_port() for _ in range(4)]
    gate = Gate(folder)
    origin = H2Origin(((CONNECT_PROTOCOL, 1),))
    begun = Begun(ports[2])
    text = SERVICES.replace("START", gate.command())
    for name, port in zip(("ONE", "TWO", "BEGUN", "H2C"), ports[:3] + [origin.port]):
        text = text.replace(name, str(port))
    with Echo("one", ("127.0.0.1", ports[0])), Echo("two", ("127.0.0.1", ports[1])), running(
            folder, text, listen=', "127.0.0.1:%d local"' % ports[3]) as s:
        s.origin, s.begun = origin, begun
        yield s
        gate.open()


@pytest.fixture(params=["h1", "h2"])
def ask(request, world):
    def by(host, *fields):
        if request.param == "h2":
            return world.get_by_h2(host, "/", WAIT_S, "GET", None, fields)
        return world.get(host, fields=fields)
    by.kind = request.param
    return by


def test_tags_and_inner_fields(ask):
    answer = ask("kn", ("K-Proxy-Request", "activator"), ("K-Original-Host", "x"),
                 ("Knative-Serving-Revision", "r"), ("Knative-Serving-Namespace", "n"),
                 ("Knative-Serving-Default-Route", "false"), ("X-Other", "y"))
    seen = fields_of(answer)
    assert name_of(answer) == "one"
    assert [n for n in seen if n.startswith("k")] == ["knative-serving-default-route"]
    assert (seen["knative-serving-default-route"], seen["x-other"]) == ("true", "y")
    assert 'host="kn"' in seen["forwarded"]
    answer = ask("kn", ("Knative-Serving-Tag", "next"))
    assert name_of(answer) == "two"
    assert fields_of(answer)["knative-serving-tag"] == "next"
    assert "knative-serving-default-route" not in fields_of(answer)
    answer = ask("kn", ("Knative-Serving-Tag", "none"))
    assert name_of(answer) == "one"
    assert fields_of(answer)["knative-serving-default-route"] == "true"
    answer = ask("next-kn", ("Knative-Serving-Tag", "other"))
    assert name_of(answer) == "two"
    assert fields_of(answer)["knative-serving-tag"] == "next"


def test_probes_wake_nothing_and_count_nowhere(world, ask):
    before = world.metrics()
    status, fields, body = ask("asleep", ("K-Network-Probe", "probe"), ("K-Network-Hash", "a1"))
    assert (status, fields["k-network-hash"], body) == (200, "a1", b"")
    assert ask("asleep", ("K-Network-Probe", "probe"))[0] == 400
    assert ask("asleep", ("K-Network-Probe", "queue"))[0] == 503
    assert ask("asleep", ("K-Network-Probe", "activator"))[::2] == (200, b"activator")
    assert ask("asleep", ("K-Network-Probe", "x"))[0] == 400
    assert ask("asleep", ("User-Agent", "kube-probe/1.34"))[0] == 200
    assert ask("kn", ("K-Network-Probe", "queue"))[::2] == (200, b"queue")
    assert ask("nowhere", ("K-Network-Probe", "probe"), ("K-Network-Hash", "a1"))[0] == 404
    assert ask("inside", ("K-Network-Probe", "probe"), ("K-Network-Hash", "a1"))[0] == 404
    after = world.metrics()
    probes = 'activator_requests_total{outcome="probe"}'
    assert after[probes] - before[probes] == 7
    for name in before:
        if name.startswith(("activator_request_duration", "activator_revision")) and (
                'revision="asleep/v1"' in name):
            assert after[name] == before[name], name
    assert world.scaled_status("asleep/v1")["wanted"] == 0




def test_a_response_that_has_begun_is_not_ended(world):
    with world.connect() as c:
        c.request("GET", "/", "begun")
        c.head()
        assert c.exactly(3) == b"abc"
        with pytest.raises(TimeoutError):  # response_start_timeout passes
            c.settimeout(1)
            c.recv(1)
        c.settimeout(WAIT_S)
        world.begun.gate.set()
        assert c.exactly(3) == b"def"


def test_a_start_that_takes_too_long(world, ask):
    """The wait counts; activation_timeout is longer."""
    status, fields, body = ask("slow")
    assert (status, fields["x-activator-reason"]) == (504, "activation_timeout")
    assert body == (b"activation_timeout: the response did not begin in time: "
                    b"response_start_timeout is over\n")
    assert "retry-after" in fields


def echo_for_ever(peer, stream):
    peer.head([(":status", "200")], False, stream)
    while not peer.streams[stream].is_ended:
        peer.pump()
        body, peer.streams[stream].body = peer.streams[stream].body, b""
        if body:
            peer.data(stream, body)


def test_a_busy_websocket_ends(world):
    world.origin.on_request, world.origin.on_end = echo_for_ever, lambda peer, stream: None
    with world.connect() as c:
        c.request("GET", "/", "h2c", fields=[
            ("Connection", "Upgrade"), ("Upgrade", "websocket"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Version", "13")])
        assert c.head()[0].split()[1] == "101"

        def is_over():
            try:
                c.sendall(b"x")
                return c.recv(1) == b""
            except ConnectionError:
                return True
        wait_until(is_over, what="the end of the tunnel")


def test_a_busy_websocket_of_http2_ends(world):
    world.origin.on_request, world.origin.on_end = echo_for_ever, lambda peer, stream: None
    with H2Client(world.port) as c:
        c.wait_settings()
        stream = c.head([(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
                         (":path", "/"), (":authority", "h2c"), ("sec-websocket-version", "13")],
                        end=False)
        c.wait(lambda: c.streams[stream].status == 200, "the tunnel")
        s = c.streams[stream]

        def is_over():
            if not s.is_ended and s.reset is None:
                c.data(stream, b"x")
                n = len(s.body)
                c.wait(lambda: len(s.body) > n or s.is_ended or s.reset is not None, "an echo")
            return s.is_ended or s.reset is not None
        wait_until(is_over, what="the end of the tunnel")
