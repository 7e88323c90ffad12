"""Instances that refuse, reset and come back: set aside, probed, and used again, while
their traffic goes elsewhere.  Promise 2 (DESIGN, section 4)."""
import contextlib

import pytest

from fakes.instance import FakeInstance, read_head
from helpers import SLOW, reset_on_close, wait_until
from stack import running
from test_held import is_empty, status

SERVICES = """
service "s" { hosts = {"s"} probe = "/up" upstream_idle_timeout = 0
    revision "v1" { addresses = {ADDRESSES} } }
"""


class FailingInstance(FakeInstance):
    """Serves, refuses connections, or resets each one after its request has been read, as
    become() says."""

    def __init__(self):
        super().__init__()
        self.mode = "serve"
        self.requests, self.probes = 0, 0

    def become(self, mode):
        self.mode = mode
        if mode == "refuse":
            self.close()
        elif self.listener is None:
            self.listen()

    def serve(self, connection):
        connection.settimeout(60 * SLOW)
        head, _ = read_head(connection)
        if head is None:
            return
        is_probe = head.startswith(b"GET /up ")
        self.probes += is_probe
        self.requests += not is_probe
        if self.mode == "reset":
            reset_on_close(connection)
        else:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"
                               b"%05d" % self.port)


def is_open(s, instance):
    told = {i["address"]: i for i in status(s, "s/v1")["instances"]}
    return told["127.0.0.1:%d" % instance.port]["open"]


def ask(s, n, method="GET"):
    return [s.get("s", method=method, body=b"" if method == "POST" else None)[0::2]
            for _ in range(n)]


@pytest.mark.parametrize("mode", ["refuse", "reset"])
def test_what_fails_is_set_aside_and_comes_back(tmp_path, mode):
    with contextlib.closing(FailingInstance()) as bad, contextlib.closing(FailingInstance()) as good:
        addresses = ", ".join('"127.0.0.1:%d"' % i.port for i in (bad, good))
        with running(tmp_path, SERVICES.replace("ADDRESSES", addresses)) as s:
            wait_until(lambda: is_open(s, bad) and is_open(s, good), what="two that answer")
            wait_until(lambda: ask(s, 1) and bad.requests, what="a share of the traffic")
            # What it does not take goes to the other one, and nobody sees a difference.
            bad.become(mode)
            elsewhere = [(200, b"%05d" % good.port)]
            wait_until(lambda: ask(s, 1) == elsewhere and not is_open(s, bad),
                       what="its setting aside")
            seen, probes = bad.requests, bad.probes
            # From here on not even one that may not be sent twice is tried there.
            assert ask(s, 50, "POST") == elsewhere * 50
            assert bad.requests == seen
            if mode == "reset":
                wait_until(lambda: bad.probes > probes, what="more probes")
            assert not is_open(s, bad) and is_open(s, good)
            bad.become("serve")
            wait_until(lambda: is_open(s, bad), what="its return")
            wait_until(lambda: ask(s, 1) == [(200, b"%05d" % bad.port)], what="its share")
            wait_until(lambda: is_empty(s, "s/v1"), what="empty counts")


def test_the_only_one_waits_for_itself(tmp_path):
    """It refuses, and there is no other: what comes is parked, and sent when it is back."""
    with contextlib.closing(FailingInstance()) as only:
        with running(tmp_path, SERVICES.replace("ADDRESSES", '"127.0.0.1:%d"' % only.port)) as s:
            assert ask(s, 1)[0][0] == 200
            only.become("refuse")
            with s.connect() as c:
                c.request("POST", "/", "s", body=b"")
                wait_until(lambda: s.metric("activator_parked") == 1, what="a parked request")
                seen = only.requests
                only.become("serve")
                assert c.response()[0] == 200
            assert only.requests == seen + 1


@pytest.mark.parametrize("method, status_, times", [("GET", 502, 3), ("POST", 502, 1)])
def test_the_only_one_that_resets_is_kept(tmp_path, method, status_, times):
    """One reset request is no reason to give up the only one: it may be the request."""
    with contextlib.closing(FailingInstance()) as only:
        with running(tmp_path, SERVICES.replace("ADDRESSES", '"127.0.0.1:%d"' % only.port)) as s:
            assert ask(s, 1)[0][0] == 200
            seen = only.requests
            only.become("reset")
            assert ask(s, 1, method)[0][0] == status_
            assert only.requests == seen + times
            assert is_open(s, only)


def test_more_instances_than_a_line_holds_cut_no_other_service_off(tmp_path):
    many = ", ".join('"127.%d.%d.1:9"' % (1 + i // 250, i % 250) for i in range(14000))
    services = """service "many" { hosts = {"many"} revision "v1" { addresses = {%s} } }
service "hello" { hosts = {"hello"} revision "v1" { command = {"HELLO"} } }
""" % many
    with running(tmp_path, services) as s:
        assert s.get("hello")[0] == 200
        assert "too many instances for one line" in s.autoscaler.text()
