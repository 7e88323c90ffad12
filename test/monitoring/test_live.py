"""A real Prometheus scrapes both programs: each query of each panel of the dashboard has data while
requests come, exemplars are kept, and alerts fire and clear."""
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "test/system")]
from cluster import cluster  # noqa: E402
from h2client import H2Client  # noqa: E402
from helpers import free_port, wait_until  # noqa: E402
from kube_stack import on_cluster, service as kube_service  # noqa: E402
from stack import Client, running  # noqa: E402
from test_ctl import ctl  # noqa: E402
from test_rollout import Load  # noqa: E402
from test_traces import Collector, SAMPLED, TRACE  # noqa: E402
from test_versions import deploy, routed  # noqa: E402
from tls import Tls  # noqa: E402

DASHBOARDS = os.path.join(ROOT, "conf/dashboards")
SERVICES = """
service "file" { hosts = {"file.x"} revision "v1" { command = {"HELLO"} } }
service "broken" { hosts = {"broken.x"} revision "v1" { command = {"sh", "-c", "%s"} } }
"""
WAIT_S = 180


class Prometheus:
    """Scrapes each second; its rules are those of conf/dashboards with short times."""

    def __init__(self, folder, ports):
        self.port, self.folder = free_port(), str(folder)
        with open(os.path.join(DASHBOARDS, "prometheus-alerts.yaml")) as f:
            text = f.read()
        self.names = {r["alert"] for g in yaml.safe_load(text)["groups"] for r in g["rules"]}
        text = re.sub(r"\[\d+[mh]\]", "[20s]", re.sub(r"for: \d+[mh]", "for: 2s", text))
        self.write("rules.yaml", text)
        self.write("prometheus.yml", json.dumps({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml", os.path.join(DASHBOARDS, "prometheus-alerts.yaml")],
            "scrape_configs": [{"job_name": "activator-host", "static_configs": [
                {"targets": ["127.0.0.1:%d" % p for p in ports]}]}]}))
        self.out = open(self.folder + "/prometheus.log", "ab")
        self.process = subprocess.Popen(
            ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
             "--enable-feature=exemplar-storage", "--log.level=warn",
             "--web.listen-address=127.0.0.1:%d" % self.port],
            cwd=self.folder, stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.out)

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w") as f:
            f.write(text)

    def ask(self, what, **values):
        url = "http://127.0.0.1:%d/api/v1/%s?%s" % (self.port, what, urllib.parse.urlencode(values))
        try:
            with urllib.request.urlopen(url, timeout=WAIT_S) as f:
                return json.load(f)["data"]
        except urllib.error.HTTPError as e:
            assert e.code == 503, "%s: %s" % (values, e.read().decode())
            return None  # it starts
        except OSError:
            return None  # it does not listen yet

    def query(self, expression):
        """The values."""
        return [float(r["value"][1]) for r in self.ask("query", query=expression)["result"]]

    def firing(self):
        """{name: annotations} of the alerts that fire by the short times."""
        return {a["labels"]["alertname"]: a["annotations"] for a in self.ask("alerts")["alerts"]
                if a["state"] == "firing"}

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.out.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """(the stack, its Prometheus, its collector of spans, what lets the broken service start)"""
    path = tmp_path_factory.mktemp("live")
    mended = path / "mended"
    broken = "test -e %s || exit 3; exec HELLO" % mended
    collector, tls_port = Collector(), free_port()
    authority = Tls(path)
    authority.issue("c", "localhost")
    kube_path = tmp_path_factory.mktemp("kube")
    with cluster(kube_path) as kube, \
            running(path, SERVICES % broken, tls=False, activator="""
        certificate "c" { chain = "%s/c.pem" key = "%s/c.key" }
        trace_collector = "http://127.0.0.1:%d" trace_follow = all
        access_log = json access_log_file = "%s/access.log" """ % (path, path, collector.port, path),
                    listen=', "127.0.0.1:%d tls"' % tls_port) as s:
        kube.workload("hello")
        with on_cluster(kube_path, kube, kube_service("hello", kube)) as k:
            s.tls_port, s.context = tls_port, ssl.create_default_context(cafile=authority.ca)
            assert k.get("hello")[0] == 200
            p = Prometheus(path, [s.admin, s.scaler_admin, k.admin, k.scaler_admin])
            try:
                wait_until(lambda: p.ask("targets"), timeout=WAIT_S, what="Prometheus")
                yield s, p, collector, mended
            except BaseException:
                with open(p.folder + "/prometheus.log") as f:
                    print(f.read()[-5000:])
                raise
            finally:
                p.stop()
                collector.close()


def expressions():
    """[(panel, query)] of the dashboard, with what Grafana puts in place of its variables."""
    with open(os.path.join(DASHBOARDS, "activator.json")) as f:
        for panel in json.load(f)["panels"]:
            for target in panel.get("targets", []):
                e = target["expr"].replace("$__rate_interval", "20s").replace("$revision", ".*")
                yield panel["title"], e.replace("$__range:1m", "20s:1s")


def test_targets_and_rules_are_healthy(world):
    _, p, _, _ = world

    def are_up():
        targets = p.ask("targets")["activeTargets"]
        return len(targets) == 4 and all(t["health"] == "up" for t in targets)
    wait_until(are_up, timeout=WAIT_S, what="four targets that are up")

    def are_evaluated():
        rules = [r for g in p.ask("rules")["groups"] for r in g["rules"]]
        return rules if rules and all(r["health"] == "ok" for r in rules) else None
    rules = wait_until(are_evaluated, timeout=WAIT_S, what="rules without a mistake")
    assert {r["name"] for r in rules} == p.names and len(rules) == 2 * len(p.names)


def test_each_query_has_data(world):
    s, p, _, _ = world
    deploy(s, "shop", "--host", "shop.x", "--activation-timeout", "60s")
    routed(s, "shop.x")
    deploy(s, "shop", "--no-traffic", command=("--response", "1ms"))
    assert ctl(s, "rollout", "shop", "--over", "3000s", "--steps", "20,100", "--no-wait").status == 0
    missing = dict.fromkeys(e for _, e in expressions())

    def go_on():
        """One more cold start, handshake and connection of HTTP/2."""
        s.get("file.x", fields=[("traceparent", SAMPLED)])
        with socket.create_connection(("127.0.0.1", s.tls_port)) as c:
            s.context.wrap_socket(c, server_hostname="localhost").close()
        with H2Client(s.port) as c:
            c.get("/", "file.x")
        for e in list(missing):
            values = p.query(e)
            if values and any(v == v for v in values):  # NaN is unlike itself
                del missing[e]
        return not missing

    with Load(s, clients=2):
        end = time.monotonic() + WAIT_S
        while not go_on() and time.monotonic() < end:
            time.sleep(2)  # instances of "file" go meanwhile, and start again
    assert not missing, [(t, e) for t, e in expressions() if e in missing]


def test_exemplars_are_kept(world):
    s, p, _, _ = world
    s.get("file.x", fields=[("traceparent", SAMPLED)])

    def found():
        data = p.ask("query_exemplars", query="activator_request_duration_seconds_bucket",
                     start=time.time() - 600, end=time.time() + 1)
        return {e["labels"]["trace_id"] for series in data for e in series["exemplars"]}
    wait_until(lambda: TRACE in found(), timeout=WAIT_S, what="the exemplar")


def fires_and_clears(p, name, begin, end):
    def fires():
        begin()  # what happens once may be over before it is noticed
        return name in p.firing()
    wait_until(fires, timeout=WAIT_S, what=name)
    annotations = p.firing()[name]
    assert "{{" not in annotations["summary"] + annotations["description"]
    end()
    wait_until(lambda: name not in p.firing(), timeout=WAIT_S, what="%s to clear" % name)
    return annotations


def test_alerts_fire_and_clear(world):
    s, p, collector, mended = world

    def ask_broken():
        with Client(s.port) as c:
            c.request("GET", "/", "broken.x")
            assert c.response()[0] == 503

    def mend():
        mended.touch()
        wait_until(lambda: s.get("broken.x")[0] == 200, timeout=WAIT_S, what="the service")
    a = fires_and_clears(p, "ServiceCannotBeStarted", ask_broken, mend)
    assert a["summary"] == "broken/v1 cannot be started"

    def refuse_spans():
        collector.status = 400
        for _ in range(5):
            s.get("file.x", fields=[("traceparent", SAMPLED)])

    def take_spans():
        collector.status = 200
    fires_and_clears(p, "SpansLost", refuse_spans, take_spans)

    s.autoscaler.stop()
    fires_and_clears(p, "ActivatorWithoutAutoscaler", lambda: None, s.start_autoscaler)

    with open(s.conf) as f:
        text = f.read()

    def write(to):
        with open(s.conf, "w") as f:
            f.write(to)
    fires_and_clears(p, "ConfFileNotInEffect", lambda: write(text + "nonsense = 1\n"),
                     lambda: write(text))
