"""Demand is told until it is met: nothing that gets lost between the two programs, on
whichever side, leaves a parked request behind.  Promises 1, 5 and 6 (DESIGN, section 4)."""
import contextlib

import pytest

from fakes.instance import OK, FakeInstance, read_head
from fakes.scripted import Scripted
from helpers import SLOW, free_port, wait_until
from stack import Client, Program, Stack, running, stats

REVISION = "s/v1"
HELLO = 'service "s" { hosts = {"s"} revision "v1" { command = {"HELLO", "--startup", "%s"} } }'


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
    """The activator alone, with a played autoscaler that has described "s" to it."""
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
    c = s.connect()
    c.request("GET", "/", "s")
    wait_until(lambda: s.metric("activator_parked") == n, what="a parked request")
    return c


def test_an_activation_is_said_again_until_it_is_heard(tmp_path):
    instance = Instance()
    with scripted(tmp_path) as (s, scaler), parked(s) as c:
        lost = [scaler.wait_for("activate", revision=REVISION)["seq"] for _ in range(4)]
        assert lost == sorted(set(lost))
        # An answer to one that is not the newest does not count: it is said once more.
        scaler.send(type="activating", revision=REVISION, seq=lost[0], wanted=1)
        heard = scaler.wait_for("activate", revision=REVISION)
        assert heard["seq"] > lost[-1] and heard["parked"] == 1
        scaler.send(type="activating", revision=REVISION, seq=heard["seq"], wanted=1)
        scaler.instances(REVISION, 1, instance.listed())
        assert c.response()[2] == b"ok"
    assert instance.requests == 1


def test_heard_and_not_wanted_is_asked_again(tmp_path):
    """It says that it heard, and wants nothing: whoever waits must not wait for that."""
    instance = Instance()
    with scripted(tmp_path) as (s, scaler), parked(s) as c:
        heard = scaler.wait_for("activate")
        scaler.send(type="activating", revision=REVISION, seq=heard["seq"], wanted=0)
        again = scaler.wait_for("activate")
        scaler.send(type="activating", revision=REVISION, seq=again["seq"], wanted=1)
        for _ in range(2):  # and what is acknowledged is carried by the reports
            told = scaler.wait_for("stats")
            while not told["revisions"] or told["revisions"][0]["parked"] != 1:
                told = scaler.wait_for("stats")
        scaler.instances(REVISION, 1, instance.listed())
        assert c.response()[2] == b"ok"


@pytest.mark.parametrize("is_heard", [False, True])
def test_an_autoscaler_that_forgets_is_told_anew(tmp_path, is_heard):
    """It is restarted while a request waits, before or after it has acknowledged that."""
    instance = Instance()
    with scripted(tmp_path) as (s, scaler), parked(s) as c:
        first = scaler.wait_for("activate")
        if is_heard:
            scaler.send(type="activating", revision=REVISION, seq=first["seq"], wanted=1)
            scaler.instances(REVISION, 1, [])
        scaler.close_link()
        scaler.accept_link("s", ["s"], REVISION)
        heard = scaler.wait_for("activate", revision=REVISION)
        scaler.send(type="activating", revision=REVISION, seq=heard["seq"], wanted=1)
        scaler.instances(REVISION, 1, instance.listed())
        assert c.response()[2] == b"ok"
    assert instance.requests == 1


def test_a_killed_autoscaler_finds_who_waits(tmp_path):
    """Killed after it has started the instance, which is adopted by the next one."""
    with running(tmp_path, HELLO % "1s", autoscaler="orphan_timeout = 20s") as s, parked(s) as c:
        wait_until(lambda: "instance started" in s.autoscaler.text(), what="an instance")
        s.autoscaler.kill()
        wait_until(lambda: s.metric("activator_link_up") == 0, what="the link's loss")
        s.start_autoscaler()
        assert c.response()[0] == 200
        assert stats(s, "s")["requests"] == 1
        wait_until(lambda: s.metric("activator_link_up") == 1, what="the link")


class Second:
    """A second activator at the same autoscaler, on ports of its own."""

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

    def ask(self):
        c = Client(self.port)
        c.request("GET", "/", "s")
        return c


def test_a_second_activator_is_heard_too(tmp_path):
    """What it holds was asked for while the first one's wake was under way, and again when
    nobody else asks."""
    with running(tmp_path, HELLO % "500ms") as s, Second(s) as second:
        wait_until(lambda: "services swapped" in second.program.text(), what="the second one")
        with parked(s) as c, second.ask() as d:
            assert (c.response()[0], d.response()[0]) == (200, 200)
        wait_until(lambda: not s.instances(), what="zero instances")
        with second.ask() as d:
            assert d.response()[0] == 200
        assert "waking" in second.program.text()
