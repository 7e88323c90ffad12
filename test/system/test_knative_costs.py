"""What Knative Services cost: writes to the API server, and memory of both programs."""
import collections
from concurrent.futures import ThreadPoolExecutor

from cluster import cluster
from helpers import wait_until
from kube_knative import Objects, is_ready
from kube_stack import fake_only
from test_knative import everything, knative, ksvc

pytestmark = fake_only

CREATES = {"services", "configurations", "revisions", "routes", "deployments", "placeholders"}
EVENTS = {"Service Created": 2, "Configuration Created": 1, "Configuration ConfigurationReady": 1,
          "Configuration LatestReadyUpdate": 1, "Revision RevisionReady": 1}


def at_once(do, names):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(do, names))


def create(objects, names):
    at_once(lambda name: ksvc(objects, name), names)
    wait_until(lambda: sum(map(is_ready, objects.list("services"))) == len(names),
               what="%d Services to be ready" % len(names))


def writes_of(kube):
    """The path of each write to an object, without names, and each Event."""
    found = collections.Counter()
    for r in kube.seen(is_write=True):
        assert r["status"] < 300, r
        if r["resource"] == "events":
            found["%s %s" % (r["body"]["involvedObject"]["kind"], r["body"]["reason"])] += 1
        else:
            is_placeholder = (r["resource"], r["group"]) == ("services", "")
            found[r["verb"], "placeholders" if is_placeholder else r["resource"]] += 1
    return found


def test_a_service_takes_few_writes(tmp_path):
    """Each object is created once, each Event is sent once, and states of a status that do not
    last are not written."""
    n = 20
    with cluster(tmp_path, has_kubelet=False, paper_kubelet=True) as kube, \
            knative(tmp_path, kube, has_short_windows=False):
        objects = Objects(kube)
        before = writes_of(kube)
        create(objects, ["hello-%d" % i for i in range(n)])
        wait_until(lambda: all((writes_of(kube) - before)[e] == m * n for e, m in EVENTS.items()),
                   what="all Events")
        writes = writes_of(kube) - before
        for resource in CREATES:
            assert writes.pop(("create", resource)) == n
        for event, m in EVENTS.items():
            assert writes.pop(event) == m * n
        statuses = {plural: writes.pop(("update", plural + "/status"))
                    for plural in ("services", "configurations", "revisions", "routes")}
        assert not writes
        assert statuses["configurations"] == 2 * n  # its Revision's name; ready
        assert statuses["revisions"] <= 2 * n
        assert statuses["routes"] <= 4 * n  # traffic; ready
        assert statuses["services"] <= 4 * n


def resident(program):
    with open("/proc/%d/status" % program.pid) as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("RssAnon:"))


def test_of_deleted_services_nothing_is_kept(tmp_path):
    """Services come and go three times: memory stays as after the first time."""
    names = ["hello-%d" % i for i in range(60)]
    with cluster(tmp_path, has_kubelet=False, paper_kubelet=True) as kube, \
            knative(tmp_path, kube, has_short_windows=False) as s:
        objects = Objects(kube)
        sizes = []
        for _ in range(4):
            create(objects, names)
            sizes.append((resident(s.activator), resident(s.autoscaler)))
            at_once(lambda name: objects.delete("services", name), names)
            wait_until(lambda: everything(kube, objects) == [], what="nothing to be left")
        for first, last in zip(sizes[0], sizes[-1]):
            assert last - first < len(names) * (24 << 10), sizes
