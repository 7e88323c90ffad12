"""The fake API server behaves as real ones were seen to (test/fake/README.md).  With KUBE_REAL set
the same tests run against a real one."""
import time

import pytest

from cluster import COST, IS_REAL, MERGE, Api, Refusal, cluster, write_config
from helpers import process_state, wait_until
from kube_stack import fake_only, has_address

pytestmark = pytest.mark.xdist_group("fake_kube")  # they share one cluster


@pytest.fixture(scope="module")
def kube(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("kube")) as c:
        yield c


def test_a_scale_of_zero_has_no_replicas(kube):
    kube.workload("zero")
    scale = kube.get("deployments", "zero", "scale")
    assert scale["spec"] == {} and scale["apiVersion"] == "autoscaling/v1"
    assert scale["status"] == {"replicas": 0, "selector": "app=zero"}
    assert kube.scale("zero", 1)["spec"] == {"replicas": 1}
    assert kube.get("deployments", "zero")["metadata"]["generation"] == 2
    assert kube.scale("zero", 0)["spec"] == {}
    kube.delete("deployments", "zero")


def test_the_object_names_who_has_set_the_replicas(kube):
    def owners():
        return [(f.get("manager"), f.get("subresource"))
                for f in kube.get("deployments", "whose")["metadata"]["managedFields"]
                if "f:replicas" in f["fieldsV1"].get("f:spec", {})]
    kube.workload("whose")
    first = owners()
    assert len(first) == 1 and first[0][1] is None
    kube.scale("whose", 2, manager="somebody")
    assert owners() == (first if version_of(kube) < (1, 22) else [("somebody", "scale")])
    kube.api.call("PATCH", kube.where("deployments", "whose") + "?fieldManager=else",
                  {"spec": {"replicas": 0}}, MERGE)
    assert owners() == [("else", None)]
    kube.delete("deployments", "whose")


def version_of(kube):
    version = kube.api.call("GET", "/version")
    return int(version["major"]), int(version["minor"].rstrip("+"))


def test_from_zero_and_back(kube):
    kube.workload("up")
    rv = kube.api.call("GET", kube.where("pods"))["metadata"]["resourceVersion"]
    kube.scale("up", 2)
    pods = kube.wait_pods("up", 2, has_address)
    assert len({p["status"]["podIP"] for p in pods}) == 2
    kube.scale("up", 0)
    kube.wait_pods("up", 0)
    seen = [(e["type"], e["object"]) for e in kube.api.events(
        kube.where("pods") + "?watch=1&timeoutSeconds=1&labelSelector=app%%3Dup&"
        "resourceVersion=%s" % rv)]
    first = [o for _, o in seen if o["metadata"]["name"] == pods[0]["metadata"]["name"]]
    steps = [("scheduled" if o["spec"].get("nodeName") else "created",
              "ip" if o["status"].get("podIP") else "", "deletionTimestamp" in o["metadata"])
             for o in first]
    assert list(dict.fromkeys(steps)) == [
        ("created", "", False), ("scheduled", "", False), ("scheduled", "ip", False),
        ("scheduled", "ip", True)]
    assert [t for t, _ in seen][-1] == "DELETED"
    kube.delete("deployments", "up")


def test_of_a_statefulset_the_highest_ordinal_goes_first(kube):
    kube.workload("set", "StatefulSet", 3)
    kube.wait_pods("set", 3, has_address)
    kube.scale("set", 1, "statefulsets")
    left = kube.wait_pods("set", 1)
    assert left[0]["metadata"]["name"] == "set-0"
    kube.delete("statefulsets", "set")
    kube.wait_pods("set", 0)


@fake_only  # real servers before 1.22 ignore the cost
def test_the_pod_with_the_lowest_cost_goes_first(kube):
    kube.workload("cost", replicas=3)
    pods = kube.wait_pods("cost", 3, has_address)
    cheap = pods[1]["metadata"]["name"]
    kube.patch("pods", cheap, {"metadata": {"annotations": {COST: "-10"}}})
    kube.scale("cost", 2)
    left = kube.wait_pods("cost", 2)
    assert cheap not in {p["metadata"]["name"] for p in left}
    kube.delete("deployments", "cost")


def test_conflict_and_missing(kube):
    kube.workload("old")
    with pytest.raises(Refusal) as e:
        kube.patch("deployments", "old", {"metadata": {"resourceVersion": "1"}, "spec": {
            "replicas": 1}}, "scale")
    assert e.value.code == 409 and e.value.reason == "Conflict"
    with pytest.raises(Refusal) as e:
        kube.scale("nobody", 1)
    assert e.value.code == 404 and "nobody" in e.value.message
    kube.delete("deployments", "old")


def test_an_expired_version_is_an_error_event(kube):
    """The answer is HTTP 200, and its first event is an ERROR with code 410.  The fake compacts
    its history on demand; a real server does so when it likes."""
    if not IS_REAL:
        kube.control("compact")
        events = list(kube.api.events(kube.where("pods") + "?watch=1&resourceVersion=1"))
        assert events[0]["type"] == "ERROR" and events[0]["object"]["code"] == 410
        assert events[0]["object"]["reason"] == "Expired" and len(events) == 1


def test_initial_events_or_a_refusal(kube):
    path = kube.where("pods") + "?watch=1&timeoutSeconds=1&sendInitialEvents=true&" \
        "resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    version = kube.api.call("GET", "/version")
    if (int(version["major"]), int(version["minor"].rstrip("+"))) < (1, 27):
        with pytest.raises(Refusal) as e:
            list(kube.api.events(path))
        assert e.value.code == 422
        return
    kube.workload("init", replicas=1)
    kube.wait_pods("init", 1, has_address)
    events = list(kube.api.events(path))
    mark = next(i for i, e in enumerate(events) if e["type"] == "BOOKMARK")
    assert events[mark]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"] == "true"
    assert "init" in {e["object"]["metadata"]["labels"]["app"] for e in events[:mark]}
    kube.delete("deployments", "init")
    kube.wait_pods("init", 0)


def test_list_in_pages(kube):
    for i in range(5):
        kube.create("configmaps", {"metadata": {"name": "page-%d" % i, "labels": {"p": "y"}}})
    path, found, more = kube.where("configmaps") + "?labelSelector=p%3Dy&limit=2", [], ""
    versions = set()
    while True:
        answer = kube.api.call("GET", path + more)
        versions.add(answer["metadata"]["resourceVersion"])
        found += [o["metadata"]["name"] for o in answer["items"]]
        assert "kind" not in answer["items"][0]
        if not answer["metadata"].get("continue"):
            break
        more = "&continue=" + answer["metadata"]["continue"]
    assert found == ["page-%d" % i for i in range(5)] and len(versions) == 1


@pytest.mark.parametrize("how, pod, container, reason, message", [
    ("pull", {}, {"image": "missing/app:1"}, "ImagePullBackOff", "missing/app:1"),
    ("crash", {}, {"command": ["false"]}, "CrashLoopBackOff", "back-off"),
    ("config", {}, {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {
        "name": "nowhere", "key": "a"}}}]}, "CreateContainerConfigError", "nowhere"),
])
def test_what_keeps_a_pod_from_running(kube, how, pod, container, reason, message):
    kube.workload("no-" + how, replicas=1, pod=pod, container=container,
                  pod_annotations={"kubelet.test/backoff": "0.5"})

    def waiting():
        for p in kube.pods("no-" + how):
            for c in p["status"].get("containerStatuses") or []:
                w = c["state"].get("waiting") or {}
                if w.get("reason") == reason:
                    return w["message"]
        return None
    assert message in wait_until(waiting, what=reason)
    kube.delete("deployments", "no-" + how)
    kube.wait_pods("no-" + how, 0)


def test_unschedulable(kube):
    kube.workload("big", replicas=1, container={"resources": {"requests": {"cpu": "100000"}}})

    def why():
        for p in kube.pods("big"):
            for c in p["status"].get("conditions") or []:
                if c["type"] == "PodScheduled" and c["status"] == "False":
                    assert c["reason"] == "Unschedulable"
                    return c["message"]
        return None
    assert "Insufficient cpu" in wait_until(why, what="a condition")
    kube.delete("deployments", "big")
    kube.wait_pods("big", 0)


def test_quota(kube):
    kube.create("resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "0"}}})
    if IS_REAL:
        wait_until(lambda: kube.get("resourcequotas", "q").get("status", {}).get("hard"))
    kube.workload("much", replicas=1)

    def why():
        for c in kube.get("deployments", "much").get("status", {}).get("conditions") or []:
            if c["type"] == "ReplicaFailure":
                assert c["reason"] == "FailedCreate"
                return c["message"]
        return None
    assert "exceeded quota: q" in wait_until(why, what="ReplicaFailure")
    kube.delete("deployments", "much")
    kube.delete("resourcequotas", "q")


@fake_only
def test_tokens_and_rights(kube, tmp_path):
    token = kube.control("token", service_account="default/reader")["token"]
    config = write_config(str(tmp_path / "c"), "https://127.0.0.1:%d" % kube.port,
                          kube.folder + "/pki/ca.crt", {"token": token})
    api = Api(config)
    path = kube.where("pods")
    with pytest.raises(Refusal) as e:
        api.call("GET", path)
    assert e.value.code == 403
    assert e.value.message.endswith(
        'cannot list resource "pods" in API group "" in the namespace "default"')
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/"
    kube.api.call("POST", rbac + "roles", {"metadata": {"name": "r"}, "rules": [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["patch"]}]})
    kube.api.call("POST", rbac + "rolebindings", {
        "metadata": {"name": "r"}, "roleRef": {"kind": "Role", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "reader"}]})
    assert api.call("GET", path)["kind"] == "PodList"
    with pytest.raises(Refusal) as e:
        list(api.events(path + "?watch=1&timeoutSeconds=1"))
    assert e.value.code == 403
    kube.workload("mine")
    with pytest.raises(Refusal) as e:
        api.call("PATCH", kube.where("deployments", "mine"), {}, MERGE)
    assert e.value.code == 403
    api.call("PATCH", kube.where("deployments", "mine", "scale"), {}, MERGE)
    kube.control("revoke", token=token)
    with pytest.raises(Refusal) as e:
        api.call("GET", path)
    assert e.value.code == 401
    kube.delete("deployments", "mine")


@fake_only
def test_faults(kube):
    path = kube.where("configmaps")
    kube.fault({"status": 429, "retry_after": 1}, times=1, resource="configmaps")
    with pytest.raises(Refusal) as e:
        kube.api.call("GET", path)
    assert e.value.code == 429
    kube.api.call("GET", path)
    for do in ({"reset": True}, {"close": True}, {"cut": 150}, {"raw": "rubbish\r\n\r\n"}):
        kube.fault(do, times=1, resource="configmaps")
        with pytest.raises(Exception):
            kube.api.call("GET", path)
    kube.fault({"hang": True}, times=1, resource="configmaps")
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        kube.api.call("GET", path, timeout=0.2)
    assert time.monotonic() - start < 10
    kube.fault({"slow": 7, "every": 0.0001}, times=1, resource="configmaps")
    assert kube.api.call("GET", path)["kind"] == "ConfigMapList"


@fake_only
def test_objects_outlive_the_server(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("kept", replicas=1)
        pod = kube.wait_pods("kept", 1, has_address)[0]
        kube.kill()
        kube.start()
        same = kube.wait_pods("kept", 1, has_address)[0]
        assert same["metadata"]["uid"] == pod["metadata"]["uid"]
        assert [e["what"] for e in kube.kubelet_saw("term")] == []
        kube.scale("kept", 0)
        kube.wait_pods("kept", 0)


def is_alive(pid):
    try:
        return process_state(pid) != "Z"
    except OSError:
        return False


@fake_only
@pytest.mark.parametrize("last", ["scale up", "delete", "scale down"])
def test_pods_end_with_the_kubelet(tmp_path, last):
    """Also those that are being started or ended at that moment."""
    with cluster(tmp_path) as kube:
        kube.workload("hello", replicas=8, args=["--ignore-term"])
        wait_until(lambda: len(kube.kubelet_saw("runs")) >= 8, what="pods")
        if last == "scale up":
            kube.scale("hello", 20)
            wait_until(lambda: len(kube.kubelet_saw("runs")) > 8, what="the first new pod")
        elif last == "delete":
            for pod in kube.pods():
                kube.delete("pods", pod["metadata"]["name"], gracePeriodSeconds=0)
        else:
            kube.scale("hello", 0)
            wait_until(lambda: kube.kubelet_saw("term"), what="the first SIGTERM")
        kube.stop_kubelet()
        assert not [e for e in kube.kubelet_saw("runs") if is_alive(e["process"])]
