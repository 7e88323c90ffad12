"""Rollouts: a good version reaches all clients in steps, a bad one goes back, whoever dies in
between, and no request notices."""
import collections
import contextlib
import re
import threading

import pytest

from fleet import Activator
from helpers import WAIT_S, wait_until
from stack import Client, generation_at, running
from test_ctl import ctl
from test_many_versions import Measure, judge
from test_versions import change, deploy, percents, routed, service

CONF = 'service "file" { hosts = {"file.x"} revision "v1" { command = {"HELLO"} } }'


def rollout(stack, name="shop"):
    return ctl(stack, "rollout", "status", name, "-o", "json").json


def ended(stack):
    """The rollout, once it has ended."""
    return wait_until(lambda: (lambda r: r["state"] not in ("running", "paused") and r)(
        rollout(stack)), timeout=2 * WAIT_S, what="the rollout to end")


class Load:
    """Clients with kept connections, which count the answers by status."""

    def __init__(self, stack, clients=4, host="shop.x", timeout=WAIT_S):
        self.stack, self.host, self.timeout = stack, host, timeout
        self.seen, self.broken = collections.Counter(), []
        self.is_over = threading.Event()
        self.threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def _run(self):
        while not self.is_over.is_set():
            try:
                with self.stack.connect() as c:
                    c.settimeout(self.timeout)
                    while not self.is_over.is_set():
                        c.request("GET", "/", self.host)
                        self.seen[c.response()[0]] += 1
                        self.is_over.wait(0.002)
            except (OSError, AssertionError) as e:
                self.broken.append(e)

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        for t in self.threads:
            t.join(2 * WAIT_S)
        assert not any(t.is_alive() for t in self.threads)


@contextlib.contextmanager
def two_versions(path, *options, command=("--response", "1ms"), **more):
    """The first has all traffic, the second has none."""
    with running(path, CONF, **more) as s:
        deploy(s, "shop", "--host", "shop.x", "--activation-timeout", "30s")
        routed(s, "shop.x")
        if command:
            deploy(s, "shop", "--no-traffic", *options, command=command)
        yield s


def test_a_good_version_takes_over(tmp_path):
    with two_versions(tmp_path) as s, Load(s) as load:
        wait_until(lambda: load.seen[200] > 10, what="requests")
        done = ctl(s, "rollout", "shop", "--over", "4s", "--abort-if", "errors>1%",
                   "--abort-if", "p99>20s", "--min-requests", "1")
        assert done.status == 0, done
        assert "shop-00002 has 100% of the traffic" in done.err
        assert percents(s, "shop") == {"shop-00001": 0, "shop-00002": 100}
        text = s.autoscaler.text()
        steps = re.findall(r'msg="rollout takes a step".* percent=(\d+)', text)
        assert steps == ["1", "10", "50", "100"]
        assert s.metrics(s.scaler_admin)['autoscaler_rollouts_total{result="done"}'] == 1
        assert rollout(s)["state"] == "done"
        n = load.seen[200]
        wait_until(lambda: load.seen[200] > n + 10, what="requests")
    assert set(load.seen) == {200} and not load.broken, (load.seen, load.broken)


def test_each_step_has_its_percent(tmp_path):
    """Within five standard deviations."""
    with two_versions(tmp_path) as s:
        ctl(s, "rollout", "shop", "--over", "3000s", "--steps", "20,60,100", "--no-wait")
        wait_until(lambda: rollout(s)["percent"] == 20, what="the first step")
        change(s, "rollout", "pause", "shop")
        assert rollout(s)["state"] == "paused" and "rollout paused" in ctl(s, "list").out
        wait_until(lambda: "held" in ctl(s, "rollout", "status", "shop").out, what="the pause")
        with Load(s) as load:
            wait_until(lambda: rollout(s)["new"]["requests"] + rollout(s)["old"]["requests"] > 800,
                       what="requests")
            r = rollout(s)
        n = r["new"]["requests"] + r["old"]["requests"]
        deviation = (n * 0.2 * 0.8) ** 0.5
        # Those that were on their way when the step began count with the old ones.
        assert abs(r["new"]["requests"] - 0.2 * n) < 5 * deviation + 10, r
        assert set(load.seen) == {200}
        held = s.metrics(s.scaler_admin)
        labels = '{service="shop",revision="shop-00002"}'
        assert held["autoscaler_rollout_percent" + labels] == 20
        assert held["autoscaler_rollout_held" + labels] == 1
        change(s, "rollout", "resume", "shop")
        assert rollout(s)["state"] == "running"
        assert "the percents are as before" in change(s, "rollout", "abort", "shop").err
        assert percents(s, "shop") == {"shop-00001": 100, "shop-00002": 0}
        assert rollout(s)["reason"] == "an operator has aborted it"
        assert "an operator has aborted it" in ctl(s, "describe", "shop").out


BAD = {
    "500s": (["--status", "500"], "errors>1%"),
    "500s, as the old one": (["--status", "500"], "errors>2x"),
    "breaks off": (["--status", "0"], "failed>1%"),
    "slow": (["--response", "2s"], "p95>1s"),
    "slow, as the old one": (["--response", "2s"], "p95>3x"),
    "hangs": (["--response", "3600s"], "p95>1s"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_version_goes_back(tmp_path, kind):
    command, bound = BAD[kind]
    with two_versions(tmp_path, command=command) as s, Load(s, 8, timeout=5) as load:
        wait_until(lambda: load.seen[200] > 10, what="requests")
        done = ctl(s, "rollout", "shop", "--over", "600s", "--steps", "10,100", "--abort-if",
                   bound, "--min-requests", "10")
        assert done.status == 1, done
        assert "and the percents are as before: " + bound in done.err
        assert percents(s, "shop") == {"shop-00001": 100, "shop-00002": 0}
        revisions = {r["revision"]: r for r in service(s, "shop")["revisions"]}
        assert revisions["shop-00002"]["rejected"].startswith(bound)
        r = rollout(s)
        assert (r["state"], r["percent"]) == ("aborted", 10)
        print("ROLLOUT %s: %s; clients saw %s, %d broken; %d s" % (
            kind, r["reason"], dict(load.seen), len(load.broken), r["ended"] - r["began"]))
        n = load.seen[200]
        wait_until(lambda: load.seen[200] > n + 50, what="requests")
        if kind == "500s":  # the way back leads past what was rejected
            deploy(s, "shop", command=["--response", "2ms"])
            change(s, "traffic", "shop", "latest=100")
            change(s, "rollback", "shop")
            assert percents(s, "shop") == {"shop-00001": 100, "shop-00002": 0, "shop-00003": 0}
            change(s, "delete", "shop/shop-00001", status=1)
            change(s, "traffic", "shop", "latest=100")
            change(s, "delete", "shop/shop-00001")
            done = change(s, "rollback", "shop", status=1)
            assert "no revision before shop-00003 that no rollout has rejected" in done.err
            shown = ctl(s, "describe", "shop", "-o", "json").json["revisions"]
            assert {r["revision"]: r["command"][1:] for r in shown} == {
                "shop-00002": ["--status", "500"], "shop-00003": ["--response", "2ms"]}


@pytest.mark.parametrize("command", [["sh", "-c", "exit 3"], ["no-such-program"]])
def test_a_version_that_does_not_start_gets_no_traffic(tmp_path, command):
    with two_versions(tmp_path, command=None) as s, Load(s) as load:
        change(s, "deploy", "shop", "--no-traffic", "--", *command)
        done = ctl(s, "rollout", "shop", "--over", "4s")
        assert done.status == 1 and "is aborted at 0%" in done.err, done
        assert "it cannot start: " in done.err
        assert percents(s, "shop")["shop-00001"] == 100
        n = load.seen[200]
        wait_until(lambda: load.seen[200] > n, what="requests")
    assert set(load.seen) == {200} and not load.broken, load.seen


def test_one_at_a_time_and_commands_that_end_it(tmp_path):
    with two_versions(tmp_path) as s:
        assert ctl(s, "rollout", "shop").status == 2
        for wrong in (["--over", "1ms"], ["--over", "4s", "--steps", "50,10"],
                      ["--over", "4s", "--abort-if", "errors>1"]):
            assert ctl(s, "rollout", "shop", *wrong).status == 2
        assert ctl(s, "rollout", "file", "--over", "4s").status == 1
        assert ctl(s, "rollout", "none", "--over", "4s").status == 3
        assert ctl(s, "rollout", "shop", "--over", "4s", "--to", "none").status == 3
        assert ctl(s, "rollout", "status", "shop").status == 1
        assert ctl(s, "rollout", "resume", "shop").status == 1
        assert ctl(s, "rollout", "end", "shop").status == 2
        change(s, "rollout", "shop", "--over", "3000s", "--min-requests", "5", "--no-wait")
        done = ctl(s, "rollout", "shop", "--over", "3000s")
        assert done.status == 1
        assert 'a rollout to "shop-00002" is under way already' in done.err
        wait_until(lambda: rollout(s)["percent"] == 1, what="the first step")
        deploy(s, "shop", "--no-traffic", command=["--response", "2ms"])
        change(s, "traffic", "shop", "--tag", "shop-00001=old")
        assert rollout(s)["state"] == "running"
        assert "shop-00002 1%, running" in ctl(s, "rollout", "status", "shop").out
        change(s, "delete", "shop/shop-00002", status=1)
        done = ctl(s, "rollout", "wait", "shop", "--timeout", "100ms")
        assert done.status == 5 and "it goes on: shop-00002 1%" in done.err, done
        done = change(s, "traffic", "shop", "shop-00001=50", "shop-00003=50")
        assert "this has ended the rollout that was under way" in done.err
        assert rollout(s)["state"] == "replaced"
        assert "activatorctl traffic has set the percents" in ctl(
            s, "rollout", "wait", "shop").err
        assert percents(s, "shop") == {"shop-00001": 50, "shop-00002": 0, "shop-00003": 50}
        change(s, "rollout", "shop", "--to", "shop-00002", "--over", "3000s", "--no-wait")
        wait_until(lambda: rollout(s)["percent"] == 1, what="the first step")
        change(s, "rollback", "shop")
        assert (rollout(s)["state"], rollout(s)["reason"]) == (
            "aborted", "an operator has rolled it back")
        assert percents(s, "shop") == {"shop-00001": 50, "shop-00002": 0, "shop-00003": 50}
        assert s.get("shop.x")[0] == 200


@pytest.mark.parametrize("at", ["before the first step", "in a step", "paused"])
def test_it_goes_on_after_the_autoscaler_was_killed(tmp_path, at):
    slow = ["--startup", "1s"] if at == "before the first step" else ["--response", "1ms"]
    with two_versions(tmp_path, command=slow) as s, Load(s) as load:
        wait_until(lambda: load.seen[200] > 10, what="requests")
        change(s, "rollout", "shop", "--over", "3s", "--steps", "10,50,100", "--no-wait",
               "--min-requests", "3")
        if at != "before the first step":
            wait_until(lambda: rollout(s)["percent"] >= 10, what="a step")
        if at == "paused":
            change(s, "rollout", "pause", "shop")
        before = rollout(s)
        s.autoscaler.kill()
        s.start_autoscaler()
        wait_until(lambda: ctl(s, "list").status == 0, what="the autoscaler")
        after = rollout(s)
        assert (after["id"], after["to"]) == (before["id"], before["to"])
        assert after["percent"] >= before["percent"]
        if at == "paused":
            assert (after["state"], after["percent"]) == ("paused", before["percent"])
            change(s, "rollout", "resume", "shop")
        assert ended(s)["state"] == "done"
        assert percents(s, "shop") == {"shop-00001": 0, "shop-00002": 100}
    assert set(load.seen) == {200} and not load.broken, (load.seen, load.broken)


def test_instances_are_there_before_the_percent(tmp_path):
    """A revision that takes one request at a time, and a second to start."""
    options = ["--container-concurrency", "1", "--max-scale", "6", "--target", "1"]
    with running(tmp_path, CONF) as s:
        deploy(s, "shop", "--host", "shop.x", *options, command=["--response", "50ms"])
        routed(s, "shop.x")
        deploy(s, "shop", "--no-traffic", *options,
               command=["--response", "51ms", "--startup", "1s"])
        with Load(s, 4) as load:
            wait_until(lambda: sum(r["ready"] for r in service(s, "shop")["revisions"]
                                   if "ready" in r) >= 3, what="instances")
            change(s, "rollout", "shop", "--over", "3000s", "--steps", "80,100", "--no-wait")
            wait_until(lambda: rollout(s)["percent"] == 80, what="the step")
            revisions = {r["revision"]: r for r in service(s, "shop")["revisions"]}
            assert revisions["shop-00002"]["ready"] >= 2, revisions
        assert set(load.seen) == {200} and not load.broken, load.seen


@pytest.mark.parametrize("to, ends_with", [("shop-00003", "done"), ("shop-00001", "done"),
                                           ("shop-00003", "aborted")])
def test_sticky_clients_move_at_most_once(tmp_path, to, ends_with):
    """Of three revisions: to the one that takes over, and from no old one to another."""
    statuses = {"shop-00001": 200, "shop-00002": 201, "shop-00003": 202}
    with running(tmp_path, CONF) as s:
        deploy(s, "shop", "--host", "shop.x", "--sticky", "cookie:id")
        routed(s, "shop.x")
        deploy(s, "shop", "--no-traffic", command=["--status", "201"])
        deploy(s, "shop", "--no-traffic", command=["--status", "202"])
        olds = [r for r in statuses if r != to]
        change(s, "traffic", "shop", "%s=33" % olds[0], "%s=67" % olds[1])
        wait_until(lambda: {s.get("shop.x")[0] for _ in range(20)} == {statuses[r] for r in olds},
                   what="the split")
        served = collections.defaultdict(list)

        def ask_all():
            for i in range(60):
                status = s.get("shop.x", fields=[("Cookie", "id=%d" % i)])[0]
                if not served[i] or served[i][-1] != status:
                    served[i].append(status)

        ask_all()
        assert {v[0] for v in served.values()} == {statuses[r] for r in olds}
        change(s, "rollout", "shop", "--to", to, "--over", "8s", "--steps",
               "7,20,31,50,64,77,93,100", "--no-wait")
        while rollout(s)["state"] == "running":
            ask_all()
            if ends_with == "aborted" and rollout(s)["percent"] >= 77:
                change(s, "rollout", "abort", "shop")
        assert rollout(s)["state"] == ends_with
        ask_all()
        if ends_with == "aborted":
            generation = ctl(s, "status", "-o", "json").json["generation"]
            wait_until(lambda: s.generation() >= generation, what="the old percents")
            ask_all()
            ask_all()
            expected = lambda v: v in ([v[0]], [v[0], statuses[to], v[0]])
        else:
            wait_until(lambda: s.get("shop.x", fields=[("Cookie", "id=0")])[0] == statuses[to],
                       what="the end")
            ask_all()
            expected = lambda v: v == [v[0], statuses[to]]
        assert all(expected(v) for v in served.values()), served


def test_two_activators(tmp_path):
    """Both split alike, and what they report counts together."""
    with two_versions(tmp_path, command=("--status", "201")) as s:
        change(s, "traffic", "shop", "--tag", "shop-00002=next")
        other = Activator(s, "other").start()
        ports = s.port, other.port

        def ask(port, host, n):
            seen = collections.Counter()
            with Client(port) as c:
                for _ in range(n):
                    c.request("GET", "/", host)
                    seen[c.response()[0]] += 1
            assert set(seen) <= {200, 201}, seen
            return seen

        change(s, "rollout", "shop", "--over", "1s", "--steps", "30,100", "--min-requests", "50",
               "--abort-if", "errors>1%", "--no-wait")
        wait_until(lambda: rollout(s)["percent"] == 30, what="the first step")
        wait_until(lambda: "new" in rollout(s), what="the first look at the step")
        ask(ports[0], "next-shop.x", 40)
        wait_until(lambda: rollout(s)["new"]["requests"] == 40, what="the report")
        assert rollout(s)["percent"] == 30 and "40" in rollout(s)["waits_for"], rollout(s)
        change(s, "rollout", "pause", "shop")
        generation = ctl(s, "status", "-o", "json").json["generation"]
        wait_until(lambda: min(s.generation(), generation_at(other.admin)) >= generation,
                   what="the step in both")
        ask(ports[0], "shop.x", 1), ask(ports[1], "shop.x", 1)  # a worker may have the older routes
        before = rollout(s)
        n = 600
        measures = [Measure("step", port, "shop-00002", 30, ask(port, "shop.x", n)[201], n)
                    for port in ports]
        assert not judge(measures, 1e-6), measures
        # Both requests of above were answered; they may not have been reported when `before` came.
        total = 40 + 2 + 2 * n

        def counted():
            r = rollout(s)
            return r["new"]["requests"] + r["old"]["requests"]

        wait_until(lambda: counted() == total, what="all to be counted: %r" % before)
        change(s, "rollout", "resume", "shop")
        wait_until(lambda: rollout(s)["percent"] == 100 and "new" in rollout(s), what="the end")
        for port in ports:
            ask(port, "next-shop.x", 30)
        assert ended(s)["state"] == "done"
        assert percents(s, "shop") == {"shop-00001": 0, "shop-00002": 100}
        other.stop()
