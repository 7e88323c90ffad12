"""Knative's ConfigMaps while the autoscaler runs: what they say holds from then on, and a mistake in
one changes nothing and is in the log."""
from cluster import cluster
from helpers import wait_until
from kube_knative import Objects
from kube_stack import fake_only
from test_knative import SYSTEM, config_map, host, knative, ksvc, wait_ready

pytestmark = fake_only


def change(kube, name, data):
    """Give a ConfigMap these data alone."""
    obj = kube.api.call("GET", "%s/%s" % (SYSTEM, name))
    obj["data"] = data
    kube.api.call("PUT", "%s/%s" % (SYSTEM, name), obj)


def test_config_maps_are_followed(tmp_path):
    with cluster(tmp_path) as kube, knative(tmp_path, kube) as s:
        objects = Objects(kube)
        ksvc(objects, "web")
        assert host(wait_ready(objects, "web")) == "web.default.example.com"

        def log(text):
            wait_until(lambda: text in s.autoscaler.text(), what=text)

        def host_is(name):
            wait_until(lambda: host(objects.get("services", "web")) == name, what=name)
            wait_ready(objects, "web")
            wait_until(lambda: s.get(name)[0] == 200, what="a request to " + name)

        change(kube, "config-domain", {"example.com": "selector:\n  app: none\n", "b.test": ""})
        host_is("web.default.b.test")
        assert s.get("web.default.example.com")[0] == 404

        change(kube, "config-domain", {"No_Domain": ""})
        log("got \\\"No_Domain\\\"")
        config_map(kube, "config-network", {"domain-template": "{{.Name}}-{{.Namespace}}.{{.Domain}}",
                                            "ingress-class": "kourier", "rollout-durations": "1"})
        host_is("web-default.b.test")  # so what was said of domains before holds
        log("keys=ingress-class")
        log("keys=rollout-durations")

        kube.api.call("DELETE", SYSTEM + "/config-network")
        host_is("web.default.b.test")
