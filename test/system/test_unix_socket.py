"""An activator that listens on a Unix socket: who may connect, what instances hear of clients that
have no address, and whose socket it is."""
import os
import socket
import stat

import pytest

from fakes.echo import Echo, fields_of
from helpers import WAIT_S, free_port, wait_until
from stack import Client, Program, Stack

SERVICE = 'service "s" { hosts = {"s.x"} revision "v1" { addresses = {%s} } %s }'


class UnixClient(Client):
    def __init__(self, path):
        socket.socket.__init__(self, socket.AF_UNIX, socket.SOCK_STREAM)
        self.settimeout(WAIT_S)
        self.connect(path)
        self.rest = b""


class Listening(Stack):
    """An activator at a Unix socket, beside its port."""

    def __init__(self, path, services, activator=""):
        super().__init__(path, services, activator)
        self.at = self.path + "/http"
        with open(self.conf) as f:
            text = f.read()
        with open(self.conf, "w") as f:
            f.write(text.replace("listen = {", 'listen = {"unix:%s", ' % self.at, 1))

    def ask(self, host, fields=()):
        with UnixClient(self.at) as c:
            c.request("GET", "/", host, None, list(fields) + [("Connection", "close")])
            return c.response()


@pytest.fixture
def app(tmp_path):
    port = free_port()
    with Echo("app", ("127.0.0.1", port)):
        yield '"127.0.0.1:%d"' % port


@pytest.fixture
def listening(tmp_path, app):
    stacks = []

    def start(activator="", service=""):
        s = Listening(tmp_path, SERVICE % (app, service), activator)
        stacks.append(s)
        return s.start()

    yield start
    for s in stacks:
        s.stop()


SENT = [("X-Forwarded-For", "192.0.2.7"), ("X-Forwarded-Proto", "https"),
        ("Forwarded", "for=192.0.2.7")]


def test_clients_of_a_unix_socket_are_served_by_all_workers(listening):
    s = listening("connections_per_client = 1")
    clients = [UnixClient(s.at) for _ in range(20)]  # no address, so no limit for an address
    for c in clients:
        c.request("GET", "/", "s.x")
        c.response()
    assert s.get("s.x")[0] == 200  # the port is served, too
    for c in clients:
        c.close()


def test_what_the_instance_hears_of_a_client_without_address(listening):
    fields = fields_of(listening().ask("s.x", SENT))
    assert "x-forwarded-for" not in fields
    assert fields["x-forwarded-proto"] == "http"
    assert fields["forwarded"] == 'for=unknown;host="s.x";proto=http'


def test_what_a_trusted_proxy_at_a_unix_socket_says_is_kept(listening):
    s = listening('trusted_proxies = {"unix:"}',
                  'rule "r" { clients = {"192.0.2.0/24"} action = answer status = 403 }')
    fields = fields_of(s.ask("s.x", [("X-Forwarded-For", "198.51.100.1"), *SENT[1:]]))
    assert fields["x-forwarded-for"] == "198.51.100.1"
    assert fields["x-forwarded-proto"] == "https"
    assert fields["forwarded"] == 'for=192.0.2.7, for=unknown;host="s.x";proto=http'
    assert s.ask("s.x", SENT)[0] == 403  # rules see the client that the proxy names


def test_rules_may_name_clients_of_unix_sockets(listening):
    s = listening("", 'rule "r" { clients = {"unix:"} action = answer status = 403 }')
    assert s.ask("s.x")[0] == 403
    assert s.get("s.x")[0] == 200


@pytest.mark.parametrize("mode", ["", "0600"])
def test_the_socket_has_its_mode_and_goes_with_the_activator(listening, mode):
    s = listening(mode and 'listen_mode = "%s"' % mode)
    assert stat.S_IMODE(os.stat(s.at).st_mode) == int(mode or "0666", 8)
    assert s.activator.stop() == 0
    assert not os.path.exists(s.at)


def test_a_stale_socket_is_replaced_and_a_served_one_is_not(listening):
    s = listening()
    s.activator.kill()
    assert os.path.exists(s.at)
    s.start_activator()
    s.wait_ready()
    assert s.ask("s.x")[0] == 200
    second = Program("activator", second_conf(s), s.path + "/second.log")
    assert second.process.wait(WAIT_S) != 0
    assert "cannot listen at %s: another process listens there" % s.at in second.text()
    assert s.ask("s.x")[0] == 200


def second_conf(s):
    """The conf file of another activator, which has the Unix socket of the first alone."""
    with open(s.conf) as f:
        text = f.read()
    for port in s.port, s.admin:
        text = text.replace(":%d" % port, ":%d" % free_port())
    with open(s.path + "/second.conf", "w") as f:
        f.write(text)
    return f.name


def test_the_socket_of_a_successor_stays(listening):
    """A drain may last: another activator takes the path meanwhile."""
    s = listening("drain_timeout = 1h")
    with s.connect() as c:
        c.request("GET", "/", "s.x")
        c.response()
        tunnel = UnixClient(s.at)
        tunnel.sendall(b"POST / HTTP/1.1\r\nHost: s.x\r\nContent-Length: 1\r\n\r\n")
        s.activator.process.terminate()

        def refused():
            try:
                UnixClient(s.at).close()
            except ConnectionRefusedError:
                return True
            return False
        wait_until(refused, what="the socket to be closed")
        os.unlink(s.at)
        with Echo("successor", s.at):
            tunnel.sendall(b"x")
            tunnel.response()
            tunnel.close()
            assert s.activator.process.wait(WAIT_S) == 0
            with UnixClient(s.at) as successor:
                successor.request("GET", "/", "s.x")
                assert successor.response()[2].startswith(b"successor")
