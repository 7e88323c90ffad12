"""Parked requests: which requests are parked, in what order and at what pace they are released,
the bounds on them, and that none is lost.  Also what a request may be answered instead."""
import os
import random
import resource
import selectors
import socket
import subprocess
import sys
import threading
import time

import pytest

from helpers import SLOW, cpu_s, wait_until
from stack import Gate, running, stats

# How long clients come, ask and leave at random; all of it where it was asked for.
LEAVING_S = float(os.environ.get("LEAVING_SECONDS", "4"))


def is_consistent(r):
    """Whether slots, waiters and requests of /status fit together.  They do not while a slot or a
    report is on its way."""
    limit = r["container_concurrency"]
    assert limit == 0 or (r["in_flight_most"] <= limit and r["connections_most"] <= limit)
    return not (r["queued"] and r["free_slots"]) and \
        r["reported"] == {"in_flight": r["in_flight"], "parked": r["queued"]}


def is_empty(stack, revision):
    """Nothing is counted of the revision, and nothing of any parked request."""
    r = stack.revision_status(revision)
    return (r["in_flight"], r["queued"], r["released"]) == (0, 0, 0) and \
        is_consistent(r) and stack.metric("activator_parked") == 0 and \
        stack.metric("activator_parked_bytes") == 0


def all_statuses(clients, timeout=120):
    """The status of each client's response; None: its connection was reset."""
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
    """Clients of n GETs, sent one after another, each with its number in X-Id."""
    clients = []
    for i in range(start, start + n):
        c = stack.connect()
        c.request("GET", "/", host, fields=[("X-Id", str(i))])
        clients.append(c)
    return clients


def test_paced_release(tmp_path):
    """Four instances are wanted all the time.  One of them answers, after all requests have been
    parked, and resets what is above 200 at once; the others never do."""
    gate = Gate(tmp_path)
    instance = """mkdir %s/first 2>/dev/null || exec HELLO --never-listen; \
until [ -e %s ]; do sleep 0.02; done; exec HELLO --response 20ms --break-at 200""" % (
        tmp_path, gate.path)
    services = """service "s" { hosts = {"s"} revision "v1" { min_scale = 4 max_scale = 4
        target = 100 stop_timeout = 1s command = {"sh", "-c", "%s"} } }""" % instance
    with running(tmp_path, services) as s:
        clients = park(s, "s", 1000)
        wait_until(lambda: s.metric("activator_parked") == 1000, what="all of them")
        gate.open()
        assert all_statuses(clients) == [200] * 1000
        seen = stats(s, "s")
        assert (seen["resets"], seen["requests"]) == (0, 1000)
        assert seen["active_most"] <= 100  # target x release_burst
        wait_until(lambda: is_empty(s, "s/v1"), what="counts of zero")


def test_one_at_a_time_while_clients_leave(tmp_path):
    """container_concurrency = 1, four workers, 200 clients, many of which leave early."""
    services = """service "s" { hosts = {"s"} revision "v1" { container_concurrency = 1
        max_scale = 1 command = {"HELLO", "--response", "1ms"} } }"""
    looks = inconsistent = beside_a_free_slot = 0

    def look(s):
        nonlocal looks, inconsistent, beside_a_free_slot
        r = s.revision_status("s/v1")
        is_right = is_consistent(r)
        looks += 1
        inconsistent += not is_right
        beside_a_free_slot += r["queued"] > 0 and r["free_slots"] > 0
        return is_right

    def client(s, seed, end):
        rnd = random.Random(seed)
        while time.monotonic() < end:
            with s.connect() as c:
                for _ in range(rnd.randrange(1, 4)):
                    c.request("GET", "/", "s")
                    if rnd.random() < 0.4:  # leaves, parked or in flight
                        time.sleep(rnd.random() * 0.05)
                        break
                    assert c.response()[0] == 200
    with running(tmp_path, services, workers=4) as s:
        end = time.monotonic() + LEAVING_S
        threads = [threading.Thread(target=client, args=(s, i, end)) for i in range(200)]
        for t in threads:
            t.start()
        while any(t.is_alive() for t in threads):
            wait_until(lambda: look(s), what="an instant at which all counts fit together")
        for t in threads:
            t.join()
        wait_until(lambda: is_empty(s, "s/v1"), what="counts of zero")
        seen = stats(s, "s")
        assert (seen["active_most"], seen["connections_most"]) == (1, 1)
        ends = {o: s.metric('activator_requests_total{outcome="%s"}' % o)
                for o in ("ok", "client_gone")}
        assert min(ends.values()) > 0
        print("%s; at the instance: %s; looked %d times, counts did not fit together %d times, "
              "a waiter and a free slot were about to meet %d times"
              % (ends, seen, looks, inconsistent, beside_a_free_slot))


def test_more_parked_requests_than_descriptors_for_instances(tmp_path):
    """None is lost, none is sent twice, and the admin endpoint answers all the time."""
    gate = Gate(tmp_path)
    services = """service "s" { hosts = {"s"} revision "v1" { max_scale = 1 target = 1000
        %s } }""" % gate.command("--response 300ms")
    n = 700
    with running(tmp_path, services, activator="fd_reserve = 200", nofile=1200) as s:
        clients = park(s, "s", n)
        wait_until(lambda: s.metric("activator_parked") == n, what="all of them")
        gate.open()
        assert all_statuses(clients) == [200] * n
        assert "cannot connect: out of descriptors" in s.activator.text()
        assert stats(s, "s")["requests"] == n
        wait_until(lambda: is_empty(s, "s/v1"), what="counts of zero")


def spins(pid):
    """Whether the process computes all the time.  A process that does so beside it shows how much
    processor time it could have had meanwhile, however loaded the machine is."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        try:
            before_s, before_other_s = cpu_s(pid), cpu_s(other.pid)
            wait_until(lambda: cpu_s(other.pid) - before_other_s > 0.5, what="half a second of CPU")
            return cpu_s(pid) - before_s > (cpu_s(other.pid) - before_other_s) / 4
        finally:
            other.kill()


def test_no_descriptor_for_a_client(tmp_path):
    """accept(2) fails: clients are refused or wait, and the activator does not spin."""
    services = 'service "s" { hosts = {"s"} revision "v1" { command = {"HELLO"} } }'
    with running(tmp_path, services, workers=1) as s:
        assert s.get("s")[0] == 200
        used = len(os.listdir("/proc/%d/fd" % s.activator.pid))
        before = resource.prlimit(s.activator.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(s.activator.pid, resource.RLIMIT_NOFILE, (used, before[1]))
        clients = [s.connect() for _ in range(20)]
        assert not spins(s.activator.pid)
        resource.prlimit(s.activator.pid, resource.RLIMIT_NOFILE, before)
        for c in clients:
            c.close()
        assert s.get("s")[0] == 200


def test_no_descriptor_for_the_admin_endpoint(tmp_path):
    """Its clients wait, and the activator does not spin."""
    services = 'service "s" { hosts = {"s"} revision "v1" { command = {"HELLO"} } }'
    with running(tmp_path, services, workers=1) as s:
        used = len(os.listdir("/proc/%d/fd" % s.activator.pid))
        before = resource.prlimit(s.activator.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(s.activator.pid, resource.RLIMIT_NOFILE, (used + 2, before[1]))
        clients = [socket.create_connection(("127.0.0.1", s.admin)) for _ in range(10)]
        wait_until(lambda: "cannot accept a connection to the admin endpoint" in s.activator.text(),
                   what="EMFILE")
        assert not spins(s.activator.pid)
        resource.prlimit(s.activator.pid, resource.RLIMIT_NOFILE, before)
        wait_until(lambda: s.readyz() == 200, what="an answer")
        for c in clients:
            c.close()


def test_max_connections_holds_over_all_workers(tmp_path):
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
def test_bounds_on_parked_requests(tmp_path, bound, parked):
    services = """service "s" { hosts = {"s"} revision "v1" {
        command = {"HELLO", "--never-listen"} } }"""
    with running(tmp_path, services, activator=bound) as s:
        field = [("X-Long", "x" * 8000)] if "bytes" in bound else []
        clients = [s.connect() for _ in range(parked * 3)]
        for c in clients:
            c.request("GET", "/", "s", fields=field)
        refused = "activator_requests_total{outcome=\"queue_full\"}"
        wait_until(lambda: s.metric(refused) + s.metric("activator_parked") == len(clients),
                   what="all requests to be read")
        assert 0 < s.metric("activator_parked") <= parked
        assert s.metric("activator_parked_bytes") <= max(65536, parked * 10000)
        for c in clients:
            c.close()
        wait_until(lambda: is_empty(s, "s/v1"), what="an empty queue")


def test_a_fin_that_comes_with_the_request(tmp_path):
    """There is one event for both."""
    services = """service "s" { hosts = {"s"} revision "v1" {
        command = {"HELLO", "--never-listen"} } }
service "half" { hosts = {"half"} half_close = yes revision "v1" {
        command = {"HELLO", "--startup", "300ms"} } }"""
    with running(tmp_path, services) as s:
        for _ in range(50):
            with s.connect() as c:
                c.request("GET", "/", "s")
        wait_until(lambda: s.metric('activator_requests_total{outcome="client_gone"}') == 50,
                   what="50 requests to be given up")
        assert is_empty(s, "s/v1")
        with s.connect() as c:  # half_close: a FIN only means that no more requests come
            c.request("GET", "/", "half")
            c.shutdown(socket.SHUT_WR)
            assert c.response()[0] == 200


def test_requests_that_are_parked_before_services_are_known_are_counted_once(tmp_path):
    services = 'service "s" { hosts = {"s"} revision "v1" { command = {"HELLO"} } }'
    with running(tmp_path, services) as s:
        s.activator.stop()
        s.autoscaler.stop()
        s.start_activator()
        wait_until(lambda: s.readyz() == 503, what="/readyz")
        clients = park(s, "s", 5)
        wait_until(lambda: s.metric("activator_parked") == 5, what="parked requests")
        s.start_autoscaler()
        assert all_statuses(clients) == [200] * 5
        wait_until(lambda: is_empty(s, "s/v1"), what="counts of zero")


RULES = """service "s" { hosts = {"s"}
    rule "monitor" { header = "user-agent" contains = "uptime" action = serve_only }
    rule "prefetch" { header = "sec-purpose" contains = "prefetch" action = serve_only }
    rule "robots" { paths = {"/robots.txt"} action = answer status = 200
        body = "User-agent: *" fields = {"Content-Type: text/plain"} }
    rule "net" { clients = {"127.0.0.0/8"} methods = {"OPTIONS"} action = answer status = 204 }
    revision "v1" { command = {"HELLO"} } }"""


def test_requests_that_do_not_wake(tmp_path):
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

        def is_at_zero():  # in spite of all these requests
            return s.get("s", fields=monitor)[0] == 503 and not s.instances()
        wait_until(is_at_zero, what="zero instances")


@pytest.mark.parametrize("forwarded_for, is_inner", [
    (["10.1.1.1"], True),
    (["192.0.2.1"], False),
    (["10.1.1.1, 192.0.2.1"], False),  # a client's own claim stands before its address
    (["10.1.1.1", "192.0.2.1"], False),  # also where its proxy adds another field
    (["192.0.2.1", "10.1.1.1"], True),
    (["192.0.2.1,\t10.1.1.1 , ,"], True),
    (["192.0.2.1", "10.1.1.1, 127.0.0.9", "127.0.0.8"], True),  # by two trusted proxies
    (["10.1.1.1", "nobody"], False),
])
def test_rules_by_client_behind_a_proxy(behind_a_proxy, forwarded_for, is_inner):
    got = behind_a_proxy.get("s", fields=[("X-Forwarded-For", f) for f in forwarded_for])
    assert got[0] == (204 if is_inner else 503)


@pytest.fixture(scope="module")
def behind_a_proxy(tmp_path_factory):
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
        with s.connect() as api:  # the page wakes; a request of a program is parked
            wait_until(lambda: "waking" in s.activator.text(), what="activation")
            api.request("GET", "/", "s", fields=[("Accept", "*/*")])
            assert api.response()[0] == 200
        got, _, body = s.get("s", fields=navigation)
        assert (got, body) == (200, b"hello\n")


def test_the_phases_of_a_cold_start(tmp_path):
    gate = Gate(tmp_path)
    services = 'service "s" { hosts = {"s"} server_timing = yes revision "v1" { %s } }' % (
        gate.command())
    with running(tmp_path, services) as s:
        with s.connect() as c:
            c.request("GET", "/", "s")
            wait_until(lambda: s.revision_status("s/v1")["instances"], what="an address")
            time.sleep(0.1)
            gate.open()
            timing = c.response()[1]["server-timing"]
        phases = dict(p.split(";dur=") for p in timing.split(", "))
        assert list(phases) == ["signal", "ack", "address", "connect", "send", "first_byte"]
        assert float(phases["connect"]) >= 100
        assert "cold start" in s.activator.text()
        assert "server-timing" not in s.get("s")[1]  # warm
        m = s.metrics()
        name = "activator_cold_start_phase_seconds_bucket"
        assert m[name + '{revision="s/v1",phase="connect",le="+Inf"}'] == 1
        assert any('phase="connect",le="600' in k for k in m)


def test_the_service_of_a_parked_request_is_removed(tmp_path):
    """There is no route to it any more.  Where the service stays and only the revision goes, the
    request waits for another revision."""
    gate = Gate(tmp_path)
    services = """service "whole" { hosts = {"whole"} revision "v1" { %s } }
        service "part" { hosts = {"part"} revision "v1" { %s } }""" % (
            gate.command(), gate.command())
    with running(tmp_path, services) as s:
        whole, part = s.connect(), s.connect()
        whole.request("POST", "/", "whole", b"")
        part.request("POST", "/", "part", b"")
        wait_until(lambda: s.metric("activator_parked") == 2, what="two parked requests")
        s.reload('"whole" { hosts = {"whole"}', '"other" { hosts = {"other"}')
        status, fields, body = whole.response()
        assert (status, fields["x-activator-reason"]) == (404, "no_route")
        assert b"removed" in body
        s.reload('hosts = {"part"} revision "v1"', 'hosts = {"part"} revision "v2"')
        wait_until(lambda: s.metric('activator_revision_parked{revision="part/v2"}') == 1,
                   what="the request to move")
        gate.open()
        assert part.response()[0] == 200
