"""Services from annotations: a Deployment names the host that it answers to, and the conf file
does not mention it.  And the rights that conf/kubernetes grants: each is used, each is needed."""
import json
import os
import re
import time
import urllib.request

import pytest

from cluster import IS_REAL, cluster
from helpers import wait_until
from kube_rights import USER, account_config, apply_manifest, granted
from kube_stack import fake_only, on_cluster, service

HOST = "activator.dev/host"


def notes(**values):
    return {"activator.dev/" + k: v for k, v in values.items()}


def watching(path, kube, services="", kubeconfig=None, more=""):
    """Both programs; annotations are read in the namespace of the test."""
    return on_cluster(path, kube, services, kubeconfig,
                      'namespaces = {"%s"} %s' % (kube.namespace, more))


def annotate(kube, name, plural="deployments", manager=None, **values):
    kube.patch(plural, name, {"metadata": {"annotations": notes(**values)}}, manager=manager)


def refusals(kube, name):
    """Messages of the Events by which the autoscaler refuses an object."""
    items = kube.api.call("GET", "/api/v1/namespaces/%s/events" % kube.namespace)
    return [e["message"] for e in items["items"] if e["involvedObject"]["name"] == name and
            e["reason"] == "ServiceRefused" and e["type"] == "Warning"]


def status_of(s, host):
    return s.get(host)[0]


def wait_status(s, host, status):
    wait_until(lambda: status_of(s, host) == status, what="%d from %s" % (status, host))


def revision(s, kube, name="hello"):
    """The revision in the status of the autoscaler; None: it has none."""
    text = urllib.request.urlopen("http://127.0.0.1:%d/status" % s.scaler_admin, timeout=5).read()
    full = "%s.%s/v1" % (kube.namespace, name)
    return next((r for r in json.loads(text)["revisions"] if r["name"] == full), None)


def test_annotations_are_added_changed_and_removed(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello", annotations=notes(host="hello.example.com", port="http"))
        with watching(tmp_path, kube) as s:
            assert s.get("hello.example.com")[::2] == (200, b"hello\n")
            assert kube.replicas("hello") == 1
            # Another host: the first one is gone, the instance stays.
            annotate(kube, "hello", host="other.example.com")
            wait_status(s, "other.example.com", 200)
            assert status_of(s, "hello.example.com") == 404
            # Another limit holds from the next request on.
            annotate(kube, "hello", server_timing="yes", min_scale="2")
            wait_until(lambda: kube.replicas("hello") == 2, what="min_scale")
            annotate(kube, "hello", min_scale=None)
            wait_until(lambda: kube.replicas("hello") == 0, what="zero")
            assert "server-timing" in s.get("other.example.com")[1]
            # Without the annotation there is no service.  What runs stays.
            kube.patch("deployments", "hello", {"metadata": {"annotations": {HOST: None}}})
            wait_status(s, "other.example.com", 404)
            assert kube.replicas("hello") == 1
            # A Deployment that is created later, and deleted.
            kube.workload("late", annotations=notes(host="late.example.com"))
            wait_status(s, "late.example.com", 200)
            kube.delete("deployments", "late")
            wait_status(s, "late.example.com", 404)
            assert not refusals(kube, "hello") and not refusals(kube, "late")


def test_rules_and_schedules(tmp_path):
    """Which requests may wake it, and when it runs without requests."""
    bots = {"activator.dev/rule.%s" % k: v for k, v in {
        "bots.action": "serve_only", "bots.header": "user-agent", "bots.contains": "bot",
        "a.action": "answer", "a.paths": "/robots.txt, /favicon.ico", "a.status": "204"}.items()}
    with cluster(tmp_path) as kube:
        kube.workload("hello", annotations={**notes(host="hello"), **bots})
        with watching(tmp_path, kube) as s:
            assert s.get("hello", "/robots.txt")[0] == 204
            status, fields, _ = s.get("hello", fields=[("User-Agent", "a bot")])
            assert (status, fields["x-activator-reason"]) == (503, "not_active")
            assert kube.replicas("hello") == 0
            annotate(kube, "hello", **{"schedule.now.cron": "*/0 * * * *"})
            wait_until(lambda: refusals(kube, "hello"), what="an Event")
            assert refusals(kube, "hello")[0].startswith("schedule.now: cron: expected ")
            annotate(kube, "hello", **{"schedule.now.cron": "* * * * *"})
            wait_until(lambda: kube.replicas("hello") == 1, what="the schedule to begin")
            wait_until(lambda: s.get("hello", fields=[("User-Agent", "a bot")])[0] == 200,
                       what="an answer to a request that may not wake it")
            annotate(kube, "hello", **{"schedule.now.cron": None})
            wait_until(lambda: kube.replicas("hello") == 0, what="zero")


def test_a_request_parked_for_a_service_that_ends_is_answered(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello", args=["--startup", "60s"], annotations=notes(host="hello"))
        with watching(tmp_path, kube) as s, s.connect() as c:
            c.request("GET", "/", "hello")
            wait_until(lambda: kube.replicas("hello") == 1, what="the wake-up")
            annotate(kube, "hello", host=None)
            status, fields, body = c.response()
            assert (status, fields["x-activator-reason"]) == (404, "no_route")
            assert "was removed" in body.decode()
            wait_status(s, "hello", 404)


def test_a_mistake_is_reported_and_changes_nothing(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello", annotations=notes(host="hello.example.com", max_scale="3"))
        kube.workload("wrong", annotations=notes(host="wrong.example.com", tarjet="5"))
        with watching(tmp_path, kube) as s:
            wait_status(s, "hello.example.com", 200)
            wait_until(lambda: refusals(kube, "wrong"), what="an Event")
            assert refusals(kube, "wrong") == [
                'tarjet: unknown key; did you mean "target"?']
            assert status_of(s, "wrong.example.com") == 404
            annotate(kube, "hello", host="other.example.com", max_scale="many")
            wait_until(lambda: refusals(kube, "hello"), what="an Event")
            assert refusals(kube, "hello") == ['max_scale: expected a whole number, got "many"']
            assert status_of(s, "hello.example.com") == 200
            assert status_of(s, "other.example.com") == 404
            # Corrected: all annotations hold.
            annotate(kube, "hello", max_scale="4")
            wait_status(s, "other.example.com", 200)
            assert len(refusals(kube, "hello")) == 1 and len(refusals(kube, "wrong")) == 1


def test_claims_are_refused_with_the_owner_of_what_is_claimed(tmp_path):
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
        with watching(tmp_path, kube, services, more=more % kube.namespace) as s:
            wait_status(s, "a.good.example.com", 200)
            for name, why in (
                    ("thief", "host bank.example.com may not be claimed from namespace %s"),
                    ("file", 'file.good.example.com is taken by service "file.good.example.com" '
                             "of the conf file"),
                    ("twice", 'apps/v1/Deployment/%s/twice is taken by service "second" of the '
                              "conf file"),
                    ("second", "A.good.example.com is taken by Deployment/%s/first")):
                wait_until(lambda: refusals(kube, name), what="an Event on " + name)
                assert refusals(kube, name)[0].startswith(
                    why % kube.namespace if "%s" in why else why), refusals(kube, name)
            assert status_of(s, "bank.example.com") == 404
            assert kube.replicas("thief") == kube.replicas("second") == 0
            # The first is deleted: its host is free.
            kube.delete("deployments", "first")
            wait_until(lambda: status_of(s, "a.good.example.com") == 200 and
                       kube.replicas("second") == 1, what="the second in its place")


def test_annotations_of_a_service_are_for_the_deployment_that_it_selects(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello")
        kube.create("services", {
            "metadata": {"name": "front", "annotations": notes(host="front.example.com")},
            "spec": {"selector": {"app": "hello"}, "ports": [
                {"name": "http", "port": 80, "targetPort": "http"}]}})
        with watching(tmp_path, kube) as s:
            wait_status(s, "front.example.com", 200)
            assert kube.replicas("hello") == 1
            kube.delete("services", "front")
            wait_status(s, "front.example.com", 404)


def test_a_restarted_autoscaler_sends_all_services_or_none(tmp_path):
    """If it sent those that it knows already, the activator would drop the others."""
    with cluster(tmp_path) as kube:
        kube.workload("hello", annotations=notes(host="hello.example.com",
                                                 enable_scale_to_zero="no"))
        with watching(tmp_path, kube, service("other", kube)) as s:
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


def test_namespaces_are_selected_by_their_labels(tmp_path):
    team = "team-" + os.urandom(4).hex()
    with cluster(tmp_path) as kube:
        def label(value):
            kube.api.call("PATCH", "/api/v1/namespaces/" + kube.namespace,
                          {"metadata": {"labels": {"team": value}}},
                          "application/merge-patch+json")

        kube.workload("hello", annotations=notes(host="hello.example.com"))
        with on_cluster(tmp_path, kube, "", more='namespace_selector = "team=%s"' % team) as s:
            assert status_of(s, "hello.example.com") == 404
            label(team)
            wait_status(s, "hello.example.com", 200)
            label(None)
            wait_status(s, "hello.example.com", 404)


def test_a_reload_adds_and_removes_namespaces(tmp_path):
    """Also the first one and the last one; what is served meanwhile goes on."""
    team = "team-" + os.urandom(4).hex()
    with cluster(tmp_path) as kube:
        kube.api.call("PATCH", "/api/v1/namespaces/" + kube.namespace,
                      {"metadata": {"labels": {"team": team}}}, "application/merge-patch+json")
        kube.workload("hello", annotations=notes(host="hello.example.com"))
        kube.workload("steady")
        services = service("steady", kube)
        with on_cluster(tmp_path, kube, services) as s:
            assert status_of(s, "steady") == 200
            assert status_of(s, "hello.example.com") == 404
            stages = ("", 'namespaces = {"%s"}' % kube.namespace,
                      'namespace_selector = "team=%s"' % team, 'namespace_selector = "team=none"',
                      'namespaces = {"%s"} namespace_selector = "team=none"' % kube.namespace, "")
            expected = (404, 200, 200, 404, 200, 404)
            for before, now, status in zip(stages, stages[1:], expected[1:]):
                if before:
                    s.edit(before, now)
                else:
                    s.edit("autoscaler {", "autoscaler { %s" % now)
                assert s.hangup(s.autoscaler), s.autoscaler.text()[-2000:]
                assert status_of(s, "steady") == 200
                wait_status(s, "hello.example.com", status)
                assert status_of(s, "steady") == 200


# ---- what the objects say

STATE = "activator.dev/state"


def state(kube, name):
    return kube.get("deployments", name)["metadata"].get("annotations", {}).get(STATE)


def events(kube, name):
    """(type, reason, message) of our Events on a Deployment."""
    items = kube.api.call("GET", "/api/v1/namespaces/%s/events" % kube.namespace)
    uid = kube.get("deployments", name)["metadata"]["uid"]
    return [(e["type"], e["reason"], e["message"]) for e in items["items"]
            if e["involvedObject"].get("uid") == uid and
            e.get("source", {}).get("component") == "activator"]


def wait_state(kube, name, wanted):
    wait_until(lambda: state(kube, name) == wanted, what="%s to be %s" % (name, wanted))


def test_the_object_says_its_state(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello", args=["--startup", "3s"], annotations=notes(host="hello"))
        with watching(tmp_path, kube) as s:
            wait_state(kube, "hello", "asleep")
            with s.connect() as c:
                c.request("GET", "/", "hello")
                wait_state(kube, "hello", "starting")
                assert c.response()[0] == 200
            wait_state(kube, "hello", "awake")
            kube.scale("hello", 2, manager="somebody")
            wait_state(kube, "hello", "held")
            wait_until(lambda: any(e[:2] == ("Warning", "ScaleHeld") for e in events(kube, "hello")),
                       what="an Event")
            if not IS_REAL:
                text = [m for _, r, m in events(kube, "hello") if r == "ScaleHeld"]
                assert text == ["somebody has set the replicas to 2, which is respected "
                                "(foreign_scale)"]
                # One PATCH for each change, none for anything else.
                written = [r for r in kube.seen(verb="patch", resource="deployments")
                           if STATE in str(r.get("body"))]
                assert len(written) == 4, written
            # The annotation is no key, and refuses nothing.
            assert not refusals(kube, "hello") and s.get("hello")[0] == 200


def test_the_object_says_why_it_does_not_start(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello", annotations=notes(host="hello", failure_patience="100ms"),
                      container={"image": "missing/app:1"})
        kube.workload("two", annotations=notes(host="two", failure_patience="100ms"),
                      container={"ports": [{"name": "a", "containerPort": 8080},
                                           {"name": "b", "containerPort": 8081}]})
        with watching(tmp_path, kube) as s:
            assert s.get("hello")[0] == s.get("two")[0] == 503
            for name, word, text in (("hello", "Image", "missing/app:1"),
                                     ("two", "NoPort", "which port serves?")):
                wait_until(lambda n=name: (state(kube, n) or "").startswith("failing: "),
                           what="the state of " + name)
                assert word in state(kube, name) and text in state(kube, name)
                wait_until(lambda n=name: events(kube, n), what="an Event on " + name)
                kind, reason, message = events(kube, name)[0]
                assert (kind, reason) == ("Warning", "ActivationFailed")
                assert word in message and text in message


def test_a_pod_that_waits_for_a_node_and_then_fails_is_two_events(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello", annotations=notes(host="hello", unschedulable_patience="2s"),
                      container={"resources": {"requests": {"cpu": "100000"}}})
        with watching(tmp_path, kube) as s:
            assert s.get("hello")[0] == 503
            wait_until(lambda: len(events(kube, "hello")) >= 2, what="the Events")
            seen = events(kube, "hello")
            assert {r for _, r, _ in seen} == {"ActivationDelayed", "ActivationFailed"}, seen
            assert len(seen) == 2 and all("nsufficient cpu" in m for _, _, m in seen), seen


def test_the_state_is_not_written_where_that_is_not_wanted(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello", annotations=notes(host="hello", state_annotation="no"))
        kube.workload("other", annotations=notes(host="other"))
        with watching(tmp_path, kube) as s:
            assert s.get("hello")[0] == s.get("other")[0] == 200
            wait_state(kube, "other", "awake")
            assert state(kube, "hello") is None


@fake_only  # a real server sets creationTimestamp and managedFields itself
def test_a_wake_after_a_long_time_is_an_event(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("old", annotations=notes(host="old"), managed=[{
            "manager": "activator", "operation": "Update", "apiVersion": "apps/v1",
            "time": "2020-01-01T00:00:00Z", "subresource": "scale", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:replicas": {}}}}])
        kube.workload("new", annotations=notes(host="new"))
        with watching(tmp_path, kube) as s:
            assert s.get("old")[0] == s.get("new")[0] == 200
            wait_until(lambda: events(kube, "old"), what="an Event")
            kind, reason, message = events(kube, "old")[0]
            assert (kind, reason) == ("Normal", "Woken")
            assert re.fullmatch("scaled from 0 to 1, after [0-9]+ h without instances", message)
            wait_state(kube, "new", "awake")
            assert not events(kube, "new")


# ---- rights

def used(kube):
    """(group, resource, verb) of all requests of the autoscaler's account."""
    return {(r["path"].split("/")[2] if r["path"].startswith("/apis/") else "", r["resource"],
             r["verb"]) for r in kube.seen(user=USER) if "resource" in r}


def exercise(kube, s):
    """Make the autoscaler do all that it ever does."""
    for name in "one", "two", "three":
        wait_status(s, name, 200)
    wait_until(lambda: s.metrics(s.scaler_admin).get(
        'autoscaler_ready_instances{revision="one/v1"}') == 2, what="two instances")
    wait_status(s, "hello.example.com", 200)
    wait_until(lambda: refusals(kube, "wrong"), what="an Event")
    for n in 2, 1:  # the second time the pod that goes gets a cost
        annotate(kube, "hello", min_scale=str(n))
        wait_until(lambda: s.metrics(s.scaler_admin).get(
            'autoscaler_ready_instances{revision="%s.hello/v1"}' % kube.namespace) == n,
            what="%d instances" % n)
    wait_until(lambda: kube.replicas("one") == 0, what="zero")


def workloads(kube):
    """Workloads of three kinds, a Deployment with annotations, and one with a mistake in these."""
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
def test_rights_are_enough_and_each_is_used(tmp_path, version):
    with cluster(tmp_path, version=version) as kube:
        services = workloads(kube)
        apply_manifest(kube)
        config = account_config(kube)
        more = 'lease_name = "%s/a"' % kube.namespace
        with watching(tmp_path, kube, services, config, more) as s:
            # Newer servers list in the watch.
            needed = {r for r in granted() if r[2] != "list" or version != "1.36"}
            exercise(kube, s)
            wait_until(lambda: used(kube) >= needed, what="the use of every right")
            refused = [(r["verb"], r["resource"]) for r in kube.seen(status=403)]
        assert not refused
        assert used(kube) <= granted()


def needed_at_once():
    """Rights whose lack shows in the log at the start, or in the answer to a request.  Those for
    the Lease are in test_kubernetes_lease.py."""
    return sorted(r for r in granted() - {("", "pods", "patch")} if r[2] != "list" and
                  not r[1].startswith(("replicas", "leases")))


@fake_only
def test_a_namespace_that_does_not_exist_is_one_line(tmp_path):
    """Its Deployments and its Services are refused, and asked for again and again."""
    with cluster(tmp_path) as kube:
        apply_manifest(kube)
        kube.workload("hello", annotations=notes(host="hello"))
        where = 'namespaces = {"nowhere", "%s"}' % kube.namespace
        with on_cluster(tmp_path, kube, "", account_config(kube), where) as s:
            wait_status(s, "hello", 200)
            for resource in "deployments", "services":
                wait_until(lambda r=resource: len(kube.seen(
                    namespace="nowhere", resource=r, status=403)) >= 3,
                    what="a second and a third try to read " + resource)
            lines = [x for x in s.autoscaler.text().splitlines() if "namespace=nowhere" in x]
            assert len(lines) == 1 and "missing right" in lines[0], lines


@fake_only
@pytest.mark.parametrize("right", needed_at_once(), ids=lambda r: "%s-%s" % (r[2], r[1]))
def test_a_right_that_is_missing_is_named(tmp_path, right):
    with cluster(tmp_path) as kube:
        services = workloads(kube)
        apply_manifest(kube, missing=right)
        config = account_config(kube)
        with watching(tmp_path, kube, services, config, "failure_patience = 300ms") as s:
            group, resource, verb = right
            kind = resource.split("/")[0]
            host = {"statefulsets": "two", "replicasets": "three"}.get(kind, "one")
            if resource != "events":
                s.get(host)
            expected = re.compile(r'missing right: verb \\?"%s\\?" on \\?"%s\\?" \(apiGroup \\?"%s' % (
                verb, resource, group))
            wait_until(lambda: expected.search(s.autoscaler.text() + s.get(host)[2].decode()),
                       what="a line about " + str(right))
