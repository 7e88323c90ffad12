#!/usr/bin/env python3
"""Write crds/*.yaml: the kinds of Knative Serving's API, as this project serves them.

  crds.py            write the files
  crds.py --check    end with status 1 unless they are what would be written

Three kinds contain the same pod template, so that its schema is here once.  Needs python3-yaml.

A rule in CEL refuses what Knative's webhook refuses, with the first line of the webhook's message.
The limits on lengths bound the cost of the rules, which a server adds up before it accepts a CRD:
10 million units for each rule, 100 million for all of a CRD.  The text of
a number, or of an element that filter() has found, counts as endless where + appends it: messages
are made by format().  policies.py beside this file has the rest: rules whose messages need more, as for
percents, and those on a ConfigMap, or on labels and annotations, which rules of a CRD cannot see.

Defaults are only those that depend on nothing else.  Those that a ConfigMap may change
(timeoutSeconds, containerConcurrency, resources) are set by a policy or by the controllers.

Lists of containers have no key: clients send `name: ""`, as often as they like.  Null and zero
values of Go's types (`creationTimestamp: null`, `resources: {}`, `containerPort: 0`) must pass."""
import os
import sys

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
GROUP = "serving.knative.dev"
MAX_INT32 = 2147483647
LABEL = "[a-z]([-a-z0-9]*[a-z0-9])?"
IMAGE = (r"^([A-Za-z0-9.\\-\\[\\]:]+/)?[a-z0-9_.\\-/]+(:[A-Za-z0-9_.\\-]{1,128})?"
         r"(@[a-z0-9]+:[a-f0-9]{32,})?$")
QUANTITY = (r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?"
            r"(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$")


# --- parts of schemas

def rule(cel, message=None, expression=None):
    """A rule that refuses with this message, or with the text that this expression makes."""
    made = {"rule": cel}
    if expression:
        made["messageExpression"] = expression
    made["message"] = message
    return made


def with_rules(schema, *rules):
    return {**schema, "x-kubernetes-validations": list(rules)} if rules else schema


def obj(properties, *rules, required=(), **more):
    made = {"type": "object", **more}
    if required:
        made["required"] = list(required)
    made["properties"] = properties
    return with_rules(made, *rules)


def text(most=None, *rules, **more):
    return with_rules({"type": "string", **({"maxLength": most} if most else {}), **more}, *rules)


def boolean(*rules, **more):
    return with_rules({"type": "boolean", **more}, *rules)


def number(form="int32", *rules, **more):
    return with_rules({"type": "integer", "format": form, **more}, *rules)


def between(low, high, path, form="int32", least=None):
    """A number.  least: the text names it as the lower bound, where 0 stands for absent."""
    return number(form, rule(
        "self >= %d && self <= %d" % (low, high), "expected %d <= V <= %d: %s" % (low, high, path),
        "'expected %d <= %%d <= %d: %s'.format([self])" % (
            low if least is None else least, high, path)))


def at_least_zero(path, most):
    """A number.  most: the text names it as the upper bound, which a ConfigMap may change."""
    return number("int64", rule(
        "self >= 0", "expected 0 <= V <= %d: %s" % (most, path),
        "'expected 0 <= %%d <= %d: %s'.format([self])" % (most, path)))


def array(items, most, *rules, key=None, **more):
    made = {"type": "array", "maxItems": most, **more}
    if key:
        made.update({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]})
    else:
        made["x-kubernetes-list-type"] = "atomic"
    made["items"] = items
    return with_rules(made, *rules)


def mapping(values, **more):
    return {"type": "object", "additionalProperties": values, **more}


def anything(**more):
    return {"type": "object", "x-kubernetes-preserve-unknown-fields": True, **more}


def reference(*rules, **properties):
    return {"x-kubernetes-map-type": "atomic",
            **obj({**properties, "name": text(253, default=""), "optional": boolean()}, *rules)}


def port_of_a_probe():
    return {"anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True}


def quantity():
    return {**port_of_a_probe(), "pattern": QUANTITY}


# --- containers

def environment(at):
    key = {"key": text(253)}
    source = obj({
        "configMapKeyRef": reference(**key), "secretKeyRef": reference(**key),
        # These two by a switch of config-features, as the policy for features says.
        "fieldRef": obj({"apiVersion": text(), "fieldPath": text()}, required=["fieldPath"]),
        "resourceFieldRef": obj({"containerName": text(), "divisor": quantity(),
                                 "resource": text()}, required=["resource"])},
        rule("[has(self.configMapKeyRef), has(self.secretKeyRef), has(self.fieldRef), "
             "has(self.resourceFieldRef)].filter(x, x).size() == 1",
             "expected exactly one, got neither: %s.env[*].valueFrom.configMapKeyRef, "
             "%s.env[*].valueFrom.secretKeyRef" % (at, at)))
    return array(obj({"name": text(256), "value": text(), "valueFrom": source},
                     required=["name"]), 500, key="name")


def environment_from(at):
    paths = ": %s.envFrom[*].configMapRef, %s.envFrom[*].secretRef" % (at, at)
    return array(obj(
        {"configMapRef": reference(), "secretRef": reference(), "prefix": text(256)},
        rule("has(self.configMapRef) || has(self.secretRef)",
             "expected exactly one, got neither" + paths),
        rule("!(has(self.configMapRef) && has(self.secretRef))",
             "expected exactly one, got both" + paths)), 100)


def handlers(at):
    paths = ", ".join("%s.%s" % (at, h) for h in ("exec", "grpc", "httpGet", "tcpSocket"))
    count = "[has(self.exec), has(self.grpc), has(self.httpGet), has(self.tcpSocket)]" \
        ".filter(x, x).size()"
    properties = {
        "exec": obj({"command": array(text(), 100)}),
        "grpc": obj({"port": number(), "service": text(default="", nullable=True)}),
        "httpGet": obj({
            "host": text(), "path": text(), "port": port_of_a_probe(), "scheme": text(),
            "httpHeaders": array(obj({"name": text(), "value": text()},
                                     required=["name", "value"]), 100)}),
        "tcpSocket": obj({"host": text(), "port": port_of_a_probe()})}
    neither = rule(count + " >= 1", "expected exactly one, got neither: " + paths)
    both = rule(count + " <= 1", "expected exactly one, got both: " + paths)
    return properties, neither, both


def probe(at):
    """livenessProbe and startupProbe: Kubernetes fills in their defaults, in the pod."""
    properties, neither, both = handlers(at)
    counts = {name: number() for name in (
        "failureThreshold", "initialDelaySeconds", "periodSeconds", "successThreshold",
        "timeoutSeconds")}
    return obj({**properties, **counts,
                "terminationGracePeriodSeconds": number("int64")}, neither, both)


def readiness_probe(at):
    """Without a handler it connects to the port; with a period of 0 it is as often as it can be."""
    properties, _, both = handlers(at)
    zero = "!has(self.periodSeconds) || self.periodSeconds == 0"
    only = [rule("!(%s) || !has(self.%s) || self.%s == 0" % (zero, name, name),
                 "%s is disallowed when periodSeconds is zero: %s.%s" % (name, at, name))
            for name in ("failureThreshold", "timeoutSeconds")]
    counts = {name: between(0, MAX_INT32, "%s.%s" % (at, name), least=least) for name, least in (
        ("failureThreshold", 1), ("initialDelaySeconds", 0), ("periodSeconds", 0),
        ("successThreshold", 1), ("timeoutSeconds", 1))}
    return obj({**properties, **counts}, both, *only)


def ports(at):
    reserved = [8008, 8012, 8013, 8022, 9090, 9091]
    at += "[*]"
    return array(obj({
        "containerPort": number(
            "int32", rule("!(self in %s)" % reserved,
                          "it is a reserved port: %s.containerPort" % at,
                          "'%%d is a reserved port: %s.containerPort'.format([self])" % at),
            rule("self >= 0 && self <= 65535", "expected 0 <= V <= 65535: %s.containerPort" % at,
                 "'expected 0 <= %%d <= 65535: %s.containerPort'.format([self])" % at)),
        "name": text(63, rule(
            "self in ['', 'http1', 'h2c']", "Port name is not allowed: %s" % at,
            "'Port name ' + self + ' is not allowed: %s'" % at)),
        "protocol": text(16, rule("self in ['', 'TCP']", "invalid value: %s.protocol" % at,
                                  "'invalid value: ' + self + ': %s.protocol'" % at),
                         default="TCP")}), 10)


def container_security(at):
    return obj({
        "allowPrivilegeEscalation": boolean(),
        "capabilities": obj({"add": array(text(64), 64), "drop": array(text(64), 64)}),
        "privileged": boolean(rule(
            "!self", "must not set the field(s): %s.privileged" % at)),
        "readOnlyRootFilesystem": boolean(),
        "runAsGroup": between(0, MAX_INT32, at + ".runAsGroup", "int64"),
        "runAsNonRoot": boolean(),
        "runAsUser": between(0, MAX_INT32, at + ".runAsUser", "int64"),
        "seccompProfile": obj({"localhostProfile": text(), "type": text()}, required=["type"])})


def mounts(at):
    reserved = ["/", "/dev", "/dev/log"]
    return array(obj({
        "mountPath": text(
            1024, rule("self.startsWith('/')", "invalid value: %s.mountPath" % at,
                       "'invalid value: ' + self + ': %s.mountPath'" % at),
            rule("!(self in [%s])" % ", ".join("'%s'" % r for r in reserved),
                 "a reserved path: %s.mountPath" % at,
                 "'mountPath \"' + self + '\" is a reserved path: %s.mountPath'" % at)),
        "mountPropagation": text(64), "name": text(63), "readOnly": boolean(),
        "subPath": text(1024)}, required=["mountPath", "name"]), 50, key="mountPath")


def container(at):
    return obj({
        "args": array(text(), 1000),
        "command": array(text(), 1000),
        "env": environment(at),
        "envFrom": environment_from(at),
        "image": text(1024, rule("self == '' || self.matches('%s')" % IMAGE,
                                 "Failed to parse image reference: %s.image" % at)),
        "imagePullPolicy": text(32),
        "livenessProbe": probe(at + ".livenessProbe"),
        "name": text(63, rule("self != 'queue-proxy'",
                              '"queue-proxy" is a reserved container name: %s.name' % at)),
        "ports": ports(at + ".ports"),
        "readinessProbe": readiness_probe(at + ".readinessProbe"),
        # Clients of Go's types always send it, but not in the patches that `kn service apply` makes:
        # with it in every object, a patch that changes nothing else makes no new generation.
        "resources": obj({name: mapping(quantity()) for name in ("limits", "requests")},
                         default={}),
        "securityContext": container_security(at + ".securityContext"),
        "startupProbe": probe(at + ".startupProbe"),
        "terminationMessagePath": text(4096),
        "terminationMessagePolicy": text(64, rule(
            "self in ['', 'File', 'FallbackToLogsOnError']",
            "invalid value: %s.terminationMessagePolicy" % at,
            "'invalid value: ' + self + ': %s.terminationMessagePolicy'" % at)),
        "volumeMounts": mounts(at + ".volumeMounts"),
        "workingDir": text(4096)},
        rule("has(self.image) && self.image != ''", "missing field(s): %s.image" % at),
        *ports_of_probes(at))


def ports_of_probes(at):
    """A probe names its port by a number, or by the name that the container gives to its own."""
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        for handler in ("httpGet", "tcpSocket"):
            at_port = "self.%s.%s.port" % (probe, handler)
            yield rule(
                "!has(self.%s) || !has(self.%s.%s) || !has(%s) || type(%s) == int || %s == '' || "
                "has(self.ports) && self.ports.exists(p, has(p.name) && p.name == %s)" % (
                    probe, probe, handler, at_port, at_port, at_port, at_port),
                "Probe port must match container port: %s.%s.%s.port" % (at, probe, handler))


def containers(at):
    ports_n = "self.map(c, has(c.ports) ? c.ports.size() : 0).sum()"
    serves = "self.size() == 1 || has(c.ports) && c.ports.size() > 0"
    reserved = ["K_SERVICE", "K_CONFIGURATION", "K_REVISION"]
    mine = [rule("self.all(c, !has(c.env) || !c.env.exists(e, e.name == '%s'))" % name,
                 '"%s" is a reserved environment variable: %s.env' % (name, at))
            for name in reserved]
    return array(
        container(at), 20,
        rule(ports_n + " <= 1", "more than one container port is set: %s.ports" % at),
        rule("self.size() <= 1 || %s >= 1" % ports_n, "missing field(s): %s.ports" % at),
        # A sidecar may set it.
        rule("self.all(c, !has(c.env) || !(%s) || !c.env.exists(e, e.name == 'PORT'))" % serves,
             '"PORT" is a reserved environment variable: %s.env' % at), *mine)


# --- volumes

def items():
    return array(obj({"key": text(253), "mode": number(), "path": text(4096)},
                     required=["key", "path"]), 500)


def field_files():
    return array(obj({
        "fieldRef": obj({"apiVersion": text(), "fieldPath": text()}, required=["fieldPath"]),
        "mode": number(), "path": text(4096),
        "resourceFieldRef": obj({"containerName": text(), "divisor": quantity(),
                                 "resource": text()}, required=["resource"])},
        required=["path"]), 500)


def volumes(at):
    kinds = {
        "configMap": obj({"defaultMode": number(), "items": items(), "name": text(253, default=""),
                          "optional": boolean()}),
        "emptyDir": obj({
            "medium": text(32, rule("self in ['', 'Memory']", "invalid value: %s.emptyDir.medium"
                                    % at, "'invalid value: ' + self + ': %s.emptyDir.medium'"
                                    % at)),
            "sizeLimit": quantity()}),
        "projected": obj({"defaultMode": number(), "sources": array(obj({
            "configMap": reference(items=items()),
            "downwardAPI": obj({"items": field_files()}),
            "secret": reference(items=items()),
            "serviceAccountToken": obj({"audience": text(), "expirationSeconds": number("int64"),
                                        "path": text(4096)}, required=["path"])}), 100)}),
        "secret": obj({"defaultMode": number(), "items": items(), "optional": boolean(),
                       "secretName": text(253)}),
        # These by switches of config-features, as the policy for features says.
        "csi": anything(),
        "ephemeral": anything(),
        "hostPath": obj({"path": text(4096), "type": text(64)}, required=["path"]),
        "image": anything(),
        "persistentVolumeClaim": obj({"claimName": text(253), "readOnly": boolean()},
                                     required=["claimName"])}
    count = "[%s].filter(x, x).size()" % ", ".join("has(self.%s)" % k for k in kinds)
    paths = ", ".join("%s.%s" % (at, k) for k in ("configMap", "emptyDir", "projected", "secret"))
    return array(
        obj({**kinds, "name": text(63, rule(
            "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')", "invalid value: %s.name" % at,
            "'invalid value: ' + self + ': %s.name'" % at))},
            rule(count + " >= 1", "expected exactly one, got neither: " + paths),
            rule(count + " <= 1", "expected exactly one, got both: " + paths), required=["name"]),
        50, rule("self.all(v, self.exists_one(w, w.name == v.name))",
                 "duplicate volume name: %s.name" % at,
                 "'duplicate volume name \"%%s\": %s.name'.format([self.filter(v, "
                 "!self.exists_one(w, w.name == v.name))[0].name])" % at))


# --- pods, templates

def pod(at):
    """The spec of a Revision, and of a template."""
    mounted = ("has(self.volumes) && self.volumes.exists(v, v.name == m.name)")
    every = "self.%s.all(c, !has(c.volumeMounts) || c.volumeMounts.all(m, %s))"
    return {
        "affinity": anything(),
        "automountServiceAccountToken": boolean(rule(
            "!self", "must not set the field(s): %s.automountServiceAccountToken" % at)),
        "containerConcurrency": at_least_zero(at + ".containerConcurrency", 1000),
        "containers": containers(at + ".containers[*]"),
        "dnsConfig": anything(),
        "dnsPolicy": text(64),
        "enableServiceLinks": boolean(),
        "hostAliases": array(obj({"hostnames": array(text(253), 100), "ip": text(64)}), 100),
        "idleTimeoutSeconds": at_least_zero(at + ".idleTimeoutSeconds", 600),
        "imagePullSecrets": array(obj({"name": text(253, default="")}), 100, key="name"),
        "initContainers": array(container(at + ".initContainers[*]"), 20),
        "nodeSelector": mapping(text()),
        "priorityClassName": text(253),
        "responseStartTimeoutSeconds": at_least_zero(at + ".responseStartTimeoutSeconds", 600),
        "runtimeClassName": text(253),
        "schedulerName": text(253),
        "securityContext": obj({
            "fsGroup": between(0, MAX_INT32, at + ".securityContext.fsGroup", "int64"),
            "runAsGroup": between(0, MAX_INT32, at + ".securityContext.runAsGroup", "int64"),
            "runAsNonRoot": boolean(),
            "runAsUser": between(0, MAX_INT32, at + ".securityContext.runAsUser", "int64"),
            "seccompProfile": obj({"localhostProfile": text(), "type": text()},
                                  required=["type"]),
            "supplementalGroups": array(number("int64"), 100)}),
        "serviceAccountName": text(253, rule(
            "self == '' || self.matches('^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$')",
            "serviceAccountName is invalid: %s.serviceAccountName" % at)),
        "timeoutSeconds": at_least_zero(at + ".timeoutSeconds", 600),
        "tolerations": array(anything(), 100),
        "topologySpreadConstraints": array(anything(), 100),
        "volumes": volumes(at + ".volumes[*]"),
    }, [
        rule("self.containers.size() > 0", "missing field(s): %s.containers" % at),
        rule("(%s) && (!has(self.initContainers) || %s)" % (
            every % ("containers", mounted), every % ("initContainers", mounted)),
            "volumeMount has no matching volume: %s.containers[*].volumeMounts[*].name" % at),
    ]


def template():
    fields, rules = pod("spec.template.spec")
    name = "self.metadata.name"
    has_name = "has(self.metadata) && has(self.metadata.name) && self.metadata.name != ''"
    return obj(
        {"metadata": obj({"annotations": mapping(text()), "finalizers": array(text(), 100),
                          "labels": mapping(text()), "name": text(63), "namespace": text(63)}),
         "spec": obj(fields, *rules, required=["containers"])},
        rule("!(%s) || %s.matches('^%s$')" % (has_name, name, LABEL),
             "not a DNS 1035 label: spec.template.metadata.name",
             "'not a DNS 1035 label: [' + %s + ']: spec.template.metadata.name'" % name),
        # With another name it is another revision.
        rule("!(%s) || !has(oldSelf.metadata) || !has(oldSelf.metadata.name) || "
             "%s != oldSelf.metadata.name || self == oldSelf" % (has_name, name),
             "Saw the following changes without a name change (-old +new): "
             "spec.template.metadata.name"), required=["spec"])


def template_name_rules():
    name = "self.spec.template.metadata.name"
    has = "has(self.spec.template.metadata) && has(%s) && %s != ''" % (name, name)
    return [
        rule("!(%s) || has(self.metadata.generateName) || "
             "%s.startsWith(self.metadata.name + '-')" % (has, name),
             "the name must have the prefix NAME-: spec.template.metadata.name",
             "'\"' + %s + '\" must have prefix \"' + self.metadata.name + "
             "'-\": spec.template.metadata.name'" % name),
        rule("!(%s) || !has(self.metadata.generateName) || self.metadata.generateName == ''" % has,
             "must not set the field(s): spec.template.metadata.name")]


def name_rule():
    return rule("self.metadata.name.size() <= 63 && self.metadata.name.matches('^%s$')" % LABEL,
                "invalid value: not a DNS 1035 label: metadata.name")


# --- traffic

def traffic(is_of_service):
    revision = "has(self.revisionName) && self.revisionName != ''"
    configuration = "has(self.configurationName) && self.configurationName != ''"
    paths = ": spec.traffic[*].configurationName, spec.traffic[*].revisionName"
    rules = [
        rule("!has(self.latestRevision) || self.latestRevision != (%s)" % revision,
             "latestRevision must be set if, and only if, revisionName is not: "
             "spec.traffic[*].latestRevision",
             "'may not set revisionName \"' + (has(self.revisionName) ? self.revisionName : '') + "
             "'\" when latestRevision is ' + (self.latestRevision ? 'true' : 'false') + "
             "': spec.traffic[*].latestRevision'"),
        rule("!has(self.url) || self.url == ''", "must not set the field(s): spec.traffic[*].url")]
    if is_of_service:
        rules.append(rule("!(%s)" % configuration,
                          "must not set the field(s): spec.traffic[*].configurationName"))
    else:
        rules += [rule("(%s) || (%s)" % (revision, configuration),
                       "expected exactly one, got neither" + paths),
                  rule("!((%s) && (%s))" % (revision, configuration),
                       "expected exactly one, got both" + paths)]
    target = obj({
        "configurationName": text(63),
        "latestRevision": boolean(),
        "percent": number("int64", default=0),
        "revisionName": text(63),
        "tag": text(63, rule("self == '' || self.matches('^%s$')" % LABEL,
                             "invalid value: not a DNS 1035 label: spec.traffic[*].tag")),
        "url": text(2048)}, *rules)
    more = {"default": [{"latestRevision": True, "percent": 100}]} if is_of_service else {}
    return array(target, 100, **more)


# --- statuses

def status(**properties):
    return obj({
        "annotations": mapping(text()),
        "conditions": array(obj({
            "lastTransitionTime": text(), "message": text(), "reason": text(), "severity": text(),
            "status": text(), "type": text()}, required=["status", "type"]), 100),
        "observedGeneration": number("int64"),
        **properties})


def address():
    return obj({"CACerts": text(), "audience": text(), "name": text(), "url": text()})


def traffic_status():
    return array(obj({
        "configurationName": text(), "latestRevision": boolean(), "percent": number("int64"),
        "revisionName": text(), "tag": text(), "url": text()}), 200)


def digests():
    return array(obj({"imageDigest": text(), "name": text()}), 100)


LATEST = {"latestCreatedRevisionName": text(), "latestReadyRevisionName": text()}
ROUTED = {"address": address(), "traffic": traffic_status(), "url": text()}


# --- the kinds

def of_condition(what, field):
    return {"name": what, "type": "string",
            "jsonPath": ".status.conditions[?(@.type=='Ready')].%s" % field}


READY = [of_condition("Ready", "status"), of_condition("Reason", "reason")]


def column(name, path, kind="string"):
    return {"name": name, "type": kind, "jsonPath": path}


def crd(kind, plural, short, description, spec, spec_required, spec_rules, status_, columns,
        root_rules, version="v1", duck=()):
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "%s.%s" % (plural, GROUP), "labels": {
            "app.kubernetes.io/name": "activator",
            **{"duck.knative.dev/" + d: "true" for d in duck}}},
        "spec": {
            "group": GROUP, "scope": "Namespaced",
            "names": {"kind": kind, "listKind": kind + "List", "plural": plural,
                      "singular": kind.lower(), "categories": ["all", "knative", "serving"],
                      "shortNames": short},
            "versions": [{
                "name": version, "served": True, "storage": True,
                "subresources": {"status": {}},
                "additionalPrinterColumns": columns,
                "schema": {"openAPIV3Schema": obj(
                    {"apiVersion": text(), "kind": text(), "metadata": {"type": "object"},
                     "spec": obj(spec, *spec_rules, required=spec_required),
                     "status": status_}, *root_rules, required=["spec"],
                    description=description)}}]}}


def service():
    return crd(
        "Service", "services", ["kservice", "ksvc"],
        "A Service makes a Configuration and a Route of its own name: a program that scales from "
        "zero, its revisions, and how requests are split over them.",
        {"template": template(), "traffic": traffic(True)}, ["template"], [],
        status(**LATEST, **ROUTED),
        [column("URL", ".status.url"),
         column("LatestCreated", ".status.latestCreatedRevisionName"),
         column("LatestReady", ".status.latestReadyRevisionName"), *READY],
        [name_rule(), *template_name_rules()], duck=("addressable", "podspecable"))


def configuration():
    return crd(
        "Configuration", "configurations", ["config", "cfg"],
        "A Configuration makes a Revision of each state that its template has had.",
        {"template": template()}, ["template"], [], status(**LATEST),
        [column("LatestCreated", ".status.latestCreatedRevisionName"),
         column("LatestReady", ".status.latestReadyRevisionName"), *READY],
        [name_rule(), *template_name_rules()], duck=("podspecable",))


def revision():
    fields, rules = pod("spec")
    label = ".metadata.labels['serving\\.knative\\.dev/%s']"
    return crd(
        "Revision", "revisions", ["rev"],
        "A Revision is one state of a Configuration's template.  Its spec never changes.",
        fields, ["containers"],
        [*rules, rule("self == oldSelf", "Immutable fields changed (-old +new): spec")],
        status(actualReplicas=number(), containerStatuses=digests(), desiredReplicas=number(),
               initContainerStatuses=digests(), logUrl=text()),
        [column("Config Name", label % "configuration"),
         column("Generation", label % "configurationGeneration"), *READY,
         column("Actual Replicas", ".status.actualReplicas", "integer"),
         column("Desired Replicas", ".status.desiredReplicas", "integer")],
        [name_rule()])


def route():
    return crd(
        "Route", "routes", ["rt"],
        "A Route splits the requests of a host over Revisions.",
        {"traffic": traffic(False)}, [],
        [rule("has(self.traffic)", "Traffic targets sum to 0, want 100: spec.traffic")],
        status(**ROUTED), [column("URL", ".status.url"), *READY], [name_rule()],
        duck=("addressable",))


def domain_mapping():
    ref = "self.metadata.name"
    return crd(
        "DomainMapping", "domainmappings", ["dm"],
        "A DomainMapping makes a Service or a Route answer to a further host: its own name.",
        {"ref": obj({"address": text(), "apiVersion": text(), "group": text(),
                     "kind": text(63), "name": text(253), "namespace": text(63)},
                    rule("self.kind != ''", "missing field(s): spec.ref.kind"),
                    rule("self.name != ''", "missing field(s): spec.ref.name"),
                    required=["kind", "name"]),
         "tls": obj({"secretName": text(253)}, required=["secretName"])}, ["ref"], [],
        status(address=address(), url=text()), [column("URL", ".status.url"), *READY],
        [rule("%s.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?[.])+[a-z0-9]([-a-z0-9]*[a-z0-9])?$')"
              % ref, "invalid value: not a fully qualified domain name: metadata.name"),
         rule("!%s.endsWith('.svc.cluster.local')" % ref,
              "a name below the domain of the cluster: metadata.name",
              "'invalid name \"' + %s + '\": must not be a subdomain of cluster local domain "
              "\"cluster.local\": metadata.name'" % ref),
         rule("!has(self.metadata.generateName) || self.metadata.generateName == ''",
              "must not set the field(s): metadata.generateName")], version="v1beta1")


# --- the files

HEAD = """# Made by crds.py beside this folder.  Change it there, and run it.
"""
KINDS = {"service": service, "configuration": configuration, "revision": revision,
         "route": route, "domainmapping": domain_mapping}


class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):
    def ignore_aliases(self, data):
        return True


def files():
    """{name of a file below crds/: its contents}"""
    return {name + ".yaml": HEAD + yaml.dump(make(), Dumper=Dumper, sort_keys=False, width=98)
            for name, make in KINDS.items()}


def main():
    folder = os.path.join(HERE, "crds")
    is_check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not is_check:
        sys.exit(__doc__)
    differ = []
    for name, contents in files().items():
        path = os.path.join(folder, name)
        if not is_check:
            os.makedirs(folder, exist_ok=True)
            with open(path, "w") as f:
                f.write(contents)
        elif not os.path.exists(path) or open(path).read() != contents:
            differ.append(path)
    for path in differ:
        print("%s: not what crds.py writes: run it" % path, file=sys.stderr)
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
