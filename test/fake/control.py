"""The control endpoint for tests: plain HTTP on loopback, with JSON in both directions.

POST /NAME with an object of arguments calls do_NAME below."""
import asyncio
import itertools
import os

import access
import kinds
from controllers import reference, template_hash
from defaults import defaulted
from store import Refused, encode, stamp


class Control:
    def __init__(self, server):
        self.server, self.api, self.store = server, server.api, server.store
        self.bookmark_s = 60
        self.changing = None  # endless iterator over keys of pods

    def handle(self, connection, request):
        name = request.path.strip("/")
        try:
            answer = getattr(self, "do_" + name)(**request.json())
            body, code = encode({} if answer is None else answer), 200
        except (AttributeError, TypeError, KeyError, Refused, ValueError) as e:
            body, code = encode({"error": "%s: %s" % (type(e).__name__, e)}), 400
        connection.write(connection.message(code, body))
        connection.done()

    # ---- what has happened
    def do_log(self, since=0):
        """Requests, oldest first, with the monotonic time of their first byte (t, ns)."""
        return {"last": self.api.logged,
                "requests": [n for n in list(self.api.log) if n["n"] > since]}

    def do_watches(self):
        return {"watches": [{**w.facts(), "events": w.note.get("events", 0)}
                            for w in self.api.watches.all]}

    def do_addressed(self):
        """When the address of each pod was sent to watches (monotonic ns)."""
        return {"pods": self.api.watches.addressed}

    def do_state(self):
        return {"rv": self.store.rv, "oldest": self.store.oldest,
                "connections": len(self.api.connections),
                "objects": {k.plural: len(v) for k, v in self.store.objects.items()}}

    # ---- faults
    def do_fault(self, **fault):
        return {"id": self.api.faults.add(fault)}

    def do_heal(self, id=None):
        self.api.faults.remove(id)

    def do_watch(self, match=None, do=None):
        """A fault of open watches: end, cut, reset, gone, error, raw, stall, half, split, go_on."""
        found = self.api.watches.matching(match or {})
        for watch in found:
            watch.set(do)
        return {"watches": len(found)}

    def do_bookmarks(self, every=None):
        if every:
            self.bookmark_s = every
        self.api.watches.bookmarks()

    def do_compact(self):
        self.store.compact()

    def do_forget_pages(self):
        self.store.pages.clear()

    def do_leave(self):
        """As a real server on SIGTERM: close the listener and all connections but those of watches,
        which stay open."""
        self.server.listener.close()
        watching = {w.connection for w in self.api.watches.all}
        for connection in list(self.api.connections):
            if connection not in watching:
                connection.close()

    def do_return(self):
        asyncio.ensure_future(self.server.listen())

    def do_drop(self, how="reset"):
        """Reset, or close, every connection."""
        for connection in list(self.api.connections):
            getattr(connection, how)()

    # ---- credentials
    def do_token(self, user=None, groups=(), service_account=None, token=None, seconds=None):
        """service_account: namespace/name."""
        who = access.service_account(*service_account.split("/")) if service_account else \
            access.User(user, set(groups) | {"system:authenticated"})
        return {"token": self.api.access.issue(who, token, seconds)}

    def do_revoke(self, token):
        self.api.access.revoke(token)

    # ---- controllers and the paper kubelet
    def do_delays(self, **delays):
        self.server.controllers.delays.update(delays)
        if self.server.kubelet:
            self.server.kubelet.delays.update(delays)
        return {"delays": self.server.controllers.delays}

    def do_pause(self, controllers=()):
        """These controllers do nothing until the next call without their names."""
        self.server.controllers.pause(set(controllers))

    def do_load(self, deployments, pods, prefix="load", namespace="default", port=8080):
        """Create so many Deployments with so many running pods each and their ReplicaSets, without
        processes.  Addresses count up from 127.128.0.1."""
        for i in range(deployments):
            load_one(self.store, "%s-%d" % (prefix, i), namespace, port, pods, i * pods)

    def do_change(self, n, prefix="load", namespace="default"):
        """Change the readiness of the next n pods whose names begin with prefix, in turn."""
        if self.changing is None:
            self.changing = itertools.cycle([e.key for e in self.store.all(kinds.POD, namespace)
                                             if e.key[1].startswith(prefix)])
        for key in itertools.islice(self.changing, n):
            entry = self.store.get(kinds.POD, *key)
            self.store.set_status(entry, flipped(entry.data["status"]))

    def do_create(self, kind, namespace="default", data=None, group=None):
        return self.store.create(kind_named(kind, group), namespace, data).data

    def do_delete(self, kind, name, namespace="default", grace=None, group=None):
        self.store.delete(self.store.get(kind_named(kind, group), namespace, name), grace)


def kind_named(plural, group=None):
    return next(k for k in kinds.KINDS if k.plural == plural and group in (None, k.group))


def flipped(status):
    conditions = [{**c, "status": "False" if c["status"] == "True" else "True"}
                  if c["type"] == "Ready" else c for c in status["conditions"]]
    return {**status, "conditions": conditions}


def load_one(store, name, namespace, port, pods, first):
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{
        "name": "app", "image": "app", "ports": [{"name": "http", "containerPort": port}]}]}}
    counts = {"replicas": pods, "readyReplicas": pods, "availableReplicas": pods}
    entry = store.create(kinds.DEPLOYMENT, namespace, defaulted(kinds.DEPLOYMENT, {
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"replicas": pods, "selector": {"matchLabels": {"app": name}},
                 "template": template}, "status": counts}))
    mark = template_hash(entry.data["spec"]["template"])
    labels = {"app": name, "pod-template-hash": mark}
    rs = store.create(kinds.REPLICASET, namespace, defaulted(kinds.REPLICASET, {
        "metadata": {"name": "%s-%s" % (name, mark), "labels": labels,
                     "ownerReferences": [reference(entry)]},
        "spec": {"replicas": pods, "selector": {"matchLabels": labels}, "template": {
            **template, "metadata": {"labels": labels}}}, "status": counts}))
    for i in range(pods):
        n = first + i + 1
        address = "127.%d.%d.%d" % (128 + (n >> 16), n >> 8 & 255, n & 255)
        store.create(kinds.POD, namespace, defaulted(kinds.POD, {
            "metadata": {"name": "%s-%s-%05d" % (name, mark, i), "labels": labels,
                         "ownerReferences": [reference(rs)]},
            "spec": {**template["spec"], "nodeName": "paper"},
            "status": running(address, "app")}))


def running(address, container):
    now = stamp()
    return {"phase": "Running", "hostIP": "127.0.0.1", "podIP": address,
            "podIPs": [{"ip": address}], "startTime": now, "qosClass": "BestEffort",
            "conditions": [{"type": t, "status": "True", "lastProbeTime": None,
                            "lastTransitionTime": now}
                           for t in ("PodReadyToStartContainers", "Initialized", "Ready",
                                     "ContainersReady", "PodScheduled")],
            "containerStatuses": [{
                "name": container, "state": {"running": {"startedAt": now}}, "lastState": {},
                "ready": True, "restartCount": 0, "image": container, "imageID": container,
                "containerID": "containerd://" + os.urandom(32).hex(), "started": True}]}
