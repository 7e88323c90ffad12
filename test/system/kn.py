"""A stand-in for kn, Knative's command line: it makes the same calls to the API server, in the same
order, from what it has read into the same types.

kn reads objects into structs of Go and writes them back: fields that its types do not know are
lost, and fields without omitempty are sent with their zero values.  It follows pointers without
a look: what it would crash on is an AssertionError here.  Names of methods are its commands."""
import json
import time
import urllib.parse

from cluster import Refusal
from helpers import WAIT_S
from kube_knative import Objects, condition

LAST_APPLIED = "client.knative.dev/last-applied-configuration"
STAMP = "client.knative.dev/updateTimestamp"
WINDOW_S = 2
# Fields of the types of serving that kn knows, by the place in an object.
POD = {"volumes", "containers", "initContainers", "serviceAccountName", "automountServiceAccountToken",
       "imagePullSecrets", "enableServiceLinks", "nodeSelector", "affinity", "tolerations",
       "securityContext", "containerConcurrency", "timeoutSeconds", "responseStartTimeoutSeconds",
       "idleTimeoutSeconds"}
TARGET = {"tag", "revisionName", "configurationName", "latestRevision", "percent", "url"}


class KnError(Exception):
    """kn ends with status 1 and this text."""


def known(value, names):
    return {k: v for k, v in value.items() if k in names and v is not None}


def container_of(c):
    """What Go writes of a container: name and resources have no omitempty."""
    made = {"name": "", "resources": {}, **c}
    if "ports" in c:
        made["ports"] = [{"containerPort": 0, **p} for p in c["ports"]]
    return made


def template_of(template):
    spec = known(template.get("spec") or {}, POD)
    spec["containers"] = [container_of(c) for c in spec.get("containers") or []]
    meta = known(template.get("metadata") or {}, {"name", "labels", "annotations"})
    return {"metadata": {**meta, "creationTimestamp": None}, "spec": spec}


def service_of(obj):
    """A Service as kn sends it."""
    spec = {"template": template_of(obj["spec"]["template"])}
    if obj["spec"].get("traffic"):
        spec["traffic"] = [known(t, TARGET) for t in obj["spec"]["traffic"]]
    return {"apiVersion": "serving.knative.dev/v1", "kind": "Service",
            "metadata": {"creationTimestamp": None, **obj["metadata"]}, "spec": spec,
            "status": {}}


def template(obj):
    return obj["spec"]["template"]


def user_container(obj):
    """The one that has a port, or the only one."""
    found = template(obj)["spec"]["containers"]
    return next((c for c in found if c.get("ports")), found[0])


class Kn:
    def __init__(self, kube, api=None, namespace=None, timeout_s=WAIT_S):
        self.objects = Objects(kube, api, namespace)
        self.api, self.namespace = self.objects.api, self.objects.namespace
        self.timeout_s = timeout_s
        self.out = []  # the lines that it has printed

    def say(self, line):
        self.out.append(line)

    def _get(self, plural, name):
        """404: the name stands in the error, as kn's users see it."""
        try:
            return self.objects.get(plural, name)
        except Refusal as e:
            if e.code == 404 and "could not find the requested resource" in e.message:
                raise KnError("no or newer Knative Serving API found on the backend, please "
                              "verify the installation or update the 'kn' client") from None
            raise

    # ---- waiting
    def _events(self, plural, name, version):
        query = urllib.parse.urlencode({
            "fieldSelector": "metadata.name=" + name, "resourceVersion": version,
            "timeoutSeconds": int(self.timeout_s) + 30, "watch": "true"})
        return self.api.events("%s?%s" % (self.objects.where(plural), query),
                               timeout=self.timeout_s + 30)

    def wait(self, plural, name):
        """Until it is ready.  Only MODIFIED events count, and only of the newest generation."""
        obj = self._get(plural, name)
        if self._state(obj)[0] == "True":
            return obj
        until, last = time.monotonic() + self.timeout_s, None
        for event in self._events(plural, name, obj["metadata"]["resourceVersion"]):
            assert time.monotonic() < until, "timeout: %s '%s' not ready: %s" % (
                plural, name, json.dumps(obj.get("status")))
            if event["type"] != "MODIFIED":
                continue
            obj = event["object"]
            state, ready = self._state(obj)
            if state is None:
                continue
            if ready.get("message"):
                self.say("..." if ready["message"] == last else ready["message"])
                last = ready["message"]
            if state == "True":
                return obj
            if state == "False" and self._stays_false(plural, name, until):
                raise KnError("%s: %s" % (ready.get("reason"), ready.get("message")))
        raise AssertionError("the watch of %s %s has ended: %s" % (
            plural, name, json.dumps(obj.get("status"))))

    def _stays_false(self, plural, name, until):
        """No other state within kn's window for errors."""
        end = min(until, time.monotonic() + WINDOW_S)
        while time.monotonic() < end:
            if self._state(self._get(plural, name))[0] != "False":
                return False
            time.sleep(0.1)
        return True

    @staticmethod
    def _state(obj):
        status, ready = obj.get("status") or {}, condition(obj)
        if status.get("observedGeneration") != obj["metadata"]["generation"] or not ready:
            return None, {}
        return ready["status"], ready

    # ---- service
    def _new(self, name, image, traffic=None, **flags):
        obj = {"metadata": {"name": name}, "spec": {"template": {"spec": {"containers": [
            {"image": image}]}}}}
        if traffic:
            obj["spec"]["traffic"] = traffic
        self.edit(obj, **flags)
        return obj

    @staticmethod
    def edit(obj, image=None, env=None, args=None, command=None, port=None, concurrency=None,
             timeout=None, scaling=None, revision_name=None, cluster_local=None, annotations=None,
             labels=None, probe=None):
        """Flags that change the template, and cluster_local.  scaling: {"min-scale": "1"}."""
        meta = template(obj).setdefault("metadata", {})
        c = user_container(obj)
        if image:
            c["image"] = image
        if env:
            old = {e["name"]: e for e in c.get("env") or []}
            c["env"] = list({**old, **{k: {"name": k, "value": v}
                                       for k, v in env.items()}}.values())
        if args is not None:
            c["args"] = list(args)
        if command is not None:
            c["command"] = list(command)
        if port is not None:
            kind, _, number = str(port).rpartition(":")
            c["ports"] = [{"containerPort": int(number) if number.isdigit() else 0,
                           **({"name": kind or number} if kind or not number.isdigit() else {})}]
        if probe is not None:
            c["readinessProbe"] = probe
        if concurrency is not None:
            template(obj)["spec"]["containerConcurrency"] = concurrency
        if timeout is not None:
            template(obj)["spec"]["timeoutSeconds"] = timeout
        for key, value in (scaling or {}).items():
            meta.setdefault("annotations", {})["autoscaling.knative.dev/" + key] = value
        if annotations:  # of both
            meta.setdefault("annotations", {}).update(annotations)
            obj["metadata"].setdefault("annotations", {}).update(annotations)
        if labels:
            meta.setdefault("labels", {}).update(labels)
            obj["metadata"].setdefault("labels", {}).update(labels)
        if cluster_local is not None:
            key = "networking.knative.dev/visibility"
            mine = obj["metadata"].setdefault("labels", {})
            mine.pop(key, None)
            if cluster_local:
                mine[key] = "cluster-local"
        if revision_name is not None:
            meta["name"] = obj["metadata"]["name"] + "-" + revision_name
        elif meta.get("name"):
            del meta["name"]
        meta.setdefault("annotations", {})[STAMP] = "%.9f" % time.time()

    def service_create(self, name, image, wait=True, force=False, **flags):
        old = self.objects.find("services", name)
        new = service_of(self._new(name, image, **flags))
        if old is not None:
            if not force:
                raise KnError("cannot create service '%s' in namespace '%s' because the service "
                              "already exists and no --force option was given" % (
                                  name, self.namespace))
            kept = {k: v for k, v in (old["metadata"].get("annotations") or {}).items()
                    if k in ("serving.knative.dev/creator", "serving.knative.dev/lastModifier")}
            new["metadata"].update(resourceVersion=old["metadata"]["resourceVersion"], annotations={
                **new["metadata"].get("annotations", {}), **kept})
            self.objects.replace("services", new)
        else:
            self.say("Creating service '%s' in namespace '%s':" % (name, self.namespace))
            self.objects.create("services", new)
        return self._wait_and_say(name, "created to latest") if wait else None

    def _wait_and_say(self, name, how):
        obj = self.wait("services", name)
        status = obj["status"]
        self.say("Service '%s' %s revision '%s' is available at URL:\n%s" % (
            name, how, status["latestReadyRevisionName"], status["url"]))
        return obj

    def service_update(self, name, change=None, traffic=None, tags=None, untag=(), wait=True,
                       **flags):
        """change(object): any other edit.  traffic: {revision or tag or "@latest": percent};
        tags: {revision or "@latest": tag}."""
        for attempt in range(5):
            obj = self._get("services", name)
            before = obj["metadata"]["generation"]
            if flags:
                self.edit(obj, **flags)
            if change:
                change(obj)
            if traffic is not None or tags or untag:
                self.objects.list("revisions", "?labelSelector=" + urllib.parse.quote(
                    "serving.knative.dev/service=" + name))
                obj["spec"]["traffic"] = computed(obj["spec"]["traffic"], traffic or {},
                                                  tags or {}, untag)
            try:
                after = self.objects.replace("services", service_of(obj))
                break
            except Refusal as e:
                if e.code != 409 or attempt == 4:
                    raise
                time.sleep(0.02 * 1.5 ** attempt)
        if after["metadata"]["generation"] == before:
            self.say("Service '%s' updated in namespace '%s'." % (name, self.namespace))
            self.say("No new revision has been created.")
            return after
        return self._wait_and_say(name, "updated to latest") if wait else after

    def service_apply(self, name, image, wait=True, **flags):
        old = self.objects.find("services", name)
        new = service_of(self._new(name, image, **flags))
        del template(new)["metadata"]["annotations"][STAMP]
        del new["status"]
        applied = json.dumps(new, sort_keys=True)
        new["metadata"].setdefault("annotations", {})[LAST_APPLIED] = applied
        if old is None:
            self.objects.create("services", {**new, "status": {}})
            return self._wait_and_say(name, "created to latest") if wait else None
        last = (old["metadata"].get("annotations") or {}).get(LAST_APPLIED)
        if last is None:
            self.say("Warning: resource is missing the annotation " + LAST_APPLIED)
        change = three_way(json.loads(last) if last else {}, new, old)
        after = self.objects.patch("services", name, change) if change else old
        if (after.get("status") or {}).get("observedGeneration") == \
                after["metadata"]["generation"]:
            self.say("No changes to apply to service '%s'." % name)
            return after
        return self._wait_and_say(name, "applied to latest") if wait else after

    def service_delete(self, name, wait=False):
        self._delete("services", name, wait)
        self.say("Service '%s' successfully deleted in namespace '%s'." % (name, self.namespace))

    def _delete(self, plural, name, wait):
        obj = self._get(plural, name)
        policy = "Foreground" if wait else "Background"
        events = self._events(plural, name, obj["metadata"]["resourceVersion"]) if wait else ()
        self.objects.delete(plural, name, kind="DeleteOptions", apiVersion="v1",
                            propagationPolicy=policy)
        if wait and not any(e["type"] == "DELETED" for e in events):
            raise AssertionError("no DELETED of %s %s" % (plural, name))

    def service_list(self, name=None):
        """[(NAME, URL, LATEST, CONDITIONS, READY, REASON)]"""
        query = "?fieldSelector=" + urllib.parse.quote("metadata.name=" + name) if name else ""
        rows = []
        for obj in self.objects.list("services", query):
            status, ready = obj.get("status") or {}, condition(obj)
            rows.append((obj["metadata"]["name"], status.get("url", ""),
                         status.get("latestCreatedRevisionName", ""), conditions_of(obj),
                         ready.get("status"), ready.get("reason", "")))
        return rows

    def service_describe(self, name, verbose=False):
        """{"url", "revisions": {(revision, tag): (percent, image, replicas)}, "conditions"}"""
        obj = self._get("services", name)
        status = obj["status"]
        wanted = {t["revisionName"] for t in status.get("traffic") or []}
        wanted |= {status[k] for k in ("latestCreatedRevisionName", "latestReadyRevisionName")
                   if status.get(k)}
        revisions = {n: self._get("revisions", n) for n in wanted}
        if verbose:
            for rev in self._revisions_of(name):
                revisions[rev["metadata"]["name"]] = rev
        rows = {}
        for t in status.get("traffic") or []:
            rev = revisions[t["revisionName"]]
            generation_of(rev)
            rows[(t["revisionName"], t.get("tag", ""))] = (
                t["percent"], rev["spec"]["containers"][0]["image"], replicas_of(rev))
        return {"url": status.get("url"), "revisions": rows, "all": set(revisions), "conditions": {
            c["type"]: c["status"] for c in status["conditions"]}}

    def service_wait(self, name):
        self.say("Waiting for Service '%s' in namespace '%s':" % (name, self.namespace))
        obj = self.wait("services", name)
        self.say("Service '%s' in namespace '%s' is ready." % (name, self.namespace))
        return obj

    def service_export(self, name):
        obj = dict(self._get("services", name))
        del obj["status"]
        return obj

    def service_import(self, service, revisions):
        """The Service, and Revisions that it had elsewhere."""
        name = service["metadata"]["name"]
        if self.objects.find("services", name) is not None:
            raise KnError("cannot import service '%s': it exists" % name)
        self.objects.create("services", service_of(service))
        owner = None
        until = time.monotonic() + self.timeout_s  # kn gives up after 0.3 s
        while owner is None:
            assert time.monotonic() < until, "no Configuration"
            owner = self.objects.find("configurations", name)
        for rev in revisions:
            meta = known(rev["metadata"], {"name", "labels", "annotations"})
            self.objects.create("revisions", {**rev, "metadata": {**meta, "ownerReferences": [{
                "apiVersion": "serving.knative.dev/v1", "kind": "Configuration", "name": name,
                "uid": owner["metadata"]["uid"], "controller": True,
                "blockOwnerDeletion": True}]}, "status": {}})
        return self.wait("services", name)

    # ---- revision
    def _revisions_of(self, service=None):
        return self.objects.list("revisions", "?labelSelector=" + urllib.parse.quote(
            "serving.knative.dev/service=" + service) if service else "")

    def revision_list(self, service=None):
        """[(NAME, SERVICE, TRAFFIC, TAGS, GENERATION, CONDITIONS, READY)], newest first."""
        rows = []
        for rev in self._revisions_of(service):
            assert rev["metadata"].get("annotations") is not None, "kn writes into a nil map"
            owner = rev["metadata"]["labels"].get("serving.knative.dev/service", "")
            traffic = []
            if owner:
                traffic = (self._get("services", owner).get("status") or {}).get("traffic") or []
            mine = [t for t in traffic if t["revisionName"] == rev["metadata"]["name"]]
            rows.append((rev["metadata"]["name"], owner, sum(t["percent"] for t in mine),
                         sorted(t["tag"] for t in mine if t.get("tag")), generation_of(rev),
                         conditions_of(rev), condition(rev).get("status")))
        return sorted(rows, key=lambda r: (r[1], -r[4]))

    def revision_describe(self, name):
        rev = self._get("revisions", name)
        owner = rev["metadata"]["labels"].get("serving.knative.dev/service")
        if owner:
            self._get("services", owner)
        return {"replicas": replicas_of(rev), "image": rev["spec"]["containers"][0]["image"],
                "generation": generation_of(rev), "conditions": {
                    c["type"]: c["status"] for c in rev["status"]["conditions"]}}

    def revision_delete(self, name, wait=False):
        self._delete("revisions", name, wait)
        self.say("Revision '%s' deleted in namespace '%s'." % (name, self.namespace))

    def revision_prune(self, service):
        """revision delete --prune"""
        gone = [r["metadata"]["name"] for r in self._revisions_of(service) if
                r["metadata"]["labels"].get("serving.knative.dev/routingState") != "active"]
        for name in gone:
            self.revision_delete(name)
        return gone

    # ---- route
    def route_list(self):
        return [(r["metadata"]["name"], (r.get("status") or {}).get("url", ""),
                 condition(r).get("status")) for r in self.objects.list("routes")]

    def route_describe(self, name):
        route = self._get("routes", name)
        status = route["status"]
        return {"url": status["url"], "service": [
            o["name"] for o in route["metadata"].get("ownerReferences") or []], "traffic": [
                (t["revisionName"], t["percent"], t.get("tag", ""), t.get("url", ""))
                for t in status["traffic"]]}

    # ---- domain
    def domain_create(self, name, ref):
        """ref: ksvc:NAME or kroute:NAME"""
        kind, _, target = ref.partition(":")
        plural, kind = {"ksvc": ("services", "Service"), "kroute": ("routes", "Route")}[kind]
        self._get(plural, target)
        self.objects.create("domainmappings", {
            "apiVersion": "serving.knative.dev/v1beta1", "kind": "DomainMapping",
            "metadata": {"name": name, "namespace": self.namespace, "creationTimestamp": None},
            "spec": {"ref": {"kind": kind, "namespace": self.namespace, "name": target,
                             "apiVersion": "serving.knative.dev/v1"}}, "status": {}})
        self.say("Domain mapping '%s' created in namespace '%s'." % (name, self.namespace))

    def domain_update(self, name, ref):
        kind, _, target = ref.partition(":")
        self._get("services" if kind == "ksvc" else "routes", target)
        obj = self._get("domainmappings", name)
        obj["spec"]["ref"].update(name=target, kind="Service" if kind == "ksvc" else "Route")
        self.objects.replace("domainmappings", obj)

    def domain_list(self):
        return [(d["metadata"]["name"], (d.get("status") or {}).get("url", ""),
                 condition(d).get("status")) for d in self.objects.list("domainmappings")]

    def domain_describe(self, name):
        return self._get("domainmappings", name)

    def domain_delete(self, name):
        self._get("domainmappings", name)
        self.objects.delete("domainmappings", name)
        self.say("Domain mapping '%s' deleted in namespace '%s'." % (name, self.namespace))


def conditions_of(obj):
    """The column CONDITIONS, of all conditions of the object."""
    found = (obj.get("status") or {}).get("conditions") or []
    return "%d OK / %d" % (sum(c["status"] == "True" for c in found), len(found))


def generation_of(rev):
    return int(rev["metadata"]["labels"]["serving.knative.dev/configurationGeneration"])


def replicas_of(rev):
    status = rev.get("status") or {}
    if "actualReplicas" not in status or "desiredReplicas" not in status:
        return ""
    return "%d/%d" % (status["actualReplicas"], status["desiredReplicas"])


def computed(old, traffic, tags, untag):
    """The traffic of a Service by kn's flags --traffic, --tag and --untag."""
    targets = []
    for t in old:
        assert t.get("latestRevision") is not None and t.get("percent") is not None, \
            "kn follows a nil pointer: %s" % t
        targets.append(known(t, TARGET))
    for t in targets:
        if t.get("tag") in untag:
            del t["tag"]

    def is_of(t, name):
        return t["latestRevision"] if name == "@latest" else t.get("revisionName") == name
    for name, tag in tags.items():
        mine = next((t for t in targets if is_of(t, name) and not t.get("tag")), None)
        if mine is None:
            mine = {"percent": 0, "latestRevision": name == "@latest"}
            if name != "@latest":
                mine["revisionName"] = name
            targets.append(mine)
        mine["tag"] = tag
    if traffic:
        for t in targets:
            t["percent"] = 0
        for name, percent in traffic.items():
            mine = next((t for t in targets if t.get("tag") == name), None) or \
                next((t for t in targets if is_of(t, name)), None)
            if mine is None:
                mine = {"latestRevision": name == "@latest"}
                if name != "@latest":
                    mine["revisionName"] = name
                targets.append(mine)
            mine["percent"] = percent
    return [t for t in targets if t["percent"] or t.get("tag")]


def three_way(last, new, now):
    """The JSON merge patch that makes now what new says, without what last alone had."""
    change = {}
    for k, v in new.items():
        if isinstance(v, dict) and isinstance(now.get(k), dict):
            inner = three_way(last.get(k) or {}, v, now[k])
            if inner:
                change[k] = inner
        elif v is not None and v != now.get(k) and not (k == "status" and v == {}):
            change[k] = v
    for k in last:
        if k not in new and k in now:
            change[k] = None
    return change
