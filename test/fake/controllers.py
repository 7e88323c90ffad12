"""Controllers: what kube-controller-manager and kube-scheduler do with Deployments,
StatefulSets, ReplicaSets, pods, Services and EndpointSlices.  Steps come in the order of real
controllers, each after a delay of its own."""
import asyncio
import collections
import hashlib
import math
import os

import customs
import garbage
import kinds
import podstatus
from defaults import defaulted, value_of
from store import Refused, encode, matches_labels, stamp

# Seconds from a change to the controller's reaction.  Measured with 1.36: a pod exists 13 ms
# after the PATCH is answered, and is scheduled 9 ms later; a slice follows Ready by 6 ms.
DELAYS = {"deployment": 0.006, "replicaset": 0.007, "statefulset": 0.007, "scheduler": 0.009,
          "slices": 0.006, "garbage": 0.005, "namespace": 0.0, "definition": 0.0}
WORKER = kinds.BY_PLURAL["workers"]
MANAGED_BY, SLICES = "endpointslice.kubernetes.io/managed-by", "endpointslice-controller.k8s.io"
COST = "controller.kubernetes.io/pod-deletion-cost"
LETTERS = "bcdfghjklmnpqrstvwxz2456789"


def random_name(n=5):
    return "".join(LETTERS[b % len(LETTERS)] for b in os.urandom(n))


def owner_of(entry):
    return next((o for o in entry.meta.get("ownerReferences") or [] if o.get("controller")), None)


def reference(entry):
    return {"apiVersion": kinds.api_version(entry.kind), "kind": entry.kind.kind,
            "name": entry.key[1], "uid": entry.meta["uid"], "controller": True,
            "blockOwnerDeletion": True}


def template_hash(template):
    return hashlib.sha1(encode(template)).hexdigest()[:10]


def cpu(text):
    return value_of(text)[0]


def pods_wanted(spec):
    return spec.get("replicas", 1)


def condition(old, name, value, reason, message):
    """A status condition; if status and reason are as before, so is its time."""
    now = stamp()
    before = next((c for c in old.get("conditions") or [] if c["type"] == name), None)
    if before and (before["status"], before.get("reason")) == (value, reason):
        now = before["lastTransitionTime"]
    return {"type": name, "status": value, "reason": reason, "message": message,
            "lastTransitionTime": now, "lastUpdateTime": now}


class Controllers:
    def __init__(self, store, speed, version):
        self.store, self.version = store, version
        self.delays = {k: v / speed for k, v in DELAYS.items()}
        self.pending, self.paused, self.held = set(), set(), set()
        self.quota_retry = 0.2
        self.progress = {}  # uid of a Deployment -> (its counts, since when they are these)

    def start(self):
        self.store.listeners.append(self.on_change)
        for kind in list(self.store.objects):
            for entry in self.store.all(kind):
                self.on_change("ADDED", kind, entry, None)

    # ---- queues
    def pause(self, names):
        self.paused, held = names, self.held
        self.held = set()
        for name, key in held:
            self.enqueue(name, key)

    def enqueue(self, name, key, after=None):
        if (name, key) in self.pending:
            return
        self.pending.add((name, key))
        asyncio.get_running_loop().call_later(
            self.delays[name] if after is None else after, self._run, name, key)

    def _run(self, name, key):
        self.pending.discard((name, key))
        if name in self.paused:
            self.held.add((name, key))
        else:
            getattr(self, "sync_" + name)(*key)

    def on_change(self, what, kind, new, old):
        ns, name = new.key
        for uid in garbage.to_look_at(self.store, what, new):
            self.enqueue("garbage", (uid,))
        if kind is kinds.DEPLOYMENT:
            if what == "DELETED":
                self.progress.pop(new.meta["uid"], None)
            self.enqueue("deployment", (ns, name))
        elif kind in (kinds.REPLICASET, WORKER):
            self.enqueue("replicaset", (kind, ns, name))
            self._owner(new)
        elif kind is kinds.STATEFULSET:
            self.enqueue("statefulset", (ns, name))
        elif kind is kinds.POD:
            self._owner(new)
            if what != "DELETED" and not new.data["spec"].get("nodeName"):
                self.enqueue("scheduler", (ns, name))
            for service in self.store.all(kinds.SERVICE, ns):
                if matches_labels({"matchLabels": service.data["spec"].get("selector") or {
                        "": ""}}, new.labels):
                    self.enqueue("slices", service.key)
        elif kind is kinds.SERVICE:
            self.enqueue("slices", (ns, name))
        elif kind is kinds.NODE:
            for pod in self.store.all(kinds.POD):
                if not pod.data["spec"].get("nodeName"):
                    self.enqueue("scheduler", pod.key)
        elif kind is kinds.NAMESPACE:
            self.enqueue("namespace", (name,))
        elif kind is kinds.CRD:
            self._definition(what, new)

    def _owner(self, entry):
        owner = owner_of(entry)
        if owner is None:
            return
        if owner["kind"] == "Deployment":
            self.enqueue("deployment", (entry.key[0], owner["name"]))
        elif owner["kind"] == "StatefulSet":
            self.enqueue("statefulset", (entry.key[0], owner["name"]))
        elif owner["kind"] in ("ReplicaSet", "Worker"):
            kind = kinds.REPLICASET if owner["kind"] == "ReplicaSet" else WORKER
            self.enqueue("replicaset", (kind, entry.key[0], owner["name"]))

    def event(self, entry, kind, reason, message, source):
        """An Event about entry.  If there is one with the same text, its count goes up."""
        for old in self.store.all(kinds.EVENT, entry.key[0] or "default"):
            if (old.data["involvedObject"].get("uid"), old.data["reason"],
                    old.data["message"]) == (entry.meta["uid"], reason, message):
                self.store.update(old, {**old.data, "count": old.data.get("count", 1) + 1,
                                        "lastTimestamp": stamp()})
                return
        self.store.create(kinds.EVENT, entry.key[0] or "default", {
            "metadata": {"name": "%s.%s" % (entry.key[1], os.urandom(8).hex())},
            "involvedObject": {"kind": entry.kind.kind, "namespace": entry.key[0],
                               "name": entry.key[1], "uid": entry.meta["uid"],
                               "apiVersion": kinds.api_version(entry.kind),
                               "resourceVersion": entry.meta["resourceVersion"]},
            "reason": reason, "message": message, "source": {"component": source},
            "firstTimestamp": stamp(), "lastTimestamp": stamp(), "count": 1, "type": kind})

    # ---- Deployments
    def sync_deployment(self, ns, name):
        d = self.store.find(kinds.DEPLOYMENT, ns, name)
        if d is None or "deletionTimestamp" in d.meta:
            return
        spec = d.data["spec"]
        mark = template_hash(spec["template"])
        all_rs = self.store.children(d.meta["uid"], kinds.REPLICASET)
        new = next((r for r in all_rs if r.labels.get("pod-template-hash") == mark), None)
        if not spec.get("paused"):
            if new is None:
                new = self._create_rs(d, mark, len(all_rs) + 1)
                all_rs.append(new)
            self._roll(pods_wanted(spec), new, [r for r in all_rs if r is not new])
        self._deployment_status(d, new)

    def _create_rs(self, d, mark, revision):
        spec = d.data["spec"]
        labels = {**(spec["template"]["metadata"].get("labels") or {}),
                  "pod-template-hash": mark}
        selector = {**spec["selector"], "matchLabels": {
            **(spec["selector"].get("matchLabels") or {}), "pod-template-hash": mark}}
        return self.store.create(kinds.REPLICASET, d.key[0], {
            "metadata": {"name": d.key[1] + "-" + mark, "labels": labels,
                         "annotations": {"deployment.kubernetes.io/revision": str(revision)},
                         "ownerReferences": [reference(d)]},
            "spec": {"replicas": 0, "selector": selector, "template": {
                **spec["template"], "metadata": {**spec["template"]["metadata"],
                                                 "labels": labels}}}})

    def _roll(self, wanted, new, others):
        """RollingUpdate with the defaults of 25 % for maxSurge and maxUnavailable."""
        def replicas(rs):
            return rs.data["spec"]["replicas"]

        def available(rs):
            return (rs.data.get("status") or {}).get("availableReplicas", 0)

        old = [r for r in others if replicas(r) > 0]
        if not old:
            self._scale_rs(new, wanted)
            return
        room = wanted + math.ceil(wanted / 4) - replicas(new) - sum(map(replicas, old))
        if replicas(new) > wanted or room > 0 and replicas(new) < wanted:
            self._scale_rs(new, min(wanted, replicas(new) + max(room, 0)))
        spare = available(new) + sum(map(available, old)) - (wanted - wanted // 4)
        for rs in old:
            n = min(replicas(rs), max(spare, replicas(rs) - available(rs)))
            if n > 0:
                self._scale_rs(rs, replicas(rs) - n)
                spare -= n

    def _scale_rs(self, rs, n):
        if rs.data["spec"]["replicas"] != n:
            self.store.update(rs, {**rs.data, "spec": {**rs.data["spec"], "replicas": n}})

    def _deployment_status(self, d, new):
        total = collections.Counter()
        failure = None
        for rs in self.store.children(d.meta["uid"], kinds.REPLICASET):
            s = rs.data.get("status") or {}
            for k in ("replicas", "readyReplicas", "availableReplicas"):
                total[k] += s.get(k, 0)
            if new is not None and rs.key == new.key:
                total["updatedReplicas"] = s.get("replicas", 0)
            failure = failure or next((c for c in s.get("conditions") or []
                                       if c["type"] == "ReplicaFailure"), None)
        wanted, old = pods_wanted(d.data["spec"]), d.data.get("status") or {}
        total["unavailableReplicas"] = max(wanted - total["availableReplicas"], 0)
        has_enough = total["availableReplicas"] >= wanted - wanted // 4
        conditions = [condition(old, "Available", *(
            ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
            if has_enough else ("False", "MinimumReplicasUnavailable",
                                "Deployment does not have minimum availability.")))]
        conditions.append(self._progress(d, old, total, wanted, new))
        if failure:
            conditions.append(condition(old, "ReplicaFailure", "True", failure["reason"],
                                        failure["message"]))
        now = self.store.find(kinds.DEPLOYMENT, *d.key)
        self.store.set_status(now, {"observedGeneration": now.meta["generation"],
                                    **{k: v for k, v in total.items() if v},
                                    "conditions": conditions})

    def _progress(self, d, old, total, wanted, new):
        """The condition Progressing.  A Deployment whose newest pods have once been available does
        not fail any more, however many it gets later."""
        before = next((c for c in old.get("conditions") or [] if c["type"] == "Progressing"), None)
        name = new.key[1] if new is not None else d.key[1]
        is_done = total["availableReplicas"] >= wanted and \
            total["updatedReplicas"] == total["replicas"]
        is_known = before is not None and new is not None and \
            ('"%s"' % name) in before.get("message", "")
        text = 'ReplicaSet "%s" ' % name
        if is_done or is_known and before["reason"] == "NewReplicaSetAvailable":
            return condition(old, "Progressing", "True", "NewReplicaSetAvailable",
                             text + "has successfully progressed.")
        key, limit_s = d.meta["uid"], d.data["spec"].get("progressDeadlineSeconds", 600)
        counts = (name, total["updatedReplicas"], total["readyReplicas"],
                  total["availableReplicas"])
        last, since = self.progress.get(key, (None, 0))
        now = asyncio.get_running_loop().time()
        if counts != last:
            since = now
            self.progress[key] = counts, since
            asyncio.get_running_loop().call_later(limit_s + 0.01, self.enqueue, "deployment", d.key)
        if now - since >= limit_s:
            return condition(old, "Progressing", "False", "ProgressDeadlineExceeded",
                             text + "has timed out progressing.")
        return condition(old, "Progressing", "True", "ReplicaSetUpdated", text + "is progressing.")

    # ---- ReplicaSets, and kinds that work like them
    def sync_replicaset(self, kind, ns, name):
        rs = self.store.find(kind, ns, name)
        if rs is None or "deletionTimestamp" in rs.meta:
            return
        pods = [p for p in self.store.children(rs.meta["uid"], kinds.POD)
                if "deletionTimestamp" not in p.meta
                and (p.data.get("status") or {}).get("phase") not in ("Succeeded", "Failed")]
        more, failure = pods_wanted(rs.data["spec"]) - len(pods), None
        for _ in range(more):
            try:
                pods.append(self._create_pod(rs, "%s-%s" % (name, random_name())))
            except Refused as e:
                failure = e
                self.event(rs, "Warning", "FailedCreate", "Error creating: " + e.message,
                           "replicaset-controller")
                self.enqueue("replicaset", (kind, ns, name), self.quota_retry)
                break
        if more < 0:
            for pod in sorted(pods, key=self._rank)[:-more]:
                self.store.delete(pod)
                pods.remove(pod)
        self._rs_status(rs, pods, failure)

    def _rank(self, pod):
        """Sort key: the pods with the smallest are deleted first."""
        status = pod.data.get("status") or {}
        cost = int((pod.meta.get("annotations") or {}).get(COST, 0)) \
            if self.version >= (1, 22) else 0
        restarts = sum(c["restartCount"] for c in status.get("containerStatuses") or [])
        return (bool(pod.data["spec"].get("nodeName")),
                {"Pending": 0, "Unknown": 1, "Running": 2}.get(status.get("phase"), 0),
                podstatus.is_ready(pod.data), cost, -restarts, -pod.seq)

    def _create_pod(self, owner, name, more_labels=None, node_extra=None):
        ns, template = owner.key[0], owner.data["spec"]["template"]
        self.check_quota(ns, name)
        meta = {"name": name, "labels": {**(template["metadata"].get("labels") or {}),
                                         **(more_labels or {})},
                "ownerReferences": [reference(owner)]}
        if template["metadata"].get("annotations"):
            meta["annotations"] = dict(template["metadata"]["annotations"])
        spec = {**template["spec"], **(node_extra or {})}
        return self.store.create(kinds.POD, ns, defaulted(kinds.POD, {"metadata": meta,
                                                                      "spec": spec}))

    def check_quota(self, ns, name):
        for quota in self.store.all(kinds.QUOTA, ns):
            hard = (quota.data["spec"].get("hard") or {}).get("pods")
            used = len(self.store.all(kinds.POD, ns))
            if hard is not None and used + 1 > int(hard):
                raise Refused(403, "Forbidden", 'pods "%s" is forbidden: exceeded quota: %s, '
                              "requested: pods=1, used: pods=%d, limited: pods=%s"
                              % (name, quota.key[1], used, hard))

    def _rs_status(self, rs, pods, failure):
        ready = sum(podstatus.is_ready(p.data) for p in pods)
        now = self.store.find(rs.kind, *rs.key)
        status = {"replicas": len(pods), "observedGeneration": now.meta["generation"]}
        if pods:
            status["fullyLabeledReplicas"] = len(pods)
        if ready:
            status.update(readyReplicas=ready, availableReplicas=ready)
        if failure:
            status["conditions"] = [condition(now.data.get("status") or {}, "ReplicaFailure",
                                              "True", "FailedCreate", failure.message)]
        self.store.set_status(now, status)

    # ---- StatefulSets
    def sync_statefulset(self, ns, name):
        s = self.store.find(kinds.STATEFULSET, ns, name)
        if s is None or "deletionTimestamp" in s.meta:
            return
        pods = {int(p.key[1].rpartition("-")[2]): p
                for p in self.store.children(s.meta["uid"], kinds.POD)}
        wanted = pods_wanted(s.data["spec"])
        in_order = s.data["spec"].get("podManagementPolicy") != "Parallel"
        for i in range(wanted):
            if i not in pods:
                try:
                    pods[i] = self._create_pod(s, "%s-%d" % (name, i), {
                        "statefulset.kubernetes.io/pod-name": "%s-%d" % (name, i),
                        "apps.kubernetes.io/pod-index": str(i)})
                except Refused as e:
                    self.event(s, "Warning", "FailedCreate", "create Pod %s-%d in StatefulSet %s "
                               "failed error: %s" % (name, i, name, e.message),
                               "statefulset-controller")
                    self.enqueue("statefulset", (ns, name), self.quota_retry)
                    break
            if in_order and (not podstatus.is_ready(pods[i].data)
                             or "deletionTimestamp" in pods[i].meta):
                break
        for i in sorted((i for i in pods if i >= wanted), reverse=True):
            self.store.delete(pods[i])
            if in_order:
                break  # the next one when this one is gone
        now = self.store.find(kinds.STATEFULSET, ns, name)
        ready = sum(podstatus.is_ready(p.data) for p in pods.values())
        self.store.set_status(now, {
            "observedGeneration": now.meta["generation"], "replicas": len(pods),
            "readyReplicas": ready, "currentReplicas": len(pods), "availableReplicas": ready,
            "updatedReplicas": len(pods), "currentRevision": name + "-1",
            "updateRevision": name + "-1", "collisionCount": 0})

    # ---- the scheduler
    def sync_scheduler(self, ns, name):
        pod = self.store.find(kinds.POD, ns, name)
        if pod is None or pod.data["spec"].get("nodeName") or "deletionTimestamp" in pod.meta:
            return
        node, why = self._place(pod.data["spec"])
        old = pod.data.get("status") or {}
        if node is None:
            message = why
            self.store.set_status(pod, {**old, "conditions": podstatus.conditions(
                pod.data, {"PodScheduled": ("False", "Unschedulable", message)})})
            self.event(pod, "Warning", "FailedScheduling", message, "default-scheduler")
            return
        self.store.update(pod, {**pod.data, "spec": {**pod.data["spec"], "nodeName": node},
                                "status": {**old, "conditions": podstatus.conditions(
                                    pod.data, {"PodScheduled": "True"})}}, "binding")

    def _place(self, spec):
        nodes = self.store.all(kinds.NODE)
        if not nodes:
            return None, "no nodes available to schedule pods"
        asked = sum(cpu(((c.get("resources") or {}).get("requests") or {}).get("cpu", 0))
                    for c in spec["containers"])
        why = collections.Counter()
        for node in nodes:
            labels = {"kubernetes.io/hostname": node.key[1], **node.labels}
            have = cpu(((node.data.get("status") or {}).get("allocatable") or {}).get("cpu", 64))
            if any(labels.get(k) != v for k, v in (spec.get("nodeSelector") or {}).items()):
                why["node(s) didn't match Pod's node affinity/selector"] += 1
            elif asked > have:
                why["Insufficient cpu"] += 1
            else:
                return node.key[1], None
        return None, "0/%d nodes are available: %s." % (
            len(nodes), ", ".join("%d %s" % (n, text) for text, n in why.items()))

    # ---- Services
    def sync_slices(self, ns, name):
        service = self.store.find(kinds.SERVICE, ns, name)
        slice_ = next((s for s in self.store.all(kinds.SLICE, ns)
                       if s.labels.get("kubernetes.io/service-name") == name
                       and s.labels.get(MANAGED_BY) == SLICES), None)
        if service is None or not service.data["spec"].get("selector"):
            if service is None and slice_ is not None:
                self.store.delete(slice_)
            return
        pods = [p for p in self.store.all(kinds.POD, ns)
                if matches_labels({"matchLabels": service.data["spec"]["selector"]}, p.labels)
                and (p.data.get("status") or {}).get("podIP")]
        data = {"addressType": "IPv4", "endpoints": [self._endpoint(p) for p in pods],
                "ports": [self._slice_port(p, pods)
                          for p in service.data["spec"].get("ports") or []]}
        if slice_ is None:
            self.store.create(kinds.SLICE, ns, {"metadata": {
                "name": "%s-%s" % (name, random_name()), "ownerReferences": [reference(service)],
                "labels": {"kubernetes.io/service-name": name, MANAGED_BY: SLICES}}, **data})
        else:
            self.store.update(slice_, {**slice_.data, **data})

    @staticmethod
    def _endpoint(pod):
        is_ready, is_going = podstatus.is_ready(pod.data), "deletionTimestamp" in pod.meta
        return {"addresses": [pod.data["status"]["podIP"]],
                "conditions": {"ready": is_ready and not is_going, "serving": is_ready,
                               "terminating": is_going},
                "nodeName": pod.data["spec"].get("nodeName"),
                "targetRef": {"kind": "Pod", "namespace": pod.key[0], "name": pod.key[1],
                              "uid": pod.meta["uid"]}}

    @staticmethod
    def _slice_port(port, pods):
        target = port.get("targetPort", port["port"])
        if isinstance(target, str) and not target.isdigit():
            target = next((c["containerPort"] for p in pods for s in p.data["spec"]["containers"]
                           for c in s.get("ports") or [] if c.get("name") == target), None)
        return {"name": port.get("name", ""), "protocol": port.get("protocol", "TCP"),
                "port": target}

    # ---- objects whose owner is gone, namespaces, and kinds
    def sync_garbage(self, uid):
        garbage.collect(self.store, uid)

    def sync_namespace(self, name):
        namespace = self.store.find(kinds.NAMESPACE, "", name)
        if namespace is None:
            return
        if "deletionTimestamp" in namespace.meta:
            self._end_namespace(namespace)
        elif not self.store.find(kinds.SERVICEACCOUNT, name, "default"):
            self.store.create(kinds.SERVICEACCOUNT, name, {"metadata": {"name": "default"}})

    def _end_namespace(self, namespace):
        """Delete what is in it, custom resources last; end it when there is nothing any more."""
        name = namespace.key[1]
        of = [kind for kind in self.store.objects if kind.namespaced]
        left = [e for kind in of if kind.schema is None for e in self.store.all(kind, name)] or \
            [e for kind in of for e in self.store.all(kind, name)]
        for entry in left:
            self.store.delete(entry)
        if left:
            self.enqueue("namespace", (name,), max(self.delays["namespace"], 0.01))
        else:
            self.store.remove_namespace(namespace)

    def _definition(self, what, entry):
        kind = customs.kind_of(entry.data)
        if what == "DELETED":
            for mine in self.store.all(kind):
                self.store.delete(mine)
            kinds.unregister(kind)
        else:
            self.enqueue("definition", (entry.key[1],))

    def sync_definition(self, name):
        entry = self.store.find(kinds.CRD, "", name)
        if entry is not None and not (entry.data.get("status") or {}).get("conditions"):
            self.store.set_status(entry, {"conditions": customs.established(), "acceptedNames":
                                          entry.data["spec"]["names"], "storedVersions": [
                                              v["name"] for v in entry.data["spec"]["versions"]]})
