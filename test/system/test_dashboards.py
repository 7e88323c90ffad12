"""conf/dashboards: each metric, label and outcome in it is one that the programs have."""
import glob
import json
import os
import re

import yaml

from helpers import ROOT

HERE = os.path.join(ROOT, "conf/dashboards")
NOT_LABELS = {"le"}  # each histogram has it


def metrics():
    """{name: labels} of all series."""
    found = {}
    for table in glob.glob(os.path.join(ROOT, "*/metrics.def")):
        with open(table) as f:
            rows = re.findall(r'^METRIC\(\w+, (\w+), "(\w+)", "([\w,]*)"', f.read(), re.M)
        for kind, name, labels in rows:
            for suffix in ("_bucket", "_sum", "_count") if kind == "HISTOGRAM" else ("",):
                found[name + suffix] = set(filter(None, labels.split(",")))
    return found


def outcomes():
    with open(os.path.join(ROOT, "activator/outcome.def")) as f:
        return set(re.findall(r'^OUTCOME\(\w+, \d+, \w+, "(\w+)"', f.read(), re.M))


def dashboard():
    with open(os.path.join(HERE, "activator.json")) as f:
        return json.load(f)


def rules():
    with open(os.path.join(HERE, "prometheus-alerts.yaml")) as f:
        return [r for g in yaml.safe_load(f)["groups"] for r in g["rules"]]


def expressions():
    for p in dashboard()["panels"]:
        for target in p.get("targets", []):
            yield target["expr"]
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]
    for rule in rules():
        yield rule["expr"]


def check(expression, known):
    plain = re.sub(r'"[^"]*"', '""', expression)
    named = re.findall(r"\b((?:activator|autoscaler)_\w+)", plain)
    assert named, expression
    for name in named:
        assert name in known, "%s in %s" % (name, expression)
    labels = {label for names in re.findall(r"\bby \(([^)]*)\)", plain)
              for label in re.findall(r"\w+", names)}
    for name, inside in re.findall(r"(\w+)\{([^}]*)\}", plain):
        used = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", inside))
        assert used <= known[name], (name, used)
    assert labels - NOT_LABELS <= set().union(*(known[n] for n in named)), expression


def test_metrics_labels_and_outcomes_exist():
    known = metrics()
    for expression in expressions():
        check(expression, known)
        for outcome in re.findall(r'outcome="(\w+)"', expression):
            assert outcome in outcomes()


def test_an_unknown_name_is_found():
    known = metrics()
    for wrong in ("activator_no_such_total", "rate(activator_request_duration_seconds[5m])",
                  'activator_parked{revision="a"}', "sum by (revision) (activator_parked)"):
        try:
            check(wrong, known)
        except AssertionError:
            continue
        raise AssertionError(wrong + " was not found")


def test_panels_do_not_overlap_and_alerts_are_described():
    taken, ids = set(), set()
    for p in dashboard()["panels"]:
        at = p["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"])
                 for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken and max(x for x, _ in cells) < 24
        taken |= cells
        assert p["id"] not in ids
        ids.add(p["id"])
        assert p["type"] == "row" or p["description"]
    for rule in rules():
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["labels"]["severity"] in ("warning", "critical")


def test_ports_are_those_of_the_manifests():
    with open(os.path.join(HERE, "prometheus-scrape.yaml")) as f:
        jobs = {j["job_name"]: j for j in yaml.safe_load(f)["scrape_configs"]}
    keep = next(r["regex"] for r in jobs["activator"]["relabel_configs"] if "regex" in r)
    with open(os.path.join(ROOT, "conf/kubernetes/deployment.yaml")) as f:
        pod = yaml.safe_load(f)["spec"]["template"]["spec"]
    names = {p["name"] for c in pod["containers"] for p in c["ports"]}
    assert set(keep.split("|")) == names - {"http", "http-local"}
    with open(os.path.join(ROOT, "conf/activator.conf")) as f:
        admins = re.findall(r'#admin = "([^"]*)"', f.read())
    assert jobs["activator-host"]["static_configs"][0]["targets"] == admins
