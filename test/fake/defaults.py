"""What the server fills in, and what it refuses, of the kinds that it is built with."""
import fractions
import hashlib
import re

import customs
import kinds
from store import Refused

LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")
DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?$")


def defaulted(kind, obj):
    """The object with the defaults that the server fills in."""
    if kind.schema is not None:
        return customs.shaped(kind, obj)
    if kind is kinds.POD:
        return {**obj, "spec": _pod_spec(obj.get("spec") or {}),
                "status": obj.get("status") or {"phase": "Pending", "qosClass": "BestEffort"}}
    if kind in kinds.LABEL_SELECTOR:
        return {**obj, "spec": _workload_spec(kind, obj.get("spec") or {})}
    if kind is kinds.SERVICE:
        return {**obj, "spec": _service_spec(obj.get("spec") or {}, obj.get("metadata") or {})}
    return obj


def _workload_spec(kind, spec):
    spec = {"replicas": 1, **spec}
    template = dict(spec.get("template") or {})
    template["spec"] = _pod_spec(template.get("spec") or {})
    spec["template"] = template
    if kind is kinds.STATEFULSET:
        spec.setdefault("podManagementPolicy", "OrderedReady")
    if kind is kinds.DEPLOYMENT:
        spec.setdefault("progressDeadlineSeconds", 600)
        spec.setdefault("revisionHistoryLimit", 10)
        strategy = {"type": "RollingUpdate", **(spec.get("strategy") or {})}
        if strategy["type"] == "RollingUpdate":
            strategy["rollingUpdate"] = {"maxSurge": "25%", "maxUnavailable": "25%",
                                         **(strategy.get("rollingUpdate") or {})}
        spec["strategy"] = strategy
    return spec


QUANTITY = re.compile(r"([+-]?[0-9.]+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+|)$")
DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
BINARY = {"": 0, "Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def value_of(text):
    """(the number that a quantity is, whether its unit is a power of 2)"""
    number, unit = QUANTITY.match(str(text)).groups()
    if unit[1:] == "i":
        return fractions.Fraction(number) * 2 ** BINARY[unit], True
    exponent = DECIMAL[unit] if unit in DECIMAL else int(unit[1:])
    return fractions.Fraction(number) * fractions.Fraction(10) ** exponent, False


def quantity(text):
    """A quantity as the server writes it: with the largest unit that leaves a whole number."""
    value, is_binary = value_of(text)
    units = [(name, fractions.Fraction(10) ** n) for name, n in DECIMAL.items()]
    if is_binary and value >= 1024 and value.denominator == 1:
        units = [(name, fractions.Fraction(2) ** n) for name, n in BINARY.items()]
    name, unit = next(u for u in reversed(units) if value % u[1] == 0)
    return "%d%s" % (value / unit, name if value else "")


def _resources(resources):
    return {name: {k: quantity(v) for k, v in part.items()} if name in ("limits", "requests")
            else part for name, part in resources.items()}


def _filled(obj, **defaults):
    """The object without what Go leaves out, with these defaults for what is 0 or absent."""
    return {**defaults, **{k: v for k, v in obj.items() if v not in (None, "", 0) or v is False}}


def _pod_spec(spec):
    spec = {"terminationGracePeriodSeconds": 30, "restartPolicy": "Always",
            "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler",
            "enableServiceLinks": True, "securityContext": {},
            **{k: v for k, v in spec.items() if v is not None}}
    for name in ("containers", "initContainers"):
        if name in spec or name == "containers":
            spec[name] = [_container(c) for c in spec.get(name) or []]
    if "serviceAccountName" in spec:
        spec["serviceAccount"] = spec["serviceAccountName"]
    if "volumes" in spec:
        spec["volumes"] = [_volume(v) for v in spec["volumes"]]
    return spec


def _container(c):
    image = c.get("image", "")
    is_latest = "@" not in image and (":" not in image.rpartition("/")[2]
                                      or image.endswith(":latest"))
    c = {"imagePullPolicy": "Always" if is_latest else "IfNotPresent", "resources": {},
         "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
         **{k: v for k, v in c.items() if v is not None}}
    c["resources"] = _resources(c["resources"])
    if "ports" in c:
        c["ports"] = [{"protocol": "TCP", **p} for p in c["ports"]]
    for name in ("readinessProbe", "livenessProbe", "startupProbe"):
        if name in c:
            p = _filled(c[name], timeoutSeconds=1, periodSeconds=10, successThreshold=1,
                        failureThreshold=3)
            if "httpGet" in p:
                p["httpGet"] = _filled(p["httpGet"], path="/", scheme="HTTP")
            if "grpc" in p:
                p["grpc"] = {"service": "", **p["grpc"]}
            c[name] = p
    if "env" in c:
        c["env"] = [_variable(e) for e in c["env"]]
    return c


def _variable(e):
    e = _filled(e)
    source = e.get("valueFrom") or {}
    if "fieldRef" in source:
        return {**e, "valueFrom": {**source, "fieldRef": {"apiVersion": "v1",
                                                          **source["fieldRef"]}}}
    return e


def _volume(v):
    for name in ("secret", "configMap", "projected"):
        if name in v:
            return {**v, name: {"defaultMode": 420, **v[name]}}
    directory = v.get("emptyDir") or {}
    if "sizeLimit" in directory:
        return {**v, "emptyDir": {**directory, "sizeLimit": quantity(directory["sizeLimit"])}}
    return v


def _service_spec(spec, meta):
    spec = {"type": "ClusterIP", "sessionAffinity": "None", **spec}
    if "ports" in spec:
        spec["ports"] = [{"protocol": "TCP", "targetPort": p.get("port"), **p}
                         for p in spec["ports"]]
    if spec["type"] == "ExternalName":
        return spec
    if "clusterIP" not in spec:
        digest = hashlib.sha1(("%s/%s" % (meta.get("namespace"), meta.get("name"))).encode())
        spec["clusterIP"] = "10.96.%d.%d" % tuple(digest.digest()[:2])
    spec.setdefault("clusterIPs", [spec["clusterIP"]])
    return {"internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack", **spec}


# --- refusals

def _invalid(kind, name, text):
    what = kind.kind + ("." + kind.group if kind.group else "")
    return Refused(422, "Invalid", '%s "%s" is invalid: %s' % (what, name, text),
                   {"name": name, "group": kind.group, "kind": kind.kind})


def check(kind, obj):
    """What holds for objects of all kinds, and names of Services."""
    meta = obj.get("metadata") or {}
    name = meta.get("name") or meta.get("generateName") or ""
    for key, value in (meta.get("labels") or {}).items():
        if not isinstance(value, str) or len(value) > 63 or not LABEL_VALUE.match(value):
            raise _invalid(kind, name, 'metadata.labels: Invalid value: "%s": must be a valid label '
                           "value of no more than 63 characters (key %s)" % (value, key))
    for key, value in (meta.get("annotations") or {}).items():
        if not isinstance(value, str):
            raise Refused(400, "BadRequest", "%s in version %s cannot be handled: json: cannot "
                          "unmarshal the annotation %s into Go struct field of type string"
                          % (kind.kind, kind.version, key))
    if kind is kinds.SERVICE and "name" in meta and (len(name) > 63 or not DNS_1035.match(name)):
        raise _invalid(kind, name, 'metadata.name: Invalid value: "%s": a DNS-1035 label must '
                       "consist of lower case alphanumeric characters or '-', start with an "
                       "alphabetic character, and end with an alphanumeric character" % name)
    if kind is kinds.DEPLOYMENT:
        spec = obj.get("spec") or {}
        labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
        wanted = (spec.get("selector") or {}).get("matchLabels") or {}
        if any(labels.get(k) != v for k, v in wanted.items()):
            raise _invalid(kind, name, "spec.template.metadata.labels: Invalid value: "
                           "`selector` does not match template `labels`")


def check_change(old, new, sub, is_patch):
    """What a change of an existing object may not do."""
    kind, name = old.kind, old.key[1]
    meta = new.get("metadata") or {}
    if is_patch and meta.get("uid") != old.meta["uid"] and \
            meta.get("resourceVersion") in (None, old.meta["resourceVersion"]):
        raise _invalid(kind, name, 'metadata.uid: Invalid value: "%s": field is immutable'
                       % meta.get("uid"))
    if meta.get("name") not in (None, "", name):
        raise Refused(400, "BadRequest", "the name of the object (%s) does not match the name on "
                      "the URL (%s)" % (meta["name"], name))
    if kind in (kinds.DEPLOYMENT, kinds.REPLICASET) and sub is None and \
            (new.get("spec") or {}).get("selector") != old.data["spec"].get("selector"):
        raise _invalid(kind, name, "spec.selector: Invalid value: field is immutable")
