"""The link from the autoscaler's side: the real program and real instances, with fake activators
(fakes/activator.py), some of which break the protocol."""
import json
import os
import signal
import socket
import sys
import time
import urllib.request

import pytest

from autoscaler_alone import Autoscaler
from fakes.activator import FakeActivator, LinkClosed
from helpers import free_port, wait_until

SERVER = """
import os, socket, time
s = socket.socket(); s.bind(("127.0.0.1", int(os.environ["PORT"]))); s.listen()
time.sleep(1000)
"""
SHORT_WINDOWS = "stable_window = 6s  scale_to_zero_grace = 1s"
REV = "app/v1"


def service(command=None, name="app", more=""):
    words = command or [sys.executable, "-c", SERVER]
    quoted = ", ".join('"%s"' % w.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
                       for w in words)
    return f'''service "{name}" {{
    hosts = {{"{name}.localhost"}}
    revision "v1" {{
        command = {{{quoted}}}
        target = 10
        {more}
    }}
}}
'''


@pytest.fixture
def autoscaler(tmp_path):
    """Running, with one service."""
    made = Autoscaler(tmp_path, service(), SHORT_WINDOWS)
    yield made.start()
    assert made.stop() == 0, made.log()[-3000:]
    assert "check failed" not in made.log()


@pytest.fixture
def activator(autoscaler):
    links = []

    def connect(ident=None, **options):
        link = FakeActivator(autoscaler.path, ident, peers=links, **options)
        links.append(link)
        return link

    yield connect
    for link in links:
        link.close()


def report_answering(link, revision=REV):
    """Wait until a starting instance listens, and report that it answers; its id."""
    def listening():
        for i in link.instances[revision]["instances"] or []:
            if i["state"] == "starting" and i.get("address"):
                try:
                    socket.create_connection((i["address"], i["port"]), 1).close()
                except OSError:
                    continue
                return i["id"]
        return None

    ident = link.wait(listening, what="for an instance that listens")
    link.send(type="instance", id=ident, state="answers")
    link.wait_states(revision, lambda s: s.get(ident) == "ready")
    return ident


def wake(link, load=1, revision=REV):
    """Start the first instance, and report `load` requests in flight at it; its id."""
    link.activate(revision, 1)
    ident = report_answering(link, revision)
    report_in_flight(link, load, [ident], revision)
    return ident


def report_in_flight(link, load, ids, revision=REV):
    """Report `load` requests in flight from now on, spread over the instances."""
    share = [load // len(ids) + (i < load % len(ids)) for i in range(len(ids))]
    link.load(revision, concurrency=float(load), in_flight=load, requests=load,
              instances=[{"id": i, "in_flight": n} for i, n in zip(ids, share)])


# --- hello and services


def test_hello_then_services_then_known_instances(autoscaler, activator):
    a = activator()
    a.wait_described()
    assert [m["type"] for m in a.seen[:4]] == ["hello", "begin", "service", "end"]
    assert a.seen[0]["protocol"] == 1 and a.seen[0]["role"] == "autoscaler" and a.seen[0]["id"]
    assert a.seen[3]["services"] == 1 and a.seen[3]["generation"] == a.seen[1]["generation"]
    app = a.services["app"]
    assert app["hosts"] == ["app.localhost"]
    assert app["traffic"] == [{"revision": REV, "percent": 100}]
    assert app["revisions"][0]["limits"]["activation_timeout_ms"] > 0
    a.wait_states(REV, lambda s: s == {})
    assert autoscaler.log().count('msg="activator connected"') == 1
    assert " pid=%d uid=%d\n" % (os.getpid(), os.geteuid()) in autoscaler.log()


def test_the_autoscaler_sends_hello_first(activator):
    a = activator(hello=False)
    assert a.wait_for("hello")["role"] == "autoscaler"


def test_instances_of_addresses_are_listed_from_the_start(tmp_path):
    s = Autoscaler(tmp_path, 'service "ext" { hosts = {"*"} '
                   'revision "v1" { addresses = {"127.0.0.1:9000", "[::1]:9001"} } }').start()
    a = FakeActivator(s.path)
    a.wait_described()
    a.wait_states("ext/v1", lambda s: len(s) == 2)
    described = a.instances["ext/v1"]
    assert described["external"] is True
    assert [(i["address"], i["port"], i["state"]) for i in described["instances"]] == [
        ("127.0.0.1", 9000, "starting"), ("::1", 9001, "starting")]
    a.send(type="activate", revision="ext/v1", parked=1, seq=4)
    assert a.wait_for("activating")["seq"] == 4
    a.close()
    assert s.stop() == 0


# --- scaling up


def test_wake_and_back_to_zero(autoscaler, activator):
    a = activator()
    a.wait_described()
    a.activate(REV, 3)
    ack = a.wait_for("activating")
    # The activate is acknowledged before any instance starts.
    before = a.seen[:a.seen.index(ack)]
    assert not any(m["instances"] for m in before if m["type"] == "instances")
    assert ack["revision"] == REV and ack["wanted"] >= 1 and ack["seq"] == 1
    ident = report_answering(a)
    report_in_flight(a, 1, [ident])
    autoscaler.wait_log("revision woken")
    autoscaler.wait_log("instance ready")
    a.serve_for(2)
    a.idle(REV)
    drain = a.wait_for("drain")
    assert drain["revision"] == REV and "instance" not in drain
    a.wait_states(REV, lambda s: s == {})
    autoscaler.wait_log("scaled to zero")
    a.wait_for("resume", token=drain["token"])
    status = autoscaler.status(REV)
    assert status["wanted"] == 0 and status["instances"] == [] and status["drains"] == []
    assert status["start_s"] > 0


def test_each_activate_is_acknowledged_and_few_instances_are_started(autoscaler, activator):
    a, b = activator(), activator()
    a.wait_described()
    b.wait_described()
    for _ in range(20):
        a.activate(REV)
        b.activate(REV)
    a.wait(lambda: len(a.messages("activating")) == 20)
    b.wait(lambda: len(b.messages("activating")) == 20)
    assert {m["seq"] for m in a.messages("activating")} == set(range(1, 21))
    a.wait_states(REV, lambda s: len(s) > 0)
    b.wait_states(REV, lambda s: s == a.states(REV))
    assert autoscaler.log().count("instance started") <= 3


def test_a_program_that_ends_at_once_is_reported_as_failing(tmp_path):
    s = Autoscaler(tmp_path, service(["sh", "-c", "echo no good; exit 3"]), SHORT_WINDOWS).start()
    a = FakeActivator(s.path)
    a.wait_described()
    a.activate(REV)
    failure = a.wait(lambda: a.messages("instances", revision=REV)
                     and a.messages("instances", revision=REV)[-1].get("failure"))
    assert "3" in failure["message"] and failure["reason"] and failure["retry_after_ms"] >= 0
    status = s.status(REV)
    assert status["failure"]["message"] == failure["message"]
    assert 'autoscaler_failing{revision="app/v1"} 1' in s.get("/metrics")[1]
    a.close()
    assert s.stop() == 0


# --- scaling down


def test_a_busy_activator_keeps_a_revision_from_being_stopped(autoscaler, activator):
    a, b = activator(answer="busy"), activator()
    a.wait_described()
    b.wait_described()
    wake(b)
    b.serve_for(1)
    b.idle(REV)
    b.wait(lambda: len(a.messages("drain")) >= 2)
    assert {m["token"] for m in a.messages("resume")} <= {m["token"] for m in a.messages("drain")}
    assert autoscaler.status(REV)["wanted"] == 0
    assert autoscaler.status(REV)["ready"] == 1
    a.answer = "drained"
    b.wait_states(REV, lambda s: s == {})


def test_nothing_is_stopped_before_every_activator_has_answered_the_drain(autoscaler, activator):
    a, b = activator(), activator(answer=None)
    a.wait_described()
    b.wait_described()
    wake(a)
    a.serve_for(1)
    a.idle(REV)
    token = b.wait_for("drain")["token"]
    b.serve_for(2)
    assert autoscaler.status(REV)["ready"] == 1
    b.send(type="drained", token=token)
    a.wait_states(REV, lambda s: s == {})


def test_an_activate_cancels_the_drain(autoscaler, activator):
    a = activator(answer=None)
    a.wait_described()
    ident = wake(a)
    a.serve_for(1)
    a.idle(REV)
    token = a.wait_for("drain")["token"]
    a.activate(REV)
    a.wait_for("resume", token=token)
    a.send(type="drained", token=token)  # too late: it is ignored
    report_in_flight(a, 1, [ident])
    a.serve_for(1.5)
    assert a.states(REV) == {ident: "ready"}


def test_instances_are_drained_one_by_one_the_least_busy_first(autoscaler, activator):
    a = activator(answer=None)
    a.wait_described()
    first = wake(a)
    report_in_flight(a, 20, [first])
    a.wait_states(REV, lambda s: len(s) >= 2)
    while len([s for s in a.states(REV).values() if s == "ready"]) < len(a.states(REV)):
        report_answering(a)
    ids = list(a.states(REV))
    idle = [i for i in ids if i != first]
    a.load(REV, concurrency=3.0, in_flight=3, requests=3,
           instances=[{"id": first, "in_flight": 3}] + [{"id": i, "in_flight": 0} for i in idle])
    drain = a.wait_for("drain")
    assert drain["instance"] in idle
    a.wait_states(REV, lambda s: s[drain["instance"]] == "stopping" and s[first] == "ready")
    assert autoscaler.status(REV)["scale_sent"] == len(ids)
    a.send(type="drained", token=drain["token"])
    a.wait_states(REV, lambda s: drain["instance"] not in s)
    assert a.states(REV)[first] == "ready"


# --- without an activator


def test_nothing_is_stopped_while_no_activator_is_connected(autoscaler, activator):
    a = activator()
    a.wait_described()
    wake(a)
    a.serve_for(1)
    a.close()
    time.sleep(10)  # longer than stable_window and scale_to_zero_grace
    assert autoscaler.status(REV)["ready"] == 1
    assert "scaled to zero" not in autoscaler.log()


def test_a_restarted_autoscaler_adopts_instances(autoscaler, activator):
    a = activator()
    a.wait_described()
    ident = wake(a)
    pid = autoscaler.pid
    autoscaler.kill()
    a.wait_closed()
    a.close()
    autoscaler.start()
    assert autoscaler.pid != pid
    b = activator(a.ident)
    b.wait_described()
    b.wait_states(REV, lambda s: ident in s)
    b.send(type="instance", id=ident, state="answers")
    report_in_flight(b, 1, [ident])
    b.serve_for(3)
    assert list(b.states(REV)) == [ident]
    b.idle(REV)
    b.wait_states(REV, lambda s: s == {})


# --- peers that break the protocol


@pytest.mark.parametrize("data, why", [
    (b"rubbish\n", "cannot parse JSON"),
    (b"\n", "cannot parse JSON"),
    (b"\x00\xff\n", "cannot parse JSON"),
    (b'{"type":"stats","period_ms":1000,"revisions":[]}\n', "sent stats before its hello"),
    (b'{"type":"hello","protocol":2,"role":"activator","id":"x"}\n',
     "its protocol version is 2, expected 1"),
    (b'{"type":"hello","protocol":1,"role":"autoscaler","id":"x"}\n', "is an autoscaler"),
    (b'{"type":"hello","protocol":1,"role":"king","id":"x"}\n', "$.role"),
    (b'{"type":"hello","protocol":1,"role":"activator"}\n', "$.id"),
    (b'{"type":"hello","protocol":1,"role":"activator","id":"x"}\n' * 2, "said hello twice"),
    (b'{"type":"hello","protocol":1,"role":"activator","id":"x"}\n'
     b'{"type":"begin","generation":1}\n', "sent begin, which only an autoscaler may"),
    (b'{"type":"hello","protocol":1,"role":"control","id":"x"}\n', "served at control_socket"),
    (b'{"type":"hello","protocol":1,"role":"activator","id":"x"}\n'
     b'{"type":"stats","period_ms":1000,"revisions":[{"name":"app/v1"}]}\n',
     "$.revisions[0].concurrency"),
    (b"[" * 100000 + b"\n", "nested at most 32 deep"),
    (b"x" * (1 << 20) + b"\n", "closed"),
], ids=lambda value: value[:30] if isinstance(value, str) else "")
def test_a_peer_that_breaks_the_protocol_is_dropped_alone(autoscaler, activator, data, why):
    good = activator()
    good.wait_described()
    bad = activator("x", hello=False)
    bad.is_stalled = True
    try:
        bad.raw(data)
    except (BrokenPipeError, ConnectionResetError):
        pass
    bad.wait_closed()
    if why != "closed":
        autoscaler.wait_log("peer dropped")
        assert why in autoscaler.log()
        assert " pid=%d uid=%d " % (os.getpid(), os.geteuid()) in autoscaler.log()
    good.send(type="activate", revision=REV, parked=1, seq=5)
    assert good.wait_for("activating")["seq"] == 5


def test_unknown_types_members_and_names_are_ignored(autoscaler, activator):
    a = activator()
    a.wait_described()
    a.send(type="unknown", member=1)
    a.send(type="activate", revision=REV, parked=1, seq=1, colour="blue", more={"x": [1]})
    a.wait_for("activating")
    a.send(type="activate", revision="no/such", parked=1, seq=2)
    a.send(type="drained", token="unknown")
    a.send(type="instance", id="unknown", state="answers")
    a.send(type="activate", revision=REV, parked=1, seq=3)
    a.wait_for("activating", seq=3)  # messages are answered in order
    assert not a.messages("activating", seq=2)


def test_half_lines_and_many_lines_in_one_write(autoscaler, activator):
    a = activator(hello=False)
    text = json.dumps({"type": "hello", "protocol": 1, "role": "activator", "id": "slow"})
    for c in text:
        a.raw(c.encode())
        time.sleep(0.002)
    a.raw(b"\n" + b"".join(json.dumps({"type": "activate", "revision": REV, "parked": 1,
                                       "seq": n}).encode() + b"\n" for n in range(30)))
    a.wait(lambda: len(a.messages("activating")) == 30)


def test_a_process_with_too_many_ids_is_dropped(autoscaler, activator):
    """Each is kept until the process has ended.  Those that are known are served."""
    peers = [activator() for _ in range(64)]
    for p in peers:
        p.wait_described()
    one_more = activator()
    one_more.is_stalled = True
    one_more.wait_closed()
    autoscaler.wait_log("has sent 64 different ids, expected one")
    peers[5].close()
    again = activator(ident=peers[5].ident)
    again.wait_described()
    assert len(autoscaler.status()["activators"]) >= 63


def test_a_peer_without_a_hello_is_dropped(autoscaler, activator):
    silent = activator(hello=False)
    silent.is_stalled = True
    silent.wait_closed()
    autoscaler.wait_log("did not say hello")


def test_a_newer_link_of_the_same_activator_replaces_the_older(autoscaler, activator):
    old = activator("twin")
    old.wait_described()
    old.is_stalled = True
    new = activator("twin")
    new.wait_described()
    old.wait_closed()
    new.activate(REV)
    new.wait_for("activating")
    assert [a["id"] for a in autoscaler.status()["activators"]] == ["twin"]


def test_an_activator_that_does_not_read_delays_no_other(autoscaler, activator):
    stalled = activator()
    stalled.is_stalled = True
    a = activator()
    a.wait_described()
    for _ in range(200):
        a.activate(REV)
    a.wait(lambda: len(a.messages("activating")) == 200)
    assert stalled.seen == []


# --- the process


def test_a_second_autoscaler_names_the_first(autoscaler, activator):
    activator().wait_described()
    assert autoscaler.start_another().process.wait() == 1
    assert f"{autoscaler.pid}" in autoscaler.log().split("cannot lock")[1].split("\n")[0]
    a = activator()
    a.wait_described()  # the first one still works


def test_a_stale_socket_is_removed(tmp_path):
    s = Autoscaler(tmp_path, service(), SHORT_WINDOWS)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(s.path)
    s.start()
    a = FakeActivator(s.path)
    a.wait_described()
    a.close()
    assert os.stat(s.path).st_mode & 0o777 == 0o660
    assert s.stop() == 0
    assert not os.path.exists(s.path)


def test_an_orderly_stop_ends_the_instances(autoscaler, activator):
    a = activator()
    a.wait_described()
    wake(a)
    autoscaler.signal(signal.SIGTERM)
    try:
        a.wait_states(REV, lambda s: all(v == "stopping" for v in s.values()))
    except (LinkClosed, ConnectionResetError, BrokenPipeError):
        pass
    assert autoscaler.program.process.wait() == 0


def test_admin_endpoint(autoscaler, activator):
    a = activator("first")
    a.wait_described()
    a.wait_states(REV, lambda s: s == {})
    assert autoscaler.get("/healthz")[0] == 200
    assert autoscaler.get("/readyz")[0] == 200
    status = autoscaler.status()
    assert status["driver"] == "process" and status["activators"][0]["id"] == "first"
    metrics = autoscaler.get("/metrics")[1]
    for line in ("autoscaler_activators 1", 'autoscaler_wanted_instances{revision="app/v1"} 0',
                 'autoscaler_activations_total{revision="app/v1"} 0'):
        assert line + "\n" in metrics
    assert autoscaler.get("/status?revision=no/such")[0] == 404


# --- reload


def test_a_reload_adds_a_service(autoscaler, activator):
    a = activator()
    a.wait_described()
    first = a.generation
    ident = wake(a)
    autoscaler.write_conf(service() + service(name="more"), SHORT_WINDOWS)
    autoscaler.signal(signal.SIGHUP)
    a.wait(lambda: a.generation != first)
    assert set(a.services) == {"app", "more"}
    a.wait_states(REV, lambda s: s == {ident: "ready"})  # the instance still runs


def test_a_revision_that_a_reload_removes_is_drained_first(autoscaler, activator):
    a = activator(answer=None)
    a.wait_described()
    ident = wake(a)
    autoscaler.write_conf(service(name="more"), SHORT_WINDOWS)
    autoscaler.signal(signal.SIGHUP)
    a.wait(lambda: "more" in a.services)
    removed = a.services["app"]
    assert "hosts" not in removed and removed["traffic"] == []  # no request is routed to it
    assert a.states(REV) == {ident: "ready"}
    a.serve_for(2)
    assert not a.messages("drain")  # requests are in flight
    assert a.states(REV) == {ident: "ready"}
    a.idle(REV)
    a.answer = "drained"
    a.wait(lambda: set(a.services) == {"more"})
    assert a.messages("drain", revision=REV)
    autoscaler.wait_log("instance stopped")


def test_a_reload_with_a_mistake_changes_nothing(autoscaler, activator):
    a = activator()
    a.wait_described()
    generation = a.generation
    autoscaler.write_conf(service() + "nonsense = 5", SHORT_WINDOWS)
    autoscaler.signal(signal.SIGHUP)
    autoscaler.wait_log("nothing changed")
    assert "nonsense" in autoscaler.log()
    autoscaler.write_conf(service(), SHORT_WINDOWS + " usage_days = 3")
    autoscaler.signal(signal.SIGHUP)
    autoscaler.wait_log(": usage_days: needs a restart to change from 90 to 3")
    a.serve_for(0.3)
    assert a.generation == generation
    assert "autoscaler_config_reload_failures_total 2\n" in autoscaler.get("/metrics")[1]


def test_a_reload_changes_ports_and_the_admin_endpoint(autoscaler, activator):
    a = activator()
    a.wait_described()
    first, last = autoscaler.instance_ports
    before, autoscaler.port = autoscaler.port, free_port()
    autoscaler.write_conf(service(), SHORT_WINDOWS + " orphan_timeout = 5s",
                          instance_ports=(last, last))
    autoscaler.signal(signal.SIGHUP)
    autoscaler.wait_log("conf file reloaded")
    with pytest.raises(OSError):
        urllib.request.urlopen("http://127.0.0.1:%d/healthz" % before, timeout=5)
    assert autoscaler.get("/healthz")[0] == 200
    wake(a)
    autoscaler.wait_log("port=%d" % last)
    autoscaler.kill()
    autoscaler.wait_log("orphan_timeout_ms=5000")  # the keeper has the new time
    autoscaler.start()
    wait_until(lambda: autoscaler.log().count("autoscaler started") == 2, what="the next one")
