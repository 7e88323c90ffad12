"""kn's commands, by a stand-in that makes the same calls (kn.py): what they wait for, what they
print, and that the requests go where they say."""
import os

import pytest

from cluster import cluster
from helpers import HELLO, wait_until
from kn import Kn, KnError
from kube_knative import HERE, Objects, documents, install, post
from kube_rights import USER, account_config, apply_manifest
from kube_stack import fake_only
from test_knative import everything, host, knative

pytestmark = fake_only
IMAGE = "ko.local/hello"
APP = {"command": [HELLO]}


def rights():
    """(group, resource, verb) of everything that the manifests grant the autoscaler here."""
    docs = documents(os.path.join(HERE, "rights.yaml")) + \
        documents(os.path.join(os.path.dirname(HERE), "rights.yaml"))
    return {(g, r, v) for d in docs for rule in d.get("rules") or []
            for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"]}


def grant(kube, gc=None):
    """Apply the manifests, all of them.  Path of a kubeconfig of the account, with their rights and
    no others.  gc: of config-gc."""
    apply_manifest(kube)
    install(kube)
    for name in ("namespace.yaml", "rights.yaml", "configmaps.yaml", "policies.yaml",
                 "mutating.yaml"):
        for doc in documents(os.path.join(HERE, name)):
            if doc["metadata"]["name"] == "config-gc" and gc:
                doc["data"] = gc
            if doc["metadata"]["name"] not in ("config-domain", "config-autoscaler"):
                post(kube, doc)  # those two are the test's
    return account_config(kube)


def used(kube):
    """(group, resource, verb) of all requests of the autoscaler."""
    return {(r["group"], r["resource"], r["verb"]) for r in kube.seen(user=USER)
            if r.get("resource")}


def test_create_update_split_roll_back_delete(tmp_path):
    """One service through all that kn does to it.  The autoscaler has the rights of the manifests
    alone, and uses none beyond."""
    with cluster(tmp_path) as kube, knative(tmp_path, kube, kubeconfig=grant(kube)) as s:
        kn, objects = Kn(kube), Objects(kube)
        obj = kn.service_create("shop", IMAGE, env={"A": "1"}, **APP)
        assert kn.out[0] == "Creating service 'shop' in namespace 'default':"
        assert kn.out[-1] == "Service 'shop' created to latest revision 'shop-00001' is " \
            "available at URL:\nhttp://shop.default.example.com"
        assert s.get(host(obj))[0] == 200
        assert obj["metadata"]["annotations"]["serving.knative.dev/creator"] == "admin"
        for made in (objects.get("configurations", "shop"), objects.get("routes", "shop"),
                     kube.get("services", "shop")):
            assert made["metadata"]["annotations"]["serving.knative.dev/creator"] == "admin"
        with pytest.raises(KnError) as e:
            kn.service_create("shop", IMAGE)
        assert "already exists and no --force option was given" in str(e.value)

        row, = kn.service_list("shop")
        assert row == ("shop", "http://shop.default.example.com", "shop-00001", "3 OK / 3", "True",
                       "")
        about = kn.service_describe("shop")
        assert about["conditions"] == {"ConfigurationsReady": "True", "Ready": "True",
                                       "RoutesReady": "True"}
        assert about["revisions"][("shop-00001", "")][:2] == (100, IMAGE)
        # A service that is ready: kn does not watch.
        kn.service_wait("shop")

        # A second revision gets everything; then both get half; then the first, by its name.
        obj = kn.service_update("shop", args=["--status", "202"])
        assert kn.out[-1].startswith("Service 'shop' updated to latest revision 'shop-00002'")
        assert s.get(host(obj))[0] == 202
        obj = kn.service_update("shop", traffic={"shop-00001": 50, "@latest": 50},
                                tags={"shop-00001": "blue", "@latest": "green"})
        tags = {t["tag"]: t for t in obj["status"]["traffic"]}
        assert s.get(host(tags["blue"]))[0] == 200 and s.get(host(tags["green"]))[0] == 202
        assert {s.get(host(obj))[0] for _ in range(60)} == {200, 202}
        assert [(r[0], r[2], r[3]) for r in kn.revision_list("shop")] == [
            ("shop-00002", 50, ["green"]), ("shop-00001", 50, ["blue"])]
        obj = kn.service_update("shop", traffic={"blue": 100})
        assert {s.get(host(obj))[0] for _ in range(20)} == {200}
        assert s.get(host(tags["green"]))[0] == 202  # the tag stays
        obj = kn.service_update("shop", untag=["green", "blue"])
        assert s.get(host(tags["green"]))[0] == 404
        assert kn.route_describe("shop")["traffic"] == [("shop-00001", 100, "", "")]
        assert kn.route_list() == [("shop", "http://shop.default.example.com", "True")]

        # What no request goes to may be deleted; what gets requests stays.
        wait_until(lambda: objects.get("revisions", "shop-00002")["metadata"]["labels"][
            "serving.knative.dev/routingState"] == "reserve", what="the state reserve")
        assert kn.revision_describe("shop-00001")["generation"] == 1
        kn.service_update("shop", traffic={"@latest": 100})

        # Names of one's own, there and back.
        kn.service_update("shop", revision_name="own", args=["--status", "203"])
        assert s.get(host(obj))[0] == 203
        assert kn.service_describe("shop", verbose=True)["all"] >= {"shop-own", "shop-00001"}

        # A further domain.
        kn.domain_create("www.example.org", "ksvc:shop")
        kn.wait("domainmappings", "www.example.org")
        assert s.get("www.example.org")[0] == 203
        assert kn.domain_list() == [("www.example.org", "http://www.example.org", "True")]
        kn.domain_delete("www.example.org")
        wait_until(lambda: s.get("www.example.org")[0] == 404, what="the end of the domain")

        kn.service_delete("shop", wait=True)
        assert kn.out[-1] == "Service 'shop' successfully deleted in namespace 'default'."
        wait_until(lambda: everything(kube, objects) == [], what="nothing to be left")
        wait_until(lambda: s.get(host(obj))[0] == 404, what="no route")

        refused = [r for r in kube.seen(user=USER) if r.get("status") in (401, 403)]
        assert refused == []
        assert used(kube) <= rights()


def lose(kube, verb, resource, group="serving.knative.dev"):
    """The first such write is carried out, and its answer is that it was not."""
    do = {"status": 409, "reason": "AlreadyExists" if verb == "create" else "Conflict",
          "perform": True}
    kube.fault(do, times=1, user=USER, verb=verb, resource=resource, group=group)


def test_each_right_is_used(tmp_path):
    """Conflicts, lost answers, a gradual rollout, the collection of garbage: after them every
    right on Knative's objects has been used, but for lists, of which a server of today asks none,
    and for what servers with a plugin ask for."""
    with cluster(tmp_path) as kube:
        account = grant(kube, {
            "retain-since-create-time": "disabled", "retain-since-last-active-time": "disabled",
            "min-non-active-revisions": "0", "max-non-active-revisions": "0"})
        with knative(tmp_path, kube, kubeconfig=account) as s:
            kn, objects = Kn(kube), Objects(kube)
            for plural in "configurations", "routes", "revisions":
                lose(kube, "create", plural)
            lose(kube, "create", "deployments", "apps")
            lose(kube, "create", "services", "")
            lose(kube, "update", "services/status")
            obj = kn.service_create("a", IMAGE, annotations={
                "serving.knative.dev/rollout-duration": "3s"}, **APP)
            assert s.get(host(obj))[0] == 200
            # A conflict is an answer to look at the object again.
            kn.domain_create("www.example.org", "ksvc:a")
            lose(kube, "update", "domainmappings/status")
            kn.wait("domainmappings", "www.example.org")
            kn.service_update("a", tags={"@latest": "t"})
            kn.service_update("a", untag=["t"])
            for n in 2, 3, 4:
                kn.service_update("a", args=["--status", "20%d" % n], env={"N": str(n)})
            assert s.get(host(obj))[0] == 204
            wait_until(lambda: [r[0] for r in kn.revision_list("a")] == ["a-00004"],
                       what="the collection of revisions")
            # A Configuration and a Route without a Service.
            bare = {"template": {"spec": {"containers": [{"image": IMAGE, **APP}]}}}
            objects.create("configurations", objects.make("configurations", "bare", bare))
            objects.create("routes", objects.make("routes", "bare", {"traffic": [
                {"configurationName": "bare", "percent": 100}]}))
            assert s.get(host(kn.wait("routes", "bare")))[0] == 200
            # Labels of a Service reach the placeholder, those of a Revision its Deployment.
            kn.service_update("a", labels={"team": "web"}, wait=False)
            wait_until(lambda: kube.get("services", "a")["metadata"]["labels"].get("team") == "web",
                       what="the label of the placeholder")
            objects.patch("revisions", "bare-00001", {"metadata": {"labels": {"team": "web"}}})
            wait_until(lambda: kube.get("deployments", "bare-00001-deployment")["metadata"][
                "labels"].get("team") == "web", what="the label of the Deployment")
            refused = [r for r in kube.seen(user=USER) if r.get("status") in (401, 403)]
            assert refused == [] and used(kube) <= rights()
            # ../rights.yaml grants the patch for activator.dev/state of annotated Deployments.
            spare = {r for r in rights() - used(kube) - {("apps", "deployments", "patch")}
                     if r[2] != "list" and not r[1].endswith("/finalizers")}
            assert ("apps", "deployments", "patch") not in used(kube)
            assert not {r for r in spare if r[0] == "serving.knative.dev" or
                        r[1] in ("services", "deployments", "configmaps")}, spare


def test_apply_export_import_and_local(tmp_path):
    with cluster(tmp_path) as kube, knative(tmp_path, kube) as s:
        kn = Kn(kube)
        kn.service_apply("a", IMAGE, scaling={"max-scale": "2"}, **APP)
        obj = kn.service_apply("a", IMAGE, scaling={"max-scale": "2"}, **APP)
        assert kn.out[-1] == "No changes to apply to service 'a'."
        obj = kn.service_apply("a", IMAGE, args=["--status", "202"], **APP)
        assert s.get(host(obj))[0] == 202
        assert "autoscaling.knative.dev/max-scale" not in kn.objects.get(
            "revisions", "a-00002")["metadata"]["annotations"]

        # Only metadata changes: no revision, nothing to wait for.
        kn.service_update("a", change=lambda o: o["metadata"].setdefault("labels", {}).update(
            team="web"))
        assert kn.out[-1] == "No new revision has been created."
        wait_until(lambda: kn.objects.get("routes", "a")["metadata"]["labels"].get("team") == "web",
                   what="the label of the Route")

        # Hosts of the cluster alone.
        obj = kn.service_update("a", cluster_local=True, env={"B": "2"})
        wait_until(lambda: kn.service_list("a")[0][1] == "http://a.default.svc.cluster.local",
                   what="a local URL")
        assert s.get("a.default.example.com")[0] == 404
        assert s.get("a.default.svc.cluster.local")[0] == 404  # from outside

        exported = kn.service_export("a")
        kn.service_delete("a", wait=True)
        wait_until(lambda: everything(kube, kn.objects) == [], what="nothing to be left")
        fresh = {"metadata": {"name": "a"}, "spec": {**exported["spec"], "traffic": [
            {"latestRevision": True, "percent": 100}]}}
        obj = kn.service_import(fresh, [])
        assert s.get(host(obj))[0] == 202


def test_conflicts_force_and_what_kubectl_wrote(tmp_path):
    with cluster(tmp_path) as kube, knative(tmp_path, kube) as s:
        kn = Kn(kube)
        kn.service_create("a", IMAGE, **APP)
        # Another writer was faster, twice.
        kube.fault({"status": 409}, times=2, verb="update", resource="services", user="admin",
                   group="serving.knative.dev")
        obj = kn.service_update("a", args=["--status", "202"])
        assert s.get(host(obj))[0] == 202
        obj = kn.service_create("a", IMAGE, force=True, args=["--status", "203"], **APP)
        assert s.get(host(obj))[0] == 203

        # kn crashes on a target without latestRevision, which only the mutating policies write.
        def short(obj):
            obj["spec"]["traffic"] = [{"percent": 100}]
        kn.objects.change("services", "a", short)
        kn.wait("services", "a")
        with pytest.raises(AssertionError) as e:
            kn.service_update("a", tags={"@latest": "t"})
        assert "kn follows a nil pointer" in str(e.value)
        for name in "namespace.yaml", "configmaps.yaml", "mutating.yaml":
            for doc in documents(os.path.join(HERE, name)):
                post(kube, doc)
        kn.objects.change("services", "a", short)
        obj = kn.service_update("a", tags={"@latest": "t"})
        assert s.get(host(obj["status"]["traffic"][0]))[0] == 203


@pytest.mark.parametrize("how, more, texts", [
    ("image", {"image": "missing/app:1"}, ["RevisionFailed", "missing/app:1"]),
    ("exit", {"image": IMAGE, "command": ["sh", "-c", "echo no database; exit 3"]},
     ["RevisionFailed", "no database"]),
])
def test_a_service_that_cannot_start_says_why(tmp_path, how, more, texts):
    with cluster(tmp_path) as kube, knative(tmp_path, kube):
        kn = Kn(kube)
        with pytest.raises(KnError) as e:
            kn.service_create("bad", annotations={
                "serving.knative.dev/progress-deadline": "2s"}, **more)
        for text in texts:
            assert text in str(e.value)
        assert kn.service_list("bad")[0][4] == "False"
        # A new version heals it.
        obj = kn.service_update("bad", image=IMAGE, **APP)
        assert obj["status"]["latestReadyRevisionName"] == "bad-00002"
        assert [r[0] for r in kn.revision_list("bad")] == ["bad-00002", "bad-00001"]
        assert kn.revision_prune("bad") == ["bad-00001"]
        wait_until(lambda: kube.list("deployments", "serving.knative.dev/revision=bad-00001") == [],
                   what="the end of its Deployment")


def test_without_the_definitions(tmp_path):
    with cluster(tmp_path, has_kubelet=False) as kube:
        with pytest.raises(KnError) as e:
            Kn(kube).service_describe("a")
        assert "no or newer Knative Serving API found on the backend" in str(e.value)
