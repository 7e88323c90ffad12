"""The activator's side of the link: what it does with an autoscaler that it cannot use, and with
instances that leave and return, or whose limits change."""
import contextlib
import signal
import threading
import time

import pytest

from fakes.instance import FakeInstance, read_head
from fakes.scripted import Scripted
from helpers import WAIT_S, wait_until
from stack import Stack, running

HELLOS = 6      # refused, one after another
SIXTH_S = 0.16  # the delay before the seventh: 10 ms, doubled five times, and half of it


@pytest.fixture
def autoscaler(tmp_path):
    with Scripted(str(tmp_path / "s"), WAIT_S) as a:
        yield a


@pytest.fixture
def stack(tmp_path, autoscaler):
    s = Stack(tmp_path, "")
    s.start_activator()
    yield s
    s.stop()


def test_an_autoscaler_of_another_protocol_is_asked_less_and_less_often(stack, autoscaler):
    for _ in range(HELLOS):
        autoscaler.refuse_link(protocol=2)
    since = time.monotonic()
    autoscaler.refuse_link(protocol=2)
    assert time.monotonic() - since >= SIXTH_S
    assert stack.activator.text().count('msg="cannot connect to the autoscaler"') == 1
    autoscaler.accept_link("s", ["s.x"], "s/v1")
    wait_until(lambda: stack.readyz() == 200, what="/readyz")


def test_services_that_cannot_be_taken_are_not_asked_for_again_and_again(stack, autoscaler):
    def offer():
        autoscaler.accept_link("s", ["s.x"], "s/v1", services=2)  # and sends one
        autoscaler.wait_for_end()

    for _ in range(HELLOS):
        offer()
    since = time.monotonic()
    offer()
    assert time.monotonic() - since >= SIXTH_S


class CountingInstance(FakeInstance):
    """Keeps its connections open, counts them and its requests, and answers when its gate is
    open."""

    def __init__(self):
        super().__init__()
        self.lock, self.may_answer = threading.Lock(), threading.Event()
        self.open, self.in_flight, self.most = 0, 0, 0

    def count(self, connections, requests):
        with self.lock:
            self.open += connections
            self.in_flight += requests
            self.most = max(self.most, self.in_flight)

    def serve(self, connection):
        self.count(1, 0)
        try:
            head, rest = read_head(connection)
            while head is not None:
                self.count(0, 1)
                self.may_answer.wait(WAIT_S)
                self.count(0, -1)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                head, rest = read_head(connection, rest)
        finally:
            self.count(-1, 0)

    def listed(self):
        return [{"id": "i", "address": "127.0.0.1", "port": self.port, "state": "starting"}]


@contextlib.contextmanager
def asking(stack, n):
    """n requests on connections of their own."""
    with contextlib.ExitStack() as clients:
        all_ = [clients.enter_context(stack.connect()) for _ in range(n)]
        for c in all_:
            c.request("GET", "/", "s.x")
        yield all_


def test_an_instance_that_returns_has_the_slots_that_it_had(stack, autoscaler):
    with contextlib.closing(CountingInstance()) as inst:
        autoscaler.accept_link("s", ["s.x"], "s/v1", limits={"container_concurrency": 1})
        autoscaler.instances("s/v1", 1, inst.listed())
        with asking(stack, 2) as clients:
            wait_until(lambda: inst.in_flight == 1, what="a request in flight")
            for absent in ([], [dict(inst.listed()[0], address=None)]):
                autoscaler.instances("s/v1", 1, absent)
                autoscaler.instances("s/v1", 1, inst.listed())
                wait_until(lambda: stack.revision_status("s/v1")["in_flight"] == 1,
                           what="the request in flight to count again")
            inst.may_answer.set()
            assert [c.response()[0] for c in clients] == [200, 200]
        assert inst.most == 1


def test_connections_follow_a_limit_that_is_set_later(stack, autoscaler):
    with contextlib.closing(CountingInstance()) as inst:
        autoscaler.accept_link("s", ["s.x"], "s/v1")
        autoscaler.instances("s/v1", 1, inst.listed())
        with asking(stack, 4) as clients:
            wait_until(lambda: inst.in_flight == 4, what="four requests in flight")
            inst.may_answer.set()
            assert [c.response()[0] for c in clients] == [200] * 4
            assert inst.open == 4
            autoscaler.describe("s", ["s.x"], "s/v1", limits={"container_concurrency": 2})
            # Two workers that close at the same moment may leave fewer than two.
            wait_until(lambda: inst.open <= 2, what="idle connections to be closed")
            inst.may_answer.clear()
            for c in clients:
                c.request("GET", "/", "s.x")
            wait_until(lambda: inst.in_flight == 2, what="two requests in flight")
            autoscaler.describe("s", ["s.x"], "s/v1", limits={"container_concurrency": 1})
            wait_until(lambda: stack.revision_status("s/v1")["container_concurrency"] == 1,
                       what="the lower limit")
            inst.may_answer.set()
            assert [c.response()[0] for c in clients] == [200] * 4
            wait_until(lambda: inst.open <= 1, what="one connection at most")


def test_a_revision_that_has_left_and_returned_reports_its_shares_anew(stack, autoscaler):
    """Also if both descriptions are read at once: the autoscaler has forgotten its reports."""
    limits = {"container_concurrency": 1}
    autoscaler.accept_link("s", ["s.x"], "s/v1", limits=limits, term=1)
    autoscaler.wait_for("shares_held", revision="s/v1", complete=True, generation=1)
    without = [{"type": "begin", "generation": 2}, {"type": "end", "generation": 2, "services": 0}]
    for autoscaler.generation in 3, 4:
        autoscaler.send_all(without + autoscaler.description("s", ["s.x"], "s/v1", limits=limits))
        autoscaler.wait_for("shares_held", revision="s/v1", complete=True,
                            generation=autoscaler.generation)


def test_what_is_known_of_an_instance_is_reported_once_the_autoscaler_knows_it(stack, autoscaler):
    """After a start it may hear of instances from an activator before it hears of them from the
    keeper, and has to pass over that."""
    with contextlib.closing(CountingInstance()) as inst:
        autoscaler.accept_link("s", ["s.x"], "s/v1")
        autoscaler.instances("s/v1", 1, inst.listed())
        autoscaler.wait_for("instance", id="i", state="answers")
        autoscaler.close_link()
        autoscaler.greet(protocol=1)
        autoscaler.is_first = False  # it does not know the instances yet
        autoscaler.describe("s", ["s.x"], "s/v1")
        autoscaler.wait_for("instance", id="i", state="answers")
        autoscaler.instances("s/v1", 1, inst.listed())
        autoscaler.wait_for("instance", id="i", state="answers")


class AnsweringInstance(FakeInstance):
    """Answers /N with the status N, and closes the connection of any other request."""

    def serve(self, connection):
        head, rest = read_head(connection)
        while head is not None:
            path = head.split()[1][1:]
            if path.isdigit():
                connection.sendall(b"HTTP/1.1 %s X\r\nContent-Length: 2\r\n\r\nok" % path)
            elif path == b"hang":
                connection.recv(1)  # until the activator gives it up
            else:
                return
            head, rest = read_head(connection, rest)

    def listed(self):
        return [{"id": "i", "address": "127.0.0.1", "port": self.port, "state": "starting"}]


def next_ends(autoscaler, expected):
    """Read reports until one says that requests have ended so; what their durations count."""
    while True:
        for r in autoscaler.wait_for("stats")["revisions"]:
            if r.get("ends") == expected:
                return sum(r["durations"][1:])


def test_it_reports_how_requests_end(stack, autoscaler):
    """Counts of all workers since the activator began: a link that breaks loses none."""
    with contextlib.closing(AnsweringInstance()) as inst:
        autoscaler.accept_link("s", ["s.x"], "s/v1")
        autoscaler.instances("s/v1", 1, inst.listed())
        for status in (200, 202, 301, 404, 500, 503):
            assert stack.get("s.x", "/%d" % status)[0] == status
        assert stack.get("s.x", "/close", method="POST", body=b"x")[0] == 502
        assert next_ends(autoscaler, [0, 0, 2, 1, 1, 2, 1, 0]) == 7
        with stack.connect() as client:
            client.request("GET", "/hang", "s.x")
            wait_until(lambda: stack.revision_status("s/v1")["in_flight"] == 1, what="a request")
        assert next_ends(autoscaler, [0, 0, 2, 1, 1, 2, 1, 1]) == 8
        autoscaler.close_link()
        assert stack.get("s.x", "/500")[0] == 500
        autoscaler.accept_link("s", ["s.x"], "s/v1")
        autoscaler.instances("s/v1", 1, inst.listed())
        assert next_ends(autoscaler, [0, 0, 2, 1, 1, 3, 1, 1]) == 9
        # Nothing happens any more, and yet a new autoscaler hears of it.
        autoscaler.close_link()
        autoscaler.accept_link("s", ["s.x"], "s/v1")
        assert next_ends(autoscaler, [0, 0, 2, 1, 1, 3, 1, 1]) == 9


def test_after_a_reload_it_finds_the_next_autoscaler(tmp_path):
    with running(tmp_path, 'service "a" { hosts = {"a"} revision "v1" { command = {"HELLO"} } }') as s:
        for _ in range(3):
            before = s.activator.text().count('msg="conf file reloaded"')
            s.activator.kill(signal.SIGHUP)
            wait_until(lambda: s.activator.text().count('msg="conf file reloaded"') > before,
                       what="the reload")
        s.autoscaler.kill()
        wait_until(lambda: s.metric("activator_link_up") == 0, what="the link to break")
        s.start_autoscaler()
        wait_until(lambda: s.metric("activator_link_up") == 1, what="the next link")
