"""Plain Deployments from zero and back, by the driver `kubernetes`: against the fake API
server, and against a real one where KUBE_REAL says so (make test-kubernetes)."""
import json
import os
import signal
import threading
import time
import urllib.request

import pytest

from cluster import COST, IS_REAL, cluster
from stack import HELLO, running, wait_until

fake_only = pytest.mark.skipif(IS_REAL, reason="only the fake does this on demand")


def service(name, kube, more="port = 8080", target=None):
    return 'service "%s" { hosts = {"%s"} revision "v1" { %s %s } }\n' % (
        name, name, target or 'deployment = "%s/%s"' % (kube.namespace, name), more)


def kubernetes(kube, config=None, more=""):
    return 'driver = "kubernetes" kubeconfig = "%s" %s' % (config or kube.kubeconfig, more)


def both(path, kube, services, config=None, more="", **rest):
    """Activator and autoscaler in front of kube."""
    return running(path, services, autoscaler=kubernetes(kube, config, more), **rest)


def addresses(kube, name):
    return {p["status"].get("podIP") for p in kube.pods(name)
            if "deletionTimestamp" not in p["metadata"]}


def patient(kube, name, more):
    """One that waits for a real API server to be back: that may take a while."""
    return service(name, kube, more + " activation_timeout = 300s")


def is_running(pod):
    return bool(pod["status"].get("podIP"))


class Load:
    """Requests one after another on n connections until it is ended; what was answered."""

    def __init__(self, stack, host, n=4, path="/"):
        self.stack, self.host, self.path = stack, host, path
        self.statuses, self.over = [], threading.Event()
        self.threads = [threading.Thread(target=self._run) for _ in range(n)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def _run(self):
        try:
            with self.stack.connect() as c:
                while not self.over.is_set():
                    c.request("GET", self.path, self.host)
                    self.statuses.append(c.response()[0])
        except (OSError, AssertionError) as e:
            self.statuses.append(e)

    def more(self, n):
        """Until n more have been answered."""
        want = len(self.statuses) + n
        wait_until(lambda: len(self.statuses) >= want, what="%d more answers" % n)

    def __exit__(self, *_):
        self.over.set()
        for t in self.threads:
            t.join()
        assert set(self.statuses) <= {200}, [s for s in self.statuses if s != 200][:5]


# ---- from zero, and back

def test_from_zero_and_back(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello", args=["--startup", "200ms"])
        with both(tmp_path, kube, service("hello", kube)) as s:
            assert s.get("hello")[::2] == (200, b"hello\n")
            assert kube.replicas("hello") == 1
            wait_until(lambda: kube.replicas("hello") == 0, what="zero replicas")
            kube.wait_pods("hello", 0)
            body = os.urandom(1 << 20)
            assert s.get("hello", "/echo", method="POST", body=body)[::2] == (200, body)
            if not IS_REAL:
                assert kube.scalings("hello")[:3] == [1, 0, 1]  # each of them once
        kube.delete("deployments", "hello")


def test_load_onto_zero_loses_nothing(tmp_path):
    """Ready without a probe comes 300 ms before the port is open."""
    with cluster(tmp_path) as kube:
        kube.workload("hello", args=["--startup", "300ms"])
        with both(tmp_path, kube, service("hello", kube, "port = 8080 target = 20")) as s:
            clients = [s.connect() for _ in range(150)]
            for c in clients:
                c.request("GET", "/", "hello")
            assert [c.response()[0] for c in clients] == [200] * 150
            assert s.metric('activator_cold_starts_total{revision="hello/v1"}') >= 1
            with Load(s, "hello", 20) as load:
                load.more(500)


def test_a_workload_that_runs_already_is_used(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello", replicas=2)
        pods = kube.wait_pods("hello", 2, is_running)
        with both(tmp_path, kube, service("hello", kube, "port = 8080 min_scale = 2")) as s:
            assert s.get("hello")[0] == 200
            assert {p["metadata"]["uid"] for p in kube.pods("hello")} == \
                {p["metadata"]["uid"] for p in pods}


@pytest.mark.parametrize("kind", ["StatefulSet", "ReplicaSet"])
def test_other_kinds(tmp_path, kind):
    with cluster(tmp_path) as kube:
        kube.workload("hello", kind)
        target = 'workload = "apps/v1/%s/%s/hello"' % (kind, kube.namespace)
        more = "port = 8080 scale_to_zero_grace = 0"
        with both(tmp_path, kube, service("hello", kube, more, target)) as s:
            assert s.get("hello")[0] == 200
            plural = kind.lower() + "s"
            wait_until(lambda: kube.replicas("hello", plural) == 0, what="zero replicas")


@fake_only  # a real one would need the CRD
def test_any_kind_with_a_scale_subresource(tmp_path):
    with cluster(tmp_path) as kube:
        base = "/apis/example.com/v1/namespaces/default/workers"
        kube.api.call("POST", base, {
            "apiVersion": "example.com/v1", "kind": "Worker", "metadata": {"name": "w"},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "w"}}, "template": {
                "metadata": {"labels": {"app": "w"}}, "spec": {"containers": [{
                    "name": "a", "image": "hello", "command": [HELLO],
                    "ports": [{"containerPort": 8080}]}]}}}})
        target = 'workload = "example.com/v1/Worker/default/w"'
        more = "port = 8080 scale_to_zero_grace = 0"
        with both(tmp_path, kube, service("hello", kube, more, target)) as s:
            assert s.get("hello")[0] == 200
            wait_until(lambda: kube.scalings("w") == [1, 0], what="zero replicas")


# ---- where the pod serves, and when it can

def test_a_port_by_name(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello", port=9123)
        with both(tmp_path, kube, service("hello", kube, 'port = "http"')) as s:
            assert s.get("hello")[0] == 200


def test_readiness_is_what_the_workload_says(tmp_path):
    """The port is open at once, but the path of its probe says otherwise for a while; the
    kubelet's own probe would come 10 s later."""
    with cluster(tmp_path) as kube:
        probe = {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 10}
        kube.workload("hello", args=["--warmup", "600ms"], container={"readinessProbe": probe})
        more = "port = 8080 probe = readiness scale_to_zero_grace = 60s"  # its /stats are asked
        with both(tmp_path, kube, service("hello", kube, more)) as s:
            assert s.get("hello")[0] == 200
            seen = json.loads(s.get("hello", "/stats")[2])
            assert seen["first_request_ns"] - seen["listen_ns"] >= 600e6
            assert not any(c["type"] == "Ready" and c["status"] == "True"
                           for p in kube.pods("hello") for c in p["status"]["conditions"])


def test_a_probe_that_only_the_kubelet_can_do_is_waited_for(tmp_path):
    with cluster(tmp_path) as kube:
        flag = tmp_path / "flag"
        probe = {"exec": {"command": ["test", "-e", str(flag)]}, "periodSeconds": 1}
        kube.workload("hello", container={"readinessProbe": probe})
        with both(tmp_path, kube, service("hello", kube, "port = 8080 probe = readiness")) as s:
            with s.connect() as c:
                c.request("GET", "/", "hello")
                kube.wait_pods("hello", 1, is_running)
                assert s.metric("activator_parked") == 1
                flag.touch()
                assert c.response()[0] == 200


def test_ipv6(tmp_path):
    """Loopback has one address of it: one pod can be there."""
    with cluster(tmp_path) as kube:
        kube.workload("hello", pod_annotations={"kubelet.test/addresses": "::1"}, port=18431,
                      container={"args": ["--port", "18431"]})
        with both(tmp_path, kube, service("hello", kube, "port = 18431 max_scale = 1")) as s:
            assert s.get("hello")[0] == 200
            assert addresses(kube, "hello") == {"::1"}


def test_a_pod_that_is_deleted_gets_nothing_new(tmp_path):
    """It would go on answering until its grace time is over."""
    with cluster(tmp_path) as kube:
        kube.workload("hello", replicas=2, args=["--ignore-term"],
                      pod={"terminationGracePeriodSeconds": 4})
        kube.wait_pods("hello", 2, is_running)
        services = service("hello", kube, "port = 8080 min_scale = 2")
        with both(tmp_path, kube, services) as s, Load(s, "hello", 8) as load:
            load.more(100)
            pod = kube.pods("hello")[0]
            kube.delete("pods", pod["metadata"]["name"])
            address, name = pod["status"]["podIP"], pod["metadata"]["name"]
            wait_until(lambda: any(e["pod"] == name for e in kube.kubelet_saw("term")),
                       what="its SIGTERM")
            wait_until(lambda: len(addresses(kube, "hello") - {address}) == 2, what="another")
            load.more(50)
            before = asked(address)
            load.more(300)
            assert asked(address) == before


def asked(address, port=8080):
    """Requests that the sample app there has had."""
    with urllib.request.urlopen("http://%s:%d/stats" % (address, port), timeout=5) as r:
        return json.load(r)["requests"]


# ---- whatever dies

def test_the_api_server_dies_and_returns(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("a", replicas=1)
        kube.workload("b")
        kube.wait_pods("a", 1, is_running)
        services = service("a", kube, "port = 8080 min_scale = 1") + \
            patient(kube, "b", "port = 8080")
        with both(tmp_path, kube, services) as s:
            assert s.get("a")[0] == 200
            before = addresses(kube, "a")
            with Load(s, "a") as load, s.connect() as parked:
                parked.settimeout(200)
                kube.kill()
                load.more(200)
                parked.request("GET", "/", "b")
                wait_until(lambda: s.metric("activator_parked") == 1, what="a parked request")
                load.more(200)
                kube.restart() if IS_REAL else kube.start()
                assert parked.response()[0] == 200
                load.more(100)
            assert addresses(kube, "a") == before


def test_the_api_server_hangs(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("a", replicas=1)
        kube.workload("b")
        kube.wait_pods("a", 1, is_running)
        services = service("a", kube, "port = 8080 min_scale = 1") + service("b", kube)
        with both(tmp_path, kube, services) as s:
            assert s.get("a")[0] == 200
            with Load(s, "a") as load, s.connect() as parked:
                kube.kill(signal.SIGSTOP)
                try:
                    parked.request("GET", "/", "b")
                    wait_until(lambda: s.metric("activator_parked") == 1, what="a parked request")
                    load.more(200)
                finally:
                    kube.kill(signal.SIGCONT)
                assert parked.response()[0] == 200
                load.more(100)


def test_the_autoscaler_dies_and_returns(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello")
        with both(tmp_path, kube, service("hello", kube, "port = 8080 stable_window = 2s scale_to_zero_grace = 0")) as s:
            assert s.get("hello")[0] == 200
            before = addresses(kube, "hello")
            with Load(s, "hello") as load:
                s.autoscaler.kill()
                load.more(200)
                s.start_autoscaler()
                wait_until(lambda: s.metric("activator_link_up") == 1, what="the link")
                load.more(200)
                assert addresses(kube, "hello") == before
            wait_until(lambda: kube.replicas("hello") == 0, what="zero, by the second one")


def test_the_activator_dies(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello")
        with both(tmp_path, kube, service("hello", kube)) as s:
            assert s.get("hello")[0] == 200
            s.activator.kill()
            time.sleep(2.5)  # longer than window and grace: silence is no idleness
            assert kube.replicas("hello") == 1
            s.start_activator()
            s.wait_ready()
            assert s.get("hello")[0] == 200
            wait_until(lambda: kube.replicas("hello") == 0, what="zero replicas")


# ---- failure is told

def quota(kube):
    kube.create("resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "0"}}})
    if IS_REAL:
        wait_until(lambda: kube.get("resourcequotas", "q").get("status", {}).get("hard"))


FAILURES = {
    "pull": ({"container": {"image": "missing/app:1"}}, ["ImagePull", "missing/app:1"]),
    "crash": ({"container": {"command": ["false"]}}, ["ended with status 1"]),
    "config": ({"container": {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {
        "name": "nowhere", "key": "a"}}}]}}, ["CreateContainerConfigError", "nowhere"]),
    "big": ({"container": {"resources": {"requests": {"cpu": "100000"}}}},
            ["Insufficient cpu"]),
    "quota": ({}, ["exceeded quota: q"]),
    "absent": (None, ["absent"]),
}


@pytest.mark.parametrize("how", FAILURES)
def test_a_failure_is_told(tmp_path, how):
    options, words = FAILURES[how]
    with cluster(tmp_path) as kube:
        if how == "quota":
            quota(kube)
        if options is not None:
            kube.workload(how, pod_annotations={"kubelet.test/backoff": "1"}, **options)
        services = service(how, kube, "port = 8080 failure_patience = 300ms")
        with both(tmp_path, kube, services) as s:
            status, fields, body = s.get(how)
            assert (status, fields["x-activator-reason"]) == (503, "activation_failed"), body
            assert int(fields["retry-after"]) >= 1
            for word in words:
                assert word in body.decode(), body


def test_what_failed_is_tried_again(tmp_path):
    with cluster(tmp_path) as kube:
        services = service("late", kube, "port = 8080 failure_patience = 100ms")
        with both(tmp_path, kube, services) as s:
            assert s.get("late")[0] == 503
            kube.workload("late")
            wait_until(lambda: s.get("late")[0] == 200, what="its way back")


# ---- somebody else's hand

@pytest.mark.parametrize("how", ["respect", "overrule"])
def test_a_foreign_hand(tmp_path, how):
    with cluster(tmp_path) as kube:
        kube.workload("hello")
        services = service("hello", kube, "port = 8080 min_scale = 1 foreign_scale = " + how)
        with both(tmp_path, kube, services) as s:
            assert s.get("hello")[0] == 200
            kube.scale("hello", 3)
            wait_until(lambda: "another client" in s.autoscaler.text(), what="a word of it")
            if how == "overrule":
                wait_until(lambda: kube.replicas("hello") == 1, what="our own count")
            else:
                kube.wait_pods("hello", 3, is_running)
                with Load(s, "hello") as load:
                    load.more(100)
                assert kube.replicas("hello") == 3
            if not IS_REAL:
                assert len(kube.scalings("hello")) <= 4  # no fight


# ---- who goes first

@fake_only  # real ones before 1.22 pay no heed
def test_the_idle_ones_go(tmp_path):
    """Long requests keep two of four pods busy; one after another the idle ones go, and
    nothing that is in flight breaks off."""
    with cluster(tmp_path) as kube:
        kube.workload("hello", replicas=4)
        kube.wait_pods("hello", 4, is_running)
        services = service("hello", kube, "port = 8080 container_concurrency = 1 target = 1 "
                           "target_utilization = 100")
        with both(tmp_path, kube, services) as s:
            busy = [s.connect() for _ in range(2)]
            for c in busy:
                c.request("GET", "/?ms=3500", "hello")
            wait_until(lambda: kube.replicas("hello") == 2, what="two replicas")
            costs = [r for r in kube.seen(verb="patch", resource="pods", status=200)
                     if COST in ((r["body"].get("metadata") or {}).get("annotations") or {})]
            assert costs and min(r["n"] for r in costs) < min(
                r["n"] for r in kube.seen(verb="patch", resource="deployments/scale"))
            assert [c.response()[0] for c in busy] == [200, 200]


def test_a_statefulset_goes_from_the_highest(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello", "StatefulSet", replicas=3, spec={"podManagementPolicy": "Parallel"})
        kube.wait_pods("hello", 3, is_running)
        services = service("hello", kube, "port = 8080 min_scale = 1 target = 1",
                           'workload = "apps/v1/StatefulSet/%s/hello"' % kube.namespace)
        with both(tmp_path, kube, services) as s, Load(s, "hello", 1) as load:
            load.more(50)
            left = kube.wait_pods("hello", 1)
            assert left[0]["metadata"]["name"] == "hello-0"
            load.more(50)
