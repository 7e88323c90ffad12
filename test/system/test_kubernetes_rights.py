"""The rights of conf/kubernetes/rights.yaml are those that are needed: with them all goes
its way and nothing is refused, and whatever they do not grant is refused."""
import os

import yaml

from cluster import IS_REAL, Api, Refusal, cluster, write_config
from stack import ROOT, wait_until
from test_kubernetes import both, is_running, service

RBAC = "/apis/rbac.authorization.k8s.io/v1/"
USER = "system:serviceaccount:activator:activator"


def manifest(name):
    with open(os.path.join(ROOT, "conf/kubernetes", name)) as f:
        return [d for d in yaml.safe_load_all(f) if d]


def post(kube, path, obj):
    """Made, or there already."""
    try:
        kube.api.call("POST", path, obj)
    except Refusal as e:
        if e.code != 409:
            raise


def apply_manifest(kube):
    """Namespace, account and rights as they stand; the bindings in this test's namespace."""
    post(kube, "/api/v1/namespaces", {"metadata": {"name": "activator"}})
    for obj in manifest("account.yaml"):
        post(kube, "/api/v1/namespaces/activator/serviceaccounts", obj)
    for obj in manifest("rights.yaml"):
        if obj["kind"] == "ClusterRole":
            post(kube, RBAC + "clusterroles", obj)
        else:
            obj["metadata"]["namespace"] = kube.namespace
            post(kube, RBAC + "namespaces/%s/rolebindings" % kube.namespace, obj)


def account_config(kube):
    """A kubeconfig with a token as a pod of that account gets it."""
    token = kube.api.call("POST", "/api/v1/namespaces/activator/serviceaccounts/activator/token", {
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"expirationSeconds": 3600}})["status"]["token"]
    with open(kube.kubeconfig) as f:
        config = yaml.safe_load(f)["clusters"][0]["cluster"]
    return write_config(kube.path + "/account.kubeconfig", config["server"],
                        config["certificate-authority"], {"token": token})


def test_all_goes_its_way_with_the_rights_of_the_manifest(tmp_path):
    with cluster(tmp_path) as kube:
        apply_manifest(kube)
        kube.workload("d", replicas=3)
        kube.wait_pods("d", 3, is_running)
        kube.workload("s", "StatefulSet")
        kube.workload("r", "ReplicaSet")
        soon = "port = 8080 scale_to_zero_grace = 0"
        services = service("d", kube, soon) + "".join(
            service(name, kube, soon, 'workload = "apps/v1/%s/%s/%s"' % (kind, kube.namespace, name))
            for name, kind in (("s", "StatefulSet"), ("r", "ReplicaSet")))
        where = 'namespaces = {"%s"}' % kube.namespace
        with both(tmp_path, kube, services, account_config(kube), where) as s:
            for name in "d", "s", "r":
                assert s.get(name)[0] == 200
            for name, plural in (("d", "deployments"), ("s", "statefulsets"),
                                 ("r", "replicasets")):
                wait_until(lambda n=name, p=plural: kube.replicas(n, p) == 0, what="zero of " + name)
            assert "orbidden" not in s.autoscaler.text()
        if not IS_REAL:
            ours = kube.seen(user=USER)
            assert len(ours) > 10 and {r.get("status") for r in ours} <= {200, 201, None}


PATHS = {"": "/api/v1", "apps": "/apis/apps/v1", "coordination.k8s.io":
         "/apis/coordination.k8s.io/v1", "discovery.k8s.io": "/apis/discovery.k8s.io/v1",
         "rbac.authorization.k8s.io": "/apis/rbac.authorization.k8s.io/v1"}
RESOURCES = [("", "pods"), ("", "services"), ("", "events"), ("", "secrets"), ("", "configmaps"),
             ("", "endpoints"), ("", "serviceaccounts"), ("apps", "deployments"),
             ("apps", "deployments/scale"), ("apps", "statefulsets"),
             ("apps", "statefulsets/scale"), ("apps", "replicasets"),
             ("apps", "replicasets/scale"), ("coordination.k8s.io", "leases"),
             ("discovery.k8s.io", "endpointslices"), ("rbac.authorization.k8s.io", "roles")]
CALLS = {"get": ("GET", True, ""), "list": ("GET", False, ""), "patch": ("PATCH", True, ""),
         "watch": ("GET", False, "?watch=1&timeoutSeconds=1&resourceVersion=0"),
         "create": ("POST", False, ""), "update": ("PUT", True, ""), "delete": ("DELETE", True, "")}


def granted():
    for obj in manifest("rights.yaml"):
        for rule in obj.get("rules") or []:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    for verb in rule["verbs"]:
                        yield group, resource, verb


def code_of(api, namespace, group, resource, verb):
    method, is_named, query = CALLS[verb]
    plural, _, sub = resource.partition("/")
    path = "%s/namespaces/%s/%s" % (PATHS[group], namespace, plural)
    if is_named or sub:
        path += "/nobody" + ("/" + sub if sub else "")
    body = {} if method in ("POST", "PUT", "PATCH") else None
    content = "application/merge-patch+json" if method == "PATCH" else "application/json"
    connection, answer = api.open(method, path + query, body, content)
    connection.close()
    return answer.status


def test_each_verb_that_is_not_granted_is_refused(tmp_path):
    with cluster(tmp_path, has_kubelet=False) as kube:
        apply_manifest(kube)
        api = Api(account_config(kube))
        rights = set(granted())
        verbs_of_sub = {"get", "patch", "update"}
        tried = 0
        for group, resource in RESOURCES:
            for verb in CALLS:
                if "/" in resource and verb not in verbs_of_sub:
                    continue
                code = code_of(api, kube.namespace, group, resource, verb)
                is_granted = (group, resource, verb) in rights
                assert (code != 403) == is_granted, (group, resource, verb, code)
                tried += 1
        assert tried > 80 and len(rights) == len([r for r in rights if r[0] in PATHS])


def test_another_namespace_is_out_of_reach(tmp_path):
    with cluster(tmp_path, has_kubelet=False) as kube:
        apply_manifest(kube)
        api = Api(account_config(kube))
        for group, resource, verb in set(granted()):
            assert code_of(api, "kube-system", group, resource, verb) == 403
