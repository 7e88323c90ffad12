"""The system calls, locks and allocations of a request while instances run.  They are counted, not
timed: a slow or loaded machine does not change them.  A test fails when the path of a request
gains a system call, a lock or an allocation."""
import os
import struct

import pytest

from helpers import IS_SANITISED, ROOT, stopped
from stack import running

CALLS = os.path.join(ROOT, "build/test/calls/calls.so")
REQUESTS = 2000
ROOM = 0.05  # calls per request: what the worker does by the clock, meanwhile
ALLOWED = {"recv": 2, "send": 2, "epoll_wait": 2}  # per request, one at a time; others: 0
SERVICES = """
service "free" { hosts = {"free"} revision "v1" { command = {"HELLO"} } }
service "limited" { hosts = {"limited"}
    revision "v1" { command = {"HELLO"} container_concurrency = 1 max_scale = 1 } }
service "ruled" { hosts = {"ruled"} idle_timeout = 20s request_timeout = 60s
    rule "api" { paths = {"/api"} action = serve_only } revision "v1" { command = {"HELLO"} } }
"""

pytestmark = pytest.mark.skipif(IS_SANITISED, reason="a sanitiser replaces the allocator")


def counts(path):
    with open(path, "rb") as f:
        return {name.rstrip(b"\0").decode(): n for name, n in struct.iter_unpack("24sQ", f.read())}


def ask(client, host, fields=()):
    client.request("GET", "/", host, fields=fields)
    status, _, body = client.response()
    assert (status, body) == (200, b"hello\n")


@pytest.mark.parametrize("host", ["free", "limited", "ruled"])
def test_a_warm_request_costs_two_reads_and_two_writes(tmp_path, host):
    path = str(tmp_path / "calls")
    with running(tmp_path, SERVICES, workers=1,
                 environment={"LD_PRELOAD": CALLS, "CALLS_FILE": path}) as stack:
        with stack.connect() as client:
            for _ in range(10):
                ask(client, host)
            before = counts(path)
            for _ in range(REQUESTS):
                ask(client, host)
            after = counts(path)
    calls = {name: (after[name] - n) / REQUESTS for name, n in before.items()}
    calls["send"] += calls.pop("sendmsg")
    assert calls["recv"] >= 2 and calls["send"] >= 2, "calls are not counted: %r" % calls
    too_many = {name: n for name, n in calls.items() if n > ALLOWED.get(name, 0) + ROOM}
    assert not too_many, "calls per request: %r" % too_many


def test_requests_of_many_clients_cost_no_more(tmp_path):
    """Sixteen clients at once: still no epoll_ctl, no allocation, no eventfd and no connection."""
    path = str(tmp_path / "calls")
    with running(tmp_path, SERVICES, workers=1,
                 environment={"LD_PRELOAD": CALLS, "CALLS_FILE": path}) as stack:
        clients = [stack.connect() for _ in range(16)]
        for client in clients:
            ask(client, "free")
        before = counts(path)
        for _ in range(100):
            for client in clients:
                client.request("GET", "/", "free")
            for client in clients:
                assert client.response()[0] == 200
        after = counts(path)
        for client in clients:
            client.close()
    calls = {name: (after[name] - n) / 1600 for name, n in before.items()}
    too_many = {name: n for name, n in calls.items()
                if name in ("epoll_ctl", "malloc", "calloc", "write", "socket") and n > ROOM}
    assert not too_many, "calls per request: %r" % too_many


@pytest.mark.parametrize("refused", ["io_setup", "io_submit"])
def test_a_kernel_without_shared_calls_is_logged_once(tmp_path, refused):
    with running(tmp_path, SERVICES, workers=2,
                 environment={"LD_PRELOAD": CALLS, "CALLS_REFUSE": refused}) as stack:
        clients = [stack.connect() for _ in range(8)]
        for _ in range(3):
            with stopped(stack.activator.pid):
                for client in clients:
                    client.request("GET", "/", "free")
            for client in clients:
                assert client.response()[0::2] == (200, b"hello\n")
        for client in clients:
            client.close()
        assert stack.activator.text().count("Linux AIO is not available") == 1


@pytest.mark.parametrize("batch", ["yes", "no"])
def test_requests_that_are_ready_together_share_calls(tmp_path, batch):
    """All clients ask while the activator is stopped, so that it finds all requests at once."""
    path, n_clients = str(tmp_path / "calls"), 32
    with running(tmp_path, SERVICES, workers=1, activator="batch = " + batch,
                 environment={"LD_PRELOAD": CALLS, "CALLS_FILE": path}) as stack:
        clients = [stack.connect() for _ in range(n_clients)]
        for _ in range(3):  # the last round counts: by then instances are connected
            before = counts(path)
            with stopped(stack.activator.pid):
                for client in clients:
                    client.request("GET", "/", "free")
            for client in clients:
                assert client.response()[0::2] == (200, b"hello\n")
        after = counts(path)
        for client in clients:
            client.close()
    calls = {name: after[name] - n for name, n in before.items()}
    each = calls["recv"] + calls["send"] + calls["sendmsg"]
    if batch == "no":
        assert each >= 4 * n_clients and calls["io_submit"] == 0, calls
    else:  # at least the request heads are shared; responses may come one by one
        assert each <= 2 * n_clients + 8 and 2 <= calls["io_submit"] <= 2 * n_clients, calls
