"""Fixtures of the tests of instances that speak HTTP/2: services of one such instance, and requests by
either protocol."""
import contextlib

import pytest

from h2client import CONNECT_PROTOCOL
from h2origin import H2Origin
from helpers import WAIT_S
from stack import running

SERVICES = """
service "free" { hosts = {"free"} revision "v1" { addresses = {"127.0.0.1:PORT"} protocol = h2c } }
service "two" { hosts = {"two"} revision "v1" { addresses = {"127.0.0.1:PORT"} protocol = h2c
    container_concurrency = 2 } }
service "one" { hosts = {"one"} revision "v1" { addresses = {"127.0.0.1:PORT"} protocol = h2c
    container_concurrency = 1 abort_timeout = 300ms } }
service "late" { hosts = {"late"} revision "v1" { addresses = {"127.0.0.1:PORT"} protocol = h2c
    response_timeout = 300ms } }
service "stalled" { hosts = {"stalled"} revision "v1" { addresses = {"127.0.0.1:PORT"}
    protocol = h2c stall_timeout = 300ms } }
"""


@pytest.fixture(scope="module")
def origin():
    return H2Origin()


@pytest.fixture(scope="module")
def stack(tmp_path_factory, origin):
    with running(tmp_path_factory.mktemp("h2up"), SERVICES.replace("PORT", str(origin.port)),
                 workers=1) as s:
        yield s


@pytest.fixture(autouse=True)
def fresh(origin):
    origin.forget()
    origin.settings = ((CONNECT_PROTOCOL, 1),)


@pytest.fixture(params=["h1", "h2"])
def ask(request, stack):
    """ask(host, path, method, body, fields): (status, fields, body) by either protocol."""
    def by(host, path="/", method="GET", body=None, fields=()):
        get = stack.get if request.param == "h1" else stack.get_by_h2
        if request.param == "h2":
            return get(host, path, WAIT_S, method, body, fields)
        return get(host, path, method=method, body=body, fields=fields)
    by.kind = request.param
    return by


@pytest.fixture
def fresh_instance(tmp_path):
    """with_(settings, more) yields (stack, origin): a pair of the test's own."""
    with contextlib.ExitStack() as end:
        def make(settings=((CONNECT_PROTOCOL, 1),), more="", workers=1, listens=True):
            origin = H2Origin(settings)
            end.callback(lambda: origin.listener and origin.close())
            s = end.enter_context(running(tmp_path, """
service "s" { hosts = {"s"} revision "v1" { addresses = {"127.0.0.1:%d"} protocol = h2c %s } }
""" % (origin.port, more), workers=workers))
            return s, origin
        yield make


def get(s, kind, host="s", **more):
    if kind == "h2":
        return s.get_by_h2(host, more.pop("path", "/"), WAIT_S, more.get("method", "GET"),
                           more.get("body"), more.get("fields", ()))
    return s.get(host, **more)


def in_flight(s, host):
    return s.metric('activator_revision_in_flight{revision="%s/v1"}' % host)
