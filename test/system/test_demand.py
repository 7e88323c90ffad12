"""The activator repeats its demand until it is met: neither a message that is lost between the two
programs nor the end of one of them leaves a parked request behind."""
import contextlib

import pytest

from fakes.instance import OK, FakeInstance, read_head
from fakes.scripted import Scripted
from helpers import SLOW, free_port, wait_until
from stack import Client, Gate, Program, Stack, running, stats

REVISION = "s/v1"
SERVICE = 'service "s" { hosts = {"s"} revision "v1" { %s } }'


class Instance(FakeInstance):
    """Answers the only request of each connection."""

    def __init__(self):
        super().__init__()
        self.requests = 0

    def serve(self, connection):
        if read_head(connection)[0] is not None:
            self.requests += 1
            connection.sendall(OK)

    def listed(self):
        """As `instances` lists it."""
        return [{"id": "i-1", "address": "127.0.0.1", "port": self.port, "state": "starting"}]


@contextlib.contextmanager
def scripted(path):
    """The activator, with an autoscaler that the test plays and that has described "s" to it."""
    s = Stack(path, "")
    with Scripted(s.path + "/s", 60 * SLOW) as scaler:
        s.start_activator()
        try:
            scaler.accept_link("s", ["s"], REVISION)
            s.wait_ready()
            yield s, scaler
        finally:
            s.stop()


def parked(s, n=1):
    """A client whose request is parked, the n-th."""
    c = s.connect()
    c.request("GET", "/", "s")
    wait_until(lambda: s.metric("activator_parked") == n, what="a parked request")
    return c


def test_activate_is_repeated_until_it_is_acknowledged(tmp_path):
    instance = Instance()
    with scripted(tmp_path) as (s, scaler), parked(s) as c:
        unanswered = [scaler.wait_for("activate", revision=REVISION)["seq"] for _ in range(4)]
        assert unanswered == sorted(set(unanswered))
        # Only the newest can be acknowledged.
        scaler.send(type="activating", revision=REVISION, seq=unanswered[0], wanted=1)
        newest = scaler.wait_for("activate", revision=REVISION)
        assert newest["seq"] > unanswered[-1] and newest["parked"] == 1
        scaler.send(type="activating", revision=REVISION, seq=newest["seq"], wanted=1)
        scaler.instances(REVISION, 1, instance.listed())
        assert c.response()[2] == b"ok"
    assert instance.requests == 1


def test_an_acknowledgement_that_wants_nothing_does_not_count(tmp_path):
    """No instance will start: the activator repeats its request."""
    instance = Instance()
    with scripted(tmp_path) as (s, scaler), parked(s) as c:
        first = scaler.wait_for("activate")
        scaler.send(type="activating", revision=REVISION, seq=first["seq"], wanted=0)
        second = scaler.wait_for("activate")
        scaler.send(type="activating", revision=REVISION, seq=second["seq"], wanted=1)
        for _ in range(2):  # after the acknowledgement `stats` carries the demand
            stats_message = scaler.wait_for("stats")
            while (not stats_message["revisions"]
                   or stats_message["revisions"][0]["parked"] != 1):
                stats_message = scaler.wait_for("stats")
        scaler.instances(REVISION, 1, instance.listed())
        assert c.response()[2] == b"ok"


@pytest.mark.parametrize("is_acknowledged", [False, True])
def test_a_new_link_repeats_the_demand(tmp_path, is_acknowledged):
    """The autoscaler is restarted while a request is parked."""
    instance = Instance()
    with scripted(tmp_path) as (s, scaler), parked(s) as c:
        first = scaler.wait_for("activate")
        if is_acknowledged:
            scaler.send(type="activating", revision=REVISION, seq=first["seq"], wanted=1)
            scaler.instances(REVISION, 1, [])
        scaler.close_link()
        scaler.accept_link("s", ["s"], REVISION)
        repeated = scaler.wait_for("activate", revision=REVISION)
        scaler.send(type="activating", revision=REVISION, seq=repeated["seq"], wanted=1)
        scaler.instances(REVISION, 1, instance.listed())
        assert c.response()[2] == b"ok"
    assert instance.requests == 1


def test_an_autoscaler_that_is_killed_while_an_instance_starts(tmp_path):
    """The next autoscaler adopts the instance."""
    gate = Gate(tmp_path)
    with running(tmp_path, SERVICE % gate.command(), autoscaler="orphan_timeout = 60s") as s, \
            parked(s) as c:
        wait_until(lambda: "instance started" in s.autoscaler.text(), what="an instance")
        s.autoscaler.kill()
        wait_until(lambda: s.metric("activator_link_up") == 0, what="the loss of the link")
        s.start_autoscaler()
        gate.open()
        assert c.response()[0] == 200
        assert stats(s, "s")["requests"] == 1
        wait_until(lambda: s.metric("activator_link_up") == 1, what="the link")


class SecondActivator:
    """Another activator of the same autoscaler, on ports of its own."""

    def __init__(self, s):
        self.port, self.admin = free_port(), free_port()
        with open(s.conf) as f:
            text = f.read()
        for old, new in ((":%d" % s.port, ":%d" % self.port),
                         (":%d" % s.admin, ":%d" % self.admin),
                         ('state_dir = "%s"' % s.state, 'state_dir = "%s2"' % s.state)):
            assert old in text
            text = text.replace(old, new)
        with open(s.conf + "2", "w") as f:
            f.write(text)
        self.program = Program("activator", s.conf + "2", s.path + "/activator2.log")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        assert self.program.stop() == 0

    def request(self):
        c = Client(self.port)
        c.request("GET", "/", "s")
        return c


def test_a_second_activator_wakes_too(tmp_path):
    """Together with the first one, and without it."""
    gate = Gate(tmp_path)
    with running(tmp_path, SERVICE % gate.command()) as s, SecondActivator(s) as second:
        wait_until(lambda: "new services in use" in second.program.text(),
                   what="services at the second activator")
        with parked(s) as c, second.request() as d:
            gate.open()
            assert (c.response()[0], d.response()[0]) == (200, 200)
        wait_until(lambda: not s.instances(), what="zero instances")
        with second.request() as d:
            assert d.response()[0] == 200
        assert "waking" in second.program.text()
