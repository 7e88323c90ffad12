"""Routes and DomainMappings of Knative: where they are reached, and how a new Revision is rolled
out."""
from cluster import cluster
from helpers import WAIT_S, free_port, wait_until
from kube_knative import Objects, condition, is_ready
from kube_stack import fake_only
from stack import Client
from test_knative import edit, host, knative, ksvc, template, wait_ready

pytestmark = fake_only

SVC = "serving.knative.dev/v1"
STATE = "activator.dev/rollout-state"
VISIBILITY = "networking.knative.dev/visibility"


class Local:
    """Ask as clients in the cluster do."""

    def __init__(self, port):
        self.port = port

    def status(self, name):
        with Client(self.port) as c:
            c.settimeout(WAIT_S)
            c.request("GET", "/", name, None, [("Connection", "close")])
            return c.response(False)[0]


def names(name):
    return [name + ".default" + rest for rest in ("", ".svc", ".svc.cluster.local")]


def placeholder(kube, name):
    found = [o for o in kube.list("services", "serving.knative.dev/route")
             if o["metadata"]["name"] == name]
    return found[0] if found else None


def test_where_a_service_is_reached(tmp_path):
    """By its public host from everywhere; by its names in the cluster only there; a label takes
    the public host away."""
    port = free_port()
    with cluster(tmp_path) as kube, knative(tmp_path, kube, local=port) as s:
        objects, local = Objects(kube), Local(port)
        ksvc(objects, "hello", traffic=[{"latestRevision": True, "percent": 100, "tag": "now"}])
        svc = wait_ready(objects, "hello")
        for public, inside in ((host(svc), "hello"), (host(svc["status"]["traffic"][0]),
                                                      "now-hello")):
            assert s.get(public)[0] == 200
            assert local.status(public) == 200
            for name in names(inside):
                assert s.get(name)[0] == 404
                assert local.status(name) == 200
            assert placeholder(kube, inside)["spec"]["externalName"] == \
                "activator-local.activator.svc.cluster.local"

        def hide(obj):
            obj["metadata"].setdefault("labels", {})[VISIBILITY] = "cluster-local"
        objects.change("services", "hello", hide)
        wait_until(lambda: objects.get("services", "hello")["status"]["url"] ==
                   "http://hello.default.svc.cluster.local", what="the local URL")
        wait_until(lambda: s.get(host(svc))[0] == 404, what="the public host to go")
        wait_until(lambda: is_ready(objects.get("services", "hello")), what="Ready")
        assert local.status("hello.default.svc.cluster.local") == 200


def test_several_routes_and_a_domain(tmp_path):
    """A bare Route to the Configuration of a Service, and a DomainMapping: the same pods serve."""
    with cluster(tmp_path) as kube, knative(tmp_path, kube) as s:
        objects = Objects(kube)
        ksvc(objects, "hello")
        wait_ready(objects, "hello")
        objects.create("routes", objects.make("routes", "front", {"traffic": [
            {"configurationName": "hello", "percent": 100}]}))
        front = wait_ready(objects, "front", "routes")
        assert s.get(host(front))[0] == 200

        objects.create("domainmappings", objects.make("domainmappings", "www.shop.org", {
            "ref": {"name": "hello", "kind": "Service", "apiVersion": SVC}}))
        wait_ready(objects, "www.shop.org", "domainmappings")
        assert s.get("www.shop.org")[0] == 200
        objects.delete("domainmappings", "www.shop.org")
        wait_until(lambda: s.get("www.shop.org")[0] == 404, what="the domain to go")

        # The Service goes; its Configuration with it, which the other Route names.
        objects.delete("services", "hello")
        wait_until(lambda: condition(objects.get("routes", "front"), "AllTrafficAssigned").get(
            "reason") in ("ConfigurationMissing", "RevisionMissing"), what="a missing target")


def test_a_gradual_rollout(tmp_path):
    """The new Revision gets 1 %, and the Service is not Ready; without a duration it gets all."""
    with cluster(tmp_path) as kube, knative(tmp_path, kube) as s:
        objects = Objects(kube)
        objects.create("services", objects.make(
            "services", "hello", {"template": template()},
            annotations={"serving.knative.dev/rollout-duration": "1h"}))
        svc = wait_ready(objects, "hello")
        edit(objects, "hello", "--response", "1ms")

        def split():
            obj = objects.get("services", "hello")
            return [(t["revisionName"], t["percent"]) for t in obj["status"]["traffic"]]
        wait_until(lambda: split() == [("hello-00001", 99), ("hello-00002", 1)], what="1 %")
        wait_until(lambda: condition(objects.get("services", "hello")).get("reason") ==
                   "RolloutInProgress", what="the rollout to be reported")
        state = wait_until(lambda: objects.get("routes", "hello")["metadata"]["annotations"].get(
            STATE), what="the state of the rollout")
        assert '"revisionName":"hello-00002"' in state
        assert s.get(host(svc))[0] == 200

        def hurry(obj):
            obj["metadata"]["annotations"]["serving.knative.dev/rollout-duration"] = "0s"
        objects.change("services", "hello", hurry)
        wait_until(lambda: split() == [("hello-00002", 100)], what="all requests")
        wait_ready(objects, "hello")
        wait_until(lambda: STATE not in objects.get("routes", "hello")["metadata"]["annotations"],
                   what="the state to go")
