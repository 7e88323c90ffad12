"""Held requests: who waits, in what order, at what pace, within what bounds, and what is
never lost on the way.  Promises 1, 3, 4, 6 and 9 (DESIGN, section 4)."""
import contextlib
import json
import os
import random
import resource
import selectors
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

from helpers import SLOW, cpu_s, wait_until
from stack import Gate, running, stats

# How long clients come, ask and leave at random; all of it where it was asked for.
LEAVING_S = float(os.environ.get("LEAVING_SECONDS", "4"))


def status(stack, revision):
    """The activator's own counts of a revision."""
    text = urllib.request.urlopen("http://127.0.0.1:%d/status?revision=%s"
                                  % (stack.admin, revision), timeout=60).read()
    return json.loads(text)["revisions"][0]


def is_at_rest(stack, revision):
    """Slots, waiters and requests against each other; False while something is on its way."""
    return agrees(status(stack, revision))


def agrees(r):
    limit = r["container_concurrency"]
    assert limit == 0 or (r["in_flight_most"] <= limit and r["connections_most"] <= limit)
    return not (r["queued"] and r["free_slots"]) and \
        r["reported"] == {"in_flight": r["in_flight"], "parked": r["queued"]}


def is_empty(stack, revision):
    r = status(stack, revision)
    return (r["in_flight"], r["queued"], r["released"]) == (0, 0, 0) and \
        is_at_rest(stack, revision) and stack.metric("activator_parked") == 0 and \
        stack.metric("activator_parked_bytes") == 0


def all_answers(clients, timeout=60):
    """The status of each, or None where it was cut."""
    waiting, got = selectors.DefaultSelector(), {}
    end = time.monotonic() + timeout * SLOW
    for c in clients:
        c.setblocking(False)
        waiting.register(c, selectors.EVENT_READ)
    while len(got) < len(clients):
        assert time.monotonic() < end, "%d of %d answered" % (len(got), len(clients))
        for key, _ in waiting.select(1):
            try:
                data = key.fileobj.recv(4096)
            except ConnectionResetError:
                data = b""
            got[key.fileobj] = int(data.split()[1]) if data else None
            waiting.unregister(key.fileobj)
    return [got[c] for c in clients]


def park(stack, host, n, start=0):
    """n GETs, sent one behind the other, each with its number in x-id."""
    clients = []
    for i in range(start, start + n):
        c = stack.connect()
        c.request("GET", "/", host, fields=[("X-Id", str(i))])
        clients.append(c)
    return clients


def test_paced_release(tmp_path):
    """The first instance comes long before the others and breaks above 200 at once."""
    first = """mkdir %s/first 2>/dev/null && exec HELLO --startup 300ms --response 20ms \
--break-at 200; exec HELLO --startup 60s""" % tmp_path
    services = """service "s" { hosts = {"s"} revision "v1" { max_scale = 4 target = 100
        stable_window = 30s stop_timeout = 1s
        command = {"sh", "-c", "%s"} } }""" % first
    with running(tmp_path, services) as s:
        clients = park(s, "s", 1000)
        assert all_answers(clients) == [200] * 1000
        seen = stats(s, "s")
        assert (seen["resets"], seen["requests"]) == (0, 1000)
        assert seen["active_most"] <= 100  # target x release_burst
        wait_until(lambda: is_empty(s, "s/v1"), what="empty counts")


def test_one_at_a_time_whoever_leaves(tmp_path):
    """container_concurrency = 1, four workers, 200 connections, many of which cancel."""
    services = """service "s" { hosts = {"s"} revision "v1" { container_concurrency = 1
        max_scale = 1 command = {"HELLO", "--response", "1ms"} } }"""
    end = time.monotonic() + LEAVING_S
    looks = on_its_way = beside_a_free_slot = 0

    def is_quiet(s):
        nonlocal looks, on_its_way, beside_a_free_slot
        r = status(s, "s/v1")
        is_it = agrees(r)
        looks += 1
        on_its_way += not is_it
        beside_a_free_slot += r["queued"] > 0 and r["free_slots"] > 0
        return is_it

    def client(s, seed):
        rnd = random.Random(seed)
        while time.monotonic() < end:
            with s.connect() as c:
                for _ in range(rnd.randrange(1, 4)):
                    c.request("GET", "/", "s")
                    if rnd.random() < 0.4:  # gives up, parked or in flight
                        time.sleep(rnd.random() * 0.05)
                        break
                    assert c.response()[0] == 200
    with running(tmp_path, services, workers=4) as s:
        threads = [threading.Thread(target=client, args=(s, i)) for i in range(200)]
        for t in threads:
            t.start()
        while any(t.is_alive() for t in threads):  # at some instant of each try
            wait_until(lambda: is_quiet(s), what="counts that agree")
        for t in threads:
            t.join()
        wait_until(lambda: is_empty(s, "s/v1"), what="empty counts")
        seen = stats(s, "s")
        assert (seen["active_most"], seen["connections_most"]) == (1, 1)
        ends = {o: s.metric('activator_requests_total{outcome="%s"}' % o)
                for o in ("ok", "client_gone")}
        assert min(ends.values()) > 0
        print("%s; at the instance: %s; looked %d times, %d while something was on its way, "
              "%d while one that waits and a free slot were about to meet"
              % (ends, seen, looks, on_its_way, beside_a_free_slot))


def test_many_over_two_workers_and_few_descriptors(tmp_path):
    """More requests are parked than connections to instances can be opened: none is lost,
    none is sent twice, and the admin endpoint answers all along."""
    gate = Gate(tmp_path)
    services = """service "s" { hosts = {"s"} revision "v1" { max_scale = 1 target = 1000
        %s } }""" % gate.command("--response 300ms")
    n = 700
    with running(tmp_path, services, activator="fd_reserve = 200", nofile=1200) as s:
        clients = park(s, "s", n)
        wait_until(lambda: s.metric("activator_parked") == n, what="all of them")
        gate.open()
        assert all_answers(clients) == [200] * n
        assert "no descriptor is left for an instance" in s.activator.text()
        assert stats(s, "s")["requests"] == n
        wait_until(lambda: is_empty(s, "s/v1"), what="empty counts")


@contextlib.contextmanager
def spinner():
    """What spends all the processor that this machine has for one program just now."""
    p = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield p
    finally:
        p.kill()
        p.wait()


def test_no_descriptor_is_left(tmp_path):
    """accept(2) fails: a client is refused or waits, and the processor is not spent."""
    services = 'service "s" { hosts = {"s"} revision "v1" { command = {"HELLO"} } }'
    with running(tmp_path, services, workers=1) as s:
        assert s.get("s")[0] == 200
        used = len(os.listdir("/proc/%d/fd" % s.activator.pid))
        before = resource.prlimit(s.activator.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(s.activator.pid, resource.RLIMIT_NOFILE, (used, before[1]))
        clients = [s.connect() for _ in range(20)]
        with spinner() as other:
            before_s = cpu_s(s.activator.pid), cpu_s(other.pid)
            wait_until(lambda: cpu_s(other.pid) - before_s[1] > 0.5, what="half a second of CPU")
            spent, spent_there = cpu_s(s.activator.pid) - before_s[0], cpu_s(other.pid) - before_s[1]
        assert spent < spent_there / 4
        resource.prlimit(s.activator.pid, resource.RLIMIT_NOFILE, before)
        for c in clients:
            c.close()
        assert s.get("s")[0] == 200


def test_no_descriptor_is_left_for_the_admin_endpoint(tmp_path):
    """Who asks there waits, and the processor is not spent."""
    services = 'service "s" { hosts = {"s"} revision "v1" { command = {"HELLO"} } }'
    with running(tmp_path, services, workers=1) as s:
        used = len(os.listdir("/proc/%d/fd" % s.activator.pid))
        before = resource.prlimit(s.activator.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(s.activator.pid, resource.RLIMIT_NOFILE, (used + 2, before[1]))
        clients = [socket.create_connection(("127.0.0.1", s.admin)) for _ in range(10)]
        wait_until(lambda: "cannot accept a connection to the admin endpoint" in s.activator.text(), what="EMFILE")
        with spinner() as other:
            before_s = cpu_s(s.activator.pid), cpu_s(other.pid)
            wait_until(lambda: cpu_s(other.pid) - before_s[1] > 0.5, what="half a second of CPU")
            spent, spent_there = cpu_s(s.activator.pid) - before_s[0], cpu_s(other.pid) - before_s[1]
        assert spent < spent_there / 4
        resource.prlimit(s.activator.pid, resource.RLIMIT_NOFILE, before)
        wait_until(lambda: s.readyz() == 200, what="an answer")
        for c in clients:
            c.close()


def test_a_bound_on_connections_is_one_over_all_workers(tmp_path):
    services = 'service "s" { hosts = {"s"} revision "v1" { command = {"HELLO"} } }'
    with running(tmp_path, services, workers=4, activator="max_connections = 40") as s:
        clients = park(s, "s", 40)
        assert [c.response()[0] for c in clients] == [200] * 40
        with s.connect() as c:
            status_, fields, _ = c.response()
            assert (status_, fields["x-activator-reason"]) == (503, "queue_full")
            assert int(fields["retry-after"]) >= 1


@pytest.mark.parametrize("bound, parked", [("max_parked_total = 5", 5),
                                           ("max_parked_bytes = 65536", 10)])
def test_bounds_of_what_is_parked(tmp_path, bound, parked):
    services = """service "s" { hosts = {"s"} revision "v1" {
        command = {"HELLO", "--never-listen"} } }"""
    with running(tmp_path, services, activator=bound) as s:
        field = [("X-Long", "x" * 8000)] if "bytes" in bound else []
        clients = [s.connect() for _ in range(parked * 3)]
        for c in clients:
            c.request("GET", "/", "s", fields=field)
        refused = "activator_requests_total{outcome=\"queue_full\"}"
        wait_until(lambda: s.metric(refused) + s.metric("activator_parked") == len(clients),
                   what="all read")
        assert 0 < s.metric("activator_parked") <= parked
        assert s.metric("activator_parked_bytes") <= max(65536, parked * 10000)
        for c in clients:
            c.close()
        wait_until(lambda: is_empty(s, "s/v1"), what="an empty queue")


def test_an_end_that_comes_with_the_request(tmp_path):
    """No event of its own tells of it."""
    services = """service "s" { hosts = {"s"} revision "v1" {
        command = {"HELLO", "--never-listen"} } }
service "half" { hosts = {"half"} half_close = yes revision "v1" {
        command = {"HELLO", "--startup", "300ms"} } }"""
    with running(tmp_path, services) as s:
        for _ in range(50):
            with s.connect() as c:
                c.request("GET", "/", "s")
        wait_until(lambda: s.metric('activator_requests_total{outcome="client_gone"}') == 50,
                   what="50 that left")
        assert is_empty(s, "s/v1")
        with s.connect() as c:  # here a FIN only says that no more requests come
            c.request("GET", "/", "half")
            c.shutdown(socket.SHUT_WR)
            assert c.response()[0] == 200


def test_parked_before_the_first_table_is_counted_once(tmp_path):
    services = 'service "s" { hosts = {"s"} revision "v1" { command = {"HELLO"} } }'
    with running(tmp_path, services) as s:
        s.activator.stop()
        s.autoscaler.stop()
        s.start_activator()
        wait_until(lambda: s.readyz() == 503, what="/readyz")
        clients = park(s, "s", 5)
        wait_until(lambda: s.metric("activator_parked") == 5, what="parked requests")
        s.start_autoscaler()
        assert all_answers(clients) == [200] * 5
        wait_until(lambda: is_empty(s, "s/v1"), what="empty counts")


RULES = """service "s" { hosts = {"s"}
    rule "monitor" { header = "user-agent" contains = "uptime" action = serve_only }
    rule "prefetch" { header = "sec-purpose" contains = "prefetch" action = serve_only }
    rule "robots" { paths = {"/robots.txt"} action = answer status = 200
        body = "User-agent: *" fields = {"Content-Type: text/plain"} }
    rule "net" { clients = {"127.0.0.0/8"} methods = {"OPTIONS"} action = answer status = 204 }
    revision "v1" { command = {"HELLO"} } }"""


def test_who_may_wake(tmp_path):
    monitor, prefetch = [("User-Agent", "Uptime/1")], [("Sec-Purpose", "prefetch;prerender")]
    with running(tmp_path, RULES) as s:
        for fields in monitor, prefetch:
            got, answer, _ = s.get("s", fields=fields)
            assert (got, answer["x-activator-reason"]) == (503, "not_active")
            assert int(answer["retry-after"]) >= 1
        got, answer, body = s.get("s", "/robots.txt")
        assert (got, answer["content-type"], body) == (200, "text/plain", b"User-agent: *")
        assert s.get("s", method="OPTIONS")[0] == 204
        assert not s.instances()
        assert s.get("s")[0] == 200
        assert s.get("s", fields=monitor)[0] == 200

        def is_asleep():  # though it is asked all the time
            return s.get("s", fields=monitor)[0] == 503 and not s.instances()
        wait_until(is_asleep, what="zero instances")


@pytest.mark.parametrize("told, is_inner", [
    (["10.1.1.1"], True),
    (["192.0.2.1"], False),
    (["10.1.1.1, 192.0.2.1"], False),  # whatever a client said of itself stands before it
    (["10.1.1.1", "192.0.2.1"], False),  # also where its proxy adds a field of its own
    (["192.0.2.1", "10.1.1.1"], True),
    (["192.0.2.1,\t10.1.1.1 , ,"], True),
    (["192.0.2.1", "10.1.1.1, 127.0.0.9", "127.0.0.8"], True),  # by way of two of ours
    (["10.1.1.1", "nobody"], False),
])
def test_rules_by_client_behind_a_proxy(behind, told, is_inner):
    got = behind.get("s", fields=[("X-Forwarded-For", t) for t in told])
    assert got[0] == (204 if is_inner else 503)


@pytest.fixture(scope="module")
def behind(tmp_path_factory):
    services = """service "s" { hosts = {"s"}
        rule "inner" { clients = {"10.0.0.0/8"} action = answer status = 204 }
        rule "outer" { action = serve_only }
        revision "v1" { command = {"HELLO"} } }"""
    with running(tmp_path_factory.mktemp("behind"), services, workers=1,
                 activator='trusted_proxies = {"127.0.0.0/8"}') as s:
        yield s


def test_the_waiting_page(tmp_path):
    services = """service "s" { hosts = {"s"} waiting_page = "default" revision "v1" {
        command = {"HELLO", "--startup", "700ms"} } }"""
    navigation = [("Sec-Fetch-Mode", "navigate"), ("Accept", "text/html")]
    with running(tmp_path, services) as s:
        got, fields, body = s.get("s", fields=navigation)
        assert (got, fields["x-activator-reason"]) == (503, "waiting_page")
        assert fields["content-type"] == "text/html; charset=utf-8"
        assert int(fields["retry-after"]) >= 1 and fields["cache-control"] == "no-store"
        assert b"<title>Starting s</title>" in body
        with s.connect() as api:  # the page itself wakes; a program is held
            wait_until(lambda: "waking" in s.activator.text(), what="activation")
            api.request("GET", "/", "s", fields=[("Accept", "*/*")])
            assert api.response()[0] == 200
        got, _, body = s.get("s", fields=navigation)
        assert (got, body) == (200, b"hello\n")


def test_a_cold_start_is_explained(tmp_path):
    services = """service "s" { hosts = {"s"} server_timing = yes revision "v1" {
        command = {"HELLO", "--startup", "200ms"} } }"""
    with running(tmp_path, services) as s:
        timing = s.get("s")[1]["server-timing"]
        phases = dict(p.split(";dur=") for p in timing.split(", "))
        assert list(phases) == ["signal", "ack", "address", "connect", "send", "first_byte"]
        assert float(phases["connect"]) >= 100
        assert "cold start" in s.activator.text()
        assert "server-timing" not in s.get("s")[1]  # warm
        m = s.metrics()
        name = "activator_cold_start_phase_seconds_bucket"
        assert m[name + '{revision="s/v1",phase="connect",le="+Inf"}'] == 1
        assert any('phase="connect",le="600' in k for k in m)
