"""What is decided beside the averages, and told: /why, dry runs, busy leases, schedules,
and the slow brain before an app whose response time grows above 20 requests at once."""
import json
import re
import select
import subprocess
import threading
import time
import urllib.error
import urllib.request

from helpers import HELLO, free_port, wait_until
from stack import Client, running

APP = """
service "hello" { hosts = {"hello"} %s revision "v1" { %s } }
"""
COMMAND = 'command = {"HELLO", "--startup", "50ms"%s}'


def page(s, query="", fields=()):
    """/why of the autoscaler: (status, type, text)."""
    request = urllib.request.Request("http://127.0.0.1:%d/why%s" % (s.scaler_admin, query),
                                     headers=dict(fields))
    try:
        with urllib.request.urlopen(request, timeout=20) as r:
            return r.status, r.headers["content-type"], r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.headers["content-type"], e.read().decode()


def is_ready(s):
    """The autoscaler's driver has seen the world."""
    try:
        urllib.request.urlopen("http://127.0.0.1:%d/readyz" % s.scaler_admin, timeout=20)
    except urllib.error.HTTPError:
        return False
    return True


def why(s):
    status, kind, text = page(s, "?revision=hello/v1&format=json")
    assert (status, kind) == (200, "application/json")
    return json.loads(text)


def metric(s, name):
    return s.metrics(s.scaler_admin).get('autoscaler_%s{revision="hello/v1"}' % name, 0)


def lines(s, start):
    """The changes of the wish that the log has: [(from, to, rule)…]."""
    return [(int(a), int(b), rule) for a, b, rule in re.findall(
        r'msg="?%s"? .*revision=hello/v1 from=(\d+) to=(\d+) rule=(\S+)' % re.escape(start),
        s.autoscaler.text())]


def test_each_decision_says_why(tmp_path):
    with running(tmp_path, APP % ("", COMMAND % "")) as s:
        assert why(s)["wanted"] == 0
        assert s.get("hello")[0] == 200
        known = wait_until(lambda: why(s)["wanted"] == 1 and why(s), what="the wish")
        first = [d for d in known["decisions"] if d["wanted"] == 1][-1]
        assert first["rule"] == "activation" and first["why"]
        assert first["inputs"]["parked"] == 1 and first["inputs"]["ready"] == 0
        assert known["why"] and known["rule"]
        wait_until(lambda: not s.instances(), what="zero")
        wait_until(lambda: why(s)["wanted"] == 0, what="the wish for none")
        assert why(s)["decisions"][0]["times"] >= 1
        # as text, and of all
        status, kind, text = page(s, "?revision=hello/v1")
        assert status == 200 and kind.startswith("text/plain")
        assert text.startswith("hello/v1  wanted 0: ")
        assert " wanted 1: " in text and " parked=1" in text
        assert json.loads(page(s, fields={"Accept": "application/json"})[2])["revisions"][0][
            "revision"] == "hello/v1"
        assert page(s)[2].startswith("hello/v1  wanted 0: ")
        assert page(s, "?revision=nobody/v1")[0] == 404
        # many decisions, and a line for each of the two changes
        decided = sum(v for k, v in s.metrics(s.scaler_admin).items()
                      if k.startswith("autoscaler_decisions_total"))
        assert decided > 3
        assert lines(s, "wanted") == [(0, 1, "activation"), (1, 0, "idle")]
        assert s.get("hello")[0] == 200  # how long it takes is known by now
        wait_until(lambda: lines(s, "wanted")[2:] == [(0, 1, "backlog")], what="the second wake")


def test_what_was_learned_survives(tmp_path):
    services = APP % ("keep_warm = learned", COMMAND % "")
    with running(tmp_path, services) as s:
        assert s.get("hello")[0] == 200
        wait_until(lambda: not s.instances(), what="zero")
        assert s.get("hello")[0] == 200
        wait_until(lambda: "1 idle times are known" in why(s)["keep_warm"], what="an idle time")
        assert s.autoscaler.stop() == 0
        with open(s.state + "/learned.json") as f:
            kept = json.loads(f.read())
        assert kept["revision"] == "hello/v1" and kept["idle_bins"] == "0:1"
        assert 50 <= kept["start_ms"]
        s.start_autoscaler()
        wait_until(lambda: s.get("hello")[0] == 200, what="an answer")
        assert "idle times are known" in why(s)["keep_warm"]
        assert not why(s)["keep_warm"].startswith("0 ")


def test_a_dry_run_touches_nothing(tmp_path):
    port = free_port()
    with subprocess.Popen([HELLO, "--port", str(port)]) as app:
        try:
            services = APP % ("dry_run = yes", 'addresses = {"127.0.0.1:%d"}' % port)
            with running(tmp_path, services) as s:
                wait_until(lambda: s.get("hello")[0] == 200, what="an answer")
                wait_until(lambda: metric(s, "dry_run_stopped_total") >= 1, what="a stop")
                assert s.get("hello")[0] == 200  # nothing was stopped
                wait_until(lambda: metric(s, "dry_run_started_total") >= 1, what="a start")
                assert metric(s, "dry_run_cold_starts_total") >= 1
                wait_until(lambda: metric(s, "dry_run_wanted_instances") == 0, what="zero")
                known = wait_until(lambda: why(s)["saved_instance_s"] > 0 and why(s),
                                   what="what it saves")
                assert known["dry_run"] and known["would_stop"] >= 2
                assert "would be wanted (dry_run) 0: " in page(s, "?revision=hello/v1")[2]
                assert [c[:2] for c in lines(s, "would be wanted (dry_run)")][:3] == [
                    (0, 1), (1, 0), (0, 1)]
                assert app.poll() is None
                assert "scaled" not in s.autoscaler.text()
        finally:
            app.terminate()


def test_a_dry_run_of_a_program_says_so(tmp_path):
    with running(tmp_path, APP % ("dry_run = yes", COMMAND % "")) as s:
        wait_until(lambda: is_ready(s), what="the driver's word")
        for _ in range(2):  # the second one while it is remembered
            status, fields, body = s.get("hello")
            assert (status, fields["x-activator-reason"]) == (503, "activation_failed")
            assert b"dry_run = yes" in body and "retry-after" in fields
        assert not s.instances()
        assert metric(s, "dry_run_started_total") >= 1


def test_a_dry_run_begins_and_ends_with_a_reload(tmp_path):
    services = APP % ("dry_run = no", COMMAND % "")
    with running(tmp_path, services) as s:
        assert s.get("hello")[0] == 200
        running_before = s.instances()

        def reload(old, new):
            with open(s.conf) as f:
                text = f.read()
            with open(s.conf, "w") as f:
                f.write(text.replace(old, new))
            s.autoscaler.process.send_signal(1)

        reload("dry_run = no", "dry_run = yes")
        wait_until(lambda: metric(s, "dry_run_stopped_total") >= 1, what="a stop in the book")
        assert s.instances() == running_before
        assert s.get("hello")[0] == 200
        assert s.instances() == running_before
        reload("dry_run = yes", "dry_run = no")
        wait_until(lambda: not s.instances(), what="a stop in earnest")
        assert s.get("hello")[0] == 200


def test_a_busy_lease_keeps_from_zero(tmp_path):
    with running(tmp_path, APP % ("", COMMAND % ', "--busy", "5"')) as s:
        status, fields, _ = s.get("hello")
        began = time.monotonic()
        assert status == 200 and "x-activator-busy" not in fields  # it is for us alone
        wait_until(lambda: why(s)["rule"] == "busy_lease", what="the lease's word")
        assert metric(s, "busy_lease_seconds") > 0
        first = s.instances()
        s.autoscaler.kill()  # the activator knows of it
        s.start_autoscaler()
        wait_until(lambda: not s.instances(), what="zero")
        assert time.monotonic() - began > 5
        assert first
        assert "rule=idle" in s.autoscaler.text()


def test_a_schedule_entry_starts_instances(tmp_path):
    entries = """ schedule "now" { cron = "* * * * *" duration = 2m min_scale = 2
                                    time_zone = "Asia/Kolkata" }
                  schedule "never" { cron = "0 0 30 2 *" min_scale = 3 }"""
    with running(tmp_path, APP % ("", COMMAND % "" + entries)) as s:
        wait_until(lambda: len(s.instances()) == 2, what="two instances")
        known = wait_until(lambda: why(s)["rule"] == "schedule" and why(s), what="its word")
        assert known["schedule"] == '"now" is in force: at least 2'


class Load(threading.Thread):
    """`n` clients that ask again as soon as they are answered."""

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


def test_the_slow_brain_finds_the_knee_and_stays(tmp_path):
    command = COMMAND % ', "--knee", "20", "--response", "100ms"'
    with running(tmp_path, APP % ("slow_brain = on target = 100 "
                                   "max_scale = 12", command),
                 autoscaler="max_instances = 20") as s:
        load = Load(s.port, 60)
        load.start()
        try:
            seen = []

            def proposal():
                seen.append(metric(s, "proposed_target"))
                return seen[-1]

            wait_until(lambda: 15 <= proposal() <= 25, timeout=60, what="the knee")
            until = time.monotonic() + 4  # a step may be made each second
            while time.monotonic() < until:
                assert 15 <= proposal() <= 25
                time.sleep(0.1)
            wait_until(lambda: "an instance carries about " in why(s)["slow_brain"],
                       what="its sentence")
            wait_until(lambda: abs(metric(s, "target") - 0.7 * proposal()) < 1e-6,
                       what="its use")
            assert len(s.instances()) >= 3
        finally:
            load.stop()
