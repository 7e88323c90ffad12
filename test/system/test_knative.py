"""Knative's objects from their creation to their end, with nothing of Knative's: the controllers in
the autoscaler, the fake API server with the definitions of conf/kubernetes/knative, pods that run,
and requests through the activator."""
import contextlib
import json
import urllib.parse

from cluster import MERGE, Refusal, cluster
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


WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


def test_beside_knative_itself_nothing_is_done(tmp_path):
    """Its webhook is there.  Other services go on; of Knative's objects nothing is made."""
    with cluster(tmp_path) as kube:
        kube.api.call("POST", WEBHOOKS, {"metadata": {
            "name": "validation.webhook.serving.knative.dev"}})
        kube.workload("plain", annotations={"activator.dev/host": "plain"})
        with knative(tmp_path, kube, 'namespaces = {"%s"}' % kube.namespace) as s:
            objects = Objects(kube)
            ksvc(objects, "hello")
            assert s.get("plain")[0] == 200
            assert "Knative Serving itself is in this cluster" in s.autoscaler.text()
            assert everything(kube, objects) == [("deployments", "plain"), ("services", "hello")]
            assert not [w for w in kube.control("watches")["watches"]
                        if w["resource"] == "routes"]


def test_knative_itself_comes_and_goes(tmp_path):
    """While it is there nothing is written; what is served goes on."""
    name = "validation.webhook.serving.knative.dev"
    with cluster(tmp_path) as kube, knative(tmp_path, kube) as s:
        objects = Objects(kube)
        ksvc(objects, "hello")
        wait_ready(objects, "hello")
        kube.api.call("POST", WEBHOOKS, {"metadata": {"name": name}})
        wait_until(lambda: "Knative Serving itself is in this cluster" in s.autoscaler.text(),
                   what="the log line")
        ksvc(objects, "late")
        # A change that was made later is heard of: so is that Service, or soon.
        config_map(kube, "config-gc", {"retain-since-create-time": "1h"})
        wait_until(lambda: "configmap=knative-serving/config-gc" in s.autoscaler.text(),
                   what="the change to be heard")
        assert s.get("hello.default.example.com")[0] == 200
        assert not objects.find("configurations", "late")
        kube.api.call("DELETE", WEBHOOKS + "/" + name)
        wait_ready(objects, "late")
        assert "Knative Serving itself has gone" in s.autoscaler.text()


def test_only_the_namespaces_that_are_named(tmp_path):
    with cluster(tmp_path) as kube:
        kube.api.call("POST", "/api/v1/namespaces", {"metadata": {"name": "other"}})
        with knative(tmp_path, kube, 'namespaces = {"%s"}' % kube.namespace) as s:
            mine, others = Objects(kube), Objects(kube, namespace="other")
            ksvc(others, "theirs")
            ksvc(mine, "mine")
            wait_ready(mine, "mine")
            assert s.get(host(mine.get("services", "mine")))[0] == 200
            assert not others.list("configurations")
            s.reload('namespaces = {"default"}', 'namespaces = {"default", "other"}')
            wait_until(lambda: others.list("configurations"), what="the other namespace")


def test_only_the_namespaces_that_are_selected(tmp_path):
    """Those of other labels are left alone, also once a label is taken off, and after a restart
    while namespaces cannot be read."""
    with cluster(tmp_path) as kube:
        def label(value):
            kube.api.call("PATCH", "/api/v1/namespaces/" + kube.namespace,
                          {"metadata": {"labels": {"team": value}}}, MERGE)

        kube.api.call("POST", "/api/v1/namespaces", {"metadata": {
            "name": "other", "labels": {"team": "other"}}})
        label("other")
        with knative(tmp_path, kube, 'namespace_selector = "team=ours"') as s:
            mine, others = Objects(kube), Objects(kube, namespace="other")
            ksvc(mine, "mine")
            ksvc(others, "theirs")
            wait_until(lambda: "Knative's objects are listed" in s.autoscaler.text(),
                       what="the objects to be listed")
            label("ours")
            wait_ready(mine, "mine")
            name = host(mine.get("services", "mine"))
            assert s.get(name)[0] == 200
            assert not others.list("configurations")
            assert "status" not in others.get("services", "theirs")

            s.autoscaler.kill()
            kube.fault({"status": 403}, resource="namespaces")
            s.start_autoscaler()
            wait_until(lambda: "cannot watch namespaces" in s.autoscaler.text(),
                       what="the refusal")
            generation = s.generation()
            assert s.get(name)[0] == 200
            assert s.generation() == generation
            kube.heal()
            wait_until(lambda: "Knative's objects are listed" in
                       s.autoscaler.text().rpartition("cannot watch")[2], timeout=60,
                       what="the objects to be listed")
            assert s.get(name)[0] == 200

            label("other")
            wait_until(lambda: s.get(name)[0] == 404, what="no route")
            edit(mine, "mine", "--response", "1ms")
            ksvc(others, "more")
            s.reload('namespace_selector = "team=ours"', 'namespaces = {"other"}')
            wait_until(lambda: others.list("configurations"), what="the other namespace")
            assert len(mine.list("revisions")) == 1
            assert mine.get("services", "mine")["status"]["observedGeneration"] == 1


def test_an_object_in_the_way_is_left_alone(tmp_path):
    """A Deployment of the name is not ours: the Revision says so."""
    with cluster(tmp_path) as kube, knative(tmp_path, kube) as s:
        objects = Objects(kube)
        theirs = kube.workload("hello-00001-deployment")
        ksvc(objects, "hello")

        def refused():
            rev = objects.find("revisions", "hello-00001")
            return rev and condition(rev, "ResourcesAvailable").get("reason") == "NotOwned"
        wait_until(refused, what="the condition")
        now = kube.get("deployments", "hello-00001-deployment")
        assert now["metadata"]["uid"] == theirs["metadata"]["uid"]
        assert now["spec"] == theirs["spec"]
        assert s.autoscaler.process.poll() is None


def test_what_the_conf_file_or_an_annotation_has_is_not_taken(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("plain", annotations={"activator.dev/host": "hello.default.example.com"})
        with knative(tmp_path, kube, 'namespaces = {"%s"}' % kube.namespace) as s:
            objects = Objects(kube)
            ksvc(objects, "hello")

            def refused():
                route = objects.find("routes", "hello")
                text = condition(route, "IngressReady").get("message", "") if route else ""
                return "hello.default.example.com" in text and text
            assert "default.plain" in wait_until(refused, what="the condition")
            assert not is_ready(objects.get("services", "hello"))
            kube.delete("deployments", "plain")
            wait_ready(objects, "hello")
            assert s.get("hello.default.example.com")[0] == 200


def test_a_config_map_that_changes_holds_at_once(tmp_path):
    with cluster(tmp_path) as kube, knative(tmp_path, kube) as s:
        objects = Objects(kube)
        ksvc(objects, "hello")
        wait_ready(objects, "hello")
        kube.api.call("PATCH", SYSTEM + "/config-domain", {"data": {"example.com": None,
                                                                    "example.org": ""}}, MERGE)
        wait_until(lambda: host(objects.get("services", "hello")) == "hello.default.example.org",
                   what="the other domain")
        wait_ready(objects, "hello")
        assert s.get("hello.default.example.org")[0] == 200
        wait_until(lambda: s.get("hello.default.example.com")[0] == 404, what="the old host to go")


def test_a_label_that_is_taken_off_comes_back(tmp_path):
    """By their labels we watch what we have made; without them it is still ours."""
    with cluster(tmp_path) as kube, knative(tmp_path, kube) as s:
        objects = Objects(kube)
        ksvc(objects, "hello")
        wait_ready(objects, "hello")
        made = [("deployments", "hello-00001-deployment", "serving.knative.dev/revision"),
                ("services", "hello", "serving.knative.dev/route")]
        before = [kube.get(plural, name)["metadata"]["uid"] for plural, name, _ in made]

        def take_off():
            for plural, name, label in made:
                kube.patch(plural, name, {"metadata": {"labels": {label: None}}})

        def are_back():
            return all(label in kube.get(plural, name)["metadata"].get("labels", {})
                       for plural, name, label in made)
        take_off()
        wait_until(are_back, what="the labels")
        wait_ready(objects, "hello")
        # Also while nobody looks.
        s.autoscaler.kill()
        take_off()
        s.start_autoscaler()
        wait_until(are_back, what="the labels")
        wait_ready(objects, "hello")
        assert before == [kube.get(plural, name)["metadata"]["uid"] for plural, name, _ in made]
        assert s.get("hello.default.example.com")[0] == 200


def test_edits_by_hand_are_undone(tmp_path):
    """What we have made is put back, once; what a server fills in or writes otherwise is no edit."""
    with cluster(tmp_path) as kube, knative(tmp_path, kube) as s:
        objects, deployment = Objects(kube), "hello-00001-deployment"
        wanted = template(automountServiceAccountToken=False, volumes=[
            {"name": "tmp", "emptyDir": {"sizeLimit": "1024Mi"}}])
        wanted["spec"]["containers"][0].update(
            resources={"limits": {"cpu": "0.5", "memory": "1.1Gi"}, "requests": {"cpu": "0.25"}},
            env=[{"name": "EMPTY", "value": ""}],
            volumeMounts=[{"name": "tmp", "mountPath": "/tmp/x"}],
            livenessProbe={"httpGet": {"path": "/", "port": 0}, "periodSeconds": 0})
        objects.create("services", objects.make("services", "hello", {"template": wanted}))
        wait_ready(objects, "hello")

        def is_edited():
            d, placeholder = kube.get("deployments", deployment), kube.get("services", "hello")
            c = d["spec"]["template"]["spec"]["containers"]
            return d["spec"].get("paused") or len(c) != 1 or "tty" in c[0] or \
                c[0]["resources"]["limits"]["cpu"] != "500m" or \
                placeholder["spec"]["type"] != "ExternalName" or "selector" in placeholder["spec"]

        def writes():
            return [(r["verb"], r["name"]) for r in kube.seen(verb="update", resource="deployments")
                    + kube.seen(verb="patch", resource="services", group="")]
        assert writes() == [] and not is_edited()
        before = kube.get("deployments", deployment)["spec"]
        kube.patch("deployments", deployment, {"spec": {"paused": True, "template": {"spec": {
            "containers": [{**before["template"]["spec"]["containers"][0], "tty": True,
                            "resources": {"limits": {"cpu": "7"}}}]}}}})
        kube.patch("services", "hello", {"spec": {"type": "ClusterIP", "externalName": None,
                                                  "selector": {"app": "other"}}})
        wait_until(lambda: not is_edited(), what="the edits to be undone")
        wait_ready(objects, "hello")
        assert kube.get("deployments", deployment)["spec"]["template"] == before["template"]
        assert s.get("hello.default.example.com")[0] == 200
        # The patch of the Service is the test's, too.
        assert writes() == [("update", deployment), ("patch", "hello"), ("patch", "hello")]


def test_what_is_made_while_a_list_is_on_its_way_stays(tmp_path):
    """The answer to a LIST that was made before an object comes after the answer to its create."""
    with cluster(tmp_path, version="1.20") as kube, knative(tmp_path, kube) as s:
        objects = Objects(kube)
        ksvc(objects, "first")
        wait_ready(objects, "first")
        late = {verb: len(kube.seen(verb=verb, resource="deployments"))
                for verb in ("list", "create")}
        kube.control("compact")
        kube.fault({"late": 2}, verb="list", resource="deployments")
        assert kube.control("watch", match={"resource": "deployments"}, do={"gone": True})["watches"]
        wait_until(lambda: len(kube.seen(verb="list", resource="deployments")) > late["list"],
                   what="the list")
        ksvc(objects, "second")
        wait_until(lambda: len(kube.seen(verb="create", resource="deployments")) > late["create"],
                   what="the Deployment")
        wait_ready(objects, "second")
        assert [(r["name"], r["status"]) for r in kube.seen(verb="create", resource="deployments")
                ][late["create"]:] == [(None, 201)]
        assert s.get("second.default.example.com")[0] == 200


def test_a_restart_writes_nothing(tmp_path):
    """Nothing has changed: no Ready flips, and no object is written."""
    with cluster(tmp_path) as kube, knative(tmp_path, kube, has_short_windows=False) as s:
        objects = Objects(kube)
        for name in ("one", "two", "three"):
            ksvc(objects, name)
        objects.create("domainmappings", objects.make("domainmappings", "www.shop.org", {
            "ref": {"kind": "Service", "apiVersion": "serving.knative.dev/v1", "name": "one"}}))
        for name in ("one", "two", "three"):
            wait_ready(objects, name)
        wait_ready(objects, "www.shop.org", "domainmappings")
        assert s.get("www.shop.org")[0] == 200

        def versions():
            return sorted((plural, o["metadata"]["name"], o["metadata"]["resourceVersion"],
                           json.dumps(o["metadata"]), json.dumps(o.get("status")))
                          for plural in ("services", "configurations", "revisions", "routes",
                                         "domainmappings")
                          for o in objects.list(plural))
        settled = [versions()]

        def at_rest():
            settled.append(versions())
            return settled[-1] == settled[-2]
        wait_until(at_rest, what="the objects to come to rest")
        s.autoscaler.kill()
        s.start_autoscaler()
        wait_until(lambda: "Knative's objects are listed" in
                   s.autoscaler.text().rpartition("started")[2], what="the objects to be listed")
        # One more Service is Ready, when all that comes of the restart is over.
        ksvc(objects, "four")
        wait_ready(objects, "four")
        changed = [(now, before) for now, before in zip(
            [v for v in versions() if "four" not in v[1]], settled[-1]) if now != before]
        assert not changed, "\n".join(str(part) for pair in changed for one in pair for part in one)


def test_a_right_that_is_missing_at_a_restart(tmp_path):
    """Until it is back the activators keep what they have, of other sources, too."""
    with cluster(tmp_path) as kube:
        kube.workload("plain", annotations={"activator.dev/host": "plain"})
        with knative(tmp_path, kube, 'namespaces = {"%s"}' % kube.namespace) as s:
            objects = Objects(kube)
            ksvc(objects, "hello")
            wait_ready(objects, "hello")
            assert s.get("plain")[0] == 200
            s.autoscaler.kill()
            kube.fault({"status": 403}, resource="revisions")
            s.start_autoscaler()
            wait_until(lambda: "cannot watch Knative's objects" in s.autoscaler.text(),
                       what="the refusal")
            generation = s.generation()
            assert s.get("hello.default.example.com")[0] == 200
            assert s.get("plain")[0] == 200
            assert s.generation() == generation
            kube.heal()
            # The watches of kinds that were refused are asked for again in half a minute.
            wait_until(lambda: "Knative's objects are listed" in
                       s.autoscaler.text().rpartition("cannot watch")[2], timeout=60,
                       what="the objects to be listed")
            assert is_ready(objects.get("services", "hello"))
            assert s.get("hello.default.example.com")[0] == 200


def test_a_namespace_that_is_being_deleted(tmp_path):
    """What goes first is made anew in vain: that is tried ever less often, and all comes to its
    end."""
    with cluster(tmp_path) as kube, knative(tmp_path, kube) as s:
        kube.api.call("POST", "/api/v1/namespaces", {"metadata": {"name": "leaving"}})
        # It has no kubelet.
        kube.api.call("PATCH", SYSTEM + "/config-autoscaler", {"data": {
            "allow-zero-initial-scale": "true"}}, MERGE)
        mine, leaving = Objects(kube), Objects(kube, namespace="leaving")
        ksvc(mine, "stays")
        ksvc(leaving, "goes", annotations={"autoscaling.knative.dev/initial-scale": "0"})
        wait_ready(leaving, "goes")
        wait_ready(mine, "stays")
        address = host(leaving.get("services", "goes"))
        kube.control("delays", namespace=3)
        kube.api.call("DELETE", "/api/v1/namespaces/leaving")

        def is_gone():
            return "leaving" not in [n["metadata"]["name"] for n in kube.api.call(
                "GET", "/api/v1/namespaces")["items"]]
        wait_until(is_gone, what="the end of the namespace")
        refused = kube.seen(verb="create", namespace="leaving", status=403)
        tries = [len([r for r in refused if r["resource"] == resource])
                 for resource in ("deployments", "services")]
        assert all(0 < n < 15 for n in tries), tries
        lines = [x for x in s.autoscaler.text().splitlines() if "it is being terminated" in x]
        assert len(lines) <= 3, lines  # of the Revision, the Route, and the first Event
        assert not any("missing right" in x for x in lines), lines
        wait_until(lambda: s.get(address)[0] == 404, what="the host to go")
        assert s.get(host(mine.get("services", "stays")))[0] == 200
