"""Instances that refuse connections or reset them: they get no requests until a probe finds that
they answer again, and other instances take their share."""
import contextlib

import pytest

from fakes.instance import FakeInstance, read_head
from helpers import WAIT_S, reset_on_close, wait_until
from stack import running
from test_parked import is_empty

SERVICES = """
service "s" { hosts = {"s"} probe = "/up" upstream_idle_timeout = 0
    revision "v1" { addresses = {ADDRESSES} } }
"""


class FailingInstance(FakeInstance):
    """Serves, refuses connections, or resets each one after it has read the request.  become()
    changes that."""

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
        connection.settimeout(WAIT_S)
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
    """Whether the activator gives it requests."""
    address = "127.0.0.1:%d" % instance.port
    return next(i["open"] for i in s.revision_status("s/v1")["instances"]
                if i["address"] == address)


def ask(s, n, method="GET"):
    """(status, body) of n requests, each on a connection of its own."""
    return [s.get("s", method=method, body=b"" if method == "POST" else None)[0::2]
            for _ in range(n)]


@pytest.mark.parametrize("mode", ["refuse", "reset"])
def test_a_failing_instance_is_set_aside_until_it_answers(tmp_path, mode):
    with (contextlib.closing(FailingInstance()) as bad,
          contextlib.closing(FailingInstance()) as good):
        addresses = ", ".join('"127.0.0.1:%d"' % i.port for i in (bad, good))
        with running(tmp_path, SERVICES.replace("ADDRESSES", addresses)) as s:
            wait_until(lambda: is_open(s, bad) and is_open(s, good), what="both to answer")
            wait_until(lambda: ask(s, 1) and bad.requests, what="a request to the instance")
            # The other instance answers instead, and clients see no difference.
            bad.become(mode)
            elsewhere = [(200, b"%05d" % good.port)]
            wait_until(lambda: ask(s, 1) == elsewhere and not is_open(s, bad),
                       what="it to be set aside")
            seen, probes = bad.requests, bad.probes
            # From now on no request is tried there, not even once.
            assert ask(s, 50, "POST") == elsewhere * 50
            assert bad.requests == seen
            if mode == "reset":
                wait_until(lambda: bad.probes > probes, what="more probes")
            assert not is_open(s, bad) and is_open(s, good)
            bad.become("serve")
            wait_until(lambda: is_open(s, bad), what="it to be open again")
            wait_until(lambda: ask(s, 1) == [(200, b"%05d" % bad.port)], what="its answer")
            wait_until(lambda: is_empty(s, "s/v1"), what="counts of zero")


def test_requests_wait_for_the_only_instance(tmp_path):
    """It refuses connections: requests are parked until it accepts them again."""
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
def test_the_only_instance_is_not_set_aside_for_a_reset(tmp_path, method, status_, times):
    """The request may be to blame."""
    with contextlib.closing(FailingInstance()) as only:
        with running(tmp_path, SERVICES.replace("ADDRESSES", '"127.0.0.1:%d"' % only.port)) as s:
            assert ask(s, 1)[0][0] == 200
            seen = only.requests
            only.become("reset")
            assert ask(s, 1, method)[0][0] == status_
            assert only.requests == seen + times
            assert is_open(s, only)


def test_more_instances_than_a_message_holds(tmp_path):
    """The other services are not affected."""
    many = ", ".join('"127.%d.%d.1:9"' % (1 + i // 250, i % 250) for i in range(14000))
    services = """service "many" { hosts = {"many"} revision "v1" { addresses = {%s} } }
service "hello" { hosts = {"hello"} revision "v1" { command = {"HELLO"} } }
""" % many
    with running(tmp_path, services) as s:
        assert s.get("hello")[0] == 200
        wait_until(lambda: "too many instances for one message" in s.autoscaler.text(),
                   what="the log line")
