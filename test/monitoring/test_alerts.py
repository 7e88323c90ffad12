"""conf/dashboards/prometheus-alerts.yaml in Prometheus' own engine, on simulated time: each alert
fires when what it describes has lasted for long enough, and clears when that is over."""
import json
import os
import subprocess

import pytest
import yaml

RULES = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
                     "conf/dashboards/prometheus-alerts.yaml")
MINUTES = 180  # of a simulation, with a sample each minute
BEGINS, ENDS = 30, 75  # of what is wrong


def gauge(well, ill):
    """Samples of a gauge that is wrong from BEGINS to ENDS."""
    return "%gx%d %gx%d %gx%d" % (well, BEGINS - 1, ill, ENDS - BEGINS - 1, well, MINUTES - ENDS)


def counter(a_minute=60.0):
    """Samples of a counter that grows from BEGINS to ENDS."""
    top = a_minute * (ENDS - BEGINS)
    return "0x%d 0+%gx%d %gx%d" % (BEGINS - 1, a_minute, ENDS - BEGINS - 1, top, MINUTES - ENDS)


def steady(a_minute):
    return "0+%gx%d" % (a_minute, MINUTES)


# alert: series and their samples; each alone makes the alert fire, or all together do.
ALONE = {
    "ActivatorWithoutAutoscaler": {"activator_link_up": gauge(1, 0)},
    "ActivatorRefusesConnections": {"activator_connections_refused_total": counter()},
    "ProxyHeadersRefused": {
        'activator_proxy_headers_total{result="%s"}' % result: counter()
        for result in ("untrusted", "absent", "malformed", "too_long", "timeout")},
    "ActivatorQueueFull": {'activator_requests_total{outcome="queue_full"}': counter()},
    "CertificateExpires": {'activator_certificate_expiry_days{certificate="c"}': None},
    "CertificateCannotBeUsed": {"activator_certificate_reload_failures_total": counter(1)},
    "RolloutAborted": {'autoscaler_rollouts_total{result="aborted"}': counter(1)},
    "RolloutHeld": {'autoscaler_rollout_held{service="s",revision="s/v2"}': gauge(0, 1)},
    "ServiceCannotBeStarted": {'autoscaler_failing{revision="s/v1"}': gauge(0, 1)},
    "ColdStartsTimeOut": {'activator_requests_total{outcome="activation_timeout"}': counter()},
    "InstancesFail": {'activator_requests_total{outcome="upstream_failed"}': counter()},
    "HeldBack": {'autoscaler_held_back{revision="s/v1"}': gauge(0, 1)},
    "ConfFileRefused": {"activator_config_reload_failures_total": counter(1),
                        "autoscaler_config_reload_failures_total": counter(1)},
    "ConfFileNotInEffect": {"activator_config_file_differs": gauge(0, 1),
                            "autoscaler_config_file_differs": gauge(0, 1)},
    "UsageLost": {"autoscaler_usage_records_lost_total": counter(1)},
    "AccessLogLost": {'activator_access_log_lines_total{result="lost"}': counter(1)},
    "SpansLost": {'activator_trace_spans_total{result="lost"}': counter(1)},
    "LogLinesLost": {"activator_log_lines_lost_total": counter(1),
                     "autoscaler_log_lines_lost_total": counter(1)},
    "InstanceHandshakesFail": {"activator_upstream_tls_handshake_failures_total": counter(1)},
    "ConnectionsAbuseHttp2": {
        'activator_h2_connections_ended_total{reason="%s"}' % reason: counter()
        for reason in ("flood", "glitches", "abandoned")},
    "StreamMemoryFull": {'activator_h2_connections_ended_total{reason="memory"}': counter(1)},
    "UpgradeFailed": {'activator_upgrades_total{result="failed"}': counter(1),
                      "autoscaler_upgrade_failures_total": counter(1)},
    "ApiServerRefuses": {"autoscaler_kubernetes_request_errors_total": counter()},
    "SomeoneElseScales": {"autoscaler_kubernetes_foreign_scale_total": counter(1)},
}
ALONE["CertificateExpires"] = {'activator_certificate_expiry_days{certificate="c"}':
                               "90x%d 13x%d 90x%d" % (BEGINS - 1, 100 - BEGINS - 1, MINUTES - 100)}
TOGETHER = {
    "ColdStartsAreSlow": {
        'activator_parked_duration_seconds_bucket{revision="s/v1",le="%s"}' % le: samples
        for le, samples in (("10", "0x%d" % MINUTES), ("15", counter()), ("+Inf", counter()))},
    "AtTheCeiling": {"autoscaler_max_instances": "4x%d" % MINUTES,
                     'autoscaler_wanted_instances{revision="s/v1"}': gauge(1, 3),
                     'autoscaler_wanted_instances{revision="s/v2"}': "1x%d" % MINUTES},
    "HandshakesFail": {'activator_tls_handshakes_total{outcome="full"}': steady(20),
                       'activator_tls_handshakes_total{outcome="failed"}': counter(60)},
}
# What looks alike and is none.
QUIET = {
    "HandshakesFail": {'activator_tls_handshakes_total{outcome="full"}': steady(200),
                       'activator_tls_handshakes_total{outcome="failed"}': counter(60)},
    "AtTheCeiling": {"autoscaler_max_instances": "0x%d" % MINUTES,
                     'autoscaler_wanted_instances{revision="s/v1"}': gauge(1, 300)},
    "ConnectionsAbuseHttp2": {'activator_h2_connections_ended_total{reason="client"}': counter(600)},
    "ActivatorQueueFull": {'activator_requests_total{outcome="ok"}': counter(6000)},
}


def rules():
    with open(RULES) as f:
        return {r["alert"]: r for g in yaml.safe_load(f)["groups"] for r in g["rules"]}


def simulate(path, name, series, times):
    """Check at each of the times, in minutes, whether any alert of the name fires."""
    case = {
        "interval": "1m",
        "input_series": [{"series": s, "values": v} for s, v in series.items()],
        "promql_expr_test": [
            {"expr": 'count(ALERTS{alertname="%s",alertstate="firing"})' % name,
             "eval_time": "%dm" % minute,
             "exp_samples": [{"labels": "{}", "value": 1}] if fires else []}
            for minute, fires in times.items()]}
    with open(path / "test.yaml", "w") as f:
        json.dump({"rule_files": [RULES], "evaluation_interval": "1m", "tests": [case]}, f)
    done = subprocess.run(["promtool", "test", "rules", str(path / "test.yaml")],
                          capture_output=True, text=True)
    assert done.returncode == 0, (name, series, done.stdout + done.stderr)


def test_each_alert_has_a_case():
    assert set(ALONE) | set(TOGETHER) == set(rules())


@pytest.mark.parametrize("name", sorted(set(ALONE) | set(TOGETHER)))
def test_it_fires_and_clears(tmp_path, name):
    cases = [{s: v} for s, v in ALONE[name].items()] if name in ALONE else [TOGETHER[name]]
    last = 99 if name == "CertificateExpires" else ENDS - 1
    for series in cases:
        # An hour is the longest range of a rule.
        simulate(tmp_path, name, series, {BEGINS - 1: False, last: True, MINUTES - 1: False})


@pytest.mark.parametrize("name", sorted(QUIET))
def test_what_is_usual_is_no_alert(tmp_path, name):
    simulate(tmp_path, name, QUIET[name], {m: False for m in range(0, MINUTES, 5)})


def test_a_short_while_is_no_alert(tmp_path):
    """Of those that wait: less than their time."""
    short = "0x29 1x3 0x%d" % (MINUTES - 33)
    for name in "RolloutHeld", "ServiceCannotBeStarted", "ConfFileNotInEffect":
        series = {next(iter(ALONE[name])): short}
        simulate(tmp_path, name, series, {m: False for m in range(25, 60)})
