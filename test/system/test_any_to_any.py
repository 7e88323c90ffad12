"""Any client to any instance: what the activator promises for a request holds whatever carries it.
Each test runs for each protocol of clients and each of instances; a protocol more is an entry in
CLIENTS or INSTANCES."""
import base64
import json
import os
import signal

import pytest

from h2client import CONNECT_PROTOCOL, H2Client
from helpers import WAIT_S, free_port, wait_until
from stack import Client, Gate, TlsClient, running
from tls import Tls

APP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fakes", "app.py")


# --- clients

class Http1:
    """Each request has a connection of its own."""

    def __init__(self, connect):
        self.connect, self.open = connect, []

    def ask(self, host, path="/", method="GET", fields=(), body=None):
        c = self.connect()
        self.open.append(c)
        c.request(method, path, host, body, fields)
        return c

    @staticmethod
    def answer(c):
        return c.response()

    @staticmethod
    def cancel(c):
        c.close()

    def web_socket(self, host):
        c = self.ask(host, fields=[("Upgrade", "websocket"), ("Connection", "Upgrade"),
                                   ("Sec-WebSocket-Version", "13"),
                                   ("Sec-WebSocket-Key", base64.b64encode(bytes(16)).decode())])
        assert c.head()[0].startswith("HTTP/1.1 101")
        return c

    @staticmethod
    def send(c, data):
        c.sendall(data)

    @staticmethod
    def receive(c, n):
        return c.exactly(n)

    def close(self):
        for c in self.open:
            c.close()


class Http2:
    """All requests are streams of one connection."""

    def __init__(self, connect):
        self.c = connect()

    def ask(self, host, path="/", method="GET", fields=(), body=None):
        stream = self.c.request(path, host, method, [(n.lower(), v) for n, v in fields],
                                end=body is None)
        if body is not None:
            self.c.body(stream, body)
        return stream

    def answer(self, stream):
        r = self.c.response(stream)
        assert r.reset is None, r.reset
        return r.status, r.fields, r.body

    def cancel(self, stream):
        self.c.reset(stream)

    def web_socket(self, host):
        self.c.wait_settings()
        assert self.c.settings[CONNECT_PROTOCOL] == 1
        stream = self.c.head([(":method", "CONNECT"), (":protocol", "websocket"),
                              (":scheme", "http"), (":authority", host), (":path", "/"),
                              ("sec-websocket-version", "13")], end=False)
        self.c.wait(lambda: self.c.streams[stream].status is not None, "the answer")
        assert self.c.streams[stream].status == 200
        return stream

    def send(self, stream, data):
        self.c.data(stream, data)

    def receive(self, stream, n):
        r = self.c.streams[stream]
        self.c.wait(lambda: len(r.body) >= n, "bytes of the tunnel")
        data, r.body = r.body[:n], r.body[n:]
        return data

    def close(self):
        self.c.close()


def context_of(world, *protocols):
    c = world.tls_files.context()
    c.set_alpn_protocols(list(protocols))
    return c


CLIENTS = {
    "http1": lambda w: Http1(lambda: Client(w.port)),
    "h2c": lambda w: Http2(lambda: H2Client(w.port)),
    "tls-http1": lambda w: Http1(lambda: TlsClient(w.tls_port, context_of(w, "http/1.1"))),
    "tls-h2": lambda w: Http2(lambda: H2Client(w.tls_port, context=context_of(w, "h2"))),
}

# --- instances: keys of the revision, and more words of its command
def speaks(is_h2, is_tls):
    def make(tls):
        keys, words = [], []
        if is_h2:
            keys.append("protocol = h2c")
            words.append("h2")
        if is_tls:
            keys.append('upstream_tls = yes upstream_ca = "%s" upstream_name = "app.internal"' %
                        tls.ca)
            words += tls.issue("app", "app.internal")
        return " ".join(keys), words
    return make


INSTANCES = {"http1": speaks(False, False), "tls": speaks(False, True),
             "h2c": speaks(True, False), "tls-h2": speaks(True, True)}
# With container_concurrency an instance of HTTP/2 is not told that a client has left: it would hold
# the slot of what it may still be at work on.
HEARS_OF_LEAVING = {"http1", "tls"}

# --- the world: services of which each belongs to one test and one protocol of instances
SERVICES = (
    """
service "wake-{i}" {{ hosts = {{"wake-{i}"}} revision "v1" {{ {keys} {app} }} }}""",
    """
service "park-{i}" {{ hosts = {{"park-{i}"}} max_scale = 1 container_concurrency = 1
    scale_to_zero_grace = 10m
    revision "v1" {{ {keys} {park} }} }}""",
    """
service "pace-{i}" {{ hosts = {{"pace-{i}"}} min_scale = 2 max_scale = 2 target = 5
    scale_to_zero_grace = 10m
    revision "v1" {{ {keys} {pace} }} }}""",
    """
service "rule-{i}" {{ hosts = {{"rule-{i}"}}
    rule "robots" {{ paths = {{"/robots.txt"}} action = answer status = 200 body = "User-agent: *" }}
    rule "monitor" {{ header = "user-agent" contains = "uptime" action = serve_only }}
    revision "v1" {{ {keys} {app} }} }}""",
    """
service "page-{i}" {{ hosts = {{"page-{i}"}} waiting_page = "default"
    revision "v1" {{ {keys} {page} }} }}""",
    """
service "split-{i}" {{ hosts = {{"split-{i}"}} sticky = "cookie:sid" min_scale = 1
    traffic "v1" {{ percent = 50 }} traffic "v2" {{ percent = 50 tag = "next" }}
    revision "v1" {{ {keys} {app} }} revision "v2" {{ {keys} {other} }} }}""",
    """
service "tunnel-{i}" {{ hosts = {{"tunnel-{i}"}} revision "v1" {{ {keys} {app} }} }}""",
    """
service "leave-{i}" {{ hosts = {{"leave-{i}"}} max_scale = 1 container_concurrency = 1
    scale_to_zero_grace = 10m
    revision "v1" {{ {keys} {app} }} }}""")


def command(*words):
    return "command = {%s}" % ", ".join('"%s"' % w for w in words)


def services(folder, tls, only):
    text = ""
    for i, make in INSTANCES.items():
        keys, more = make(tls)
        words = ["/usr/bin/python3", APP, "v1", *more]
        gated = {name: "until [ -e %s/%s-%s ]; do sleep 0.02; done; exec %s" % (
            folder, name, i, " ".join(words)) for name in ("park", "page", "pace")}
        # One of two instances answers; the other never does.
        gated["pace"] = gated["pace"].replace(
            "exec ", "mkdir %s/first-%s || exec HELLO --never-listen; exec " % (folder, i))
        text += "".join(s for s in SERVICES if only in s).format(
            i=i, keys=keys, app=command(*words),
            other=command("/usr/bin/python3", APP, "v2", *more),
            **{name: command("sh", "-c", line) for name, line in gated.items()})
    return text


@pytest.fixture(scope="module", params=[
    pytest.param(name, marks=pytest.mark.xdist_group("any_to_any_" + name)) for name in CLIENTS])
def protocol(request):
    return request.param


def start(folder, only=""):
    """An activator with a plain listener and one for TLS.  only: a word that the services have."""
    tls, tls_port = Tls(folder), free_port()
    s = running(folder, services(folder, tls, only), tls=False,
                listen=', "127.0.0.1:%d tls"' % tls_port,
                activator=tls.certificate("test", "localhost"), autoscaler="max_instances = 100")
    return s, tls, tls_port


@pytest.fixture(scope="module")
def world(protocol, tmp_path_factory):
    s, tls, tls_port = start(tmp_path_factory.mktemp("any"))
    with s as stack:
        stack.tls_files, stack.tls_port = tls, tls_port
        yield stack


@pytest.fixture
def client(world, protocol):
    c = CLIENTS[protocol](world)
    yield c
    c.close()


@pytest.fixture(params=list(INSTANCES))
def instance(request):
    return request.param


def revision(world, what, service, name="v1"):
    return world.metric('activator_revision_%s{revision="%s/%s"}' % (what, service, name))


# --- the promises

def test_waking(client, instance):
    host = "wake-" + instance
    body = os.urandom(200000)
    asked = client.ask(host, method="POST", body=body)
    assert client.answer(asked)[::2] == (200, body)
    assert client.answer(client.ask(host))[::2] == (200, b"v1")


def test_parking_in_order(world, client, instance):
    host = "park-" + instance
    asked = []
    for i in range(10):
        asked.append(client.ask(host, fields=[("X-Id", "%d" % i)]))
        wait_until(lambda: revision(world, "parked", host) == len(asked))
    Gate(world.path, host).open()
    assert [client.answer(a)[0] for a in asked] == [200] * 10
    assert client.answer(client.ask(host, "/log"))[2] == b"0 1 2 3 4 5 6 7 8 9"


def test_pacing(world, client, instance):
    """An instance gets as many parked requests at once as are its target."""
    host = "pace-" + instance
    asked = [client.ask(host) for _ in range(40)]
    wait_until(lambda: revision(world, "parked", host) == 40)
    Gate(world.path, host).open()
    assert [client.answer(a)[0] for a in asked] == [200] * 40
    seen = json.loads(client.answer(client.ask(host, "/stats"))[2])
    assert seen["requests"] == 41 and seen["active_most"] <= 5


def test_rules(world, client, instance):
    host = "rule-" + instance
    status, _, body = client.answer(client.ask(host, "/robots.txt"))
    assert (status, body) == (200, b"User-agent: *")
    status, fields, _ = client.answer(client.ask(host, fields=[("User-Agent", "Uptime/1")]))
    names = {n.lower(): v for n, v in fields.items()}
    assert (status, names["x-activator-reason"]) == (503, "not_active")
    assert client.answer(client.ask(host))[::2] == (200, b"v1")


def test_the_waiting_page(world, client, instance):
    host = "page-" + instance
    navigation = [("Sec-Fetch-Mode", "navigate"), ("Accept", "text/html")]
    status, fields, body = client.answer(client.ask(host, fields=navigation))
    assert (status, fields["x-activator-reason"]) == (503, "waiting_page")
    assert b"<title>Starting page-" in body
    program = client.ask(host)  # it is parked
    Gate(world.path, host).open()
    assert client.answer(program)[::2] == (200, b"v1")
    assert client.answer(client.ask(host, fields=navigation))[::2] == (200, b"v1")


def test_tags_and_sticky_clients(client, instance):
    host = "split-" + instance
    assert {client.answer(client.ask("next-" + host))[2] for _ in range(4)} == {b"v2"}
    seen = {}
    for turn in range(2):
        for sid in range(20):
            got = client.answer(client.ask(host, fields=[("Cookie", "a=b; sid=%d" % sid)]))[2]
            assert seen.setdefault(sid, got) == got
    assert set(seen.values()) == {b"v1", b"v2"}


def test_a_tunnel(client, instance):
    tunnel = client.web_socket("tunnel-" + instance)
    for _ in range(3):
        client.send(tunnel, b"hello")
        assert client.receive(tunnel, 5) == b"HELLO"


def test_clients_that_leave(world, client, instance):
    """A request in flight and a parked one; the third gets the slot."""
    host = "leave-" + instance
    assert client.answer(client.ask(host))[0] == 200
    gate = Gate(world.path, "never-" + instance)
    first = client.ask(host, "/" + gate.query())
    wait_until(lambda: os.path.exists(gate.path + ".asked"))
    second = client.ask(host, "/second")
    wait_until(lambda: revision(world, "parked", host) == 1)
    third = client.ask(host, "/stats")
    wait_until(lambda: revision(world, "parked", host) == 2)
    client.cancel(second)
    wait_until(lambda: revision(world, "parked", host) == 1)
    client.cancel(first)
    if instance not in HEARS_OF_LEAVING:
        gate.open()
    seen = json.loads(client.answer(third)[2])
    assert (seen["requests"], seen["cancelled"], seen["active_most"]) == (
        3, instance in HEARS_OF_LEAVING, 1)


def test_a_drain(tmp_path, protocol, instance):
    """SIGTERM: what is in flight and what is parked is answered, and the process ends in order."""
    s, tls, tls_port = start(tmp_path, "leave-")
    with s as stack:
        stack.tls_files, stack.tls_port = tls, tls_port
        c, gate = CLIENTS[protocol](stack), Gate(tmp_path)
        host = "leave-" + instance
        flying = c.ask(host, "/" + gate.query())
        wait_until(lambda: revision(stack, "in_flight", host) == 1)
        parked = c.ask(host)
        wait_until(lambda: revision(stack, "parked", host) == 1)
        stack.activator.kill(signal.SIGTERM)
        wait_until(lambda: stack.readyz() == 503)
        gate.open()
        assert [c.answer(a)[::2] for a in (flying, parked)] == [(200, b"v1")] * 2
        c.close()
        assert stack.activator.process.wait(WAIT_S) == 0
