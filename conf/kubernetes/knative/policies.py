#!/usr/bin/env python3
"""Write policies.yaml and mutating.yaml: what a server does to Knative's objects beyond the schemas
of crds/, without a webhook.

  policies.py            write the files
  policies.py --check    end with status 1 unless they are what would be written

policies.yaml has ValidatingAdmissionPolicies (Kubernetes 1.30).  They refuse what Knative's webhook
refuses of labels and annotations, and what depends on a ConfigMap of the namespace knative-serving.
Where such a ConfigMap does not exist, nothing is refused that depends on it.  mutating.yaml has
MutatingAdmissionPolicies (1.36): creator and lastModifier, and defaults that depend on other fields.

The writes of the controllers, and those of objects that are being deleted, are left alone: each of
them has passed before.  Needs python3-yaml."""
import os
import sys

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
GROUP = "serving.knative.dev"
OURS = "system:serviceaccount:activator:activator"
AUTOSCALING = "autoscaling.knative.dev/"
SERVING = "serving.knative.dev/"
MAX_INT32 = 2147483647
HOUR_S = 3600
DURATION = "^[-+]?([0-9]+([.][0-9]*)?(ns|us|ms|s|m|h))+$|^[-+]?0$"
INTEGER = "^[-+]?[0-9]{1,18}$"
DECIMAL = "^[-+]?([0-9]{1,18}([.][0-9]{0,18})?|[.][0-9]{1,18})$"


# --- parts of policies

def validation(expression, message, message_expression=None):
    made = {"expression": expression, "message": message}
    if message_expression:
        made["messageExpression"] = message_expression
    return made


def rules(resources):
    return {"resourceRules": [{"apiGroups": [GROUP], "apiVersions": ["*"],
                               "operations": ["CREATE", "UPDATE"], "resources": list(resources)}]}


def head(kind, name):
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
            "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "activator"}}}


CONDITIONS = [
    {"name": "not-of-the-controllers",
     "expression": "request.userInfo.username != '%s'" % OURS},
    {"name": "not-being-deleted",
     "expression": "!has(object.metadata.deletionTimestamp)"}]


def policy(name, resources, variables, validations, config_map=None):
    """A policy and its binding.  config_map: the name of one that it depends on."""
    name = "activator-knative-" + name
    spec = {"failurePolicy": "Fail", "matchConstraints": rules(resources),
            "matchConditions": CONDITIONS,
            "variables": [{"name": n, "expression": e} for n, e in variables],
            "validations": validations}
    binding = {"policyName": name, "validationActions": ["Deny"]}
    if config_map:
        spec = {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}, **spec}
        binding["paramRef"] = {"name": config_map, "namespace": "knative-serving",
                               "parameterNotFoundAction": "Allow"}
    return [{**head("ValidatingAdmissionPolicy", name), "spec": spec},
            {**head("ValidatingAdmissionPolicyBinding", name), "spec": binding}]


def value_of(where, keys):
    """CEL: the value of the first of these annotations that is there, or ''."""
    made = "''"
    for key in reversed(keys):
        made = "'%s' in %s ? %s['%s'] : %s" % (key, where, where, key, made)
    return made


# --- labels and annotations of the objects themselves

def rollout_duration():
    key = SERVING + "rollout-duration"
    d = "variables.rollout"
    return [
        validation("%s == '' || %s.matches('%s')" % (d, d, DURATION),
                   "invalid value: metadata.annotations." + key,
                   "'invalid value: ' + %s + ': metadata.annotations.%s'" % (d, key)),
        validation("!%s.matches('%s') || duration(string(duration(%s).getSeconds()) + 's') == "
                   "duration(%s)" % (d, DURATION, d, d), "rollout-duration is not at second "
                   "precision: metadata.annotations." + key,
                   "'rollout-duration=' + %s + ' is not at second precision: "
                   "metadata.annotations.%s'" % (d, key)),
        validation("!%s.matches('%s') || duration(%s) >= duration('0s')" % (d, DURATION, d),
                   "rollout-duration must be positive: metadata.annotations." + key,
                   "'rollout-duration=' + %s + ' must be positive: metadata.annotations.%s'"
                   % (d, key))]


def metadata_policies():
    mine, old = "variables.annotations", "variables.old"
    creator, modifier = SERVING + "creator", SERVING + "lastModifier"
    variables = [
        ("annotations", "has(object.metadata.annotations) ? object.metadata.annotations : {}"),
        ("old", "oldObject != null && has(oldObject.metadata.annotations) ? "
                "oldObject.metadata.annotations : {}"),
        ("rollout", value_of(mine, [SERVING + "rollout-duration", SERVING + "rolloutDuration"])),
        ("isOwned", "has(object.metadata.ownerReferences) && "
                    "object.metadata.ownerReferences.size() > 0")]
    yield from policy("metadata", ["services", "configurations", "routes"], variables, [
        validation(
            "!%s.exists(k, k.startsWith('autoscaling.knative.dev'))" % mine,
            "invalid key name: metadata.annotations",
            "'invalid key name \"' + %s.filter(k, k.startsWith('autoscaling.knative.dev'))[0] + "
            "'\": metadata.annotations: autoscaling annotations must be put under "
            "\"spec.template.metadata.annotations\" to work'" % mine),
        *rollout_duration(),
        validation(
            "variables.isOwned || !('%s' in %s) || '%s' in %s && %s['%s'] == %s['%s']" % (
                creator, old, creator, mine, mine, creator, old, creator),
            "annotation value is immutable: metadata.annotations." + creator),
        # The mutating policy sets it with each change of a spec, and a client by itself may not.
        validation(
            "variables.isOwned || oldObject == null || object.spec != oldObject.spec || "
            "!('%s' in %s) || '%s' in %s && %s['%s'] == %s['%s']" % (
                modifier, old, modifier, mine, mine, modifier, old, modifier),
            "annotation value is immutable: metadata.annotations." + modifier)])

    def owner_of_label(label, kind):
        return validation(
            "!has(object.metadata.labels) || !('%s' in object.metadata.labels) || "
            "has(object.metadata.ownerReferences) && object.metadata.ownerReferences.exists(o, "
            "o.kind == '%s' && o.name == object.metadata.labels['%s'])" % (label, kind, label),
            "missing field(s): metadata.labels." + label)
    yield from policy("children", ["configurations", "routes"], [],
                      [owner_of_label(SERVING + "service", "Service")])
    yield from policy("revisions", ["revisions"], [],
                      [owner_of_label(SERVING + "configuration", "Configuration")])
    yield from policy("domains", ["domainmappings"], [], [validation(
        "!has(object.spec.ref.namespace) || object.spec.ref.namespace == '' || "
        "object.spec.ref.namespace == object.metadata.namespace",
        "invalid value: spec.ref.namespace",
        "'invalid value: ' + object.spec.ref.namespace + ': spec.ref.namespace: it must be empty "
        "or the namespace of the DomainMapping'")])


# --- traffic

def traffic_policy():
    mine = "variables.traffic"
    total = "%s.map(t, has(t.percent) ? int(t.percent) : 0).sum()" % mine
    in_range = "!has(t.percent) || t.percent >= 0 && t.percent <= 100"
    twice = "t != '' && variables.tags.indexOf(t) != variables.tags.lastIndexOf(t)"
    first = "variables.tags.filter(t, %s)[0]" % twice
    yield from policy("traffic", ["services", "routes"], [
        ("traffic", "has(object.spec.traffic) ? object.spec.traffic : []"),
        ("tags", mine + ".map(t, has(t.tag) ? t.tag : '')")], [
            validation("%s.all(t, %s)" % (mine, in_range),
                       "expected 0 <= V <= 100: spec.traffic[*].percent",
                       "'expected 0 <= ' + string(%s.filter(t, !(%s))[0].percent) + ' <= 100: "
                       "spec.traffic[*].percent'" % (mine, in_range)),
            validation(total + " == 100", "Traffic targets do not sum to 100: spec.traffic",
                       "'Traffic targets sum to ' + string(%s) + ', want 100: spec.traffic'"
                       % total),
            validation("!variables.tags.exists(t, %s)" % twice,
                       "Multiple definitions for a tag: spec.traffic[*].tag",
                       "'Multiple definitions for \"%%s\": spec.traffic[%%d].tag, "
                       "spec.traffic[%%d].tag'.format([%s, variables.tags.indexOf(%s), "
                       "variables.tags.lastIndexOf(%s)])" % (first, first, first))])


# --- annotations of templates and Revisions

def checked(name, key, is_right, refusal):
    """The value of an annotation, which may be absent.  is_right, refusal: CEL on V."""
    v = "variables." + name
    return validation("%s == '' || %s" % (v, is_right.replace("V", v)), "invalid value: " + key,
                      "%s + ': ' + variables.at + '.%s'" % (refusal.replace("V", v), key))


def whole(name, key, low, high):
    """A whole number."""
    return checked(
        name, key, "V.matches('%s') && int(V) >= %d && int(V) <= %d" % (INTEGER, low, high),
        "(V.matches('%s') ? 'expected %d <= ' + V + ' <= %d' : 'invalid value: ' + V)"
        % (INTEGER, low, high))


def decimal(name, key, low, high):
    return checked(
        name, key, "V.matches('%s') && double(V) >= %.1f && double(V) <= %.1f" % (
            DECIMAL, low, high),
        "(V.matches('%s') ? 'expected %d <= ' + V + ' <= %d' : 'invalid value: ' + V)"
        % (DECIMAL, low, high))


def positive(name, key):
    """A duration of whole seconds, without an upper bound."""
    is_duration = "V.matches('%s')" % DURATION
    what = key.rpartition("/")[2]
    yield checked(name, key, is_duration, "'invalid value: ' + V")
    yield checked(name, key, "!%s || duration(V) >= duration('0s')" % is_duration,
                  "'%s=' + V + ' must be positive'" % what)
    yield whole_seconds(name, key)


def whole_seconds(name, key):
    return checked(
        name, key, "!V.matches('%s') || duration(string(duration(V).getSeconds()) + 's') == "
        "duration(V)" % DURATION,
        "'%s=' + V + ' is not at second precision'" % key.rpartition("/")[2])


def span(name, key, low_s, high_s):
    """A duration of whole seconds."""
    is_duration = "V.matches('%s')" % DURATION
    yield checked(
        name, key, "%s && duration(V) >= duration('%ds') && duration(V) <= duration('%ds')" % (
            is_duration, low_s, high_s),
        "(%s ? 'expected %s <= ' + V + ' <= %s' : 'invalid value: ' + V)" % (
            is_duration, *(("%dh0m0s" % (s // HOUR_S)) if s >= HOUR_S else "%ds" % s
                           for s in (low_s, high_s))))
    yield whole_seconds(name, key)


def one_of(name, key, values, more=""):
    return checked(name, key, "V in [%s]%s" % (", ".join("'%s'" % v for v in values), more),
                   "'invalid value: ' + V")


ANNOTATIONS = {  # name of a variable -> keys, of which the first that is there holds
    "class_": ["class"], "metric": ["metric"], "target": ["target"], "window": ["window"],
    "minScale": ["min-scale", "minScale"], "maxScale": ["max-scale", "maxScale"],
    "initialScale": ["initial-scale", "initialScale"],
    "activationScale": ["activation-scale", "activationScale"],
    "utilization": ["target-utilization-percentage", "targetUtilizationPercentage"],
    "burst": ["target-burst-capacity", "targetBurstCapacity"],
    "panicWindow": ["panic-window-percentage", "panicWindowPercentage"],
    "panicThreshold": ["panic-threshold-percentage", "panicThresholdPercentage"],
    "scaleDownDelay": ["scale-down-delay", "scaleDownDelay"],
    "retention": ["scale-to-zero-pod-retention-period", "scaleToZeroPodRetentionPeriod"],
    "aggregation": ["metric-aggregation-algorithm", "metricAggregationAlgorithm"]}

NETWORKING = [
    "ingress-class", "ingress.class", "certificate-class", "certificate.class",
    "disable-auto-tls", "disableAutoTLS", "disable-external-domain-tls", "http-protocol",
    "httpProtocol", "httpOption", "http-option"]

TEMPLATES = ["services", "configurations", "revisions"]
META = [
    ("at", "request.kind.kind == 'Revision' ? 'metadata.annotations' : "
           "'spec.template.metadata.annotations'"),
    ("meta", "request.kind.kind == 'Revision' ? object.metadata : "
             "has(object.spec.template.metadata) ? object.spec.template.metadata : {}"),
    ("annotations", "has(variables.meta.annotations) ? variables.meta.annotations : {}")]
POD = [
    ("at", "request.kind.kind == 'Revision' ? 'spec' : 'spec.template.spec'"),
    ("pod", "request.kind.kind == 'Revision' ? object.spec : object.spec.template.spec"),
    ("containers", "variables.pod.containers + (has(variables.pod.initContainers) ? "
                   "variables.pod.initContainers : [])"),
    ("volumes", "has(variables.pod.volumes) ? variables.pod.volumes : []")]


def key_of(name):
    return AUTOSCALING + ANNOTATIONS[name][0]


def variable(name):
    return name, value_of("variables.annotations", [AUTOSCALING + k for k in ANNOTATIONS[name]])


def template_policies():
    kpa = "(variables.class_ in ['', 'kpa.autoscaling.knative.dev'])"
    progress = SERVING + "progress-deadline"
    number = "variables.%s.matches('^[0-9]{1,10}$')"
    yield from policy("annotations", TEMPLATES, [
        *META, *(variable(name) for name in ANNOTATIONS),
        ("progress", value_of("variables.annotations", [progress, SERVING + "progressDeadline"]))],
        [
            one_of("class_", key_of("class_"),
                   ["kpa.autoscaling.knative.dev", "hpa.autoscaling.knative.dev"],
                   " || !V.endsWith('.knative.dev')"),
            whole("minScale", key_of("minScale"), 0, MAX_INT32),
            whole("maxScale", key_of("maxScale"), 0, MAX_INT32),
            validation(
                "!%s || !%s || int(variables.maxScale) == 0 || int(variables.maxScale) >= "
                "int(variables.minScale)" % (number % "minScale", number % "maxScale"),
                "max-scale is less than min-scale",
                "'max-scale=' + variables.maxScale + ' is less than min-scale=' + "
                "variables.minScale + ': ' + variables.at"),
            whole("initialScale", key_of("initialScale"), 0, MAX_INT32),
            checked("activationScale", key_of("activationScale"),
                    "V.matches('%s') && int(V) >= 2 && int(V) <= %d" % (INTEGER, MAX_INT32),
                    "(V.matches('%s') ? 'activation-scale=' + V + ' must be greater than 1' : "
                    "'invalid value: ' + V)" % INTEGER),
            validation(
                "!%s || !%s || int(variables.maxScale) == 0 || int(variables.maxScale) >= "
                "int(variables.activationScale)" % (
                    number % "activationScale", number % "maxScale"),
                "max-scale is less than activation-scale",
                "'max-scale=' + variables.maxScale + ' is less than activation-scale=' + "
                "variables.activationScale + ': ' + variables.at"),
            one_of("metric", key_of("metric"), ["concurrency", "rps"], " || !" + kpa),
            checked("target", key_of("target"),
                    "V.matches('%s') && double(V) >= 0.01" % DECIMAL,
                    "(V.matches('%s') ? 'target ' + V + ' should be at least 0.01' : "
                    "'invalid value: ' + V)" % DECIMAL),
            decimal("utilization", key_of("utilization"), 1, 100),
            checked("burst", key_of("burst"), "V.matches('%s') && (double(V) >= 0.0 || "
                    "double(V) == -1.0)" % DECIMAL, "'invalid value: ' + V"),
            *span("window", key_of("window"), 6, HOUR_S),
            decimal("panicWindow", key_of("panicWindow"), 1, 100),
            decimal("panicThreshold", key_of("panicThreshold"), 110, 1000),
            *span("scaleDownDelay", key_of("scaleDownDelay"), 0, HOUR_S),
            *span("retention", key_of("retention"), 0, HOUR_S),
            one_of("aggregation", key_of("aggregation"),
                   ["linear", "weighted-exponential", "weightedExponential"], " || !" + kpa),
            *positive("progress", progress),
            validation(
                "!variables.annotations.exists(k, k.startsWith('networking.knative.dev/') && "
                "!(k in [%s]))" % ", ".join("'networking.knative.dev/%s'" % k for k in NETWORKING),
                "invalid key name: an annotation of networking.knative.dev",
                "'invalid key name \"' + variables.annotations.filter(k, k.startsWith("
                "'networking.knative.dev/') && !(k in [%s]))[0] + '\": ' + variables.at"
                % ", ".join("'networking.knative.dev/%s'" % k for k in NETWORKING))])


# --- names within a pod

def names():
    mine, volumes = "variables.containers", "variables.volumes"
    is_once = ("!has(c.name) || c.name == '' || %s.exists_one(d, has(d.name) && d.name == c.name)"
               % mine)
    is_used = ("%s.exists(c, has(c.volumeMounts) && c.volumeMounts.exists(m, m.name == v.name))"
               % mine)
    yield from policy("names", TEMPLATES, POD, [
        validation("%s.all(c, %s)" % (mine, is_once), "duplicate container name",
                   "'duplicate container name \"' + %s.filter(c, !(%s))[0].name + '\": ' + "
                   "variables.at + '.containers[*].name'" % (mine, is_once)),
        validation("%s.all(v, %s)" % (volumes, is_used), "a volume is not mounted",
                   "'volume with name \"' + %s.filter(v, !(%s))[0].name + '\" not mounted: ' + "
                   "variables.at + '.volumes[*].name'" % (volumes, is_used))])


# --- what depends on a ConfigMap

def features():
    """Fields of pods that a switch of config-features allows."""
    pod = {name: "kubernetes.podspec-" + name.lower() for name in (
        "affinity", "dnsConfig", "dnsPolicy", "hostAliases", "nodeSelector", "priorityClassName",
        "runtimeClassName", "schedulerName", "securityContext", "tolerations",
        "topologySpreadConstraints")}
    volumes = {"csi": ("CSI", "volumes-csi"), "ephemeral": ("Ephemeral", "volumes-ephemeral"),
               "hostPath": ("HostPath", "volumes-hostpath"), "image": ("Image", "volumes-image")}

    def unless(switch, expression, message):
        """message: CEL"""
        return validation("'%s' in variables.on || %s" % (switch, expression),
                          "config-features: %s is not enabled" % switch,
                          message + " + ' (config-features: %s)'" % switch)
    found = [unless(switch, "!has(variables.pod.%s)" % field,
                    "'must not set the field(s): ' + variables.at + '.%s'" % field)
             for field, switch in pod.items()]
    found += [unless("kubernetes.podspec-" + switch, "!variables.volumes.exists(v, has(v.%s))"
                     % field, "'%s volume support is disabled, but found one: ' + variables.at + "
                     "'.volumes'" % name) for field, (name, switch) in volumes.items()]
    found.append(unless(
        "kubernetes.podspec-persistent-volume-claim",
        "!variables.volumes.exists(v, has(v.persistentVolumeClaim))",
        "'Persistent volume claim support is disabled, but found one: ' + variables.at + "
        "'.volumes'"))
    found.append(unless(
        "kubernetes.podspec-init-containers", "!has(variables.pod.initContainers) || "
        "variables.pod.initContainers.size() == 0",
        "'pod spec support for init-containers is off, but found ' + "
        "string(variables.pod.initContainers.size()) + ' init containers'"))
    found.append(unless(
        "kubernetes.podspec-fieldref", "!variables.containers.exists(c, has(c.env) && "
        "c.env.exists(e, has(e.valueFrom) && (has(e.valueFrom.fieldRef) || "
        "has(e.valueFrom.resourceFieldRef))))",
        "'must not set the field(s): ' + variables.at + '.containers[*].env[*].valueFrom.fieldRef'"))
    found.append(unless(
        "kubernetes.containerspec-addcapabilities", "!variables.containers.exists(c, "
        "has(c.securityContext) && has(c.securityContext.capabilities) && "
        "has(c.securityContext.capabilities.add) && "
        "c.securityContext.capabilities.add.size() > 0)",
        "'must not set the field(s): ' + variables.at + "
        "'.containers[*].securityContext.capabilities.add'"))
    found.append(unless(
        "multi-container-probing", "variables.pod.containers.size() == 1 || "
        "!variables.pod.containers.exists(c, !(has(c.ports) && c.ports.size() > 0) && "
        "(has(c.readinessProbe) || has(c.livenessProbe) || has(c.startupProbe)))",
        "'must not set the field(s): ' + variables.at + '.containers[*].readinessProbe, "
        "livenessProbe, startupProbe of a sidecar'"))
    found.append(validation(
        "!('multi-container' in variables.off) || variables.pod.containers.size() == 1",
        "multi-container is off",
        "'multi-container is off, but found ' + string(variables.pod.containers.size()) + "
        "' containers: ' + variables.at + '.containers'"))
    found.append(validation(
        "!('kubernetes.podspec-volumes-emptydir' in variables.off) || "
        "!variables.volumes.exists(v, has(v.emptyDir))",
        "EmptyDir volume support is disabled",
        "'EmptyDir volume support is disabled, but found one: ' + variables.at + '.volumes'"))
    data = "has(params.data) ? params.data.filter(k, params.data[k].lowerAscii() in [%s]) : []"
    yield from policy("features", TEMPLATES, [
        *POD, ("on", data % "'enabled', 'allowed'"), ("off", data % "'disabled'")], found,
        "config-features")


def number_of(key, default):
    """CEL: the number that the ConfigMap has for this key."""
    return ("has(params.data) && '%s' in params.data && params.data['%s'].matches('^[0-9]{1,10}$')"
            " ? int(params.data['%s']) : %d" % (key, key, key, default))


def is_on(key, default):
    return ("has(params.data) && '%s' in params.data ? params.data['%s'].lowerAscii() == 'true' : "
            "%s" % (key, key, "true" if default else "false"))


def bounds():
    def field(name, low, high):
        value = "variables.pod." + name
        return validation(
            "!has(%s) || %s >= %s && %s <= %s" % (value, value, low, value, high),
            "out of bounds: " + name,
            "'expected ' + string(%s) + ' <= ' + string(%s) + ' <= ' + string(%s) + ': ' + "
            "variables.at + '.%s'" % (low, value, high, name))
    yield from policy("bounds", TEMPLATES, [
        *POD,
        ("leastConcurrency", "(%s) ? 0 : 1" % is_on("allow-container-concurrency-zero", True)),
        ("mostConcurrency", number_of("container-concurrency-max-limit", 1000)),
        ("mostTimeout", number_of("max-revision-timeout-seconds", 600))],
        [field("containerConcurrency", "variables.leastConcurrency",
               "variables.mostConcurrency"),
         field("timeoutSeconds", "0", "variables.mostTimeout")], "config-defaults")


def limits():
    maximum = "variables.maxScale"
    yield from policy("limits", TEMPLATES, [
        *META, variable("maxScale"), variable("initialScale"),
        ("limit", number_of("max-scale-limit", 0)),
        ("allowsZero", is_on("allow-zero-initial-scale", False))],
        [
            validation(
                "variables.limit == 0 || !%s.matches('^[0-9]{1,10}$') || int(%s) != 0"
                % (maximum, maximum), "max-scale=0 (unlimited)",
                "'max-scale=0 (unlimited), must be less than ' + string(variables.limit) + ': ' + "
                "variables.at + '.%s'" % key_of("maxScale")),
            validation(
                "variables.limit == 0 || !%s.matches('^[0-9]{1,10}$') || int(%s) <= "
                "variables.limit" % (maximum, maximum), "max-scale is above the limit",
                "'expected 1 <= ' + %s + ' <= ' + string(variables.limit) + ': ' + variables.at + "
                "'.%s'" % (maximum, key_of("maxScale"))),
            validation(
                "variables.allowsZero || !variables.initialScale.matches('^[+-]?0{1,10}$')",
                "initial-scale=0 not allowed by cluster",
                "'initial-scale=0 not allowed by cluster: ' + variables.at + '.%s'"
                % key_of("initialScale"))], "config-autoscaler")


# --- mutations

def json_patch(expression):
    return {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}


def mutation(name, resources, needs, variables, mutations, config_map=None):
    """needs: the field without which the object is left to its schema, which refuses it."""
    name = "activator-knative-" + name
    parts = needs.split(".")
    paths = ["object." + ".".join(parts[:i + 1]) for i in range(len(parts))]
    is_whole = {"name": "is-whole", "expression": " && ".join("has(%s)" % p for p in paths)}
    spec = {"failurePolicy": "Fail", "reinvocationPolicy": "IfNeeded",
            "matchConstraints": rules(resources), "matchConditions": CONDITIONS + [is_whole],
            "variables": [{"name": n, "expression": e} for n, e in variables],
            "mutations": [json_patch(m) for m in mutations]}
    binding = {"policyName": name}
    if config_map:
        spec = {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}, **spec}
        binding["paramRef"] = {"name": config_map, "namespace": "knative-serving",
                               "parameterNotFoundAction": "Allow"}
    return [{**head("MutatingAdmissionPolicy", name), "spec": spec},
            {**head("MutatingAdmissionPolicyBinding", name), "spec": binding}]


def add(path, value):
    """CEL: a list of one patch."""
    return "[JSONPatch{op: 'add', path: %s, value: %s}]" % (path, value)


def when(condition, patches):
    return "(%s) ? %s : []" % (condition, patches)


def users():
    annotation = "'/metadata/annotations/' + jsonpatch.escapeKey('%s')"
    user = "request.userInfo.username"
    is_new = "oldObject == null"
    yield from mutation("users", ["services", "configurations", "routes"], "spec", [
        ("isOwned", "has(object.metadata.ownerReferences) && "
                    "object.metadata.ownerReferences.size() > 0"),
        ("isChanged", "%s || object.spec != oldObject.spec" % is_new)],
        [when("!variables.isOwned && variables.isChanged && !has(object.metadata.annotations)",
              add("'/metadata/annotations'", "{}")),
         when("!variables.isOwned && " + is_new, add(annotation % (SERVING + "creator"), user)),
         when("!variables.isOwned && variables.isChanged",
              add(annotation % (SERVING + "lastModifier"), user))])


def indices(most, condition, patch):
    """CEL: a patch for each index of a list for which the condition holds."""
    return "[%s].filter(i, %s).map(i, %s)" % (
        ", ".join(str(i) for i in range(most)), condition, patch)


def traffic_defaults():
    target = "variables.traffic[i]"
    yield from mutation("traffic", ["services", "routes"], "spec", [
        ("traffic", "has(object.spec.traffic) ? object.spec.traffic : []")],
        [indices(100, "i < variables.traffic.size() && !has(%s.latestRevision)" % target,
                 "JSONPatch{op: 'add', path: '/spec/traffic/' + string(i) + '/latestRevision', "
                 "value: !has(%s.revisionName) || %s.revisionName == ''}" % (target, target))])


def template_defaults():
    at = "'/spec/template/spec/"
    one = "variables.pod.containers[i]"
    nameless = "(!has(%s.name) || %s.name == '')" % (one, one)
    # A template with a name is a revision that exists, and whose defaults may have been others.
    variables = [
        ("pod", "object.spec.template.spec"),
        ("name", "has(object.spec.template.metadata) && has(object.spec.template.metadata.name) ? "
                 "object.spec.template.metadata.name : ''"),
        ("isOpen", "oldObject == null || variables.name == '' || "
                   "!has(oldObject.spec.template.metadata) || "
                   "!has(oldObject.spec.template.metadata.name) || "
                   "oldObject.spec.template.metadata.name != variables.name"),
        ("timeout", number_of("revision-timeout-seconds", 300)),
        ("concurrency", number_of("container-concurrency", 0))]
    yield from mutation("templates", ["services", "configurations"], "spec.template.spec.containers",
                        variables, [
        when("variables.isOpen && !has(variables.pod.containerConcurrency)",
             add(at + "containerConcurrency'", "variables.concurrency")),
        when("variables.isOpen && (!has(variables.pod.timeoutSeconds) || "
             "variables.pod.timeoutSeconds == 0)", add(at + "timeoutSeconds'",
                                                       "variables.timeout")),
        when("oldObject == null && !has(variables.pod.enableServiceLinks)",
             add(at + "enableServiceLinks'", "false")),
        when("variables.isOpen && variables.pod.containers.size() == 1 && "
             "(!has(variables.pod.containers[0].name) || variables.pod.containers[0].name == '')",
             add(at + "containers/0/name'", "'user-container'")),
        when("variables.isOpen && variables.pod.containers.size() > 1", indices(
            20, "i < variables.pod.containers.size() && " + nameless,
            "JSONPatch{op: 'add', path: %scontainers/' + string(i) + '/name', "
            "value: 'user-container-' + string(i)}" % at))], "config-defaults")


# --- the files

TOP = """# Made by policies.py beside this file.  Change it there, and run it.
"""


class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):
    def ignore_aliases(self, data):
        return True


def files():
    """{name of a file: its contents}"""
    made = {
        "policies.yaml": [*metadata_policies(), *traffic_policy(), *template_policies(),
                          *names(), *features(), *bounds(), *limits()],
        "mutating.yaml": [*users(), *traffic_defaults(), *template_defaults()]}
    return {name: TOP + yaml.dump_all(docs, Dumper=Dumper, sort_keys=False, width=98)
            for name, docs in made.items()}


def main():
    is_check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not is_check:
        sys.exit(__doc__)
    differ = []
    for name, contents in files().items():
        path = os.path.join(HERE, name)
        if not is_check:
            with open(path, "w") as f:
                f.write(contents)
        elif not os.path.exists(path) or open(path).read() != contents:
            differ.append(path)
    for path in differ:
        print("%s: not what policies.py writes: run it" % path, file=sys.stderr)
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
