"""Activator and autoscaler in front of a cluster, for the tests of the kubernetes driver."""
import threading

import pytest

from cluster import IS_REAL
from helpers import wait_until
from stack import running

fake_only = pytest.mark.skipif(IS_REAL, reason="only the fake API server can be made to do this")


def service(name, kube, more="port = 8080", target=None):
    """Conf text of a service with one revision; target: what is scaled, by default the
    Deployment of that name."""
    return 'service "%s" { hosts = {"%s"} revision "v1" { %s %s } }\n' % (
        name, name, target or 'deployment = "%s/%s"' % (kube.namespace, name), more)


def driver(kube, kubeconfig=None, more=""):
    """Conf text of the section autoscaler; the administrator's kubeconfig unless another one is
    given."""
    return 'driver = "kubernetes" kubeconfig = "%s" %s' % (kubeconfig or kube.kubeconfig, more)


def on_cluster(path, kube, services, kubeconfig=None, more="", **rest):
    """Both programs, running."""
    return running(path, services, autoscaler=driver(kube, kubeconfig, more), **rest)


def has_address(pod):
    return bool(pod["status"].get("podIP"))


def is_ready(pod):
    return any(c["type"] == "Ready" and c["status"] == "True"
               for c in pod["status"].get("conditions", ()))


def addresses(kube, name):
    """Of the pods of that app that are not being deleted."""
    return {p["status"].get("podIP") for p in kube.pods(name)
            if "deletionTimestamp" not in p["metadata"]}


class Load:
    """Inside the with block n connections send requests one after another.  At its end all of
    them must have been answered 200."""

    def __init__(self, stack, host, n=4, path="/"):
        self.stack, self.host, self.path = stack, host, path
        self.statuses, self.is_over = [], threading.Event()
        self.threads = [threading.Thread(target=self._run) for _ in range(n)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def _run(self):
        try:
            with self.stack.connect() as c:
                while not self.is_over.is_set():
                    c.request("GET", self.path, self.host)
                    self.statuses.append(c.response()[0])
        except (OSError, AssertionError) as e:
            self.statuses.append(e)

    def wait_for(self, n):
        """Until n more requests are answered."""
        wanted = len(self.statuses) + n
        wait_until(lambda: len(self.statuses) >= wanted, what="%d more answers" % n)

    def __exit__(self, *_):
        self.is_over.set()
        for t in self.threads:
            t.join()
        assert set(self.statuses) <= {200}, [s for s in self.statuses if s != 200][:5]
