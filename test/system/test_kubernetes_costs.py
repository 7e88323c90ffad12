"""pod-deletion-costs say which pods a scale-down deletes: drained pods get the lowest cost, the
others their requests in flight, and costs are written at a scale-down only."""
import contextlib
import signal
import subprocess
import time

import pytest

from cluster import COST, IS_REAL, cluster
from helpers import HELLO, free_port, wait_until
from kube_stack import driver, has_address, on_cluster, service
from stack import Gate, running

pytestmark = pytest.mark.skipif(IS_REAL, reason="only the fake can be made to do this, and real "
                                "servers before 1.22 ignore the cost")

GOING = "-2147483647"
OURS = "activator.dev/pod-deletion-cost"
BURST, INTERVAL_S = 32, 0.25  # costs of pods that stay: at once, and one more in each interval
BUSY = ("port = 8080 min_scale = 1 container_concurrency = 3 target = 3 target_utilization = 100 "
        "scale_down_delay = 2s")


def annotation(pod, key=COST):
    return (pod["metadata"].get("annotations") or {}).get(key)


def costs(kube):
    return sorted(annotation(p) or "" for p in kube.pods("hello"))


def cost_patches(kube):
    return kube.seen(verb="patch", resource="pods")


def cost_writes(kube):
    """Costs that were set, in the order of arrival."""
    return [r["body"]["metadata"]["annotations"][COST] for r in cost_patches(kube)
            if r.get("status") == 200]


def scale_patches(kube):
    return kube.seen(verb="patch", resource="deployments/scale")


@contextlib.contextmanager
def one_of_three_is_idle(path, **annotations):
    """(stack, cluster, clients).  Of three pods the oldest has three requests in flight, and so
    has the second; the third has one.  After leave() these are one, three and none.  With
    container_concurrency = 3 a pod is filled before the next one gets requests.  kube.gate holds
    the answers back."""
    with cluster(path) as kube:
        kube.gate = Gate(path)
        kube.workload("hello", replicas=1, **annotations)
        kube.oldest = kube.wait_pods("hello", 1, has_address)[0]["metadata"]["name"]
        with on_cluster(path, kube, service("hello", kube, BUSY)) as s:
            clients = []
            for n, pods in (3, 1), (3, 2), (1, 3):
                for _ in range(n):
                    clients.append(s.connect())
                    clients[-1].request("GET", "/" + kube.gate.query(), "hello")
                kube.wait_pods("hello", pods, has_address)
                wait_until(lambda: s.metric("activator_parked") == 0, what="room for all")
            assert not cost_patches(kube)
            yield s, kube, clients
            for c in clients:
                c.close()


def leave(clients):
    """Close connections, so that the pods have 1, 3 and 0 requests in flight."""
    for c in clients[1:3] + clients[6:]:
        c.close()


def test_the_busiest_pod_stays_when_another_client_scales_down(tmp_path):
    """The autoscaler is about to delete the idle pod.  At the same moment another client deletes
    two.  Of the two pods with requests the older one would stay, were it not for the costs."""
    with one_of_three_is_idle(tmp_path) as (_, kube, clients):
        before = len(scale_patches(kube))
        kube.fault({"hang": True}, times=1, verb="patch", resource="deployments/scale")
        leave(clients)
        wait_until(lambda: len(scale_patches(kube)) > before, what="a scale-down")
        assert costs(kube) == [GOING, "1", "3"]
        kube.scale("hello", 1)
        left = kube.wait_pods("hello", 1, lambda p: "deletionTimestamp" not in p["metadata"])
        assert left[0]["metadata"]["name"] != kube.oldest
        assert annotation(left[0]) == annotation(left[0], OURS) == "3"
        kube.gate.open()
        assert [c.response()[0] for c in clients[3:6]] == [200] * 3


def reported(s, metric):
    return s.metrics(s.scaler_admin).get('autoscaler_%s{revision="hello/v1"}' % metric, 0)


def in_flight(s):
    return reported(s, "in_flight_requests")


def stable_average(s):
    return reported(s, "stable_average")


def rewrite_conf(s, old, new):
    with open(s.conf) as f:
        text = f.read()
    assert old in text
    with open(s.conf, "w") as f:
        f.write(text.replace(old, new))


def test_a_load_that_changes_writes_no_costs(tmp_path):
    with one_of_three_is_idle(tmp_path) as (s, kube, clients):
        leave(clients)
        wait_until(lambda: kube.replicas("hello") == 2, what="two replicas")
        assert sorted(cost_writes(kube)) == [GOING, "1", "3"]
        clients.append(s.connect())
        clients[-1].request("GET", "/" + kube.gate.query(), "hello")
        wait_until(lambda: in_flight(s) == 5, what="a report of it")
        assert len(cost_patches(kube)) == 3
        # The next scale-down: both pods are idle, so the one that stays loses its cost.
        for c in clients:
            c.close()
        wait_until(lambda: kube.replicas("hello") == 1, what="one replica")
        left = kube.wait_pods("hello", 1)
        assert annotation(left[0]) is annotation(left[0], OURS) is None
        assert sorted(map(str, cost_writes(kube)[3:])) == [GOING, "None"]


def test_costs_that_another_client_has_set_are_not_changed(tmp_path):
    with one_of_three_is_idle(tmp_path, pod_annotations={COST: "7"}) as (_, kube, clients):
        leave(clients)
        wait_until(lambda: kube.replicas("hello") == 2, what="two replicas")
        assert cost_writes(kube) == [GOING]


@pytest.mark.parametrize("do", [{"status": 403}, {"hang": True}], ids=["refused", "hung"])
def test_a_cost_that_cannot_be_written_delays_nothing(tmp_path, do):
    with one_of_three_is_idle(tmp_path) as (s, kube, clients):
        kube.fault(do, verb="patch", resource="pods")
        leave(clients)
        wait_until(lambda: kube.replicas("hello") == 2, what="two replicas")
        asked = cost_patches(kube)
        assert len(asked) <= 3
        # less than the time limit of a request
        assert scale_patches(kube)[-1]["t"] - asked[0]["t"] < 5e9
        # one line about the pod that goes, and one about all that stay
        assert s.autoscaler.text().count("cannot set pod-deletion-cost") == (
            2 if "status" in do else 0)
        # a scale-up meanwhile
        for _ in range(3):
            clients.append(s.connect())
            clients[-1].request("GET", "/?ms=100", "hello")
        assert [c.response()[0] for c in clients[7:]] == [200] * 3


def test_a_scale_down_writes_a_bounded_number_of_costs(tmp_path):
    """Fifty pods, two of them idle.  All addresses lead to one program.  min_scale keeps the pods
    until the average shows that two are not needed.  They may go one after the other."""
    n, port, gate = 50, free_port(), Gate(tmp_path)
    app = subprocess.Popen([HELLO, "--address", "0.0.0.0", "--port", str(port)])
    try:
        with cluster(tmp_path, has_kubelet=False, paper_kubelet=True) as kube:
            kube.control("load", deployments=1, pods=n, prefix="hello", port=port)
            services = ('service "hello" { hosts = {"hello"} revision "v1" { deployment = '
                        '"default/hello-0" port = %d container_concurrency = 1 target = 1 '
                        'target_utilization = 100 stable_window = 6s min_scale = %d } }\n'
                        % (port, n))
            with running(tmp_path, services, autoscaler=driver(kube)) as s:
                clients = [s.connect() for _ in range(n - 2)]
                for c in clients:
                    c.request("GET", "/" + gate.query(), "hello")
                wait_until(lambda: in_flight(s) == n - 2, what="a report of all")
                wait_until(lambda: stable_average(s) > n - 2.5, what="a window of this load")
                rewrite_conf(s, "min_scale = %d" % n, "")
                since = time.monotonic()
                s.autoscaler.kill(signal.SIGHUP)
                wait_until(lambda: kube.replicas("hello-0") == n - 2, what="a scale-down")
                writes = cost_writes(kube)
                most = BURST + (time.monotonic() - since) / INTERVAL_S
                # More than two are chosen if the average falls for a moment on a busy machine.
                assert 2 <= writes.count(GOING) <= most
                assert 0 < writes.count("1") <= most and set(writes) == {GOING, "1"}
                for c in clients:
                    c.close()
    finally:
        app.terminate()
        app.wait(20)
