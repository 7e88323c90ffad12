"""conf/kubernetes/knative without a cluster."""
import os
import re
import shutil
import subprocess
import sys

import pytest

from helpers import BUILD, WAIT_S
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


# --- the component, and its installation

BASE = os.path.dirname(HERE)


def read(*path):
    with open(os.path.join(*path)) as f:
        return f.read()


def test_the_component_names_all_files():
    component, = documents(os.path.join(HERE, "kustomization.yaml"))
    named = set(component["resources"])
    existing = {n for n in os.listdir(HERE) if n.endswith(".yaml")}
    existing |= {"crds/" + n for n in os.listdir(os.path.join(HERE, "crds"))}
    assert existing - named == {"kustomization.yaml", "mutating.yaml"} and named <= existing
    assert component["configMapGenerator"] == [
        {"name": "activator", "namespace": "activator", "behavior": "replace",
         "files": ["activator.conf"]}]


@pytest.mark.parametrize("program", ["activator", "autoscaler"])
def test_the_conf_file_is_that_of_the_base_and_says_knative(program):
    done = subprocess.run([os.path.join(BUILD, program), "-t", "-c",
                           os.path.join(HERE, "activator.conf")], capture_output=True, text=True,
                          timeout=WAIT_S, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    base = read(BASE, "activator.conf").splitlines()
    mine = read(HERE, "activator.conf").splitlines()
    assert [x for x in mine if x not in base and not re.match(r"\s*#", x)] == ["    knative = yes"]
    assert [x for x in base if x not in mine and not re.match(r"\s*#", x)] == [
        '    namespaces = {"default"}']


def test_the_account_may_read_config_maps_where_they_are():
    docs = documents(os.path.join(HERE, "configmaps.yaml"))
    namespace, = documents(os.path.join(HERE, "namespace.yaml"))
    role = next(r for r in roles("rights.yaml") if r["kind"] == "Role")
    assert {d["metadata"]["namespace"] for d in docs} == {namespace["metadata"]["name"]} == {
        role["metadata"]["namespace"]}
    assert not any(d.get("data") for d in docs)
    names = {d["metadata"]["name"] for d in docs}
    for name in "policies.yaml", "mutating.yaml":
        for spec in policies(name)[1].values():
            assert spec.get("paramRef", {}).get("name", "config-features") in names


KUBECTL = """#!/bin/sh
echo "$@" >>"$STUB/calls"
case "$*" in
*validatingwebhookconfiguration*) cat "$STUB/webhook" ;;
*jsonpath=*labels*) cat "$STUB/label" ;;
*'get crd'*) cat "$STUB/crd" ;;
*--raw*) cat "$STUB/admission" ;;
kustomize*) test -e "$2/kustomization.yaml" && cat "$2/kustomization.yaml" &&
    echo 'image: activator:0.1.0' ;;
'apply -f -') cat >"$STUB/applied" ;;
esac
"""


def install(path, *args, webhook="", crd="", label="", admission="validatingadmissionpolicies"):
    """(what install.sh has done, the calls of kubectl)"""
    for name, contents in (("webhook", webhook), ("crd", crd), ("label", label),
                           ("admission", admission), ("kubectl", KUBECTL), ("calls", "")):
        (path / name).write_text(contents)
    (path / "kubectl").chmod(0o755)
    done = subprocess.run(["sh", os.path.join(HERE, "install.sh"), *args], capture_output=True,
                          text=True, timeout=WAIT_S, stdin=subprocess.DEVNULL, env={
                              **os.environ, "STUB": str(path),
                              "PATH": "%s:%s" % (path, os.environ["PATH"])})
    return done, (path / "calls").read_text().splitlines()


@pytest.mark.parametrize("cluster, text", [
    ({"webhook": "validatingwebhookconfiguration/x"}, "Knative Serving is installed here"),
    ({"crd": "crd/services.serving.knative.dev", "label": "knative-serving"}, "is not from here"),
    ({"admission": "validatingwebhookconfigurations"}, "this needs Kubernetes 1.30"),
])
def test_it_is_not_installed_where_it_cannot_serve(tmp_path, cluster, text):
    done, calls = install(tmp_path, "reg/activator:1", **cluster)
    assert done.returncode == 1 and text in done.stderr, done.stderr
    assert not any(c.startswith("apply") for c in calls)


@pytest.mark.parametrize("has_mutating", [False, True])
def test_the_definitions_are_installed_first(tmp_path, has_mutating):
    done, calls = install(
        tmp_path, "reg/activator@sha256:0", crd="crd/services.serving.knative.dev",
        label="activator", admission="validatingadmissionpolicies" + (
            " mutatingadmissionpolicies" if has_mutating else ""))
    assert done.returncode == 0, done.stderr
    applied = [c.replace(HERE + "/", "") for c in calls if c.startswith(("apply", "wait"))]
    assert applied[:3] == ["apply -f crds", "wait --for=condition=established --timeout=60s "
                           "-f crds", "apply -f -"]
    assert applied[3:] == (["apply -f mutating.yaml"] if has_mutating else [])
    assert ("no MutatingAdmissionPolicy" in done.stderr) != has_mutating
    assert "image: reg/activator@sha256:0" in (tmp_path / "applied").read_text()
    # The folders of the kustomization are named from its own.
    found = re.findall(r'"(/?[./]*)([^"]*)"', (tmp_path / "applied").read_text())
    assert {"/" + rest for _, rest in found} == {BASE, HERE}


def test_its_arguments(tmp_path):
    for args in (), ("--what",), ("a", "b"), ("--print",):
        done, calls = install(tmp_path, *args)
        assert done.returncode == 1 and "expected: install.sh" in done.stderr and calls == []
    done, calls = install(tmp_path, "--print", "reg/activator:1")
    assert "image: reg/activator:1" in done.stdout and len(calls) == 1


@pytest.mark.skipif(not shutil.which("kubectl"), reason="there is no kubectl")
def test_kubectl_makes_the_manifests(tmp_path):
    done = subprocess.run(["sh", os.path.join(HERE, "install.sh"), "--print", "reg/activator:1"],
                          capture_output=True, text=True, timeout=WAIT_S,
                          stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("image: reg/activator:1\n") == 2 and "knative = yes" in done.stdout
