"""What a request on the warm path asks of the kernel and of the allocator.  Counts, which
neither a slow nor a busy machine changes: a test that fails when the path gains a system
call, an epoll_ctl, an eventfd, a lock or an allocation."""
import os
import struct

import pytest

from helpers import IS_SANITISED, ROOT, stopped
from stack import running

CALLS = os.path.join(ROOT, "build/test/calls/calls.so")
REQUESTS = 2000
ALLOWED = {"recv": 2, "recvmsg": 0, "epoll_wait": 2}  # a request, one at a time; others: 0
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
    assert calls["recv"] >= 2 and calls["send"] >= 2, "they are not seen: %r" % calls
    # What the main thread does by the clock, meanwhile, is in it, too: a twentieth is room.
    too_many = {name: n for name, n in calls.items()
                if n > dict(ALLOWED, send=2).get(name, 0) + 0.05}
    assert not too_many, "calls a request: %r" % too_many


def test_many_at_once_share_the_wait(tmp_path):
    """Sixteen requests that lie there together are taken with few waits."""
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
                if name in ("epoll_ctl", "malloc", "calloc", "write", "socket") and n > 0.05}
    assert not too_many, "calls a request: %r" % too_many


@pytest.mark.parametrize("refused", ["io_setup", "io_submit"])
def test_without_shared_calls_it_goes_on_and_says_so(tmp_path, refused):
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
def test_what_lies_there_together_shares_calls(tmp_path, batch):
    """While the activator is stopped everybody asks: it finds all of them at once."""
    path, crowd = str(tmp_path / "calls"), 32
    with running(tmp_path, SERVICES, workers=1, activator="batch = " + batch,
                 environment={"LD_PRELOAD": CALLS, "CALLS_FILE": path}) as stack:
        clients = [stack.connect() for _ in range(crowd)]
        for _ in range(3):  # the last is counted: connections to the instance stand
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
        assert each >= 4 * crowd and calls["io_submit"] == 0, calls
    else:  # heads in and on at least; what the instance answers may come bit by bit
        assert each <= 2 * crowd + 8 and 2 <= calls["io_submit"] <= 2 * crowd, calls
