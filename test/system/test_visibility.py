"""Services with visibility = local are served at the addresses with the word local alone."""
import signal

import pytest

from fakes.echo import Echo, name_of
from helpers import free_port, wait_until
from stack import Client, Stack

SERVICES = """
service "inner" { hosts = {"inner.x"} visibility = local
    traffic "v1" { percent = 100 } traffic "v2" { tag = "next" percent = 0 }
    revision "v1" { addresses = {"127.0.0.1:%d"} } revision "v2" { addresses = {"127.0.0.1:%d"} } }
service "admin" { hosts = {"outer.x"} paths = {"/admin"} visibility = local
    revision "v1" { addresses = {"127.0.0.1:%d"} } }
service "outer" { hosts = {"outer.x", "*"} revision "v1" { addresses = {"127.0.0.1:%d"} } }
"""


class Listening(Stack):
    def __init__(self, path, services):
        self.local = free_port()
        super().__init__(path, services, tls=False, listen=', "127.0.0.1:%d local"' % self.local)

    def edit(self, old, new):
        with open(self.conf) as f:
            text = f.read()
        assert old in text
        with open(self.conf, "w") as f:
            f.write(text.replace(old, new, 1))

    def ask(self, port, host, path="/"):
        with Client(port) as c:
            c.request("GET", path, host, None, [("Connection", "close")])
            return c.response()


@pytest.fixture
def s(tmp_path):
    names = ["inner", "next", "admin", "outer"]
    ports = [free_port() for _ in names]
    apps = [Echo(name, ("127.0.0.1", port)) for name, port in zip(names, ports)]
    stack = Listening(tmp_path, SERVICES % tuple(ports))
    try:
        yield stack.start()
    finally:
        stack.stop()
        for app in apps:
            app.close()


REQUESTS = [("inner.x", "/", "inner"), ("next-inner.x", "/", "next"), ("outer.x", "/admin", "admin")]


@pytest.mark.parametrize("host, path, app", REQUESTS)
def test_a_local_service(s, host, path, app):
    assert name_of(s.ask(s.local, host, path)) == app
    status, fields, _ = s.ask(s.port, host, path)
    assert (status, fields["x-activator-reason"]) == (404, "no_route")


def test_all_others_are_served_everywhere(s):
    for port in s.port, s.local:
        assert name_of(s.ask(port, "outer.x")) == "outer"
        assert name_of(s.ask(port, "any.x")) == "outer"


def test_a_reload_changes_it(s):
    generation = s.metric("activator_services_generation")
    s.edit('hosts = {"inner.x"} visibility = local', 'hosts = {"inner.x"} visibility = public')
    s.autoscaler.process.send_signal(signal.SIGHUP)
    wait_until(lambda: s.metric("activator_services_generation") > generation)
    wait_until(lambda: s.ask(s.port, "inner.x")[0] == 200)
    assert s.ask(s.port, "outer.x", "/admin")[0] == 404
