"""The first whole path: a stopped program answers its first request, and is stopped when
nobody asks any more.  Promises 1, 5, 6 and 7 (DESIGN, section 4)."""
import signal
import threading
import time

from helpers import wait_until
from stack import running, stats

HELLO = """
service "hello" { hosts = {"hello"} revision "v1" {
    command = {"HELLO", "--startup", "300ms"} } }
"""


def test_a_stopped_program_answers_and_is_stopped_again(tmp_path):
    with running(tmp_path, HELLO) as s:
        assert not s.instances()
        status, _, body = s.get("hello")
        assert (status, body) == (200, b"hello\n")
        assert len(s.instances()) == 1
        assert s.metric('activator_cold_starts_total{revision="hello/v1"}') == 1
        wait_until(lambda: not s.instances(), what="zero instances")
        assert "scaled to zero" in s.autoscaler.text()
        assert s.get("hello")[0] == 200  # and again


def test_many_are_parked_and_all_are_answered(tmp_path):
    services = HELLO.replace("revision \"v1\" {", "revision \"v1\" { max_scale = 1")
    with running(tmp_path, services) as s:
        clients = [s.connect() for _ in range(200)]
        for i, c in enumerate(clients):
            c.request("GET", "/", "hello", fields=[("X-Id", str(i))])
        assert [c.response()[0] for c in clients] == [200] * 200
        assert stats(s, "hello")["requests"] == 200  # none lost, none twice


def test_a_body_waits_with_its_request(tmp_path):
    with running(tmp_path, HELLO) as s:
        body = b"x" * 3000000
        with s.connect() as c:
            sender = threading.Thread(target=c.request, args=("POST", "/echo", "hello", body))
            sender.start()
            status, _, got = c.response()
            sender.join()
            assert (status, got) == (200, body)


def test_autoscaler_dies_and_returns(tmp_path):
    services = HELLO.replace('"300ms"', '"1ms"')
    with running(tmp_path, services, autoscaler="orphan_timeout = 20s") as s:
        assert s.get("hello")[0] == 200
        before = s.instances()
        with s.connect() as c:
            s.autoscaler.kill()
            for _ in range(50):  # what runs goes on
                c.request("GET", "/", "hello")
                assert c.response()[0] == 200
            assert s.readyz() == 200
            wait_until(lambda: s.metric("activator_link_up") == 0, what="the link's loss")
            s.start_autoscaler()
            wait_until(lambda: s.metric("activator_link_up") == 1, what="the link")
            c.request("GET", "/", "hello")
            assert c.response()[0] == 200
            assert s.instances() == before  # adopted, not replaced
        wait_until(lambda: not s.instances(), what="zero, decided by the second one")


def test_the_next_autoscaler_stops_what_nobody_asks_for(tmp_path):
    """It was started by the one before, and is adopted: all that the next one knows."""
    services = HELLO.replace('"300ms"', '"1ms"')
    with running(tmp_path, services, autoscaler="orphan_timeout = 60s") as s:
        assert s.get("hello")[0] == 200
        s.autoscaler.kill()
        s.start_autoscaler()
        wait_until(lambda: not s.instances(), what="zero instances")
        assert s.autoscaler.text().count("scaled to zero") == 1


def test_parked_while_the_autoscaler_is_away(tmp_path):
    with running(tmp_path, HELLO) as s:
        s.autoscaler.kill()
        with s.connect() as c:
            c.request("GET", "/", "hello")
            wait_until(lambda: s.metric("activator_parked") == 1, what="a parked request")
            s.start_autoscaler()
            assert c.response()[0] == 200


def test_before_the_first_end_requests_are_parked(tmp_path):
    with running(tmp_path, HELLO) as s:
        s.activator.stop()
        s.autoscaler.stop()
        s.start_activator()
        wait_until(lambda: s.readyz() == 503, what="/readyz")
        with s.connect() as c, s.connect() as d:
            c.request("GET", "/", "hello")
            d.request("GET", "/", "nobody")
            wait_until(lambda: s.metric("activator_parked") == 2, what="parked requests")
            s.start_autoscaler()
            assert c.response()[0] == 200
            status, fields, _ = d.response()
            assert (status, fields["x-activator-reason"]) == (404, "no_route")


def test_activator_dies_nothing_is_scaled_down(tmp_path):
    with running(tmp_path, HELLO) as s:
        assert s.get("hello")[0] == 200
        before = s.instances()
        s.activator.kill()
        time.sleep(3)  # longer than the stable window and the grace: silence is no idleness
        assert s.instances() == before
        s.start_activator()
        s.wait_ready()
        assert s.get("hello")[0] == 200
        assert s.instances() == before


def test_in_flight_at_scale_down_is_finished(tmp_path):
    services = HELLO.replace('"300ms"', '"1ms"')
    with running(tmp_path, services) as s:
        with s.connect() as c:
            c.request("GET", "/?ms=4000", "hello")  # longer than window and grace
            assert c.response()[0] == 200


def test_sigterm_finishes_what_is_in_flight_and_parked(tmp_path):
    with running(tmp_path, HELLO) as s:
        with s.connect() as parked, s.connect() as idle:
            idle.request("GET", "/", "nobody")
            idle.response()
            parked.request("GET", "/?ms=500", "hello")
            wait_until(lambda: s.metric("activator_parked") == 1, what="a parked request")
            s.activator.kill(signal.SIGTERM)
            assert idle.is_closed()
            wait_until(lambda: s.readyz() == 503, what="/readyz")
            status, fields, _ = parked.response()
            assert (status, fields["connection"]) == (200, "close")
        assert s.activator.process.wait(20) == 0


def test_past_the_drain_time(tmp_path):
    never = 'service "never" { hosts = {"never"} revision "v1" { command = {"sleep", "1000"} } }'
    with running(tmp_path, never, activator="drain_timeout = 300ms") as s:
        with s.connect() as c:
            c.request("GET", "/", "never")
            wait_until(lambda: s.metric("activator_parked") == 1, what="a parked request")
            s.activator.kill(signal.SIGTERM)
            status, fields, _ = c.response()
            assert (status, fields["x-activator-reason"]) == (503, "shutting_down")
            assert c.is_closed()
        assert s.activator.process.wait(20) == 0


def test_a_second_one_of_each_says_who_holds_it(tmp_path):
    with running(tmp_path, HELLO) as s:
        first_activator, first_autoscaler = s.activator, s.autoscaler
        s.start_activator()
        assert s.activator.process.wait(20) == 1
        assert "held by process %d" % first_activator.pid in s.activator.text()
        s.start_autoscaler()
        assert s.autoscaler.process.wait(20) == 1
        assert "%d" % first_autoscaler.pid in s.autoscaler.text()
        s.activator, s.autoscaler = first_activator, first_autoscaler
        assert s.get("hello")[0] == 200
