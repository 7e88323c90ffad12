"""The autoscaler reaches the API server as in a pod: by the files of its service account and two
environment variables.  It runs in a mount namespace of its own, where these files are at their
usual path."""
import contextlib
import os
import subprocess

import pytest
import yaml

from cluster import IS_REAL, cluster
from helpers import wait_until
from kube_rights import USER, account_config, apply_manifest
from kube_stack import service
from stack import Program, Stack

AT = "/var/run/secrets/kubernetes.io/serviceaccount"
UNSHARE = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
ENTER = 'mount -t tmpfs tmpfs /run; mkdir -p "$1"; mount --bind "$2" "$1"; shift 2; exec "$@"'


def may_mount():
    with contextlib.suppress(OSError):
        return os.path.realpath("/var/run") == "/run" and subprocess.run(
            [*UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/run"],
            stderr=subprocess.DEVNULL).returncode == 0
    return False


pytestmark = pytest.mark.skipif(not may_mount(), reason="may not mount: no place for the "
                                "files of a service account")


class Account:
    """The files of a service account as a kubelet writes them: links through ..data, a link to
    the folder of the newest version."""

    def __init__(self, kube):
        self.path, self.n = os.path.join(kube.path, "account"), 0
        config = self._config(kube)
        with open(config["clusters"][0]["cluster"]["certificate-authority"]) as f:
            self.authority = f.read()
        os.mkdir(self.path)
        self.put(config["users"][0]["user"]["token"])
        for name in "token", "ca.crt":
            os.symlink("..data/" + name, os.path.join(self.path, name))

    @staticmethod
    def _config(kube):
        with open(account_config(kube)) as f:
            return yaml.safe_load(f)

    def put(self, token):
        """Replace the token."""
        self.n += 1
        self.token, version = token, "..v%d" % self.n
        os.mkdir(os.path.join(self.path, version))
        for name, text in (("token", token), ("ca.crt", self.authority)):
            with open(os.path.join(self.path, version, name), "w") as f:
                f.write(text)
        os.symlink(version, os.path.join(self.path, "..new"))
        os.rename(os.path.join(self.path, "..new"), os.path.join(self.path, "..data"))


class InPod(Stack):
    """The autoscaler as in a pod of that account, where it ignores KUBECONFIG."""

    def __init__(self, kube, account, services):
        super().__init__(kube.path, services, autoscaler='driver = "kubernetes" '
                         'namespaces = {"%s"}' % kube.namespace)
        self.server, self.account = kube.api.server, account

    def start_autoscaler(self):
        self.autoscaler = Program(
            "autoscaler", self.conf, self.path + "/autoscaler.log",
            {"KUBERNETES_SERVICE_HOST": self.server.hostname,
             "KUBERNETES_SERVICE_PORT": str(self.server.port), "KUBECONFIG": "/nowhere"},
            behind=[*UNSHARE, "sh", "-ec", ENTER, "sh", AT, self.account.path])


@contextlib.contextmanager
def in_pod(path, *names):
    with cluster(path) as kube:
        apply_manifest(kube)
        for name in names:
            kube.workload(name)
        account = Account(kube)
        s = InPod(kube, account, "".join(service(name, kube) for name in names))
        try:
            yield kube, account, s.start()
        except BaseException:
            print(s.autoscaler.text()[-6000:])
            raise
        finally:
            s.stop()


def test_from_zero_and_back_with_the_service_account(tmp_path):
    with in_pod(tmp_path, "hello") as (kube, _, s):
        assert s.get("hello")[0] == 200
        wait_until(lambda: kube.replicas("hello") == 0, what="zero replicas")


def refusals(s):
    """How many requests were answered with 4xx or 5xx, as the autoscaler counts."""
    return s.metrics(s.scaler_admin)["autoscaler_kubernetes_request_refusals_total"]


@pytest.mark.skipif(IS_REAL, reason="only the fake can revoke a token")
def test_after_a_401_the_token_is_read_again_and_the_request_sent_once_more(tmp_path):
    with in_pod(tmp_path, "hello", "other", "third") as (kube, account, s):
        assert s.get("hello")[0] == 200
        old = account.token
        account.put(kube.control("token", service_account="activator/activator")["token"])
        kube.control("revoke", token=old)
        assert s.get("other")[0] == 200
        assert kube.scalings("other")[0] == 1
        refused = kube.seen(status=401)
        assert 0 < len(refused) <= 2  # requests that ran at the same time
        wait_until(lambda: refusals(s) == len(kube.seen(status=401)), what="a count of each")
        # a second 401 is a failure: the request is not sent a third time at once
        kube.control("revoke", token=account.token)
        with s.connect() as c:
            c.request("GET", "/", "third")
            wait_until(lambda: "status=401" in s.autoscaler.text(), what="the log line")
            assert "retry_ms=5000" in s.autoscaler.text()
            account.put(kube.control("token", service_account="activator/activator")["token"])
            assert c.response()[0] == 200
        assert len(kube.seen(status=401)) >= 3
        wait_until(lambda: refusals(s) == len(kube.seen(status=401)), what="a count of each")


@pytest.mark.skipif(IS_REAL, reason="only the fake gives tokens of other accounts")
def test_a_token_file_that_is_replaced_in_time_is_never_refused(tmp_path):
    """The old token is still valid.  The file is read again after 10 s, and there is a request
    each 15 s."""
    with in_pod(tmp_path, "hello") as (kube, account, s):
        account.put(kube.control("token", service_account="activator/next")["token"])
        wait_until(lambda: kube.seen(user=USER.replace(":activator:activator", ":activator:next")),
                   40, what="a request with the new token")
        assert not kube.seen(status=401)


def test_an_account_without_a_token_is_an_error_at_the_start(tmp_path):
    with cluster(tmp_path, has_kubelet=False) as kube:
        apply_manifest(kube)
        account = Account(kube)
        os.unlink(account.path + "/token")
        s = InPod(kube, account, service("hello", kube))
        s.start_autoscaler()
        assert s.autoscaler.process.wait(20) != 0
        assert "cannot read %s/token: No such file" % AT in s.autoscaler.text()
