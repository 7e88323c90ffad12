"""The pod in which both programs run ends: both get SIGTERM at the same time, and requests that
are parked then are still answered."""
import os
import shutil
import signal

import pytest

from cluster import cluster
from helpers import BUILD, wait_until
from kube_stack import on_cluster, service
from stack import Program


@pytest.mark.parametrize("is_parked", [True, False])
def test_both_get_sigterm(tmp_path, is_parked):
    with cluster(tmp_path) as kube:
        kube.workload("hello", args=["--startup", "1500ms"])
        services = service("hello", kube, "port = 8080 stable_window = 30s")
        with on_cluster(tmp_path, kube, services) as s, s.connect() as c:
            c.request("GET", "/", "hello")
            if not is_parked:
                assert c.response()[0] == 200
                wait_until(lambda: s.metrics(s.scaler_admin).get(
                    'autoscaler_parked_requests{revision="hello/v1"}') == 0, what="a report of it")
            wait_until(lambda: kube.replicas("hello") == 1, what="the wake-up")
            s.autoscaler.kill(signal.SIGTERM)
            s.activator.kill(signal.SIGTERM)
            if is_parked:
                assert c.response()[0] == 200
            for p in s.activator, s.autoscaler:
                assert p.process.wait(30) == 0
            has_waited = "stopping once no request is parked" in s.autoscaler.text()
            assert has_waited == is_parked
            assert kube.replicas("hello") == 1  # pods outlive the autoscaler


def test_a_second_sigterm_ends_the_autoscaler_at_once(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello", args=["--startup", "60s"])
        with on_cluster(tmp_path, kube, service("hello", kube)) as s, s.connect() as c:
            c.request("GET", "/", "hello")
            wait_until(lambda: kube.replicas("hello") == 1, what="the wake-up")
            s.autoscaler.kill(signal.SIGTERM)
            wait_until(lambda: "no request is parked" in s.autoscaler.text(), what="the log line")
            s.autoscaler.kill(signal.SIGTERM)
            assert s.autoscaler.process.wait(20) == 0
            c.close()


def test_sigterm_wins_over_an_upgrade_that_began_before(tmp_path):
    """It comes while the new program checks the conf file."""
    program, go = str(tmp_path / "autoscaler"), str(tmp_path / "go")
    with cluster(tmp_path) as kube:
        kube.workload("hello", args=["--startup", "5s"])
        with on_cluster(tmp_path, kube, service("hello", kube)) as s, s.connect() as c:
            s.autoscaler.kill(signal.SIGTERM)
            assert s.autoscaler.process.wait(20) == 0
            shutil.copy(os.path.join(BUILD, "autoscaler"), program)
            s.autoscaler = Program("autoscaler", s.conf, s.autoscaler.log, path=program)
            s.wait_ready()
            with open(program + ".new", "w") as f:
                f.write("#!/bin/sh\nwhile [ ! -e %s ]; do sleep 0.1; done\n" % go)
            os.chmod(f.name, 0o755)
            os.replace(f.name, program)
            c.request("GET", "/", "hello")
            wait_until(lambda: kube.replicas("hello") == 1, what="the wake-up")
            s.autoscaler.kill(signal.SIGUSR2)
            s.autoscaler.kill(signal.SIGTERM)
            wait_until(lambda: "no request is parked" in s.autoscaler.text(), what="the log line")
            open(go, "w").close()
            wait_until(lambda: "the upgrade is refused" in s.autoscaler.text(), what="the refusal")
            assert c.response()[0] == 200
            assert s.autoscaler.process.wait(20) == 0
