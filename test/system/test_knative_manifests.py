"""conf/kubernetes/knative without a cluster."""
import os
import re
import subprocess
import sys

import pytest

from helpers import WAIT_S
from kube_knative import GROUP, HERE, VERSIONS, definitions, documents


@pytest.mark.parametrize("program", ["crds.py", "policies.py"])
def test_the_files_are_what_their_program_writes(program):
    done = subprocess.run([sys.executable, os.path.join(HERE, program), "--check"],
                          capture_output=True, text=True, timeout=WAIT_S)
    assert done.returncode == 0, done.stderr


def policies(name):
    """{name: policy}, {name of a policy: its binding}"""
    docs = documents(os.path.join(HERE, name))
    found = {d["metadata"]["name"]: d["spec"] for d in docs if d["kind"].endswith("Policy")}
    bound = {d["spec"]["policyName"]: d["spec"] for d in docs if d["kind"].endswith("Binding")}
    assert len(found) + len(bound) == len(docs)
    return found, bound


@pytest.mark.parametrize("name", ["policies.yaml", "mutating.yaml"])
def test_each_policy_is_bound(name):
    found, bound = policies(name)
    assert set(found) == set(bound)
    for policy, spec in found.items():
        assert spec["failurePolicy"] == "Fail"
        rule, = spec["matchConstraints"]["resourceRules"]
        assert set(rule["resources"]) <= set(VERSIONS) and rule["apiGroups"] == [GROUP]
        assert ("paramKind" in spec) == ("paramRef" in bound[policy])
        # The writes of the controllers have passed before.
        assert any("system:serviceaccount:activator:activator" in c["expression"]
                   for c in spec["matchConditions"])
        for v in spec.get("validations") or []:
            assert v["message"] and "\n" not in v["message"]


def schema_of(plural):
    version, = definitions()[plural]["spec"]["versions"]
    return version["schema"]["openAPIV3Schema"]


def nodes(schema, path=""):
    """All schemas within this one."""
    yield path, schema
    for name, part in (schema.get("properties") or {}).items():
        yield from nodes(part, path + "." + name)
    for name in "items", "additionalProperties":
        if isinstance(schema.get(name), dict):
            yield from nodes(schema[name], path + "[]")


@pytest.mark.parametrize("plural", sorted(VERSIONS))
def test_a_definition_is_structural(plural):
    crd = definitions()[plural]
    assert crd["metadata"]["name"] == "%s.%s" % (plural, GROUP)
    version, = crd["spec"]["versions"]
    assert version["name"] == VERSIONS[plural] and version["subresources"] == {"status": {}}
    assert crd["spec"]["names"]["categories"] == ["all", "knative", "serving"]
    for path, schema in nodes(schema_of(plural)):
        has_type = "type" in schema or schema.get("x-kubernetes-int-or-string")
        assert has_type, path
        assert not ("properties" in schema and "additionalProperties" in schema), path
        if schema.get("type") == "array":
            assert "items" in schema, path
        if path.startswith(".spec") and "x-kubernetes-validations" in schema and \
                schema.get("type") == "string":
            assert "maxLength" in schema, path  # bounds the cost of the rule
        for rule in schema.get("x-kubernetes-validations") or []:
            assert rule["message"] and "\n" not in rule["message"], path


def test_columns_are_those_of_knative():
    columns = {p: [c["name"] for c in d["spec"]["versions"][0]["additionalPrinterColumns"]]
               for p, d in definitions().items()}
    assert columns == {
        "services": ["URL", "LatestCreated", "LatestReady", "Ready", "Reason"],
        "configurations": ["LatestCreated", "LatestReady", "Ready", "Reason"],
        "revisions": ["Config Name", "Generation", "Ready", "Reason", "Actual Replicas",
                      "Desired Replicas"],
        "routes": ["URL", "Ready", "Reason"], "domainmappings": ["URL", "Ready", "Reason"]}


def pod_schema(plural):
    schema = schema_of(plural)["properties"]["spec"]
    return schema if plural == "revisions" else \
        schema["properties"]["template"]["properties"]["spec"]


def without_paths(schema):
    return re.sub(r"spec\.template\.spec", "spec", repr(schema["properties"]))


def test_the_three_pod_templates_are_one():
    first = without_paths(pod_schema("services"))
    assert without_paths(pod_schema("configurations")) == first
    assert without_paths(pod_schema("revisions")) == first


def test_lists_that_clients_send_without_names_have_no_key():
    containers = pod_schema("services")["properties"]["containers"]
    assert containers["x-kubernetes-list-type"] == "atomic"
    name = containers["items"]["properties"]["name"]
    assert "default" not in name and "minLength" not in name


# --- rights

def roles(name):
    return [d for d in documents(os.path.join(HERE, name)) if d["kind"] in ("Role", "ClusterRole")]


def test_each_verb_is_explained():
    with open(os.path.join(HERE, "rights.yaml")) as f:
        lines = [line.rstrip() for line in f if re.match(r"      - [a-z]+", line)]
    granted = [v for role in roles("rights.yaml") for r in role["rules"] for v in r["verbs"]]
    assert len(lines) == len(granted) and "*" not in granted
    for line in lines:
        assert re.fullmatch(r"      - [a-z]+ # .{8,}", line), line


def test_each_role_is_bound_to_the_account():
    docs = documents(os.path.join(HERE, "rights.yaml"))
    account = {"kind": "ServiceAccount", "name": "activator", "namespace": "activator"}
    bound = set()
    for d in docs:
        if d["kind"] in ("RoleBinding", "ClusterRoleBinding"):
            assert d["subjects"] == [account]
            bound.add((d["roleRef"]["kind"], d["roleRef"]["name"]))
    assert bound == {("ClusterRole", "activator-knative"), ("ClusterRole", "activator"),
                     ("Role", "activator-knative")}


def test_rights_of_users_go_to_the_roles_that_a_cluster_has():
    found = {r["metadata"]["name"]: r for r in roles("users.yaml")}
    assert set(found) == {"knative-serving-namespaced-" + n for n in ("admin", "edit", "view")}
    for name, role in found.items():
        key = "rbac.authorization.k8s.io/aggregate-to-" + name.rpartition("-")[2]
        assert role["metadata"]["labels"][key] == "true"
        assert all(r["apiGroups"] == [GROUP] and r["resources"] == ["*"] for r in role["rules"])
