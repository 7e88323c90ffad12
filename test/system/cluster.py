"""A cluster for tests of the kubernetes driver: the fake API server of test/fake or, with
KUBE_REAL set, the real one that KUBECONFIG names, and a kubelet whose pods are processes."""
import base64
import contextlib
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import urllib.parse
import uuid

from helpers import HELLO, ROOT, SLOW, wait_until

FAKE = os.path.join(ROOT, "test/fake")
IS_REAL = bool(os.environ.get("KUBE_REAL"))
MERGE = "application/merge-patch+json"
COST = "controller.kubernetes.io/pod-deletion-cost"
APPS = "/apis/apps/v1"


class Refusal(Exception):
    """The API server answered with a status of 300 or more."""

    def __init__(self, code, body):
        super().__init__("%d %s" % (code, body[:400]))
        self.code, self.message, self.reason = code, body, ""
        with contextlib.suppress(ValueError):
            status = json.loads(body)
            self.message, self.reason = status["message"], status.get("reason", "")


class Api:
    """A client of the API server with the credentials of a kubeconfig."""

    def __init__(self, kubeconfig):
        with open(kubeconfig) as f:
            conf = json.load(f)
        cluster, user = conf["clusters"][0]["cluster"], conf["users"][0]["user"]
        self.server = urllib.parse.urlparse(cluster["server"])
        self.tls = ssl.create_default_context(cafile=cluster["certificate-authority"])
        self.token = user.get("token")
        if "client-certificate" in user:
            self.tls.load_cert_chain(user["client-certificate"], user["client-key"])

    def open(self, method, path, body=None, content_type="application/json", timeout=20):
        c = http.client.HTTPSConnection(self.server.hostname, self.server.port, context=self.tls,
                                        timeout=timeout * SLOW)
        fields = {"Content-Type": content_type} if body is not None else {}
        if self.token:
            fields["Authorization"] = "Bearer " + self.token
        c.request(method, path, None if body is None else json.dumps(body), fields)
        return c, c.getresponse()

    def call(self, method, path, body=None, content_type="application/json", timeout=20):
        connection, answer = self.open(method, path, body, content_type, timeout)
        with contextlib.closing(connection):
            text = answer.read().decode()
        if answer.status >= 300:
            raise Refusal(answer.status, text)
        return json.loads(text) if text[:1] == "{" else text

    def events(self, path, timeout=20):
        """The events of a watch, until it ends."""
        connection, answer = self.open("GET", path, timeout=timeout)
        with contextlib.closing(connection):
            if answer.status != 200:
                raise Refusal(answer.status, answer.read().decode())
            for line in answer:
                yield json.loads(line)


class Cluster:
    """What the fake and a real cluster have in common: objects in one namespace, and a kubelet for
    its pods."""

    node = "n1"

    def __init__(self, path, namespace):
        self.path, self.namespace = str(path), namespace
        self.kubelet = None
        self.kubelet_log = self.path + "/kubelet.jsonl"

    def where(self, plural, name=None, sub=None):
        prefix = APPS if plural in ("deployments", "replicasets", "statefulsets") else "/api/v1"
        return "%s/namespaces/%s/%s%s%s" % (prefix, self.namespace, plural,
                                            "/" + name if name else "", "/" + sub if sub else "")

    def get(self, plural, name, sub=None):
        return self.api.call("GET", self.where(plural, name, sub))

    def list(self, plural, selector=""):
        return self.api.call("GET", self.where(plural) + (
            "?labelSelector=" + urllib.parse.quote(selector) if selector else ""))["items"]

    def create(self, plural, obj):
        return self.api.call("POST", self.where(plural), obj)

    def patch(self, plural, name, change, sub=None, manager=None):
        """manager: the field manager, by which the object then names who did it."""
        path = self.where(plural, name, sub) + ("?fieldManager=" + manager if manager else "")
        return self.api.call("PATCH", path, change, MERGE)

    def delete(self, plural, name, **options):
        return self.api.call("DELETE", self.where(plural, name), options or None)

    def scale(self, name, n, plural="deployments", manager=None):
        """manager: the field manager, by which the object then names who did it."""
        path = self.where(plural, name, "scale") + ("?fieldManager=" + manager if manager else "")
        return self.api.call("PATCH", path, {"spec": {"replicas": n}}, MERGE)

    def replicas(self, name, plural="deployments"):
        return self.get(plural, name, "scale")["spec"].get("replicas", 0)

    def pods(self, name=None):
        return self.list("pods", "app=" + name if name else "")

    def workload(self, name, kind="Deployment", replicas=0, args=(), annotations=None,
                 labels=None, pod_annotations=None, container=None, pod=None, spec=None, port=8080,
                 managed=None):
        """Create a workload that runs the sample app.  managed: its managedFields, of a fake."""
        plural = kind.lower() + "s"
        c = {"name": "app", "image": "hello", "command": [HELLO], "args": list(args),
             "imagePullPolicy": "IfNotPresent",
             "ports": [{"name": "http", "containerPort": port}], **(container or {})}
        return self.create(plural, {
            "apiVersion": "apps/v1", "kind": kind,
            "metadata": {"name": name, "labels": {"app": name, **(labels or {})},
                         "annotations": annotations or {},
                         **({"managedFields": managed} if managed else {})},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
                     **({"serviceName": name} if kind == "StatefulSet" else {}),
                     "template": {"metadata": {"labels": {"app": name},
                                               "annotations": pod_annotations or {}},
                                  "spec": {"containers": [c],
                                           "automountServiceAccountToken": False,
                                           "terminationGracePeriodSeconds": 5, **(pod or {})}},
                     **(spec or {})}})

    def wait_pods(self, name, n, what=None):
        """Wait until the app has n pods for which what(pod) holds, and return them."""
        def found():
            pods = [p for p in self.pods(name) if what is None or what(p)]
            return pods if len(pods) == n else None
        if n == 0:
            return wait_until(lambda: found() is not None, what="no pods of " + name)
        return wait_until(found, what="%d pods of %s" % (n, name))

    # ---- the kubelet
    def start_kubelet(self):
        self.kubelet_out = open(self.path + "/kubelet.out", "ab")
        self.kubelet = subprocess.Popen(
            [sys.executable, FAKE + "/kubelet.py", "--kubeconfig", self.kubeconfig, "--node",
             self.node, "--namespace", self.namespace, "--log", self.kubelet_log, "--output",
             self.path + "/pods.out", "--app", HELLO],
            stdin=subprocess.PIPE, stdout=self.kubelet_out, stderr=self.kubelet_out)
        wait_until(lambda: any(e["what"] == "listed" for e in self.kubelet_saw()),
                   what="the kubelet")

    def kubelet_saw(self, what=None):
        """The log of the kubelet: dicts with "what", "pod" and the time "t" (ns)."""
        if not os.path.exists(self.kubelet_log):
            return []
        with open(self.kubelet_log) as f:
            lines = [json.loads(line) for line in f if line.endswith("\n")]
        return [e for e in lines if what is None or e["what"] == what]

    def stop_kubelet(self):
        if self.kubelet is not None:
            self.kubelet.stdin.close()
            self.kubelet.wait(20)
            self.kubelet_out.close()
            self.kubelet = None

    def logs(self):
        """The last of all output, for a test that failed."""
        text = ""
        for name in ("server.out", "kubelet.out", "kubelet.jsonl", "pods.out"):
            if os.path.exists(self.path + "/" + name):
                with open(self.path + "/" + name, errors="replace") as f:
                    text += "--- %s\n%s" % (name, f.read()[-3000:])
        return text


class Fake(Cluster):
    """The fake API server, in a process of its own."""

    def __init__(self, path, namespace="default", **options):
        super().__init__(path, namespace)
        self.options = [w for k, v in options.items()
                        for w in (["--" + k.replace("_", "-")] + ([] if v is True else [str(v)]))]
        self.folder, self.process, self.port = self.path + "/kube", None, 0
        self.kubeconfig = self.folder + "/kubeconfig"

    def start(self):
        """May be called again after kill(): then with the same port and objects."""
        self.out = open(self.path + "/server.out", "ab")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.folder + "/ready")
        self.process = subprocess.Popen(
            [sys.executable, FAKE + "/kube.py", self.folder, "--port", str(self.port),
             *self.options], stdin=subprocess.PIPE, stdout=self.out, stderr=self.out)

        def ready():
            assert self.process.poll() is None, self.logs()
            try:
                with open(self.folder + "/ready") as f:
                    return json.load(f)
            except FileNotFoundError:
                return None
        ready = wait_until(ready, what="the fake API server")
        self.port, self.control_port = ready["port"], ready["control"]
        self.api = Api(self.kubeconfig)
        return self

    def control(self, name, **arguments):
        """Call a method of test/fake/control.py."""
        c = http.client.HTTPConnection("127.0.0.1", self.control_port, timeout=30 * SLOW)
        with contextlib.closing(c):
            c.request("POST", "/" + name, json.dumps(arguments))
            answer = c.getresponse()
            value = json.loads(answer.read())
        assert answer.status == 200, value
        return value

    def fault(self, do, times=None, skip=0, **match):
        return self.control("fault", do=do, times=times, skip=skip, match=match)["id"]

    def heal(self):
        self.control("heal")

    def seen(self, **match):
        """Requests in the order of arrival whose facts equal all of match."""
        return [r for r in self.control("log")["requests"]
                if all(r.get(k) == v for k, v in match.items())]

    def scalings(self, name=None):
        """The replicas of all PATCHes of scale subresources, in the order of arrival."""
        return [(r["body"].get("spec") or {}).get("replicas") for r in self.seen(verb="patch")
                if r["resource"].endswith("/scale") and name in (None, r["name"])
                and isinstance(r.get("body"), dict)]

    def account_config(self, account, is_file=False):
        """Path of a kubeconfig with a token of a service account (namespace/name); is_file: by
        tokenFile."""
        self.token = self.control("token", service_account=account)["token"]
        user = {"token": self.token}
        if is_file:
            self.token_file = self.path + "/token"
            with open(self.token_file, "w") as f:
                f.write(self.token)
            user = {"tokenFile": self.token_file}
        return write_config(self.path + "/account.kubeconfig",
                            "https://127.0.0.1:%d" % self.port, self.folder + "/pki/ca.crt", user)

    def kill(self, signo=signal.SIGKILL):
        self.process.send_signal(signo)
        if signo == signal.SIGKILL:
            self.process.wait(20)

    def stop(self):
        self.stop_kubelet()
        if self.process is not None:
            with contextlib.suppress(OSError):
                self.process.send_signal(signal.SIGCONT)
            self.process.stdin.close()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(20)
            self.out.close()


def write_config(path, server, ca, user):
    with open(path, "w") as f:
        json.dump({"apiVersion": "v1", "kind": "Config", "current-context": "t",
                   "contexts": [{"name": "t", "context": {"cluster": "t", "user": "t"}}],
                   "clusters": [{"name": "t", "cluster": {"server": server,
                                                          "certificate-authority": ca}}],
                   "users": [{"name": "t", "user": user}]}, f)
    return path


class Real(Cluster):
    """A namespace of its own in the cluster that KUBECONFIG names, with the tests' kubelet."""

    def __init__(self, path, namespace=None, **_):
        super().__init__(path, namespace or "t-" + uuid.uuid4().hex[:8])
        self.kubeconfig = self._flat()

    def _flat(self):
        """Path of a copy of KUBECONFIG in the form that class Api reads: JSON, with files."""
        source = os.environ["KUBECONFIG"]
        try:
            with open(source) as f:
                conf = json.load(f)
        except ValueError:
            conf = json.loads(subprocess.run(
                ["kubectl", "config", "view", "--raw", "--minify", "--flatten", "-o", "json"],
                capture_output=True, check=True).stdout)
        name = conf["current-context"]
        context = next(c["context"] for c in conf["contexts"] if c["name"] == name)
        cluster = next(c["cluster"] for c in conf["clusters"] if c["name"] == context["cluster"])
        user = next(u["user"] for u in conf["users"] if u["name"] == context["user"])
        for part in (cluster, user):
            for key in [k for k in part if k.endswith("-data")]:
                at = "%s/%s" % (self.path, key[:-5])
                with open(at, "wb") as f:
                    f.write(base64.b64decode(part.pop(key)))
                part[key[:-5]] = at
        return write_config(self.path + "/kubeconfig", cluster["server"],
                            cluster["certificate-authority"], user)

    def start(self):
        self.api = Api(self.kubeconfig)
        self.api.call("POST", "/api/v1/namespaces", {"metadata": {"name": self.namespace}})

        def has_account():
            try:
                return self.get("serviceaccounts", "default")
            except Refusal:
                return None
        wait_until(has_account, what="the namespace's service account")
        return self

    def server_process(self):
        """Id of the process that listens at the port of the API server, on this machine."""
        want = "%04X" % self.api.server.port
        with open("/proc/net/tcp") as f:
            inodes = {"socket:[%s]" % line.split()[9] for line in f.readlines()[1:]
                      if line.split()[1].endswith(":" + want) and line.split()[3] == "0A"}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                fds = "/proc/%s/fd/" % pid
                if any(os.readlink(fds + fd) in inodes for fd in os.listdir(fds)):
                    return int(pid)
        return None

    def kill(self, signo=signal.SIGKILL):
        self.pid = self.server_process()
        with open("/proc/%d/cmdline" % self.pid, "rb") as f:
            self.argv = f.read().decode().rstrip("\0").split("\0")
        self.cwd = os.readlink("/proc/%d/cwd" % self.pid)
        os.kill(self.pid, signo)
        if signo == signal.SIGKILL:
            wait_until(lambda: self.server_process() is None, what="the end of the API server")

    def restart(self):
        """Start again what kill() ended, with the same arguments."""
        log = open(self.path + "/apiserver.log", "ab")
        p = subprocess.Popen(self.argv, cwd=self.cwd, stdin=subprocess.DEVNULL, stdout=log,
                             stderr=log, start_new_session=True)
        pid_file = self.cwd + "/run/kube-apiserver.pid"  # by which its owner ends it
        if os.path.exists(pid_file):
            with open(pid_file, "w") as f:
                f.write("%d\n" % p.pid)

    def stop(self):
        """The kubelet must end the pods, or the namespace could not be deleted."""
        for plural in ("deployments", "statefulsets", "replicasets"):
            for obj in self.list(plural):
                with contextlib.suppress(Refusal):
                    self.delete(plural, obj["metadata"]["name"], propagationPolicy="Background")
        try:
            if self.kubelet is not None:
                wait_until(lambda: not self.pods(), what="the end of all pods")
        finally:
            self.stop_kubelet()
            self.api.call("DELETE", "/api/v1/namespaces/" + self.namespace)


@contextlib.contextmanager
def cluster(path, has_kubelet=True, **options):
    """The fake or the real cluster, with a kubelet unless has_kubelet is false."""
    c = (Real if IS_REAL else Fake)(path, **options)
    try:
        c.start()
        if has_kubelet:
            c.start_kubelet()
        yield c
    except BaseException:
        print(c.logs())
        raise
    finally:
        c.stop()
