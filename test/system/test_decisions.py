"""What the autoscaler decides apart from the average load, and how it explains decisions: /why,
dry runs, busy leases, schedules, and the slow brain with an app whose response time grows above
20 requests at once."""
import json
import re
import select
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request

from helpers import HELLO, WAIT_S, free_port, wait_until
from stack import Client, Gate, running

APP = """
service "hello" { hosts = {"hello"} %s revision "v1" { %s } }
"""
REVISION = "hello/v1"
COMMAND = 'command = {"HELLO", "--startup", "50ms"%s}'


def get_admin(s, path, fields=()):
    """From the autoscaler's admin endpoint: (status, type, text)."""
    request = urllib.request.Request("http://127.0.0.1:%d%s" % (s.scaler_admin, path),
                                     headers=dict(fields))
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S) as r:
            return r.status, r.headers["content-type"], r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.headers["content-type"], e.read().decode()


def why(s):
    return s.why(REVISION)


def metric(s, name):
    return s.metrics(s.scaler_admin).get('autoscaler_%s{revision="hello/v1"}' % name, 0)


def wanted_changes(s, message):
    """The log lines with that message: [(from, to, rule)…]."""
    return [(int(a), int(b), rule) for a, b, rule in re.findall(
        r'msg="?%s"? .*revision=hello/v1 from=(\d+) to=(\d+) rule=(\S+)' % re.escape(message),
        s.autoscaler.text())]


def test_why_explains_each_decision(tmp_path):
    gate = Gate(tmp_path)
    with running(tmp_path, APP % ("", gate.command())) as s, s.connect() as c:
        assert why(s)["wanted"] == 0
        c.request("GET", "/", "hello")
        known = wait_until(lambda: why(s)["wanted"] == 1 and why(s), what="one wanted instance")
        first = [d for d in known["decisions"] if d["wanted"] == 1][-1]
        assert first["rule"] == "activation" and first["why"]
        assert first["inputs"]["parked"] == 1 and first["inputs"]["ready"] == 0
        assert known["why"] and known["rule"]
        gate.open()
        assert c.response()[0] == 200
        wait_until(lambda: not s.instances(), what="zero instances")
        wait_until(lambda: why(s)["wanted"] == 0, what="no wanted instance")
        assert why(s)["decisions"][0]["times"] >= 1
        # The same as text, and for all revisions.
        status, kind, text = get_admin(s, "/why?revision=hello/v1")
        assert status == 200 and kind.startswith("text/plain")
        assert text.startswith("hello/v1  wanted 0: ")
        assert " wanted 1: " in text and " parked=1" in text
        status, kind, text = get_admin(s, "/why", {"Accept": "application/json"})
        assert (status, kind) == (200, "application/json")
        assert json.loads(text)["revisions"][0]["revision"] == REVISION
        assert get_admin(s, "/why")[2].startswith("hello/v1  wanted 0: ")
        assert get_admin(s, "/why?revision=unknown/v1")[0] == 404
        for page in "/why", "/status", "/usage":
            status, _, text = get_admin(s, page + "?revsion=hello/v1&bi=day")
            assert status == 400 and text.startswith('unknown parameter "revsion"; '), text
        # Many decisions were made; the log has a line for each of the two changes.
        decided = sum(v for k, v in s.metrics(s.scaler_admin).items()
                      if k.startswith("autoscaler_decisions_total"))
        assert decided > 3
        assert wanted_changes(s, "wanted") == [(0, 1, "activation"), (1, 0, "idle")]
        assert s.get("hello")[0] == 200  # the response time is known by now
        wait_until(lambda: wanted_changes(s, "wanted")[2:3] == [(0, 1, "backlog")],
                   what="the second activation")


def test_learned_values_survive_a_restart(tmp_path):
    services = APP % ("keep_warm = learned", COMMAND % "")
    with running(tmp_path, services) as s:
        assert s.get("hello")[0] == 200
        wait_until(lambda: not s.instances(), what="zero instances")
        assert s.get("hello")[0] == 200
        wait_until(lambda: "1 idle times are known" in why(s)["keep_warm"], what="an idle time")
        assert s.autoscaler.stop() == 0
        with open(s.state + "/learned.json") as f:
            kept = json.loads(f.read())
        assert kept["revision"] == "hello/v1" and kept["idle_count"] == 1 and kept["idle_times"].startswith("0:")
        assert 50 <= kept["start_ms"]
        s.start_autoscaler()
        wait_until(lambda: s.get("hello")[0] == 200, what="an answer")
        assert "idle times are known" in why(s)["keep_warm"]
        assert not why(s)["keep_warm"].startswith("0 ")


def test_a_dry_run_leaves_instances_alone(tmp_path):
    port = free_port()
    with subprocess.Popen([HELLO, "--port", str(port)]) as app:
        try:
            services = APP % ("dry_run = yes", 'addresses = {"127.0.0.1:%d"}' % port)
            with running(tmp_path, services) as s:
                wait_until(lambda: s.get("hello")[0] == 200, what="an answer")
                wait_until(lambda: metric(s, "dry_run_stopped_total") >= 1, what="a stop")
                assert s.get("hello")[0] == 200  # the autoscaler has stopped nothing
                wait_until(lambda: metric(s, "dry_run_started_total") >= 1, what="a start")
                assert metric(s, "dry_run_cold_starts_total") >= 1
                wait_until(lambda: metric(s, "dry_run_wanted_instances") == 0,
                           what="no wanted instance")
                known = wait_until(lambda: why(s)["saved_instance_s"] > 0 and why(s),
                                   what="saved instance seconds")
                assert known["dry_run"] and known["would_stop"] >= 2
                assert "would be wanted (dry_run) 0: " in s.why_text(REVISION)
                assert [c[:2] for c in wanted_changes(s, "would be wanted (dry_run)")][:3] == [
                    (0, 1), (1, 0), (0, 1)]
                assert app.poll() is None
                assert "scaled" not in s.autoscaler.text()
        finally:
            app.terminate()


def test_a_request_to_a_dry_run_without_an_instance_is_refused(tmp_path):
    with running(tmp_path, APP % ("dry_run = yes", COMMAND % "")) as s:
        wait_until(lambda: get_admin(s, "/readyz")[0] == 200, what="a ready autoscaler")
        for _ in range(2):  # the activator still remembers the failure when the second comes
            status, fields, body = s.get("hello")
            assert (status, fields["x-activator-reason"]) == (503, "activation_failed")
            assert b"dry_run = yes" in body and "retry-after" in fields
        assert not s.instances()
        assert metric(s, "dry_run_started_total") >= 1


def test_a_dry_run_begins_and_ends_with_a_reload(tmp_path):
    services = APP % ("dry_run = no", COMMAND % "")
    gate = Gate(tmp_path)
    with running(tmp_path, services) as s:
        # A request in flight keeps the instance until the dry run has begun.
        c = s.connect()
        c.request("GET", "/" + gate.query(), "hello")
        running_before = wait_until(s.instances, what="an instance")

        def reload(old, new):
            with open(s.conf) as f:
                text = f.read()
            with open(s.conf, "w") as f:
                f.write(text.replace(old, new))
            s.autoscaler.process.send_signal(signal.SIGHUP)

        reload("dry_run = no", "dry_run = yes")
        wait_until(lambda: why(s)["dry_run"], what="the dry run")
        gate.open()
        assert c.response()[0] == 200
        c.close()
        wait_until(lambda: metric(s, "dry_run_stopped_total") >= 1, what="a stop that is counted")
        assert s.instances() == running_before
        assert s.get("hello")[0] == 200
        assert s.instances() == running_before
        reload("dry_run = yes", "dry_run = no")
        wait_until(lambda: not s.instances(), what="a real stop")
        status, fields, body = s.get("hello")
        assert status == 200, (fields, body)


def test_a_busy_lease_keeps_a_service_from_zero(tmp_path):
    with running(tmp_path, APP % ("", COMMAND % ', "--busy", "5"')) as s:
        began = time.monotonic()
        status, fields, _ = s.get("hello")
        assert status == 200 and "x-activator-busy" not in fields  # the activator removes it
        wait_until(lambda: metric(s, "busy_lease_seconds") > 0, what="the lease in the metrics")
        wait_until(lambda: "busy_lease" in [d["rule"] for d in why(s)["decisions"]],
                   what="a decision by the lease")
        s.autoscaler.kill()  # the activator reports the lease to the next autoscaler
        s.start_autoscaler()
        wait_until(lambda: not s.instances(), what="zero instances")
        assert time.monotonic() - began > 5
        assert "rule=idle" in s.autoscaler.text()


def test_a_schedule_entry_starts_instances(tmp_path):
    entries = """ schedule "now" { cron = "* * * * *" duration = 2m min_scale = 2
                                    time_zone = "Asia/Kolkata" }
                  schedule "never" { cron = "0 0 30 2 *" min_scale = 3 }"""
    with running(tmp_path, APP % ("", COMMAND % "" + entries)) as s:
        wait_until(lambda: len(s.instances()) == 2, what="two instances")
        known = wait_until(lambda: why(s)["rule"] == "schedule" and why(s),
                           what="a decision by the schedule")
        assert known["schedule"] == '"now" is in force: at least 2'


class Load(threading.Thread):
    """n clients, each of which sends its next request when it has a response."""

    def __init__(self, port, n):
        super().__init__(daemon=True)
        self.clients = [Client(port) for _ in range(n)]
        self.is_over = False

    def run(self):
        request = b"GET / HTTP/1.1\r\nHost: hello\r\n\r\n"
        poll = select.epoll()
        by_fd = {c.fileno(): c for c in self.clients}
        for fd, c in by_fd.items():
            poll.register(fd, select.EPOLLIN)
            c.sendall(request)
        while not self.is_over:
            for fd, _ in poll.poll(0.1):
                c = by_fd[fd]
                c.rest += c.recv(65536)
                if c.rest.endswith(b"hello\n"):
                    assert c.rest.startswith(b"HTTP/1.1 200")
                    c.rest = b""
                    c.sendall(request)
        for c in self.clients:
            c.close()

    def stop(self):
        self.is_over = True
        self.join()


def test_the_slow_brain_applies_what_it_learned(tmp_path):
    """Reported latencies reach it, and the fast brain uses its target.  That it stays at the knee
    is tested without real time (test/unit/t_gradient.c)."""
    command = COMMAND % ', "--knee", "20", "--response", "100ms"'
    with running(tmp_path, APP % ("slow_brain = on target = 100 max_scale = 12", command),
                 autoscaler="max_instances = 20") as s:
        load = Load(s.port, 60)
        load.start()
        try:
            # On a loaded machine the response times vary for other reasons, too: it takes longer.
            wait_until(lambda: metric(s, "proposed_target") <= 30, timeout=5 * WAIT_S,
                       what="the knee")
            wait_until(lambda: "an instance carries about " in why(s)["slow_brain"],
                       what="an explanation")
            wait_until(lambda: abs(metric(s, "target") - 0.7 * metric(s, "proposed_target")) < 1e-6,
                       what="the fast brain to use it")
            wait_until(lambda: len(s.instances()) >= 3, what="instances for the lower target")
        finally:
            load.stop()
