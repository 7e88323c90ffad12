"""The audit: an intent before each change and an outcome after it, by whom, from what to what; also
where the process is killed between the two."""
import json
import os
import pwd
import shutil
import signal
import subprocess
import time

import pytest

from helpers import HELLO as APP, WAIT_S, process_state, wait_until
from stack import Gate, Stack, running
from test_ctl import CTL, ctl
from tls import Tls

HELLO = 'service "a" { hosts = {"a"} revision "v1" { command = {"HELLO"} } }'
# It is not stopped before a test says so.
STAYING = HELLO.replace('hosts', 'scale_to_zero_grace = 1h hosts')


def records(path):
    """The records of a file, and of the one before it."""
    found = []
    for name in (path + ".1", path):
        if os.path.exists(name):
            with open(name) as f:
                found += [json.loads(line) for line in f if line.endswith("\n")]
    return found


def log_of(stack):
    return records(stack.state + "/audit.log")


class Change:
    """An intent with its outcomes."""

    def __init__(self, intent, outcomes):
        self.intent, self.outcomes = intent, outcomes
        self.by = intent["by"]

    @property
    def result(self):
        return self.outcomes[-1]["result"] if self.outcomes else None

    def __repr__(self):
        return "%r %r" % (self.intent, self.outcomes)


def changes(found, **like):
    """The changes whose intents have these members."""
    return [Change(r, [o for o in found if o["event"] == "outcome" and o["id"] == r["id"]])
            for r in found if r["event"] == "intent" and like.items() <= r.items()]


def wait_for(read, n=1, **like):
    """So many changes with a result."""
    wait_until(lambda: len([c for c in changes(read(), **like) if c.result]) >= n,
               what="the outcome of %s" % like)
    return changes(read(), **like)


def is_by_this_user(by):
    return by["kind"] == "command" and by["uid"] == os.getuid() and by["pid"] > 0


def store_command(s, *words):
    done = ctl(s, *words)
    assert done.status == 0, done
    return done


def end_process(pid):
    """End an activator that an upgrade has started."""
    def is_over():
        try:
            return process_state(pid) == "Z"
        except OSError:
            return True

    os.kill(pid, signal.SIGTERM)
    wait_until(is_over, what="the new activator to end")


# --- each kind of change

def test_scale_by_a_rule_and_by_a_command(tmp_path):
    services = STAYING + 'service "b" { hosts = {"b"} revision "v1" { command = {"HELLO"} } }'
    with running(tmp_path, services) as s:
        read = lambda: log_of(s)
        assert s.get("b")[0] == 200
        up = wait_for(read, kind="scale", revision="b/v1", to=1)[0]
        assert (up.intent["from"], up.intent["service"], up.result) == (0, "b", "done")
        assert up.by["kind"] == "rule" and up.by["name"] == "activation" and up.by["why"]
        assert up.outcomes[0]["now"] == 1 and up.outcomes[0]["took_ms"] >= 0
        down = wait_for(read, kind="scale", revision="b/v1", to=0)[0]
        assert (down.intent["from"], down.by["name"], down.result) == (1, "idle", "done")
        assert ctl(s, "wake", "a").status == 0
        woken = wait_for(read, kind="scale", revision="a/v1", to=1)[0]
        assert woken.by["name"] == "wake" and is_by_this_user(woken.by)
        assert ctl(s, "sleep", "a").status == 0
        asleep = wait_for(read, kind="scale", revision="a/v1", to=0)[0]
        assert asleep.by["name"] == "sleep" and is_by_this_user(asleep.by)
        ids = [r["id"] for r in read() if r["event"] == "intent"]
        assert len(set(ids)) == len(ids) == 4
        assert os.stat(s.state + "/audit.log").st_mode & 0o777 == 0o640


def test_a_failed_start_and_the_end_of_the_autoscaler(tmp_path):
    services = STAYING + 'service "b" { hosts = {"b"} revision "v1" { command = {"no-such"} } }'
    with running(tmp_path, services) as s:
        assert s.get("b")[0] == 503
        failed = wait_for(lambda: log_of(s), kind="scale", revision="b/v1", to=1)[0]
        assert failed.result == "failed" and "no-such" in failed.outcomes[-1]["why"]
        assert s.get("a")[0] == 200
        wait_for(lambda: log_of(s), kind="scale", revision="a/v1", to=1)
        assert s.autoscaler.stop() == 0
        stopped = changes(log_of(s), kind="scale", revision="a/v1", to=0)[0]
        assert (stopped.by["kind"], stopped.by["name"]) == ("signal", "SIGTERM")
        assert stopped.result == "done"


def test_versions_routes_and_rollouts(tmp_path):
    with running(tmp_path, HELLO) as s:
        deploy = ["deploy", "shop", "--host", "shop.x"]
        store_command(s, *deploy, "--", APP)
        store_command(s, *deploy, "--env", "A=1", "--", APP)
        store_command(s, "traffic", "shop", "shop-00001=40", "latest=60", "--tag",
                      "shop-00002=next")
        store_command(s, "rollback", "shop", "--to", "shop-00001")
        store_command(s, "rollout", "shop", "--over", "1h", "--steps", "100", "--to",
                      "shop-00002", "--no-wait")
        store_command(s, "rollout", "abort", "shop")
        store_command(s, "traffic", "shop", "--untag", "next")
        store_command(s, "delete", "shop/shop-00002")
        store_command(s, "delete", "shop")
        wait_for(lambda: log_of(s), n=2, kind="delete", service="shop")
        found = [c for c in changes(log_of(s), service="shop")
                 if c.by["kind"] == "command" and c.intent["kind"] != "scale"]
        assert [(c.intent["kind"], c.by["name"], c.result) for c in found] == [
            ("deploy", "deploy", "done"), ("deploy", "deploy", "done"),
            ("route", "traffic", "done"), ("route", "rollback", "done"),
            ("rollout", "rollout", "done"), ("rollout", "rollout", "done"),
            ("route", "traffic", "done"), ("delete", "delete", "done"),
            ("delete", "delete", "done")]
        assert all(is_by_this_user(c.by) for c in found)
        first, second, route = found[:3]
        assert first.intent["from"] is None and first.intent["to"] == "shop-00001 100%"
        assert "shop-00002 is new" in second.intent["what"]
        assert route.intent["to"] == "shop-00001 40%, shop-00002 60% (next)"
        assert route.outcomes[0]["now"] == route.intent["to"]
        last = wait_for(lambda: log_of(s), n=2, kind="delete", service="shop")[-1]
        assert last.intent["to"] is None and "now" not in last.outcomes[0]


def test_steps_of_a_rollout(tmp_path):
    with running(tmp_path, HELLO) as s:
        deploy = ["deploy", "shop", "--host", "shop.x"]
        store_command(s, *deploy, "--", APP)
        store_command(s, *deploy, "--no-traffic", "--env", "A=1", "--", APP)
        store_command(s, "rollout", "shop", "--over", "2s", "--steps", "50,100", "--to",
                      "shop-00002")
        steps = []

        def is_over():
            steps[:] = [c for c in changes(log_of(s), kind="rollout") if c.by["kind"] == "rollout"]
            return steps and steps[-1].result and "done" in steps[-1].intent["what"]

        wait_until(is_over, what="the last step")
        assert steps[0].intent["from"].startswith("shop-00001 100%")
        assert steps[0].intent["to"] == "shop-00001 50%, shop-00002 50%"
        assert "to shop-00002 done at 100%" in steps[-1].intent["what"]
        assert all(c.by["name"] == "shop-00002" and c.by["why"] and c.result == "done"
                   for c in steps)


def test_reloads_of_both_programs(tmp_path):
    path = str(tmp_path / "activator.audit")
    with running(tmp_path, HELLO, activator='audit_file = "%s"' % path) as s:
        assert s.hangup(s.activator, s.autoscaler)
        s.edit("stable_window = 1s", "stable_window = 2s")
        assert ctl(s, "reload").status == 0
        s.edit("stable_window = 2s", "stable_window = 2x")
        assert not s.hangup(s.activator, s.autoscaler)
        for read in (lambda: records(path), lambda: log_of(s)):
            same, other, refused = wait_for(read, n=3, kind="conf")
            assert same.by == {"kind": "signal", "name": "SIGHUP"}
            assert same.intent["from"] == same.intent["to"] and same.result == "done"
            assert other.by["name"] == "reload" and is_by_this_user(other.by)
            assert other.intent["from"] == same.intent["to"] != other.intent["to"]
            assert other.outcomes[0]["now"] == other.intent["to"]
            assert refused.result == "failed" and "stable_window" in refused.outcomes[0]["why"]
            assert refused.outcomes[0]["now"] == other.intent["to"]
            assert refused.intent["object"] == s.conf
        shown = ctl(s, "audit")
        name = pwd.getpwuid(os.getuid()).pw_name
        assert shown.status == 0 and shown.out.count("reload by " + name) == 2, shown
        s.edit("stable_window = 2x", "stable_window = 2s")


def test_certificates(tmp_path):
    path = str(tmp_path / "activator.audit")
    with running(tmp_path, HELLO, tls=True,
                 activator='certificate_check = 100ms audit_file = "%s"' % path) as s:
        s.tls.issue("test", "localhost")
        done = wait_for(lambda: records(path), kind="certificate")[0]
        assert (done.intent["object"], done.by, done.result) == ("test", {"kind": "file"}, "done")
        assert done.intent["from"] != done.outcomes[0]["now"]
        assert done.outcomes[0]["now"].startswith("sha256:")
        with open(s.tls.path("test.pem"), "w") as f:
            f.write("no certificate\n")
        failed = wait_for(lambda: records(path), n=2, kind="certificate")[1]
        assert failed.result == "failed" and "test.pem" in failed.outcomes[0]["why"]
        assert failed.outcomes[0]["now"] == done.outcomes[0]["now"]


def test_files_for_tls_with_instances(tmp_path):
    path, tls, other = str(tmp_path / "activator.audit"), Tls(tmp_path, "ours"), Tls(tmp_path, "two")
    trusted = str(tmp_path / "trusted.pem")
    shutil.copy(tls.ca, trusted)
    with running(tmp_path, """service "s" { hosts = {"s"} revision "v1" {
        addresses = {"127.0.0.1:1"} upstream_tls = yes upstream_ca = "%s" } }""" % trusted,
                 activator='certificate_check = 100ms audit_file = "%s"' % path) as s:
        with open(other.ca) as f, open(trusted, "a") as t:
            t.write(f.read())
        done = wait_for(lambda: records(path), kind="certificate")[0]
        found = done.intent
        assert (found["service"], found["revision"], found["object"], found["by"]) == (
            "s", "s/v1", "upstream", {"kind": "file"})
        assert found["from"].startswith("authority sha256:") and trusted in found["what"]
        assert done.result == "done"
        now = done.outcomes[0]["now"]
        assert now.startswith("2 authorities sha256:")
        with open(trusted, "w") as f:
            f.write("no certificate\n")
        failed = wait_for(lambda: records(path), n=2, kind="certificate")[1]
        assert failed.result == "failed" and trusted in failed.outcomes[0]["why"]
        assert failed.outcomes[0]["now"] == failed.intent["from"] == now
        assert s.readyz() == 200


def test_upgrades(tmp_path):
    path = str(tmp_path / "activator.audit")
    with running(tmp_path, HELLO, activator='audit_file = "%s"' % path) as s:
        # An earlier process had the same process id, as in a container, and was killed.
        with open(s.state + "/audit.log", "a") as f:
            f.write('{"time":"2026-01-01T00:00:00.000000Z","id":"%x-1-1-1","event":"intent",'
                    '"program":"autoscaler","pid":%d,"kind":"upgrade","by":{"kind":"signal",'
                    '"name":"SIGUSR1"},"from":"1","to":null}\n' % ((s.autoscaler.pid,) * 2))
        s.autoscaler.kill(signal.SIGUSR2)
        failed, over = wait_for(lambda: log_of(s), 2, kind="upgrade")
        assert failed.by["name"] == "SIGUSR1" and failed.result == "unknown"
        assert over.by == {"kind": "signal", "name": "SIGUSR2"}
        assert (over.result, over.outcomes[0]["after_restart"]) == ("done", True)
        wait_until(lambda: ctl(s, "upgrade").status == 0, what="the upgrade")
        over = [c for c in wait_for(lambda: records(path), kind="upgrade")
                if c.result == "done"][0]
        assert over.by["name"] == "upgrade" and is_by_this_user(over.by)
        assert over.result == "done"
        successor = int(over.outcomes[0]["now"].split()[1])
        end_process(successor)


# --- killed between the two

def test_scale_killed_between(tmp_path):
    gate = Gate(tmp_path)
    services = 'service "a" { hosts = {"a"} revision "v1" { %s } }' % gate.command()
    with running(tmp_path, services) as s:
        with s.connect() as c:
            c.request("GET", "/", "a")
            wait_until(lambda: changes(log_of(s), kind="scale", to=1), what="the intent")
            wait_until(s.instances, what="the instance")
            s.autoscaler.kill()
            assert changes(log_of(s), kind="scale", to=1)[0].result is None
            s.start_autoscaler()
            ended = wait_for(lambda: log_of(s), kind="scale", to=1)[0]
            # The keeper has kept the instance, and the driver shows it.
            assert ended.result == "done" and ended.outcomes[0]["after_restart"]
            assert ended.outcomes[0]["pid"] == s.autoscaler.pid != ended.intent["pid"]
            gate.open()
            assert c.response()[0] == 200


def block(path):
    """Put a pipe in the place of a file, or where one is about to be written: who opens it waits for
    ever."""
    os.mkfifo(path + ".pipe")
    os.rename(path + ".pipe", path)


def stuck(begin, read, **like):
    """Begin what waits for such a pipe.  The id of its intent."""
    known = {c.intent["id"] for c in changes(read(), **like)}
    begin()

    def new():
        return [c for c in changes(read(), **like) if c.intent["id"] not in known]

    wait_until(new, what="the intent")
    assert new()[0].result is None
    return new()[0].intent["id"]


def outcome_of(read, intent):
    wait_until(lambda: [r for r in read() if r["event"] == "outcome" and r["id"] == intent],
               what="the outcome")
    return [r for r in read() if r["event"] == "outcome" and r["id"] == intent][-1]


@pytest.mark.parametrize("kind, words", [
    ("deploy", ["deploy", "shop", "--host", "shop.x", "--traffic", "100", "--", "true", "3"]),
    ("route", ["traffic", "shop", "shop-00001=10", "shop-00002=90"]),
    ("rollout", ["rollout", "shop", "--over", "1h", "--to", "shop-00001", "--no-wait"]),
    ("delete", ["delete", "shop/shop-00001"]),
])
def test_store_killed_between(tmp_path, kind, words):
    s = Stack(tmp_path, HELLO)
    try:
        s.start_autoscaler()
        wait_until(lambda: ctl(s, "list").status == 0, what="the autoscaler")
        for n in "12":
            store_command(s, "deploy", "shop", "--host", "shop.x", "--", "true", n)
        child = []
        read = lambda: log_of(s)
        block(s.state + "/services/shop.conf.new")
        intent = stuck(lambda: child.append(
            subprocess.Popen([CTL, "-c", s.conf, *words], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)),
            read, kind=kind, service="shop")
        s.autoscaler.kill()
        child[0].wait(WAIT_S)
        before = store_text(s)
        s.start_autoscaler()
        end = outcome_of(read, intent)
        assert end["result"] == "failed" and end["after_restart"]
        assert store_text(s) == before
        wait_until(lambda: ctl(s, "list").status == 0, what="the autoscaler")
        store_command(s, *words)
        wait_until(lambda: changes(read(), kind=kind, service="shop")[-1].result == "done",
                   what="the outcome")
    finally:
        s.stop()


def store_text(s):
    with open(s.state + "/services/shop.conf") as f:
        return f.read()


def test_deletion_killed_after_it(tmp_path):
    """The service is gone, and the record of it was not written."""
    with running(tmp_path, HELLO) as s:
        store_command(s, "deploy", "shop", "--host", "shop.x", "--", "true")
        store_command(s, "delete", "shop")
        wait_for(lambda: log_of(s), kind="delete")
        s.autoscaler.kill()
        with open(s.state + "/audit.log") as f:
            lines = f.readlines()
        kept = [x for x in lines if '"event":"outcome"' not in x or '"kind":"delete"' not in x]
        assert len(kept) == len(lines) - 1
        with open(s.state + "/audit.log", "w") as f:
            f.writelines(kept)
            f.write('{"time":"2026-11-')  # as a crash leaves it
        s.start_autoscaler()
        end = wait_for(lambda: log_of_torn(s), kind="delete")[0].outcomes[0]
        assert end["result"] == "done" and end["after_restart"]
        assert "skipped broken records of the audit" in s.autoscaler.text()
        assert ctl(s, "audit").err.count("1 lines of the audit are broken") == 1


def log_of_torn(s):
    found = []
    with open(s.state + "/audit.log") as f:
        for line in f:
            try:
                found.append(json.loads(line))
            except ValueError:
                pass
    return found


def test_rollout_step_killed_between(tmp_path):
    with running(tmp_path, HELLO) as s:
        store_command(s, "deploy", "shop", "--host", "shop.x", "--", APP)
        store_command(s, "deploy", "shop", "--no-traffic", "--env", "A=1", "--", APP)
        store_command(s, "rollout", "shop", "--over", "4s", "--steps", "50,100", "--to",
                      "shop-00002", "--no-wait")
        read = lambda: log_of(s)

        def step():
            return [c for c in changes(read(), kind="rollout") if c.by["kind"] == "rollout"]

        block(s.state + "/services/shop.conf.new")
        wait_until(lambda: step() and step()[-1].result is None, what="the intent of a step")
        intent = step()[-1].intent
        s.autoscaler.kill()
        is_stored = "generation=%d " % intent["generation"] in store_text(s)
        s.start_autoscaler()
        assert outcome_of(read, intent["id"])["result"] == ("done" if is_stored else "failed")
        wait_until(lambda: step()[-1].intent["to"] == "shop-00002 100%" and
                   step()[-1].result == "done", what="the rollout to go on")


def test_conf_and_certificate_killed_between(tmp_path):
    path = str(tmp_path / "activator.audit")
    read = lambda: records(path)
    with running(tmp_path, HELLO, tls=True,
                 activator='certificate_check = 100ms audit_file = "%s"' % path) as s:
        chain = s.tls.path("test.pem")
        shutil.copy(chain, chain + ".kept")
        intent = stuck(lambda: block(chain), read, kind="certificate")
        s.activator.kill()
        shutil.copy(chain + ".kept", chain + ".new")
        os.rename(chain + ".new", chain)
        s.start_activator()
        s.wait_ready()
        end = outcome_of(read, intent)
        assert end["result"] == "done" and end["after_restart"]

        other = s.tls.issue("other", "localhost")[0]
        s.edit('certificate "test"', 'certificate "other" { chain = "%s" key = "%s" }\n'
               'certificate "test"' % (other, s.tls.path("other.key")))
        shutil.copy(other, other + ".kept")
        block(other)
        intent = stuck(lambda: s.activator.kill(signal.SIGHUP), read, kind="conf")
        s.activator.kill()
        shutil.copy(other + ".kept", other + ".new")
        os.rename(other + ".new", other)
        s.start_activator()
        s.wait_ready()
        assert outcome_of(read, intent)["result"] == "done"  # it has read that file

        block(other)
        s.edit("workers = 2", "workers = 2 ")
        intent = stuck(lambda: s.activator.kill(signal.SIGHUP), read, kind="conf")
        s.activator.kill()
        os.rename(other + ".kept", other)
        s.edit("workers = 2 ", "workers = 2")
        s.start_activator()
        s.wait_ready()
        assert outcome_of(read, intent)["result"] == "unknown"  # it has read another one


def test_upgrade_killed_between(tmp_path):
    path = str(tmp_path / "activator.audit")
    read = lambda: records(path)
    with running(tmp_path, HELLO, activator='audit_file = "%s"' % path) as s:
        s.autoscaler.kill(signal.SIGSTOP)  # so that the new activator is not ready
        s.activator.kill(signal.SIGUSR2)
        wait_until(lambda: changes(read(), kind="upgrade"), what="the intent")
        wait_until(lambda: s.activator.text().count("activator started") == 2,
                   what="the new activator")
        s.activator.kill()
        s.autoscaler.kill(signal.SIGCONT)
        # The new activator goes on without the old one.
        end = outcome_of(read, changes(read(), kind="upgrade")[0].intent["id"])
        assert end["result"] == "done" and end["after_restart"]
        s.wait_ready()
        end_process(end["pid"])


# --- the file

def test_a_full_disk_costs_records_and_nothing_else(tmp_path):
    with running(tmp_path, HELLO, activator='audit_file = "/dev/full"',
                 autoscaler='audit_file = "/dev/full"') as s:
        for _ in range(3):
            assert s.get("a")[0] == 200
        assert s.hangup(s.activator, s.autoscaler)
        store_command(s, "deploy", "shop", "--host", "shop.x", "--", "true")
        for p, port in ((s.autoscaler, s.scaler_admin), (s.activator, s.admin)):
            wait_until(lambda: "cannot write the audit" in p.text(), what="the log line")
            name = "%s_audit_records_written_total" % p.name
            assert s.metrics(port)[name] == 0
        for p in (s.activator, s.autoscaler):
            assert p.stop() == 0
            assert p.text().count("cannot write the audit") == 1
            assert "the audit could not be written" in p.text()


def test_files_rotate_and_move(tmp_path):
    with running(tmp_path, HELLO, autoscaler="audit_max_bytes = 3000") as s:
        n = 0
        while not os.path.exists(s.state + "/audit.log.1"):
            assert s.hangup(s.autoscaler)
            n += 1
        assert len(wait_for(lambda: log_of(s), n=n, kind="conf")) == n
        shown = ctl(s, "audit", "-o", "name")
        assert len(shown.out.splitlines()) == n, shown
        moved = str(tmp_path / "moved")
        s.reload("audit_max_bytes = 3000", 'audit_file = "%s"' % moved)
        assert s.hangup(s.autoscaler)
        assert len(wait_for(lambda: records(moved), kind="conf")) == 1
        s.reload('audit_file = "%s"' % moved, 'audit_file = ""')
        assert s.hangup(s.autoscaler)
        assert ctl(s, "audit").status == 1
        s.reload('audit_file = ""', 'audit_file = "%s"' % moved)
        assert s.hangup(s.autoscaler)
        found = wait_for(lambda: records(moved), n=3, kind="conf")
        assert [c.result for c in found] == ["done"] * 3
        s.edit(moved, "/no/such/folder/x")
        assert not s.hangup(s.autoscaler)
        assert "audit_file" in s.autoscaler.text().splitlines()[-2]


def test_both_programs_write_to_one_file(tmp_path):
    path = str(tmp_path / "audit")
    with running(tmp_path, HELLO, activator='audit_file = "%s" audit_max_bytes = 2000' % path,
                 autoscaler='audit_file = "%s" audit_max_bytes = 2000' % path) as s:
        s.activator.kill(signal.SIGHUP)
        s.autoscaler.kill(signal.SIGHUP)
        seen = set()
        for _ in range(20):
            assert s.hangup(s.activator, s.autoscaler)
            seen |= {(r["id"], r["event"]) for r in records(path)}
        assert {r["program"] for r in records(path)} <= {"activator", "autoscaler"}
        assert os.path.getsize(path + ".1") < 4000


def test_ctl_filters(tmp_path):
    with running(tmp_path, HELLO) as s:
        assert s.get("a")[0] == 200
        store_command(s, "deploy", "shop", "--host", "shop.x", "--", "true")
        wait_for(lambda: log_of(s), kind="scale", to=1)
        all_kinds = ctl(s, "audit").out
        assert "activation" in all_kinds and "deploy by" in all_kinds
        shop = ctl(s, "audit", "shop")
        assert "deploy by" in shop.out and "a/v1" not in shop.out
        one = ctl(s, "audit", "a/v1", "--since", "1h")
        assert "a/v1" in one.out and "shop" not in one.out
        assert ctl(s, "audit", "nothing").err.strip().endswith("nothing has changed")
        lines = [json.loads(x) for x in ctl(s, "audit", "-o", "json").out.splitlines()]
        assert [x["type"] for x in lines] == ["audit"] * len(lines) and len(lines) >= 4
        assert "TOOK" in ctl(s, "audit", "-o", "wide").out
        time_of = lines[-1]["time"]
        assert time_of.endswith("Z") and abs(
            time.mktime(time.gmtime()) - time.mktime(time.strptime(
                time_of[:19], "%Y-%m-%dT%H:%M:%S"))) < 10 * WAIT_S
