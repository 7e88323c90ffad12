"""metadata.managedFields, as far as they say who has set the replicas and the annotations of
a workload.

A server notes the field manager of each write: the parameter fieldManager, else the User-Agent up
to its first slash.  Who changes a field owns it, and nobody else does any more.  Writes to the
subresource scale are noted since 1.22."""
import store

REPLICAS = {"f:spec": {"f:replicas": {}}}


def manager_of(request):
    return request.query.get("fieldManager") or \
        request.fields.get("user-agent", "").partition("/")[0]


def _replicas(data):
    return ((data or {}).get("spec") or {}).get("replicas")


def _annotations(data):
    return ((data or {}).get("metadata") or {}).get("annotations") or {}


def _annotated(kind, old, new, request, fields):
    """The annotations that this write sets are its manager's; a real server has one entry for all
    that a manager has set."""
    before, now = _annotations(old), _annotations(new)
    changed = {"f:" + k for k in now if before.get(k) != now[k]}
    gone = {"f:" + k for k in before if k not in now}
    if not changed | gone:
        return fields
    kept = []
    for f in fields:
        owned = f["fieldsV1"].get("f:metadata", {}).get("f:annotations")
        if owned is None:
            kept.append(f)
            continue
        left = {k: {} for k in owned if k not in changed | gone}
        if f["manager"] == manager_of(request):
            changed |= set(left)
        elif left:
            kept.append({**f, "fieldsV1": {"f:metadata": {"f:annotations": left}}})
    if changed:
        kept.append({"manager": manager_of(request), "operation": "Update", "apiVersion":
                     "%s/%s" % (kind.group, kind.version), "time": store.stamp(),
                     "fieldsType": "FieldsV1", "fieldsV1":
                     {"f:metadata": {"f:annotations": {k: {} for k in sorted(changed)}}}})
    return kept


def noted(kind, old, new, request, sub, version):
    """new, with the managedFields that it gets by this write over old (None: it is created)."""
    if "scale" not in kind.sub:
        return new
    meta = dict(new.get("metadata") or {})
    fields = list(((old or {}).get("metadata") or {}).get("managedFields") or [])
    if old is None and meta.get("managedFields"):
        return new  # a test makes an object of the past
    if _replicas(new) != _replicas(old) and not (sub == "scale" and version < (1, 22)):
        fields = [f for f in fields if f["fieldsV1"] != REPLICAS]
        fields.append({"manager": manager_of(request), "operation": "Update", "apiVersion":
                       "%s/%s" % (kind.group, kind.version), "time": store.stamp(),
                       "fieldsType": "FieldsV1", "fieldsV1": REPLICAS,
                       **({"subresource": sub} if sub else {})})
    fields = _annotated(kind, old, new, request, fields)
    if fields:
        meta["managedFields"] = fields
    return {**new, "metadata": meta}
