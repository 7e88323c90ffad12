"""Authentication (tokens, client certificates) and authorization (RBAC)."""
import os
import time

import kinds
from store import Refused

MASTERS = "system:masters"


class User:
    def __init__(self, name, groups=()):
        self.name = name
        self.groups = set(groups)


ANONYMOUS = User("system:anonymous", ["system:unauthenticated"])


def service_account(namespace, name):
    return User("system:serviceaccount:%s:%s" % (namespace, name),
                ["system:serviceaccounts", "system:serviceaccounts:" + namespace,
                 "system:authenticated"])


class Access:
    def __init__(self, store):
        self.store = store
        self.tokens = {}  # token -> (User, expiry by the monotonic clock or None)

    # ---- authentication
    def issue(self, user, token=None, seconds=None):
        token = token or "t." + os.urandom(16).hex()
        self.tokens[token] = (user, seconds and time.monotonic() + seconds)
        return token

    def revoke(self, token):
        self.tokens.pop(token, None)

    def user(self, authorization, certificate):
        if authorization.lower().startswith("bearer "):
            user, until = self.tokens.get(authorization[7:].strip(), (None, None))
            if user is None or until is not None and until < time.monotonic():
                raise Refused(401, "Unauthorized", "Unauthorized")
            return user
        if certificate:
            names = {k: [] for k in ("commonName", "organizationName")}
            for rdn in certificate.get("subject", ()):
                for k, v in rdn:
                    names.setdefault(k, []).append(v)
            return User(names["commonName"][0],
                        names["organizationName"] + ["system:authenticated"])
        return ANONYMOUS

    # ---- authorization
    def check(self, user, verb, kind, sub, namespace, name):
        """Raise Refused unless it is allowed; the message is that of a real server."""
        if MASTERS in user.groups or self._allows(user, verb, kind, sub, namespace, name):
            return
        resource = kind.plural + ("/" + sub if sub else "")
        what = kinds.in_words(kind) + (' "%s"' % name if name else "")
        where = 'in the namespace "%s"' % namespace if namespace else "at the cluster scope"
        raise Refused(403, "Forbidden", '%s is forbidden: User "%s" cannot %s resource "%s" in '
                      'API group "%s" %s' % (what, user.name, verb, resource, kind.group, where),
                      {"name": name, "group": kind.group, "kind": kind.plural} if name else
                      {"group": kind.group, "kind": kind.plural})

    def _allows(self, user, verb, kind, sub, namespace, name):
        resource = kind.plural + ("/" + sub if sub else "")
        return any(self._rule_allows(rule, verb, kind.group, resource, name)
                   for rule in self._rules(user, namespace))

    @staticmethod
    def _rule_allows(rule, verb, group, resource, name):
        resources = rule.get("resources") or []
        sub = resource.partition("/")[2]
        return ({verb, "*"} & set(rule.get("verbs") or []) and
                {group, "*"} & set(rule.get("apiGroups") or []) and
                ({resource, "*"} | ({"*/" + sub} if sub else set())) & set(resources) and
                (not rule.get("resourceNames") or name in rule["resourceNames"]))

    def _rules(self, user, namespace):
        bindings = self.store.all(kinds.BY_PLURAL["clusterrolebindings"])
        if namespace:
            bindings = bindings + self.store.all(kinds.BY_PLURAL["rolebindings"], namespace)
        for binding in bindings:
            where = binding.meta.get("namespace", "")
            if any(self._is_subject(user, s, where) for s in binding.data.get("subjects") or []):
                ref = binding.data["roleRef"]
                role = self.store.find(kinds.BY_KIND[("rbac.authorization.k8s.io", ref["kind"])],
                                       where if ref["kind"] == "Role" else "", ref["name"])
                yield from (role.data.get("rules") or []) if role else ()

    @staticmethod
    def _is_subject(user, subject, namespace):
        if subject["kind"] == "ServiceAccount":
            return user.name == "system:serviceaccount:%s:%s" % (
                subject.get("namespace") or namespace, subject["name"])
        return subject["name"] in (user.groups if subject["kind"] == "Group" else {user.name})


def named_by_field(selector):
    """The name in the field selector metadata.name=…, which is compared with resourceNames."""
    for key, is_equal, value in selector.fields:
        if key == "metadata.name" and is_equal:
            return value
    return ""
