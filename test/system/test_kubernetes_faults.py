"""Faults of the API server and of the way to it: broken streams, expired versions, rotated tokens,
missing rights, overload.  Only the fake can be made to do these."""
import base64
import contextlib
import json
import os
import subprocess

import pytest

from cluster import cluster, write_config
from helpers import wait_until
from kube_stack import Load, addresses, fake_only, has_address, on_cluster, service

pytestmark = fake_only


def test_a_token_that_rotates(tmp_path):
    with cluster(tmp_path) as kube:
        grant(kube, EVERYTHING)
        config = kube.account_config("default/autoscaler", is_file=True)
        kube.workload("hello")
        kube.workload("other")
        services = service("hello", kube) + service("other", kube)
        with on_cluster(tmp_path, kube, services, config) as s:
            assert s.get("hello")[0] == 200
            with open(kube.token_file, "w") as f:
                f.write(kube.control("token", service_account="default/autoscaler")["token"])
            kube.control("revoke", token=kube.token)
            assert s.get("other")[0] == 200
            assert len(kube.seen(status=401)) <= 2  # each was sent again with the new token


# ---- a credentials plug-in

PLUGIN = """#!/bin/sh
echo "$@ $WORD $KUBERNETES_EXEC_INFO" >> %(path)s/runs
cat %(path)s/gate > /dev/null
test -e %(path)s/token || { echo "not logged in" >&2; exit 3; }
printf '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1","status":'
printf '{"token":"%%s"}}' $(cat %(path)s/token)
"""


def plugin_config(path, kube):
    """A kubeconfig with a plug-in that gives the token in the file `token`, once the gate has been
    opened, a FIFO that the plug-in reads to its end."""
    path = str(path)
    os.mkfifo(path + "/gate")
    with open(path + "/plugin", "w") as f:
        f.write(PLUGIN % {"path": path})
    os.chmod(path + "/plugin", 0o755)
    new_token(path, kube)
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "./plugin",
                     "args": ["get-token", "--cluster=k"], "interactiveMode": "IfAvailable",
                     "env": [{"name": "WORD", "value": "w"}], "provideClusterInfo": True}}
    return write_config(path + "/plugin.kubeconfig", "https://127.0.0.1:%d" % kube.port,
                        kube.folder + "/pki/ca.crt", user)


def new_token(path, kube):
    token = kube.control("token", service_account="default/autoscaler")["token"]
    with open(str(path) + "/token.new", "w") as f:
        f.write(token)
    os.rename(str(path) + "/token.new", str(path) + "/token")


def open_gate(path):
    """Let one run of the plug-in go on, once there is one."""
    def is_open():
        with contextlib.suppress(OSError):  # no reader yet
            os.close(os.open(str(path) + "/gate", os.O_WRONLY | os.O_NONBLOCK))
            return True
    wait_until(is_open, what="a run of the plug-in")


def runs_of(path):
    if not os.path.exists(str(path) + "/runs"):
        return []
    with open(str(path) + "/runs") as f:
        return f.read().splitlines()


def test_a_plugin_gives_the_credentials(tmp_path):
    """It is run at the start, and again after a 401.  The autoscaler goes on while it runs, and
    requests wait for it."""
    with cluster(tmp_path) as kube:
        kube.workload("hello")
        grant(kube, EVERYTHING)
        config = plugin_config(tmp_path, kube)
        with on_cluster(tmp_path, kube, service("hello", kube), config) as s, s.connect() as c:
            c.request("GET", "/", "hello")
            wait_until(lambda: s.metric("activator_parked") == 1, what="a parked request")
            assert s.metrics(s.scaler_admin)  # its loop turns
            open_gate(tmp_path)
            assert c.response()[0] == 200
            arguments, word, info = runs_of(tmp_path)[0].rsplit(" ", 2)
            assert (arguments, word) == ("get-token --cluster=k", "w")
            info = json.loads(info)
            assert info["spec"]["interactive"] is False
            assert info["spec"]["cluster"]["server"] == "https://127.0.0.1:%d" % kube.port
            assert info["spec"]["cluster"]["certificate-authority-data"]
            wait_until(lambda: kube.replicas("hello") == 0, what="zero replicas")

            with open(str(tmp_path) + "/token") as f:
                kube.control("revoke", token=f.read())
            new_token(tmp_path, kube)
            c.request("GET", "/", "hello")
            open_gate(tmp_path)
            assert c.response()[0] == 200
            assert len(runs_of(tmp_path)) == 2


def test_a_plugin_that_fails_is_run_again_and_says_why(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello")
        grant(kube, EVERYTHING)
        config = plugin_config(tmp_path, kube)
        os.rename(tmp_path / "token", tmp_path / "away")
        with on_cluster(tmp_path, kube, service("hello", kube), config) as s, s.connect() as c:
            c.request("GET", "/", "hello")
            open_gate(tmp_path)
            wait_until(lambda: "credentials plug-in failed" in s.autoscaler.text(), what="a line")
            assert "exited with status 3" in s.autoscaler.text()
            assert "not logged in" in s.autoscaler.text()
            os.rename(tmp_path / "away", tmp_path / "token")
            open_gate(tmp_path)
            assert c.response()[0] == 200


def test_it_is_scaled_when_the_server_has_said_so(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello")
        kube.fault({"status": 500}, times=3, verb="patch", resource="deployments/scale")
        with on_cluster(tmp_path, kube, service("hello", kube)) as s, s.connect() as c:
            c.request("GET", "/", "hello")
            wait_until(lambda: "cannot set the scale" in s.autoscaler.text(), what="the failure")
            assert c.response()[0] == 200
            lines = [x for x in s.autoscaler.text().splitlines()
                     if "cannot set the scale" in x or 'msg="scaled"' in x]
            assert "cannot set" in lines[0] and "from=0 to=1" in lines[1], lines
            assert sum("cannot set" in x for x in lines) == 1, lines


def flattened(kube, **cluster_more):
    """Path of the administrator's kubeconfig without other files, as `kubectl config view
    --flatten` prints it."""
    with open(kube.kubeconfig) as f:
        conf = json.load(f)
    for part in (conf["clusters"][0]["cluster"], conf["users"][0]["user"]):
        for key in "certificate-authority", "client-certificate", "client-key":
            if key in part:
                with open(part.pop(key), "rb") as f:
                    part[key + "-data"] = base64.b64encode(f.read()).decode()
    conf["clusters"][0]["cluster"].update(cluster_more)
    path = kube.path + "/flattened.kubeconfig"
    with open(path, "w") as f:
        json.dump(conf, f)
    return path


def other_authority(kube):
    """A certificate authority with the name of the right one, as PEM in base64."""
    pem = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes",
         "-subj", "/CN=fake-ca", "-keyout", kube.path + "/other.key"], check=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    return base64.b64encode(pem).decode()


@pytest.mark.parametrize("wrong", ["authority", "name"])
def test_nothing_is_sent_to_a_server_that_cannot_be_verified(tmp_path, wrong):
    with cluster(tmp_path) as kube:
        kube.workload("hello")
        more = {"tls-server-name": "kubernetes.example"} if wrong == "name" else \
            {"certificate-authority-data": other_authority(kube)}
        before = kube.control("log")["last"]
        with on_cluster(tmp_path, kube, service("hello", kube), flattened(kube, **more)) as s, \
                s.connect() as c:
            c.request("GET", "/", "hello")
            wait_until(lambda: "does not answer" in s.autoscaler.text(), what="the log line")
            line = next(x for x in s.autoscaler.text().split("\n") if "not answer" in x)
            assert "certificate" in line, line
            ours = [r for r in kube.control("log", since=before)["requests"]
                    if r["path"] == "/version" or r["method"] == "PATCH"]
            assert not ours and kube.replicas("hello") == 0


def test_a_server_name_of_its_own_and_a_flattened_kubeconfig(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello")
        config = flattened(kube, **{"tls-server-name": "kubernetes.default.svc"})
        with on_cluster(tmp_path, kube, service("hello", kube), config) as s:
            assert s.get("hello")[0] == 200


EVERYTHING = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]


def grant(kube, rules):
    rbac = "/apis/rbac.authorization.k8s.io/v1/"
    kube.api.call("POST", rbac + "clusterroles", {"metadata": {"name": "r"}, "rules": rules})
    kube.api.call("POST", rbac + "clusterrolebindings", {
        "metadata": {"name": "r"}, "roleRef": {"kind": "ClusterRole", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "namespace": "default", "name": "autoscaler"}]})


@pytest.mark.parametrize("missing, words", [
    (("apps", "deployments/scale", "patch"), ["patch", "deployments/scale", "apps"]),
    (("", "pods", "watch"), ["watch", "pods"]),
    (("", "pods", "list"), ["list", "pods"]),
])
def test_a_missing_right_is_named(tmp_path, missing, words):
    rules = []
    for group, resources in (("", ["pods", "namespaces", "services", "events"]),
                             ("apps", ["deployments", "deployments/scale"])):
        for resource in resources:
            for verb in ("get", "list", "watch", "patch", "create"):
                if (group, resource, verb) != missing:
                    rules.append({"apiGroups": [group], "resources": [resource],
                                  "verbs": [verb]})
    # An older server lists with a request of its own.
    options = {"version": "1.20"} if missing[2] == "list" else {}
    with cluster(tmp_path, **options) as kube:
        grant(kube, rules)
        config = kube.account_config("default/autoscaler")
        kube.workload("hello")
        services = service("hello", kube, "port = 8080 failure_patience = 300ms")
        with on_cluster(tmp_path, kube, services, config) as s:
            status, fields, body = s.get("hello")
            assert (status, fields["x-activator-reason"]) == (503, "activation_failed")
            for word in words:
                assert word in body.decode(), body


def test_an_expired_version_loses_no_pod(tmp_path):
    """Watches break off, and their resourceVersion has expired: everything is listed again, and
    meanwhile all pods stay in use."""
    with cluster(tmp_path) as kube:
        kube.workload("hello", replicas=2)
        kube.workload("other")
        kube.wait_pods("hello", 2, has_address)
        services = service("hello", kube, "port = 8080 min_scale = 2") + service("other", kube)
        with on_cluster(tmp_path, kube, services) as s, Load(s, "hello") as load:
            load.wait_for(50)
            for how in ({"gone": True}, {"cut": True}, {"reset": True}, {"end": True},
                        {"error": 500}, {"raw": "rubbish\n"}):
                kube.control("compact")
                kube.fault({"delay": 0.3}, times=2, verb="list")
                assert kube.control("watch", do=how)["watches"] > 0
                load.wait_for(50)
                kube.heal()
                wait_until(lambda: kube.control("watches")["watches"], what="a watch")
            assert s.get("other")[0] == 200
            # There were always two pods of hello, so no request was parked.
            assert kube.replicas("hello") == 2


# The kubelet watches pods by another field.
FIELDS = {"deployments": "metadata.name=hello", "pods": None}


@pytest.mark.parametrize("silent", [("deployments", "pods"), ("pods",)])
def test_a_silent_watch_is_noticed_by_what_it_does_not_show(tmp_path, silent):
    """The connections stay open, and nothing comes over them: not our own PATCH, nor the pod
    that the workload's status counts."""
    with cluster(tmp_path) as kube:
        kube.workload("hello")
        with on_cluster(tmp_path, kube, service("hello", kube)) as s:
            for resource in silent:
                wait_until(lambda r=resource: kube.control(
                    "watch", match={"resource": r, "fields": FIELDS[r]},
                    do={"stall": True})["watches"] == 1,
                    what="the watch on " + resource)
            assert s.get("hello")[0] == 200
            assert "a watch does not show what has happened" in s.autoscaler.text()
            wait_until(lambda: kube.replicas("hello") == 0, what="zero replicas")
            wait_until(lambda: not kube.pods("hello"), what="no pods")
            assert s.get("hello")[0] == 200


def test_a_version_that_is_always_expired_is_not_asked_for_at_once(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello")
        kube.fault({"status": 410}, verb="watch", resource="deployments")
        with on_cluster(tmp_path, kube, service("hello", kube)):
            def asked():
                return [r["t"] for r in kube.seen(verb="watch", resource="deployments")]
            wait_until(lambda: len(asked()) >= 7, what="seven watches")
            times = asked()
            assert times[6] - times[0] >= 1e9, times


def test_a_watch_begins_at_the_version_of_the_list(tmp_path):
    """The watch after a list begins at the resourceVersion of the list.  The objects in the list
    may have older versions, which the server has compacted away.

    The controllers are paused: they would write statuses at some time after the objects were
    created, and each write moves the resourceVersion of the next list."""
    with cluster(tmp_path, has_kubelet=False, version="1.20") as kube:
        kube.control("pause", controllers=["deployment", "replicaset"])
        kube.control("load", deployments=2, pods=2)
        kube.patch("deployments", "load-0", {"metadata": {"labels": {"a": "b"}}})
        kube.control("compact")
        services = "".join(service("load-%d" % i, kube, "port = 8080 min_scale = 2")
                           for i in range(2))
        now = kube.api.call("GET", kube.where("pods"))["metadata"]["resourceVersion"]
        with on_cluster(tmp_path, kube, services):
            def resumed():
                return {r["resource"]: r["query"]["resourceVersion"]
                        for r in kube.seen(verb="watch") if "resourceVersion" in r["query"]}
            wait_until(lambda: len(resumed()) == 2, what="two watches")
            assert resumed() == {"pods": now, "deployments": now}


def test_a_server_that_ignores_the_wish_for_a_list_is_asked_for_pages(tmp_path):
    """It sends the objects, but no bookmark at their end.  A watch waits 20 s for it."""
    with cluster(tmp_path) as kube:
        kube.workload("hello")
        kube.fault({"ignore_initial": True}, verb="watch")
        services = service("hello", kube, "port = 8080 activation_timeout = 2m")
        with on_cluster(tmp_path, kube, services) as s:
            assert s.get("hello", timeout=120)[0] == 200
            assert "server does not end a list in a watch" in s.autoscaler.text()
            assert {r["resource"] for r in kube.seen(verb="list")} >= {"deployments", "pods"}


def test_a_kind_that_cannot_be_read_delays_no_other(tmp_path):
    """Nor does a list that hangs."""
    with cluster(tmp_path) as kube:
        kube.workload("hello")
        kube.workload("broken", "StatefulSet")
        kube.workload("slow", "ReplicaSet")
        for verb in "list", "watch":
            kube.fault({"status": 503}, verb=verb, resource="statefulsets")
            kube.fault({"hang": True}, verb=verb, resource="replicasets")
        services = service("hello", kube) + "".join(
            service(name, kube, target='workload = "apps/v1/%s/%s/%s"' % (
                kind, kube.namespace, name))
            for name, kind in (("broken", "StatefulSet"), ("slow", "ReplicaSet")))
        with on_cluster(tmp_path, kube, services, activator="drain_timeout = 100ms") as s:
            assert s.get("hello")[0] == 200


@pytest.mark.parametrize("status", [429, 500, 400])
def test_a_list_whose_second_page_is_refused(tmp_path, status):
    """There are more pods than fit in one page."""
    with cluster(tmp_path, has_kubelet=False, version="1.20") as kube:
        kube.control("load", deployments=1, pods=510)
        kube.fault({"status": status}, times=1, skip=1, verb="list", resource="pods")
        services = service("load-0", kube, "port = 8080 min_scale = 510")
        with on_cluster(tmp_path, kube, services) as s:
            def seen():
                m = s.metrics(s.scaler_admin)
                return sum(m.get('autoscaler_%s_instances{revision="load-0/v1"}' % state, 0)
                           for state in ("ready", "starting"))
            wait_until(lambda: seen() == 510, what="all pods")


def test_the_end_of_a_watch_shows_that_the_server_is_back(tmp_path):
    """All other requests are still reset."""
    with cluster(tmp_path) as kube:
        kube.workload("hello")
        with on_cluster(tmp_path, kube, service("hello", kube)) as s:
            kube.fault({"reset": True}, verb="patch")
            kube.fault({"reset": True}, verb="get")
            with s.connect() as parked:
                parked.request("GET", "/", "hello")
                wait_until(lambda: "does not answer" in s.autoscaler.text(), what="the log line")
                assert kube.control("watch", do={"end": True})["watches"] > 0
                wait_until(lambda: "answers again" in s.autoscaler.text(), what="the log line")
                kube.heal()
                assert parked.response()[0] == 200
            assert s.autoscaler.process.poll() is None


def test_a_server_that_is_away_is_pinged(tmp_path):
    """A PATCH that it did not answer is sent as soon as it is back, before its own back-off is
    over."""
    with cluster(tmp_path) as kube:
        kube.workload("hello")
        with on_cluster(tmp_path, kube, service("hello", kube)) as s:
            wait_until(lambda: len(kube.seen(path="/version")) == 2, what="the first pings")
            kube.fault({"reset": True}, verb="patch")
            with s.connect() as parked:
                parked.request("GET", "/", "hello")
                wait_until(lambda: "does not answer" in s.autoscaler.text(), what="the log line")
                wait_until(lambda: "answers again" in s.autoscaler.text(), what="the log line")
                kube.heal()
                assert parked.response()[0] == 200


@pytest.mark.parametrize("version", ["1.20", "1.36"])
def test_streams_in_pieces_and_large_objects(tmp_path, version):
    """Lines in pieces of 7 bytes, which split characters; an object of 1 MiB; a stream that ends
    within a line."""
    with cluster(tmp_path, version=version) as kube:
        kube.workload("hello", annotations={"note": "é漢字🙂" * 50})
        kube.workload("big", annotations={"note": "ß" * (1 << 19)}, pod_annotations={
            "note": "漢" * 300000})
        with on_cluster(tmp_path, kube, service("hello", kube) + service("big", kube)) as s:
            wait_until(lambda: kube.control("watches")["watches"], what="a watch")
            kube.control("watch", do={"split": 7, "every": 0.0001},
                         match={"resource": "pods"})
            assert s.get("hello")[0] == 200
            kube.control("watch", do={"half": 0.5})
            kube.patch("deployments", "hello", {"metadata": {"labels": {"a": "b"}}})
            assert s.get("big")[0] == 200


@pytest.mark.parametrize("do", [
    {"status": 429, "retry_after": 1}, {"status": 503}, {"status": 500}, {"hang": True},
    {"reset": True}, {"close": True}, {"cut": 150}, {"raw": "rubbish\r\n\r\n"},
    {"reset": True, "perform": True}, {"delay": 1}],
    ids=lambda d: "-".join(map(str, d)))
def test_a_patch_that_fails_is_sent_again(tmp_path, do):
    with cluster(tmp_path) as kube:
        kube.workload("hello")
        with on_cluster(tmp_path, kube, service("hello", kube)) as s:
            kube.fault(do, times=1, resource="deployments/scale", verb="patch")
            assert s.get("hello")[0] == 200
            assert len(kube.scalings("hello")) <= 3
            kube.heal()


def test_a_conflict_is_tried_again(tmp_path):
    with cluster(tmp_path) as kube:
        kube.workload("hello")
        with on_cluster(tmp_path, kube, service("hello", kube)) as s:
            kube.fault({"status": 409}, times=2, resource="deployments/scale", verb="patch")
            assert s.get("hello")[0] == 200


def test_a_server_that_shuts_down(tmp_path):
    """On SIGTERM a real one closes its listener, but keeps watches open and sends nothing over
    them.  Then it returns at the same address."""
    with cluster(tmp_path) as kube:
        kube.workload("a", replicas=1)
        kube.workload("b")
        kube.wait_pods("a", 1, has_address)
        services = service("a", kube, "port = 8080 min_scale = 1") + service("b", kube)
        grant(kube, EVERYTHING)
        account = "system:serviceaccount:default:autoscaler"
        config = kube.account_config("default/autoscaler")
        with on_cluster(tmp_path, kube, services, config) as s:
            assert s.get("a")[0] == 200
            before = addresses(kube, "a")
            with Load(s, "a") as load, s.connect() as parked:
                assert kube.control("watch", do={"stall": True}, match={"user": account})["watches"]
                kube.control("leave")
                parked.request("GET", "/", "b")
                wait_until(lambda: s.metric("activator_parked") == 1, what="a parked request")
                load.wait_for(100)
                kube.control("return")
                assert parked.response()[0] == 200
            assert addresses(kube, "a") == before


def test_many_are_scaled_from_zero_at_once(tmp_path):
    """Each gets one PATCH, and none waits for another."""
    n = 100
    with cluster(tmp_path, has_kubelet=False, paper_kubelet=True) as kube:
        kube.control("load", deployments=n, pods=0, prefix="w")
        services = "".join(service("w-%d" % i, kube) for i in range(n))
        with on_cluster(tmp_path, kube, services, activator="drain_timeout = 100ms") as s:
            clients = [s.connect() for _ in range(n)]
            for i, c in enumerate(clients):
                c.request("GET", "/", "w-%d" % i)

            def patched():
                return [r["name"] for r in kube.seen(verb="patch", resource="deployments/scale")]
            wait_until(lambda: len(patched()) >= n, what="a PATCH each")
            assert sorted(patched()) == sorted("w-%d" % i for i in range(n))
            for c in clients:
                c.close()


def test_connections_are_kept_beside_many_watches(tmp_path):
    """libcurl's bound on connections to keep counts those of watches, too.  With more watches than
    the bound each request would open a connection."""
    namespaces, n = 40, 10
    with cluster(tmp_path, has_kubelet=False, paper_kubelet=True) as kube:
        for i in range(namespaces):
            kube.control("load", deployments=1, pods=0, prefix="w%d" % i, namespace="n%d" % i)
        services = "".join(
            'service "w%d" { hosts = {"w%d"} revision "v1" { deployment = "n%d/w%d-0" '
            'port = 8080 } }\n' % (i, i, i, i) for i in range(namespaces))
        with on_cluster(tmp_path, kube, services, activator="drain_timeout = 100ms") as s:
            wait_until(lambda: len(kube.control("watches")["watches"]) >= 2 * namespaces,
                       what="two watches for each namespace")
            clients = [s.connect() for _ in range(n)]
            for i, c in enumerate(clients):
                c.request("GET", "/", "w%d" % i)
                wait_until(lambda: kube.scalings("w%d-0" % i) == [1], what="a PATCH")
            used = {r["connection"] for r in kube.seen(verb="patch", resource="deployments/scale")}
            assert len(used) <= 4  # two that pings keep open, two from the start
            for c in clients:
                c.close()
