"""Knative's kinds on a cluster, for tests: their definitions, and calls on their objects."""
import copy
import functools
import glob
import os

import yaml

from cluster import MERGE, Refusal
from helpers import ROOT, wait_until

HERE = os.path.join(ROOT, "conf/kubernetes/knative")
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GROUP = "serving.knative.dev"
VERSIONS = {"services": "v1", "configurations": "v1", "revisions": "v1", "routes": "v1",
            "domainmappings": "v1beta1"}
KINDS = {"services": "Service", "configurations": "Configuration", "revisions": "Revision",
         "routes": "Route", "domainmappings": "DomainMapping"}


def documents(path):
    with open(path) as f:
        return [d for d in yaml.load_all(f, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if d]


@functools.lru_cache
def definitions():
    """{plural: the CustomResourceDefinition of conf/kubernetes/knative}"""
    found = [d for path in glob.glob(HERE + "/crds/*.yaml") for d in documents(path)]
    return {d["spec"]["names"]["plural"]: d for d in found}


PLURALS = {"ClusterRole": "clusterroles", "ClusterRoleBinding": "clusterrolebindings",
           "Role": "roles", "RoleBinding": "rolebindings", "Namespace": "namespaces",
           "ConfigMap": "configmaps", "CustomResourceDefinition": "customresourcedefinitions",
           "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
           "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
           "MutatingAdmissionPolicy": "mutatingadmissionpolicies",
           "MutatingAdmissionPolicyBinding": "mutatingadmissionpolicybindings"}


def post(kube, doc):
    """Create an object of a manifest, unless it exists."""
    version, namespace = doc["apiVersion"], doc["metadata"].get("namespace")
    path = "%s/%s%s/%s" % ("/apis" if "/" in version else "/api", version,
                           "/namespaces/" + namespace if namespace else "", PLURALS[doc["kind"]])
    try:
        kube.api.call("POST", path, doc)
    except Refusal as e:
        if e.code != 409:
            raise


def install(kube):
    """Apply the definitions, and wait until the server serves them."""
    for crd in definitions().values():
        post(kube, crd)
    for crd in definitions().values():
        path = "%s/%s" % (CRDS, crd["metadata"]["name"])
        wait_until(lambda p=path: any(
            c["type"] == "Established" and c["status"] == "True" for c in
            (kube.api.call("GET", p).get("status") or {}).get("conditions") or []),
            what="the kind " + crd["spec"]["names"]["kind"])


def where(plural, namespace, name=None, sub=None):
    at = "/apis/%s/%s" % (GROUP, VERSIONS[plural])
    if namespace:
        at += "/namespaces/" + namespace
    return at + "/" + plural + ("/" + name if name else "") + ("/" + sub if sub else "")


class Objects:
    """Knative's objects in the namespace of a cluster, or in another one."""

    def __init__(self, kube, api=None, namespace=None):
        self.api, self.namespace = api or kube.api, namespace or kube.namespace

    def where(self, plural, name=None, sub=None):
        return where(plural, self.namespace, name, sub)

    def make(self, plural, name, spec, **meta):
        return {"apiVersion": "%s/%s" % (GROUP, VERSIONS[plural]), "kind": KINDS[plural],
                "metadata": {"name": name, **meta}, "spec": spec}

    def create(self, plural, obj, query=""):
        return self.api.call("POST", self.where(plural) + query, obj)

    def get(self, plural, name):
        return self.api.call("GET", self.where(plural, name))

    def find(self, plural, name):
        """None: there is none."""
        try:
            return self.get(plural, name)
        except Refusal as e:
            if e.code != 404:
                raise
            return None

    def list(self, plural, query=""):
        return self.api.call("GET", self.where(plural) + query)["items"]

    def replace(self, plural, obj, sub=None):
        return self.api.call("PUT", self.where(plural, obj["metadata"]["name"], sub), obj)

    def change(self, plural, name, what):
        """Read, let what(object) change it, replace; again after a conflict."""
        while True:
            obj = copy.deepcopy(self.get(plural, name))
            what(obj)
            try:
                return self.replace(plural, obj)
            except Refusal as e:
                if e.code != 409:
                    raise

    def patch(self, plural, name, change, sub=None):
        return self.api.call("PATCH", self.where(plural, name, sub), change, MERGE)

    def delete(self, plural, name, **options):
        return self.api.call("DELETE", self.where(plural, name), options or None)


def condition(obj, kind="Ready"):
    return next((c for c in (obj.get("status") or {}).get("conditions") or []
                 if c["type"] == kind), {})


def is_ready(obj):
    """As each client of Knative understands it."""
    return (obj.get("status") or {}).get("observedGeneration") == obj["metadata"]["generation"] \
        and condition(obj).get("status") == "True"
