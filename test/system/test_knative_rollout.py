"""A rollout of a Knative Route that is judged by the requests of its new Revision."""
from cluster import cluster
from helpers import wait_until
from kube_knative import Objects, condition
from kube_stack import Load, fake_only
from test_knative import host, knative, template, wait_ready

pytestmark = fake_only

JUDGED = {"serving.knative.dev/rollout-duration": "3s", "activator.dev/abort_if": "errors>1%, p99>5s",
          "activator.dev/min_requests": "3"}
TRAFFIC = [{"latestRevision": True, "percent": 100},
           {"latestRevision": True, "percent": 0, "tag": "new"}]


def deploy(objects, *args):
    def change(obj):
        obj["spec"]["template"] = template(*args)
    return objects.change("services", "hello", change)


def split(objects):
    return [(t["revisionName"], t["percent"])
            for t in objects.get("routes", "hello")["status"].get("traffic", [])
            if not t.get("tag")]


def test_a_judged_rollout(tmp_path):
    with cluster(tmp_path) as kube, knative(tmp_path, kube, has_short_windows=False) as s:
        objects = Objects(kube)
        obj = objects.make("services", "hello", {"template": template(), "traffic": TRAFFIC})
        obj["metadata"]["annotations"] = JUDGED
        objects.create("services", obj)
        own = host(wait_ready(objects, "hello"))
        assert s.get(own)[0] == 200
        # The new one fails each request: it goes back by itself.
        deploy(objects, "--status", "500")
        wait_until(lambda: ("hello-00002", 1) in split(objects), what="the first 1 %")

        def is_back():
            s.get("new-" + own)
            return split(objects) == [("hello-00001", 100)]
        wait_until(is_back, what="the way back")
        wait_until(lambda: condition(objects.get("services", "hello"), "Ready").get("reason") ==
                   "RolloutAborted", what="the condition")
        said = condition(objects.get("routes", "hello"), "IngressReady")["message"]
        assert "hello-00002 at 1 %: errors>1%: " in said and "hello-00001 has" in said, said
        # A restart does not forget it.
        s.autoscaler.kill()
        s.start_autoscaler()
        wait_until(lambda: "Knative's objects are listed" in
                   s.autoscaler.text().rpartition("rollout aborted")[2], what="the objects")
        assert split(objects) == [("hello-00001", 100)]
        with Load(s, own):
            # The next one is good, and answers enough requests in each step.
            deploy(objects, "--status", "200")

            def is_over():
                s.get("new-" + own)
                return split(objects) == [("hello-00003", 100)]
            wait_until(is_over, timeout=60, what="the end")
        wait_ready(objects, "hello")


def test_a_bound_that_cannot_be_read(tmp_path):
    """The rollout waits, and says why."""
    with cluster(tmp_path) as kube, knative(tmp_path, kube, has_short_windows=False):
        objects = Objects(kube)
        obj = objects.make("services", "hello", {"template": template()})
        obj["metadata"]["annotations"] = {**JUDGED, "activator.dev/abort_if": "errors"}
        objects.create("services", obj)
        wait_ready(objects, "hello")
        deploy(objects, "--response", "1ms")

        def said():
            return condition(objects.get("routes", "hello"), "IngressReady").get("message", "")
        wait_until(lambda: "It waits: activator.dev/abort_if: expected" in said(), what=said())
        assert split(objects) == [("hello-00001", 99), ("hello-00002", 1)]
