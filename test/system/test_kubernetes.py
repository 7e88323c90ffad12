"""The driver `kubernetes` scales Deployments and other workloads from zero and back.  These tests
run against the fake API server or, with KUBE_REAL set, against a real one (make
test-kubernetes)."""
import contextlib
import json
import os
import signal
import sys
import time
import urllib.request

import pytest

from cluster import COST, IS_REAL, cluster
from helpers import HELLO, wait_until
from kube_stack import Load, addresses, fake_only, has_address, is_ready, on_cluster, service
from test_audit import log_of, wait_for


def patient_service(name, kube, more):
    """Its requests wait until a real API server is back, which may take a while."""
    return service(name, kube, more + " activation_timeout = 300s")


# ---- from zero, and back

def test_from_zero_and_back(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello", args=["--startup", "200ms"])
        with on_cluster(tmp_path, kube, service("hello", kube)) as s:
            assert s.get("hello")[::2] == (200, b"hello\n")
            assert kube.replicas("hello") == 1
            wait_until(lambda: kube.replicas("hello") == 0, what="zero replicas")
            kube.wait_pods("hello", 0)
            body = os.urandom(1 << 20)
            assert s.get("hello", "/echo", method="POST", body=body)[::2] == (200, body)
            if not IS_REAL:
                assert kube.scalings("hello")[:3] == [1, 0, 1]  # one PATCH each
        kube.delete("deployments", "hello")


def test_load_onto_zero_loses_nothing(tmp_path):
    """Without a readinessProbe the pod is Ready 300 ms before its port is open."""
    with cluster(tmp_path) as kube:
        kube.workload("hello", args=["--startup", "300ms"])
        with on_cluster(tmp_path, kube, service("hello", kube, "port = 8080 target = 20")) as s:
            clients = [s.connect() for _ in range(150)]
            for c in clients:
                c.request("GET", "/", "hello")
            assert [c.response()[0] for c in clients] == [200] * 150
            assert s.metric('activator_cold_starts_total{revision="hello/v1"}') >= 1
            with Load(s, "hello", 20) as load:
                load.wait_for(500)


def test_a_workload_that_runs_already_is_used(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello", replicas=2)
        pods = kube.wait_pods("hello", 2, has_address)
        with on_cluster(tmp_path, kube, service("hello", kube, "port = 8080 min_scale = 2")) as s:
            assert s.get("hello")[0] == 200
            assert {p["metadata"]["uid"] for p in kube.pods("hello")} == \
                {p["metadata"]["uid"] for p in pods}


@pytest.mark.parametrize("kind", ["StatefulSet", "ReplicaSet"])
def test_other_kinds(tmp_path, kind):
    with cluster(tmp_path) as kube:
        kube.workload("hello", kind)
        target = 'workload = "apps/v1/%s/%s/hello"' % (kind, kube.namespace)
        more = "port = 8080 scale_to_zero_grace = 0"
        with on_cluster(tmp_path, kube, service("hello", kube, more, target)) as s:
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
        with on_cluster(tmp_path, kube, service("hello", kube, more, target)) as s:
            assert s.get("hello")[0] == 200
            wait_until(lambda: kube.scalings("w") == [1, 0], what="zero replicas")


# ---- port and readiness of a pod

def test_a_port_by_name(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello", port=9123)
        with on_cluster(tmp_path, kube, service("hello", kube, 'port = "http"')) as s:
            assert s.get("hello")[0] == 200


def test_readiness_is_what_the_workload_says(tmp_path):
    """The port is open at once, but the path of the readinessProbe answers 503 for a while.  The
    kubelet would probe again after 10 s."""
    with cluster(tmp_path) as kube:
        probe = {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 10}
        kube.workload("hello", args=["--warmup", "600ms"], container={"readinessProbe": probe})
        # the grace: it must still run when its /stats are asked for
        more = "port = 8080 scale_to_zero_grace = 60s"
        with on_cluster(tmp_path, kube, service("hello", kube, more)) as s:
            assert s.get("hello")[0] == 200
            seen = json.loads(s.get("hello", "/stats")[2])
            assert seen["first_request_ns"] - seen["listen_ns"] >= 600e6
            assert not any(c["type"] == "Ready" and c["status"] == "True"
                           for p in kube.pods("hello") for c in p["status"]["conditions"])


def test_a_probe_that_only_the_kubelet_can_run_is_waited_for(tmp_path):
    with cluster(tmp_path) as kube:
        flag = tmp_path / "flag"
        probe = {"exec": {"command": ["test", "-e", str(flag)]}, "periodSeconds": 1}
        kube.workload("hello", container={"readinessProbe": probe})
        with on_cluster(tmp_path, kube, service("hello", kube)) as s:
            with s.connect() as c:
                c.request("GET", "/", "hello")
                kube.wait_pods("hello", 1, has_address)
                wait_until(lambda: s.metric("activator_parked") == 1, what="parked requests")
                flag.touch()
                assert c.response()[0] == 200


def starting_instances(stack):
    with contextlib.suppress(OSError):
        return stack.metrics(stack.scaler_admin).get(
            'autoscaler_starting_instances{revision="hello/v1"}')


def messages(stack):
    """How many the autoscaler has read from the activator."""
    url = "http://127.0.0.1:%d/status" % stack.scaler_admin
    with urllib.request.urlopen(url, timeout=5) as answer:
        activators = json.loads(answer.read())["activators"]
    return activators[0]["messages"] if activators else 0


def seen_instance(stack):
    return stack.revision_status("hello/v1")["instances"][0]


@pytest.mark.parametrize("more", ["port = 8080", "port = 8080 probe = tcp"])
def test_a_pod_that_is_no_longer_ready_is_not_used(tmp_path, more):
    """Its port is open all the time; the kubelet's word is heeded until it is Ready again, by a
    restarted autoscaler, too."""
    with cluster(tmp_path) as kube:
        flag = tmp_path / "flag"
        flag.touch()
        probe = {"exec": {"command": ["test", "-e", str(flag)]}, "periodSeconds": 1,
                 "failureThreshold": 1}
        kube.workload("hello", container={"readinessProbe": probe})
        more += " scale_to_zero_grace = 60s"
        with on_cluster(tmp_path, kube, service("hello", kube, more)) as s:
            assert s.get("hello")[0] == 200
            kube.wait_pods("hello", 1, is_ready)
            since = time.time()
            wait_until(lambda: int(time.time()) > since, what="another second")
            flag.unlink()
            kube.wait_pods("hello", 1, lambda pod: not is_ready(pod))
            wait_until(lambda: not seen_instance(s)["open"], what="the instance to be closed")
            wait_until(lambda: starting_instances(s) == 1, what="the autoscaler to count it so")
            with s.connect() as c:
                c.request("GET", "/", "hello")
                wait_until(lambda: s.metric("activator_parked") == 1, what="a parked request")
                s.autoscaler.kill()
                s.start_autoscaler()
                wait_until(lambda: starting_instances(s) == 1, what="the new autoscaler")
                wait_until(lambda: s.activator.text().count("new services in use") == 2,
                           what="what the new autoscaler says of the instance")
                read = messages(s)
                wait_until(lambda: messages(s) >= read + 2, what="what the activator says of it")
                assert starting_instances(s) == 1
                assert not seen_instance(s)["open"] and not seen_instance(s)["probed"]
                wait_until(lambda: s.metric("activator_parked") == 1, what="parked requests")
                flag.touch()
                assert c.response()[0] == 200


def test_a_startup_probe_comes_before_the_readiness_probe(tmp_path):
    """The readinessProbe succeeds at once; the startupProbe, for which the kubelet has a long
    period, when the program is warm."""
    with cluster(tmp_path) as kube:
        kube.workload("hello", args=["--warmup", "600ms"], container={
            "startupProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 30},
            "readinessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 30}})
        more = "port = 8080 scale_to_zero_grace = 60s"
        with on_cluster(tmp_path, kube, service("hello", kube, more)) as s:
            assert s.get("hello")[0] == 200
            seen = json.loads(s.get("hello", "/stats")[2])
            assert seen["first_request_ns"] - seen["listen_ns"] >= 600e6


def test_ipv6(tmp_path):
    """The loopback interface has one IPv6 address, hence there is one pod."""
    with cluster(tmp_path) as kube:
        kube.workload("hello", pod_annotations={"kubelet.test/addresses": "::1"}, port=18431,
                      container={"args": ["--port", "18431"]})
        with on_cluster(tmp_path, kube, service("hello", kube, "port = 18431 max_scale = 1")) as s:
            assert s.get("hello")[0] == 200
            assert addresses(kube, "hello") == {"::1"}


def test_a_pod_that_is_deleted_gets_no_new_requests(tmp_path):
    """It could still answer them until its grace period is over."""
    with cluster(tmp_path) as kube:
        kube.workload("hello", replicas=2, args=["--ignore-term"],
                      pod={"terminationGracePeriodSeconds": 4})
        kube.wait_pods("hello", 2, has_address)
        services = service("hello", kube, "port = 8080 min_scale = 2")
        with on_cluster(tmp_path, kube, services) as s, Load(s, "hello", 8) as load:
            load.wait_for(100)
            pod = kube.pods("hello")[0]
            kube.delete("pods", pod["metadata"]["name"])
            address, name = pod["status"]["podIP"], pod["metadata"]["name"]
            wait_until(lambda: any(e["pod"] == name for e in kube.kubelet_saw("term")),
                       what="its SIGTERM")
            wait_until(lambda: len(addresses(kube, "hello") - {address}) == 2,
                       what="its replacement")
            load.wait_for(50)
            before = requests_of(address)
            load.wait_for(300)
            assert requests_of(address) == before


def requests_of(address, port=8080):
    """How many requests the sample app at that address has got."""
    with urllib.request.urlopen("http://%s:%d/stats" % (address, port), timeout=5) as r:
        return json.load(r)["requests"]


# ---- a process dies

def test_the_api_server_dies_and_returns(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("a", replicas=1)
        kube.workload("b")
        kube.wait_pods("a", 1, has_address)
        services = service("a", kube, "port = 8080 min_scale = 1") + \
            patient_service("b", kube, "port = 8080")
        with on_cluster(tmp_path, kube, services) as s:
            assert s.get("a")[0] == 200
            before = addresses(kube, "a")
            with Load(s, "a") as load, s.connect() as parked:
                parked.settimeout(200)
                kube.kill()
                load.wait_for(200)
                parked.request("GET", "/", "b")
                wait_until(lambda: s.metric("activator_parked") == 1, what="a parked request")
                load.wait_for(200)
                kube.restart() if IS_REAL else kube.start()
                assert parked.response()[0] == 200
                load.wait_for(100)
            assert addresses(kube, "a") == before


def test_the_api_server_hangs(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("a", replicas=1)
        kube.workload("b")
        kube.wait_pods("a", 1, has_address)
        services = service("a", kube, "port = 8080 min_scale = 1") + service("b", kube)
        with on_cluster(tmp_path, kube, services) as s:
            assert s.get("a")[0] == 200
            with Load(s, "a") as load, s.connect() as parked:
                kube.kill(signal.SIGSTOP)
                try:
                    parked.request("GET", "/", "b")
                    wait_until(lambda: s.metric("activator_parked") == 1, what="a parked request")
                    load.wait_for(200)
                finally:
                    kube.kill(signal.SIGCONT)
                assert parked.response()[0] == 200
                load.wait_for(100)


def test_the_autoscaler_dies_and_returns(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello")
        services = service("hello", kube, "port = 8080 stable_window = 2s scale_to_zero_grace = 0")
        with on_cluster(tmp_path, kube, services) as s:
            assert s.get("hello")[0] == 200
            before = addresses(kube, "hello")
            with Load(s, "hello") as load:
                s.autoscaler.kill()
                load.wait_for(200)
                s.start_autoscaler()
                wait_until(lambda: s.metric("activator_link_up") == 1, what="the link")
                load.wait_for(200)
                assert addresses(kube, "hello") == before
            wait_until(lambda: kube.replicas("hello") == 0, what="zero, by the second autoscaler")


def test_the_activator_dies(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello")
        with on_cluster(tmp_path, kube, service("hello", kube)) as s:
            assert s.get("hello")[0] == 200
            s.activator.kill()
            time.sleep(2.5)  # longer than window and grace: no reports do not mean no requests
            assert kube.replicas("hello") == 1
            s.start_activator()
            s.wait_ready()
            assert s.get("hello")[0] == 200
            wait_until(lambda: kube.replicas("hello") == 0, what="zero replicas")


# ---- failures

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
def test_the_cause_of_a_failure_is_in_the_answer(tmp_path, how):
    options, words = FAILURES[how]
    with cluster(tmp_path) as kube:
        if how == "quota":
            quota(kube)
        if options is not None:
            kube.workload(how, pod_annotations={"kubelet.test/backoff": "1"}, **options)
        services = service(how, kube, "port = 8080 failure_patience = 300ms "
                           "unschedulable_patience = 300ms")
        with on_cluster(tmp_path, kube, services) as s:
            status, fields, body = s.get(how)
            assert (status, fields["x-activator-reason"]) == (503, "activation_failed"), body
            assert int(fields["retry-after"]) >= 1
            for word in words:
                assert word in body.decode(), body


def test_a_new_autoscaler_does_not_wait_again_for_a_pod_that_does_not_start(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello", replicas=1, container={"image": "missing/app:1"})
        # The kubelet writes the status no more until it tries again.
        kube.wait_pods("hello", 1, lambda p: "ImagePullBackOff" in str(p["status"]))
        pod = kube.pods("hello")[0]
        old = [{**c, "lastTransitionTime": "2020-01-01T00:00:00Z"}
               for c in pod["status"]["conditions"]]
        kube.patch("pods", pod["metadata"]["name"], {"status": {"conditions": old}}, "status")
        more = "port = 8080 min_scale = 1 failure_patience = 1h"
        with on_cluster(tmp_path, kube, service("hello", kube, more)) as s:
            status, fields, body = s.get("hello")
            assert (status, fields["x-activator-reason"]) == (503, "activation_failed"), body
            assert "missing/app:1" in body.decode()


STAMP = "2026-01-01T00:00:00Z"
ENDED = {"terminated": {"exitCode": 1, "reason": "Error", "startedAt": STAMP, "finishedAt": STAMP}}
DONE = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": STAMP,
                       "finishedAt": STAMP}}
RUNNING = {"running": {"startedAt": STAMP}}


def show_status(kube, name, containers, init=()):
    """What a kubelet says of the workload's only pod.  containers, init: (state, lastState)."""
    def value(state, last):
        return {"name": "app", "image": "x", "imageID": "x", "ready": False, "started": False,
                "restartCount": 1 if last else 0, "state": state, "lastState": last}
    pod = kube.wait_pods(name, 1)[0]["metadata"]["name"]
    kube.patch("pods", pod, {"status": {
        "phase": "Running", "conditions": [{"type": "Ready", "status": "False"}],
        "initContainerStatuses": [value(*c) for c in init],
        "containerStatuses": [value(*c) for c in containers]}}, "status")


PAST = {
    "restarted": {"containers": [(RUNNING, ENDED)]},
    "again": {"containers": [({"waiting": {"reason": "ContainerCreating"}}, ENDED)]},
    "init": {"containers": [({"waiting": {"reason": "PodInitializing"}}, {})],
             "init": [(RUNNING, ENDED)]},
    "completed": {"containers": [(RUNNING, {})], "init": [(DONE, ENDED)]},
}


@fake_only
def test_a_container_that_runs_again_is_starting(tmp_path):
    """Past trouble is not present trouble.  All have the same patience; once the one that is in
    trouble has failed, the others would have."""
    with cluster(tmp_path, has_kubelet=False) as kube:
        names = list(PAST) + ["failing"]
        for name in names:
            kube.workload(name)
        services = "".join(service(n, kube, "port = 8080 failure_patience = 200ms") for n in names)
        with on_cluster(tmp_path, kube, services) as s, contextlib.ExitStack() as stack:
            for name, status in PAST.items():
                stack.enter_context(s.connect()).request("GET", "/", name)
                show_status(kube, name, **status)
            stack.enter_context(s.connect()).request("GET", "/", "failing")
            show_status(kube, "failing", [(ENDED, {})])
            status, fields, body = s.get("failing")
            assert (status, fields["x-activator-reason"]) == (503, "activation_failed"), body
            assert b"ended with status 1" in body
            for name in PAST:
                assert "failure" not in s.revision_status(name + "/v1"), name
            wait_until(lambda: s.metric("activator_parked") == len(PAST), what="parked requests")


@fake_only
def test_a_pod_without_a_node_is_waited_for_and_the_page_says_so(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("big", container={"resources": {"requests": {"cpu": "100000"}}})
        kube.workload("crash", container={"command": ["false"]},
                      pod_annotations={"kubelet.test/backoff": "1"})
        more = "port = 8080 failure_patience = 200ms"
        services = service("big", kube, more).replace(
            "hosts", 'waiting_page = "default" hosts') + service("crash", kube, more)
        with on_cluster(tmp_path, kube, services) as s, s.connect() as c:
            c.request("GET", "/", "big")
            wait_until(lambda: "cannot be placed" in s.autoscaler.text(), what="the log")
            assert s.get("crash")[0] == 503
            page = [("Accept", "text/html"), ("Sec-Fetch-Mode", "navigate"),
                    ("Sec-Fetch-Dest", "document")]
            wait_until(lambda: b"Insufficient cpu" in s.get("big", fields=page)[2],
                       what="the cause on the waiting page")
            wait_until(lambda: s.metric("activator_parked") == 1, what="parked requests")
            wait_until(lambda: any(
                e["reason"] == "ActivationDelayed" and "Insufficient cpu" in e["message"]
                for e in kube.list("events")), what="an Event")
            kube.patch("deployments", "big", {"spec": {"template": {"spec": {"containers": [
                {"name": "app", "image": "hello", "command": [HELLO], "ports": [
                    {"name": "http", "containerPort": 8080}]}]}}}})
            assert c.response()[0] == 200


def test_a_program_that_listens_and_then_ends_is_a_failure(tmp_path):
    """Each of its runs answers the probe.  Its pauses are shorter than the patience."""
    program = "import os, socket, time; s = socket.socket(); " \
        "s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); " \
        "s.bind((os.environ['ADDRESS'], 8080)); s.listen(); time.sleep(0.3); os._exit(3)"
    with cluster(tmp_path) as kube:
        kube.workload("hello", container={"command": [sys.executable, "-c", program]},
                      pod_annotations={"kubelet.test/backoff": "0.2"})
        services = service("hello", kube, "port = 8080 failure_patience = 1500ms")
        with on_cluster(tmp_path, kube, services) as s:
            def is_told():
                status, fields, body = s.get("hello")
                return (status, fields["x-activator-reason"]) == (503, "activation_failed") and \
                    b"ended with status 3" in body
            wait_until(is_told, what="the exit status in an answer")


@fake_only
def test_a_pod_that_is_ready_and_refuses_has_an_event(tmp_path):
    """Its container runs, but does not listen any more after its first answer."""
    program = "import os, socket, time; s = socket.socket(); " \
        "s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); " \
        "s.bind((os.environ['ADDRESS'], 8080)); s.listen()\n" \
        "while True:\n" \
        "    c = s.accept()[0]\n" \
        "    if c.recv(65536): break\n" \
        "    c.close()\n" \
        "s.close()\n" \
        "c.sendall(b'HTTP/1.1 200 OK\\r\\nconnection: close\\r\\ncontent-length: 0\\r\\n\\r\\n')\n" \
        "c.close()\n" \
        "time.sleep(1000)"

    def refusals(kube):
        return [e for e in kube.list("events") if e["reason"] == "ConnectionRefused"]

    with cluster(tmp_path) as kube:
        kube.workload("hello", container={"command": [sys.executable, "-c", program]})
        more = "port = 8080 scale_to_zero_grace = 60s failure_patience = 200ms"
        with on_cluster(tmp_path, kube, service("hello", kube, more)) as s, s.connect() as c:
            assert s.get("hello")[0] == 200
            kube.wait_pods("hello", 1, is_ready)
            c.request("GET", "/", "hello")
            wait_until(lambda: refusals(kube), what="an Event")
            pod = kube.pods("hello")[0]["metadata"]["name"]
            assert "pod %s is Ready and refuses connections" % pod in refusals(kube)[0]["message"]
            wait_until(lambda: s.metric("activator_parked") == 1, what="parked requests")
            assert s.autoscaler.text().count("a pod is Ready and refuses connections") == 1


def test_a_port_that_cannot_be_determined_is_told_at_once(tmp_path):
    """It is a mistake, which no patience mends."""
    with cluster(tmp_path) as kube:
        kube.workload("hello", container={"ports": []})
        services = service("hello", kube, "failure_patience = 1h")
        with on_cluster(tmp_path, kube, services) as s:
            status, fields, body = s.get("hello")
            assert (status, fields["x-activator-reason"]) == (503, "activation_failed"), body
            assert b"which port serves" in body


def test_a_workload_that_is_created_later_is_used(tmp_path):
    with cluster(tmp_path) as kube:
        services = service("late", kube, "port = 8080 failure_patience = 100ms")
        with on_cluster(tmp_path, kube, services) as s:
            assert s.get("late")[0] == 503
            kube.workload("late")
            wait_until(lambda: s.get("late")[0] == 200, what="an answer of the new workload")


# ---- another client changes the replicas

@pytest.mark.parametrize("how", ["respect", "overrule"])
def test_another_client_scales(tmp_path, how):
    with cluster(tmp_path) as kube:
        kube.workload("hello")
        services = service("hello", kube, "port = 8080 min_scale = 1 foreign_scale = " + how)
        with on_cluster(tmp_path, kube, services) as s:
            assert s.get("hello")[0] == 200
            kube.scale("hello", 3, manager="somebody")
            wait_until(lambda: "another client" in s.autoscaler.text(), what="the log line")
            if not IS_REAL:  # servers before 1.22 do not note who writes to the scale
                assert "by=somebody" in s.autoscaler.text()
            if how == "overrule":
                wait_until(lambda: kube.replicas("hello") == 1, what="the wanted replicas")
                theirs, ours = wait_for(lambda: scalings_since(s, "foreign"), n=2)[:2]
                assert (theirs.intent["from"], theirs.intent["to"], theirs.result) == (1, 3, "done")
                assert (ours.intent["from"], ours.intent["to"], ours.result) == (3, 1, "done")
                assert ours.by["name"] == "foreign_scale"
                if not IS_REAL:
                    assert theirs.by["name"] == "somebody"
            else:
                kube.wait_pods("hello", 3, has_address)
                if not IS_REAL:
                    wait_until(lambda: why(s, "hello/v1").get("held_by") == "somebody",
                               what="the name in /why")
                with Load(s, "hello") as load:
                    load.wait_for(100)
                assert kube.replicas("hello") == 3
            if not IS_REAL:
                assert len(kube.scalings("hello")) <= 4  # it backs off


def scalings_since(s, kind):
    """The records of the audit from the first change of a scale by that kind of hand on."""
    found = [r for r in log_of(s) if r["kind"] == "scale"]
    first = [i for i, r in enumerate(found) if r.get("by", {}).get("kind") == kind]
    return found[first[0]:] if first else []


def why(s, revision):
    with urllib.request.urlopen("http://127.0.0.1:%d/why?format=json&revision=%s" % (
            s.scaler_admin, revision), timeout=5) as r:
        return json.load(r)


@fake_only
def test_what_an_earlier_autoscaler_has_set_is_no_foreign_hand(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello", replicas=1)
        kube.wait_pods("hello", 1, has_address)
        with on_cluster(tmp_path, kube, service("hello", kube, "port = 8080 min_scale = 1")) as s:
            assert s.get("hello")[0] == 200
            kube.scale("hello", 3, manager="activator")
            wait_until(lambda: kube.replicas("hello") == 1, what="what is wanted")
            assert "another client" not in s.autoscaler.text()


def test_another_clients_number_is_a_floor_for_a_while(tmp_path):
    """While requests wait there are more pods than were set.  When foreign_hold is over, the
    ordinary rules hold again, down to zero."""
    with cluster(tmp_path) as kube:
        kube.workload("hello")
        services = service("hello", kube, "port = 8080 container_concurrency = 1 foreign_hold = 4s")
        with on_cluster(tmp_path, kube, services) as s:
            assert s.get("hello")[0] == 200
            kube.scale("hello", 2, manager="somebody")
            wait_until(lambda: "another client" in s.autoscaler.text(), what="the log line")
            waiting = [s.connect() for _ in range(6)]
            for c in waiting:
                c.request("GET", "/?ms=2000", "hello")
            wait_until(lambda: kube.replicas("hello") > 2, what="more pods than were set")
            assert [c.response()[0] for c in waiting] == [200] * 6
            wait_until(lambda: kube.replicas("hello") == 0, what="zero")
            assert "respected no longer" in s.autoscaler.text()


@fake_only  # servers before 1.22 do not note who writes to the scale
def test_another_client_is_respected_by_the_next_autoscaler(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello", replicas=1)
        kube.wait_pods("hello", 1, has_address)
        with on_cluster(tmp_path, kube, service("hello", kube, "port = 8080 min_scale = 1")) as s:
            assert s.get("hello")[0] == 200
            kube.scale("hello", 3, manager="somebody")
            wait_until(lambda: s.why("hello/v1").get("held_by") == "somebody", what="the hold")
            s.autoscaler.kill()
            s.start_autoscaler()
            wait_until(lambda: s.metric("activator_link_up") == 1, what="the link")
            with Load(s, "hello") as load:
                wait_until(lambda: s.why("hello/v1").get("held_by") == "somebody",
                           what="the hold by the next one")
                load.wait_for(100)
            assert kube.replicas("hello") == 3


# ---- which pods go first

@fake_only  # real servers before 1.22 ignore the cost
def test_idle_pods_go_first(tmp_path):
    """Long requests keep two of four pods busy.  The idle ones go, and no request breaks off."""
    with cluster(tmp_path) as kube:
        kube.workload("hello", replicas=4)
        kube.wait_pods("hello", 4, has_address)
        services = service("hello", kube, "port = 8080 container_concurrency = 1 target = 1 "
                           "target_utilization = 100")
        with on_cluster(tmp_path, kube, services) as s:
            busy = [s.connect() for _ in range(2)]
            for c in busy:
                c.request("GET", "/?ms=15000", "hello")
            wait_until(lambda: kube.replicas("hello") == 2, what="two replicas")
            costs = [r for r in kube.seen(verb="patch", resource="pods", status=200)
                     if COST in ((r["body"].get("metadata") or {}).get("annotations") or {})]
            assert costs and min(r["n"] for r in costs) < min(
                r["n"] for r in kube.seen(verb="patch", resource="deployments/scale"))
            assert [c.response()[0] for c in busy] == [200, 200]


def test_of_a_statefulset_the_highest_ordinal_goes_first(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello", "StatefulSet", replicas=3, spec={"podManagementPolicy": "Parallel"})
        kube.wait_pods("hello", 3, has_address)
        services = service("hello", kube, "port = 8080 min_scale = 1 target = 1",
                           'workload = "apps/v1/StatefulSet/%s/hello"' % kube.namespace)
        with on_cluster(tmp_path, kube, services) as s, Load(s, "hello", 1) as load:
            load.wait_for(50)
            left = kube.wait_pods("hello", 1)
            assert left[0]["metadata"]["name"] == "hello-0"
            load.wait_for(50)
