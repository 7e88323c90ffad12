"""The three kinds of PATCH: merge (RFC 7386), JSON (RFC 6902), and as much of the strategic merge
as kubectl needs."""
from store import Refused, copy

# Lists that a strategic merge joins by a key of their elements: name of the list -> key.
MERGE_KEYS = {"containers": "name", "initContainers": "name", "env": "name", "volumes": "name",
              "ports": "containerPort", "conditions": "type", "addresses": "type",
              "volumeMounts": "mountPath", "ownerReferences": "uid"}


def merge(target, change):
    if not isinstance(change, dict):
        return copy(change)
    out = dict(target) if isinstance(target, dict) else {}
    for k, v in change.items():
        if v is None:
            out.pop(k, None)
        else:
            out[k] = merge(out.get(k), v)
    return out


def strategic(target, change, name=""):
    if isinstance(change, list):
        key = MERGE_KEYS.get(name)
        if key is None or not all(isinstance(e, dict) and key in e for e in change):
            return copy(change)
        out = list(target or [])
        for e in change:
            at = next((i for i, o in enumerate(out) if o.get(key) == e[key]), None)
            if e.get("$patch") == "delete":
                out = [o for o in out if o.get(key) != e[key]]
            elif at is None:
                out.append(copy(e))
            else:
                out[at] = strategic(out[at], e)
        return out
    if not isinstance(change, dict):
        return change
    if change.get("$patch") == "replace":
        return {k: copy(v) for k, v in change.items() if k != "$patch"}
    out = dict(target) if isinstance(target, dict) else {}
    for k, v in change.items():
        if k.startswith("$"):
            continue
        if v is None:
            out.pop(k, None)
        else:
            out[k] = strategic(out.get(k), v, k)
    return out


def _invalid(text):
    return Refused(422, "Invalid", "the server rejected our request due to an error in our "
                   "request: " + text)


def _parts(pointer):
    if pointer == "":
        return []
    if not pointer.startswith("/"):
        raise _invalid("bad pointer " + pointer)
    return [p.replace("~1", "/").replace("~0", "~") for p in pointer[1:].split("/")]


def _at(doc, parts):
    for p in parts:
        try:
            doc = doc[int(p)] if isinstance(doc, list) else doc[p]
        except (KeyError, IndexError, ValueError, TypeError):
            raise _invalid("no such path /" + "/".join(parts)) from None
    return doc


def _one(doc, op):
    parts = _parts(op["path"])
    what = op["op"]
    if what == "test":
        if _at(doc, parts) != op.get("value"):
            raise _invalid("testing path %s value failed" % op["path"])
        return
    if what in ("move", "copy"):
        value = copy(_at(doc, _parts(op["from"])))
        if what == "move":
            _one(doc, {"op": "remove", "path": op["from"]})
    else:
        value = copy(op.get("value"))
    parent, last = _at(doc, parts[:-1]), parts[-1]
    if isinstance(parent, list):
        i = len(parent) if last == "-" else int(last)
        if what == "remove":
            del parent[i]
        elif what == "replace":
            parent[i] = value
        else:
            parent.insert(i, value)
    elif what == "remove":
        if last not in parent:
            raise _invalid("unable to remove nonexistent key: " + last)
        del parent[last]
    elif what == "replace" and last not in parent:
        raise _invalid("replace operation does not apply: doc is missing key: " + op["path"])
    elif what in ("add", "replace", "move", "copy"):
        parent[last] = value
    else:
        raise _invalid("unexpected kind of operation: " + what)


def apply(content_type, target, change):
    """The patched object; target is not changed."""
    kind = (content_type or "").split(";")[0].strip()
    if kind == "application/merge-patch+json":
        return merge(target, change)
    if kind == "application/strategic-merge-patch+json":
        return strategic(target, change)
    if kind == "application/json-patch+json":
        doc = copy(target)
        if not isinstance(change, list):
            raise Refused(400, "BadRequest", "a JSON patch is a list")
        for op in change:
            _one(doc, op)
        return doc
    raise Refused(415, "UnsupportedMediaType", "the body of the request was in an unknown format "
                  "- accepted media types include: application/json-patch+json, "
                  "application/merge-patch+json, application/strategic-merge-patch+json")
