"""conf/kubernetes/rights.yaml grants what the autoscaler needs, so that none of its requests is
refused, and nothing else."""
from cluster import IS_REAL, Api, cluster
from helpers import wait_until
from kube_rights import USER, account_config, apply_manifest, granted
from kube_stack import has_address, on_cluster, service

def test_all_kinds_are_scaled_with_the_rights_of_the_manifest(tmp_path):
    with cluster(tmp_path) as kube:
        apply_manifest(kube)
        kube.workload("d", replicas=3)
        kube.wait_pods("d", 3, has_address)
        kube.workload("s", "StatefulSet")
        kube.workload("r", "ReplicaSet")
        soon = "port = 8080 scale_to_zero_grace = 0"
        services = service("d", kube, soon) + "".join(
            service(name, kube, soon,
                    'workload = "apps/v1/%s/%s/%s"' % (kind, kube.namespace, name))
            for name, kind in (("s", "StatefulSet"), ("r", "ReplicaSet")))
        where = 'namespaces = {"%s"} lease_name = "%s/a"' % (kube.namespace, kube.namespace)
        with on_cluster(tmp_path, kube, services, account_config(kube), where) as s:
            for name in "d", "s", "r":
                assert s.get(name)[0] == 200
            for name, plural in (("d", "deployments"), ("s", "statefulsets"),
                                 ("r", "replicasets")):
                wait_until(lambda n=name, p=plural: kube.replicas(n, p) == 0,
                           what="zero of " + name)
            assert "orbidden" not in s.autoscaler.text()
        if not IS_REAL:
            ours = kube.seen(user=USER)
            assert len(ours) > 10 and {
                r.get("status") for r in ours if r.get("resource") != "leases"} <= {200, 201, None}
            # There is no Lease at first.
            assert [r["status"] for r in ours if r.get("resource") == "leases" and
                    r.get("status") not in (200, 201, None)] == [404]


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


def code_of(api, namespace, group, resource, verb):
    """Status of the answer to such a request, about an object that does not exist."""
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
        rights = granted()
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


def test_no_right_is_granted_in_another_namespace(tmp_path):
    with cluster(tmp_path, has_kubelet=False) as kube:
        apply_manifest(kube)
        api = Api(account_config(kube))
        for group, resource, verb in granted():
            assert code_of(api, "kube-system", group, resource, verb) == 403
