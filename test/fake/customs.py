"""Custom resources: the kinds that CustomResourceDefinitions make, and what their schemas do to
objects: unknown fields go, defaults come, and what does not fit is refused.

Rules in CEL are in admission.py.  A definition has one version that is served."""
import re

import kinds
from store import Refused, copy

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int,
         "number": (int, float)}
NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
SELECTABLE = ("metadata.name", "metadata.namespace")


def kind_of(crd):
    """The kind of a definition, which is registered."""
    spec = crd["spec"]
    version = next(v for v in spec["versions"] if v["storage"])
    names = spec["names"]
    kind = kinds.BY_KIND.get((spec["group"], names["kind"]))
    if kind is None:
        kind = kinds.Kind(spec["group"], version["name"], names["plural"], names["kind"],
                          " ".join(names.get("shortNames") or []),
                          spec["scope"] == "Namespaced",
                          " ".join(version.get("subresources") or {}))
        kinds.register(kind)
    kind.schema = version["schema"]["openAPIV3Schema"]
    return kind


def established():
    """The conditions of a definition that is served."""
    return [{"type": t, "status": "True", "reason": reason, "message": message}
            for t, reason, message in (
                ("NamesAccepted", "NoConflicts", "no conflicts found"),
                ("Established", "InitialNamesAccepted", "the initial names have been accepted"))]


def shaped(kind, obj):
    """The object as the server stores it."""
    made = _value(obj, kind.schema, True)
    errors = []
    _check(made, kind.schema, "", errors)
    name = (made.get("metadata") or {}).get("name")
    if name is not None and (not NAME.match(name) or len(name) > 253):
        errors.append('metadata.name: Invalid value: "%s": a lowercase RFC 1123 subdomain must '
                      "consist of lower case alphanumeric characters, '-' or '.'" % name)
    if errors:
        raise Refused(422, "Invalid", '%s.%s "%s" is invalid: %s' % (
            kind.kind, kind.group, name or "", errors[0] if len(errors) == 1 else
            "[%s]" % ", ".join(errors)), {"name": name, "group": kind.group, "kind": kind.kind})
    return made


def _is_open(schema):
    return schema.get("x-kubernetes-preserve-unknown-fields")


def _value(value, schema, is_root=False):
    """The value without fields that the schema does not know, and with the schema's defaults."""
    if isinstance(value, list):
        return [_value(v, schema["items"]) if "items" in schema else copy(v) for v in value]
    if not isinstance(value, dict):
        return value
    known, more = schema.get("properties") or {}, schema.get("additionalProperties")
    out = {}
    for name, v in value.items():
        if is_root and name in ("apiVersion", "kind", "metadata"):
            out[name] = v
        elif name in known:
            if v is not None or known[name].get("nullable"):
                out[name] = _value(v, known[name])
        elif isinstance(more, dict):
            out[name] = _value(v, more)
        elif more or _is_open(schema):
            out[name] = copy(v)
    for name, part in known.items():
        if name not in out and "default" in part:
            out[name] = _value(copy(part["default"]), part)
    return out


def _check(value, schema, path, errors):
    """Append what does not fit, in the server's words."""
    if value is None:
        if not schema.get("nullable") and "type" in schema:
            errors.append('%s: Invalid value: "null": must be of type %s: "null"' % (
                path, schema["type"]))
        return
    if schema.get("x-kubernetes-int-or-string"):
        fits = isinstance(value, (int, str)) and not isinstance(value, bool)
    else:
        fits = isinstance(value, TYPES[schema["type"]]) if "type" in schema else True
        if isinstance(value, bool) and schema.get("type") in ("integer", "number"):
            fits = False
    if not fits:
        errors.append('%s: Invalid value: "%s": must be of type %s' % (
            path, type(value).__name__, schema.get("type", "integer or string")))
    elif isinstance(value, dict):
        _check_object(value, schema, path, errors)
    elif isinstance(value, list):
        _check_list(value, schema, path, errors)
    else:
        _check_scalar(value, schema, path, errors)


def _check_object(value, schema, path, errors):
    dot = path + "." if path else ""
    for name in schema.get("required") or []:
        if name not in value:
            errors.append("%s%s: Required value" % (dot, name))
    known, more = schema.get("properties") or {}, schema.get("additionalProperties")
    for name, v in value.items():
        if not path and name in ("apiVersion", "kind", "metadata"):
            continue
        if name in known:
            _check(v, known[name], dot + name, errors)
        elif isinstance(more, dict):
            _check(v, more, dot + name, errors)


def _check_list(value, schema, path, errors):
    most = schema.get("maxItems")
    if most is not None and len(value) > most:
        errors.append("%s: Too many: %d: must have at most %d items" % (path, len(value), most))
    for i, v in enumerate(value):
        _check(v, schema.get("items") or {}, "%s[%d]" % (path, i), errors)
    keys = schema.get("x-kubernetes-list-map-keys")
    if keys:
        seen = set()
        for i, v in enumerate(value):
            mine = tuple(v.get(k) for k in keys) if isinstance(v, dict) else ()
            if mine in seen:
                errors.append("%s[%d]: Duplicate value: %s" % (path, i, dict(zip(keys, mine))))
            seen.add(mine)


def _check_scalar(value, schema, path, errors):
    is_text = isinstance(value, str)
    if is_text and len(value) > schema.get("maxLength", len(value)):
        errors.append("%s: Too long: may not be more than %d bytes" % (path, schema["maxLength"]))
    if "pattern" in schema and is_text and not re.search(schema["pattern"], value):
        errors.append('%s: Invalid value: "%s": in body should match \'%s\'' % (
            path, value, schema["pattern"]))
    if "enum" in schema and value not in schema["enum"]:
        errors.append('%s: Unsupported value: "%s": supported values: %s' % (
            path, value, ", ".join('"%s"' % v for v in schema["enum"])))
    if not is_text and value < schema.get("minimum", value):
        errors.append("%s: Invalid value: %s: should be greater than or equal to %s" % (
            path, value, schema["minimum"]))
    if not is_text and value > schema.get("maximum", value):
        errors.append("%s: Invalid value: %s: should be less than or equal to %s" % (
            path, value, schema["maximum"]))
