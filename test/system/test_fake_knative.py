"""The fake API server serves custom resources, finalizers, and garbage collection as real ones do,
by the definitions of conf/kubernetes/knative."""
import urllib.request

import pytest

from cluster import IS_REAL, Refusal, cluster
from helpers import HELLO, wait_until
from kube_knative import CRDS, Objects, definitions, install, where
from kube_stack import fake_only, is_ready

pytestmark = pytest.mark.xdist_group("fake_knative")  # they share one cluster

SPEC = {"template": {"spec": {"containers": [{"image": "hello"}]}}}


@pytest.fixture(scope="module")
def kube(tmp_path_factory):
    with cluster(tmp_path_factory.mktemp("kube")) as c:
        if not IS_REAL:
            with pytest.raises(Refusal) as e:
                c.api.call("GET", where("services", "default"))
            assert e.value.code == 404 and "could not find the requested resource" in \
                e.value.message
        install(c)
        yield c


@pytest.fixture
def objects(kube):
    made = Objects(kube)
    yield made
    for plural in definitions():
        for obj in made.list(plural):
            made.patch(plural, obj["metadata"]["name"], {"metadata": {"finalizers": None}})
            try:
                made.delete(plural, obj["metadata"]["name"])
            except Refusal as e:
                assert e.code == 404
        wait_until(lambda p=plural: not made.list(p), what="no " + plural)


def refused(call, *args, **named):
    with pytest.raises(Refusal) as e:
        call(*args, **named)
    return e.value


def test_defaults_come_and_unknown_fields_go(objects):
    spec = {"template": {"metadata": {"creationTimestamp": None, "name": ""}, "spec": {
        "hostNetwork": True, "enableServiceLinks": None, "containers": [{
            "name": "", "image": "hello", "resources": {}, "stdin": True,
            "ports": [{"containerPort": 0, "name": "h2c"}],
            "readinessProbe": {"successThreshold": 1, "tcpSocket": {"port": 0}}}]}}}
    made = objects.create("services", objects.make("services", "a", spec, creationTimestamp=None))
    assert made["spec"]["traffic"] == [{"latestRevision": True, "percent": 100}]
    pod = made["spec"]["template"]["spec"]
    assert set(pod) == {"containers"} and made["spec"]["template"]["metadata"] == {"name": ""}
    container, = pod["containers"]
    assert container["name"] == "" and container["resources"] == {} and "stdin" not in container
    assert container["ports"] == [{"containerPort": 0, "name": "h2c", "protocol": "TCP"}]
    meta = made["metadata"]
    assert meta["generation"] == 1 and meta["uid"] and meta["creationTimestamp"]
    # A target without a percent.
    made["spec"]["traffic"] = [{"latestRevision": True, "percent": 100}, {"revisionName": "a-1"}]
    made["status"] = {}
    assert objects.replace("services", made)["spec"]["traffic"][1] == {
        "revisionName": "a-1", "percent": 0}


@pytest.mark.parametrize("spec, text", [
    ({}, "spec.template: Required value"),
    ({"template": {"spec": {}}}, "spec.template.spec.containers: Required value"),
    ({"template": {"spec": {"containers": [{"image": 1}]}}}, "must be of type string"),
    ({**SPEC, "traffic": [{"percent": "1"}]}, "must be of type integer"),
    ({"template": {"spec": {"containers": [{"image": "a", "env": [
        {"name": "A"}, {"name": "A"}]}]}}}, "Duplicate value"),
    ({"template": {"spec": {"containers": [{"image": "a", "resources": {
        "limits": {"cpu": "much"}}}]}}}, "should match"),
])
def test_what_does_not_fit_is_refused(objects, spec, text):
    e = refused(objects.create, "services", objects.make("services", "bad", spec))
    assert e.code == 422 and e.reason == "Invalid" and text in e.message


def test_the_status_is_a_part_of_its_own(objects):
    made = objects.create("services", {**objects.make("services", "a", SPEC),
                                       "status": {"url": "http://a"}})
    assert "status" not in made
    made["status"] = {"url": "http://a", "what": 1, "observedGeneration": 1}
    made["metadata"]["labels"] = {"a": "b"}
    made["spec"]["template"]["spec"]["containers"][0]["image"] = "other"
    after = objects.replace("services", made, "status")
    assert after["status"] == {"url": "http://a", "observedGeneration": 1}
    assert "labels" not in after["metadata"] and after["metadata"]["generation"] == 1
    assert after["spec"]["template"]["spec"]["containers"][0]["image"] == "hello"
    # and the spec is one, too
    after["status"] = {}
    after["metadata"]["annotations"] = {"a": "b"}
    same = objects.replace("services", after)
    assert same["status"]["url"] == "http://a" and same["metadata"]["generation"] == 1
    same["spec"]["template"]["spec"]["containers"][0]["image"] = "other"
    assert objects.replace("services", same)["metadata"]["generation"] == 2
    # the same again is no change
    now = objects.get("services", "a")
    assert objects.replace("services", now)["metadata"]["resourceVersion"] == \
        now["metadata"]["resourceVersion"]


def test_conflicts_and_preconditions(objects):
    made = objects.create("services", objects.make("services", "a", SPEC))
    assert refused(objects.create, "services", made).code == 500  # it has a version
    e = refused(objects.create, "services", objects.make("services", "a", SPEC))
    assert (e.code, e.reason) == (409, "AlreadyExists")
    objects.patch("services", "a", {"metadata": {"labels": {"a": "b"}}})
    e = refused(objects.replace, "services", made)
    assert (e.code, e.reason) == (409, "Conflict")
    del made["metadata"]["resourceVersion"]
    e = refused(objects.replace, "services", made)
    assert e.code == 422 and "must be specified for an update" in e.message
    e = refused(objects.patch, "services", "a", {"metadata": {"uid": "other"}})
    assert e.code == 422 and "field is immutable" in e.message
    now = objects.get("services", "a")
    for change in {"uid": "other"}, {"resourceVersion": "1"}:
        e = refused(objects.replace, "services", {**now, "metadata": {**now["metadata"], **change}})
        assert (e.code, e.reason) == (409, "Conflict")
        e = refused(objects.delete, "services", "a", preconditions=change)
        assert (e.code, e.reason) == (409, "Conflict")
    objects.delete("services", "a", preconditions={"uid": made["metadata"]["uid"]})
    assert refused(objects.get, "services", "a").code == 404
    assert refused(objects.patch, "services", "a", {}).code == 404
    assert refused(objects.replace, "services", {**made, "metadata": {
        **made["metadata"], "resourceVersion": "1"}}).code == 404


def test_a_name_is_made(objects):
    obj = objects.make("services", None, SPEC, generateName="some-")
    names = {objects.create("services", obj)["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3 and all(n.startswith("some-") and len(n) > 5 for n in names)


def test_lists_and_watches_over_all_namespaces(kube, objects):
    try:
        kube.api.call("POST", "/api/v1/namespaces", {"metadata": {"name": "other"}})
    except Refusal as e:
        assert e.code == 409
    elsewhere = Objects(kube, namespace="other")
    rv = kube.api.call("GET", where("services", None))["metadata"]["resourceVersion"]
    objects.create("services", objects.make("services", "a", SPEC, labels={"x": "y"}))
    elsewhere.create("services", objects.make("services", "b", SPEC, labels={"x": "y"}))
    elsewhere.create("services", objects.make("services", "c", SPEC))
    elsewhere.delete("services", "b")
    found = kube.api.call("GET", where("services", None))["items"]
    assert {o["metadata"]["name"] for o in found} >= {"a", "c"}

    def seen(at, query):
        return [(e["type"], e["object"]["metadata"]["name"]) for e in kube.api.events(
            "%s?watch=1&timeoutSeconds=1&resourceVersion=%s&%s" % (at, rv, query))]
    assert seen(where("services", None), "labelSelector=x%3Dy") == [
        ("ADDED", "a"), ("ADDED", "b"), ("DELETED", "b")]
    assert seen(objects.where("services"), "fieldSelector=metadata.name%3Da") == [("ADDED", "a")]
    e = refused(kube.api.call, "GET", objects.where("services") + "?fieldSelector=spec.x%3Da")
    assert e.code == 400 and "field label not supported" in e.message
    elsewhere.delete("services", "c")


def test_a_finalizer_holds_an_object(objects):
    made = objects.create("routes", objects.make("routes", "r", {"traffic": [
        {"revisionName": "x", "percent": 100}]}, finalizers=["example.com/mine"]))
    after = objects.delete("routes", "r")
    assert after["metadata"]["deletionTimestamp"] and after["metadata"]["generation"] == 2
    assert objects.delete("routes", "r")["metadata"]["generation"] == 2
    assert made["metadata"]["uid"] == after["metadata"]["uid"]
    objects.patch("routes", "r", {"metadata": {"finalizers": None}})
    assert objects.find("routes", "r") is None


def owned_by(owner, blocks=True):
    return [{"apiVersion": owner["apiVersion"], "kind": owner["kind"],
             "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
             "controller": True, "blockOwnerDeletion": blocks}]


def family(objects):
    """A Service, its Configuration, and a Revision of that."""
    top = objects.create("services", objects.make("services", "a", SPEC))
    middle = objects.create("configurations", objects.make(
        "configurations", "a", SPEC, ownerReferences=owned_by(top)))
    objects.create("revisions", objects.make("revisions", "a-00001", SPEC["template"]["spec"],
                                             ownerReferences=owned_by(middle)))


def is_left(objects):
    return [p for p, n in (("services", "a"), ("configurations", "a"), ("revisions", "a-00001"))
            if objects.find(p, n)]


def test_objects_go_with_their_owner(objects):
    family(objects)
    objects.delete("services", "a", propagationPolicy="Background")
    assert objects.find("services", "a") is None
    wait_until(lambda: not is_left(objects), what="the end of what it owned")


def test_an_owner_goes_last_in_the_foreground(objects):
    family(objects)
    objects.patch("revisions", "a-00001", {"metadata": {"finalizers": ["example.com/mine"]}})
    gone = objects.delete("services", "a", propagationPolicy="Foreground")
    assert gone["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert gone["metadata"]["generation"] == 2
    wait_until(lambda: "deletionTimestamp" in objects.get("revisions", "a-00001")["metadata"],
               what="the deletion of the revision")
    assert is_left(objects) == ["services", "configurations", "revisions"]
    objects.patch("revisions", "a-00001", {"metadata": {"finalizers": None}})
    wait_until(lambda: not is_left(objects), what="the end of all")


def test_an_owner_may_leave_orphans(objects):
    family(objects)
    objects.delete("services", "a", propagationPolicy="Orphan")
    wait_until(lambda: is_left(objects) == ["configurations", "revisions"], what="the orphans")
    assert not objects.get("configurations", "a")["metadata"].get("ownerReferences")


def test_an_object_of_an_owner_that_is_gone_goes(objects):
    top = objects.create("services", objects.make("services", "a", SPEC))
    objects.delete("services", "a")
    objects.create("configurations", objects.make("configurations", "a", SPEC,
                                                  ownerReferences=owned_by(top)))
    wait_until(lambda: not is_left(objects), what="the end of the object")


def deployment(name, **container):
    labels = {"app": name}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": 1, "progressDeadlineSeconds": 1, "selector": {"matchLabels": labels},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0}},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{
            "name": "user-container", "image": "hello", "imagePullPolicy": "IfNotPresent",
            "ports": [{"name": "user-port", "containerPort": 8080}],
            "terminationMessagePolicy": "FallbackToLogsOnError", **container}]}}}}


def test_a_deployment_that_a_controller_makes_serves(kube):
    kube.create("configmaps", {"metadata": {"name": "values"}, "data": {"status": "202"}})
    kube.create("deployments", deployment(
        "served", command=["sh", "-c", 'exec "$PROGRAM" --status "$STATUS"'],
        env=[{"name": "PROGRAM", "value": HELLO}, {"name": "PORT", "value": "8081"},
             {"name": "STATUS", "valueFrom": {"configMapKeyRef": {
                 "name": "values", "key": "status"}}},
             {"name": "NONE", "valueFrom": {"secretKeyRef": {
                 "name": "nowhere", "key": "a", "optional": True}}}],
        readinessProbe={"tcpSocket": {"port": 8081}, "periodSeconds": 1},
        livenessProbe={"httpGet": {"port": 8081, "path": "/stats"}, "periodSeconds": 1}))
    pod, = kube.wait_pods("served", 1, is_ready)
    with urllib.request.urlopen("http://%s:8081/" % pod["status"]["podIP"], timeout=20) as answer:
        assert answer.status == 202
    spec = kube.get("deployments", "served")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": "25%"}
    kube.delete("deployments", "served", propagationPolicy="Foreground")
    kube.wait_pods("served", 0)
    wait_until(lambda: "served" not in [d["metadata"]["name"] for d in kube.list("deployments")],
               what="the end of the Deployment")
    kube.delete("configmaps", "values")


def progressing(kube, name):
    return next((c for c in kube.get("deployments", name).get("status", {}).get("conditions") or []
                 if c["type"] == "Progressing"), {})


def test_a_deployment_without_progress_says_so(kube):
    kube.create("deployments", deployment("never", image="missing/app:1"))
    found = wait_until(lambda: progressing(kube, "never").get("status") == "False" and
                       progressing(kube, "never"), what="the end of its patience")
    assert found["reason"] == "ProgressDeadlineExceeded"
    kube.delete("deployments", "never")
    kube.wait_pods("never", 0)


def test_a_container_leaves_its_last_words(kube):
    kube.create("deployments", deployment("fails", command=["sh", "-c", "echo no base; exit 3"]))

    def last():
        for pod in kube.pods("fails"):
            for c in pod["status"].get("containerStatuses") or []:
                return (c["lastState"].get("terminated") or {}).get("exitCode") and c["lastState"]
        return None
    ended = wait_until(last, what="an exit")["terminated"]
    assert (ended["exitCode"], ended["message"].strip()) == (3, "no base")
    kube.delete("deployments", "fails")
    kube.wait_pods("fails", 0)


@fake_only
def test_kinds_outlive_the_server_and_go_with_their_definition(tmp_path):
    with cluster(tmp_path, has_kubelet=False) as kube:
        install(kube)
        mine = Objects(kube)
        mine.create("services", mine.make("services", "a", SPEC))
        kube.kill()
        kube.start()
        assert mine.get("services", "a")["spec"]["traffic"]
        for crd in definitions().values():
            kube.api.call("DELETE", "%s/%s" % (CRDS, crd["metadata"]["name"]))
        assert refused(mine.get, "services", "a").code == 404
        install(kube)
        assert mine.list("services") == []
