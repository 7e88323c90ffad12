"""conf/kubernetes without a cluster: the manifests parse, their conf file is correct, and their
ports, paths, times and rights are those of the programs."""
import os
import re
import shutil
import subprocess

import pytest
import yaml

from helpers import BUILD, ROOT, WAIT_S
from tls import Tls

HERE = os.path.join(ROOT, "conf/kubernetes")
CONF = os.path.join(HERE, "activator.conf")
HTTPS = os.path.join(HERE, "https")
HTTPS_CONF = os.path.join(HTTPS, "activator.conf")
ACCOUNT = {"kind": "ServiceAccount", "name": "activator", "namespace": "activator"}
UNITS = {"": 1, "ms": .001, "s": 1, "m": 60, "h": 3600, "KiB": 1 << 10, "MiB": 1 << 20,
         "GiB": 1 << 30, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


def files():
    """Without those of the folder knative, which have tests of their own."""
    found = []
    for folder, folders, names in os.walk(HERE):
        folders[:] = [f for f in folders if f != "knative"]
        found += [os.path.join(folder, n) for n in names if n.endswith(".yaml")]
    return sorted(found)


def read(path):
    with open(path) as f:
        return f.read()


def documents(path):
    return [d for d in yaml.safe_load_all(read(path)) if d is not None]


def everything():
    return [d for path in files() if not path.endswith("/kustomization.yaml")
            for d in documents(path)]


def of_kind(kind):
    return [d for d in everything() if d["kind"] == kind]


def one(kind, name="activator", namespace=None):
    found = [d for d in of_kind(kind) if d["metadata"]["name"] == name and
             namespace in (None, d["metadata"].get("namespace"))]
    assert len(found) == 1, (kind, name)
    return found[0]


def number(text):
    value, unit = re.fullmatch(r"([\d.]+)([A-Za-z]*)", str(text)).groups()
    return float(value) * UNITS[unit]


def conf_section(name):
    return re.search(r"^%s \{\n(.*?)^\}" % name, read(CONF), re.M | re.S)[1]


def conf_value(section, key):
    found = re.search(r"^\s*%s\s*=\s*(.*?)\s*(#.*)?$" % key,
                      conf_section(section) if section else read(CONF), re.M)
    return found[1].strip('"')


def keys_table():
    """{(name, where…): type} of common/keys.def."""
    rows = re.findall(r"^KEY(?:_RESTART)?\((\w+), (\w+), ([\w |]+),",
                      read(os.path.join(ROOT, "common/keys.def")), re.M)
    return [(name, kind, where) for name, kind, where in rows]


def pod(deployment="activator"):
    return one("Deployment", deployment)["spec"]["template"]["spec"]


def container(name):
    return next(c for c in pod()["containers"] if c["name"] == name)


# --- the files

@pytest.mark.parametrize("path", files(), ids=lambda p: os.path.relpath(p, HERE))
def test_a_manifest_parses(path):
    for d in documents(path):
        assert d["apiVersion"] and d["kind"]
        if d["kind"] not in ("Kustomization", "Component"):
            assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", d["metadata"]["name"])


def test_the_base_names_files_that_exist():
    base = documents(os.path.join(HERE, "kustomization.yaml"))[0]
    named = base["resources"] + base["configMapGenerator"][0]["files"]
    for name in named:
        assert os.path.exists(os.path.join(HERE, name))
    # The Ingress needs a controller, so that it is not part of the base.
    existing = {n for n in os.listdir(HERE) if os.path.isfile(os.path.join(HERE, n))}
    assert existing - set(named) == {"kustomization.yaml", "ingress.yaml"}


def test_the_image_is_of_this_version():
    version = re.search(r"^VERSION := (.*)$", read(os.path.join(ROOT, "Makefile")), re.M)[1]
    image = documents(os.path.join(HERE, "kustomization.yaml"))[0]["images"][0]
    assert image["newTag"] == version
    assert {c["image"] for c in pod()["containers"]} == {image["name"]}
    assert ":%s " % version in read(os.path.join(ROOT, "conf/container/Dockerfile"))


def kubectl(*args):
    return subprocess.run(["kubectl", *args], cwd=ROOT, capture_output=True, text=True,
                          timeout=WAIT_S, stdin=subprocess.DEVNULL)


@pytest.mark.skipif(not os.environ.get("KUBECONFIG") or not shutil.which("kubectl"),
                    reason="no cluster: KUBECONFIG names none, or there is no kubectl")
@pytest.mark.parametrize("what", [["-k", "conf/kubernetes"], ["-k", "conf/kubernetes/sample"],
                                  ["-f", "conf/kubernetes/ingress.yaml"]], ids=" ".join)
def test_a_cluster_accepts_it(what):
    done = kubectl("apply", "--dry-run=client", *what)
    assert done.returncode == 0, done.stderr
    done = kubectl("apply", "--dry-run=server", *what)
    # A server-side dry run cannot look into a namespace that does not exist yet.
    rest = [line for line in done.stderr.splitlines()
            if 'namespaces "activator" not found' not in line and "version difference" not in line]
    assert done.returncode == 0 or not rest, done.stderr


# --- the conf file and the pod

@pytest.mark.parametrize("name", ["activator", "autoscaler"])
@pytest.mark.parametrize("path", [CONF, HTTPS_CONF], ids=["base", "https"])
def test_the_conf_file_has_no_mistake(tmp_path, name, path):
    # The activator reads the certificate, too.
    Tls(tmp_path).issue("tls", "hello.example.com")
    os.rename(tmp_path / "tls.pem", tmp_path / "tls.crt")
    conf = tmp_path / "activator.conf"
    conf.write_text(read(path).replace("/etc/activator-tls", str(tmp_path)))
    done = subprocess.run([os.path.join(BUILD, name), "-t", "-c", str(conf)], capture_output=True,
                          text=True, timeout=WAIT_S, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    command = container(name)["command"]
    assert command == ["/usr/sbin/" + name, "-c", "/etc/activator/activator.conf"]


def port_number(c, name):
    return next(p["containerPort"] for p in c["ports"] if p["name"] == name)


def listeners(path):
    """{(port, words behind the address)}"""
    text = re.search(r"^\s*listen\s*=\s*\{(.*?)\}", read(path), re.M)[1]
    return {re.fullmatch(r"0\.0\.0\.0:(\d+) ?(\w*)", at).groups()
            for at in re.findall(r'"([^"]*)"', text)}


def test_ports_are_those_of_the_conf_file():
    def of(text):
        host, port = text.rsplit(":", 1)
        assert host in ("0.0.0.0", "[::]")  # the kubelet connects from outside the pod
        return int(port)

    a, s = container("activator"), container("autoscaler")
    assert listeners(CONF) == {(str(port_number(a, "http")), ""),
                               (str(port_number(a, "http-local")), "local")}
    assert port_number(a, "admin") == of(conf_value("activator", "admin"))
    assert port_number(s, "admin-scaler") == of(conf_value("autoscaler", "admin"))


# --- HTTPS

def component():
    return documents(os.path.join(HTTPS, "kustomization.yaml"))[0]


def patch(kind):
    """The patch of an object: a document, or a list of operations."""
    for p in component()["patches"]:
        body = yaml.safe_load(p["patch"])
        if kind in (p.get("target", {}).get("kind"), isinstance(body, dict) and body["kind"]):
            target = p.get("target") or body["metadata"]
            assert target["name"] == one(kind)["metadata"]["name"]
            return body
    raise AssertionError(kind)


def test_the_component_differs_from_the_base_in_what_https_needs():
    base, https = read(CONF).splitlines(), read(HTTPS_CONF).splitlines()
    added = [line for line in https if line not in base]
    removed = [line for line in base if line not in https]
    assert len(removed) == 2 and re.match(r"\s*listen = ", removed[1])  # the first line, too
    assert all(re.match(r"\s*(#|}|(listen|certificate|chain|key)\b)", line) or not line
               for line in added), added
    assert listeners(HTTPS_CONF) - listeners(CONF) == {("8443", "tls")}
    assert component()["configMapGenerator"] == [
        {"name": "activator", "namespace": "activator", "behavior": "replace",
         "files": ["activator.conf"]}]


def test_the_port_of_https_leads_to_its_listener_and_its_certificate():
    spec = patch("Deployment")["spec"]["template"]["spec"]
    c, = spec["containers"]
    volume, = spec["volumes"]
    mount, = c["volumeMounts"]
    assert c["name"] == container("activator")["name"]
    assert c["ports"] == [{"name": "https", "containerPort": 8443}]
    assert mount == {"name": volume["name"], "mountPath": "/etc/activator-tls", "readOnly": True}
    assert volume["name"] not in {v["name"] for v in pod()["volumes"]}
    # kubernetes.io/tls: these are the names in such a Secret.
    named = re.findall(r'^\s*(?:chain|key)\s*=\s*"(.*)"', read(HTTPS_CONF), re.M)
    assert named == [mount["mountPath"] + "/tls.crt", mount["mountPath"] + "/tls.key"]
    assert volume["secret"] == {"secretName": "activator-tls", "defaultMode": 0o440}
    assert pod()["securityContext"]["fsGroup"] == pod()["securityContext"]["runAsGroup"]
    port, = patch("Service")["spec"]["ports"]
    assert (port["name"], port["port"], port["targetPort"]) == ("https", 443, "https")
    assert patch("NetworkPolicy") == [{"op": "add", "path": "/spec/ingress/0/ports/-",
                                       "value": {"port": "https", "protocol": "TCP"}}]
    assert one("NetworkPolicy")["spec"]["ingress"][0] == {
        "ports": [{"port": "http", "protocol": "TCP"}]}


def test_probes_use_paths_that_exist():
    routes = set(re.findall(r'admin_add_page\(a, "([^"]*)"',
                            read(os.path.join(ROOT, "common/admin.c"))))
    for c, admin in (container("activator"), "admin"), (container("autoscaler"), "admin-scaler"):
        for probe in "readinessProbe", "livenessProbe", "startupProbe":
            if probe in c:
                assert c[probe]["httpGet"]["path"] in routes
                assert c[probe]["httpGet"]["port"] == admin
        # /readyz is 503 while the autoscaler is away: no reason to restart a container
        assert c["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container("activator")["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert "readinessProbe" not in container("autoscaler")


def test_service_and_policy_name_existing_ports_and_pods():
    labels = one("Deployment")["spec"]["template"]["metadata"]["labels"]
    names = {p["name"] for c in pod()["containers"] for p in c["ports"]}
    service, policy = one("Service")["spec"], one("NetworkPolicy")["spec"]
    local = one("Service", "activator-local")["spec"]
    assert {"name", "port", "targetPort"} <= set(local["ports"][0])
    assert service["selector"].items() <= labels.items()
    assert dict(local, ports=0) == dict(service, ports=0)
    assert [p["targetPort"] for p in local["ports"]] == ["http-local"]
    assert "http-local" not in {p["targetPort"] for p in service["ports"]}
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert one("Deployment")["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert {p["targetPort"] for p in service["ports"]} <= names
    assert {p["port"] for rule in policy["ingress"] for p in rule["ports"]} == names
    backend = one("Ingress")["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert backend["name"] == one("Service")["metadata"]["name"]
    assert backend["port"]["name"] in {p["name"] for p in service["ports"]}
    assert one("Ingress")["metadata"]["namespace"] == one("Service")["metadata"]["namespace"]
    # There is one replica: it must be reached also while the other container restarts.
    assert service["publishNotReadyAddresses"] is True
    assert one("Deployment")["spec"]["strategy"] == {"type": "Recreate"}


def test_a_pod_has_the_time_that_its_end_takes():
    sleeps = {n: int(container(n)["lifecycle"]["preStop"]["exec"]["command"][1])
              for n in ("activator", "autoscaler")}
    assert sleeps["autoscaler"] > sleeps["activator"]
    drain = number(conf_value("activator", "drain_timeout"))
    assert pod()["terminationGracePeriodSeconds"] >= sleeps["activator"] + drain + 5
    wait = number(one("Ingress")["metadata"]["annotations"][
        "nginx.ingress.kubernetes.io/proxy-read-timeout"])
    assert wait > 60 + 300  # the defaults of activation_timeout and response_timeout


def test_folders_and_memory_are_those_of_the_conf_file():
    volumes = {v["name"]: v for v in pod()["volumes"]}
    for c in pod()["containers"]:
        writable = {m["mountPath"] for m in c["volumeMounts"] if not m.get("readOnly")}
        assert all("emptyDir" in volumes[m["name"]] for m in c["volumeMounts"]
                   if not m.get("readOnly"))
        assert os.path.dirname(conf_value("", "socket")) in writable
    assert conf_value("", "state_dir") in writable  # of the last container, the autoscaler
    parked = number(conf_value("activator", "max_parked_bytes"))
    connections = number(conf_value("activator", "max_connections")) * 4096
    limit = number(container("activator")["resources"]["limits"]["memory"])
    streams = number(conf_value("activator", "max_stream_bytes"))
    assert limit >= parked + connections + streams + (64 << 20)


# --- rights

@pytest.mark.parametrize("name", ["activator", "hello"])
def test_pods_are_restricted(name):
    spec = pod(name)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    for c in spec["containers"]:
        assert c["securityContext"] == {"allowPrivilegeEscalation": False,
                                        "readOnlyRootFilesystem": True,
                                        "capabilities": {"drop": ["ALL"]}}
        assert c["resources"]["requests"]["memory"] and c["resources"]["limits"]["memory"]


def test_only_the_autoscaler_has_a_token():
    projected = [v["name"] for v in pod()["volumes"] if "projected" in v]
    assert len(projected) == 1
    assert projected[0] not in {m["name"] for m in container("activator")["volumeMounts"]}
    assert {m["mountPath"] for m in container("autoscaler")["volumeMounts"]
            if m["name"] == projected[0]} == {"/var/run/secrets/kubernetes.io/serviceaccount"}
    assert one("ServiceAccount")["automountServiceAccountToken"] is False


def test_each_watched_namespace_has_a_role_binding():
    namespaces = re.findall(r'"([^"]*)"', conf_value("autoscaler", "namespaces"))
    assert namespaces
    assert not of_kind("ClusterRoleBinding")
    for role in of_kind("ClusterRole"):
        for namespace in namespaces:
            binding = one("RoleBinding", role["metadata"]["name"], namespace)
            assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io",
                                          "kind": "ClusterRole",
                                          "name": role["metadata"]["name"]}
            assert binding["subjects"] == [ACCOUNT]


def test_the_rights_for_the_lease_are_in_its_namespace():
    role = one("Role", "activator-lease", "activator")
    binding = one("RoleBinding", "activator-lease", "activator")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["roleRef"]["kind"] == "Role" and binding["subjects"] == [ACCOUNT]


def test_each_verb_is_explained():
    lines = read(os.path.join(HERE, "rights.yaml")).splitlines()
    verbs = [line for line in lines if re.match(r"      - [a-z]+", line)]
    granted = [v for role in of_kind("ClusterRole") + of_kind("Role")
               for r in role["rules"] for v in r["verbs"]]
    assert len(verbs) == len(granted) and not {"*", "delete", "create "} & set(granted)
    for line in verbs:
        assert re.fullmatch(r"      - [a-z]+ # .{10,}", line), line


def test_annotations_of_the_sample_exist():
    known = {"host"} | {name for name, _, where in keys_table()
                        if re.search(r"IN_(LIMITS|SCALING|SERVICE|REVISION)", where)}
    sample = one("Deployment", "hello")
    assert "replicas" not in sample["spec"]  # an apply under load would set them
    annotations = sample["metadata"]["annotations"]
    assert {a.split("/")[1] for a in annotations if a.startswith("activator.dev/")} <= known
    assert annotations["activator.dev/host"] == "hello.example.com"


def test_paths_and_keys_in_the_readme_exist():
    section = re.search(r"^## On a cluster\n(.*?)^## ", read(os.path.join(ROOT, "README.md")),
                        re.M | re.S)[1]
    named = set(re.findall(r"\bconf/[\w./-]*\w", section))
    assert {"conf/container/Dockerfile", "conf/kubernetes", "conf/kubernetes/sample"} <= named
    for path in named:
        assert os.path.exists(os.path.join(ROOT, path)), path
    keys = {name for name, _, _ in keys_table()} | {"host", "state", "service", "percent", "tag"}
    # KEY, or rule.NAME.KEY
    assert set(re.findall(r"activator\.dev/(?:(?:rule|schedule)\.\w+\.)?(\w+)", section)) <= keys
    assert "conf/kubernetes/https" in section
    assert "image: activator:" in section  # what kustomize prints, and sed replaces
