"""Services from annotations: a Deployment that says which host it answers to, without a line
in the conf file; and the rights that conf/kubernetes grants, held against what is done
with them."""
import json
import os
import re
import time
import urllib.request

import pytest
import yaml

from cluster import IS_REAL, cluster
from stack import ROOT, running, wait_until

HOST = "activator.dev/host"
RIGHTS = os.path.join(ROOT, "conf/kubernetes/rights.yaml")
fake_only = pytest.mark.skipif(IS_REAL, reason="only the fake does this on demand")


def service(name, kube, more="port = 8080", target=None):
    return 'service "%s" { hosts = {"%s"} revision "v1" { %s %s } }\n' % (
        name, name, target or 'deployment = "%s/%s"' % (kube.namespace, name), more)


def notes(**values):
    return {"activator.dev/" + k: v for k, v in values.items()}


def both(path, kube, services="", config=None, more="", namespaces=None, **rest):
    watched = 'namespaces = {"%s"}' % (namespaces or kube.namespace)
    return running(path, services, autoscaler='driver = "kubernetes" kubeconfig = "%s" %s %s' % (
        config or kube.kubeconfig, watched if namespaces != "" else "", more), **rest)


def annotate(kube, name, plural="deployments", **values):
    kube.patch(plural, name, {"metadata": {"annotations": notes(**values)}})


def told(kube, name, namespace=None):
    """What Events say of an object."""
    items = kube.api.call("GET", "/api/v1/namespaces/%s/events" % (namespace or kube.namespace))
    return [e["message"] for e in items["items"] if e["involvedObject"]["name"] == name and
            e["reason"] == "ServiceRefused" and e["type"] == "Warning"]


def status_of(s, host):
    return s.get(host)[0]


def wait_status(s, host, status):
    wait_until(lambda: status_of(s, host) == status, what="%d from %s" % (status, host))


def revision(s, kube, name="hello"):
    """What the autoscaler says of it."""
    text = urllib.request.urlopen("http://127.0.0.1:%d/status" % s.scaler_admin, timeout=5).read()
    full = "%s.%s/v1" % (kube.namespace, name)
    return next((r for r in json.loads(text)["revisions"] if r["name"] == full), None)


def test_it_wakes_changes_and_goes(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello", annotations=notes(host="hello.example.com", port="http"))
        with both(tmp_path, kube) as s:
            assert s.get("hello.example.com")[::2] == (200, b"hello\n")
            assert kube.replicas("hello") == 1
            # another host: the first one is gone, the instance stays
            annotate(kube, "hello", host="other.example.com")
            wait_status(s, "other.example.com", 200)
            assert status_of(s, "hello.example.com") == 404
            # a limit of its own, from the next request on
            annotate(kube, "hello", server_timing="yes", min_scale="2")
            wait_until(lambda: kube.replicas("hello") == 2, what="min_scale")
            annotate(kube, "hello", min_scale=None)
            wait_until(lambda: kube.replicas("hello") == 0, what="zero")
            assert "server-timing" in s.get("other.example.com")[1]
            # no annotation, no service; what runs is left alone
            kube.patch("deployments", "hello", {"metadata": {"annotations": {HOST: None}}})
            wait_status(s, "other.example.com", 404)
            assert kube.replicas("hello") == 1
            # one that comes later, and is deleted
            kube.workload("late", annotations=notes(host="late.example.com"))
            wait_status(s, "late.example.com", 200)
            kube.delete("deployments", "late")
            wait_status(s, "late.example.com", 404)
            assert not told(kube, "hello") and not told(kube, "late")


def test_rules_and_schedules(tmp_path):
    """Who may wake it, and when it is there without being asked for."""
    bots = {"activator.dev/rule.%s" % k: v for k, v in {
        "bots.action": "serve_only", "bots.header": "user-agent", "bots.contains": "bot",
        "a.action": "answer", "a.paths": "/robots.txt, /favicon.ico", "a.status": "204"}.items()}
    with cluster(tmp_path) as kube:
        kube.workload("hello", annotations={**notes(host="hello"), **bots})
        with both(tmp_path, kube) as s:
            assert s.get("hello", "/robots.txt")[0] == 204
            status, fields, _ = s.get("hello", fields=[("User-Agent", "a bot")])
            assert (status, fields["x-activator-reason"]) == (503, "not_active")
            assert kube.replicas("hello") == 0
            annotate(kube, "hello", **{"schedule.now.cron": "*/0 * * * *"})
            wait_until(lambda: told(kube, "hello"), what="an Event")
            assert told(kube, "hello")[0].startswith("schedule.now: cron: expected ")
            annotate(kube, "hello", **{"schedule.now.cron": "* * * * *"})
            wait_until(lambda: kube.replicas("hello") == 1, what="its time")
            wait_until(lambda: s.get("hello", fields=[("User-Agent", "a bot")])[0] == 200,
                       what="an answer to who may not wake it")
            annotate(kube, "hello", **{"schedule.now.cron": None})
            wait_until(lambda: kube.replicas("hello") == 0, what="zero")


def test_who_waits_for_what_is_taken_away_hears_of_it(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello", args=["--startup", "60s"], annotations=notes(host="hello"))
        with both(tmp_path, kube, namespaces=kube.namespace) as s, s.connect() as c:
            c.request("GET", "/", "hello")
            wait_until(lambda: kube.replicas("hello") == 1, what="the wake-up")
            annotate(kube, "hello", host=None)
            status, fields, body = c.response()
            assert (status, fields["x-activator-reason"]) == (503, "activation_failed")
            assert "taken away" in body.decode() and fields["retry-after"] == "1"
            wait_status(s, "hello", 404)


def test_a_mistake_is_told_and_changes_nothing(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello", annotations=notes(host="hello.example.com", max_scale="3"))
        kube.workload("wrong", annotations=notes(host="wrong.example.com", tarjet="5"))
        with both(tmp_path, kube) as s:
            wait_status(s, "hello.example.com", 200)
            wait_until(lambda: told(kube, "wrong"), what="an Event")
            assert told(kube, "wrong") == [
                'tarjet: unknown key; did you mean "target"?']
            assert status_of(s, "wrong.example.com") == 404
            annotate(kube, "hello", host="other.example.com", max_scale="many")
            wait_until(lambda: told(kube, "hello"), what="an Event")
            assert told(kube, "hello") == ['max_scale: expected a whole number, got "many"']
            assert status_of(s, "hello.example.com") == 200
            assert status_of(s, "other.example.com") == 404
            # mended: all of it holds
            annotate(kube, "hello", max_scale="4")
            wait_status(s, "other.example.com", 200)
            assert len(told(kube, "hello")) == 1 and len(told(kube, "wrong")) == 1


def test_who_may_claim_what(tmp_path):
    more = 'allow_hosts = {"%s=*.good.example.com"}'
    with cluster(tmp_path) as kube:
        kube.workload("first", annotations=notes(host="a.good.example.com"))
        kube.workload("thief", annotations=notes(host="bank.example.com"))
        kube.workload("file", annotations=notes(host="file.good.example.com"))
        kube.workload("plain")
        kube.workload("twice", annotations=notes(host="twice.good.example.com"))
        services = service("file.good.example.com", kube, target='deployment = "%s/plain"' %
                           kube.namespace)
        services += service("second", kube, target='deployment = "%s/twice"' % kube.namespace)
        created = int(time.time())
        wait_until(lambda: time.time() >= created + 1, what="a later creationTimestamp")
        kube.workload("second", annotations=notes(host="A.good.example.com"))
        with both(tmp_path, kube, services, more=more % kube.namespace) as s:
            wait_status(s, "a.good.example.com", 200)
            for name, why in (
                    ("thief", "host bank.example.com may not be claimed from namespace %s"),
                    ("file", 'file.good.example.com is taken by service "file.good.example.com" '
                             "of the conf file"),
                    ("twice", 'apps/v1/Deployment/%s/twice is taken by service "second" of the '
                              "conf file"),
                    ("second", "A.good.example.com is taken by Deployment/%s/first")):
                wait_until(lambda: told(kube, name), what="an Event on " + name)
                assert told(kube, name)[0].startswith(
                    why % kube.namespace if "%s" in why else why), told(kube, name)
            assert status_of(s, "bank.example.com") == 404
            assert kube.replicas("thief") == kube.replicas("second") == 0
            # the first goes: its host is free
            kube.delete("deployments", "first")
            wait_until(lambda: status_of(s, "a.good.example.com") == 200 and
                       kube.replicas("second") == 1, what="the second in its place")


def test_a_service_stands_for_what_it_selects(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello")
        kube.create("services", {
            "metadata": {"name": "front", "annotations": notes(host="front.example.com")},
            "spec": {"selector": {"app": "hello"}, "ports": [
                {"name": "http", "port": 80, "targetPort": "http"}]}})
        with both(tmp_path, kube) as s:
            wait_status(s, "front.example.com", 200)
            assert kube.replicas("hello") == 1
            kube.delete("services", "front")
            wait_status(s, "front.example.com", 404)


def test_an_autoscaler_that_returns_tells_all_or_nothing(tmp_path):
    """Half of the services would be taken for all: what it has not seen yet is not gone."""
    with cluster(tmp_path) as kube:
        kube.workload("hello", annotations=notes(host="hello.example.com",
                                                 enable_scale_to_zero="no"))
        with both(tmp_path, kube, service("other", kube)) as s:
            wait_status(s, "hello.example.com", 200)
            s.autoscaler.kill()
            if not IS_REAL:
                kube.fault("hang", resource="services")
            s.start_autoscaler()
            generation = s.metric("activator_services_generation")
            wait_until(lambda: s.metric("activator_link_up") == 1, what="the link")
            if not IS_REAL:
                for _ in range(20):
                    assert status_of(s, "hello.example.com") == 200
                assert s.metric("activator_services_generation") == generation
                kube.heal()
            wait_status(s, "hello.example.com", 200)
            wait_until(lambda: revision(s, kube) is not None, what="the service")


def test_namespaces_by_their_labels(tmp_path):
    team = "team-" + os.urandom(4).hex()
    with cluster(tmp_path) as kube:
        def label(value):
            kube.api.call("PATCH", "/api/v1/namespaces/" + kube.namespace,
                          {"metadata": {"labels": {"team": value}}},
                          "application/merge-patch+json")

        kube.workload("hello", annotations=notes(host="hello.example.com"))
        with both(tmp_path, kube, namespaces="",
                  more='namespace_selector = "team=%s"' % team) as s:
            assert status_of(s, "hello.example.com") == 404
            label(team)
            wait_status(s, "hello.example.com", 200)
            label(None)
            wait_status(s, "hello.example.com", 404)


# ---- rights

def asked(kube):
    """(group, resource, verb) of all that the autoscaler's account has asked for."""
    return {(r["path"].split("/")[2] if r["path"].startswith("/apis/") else "", r["resource"],
             r["verb"]) for r in kube.seen(user="system:serviceaccount:activator:activator")
            if "resource" in r}


def granted():
    with open(RIGHTS) as f:
        return {(g, resource, verb) for d in yaml.safe_load_all(f) if d["kind"] == "ClusterRole"
                for rule in d["rules"] for g in rule["apiGroups"]
                for resource in rule["resources"] for verb in rule["verbs"]}


def install(kube, but=None):
    """The roles of conf/kubernetes, and an account that has them; but one right."""
    rbac = "/apis/rbac.authorization.k8s.io/v1/"
    with open(RIGHTS) as f:
        documents = list(yaml.safe_load_all(f))
    for d in documents:
        if d["kind"] == "ClusterRole":
            d["rules"] = [{"apiGroups": [g], "resources": [r], "verbs": [v]}
                          for rule in d["rules"] for g in rule["apiGroups"]
                          for r in rule["resources"] for v in rule["verbs"] if (g, r, v) != but]
            kube.api.call("POST", rbac + "clusterroles", d)
        else:
            assert d["metadata"]["namespace"] == kube.namespace
            kube.api.call("POST", rbac + "namespaces/%s/rolebindings" % kube.namespace, d)
    return kube.account_config("activator/activator")


def exercise(kube, s):
    """All that the autoscaler ever does."""
    for name in "one", "two", "three":
        wait_status(s, name, 200)
    wait_until(lambda: s.metrics(s.scaler_admin).get(
        'autoscaler_ready_instances{revision="one/v1"}') == 2, what="two instances")
    wait_status(s, "hello.example.com", 200)
    wait_until(lambda: told(kube, "wrong"), what="an Event")
    for n in 2, 1:  # the second time one of two goes, and is named
        annotate(kube, "hello", min_scale=str(n))
        wait_until(lambda: kube.replicas("hello") == n, what="%d instances" % n)
    wait_until(lambda: kube.replicas("one") == 0, what="zero")


def workloads(kube):
    """Three kinds, and a Deployment that goes from two to fewer."""
    services = service("one", kube, "port = 8080 activation_scale = 2 "
                                    "container_concurrency = 1")
    kube.workload("one")
    for name, kind in ("two", "StatefulSet"), ("three", "ReplicaSet"):
        kube.workload(name, kind)
        services += service(name, kube, target='workload = "apps/v1/%s/%s/%s"' % (
            kind, kube.namespace, name))
    kube.workload("hello", annotations=notes(host="hello.example.com"))
    kube.workload("wrong", annotations=notes(host="wrong.example.com", via="perhaps"))
    return services


@fake_only
@pytest.mark.parametrize("version", ["1.36", "1.20"])
def test_rights_are_enough_and_none_is_idle(tmp_path, version):
    with cluster(tmp_path, version=version) as kube:
        services = workloads(kube)
        config = install(kube)
        with both(tmp_path, kube, services, config) as s:
            # Where the server has it, lists come as the beginning of a watch.
            needed = {r for r in granted() if r[2] != "list" or version != "1.36"}
            exercise(kube, s)
            wait_until(lambda: asked(kube) >= needed, what="the use of every right")
            refused = [(r["verb"], r["resource"]) for r in kube.seen(status=403)]
        assert not refused
        assert asked(kube) <= granted()


def missing():
    """Those that are told to whoever asks for a service, or to the log at the start."""
    return sorted(r for r in granted() - {("", "pods", "patch")} if r[2] != "list" and
                  not r[1].startswith("replicas"))


@fake_only
@pytest.mark.parametrize("right", missing(), ids=lambda r: "%s-%s" % (r[2], r[1]))
def test_a_right_that_is_missing_is_named(tmp_path, right):
    with cluster(tmp_path) as kube:
        services = workloads(kube)
        config = install(kube, right)
        with both(tmp_path, kube, services, config, "failure_patience = 300ms") as s:
            group, resource, verb = right
            kind = resource.split("/")[0]
            host = {"statefulsets": "two", "replicasets": "three"}.get(kind, "one")
            if resource != "events":
                s.get(host)
            said = re.compile(r'missing right: verb \\?"%s\\?" on \\?"%s\\?" \(apiGroup \\?"%s' % (
                verb, resource, group))
            wait_until(lambda: said.search(s.autoscaler.text() + s.get(host)[2].decode()),
                       what="a word on " + str(right))
