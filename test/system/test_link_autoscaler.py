"""The autoscaler as activators see it: real program, real instances, real socket; the
activators are played (fakes/activator.py), well and badly behaved."""

import json
import os
import signal
import socket
import sys
import time

import pytest

from fakes.activator import Activator, Gone
from fakes.autoscaler import SLOW, Autoscaler

SERVER = """
import os, socket, time
s = socket.socket(); s.bind(("127.0.0.1", int(os.environ["PORT"]))); s.listen()
time.sleep(1000)
"""
QUICK = "stable_window = 6s  scale_to_zero_grace = 1s"
REV = "app/v1"


def service(command=None, name="app", more=""):
    words = command or [sys.executable, "-c", SERVER]
    listed = ", ".join('"%s"' % w.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
                       for w in words)
    return f'''service "{name}" {{
    hosts = {{"{name}.localhost"}}
    revision "v1" {{
        command = {{{listed}}}
        target = 10
        {more}
    }}
}}
'''


@pytest.fixture
def autoscaler(tmp_path):
    """Started with one service; stopped, and nothing left, at the end."""
    made = Autoscaler(tmp_path, service(), QUICK)
    yield made.start()
    assert made.stop() == 0, made.log()[-3000:]
    assert "check failed" not in made.log()


@pytest.fixture
def activator(autoscaler):
    links = []

    def connect(ident=None, **options):
        link = Activator(autoscaler.path, ident, friends=links, **options)
        links.append(link)
        return link

    yield connect
    for link in links:
        link.close()


def answers(link, revision=REV, timeout=10):
    """Wait until an instance listens, say that it answers; its id."""
    def listening():
        for i in link.instances[revision]["instances"] or []:
            if i["state"] == "starting" and i.get("address"):
                try:
                    socket.create_connection((i["address"], i["port"]), 1).close()
                except OSError:
                    continue
                return i["id"]
        return None

    ident = link.wait(listening, timeout * SLOW, "for an instance that listens")
    link.send(type="instance", id=ident, state="answers")
    link.wait_states(revision, lambda s: s.get(ident) == "ready")
    return ident


def wake(link, load=1, revision=REV):
    """From nothing to one instance that answers, with `load` in flight; its id."""
    link.activate(revision, 1)
    ident = answers(link, revision)
    carry(link, load, [ident], revision)
    return ident


def carry(link, load, ids, revision=REV):
    share = [load // len(ids) + (i < load % len(ids)) for i in range(len(ids))]
    link.load(revision, concurrency=float(load), in_flight=load, requests=load,
              instances=[{"id": i, "in_flight": n} for i, n in zip(ids, share)])


# --- hello and services


def test_hello_then_services_then_known_instances(autoscaler, activator):
    a = activator()
    a.ready()
    assert [m["type"] for m in a.seen[:4]] == ["hello", "begin", "service", "end"]
    assert a.seen[0]["protocol"] == 1 and a.seen[0]["role"] == "autoscaler" and a.seen[0]["id"]
    assert a.seen[3]["services"] == 1 and a.seen[3]["generation"] == a.seen[1]["generation"]
    app = a.services["app"]
    assert app["hosts"] == ["app.localhost"]
    assert app["traffic"] == [{"revision": REV, "percent": 100}]
    assert app["revisions"][0]["limits"]["activation_timeout_ms"] > 0
    a.wait_states(REV, lambda s: s == {})


def test_every_activator_gets_a_hello_before_it_says_one(activator):
    a = activator(hello=False)
    assert a.wait_for("hello")["role"] == "autoscaler"


def test_an_external_revision_is_always_there(tmp_path):
    s = Autoscaler(tmp_path, 'service "ext" { hosts = {"*"} '
                   'revision "v1" { addresses = {"127.0.0.1:9000", "[::1]:9001"} } }').start()
    a = Activator(s.path)
    a.ready()
    a.wait_states("ext/v1", lambda s: len(s) == 2)
    told = a.instances["ext/v1"]
    assert told["external"] is True
    assert [(i["address"], i["port"], i["state"]) for i in told["instances"]] == [
        ("127.0.0.1", 9000, "starting"), ("::1", 9001, "starting")]
    a.send(type="activate", revision="ext/v1", parked=1, seq=4)
    assert a.wait_for("activating")["seq"] == 4
    a.close()
    assert s.stop() == 0


# --- up


def test_wake_and_back_to_zero(autoscaler, activator):
    a = activator()
    a.ready()
    begun = time.monotonic()
    a.activate(REV, 3)
    ack = a.wait_for("activating")
    assert time.monotonic() - begun < 0.25 * SLOW
    assert ack["revision"] == REV and ack["wanted"] >= 1 and ack["seq"] == 1
    ident = answers(a)
    carry(a, 1, [ident])
    autoscaler.wait_log("revision woken")
    autoscaler.wait_log("instance ready")
    a.rest(2)
    a.idle(REV)
    drain = a.wait_for("drain", 20 * SLOW)
    assert drain["revision"] == REV and "instance" not in drain
    a.wait_states(REV, lambda s: s == {}, 20 * SLOW)
    autoscaler.wait_log("scaled to zero")
    a.wait_for("resume", token=drain["token"])
    status = autoscaler.status(REV)
    assert status["wanted"] == 0 and status["instances"] == [] and status["drains"] == []
    assert status["start_s"] > 0


def test_each_activate_is_acknowledged_and_one_instance_is_started(autoscaler, activator):
    a, b = activator(), activator()
    a.ready()
    b.ready()
    for _ in range(20):
        a.activate(REV)
        b.activate(REV)
    a.wait(lambda: len(a.of("activating")) == 20)
    b.wait(lambda: len(b.of("activating")) == 20)
    assert {m["seq"] for m in a.of("activating")} == set(range(1, 21))
    a.wait_states(REV, lambda s: len(s) > 0)
    b.wait_states(REV, lambda s: s == a.states(REV))
    assert autoscaler.log().count("instance started") <= 3


def test_a_program_that_ends_at_once_is_said_to_be_failing(tmp_path):
    s = Autoscaler(tmp_path, service(["sh", "-c", "echo no good; exit 3"]), QUICK).start()
    a = Activator(s.path)
    a.ready()
    a.activate(REV)
    told = a.wait(lambda: a.of("instances", revision=REV)
                  and a.of("instances", revision=REV)[-1].get("failure"), 10 * SLOW)
    assert "3" in told["message"] and told["reason"] and told["retry_after_ms"] >= 0
    status = s.status(REV)
    assert status["failure"]["message"] == told["message"]
    assert 'autoscaler_failing{revision="app/v1"} 1' in s.get("/metrics")[1]
    a.close()
    assert s.stop() == 0


# --- down


def test_busy_and_then_not(autoscaler, activator):
    a, b = activator(answer="busy"), activator()
    a.ready()
    b.ready()
    wake(b)
    b.rest(1)
    b.idle(REV)
    b.wait(lambda: len(a.of("drain")) >= 2, 30 * SLOW)
    assert {m["token"] for m in a.of("resume")} <= {m["token"] for m in a.of("drain")}
    assert autoscaler.status(REV)["wanted"] == 0
    assert autoscaler.status(REV)["ready"] == 1
    a.answer = "drained"
    b.wait_states(REV, lambda s: s == {}, 30 * SLOW)


def test_nothing_stops_until_the_last_has_answered(autoscaler, activator):
    a, b = activator(), activator(answer=None)
    a.ready()
    b.ready()
    wake(a)
    a.rest(1)
    a.idle(REV)
    token = b.wait_for("drain", 30 * SLOW)["token"]
    b.rest(2)
    assert autoscaler.status(REV)["ready"] == 1
    b.send(type="drained", token=token)
    a.wait_states(REV, lambda s: s == {}, 10 * SLOW)


def test_a_request_in_between_takes_the_drain_back(autoscaler, activator):
    a = activator(answer=None)
    a.ready()
    ident = wake(a)
    a.rest(1)
    a.idle(REV)
    token = a.wait_for("drain", 20 * SLOW)["token"]
    a.activate(REV)
    a.wait_for("resume", token=token)
    a.send(type="drained", token=token)  # too late
    carry(a, 1, [ident])
    a.rest(1.5)
    assert a.states(REV) == {ident: "ready"}


def test_fewer_are_drained_one_by_one_the_least_busy_first(autoscaler, activator):
    a = activator(answer=None)
    a.ready()
    first = wake(a)
    carry(a, 20, [first])
    a.wait_states(REV, lambda s: len(s) >= 2, 20 * SLOW)
    while len([s for s in a.states(REV).values() if s == "ready"]) < len(a.states(REV)):
        answers(a)
    ids = list(a.states(REV))
    idle = [i for i in ids if i != first]
    a.load(REV, concurrency=3.0, in_flight=3, requests=3,
           instances=[{"id": first, "in_flight": 3}] + [{"id": i, "in_flight": 0} for i in idle])
    drain = a.wait_for("drain", 40 * SLOW)
    assert drain["instance"] in idle
    a.wait_states(REV, lambda s: s[drain["instance"]] == "stopping" and s[first] == "ready")
    assert autoscaler.status(REV)["scale_sent"] == len(ids)
    a.send(type="drained", token=drain["token"])
    a.wait_states(REV, lambda s: drain["instance"] not in s, 20 * SLOW)
    assert a.states(REV)[first] == "ready"


# --- who is not there


def test_nothing_is_stopped_while_no_activator_is_there(autoscaler, activator):
    a = activator()
    a.ready()
    wake(a)
    a.rest(1)
    a.close()
    time.sleep(10)
    assert autoscaler.status(REV)["ready"] == 1
    assert "scaled to zero" not in autoscaler.log()


def test_killed_and_restarted_it_takes_up_what_runs(autoscaler, activator):
    a = activator()
    a.ready()
    ident = wake(a)
    pid = autoscaler.process.pid
    autoscaler.kill()
    a.wait_gone()
    a.close()
    autoscaler.start()
    assert autoscaler.process.pid != pid
    b = activator(a.ident)
    b.ready()
    b.wait_states(REV, lambda s: ident in s)
    b.send(type="instance", id=ident, state="answers")
    carry(b, 1, [ident])
    b.rest(3)
    assert list(b.states(REV)) == [ident]
    b.idle(REV)
    b.wait_states(REV, lambda s: s == {}, 30 * SLOW)


# --- rules


@pytest.mark.parametrize("data, why", [
    (b"rubbish\n", "not JSON"),
    (b"\n", "not JSON"),
    (b"\x00\xff\n", "not JSON"),
    (b'{"type":"stats","period_ms":1000,"revisions":[]}\n', "sent stats before its hello"),
    (b'{"type":"hello","protocol":2,"role":"activator","id":"x"}\n', "speaks protocol 2"),
    (b'{"type":"hello","protocol":1,"role":"autoscaler","id":"x"}\n', "is an autoscaler"),
    (b'{"type":"hello","protocol":1,"role":"king","id":"x"}\n', "$.role"),
    (b'{"type":"hello","protocol":1,"role":"activator"}\n', "$.id"),
    (b'{"type":"hello","protocol":1,"role":"activator","id":"x"}\n' * 2, "said hello twice"),
    (b'{"type":"hello","protocol":1,"role":"activator","id":"x"}\n'
     b'{"type":"begin","generation":1}\n', "sent begin, which only an autoscaler may"),
    (b'{"type":"hello","protocol":1,"role":"control","id":"x"}\n'
     b'{"type":"stats","period_ms":1000,"revisions":[]}\n', "which only an activator may"),
    (b'{"type":"hello","protocol":1,"role":"activator","id":"x"}\n'
     b'{"type":"stats","period_ms":1000,"revisions":[{"name":"app/v1"}]}\n',
     "$.revisions[0].concurrency"),
    (b"[" * 100000 + b"\n", "nested deeper"),
    (b"x" * (1 << 20) + b"\n", "closed"),
], ids=lambda value: value[:30] if isinstance(value, str) else "")
def test_whoever_breaks_the_rules_is_dropped_and_the_others_are_not(autoscaler, activator, data,
                                                                    why):
    good = activator()
    good.ready()
    bad = activator("x", hello=False)
    bad.is_stalled = True
    try:
        bad.raw(data)
    except (BrokenPipeError, ConnectionResetError):
        pass
    bad.wait_gone()
    if why != "closed":
        autoscaler.wait_log("peer dropped")
        assert why in autoscaler.log()
    good.send(type="activate", revision=REV, parked=1, seq=5)
    assert good.wait_for("activating")["seq"] == 5


def test_what_a_later_version_says_is_ignored(autoscaler, activator):
    a = activator()
    a.ready()
    a.send(type="gossip", about="you")
    a.send(type="activate", revision=REV, parked=1, seq=1, colour="blue", more={"x": [1]})
    a.wait_for("activating")
    a.send(type="activate", revision="no/such", parked=1, seq=2)
    a.send(type="drained", token="never-given")
    a.send(type="instance", id="unheard", state="answers")
    a.rest(0.3)
    assert not a.of("activating", seq=2)


def test_half_lines_and_many_lines_in_one_write(autoscaler, activator):
    a = activator(hello=False)
    text = json.dumps({"type": "hello", "protocol": 1, "role": "activator", "id": "slow"})
    for c in text:
        a.raw(c.encode())
        time.sleep(0.002)
    a.raw(b"\n" + b"".join(json.dumps({"type": "activate", "revision": REV, "parked": 1,
                                       "seq": n}).encode() + b"\n" for n in range(30)))
    a.wait(lambda: len(a.of("activating")) == 30)


def test_who_says_no_hello_is_cut_in_time(autoscaler, activator):
    silent = activator(hello=False)
    silent.is_stalled = True
    silent.wait_gone(10 * SLOW)
    autoscaler.wait_log("said no hello")


def test_a_newer_link_of_the_same_activator_replaces_the_older(autoscaler, activator):
    old = activator("twin")
    old.ready()
    old.is_stalled = True
    new = activator("twin")
    new.ready()
    old.wait_gone()
    new.activate(REV)
    new.wait_for("activating")
    assert [a["id"] for a in autoscaler.status()["activators"]] == ["twin"]


def test_one_that_stalls_does_not_hold_up_the_others(autoscaler, activator):
    stalled = activator()
    stalled.is_stalled = True
    a = activator()
    a.ready()
    begun = time.monotonic()
    for _ in range(200):
        a.activate(REV)
    a.wait(lambda: len(a.of("activating")) == 200)
    assert time.monotonic() - begun < 5 * SLOW
    assert stalled.seen == []


# --- the process


def test_a_second_one_says_who_holds_it(autoscaler, activator):
    activator().ready()
    second = Autoscaler.__new__(Autoscaler)
    second.__dict__.update(autoscaler.__dict__, process=None)
    second.start()
    assert second.process.wait(10 * SLOW) == 1
    assert f"{autoscaler.process.pid}" in autoscaler.log().split("cannot lock")[1].split("\n")[0]
    a = activator()
    a.ready()  # the first is not disturbed


def test_a_stale_socket_is_removed(tmp_path):
    s = Autoscaler(tmp_path, service(), QUICK)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(s.path)
    s.start()
    a = Activator(s.path)
    a.ready()
    a.close()
    assert os.stat(s.path).st_mode & 0o777 == 0o660
    assert s.stop() == 0
    assert not os.path.exists(s.path)


def test_an_orderly_stop_ends_the_instances(autoscaler, activator):
    a = activator()
    a.ready()
    wake(a)
    pid = next(i for i in autoscaler.status(REV)["instances"])["id"]
    assert pid
    autoscaler.signal(signal.SIGTERM)
    try:
        a.wait_states(REV, lambda s: all(v == "stopping" for v in s.values()), 10 * SLOW)
    except (Gone, ConnectionResetError, BrokenPipeError):
        pass
    assert autoscaler.process.wait(20 * SLOW) == 0


def test_admin_endpoint(autoscaler, activator):
    a = activator("looked-at")
    a.ready()
    a.wait_states(REV, lambda s: s == {})
    assert autoscaler.get("/healthz")[0] == 200
    assert autoscaler.get("/readyz")[0] == 200
    status = autoscaler.status()
    assert status["driver"] == "process" and status["activators"][0]["id"] == "looked-at"
    metrics = autoscaler.get("/metrics")[1]
    for line in ("autoscaler_activators 1", 'autoscaler_wanted_instances{revision="app/v1"} 0',
                 'autoscaler_activations_total{revision="app/v1"} 0'):
        assert line + "\n" in metrics
    assert json.loads(autoscaler.get("/status?revision=no/such")[1])["revisions"] == []


# --- reload


def test_reload_brings_services_and_takes_them(autoscaler, activator):
    a = activator()
    a.ready()
    first = a.generation
    ident = wake(a)
    autoscaler.write_conf(service() + service(name="more"), QUICK)
    autoscaler.signal(signal.SIGHUP)
    a.wait(lambda: a.generation != first)
    assert set(a.services) == {"app", "more"}
    a.wait_states(REV, lambda s: s == {ident: "ready"})  # what ran still runs


def test_a_revision_that_a_reload_takes_away_is_emptied_first(autoscaler, activator):
    a = activator(answer=None)
    a.ready()
    ident = wake(a)
    autoscaler.write_conf(service(name="more"), QUICK)
    autoscaler.signal(signal.SIGHUP)
    a.wait(lambda: "more" in a.services)
    gone = a.services["app"]
    assert "hosts" not in gone and gone["traffic"] == []  # nothing new is routed to it
    assert a.states(REV) == {ident: "ready"}
    a.rest(2)
    assert not a.of("drain")  # it has something in flight
    assert a.states(REV) == {ident: "ready"}
    a.idle(REV)
    a.answer = "drained"
    a.wait(lambda: set(a.services) == {"more"}, 10 * SLOW)
    assert a.of("drain", revision=REV)
    autoscaler.wait_log("instance stopped")


def test_reload_with_a_mistake_changes_nothing(autoscaler, activator):
    a = activator()
    a.ready()
    first = a.generation
    autoscaler.write_conf(service() + "nonsense = 5", QUICK)
    autoscaler.signal(signal.SIGHUP)
    autoscaler.wait_log("nothing changed")
    assert "nonsense" in autoscaler.log()
    autoscaler.write_conf(service(), QUICK + '  ports = "21000-21999"')
    autoscaler.signal(signal.SIGHUP)
    autoscaler.wait_log("ports: needs a restart to change from ")
    a.rest(0.3)
    assert a.generation == first
    assert "autoscaler_config_reload_failures_total 2\n" in autoscaler.get("/metrics")[1]
