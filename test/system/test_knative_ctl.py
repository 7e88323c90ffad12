"""activatorctl over services of Knative's objects: they are shown with Knative's names, and what
changes them is answered with the command that does it."""
import pytest

from cluster import cluster
from helpers import wait_until
from kube_knative import Objects
from kube_stack import fake_only
from test_ctl import ctl
from test_knative import knative, ksvc, template, wait_ready

pytestmark = [fake_only, pytest.mark.xdist_group("knative-ctl")]


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    """Two Revisions, of which the older one has the tag `old`; a Configuration by itself."""
    path = tmp_path_factory.mktemp("knative-ctl")
    with cluster(path) as kube, knative(path, kube) as stack:
        objects = Objects(kube)
        ksvc(objects, "web")
        wait_ready(objects, "web")
        objects.patch("services", "web", {"spec": {
            "template": template("--response", "1ms"),
            "traffic": [{"latestRevision": True, "percent": 90},
                        {"revisionName": "web-00001", "percent": 10, "tag": "old"}]}})
        wait_ready(objects, "web")
        objects.create("configurations", objects.make("configurations", "alone", {
            "template": template()}))
        wait_ready(objects, "alone", "configurations")
        wait_until(lambda: split(stack) == {"web-00001": 10, "web-00002": 90}, what="the split")
        yield stack


def split(stack):
    done = ctl(stack, "describe", "default.web", "-o", "json")
    return {r["revision"]: r["percent"] for r in done.json["revisions"]} \
        if done.status == 0 else None


def test_services_are_shown_with_knatives_names(web):
    done = ctl(web, "list", "-o", "json")
    services = {s["name"]: s for s in done.json["services"]}
    assert services["default.web"]["source"] == services["default.alone"]["source"] == "knative"
    assert "web.default.example.com" in services["default.web"]["hosts"]
    assert services["default.alone"]["hosts"] == []
    done = ctl(web, "describe", "default.web")
    assert "Knative's Service default/web: kn -n default service update web" in done.out
    assert "default.web/web-00001" in done.out and "default.web/web-00002" in done.out
    done = ctl(web, "describe", "default.alone")
    assert "kubectl -n default edit configurations.serving.knative.dev/alone" in done.out
    assert ctl(web, "why", "default.web/web-00002").status == 0
    done = ctl(web, "top", "-n", "1")
    assert done.status == 0 and "default.web/web-00002" in done.out


@pytest.mark.parametrize("arguments, command", [
    (["traffic", "default.web", "web-00001=50", "latest=50"],
     "kn -n default service update web --traffic web-00001=50 --traffic @latest=50"),
    (["traffic", "default.web", "--tag", "web-00002=old"],
     "kn -n default service update web --untag old --tag web-00002=old"),
    (["rollback", "default.web"], "kn -n default service update web --traffic web-00001=100"),
    (["rollback", "default.web", "--to", "web-00001"],
     "kn -n default service update web --traffic web-00001=100"),
    (["rollout", "default.web", "--over", "10m"],
     "kn -n default service update web --annotation-service "
     "serving.knative.dev/rollout-duration=600s --traffic @latest=100"),
    (["rollout", "status", "default.web"], "kn -n default service describe web"),
    (["deploy", "default.web", "--", "true"], "kn -n default service update web --image IMAGE"),
    (["delete", "default.web"], "kn -n default service delete web"),
    (["delete", "default.web/web-00001"], "kn -n default revision delete web-00001"),
    (["delete", "default.alone"],
     "kubectl -n default edit configurations.serving.knative.dev/alone"),
])
def test_a_change_is_answered_with_its_command(web, arguments, command):
    before = split(web)
    done = ctl(web, *arguments)
    assert done.status == 1, done
    assert "is of Knative's objects: nothing has changed yet; " + command in done.err, done
    assert split(web) == before


@pytest.mark.parametrize("arguments, text", [
    (["traffic", "default.web", "web-00007=100"], "web-00007"),
    (["rollback", "default.web", "--to", "none"], "none"),
    (["rollout", "default.web", "--to", "none"], 'has no revision "none"'),
    (["delete", "default.web/none"], 'has no revision "none"'),
])
def test_a_revision_that_there_is_not(web, arguments, text):
    done = ctl(web, *arguments)
    assert done.status == 3 and text in done.err, done


def test_wake_and_sleep(web):
    done = ctl(web, "wake", "default.web")
    assert done.status == 0, done
    assert ctl(web, "wait", "default.web").status == 0
    assert ctl(web, "sleep", "default.web").status == 0
