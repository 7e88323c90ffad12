"""Knative's objects from their creation to their end, with nothing of Knative's: the controllers in
the autoscaler, the fake API server with the definitions of conf/kubernetes/knative, pods that run,
and requests through the activator."""
import contextlib
import urllib.parse

import pytest

from cluster import Refusal, cluster
from helpers import HELLO, free_port, wait_until
from kube_knative import Objects, condition, install, is_ready
from kube_stack import Load, driver, fake_only
from stack import running

pytestmark = fake_only

SYSTEM = "/api/v1/namespaces/knative-serving/configmaps"


def config_map(kube, name, data):
    kube.api.call("POST", SYSTEM, {"apiVersion": "v1", "kind": "ConfigMap", "data": data,
                                   "metadata": {"name": name, "namespace": "knative-serving"}})


@contextlib.contextmanager
def knative(path, kube, more="", kubeconfig=None, has_short_windows=True, local=None, **rest):
    """Both programs with the controllers, and the domain example.com.  local: the port for clients
    in the cluster."""
    install(kube)
    with contextlib.suppress(Refusal):
        kube.api.call("POST", "/api/v1/namespaces", {"metadata": {"name": "knative-serving"}})
    config_map(kube, "config-domain", {"example.com": ""})
    if has_short_windows:
        config_map(kube, "config-autoscaler", {"scale-to-zero-grace-period": "6s",
                                               "stable-window": "6s"})
    with running(path, "", autoscaler=driver(kube, kubeconfig, "knative = yes " + more),
                 listen=', "127.0.0.1:%d local"' % (local or free_port()), **rest) as s:
        yield s


def template(*args, name=None, annotations=None, **spec):
    meta = {"annotations": annotations or {}}
    if name:
        meta["name"] = name
    return {"metadata": meta, "spec": {"containers": [
        {"image": "ko.local/hello", "command": [HELLO], "args": list(args)}], **spec}}


def ksvc(objects, name, *args, traffic=None, **more):
    spec = {"template": template(*args, **more)}
    if traffic:
        spec["traffic"] = traffic
    return objects.create("services", objects.make("services", name, spec))


def wait_ready(objects, name, plural="services"):
    def ready():
        obj = objects.get(plural, name)
        return obj if is_ready(obj) else None
    return wait_until(ready, what="%s %s to be ready: %s" % (
        plural, name, objects.get(plural, name).get("status")))


def host(obj_or_target):
    url = obj_or_target.get("url") or obj_or_target["status"]["url"]
    return urllib.parse.urlparse(url).hostname


def edit(objects, name, *args, **more):
    def change(obj):
        obj["spec"]["template"] = template(*args, **more)
    return objects.change("services", name, change)


def everything(kube, objects):
    """What there is of Knative's, and what was made for it."""
    found = [(plural, o["metadata"]["name"]) for plural in
             ("services", "configurations", "revisions", "routes")
             for o in objects.list(plural)]
    found += [("deployments", o["metadata"]["name"]) for o in kube.list("deployments")]
    found += [("placeholders", o["metadata"]["name"])
              for o in kube.list("services", "serving.knative.dev/route")]
    return sorted(found)


def test_from_create_to_delete(tmp_path):
    """Create, serve, scale to zero, wake, update, split with tags, delete."""
    with cluster(tmp_path) as kube, knative(tmp_path, kube) as s:
        objects = Objects(kube)
        ksvc(objects, "hello")
        svc = wait_ready(objects, "hello")
        assert svc["status"]["latestReadyRevisionName"] == "hello-00001"
        assert svc["metadata"]["generation"] == svc["status"]["observedGeneration"] == 1
        assert host(svc) == "hello.default.example.com"
        # Ready: the very first request is answered.
        assert s.get(host(svc))[::2] == (200, b"hello\n")
        assert everything(kube, objects) == [
            ("configurations", "hello"), ("deployments", "hello-00001-deployment"),
            ("placeholders", "hello"), ("revisions", "hello-00001"), ("routes", "hello"),
            ("services", "hello")]

        wait_until(lambda: kube.replicas("hello-00001-deployment") == 0, what="zero replicas")
        assert is_ready(objects.get("services", "hello"))
        active = wait_until(lambda: condition(objects.get("revisions", "hello-00001"), "Active")
                            .get("status") == "False", what="the revision to be inactive")
        assert active
        assert s.get(host(svc))[0] == 200

        with Load(s, host(svc)) as load:
            edit(objects, "hello", "--response", "1ms")
            svc = wait_until(
                lambda: (lambda o: o if is_ready(o) and o["status"]["latestReadyRevisionName"] ==
                         "hello-00002" else None)(objects.get("services", "hello")),
                what="the second revision")
            load.wait_for(50)
        assert [(t["revisionName"], t["percent"]) for t in svc["status"]["traffic"]] == \
            [("hello-00002", 100)]

        def split(obj):
            obj["spec"]["traffic"] = [
                {"revisionName": "hello-00001", "percent": 50, "tag": "old"},
                {"revisionName": "hello-00002", "percent": 50, "latestRevision": False},
                {"latestRevision": True, "percent": 0, "tag": "newest"}]
        objects.change("services", "hello", split)
        svc = wait_ready(objects, "hello")
        targets = {t["tag"]: t for t in svc["status"]["traffic"] if "tag" in t}
        assert targets["old"]["revisionName"] == "hello-00001"
        assert host(targets["old"]) == "old-hello.default.example.com"
        assert s.get(host(targets["old"]))[0] == 200
        assert s.get(host(targets["newest"]))[0] == 200
        assert s.get(host(svc))[0] == 200

        objects.delete("services", "hello")
        wait_until(lambda: everything(kube, objects) == [], what="nothing to be left")
        wait_until(lambda: s.get(host(svc))[0] == 404, what="no route")
