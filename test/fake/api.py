"""The API server: requests, their meaning, and their answers."""
import asyncio
import collections
import json
import random
import re
import time

import access
import admission
import customs
import faults
import kinds
import managers
import patch
import store as store_
from defaults import check, check_change, defaulted
from store import Refused, Selector, encode
from watch import Watch, Watches, bookmark, error, event, seen_as

PATH = re.compile(r"/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+)/(?P<version>[^/]+))"
                  r"(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[a-z]+)"
                  r"(?:/(?P<name>[^/]+))?(?:/(?P<sub>[a-z]+))?$")
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
INDENTED = re.compile(r"^(curl|Wget|Mozilla/5\.0)")  # User-Agents that get indented JSON
LOG = 200000  # requests to remember


class Api:
    """version: the version of Kubernetes to behave like, (major, minor)."""

    def __init__(self, store, version=(1, 36)):
        self.store, self.version = store, version
        self.access = access.Access(store)
        self.faults = faults.Faults()
        self.policies = admission.Policies(store)
        self.watches = Watches(store)
        self.log = collections.deque(maxlen=LOG)
        self.logged = 0
        self.max_watch_s = 1800
        self.connections = set()

    # ---- from a connection
    def handle(self, connection, request):
        note = {"t": request.at_ns, "method": request.method, "path": request.path,
                "query": request.query, "connection": connection.number}
        self.logged += 1
        note["n"] = self.logged
        self.log.append(note)
        try:
            user = self.access.user(request.fields.get("authorization", ""),
                                    connection.transport.get_extra_info("peercert"))
            note["user"] = user.name
            what = self._parse(request, note)
        except Refused as e:
            self._whole(connection, note, lambda: self._refuse(connection, note, e))
            return
        if what and note["verb"] == "watch":
            self._watch(connection, request, note, user, what)
        else:
            self._whole(connection, note,
                        lambda: self._perform(connection, request, note, user, what))

    def _parse(self, request, note):
        found = PATH.match(request.path)
        if found is None:
            note["verb"] = "get"
            return None
        key = (found["group"] or "", found["version"] or found["core"], found["plural"])
        name, sub, namespace = found["name"], found["sub"], found["namespace"]
        if key == ("", "v1", "namespaces") or namespace and (
                key[2] in ("status",) and not name):  # /namespaces/NAME/status
            key, name, sub, namespace = ("", "v1", "namespaces"), name or namespace, sub, None
        kind = kinds.BY_PATH.get(key)
        if kind is None:
            return None
        verb = VERBS.get(request.method)
        if verb is None:
            is_delete = request.method == "DELETE"
            verb = ("delete" if name else "deletecollection") if is_delete else \
                "get" if name else \
                "watch" if request.query.get("watch") in ("1", "true") else "list"
        note.update(verb=verb, resource=kind.plural + ("/" + sub if sub else ""),
                    group=kind.group, namespace=namespace, name=name,
                    is_write=verb not in ("get", "list", "watch"))
        return kind, namespace, name, sub

    def _whole(self, connection, note, answer):
        do = self.faults.find(note)
        if do is None:
            connection.write(answer())
            connection.done()
            note["done"] = time.monotonic_ns()
            return
        note["fault"] = do
        if "status" in do:
            refused = faults.refusal(do)
            plain = answer

            def answer():
                if do.get("perform"):
                    plain()
                return self._refuse(connection, note, refused)
            do = {k: v for k, v in do.items() if k == "delay"}
        asyncio.ensure_future(faults.play(do, connection, answer))

    def _refuse(self, connection, note, e):
        note["status"] = e.code
        fields = {"Retry-After": str(e.retry_after)} if e.retry_after else {}
        return connection.message(e.code, encode(e.status()), fields)

    def _perform(self, connection, request, note, user, what):
        try:
            code, body = self._answer(request, note, user, what)
        except Refused as e:
            return self._refuse(connection, note, e)
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            return self._refuse(connection, note, Refused(400, "BadRequest", "%s: %s" % (
                type(e).__name__, e)))
        note["status"] = code
        if INDENTED.search(request.fields.get("user-agent", "")) and body[:1] == b"{":
            body = json.dumps(json.loads(body), indent=2, ensure_ascii=False).encode()
        return connection.message(code, body)

    def _answer(self, request, note, user, what):
        if what is None:
            return 200, self._other(request, user)
        kind, namespace, name, sub = what
        selector = selector_of(request, kind)
        self.access.check(user, note["verb"], kind, sub, namespace,
                          name or access.named_by_field(selector))
        if sub and sub not in kind.sub:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        if name is None:
            return self._collection(request, note, user, kind, namespace, selector)
        if sub == "token":
            return self._token(request, namespace, name)
        if sub == "binding":
            return self._bind(request, namespace, name)
        old = self.store.get(kind, namespace, name, sub)
        if request.method == "GET":
            return 200, encode(scale_of(old)) if sub == "scale" else old.raw()
        if request.method == "DELETE":
            return self._delete(request, old)
        return self._change(request, note, user, old, sub)

    def _other(self, request, user):
        """Discovery and health."""
        path = request.path.rstrip("/")
        if path in ("/healthz", "/readyz", "/livez"):
            return b"ok"
        if path == "/version":
            return encode({"major": str(self.version[0]), "minor": str(self.version[1]),
                           "gitVersion": "v%d.%d.0" % self.version})
        if user is access.ANONYMOUS:
            raise Refused(403, "Forbidden", 'forbidden: User "system:anonymous" cannot %s path '
                          '"%s"' % (request.method.lower(), path))
        if path == "/api":
            return encode({"kind": "APIVersions", "versions": ["v1"]})
        if path == "/apis":
            return encode(kinds.groups())
        parts = path.strip("/").split("/")
        found = None
        if parts[0] == "api" and len(parts) == 2:
            found = kinds.discovery("", parts[1])
        elif parts[0] == "apis" and len(parts) == 3:
            found = kinds.discovery(parts[1], parts[2])
        elif parts[0] == "apis" and len(parts) == 2:
            found = next((g for g in kinds.groups()["groups"] if g["name"] == parts[1]), None)
        if found is None:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        return encode(found)

    # ---- collections
    def _collection(self, request, note, user, kind, namespace, selector):
        if request.method == "POST":
            obj = request.json()
            note["body"] = obj
            obj = fresh(kind, obj, namespace)
            if kind.namespaced:
                self._check_namespace(kind, namespace, obj)
            check(kind, obj)
            obj = self._admitted(kind, user, obj, None)
            entry = self.store.create(kind, namespace, managers.noted(
                kind, None, obj, request, None, self.version))
            return 201, entry.raw()
        if request.method == "DELETE":
            for entry in self.store.all(kind, namespace, selector):
                self.store.delete(entry, policy=policy_of(request))
            return 200, encode({"kind": "Status", "apiVersion": "v1", "metadata": {},
                                "status": "Success"})
        self._check_version(request)
        found, rv, token, remaining = self.store.page(
            kind, namespace, selector, int(request.query.get("limit") or 0),
            request.query.get("continue"))
        meta = {"resourceVersion": str(rv)}
        if token:
            meta["continue"] = token
            if not request.query.get("labelSelector") and not request.query.get("fieldSelector"):
                meta["remainingItemCount"] = remaining
        note["items"] = len(found)
        head = encode({"kind": kind.kind + "List", "apiVersion": kinds.api_version(kind),
                       "metadata": meta})
        return 200, head[:-1] + b',"items":[' + b",".join(e.item() for e in found) + b"]}"

    def _check_namespace(self, kind, name, obj):
        """May something be created in it?"""
        namespace = self.store.find(kinds.NAMESPACE, "", name)
        if namespace is None:
            raise store_.not_found(kinds.NAMESPACE, name)
        if "deletionTimestamp" in namespace.meta:
            raise Refused(403, "Forbidden", '%s "%s" is forbidden: unable to create new content in '
                          "namespace %s because it is being terminated" % (
                              kinds.in_words(kind), obj["metadata"].get("name", ""), name),
                          {"causes": [{"reason": "NamespaceTerminating", "field":
                                       "metadata.namespace", "message":
                                       "namespace %s is being terminated" % name}]})

    def _check_version(self, request):
        rv = request.query.get("resourceVersion") or "0"
        if not rv.isdigit():
            raise Refused(400, "BadRequest", "invalid resource version")
        if int(rv) > self.store.rv:
            raise Refused(504, "Timeout", "Timeout: Too large resource version: %s, current: %d"
                          % (rv, self.store.rv), {"causes": [{
                              "reason": "ResourceVersionTooLarge",
                              "message": "Too large resource version"}]}, retry_after=1)

    # ---- single objects
    def _change(self, request, note, user, old, sub):
        change = note["body"] = request.json()
        now = scale_of(old) if sub == "scale" else {
            "kind": old.kind.kind, "apiVersion": kinds.api_version(old.kind), **old.data}
        if request.method == "PATCH":
            new = patch.apply(request.fields.get("content-type"), now, change)
        elif request.method == "PUT":
            new = change
        else:
            raise Refused(405, "MethodNotAllowed", "the server does not allow this method on the "
                          "requested resource")
        if sub == "scale":
            return 200, encode(scale_of(self._scale(request, old, new)))
        check_change(old, new, sub, request.method == "PATCH")
        if request.method == "PUT":
            new = replacing(old, new)
        if sub == "status":
            new = {**old.data, "metadata": {**old.meta, **{k: v for k, v in (
                new.get("metadata") or {}).items() if k in ("resourceVersion", "uid")}},
                "status": new.get("status") or {}}
        check(old.kind, new)
        new = defaulted(old.kind, new) if sub else self._admitted(old.kind, user, new, old.data)
        return 200, self.store.update(old, managers.noted(
            old.kind, old.data, new, request, sub, self.version), sub).raw()

    def _admitted(self, kind, user, new, old):
        """The object as it is stored; old: None when it is created."""
        verb = "create" if old is None else "update"
        new = defaulted(kind, self.policies.mutated(kind, verb, user, new, old))
        if kind.schema is not None:
            admission.check_rules(kind, new, old)
        self.policies.check(kind, verb, user, new, old)
        return new

    def _scale(self, request, old, new):
        n = (new.get("spec") or {}).get("replicas", 0)
        if not isinstance(n, int) or n < 0:
            raise Refused(422, "Invalid", 'Scale.autoscaling "%s" is invalid: spec.replicas: '
                          "Invalid value: %s: must be greater than or equal to 0"
                          % (old.key[1], n))
        meta = dict(old.meta)
        if (new.get("metadata") or {}).get("resourceVersion"):
            meta["resourceVersion"] = new["metadata"]["resourceVersion"]
        else:
            meta.pop("resourceVersion")
        return self.store.update(old, managers.noted(
            old.kind, old.data, {**old.data, "metadata": meta,
                                 "spec": {**old.data["spec"], "replicas": n}},
            request, "scale", self.version))

    def _delete(self, request, old):
        options = request.json()
        grace = options.get("gracePeriodSeconds", request.query.get("gracePeriodSeconds"))
        wanted = options.get("preconditions") or {}
        for name, what in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
            if wanted.get(name) not in (None, old.meta[name]):
                raise store_.conflict(old.kind, old.key[1], "Precondition failed: %s in "
                                      "precondition: %s, %s in object meta: %s" % (
                                          what, wanted[name], what, old.meta[name]))
        gone = self.store.delete(old, None if grace is None else int(grace), policy_of(request))
        if old.kind is kinds.POD or self.store.find(old.kind, *old.key) is gone:
            return 200, gone.raw()  # as it is while something has yet to be done
        return 200, encode({"kind": "Status", "apiVersion": "v1", "metadata": {},
                            "status": "Success", "details": {
                                "name": old.key[1], "kind": old.kind.plural,
                                "uid": old.meta["uid"]}})

    def _token(self, request, namespace, name):
        self.store.get(kinds.SERVICEACCOUNT, namespace, name)
        seconds = (request.json().get("spec") or {}).get("expirationSeconds", 3600)
        token = self.access.issue(access.service_account(namespace, name), seconds=seconds)
        return 201, encode({"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
                            "metadata": {}, "spec": request.json().get("spec") or {}, "status": {
                                "token": token, "expirationTimestamp": store_.stamp(seconds)}})

    def _bind(self, request, namespace, name):
        pod = self.store.get(kinds.POD, namespace, name)
        node = request.json()["target"]["name"]
        self.store.update(pod, {**pod.data, "spec": {**pod.data["spec"], "nodeName": node}})
        return 201, encode({"kind": "Status", "apiVersion": "v1", "status": "Success"})

    # ---- watches
    def _watch(self, connection, request, note, user, what):
        do = self.faults.find(note)
        if do is not None:
            note["fault"] = do
            if "status" in do:
                e = faults.refusal(do)
                asyncio.ensure_future(faults.play(
                    {k: v for k, v in do.items() if k == "delay"}, connection,
                    lambda: self._refuse(connection, note, e)))
                return
            if set(do) & {"hang", "reset", "close", "raw"}:
                asyncio.ensure_future(faults.play(do, connection, None))
                return
        try:
            selector = selector_of(request, what[0])
            self.access.check(user, "watch", what[0], None, what[1],
                              access.named_by_field(selector))
            self._open(connection, request, note, what, selector, do)
        except Refused as e:
            connection.write(self._refuse(connection, note, e))
            connection.done()

    def _open(self, connection, request, note, what, selector, do):
        q, kind, namespace = request.query, what[0], what[1]
        rv = q.get("resourceVersion") or "0"
        if not rv.isdigit():
            raise Refused(400, "BadRequest", "invalid resource version")
        is_ignoring = (do or {}).get("ignore_initial")
        wants_initial = q.get("sendInitialEvents") == "true" and not is_ignoring
        if wants_initial and self.version < (1, 27) and q.get("resourceVersionMatch"):
            raise Refused(422, "Invalid", 'ListOptions.meta.k8s.io "" is invalid: '
                          "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for "
                          "watch")
        bookmarks = q.get("allowWatchBookmarks") in ("true", "1")
        if wants_initial and (q.get("resourceVersionMatch") != "NotOlderThan" or not bookmarks):
            raise Refused(422, "Invalid", 'ListOptions.meta.k8s.io "" is invalid: '
                          "resourceVersionMatch: Forbidden: sendInitialEvents requires setting "
                          "resourceVersionMatch to NotOlderThan")
        seconds = int(q.get("timeoutSeconds") or 0) or random.uniform(1, 2) * self.max_watch_s
        note["status"] = 200
        connection.write(connection.head(200, {"Content-Type": "application/json",
                                               "Transfer-Encoding": "chunked"}))
        watch = Watch(self.watches, connection, kind, namespace, selector, bookmarks, seconds,
                      note)
        self.watches.add(watch)
        watch.mode = do or {}
        if wants_initial or rv == "0":
            for entry in self.store.all(kind, namespace, selector):
                watch.send(event("ADDED", entry.raw()))
            if wants_initial:
                watch.send(bookmark(kind, self.store.rv, True))
        elif int(rv) < self.store.oldest:
            watch.send(error(store_.expired(int(rv), self.store.oldest)))
            watch.end()
        else:
            self._replay(watch, int(rv))

    def _replay(self, watch, rv):
        for at, what, kind, new, old in self.store.history:
            if at > rv and kind is watch.kind:
                seen = seen_as(what, new, old, watch.namespace, watch.selector)
                if seen is not None:
                    watch.send(event(seen, new.raw()))


def selector_of(request, kind):
    selector = Selector(request.query.get("labelSelector"), request.query.get("fieldSelector"))
    for key, _, _ in selector.fields if kind.schema is not None else ():
        if key not in customs.SELECTABLE:
            raise Refused(400, "BadRequest", "field label not supported: " + key)
    return selector


def policy_of(request):
    """The propagationPolicy of a deletion; None: the default."""
    options = request.json() or {}
    return options.get("propagationPolicy") or request.query.get("propagationPolicy")


def fresh(kind, obj, namespace):
    """An object to be created, without what a client cannot set."""
    meta = {k: v for k, v in (obj.get("metadata") or {}).items() if k not in (
        "uid", "creationTimestamp", "generation", "deletionTimestamp", "selfLink",
        "deletionGracePeriodSeconds")}
    if meta.pop("resourceVersion", None):
        raise Refused(500, "", "resourceVersion should not be set on objects to be created")
    if meta.get("namespace") not in (None, "", namespace):
        raise Refused(400, "BadRequest", "the namespace of the provided object does not match the "
                      "namespace sent on the request")
    if kind.schema is not None:
        obj = {k: v for k, v in obj.items() if k != "status" or "status" not in kind.sub}
        store_.named(meta)  # a schema may have rules about the name
    if kind.namespaced:
        meta["namespace"] = namespace
    return {**obj, "metadata": meta}


def replacing(old, new):
    """What a PUT replaces an object by."""
    meta = new.get("metadata") or {}
    if old.kind.schema is not None and not meta.get("resourceVersion"):
        raise Refused(422, "Invalid", '%s.%s "%s" is invalid: metadata.resourceVersion: Invalid '
                      "value: 0x0: must be specified for an update" % (
                          old.kind.kind, old.kind.group, old.key[1]))
    if old.kind is kinds.SERVICE and (new.get("spec") or {}).get("type") != "ExternalName":
        kept = {k: v for k, v in old.data["spec"].items() if k in ("clusterIP", "clusterIPs")}
        return {**new, "spec": {**kept, **(new.get("spec") or {})}}
    return new


def scale_of(entry):
    """autoscaling/v1 Scale: of 0 replicas the field is absent."""
    meta = {k: entry.meta[k] for k in ("name", "namespace", "uid", "resourceVersion",
                                       "creationTimestamp")}
    n = entry.data["spec"].get("replicas", 0)
    status = entry.data.get("status") or {}
    selector = entry.data["spec"].get("selector") or {}
    if entry.kind not in kinds.LABEL_SELECTOR:
        selector = {"matchLabels": selector.get("matchLabels", selector)}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta,
            "spec": {"replicas": n} if n else {},
            "status": {"replicas": status.get("replicas", 0),
                       "selector": store_.selector_text(selector)}}

