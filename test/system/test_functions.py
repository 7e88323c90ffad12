"""Functions: max_requests = 1, a process for each request.  No process is sent a second request,
whatever the concurrency, the number of activators, and whichever program is killed meanwhile."""
import collections
import json
import sys
import threading

import pytest

from cluster import IS_REAL, cluster
from fleet import Activator
from helpers import wait_until
from kube_stack import on_cluster, service
from stack import Client, running

FUNCTION = """
service "app" { hosts = {"app"} stable_window = 60s max_requests = %d
    revision "v1" { command = {"HELLO"} %s } }
"""
ENDED = 'autoscaler_instances_ended_total{revision="app/v1",reason="%s"}'


def ended(s, reason="max_requests"):
    return s.metrics(s.scaler_admin).get(ENDED % reason, 0)


def ask(port):
    """(status, body); (0, why) if there was no answer."""
    try:
        with Client(port) as c:
            c.request("GET", "/count", "app", None, [("Connection", "close")])
            status, _, body = c.response()
            return status, body
    except (OSError, AssertionError) as e:
        return 0, e


class Asked:
    """n clients ask `each` times; each answer says how many requests its process has had."""

    def __init__(self, ports, n, each):
        self.answers, self.failures, self.lock = [], [], threading.Lock()
        self.threads = [threading.Thread(target=self._run, args=(ports[i % len(ports)], each))
                        for i in range(n)]
        for t in self.threads:
            t.start()

    def _run(self, port, each):
        for _ in range(each):
            status, body = ask(port)
            with self.lock:
                if status == 200:
                    self.answers.append(json.loads(body))
                else:
                    self.failures.append((status, body))

    def wait(self):
        for t in self.threads:
            t.join()
        return self


def check_none_served_two(answers):
    """Each process says that this was its first request."""
    assert {a["requests"] for a in answers} == {1}, collections.Counter(
        a["requests"] for a in answers)


@pytest.mark.parametrize("n, each", [(1, 40), (10, 20)])
def test_a_process_for_each_request(tmp_path, n, each):
    with running(tmp_path, FUNCTION % (1, "max_scale = 20")) as s:
        asked = Asked([s.port], n, each).wait()
        assert not asked.failures
        assert len(asked.answers) == n * each
        check_none_served_two(asked.answers)
        wait_until(lambda: ended(s) >= n * each, what="the end of each")
        assert ended(s, "by_itself") == 0
        assert "activation_failed" not in s.autoscaler.text()


def test_one_at_a_time(tmp_path):
    """max_scale = 1: the next process starts when the one before has ended."""
    with running(tmp_path, FUNCTION % (1, "max_scale = 1")) as s:
        asked = Asked([s.port], 4, 5).wait()
        assert not asked.failures
        check_none_served_two(asked.answers)


def test_a_few_requests_each(tmp_path):
    """max_requests = 10: at most ten, and all of them where requests come one after another."""
    with running(tmp_path, FUNCTION % (10, "min_scale = 1 max_scale = 2")) as s:
        asked = Asked([s.port], 1, 60).wait()
        assert not asked.failures
        counts = [a["requests"] for a in asked.answers]
        assert max(counts) == 10
        wait_until(lambda: ended(s) >= 4, what="the end of those that had ten")


def test_a_program_that_exits_before_its_request(tmp_path):
    """It accepts the probe and exits with status 0: it is no function that has had its request,
    and it is started again after a back-off alone."""
    program = tmp_path / "exits.py"
    program.write_text("import os, socket\n"
                       "socket.create_server(('127.0.0.1', int(os.environ['PORT']))).accept()\n")
    conf = FUNCTION % (1, "min_scale = 1")
    conf = conf.replace('{"HELLO"}', '{"%s", "%s"}' % (sys.executable, program))
    with running(tmp_path, conf) as s:
        def ends():
            return [line for line in s.autoscaler.text().splitlines()
                    if "instance ended by itself" in line]
        wait_until(lambda: len(ends()) >= 2, what="two ends")
        assert "failed=1" in ends()[1]


def test_two_activators(tmp_path):
    with running(tmp_path, FUNCTION % (1, "max_scale = 6")) as s:
        other = Activator(s, "other").start()
        asked = Asked([s.port, other.port], 6, 15).wait()
        other.stop()
        assert not asked.failures
        assert len(asked.answers) == 90
        check_none_served_two(asked.answers)


@pytest.mark.parametrize("program", ["autoscaler", "activator"])
def test_a_killed_program(tmp_path, program):
    """The requests that a killed activator had are lost; no process is sent a second one."""
    with running(tmp_path, FUNCTION % (1, "max_scale = 6")) as s:
        asked = Asked([s.port], 6, 20)
        wait_until(lambda: len(asked.answers) >= 20, what="the first answers")
        if program == "autoscaler":
            s.autoscaler.kill()
            s.start_autoscaler()
        else:
            s.activator.kill()
            s.start_activator()
            s.wait_ready()
        asked.wait()
        check_none_served_two(asked.answers)
        if program == "autoscaler":
            assert not asked.failures
        assert s.get("app")[0] == 200


@pytest.mark.skipif(IS_REAL, reason="it needs pods that start within a second")
def test_pods_that_have_had_their_requests(tmp_path):
    """Each pod gets five requests at most.  It is replaced by way of the scale, as the one with the
    lowest deletion cost."""
    with cluster(tmp_path) as kube:
        kube.workload("app", replicas=0)
        conf = "port = 8080 max_requests = 5 min_scale = 1 max_scale = 2"
        with on_cluster(tmp_path, kube, service("app", kube, conf)) as s:
            asked = Asked([s.port], 2, 15).wait()
            assert not asked.failures
            assert max(a["requests"] for a in asked.answers) <= 5
            wait_until(lambda: ended(s) >= 4, what="pods that ended")
