"""The account and the rights of conf/kubernetes, for tests: what the manifests grant, and an API
server that has them applied."""
import os

import yaml

from cluster import Refusal, write_config
from helpers import ROOT

RBAC = "/apis/rbac.authorization.k8s.io/v1/"
USER = "system:serviceaccount:activator:activator"  # the account's name in logs


def manifest(name):
    """The documents of a file of conf/kubernetes."""
    with open(os.path.join(ROOT, "conf/kubernetes", name)) as f:
        return [d for d in yaml.safe_load_all(f) if d]


def granted():
    """(group, resource, verb) of everything that rights.yaml grants."""
    return {(group, resource, verb) for obj in manifest("rights.yaml")
            for rule in obj.get("rules") or [] for group in rule["apiGroups"]
            for resource in rule["resources"] for verb in rule["verbs"]}


def post(kube, path, obj):
    """Create it, unless it exists."""
    try:
        kube.api.call("POST", path, obj)
    except Refusal as e:
        if e.code != 409:
            raise


def without(role, right):
    """The role without one right, (group, resource, verb)."""
    return dict(role, rules=[
        {"apiGroups": [g], "resources": [r], "verbs": [v]} for rule in role["rules"]
        for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"]
        if (g, r, v) != right])


def apply_manifest(kube, missing=None):
    """Create namespace, account and rights (but the missing one); roles and bindings in the
    namespace of this test."""
    post(kube, "/api/v1/namespaces", {"metadata": {"name": "activator"}})
    for obj in manifest("account.yaml"):
        post(kube, "/api/v1/namespaces/activator/serviceaccounts", obj)
    for obj in manifest("rights.yaml"):
        if obj["kind"] == "ClusterRole":
            post(kube, RBAC + "clusterroles", without(obj, missing))
        else:
            obj["metadata"]["namespace"] = kube.namespace
            if obj["kind"] == "Role":
                obj = without(obj, missing)
            post(kube, RBAC + "namespaces/%s/%ss" % (kube.namespace, obj["kind"].lower()), obj)


def account_config(kube):
    """Path of a kubeconfig with a token that a pod of the account would get."""
    token = kube.api.call("POST", "/api/v1/namespaces/activator/serviceaccounts/activator/token", {
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"expirationSeconds": 3600}})["status"]["token"]
    with open(kube.kubeconfig) as f:
        config = yaml.safe_load(f)["clusters"][0]["cluster"]
    return write_config(kube.path + "/account.kubeconfig", config["server"],
                        config["certificate-authority"], {"token": token})
