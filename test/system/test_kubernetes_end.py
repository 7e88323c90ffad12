"""The end of the pod that both programs run in: both are told at once, and who is parked then
is served all the same."""
import signal

import pytest

from cluster import cluster
from stack import wait_until
from test_kubernetes import both, service


@pytest.mark.parametrize("is_parked", [True, False])
def test_both_are_told_to_stop(tmp_path, is_parked):
    with cluster(tmp_path) as kube:
        kube.workload("hello", args=["--startup", "1500ms"])
        services = service("hello", kube, "port = 8080 stable_window = 30s")
        with both(tmp_path, kube, services) as s, s.connect() as c:
            c.request("GET", "/", "hello")
            if not is_parked:
                assert c.response()[0] == 200
                wait_until(lambda: s.metrics(s.scaler_admin).get(
                    'autoscaler_parked_requests{revision="hello/v1"}') == 0, what="its report")
            wait_until(lambda: kube.replicas("hello") == 1, what="the wake-up")
            s.autoscaler.kill(signal.SIGTERM)
            s.activator.kill(signal.SIGTERM)
            if is_parked:
                assert c.response()[0] == 200
            for p in s.activator, s.autoscaler:
                assert p.process.wait(30) == 0
            said = "stopping when nobody is parked" in s.autoscaler.text()
            assert said == is_parked
            assert kube.replicas("hello") == 1  # pods are the cluster's


def test_told_twice_it_leaves_at_once(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello", args=["--startup", "60s"])
        with both(tmp_path, kube, service("hello", kube)) as s, s.connect() as c:
            c.request("GET", "/", "hello")
            wait_until(lambda: kube.replicas("hello") == 1, what="the wake-up")
            s.autoscaler.kill(signal.SIGTERM)
            wait_until(lambda: "nobody is parked" in s.autoscaler.text(), what="the first word")
            s.autoscaler.kill(signal.SIGTERM)
            assert s.autoscaler.process.wait(20) == 0
            c.close()
