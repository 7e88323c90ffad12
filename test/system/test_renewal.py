"""Instances end at the end of their lifetime, and others have taken their place before that: no
request waits for it, and no limit is exceeded."""
import pytest

from cluster import IS_REAL, cluster
from helpers import wait_until
from kube_stack import Load, is_ready, on_cluster, service
from stack import Gate, running

LIFETIME = """
service "app" { hosts = {"app"} stable_window = 60s max_lifetime = 2s
    revision "v1" { command = {"HELLO", "--response", "5ms"} %s } }
"""
ENDED = 'autoscaler_instances_ended_total{revision="app/v1",reason="%s"}'


def ended(s, reason="max_lifetime"):
    return s.metrics(s.scaler_admin).get(ENDED % reason, 0)


def parked(s):
    """Requests that have waited for an instance."""
    return s.metric('activator_parked_duration_seconds_count{revision="app/v1"}')


def names(s):
    return {i["id"] for i in s.scaled_status("app/v1")["instances"] or ()}


def ready(s):
    return [i for i in s.scaled_status("app/v1")["instances"] or () if i["answers"]]


def test_no_request_waits_while_instances_are_replaced(tmp_path):
    """Under load, two instances at least are replaced again and again; only the first request has
    waited, for the first start."""
    with running(tmp_path, LIFETIME % "min_scale = 2 max_scale = 2") as s:
        wait_until(lambda: len(ready(s)) >= 2, what="two instances")
        assert s.get("app")[0] == 200
        before = parked(s)
        with Load(s, "app"):
            wait_until(lambda: ended(s) >= 6, what="six that ended")
            status = s.scaled_status("app/v1")
            assert status["wanted"] == 2
            assert status["scale_sent"] <= 3  # max_surge: a quarter of two, rounded up
        assert parked(s) == before
        assert ended(s, "by_itself") == 0


def test_a_long_request_holds_its_instance(tmp_path):
    answers = Gate(tmp_path)
    with running(tmp_path, LIFETIME % "") as s:
        with s.connect() as c:
            c.request("GET", "/" + answers.query(), "app")
            wait_until(lambda: names(s), what="an instance")
            old = names(s)
            wait_until(lambda: names(s) - old, what="the one in its place")
            assert s.get("app")[0] == 200
            assert old <= names(s)
            answers.open()
            assert c.response()[0] == 200
        wait_until(lambda: not old & names(s), what="the end of the old one")


def test_without_room_the_old_one_goes_first(tmp_path):
    """max_instances holds; requests wait for the next start, and none is lost."""
    with running(tmp_path, LIFETIME % "", autoscaler="max_instances = 1") as s:
        with Load(s, "app"):
            wait_until(lambda: ended(s) >= 2, what="two that ended")


@pytest.mark.skipif(IS_REAL, reason="it needs pods that start within a second")
def test_pods_are_replaced(tmp_path):
    """The scale goes up by one and down again, and the pod that is too old is the one that goes."""
    with cluster(tmp_path) as kube:
        kube.workload("app", replicas=0)
        with on_cluster(tmp_path, kube, service("app", kube, "port = 8080 min_scale = 1 "
                                                             "max_lifetime = 3s")) as s:
            first = kube.wait_pods("app", 1, is_ready)[0]["metadata"]["name"]
            with Load(s, "app"):
                wait_until(lambda: ended(s) >= 2, what="two that ended")
                wait_until(lambda: first not in {p["metadata"]["name"] for p in kube.pods("app")},
                           what="the end of the first pod")
                assert s.scaled_status("app/v1")["wanted"] == 1
