"""The autoscaler is killed at each of its writes while a Knative Service is created, updated and
deleted, before the write is carried out or after it.  The next autoscaler goes on from what is
there: each object exists once, none is left.  `make knative-kills` tries all points, other runs a
few."""
import http.client
import os

import pytest

from cluster import cluster
from helpers import wait_until
from kube_knative import Objects, is_ready
from kube_rights import RBAC, USER, post
from kube_stack import fake_only
from test_knative import edit, everything, host, knative, ksvc

pytestmark = fake_only

ALL = os.environ.get("KNATIVE_KILLS") == "all"
MOST = 60  # points of one action; it ends before that
FEW = {"create": [(0, True), (2, False), (5, True), (8, False)],
       "update": [(1, True), (4, False)], "delete": [(0, True)]}


def points(action):
    """(how many writes go before, whether the last one is carried out)"""
    return [(n, p) for n in range(MOST) for p in (False, True)] if ALL else FEW[action]


def account(kube):
    """Path of a kubeconfig of an account that may do everything: by its name the server tells the
    autoscaler's writes from the test's."""
    post(kube, "/api/v1/namespaces", {"metadata": {"name": "activator"}})
    post(kube, "/api/v1/namespaces/activator/serviceaccounts", {"metadata": {"name": "activator"}})
    post(kube, RBAC + "clusterroles", {"metadata": {"name": "all"}, "rules": [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]})
    post(kube, RBAC + "clusterrolebindings", {
        "metadata": {"name": "all"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "all"},
        "subjects": [{"kind": "ServiceAccount", "namespace": "activator", "name": "activator"}]})
    return kube.account_config("activator/activator")


def made(name, revisions=1):
    """All objects of a Service with so many revisions."""
    numbers = ["%s-%05d" % (name, i + 1) for i in range(revisions)]
    return sorted([("configurations", name), ("placeholders", name), ("routes", name),
                   ("services", name)] + [("revisions", r) for r in numbers] +
                  [("deployments", r + "-deployment") for r in numbers])


class Kills:
    def __init__(self, kube, stack):
        self.kube, self.stack, self.objects, self.n = kube, stack, Objects(kube), 0

    def new(self):
        self.n += 1
        return "k%d" % self.n

    def of(self, name):
        return [e for e in everything(self.kube, self.objects)
                if e[1] == name or e[1].startswith(name + "-")]

    def ready(self, name, revision):
        obj = self.objects.get("services", name)
        return obj if is_ready(obj) and \
            obj["status"]["latestReadyRevisionName"] == "%s-%05d" % (name, revision) else None

    def is_dead(self):
        return self.stack.autoscaler.process.poll() is not None

    def was_killed(self):
        """No kill is to come any more.  One that has been sent ends the process before it can
        answer."""
        try:
            self.stack.metrics(self.stack.scaler_admin)
            return False
        except (OSError, http.client.HTTPException):
            self.stack.autoscaler.process.wait()
            return True

    def during(self, action, is_done, point):
        """Call action; the autoscaler is killed at that point, and another one started.  False: it
        was done before that point."""
        skip, is_performed = point
        self.kube.fault({"kill": self.stack.autoscaler.pid, "perform": is_performed}, times=1,
                        skip=skip, user=USER, is_write=True)
        action()
        wait_until(lambda: self.is_dead() or is_done(), what="the kill, or the end")
        self.kube.heal()
        was_killed = self.was_killed()
        if was_killed:
            self.stack.start_autoscaler()
        wait_until(is_done, what="the same state as without a kill at %s" % (point,))
        return was_killed

    def until_all_was_done(self, action, once):
        for point in points(action):
            if not once(point) and ALL:
                assert point[0] > 0
                return
        assert not ALL, "more points than expected"


@pytest.fixture(scope="module")
def kills(tmp_path_factory):
    path = tmp_path_factory.mktemp("kills")
    with cluster(path) as kube:
        config = account(kube)
        with knative(path, kube, kubeconfig=config, has_short_windows=False) as s:
            yield Kills(kube, s)


def test_create(kills):
    def once(point):
        name = kills.new()
        was_killed = kills.during(lambda: ksvc(kills.objects, name),
                                  lambda: kills.ready(name, 1), point)
        assert kills.stack.get(host(kills.objects.get("services", name)))[0] == 200
        assert kills.of(name) == made(name)
        remove(kills, name)
        return was_killed
    kills.until_all_was_done("create", once)


def remove(kills, name):
    kills.objects.delete("services", name)
    wait_until(lambda: kills.of(name) == [], what="nothing to be left")


def test_update(kills):
    def once(point):
        name = kills.new()
        ksvc(kills.objects, name)
        wait_until(lambda: kills.ready(name, 1), what="the first revision")
        was_killed = kills.during(
            lambda: edit(kills.objects, name, "--response", "1ms"),
            lambda: kills.ready(name, 2), point)
        assert kills.stack.get(host(kills.objects.get("services", name)))[0] == 200
        assert kills.of(name) == made(name, 2)
        remove(kills, name)
        return was_killed
    kills.until_all_was_done("update", once)


def test_delete(kills):
    """What it writes while objects go: it makes none of them again."""
    def once(point):
        name = kills.new()
        ksvc(kills.objects, name)
        address = host(wait_until(lambda: kills.ready(name, 1), what="the service"))
        was_killed = kills.during(lambda: kills.objects.delete("services", name),
                                  lambda: kills.of(name) == [], point)
        wait_until(lambda: kills.stack.get(address)[0] == 404, what="no route")
        assert kills.of(name) == []
        return was_killed
    for point in points("delete")[:4]:
        once(point)
