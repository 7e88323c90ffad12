"""Revisions that cannot start, and what their status, their Configuration's and their Service's say
of it, while the revision before goes on serving; and the digests of images."""
import hashlib

from cluster import cluster
from helpers import HELLO, wait_until
from kube_knative import Objects, condition, is_ready
from kube_stack import fake_only
from test_knative import everything, host, knative, ksvc, wait_ready

pytestmark = fake_only


def set_container(objects, name, **container):
    """Change the Service's container, which makes a revision."""
    def change(obj):
        obj["spec"]["template"]["spec"]["containers"][0].update(container)
    return objects.change("services", name, change)


FAILURES = {
    "image": ({"image": "missing:1"}, "ResourcesAvailable", "ImagePullBackOff", "missing:1"),
    "crash": ({"command": ["/bin/sh", "-c", "echo no such table >&2; exit 3"], "args": []},
              "ContainerHealthy", "ExitCode3", "Container failed with: no such table"),
    "secret": ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "no", "key": "k"}}}]},
               "ResourcesAvailable", "CreateContainerConfigError", "no"),
    "room": ({"resources": {"requests": {"cpu": "9000"}}}, "ResourcesAvailable", "Unschedulable",
             "Insufficient cpu"),
}


def check_failure(objects, name):
    _, kind, reason, message = FAILURES[name]
    wait_until(lambda: condition(objects.get("services", name))["status"] == "False",
               what="the Service %s to fail" % name)
    failed = condition(objects.get("revisions", name + "-00002"), kind)
    assert failed["status"] == "False"
    assert failed["reason"] == reason
    assert message in failed["message"]
    for plural in ("configurations", "services"):
        obj = objects.get(plural, name)
        assert condition(obj)["status"] == "False"
        assert condition(obj)["reason"] == "RevisionFailed"
        assert condition(obj)["message"].startswith(
            'Revision "%s-00002" failed with message: ' % name)
        assert obj["status"]["latestReadyRevisionName"] == name + "-00001"
        assert obj["status"]["latestCreatedRevisionName"] == name + "-00002"


def test_revisions_that_cannot_start(tmp_path):
    with cluster(tmp_path) as kube, knative(tmp_path, kube) as s:
        objects = Objects(kube)
        for name in FAILURES:
            ksvc(objects, name)
        hosts = {name: host(wait_ready(objects, name)) for name in FAILURES}
        for name, (change, *_) in FAILURES.items():
            set_container(objects, name, **change)
        for name in FAILURES:
            check_failure(objects, name)
            assert s.get(hosts[name])[0] == 200
        for name in FAILURES:
            set_container(objects, name, image="ko.local/hello", command=[HELLO], args=[], env=[],
                          resources={})
        for name in FAILURES:
            svc = wait_ready(objects, name)
            assert svc["status"]["latestReadyRevisionName"] == name + "-00003"
            assert s.get(hosts[name])[0] == 200


def deployed_image(kube, revision):
    pod = kube.get("deployments", revision + "-deployment")["spec"]["template"]["spec"]
    return pod["containers"][0]["image"]


def test_the_digest_that_the_first_pod_ran(tmp_path):
    with cluster(tmp_path) as kube, knative(tmp_path, kube) as s:
        objects = Objects(kube)
        image = "quay.io/team/hello:1"
        pinned = "quay.io/team/hello@sha256:" + hashlib.sha256(image.encode()).hexdigest()
        objects.create("services", objects.make("services", "hello", {"template": {"spec": {
            "containers": [{"image": image, "command": [HELLO]}]}}}))
        svc = wait_ready(objects, "hello")
        wait_until(lambda: objects.get("revisions", "hello-00001")["status"]["containerStatuses"] ==
                   [{"name": "user-container", "imageDigest": pinned}], what="the digest")
        wait_until(lambda: deployed_image(kube, "hello-00001") == pinned,
                   what="the Deployment to name the digest")
        assert kube.replicas("hello-00001-deployment") == 0
        assert s.get(host(svc))[0] == 200
        assert is_ready(objects.get("services", "hello"))


def test_what_is_not_owned_stays(tmp_path):
    """A Deployment of the name that is needed: it is neither changed nor deleted."""
    with cluster(tmp_path) as kube, knative(tmp_path, kube):
        objects = Objects(kube)
        kube.create("deployments", {
            "metadata": {"name": "hello-00001-deployment"},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "mine"}},
                     "template": {"metadata": {"labels": {"app": "mine"}}, "spec": {
                         "containers": [{"name": "c", "image": "ko.local/hello"}]}}}})
        mine = kube.get("deployments", "hello-00001-deployment")
        ksvc(objects, "hello")
        wait_until(lambda: condition(objects.find("revisions", "hello-00001") or {}, "Ready")
                   .get("reason") == "NotOwned", what="the revision to say so")
        objects.delete("services", "hello")
        wait_until(lambda: everything(kube, objects) == [
            ("deployments", "hello-00001-deployment")], what="the rest to go")
        left = kube.get("deployments", "hello-00001-deployment")
        assert left["spec"] == mine["spec"]
        assert left["metadata"]["uid"] == mine["metadata"]["uid"]
