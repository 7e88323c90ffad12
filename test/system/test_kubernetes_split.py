"""Several annotated Deployments that make one service: blue and green, a tag, and what happens where
their percents do not sum to 100."""
from cluster import cluster
from helpers import wait_until
from test_ctl import ctl
from test_kubernetes_annotations import annotate, notes, refusals, watching

HOST = "shop.example.com"


def service(s, kube):
    services = ctl(s, "list", "-o", "json").json["services"]
    return next((x for x in services if x["name"] == kube.namespace + ".shop"), None)


def percents(s, kube):
    found = service(s, kube)
    return found and {r["revision"]: r["percent"] for r in found["revisions"]}


def wait_percents(s, kube, **wanted):
    wait_until(lambda: percents(s, kube) == wanted, what=str(wanted))


def test_blue_and_green(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("blue", annotations=notes(host=HOST, service="shop", port="http"))
        kube.workload("green", annotations=notes(service="shop", tag="next", port="http"))
        with watching(tmp_path, kube) as s:
            name = kube.namespace + ".shop"
            wait_percents(s, kube, blue=100, green=0)
            assert s.get(HOST)[::2] == (200, b"hello\n")
            assert (kube.replicas("blue"), kube.replicas("green")) == (1, 0)
            assert s.get("next-" + HOST)[0] == 200
            assert kube.replicas("green") == 1
            # All to green: blue goes to sleep, and stays to go back to.
            annotate(kube, "blue", percent="0")
            wait_percents(s, kube, blue=0, green=100)
            wait_until(lambda: s.get(HOST)[0] == 200 and kube.replicas("blue") == 0,
                       what="blue to be stopped")
            # One after the other: until the percents sum to 100, the split before stays.
            annotate(kube, "green", percent="70")
            wait_until(lambda: any("sum to 70" in m for m in refusals(kube, "blue")), what="an Event")
            assert percents(s, kube) == {"blue": 0, "green": 100}
            annotate(kube, "blue", percent="30")
            wait_percents(s, kube, blue=30, green=70)
            page = ctl(s, "describe", name).out
            assert "/blue  30%" in page and "/green  70%, tags: next" in page
            done = ctl(s, "traffic", name, "blue=50", "green=50")
            assert done.status == 1, done
            assert "annotate --overwrite deployment/blue activator.dev/percent=" in done.err
            # A mistake of one of them keeps the service as it was.
            annotate(kube, "green", percent="many")
            wait_until(lambda: any('got "many"' in m for m in refusals(kube, "green")),
                       what="an Event")
            assert percents(s, kube) == {"blue": 30, "green": 70}
            annotate(kube, "green", percent="70")
            # One is deleted: the other one has all.
            kube.delete("deployments", "green")
            wait_percents(s, kube, blue=100)
            assert s.get(HOST)[0] == 200
