"""The kinds of objects, and their names in paths and messages."""


class Kind:
    """A kind.  There is one object for each, so that kinds can be compared by `is`."""

    def __init__(self, group, version, plural, kind, short, namespaced, sub):
        self.group, self.version, self.plural, self.kind = group, version, plural, kind
        self.singular, self.short = kind.lower(), short.split()
        self.namespaced, self.sub = namespaced, frozenset(sub.split())
        self.schema = None  # of a custom resource


def _kinds(*rows):
    return (Kind(*row) for row in rows)


KINDS = list(_kinds(
    ("", "v1", "pods", "Pod", "po", True, "status binding"),
    ("", "v1", "services", "Service", "svc", True, "status"),
    ("", "v1", "endpoints", "Endpoints", "ep", True, ""),
    ("", "v1", "events", "Event", "ev", True, ""),
    ("", "v1", "configmaps", "ConfigMap", "cm", True, ""),
    ("", "v1", "secrets", "Secret", "", True, ""),
    ("", "v1", "serviceaccounts", "ServiceAccount", "sa", True, "token"),
    ("", "v1", "resourcequotas", "ResourceQuota", "quota", True, "status"),
    ("", "v1", "replicationcontrollers", "ReplicationController", "rc", True, "status scale"),
    ("", "v1", "namespaces", "Namespace", "ns", False, "status"),
    ("", "v1", "nodes", "Node", "no", False, "status"),
    ("apps", "v1", "deployments", "Deployment", "deploy", True, "status scale"),
    ("apps", "v1", "replicasets", "ReplicaSet", "rs", True, "status scale"),
    ("apps", "v1", "statefulsets", "StatefulSet", "sts", True, "status scale"),
    ("apps", "v1", "daemonsets", "DaemonSet", "ds", True, "status"),
    ("autoscaling", "v1", "horizontalpodautoscalers", "HorizontalPodAutoscaler", "hpa", True,
     "status"),
    ("coordination.k8s.io", "v1", "leases", "Lease", "", True, ""),
    ("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", "", True, ""),
    ("events.k8s.io", "v1", "events", "Event", "ev", True, ""),
    ("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", "netpol", True, ""),
    ("networking.k8s.io", "v1", "ingresses", "Ingress", "ing", True, "status"),
    ("rbac.authorization.k8s.io", "v1", "roles", "Role", "", True, ""),
    ("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", "", True, ""),
    ("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", "", False, ""),
    ("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", "", False,
     ""),
    ("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition",
     "crd crds", False, "status"),
    ("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations",
     "ValidatingWebhookConfiguration", "", False, ""),
    ("admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations",
     "MutatingWebhookConfiguration", "", False, ""),
    ("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies",
     "ValidatingAdmissionPolicy", "", False, "status"),
    ("admissionregistration.k8s.io", "v1", "validatingadmissionpolicybindings",
     "ValidatingAdmissionPolicyBinding", "", False, ""),
    ("admissionregistration.k8s.io", "v1", "mutatingadmissionpolicies",
     "MutatingAdmissionPolicy", "", False, ""),
    ("admissionregistration.k8s.io", "v1", "mutatingadmissionpolicybindings",
     "MutatingAdmissionPolicyBinding", "", False, ""),
    # like a custom resource with a scale subresource, but without a definition
    ("example.com", "v1", "workers", "Worker", "", True, "status scale"),
))

BY_PATH = {(k.group, k.version, k.plural): k for k in KINDS}
BY_KIND = {(k.group, k.kind): k for k in KINDS}
BY_PLURAL = {}
for _kind in KINDS:
    BY_PLURAL.setdefault(_kind.plural, _kind)


def register(kind):
    """Serve a further kind."""
    KINDS.append(kind)
    BY_PATH[(kind.group, kind.version, kind.plural)] = kind
    BY_KIND[(kind.group, kind.kind)] = kind
    BY_PLURAL.setdefault(kind.plural, kind)


def unregister(kind):
    KINDS.remove(kind)
    del BY_PATH[(kind.group, kind.version, kind.plural)]
    del BY_KIND[(kind.group, kind.kind)]
    if BY_PLURAL[kind.plural] is kind:
        del BY_PLURAL[kind.plural]


POD = BY_PLURAL["pods"]
NODE = BY_PLURAL["nodes"]
SERVICE = BY_PLURAL["services"]
EVENT = BY_PLURAL["events"]
ENDPOINTS = BY_PLURAL["endpoints"]
SLICE = BY_PLURAL["endpointslices"]
DEPLOYMENT = BY_PLURAL["deployments"]
REPLICASET = BY_PLURAL["replicasets"]
STATEFULSET = BY_PLURAL["statefulsets"]
QUOTA = BY_PLURAL["resourcequotas"]
NAMESPACE = BY_PLURAL["namespaces"]
SERVICEACCOUNT = BY_PLURAL["serviceaccounts"]
CRD = BY_PLURAL["customresourcedefinitions"]

LABEL_SELECTOR = {DEPLOYMENT, REPLICASET, STATEFULSET}  # spec.selector has matchLabels


def api_version(kind):
    return kind.group + "/" + kind.version if kind.group else kind.version


def of_object(obj):
    """The kind that an object names; None: it is unknown."""
    group = obj.get("apiVersion", "").rpartition("/")[0]
    return BY_KIND.get((group, obj.get("kind")))


def in_words(kind, sub=None):
    """`deployments.apps`, as messages name it."""
    name = kind.plural + ("." + kind.group if kind.group else "")
    return name + ("/" + sub if sub else "")


def verbs(kind, sub=None):
    if sub == "scale" or sub == "status":
        return ["get", "patch", "update"]
    if sub:
        return ["create"]
    return ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def discovery(group, version):
    """APIResourceList of a group and version; None: it has no kinds."""
    rows = []
    for k in KINDS:
        if (k.group, k.version) != (group, version):
            continue
        rows.append({"name": k.plural, "singularName": k.singular, "namespaced": k.namespaced,
                     "kind": k.kind, "verbs": verbs(k), **({"shortNames": k.short}
                                                           if k.short else {})})
        for sub in sorted(k.sub):
            row = {"name": k.plural + "/" + sub, "singularName": "", "namespaced": k.namespaced,
                   "kind": k.kind, "verbs": verbs(k, sub)}
            if sub == "scale":
                row.update(group="autoscaling", version="v1", kind="Scale")
            rows.append(row)
    if not rows:
        return None
    return {"kind": "APIResourceList", "apiVersion": "v1",
            "groupVersion": group + "/" + version if group else version, "resources": rows}


def groups():
    found = []
    for name in dict.fromkeys(k.group for k in KINDS if k.group):
        versions = [{"groupVersion": "%s/%s" % (name, v), "version": v}
                    for v in sorted({k.version for k in KINDS if k.group == name})]
        found.append({"name": name, "versions": versions, "preferredVersion": versions[0]})
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}
