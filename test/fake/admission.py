"""Rules in CEL: those of the schemas of custom resources, and admission policies, which mutate or
refuse what a request writes."""
import cel
import kinds
import patch
from store import Refused

VALIDATING, MUTATING = (kinds.BY_PLURAL[p] for p in (
    "validatingadmissionpolicies", "mutatingadmissionpolicies"))
BINDINGS = {k: kinds.BY_PLURAL[k.plural[:-3] + "ybindings"] for k in (VALIDATING, MUTATING)}
NOTHING = object()
ROOT = {"name", "generateName"}  # of metadata, that rules of a schema see


# --- the rules of a schema

def check_rules(kind, new, old):
    """Refuse an object that its schema's rules do.  What has not changed is not looked at again."""
    errors = []
    _walk(kind.schema, _seen(new), NOTHING if old is None else _seen(old), "", errors)
    if errors:
        name = (new.get("metadata") or {}).get("name")
        raise Refused(422, "Invalid", '%s.%s "%s" is invalid: %s' % (
            kind.kind, kind.group, name, errors[0] if len(errors) == 1 else
            "[%s]" % ", ".join(errors)), {"name": name, "group": kind.group, "kind": kind.kind})


def _seen(obj):
    meta = {k: v for k, v in (obj.get("metadata") or {}).items() if k in ROOT}
    return {**obj, "metadata": meta}


def _walk(schema, new, old, path, errors):
    if old is not NOTHING and new == old and path:
        return
    for rule in schema.get("x-kubernetes-validations") or []:
        is_transition = "oldSelf" in rule["rule"]
        if is_transition and old is NOTHING:
            continue
        values = {"self": new, **({"oldSelf": old} if is_transition else {})}
        message = refusal(rule["rule"], rule, values)
        if message is not None:
            errors.append("%s: Invalid value: %s" % (path or "<nil>", message))
    if isinstance(new, dict):
        for name, part in (schema.get("properties") or {}).items():
            if name in new and name != "status":
                before = old.get(name, NOTHING) if isinstance(old, dict) else NOTHING
                _walk(part, new[name], before, "%s.%s" % (path, name) if path else name, errors)
    elif isinstance(new, list) and "items" in schema:
        for i, item in enumerate(new):
            _walk(schema["items"], item, NOTHING, "%s[%d]" % (path, i), errors)


def refusal(expression, how, values):
    """The message of a rule or validation that does not hold; None: it does."""
    try:
        if cel.evaluate(expression, values) is True:
            return None
    except cel.CelError as e:
        return "rule compile error: %s" % e
    try:
        if how.get("messageExpression"):
            return cel.evaluate(how["messageExpression"], values)
    except cel.CelError:
        pass
    return how.get("message") or "failed rule: " + expression


# --- policies

class Policies:
    def __init__(self, store):
        self.store = store

    def mutated(self, kind, verb, user, new, old):
        """new: with the changes of the mutating policies.  old: None when it is created."""
        for policy, _, values in self._matching(MUTATING, kind, verb, user, new, old):
            for mutation in policy.data["spec"]["mutations"]:
                patches = cel.evaluate(mutation["jsonPatch"]["expression"],
                                       {**values, "object": new})
                if patches:
                    new = patch.apply("application/json-patch+json", new, patches)
        return new

    def check(self, kind, verb, user, new, old):
        """Refuse what a validating policy refuses."""
        for policy, binding, values in self._matching(VALIDATING, kind, verb, user, new, old):
            for validation in policy.data["spec"]["validations"]:
                message = refusal(validation["expression"], validation, values)
                if message is not None:
                    name = (new.get("metadata") or {}).get("name")
                    raise Refused(422, "Invalid", '%s "%s" is forbidden: ValidatingAdmissionPolicy '
                                  "'%s' with binding '%s' denied request: %s" % (
                                      kinds.in_words(kind), name, policy.key[1], binding.key[1],
                                      message), {"name": name, "kind": kind.plural})

    def _matching(self, which, kind, verb, user, new, old):
        """(policy, binding, variables) of each that looks at such a request."""
        if kind.schema is None:
            return  # the policies here are about custom resources
        for binding in self.store.all(BINDINGS[which]):
            policy = self.store.find(which, "", binding.data["spec"]["policyName"])
            if policy is None or not self._is_about(policy.data["spec"], kind, verb):
                continue
            values = {"object": new, "oldObject": old, "request": {
                "kind": {"kind": kind.kind}, "operation": verb.upper(),
                "userInfo": {"username": user.name}}}
            if "paramRef" in binding.data["spec"]:
                ref = binding.data["spec"]["paramRef"]
                found = self.store.find(kinds.BY_PLURAL["configmaps"], ref["namespace"],
                                        ref["name"])
                if found is None:
                    continue
                values["params"] = found.data
            if all(cel.evaluate(c["expression"], values)
                   for c in policy.data["spec"].get("matchConditions") or []):
                values["variables"] = Lazy(policy.data["spec"].get("variables") or [], values)
                yield policy, binding, values

    @staticmethod
    def _is_about(spec, kind, verb):
        return any(kind.group in r["apiGroups"] and kind.plural in r["resources"] and
                   verb.upper() in r["operations"]
                   for r in spec["matchConstraints"]["resourceRules"])


class Lazy(dict):
    """The variables of a policy, each of which is evaluated when it is asked for."""

    def __init__(self, variables, values):
        super().__init__()
        self.sources = {v["name"]: v["expression"] for v in variables}
        self.values = {**values, "variables": self}

    def __contains__(self, name):
        return name in self.sources

    def __getitem__(self, name):
        if not dict.__contains__(self, name):
            self[name] = cel.evaluate(self.sources[name], self.values)
        return dict.__getitem__(self, name)
