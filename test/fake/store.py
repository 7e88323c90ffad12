"""The objects: versions, history, selectors, and listeners that are called for each change.

An object is never changed in place, so that anybody may keep a reference to one."""
import base64
import collections
import datetime
import json
import os
import uuid

import kinds


class Refused(Exception):
    """The request is answered with a Status."""

    def __init__(self, code, reason, message, details=None, retry_after=None):
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message
        self.details, self.retry_after = details, retry_after

    def status(self):
        s = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
             "message": self.message, "reason": self.reason, "code": self.code}
        details = dict(self.details or {})
        if self.retry_after:
            details["retryAfterSeconds"] = self.retry_after
        if details:
            s["details"] = details
        return s


def not_found(kind, name, sub=None):
    what = kind.plural + ("/" + sub if sub else "") + ("." + kind.group if kind.group else "")
    return Refused(404, "NotFound", '%s "%s" not found' % (what, name),
                   {"name": name, "kind": kind.plural, **({"group": kind.group}
                                                          if kind.group else {})})


def conflict(kind, name, why="the object has been modified; please apply your changes to the "
             "latest version and try again"):
    return Refused(409, "Conflict", 'Operation cannot be fulfilled on %s "%s": %s'
                   % (kinds.in_words(kind), name, why),
                   {"name": name, "group": kind.group, "kind": kind.plural})


def expired(rv, oldest):
    return Refused(410, "Expired", "too old resource version: %d (%d)" % (rv, oldest))


def stamp(after_s=0):
    now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=after_s)
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def encode(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def copy(value):
    if isinstance(value, dict):
        return {k: copy(v) for k, v in value.items()}
    if isinstance(value, list):
        return [copy(v) for v in value]
    return value


class Entry:
    """One version of one object."""
    __slots__ = ("kind", "data", "rv", "seq", "_item")

    def __init__(self, kind, data, rv, seq):
        self.kind, self.data, self.rv, self.seq, self._item = kind, data, rv, seq, None

    @property
    def meta(self):
        return self.data["metadata"]

    @property
    def key(self):
        return (self.meta.get("namespace", ""), self.meta["name"])

    @property
    def labels(self):
        return self.meta.get("labels") or {}

    def item(self):
        """Its JSON as an item of a list: without kind and apiVersion."""
        if self._item is None:
            self._item = encode(self.data)
        return self._item

    def raw(self):
        """Its JSON as an object of its own."""
        head = '{"kind":"%s","apiVersion":"%s",' % (self.kind.kind, kinds.api_version(self.kind))
        return head.encode() + self.item()[1:]


class Selector:
    """labelSelector and fieldSelector of a request."""

    def __init__(self, labels="", fields=""):
        self.labels = [self._label(part) for part in self._split(labels)]
        self.fields = [self._field(part) for part in self._split(fields)]

    @staticmethod
    def _split(text):
        parts, depth, at = [], 0, ""
        for c in text or "":
            depth += (c == "(") - (c == ")")
            if c == "," and depth == 0:
                parts.append(at)
                at = ""
            else:
                at += c
        return [p.strip() for p in parts + [at] if p.strip()]

    @staticmethod
    def _label(part):
        words = part.replace("(", " (").split(None, 2)
        if len(words) == 3 and words[1] in ("in", "notin"):
            return words[0], words[1], {v.strip() for v in words[2].strip("()").split(",")}
        for op, name in (("!=", "notin"), ("==", "in"), ("=", "in")):
            if op in part:
                key, value = part.split(op, 1)
                return key.strip(), name, {value.strip()}
        if part.startswith("!"):
            return part[1:].strip(), "absent", set()
        return part, "present", set()

    @staticmethod
    def _field(part):
        for op, is_equal in (("!=", False), ("==", True), ("=", True)):
            if op in part:
                key, value = part.split(op, 1)
                return key, is_equal, value
        raise Refused(400, "BadRequest", "invalid field selector: " + part)

    def index(self):
        """A label or field (name, value) that all matching objects have, or None."""
        for key, op, values in self.labels:
            if op == "in" and len(values) == 1:
                return key, next(iter(values))
        for key, is_equal, value in self.fields:
            if is_equal and key in ("metadata.name", "metadata.namespace"):
                return key, value
        return None

    def matches(self, entry):
        labels = entry.labels
        for key, op, values in self.labels:
            value = labels.get(key)
            if op == "in" and value not in values or op == "notin" and value in values \
                    or op == "present" and value is None or op == "absent" and value is not None:
                return False
        for key, is_equal, value in self.fields:
            if (field_of(entry.data, key) == value) != is_equal:
                return False
        return True


def field_of(obj, path):
    for part in path.split("."):
        obj = obj.get(part) if isinstance(obj, dict) else None
    if obj is None:
        return ""
    return str(obj).lower() if isinstance(obj, bool) else str(obj)


def named(meta):
    """Give the object a name of its generateName, unless it has one."""
    if not meta.get("name"):
        if not meta.get("generateName"):
            raise Refused(422, "Invalid", "metadata.name: Required value: name or generateName "
                          "is required")
        meta["name"] = meta["generateName"][:58] + uuid.uuid4().hex[:5]


def matches_labels(selector, labels):
    """spec.selector: matchLabels and matchExpressions."""
    labels = labels or {}
    for k, v in (selector.get("matchLabels") or {}).items():
        if labels.get(k) != v:
            return False
    for e in selector.get("matchExpressions") or []:
        value, op, values = labels.get(e["key"]), e["operator"], e.get("values") or []
        if op == "In" and value not in values or op == "NotIn" and value in values \
                or op == "Exists" and value is None or op == "DoesNotExist" and value is not None:
            return False
    return True


def selector_text(selector):
    parts = ["%s=%s" % kv for kv in sorted((selector.get("matchLabels") or {}).items())]
    for e in selector.get("matchExpressions") or []:
        op, values = e["operator"], ",".join(sorted(e.get("values") or []))
        parts.append({"In": "%s in (%s)" % (e["key"], values), "Exists": e["key"],
                      "NotIn": "%s notin (%s)" % (e["key"], values),
                      "DoesNotExist": "!" + e["key"]}[op])
    return ",".join(parts)


# propagationPolicy -> the finalizer by which the garbage collector knows of it
COLLECTOR = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}


def is_to_go(meta):
    """Nothing has yet to be done for an object that is being deleted."""
    return "deletionTimestamp" in meta and meta.get("deletionGracePeriodSeconds") == 0 and \
        not meta.get("finalizers")


class Store:
    HISTORY = 20000  # events to remember for watches that resume

    def __init__(self, journal=None, on_definition=None):
        """on_definition(data): the journal has a CustomResourceDefinition."""
        self.on_definition = on_definition
        self.rv = 100
        self.seq = 0
        self.objects = collections.defaultdict(dict)
        self.owned = collections.defaultdict(dict)  # owner's uid -> {(kind, key): None}
        self.by_uid = {}
        self.history = collections.deque()
        self.oldest = self.rv
        self.listeners = []
        self.pages = {}
        self.journal = None
        if journal:
            self._load(journal)
            self.journal = open(journal, "ab", buffering=0)

    # ---- the journal, from which the next process reads all objects
    def _load(self, path):
        if not os.path.exists(path):
            return
        with open(path, "rb") as f:
            for line in f:
                if not line.endswith(b"\n"):
                    break  # the process was killed while it wrote this line
                rv, plural, group, data, key = json.loads(line)
                kind = next(k for k in kinds.KINDS if (k.plural, k.group) == (plural, group))
                self.rv = max(self.rv, rv)
                old = self.objects[kind].pop(tuple(key), None)
                self._index(old, None)
                if data is not None:
                    self._put(kind, tuple(key), data, rv, old.seq if old else None)
                    if kind is kinds.CRD:
                        self.on_definition(data)
        self.oldest = self.rv

    def _record(self, kind, key, data):
        if self.journal:
            os.write(self.journal.fileno(),
                     encode([self.rv, kind.plural, kind.group, data, key]) + b"\n")

    def _index(self, old, new):
        for entry, is_new in ((old, False), (new, True)):
            for owner in entry.meta.get("ownerReferences") or [] if entry else []:
                mine = self.owned[owner["uid"]]
                if is_new:
                    mine[(entry.kind, entry.key)] = None
                else:
                    mine.pop((entry.kind, entry.key), None)
                    if not mine:
                        del self.owned[owner["uid"]]
            if entry:
                if is_new:
                    self.by_uid[entry.meta.get("uid")] = entry
                else:
                    self.by_uid.pop(entry.meta.get("uid"), None)

    def _put(self, kind, key, data, rv, seq=None):
        if seq is None:
            self.seq += 1
            seq = self.seq
        entry = Entry(kind, data, rv, seq)
        self.objects[kind][key] = entry
        self._index(None, entry)
        return entry

    def _publish(self, what, kind, new, old):
        self.history.append((self.rv, what, kind, new, old))
        if len(self.history) > self.HISTORY:
            self.oldest = self.history.popleft()[0]
        for listener in self.listeners:
            listener(what, kind, new, old)

    def compact(self):
        """Forget the history, as etcd's compaction does: a watch from an older version gets 410."""
        self.history.clear()
        self.rv += 1
        self.oldest = self.rv

    # ---- reading
    def find(self, kind, namespace, name):
        return self.objects[kind].get((namespace or "", name))

    def get(self, kind, namespace, name, sub=None):
        entry = self.find(kind, namespace, name)
        if entry is None:
            raise not_found(kind, name, sub)
        return entry

    def all(self, kind, namespace=None, selector=None):
        return [e for k, e in self.objects[kind].items()
                if (not namespace or k[0] == namespace) and (not selector or selector.matches(e))]

    def children(self, uid, kind):
        return [self.objects[k][key] for k, key in list(self.owned.get(uid, ())) if k is kind]

    def page(self, kind, namespace, selector, limit, token):
        """(entries, resourceVersion, continue token, number of entries after these)."""
        if token:
            try:
                name = base64.urlsafe_b64decode(token.encode()).decode()
                rest, rv = self.pages[name]
            except (KeyError, ValueError):
                raise Refused(410, "Expired", "The provided continue parameter is too old to "
                              "display a consistent list result.") from None
        else:
            rest, rv = sorted(self.all(kind, namespace, selector), key=lambda e: e.key), self.rv
        if not limit or len(rest) <= limit:
            return rest, rv, "", 0
        name = uuid.uuid4().hex
        self.pages[name] = (rest[limit:], rv)
        return (rest[:limit], rv, base64.urlsafe_b64encode(name.encode()).decode(),
                len(rest) - limit)

    # ---- writing
    def create(self, kind, namespace, obj):
        obj = copy(obj)
        obj.pop("kind", None)
        obj.pop("apiVersion", None)
        meta = obj.setdefault("metadata", {})
        named(meta)
        if kind.namespaced:
            meta["namespace"] = namespace
        key = (namespace or "", meta["name"])
        if key in self.objects[kind]:
            raise Refused(409, "AlreadyExists", '%s "%s" already exists'
                          % (kinds.in_words(kind), meta["name"]),
                          {"name": meta["name"], "kind": kind.plural})
        self.rv += 1
        meta["uid"] = meta.get("uid") or str(uuid.uuid4())
        meta["creationTimestamp"] = meta.get("creationTimestamp") or stamp()
        meta["resourceVersion"] = str(self.rv)
        if "status" in kind.sub and kind not in (kinds.NODE, kinds.POD):
            meta["generation"] = 1
        entry = self._put(kind, key, obj, self.rv)
        self._record(kind, key, obj)
        self._publish("ADDED", kind, entry, None)
        return entry

    def update(self, old, obj, sub=None):
        """Replace old by obj; sub: only the part that this subresource has."""
        kind, obj = old.kind, dict(obj)
        obj.pop("kind", None)
        obj.pop("apiVersion", None)
        meta = obj["metadata"] = dict(obj.get("metadata") or {})
        asked = meta.get("resourceVersion")
        if asked and asked != old.meta["resourceVersion"]:
            raise conflict(kind, old.key[1])
        if meta.get("uid") not in (None, "", old.meta["uid"]):
            raise conflict(kind, old.key[1], "Precondition failed: UID in precondition: %s, UID in "
                           "object meta: %s" % (meta["uid"], old.meta["uid"]))
        for name in ("uid", "creationTimestamp", "name", "namespace", "generation",
                     "deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion"):
            if name in old.meta:
                meta[name] = old.meta[name]
            else:
                meta.pop(name, None)
        if sub == "status":
            obj = {**old.data, "status": obj.get("status") or {}}
        elif "status" in kind.sub and sub is None:
            obj = {k: v for k, v in obj.items() if k != "status"}
            if "status" in old.data:
                obj["status"] = old.data["status"]
        if obj == old.data:
            return old  # nothing changed: no new version, no event
        if obj.get("spec") != old.data.get("spec") and "generation" in old.meta:
            obj["metadata"] = dict(obj["metadata"], generation=old.meta["generation"] + 1)
        if is_to_go(obj["metadata"]):
            return self._remove(old, obj)
        return self._replace(old, obj)

    def _replace(self, old, obj):
        self.rv += 1
        obj["metadata"] = dict(obj["metadata"], resourceVersion=str(self.rv))
        self._index(old, None)
        entry = self._put(old.kind, old.key, obj, self.rv, old.seq)
        self._record(old.kind, old.key, obj)
        self._publish("MODIFIED", old.kind, entry, old)
        return entry

    def set_status(self, old, status):
        return self.update(old, {**old.data, "status": status}, "status")

    def delete(self, old, grace_s=None, policy=None):
        """A pod on a node only gets a deletionTimestamp; its kubelet deletes it for good.  So does
        an object with finalizers; whoever removes the last of them ends it.  policy:
        propagationPolicy, of which Foreground and Orphan are finalizers of the garbage collector."""
        if old.kind is kinds.NAMESPACE:  # its controller ends it, once nothing is in it any more
            return old if "deletionTimestamp" in old.meta else self._replace(old, {
                **old.data, "metadata": dict(old.meta, deletionTimestamp=stamp()),
                "status": {**(old.data.get("status") or {}), "phase": "Terminating"}})
        if old.kind is kinds.POD and old.data["spec"].get("nodeName"):
            if grace_s is None:
                grace_s = old.data["spec"].get("terminationGracePeriodSeconds", 30)
            if grace_s > 0:
                if "deletionTimestamp" in old.meta:
                    return old
                return self._replace(old, {**old.data, "metadata": dict(
                    old.meta, deletionTimestamp=stamp(grace_s),
                    deletionGracePeriodSeconds=grace_s)})
        finalizers = old.meta.get("finalizers") or []
        if policy:
            finalizers = [f for f in finalizers if f not in COLLECTOR.values()]
            finalizers += [COLLECTOR[policy]] if policy in COLLECTOR else []
        if not finalizers:
            return self._remove(old, old.data)
        meta = dict(old.meta, finalizers=finalizers)
        if "deletionTimestamp" not in meta:
            meta.update(deletionTimestamp=stamp(), deletionGracePeriodSeconds=0)
            if "generation" in meta:
                meta["generation"] += 1
        return old if meta == old.meta else self._replace(old, {**old.data, "metadata": meta})

    def remove_namespace(self, old):
        self._remove(old, old.data)

    def _remove(self, old, data):
        self.rv += 1
        del self.objects[old.kind][old.key]
        self._index(old, None)
        gone = Entry(old.kind, {**data, "metadata": dict(
            data["metadata"], resourceVersion=str(self.rv))}, self.rv, old.seq)
        self._record(old.kind, old.key, None)
        self._publish("DELETED", old.kind, gone, old)
        return gone
