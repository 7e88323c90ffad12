"""The garbage collector: objects go with their owners, before them (propagationPolicy Foreground),
after them (Background), or not at all (Orphan)."""
import kinds
from store import COLLECTOR

FOREGROUND, ORPHAN = COLLECTOR["Foreground"], COLLECTOR["Orphan"]


def owners(entry):
    return entry.meta.get("ownerReferences") or []


def has_finalizer(entry, name):
    return "deletionTimestamp" in entry.meta and name in (entry.meta.get("finalizers") or [])


def is_collecting(entry):
    return has_finalizer(entry, FOREGROUND) or has_finalizer(entry, ORPHAN)


def to_look_at(store, what, entry):
    """The uids of the owners that a change concerns."""
    found = [o["uid"] for o in owners(entry)
             if o["uid"] not in store.by_uid or is_collecting(store.by_uid[o["uid"]])]
    if what == "DELETED" and entry.meta["uid"] in store.owned or \
            what != "DELETED" and is_collecting(entry):
        found.append(entry.meta["uid"])
    return found


def collect(store, uid):
    """Do what is next for the dependents of this owner, and for the owner itself."""
    owner = store.by_uid.get(uid)
    if owner is not None and has_finalizer(owner, ORPHAN):
        for dependent in _dependents(store, uid):
            _strip(store, dependent, {uid})
        _finish(store, store.by_uid[uid], ORPHAN)
        return
    is_waiting = owner is not None and has_finalizer(owner, FOREGROUND)
    if owner is not None and not is_waiting:
        return
    for dependent in _dependents(store, uid):
        _release(store, dependent)
    if is_waiting and not any(o["uid"] == uid and o.get("blockOwnerDeletion")
                              for d in _dependents(store, uid) for o in owners(d)):
        _finish(store, store.by_uid[uid], FOREGROUND)


def _dependents(store, uid):
    found = (store.find(kind, *key) for kind, key in list(store.owned.get(uid, ())))
    return [e for e in found if e is not None]


def _release(store, entry):
    """Delete an object all of whose owners are gone, or wait for its end.  An owner that does not
    wait for it counts as soon as it is gone."""
    solid, dangling, waiting = [], set(), set()
    for o in owners(entry):
        owner = store.by_uid.get(o["uid"])
        if owner is None:
            dangling.add(o["uid"])
        elif has_finalizer(owner, FOREGROUND) and o.get("blockOwnerDeletion"):
            waiting.add(o["uid"])
        elif not is_collecting(owner):
            solid.append(o["uid"])
    if solid:
        _strip(store, entry, dangling | waiting)
    elif not dangling and not waiting:
        return
    elif waiting and store.owned.get(entry.meta["uid"]) and entry.kind is not kinds.POD:
        store.delete(entry, policy="Foreground")
    elif "deletionTimestamp" not in entry.meta:
        store.delete(entry)


def _strip(store, entry, uids):
    left = [o for o in owners(entry) if o["uid"] not in uids]
    if len(left) < len(owners(entry)):
        meta = {k: v for k, v in entry.meta.items() if k != "ownerReferences"}
        store.update(entry, {**entry.data, "metadata": {
            **meta, **({"ownerReferences": left} if left else {})}})


def _finish(store, owner, finalizer):
    left = [f for f in owner.meta.get("finalizers") or [] if f != finalizer]
    meta = {k: v for k, v in owner.meta.items() if k != "finalizers"}
    store.update(owner, {**owner.data, "metadata": {**meta, **({"finalizers": left}
                                                               if left else {})}})
